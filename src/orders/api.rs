//! The calls of a visitor's order and its payment.

use axum::Json as Reply;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::{router::OpenApiRouter, routes};

use super::ask::OrderAsk;
use super::model::{Order, Origin};
use super::pay::{self, Confirmed};
use super::read::{self, OrderView};
use super::{contact, pg, place, token};
use crate::app::App;
use crate::error::{Error, Result};
use crate::payments::gateways::{in_browser, window};
use crate::payments::{CashReceiptWish, Wishes};
use crate::platform::http::extract::bearer;
use crate::platform::http::observe::RequestId;
use crate::platform::http::{ClientAddress, IdempotencyKey, Json, Path, RequestLanguage};
use crate::platform::ids;
use crate::waiting_room::proofs;

pub fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(create))
        .routes(routes!(read_one))
        .routes(routes!(lookup))
        .routes(routes!(cancel))
        .routes(routes!(initialize))
        .routes(routes!(confirm))
        .merge(super::outcome::routes())
        .merge(super::inbox::routes())
        .merge(super::refunds::routes())
        .merge(super::books::api::routes())
        .merge(super::care::routes())
}

/// Reserves places. They are kept until `expires_at`.
#[utoipa::path(post, path = "/api/orders", tag = "orders", request_body = OrderAsk,
    params(("Idempotency-Key" = Option<String>, Header, description = "1 to 255 characters; the same key and body get the same order")),
    responses((status = 201, body = OrderView), (status = 404, description = "catalogue.unknown_exhibition"),
              (status = 403, description = "waiting_room.pass_required, waiting_room.pass_ended, waiting_room.invalid_pass"),
              (status = 409, description = "stock.sold_out, stock.person_limit, stock.product_limit, sale.not_yet, sale.paused, sale.ended, order.open_holds, waiting_room.pass_in_use"),
              (status = 422, description = "idempotency.key_reused"), (status = 429, description = "order.too_many"),
              (status = 503, description = "stock.busy, stock.unready, server.redis_away, server.database_away, server.starting, order.unknown_outcome")))]
async fn create(
    State(app): State<App>,
    client: ClientAddress,
    RequestLanguage(language): RequestLanguage,
    RequestId(request_id): RequestId,
    key: Option<IdempotencyKey>,
    headers: HeaderMap,
    Json(ask): Json<OrderAsk>,
) -> Result<Response> {
    let pass = proofs::pass(&app, &ask.exhibition_code, &headers)?;
    let caller = place::Caller { client, language, request_id, key: key.map(|k| k.0), pass };
    let order = place::place(&app, ask, caller).await?;
    let mut view = read::view(&app, &order)?;
    view.order_token = Some(token::token(&app, order.facts.id, order.token_version));
    Ok(private((StatusCode::CREATED, [(header::SET_COOKIE, token::cookie(&app, &order))], Reply(view))))
}

pub async fn find(app: &App, number: &str) -> Result<Order> {
    let unknown = || Error::not_found("order.unknown");
    if !ids::is_order_number(number) {
        return Err(unknown());
    }
    let client = app.pg.get().await?;
    pg::by_number(app, &client, number).await?.ok_or_else(unknown)
}

/// The order, if the caller proves that it is theirs.
pub async fn owned(app: &App, headers: &HeaderMap, number: &str) -> Result<Order> {
    let order = find(app, number).await?;
    if token::authorised(app, headers, &order) {
        return Ok(order);
    }
    if bearer(headers).is_some() {
        return Err(Error::forbidden("order.wrong_token"));
    }
    Err(Error::unauthenticated("order.token_required"))
}

/// The order, its state, and its tickets once it is paid.
#[utoipa::path(get, path = "/api/orders/{order_number}", tag = "orders", params(("order_number" = String, Path,)),
    security(("order_token" = []), ("order_cookie" = [])),
    responses((status = 200, body = OrderView), (status = 401, description = "order.token_required"),
              (status = 403, description = "order.wrong_token"), (status = 404, description = "order.unknown"),
              (status = 503, description = "server.database_away")))]
async fn read_one(State(app): State<App>, headers: HeaderMap, Path(number): Path<String>) -> Result<Response> {
    let order = owned(&app, &headers, &number).await?;
    Ok(private(Reply(read::full(&app, &order).await?)))
}

pub fn private(body: impl IntoResponse) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], body).into_response()
}

#[derive(Deserialize, ToSchema)]
struct LookupAsk {
    order_number: String,
    phone: String,
}

/// Finds an order by its number and phone number, and hands out its token again.
#[utoipa::path(post, path = "/api/orders/lookup", tag = "orders", request_body = LookupAsk,
    responses((status = 200, body = OrderView), (status = 404, description = "order.unknown: no such pair"),
              (status = 429, description = "order.too_many_lookups"), (status = 503, description = "server.database_away")))]
async fn lookup(State(app): State<App>, client: ClientAddress, Json(ask): Json<LookupAsk>) -> Result<Response> {
    let order = super::lookup::find(&app, client, &ask.order_number, &ask.phone).await?;
    let mut view = read::full(&app, &order).await?;
    view.order_token = Some(token::token(&app, order.facts.id, order.token_version));
    Ok(private(([(header::SET_COOKIE, token::cookie(&app, &order))], Reply(view))))
}

/// Gives the places of an unpaid order back at once.
#[utoipa::path(post, path = "/api/orders/{order_number}/cancel", tag = "orders", params(("order_number" = String, Path,)),
    security(("order_token" = []), ("order_cookie" = [])),
    responses((status = 200, body = OrderView), (status = 401, description = "order.token_required"),
              (status = 403, description = "order.wrong_token, request.cross_site"), (status = 404, description = "order.unknown"),
              (status = 409, description = "payment.in_progress, order.paid"), (status = 410, description = "order.expired, order.closed"),
              (status = 503, description = "stock.busy, server.database_away, order.unknown_outcome")))]
async fn cancel(
    State(app): State<App>,
    headers: HeaderMap,
    RequestId(request_id): RequestId,
    Path(number): Path<String>,
) -> Result<Response> {
    let order = owned(&app, &headers, &number).await?;
    super::cancel::cancel(&app, &order, Origin::new("visitor", "cancel", request_id), None).await?;
    let order = find(&app, &number).await?;
    Ok(private(Reply(read::view(&app, &order)?)))
}

#[derive(Deserialize, ToSchema)]
struct InitializeAsk {
    order_number: String,
    /// Whole won; must be the order's total.
    amount: i64,
    #[serde(default)]
    customer_name: Option<String>,
    /// For transfers and virtual accounts; without it, the provider's window asks the buyer.
    #[serde(default)]
    cash_receipt: Option<CashReceiptWish>,
}

/// A payment window stays open for half an hour, and has ten minutes more until it is confirmed. [s]
const RETURN_LINK_S: i64 = 3600;

/// Everything the provider's SDK needs: Toss's (v2 standard), or Stripe's, which goes on with the `client_secret`.
#[derive(Serialize, ToSchema)]
struct Initialized {
    /// Admit's own payment page.
    checkout_url: String,
    client_key: String,
    customer_key: &'static str,
    /// Fresh for each attempt.
    order_id: String,
    order_name: String,
    amount: i32,
    currency: &'static str,
    customer_name: Option<String>,
    success_url: String,
    fail_url: String,
    sdk_url: String,
    /// toss or stripe.
    provider: &'static str,
    /// Where the provider knows the payment already.
    #[serde(skip_serializing_if = "Option::is_none")]
    client_secret: Option<String>,
    /// For each method what the provider's window is to be opened with, in the provider's words: how long a virtual
    /// account is open, whether the tickets are culture expense, which cash receipt is wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    window: Option<serde_json::Value>,
}

/// Opens an attempt to pay.
#[utoipa::path(post, path = "/api/payments/initialize", tag = "payments", request_body = InitializeAsk,
    security(("order_token" = []), ("order_cookie" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "the same key gets the same attempt")),
    responses((status = 200, body = Initialized), (status = 401, description = "order.token_required"),
              (status = 403, description = "order.wrong_token, request.cross_site"), (status = 404, description = "order.unknown"),
              (status = 409, description = "payment.nothing_to_pay, payment.in_progress, payment.already_paid, payment.too_many_attempts"),
              (status = 410, description = "order.expired, order.closed"), (status = 422, description = "payment.amount_mismatch"),
              (status = 503, description = "stock.busy, server.database_away, order.unknown_outcome, payment.provider_away")))]
async fn initialize(
    State(app): State<App>,
    headers: HeaderMap,
    RequestId(request_id): RequestId,
    key: Option<IdempotencyKey>,
    Json(ask): Json<InitializeAsk>,
) -> Result<Response> {
    let order = owned(&app, &headers, ask.order_number.trim()).await?;
    if let Some(name) = &ask.customer_name
        && (contact::has_control(name) || name.chars().count() > contact::NAME_CHARS_MAX)
    {
        return Err(Error::field("customer_name", "malformed"));
    }
    let opened = pay::open(&app, &order, ask.amount, key.as_ref().map(|k| k.0.as_str()), &request_id).await?;
    let (base, code, number) = (&app.settings.base_url, &order.facts.code, &order.facts.number);
    let browser = in_browser(&app.settings, opened.provider)?;
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let wishes = Wishes {
        culture_expense: exhibition.culture_expense,
        deposit_h: exhibition.deposit_h,
        cash_receipt: ask.cash_receipt,
    };
    // Some banking apps come back in a browser that has no cookie of ours.
    let proof = token::link(&app, "order", order.facts.id, app.clock.now().as_second() + RETURN_LINK_S);
    Ok(private(Reply(Initialized {
        checkout_url: read::payment_url(&app, &order),
        client_key: browser.client_key.to_owned(),
        customer_key: "@@ANONYMOUS",
        order_name: order_name(&app, &order)?,
        amount: order.facts.total_won,
        currency: "KRW",
        customer_name: ask.customer_name,
        success_url: format!("{base}/{code}/complete/{number}?{proof}"),
        fail_url: format!("{base}/{code}/fail/{number}?{proof}"),
        sdk_url: browser.sdk_url.to_owned(),
        provider: opened.provider.as_str(),
        client_secret: opened.client_secret,
        window: window(opened.provider, &wishes),
        order_id: opened.order_id,
    })))
}

/// What the buyer reads in the payment window; Toss takes 100 characters.
pub fn order_name(app: &App, order: &Order) -> Result<String> {
    let exhibition = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let places: i32 = order.facts.items.iter().map(|i| i.quantity).sum();
    let name: String = exhibition.name_ko.chars().take(80).collect();
    Ok(format!("{name} {places}매"))
}

#[derive(Deserialize, ToSchema)]
struct ConfirmAsk {
    payment_key: String,
    order_id: String,
    /// Whole won, as it was asked for.
    amount: i64,
}

/// Confirms a payment that the buyer has authenticated. 202 while the outcome is not known; with `awaiting_deposit` the
/// answer says where to pay in.
///
/// The payment key is proof enough to confirm; whoever also shows that the order is theirs gets its tickets in the answer.
#[utoipa::path(post, path = "/api/payments/confirm", tag = "payments", request_body = ConfirmAsk,
    security(("order_token" = []), ("order_cookie" = []), ()),
    params(("Idempotency-Key" = String, Header,)),
    responses((status = 200, body = OrderView), (status = 202, body = OrderView),
              (status = 404, description = "payment.unknown_order"),
              (status = 409, description = "payment.declined, payment.in_progress, payment.already_paid, payment.refunding, payment.key_reused, idempotency.in_progress"),
              (status = 410, description = "order.expired, order.closed: nothing was charged"),
              (status = 422, description = "payment.amount_mismatch, idempotency.key_reused"),
              (status = 503, description = "stock.busy, stock.unready, server.redis_away, server.database_away, server.starting, payment.unsettled, payment.provider_away: nothing was charged")))]
async fn confirm(
    State(app): State<App>,
    headers: HeaderMap,
    RequestId(request_id): RequestId,
    IdempotencyKey(key): IdempotencyKey,
    Json(ask): Json<ConfirmAsk>,
) -> Result<Response> {
    let (task_app, payment_key, order_id, amount) = (app.clone(), ask.payment_key, ask.order_id, ask.amount);
    let confirmed = app
        .lifecycle
        .spawn(async move { pay::confirm(&task_app, &payment_key, &order_id, amount, &key, &request_id).await })
        .await
        .map_err(Error::bug)??;
    let (status, order) = match confirmed {
        Confirmed::Paid(order) | Confirmed::AwaitingDeposit(order) => (StatusCode::OK, order),
        Confirmed::Confirming(order) => (StatusCode::ACCEPTED, order),
    };
    let view = if token::authorised(&app, &headers, &order) {
        read::full(&app, &order).await?
    } else {
        read::view(&app, &order)?
    };
    Ok(private((status, Reply(view))))
}
