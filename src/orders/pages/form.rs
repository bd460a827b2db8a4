//! The order form: shown, sent, and shown again with what was wrong. It works without JavaScript and leads to the same
//! use case as `POST /api/orders`.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::{FromRequest, Request, State as AppState};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::browse::{is_stale, left_text, limit_text, overall, state_text};
use super::frame::{Frame, PageLanguage, go, page};
use super::{queue, words};
use crate::app::App;
use crate::catalogue::model::State;
use crate::catalogue::{Exhibition, Product, Slot};
use crate::error::{Error, FieldError, Kind, Result};
use crate::orders::ask::{ItemAsk, OrderAsk, check};
use crate::orders::consent::{self, ConsentAsk};
use crate::orders::model::OrderState;
use crate::orders::{place, token};
use crate::platform::http::extract::BODY_BYTES_MAX;
use crate::platform::http::extract::{cookie, same_site};
use crate::platform::http::observe::RequestId;
use crate::platform::http::{ClientAddress, Path};
use crate::platform::ids;
use crate::platform::secrets::hex;
use crate::platform::texts::{Language, filled};
use crate::waiting_room::{claim, proofs, status};

/// Up to this many the number is chosen from a list, which a phone shows as a wheel.
const SELECT_MAX: i32 = 20;
const KEY_CHARS: usize = 32;

/// What the visitor has put into the form.
#[derive(Default)]
pub struct Filled {
    /// Makes sending the same form twice one order.
    key: String,
    slot_id: Option<i64>,
    quantities: HashMap<i32, i64>,
    name: String,
    phone: String,
    email: String,
    agreed: Agreed,
    refused: Option<Refused>,
}

/// Boxes that were ticked, and the texts they were ticked for.
#[derive(Default)]
struct Agreed {
    terms: bool,
    privacy: bool,
    over_14: bool,
    marketing: bool,
    version: String,
}

struct Refused {
    detail: String,
    fields: Vec<FieldError>,
    /// Field names of items are by position in the request.
    items: Vec<i32>,
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

/// The form as the template shows it.
pub struct OrderForm {
    pub key: String,
    pub refused: Option<String>,
    pub days: Vec<Day>,
    pub slot_error: Option<&'static str>,
    pub lines: Vec<Line>,
    pub items_error: Option<&'static str>,
    pub name: Input,
    pub phone: Input,
    pub email: Input,
    pub boxes: Vec<AgreeBox>,
    pub legal_version: &'static str,
    pub minutes: i32,
}

/// A consent of its own.
pub struct AgreeBox {
    pub name: &'static str,
    pub words: &'static str,
    pub link: Option<(&'static str, &'static str)>,
    pub required: bool,
    pub checked: bool,
    pub error: Option<&'static str>,
}

/// One slot, for the list of dates.
pub struct Day {
    pub slot_id: i32,
    pub day: String,
    pub left: String,
    pub open: bool,
    pub chosen: bool,
}

pub struct Line {
    pub id: i32,
    pub name: String,
    pub price: String,
    pub price_won: i32,
    pub left: String,
    pub dated: bool,
    pub open: bool,
    pub max: i32,
    pub max_text: String,
    pub choices: Vec<i64>,
    pub quantity: i64,
    pub error: Option<&'static str>,
}

pub struct Input {
    pub value: String,
    pub error: Option<&'static str>,
}

impl OrderForm {
    pub fn new(app: &App, e: &Exhibition, language: Language, given: &Filled) -> OrderForm {
        let error = |field: &str| {
            let fields = given.refused.as_ref().map(|r| r.fields.as_slice()).unwrap_or_default();
            fields.iter().find(|f| f.field == field).map(|f| field_text(language, f.code))
        };
        let input = |field: &str, value: &str| Input { value: value.to_owned(), error: error(field) };
        let (now, today) = (app.clock.now(), app.clock.today_in_seoul());
        let day = |slot: &Slot| {
            let state = e.slot_state(slot, now, today);
            let left = left_text(language, state, e.free(slot.stock_id));
            Day {
                slot_id: slot.id,
                day: words::visit(language, slot),
                left,
                open: state == State::OnSale,
                chosen: given.slot_id == Some(slot.id.into()),
            }
        };
        let has_dated = e.products.iter().any(|p| p.active && p.dated);
        OrderForm {
            key: given.key.clone(),
            refused: given.refused.as_ref().map(|r| r.detail.clone()),
            days: e.slots.iter().filter(|s| has_dated && s.date >= today).map(day).collect(),
            slot_error: error("visit_date")
                .or_else(|| error("slot_id"))
                .map(|text| better(language, text, "page.order.when_needed")),
            lines: e.products.iter().filter(|p| p.active).map(|p| line(e, p, now, language, given)).collect(),
            items_error: error("items").map(|text| better(language, text, "page.order.tickets_needed")),
            name: input("customer_name", &given.name),
            phone: input("customer_phone", &given.phone),
            email: input("customer_email", &given.email),
            boxes: boxes(language, &given.agreed, error),
            legal_version: consent::VERSION,
            minutes: e.hold_ttl_s / 60,
        }
    }
}

fn boxes(language: Language, agreed: &Agreed, error: impl Fn(&str) -> Option<&'static str>) -> Vec<AgreeBox> {
    let text = |key| words::text(language, key);
    let of = |name, key, checked, link: Option<(&'static str, &'static str)>| AgreeBox {
        name,
        words: text(key),
        link: link.map(|(key, path)| (text(key), path)),
        required: name != "marketing",
        checked,
        error: error(name).map(|_| text("page.consent.needed")),
    };
    vec![
        of("agree_terms", "page.consent.terms", agreed.terms, Some(("page.consent.terms_read", "/terms"))),
        of("agree_privacy", "page.consent.privacy", agreed.privacy, Some(("page.consent.privacy_read", "/privacy"))),
        of("over_14", "page.consent.over_14", agreed.over_14, None),
        of("marketing", "page.consent.marketing", agreed.marketing, None),
    ]
}

fn line(e: &Exhibition, product: &Product, now: jiff::Timestamp, language: Language, given: &Filled) -> Line {
    let state = e.product_state(product, now);
    let max = product.per_order_max;
    let error = given.refused.as_ref().and_then(|refused| {
        let at = refused.items.iter().position(|id| *id == product.id)?;
        let prefix = format!("items[{at}]");
        refused.fields.iter().find(|f| f.field.starts_with(&prefix)).map(|f| field_text(language, f.code))
    });
    Line {
        id: product.id,
        name: language.pick(&product.name_ko, &product.name_en).to_owned(),
        price: words::won(language, product.price_won.into()),
        price_won: product.price_won,
        left: left_text(language, state, e.free(product.stock_id)),
        dated: product.dated,
        open: state == State::OnSale,
        max,
        max_text: filled(language, "page.order.per_order", &[("count", max.to_string())]),
        choices: if max <= SELECT_MAX { (0..=max.into()).collect() } else { Vec::new() },
        quantity: given.quantities.get(&product.id).copied().unwrap_or(0),
        error,
    }
}

pub fn field_text(language: Language, code: &'static str) -> &'static str {
    // Every code has words; see the test beside the list of codes.
    let key: &'static str =
        FIELD_KEYS.iter().find(|key| key.strip_prefix("field.") == Some(code)).unwrap_or(&"field.malformed");
    words::text(language, key)
}

/// Where "required" alone would be curt: what is missing, in its own words.
fn better(language: Language, text: &'static str, key: &'static str) -> &'static str {
    if text == words::text(language, "field.required") { words::text(language, key) } else { text }
}

/// Codes that the fields of this form can be refused with.
const FIELD_KEYS: &[&str] = &[
    "field.required",
    "field.malformed",
    "field.control_characters",
    "field.too_long",
    "field.phone",
    "field.email",
    "field.past",
    "field.closed",
    "field.unknown_slot",
    "field.no_slot",
    "field.date",
    "field.other_date",
    "field.unknown_product",
    "field.duplicate",
    "field.too_few",
    "field.too_many",
    "field.per_order_limit",
    "field.out_of_range",
];

#[derive(askama::Template)]
#[template(path = "order.html")]
struct OrderPage {
    frame: Frame,
    code: String,
    exhibition: String,
    limit: Option<String>,
    stale: bool,
    state: &'static str,
    /// None: nothing can be ordered now.
    form: Option<OrderForm>,
    refused: Option<String>,
}

/// The form as it was filled in; also what a refused form comes back as.
fn order_page(app: &App, e: &Exhibition, language: Language, given: &Filled) -> OrderPage {
    let state = overall(e, app.clock.now());
    let open = matches!(state, State::OnSale | State::HeldByOthers);
    let frame = Frame::new(language, words::text(language, "page.order.title"), format!("/{}/order", e.code));
    OrderPage {
        code: e.code.clone(),
        exhibition: language.pick(&e.name_ko, &e.name_en).to_owned(),
        limit: limit_text(&frame, e),
        stale: is_stale(app),
        state: state_text(language, state),
        form: open.then(|| OrderForm::new(app, e, language, given)),
        refused: given.refused.as_ref().map(|r| r.detail.clone()),
        frame,
    }
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
            given.refused = Some(Refused { detail, fields: error.fields.clone(), items });
            let mut response = page(&order_page(&app, &e, language, &given), error.kind.status())?;
            if let Some(after) = error.retry_after {
                response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(after.as_secs().max(1)));
            }
            Ok(response)
        }
    }
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

    #[test]
    fn every_field_code_of_the_form_has_words() {
        for key in FIELD_KEYS {
            assert!(crate::platform::texts::knows(key), "{key}");
        }
        assert_ne!(field_text(Language::Ko, "required"), field_text(Language::En, "required"));
    }
}
