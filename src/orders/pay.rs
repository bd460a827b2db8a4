//! Pay: open an attempt, then confirm it. The gateway is called outside any transaction, by a task that outlives its
//! caller; an order whose places are gone is never sent to the gateway, so nothing is charged for nothing.

use std::time::Duration;

use uuid::Uuid;

use super::model::{AttemptState, Order, OrderState, Origin, Seat};
use super::pg::{self, Attempt};
use super::settle::{self, Settled};
use super::writer::{Ask, Entry, Refusal, Reply};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::observability::pulse::What;
use crate::payments::model::{OpenAsk, OpenOutcome};
use crate::payments::{
    CancelAsk, CancelOutcome, ConfirmAsk, ConfirmOutcome, FindOutcome, Payment, PaymentGateway, Provider, Status,
};
use crate::platform::ids;
use crate::platform::secrets::{Purpose, sha256};

/// What a fresh attempt begins with.
const NEVER_TRIED: (Option<String>, i32) = (None, 1);
/// How long a caller waits for the gateway before it is told "confirming"; below the handler's and nginx's limits.
const PATIENCE: Duration = Duration::from_secs(10);
/// An attempt sent longer ago than a request lives belongs to no running request.
const REQUEST_S: i64 = 15;
/// Longer than a payment can take that was authenticated while the hold lasted.
const SEAT_AGAIN: jiff::SignedDuration = jiff::SignedDuration::from_mins(15);

/// Opens an attempt under a fresh order id for the gateway; the same caller's key gets the same attempt.
pub async fn open(app: &App, order: &Order, amount_won: i64, key: Option<&str>, request_id: &str) -> Result<Opened> {
    if amount_won != i64::from(order.facts.total_won) {
        return Err(Error::invalid("payment.amount_mismatch"));
    }
    if order.facts.total_won == 0 {
        return Err(Error::conflict("payment.nothing_to_pay"));
    }
    let attempt_id = match key {
        Some(key) => {
            let mac =
                app.secrets.mac(Purpose::IdempotencyKey, &[b"initialize", order.facts.id.as_bytes(), key.as_bytes()]);
            uuid::Builder::from_random_bytes(mac[..16].try_into().map_err(Error::bug)?).into_uuid()
        }
        None => ids::row_id(app.clock.now()),
    };
    let away = |error: &Error| count_away(app, order, error);
    let provider = provider_for(app, order, attempt_id).inspect_err(away)?;
    app.gateways.is_there(provider).inspect_err(away)?;
    let entry = Entry {
        facts: order.facts.clone(),
        ask: Ask::Open { attempt_id, provider },
        origin: Origin::new("visitor", "initialize", request_id),
    };
    match app.writer.submit(entry).await {
        Reply::Opened { n, provider, before } => {
            let order_id = format!("{}-{n}", order.facts.number);
            let opened = open_there(app, order, attempt_id, provider, &order_id, before).await;
            let client_secret = opened.inspect_err(away)?;
            Ok(Opened { order_id, provider, client_secret })
        }
        Reply::Refused(refusal) => Err(refused(refusal)),
        Reply::Failed(error) => Err(error),
        Reply::Unknown => Err(Error::unavailable("order.unknown_outcome", "an unknown commit")),
        other => Err(Error::bug(format!("opening an attempt was answered {other:?}"))),
    }
}

/// A payment that cannot begin since its provider is away. Each call counts: whoever tries again fails again.
fn count_away(app: &App, order: &Order, error: &Error) {
    if error.code == "payment.provider_away" {
        app.pulse.count(order.facts.exhibition_id, What::Doubted);
    }
}

/// An attempt that the browser can go on with.
pub struct Opened {
    /// Fresh for each attempt.
    pub order_id: String,
    pub provider: Provider,
    /// Where the provider knows the payment already.
    pub client_secret: Option<String>,
}

/// Who takes the money of a new attempt: the exhibition's provider, or its canary for a share of the attempts.
fn provider_for(app: &App, order: &Order, attempt_id: Uuid) -> Result<Provider> {
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let drawn = i32::from(attempt_id.as_bytes()[15]) * 100 / 256;
    let canary = canary(app, &exhibition).filter(|(_, pct)| drawn < *pct).map(|(provider, _)| provider);
    let provider = canary.map_or_else(|| usual(&exhibition), Ok)?;
    // Before an attempt is written for it.
    app.gateways.of(provider)?;
    Ok(provider)
}

fn usual(exhibition: &Exhibition) -> Result<Provider> {
    Provider::parse(&exhibition.payment_provider).ok_or_else(|| Error::bug("an unknown provider"))
}

/// The canary and its share in percent. Without keys for it nobody is sent there.
fn canary(app: &App, exhibition: &Exhibition) -> Option<(Provider, i32)> {
    let (name, pct) = exhibition.canary.as_ref().filter(|(_, pct)| *pct > 0)?;
    Provider::parse(name).filter(|provider| app.gateways.has(*provider)).map(|provider| (provider, *pct))
}

/// Everybody who may take the money of the next attempt.
pub fn providers(app: &App, exhibition: &Exhibition) -> Result<Vec<Provider>> {
    let mut all = vec![usual(exhibition)?];
    all.extend(canary(app, exhibition).map(|(provider, _)| provider).filter(|canary| *canary != all[0]));
    Ok(all)
}

/// Opens the payment at a provider that wants to know of it before the browser does. Outside any transaction; a repeat
/// finds what was opened.
async fn open_there(
    app: &App,
    order: &Order,
    attempt_id: Uuid,
    provider: Provider,
    order_id: &str,
    before: bool,
) -> Result<Option<String>> {
    let gateway = app.gateways.of(provider)?;
    let (known, tried) = if before { pg::opened(&app.pg.get().await?, attempt_id).await? } else { NEVER_TRIED };
    if known.is_some() {
        return Ok(known);
    }
    let ask = OpenAsk {
        order_id,
        amount_won: i64::from(order.facts.total_won),
        order_name: &super::api::order_name(app, order)?,
        idempotency_key: &format!("open-{attempt_id}-{tried}"),
    };
    match gateway.open(&ask).await {
        OpenOutcome::InBrowser => Ok(None),
        OpenOutcome::Opened { payment_key, client_secret } => {
            let client = app.pg.get().await?;
            if pg::note_opened(&client, attempt_id, &payment_key, &client_secret).await? {
                return Ok(Some(client_secret));
            }
            // A repeat was quicker: all go on with the payment that is noted.
            Ok(pg::opened(&client, attempt_id).await?.0)
        }
        OpenOutcome::Refused { code: why } | OpenOutcome::Unknown { why, answered: true } => {
            // The same key would be answered the same for a day.
            pg::raise_try(&app.pg.get().await?, attempt_id).await?;
            Err(Error::unavailable("payment.provider_away", why))
        }
        OpenOutcome::Unknown { why, answered: false } => Err(Error::unavailable("payment.provider_away", why)),
    }
}

/// What a confirm came to, as far as it is known.
pub enum Confirmed {
    Paid(Box<Order>),
    /// Nothing is paid yet: the answer says where to pay in, and until when.
    AwaitingDeposit(Box<Order>),
    /// The outcome is not known yet; the order says so until recovery knows.
    Confirming(Box<Order>),
}

/// Confirms an attempt with the amount and order id that we stored.
pub async fn confirm(
    app: &App,
    payment_key: &str,
    order_id: &str,
    amount_won: i64,
    key: &str,
    request_id: &str,
) -> Result<Confirmed> {
    if !ids::is_payment_key(payment_key) {
        return Err(Error::field("payment_key", "malformed"));
    }
    if !ids::is_attempt_id(order_id) {
        return Err(Error::not_found("payment.unknown_order"));
    }
    let confirm_key = confirm_key(app, key);
    let fingerprint = sha256(&[payment_key.as_bytes(), order_id.as_bytes(), &amount_won.to_be_bytes()]).to_vec();
    let client = app.pg.get().await?;
    let found = pg::to_confirm(app, &client, order_id, &confirm_key, &fingerprint, payment_key).await?;
    drop(client);
    let found = found.ok_or_else(|| Error::not_found("payment.unknown_order"))?;
    if found.confirm_key_reused {
        return Err(Error::invalid("idempotency.key_reused"));
    }
    let (order, attempt) = (found.order, found.attempt);
    if i64::from(attempt.amount_won) != amount_won {
        return Err(Error::invalid("payment.amount_mismatch"));
    }
    if attempt.payment_key.as_deref().map_or(found.payment_key_known, |known| known != payment_key) {
        return Err(Error::conflict("payment.key_reused"));
    }
    if attempt.state != AttemptState::Ready {
        return so_far(app, order, &attempt, &confirm_key).await;
    }

    // Before anything begins: the hold goes on, nothing is charged, and the same call may be repeated.
    app.gateways.admit(attempt.provider).inspect_err(|error| count_away(app, &order, error))?;
    let origin = Origin::new("visitor", "confirm", request_id);
    let begin = Begin { payment_key, confirm_key, fingerprint };
    if let Err(error) = begin.begin(app, &order, &attempt, &origin).await {
        // Another call may have been quicker with this very attempt: then its outcome is the answer.
        let client = app.pg.get().await?;
        let now = pg::attempt_by_provider_order(&client, order_id).await?;
        let order_now = pg::by_id(app, &client, attempt.order_id).await?;
        drop(client);
        if let (Some(now), Some(order)) = (now, order_now)
            && now.state != AttemptState::Ready
        {
            return so_far(app, order, &now, &begin.confirm_key).await;
        }
        let over = matches!(error.code, "order.expired" | "order.closed" | "payment.already_paid");
        // Known to the provider before it was sent: the buyer's money is reserved there.
        if over && attempt.payment_key.is_some() {
            let task_app = app.clone();
            app.lifecycle.spawn(async move { let_go(&task_app, &order, &attempt, &origin).await });
        }
        return Err(error);
    }
    let (task_app, task_order, payment_key) = (app.clone(), order.clone(), payment_key.to_owned());
    let task = app.lifecycle.spawn(async move { send(&task_app, &task_order, &attempt, &payment_key, &origin).await });
    match tokio::time::timeout(PATIENCE, task).await {
        Ok(ended) => finished(app, order, ended.map_err(Error::bug)?).await,
        Err(_) => Ok(Confirmed::Confirming(Box::new(Order { state: OrderState::Confirming, ..order }))),
    }
}

/// What is stored of a caller's key.
pub fn confirm_key(app: &App, key: &str) -> Vec<u8> {
    app.secrets.mac(Purpose::IdempotencyKey, &[b"confirm", key.as_bytes()]).to_vec()
}

/// The attempt that was opened under this key at its provider, by our order id, and its sum.
pub async fn attempt_of(app: &App, payment_key: &str) -> Result<(String, i64)> {
    let unknown = || Error::not_found("payment.unknown_order");
    if !ids::is_payment_key(payment_key) {
        return Err(unknown());
    }
    let attempt = pg::attempt_by_payment_key(&app.pg.get().await?, payment_key).await?.ok_or_else(unknown)?;
    Ok((attempt.provider_order_id, i64::from(attempt.amount_won)))
}

/// Frees what the buyer's bank keeps reserved for an attempt that will never be charged. The attempt ends first, so that
/// nobody confirms it any more. If the provider cannot be reached, the reservation lapses by itself.
async fn let_go(app: &App, order: &Order, attempt: &Attempt, origin: &Origin) {
    let done = async {
        let Some(payment_key) = attempt.payment_key.as_deref() else { return Ok(()) };
        if settle::declined(app, order, attempt, "NOT_CONFIRMED", "", origin).await? != Settled::Declined {
            return Ok(());
        }
        let gateway = app.gateways.of(attempt.provider)?;
        match gateway.find(Some(payment_key), &attempt.provider_order_id).await {
            FindOutcome::Found(payment) if payment.status == Status::Pending => {}
            _ => return Ok(()),
        }
        match close_there(gateway, attempt, payment_key, "예약이 끝나 결제를 닫습니다").await {
            CancelOutcome::Done => Ok(()),
            CancelOutcome::Refused { code: why, .. } | CancelOutcome::Unknown { why } => {
                Err(Error::unavailable("payment.provider_away", why))
            }
        }
    };
    if let Err(error) = done.await {
        tracing::warn!(%error, order_id = attempt.provider_order_id, "a reservation of money is left to lapse");
    }
}

/// The browser came back from the provider: the payment key itself makes the call repeatable.
pub async fn confirm_from_redirect(
    app: &App,
    payment_key: &str,
    order_id: &str,
    amount_won: i64,
    request_id: &str,
) -> Result<Confirmed> {
    confirm(app, payment_key, order_id, amount_won, &format!("redirect:{payment_key}"), request_id).await
}

/// The answer for an attempt that was sent before.
pub async fn so_far(app: &App, order: Order, attempt: &Attempt, confirm_key: &[u8]) -> Result<Confirmed> {
    match attempt.state {
        AttemptState::Accepted => {
            let client = app.pg.get().await?;
            if pg::paid_attempt(&client, order.facts.id).await? == Some(attempt.id) {
                Ok(Confirmed::Paid(Box::new(order)))
            } else {
                Err(Error::conflict("payment.refunding"))
            }
        }
        AttemptState::Declined => Err(declined(attempt.failure_code.as_deref())),
        AttemptState::AwaitingDeposit => Ok(Confirmed::AwaitingDeposit(Box::new(order))),
        AttemptState::Sent | AttemptState::Unknown => {
            let running = attempt.sent_at.is_some_and(|at| app.clock.now().as_second() - at.as_second() < REQUEST_S);
            if attempt.state == AttemptState::Sent && running {
                let code = if attempt.confirm_key.as_deref() == Some(confirm_key) {
                    "idempotency.in_progress"
                } else {
                    "payment.in_progress"
                };
                return Err(Error::conflict(code).retry_after(Duration::from_secs(1)));
            }
            Ok(Confirmed::Confirming(Box::new(Order { state: OrderState::Confirming, ..order })))
        }
        AttemptState::Ready => Err(Error::bug("an attempt that was not sent")),
    }
}

struct Begin<'a> {
    payment_key: &'a str,
    confirm_key: Vec<u8>,
    fingerprint: Vec<u8>,
}

impl Begin<'_> {
    /// Moves the order to confirming; places of a lapsed hold are taken again first.
    async fn begin(&self, app: &App, order: &Order, attempt: &Attempt, origin: &Origin) -> Result<()> {
        let mut taken: Option<settle::Taken> = None;
        let mut was_full = false;
        for _ in 0..5 {
            let reply = self.submit(app, order, attempt.id, taken.map(|t| t.seat), origin).await;
            if !matches!(reply, Reply::Begun | Reply::Unknown) {
                settle::give_back(app, order, attempt.id, taken).await;
            }
            match reply {
                Reply::Begun => return Ok(()),
                Reply::Refused(Refusal::Lapsed) if !may_be_seated_again(app, order)? => {
                    return Err(Error::gone("order.expired"));
                }
                Reply::Refused(Refusal::Lapsed) => match settle::take_again(app, order, attempt.id).await? {
                    settle::Again::Taken(again) => taken = Some(again),
                    settle::Again::NoRoom(_) if was_full => return Err(Error::gone("order.expired")),
                    // Another call may have seated the order with the last places: look once more.
                    settle::Again::NoRoom(_) => (taken, was_full) = (None, true),
                },
                Reply::Refused(
                    Refusal::SoldOut | Refusal::PersonLimit | Refusal::ProductLimit(_) | Refusal::SlotClosed,
                ) => {
                    return Err(Error::gone("order.expired"));
                }
                Reply::Refused(Refusal::OtherEpoch | Refusal::Stale) => taken = None,
                Reply::Refused(refusal) => return Err(refused(refusal)),
                Reply::Already => return Err(Error::conflict("payment.already_paid")),
                Reply::Failed(error) => return Err(error),
                Reply::Unknown => return Err(Error::unavailable("payment.unsettled", "an unknown commit")),
                other => return Err(Error::bug(format!("beginning an attempt was answered {other:?}"))),
            }
        }
        Err(Error::unavailable("stock.busy", "the epoch kept changing"))
    }

    async fn submit(&self, app: &App, order: &Order, attempt_id: Uuid, seat: Option<Seat>, origin: &Origin) -> Reply {
        let ask = Ask::Begin {
            attempt_id,
            payment_key: self.payment_key.to_owned(),
            confirm_key: self.confirm_key.clone(),
            confirm_fingerprint: self.fingerprint.clone(),
            seat,
        };
        app.writer.submit(Entry { facts: order.facts.clone(), ask, origin: origin.clone() }).await
    }
}

/// A lapsed hold is seated again only shortly after, and only while the same could be bought today: nobody keeps last
/// month's price, or a closed day, by paying late. Money that was captured already is another matter (`settle`).
fn may_be_seated_again(app: &App, order: &Order) -> Result<bool> {
    let now = app.clock.now();
    if now > order.expires_at + SEAT_AGAIN {
        return Ok(false);
    }
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let slot = order.facts.slot_id.and_then(|id| exhibition.slot(id));
    let slot_is_open = slot.is_none_or(|s| !s.closed && !s.is_over(now) && s.date >= app.clock.today_in_seoul());
    let on_sale = |id| exhibition.product(id).is_some_and(|p| exhibition.closed_for(p, now).is_none());
    Ok(slot_is_open && order.facts.items.iter().all(|item| on_sale(item.product_id)))
}

/// What the gateway said, or that it did not say.
enum Sent {
    /// With the provider's answer, where that is at hand.
    Settled(Settled, Option<Box<Payment>>),
    AwaitingDeposit,
    Declined(String),
    Unknown,
}

async fn send(app: &App, order: &Order, attempt: &Attempt, payment_key: &str, origin: &Origin) -> Result<Sent> {
    match call_gateway(app, attempt, payment_key).await {
        ConfirmOutcome::Accepted(payment) => {
            match settle::accepted(app, order, attempt, &payment, origin).await {
                Ok(settled) => Ok(Sent::Settled(settled, Some(payment))),
                Err(error) => {
                    // The money is captured: recovery settles it as soon as Postgres and Redis are back.
                    tracing::error!(%error, order = order.facts.number, "a captured payment is not settled yet");
                    Ok(Sent::Unknown)
                }
            }
        }
        ConfirmOutcome::AwaitingDeposit(payment) => {
            match settle::awaiting(app, order, attempt, &payment, origin).await? {
                Settled::AwaitingDeposit => Ok(Sent::AwaitingDeposit),
                other => Ok(Sent::Settled(other, Some(payment))),
            }
        }
        ConfirmOutcome::Declined { code, message } => {
            settle::declined(app, order, attempt, &code, &message, origin).await?;
            Ok(Sent::Declined(code))
        }
        ConfirmOutcome::Unknown { why, answered } => {
            tracing::warn!(why, order = order.facts.number, "the outcome of a payment is unknown");
            settle::doubted(app, order, attempt, origin).await?;
            let mut attempt = attempt.clone();
            if answered {
                pg::raise_try(&app.pg.get().await?, attempt.id).await?;
                attempt.confirm_try += 1;
            }
            match super::recover::resolve(app, &attempt, Some(payment_key)).await? {
                Some(settled) => Ok(Sent::Settled(settled, None)),
                None => Ok(Sent::Unknown),
            }
        }
    }
}

/// Ends a payment at its provider into which no money has come.
pub async fn close_there(
    gateway: &dyn PaymentGateway,
    attempt: &Attempt,
    payment_key: &str,
    reason: &str,
) -> CancelOutcome {
    let ask = CancelAsk {
        payment_key,
        order_id: &attempt.provider_order_id,
        amount_won: None,
        reason,
        account: None,
        idempotency_key: &format!("close-{}", attempt.id),
    };
    gateway.cancel(&ask).await
}

/// The same idempotency key for every repeat of this try: the provider then answers what it answered before.
pub async fn call_gateway(app: &App, attempt: &Attempt, payment_key: &str) -> ConfirmOutcome {
    let idempotency_key = format!("confirm-{}-{}", attempt.id, attempt.confirm_try);
    let ask = ConfirmAsk {
        payment_key,
        order_id: &attempt.provider_order_id,
        amount_won: i64::from(attempt.amount_won),
        idempotency_key: &idempotency_key,
    };
    match app.gateways.of(attempt.provider) {
        Ok(gateway) => gateway.confirm(&ask).await,
        Err(error) => ConfirmOutcome::Unknown { why: error.to_string(), answered: false },
    }
}

async fn finished(app: &App, order: Order, sent: Result<Sent>) -> Result<Confirmed> {
    match sent? {
        Sent::Settled(Settled::Paid, payment) => {
            let (payment_method, receipts) = payment.map(|p| (p.method, p.receipts)).unzip();
            let (state, paid_at) = (OrderState::Paid, Some(app.clock.now()));
            let paid = Order { state, paid_at, payment_method: payment_method.flatten(), receipts, ..order };
            Ok(Confirmed::Paid(Box::new(paid)))
        }
        Sent::Settled(Settled::Refunding, _) => Err(Error::conflict("payment.refunding")),
        Sent::Settled(Settled::Declined, _) => Err(declined(None)),
        Sent::Settled(Settled::AwaitingDeposit, _) | Sent::AwaitingDeposit => {
            Ok(Confirmed::AwaitingDeposit(Box::new(Order { state: OrderState::AwaitingDeposit, ..order })))
        }
        Sent::Declined(code) => Err(declined(Some(&code))),
        Sent::Unknown => Ok(Confirmed::Confirming(Box::new(Order { state: OrderState::Confirming, ..order }))),
    }
}

fn declined(code: Option<&str>) -> Error {
    Error::conflict("payment.declined").with("reason", code.unwrap_or("-"))
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::AlreadyPaid => Error::conflict("payment.already_paid"),
        Refusal::InProgress => Error::conflict("payment.in_progress").retry_after(Duration::from_secs(1)),
        Refusal::Lapsed => Error::gone("order.expired"),
        Refusal::Closed => Error::gone("order.closed"),
        Refusal::AttemptOver => declined(None),
        Refusal::TooManyAttempts => Error::conflict("payment.too_many_attempts"),
        other => Error::bug(format!("payment refused: {other:?}")),
    }
}
