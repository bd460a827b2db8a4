//! All orders of one person: asked for by phone number and address, opened with the code that was mailed there.

use axum::body::Body;
use axum::extract::{Request, State as AppState};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use uuid::Uuid;

use super::form::pairs;
use super::frame::{Frame, PageLanguage, go, page, refusal};
use super::{lookup, words};
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::orders::mine;
use crate::orders::model::{Order, OrderState};
use crate::platform::http::extract::same_site;
use crate::platform::http::{ClientAddress, Path};
use crate::platform::texts::{Language, filled};

#[derive(askama::Template)]
#[template(path = "code.html")]
struct CodePage {
    frame: Frame,
    lead: String,
    refused: Option<String>,
    field_error: Option<&'static str>,
    /// There is nothing left to enter.
    over: bool,
}

#[derive(askama::Template)]
#[template(path = "mine.html")]
struct MinePage {
    frame: Frame,
    orders: Vec<OrderShown>,
}

struct OrderShown {
    number: String,
    exhibition: String,
    visit: String,
    what: String,
    state: &'static str,
    /// It may still change: an order that is over is shown in grey.
    open: bool,
    path: String,
    /// Its page of tickets, which the browser may have kept.
    kept: String,
}

pub async fn ask(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    client: ClientAddress,
    request: Request,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let mut given = lookup::Given::default();
    for (name, value) in pairs(request).await? {
        match name.as_str() {
            "phone" => given.phone = value,
            "email" => given.email = value,
            _ => {}
        }
    }
    match mine::ask(&app, client, &given.phone, &given.email, language).await {
        Ok(id) => Ok(go(&format!("/orders/code/{id}"), None)),
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => lookup::refused(&app, language, given, lookup::Way::Code, &error),
    }
}

fn code_page(language: Language, id: Uuid, error: Option<&Error>) -> CodePage {
    let frame = Frame::new(language, words::text(language, "page.code.title"), format!("/orders/code/{id}"));
    let field = error.and_then(|e| e.fields.first());
    CodePage {
        lead: frame.f("page.code.lead", "minutes", mine::CODE_MINUTES),
        field_error: field.map(|_| frame.t("field.one_time_code")),
        refused: error.filter(|_| field.is_none()).map(|e| filled(language, &format!("problem.{}", e.code), &e.values)),
        over: error.is_some_and(|e| e.kind == Kind::Gone),
        frame,
    }
}

pub async fn code(PageLanguage(language): PageLanguage, Path(id): Path<Uuid>) -> Result<Response<Body>> {
    page(&code_page(language, id, None), StatusCode::OK)
}

pub async fn enter(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    client: ClientAddress,
    Path(id): Path<Uuid>,
    request: Request,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let code = pairs(request).await?.into_iter().find(|(name, _)| name == "code").map(|(_, code)| code);
    match mine::enter(&app, client, id, code.as_deref().unwrap_or_default()).await {
        Ok(cookie) => Ok(go("/orders/mine", Some(cookie))),
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => refusal(&code_page(language, id, Some(&error)), &error),
    }
}

pub async fn list(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
) -> Result<Response<Body>> {
    // Too long ago, or never: the way begins at the look-up.
    let Some(orders) = mine::list(&app, &headers).await? else { return Ok(go("/orders", None)) };
    let orders = orders.iter().map(|order| shown(&app, language, order)).collect::<Result<_>>()?;
    let frame = Frame::new(language, words::text(language, "page.mine.title"), "/orders/mine");
    page(&MinePage { frame, orders }, StatusCode::OK)
}

pub async fn open(
    AppState(app): AppState<App>,
    headers: HeaderMap,
    Path(number): Path<String>,
) -> Result<Response<Body>> {
    let (order, cookie) = mine::open(&app, &headers, &number).await?;
    Ok(go(&format!("/{}/complete/{number}", order.facts.code), cookie))
}

/// Whoever borrowed a phone leaves nothing behind; the page's script deletes tickets that were kept for no network.
pub async fn close(AppState(app): AppState<App>, headers: HeaderMap) -> Result<Response<Body>> {
    same_site(&headers, &app.settings.base_url)?;
    let mut response = go("/orders", None);
    for cookie in mine::close(&app, &headers).await? {
        response.headers_mut().append(header::SET_COOKIE, HeaderValue::from_str(&cookie).map_err(Error::bug)?);
    }
    Ok(response)
}

fn shown(app: &App, language: Language, order: &Order) -> Result<OrderShown> {
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let (code, number) = (&order.facts.code, &order.facts.number);
    let summary = super::payment::Summary::new(order, &e, language);
    let lapsed = order.state == OrderState::Held && order.expires_at <= app.clock.now();
    let state = match order.state {
        OrderState::Held if !lapsed => "page.mine.held",
        OrderState::Confirming => "page.mine.confirming",
        OrderState::AwaitingDeposit => "page.mine.awaiting_deposit",
        OrderState::Paid => "page.mine.paid",
        OrderState::PartiallyRefunded => "page.mine.partially_refunded",
        OrderState::Refunded => "page.mine.refunded",
        OrderState::Cancelled => "page.mine.cancelled",
        OrderState::Held | OrderState::Expired => "page.mine.expired",
    };
    Ok(OrderShown {
        number: number.clone(),
        path: format!("/orders/mine/{number}"),
        kept: format!("/{code}/complete/{number}"),
        exhibition: summary.exhibition,
        visit: summary.visit,
        what: summary.items.into_iter().map(|(name, count)| format!("{name} {count}")).collect::<Vec<_>>().join(", "),
        state: words::text(language, state),
        open: matches!(
            order.state,
            OrderState::Confirming | OrderState::AwaitingDeposit | OrderState::Paid | OrderState::PartiallyRefunded
        ) || (order.state == OrderState::Held && !lapsed),
    })
}
