//! SQL of the outbox for its admins.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::MessageState;
use crate::error::Result;
use crate::platform::pg::Statement;

/// What of a message is shown, of the ids in `picked`. One about a refund or about a mail sent again has its order behind
/// that; one about a place in line or a one-time code has none.
macro_rules! shown {
    ($picked:expr) => {
        concat!(
            "select b.id, b.kind, b.state, b.tries, b.replays, b.outcome, b.created_at, b.next_try_at, b.done_at,
                    b.set_aside_why, e.code, o.number, o.id, c.key_id, c.sealed
               from (",
            $picked,
            ") p join outbox b on b.id = p.id
               left join refunds r on b.kind = 'refund' and r.id = b.order_id
               left join mail_resends m on b.kind = 'resend' and m.id = b.order_id
               left join orders o
                 on o.id = case b.kind when 'refund' then r.order_id when 'resend' then m.order_id else b.order_id end
               left join contacts c on c.order_id = o.id and c.erased_at is null
               left join exhibitions e on e.id = b.exhibition_id
              order by b.id desc"
        )
    };
}

/// The newest of each exhibition and kind, so many at most, each by its own end of an index. The kind is a range of one kind, and
/// the order begins with it: where it were said to be equal, the planner would order by id alone, and look for a rare kind
/// among two millions by the primary key.
macro_rules! newest {
    ($states:literal, $where:literal) => {
        concat!(
            "(select q.id from unnest($1::int[]) x (id) cross join unnest($3::text[]) k (kind)",
            $states,
            " cross join lateral (select b.id from outbox b where b.exhibition_id = x.id and ",
            $where,
            " and (b.kind, b.id) < (k.kind, $2) and b.kind >= k.kind order by b.kind desc, b.id desc limit $4) q
               order by q.id desc limit $4)"
        )
    };
}

const ALL: Statement = Statement::new(
    "messages.page",
    shown!(concat!(
        "select id from (",
        newest!("", "b.state = 'done'"),
        " union all ",
        newest!(
            " cross join unnest(array['pending', 'dead', 'set_aside']) s (state)",
            "b.state <> 'done' and b.state = s.state"
        ),
        ") q order by id desc limit $4"
    )),
);
const PENDING: Statement =
    Statement::new("messages.page_pending", shown!(newest!("", "b.state <> 'done' and b.state = 'pending'")));
const DEAD: Statement =
    Statement::new("messages.page_dead", shown!(newest!("", "b.state <> 'done' and b.state = 'dead'")));
const SET_ASIDES: Statement =
    Statement::new("messages.page_set_aside", shown!(newest!("", "b.state <> 'done' and b.state = 'set_aside'")));
const DONE: Statement = Statement::new("messages.page_done", shown!(newest!("", "b.state = 'done'")));

/// About an order, its refunds, and what was sent again.
const OF_ORDER: Statement = Statement::new(
    "messages.of_order",
    shown!(
        "with one as (select id from orders where number = $1 and exhibition_id = any($2)), about as (
             select k.kind, one.id from one cross join unnest(array['order_paid', 'deposit_asked', 'money_returned']) k (kind)
              union all
             select 'refund', r.id from one join refunds r on r.order_id = one.id
              union all
             select 'resend', m.id from one join mail_resends m on m.order_id = one.id
         )
         select b.id from about a join outbox b on b.kind = a.kind and b.order_id = a.id
          where b.kind = any($3) and ($4::text is null or b.state = $4) order by b.id desc limit $5"
    ),
);

/// Of what is not done; the oldest of each state tells since when.
const COUNTS: Statement = Statement::new(
    "messages.counts",
    "select s.state, s.messages, b.created_at
       from (select state, count(*) as messages, min(id) as oldest from outbox
              where state <> 'done' and exhibition_id = any($1) group by state) s
       join outbox b on b.id = s.oldest",
);

/// Of every exhibition at once, for the live boards. Nothing but what is not done is read, which is a small index; only
/// whether what waits was tried in vain stands in its row.
const BY_EXHIBITION: Statement = Statement::new(
    "messages.by_exhibition",
    "select exhibition_id, state, count(*) from outbox where state <> 'done' and exhibition_id > 0 group by 1, 2
      union all
     select exhibition_id, 'failing', count(*) from outbox
      where state <> 'done' and state = 'pending' and exhibition_id > 0 and outcome is not null group by 1",
);

/// By id, so that two who send the same again wait for each other. The worker holds no row for longer than a statement.
const LOCKED: Statement = Statement::new(
    "messages.locked",
    "select id, kind, state, tries, coalesce(exhibition_id, 0) from outbox where id = any($1::bigint[]) order by id for update",
);

const OLDEST_DEAD: Statement = Statement::new(
    "messages.oldest_dead",
    "select id from outbox where state <> 'done' and state = 'dead' and exhibition_id = $1 and kind = any($2) order by id limit $3",
);

/// Its number of tries goes on: the row is fenced by it.
const REPLAY: Statement = Statement::new(
    "messages.replay",
    "update outbox
        set state = 'pending', replays = replays + 1, next_try_at = admit_now(), outcome = null, done_at = null, set_aside_why = null
      where id = any($1::bigint[]) and state in ('dead', 'set_aside')",
);

const SET_ASIDE: Statement = Statement::new(
    "messages.set_aside",
    "update outbox set state = 'set_aside', set_aside_why = $2, done_at = admit_now()
      where id = any($1::bigint[]) and state = 'dead'",
);

/// Messages of before it was written down whose they are, the newest first.
const PLACE: Statement = Statement::new(
    "messages.place",
    "update outbox b set exhibition_id = coalesce(f.exhibition_id, 0)
       from (select b.id, case b.kind
                    when 'refund' then (select o.exhibition_id from refunds r join orders o on o.id = r.order_id where r.id = b.order_id)
                    when 'resend' then (select o.exhibition_id from mail_resends m join orders o on o.id = m.order_id where m.id = b.order_id)
                    when 'queue_turn' then (select n.exhibition_id from room_notices n where n.id = b.order_id)
                    else (select o.exhibition_id from orders o where o.id = b.order_id) end as exhibition_id
               from outbox b where b.exhibition_id is null order by b.id desc limit $1 for update of b skip locked) f
      where f.id = b.id",
);

pub const STATEMENTS: &[&Statement] = &[
    &ALL,
    &PENDING,
    &DEAD,
    &SET_ASIDES,
    &DONE,
    &OF_ORDER,
    &COUNTS,
    &BY_EXHIBITION,
    &LOCKED,
    &OLDEST_DEAD,
    &REPLAY,
    &SET_ASIDE,
    &PLACE,
];

pub struct MessageRow {
    pub id: i64,
    pub kind: String,
    pub state: String,
    pub tries: i32,
    pub replays: i32,
    pub outcome: Option<String>,
    pub created_at: Timestamp,
    pub next_try_at: Timestamp,
    pub done_at: Option<Timestamp>,
    pub set_aside_why: Option<String>,
    pub exhibition_code: Option<String>,
    pub order_number: Option<String>,
    /// Order, key id and sealed contact; None: nobody is named by an order, or they are forgotten.
    pub contact: Option<(Uuid, String, Vec<u8>)>,
}

fn message(r: &Row) -> MessageRow {
    let order_id: Option<Uuid> = r.get(12);
    let (key_id, sealed): (Option<String>, Option<Vec<u8>>) = (r.get(13), r.get(14));
    MessageRow {
        id: r.get(0),
        kind: r.get(1),
        state: r.get(2),
        tries: r.get(3),
        replays: r.get(4),
        outcome: r.get(5),
        created_at: r.get(6),
        next_try_at: r.get(7),
        done_at: r.get(8),
        set_aside_why: r.get(9),
        exhibition_code: r.get(10),
        order_number: r.get(11),
        contact: order_id.zip(key_id).zip(sealed).map(|((id, key_id), sealed)| (id, key_id, sealed)),
    }
}

/// Which messages are looked for.
pub struct Wanted<'a> {
    /// 0: those of none.
    pub exhibitions: &'a [i32],
    pub kinds: &'a [&'a str],
    /// None: any.
    pub state: Option<MessageState>,
    pub limit: i64,
}

/// Before the given id, newest first.
pub async fn page(client: &impl GenericClient, wanted: &Wanted<'_>, before: i64) -> Result<Vec<MessageRow>> {
    let statement = match wanted.state {
        None => &ALL,
        Some(MessageState::Pending) => &PENDING,
        Some(MessageState::Dead) => &DEAD,
        Some(MessageState::SetAside) => &SET_ASIDES,
        Some(MessageState::Done) => &DONE,
    };
    let rows = statement.query(client, &[&wanted.exhibitions, &before, &wanted.kinds, &wanted.limit]).await?;
    Ok(rows.iter().map(message).collect())
}

pub async fn of_order(client: &impl GenericClient, number: &str, wanted: &Wanted<'_>) -> Result<Vec<MessageRow>> {
    let state = wanted.state.map(MessageState::as_str);
    let rows = OF_ORDER.query(client, &[&number, &wanted.exhibitions, &wanted.kinds, &state, &wanted.limit]).await?;
    Ok(rows.iter().map(message).collect())
}

/// State, how many, and when the oldest of them was written.
pub async fn counts(client: &impl GenericClient, exhibitions: &[i32]) -> Result<Vec<(String, i64, Timestamp)>> {
    let rows = COUNTS.query(client, &[&exhibitions]).await?;
    Ok(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect())
}

/// Exhibition, state and how many; `failing` are those of `pending` that were tried in vain.
pub async fn by_exhibition(client: &impl GenericClient) -> Result<Vec<(i32, String, i64)>> {
    let rows = BY_EXHIBITION.query(client, &[]).await?;
    Ok(rows.iter().map(|r| (r.get(0), r.get(1), r.get(2))).collect())
}

pub struct Locked {
    pub id: i64,
    pub kind: String,
    pub state: String,
    pub tries: i32,
    pub exhibition_id: i32,
}

/// Those of the given messages that there are, kept from workers until the transaction ends.
pub async fn locked(client: &impl GenericClient, ids: &[i64]) -> Result<Vec<Locked>> {
    let locked =
        |r: &Row| Locked { id: r.get(0), kind: r.get(1), state: r.get(2), tries: r.get(3), exhibition_id: r.get(4) };
    Ok(LOCKED.query(client, &[&ids]).await?.iter().map(locked).collect())
}

pub async fn oldest_dead(
    client: &impl GenericClient,
    exhibition_id: i32,
    kinds: &[&str],
    limit: i64,
) -> Result<Vec<i64>> {
    Ok(OLDEST_DEAD.query(client, &[&exhibition_id, &kinds, &limit]).await?.iter().map(|row| row.get(0)).collect())
}

/// Under their lock.
pub async fn replay(client: &impl GenericClient, ids: &[i64]) -> Result<u64> {
    REPLAY.execute(client, &[&ids]).await
}

/// Under their lock.
pub async fn set_aside(client: &impl GenericClient, ids: &[i64], why: &str) -> Result<u64> {
    SET_ASIDE.execute(client, &[&ids, &why]).await
}

/// How many were placed.
pub async fn place(client: &impl GenericClient, limit: i64) -> Result<u64> {
    PLACE.execute(client, &[&limit]).await
}
