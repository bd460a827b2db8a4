//! The list of exhibitions and the page of one, from the snapshot: neither Redis nor Postgres is asked.

use axum::body::Body;
use axum::extract::State as AppState;
use axum::http::Response;
use jiff::{SignedDuration, Timestamp};

use super::frame::{Frame, PageLanguage, public_page};
use super::{refund, share, words};
use crate::app::App;
use crate::catalogue::model::{Shot, State};
use crate::catalogue::{Exhibition, Product};
use crate::error::Result;
use crate::platform::http::Path;
use crate::platform::texts::Language;
use crate::waiting_room::status;

/// From here down the number itself is shown; above it only says that there is enough.
pub const COUNTED_FROM: i64 = 100;
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
    picture: Option<Pictured>,
}

/// A picture in the reader's language.
pub struct Pictured {
    shot: Shot,
    alt: String,
}

impl Pictured {
    fn of(e: &Exhibition, language: Language) -> Option<Pictured> {
        let shot = e.picture.clone()?;
        Some(Pictured { alt: language.pick(&shot.alt, &shot.alt_en).to_owned(), shot })
    }
}

pub async fn home(AppState(app): AppState<App>, PageLanguage(language): PageLanguage) -> Result<Response<Body>> {
    let snapshot = app.catalogue.current();
    snapshot.ready()?;
    let now = app.clock.now();
    let exhibitions = snapshot
        .published()
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
                picture: Pictured::of(e, language),
            }
        })
        .collect();
    let frame = Frame::new(language, words::text(language, "page.home.title"), "/");
    public_page(&HomePage { frame, exhibitions })
}

/// The best that any of its products can offer.
pub fn overall(e: &Exhibition, now: Timestamp) -> State {
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
struct ExhibitionPage {
    frame: Frame,
    code: String,
    /// Of this page, for whoever shares it.
    address: String,
    summary: String,
    /// schema.org, as JSON.
    event: String,
    picture: Option<Pictured>,
    /// For previews elsewhere.
    preview: Option<String>,
    description: String,
    venue: String,
    dates: String,
    sale: String,
    limit: Option<String>,
    rules: Vec<String>,
    stale: bool,
    state: &'static str,
    open: bool,
    now_ms: i64,
    opens: Option<Opens>,
    /// What the visitor may do now, or what happens next.
    next: String,
    action: Option<(&'static str, String)>,
    /// Places may come back.
    watch: bool,
    products: Vec<ProductShown>,
}

struct Opens {
    at_ms: i64,
    words: String,
}

struct ProductShown {
    id: i32,
    state: &'static str,
    name: String,
    price: String,
    left: String,
}

pub async fn exhibition(
    AppState(app): AppState<App>,
    PageLanguage(language): PageLanguage,
    Path(code): Path<String>,
) -> Result<Response<Body>> {
    let e = app.catalogue.current().by_code(&code)?;
    public_page(&exhibition_page(&app, &e, language))
}

fn exhibition_page(app: &App, e: &Exhibition, language: Language) -> ExhibitionPage {
    let now = app.clock.now();
    let state = overall(e, now);
    let order = format!("/{}/order", e.code);
    let shown = |p: &Product| {
        let state = e.product_state(p, now);
        ProductShown {
            id: p.id,
            state: state.as_str(),
            name: language.pick(&p.name_ko, &p.name_en).to_owned(),
            price: words::won(language, p.price_won.into()),
            left: left_text(language, state, e.free(p.stock_id)),
        }
    };
    let frame = Frame::new(language, language.pick(&e.name_ko, &e.name_en), format!("/{}", e.code));
    let has_room = app.rooms.of(&e.code).is_some();
    let (next, action) = match state {
        State::OnSale if status::needs_pass(app, &e.code) => ("page.exhibition.on_sale_queue", Some(order)),
        State::OnSale => ("page.exhibition.on_sale", Some(order)),
        State::HeldByOthers => ("page.exhibition.held", Some(order)),
        State::NotYet if has_room => ("page.exhibition.not_yet_queue", Some(format!("/{}/queue", e.code))),
        State::NotYet => ("page.exhibition.not_yet", None),
        State::Paused => ("page.exhibition.paused", None),
        State::SoldOut => ("page.exhibition.sold_out", None),
        State::Ended => ("page.exhibition.ended", None),
    };
    let reason = e.pause_reason().filter(|_| state == State::Paused);
    let reason = reason.map(|pause| language.pick(&pause.reason_ko, &pause.reason_en));
    let words_of = |state| if state == State::NotYet { "page.exhibition.queue" } else { "page.order.title" };
    let address = format!("{}/{}", app.settings.base_url, e.code);
    let description = language.pick(&e.description_ko, &e.description_en).to_owned();
    let opens = Opens { at_ms: e.sale_start.as_millisecond(), words: words::moment(language, e.sale_start) };
    ExhibitionPage {
        code: e.code.clone(),
        summary: format!("{} · {} · {description}", frame.title, dates(language, e)),
        picture: Pictured::of(e, language),
        preview: e.picture.as_ref().map(|shot| format!("{}{}", app.settings.base_url, shot.url)),
        event: share::event(app, e, language, state),
        venue: language.pick(&e.venue_ko, &e.venue_en).to_owned(),
        dates: dates(language, e),
        sale: format!("{} – {}", words::moment(language, e.sale_start), words::moment(language, e.sale_end)),
        limit: limit_text(&frame, e),
        rules: refund::rules_text(&frame, e),
        stale: is_stale(app),
        state: state_text(language, state),
        open: state == State::OnSale,
        now_ms: now.as_millisecond(),
        opens: (state == State::NotYet).then_some(opens),
        next: reason.map_or_else(|| frame.t(next).to_owned(), str::to_owned),
        action: action.map(|path| (frame.t(words_of(state)), path)),
        watch: matches!(state, State::HeldByOthers | State::SoldOut),
        products: e.products.iter().filter(|p| p.active).map(shown).collect(),
        description,
        address,
        frame,
    }
}

/// The per-person limit, before it bites.
pub fn limit_text(frame: &Frame, e: &Exhibition) -> Option<String> {
    e.person_limit.map(|limit| frame.f("page.limit", "limit", limit))
}

pub fn is_stale(app: &App) -> bool {
    let now = app.clock.now();
    app.catalogue.current().as_of.is_none_or(|at| now.duration_since(at) > STALE_AFTER)
}
