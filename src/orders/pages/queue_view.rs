//! What the waiting page shows for each standing. Pure: a status goes in, the page comes out, so every state is
//! rendered in tests.

use super::frame::Frame;
use super::queue_line::{Line, Seen, ahead_count};
use super::words;
use crate::catalogue::Exhibition;
use crate::platform::texts::{Language, filled, grouped};
use crate::waiting_room::model::{DrawShown, Lane, Phase};
use crate::waiting_room::reply::{Chance, Left, PublicState, Standing, Status};

/// Without JavaScript the page reloads itself no more often than this, [s]
const REFRESH_MIN_S: i64 = 5;
/// … nor under a finger that is about to press the button.
const REFRESH_TURN_MIN_S: i64 = 20;
const TROUBLE_AGAIN_S: i64 = 10;
/// Of a hash, as it is shown in passing.
const HASH_CHARS_SHOWN: usize = 16;

#[derive(askama::Template)]
#[template(path = "queue.html")]
pub struct QueuePage {
    frame: Frame,
    code: String,
    name: String,
    state: &'static str,
    /// What the script compares a new status with: when it differs, the page is fetched anew.
    key: String,
    phase: &'static str,
    headline: &'static str,
    notices: Vec<Notice>,
    stale: bool,
    reason: Option<String>,
    opening: Option<Opening>,
    line: Option<Line>,
    turn: Option<Turn>,
    join: Option<Join>,
    inside: bool,
    /// What happens next; before the button where it explains the button.
    next: Vec<&'static str>,
    leads: bool,
    facts: Vec<(&'static str, String)>,
    stock: Option<&'static str>,
    chance: Option<&'static str>,
    products: Vec<ProductShown>,
    draw: Option<DrawLine>,
    mail: Option<Mail>,
    counted: Option<&'static str>,
    leave: Option<Leave>,
    poll_ms: i64,
    /// Without JavaScript: reload after so many seconds.
    refresh_s: Option<i64>,
    /// The visitor has switched that off.
    still: bool,
}

pub struct Notice {
    pub bad: bool,
    pub text: String,
}

struct Opening {
    at: String,
    left_ms: Option<i64>,
}

struct Turn {
    button: &'static str,
    left_ms: Option<i64>,
    left: String,
    extendable: bool,
    /// What the script says after it.
    done: Option<&'static str>,
}

struct Join {
    button: &'static str,
    invite: Option<String>,
}

struct ProductShown {
    id: i32,
    name: String,
    left: &'static str,
}

struct DrawLine {
    seed_hash: String,
    seed_hash_short: String,
    root: String,
    root_short: String,
}

#[derive(Default)]
pub struct Mail {
    pub email: String,
    pub error: Option<&'static str>,
}

struct Leave {
    button: &'static str,
    note: &'static str,
}

/// What the page knows beside the status.
#[derive(Default)]
pub struct Around {
    pub seen: Option<Seen>,
    pub invite: Option<String>,
    pub notices: Vec<Notice>,
    pub mail: Mail,
    pub still: bool,
}

impl QueuePage {
    fn empty(language: Language, e: &Exhibition, state: &'static str, headline: &'static str) -> QueuePage {
        let name = language.pick(&e.name_ko, &e.name_en).to_owned();
        let headline = words::text(language, headline);
        QueuePage {
            frame: Frame::new(language, format!("{headline} · {name}"), format!("/{}/queue", e.code)),
            code: e.code.clone(),
            name,
            state,
            key: state.to_owned(),
            phase: "",
            headline,
            notices: Vec::new(),
            stale: false,
            reason: None,
            opening: None,
            line: None,
            turn: None,
            join: None,
            inside: false,
            next: Vec::new(),
            leads: false,
            facts: Vec::new(),
            stock: None,
            chance: None,
            products: Vec::new(),
            draw: None,
            mail: None,
            counted: None,
            leave: None,
            poll_ms: TROUBLE_AGAIN_S * 1_000,
            refresh_s: None,
            still: false,
        }
    }

    /// Nothing is known of the line at the moment.
    pub fn trouble(language: Language, e: &Exhibition, notices: Vec<Notice>) -> QueuePage {
        let mut page = QueuePage::empty(language, e, "trouble", "page.queue.trouble.title");
        page.next = vec![page.frame.t("page.queue.trouble.next")];
        page.refresh_s = Some(TROUBLE_AGAIN_S);
        page.notices = notices;
        page
    }

    pub fn new(language: Language, e: &Exhibition, status: &Status, public: &PublicState, around: Around) -> QueuePage {
        let phase = Phase::parse(public.phase).unwrap_or_default();
        let (state, headline) = headline(status, phase);
        let mut page = QueuePage::empty(language, e, state, headline);
        page.phase = public.phase;
        let sold_out = status.stock == Some(Left::None);
        let extendable = status.extendable.unwrap_or(false);
        page.key = format!("{state},{extendable},{},{sold_out}", status.ahead.is_some());
        page.stale = status.stale;
        page.poll_ms = status.poll_after_ms;
        page.still = around.still;
        page.refresh_s = (!around.still).then(|| refresh_s(status));
        page.notices = around.notices;
        if public.rehearsal {
            let text = words::text(language, "page.queue.rehearsal").to_owned();
            page.notices.insert(0, Notice { bad: false, text });
        }
        page.next = next(language, status, phase, public);
        page.leads = matches!(status.state, Standing::Outside | Standing::Late);
        page.opening = opening(language, status, phase);
        page.line = shows_line(status).then_some(around.seen).flatten().map(|seen| Line::new(language, status, seen));
        page.counted = page.line.is_some().then(|| words::text(language, "page.queue.counted"));
        page.reason = status.reason.clone().filter(|reason| !reason.is_empty());
        page.fill_actions(language, status, phase, around.invite);
        page.fill_facts(language, status);
        if waits(status.state) || status.state == Standing::Outside {
            page.products = products(language, public);
            page.draw = draw(&public.draw);
        }
        if waits(status.state) && status.state != Standing::Late {
            page.mail = Some(around.mail);
        }
        page
    }

    fn fill_actions(&mut self, language: Language, status: &Status, phase: Phase, invite: Option<String>) {
        let t = |key| words::text(language, key);
        let button = match status.state {
            Standing::YourTurn => Some("page.queue.your_turn.enter"),
            Standing::Late => Some("page.queue.late.again"),
            _ => None,
        };
        self.turn = button.map(|key| Turn {
            button: t(key),
            left_ms: status.claim_left_ms,
            left: status.claim_left_ms.map(|left| until(language, status, left)).unwrap_or_default(),
            extendable: status.extendable.unwrap_or(false),
            done: (status.state == Standing::Late).then(|| t("page.queue.late.done")),
        });
        self.inside = status.state == Standing::Admitted;
        if status.state == Standing::Outside && phase.accepts_joins() {
            self.join = Some(Join { button: t("page.queue.outside.join"), invite });
        }
        self.leave = match status.state {
            Standing::Admitted => Some(("page.queue.admitted.leave", "page.queue.admitted.leave_note")),
            state if waits(state) => Some(("page.queue.leave", "page.queue.leave_note")),
            _ => None,
        }
        .map(|(button, note)| Leave { button: t(button), note: t(note) });
    }

    fn fill_facts(&mut self, language: Language, status: &Status) {
        let t = |key| words::text(language, key);
        if let Some(number) = status.number {
            self.facts.push((t("page.queue.number"), grouped(number.into())));
        }
        if let Some(rank) = status.rank.filter(|rank| Some(*rank) != status.number) {
            self.facts.push((t("page.queue.rank"), grouped(rank.into())));
        }
        if let (Standing::Late, Some(late)) = (status.state, status.ahead) {
            self.facts.push((t("page.queue.late.others"), ahead_count(language, late)));
        }
        if status.lane == Some(Lane::Invited) {
            self.facts.push((t("page.queue.lane"), t("page.queue.lane.invited").to_owned()));
        }
        if let (Standing::Admitted, Some(until)) = (status.state, status.pass_expires_at) {
            self.facts.push((
                t("page.queue.admitted.until"),
                self.frame.f("page.pay.until", "time", words::clock_time(until)),
            ));
        }
        if waits(status.state) || status.state == Standing::Outside {
            self.stock = status.stock.map(|left| t(stock_key(left)));
        }
        if shows_line(status) {
            self.chance = status.chance.map(|chance| t(chance_key(chance)));
        }
    }
}

/// Has a place and is not called yet, or missed the call.
fn waits(state: Standing) -> bool {
    matches!(state, Standing::Prequeue | Standing::Waiting | Standing::Late | Standing::Paused | Standing::Stopped)
}

/// Whether there is somebody ahead who is called first.
pub fn shows_line(status: &Status) -> bool {
    status.ahead.is_some() && matches!(status.state, Standing::Waiting | Standing::Paused | Standing::Stopped)
}

fn headline(status: &Status, phase: Phase) -> (&'static str, &'static str) {
    match status.state {
        Standing::Outside if matches!(phase, Phase::Prequeue | Phase::Frozen) => {
            ("outside", "page.queue.outside.soon_title")
        }
        Standing::Prequeue if phase == Phase::Frozen => ("prequeue", "page.queue.frozen.title"),
        Standing::Prequeue => ("prequeue", "page.queue.prequeue.title"),
        Standing::Waiting => ("waiting", "page.queue.waiting.title"),
        Standing::YourTurn => ("your_turn", "page.queue.your_turn.title"),
        Standing::Late => ("late", "page.queue.late.title"),
        Standing::Admitted => ("admitted", "page.queue.admitted.title"),
        Standing::Paused => ("paused", "page.queue.paused.title"),
        Standing::Stopped => ("stopped", "page.queue.stopped.title"),
        // Nobody has to wait in the last two, and the page leads on before it is made.
        Standing::Outside | Standing::Open | Standing::Over | Standing::Ended => {
            ("outside", "page.queue.outside.title")
        }
    }
}

/// What happens next, in a sentence or two.
fn next(language: Language, status: &Status, phase: Phase, public: &PublicState) -> Vec<&'static str> {
    let drawn = !public.draw.seed_hash.is_empty();
    let keys: &[&'static str] = match status.state {
        Standing::Outside if !phase.accepts_joins() => &["page.queue.outside.closed"],
        Standing::Outside if phase == Phase::Prequeue && drawn => {
            &["page.queue.outside.drawn", "page.queue.outside.what"]
        }
        Standing::Outside => &["page.queue.outside.what"],
        Standing::Prequeue if phase == Phase::Frozen => &["page.queue.frozen.next", "page.queue.kept"],
        Standing::Prequeue if drawn => &["page.queue.prequeue.drawn", "page.queue.kept"],
        Standing::Prequeue => &["page.queue.prequeue.next", "page.queue.kept"],
        Standing::Waiting if status.stock == Some(Left::None) => &["page.queue.sold_out", "page.queue.kept"],
        Standing::Waiting => &["page.queue.waiting.next", "page.queue.kept"],
        Standing::YourTurn => &["page.queue.your_turn.next", "page.queue.your_turn.missed"],
        Standing::Late => &["page.queue.late.next", "page.queue.late.share"],
        Standing::Admitted => &["page.queue.admitted.next"],
        Standing::Paused => &["page.queue.paused.next"],
        Standing::Stopped => &["page.queue.stopped.next"],
        Standing::Open | Standing::Over | Standing::Ended => &[],
    };
    keys.iter().map(|key| words::text(language, key)).collect()
}

fn opening(language: Language, status: &Status, phase: Phase) -> Option<Opening> {
    let at = status.opens_at.filter(|_| matches!(phase, Phase::Prequeue | Phase::Frozen))?;
    let left_ms = at.as_millisecond() - status.server_time.as_millisecond();
    Some(Opening { at: words::moment(language, at), left_ms: Some(left_ms).filter(|left| *left > 0) })
}

/// Without a script no clock ticks, so the instant is shown instead of what is left.
fn until(language: Language, status: &Status, left_ms: i64) -> String {
    let at = status.server_time.saturating_add(jiff::SignedDuration::from_millis(left_ms));
    let at = at.unwrap_or(status.server_time).to_zoned(crate::platform::clock::seoul()).time();
    let time = format!("{}:{:02}", words::time(at), at.second());
    filled(language, "page.pay.until", &[("time", time)])
}

fn refresh_s(status: &Status) -> i64 {
    let least = if status.state == Standing::YourTurn { REFRESH_TURN_MIN_S } else { REFRESH_MIN_S };
    (status.poll_after_ms / 1_000).max(least)
}

fn products(language: Language, public: &PublicState) -> Vec<ProductShown> {
    let shown = |p: &crate::waiting_room::reply::ProductLeft| ProductShown {
        id: p.product_id,
        name: language.pick(&p.name, &p.name_en).to_owned(),
        left: words::text(language, stock_key(p.left)),
    };
    // One product is what the line above says already.
    if public.products.len() > 1 { public.products.iter().map(shown).collect() } else { Vec::new() }
}

fn draw(draw: &DrawShown) -> Option<DrawLine> {
    let short = |hash: &str| format!("{}…", hash.chars().take(HASH_CHARS_SHOWN).collect::<String>());
    (!draw.seed_hash.is_empty()).then(|| DrawLine {
        seed_hash_short: short(&draw.seed_hash),
        root_short: short(&draw.root),
        seed_hash: draw.seed_hash.clone(),
        root: draw.root.clone(),
    })
}

fn stock_key(left: Left) -> &'static str {
    match left {
        Left::Plenty => "page.queue.stock.plenty",
        Left::Few => "page.queue.stock.few",
        Left::Held => "page.queue.stock.held",
        Left::None => "page.queue.stock.none",
    }
}

fn chance_key(chance: Chance) -> &'static str {
    match chance {
        Chance::High => "page.queue.chance.high",
        Chance::Medium => "page.queue.chance.medium",
        Chance::Low => "page.queue.chance.low",
        Chance::None => "page.queue.chance.none",
    }
}
