//! Where a visitor lands after paying: the way back from the provider, the tickets, and what went wrong.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, Response, StatusCode};
use serde::Deserialize;

use super::frame::{Frame, PageLanguage, go, page};
use super::payment::Summary;
use super::{Access, Proof, visible, words};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::contact::has_control;
use crate::orders::model::{Order, OrderState};
use crate::orders::{pay, pg, read, token};
use crate::platform::http::extract::same_site;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{Path, Query};
use crate::platform::texts::{Language, filled};
use crate::tickets::{self, TicketView};

/// How often a page that waits looks again. [s]
const LOOK_AGAIN_S: u32 = 3;
const DEPOSIT_LOOK_AGAIN_S: u32 = 30;
/// The provider's own words are shown up to here.
const MESSAGE_CHARS_MAX: usize = 200;

/// What a provider adds to the address on the way back, and our own proof where a link has one. Stripe also says how it
/// went (`redirect_status`); anybody can write that, so it is not read.
#[derive(Deserialize, Default)]
pub struct Back {
    #[serde(rename = "paymentKey")]
    payment_key: Option<String>,
    #[serde(rename = "orderId")]
    order_id: Option<String>,
    amount: Option<i64>,
    payment_intent: Option<String>,
    e: Option<i64>,
    s: Option<String>,
}

pub async fn complete(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    RequestId(request_id): RequestId,
    Path((code, number)): Path<(String, String)>,
    Query(back): Query<Back>,
) -> Result<Response<Body>> {
    let clean = format!("/{code}/complete/{number}");
    let proof = Proof { e: back.e, s: back.s };
    let paid = match (back.payment_key, back.order_id, back.amount, back.payment_intent) {
        (Some(payment_key), Some(order_id), Some(amount_won), _) => Some((payment_key, order_id, amount_won)),
        (None, _, _, Some(payment_key)) => {
            let (order_id, amount_won) = pay::attempt_of(&app, &payment_key).await?;
            Some((payment_key, order_id, amount_won))
        }
        _ => None,
    };
    if let Some((payment_key, order_id, amount_won)) = paid {
        // The money comes first: whether this browser may see the tickets is the next page's question.
        let next = confirm(&app, &code, &number, payment_key, order_id, amount_won, request_id).await?;
        let cookie = match visible(&app, &headers, &code, &number, "order", &proof).await {
            Ok((order, Access::Link)) => Some(token::cookie(&app, &order)),
            _ => None,
        };
        return Ok(go(&next.unwrap_or(clean), cookie));
    }
    let (order, access) = visible(&app, &headers, &code, &number, "order", &proof).await?;
    if let Access::Link = access {
        return Ok(go(&clean, Some(token::cookie(&app, &order))));
    }
    show(&app, language, &order, clean).await
}

/// Confirms what the visitor has authenticated. None: the order's own page says how it stands.
async fn confirm(
    app: &App,
    code: &str,
    number: &str,
    payment_key: String,
    order_id: String,
    amount_won: i64,
    request_id: String,
) -> Result<Option<String>> {
    if order_id.strip_prefix(number).is_none_or(|rest| !rest.starts_with('-')) {
        return Err(Error::not_found("payment.unknown_order"));
    }
    // Before any money moves: this order is of this exhibition.
    super::of_exhibition(app, code, number).await?;
    let task_app = app.clone();
    // Goes on to its end when the visitor's connection drops.
    let confirmed =
        app.lifecycle
            .spawn(async move {
                pay::confirm_from_redirect(&task_app, &payment_key, &order_id, amount_won, &request_id).await
            })
            .await
            .map_err(Error::bug)?;
    match confirmed {
        Ok(_) => Ok(None),
        Err(error) => match error.code {
            "payment.declined" => {
                let reason = error.values.iter().find(|(name, _)| *name == "reason").map(|(_, v)| v.as_str());
                let reason: String =
                    reason.unwrap_or_default().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
                Ok(Some(format!("/{code}/fail/{number}?code={reason}")))
            }
            // A reload, a second tab, or an answer that is still on its way: the order says how it stands.
            "payment.already_paid"
            | "payment.in_progress"
            | "idempotency.in_progress"
            | "payment.unsettled"
            | "order.expired"
            | "order.closed" => Ok(None),
            _ => Err(error),
        },
    }
}

#[derive(askama::Template)]
#[template(path = "tickets.html")]
struct TicketsPage {
    frame: Frame,
    lead: &'static str,
    code: String,
    order: Summary,
    mailed: bool,
    tickets: Vec<TicketShown>,
    /// One code for all of them; None: there are not two that are good.
    group: Option<String>,
    group_label: String,
    /// Words and address.
    receipts: Vec<(&'static str, String)>,
    culture: bool,
    /// Agreed to hear of other exhibitions.
    marketing: bool,
}

struct TicketShown {
    id: uuid::Uuid,
    /// A page with this ticket alone, for whoever comes along.
    share_url: String,
    title: String,
    product: String,
    label: String,
    visit: String,
    /// None: this ticket shows no code.
    svg: Option<String>,
    number: String,
    png_url: String,
    file: String,
    note: Option<&'static str>,
}

#[derive(askama::Template)]
#[template(path = "notice.html")]
struct NoticePage {
    frame: Frame,
    lead: &'static str,
    detail: Option<String>,
    order: Option<Summary>,
    /// The provider's own words.
    said: Option<String>,
    /// Where to pay in.
    deposit: Option<DepositShown>,
    waiting: bool,
    action: Option<(&'static str, String)>,
}

struct DepositShown {
    amount: String,
    bank: String,
    number: String,
    until: String,
}

async fn show(app: &App, language: Language, order: &Order, here: String) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    match order.state {
        OrderState::Paid | OrderState::PartiallyRefunded => show_tickets(app, language, order, &e, here).await,
        state => {
            let mut notice = notice(app, language, order, &e, here);
            if state == OrderState::AwaitingDeposit {
                let account = read::deposit(app, &app.pg.get().await?, order.facts.id).await?;
                notice.deposit = account.map(|account| DepositShown {
                    amount: words::won(language, order.facts.total_won.into()),
                    bank: words::bank(language, &account.bank),
                    number: account.account_number,
                    until: words::moment(language, account.due_at),
                });
            }
            page(&notice, StatusCode::OK)
        }
    }
}

async fn show_tickets(
    app: &App,
    language: Language,
    order: &Order,
    e: &Exhibition,
    here: String,
) -> Result<Response<Body>> {
    let client = app.pg.get().await?;
    let views = tickets::of_order(app, &client, order.facts.id, e).await?;
    let marketing = pg::wants_news(&client, order.facts.id).await?;
    drop(client);
    let group = tickets::group_code(app, order.facts.id, e, &views)?;
    let group = group.as_deref().map(tickets::picture::svg).transpose()?;
    let group_label = filled(language, "page.complete.group_qr", &[("n", views.len().to_string())]);
    let tickets = views
        .into_iter()
        .map(|view| ticket(app, e, language, &order.facts.number, view))
        .collect::<Result<Vec<TicketShown>>>()?;
    let (title, lead) = if tickets.iter().any(|ticket| ticket.svg.is_some()) {
        ("page.complete.title", "page.complete.lead")
    } else {
        ("page.complete.title_some", "page.complete.lead_none")
    };
    let frame = Frame::new(language, words::text(language, title), here);
    let mailed = order.facts.has_email && app.notifier.sends();
    let given = order.receipts.clone().unwrap_or_default();
    let cash = given.cash.and_then(|cash| cash.url);
    let receipts = [("page.complete.receipt", given.url), ("page.complete.cash_receipt", cash)];
    let receipts = receipts.into_iter().filter_map(|(key, url)| url.map(|url| (frame.t(key), url))).collect();
    let (code, culture) = (order.facts.code.clone(), given.culture_expense);
    let order = Summary::new(order, e, language);
    let lead = frame.t(lead);
    page(
        &TicketsPage { lead, code, order, mailed, tickets, group, group_label, receipts, culture, marketing, frame },
        StatusCode::OK,
    )
}

/// Consent to hear of other exhibitions is withdrawn as easily as it was given.
pub async fn no_news(
    AppState(app): AppState<App>,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
) -> Result<Response<Body>> {
    same_site(&headers, &app.settings.base_url)?;
    let (order, _) = visible(&app, &headers, &code, &number, "", &Proof::default()).await?;
    pg::no_news(&app.pg.get().await?, order.facts.id).await?;
    Ok(go(&format!("/{code}/complete/{number}"), None))
}

fn ticket(app: &App, e: &Exhibition, language: Language, order_number: &str, view: TicketView) -> Result<TicketShown> {
    let product = language.pick(&view.product_name, &view.product_name_en).to_owned();
    let no = view.ticket_no.to_string();
    let note = match (view.is_spent(), view.state.as_str()) {
        (true, _) => Some("page.ticket.used"),
        (false, "valid") => None,
        (false, "refunded") => Some("page.ticket.refunded"),
        _ => Some("page.ticket.void"),
    };
    let times = view
        .start_time
        .zip(view.end_time)
        .map(|(from, until)| format!(" {}–{}", words::time(from), words::time(until)));
    Ok(TicketShown {
        id: view.id,
        share_url: super::companion::link(app, e, &view),
        title: filled(language, "page.complete.ticket", &[("no", no.clone()), ("of", view.of.to_string())]),
        label: filled(language, "page.complete.qr", &[("name", product.clone()), ("no", no)]),
        visit: view
            .slot_date
            .map(|date| words::date(language, date) + times.as_deref().unwrap_or_default())
            .unwrap_or_default(),
        // Inside the page, so that a saved or open page still shows it without a network.
        svg: view.qr_code.as_deref().filter(|_| !view.is_spent()).map(tickets::picture::svg).transpose()?,
        number: number(language, &view),
        png_url: view.qr_png_url.unwrap_or_default(),
        file: format!("{order_number}-{}.png", view.ticket_no),
        note: note.map(|key| words::text(language, key)),
        product,
    })
}

/// What people at the door type where the QR cannot be read.
pub fn number(language: Language, view: &TicketView) -> String {
    let number = view.number.clone().unwrap_or_default();
    filled(language, "page.complete.number", &[("number", number)])
}

/// How an order without tickets stands.
fn notice(app: &App, language: Language, order: &Order, e: &Exhibition, here: String) -> NoticePage {
    let (code, number) = (&order.facts.code, &order.facts.number);
    let lapsed = order.state == OrderState::Held && order.expires_at <= app.clock.now();
    let again = Some(("page.pay.again", format!("/{code}")));
    let (title, lead, refresh_s, action) = match order.state {
        OrderState::Held if !lapsed => {
            let pay = Some(("page.held.pay", format!("/{code}/payment/{number}")));
            ("page.held.title", "page.held.lead", None, pay)
        }
        OrderState::Confirming => ("page.confirming.title", "page.confirming.lead", Some(LOOK_AGAIN_S), None),
        OrderState::AwaitingDeposit => ("page.deposit.title", "page.deposit.lead", Some(DEPOSIT_LOOK_AGAIN_S), None),
        OrderState::Cancelled => ("page.cancelled.title", "page.cancelled.lead", None, again),
        OrderState::Refunded => {
            let refunds = Some(("page.complete.refunds", format!("/{code}/refund/{number}")));
            ("page.refunded.title", "page.refunded.lead", None, refunds)
        }
        _ => ("page.expired.title", "page.expired.lead", None, again),
    };
    let mut frame = Frame::new(language, words::text(language, title), here);
    frame.refresh_s = refresh_s;
    let detail = match order.state {
        OrderState::Confirming => Some(frame.t("page.confirming.keep").to_owned()),
        OrderState::AwaitingDeposit => Some(frame.t("page.deposit.exact").to_owned()),
        OrderState::Held if !lapsed => Some(frame.f("page.pay.until", "time", words::clock_time(order.expires_at))),
        _ => None,
    };
    NoticePage {
        lead: frame.t(lead),
        detail,
        order: Some(Summary::new(order, e, language)),
        said: None,
        deposit: None,
        waiting: order.state == OrderState::Confirming,
        action: action.map(|(key, path)| (frame.t(key), path)),
        frame,
    }
}

/// What Toss adds to the fail address.
#[derive(Deserialize, Default)]
pub struct Failed {
    code: Option<String>,
    message: Option<String>,
    e: Option<i64>,
    s: Option<String>,
}

pub async fn fail(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
    Query(failed): Query<Failed>,
) -> Result<Response<Body>> {
    let proof = Proof { e: failed.e, s: failed.s };
    let (order, access) = visible(&app, &headers, &code, &number, "order", &proof).await?;
    let reason = failed.code.unwrap_or_default();
    let cancelled = matches!(reason.as_str(), "PAY_PROCESS_CANCELED" | "USER_CANCEL");
    if let Access::Link = access {
        let reason: String = reason.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '_').take(64).collect();
        return Ok(go(&format!("/{code}/fail/{number}?code={reason}"), Some(token::cookie(&app, &order))));
    }
    if order.state != OrderState::Held || order.expires_at <= app.clock.now() {
        return Ok(go(&format!("/{code}/complete/{number}"), None));
    }
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let frame = Frame::new(language, words::text(language, "page.fail.title"), format!("/{code}/fail/{number}"));
    let why = if cancelled { "page.fail.cancelled" } else { "page.fail.refused" };
    // Anybody can write an address: what it says is shown as a quotation, short, and only to the order's owner.
    let said = failed
        .message
        .filter(|m| !cancelled && !m.is_empty() && !has_control(m) && m.chars().count() <= MESSAGE_CHARS_MAX);
    let template = NoticePage {
        lead: frame.t(why),
        detail: Some(format!(
            "{} {}",
            frame.t("page.fail.lead"),
            frame.f("page.fail.held", "time", words::clock_time(order.expires_at))
        )),
        order: Some(Summary::new(&order, &e, language)),
        said,
        deposit: None,
        waiting: false,
        action: Some((frame.t("page.fail.again"), format!("/{code}/payment/{number}"))),
        frame,
    };
    page(&template, StatusCode::OK)
}
