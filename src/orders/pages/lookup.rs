//! Finding an order again: by its number and the phone number it was placed with, or all of one person's by a code that
//! is mailed. Whoever paid and lost the page, and has no mail of ours at hand, comes here.

use axum::body::Body;
use axum::extract::{Request, State as AppState};
use axum::http::{Response, StatusCode};

use super::form::{field_text, pairs};
use super::frame::{Frame, PageLanguage, go, page, refusal};
use super::words;
use crate::app::App;
use crate::error::{Error, Kind, Result};
use crate::orders::{lookup, token};
use crate::platform::http::ClientAddress;
use crate::platform::http::extract::same_site;
use crate::platform::texts::{Language, filled};

/// The two forms of the page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Number,
    Code,
}

/// As it was typed.
#[derive(Default)]
pub struct Given {
    pub number: String,
    pub phone: String,
    pub email: String,
}

/// What was wrong with one of the forms.
#[derive(Default)]
struct Wrong {
    phone: Option<&'static str>,
    email: Option<&'static str>,
    refused: Option<String>,
}

impl Wrong {
    fn new(language: Language, error: &Error) -> Wrong {
        let of = |field: &str| error.fields.iter().find(|f| f.field.ends_with(field));
        let text = |field: &str| of(field).map(|f| field_text(language, f.code));
        let refused =
            error.fields.is_empty().then(|| filled(language, &format!("problem.{}", error.code), &error.values));
        Wrong { phone: text("phone"), email: text("email"), refused }
    }
}

#[derive(askama::Template)]
#[template(path = "lookup.html")]
struct LookupPage {
    frame: Frame,
    given: Given,
    number: Wrong,
    code: Wrong,
    /// Mails can be sent.
    has_code: bool,
}

fn shown(app: &App, language: Language, given: Given, wrong: Option<(Way, &Error)>) -> LookupPage {
    let of = |way| wrong.filter(|(which, _)| *which == way).map(|(_, error)| Wrong::new(language, error));
    LookupPage {
        number: of(Way::Number).unwrap_or_default(),
        code: of(Way::Code).unwrap_or_default(),
        has_code: app.notifier.sends(),
        given,
        frame: Frame::new(language, words::text(language, "page.lookup.title"), "/orders"),
    }
}

pub fn refused(app: &App, language: Language, given: Given, way: Way, error: &Error) -> Result<Response<Body>> {
    refusal(&shown(app, language, given, Some((way, error))), error)
}

pub async fn form(AppState(app): AppState<App>, PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    page(&shown(&app, language, Given::default(), None), StatusCode::OK)
}

pub async fn look_up(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    client: ClientAddress,
    request: Request,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let mut given = Given::default();
    for (name, value) in pairs(request).await? {
        match name.as_str() {
            "order_number" => given.number = value,
            "phone" => given.phone = value,
            _ => {}
        }
    }
    match lookup::find(&app, client, &given.number, &given.phone).await {
        Ok(order) => {
            let path = format!("/{}/complete/{}", order.facts.code, order.facts.number);
            Ok(go(&path, Some(token::cookie(&app, &order))))
        }
        Err(error) if error.kind == Kind::Bug => Err(error),
        Err(error) => refused(&app, language, given, Way::Number, &error),
    }
}
