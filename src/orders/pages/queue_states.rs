//! Every state of the waiting page, rendered in both languages.

use askama::Template as _;
use jiff::Timestamp;
use jiff::civil::Date;

use super::draw::DrawPage;
use super::queue_line::Seen;
use super::queue_view::{Around, QueuePage};
use crate::catalogue::Exhibition;
use crate::catalogue::model::Stage;
use crate::platform::texts::Language;
use crate::waiting_room::model::{BeaconKind, DrawShown, Lane};
use crate::waiting_room::reply::{Band, Chance, Left, ProductLeft, PublicState, Standing, Status};
use crate::waiting_room::status::bare;

/// The whole page with its style and script, as they are sent without compression. [bytes]
const WEIGHT_MAX: usize = 30_000;

fn exhibition() -> Exhibition {
    let (text, day, at) = (|text: &str| text.to_owned(), Date::constant(2026, 12, 3), now());
    Exhibition {
        id: 1,
        code: text("bbb"),
        stage: Stage::Published,
        name_ko: text("시험 <전시>"),
        name_en: text("Test <exhibition>"),
        description_ko: String::new(),
        description_en: String::new(),
        venue_ko: String::new(),
        venue_en: String::new(),
        starts_on: day,
        ends_on: day,
        sale_start: at,
        sale_end: at,
        paused: false,
        pause: Default::default(),
        sales_paused: None,
        hold_ttl_s: 600,
        person_limit: None,
        open_holds_max: 1,
        payment_provider: "toss".into(),
        canary: None,
        refund_rules: serde_json::Value::Null,
        refund_free_h: 24,
        culture_expense: false,
        deposit_h: 24,
        walk_ins: false,
        products: Vec::new(),
        archived_products: Vec::new(),
        slots: Vec::new(),
        stock: Default::default(),
        picture: None,
    }
}

fn now() -> Timestamp {
    "2026-12-03T00:58:47Z".parse().unwrap()
}

fn public(phase: &'static str, draw: &DrawShown) -> PublicState {
    let product =
        |product_id, name: &str, left| ProductLeft { product_id, name: name.into(), name_en: name.into(), left };
    PublicState {
        exhibition_code: "bbb".into(),
        phase,
        run: 1,
        rehearsal: false,
        stale: false,
        as_of: now(),
        opens_at: None,
        reason_ko: String::new(),
        reason_en: String::new(),
        lanes: Vec::new(),
        capacity: 300,
        active: 300,
        late: 3,
        rate_per_s: 20.0,
        brake: 1.0,
        products: vec![product(1, "adult", Left::Plenty), product(2, "child", Left::Held)],
        draw: draw.clone(),
    }
}

fn drawn() -> DrawShown {
    let hash = |pair: &str| pair.repeat(32);
    DrawShown {
        beacon: BeaconKind::Drand,
        round: 4_123_456,
        seed_hash: hash("8f"),
        m: 18_204,
        root: hash("b4"),
        beacon_value: hash("0a"),
        server_seed: hash("77"),
        seed: hash("c0"),
        weak: false,
    }
}

fn waiting() -> Status {
    Status {
        lane: Some(Lane::General),
        number: Some(12_345),
        rank: Some(5_821),
        ahead: Some(3_204),
        eta: Some(Band { from_s: 270, to_s: 390, because: None }),
        stock: Some(Left::Plenty),
        chance: Some(Chance::High),
        ..bare(Standing::Waiting, now(), false)
    }
}

fn shown(language: Language, status: &Status, public: &PublicState) -> String {
    let seen = status.ahead.map(|ahead| Seen::with(None, 5_821, ahead, false));
    let page = QueuePage::new(language, &exhibition(), status, public, Around { seen, ..Around::default() });
    page.render().unwrap()
}

#[track_caller]
fn has(page: &str, all: &[&str]) {
    for words in all {
        assert!(page.contains(words), "no '{words}' in {page}");
    }
}

#[test]
fn every_state_says_what_it_means_and_offers_what_can_be_done() {
    let ko = |status: &Status, phase| shown(Language::Ko, status, &public(phase, &drawn()));
    let of = |state| Status { state, ..waiting() };
    has(
        &ko(&waiting(), "open"),
        &["3,204명", "약 4~7분", "12,345", "5,821", "넉넉합니다", "지금 입장하기", "/leave", "/park"],
    );

    let outside = bare(Standing::Outside, now(), false);
    has(&ko(&outside, "open"), &["action=\"/bbb/queue/join\"", "줄 서기"]);
    let closed = ko(&outside, "drain");
    has(&closed, &["새로 줄을 서실 수 없습니다"]);
    assert!(!closed.contains("/join"));

    let opens_at = Some("2026-12-03T01:00:00Z".parse().unwrap());
    let early = Status { opens_at, ahead: None, rank: None, ..of(Standing::Prequeue) };
    has(&ko(&early, "prequeue"), &["data-left=\"73000\"", "12월 3일 (목) 10:00", "접수 번호", &"8f".repeat(8)]);
    has(&ko(&early, "frozen"), &["순서를 추첨하고 있습니다", &"b4".repeat(8)]);

    let turn = Status { claim_left_ms: Some(118_000), extendable: Some(true), ahead: None, ..of(Standing::YourTurn) };
    let turn_page = ko(&turn, "open");
    has(
        &turn_page,
        &["action=\"/bbb/queue/claim\"", "action=\"/bbb/queue/extend\"", "10:00:45까지", "data-left=\"118000\""],
    );
    assert!(!turn_page.contains("/leave"), "not beside the button that lets in");
    assert!(!ko(&Status { extendable: Some(false), ..turn }, "open").contains("/extend"), "once");

    has(&ko(&of(Standing::Late), "open"), &["/claim", "맨 뒤로 가지 않습니다"]);
    has(&ko(&of(Standing::Admitted), "open"), &["href=\"/bbb/order\"", "예매하러 가기"]);
    let reason = Some("결제사 <점검>".to_owned());
    has(&ko(&Status { reason, ..of(Standing::Paused) }, "paused"), &["결제사 &#60;점검&#62;", "번호와 순서는 그대로"]);
    has(&ko(&of(Standing::Stopped), "stopped"), &["중단했습니다", "번호와 순서는 그대로"]);
    let sold_out = Status { stock: Some(Left::None), chance: Some(Chance::None), ..waiting() };
    has(&ko(&sold_out, "open"), &["모두 팔렸습니다", "data-key=\"waiting,false,true,true\""]);
    let worse = Status { ahead_because: Some("rejoined"), stale: true, ..waiting() };
    has(&ko(&worse, "open"), &["돌아오셔서", "id=\"stale\">"]);
    has(
        &QueuePage::trouble(Language::Ko, &exhibition(), Vec::new()).render().unwrap(),
        &["번호는 그대로 지켜 드립니다"],
    );
}

#[test]
fn the_page_is_light_and_reloads_only_where_there_is_no_script() {
    let assets: usize = ["app.css", "queue.js", "icon.svg"]
        .iter()
        .map(|name| std::fs::metadata(format!("web/assets/{name}")).unwrap().len() as usize)
        .sum();
    for language in [Language::Ko, Language::En] {
        let status = Status { ahead_because: Some("late_lane"), ..waiting() };
        let page = shown(language, &status, &public("open", &drawn()));
        assert!(page.len() + assets < WEIGHT_MAX, "{} + {assets}", page.len());
        assert_eq!(page.matches("<noscript><meta http-equiv=\"refresh\"").count(), 1);
        assert_eq!(page.matches("http-equiv=\"refresh\"").count(), 1);
        assert!(!page.contains("<exhibition>") && !page.contains("<전시>"), "names are text");
        for inline in ["<style", " style=", "onclick", "<script>"] {
            assert!(!page.contains(inline), "{inline}");
        }
        let around = Around { still: true, ..Around::default() };
        let still =
            QueuePage::new(language, &exhibition(), &status, &public("open", &drawn()), around).render().unwrap();
        assert!(!still.contains("http-equiv"), "the visitor has switched it off");
    }
}

#[test]
fn a_draw_shows_what_is_known_and_no_more() {
    let page =
        |draw: &DrawShown| DrawPage::new(Language::Ko, &exhibition(), &public("open", draw)).unwrap().render().unwrap();
    has(&page(&DrawShown::default()), &["순서 추첨이 없습니다"]);
    let committed =
        DrawShown { seed: String::new(), server_seed: String::new(), beacon_value: String::new(), ..drawn() };
    let before = page(&committed);
    has(&before, &["아직 추첨하지 않았습니다", &"8f".repeat(32), &"b4".repeat(32), "4,123,456"]);
    assert!(!before.contains("draw-json") && !before.contains("id=\"verify\""));
    // Whoever is in the cohort need not wait for the draw to know it.
    has(&before, &["id=\"mine\" data-code=\"bbb\" data-m=\"18204\"", "/queue/proof\"", "draw."]);
    let after = page(&drawn());
    for id in ["draw-json", "verify", "number", "result", "witness"] {
        has(&after, &[&format!("id=\"{id}\"")]);
    }
    has(&after, &["\"algorithm\":\"wr-draw-v1\"", "\"m\":18204", "verify_draw.", "/api/exhibitions/bbb/queue/draw"]);
    has(&page(&DrawShown { weak: true, ..drawn() }), &["보증이 약합니다"]);
}
