//! The order form: shown, sent, and shown again with what was wrong. It works without JavaScript and leads to the same
//! use case as `POST /api/orders`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State as AppState};
use axum::http::{HeaderMap, Response, StatusCode};

pub use super::form_view::field_text;
use super::form_view::order_page;
use super::frame::{PageLanguage, go, page, refusal};
use super::queue;
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, FieldError, Kind, Result};
use crate::orders::ask::{ItemAsk, OrderAsk, check};
use crate::orders::consent::{self, ConsentAsk};
use crate::orders::model::OrderState;
use crate::orders::{pg, place, token};
use crate::platform::http::extract::BODY_BYTES_MAX;
use crate::platform::http::extract::{cookie, same_site};
use crate::platform::http::observe::RequestId;
use crate::platform::http::{ClientAddress, Path};
use crate::platform::ids;
use crate::platform::secrets::hex;
use crate::platform::texts::filled;
use crate::waiting_room::{claim, proofs, status};

const KEY_CHARS: usize = 32;
/// Orders of this browser that are looked through for an open one, from the newest: browsers send old cookies first.
const OWN_ORDERS_MAX: usize = 10;

/// What the visitor has put into the form.
#[derive(Default)]
pub struct Filled {
    /// Makes sending the same form twice one order.
    pub(super) key: String,
    pub(super) slot_id: Option<i64>,
    pub(super) quantities: HashMap<i32, i64>,
    pub(super) name: String,
    pub(super) phone: String,
    pub(super) email: String,
    pub(super) agreed: Agreed,
    pub(super) refused: Option<Refused>,
}

/// Boxes that were ticked, and the texts they were ticked for.
#[derive(Default)]
pub struct Agreed {
    pub(super) terms: bool,
    pub(super) privacy: bool,
    pub(super) over_14: bool,
    pub(super) marketing: bool,
    version: String,
}

pub struct Refused {
    pub(super) detail: String,
    /// Where it can be put right: words and path.
    pub(super) way: Option<(&'static str, String)>,
    pub(super) fields: Vec<FieldError>,
    /// Field names of items are by position in the request.
    pub(super) items: Vec<i32>,
}

impl Filled {
    pub fn fresh() -> Filled {
        Filled { key: fresh_key(), ..Filled::default() }
    }
}

pub fn fresh_key() -> String {
    hex(&ids::random_bytes::<{ KEY_CHARS / 2 }>())
}

pub fn is_key(text: &str) -> bool {
    text.len() == KEY_CHARS && text.bytes().all(|b| b.is_ascii_hexdigit())
}

pub async fn show(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path(code): Path<String>,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    if let Some(room) = app.rooms.of(&code) {
        // What the safety net counts.
        room.arrivals.fetch_add(1, Ordering::Relaxed);
    }
    if status::needs_pass(&app, &code) {
        if cookie(&headers, &proofs::pass_cookie(&code)).is_none() {
            // An order would be refused: waiting comes first.
            return Ok(go(&format!("/{code}/queue"), None));
        }
        // Whoever is choosing is active.
        claim::renew(&app, &code, &headers).await;
    }
    page(&order_page(&app, &e, language, &Filled::fresh()), StatusCode::OK)
}

pub async fn order(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    client: ClientAddress,
    RequestId(request_id): RequestId,
    Path(code): Path<String>,
    request: Request,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    same_site(request.headers(), &app.settings.base_url)?;
    let pass = proofs::pass(&app, &code, request.headers())?;
    let headers = request.headers().clone();
    let mut given = read(request).await?;
    let (ask, items) = ask(&code, &given);
    let caller = place::Caller { client, language, request_id, key: Some(given.key.clone()), pass };
    let placed = match missing(&given.agreed) {
        fields if fields.is_empty() => place::place(&app, ask, caller).await,
        mut fields => {
            // Everything that is wrong is said at once.
            let checked = check(&ask, &e, app.clock.now(), app.clock.today_in_seoul());
            fields.extend(checked.err().map(|error| error.fields).unwrap_or_default());
            Err(Error::fields(fields))
        }
    };
    match placed {
        Ok(order) => {
            let next = if order.state == OrderState::Held { "payment" } else { "complete" };
            Ok(go(&format!("/{code}/{next}/{}", order.facts.number), Some(token::cookie(&app, &order))))
        }
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) if matches!(error.code, "waiting_room.pass_required" | "waiting_room.pass_ended") => {
            Ok(queue::sent_back(&app, &code))
        }
        Err(error) => {
            // Only where the order may have been placed after all must the next try be the same one.
            if error.kind != Kind::Unavailable {
                given.key = fresh_key();
            }
            let detail = filled(language, &format!("problem.{}", error.code), &error.values);
            let way = match error.code {
                "order.open_holds" => Some(open_booking(&app, &headers, &e).await),
                _ => None,
            };
            given.refused = Some(Refused { detail, way, fields: error.fields.clone(), items });
            refusal(&order_page(&app, &e, language, &given), &error)
        }
    }
}

/// The booking that is in the way, where this browser made it; else the page that finds it. Text and path.
async fn open_booking(app: &App, headers: &HeaderMap, e: &Exhibition) -> (&'static str, String) {
    let find = ("page.order.find_open", "/orders".to_owned());
    let Ok(client) = app.pg.get().await else { return find };
    for number in token::numbers(headers).into_iter().rev().take(OWN_ORDERS_MAX) {
        let Ok(Some(order)) = pg::by_number(app, &client, &number).await else { continue };
        let open = order.state == OrderState::Held && order.expires_at > app.clock.now();
        if open && order.facts.exhibition_id == e.id && token::authorised(app, headers, &order) {
            return ("page.order.open_booking", format!("/{}/payment/{number}", e.code));
        }
    }
    find
}

/// Consents that an order needs and that were not given, or to texts that have changed since.
fn missing(agreed: &Agreed) -> Vec<FieldError> {
    let current = agreed.version == consent::VERSION;
    let boxes = [
        ("agree_terms", agreed.terms && current),
        ("agree_privacy", agreed.privacy && current),
        ("over_14", agreed.over_14),
    ];
    let of = |(field, _): (&str, bool)| FieldError { field: field.into(), code: "required" };
    boxes.into_iter().filter(|(_, given)| !given).map(of).collect()
}

/// The fields of a form that a browser has sent.
pub async fn pairs(request: Request) -> Result<Vec<(String, String)>> {
    let malformed = || Error::malformed("request.malformed_form");
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, BODY_BYTES_MAX)
        .await
        .map_err(|_| Error::too_large("request.too_large").with("limit", "64 KB"))?;
    let request = Request::from_parts(parts, Body::from(body));
    let axum::Form(pairs) =
        axum::Form::<Vec<(String, String)>>::from_request(request, &()).await.map_err(|rejection| {
            match axum::response::IntoResponse::into_response(rejection).status() {
                StatusCode::UNSUPPORTED_MEDIA_TYPE => Error::unsupported_media_type("request.content_type"),
                _ => malformed(),
            }
        })?;
    // What was not UTF-8 has become this mark.
    if pairs.iter().any(|(_, value)| value.contains('\u{fffd}')) {
        return Err(malformed());
    }
    Ok(pairs)
}

async fn read(request: Request) -> Result<Filled> {
    let malformed = || Error::malformed("request.malformed_form");
    let mut given = Filled::default();
    for (name, value) in pairs(request).await? {
        let number = || value.trim().parse::<i64>().map_err(|_| malformed());
        match name.as_str() {
            "key" => given.key = value,
            "slot_id" if value.is_empty() => {}
            "slot_id" => given.slot_id = Some(number()?),
            "customer_name" => given.name = value,
            "customer_phone" => given.phone = value,
            "customer_email" => given.email = value,
            "agree_terms" => given.agreed.terms = true,
            "agree_privacy" => given.agreed.privacy = true,
            "over_14" => given.agreed.over_14 = true,
            "marketing" => given.agreed.marketing = true,
            "legal_version" => given.agreed.version = value,
            other => {
                let product = other.strip_prefix('q').and_then(|id| id.parse().ok());
                if let (Some(id), false) = (product, value.trim().is_empty()) {
                    given.quantities.insert(id, number()?);
                }
            }
        }
    }
    if is_key(&given.key) { Ok(given) } else { Err(malformed()) }
}

/// The same request that a program would send; its items in the order of their ids.
fn ask(code: &str, given: &Filled) -> (OrderAsk, Vec<i32>) {
    let mut chosen: Vec<(i32, i64)> =
        given.quantities.iter().map(|(id, n)| (*id, *n)).filter(|(_, n)| *n != 0).collect();
    chosen.sort_unstable();
    let ask = OrderAsk {
        exhibition_code: code.to_owned(),
        customer_name: given.name.clone(),
        customer_phone: given.phone.clone(),
        customer_email: Some(given.email.clone()),
        visit_date: None,
        slot_id: given.slot_id,
        items: chosen.iter().map(|(id, quantity)| ItemAsk { product_id: (*id).into(), quantity: *quantity }).collect(),
        referral_code: None,
        consent: Some(ConsentAsk { version: given.agreed.version.clone(), marketing: given.agreed.marketing }),
    };
    (ask, chosen.into_iter().map(|(id, _)| id).collect())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, header};

    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(n, v)| (header::HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    #[test]
    fn only_our_own_pages_may_send_the_form() {
        let base = "https://tickets.example.org";
        let ok = |pairs| same_site(&headers(pairs), base).is_ok();
        assert!(ok(&[("sec-fetch-site", "same-origin")]));
        assert!(ok(&[("origin", "https://tickets.example.org")]));
        assert!(ok(&[("origin", "http://localhost:8080"), ("host", "localhost:8080")]));
        assert!(!ok(&[("sec-fetch-site", "cross-site"), ("origin", "https://tickets.example.org")]));
        assert!(!ok(&[("sec-fetch-site", "same-site")]));
        assert!(!ok(&[("origin", "https://evil.example"), ("host", "tickets.example.org")]));
        assert!(!ok(&[("origin", "null"), ("host", "tickets.example.org")]));
        assert!(!ok(&[]));
    }
}
