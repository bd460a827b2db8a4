//! The payment page: what is owed, until when, and the button that opens the provider's window.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};

use super::frame::{Frame, PageLanguage, go, page};
use super::{Access, Proof, visible, words};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::model::{Order, OrderState};
use crate::orders::token;
use crate::platform::http::{Path, Query};
use crate::platform::texts::{Language, grouped};

#[derive(askama::Template)]
#[template(path = "payment.html")]
struct PaymentPage {
    frame: Frame,
    code: String,
    order: Summary,
    amount_won: i32,
    button: String,
    sdk_url: String,
    /// Instants in ms, for the countdown: the visitor's clock may be wrong, ours is in the page.
    now_ms: i64,
    until_ms: i64,
    until: String,
    lapsed: bool,
}

/// What every page about an order shows of it.
pub struct Summary {
    pub number: String,
    pub exhibition: String,
    pub visit: String,
    pub items: Vec<(String, String)>,
    pub total: String,
}

impl Summary {
    pub fn new(order: &Order, e: &Exhibition, language: Language) -> Summary {
        let slot = order.facts.slot_id.and_then(|id| e.slot(id));
        let items = order.facts.items.iter().map(|item| {
            let name = e.product(item.product_id).map(|p| language.pick(&p.name_ko, &p.name_en)).unwrap_or_default();
            let amount = i64::from(item.unit_won) * i64::from(item.quantity);
            (format!("{name} × {}", item.quantity), words::won(language, amount))
        });
        Summary {
            number: order.facts.number.clone(),
            exhibition: language.pick(&e.name_ko, &e.name_en).to_owned(),
            visit: slot.map_or_else(|| super::browse::dates(language, e), |slot| words::visit(language, slot)),
            items: items.collect(),
            total: words::won(language, order.facts.total_won.into()),
        }
    }
}

pub async fn payment(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
    Query(proof): Query<Proof>,
) -> Result<Response<Body>> {
    let (order, access) = visible(&app, &headers, &code, &number, "pay", &proof).await?;
    let here = format!("/{code}/payment/{number}");
    if let Access::Link = access {
        return Ok(go(&here, Some(token::cookie(&app, &order))));
    }
    if order.state != OrderState::Held {
        return Ok(go(&format!("/{code}/complete/{number}"), None));
    }
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let now = app.clock.now();
    let frame = Frame::new(language, words::text(language, "page.pay.title"), here);
    let template = PaymentPage {
        button: frame.f("page.pay.button", "amount", grouped(order.facts.total_won.into())),
        until: frame.f("page.pay.until", "time", words::clock_time(order.expires_at)),
        order: Summary::new(&order, &e, language),
        amount_won: order.facts.total_won,
        sdk_url: app.settings.toss_sdk_url.clone(),
        now_ms: now.as_millisecond(),
        until_ms: order.expires_at.as_millisecond(),
        lapsed: order.expires_at <= now,
        frame,
        code,
    };
    let mut response = page(&template, StatusCode::OK)?;
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_str(&csp(&app.settings.toss_sdk_url)).map_err(Error::bug)?,
    );
    // The window of the provider may open apps and pop-ups that report back to this page.
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin-allow-popups"));
    Ok(response)
}

/// Beside our own files exactly the origin of the SDK; Toss's own script talks to its sister hosts as well.
fn csp(sdk_url: &str) -> String {
    let origin = reqwest::Url::parse(sdk_url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let toss =
        if origin.ends_with(".tosspayments.com") { "https://*.tosspayments.com https://*.toss.im" } else { &origin };
    format!(
        "default-src 'none'; script-src 'self' {toss}; frame-src {toss}; connect-src 'self' {toss}; \
         img-src 'self' data: https:; style-src 'self'; form-action 'self' {toss}; frame-ancestors 'none'; base-uri 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origin_of_the_sdk_is_let_in() {
        let simulator = csp("http://127.0.0.1:9700/v2/standard");
        assert!(simulator.contains("script-src 'self' http://127.0.0.1:9700;"), "{simulator}");
        assert!(!simulator.contains("tosspayments"));
        assert!(!simulator.contains("unsafe-inline"));
        assert!(csp("https://js.tosspayments.com/v2/standard").contains("frame-src https://*.tosspayments.com"));
        assert!(!csp("https://evil-tosspayments.com/x").contains("*.tosspayments.com"));
    }
}
