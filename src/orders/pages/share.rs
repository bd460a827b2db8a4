//! What search engines and link previews read.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderValue, Response, header};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::app::App;
use crate::catalogue::Exhibition;
use crate::catalogue::model::State;
use crate::error::Result;
use crate::platform::clock::seoul;
use crate::platform::http::assets;
use crate::platform::texts::Language;

/// schema.org's description of an exhibition, for the page's head. Safe inside `<script>`: it holds no `<`.
pub fn event(app: &App, e: &Exhibition, language: Language, state: State) -> String {
    let (now, base) = (app.clock.now(), &app.settings.base_url);
    let address = format!("{base}/{}", e.code);
    let availability = match state {
        State::OnSale => "https://schema.org/InStock",
        State::HeldByOthers => "https://schema.org/LimitedAvailability",
        State::NotYet => "https://schema.org/PreOrder",
        State::SoldOut | State::Paused | State::Ended => "https://schema.org/SoldOut",
    };
    let offers = e.products.iter().filter(|p| p.active).map(|p| {
        let (from, until) = e.window(p);
        json!({
            "@type": "Offer", "name": language.pick(&p.name_ko, &p.name_en), "price": p.price_won,
            "priceCurrency": "KRW", "url": address, "validFrom": kst(from), "validThrough": kst(until),
            "availability": if e.closed_for(p, now).is_none() && e.free(p.stock_id) > 0 { "https://schema.org/InStock" } else { availability },
        })
    });
    let mut event = json!({
        "@context": "https://schema.org", "@type": "ExhibitionEvent", "name": language.pick(&e.name_ko, &e.name_en),
        "startDate": e.starts_on.to_string(), "endDate": e.ends_on.to_string(), "url": address,
        "eventStatus": "https://schema.org/EventScheduled",
        "eventAttendanceMode": "https://schema.org/OfflineEventAttendanceMode",
        "offers": offers.collect::<Vec<Value>>(),
    });
    let (description, venue) =
        (language.pick(&e.description_ko, &e.description_en), language.pick(&e.venue_ko, &e.venue_en));
    if !description.is_empty() {
        event["description"] = json!(description);
    }
    if !venue.is_empty() {
        event["location"] = json!({ "@type": "Place", "name": venue, "address": venue });
    }
    if let Some(shot) = &e.picture {
        event["image"] = json!([format!("{base}{}", shot.url)]);
    }
    event.to_string().replace('<', "\\u003c")
}

fn kst(at: Timestamp) -> String {
    at.to_zoned(seoul()).strftime("%Y-%m-%dT%H:%M:%S%:z").to_string()
}

fn plain(body: String, kind: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    response
}

/// Keeps opened tickets for where there is no network. Its address has no hash, so that one replaces the other; it works for
/// the whole site.
pub async fn service_worker() -> Response<Body> {
    let body = include_str!("../../../web/sw.js").replace("{style}", assets::url("app.css"));
    let mut response = plain(body, "text/javascript; charset=utf-8");
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // What it may fetch is its own policy's to say, not that of the page which asked for it.
    let policy = HeaderValue::from_static("default-src 'none'; connect-src 'self'");
    response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
    response
}

/// Orders and queues are nobody else's business. Pages of orders that need a cookie (`complete`) refuse robots by
/// themselves, and the order form names the exhibition's page as the one to show.
pub async fn robots(AppState(app): AppState<App>) -> Response<Body> {
    let rules = "User-agent: *\nDisallow: /api/\nDisallow: /orders\nDisallow: /*/queue\n\
                 Disallow: /*/payment/\nDisallow: /*/ticket/\nDisallow: /*/fail/\nDisallow: /*/refund/\n";
    plain(format!("{rules}Sitemap: {}/sitemap.xml\n", app.settings.base_url), "text/plain; charset=utf-8")
}

pub async fn sitemap(AppState(app): AppState<App>) -> Result<Response<Body>> {
    let snapshot = app.catalogue.current();
    snapshot.ready()?;
    let base = &app.settings.base_url;
    let pages = ["/".to_owned(), "/terms".to_owned(), "/privacy".to_owned()];
    // Codes are a-z, 0-9 and hyphens: nothing to escape.
    let pages = pages.into_iter().chain(snapshot.published().map(|e| format!("/{}", e.code)));
    let urls: String = pages.map(|path| format!("<url><loc>{base}{path}</loc></url>\n")).collect();
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<urlset xmlns=\"http://www.sitemaps.org/schemas/sitemap/0.9\">\n{urls}</urlset>\n"
    );
    Ok(plain(body, "application/xml"))
}
