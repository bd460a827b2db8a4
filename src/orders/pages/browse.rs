//! The list of exhibitions and the page of one, from the snapshot: neither Redis nor Postgres is asked.

use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::{HeaderMap, Response, StatusCode};
use jiff::{SignedDuration, Timestamp};

use super::form::{Filled, OrderForm};
use super::frame::{Frame, PageLanguage, go, page};
use super::words;
use crate::app::App;
use crate::catalogue::model::State;
use crate::catalogue::{Exhibition, Product};
use crate::error::Result;
use crate::platform::http::Path;
use crate::platform::http::extract::cookie;
use crate::platform::texts::Language;
use crate::waiting_room::{claim, proofs, status};

/// From here down the number itself is shown; above it only says that there is enough.
const COUNTED_FROM: i64 = 100;
const FEW: i64 = 10;
/// The picture is renewed every second; this old, it could not be.
const STALE_AFTER: SignedDuration = SignedDuration::from_secs(5);

#[derive(askama::Template)]
#[template(path = "home.html")]
struct HomePage {
    frame: Frame,
    exhibitions: Vec<Card>,
}

struct Card {
    code: String,
    name: String,
    description: String,
    venue: String,
    dates: String,
    state: &'static str,
    open: bool,
}

pub async fn home(AppState(app): AppState<App>, PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    let snapshot = app.catalogue.current();
    snapshot.ready()?;
    let now = app.clock.now();
    let exhibitions = snapshot
        .exhibitions()
        .iter()
        .map(|e| {
            let state = overall(e, now);
            Card {
                code: e.code.clone(),
                name: language.pick(&e.name_ko, &e.name_en).to_owned(),
                description: language.pick(&e.description_ko, &e.description_en).to_owned(),
                venue: language.pick(&e.venue_ko, &e.venue_en).to_owned(),
                dates: dates(language, e),
                state: state_text(language, state),
                open: state == State::OnSale,
            }
        })
        .collect();
    let frame = Frame::new(language, words::text(language, "page.home.title"), "/");
    page(&HomePage { frame, exhibitions }, StatusCode::OK)
}

/// The best that any of its products can offer.
fn overall(e: &Exhibition, now: Timestamp) -> State {
    let rank = |state: &State| match state {
        State::OnSale => 0,
        State::HeldByOthers => 1,
        State::NotYet => 2,
        State::Paused => 3,
        State::SoldOut => 4,
        State::Ended => 5,
    };
    let active = e.products.iter().filter(|p| p.active);
    active.map(|p| e.product_state(p, now)).min_by_key(rank).unwrap_or(State::Paused)
}

pub fn dates(language: Language, e: &Exhibition) -> String {
    format!("{} – {}", words::date(language, e.starts_on), words::date(language, e.ends_on))
}

pub fn state_text(language: Language, state: State) -> &'static str {
    words::text(
        language,
        match state {
            State::OnSale => "page.state.on_sale",
            State::HeldByOthers => "page.state.held_by_others",
            State::SoldOut => "page.state.sold_out",
            State::NotYet => "page.state.not_yet",
            State::Paused => "page.state.paused",
            State::Ended => "page.state.ended",
        },
    )
}

/// How much is left, in words.
pub fn left_text(language: Language, state: State, free: i64) -> String {
    let filled = |key| crate::platform::texts::filled(language, key, &[("count", free.to_string())]);
    match state {
        State::OnSale if free > COUNTED_FROM => words::text(language, "page.left.many").to_owned(),
        State::OnSale if free > FEW => filled("page.left.some"),
        State::OnSale => filled("page.left.few"),
        State::HeldByOthers => words::text(language, "page.left.held").to_owned(),
        other => state_text(language, other).to_owned(),
    }
}

#[derive(askama::Template)]
#[template(path = "exhibition.html")]
pub struct ExhibitionPage {
    frame: Frame,
    code: String,
    description: String,
    venue: String,
    dates: String,
    sale: String,
    limit: Option<String>,
    stale: bool,
    state: &'static str,
    form: Option<OrderForm>,
    products: Vec<ProductShown>,
}

/// A product that cannot be ordered now still has its price and its reason.
struct ProductShown {
    name: String,
    price: String,
    left: String,
}

pub async fn exhibition(
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
    let filled = Filled::fresh();
    page(&exhibition_page(&app, &e, language, &filled), StatusCode::OK)
}

/// The page with the form as it was filled in; also what a refused form comes back as.
pub fn exhibition_page(app: &App, e: &Exhibition, language: Language, filled: &Filled) -> ExhibitionPage {
    let now = app.clock.now();
    let state = overall(e, now);
    let open = matches!(state, State::OnSale | State::HeldByOthers);
    let shown = |p: &Product| ProductShown {
        name: language.pick(&p.name_ko, &p.name_en).to_owned(),
        price: words::won(language, p.price_won.into()),
        left: left_text(language, e.product_state(p, now), e.free(p.stock_id)),
    };
    let frame = Frame::new(language, language.pick(&e.name_ko, &e.name_en), format!("/{}", e.code));
    ExhibitionPage {
        code: e.code.clone(),
        description: language.pick(&e.description_ko, &e.description_en).to_owned(),
        venue: language.pick(&e.venue_ko, &e.venue_en).to_owned(),
        dates: dates(language, e),
        sale: format!("{} – {}", words::moment(language, e.sale_start), words::moment(language, e.sale_end)),
        limit: e.person_limit.map(|limit| frame.f("page.limit", "limit", limit)),
        stale: app.catalogue.current().as_of.is_none_or(|at| now.duration_since(at) > STALE_AFTER),
        state: state_text(language, state),
        products: e.products.iter().filter(|p| p.active).map(shown).collect(),
        form: open.then(|| OrderForm::new(app, e, language, filled)),
        frame,
    }
}
