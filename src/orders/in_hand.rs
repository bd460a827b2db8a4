//! Money that is there already, by whatever road: cash at the door, a transfer to the organiser. One attempt for each order,
//! so that a repeat pays nothing twice.

use serde_json::json;
use uuid::Uuid;

use super::model::{Order, OrderState, Origin};
use super::pg;
use super::place::product_limit;
use super::settle::{self, Again, Taken};
use super::writer::{Ask, Captured, Entry, Refusal, Reply};
use crate::app::App;
use crate::error::{Error, Result};
use crate::observability::pulse::What;
use crate::platform::secrets::Purpose;

/// The money, and who has it.
pub struct InHand {
    pub method: &'static str,
    pub who: serde_json::Value,
    /// It may come after the time to pay: a lapsed order is seated again where there is room. Else nothing was sold.
    pub late: bool,
    pub ticket_key_id: i16,
}

/// Pays an order with it.
pub(super) async fn paid_in_hand(app: &App, order: Order, money: InHand, origin: Origin) -> Result<Order> {
    let attempt_id = attempt_in_hand(app, &order)?;
    let captured = Captured {
        payment_key: format!("cash-{attempt_id}"),
        method: Some(money.method.to_owned()),
        raw: money.who,
        receipts: json!({}),
        ..Captured::default()
    };
    let (mut taken, mut was_full): (Option<Taken>, bool) = (None, false);
    // More than one round only for an order that had lapsed.
    for _ in 0..5 {
        let ask = Ask::Cash {
            attempt_id,
            captured: Box::new(captured.clone()),
            late: money.late,
            seat: taken.map(|t| t.seat),
            ticket_key_id: money.ticket_key_id,
        };
        let entry = Entry { facts: order.facts.clone(), ask, origin: origin.clone() };
        let reply = app.writer.submit(entry).await;
        if !matches!(reply, Reply::Paid | Reply::Unknown) {
            settle::give_back(app, &order, attempt_id, taken).await;
        }
        match reply {
            Reply::Paid => {
                app.metrics.settled("paid");
                app.pulse.count(order.facts.exhibition_id, What::Paid);
                return Ok(paid(app, order));
            }
            Reply::Already if pg::paid_attempt(&app.pg.get().await?, order.facts.id).await? == Some(attempt_id) => {
                return Ok(paid(app, order));
            }
            // Its visitor was quicker.
            Reply::Already => return Err(Error::conflict("payment.already_paid")),
            Reply::NeedsSeat => match settle::take_again(app, &order, attempt_id).await? {
                Again::Taken(again) => taken = Some(again),
                Again::NoRoom(why) if was_full => return Err(refused(why)),
                // Another desk may have seated the order with the last places: look once more.
                Again::NoRoom(_) => (taken, was_full) = (None, true),
            },
            Reply::Refused(Refusal::OtherEpoch | Refusal::Stale) => taken = None,
            Reply::Refused(Refusal::ProductLimit(id)) => {
                return Err(product_limit(&*app.catalogue.current().by_id(order.facts.exhibition_id)?, id));
            }
            Reply::Refused(refusal) => return Err(refused(refusal)),
            Reply::Failed(error) => return Err(error),
            Reply::Unknown => return Err(Error::unavailable("order.unknown_outcome", "an unknown commit")),
            other => return Err(Error::bug(format!("money in hand was answered {other:?}"))),
        }
    }
    Err(Error::unavailable("stock.busy", "no room was certain"))
}

fn paid(app: &App, order: Order) -> Order {
    Order { state: OrderState::Paid, paid_at: Some(app.clock.now()), ..order }
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::InProgress => Error::conflict("payment.in_progress"),
        Refusal::Lapsed => Error::gone("order.expired"),
        Refusal::Closed => Error::gone("order.closed"),
        Refusal::SoldOut => Error::conflict("transfer.no_room"),
        Refusal::SlotClosed => Error::conflict("transfer.slot_closed"),
        Refusal::PersonLimit => Error::conflict("stock.person_limit"),
        other => Error::bug(format!("money in hand was refused: {other:?}")),
    }
}

/// The attempt by which an order is paid so.
pub(super) fn attempt_in_hand(app: &App, order: &Order) -> Result<Uuid> {
    let mac = app.secrets.mac(Purpose::IdempotencyKey, &[b"cash", order.facts.id.as_bytes()]);
    Ok(uuid::Builder::from_random_bytes(mac[..16].try_into().map_err(Error::bug)?).into_uuid())
}
