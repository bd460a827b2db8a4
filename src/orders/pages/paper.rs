//! The tickets of an order on paper: a PDF with a page for each.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, Response};
use tokio::sync::Semaphore;

use super::frame::{self, PageLanguage, go};
use super::{Proof, visible, words};
use crate::app::App;
use crate::catalogue::Exhibition;
use crate::error::{Error, Result};
use crate::orders::model::{Order, OrderState};
use crate::platform::http::Path;
use crate::platform::texts::{Language, filled};
use crate::tickets::pdf::{self, Fact, Mark, Page, Sheet};
use crate::tickets::{self, TicketView};

/// A page takes some 3 ms of a core: one file at a time, so that a crowd that prints does not slow a sale.
static ONE_AT_A_TIME: Semaphore = Semaphore::const_new(1);

pub async fn file(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    headers: HeaderMap,
    Path((code, number)): Path<(String, String)>,
) -> Result<Response<Body>> {
    let (order, _) = visible(&app, &headers, &code, &number, "", &Proof::default()).await?;
    let e = app.catalogue.current().by_id(order.facts.exhibition_id)?;
    let client = app.pg.get().await?;
    let views = tickets::of_order(&app, &client, order.facts.id, &e).await?;
    drop(client);
    let paid = matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded);
    if !paid || views.is_empty() || views.len() > pdf::PAGES_MAX {
        return Ok(go(&format!("/{code}/complete/{number}"), None));
    }
    let turn = ONE_AT_A_TIME.acquire().await.map_err(Error::bug)?;
    let body = tokio::task::spawn_blocking(move || drawn(&e, &order, &views, language)).await.map_err(Error::bug)??;
    drop(turn);
    frame::file(body, "application/pdf", &format!("{number}.pdf"))
}

/// What a page says of one ticket.
struct Written {
    heading: String,
    product: String,
    visit: String,
}

fn drawn(e: &Exhibition, order: &Order, views: &[TicketView], language: Language) -> Result<Vec<u8>> {
    let text = |key| words::text(language, key);
    let written: Vec<Written> = views.iter().map(|view| write(e, view, language)).collect();
    let venue = language.pick(&e.venue_ko, &e.venue_en);
    let pages: Vec<Page> = views
        .iter()
        .zip(&written)
        .map(|(view, written)| Page {
            heading: &written.heading,
            facts: [
                Fact { label: text("page.pdf.ticket"), value: &written.product },
                Fact { label: text("mail.visit"), value: &written.visit },
                Fact { label: text("page.venue"), value: venue },
                Fact { label: text("page.pay.order_number"), value: &order.facts.number },
            ],
            mark: match (view.qr_code.as_deref(), view.is_spent()) {
                (_, true) => Mark::Words(text("page.ticket.used")),
                (Some(code), false) => Mark::Code(code),
                (None, false) => Mark::Words(text("page.ticket.void")),
            },
        })
        .collect();
    let exhibition = language.pick(&e.name_ko, &e.name_en);
    pdf::tickets(&Sheet {
        language: language.tag(),
        title: &format!("{exhibition} · {}", order.facts.number),
        exhibition,
        pages: &pages,
        note: text("page.pdf.note"),
    })
}

fn write(e: &Exhibition, view: &TicketView, language: Language) -> Written {
    let numbers = [("no", view.ticket_no.to_string()), ("of", view.of.to_string())];
    let times = view
        .start_time
        .zip(view.end_time)
        .map(|(from, until)| format!(" {}–{}", words::time(from), words::time(until)));
    let day = view.slot_date.map(|date| words::date(language, date) + times.as_deref().unwrap_or_default());
    Written {
        heading: match &view.number {
            Some(number) => format!("{} · {number}", filled(language, "page.complete.ticket", &numbers)),
            None => filled(language, "page.complete.ticket", &numbers),
        },
        product: language.pick(&view.product_name, &view.product_name_en).to_owned(),
        visit: day.unwrap_or_else(|| super::browse::dates(language, e)),
    }
}
