//! Rehearsals: what was asked for, what the room goes back to, and how each went.

use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::{RoomRow, count, int, maybe, notices};
use crate::error::Result;
use crate::platform::pg::Statement;
use crate::waiting_room::model::{Figures, Phase, Rehearsal};
use crate::waiting_room::redis::Account;

/// Only from where nobody waits; the schedule is kept with the rehearsal.
const BEGIN: Statement = Statement::new(
    "rooms.begin_rehearsal",
    update_room!(
        concat!(
            "phase = $3, phase_at = admit_now(), revision = r.revision + 1, reason_ko = '', reason_en = '',
             rehearsal_ends_at = $4, prequeue_at = null, opens_at = $5, ",
            empty_run!()
        ),
        "r.revision = $2 and r.phase in ('idle', 'bypass', 'ended')"
    ),
);

const ADD: Statement = Statement::new(
    "rooms.add_rehearsal",
    "insert into room_rehearsals (exhibition_id, run, people, arrive_s, abandon_pct, stay_s, user_name, began_at, ends_at,
                                  was_phase, prequeue_at, opens_at)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)",
);

/// Back to where it was, under a new run. A schedule that has passed meanwhile is none any more.
const END: Statement = Statement::new(
    "rooms.end_rehearsal",
    concat!(
        "update rooms r set phase = h.was_phase, phase_at = admit_now(), revision = r.revision + 1, reason_ko = '',
                reason_en = '', rehearsal_ends_at = null,
                prequeue_at = case when h.prequeue_at > admit_now() then h.prequeue_at end,
                opens_at = case when h.opens_at > admit_now() then h.opens_at end, ",
        empty_run!(),
        " from exhibitions e, room_rehearsals h
          where e.id = r.exhibition_id and h.exhibition_id = r.exhibition_id and h.run = r.run
            and r.exhibition_id = $1 and r.revision = $2 and r.rehearsal_ends_at is not null
         returning ",
        columns!()
    ),
);

const ENDED: Statement = Statement::new(
    "rooms.rehearsal_ended",
    "update room_rehearsals set ended_at = admit_now() where exhibition_id = $1 and run = $2 and ended_at is null",
);

const LAST: Statement = Statement::new(
    "rooms.last_rehearsal",
    "select run, people, arrive_s, abandon_pct, stay_s, user_name, began_at, ends_at, ended_at, device_epoch,
            device_first, joined, waiting, called, inside, done, abandoned
       from room_rehearsals where exhibition_id = $1 and run <= $2 order by run desc limit 1",
);

/// Whoever comes second gets what the first has leased.
const LEASED: Statement = Statement::new(
    "rooms.rehearsal_leased",
    "update room_rehearsals
        set device_epoch = coalesce(device_epoch, $3), device_first = coalesce(device_first, $4)
      where exhibition_id = $1 and run = $2 returning device_epoch, device_first",
);

const NOTE: Statement = Statement::new(
    "rooms.note_rehearsal",
    "update room_rehearsals set joined = $3, waiting = $4, called = $5, inside = $6, done = $7, abandoned = $8
      where exhibition_id = $1 and run = $2 and ended_at is null",
);

pub const STATEMENTS: &[&Statement] = &[&BEGIN, &ADD, &END, &ENDED, &LAST, &LEASED, &NOTE];

pub struct RehearsalRow {
    pub run: u32,
    pub asked: Rehearsal,
    /// Who began it.
    pub user_name: String,
    pub began_at: Timestamp,
    pub ends_at: Timestamp,
    pub ended_at: Option<Timestamp>,
    /// The device of the first simulated visitor; the others' follow.
    pub first: Option<Account>,
    pub figures: Figures,
}

/// A rehearsal that begins.
pub struct Begun<'a> {
    pub asked: &'a Rehearsal,
    pub to: Phase,
    pub user_name: &'a str,
    pub began_at: Timestamp,
    pub ends_at: Timestamp,
    /// Of the rehearsal's own opening, where people gather first.
    pub opens_at: Option<Timestamp>,
}

/// Begins a new run. None: the room is at another revision by now, or people may be waiting. In a transaction.
pub async fn begin_rehearsal(
    client: &impl GenericClient,
    room: &RoomRow,
    begun: &Begun<'_>,
) -> Result<Option<RoomRow>> {
    let (id, asked, config) = (room.exhibition_id, begun.asked, &room.config);
    let moved =
        BEGIN.query_opt(client, &[&id, &room.revision, &begun.to.as_str(), &begun.ends_at, &begun.opens_at]).await?;
    let Some(moved) = maybe(moved)? else { return Ok(None) };
    // Of the run before it nothing goes on.
    notices::erase_run(client, id, room.run).await?;
    ADD.execute(
        client,
        &[
            &id,
            &int(moved.run),
            &asked.people,
            &asked.arrive_s,
            &asked.abandon_pct,
            &asked.stay_s,
            &begun.user_name,
            &begun.began_at,
            &begun.ends_at,
            &room.phase.as_str(),
            &config.prequeue_at,
            &config.opens_at,
        ],
    )
    .await?;
    Ok(Some(moved))
}

/// None: the room is at another revision by now, or in no rehearsal. In a transaction.
pub async fn end_rehearsal(client: &impl GenericClient, room: &RoomRow) -> Result<Option<RoomRow>> {
    let Some(moved) = maybe(END.query_opt(client, &[&room.exhibition_id, &room.revision]).await?)? else {
        return Ok(None);
    };
    ENDED.execute(client, &[&room.exhibition_id, &int(room.run)]).await?;
    notices::erase_run(client, room.exhibition_id, room.run).await?;
    Ok(Some(moved))
}

/// The last one up to this run.
pub async fn last_rehearsal(
    client: &impl GenericClient,
    exhibition_id: i32,
    upto_run: u32,
) -> Result<Option<RehearsalRow>> {
    let row = LAST.query_opt(client, &[&exhibition_id, &int(upto_run)]).await?;
    Ok(row.map(|r| RehearsalRow {
        run: count(&r, 0),
        asked: Rehearsal { people: r.get(1), arrive_s: r.get(2), abandon_pct: r.get(3), stay_s: r.get(4) },
        user_name: r.get(5),
        began_at: r.get(6),
        ends_at: r.get(7),
        ended_at: r.get(8),
        first: r.get::<_, Option<i32>>(9).map(|_| account(&r, 9)),
        figures: Figures {
            joined: count(&r, 11),
            waiting: count(&r, 12),
            called: count(&r, 13),
            inside: count(&r, 14),
            done: count(&r, 15),
            abandoned: count(&r, 16),
        },
    }))
}

/// Of one run; None: that run is for real.
pub async fn rehearsal(client: &impl GenericClient, exhibition_id: i32, run: u32) -> Result<Option<RehearsalRow>> {
    Ok(last_rehearsal(client, exhibition_id, run).await?.filter(|row| row.run == run))
}

fn account(row: &Row, at: usize) -> Account {
    Account { epoch: count(row, at), index: count(row, at + 1) }
}

/// The device of the first, as it stays.
pub async fn rehearsal_leased(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    first: Account,
) -> Result<Account> {
    let (epoch, index) = (int(first.epoch), int(first.index));
    Ok(account(&LEASED.query_one(client, &[&exhibition_id, &int(run), &epoch, &index]).await?, 0))
}

pub async fn note_rehearsal(
    client: &impl GenericClient,
    exhibition_id: i32,
    run: u32,
    figures: &Figures,
) -> Result<()> {
    let f = figures;
    let [joined, waiting, called, inside, done, abandoned] =
        [f.joined, f.waiting, f.called, f.inside, f.done, f.abandoned].map(int);
    NOTE.execute(client, &[&exhibition_id, &int(run), &joined, &waiting, &called, &inside, &done, &abandoned]).await?;
    Ok(())
}
