//! Settle: where every outcome of an attempt ends, whoever learned it first: the confirm call, a webhook or recovery.

use jiff::SignedDuration;
use uuid::Uuid;

use super::model::{Order, OrderState, Origin, Seat};
use super::pg::{self, Attempt};
use super::writer::{Ask, Captured, Deposit, Entry, Refusal, Reply};
use crate::app::App;
use crate::error::{Error, Result};
use crate::observability::pulse::What;
use crate::payments::Payment;
use crate::platform::secrets::{Purpose, sha256};
use crate::stock::model::{Fingerprint, HoldId};
use crate::stock::{rebuild, redis};

/// A deposit of the last minute is heard of within this, or looked for after it.
const DEPOSIT_GRACE: SignedDuration = SignedDuration::from_mins(30);
/// Whoever paid in once and had it taken back by the bank has a day to do it again.
const REVERSED_KEPT: SignedDuration = SignedDuration::from_hours(24);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    Paid,
    /// The money goes back: it came twice, or too late and there is no room.
    Refunding,
    Declined,
    /// Nothing is paid yet: the buyer has days to pay in.
    AwaitingDeposit,
}

/// Money was captured for this attempt. Idempotent.
pub async fn accepted(
    app: &App,
    order: &Order,
    attempt: &Attempt,
    payment: &Payment,
    origin: &Origin,
) -> Result<Settled> {
    let captured = Captured {
        payment_key: payment.payment_key.clone(),
        method: payment.method.clone(),
        secret: payment.secret.clone(),
        raw: payment.raw.clone(),
        receipts: serde_json::to_value(&payment.receipts).map_err(Error::bug)?,
        to_account: payment.account.is_some(),
    };
    let mut taken: Option<Taken> = None;
    let mut refund_if_full = false;
    // Second round only for an order that had lapsed: with places taken again, or with the word that there are none.
    for _ in 0..4 {
        let ask = Ask::Accept {
            attempt_id: attempt.id,
            captured: Box::new(captured.clone()),
            seat: taken.map(|t| t.seat),
            refund_if_full,
            ticket_key_id: ticket_key(app)?,
        };
        let entry = Entry { facts: order.facts.clone(), ask, origin: origin.clone() };
        let reply = app.writer.submit(entry).await;
        if !matches!(reply, Reply::Paid | Reply::Unknown) {
            give_back(app, order, attempt.id, taken).await;
        }
        match reply {
            Reply::Paid => {
                app.metrics.settled("paid");
                app.pulse.count(order.facts.exhibition_id, What::Paid);
                return Ok(Settled::Paid);
            }
            Reply::Refunding => {
                app.metrics.settled("refunding");
                return Ok(Settled::Refunding);
            }
            Reply::Already => return already(app, order, attempt).await,
            // A day that does not take place has room, but not for anybody.
            Reply::NeedsSeat if slot_is_closed(app, order)? => refund_if_full = true,
            Reply::NeedsSeat => match take_again(app, order, attempt.id).await? {
                Again::Taken(again) => taken = Some(again),
                Again::NoRoom(_) => refund_if_full = true,
            },
            Reply::Refused(
                Refusal::SoldOut | Refusal::PersonLimit | Refusal::ProductLimit(_) | Refusal::SlotClosed,
            ) => {
                taken = None;
                refund_if_full = true;
            }
            Reply::Refused(Refusal::OtherEpoch | Refusal::Stale) => taken = None,
            Reply::Failed(error) => return Err(error),
            Reply::Unknown => return Err(Error::unavailable("payment.unsettled", "an unknown commit")),
            other => return Err(Error::bug(format!("an accepted payment was answered {other:?}"))),
        }
    }
    Err(Error::unavailable("payment.unsettled", "no room was certain"))
}

fn slot_is_closed(app: &App, order: &Order) -> Result<bool> {
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    Ok(order.facts.slot_id.and_then(|id| exhibition.slot(id)).is_some_and(|slot| slot.closed))
}

/// An account was issued for this attempt. Idempotent.
pub async fn awaiting(
    app: &App,
    order: &Order,
    attempt: &Attempt,
    payment: &Payment,
    origin: &Origin,
) -> Result<Settled> {
    let account = payment.account.as_ref().ok_or_else(|| Error::bug("a deposit without its account"))?;
    // The buyer's browser told the provider how long the account is open; how long places are kept is not the buyer's say.
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let latest = app.clock.now() + SignedDuration::from_hours(exhibition.deposit_h.into());
    let due_at = account.due_at.map_or(latest, |at| at.min(latest));
    let captured = Captured {
        payment_key: payment.payment_key.clone(),
        method: payment.method.clone(),
        secret: payment.secret.clone(),
        raw: payment.raw.clone(),
        receipts: serde_json::to_value(&payment.receipts).map_err(Error::bug)?,
        to_account: true,
    };
    let deposit = Deposit {
        bank: account.bank.clone(),
        sealed: app.secrets.seal(&about_account(attempt.id), account.number.as_bytes())?,
        due_at,
        kept_until: due_at + DEPOSIT_GRACE,
    };
    let ask = Ask::Await { attempt_id: attempt.id, captured: Box::new(captured), deposit: Box::new(deposit) };
    match app.writer.submit(Entry { facts: order.facts.clone(), ask, origin: origin.clone() }).await {
        Reply::AwaitingDeposit | Reply::Already => Ok(Settled::AwaitingDeposit),
        Reply::Declined | Reply::Refused(Refusal::AttemptOver) => Ok(Settled::Declined),
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("payment.unsettled", "an unknown commit")),
        other => Err(Error::bug(format!("an issued account was answered {other:?}"))),
    }
}

/// What the number of an account is sealed for: the attempt whose money goes in, or the refund whose money goes out.
pub fn about_account(id: Uuid) -> Vec<u8> {
    [b"bank account ".as_slice(), id.as_bytes()].concat()
}

/// The bank took a deposit back.
pub async fn reversed(app: &App, order: &Order, attempt: &Attempt, origin: &Origin) -> Result<Settled> {
    let ask = Ask::Reverse { attempt_id: attempt.id, kept_until: app.clock.now() + REVERSED_KEPT };
    match app.writer.submit(Entry { facts: order.facts.clone(), ask, origin: origin.clone() }).await {
        Reply::Reversed | Reply::Already => Ok(Settled::AwaitingDeposit),
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("payment.unsettled", "an unknown commit")),
        other => Err(Error::bug(format!("a reversed deposit was answered {other:?}"))),
    }
}

/// Nobody has paid in, and the account takes nothing any more.
pub async fn lapsed(app: &App, order: &Order, attempt: &Attempt, origin: &Origin) -> Result<Settled> {
    let ask = Ask::LapseDeposit { attempt_id: attempt.id };
    match app.writer.submit(Entry { facts: order.facts.clone(), ask, origin: origin.clone() }).await {
        Reply::Released | Reply::Declined | Reply::Already => Ok(Settled::Declined),
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("payment.unsettled", "an unknown commit")),
        other => Err(Error::bug(format!("a lapsed deposit was answered {other:?}"))),
    }
}

/// The attempt was accepted before: its order was paid by it, or its money is on its way back.
async fn already(app: &App, order: &Order, attempt: &Attempt) -> Result<Settled> {
    let client = app.pg.get().await?;
    let paid_by = pg::paid_attempt(&client, order.facts.id).await?;
    Ok(if paid_by == Some(attempt.id) { Settled::Paid } else { Settled::Refunding })
}

pub async fn declined(
    app: &App,
    order: &Order,
    attempt: &Attempt,
    code: &str,
    message: &str,
    origin: &Origin,
) -> Result<Settled> {
    let ask = Ask::Decline { attempt_id: attempt.id, code: code.to_owned(), message: message.to_owned() };
    match app.writer.submit(Entry { facts: order.facts.clone(), ask, origin: origin.clone() }).await {
        Reply::Already => Ok(Settled::Declined),
        Reply::Declined | Reply::Released => {
            app.metrics.settled("declined");
            app.pulse.count(order.facts.exhibition_id, What::Declined);
            Ok(Settled::Declined)
        }
        // An account was issued: it ends with its places.
        Reply::Refused(Refusal::InProgress) => lapsed(app, order, attempt, origin).await,
        // Money was captured meanwhile: a refusal never overrules it.
        Reply::Refused(Refusal::AlreadyPaid) => already(app, order, attempt).await,
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("payment.unsettled", "an unknown commit")),
        other => Err(Error::bug(format!("a declined payment was answered {other:?}"))),
    }
}

pub async fn doubted(app: &App, order: &Order, attempt: &Attempt, origin: &Origin) -> Result<()> {
    let ask = Ask::Doubt { attempt_id: attempt.id };
    match app.writer.submit(Entry { facts: order.facts.clone(), ask, origin: origin.clone() }).await {
        Reply::Failed(error) => Err(error),
        _ => Ok(()),
    }
}

/// An order that costs nothing is paid as soon as it is held.
pub async fn settle_free(app: &App, order: Order, origin: Origin) -> Result<Order> {
    let ask = Ask::SettleFree { ticket_key_id: ticket_key(app)? };
    match app.writer.submit(Entry { facts: order.facts.clone(), ask, origin }).await {
        Reply::Paid | Reply::Already => Ok(Order { state: OrderState::Paid, paid_at: Some(app.clock.now()), ..order }),
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("order.unknown_outcome", "an unknown commit")),
        Reply::Refused(Refusal::Closed) => Err(Error::gone("order.closed")),
        other => Err(Error::bug(format!("a free order was answered {other:?}"))),
    }
}

pub fn ticket_key(app: &App) -> Result<i16> {
    app.keys.current_id().ok_or_else(|| Error::unavailable("server.starting", "no ticket key yet"))
}

/// The name of the take that seats a lapsed order again: its own for each attempt, the same at each repeat.
fn reseat_id(app: &App, order: &Order, attempt_id: Uuid) -> HoldId {
    let mac = app.secrets.mac(Purpose::HoldId, &[b"seat again", order.facts.id.as_bytes(), attempt_id.as_bytes()]);
    let mut id = [0u8; 16];
    id.copy_from_slice(&mac[..16]);
    id
}

fn reseat_fingerprint(attempt_id: Uuid) -> Fingerprint {
    let digest = sha256(&[b"seat again", attempt_id.as_bytes()]);
    let mut out = [0u8; 16];
    out.copy_from_slice(&digest[..16]);
    out
}

/// Places of a lapsed order, taken again.
#[derive(Clone, Copy)]
pub struct Taken {
    pub seat: Seat,
    /// False: another call for the same attempt took them, and gives them back if it must.
    ours: bool,
}

pub enum Again {
    Taken(Taken),
    /// And why; unless another call has just seated it.
    NoRoom(Refusal),
}

/// Takes the places of a lapsed order again.
pub async fn take_again(app: &App, order: &Order, attempt_id: Uuid) -> Result<Again> {
    let facts = &order.facts;
    let hold_id = reseat_id(app, order, attempt_id);
    let ask = redis::Ask {
        code: &facts.code,
        hold_id: &hold_id,
        fingerprint: &reseat_fingerprint(attempt_id),
        person: &facts.person_key,
        places: facts.person_places,
        allowed: facts.person_allowed.filter(|_| facts.person_places > 0),
        // Somebody who is paying is not asked how many holds are open, but the hold is counted.
        open_holds_max: facts.person_counted.then_some(i32::MAX),
        pass: redis::Pass::Excused,
        lines: &facts.lines,
    };
    let taken = |epoch, at_ms, ours| Ok(Again::Taken(Taken { seat: Seat { hold_id, epoch, at_ms }, ours }));
    match redis::take(&app.redis, &ask, app.clock.now_ms()).await? {
        redis::Take::Taken { epoch, at_ms } => taken(epoch, at_ms, true),
        redis::Take::Repeat { epoch, at_ms } => taken(epoch, at_ms, false),
        redis::Take::SoldOut { .. } => Ok(Again::NoRoom(Refusal::SoldOut)),
        redis::Take::PersonLimit => Ok(Again::NoRoom(Refusal::PersonLimit)),
        redis::Take::Unready => {
            rebuild::request(app, facts.exhibition_id, &facts.code, "unready");
            Err(Error::unavailable("stock.unready", "not counted yet"))
        }
        other => Err(Error::bug(format!("taking again was answered {other:?}"))),
    }
}

/// Gives places back that were taken again for nothing, unless another call has used this very take.
pub async fn give_back(app: &App, order: &Order, attempt_id: Uuid, taken: Option<Taken>) {
    let Some(Taken { seat, ours: true }) = taken else { return };
    let used = async {
        let client = app.pg.get().await?;
        pg::seat_is_used(&client, attempt_id, &seat).await
    };
    if !matches!(used.await, Ok(false)) {
        return;
    }
    if let Err(error) = redis::give_back(&app.redis, &order.facts.code, &seat.hold_id, Some(seat.at_ms)).await {
        tracing::warn!(%error, "a take was not given back; the audit will");
    }
}
