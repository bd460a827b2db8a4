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
use crate::orders::{pay, token};
use crate::payments::Provider;
use crate::payments::gateways::in_browser;
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
    /// Toss's window is opened for one method; Stripe's form offers its own.
    methods: bool,
    deposit_note: String,
    /// Of everybody who may take the money.
    sdk_urls: Vec<String>,
    /// Instants in ms, for the countdown: the visitor's clock may be wrong, ours is in the page.
    now_ms: i64,
    until_ms: i64,
    /// For whoever has no script: whole minutes.
    left: String,
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
            // Beside tickets for a date, those without one say so.
            let any_day = slot.is_some() && !item.dated;
            let note =
                if any_day { format!(" ({})", words::text(language, "page.order.undated")) } else { String::new() };
            (format!("{name} × {}{note}", item.quantity), words::won(language, amount))
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
    let providers = pay::providers(&app, &e)?;
    let sdk_url = |provider: Provider| in_browser(&app.settings, provider).map(|browser| browser.sdk_url.to_owned());
    let known = providers.iter().copied().filter(|p| app.gateways.has(*p));
    let sdk_urls: Vec<String> = known.map(sdk_url).collect::<Result<_>>()?;
    let now = app.clock.now();
    let frame = Frame::new(language, words::text(language, "page.pay.title"), here);
    let template = PaymentPage {
        button: frame.f("page.pay.button", "amount", grouped(order.facts.total_won.into())),
        until: frame.f("page.pay.until", "time", words::clock_time(order.expires_at)),
        order: Summary::new(&order, &e, language),
        amount_won: order.facts.total_won,
        methods: providers.contains(&Provider::Toss),
        deposit_note: frame.f("page.pay.deposit_note", "hours", e.deposit_h),
        sdk_urls: sdk_urls.clone(),
        now_ms: now.as_millisecond(),
        left: match (order.expires_at - now).get_seconds() / 60 {
            ..1 => frame.t("page.pay.left_one").to_owned(),
            minutes => frame.f("page.pay.left", "minutes", minutes),
        },
        until_ms: order.expires_at.as_millisecond(),
        lapsed: order.expires_at <= now,
        frame,
        code,
    };
    let mut response = page(&template, StatusCode::OK)?;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_str(&csp(&sdk_urls)).map_err(Error::bug)?);
    // The window of the provider may open apps and pop-ups that report back to this page.
    headers.insert("cross-origin-opener-policy", HeaderValue::from_static("same-origin-allow-popups"));
    Ok(response)
}

/// Beside our own files exactly the origins of the SDKs; the providers' own scripts talk to sister hosts as well.
fn csp(sdk_urls: &[String]) -> String {
    let (mut scripts, mut frames, mut calls) = (String::new(), String::new(), String::new());
    for url in sdk_urls {
        let origin = reqwest::Url::parse(url).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let toss = "https://*.tosspayments.com https://*.toss.im";
        let (script, frame, call) = match origin.as_str() {
            "https://js.stripe.com" => {
                (origin.as_str(), "https://js.stripe.com https://hooks.stripe.com", "https://api.stripe.com")
            }
            own if own.ends_with(".tosspayments.com") => (toss, toss, toss),
            own => (own, own, own),
        };
        for (all, more) in [(&mut scripts, script), (&mut frames, frame), (&mut calls, call)] {
            all.push(' ');
            all.push_str(more);
        }
    }
    format!(
        "default-src 'none'; script-src 'self'{scripts}; frame-src{frames}; connect-src 'self'{calls}; \
         img-src 'self' data: https:; style-src 'self'; form-action 'self'{frames}; frame-ancestors 'none'; base-uri 'none'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_origins_of_the_sdks_are_let_in() {
        let of = |urls: &[&str]| csp(&urls.iter().map(|url| (*url).to_owned()).collect::<Vec<_>>());
        let simulator = of(&["http://127.0.0.1:9700/v2/standard"]);
        assert!(simulator.contains("script-src 'self' http://127.0.0.1:9700;"), "{simulator}");
        assert!(!simulator.contains("tosspayments"));
        assert!(!simulator.contains("unsafe-inline"));
        assert!(of(&["https://js.tosspayments.com/v2/standard"]).contains("frame-src https://*.tosspayments.com"));
        assert!(!of(&["https://evil-tosspayments.com/x"]).contains("*.tosspayments.com"));
        let stripe = of(&["https://js.stripe.com/v3/"]);
        assert!(stripe.contains("script-src 'self' https://js.stripe.com;"), "{stripe}");
        assert!(stripe.contains("frame-src https://js.stripe.com https://hooks.stripe.com;"), "{stripe}");
        assert!(stripe.contains("connect-src 'self' https://api.stripe.com;"), "{stripe}");
        assert!(!of(&["https://js.stripe.com.evil.example/v3/"]).contains("hooks.stripe.com"));
        let both = of(&["http://127.0.0.1:1/a", "http://127.0.0.1:2/b"]);
        assert!(both.contains("script-src 'self' http://127.0.0.1:1 http://127.0.0.1:2;"), "{both}");
    }
}
