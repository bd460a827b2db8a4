//! The control room's page: one for everybody who runs an exhibition. What it shows it asks the API for, as whoever has
//! signed in; by itself it knows nothing.

use std::collections::BTreeMap;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode};
use axum::routing::get;

use crate::app::App;
use crate::error::{Error, Result};
use crate::orders::pages::frame::{Frame, PageLanguage, page};
use crate::orders::pages::words;
use crate::platform::http::assets;
use crate::platform::texts::{self, Language};

/// In the order in which they need each other.
const SCRIPTS: [&str; 39] = [
    "uplot.js",
    "admin_ui.js",
    "admin_forms.js",
    "admin_session.js",
    "admin_charts.js",
    "admin.js",
    "admin_keys.js",
    "admin_sign.js",
    "admin_account.js",
    "admin_room.js",
    "admin_sales.js",
    "admin_dashboard.js",
    "admin_live.js",
    "admin_waiting.js",
    "admin_draw.js",
    "admin_invites.js",
    "admin_rehearsal.js",
    "admin_orders.js",
    "admin_history.js",
    "admin_refunds.js",
    "admin_order.js",
    "admin_gifts.js",
    "admin_gates.js",
    "admin_devices.js",
    "admin_conflicts.js",
    "admin_rules.js",
    "admin_money.js",
    "admin_operations.js",
    "admin_outbox.js",
    "admin_stock.js",
    "admin_online.js",
    "admin_setup.js",
    "admin_products.js",
    "admin_slots.js",
    "admin_bulk.js",
    "admin_exhibitions.js",
    "admin_people.js",
    "admin_privacy.js",
    "admin_log.js",
];
const TEXTS: &str = "page.admin.";
/// Why a ticket was not let in: the gate's words, which the board counts by.
const REASONS: &str = "page.gate.why.";

#[derive(askama::Template)]
#[template(path = "admin.html")]
struct AdminPage {
    frame: Frame,
    /// All texts of the page as JSON, for its scripts.
    words: String,
    scripts: Vec<&'static str>,
}

pub fn routes() -> Router<App> {
    Router::new().route("/admin", get(show))
}

fn script_words(language: Language) -> Result<String> {
    let own = texts::beginning_with(language, TEXTS);
    let own = own.into_iter().filter_map(|(key, text)| Some((key.strip_prefix(TEXTS)?.to_owned(), text)));
    let reasons = texts::beginning_with(language, REASONS);
    let reasons =
        reasons.into_iter().filter_map(|(key, text)| Some((format!("why.{}", key.strip_prefix(REASONS)?), text)));
    serde_json::to_string(&own.chain(reasons).collect::<BTreeMap<_, _>>()).map_err(Error::bug)
}

async fn show(PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    let frame = Frame::new(language, words::text(language, "page.admin.title"), "/admin");
    let scripts = SCRIPTS.iter().map(|name| assets::url(name)).collect();
    let mut response = page(&AdminPage { frame, words: script_words(language)?, scripts }, StatusCode::OK)?;
    response.headers_mut().insert("x-robots-tag", HeaderValue::from_static("noindex"));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::waiting_room::model::{Config, Rehearsal};

    #[test]
    fn every_script_of_the_page_is_there() {
        for name in SCRIPTS {
            assert_ne!(assets::url(name), "/assets/missing", "{name}");
        }
    }

    /// What the page says of a setting is what the server refuses.
    #[test]
    fn bounds_on_the_page_of_a_room_are_its_own() {
        let source = |name: &str| std::fs::read_to_string(format!("web/assets/{name}")).unwrap();
        let (settings, rehearsal) = (source("admin_waiting.js"), source("admin_room.js"));
        for (field, _, least, most) in Config::default().bounds() {
            // One bound is between two settings, and is told in words.
            let said = field.contains(' ') || settings.contains(&format!("whole(\"{field}\", {least}, {most})"));
            assert!(said, "{field}");
        }
        for (field, _, least, most) in Rehearsal::default().bounds() {
            let said = rehearsal.split(&format!("asked(\"{field}\", ")).nth(1).unwrap();
            assert!(said.split(')').next().unwrap().ends_with(&format!(", {least}, {most}")), "{field}");
        }
    }

    /// A word that a script asks for and nobody has written would be shown as its key.
    #[test]
    fn every_word_that_a_script_asks_for_is_written() {
        for name in SCRIPTS {
            let source = std::fs::read_to_string(format!("web/assets/{name}")).unwrap();
            for rest in source.split(" t(\"").chain(source.split("(t(\"").skip(1)).skip(1) {
                let key = rest.split('"').next().unwrap();
                // A key that ends in a dot is the beginning of a family.
                let known = key.ends_with('.') || texts::knows(&format!("{TEXTS}{key}"));
                assert!(known, "{name}: page.admin.{key}");
            }
        }
    }
}
