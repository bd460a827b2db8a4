//! Place an order: check everything, take the places in Redis, make the hold durable through the stock writer.

use std::sync::atomic::Ordering;
use std::time::Duration;

use uuid::Uuid;

use super::ask::{self, OrderAsk};
use super::contact;
use super::model::{Order, OrderFacts, OrderState, Origin, Seat};
use super::pg;
use super::writer::{Ask, Entry, Hold, Refusal, Reply, SealedContact};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Kind, Result};
use crate::observability::pulse::What;
use crate::platform::http::ClientAddress;
use crate::platform::ids;
use crate::platform::secrets::{Purpose, hex};
use crate::platform::texts::Language;
use crate::stock::model::HoldId;
use crate::stock::{self, rebuild, redis};
use crate::waiting_room;
use crate::waiting_room::redis::RoomKeys;
use crate::waiting_room::token::Pass;

/// A rebuild between take and commit costs the order one more round; three in a row do not happen.
const ROUNDS: usize = 4;
const ROUND_PAUSE: Duration = Duration::from_millis(15);

/// Who places the order, and how.
pub struct Caller {
    pub client: ClientAddress,
    pub language: Language,
    pub request_id: String,
    /// The caller's own key; without one every call is an order of its own.
    pub key: Option<String>,
    /// Genuine; whether it is still good is judged where places are taken.
    pub pass: Option<Pass>,
}

/// By what right places are taken.
pub(super) struct Terms {
    /// A repeat under the same key gets the order of the first call.
    pub keyed: bool,
    pub pass: redis::Pass,
    /// As it came, to put it back where Redis has lost it.
    pub session: Option<Pass>,
    /// Unpaid holds that this caller may have open at once; None: nobody counts.
    pub open_holds_max: Option<i32>,
    pub origin: Origin,
}

impl Terms {
    fn of(caller: &Caller, exhibition: &Exhibition) -> Terms {
        Terms {
            keyed: caller.key.is_some(),
            pass: match caller.pass {
                Some(pass) => redis::Pass::Session { sid: pass.sid, hold_ms: hold_ms(exhibition) },
                None => redis::Pass::None,
            },
            session: caller.pass,
            open_holds_max: Some(exhibition.open_holds_max).filter(|_| !caller.client.exempt),
            origin: Origin::new("visitor", "order", &caller.request_id),
        }
    }
}

/// Runs to its end even if the caller's connection drops: places are never left between Redis and Postgres.
pub async fn place(app: &App, ask: OrderAsk, caller: Caller) -> Result<Order> {
    let code = ask.exhibition_code.clone();
    let room = app.rooms.of(&code);
    let began = std::time::Instant::now();
    let task_app = app.clone();
    let placed = app
        .lifecycle
        .spawn(async move { place_tracked(&task_app, &ask, &caller).await })
        .await
        .map_err(|error| Error::bug(format!("placing an order: {error}")))?;
    let failed = matches!(&placed, Err(error) if matches!(error.kind, Kind::Unavailable | Kind::Bug));
    if (placed.is_ok() || failed)
        && let Ok(exhibition) = app.catalogue.current().by_code(&code)
    {
        app.pulse.count(exhibition.id, if failed { What::Failed } else { What::Placed });
    }
    if let Some(room) = room {
        room.arrivals.fetch_add(1, Ordering::Relaxed);
        room.pace.record(began.elapsed(), failed, app.clock.now_ms());
    }
    placed
}

async fn place_tracked(app: &App, ask: &OrderAsk, caller: &Caller) -> Result<Order> {
    let snapshot = app.catalogue.current();
    let exhibition = snapshot.by_code(&ask.exhibition_code)?;
    let checked = ask::check(ask, &exhibition, app.clock.now(), app.clock.today_in_seoul())?;
    let digest = contact::phone_digest(app, &checked.contact.0.phone);
    let person = contact::person_key(&digest);
    if !caller.client.exempt
        && let Some(wait) =
            app.redis.rate_limit("orders", &hex(&person), app.settings.orders_per_minute, app.clock.now_ms()).await
    {
        return Err(Error::too_many("order.too_many", wait));
    }

    let id = ids::row_id(app.clock.now());
    let sealed = contact::seal(app, (exhibition.id, id), &checked.contact.0, &digest, checked.consent)?;
    let facts = OrderFacts {
        id,
        number: ids::order_number(app.clock.now()),
        exhibition_id: exhibition.id,
        code: exhibition.code.clone(),
        slot_id: checked.slot_id,
        hold_id: hold_id(app, &exhibition.code, caller.key.as_deref()),
        fingerprint: checked.fingerprint,
        total_won: checked.total_won,
        person_key: person,
        person_places: checked.person_places,
        // Spared callers without a limit to keep count of touch no person's row.
        person_counted: checked.person_places > 0
            || !caller.client.exempt
            || checked.items.iter().any(|item| item.per_person_max.is_some()),
        person_allowed: exhibition.person_limit,
        has_email: checked.contact.0.email.is_some(),
        language: caller.language.tag(),
        items: checked.items,
        lines: checked.lines,
        pass_sid: caller.pass.map(|pass| pass.sid),
    };
    let terms = Terms::of(caller, &exhibition);
    let order = hold(app, &exhibition, facts, checked.referral_code, sealed, &terms).await?;
    if order.facts.total_won == 0 && order.state == OrderState::Held {
        let origin = Origin::new("visitor", "free", &caller.request_id);
        return super::settle::settle_free(app, order, origin).await;
    }
    Ok(order)
}

fn hold_id(app: &App, code: &str, key: Option<&str>) -> HoldId {
    match key {
        Some(key) => {
            let mac = app.secrets.mac(Purpose::HoldId, &[code.as_bytes(), key.as_bytes()]);
            let mut id = [0u8; 16];
            id.copy_from_slice(&mac[..16]);
            id
        }
        None => ids::random_bytes(),
    }
}

/// What one round of take and write came to.
enum Round {
    Placed(Box<Order>),
    /// A rebuild came between: take again.
    Again,
}

/// Takes the places and makes the hold durable, or finds the order that an earlier call has made.
pub(super) async fn hold(
    app: &App,
    exhibition: &Exhibition,
    facts: OrderFacts,
    referral_code: Option<String>,
    contact: SealedContact,
    terms: &Terms,
) -> Result<Order> {
    let hold = Hold {
        // Of the take, which is still to come.
        seat: Seat { hold_id: facts.hold_id, epoch: 0, at_ms: 0 },
        contact,
        referral_code,
        ttl_s: exhibition.hold_ttl_s,
        open_holds_max: terms.open_holds_max,
    };
    let mut corrected = false;
    for round in 0..ROUNDS {
        if round > 0 {
            tokio::time::sleep(ROUND_PAUSE).await;
        }
        match hold_once(app, exhibition, &facts, &hold, terms, &mut corrected).await? {
            Round::Placed(order) => return Ok(*order),
            Round::Again => {}
        }
    }
    Err(Error::unavailable("stock.busy", "the epoch kept changing"))
}

async fn hold_once(
    app: &App,
    exhibition: &Exhibition,
    facts: &OrderFacts,
    hold: &Hold,
    terms: &Terms,
    corrected: &mut bool,
) -> Result<Round> {
    let ask = redis::Ask {
        code: &facts.code,
        hold_id: &facts.hold_id,
        fingerprint: &facts.fingerprint,
        person: &facts.person_key,
        places: facts.person_places,
        allowed: exhibition.person_limit.filter(|_| facts.person_places > 0),
        open_holds_max: terms.open_holds_max,
        pass: terms.pass,
        lines: &facts.lines,
    };
    let take = redis::take(&app.redis, &ask, app.clock.now_ms()).await?;
    let (seat, ours) = match take {
        redis::Take::Taken { epoch, at_ms } => (Seat { hold_id: facts.hold_id, epoch, at_ms }, true),
        redis::Take::Repeat { epoch, at_ms } => (Seat { hold_id: facts.hold_id, epoch, at_ms }, false),
        refused => {
            app.metrics.take("refused");
            return refuse_take(app, exhibition, facts, terms, refused, corrected).await;
        }
    };
    app.metrics.take(if ours { "taken" } else { "repeated" });
    let ask = Ask::Hold(Box::new(Hold { seat, ..hold.clone() }));
    let entry = Entry { facts: facts.clone(), ask, origin: terms.origin.clone() };
    let reply = app.writer.submit(entry).await;
    // What Postgres did not take must not stay taken; what somebody else took is theirs to give back.
    let keep = match &reply {
        Reply::Held { .. } | Reply::Unknown => true,
        // A repeat that was quicker made the order of this very take; a take after that is one too many.
        Reply::Exists { taken_at_ms, .. } => *taken_at_ms == seat.at_ms,
        _ => false,
    } || !ours;
    if !keep && let Err(error) = redis::give_back(&app.redis, &facts.code, &facts.hold_id, Some(seat.at_ms)).await {
        tracing::warn!(%error, "a take was not given back; the audit will");
    }
    match reply {
        Reply::Held { at, expires_at } => Ok(Round::Placed(Box::new(Order {
            facts: facts.clone(),
            state: OrderState::Held,
            token_version: 1,
            created_at: at,
            expires_at,
            paid_at: None,
            payment_method: None,
            receipts: None,
        }))),
        Reply::Exists { order_id, .. } => existing(app, order_id, facts).await.map(|o| Round::Placed(Box::new(o))),
        Reply::Refused(Refusal::OtherEpoch) => Ok(Round::Again),
        Reply::Refused(Refusal::SoldOut) => {
            // Redis promised what Postgres does not have: it is older than the truth.
            rebuild::request(app, facts.exhibition_id, &facts.code, "redis_ahead");
            Err(sold_out())
        }
        Reply::Refused(Refusal::PersonLimit) => Err(person_limit(exhibition)),
        Reply::Refused(Refusal::OpenHolds) => Err(open_holds(exhibition)),
        Reply::Refused(Refusal::ProductLimit(id)) => Err(product_limit(exhibition, id)),
        Reply::Refused(Refusal::SlotClosed) => Err(Error::field("visit_date", "closed")),
        Reply::Refused(Refusal::Stale) => {
            Err(Error::unavailable("stock.busy", "the entry grew old").retry_after(Duration::from_secs(2)))
        }
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("order.unknown_outcome", "an unknown commit")),
        other => Err(Error::bug(format!("a hold was answered {other:?}"))),
    }
}

/// A repeat of an order that is there gets that order, whatever the stock says by now.
async fn refuse_take(
    app: &App,
    exhibition: &Exhibition,
    facts: &OrderFacts,
    terms: &Terms,
    take: redis::Take,
    corrected: &mut bool,
) -> Result<Round> {
    let error = match take {
        redis::Take::OtherBody => return Err(Error::invalid("idempotency.key_reused")),
        redis::Take::Unready => {
            rebuild::request(app, exhibition.id, &exhibition.code, "unready");
            return Err(Error::unavailable("stock.unready", "not counted yet"));
        }
        redis::Take::SoldOut { .. } => sold_out(),
        redis::Take::PersonLimit => person_limit(exhibition),
        redis::Take::OpenHolds => open_holds(exhibition),
        redis::Take::PassRequired => Error::forbidden("waiting_room.pass_required"),
        redis::Take::PassEnded => Error::forbidden("waiting_room.pass_ended"),
        redis::Take::PassInUse => Error::conflict("waiting_room.pass_in_use"),
        redis::Take::Taken { .. } | redis::Take::Repeat { .. } => Error::bug("a take that was not refused"),
    };
    let client = app.pg.get().await?;
    if terms.keyed
        && let Some(order) = pg::by_hold(app, &client, &facts.hold_id).await?
    {
        return same_ask(order, facts).map(|o| Round::Placed(Box::new(o)));
    }
    if matches!(take, redis::Take::PersonLimit | redis::Take::OpenHolds) && !*corrected {
        // Redis may count a person too high after a fault; before refusing anybody, Postgres is asked.
        *corrected = true;
        let (used, open) = stock::pg::person(&client, exhibition.id, &facts.person_key).await?;
        let fits = exhibition.person_limit.is_none_or(|allowed| used + facts.person_places <= allowed);
        if fits && terms.open_holds_max.is_none_or(|most| open < most) {
            redis::set_person(&app.redis, &facts.code, &facts.person_key, used, open).await?;
            return Ok(Round::Again);
        }
    }
    if let (redis::Take::PassEnded, Some(pass), false) = (take, terms.session, *corrected) {
        // Redis may have lost it together with the room: then it is good again, once.
        *corrected = true;
        let keys = RoomKeys::new(&app.redis, &facts.code, pass.run);
        if waiting_room::redis::restore(keys, &pass, app.clock.now_ms()).await? {
            return Ok(Round::Again);
        }
    }
    Err(error)
}

async fn existing(app: &App, order_id: Uuid, facts: &OrderFacts) -> Result<Order> {
    let client = app.pg.get().await?;
    let order = pg::by_id(app, &client, order_id).await?;
    same_ask(order.ok_or_else(|| Error::bug("a known hold without its order"))?, facts)
}

fn same_ask(order: Order, facts: &OrderFacts) -> Result<Order> {
    if order.facts.fingerprint == facts.fingerprint { Ok(order) } else { Err(Error::invalid("idempotency.key_reused")) }
}

/// How long a hold can last: its time, what confirming adds, and a little for the clocks. [ms]
fn hold_ms(exhibition: &Exhibition) -> i64 {
    (i64::from(exhibition.hold_ttl_s) + 180) * 1000
}

fn sold_out() -> Error {
    Error::conflict("stock.sold_out")
}

fn person_limit(exhibition: &Exhibition) -> Error {
    Error::conflict("stock.person_limit").with("limit", exhibition.person_limit.unwrap_or_default())
}

fn open_holds(exhibition: &Exhibition) -> Error {
    Error::conflict("order.open_holds").with("limit", exhibition.open_holds_max)
}

pub(super) fn product_limit(exhibition: &Exhibition, product_id: i32) -> Error {
    let product = exhibition.product(product_id);
    let name = product.map(|product| match product.name_ko == product.name_en {
        true => product.name_ko.clone(),
        false => format!("{} ({})", product.name_ko, product.name_en),
    });
    let limit = product.and_then(|product| product.per_person_max);
    Error::conflict("stock.product_limit")
        .with("product", name.unwrap_or_default())
        .with("limit", limit.unwrap_or_default())
}
