//! One ticket for somebody who comes along, by a link; and a new code for a ticket that the wrong person has seen.

use axum::body::Body;
use axum::extract::{Request, State as AppState};
use axum::http::{HeaderMap, Response, StatusCode};
use jiff::civil::Time;
use uuid::Uuid;

use super::form::pairs;
use super::frame::{Frame, PageLanguage, go, page};
use super::{Proof, browse, visible, words};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::platform::clock::seoul;
use crate::platform::http::extract::same_site;
use crate::platform::http::{Path, Query};
use crate::tickets::link::{self, Link, To, Verdict};
use crate::tickets::{self, TicketView, picture};

/// Codes one ticket may have had. More is no accident.
const CODES_MAX: i16 = 20;

#[derive(askama::Template)]
#[template(path = "companion.html")]
struct CompanionPage {
    frame: Frame,
    exhibition: String,
    venue: String,
    product: String,
    number: String,
    ticket_number: String,
    visit: String,
    label: String,
    /// None: used, or not valid any more.
    svg: Option<String>,
    note: Option<&'static str>,
}

/// Good until the day of the visit is over, or the exhibition. Neither the order nor the buyer can be told from it.
pub fn link(app: &App, e: &Exhibition, view: &TicketView) -> String {
    let last = view.slot_date.unwrap_or(e.ends_on);
    let end = last.tomorrow().unwrap_or(last).to_datetime(Time::midnight()).to_zoned(seoul());
    let until_s = end.map_or(0, |at| at.timestamp().as_second());
    let query = link::until(&app.secrets, To::Page, view.id, view.version, until_s);
    format!("{}/{}/ticket/{}?{query}", app.settings.base_url, e.code, view.id)
}

pub async fn show(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    Path((code, ticket_id)): Path<(String, Uuid)>,
    Query(given): Query<Link>,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    let client = app.pg.get().await?;
    let ticket = tickets::pg::to_show(&client, ticket_id).await?.filter(|ticket| ticket.exhibition_id == e.id);
    let ticket = ticket.ok_or_else(|| Error::not_found("ticket.unknown"))?;
    match given.judge(&app.secrets, To::Page, ticket_id, ticket.version, app.clock.now().as_second()) {
        Verdict::Opens => {}
        Verdict::Expired => return Err(Error::gone("ticket.link_expired")),
        Verdict::Absent | Verdict::Forged => return Err(Error::forbidden("ticket.wrong_proof")),
    }
    let views = tickets::of_order(&app, &client, ticket.order_id, &e).await?;
    drop(client);
    let view = views.into_iter().find(|view| view.id == ticket_id).ok_or_else(|| Error::not_found("ticket.unknown"))?;
    let frame =
        Frame::new(language, words::text(language, "page.companion.title"), format!("/{code}/ticket/{ticket_id}"));
    let product = language.pick(&view.product_name, &view.product_name_en).to_owned();
    let note = match (view.is_spent(), view.qr_code.is_some()) {
        (true, _) => Some("page.ticket.used"),
        (false, true) => None,
        (false, false) => Some("page.companion.void"),
    };
    let times = view.start_time.zip(view.end_time);
    let hours = times.map(|(from, until)| format!(" {}–{}", words::time(from), words::time(until)));
    let day = view.slot_date.map(|date| words::date(language, date) + hours.as_deref().unwrap_or_default());
    let template = CompanionPage {
        exhibition: language.pick(&e.name_ko, &e.name_en).to_owned(),
        venue: language.pick(&e.venue_ko, &e.venue_en).to_owned(),
        number: frame.f("page.refund.ticket_no", "no", view.ticket_no),
        visit: day.unwrap_or_else(|| browse::dates(language, &e)),
        label: crate::platform::texts::filled(
            language,
            "page.complete.qr",
            &[("name", product.clone()), ("no", view.ticket_no.to_string())],
        ),
        svg: view.qr_code.as_deref().filter(|_| !view.is_spent()).map(picture::svg).transpose()?,
        ticket_number: super::complete::number(language, &view),
        note: note.map(|key| words::text(language, key)),
        product,
        frame,
    };
    page(&template, StatusCode::OK)
}

/// Every code of the ticket so far is void: the picture, the PDF, the links.
pub async fn reissue(
    AppState(app): AppState<App>,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
    request: Request,
) -> Result<Response<Body>> {
    same_site(request.headers(), &app.settings.base_url)?;
    let (order, _) = visible(&app, &headers, &code, &number, "", &Proof::default()).await?;
    let pairs = pairs(request).await?;
    let id = pairs.iter().find(|(name, _)| name == "t").and_then(|(_, id)| id.parse::<Uuid>().ok());
    let id = id.ok_or_else(|| Error::malformed("request.malformed_form"))?;
    let client = app.pg.get().await?;
    if !tickets::pg::reissue(&client, id, order.facts.id, CODES_MAX).await? {
        return Err(Error::conflict("ticket.not_reissued"));
    }
    Ok(go(&format!("/{code}/complete/{number}"), None))
}
