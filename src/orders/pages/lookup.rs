//! Finding an order again: by its number and the phone number it was placed with. Whoever paid and lost the page, and
//! gave no e-mail, comes here.

use axum::body::Body;
use axum::extract::{Request, State as AppState};
use axum::http::{Response, StatusCode};

use super::form::pairs;
use super::frame::{Frame, PageLanguage, go, page};
use super::words;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::orders::{lookup, token};
use crate::platform::http::ClientAddress;
use crate::platform::http::extract::same_site;
use crate::platform::texts::{Language, filled};

#[derive(askama::Template)]
#[template(path = "lookup.html")]
struct LookupPage {
    frame: Frame,
    number: String,
    phone: String,
    phone_error: Option<&'static str>,
    refused: Option<String>,
}

fn shown(language: Language, number: String, phone: String, error: Option<&Error>) -> LookupPage {
    let frame = Frame::new(language, words::text(language, "page.lookup.title"), "/orders");
    let of_phone = error.is_some_and(|e| e.fields.iter().any(|f| f.field == "phone"));
    LookupPage {
        phone_error: of_phone.then(|| frame.t("field.phone")),
        refused: error.filter(|_| !of_phone).map(|e| filled(language, &format!("problem.{}", e.code), &e.values)),
        number,
        phone,
        frame,
    }
}

pub async fn form(PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    page(&shown(language, String::new(), String::new(), None), StatusCode::OK)
}

pub async fn look_up(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    client: ClientAddress,
    request: Request,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let (mut number, mut phone) = (String::new(), String::new());
    for (name, value) in pairs(request).await? {
        match name.as_str() {
            "order_number" => number = value,
            "phone" => phone = value,
            _ => {}
        }
    }
    match lookup::find(&app, client, &number, &phone).await {
        Ok(order) => {
            let path = format!("/{}/complete/{}", order.facts.code, order.facts.number);
            Ok(go(&path, Some(token::cookie(&app, &order))))
        }
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => page(&shown(language, number, phone, Some(&error)), error.kind.status()),
    }
}
