//! Giving tickets back: what is kept and what goes back is shown before anything happens. Two steps, without JavaScript:
//! the tickets are chosen, then the sum is agreed to.

use axum::body::Body;
use axum::extract::{Request as HttpRequest, State as AppState};
use axum::http::{HeaderMap, Response, StatusCode};
use uuid::Uuid;

use super::form::{fresh_key, pairs};
use super::frame::{Frame, PageLanguage, go, page};
use super::{Access, Proof, visible, words};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Kind, Result};
use crate::orders::model::{Order, OrderState, Origin};
use crate::orders::refunds::quote::{self, Quote};
use crate::orders::refunds::request::{self, AccountAsk, RefundView, Request};
use crate::orders::refunds::rules::Rules;
use crate::orders::refunds::{api, pg};
use crate::orders::token;
use crate::orders::writer::RefundKind;
use crate::platform::http::extract::same_site;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{Path, Query};
use crate::platform::texts::{Language, filled};

#[derive(askama::Template)]
#[template(path = "refund.html")]
struct RefundPage {
    frame: Frame,
    code: String,
    number: String,
    exhibition: String,
    tickets: Vec<TicketShown>,
    /// At least one can be given back.
    can_any: bool,
    /// Of the tickets that were chosen.
    offer: Option<Offer>,
    refused: Option<String>,
    rules: Vec<String>,
    refunds: Vec<RefundShown>,
    banks: Vec<(String, String)>,
    account: AccountFilled,
}

struct TicketShown {
    id: Uuid,
    name: String,
    price: String,
    /// Why it cannot be given back.
    because: Option<&'static str>,
    chosen: bool,
}

struct Offer {
    key: String,
    price: String,
    fee: String,
    amount: String,
    amount_won: i32,
    button: String,
    needs_account: bool,
}

struct RefundShown {
    id: Uuid,
    what: String,
    state: &'static str,
    when: String,
    needs_account: bool,
}

/// As it was typed.
#[derive(Default)]
struct AccountFilled {
    bank: String,
    number: String,
    holder: String,
    error: Option<&'static str>,
}

/// The exhibition's table of fees, a line for each step.
pub fn rules_text(frame: &Frame, e: &Exhibition) -> Vec<String> {
    let rules = Rules::new(&e.refund_rules, e.refund_free_h);
    let mut lines = Vec::new();
    if rules.free_h() > 0 {
        lines.push(frame.f("page.refund.rule_free", "hours", rules.free_h()));
    }
    for rule in rules.table() {
        let key = match (rule.days_before, rule.fee_pct) {
            (0, 0) => "page.refund.rule_same_day_free",
            (0, _) => "page.refund.rule_same_day",
            (_, 0) => "page.refund.rule_days_free",
            _ => "page.refund.rule_days",
        };
        let values = [("days", rule.days_before.to_string()), ("pct", rule.fee_pct.to_string())];
        lines.push(filled(frame.language, key, &values));
    }
    if rules.table().is_empty() {
        lines.push(frame.t("page.refund.rule_none").to_owned());
    } else if rules.table().iter().all(|rule| rule.days_before > 0) {
        lines.push(frame.t("page.refund.rule_late").to_owned());
    }
    lines
}

fn chosen(pairs: &[(String, String)]) -> Result<Vec<Uuid>> {
    let ids = pairs.iter().filter(|(name, _)| name == "t").take(api::TICKETS_MAX + 1);
    let ids: Vec<Uuid> =
        ids.map(|(_, id)| id.parse().map_err(|_| Error::malformed("request.malformed_form"))).collect::<Result<_>>()?;
    if ids.len() > api::TICKETS_MAX {
        return Err(Error::field("ticket_ids", "too_many"));
    }
    Ok(ids)
}

fn value<'a>(pairs: &'a [(String, String)], wanted: &str) -> Option<&'a str> {
    pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str())
}

pub async fn show(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
    Query(pairs): Query<Vec<(String, String)>>,
) -> Result<Response<Body>> {
    let proof = Proof { e: value(&pairs, "e").and_then(|e| e.parse().ok()), s: value(&pairs, "s").map(str::to_owned) };
    let (order, access) = visible(&app, &headers, &code, &number, "order", &proof).await?;
    if let Access::Link = access {
        return Ok(go(&format!("/{code}/refund/{number}"), Some(token::cookie(&app, &order))));
    }
    let state = order.state;
    if !matches!(state, OrderState::Paid | OrderState::PartiallyRefunded | OrderState::Refunded) {
        return Ok(go(&format!("/{code}/complete/{number}"), None));
    }
    let template = shown(&app, language, &order, &chosen(&pairs)?, None, AccountFilled::default()).await?;
    page(&template, StatusCode::OK)
}

/// The page with an offer for the tickets that were chosen, and with what was refused.
async fn shown(
    app: &App,
    language: Language,
    order: &Order,
    wanted: &[Uuid],
    refused: Option<String>,
    account: AccountFilled,
) -> Result<RefundPage> {
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let (code, number) = (&order.facts.code, &order.facts.number);
    let frame = Frame::new(language, words::text(language, "page.refund.title"), format!("/{code}/refund/{number}"));
    let refunds = pg::of_order(&app.pg.get().await?, order.facts.id).await?;
    let (mut tickets, mut offer, mut refused) = (Vec::new(), None, refused);
    if order.state != OrderState::Refunded {
        let all = quote::quote(app, order, &[]).await?;
        tickets = tickets_shown(app, &frame, order, &e, &all, wanted).await?;
        if !wanted.is_empty() {
            let quote = quote::quote(app, order, wanted).await?;
            if quote.amount == 0 && quote.price > 0 {
                refused = refused.or_else(|| Some(frame.t("problem.refund.nothing_back").to_owned()));
            } else if quote.tickets.iter().any(|ticket| ticket.refused_because.is_none()) {
                offer = Some(offered(&frame, &quote));
            }
        }
    }
    Ok(RefundPage {
        code: code.clone(),
        number: number.clone(),
        exhibition: language.pick(&e.name_ko, &e.name_en).to_owned(),
        offer,
        can_any: tickets.iter().any(|ticket| ticket.because.is_none()),
        tickets,
        refused,
        rules: rules_text(&frame, &e),
        refunds: refunds.iter().map(|refund| refund_shown(&frame, refund)).collect(),
        banks: words::banks(language),
        account,
        frame,
    })
}

fn offered(frame: &Frame, quote: &Quote) -> Offer {
    let won = |amount: i32| words::won(frame.language, amount.into());
    let zero = || frame.f("page.won", "amount", 0);
    Offer {
        key: fresh_key(),
        price: won(quote.price),
        fee: if quote.fee == 0 { zero() } else { won(quote.fee) },
        amount: if quote.amount == 0 { zero() } else { won(quote.amount) },
        amount_won: quote.amount,
        button: frame.f("page.refund.button", "amount", crate::platform::texts::grouped(quote.amount.into())),
        needs_account: quote.needs_account && quote.amount > 0,
    }
}

async fn tickets_shown(
    app: &App,
    frame: &Frame,
    order: &Order,
    e: &Exhibition,
    all: &Quote,
    wanted: &[Uuid],
) -> Result<Vec<TicketShown>> {
    let priced = quote::priced(app, order).await?;
    let name = |id: Uuid| {
        let row = priced.rows.iter().map(|(row, _)| row).find(|row| row.id == id);
        let product = row.and_then(|row| e.product(row.product_id));
        product.map(|p| frame.language.pick(&p.name_ko, &p.name_en)).unwrap_or_default().to_owned()
    };
    let because = |why| match why {
        "used" => frame.t("page.refund.because_used"),
        "too_late" => frame.t("page.refund.because_too_late"),
        "at_the_desk" => frame.t("page.refund.because_at_the_desk"),
        _ => frame.t("page.refund.because_gone"),
    };
    let shown = all.tickets.iter().map(|ticket| {
        let no = frame.f("page.refund.ticket_no", "no", ticket.ticket_no);
        TicketShown {
            id: ticket.ticket_id,
            name: format!("{} · {no}", name(ticket.ticket_id)),
            price: words::won(frame.language, ticket.price.into()),
            because: ticket.refused_because.map(because),
            chosen: ticket.refused_because.is_none() && (wanted.is_empty() || wanted.contains(&ticket.ticket_id)),
        }
    });
    Ok(shown.collect())
}

fn refund_shown(frame: &Frame, refund: &RefundView) -> RefundShown {
    let state = match refund.state.as_str() {
        "done" | "by_hand" => "page.refund.state_done",
        "needs_account" => "page.refund.state_needs_account",
        "failed" | "bounced" => "page.refund.state_failed",
        _ => "page.refund.state_pending",
    };
    let amount = words::won(frame.language, refund.amount.into());
    RefundShown {
        id: refund.id,
        what: amount,
        state: frame.t(state),
        when: words::moment(frame.language, refund.done_at.unwrap_or(refund.created_at)),
        needs_account: refund.state == "needs_account",
    }
}

fn account_of(pairs: &[(String, String)]) -> Option<AccountAsk> {
    let given = |name| value(pairs, name).unwrap_or_default().to_owned();
    let ask = AccountAsk { bank: given("bank"), account_number: given("account_number"), holder: given("holder") };
    let empty = [&ask.bank, &ask.account_number, &ask.holder].iter().all(|part| part.trim().is_empty());
    (!empty).then_some(ask)
}

/// What was typed, with the first thing that is wrong with it.
fn filled_in(pairs: &[(String, String)], language: Language, error: &Error) -> AccountFilled {
    let given = |name| value(pairs, name).unwrap_or_default().to_owned();
    let wrong = error.fields.iter().find(|field| field.field.starts_with("account"));
    let words_of = |field: &str| match field {
        "account.bank" => "page.refund.bank_needed",
        "account.account_number" => "page.refund.number_needed",
        "account.holder" => "page.refund.holder_needed",
        _ => "page.refund.account_needed",
    };
    AccountFilled {
        bank: given("bank"),
        number: given("account_number"),
        holder: given("holder"),
        error: wrong.map(|field| words::text(language, words_of(&field.field))),
    }
}

pub async fn refund(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    RequestId(request_id): RequestId,
    Path((code, number)): Path<(String, String)>,
    request: HttpRequest,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let (order, _) = visible(&app, &headers, &code, &number, "", &Proof::default()).await?;
    let pairs = pairs(request).await?;
    let malformed = || Error::malformed("request.malformed_form");
    let wanted = chosen(&pairs)?;
    let key = value(&pairs, "key").filter(|key| super::form::is_key(key)).ok_or_else(malformed)?;
    let expected_won = value(&pairs, "amount").and_then(|won| won.parse().ok()).ok_or_else(malformed)?;
    let done = async {
        if wanted.is_empty() {
            return Err(Error::field("ticket_ids", "required"));
        }
        let ask = Request {
            kind: RefundKind::Visitor,
            ticket_ids: Vec::new(),
            amount_won: 0,
            reason: "visitor",
            used_too: false,
            account: account_of(&pairs).map(AccountAsk::checked).transpose()?,
            key,
        };
        let origin = Origin::new("visitor", "refund", request_id);
        request::by_visitor(&app, &order, &wanted, expected_won, ask, origin).await
    };
    match done.await {
        Ok(_) => Ok(go(&format!("/{code}/refund/{number}"), None)),
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => {
            let account = filled_in(&pairs, language, &error);
            let detail = match account.error {
                Some(_) => words::text(language, "page.refund.account_needed").to_owned(),
                None => filled(language, &format!("problem.{}", error.code), &error.values),
            };
            let template = shown(&app, language, &order, &wanted, Some(detail), account).await?;
            page(&template, error.kind.status())
        }
    }
}

/// Money that can only go back to an account waits for its owner to name one.
pub async fn name_account(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path((code, number, refund_id)): Path<(String, String, Uuid)>,
    request: HttpRequest,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let (order, _) = visible(&app, &headers, &code, &number, "", &Proof::default()).await?;
    let pairs = pairs(request).await?;
    let done = async {
        let ask = account_of(&pairs).ok_or_else(|| Error::field("account", "required"))?;
        let sealed = request::seal(&app, refund_id, &ask.checked()?)?;
        let named = pg::name_account(&app.pg.get().await?, refund_id, order.facts.id, &sealed).await?;
        if named { Ok(()) } else { Err(Error::conflict("refund.no_account_wanted")) }
    };
    match done.await {
        Ok(()) => Ok(go(&format!("/{code}/refund/{number}"), None)),
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => {
            let account = filled_in(&pairs, language, &error);
            let detail = match account.error {
                Some(wrong) => wrong.to_owned(),
                None => filled(language, &format!("problem.{}", error.code), &error.values),
            };
            let template = shown(&app, language, &order, &[], Some(detail), account).await?;
            page(&template, error.kind.status())
        }
    }
}
