//! Asks for money back: tickets end and the sum is owed in one commit; the `refunds` tick carries it to the provider.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use uuid::Uuid;

use super::pg;
use super::quote::{self, Priced};
use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::model::{Order, Origin};
use crate::orders::settle::about_account;
use crate::orders::writer::{Ask, Entry, RefundAsk, RefundKind, Refusal, Reply};
use crate::payments::RefundAccount;
use crate::platform::ids;
use crate::platform::secrets::Purpose;

/// A reason is a sentence.
const TEXT_CHARS_MAX: usize = 200;
/// As Toss takes them.
const ACCOUNT_DIGITS_MAX: usize = 20;
const HOLDER_CHARS_MAX: usize = 60;

/// Where money of a virtual account goes back to.
#[derive(Clone, Deserialize, ToSchema)]
pub struct AccountAsk {
    /// The bank's code, such as 20.
    pub bank: String,
    /// Digits alone.
    pub account_number: String,
    pub holder: String,
}

impl AccountAsk {
    pub fn checked(self) -> Result<RefundAccount> {
        let digits: String = self.account_number.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
        if digits.is_empty() || digits.len() > ACCOUNT_DIGITS_MAX || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(Error::field("account.account_number", "malformed"));
        }
        let bank = self.bank.trim();
        if bank.is_empty() || bank.len() > 10 || !bank.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return Err(Error::field("account.bank", "malformed"));
        }
        let holder = self.holder.trim();
        if holder.is_empty() || holder.chars().count() > HOLDER_CHARS_MAX || holder.chars().any(char::is_control) {
            return Err(Error::field("account.holder", "malformed"));
        }
        Ok(RefundAccount { bank: bank.to_owned(), number: digits, holder: holder.to_owned() })
    }
}

/// What is asked for, by whomever.
pub struct Request<'a> {
    pub kind: RefundKind,
    pub ticket_ids: Vec<Uuid>,
    pub amount_won: i32,
    pub reason: &'a str,
    pub used_too: bool,
    pub account: Option<RefundAccount>,
    /// The caller's idempotency key.
    pub key: &'a str,
}

/// A refund as its owner sees it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct RefundView {
    pub id: Uuid,
    /// pending, needs_account, done, failed or bounced (somebody looks at it), or by_hand (staff paid it).
    pub state: String,
    /// automatic, visitor, admin or provider.
    pub kind: String,
    pub amount: i32,
    pub fee: i32,
    pub currency: &'static str,
    pub ticket_ids: Vec<Uuid>,
    #[schema(value_type = String, format = DateTime)]
    pub created_at: Timestamp,
    #[schema(value_type = Option<String>, format = DateTime)]
    pub done_at: Option<Timestamp>,
}

pub fn text_is_fine(field: &'static str, text: &str) -> Result<()> {
    if text.chars().count() > TEXT_CHARS_MAX || text.chars().any(char::is_control) {
        return Err(Error::field(field, "malformed"));
    }
    Ok(())
}

/// A reason or a note, which must say something.
pub fn sentence(field: &'static str, text: &str) -> Result<String> {
    let text = text.trim();
    text_is_fine(field, text)?;
    if text.is_empty() { Err(Error::field(field, "required")) } else { Ok(text.to_owned()) }
}

/// Within the exhibition's rules. `expected_won` is what the visitor was shown: another sum today is a refusal.
pub async fn by_visitor(
    app: &App,
    order: &Order,
    wanted: &[Uuid],
    expected_won: i32,
    mut request: Request<'_>,
    origin: Origin,
) -> Result<RefundView> {
    if let Some(known) = known(app, order, &request, wanted, expected_won).await? {
        return Ok(known);
    }
    let quote = quote::quote(app, order, wanted).await?;
    let refused = quote.tickets.iter().find_map(|ticket| ticket.refused_because);
    if !wanted.is_empty()
        && let Some(because) = refused
    {
        return Err(Error::conflict(code_of(because)));
    }
    let can = quote.tickets.iter().filter(|ticket| ticket.refused_because.is_none());
    request.ticket_ids = can.map(|ticket| ticket.ticket_id).collect();
    if request.ticket_ids.is_empty() {
        return Err(Error::conflict(code_of(refused.unwrap_or("gone"))));
    }
    if quote.amount != expected_won {
        return Err(Error::conflict("refund.amount_changed").with("amount", quote.amount.to_string()));
    }
    if quote.amount == 0 && quote.price > 0 {
        return Err(Error::conflict("refund.nothing_back"));
    }
    if quote.needs_account && request.account.is_none() {
        return Err(Error::field("account", "required"));
    }
    request.amount_won = quote.amount;
    let asked = fingerprint(app, &request, wanted, expected_won)?;
    submit(app, order, request, &asked, origin).await
}

fn code_of(because: &str) -> &'static str {
    match because {
        "used" => "refund.ticket_used",
        "too_late" => "refund.too_late",
        "at_the_desk" => "refund.at_the_desk",
        _ => "refund.ticket_gone",
    }
}

/// A request that was made before is answered before anything is judged anew.
async fn known(
    app: &App,
    order: &Order,
    request: &Request<'_>,
    wanted: &[Uuid],
    expected_won: i32,
) -> Result<Option<RefundView>> {
    let client = app.pg.get().await?;
    let known = pg::by_request(&client, &request_key(app, order, request.key)).await?;
    match known {
        Some((view, asked)) if asked == fingerprint(app, request, wanted, expected_won)? => Ok(Some(view)),
        Some(_) => Err(Error::invalid("idempotency.key_reused")),
        None => Ok(None),
    }
}

/// Of all that was asked for. With our secret, since an account's number could be guessed from a plain digest.
pub fn fingerprint(app: &App, request: &Request<'_>, wanted: &[Uuid], amount_won: i32) -> Result<Vec<u8>> {
    let mut ids: Vec<&[u8]> = wanted.iter().map(|id| id.as_bytes().as_slice()).collect();
    ids.sort_unstable();
    let account = serde_json::to_vec(&request.account).map_err(Error::bug)?;
    let parts: [&[u8]; 6] = [
        b"refund body",
        &ids.concat(),
        &amount_won.to_be_bytes(),
        request.reason.as_bytes(),
        &[u8::from(request.used_too)],
        &account,
    ];
    Ok(app.secrets.mac(Purpose::IdempotencyKey, &parts).to_vec())
}

fn request_key(app: &App, order: &Order, key: &str) -> Vec<u8> {
    app.secrets.mac(Purpose::IdempotencyKey, &[b"refund", order.facts.id.as_bytes(), key.as_bytes()]).to_vec()
}

/// Writes the refund down, or finds the one that this very request made before.
pub async fn submit(
    app: &App,
    order: &Order,
    request: Request<'_>,
    asked: &[u8],
    mut origin: Origin,
) -> Result<RefundView> {
    let priced: Priced = quote::priced(app, order).await?;
    let ending = quote::ending(app, order, &priced, &request.ticket_ids)?;
    let id = ids::row_id(app.clock.now());
    if let Some(act) = &mut origin.act {
        act.after["refund"] = json!(id);
    }
    let account = match &request.account {
        Some(account) if priced.paid_by.needs_account => Some(seal(app, id, account)?),
        _ => None,
    };
    let key = request_key(app, order, request.key);
    let ask = Ask::Refund(Box::new(RefundAsk {
        id,
        kind: request.kind,
        reason: request.reason.to_owned(),
        ticket_ids: ending.ticket_ids,
        lines: ending.lines,
        person_places: ending.person_places,
        price_won: ending.price_won,
        amount_won: request.amount_won,
        used_too: request.used_too,
        request: Some((key.clone(), asked.to_vec())),
        account,
    }));
    let (task_app, facts) = (app.clone(), order.facts.clone());
    // Goes on to its end when the caller has gone away.
    let task = app.lifecycle.spawn(async move { task_app.writer.submit(Entry { facts, ask, origin }).await });
    match task.await.map_err(Error::bug)? {
        Reply::Refunded | Reply::Already => {}
        Reply::Refused(refusal) => return Err(refused(refusal)),
        Reply::Failed(error) => return Err(error),
        Reply::Unknown => return Err(Error::unavailable("order.unknown_outcome", "an unknown commit")),
        other => return Err(Error::bug(format!("a refund was answered {other:?}"))),
    }
    let client = app.pg.get().await?;
    match pg::by_request(&client, &key).await? {
        Some((view, _)) => Ok(view),
        // Tickets that cost nothing: they have ended, and no money moves.
        None => Ok(RefundView {
            id,
            state: "done".into(),
            kind: request.kind.as_str().into(),
            amount: 0,
            fee: 0,
            currency: "KRW",
            ticket_ids: request.ticket_ids,
            created_at: app.clock.now(),
            done_at: Some(app.clock.now()),
        }),
    }
}

pub fn seal(app: &App, refund_id: Uuid, account: &RefundAccount) -> Result<(String, Vec<u8>)> {
    let plain = serde_json::to_vec(account).map_err(Error::bug)?;
    app.secrets.seal(&about_account(refund_id), &plain)
}

fn refused(refusal: Refusal) -> Error {
    match refusal {
        Refusal::NotPaid => Error::conflict("refund.not_paid"),
        Refusal::Closed => Error::gone("order.closed"),
        Refusal::TicketGone => Error::conflict("refund.ticket_gone"),
        Refusal::TicketUsed => Error::conflict("refund.ticket_used"),
        Refusal::WrongSum => Error::conflict("refund.wrong_amount"),
        Refusal::KeyReused => Error::invalid("idempotency.key_reused"),
        other => Error::bug(format!("a refund was refused: {other:?}")),
    }
}
