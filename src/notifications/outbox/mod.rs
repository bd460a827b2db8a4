//! The outbox as its admins see it: what waits, what was given up and why; once more, or set aside.
//!
//! Owns no table. Promises that an admin sees messages of their exhibitions alone, and addresses masked; that only what was
//! given up is sent again, judged under the lock of its row, so that nothing that is on its way or was sent goes out a second
//! time by it; that whoever did it is on record in the same transaction. Refuses to send what would be of no use any more:
//! codes and links that have lapsed, turns in a line whose address is gone, and news of accounts that are old by now.

pub mod counts;
pub mod pg;

use std::collections::BTreeMap;

use axum::Json as Reply;
use axum::extract::State;
use axum::response::Response;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::{router::OpenApiRouter, routes};

use self::pg::{Locked, MessageRow, Wanted};
use crate::admin::access::{Admin, Exhibitions};
use crate::admin::audit::{self, Actor, Entry};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::api::private;
use crate::orders::contact;
use crate::orders::refunds::request::sentence;
use crate::platform::http::{Json, Query};
use crate::platform::ids::is_order_number;

const PAGE: i64 = 50;
const PAGE_MAX: i64 = 200;
/// Messages of one call.
const AT_ONCE_MAX: usize = 500;
/// Rows of one round of `message_index`: some ten milliseconds.
const PLACE_BATCH: i64 = 1_000;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(replay)).routes(routes!(set_aside))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageState {
    Pending,
    Done,
    Dead,
    SetAside,
}

impl MessageState {
    pub fn as_str(self) -> &'static str {
        match self {
            MessageState::Pending => "pending",
            MessageState::Done => "done",
            MessageState::Dead => "dead",
            MessageState::SetAside => "set_aside",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MessageKind {
    OrderPaid,
    DepositAsked,
    MoneyReturned,
    Refund,
    Resend,
    QueueTurn,
    OneTimeCode,
    PasswordReset,
    AccountNotice,
}

impl MessageKind {
    /// What is written to the outbox and is not here is counted, and in no list: a test looks.
    pub const ALL: [MessageKind; 9] = [
        MessageKind::OrderPaid,
        MessageKind::DepositAsked,
        MessageKind::MoneyReturned,
        MessageKind::Refund,
        MessageKind::Resend,
        MessageKind::QueueTurn,
        MessageKind::OneTimeCode,
        MessageKind::PasswordReset,
        MessageKind::AccountNotice,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            MessageKind::OrderPaid => "order_paid",
            MessageKind::DepositAsked => "deposit_asked",
            MessageKind::MoneyReturned => "money_returned",
            MessageKind::Refund => "refund",
            MessageKind::Resend => super::RESEND,
            MessageKind::QueueTurn => super::QUEUE_TURN,
            MessageKind::OneTimeCode => super::ONE_TIME_CODE,
            MessageKind::PasswordReset => super::PASSWORD_RESET,
            MessageKind::AccountNotice => super::ACCOUNT_NOTICE,
        }
    }

    /// The others are of no use once they were given up.
    fn is_about_an_order(self) -> bool {
        !matches!(
            self,
            MessageKind::QueueTurn | MessageKind::OneTimeCode | MessageKind::PasswordReset | MessageKind::AccountNotice
        )
    }

    fn about_orders() -> Vec<&'static str> {
        MessageKind::ALL.into_iter().filter(|kind| kind.is_about_an_order()).map(MessageKind::as_str).collect()
    }
}

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Absent: all of them.
    #[param(inline)]
    state: Option<MessageState>,
    #[param(inline)]
    kind: Option<MessageKind>,
    /// Code of an exhibition; absent: all that the caller may enter, and for a super admin messages of none.
    exhibition: Option<String>,
    /// All messages about this order, and no others.
    order_number: Option<String>,
    /// `next` of the page before; absent: from the newest on.
    before: Option<i64>,
    /// 1 to 200; 50 if absent.
    limit: Option<i64>,
}

#[derive(Serialize, ToSchema)]
struct MessagePage {
    /// Newest first.
    messages: Vec<MessageListed>,
    /// Send as `before` for the next page; null: this was the last.
    next: Option<i64>,
    /// Of all these exhibitions; on the first page.
    counts: Option<MessageCounts>,
}

/// What is not done.
#[derive(Default, Serialize, ToSchema)]
struct MessageCounts {
    pending: i64,
    dead: i64,
    set_aside: i64,
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_pending_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    oldest_dead_at: Option<Timestamp>,
}

#[derive(Serialize, ToSchema)]
struct MessageListed {
    id: i64,
    /// order_paid, deposit_asked, money_returned, refund, resend, queue_turn, one_time_code, password_reset or account_notice.
    kind: String,
    /// pending, done, dead or set_aside.
    state: String,
    /// Null: of none.
    exhibition_code: Option<String>,
    /// Null: it is about none.
    order_number: Option<String>,
    /// To whom, masked. Null: not an order's contact, or they are forgotten.
    address: Option<String>,
    /// In all, those before somebody sent it again among them.
    tries: i32,
    /// How often somebody sent it again.
    replays: i32,
    /// sent, no_channel or too_late; else why the last try failed: refused, refused_for_now, timeout, tls, unreachable,
    /// not_written_to_file, or not_written for a letter that could not be composed.
    outcome: Option<String>,
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// While it waits.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_try_at: Option<Timestamp>,
    #[schema(value_type = Option<String>, format = DateTime)]
    done_at: Option<Timestamp>,
    /// Why nobody will send it.
    set_aside_because: Option<String>,
    /// It can be sent again.
    can_be_sent_again: bool,
}

fn listed(app: &App, row: MessageRow) -> MessageListed {
    let opened = row.contact.and_then(|(order_id, key_id, sealed)| contact::open(app, order_id, &key_id, &sealed).ok());
    MessageListed {
        address: opened.and_then(|contact| contact.email).map(|email| contact::masked_email(&email)),
        next_try_at: Some(row.next_try_at).filter(|_| row.state == "pending"),
        can_be_sent_again: why_not(&row.kind, &row.state).is_none(),
        id: row.id,
        kind: row.kind,
        state: row.state,
        exhibition_code: row.exhibition_code,
        order_number: row.order_number,
        tries: row.tries,
        replays: row.replays,
        outcome: row.outcome,
        created_at: row.created_at,
        done_at: row.done_at,
        set_aside_because: row.set_aside_why,
    }
}

/// Exhibitions whose messages may be seen; 0 stands for those of none.
fn within(app: &App, admin: &Admin, code: Option<&str>) -> Result<Vec<i32>> {
    let snapshot = app.catalogue.current();
    snapshot.ready()?;
    let mut mine = snapshot.exhibitions().iter().filter(|one| admin.user.may_enter(one.id));
    match code {
        Some(code) => match mine.find(|one| one.code == code) {
            Some(one) => Ok(vec![one.id]),
            None => Err(Error::field("exhibition", "unknown_exhibition")),
        },
        None => {
            let none = (admin.user.exhibitions == Exhibitions::All).then_some(0);
            Ok(mine.map(|one| one.id).chain(none).collect())
        }
    }
}

/// Lists messages of the caller's exhibitions, newest first.
#[utoipa::path(get, path = "/api/admin/outbox", tag = "admin", params(ListQuery), security(("staff" = [])),
    responses((status = 200, body = MessagePage), (status = 400, description = "request.malformed_query"),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn list(State(app): State<App>, admin: Admin, Query(query): Query<ListQuery>) -> Result<Response> {
    let limit = query.limit.unwrap_or(PAGE).clamp(1, PAGE_MAX);
    let exhibitions = within(&app, &admin, query.exhibition.as_deref())?;
    let kinds: Vec<&str> = match query.kind {
        Some(kind) => vec![kind.as_str()],
        None => MessageKind::ALL.map(MessageKind::as_str).to_vec(),
    };
    let wanted = Wanted { exhibitions: &exhibitions, kinds: &kinds, state: query.state, limit: limit + 1 };
    let client = app.pg.get().await?;
    let mut rows = match query.order_number.as_deref().map(|number| number.trim().to_ascii_uppercase()) {
        Some(number) if is_order_number(&number) => pg::of_order(&client, &number, &wanted).await?,
        Some(_) => Vec::new(),
        None => pg::page(&client, &wanted, query.before.unwrap_or(i64::MAX)).await?,
    };
    let counts = match query.before {
        None => Some(counted(pg::counts(&client, &exhibitions).await?)),
        Some(_) => None,
    };
    drop(client);
    let more = rows.len() as i64 > limit && query.order_number.is_none();
    rows.truncate(limit as usize);
    let next = rows.last().filter(|_| more).map(|row| row.id);
    let messages = rows.into_iter().map(|row| listed(&app, row)).collect();
    Ok(private(Reply(MessagePage { messages, next, counts })))
}

fn counted(rows: Vec<(String, i64, Timestamp)>) -> MessageCounts {
    let mut counts = MessageCounts::default();
    for (state, messages, oldest) in rows {
        match state.as_str() {
            "pending" => (counts.pending, counts.oldest_pending_at) = (messages, Some(oldest)),
            "dead" => (counts.dead, counts.oldest_dead_at) = (messages, Some(oldest)),
            _ => counts.set_aside = messages,
        }
    }
    counts
}

#[derive(Deserialize, ToSchema)]
struct MessageReplayAsk {
    /// Up to 500 messages.
    #[serde(default)]
    ids: Vec<i64>,
    /// Instead of them: what was given up of this exhibition, the oldest 500.
    exhibition: Option<String>,
}

#[derive(Serialize, ToSchema)]
struct MessagesReplayed {
    /// They wait to be sent.
    replayed: Vec<i64>,
    skipped: Vec<MessageSkipped>,
    /// There is more of this exhibition: call again.
    more: bool,
}

/// A message that was left as it is.
#[derive(Serialize, ToSchema)]
struct MessageSkipped {
    id: i64,
    /// on_its_way, done, set_aside, of_no_use (a lapsed code or link, a turn whose address is gone, or what an account was to be
    /// told of), or unknown.
    because: &'static str,
}

/// Sends messages that were given up, or set aside, once more. Whatever is on its way or was sent is left alone, so that the same
/// call again sends nothing twice.
#[utoipa::path(post, path = "/api/admin/outbox/replay", tag = "admin", request_body = MessageReplayAsk, security(("staff" = [])),
    responses((status = 200, body = MessagesReplayed),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.starting, server.database_away")))]
async fn replay(State(app): State<App>, admin: Admin, Json(ask): Json<MessageReplayAsk>) -> Result<Response> {
    let exhibition = match &ask.exhibition {
        Some(code) if ask.ids.is_empty() => within(&app, &admin, Some(code.as_str()))?.first().copied(),
        _ => None,
    };
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let mut ids = match exhibition {
        Some(id) => pg::oldest_dead(&transaction, id, &MessageKind::about_orders(), AT_ONCE_MAX as i64 + 1).await?,
        None => named(&ask.ids)?,
    };
    let more = ids.len() > AT_ONCE_MAX;
    ids.truncate(AT_ONCE_MAX);
    let rows = pg::locked(&transaction, &ids).await?;
    let (again, skipped) = sorted(&admin, &ids, rows, why_not);
    let replayed: Vec<i64> = again.iter().map(|row| row.id).collect();
    if pg::replay(&transaction, &replayed).await? != replayed.len() as u64 {
        return Err(Error::bug("a dead letter changed under its lock"));
    }
    for (exhibition_id, messages) in by_exhibition(&again) {
        let entry = Entry {
            by: &Actor::from(&admin),
            action: "outbox.replay",
            exhibition_id,
            before: json!({ "messages": messages }),
            after: json!({ "state": "pending" }),
        };
        audit::record(&transaction, &entry).await?;
    }
    transaction.commit().await?;
    Ok(private(Reply(MessagesReplayed { replayed, skipped, more })))
}

#[derive(Deserialize, ToSchema)]
struct MessageSetAsideAsk {
    /// Up to 500 messages.
    ids: Vec<i64>,
    /// Why nobody shall send them; no personal data.
    reason: String,
}

#[derive(Serialize, ToSchema)]
struct MessagesSetAside {
    set_aside: Vec<i64>,
    skipped: Vec<MessageSkipped>,
}

/// Sets messages aside that were given up: nobody will send them, and they are not in the way any more.
#[utoipa::path(post, path = "/api/admin/outbox/set-aside", tag = "admin", request_body = MessageSetAsideAsk, security(("staff" = [])),
    responses((status = 200, body = MessagesSetAside),
        (status = 401, description = "auth.required, auth.invalid_token, auth.expired_token"),
        (status = 403, description = "auth.forbidden"), (status = 422, description = "request.invalid"),
        (status = 503, description = "server.database_away")))]
async fn set_aside(State(app): State<App>, admin: Admin, Json(ask): Json<MessageSetAsideAsk>) -> Result<Response> {
    let (ids, reason) = (named(&ask.ids)?, sentence("reason", &ask.reason)?);
    let mut client = app.pg.get().await?;
    let transaction = client.transaction().await?;
    let rows = pg::locked(&transaction, &ids).await?;
    let (gone, skipped) = sorted(&admin, &ids, rows, |_, state| left_alone(state));
    let set_aside: Vec<i64> = gone.iter().map(|row| row.id).collect();
    if pg::set_aside(&transaction, &set_aside, &reason).await? != set_aside.len() as u64 {
        return Err(Error::bug("a dead letter changed under its lock"));
    }
    for (exhibition_id, messages) in by_exhibition(&gone) {
        let entry = Entry {
            by: &Actor::from(&admin),
            action: "outbox.set_aside",
            exhibition_id,
            before: json!({ "messages": messages }),
            after: json!({ "state": "set_aside", "reason": reason }),
        };
        audit::record(&transaction, &entry).await?;
    }
    transaction.commit().await?;
    Ok(private(Reply(MessagesSetAside { set_aside, skipped })))
}

fn named(ids: &[i64]) -> Result<Vec<i64>> {
    let mut ids = ids.to_vec();
    ids.sort_unstable();
    ids.dedup();
    match ids.len() {
        0 => Err(Error::field("ids", "required")),
        1..=AT_ONCE_MAX => Ok(ids),
        _ => Err(Error::field("ids", "too_many")),
    }
}

/// Why a message is not to be touched at all; None: it was given up.
fn left_alone(state: &str) -> Option<&'static str> {
    match state {
        "pending" => Some("on_its_way"),
        "done" => Some("done"),
        "set_aside" => Some("set_aside"),
        _ => None,
    }
}

/// Why a message is not sent again; None: it can be.
fn why_not(kind: &str, state: &str) -> Option<&'static str> {
    match left_alone(state) {
        None | Some("set_aside") => (!MessageKind::about_orders().contains(&kind)).then_some("of_no_use"),
        because => because,
    }
}

/// Those to act on, and why not the others. Another exhibition's is as good as not there.
fn sorted(
    admin: &Admin,
    ids: &[i64],
    rows: Vec<Locked>,
    because: impl Fn(&str, &str) -> Option<&'static str>,
) -> (Vec<Locked>, Vec<MessageSkipped>) {
    let (mine, mut skipped): (Vec<Locked>, Vec<MessageSkipped>) =
        (rows.into_iter().filter(|row| admin.user.may_enter(row.exhibition_id)).collect(), Vec::new());
    skipped.extend(
        ids.iter()
            .filter(|id| !mine.iter().any(|row| row.id == **id))
            .map(|id| MessageSkipped { id: *id, because: "unknown" }),
    );
    let mut good = Vec::with_capacity(mine.len());
    for row in mine {
        match because(&row.kind, &row.state) {
            Some(because) => skipped.push(MessageSkipped { id: row.id, because }),
            None => good.push(row),
        }
    }
    (good, skipped)
}

/// For the audit log: what each message was, under the exhibition whose it is.
fn by_exhibition(rows: &[Locked]) -> BTreeMap<Option<i32>, Vec<serde_json::Value>> {
    let mut of: BTreeMap<Option<i32>, Vec<serde_json::Value>> = BTreeMap::new();
    for row in rows {
        let told = json!({ "id": row.id, "kind": row.kind, "state": row.state, "tries": row.tries });
        of.entry(Some(row.exhibition_id).filter(|id| *id > 0)).or_default().push(told);
    }
    of
}

/// One round of `message_index`: writes down whose messages of an older release are. How many they were.
pub async fn place(app: &App) -> Result<usize> {
    let placed = pg::place(&app.pg.get().await?, PLACE_BATCH).await?;
    Ok(usize::try_from(placed).unwrap_or(usize::MAX))
}
