//! The same call twice, and calls that meet: one thing is made, and nothing is half gone.

use std::collections::BTreeSet;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use super::{By, EXHIBITIONS, PRODUCTS, SLOTS, adult, id, revision};
use crate::support::given::places;
use crate::support::held_up::HeldUp;
use crate::support::{Answer, Kind, TestApp, race};

impl By<'_> {
    async fn keyed(&self, path: &str, key: &str, body: &Value) -> Answer {
        let post = self.app.http.post(self.app.url(path)).bearer_auth(&self.token).header("idempotency-key", key);
        Answer::of(post.json(body)).await
    }
}

#[tokio::test]
async fn a_double_click_makes_one_thing() {
    let app = TestApp::start().await;
    app.given(Kind { slot_places: Some(5), ..places(5) }).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let owner = app.owner().await;
    let made = race(6, async |_| owner.keyed(PRODUCTS, "1", &adult("xyz", 30)).await.expect(201)).await;
    let ids: BTreeSet<i32> = made.iter().map(id).collect();
    assert_eq!(ids.len(), 1, "{ids:?}");
    owner.keyed(PRODUCTS, "1", &adult("xyz", 31)).await.refused(422, "idempotency.key_reused");
    // What somebody has changed since is as it is now.
    let product = id(&made[0]);
    owner.put(&format!("{PRODUCTS}/{product}"), revision(&made[0]), json!({ "name_en": "Grown-up" })).await.expect(200);
    let again = owner.keyed(PRODUCTS, "1", &adult("xyz", 30)).await.expect(201);
    assert_eq!((id(&again), again.text("name_en")), (product, "Grown-up".into()));
    // Another key, no key, and another exhibition's key are other wishes.
    for other in [
        owner.keyed(PRODUCTS, "2", &adult("xyz", 30)).await,
        owner.post(PRODUCTS, adult("xyz", 30)).await,
        owner.post(PRODUCTS, adult("xyz", 30)).await,
        owner.keyed(PRODUCTS, "1", &adult("other", 30)).await,
    ] {
        assert!(!ids.contains(&id(&other.expect(201))));
    }
    let recorded = "select count(*) from admin_audit where action = 'product.create'";
    assert_eq!(app.db.one::<i64>(recorded).await, 5);

    // A slot has its hour, and an exhibition its code.
    let slot =
        json!({ "exhibition": "xyz", "date": app.day(9), "start_time": "10:00", "end_time": "11:00", "total": 5 });
    let exhibition = app.new_exhibition("spring");
    for (path, body) in [(SLOTS, &slot), (EXHIBITIONS, &exhibition)] {
        let made = race(6, async |_| owner.post(path, body.clone()).await).await;
        let won = made.iter().filter(|answer| answer.status == 201).count();
        let taken = made.iter().filter(|answer| answer.body["errors"][0]["code"] == "taken").count();
        assert_eq!((won, taken), (1, 5), "{made:?}");
    }
    app.finish().await;
}

fn gift(product: i32, date: &str) -> Value {
    json!({ "items": [{ "product_id": product, "quantity": 1 }], "visit_date": date, "reason": "press" })
}

const GIFTS: &str = "/api/admin/exhibitions/xyz/complimentary";
/// Orders for a product that is not there.
const LOST: &str =
    "select count(*) from order_items i where not exists (select from products p where p.id = i.product_id)";

/// Whoever looks for orders and then deletes, without the lock of the places, misses the one that is being written.
async fn careless(app: &TestApp) -> i64 {
    let (owner, product, date) = with_a_new_product(app).await;
    let writer = HeldUp::orders(app).await;
    let gift = gift(product, &date);
    let (given, ()) = tokio::join!(owner.keyed(GIFTS, "1", &gift), async {
        writer.in_the_middle().await;
        let ordered = format!("select exists (select from order_items where product_id = {product})");
        assert!(!app.db.one::<bool>(&ordered).await);
        app.db.execute(&format!("delete from products where id = {product}")).await;
        writer.go_on().await;
    });
    assert!(given.status >= 201);
    app.db.one(LOST).await
}

async fn with_a_new_product(app: &TestApp) -> (By<'_>, i32, String) {
    let given = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let owner = app.owner().await;
    let product = id(&owner.post(PRODUCTS, adult("xyz", 30)).await.expect(201));
    app.refresh().await;
    (owner, product, given.date.unwrap())
}

#[tokio::test]
async fn a_product_that_is_given_away_at_this_moment_is_not_deleted() {
    let app = TestApp::start().await;
    assert_eq!(careless(&app).await, 1, "the control loses it");
    app.db.drop().await;

    let app = TestApp::start().await;
    let (owner, product, date) = with_a_new_product(&app).await;
    let writer = HeldUp::orders(&app).await;
    let path = format!("{PRODUCTS}/{product}");
    let gift = gift(product, &date);
    let (given, ended, ()) = tokio::join!(
        owner.keyed(GIFTS, "1", &gift),
        async {
            writer.in_the_middle().await;
            owner.delete(&path, 1).await
        },
        async {
            writer.in_the_middle().await;
            writer.waited_for().await;
            writer.go_on().await;
        },
    );
    given.expect(201);
    assert_eq!(ended.expect(200).text("outcome"), "archived");
    assert_eq!(app.db.one::<i64>(LOST).await, 0);
    // The other way round there is nothing left to give.
    let another = id(&owner.post(PRODUCTS, adult("xyz", 30)).await.expect(201));
    app.refresh().await;
    let gone = format!(
        "delete from products where id = {another}; delete from stock where id not in (select stock_id from products union select stock_id from slots)"
    );
    app.db.execute(&gone).await;
    let refused = owner.keyed(GIFTS, "2", &self::gift(another, &date)).await;
    assert!(refused.status == 409 || refused.status == 503, "{refused:?}");
    assert_eq!(app.db.one::<i64>(LOST).await, 0);
    app.db.drop().await;
}

/// A draft is deleted whole, or kept with what was set up for it meanwhile.
#[tokio::test]
async fn a_draft_that_is_set_up_at_this_moment_is_kept_or_gone() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let owner = app.owner().await;
    for round in 0..12 {
        let code = format!("draft-{round}");
        owner.post(EXHIBITIONS, app.new_exhibition(&code)).await.expect(201);
        app.refresh().await;
        let one = format!("{EXHIBITIONS}/{code}");
        let device = json!({ "gate": "north", "name": "phone" });
        let gifts = format!("{one}/complimentary");
        let (path, gift) = (format!("{one}/devices"), gift(1, &app.day(1)));
        let (ended, added, given) =
            tokio::join!(owner.delete(&one, 1), owner.post(&path, device), owner.keyed(&gifts, "1", &gift));
        // Nothing is given away of what nobody knows yet.
        assert!([404, 409, 422].contains(&given.status), "{given:?}");
        match added.status {
            201 => assert_eq!(ended.expect(200).text("outcome"), "archived"),
            404 => assert_eq!(ended.expect(200).text("outcome"), "deleted"),
            _ => panic!("{added:?} {ended:?}"),
        }
    }
    app.finish().await;
}

/// A device that is being added when its draft is deleted is waited for.
#[tokio::test]
async fn a_device_that_is_being_added_keeps_its_draft() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let owner = app.owner().await;
    owner.post(EXHIBITIONS, app.new_exhibition("draft")).await.expect(201);
    app.refresh().await;
    let one = format!("{EXHIBITIONS}/draft");
    let mut client = app.db.client().await;
    let adding = client.transaction().await.unwrap();
    let add = "insert into devices (id, exhibition_id, gate, name, enrol_digest, enrol_until, created_by, created_at)
               select gen_random_uuid(), id, 'north', 'phone', '\\x00', now(), 1, now() from exhibitions where code = 'draft'";
    adding.execute(add, &[]).await.unwrap();
    let (ended, ()) = tokio::join!(owner.delete(&one, 1), async {
        let waits =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        app.until("the deleting waits", async || app.db.one::<i64>(waits).await > 0).await;
        adding.commit().await.unwrap();
    });
    assert_eq!(ended.expect(200).text("outcome"), "archived");
    let helper = app.by("kim", Role::Admin, &["xyz"]).await;
    helper.call(Method::DELETE, &one, Some(2), None).await.refused(403, "auth.forbidden");
    app.finish().await;
}

/// The least that a room is made of. `naive`: without a look at its exhibition, which may be going.
fn add_room(naive: bool, exhibition_id: i32) -> String {
    let columns = "exhibition_id, phase_at, capacity, slack, rate_per_min, claim_window_s, idle_s, hard_s, late_share_pct, invited_share_pct,
                   stock_factor_pct, draw, beacon, freeze_lead_s, safety_on_per_s, safety_off_after_s, brake_p99_ms, brake_error_pct";
    let of = "now(), 1, 0, 60, 60, 60, 120, 20, 0, 100, false, 'local', 60, 0, 60, 1000, 5";
    match naive {
        true => format!("insert into rooms ({columns}) values ({exhibition_id}, {of})"),
        false => format!(
            "insert into rooms ({columns}) select id, {of} from exhibitions where id = {exhibition_id} for key share"
        ),
    }
}

async fn draft(app: &TestApp, owner: &By<'_>, code: &str) -> i32 {
    owner.post(EXHIBITIONS, app.new_exhibition(code)).await.expect(201);
    app.refresh().await;
    app.db.one(&format!("select id from exhibitions where code = '{code}'")).await
}

async fn somebody_waits(app: &TestApp) {
    let waits = "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
    app.until("somebody waits", async || app.db.one::<i64>(waits).await > 0).await;
}

/// Whoever sets up the room of a draft that somebody deletes at this moment finds it gone, and is told so.
#[tokio::test]
async fn a_room_that_is_set_up_when_its_draft_goes_is_answered_that_it_is_gone() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let owner = app.owner().await;
    let mut client = app.db.client().await;
    for (code, control) in [("naive", true), ("waits", false)] {
        let id = draft(&app, &owner, code).await;
        // As `exhibitions::end` does it, held before its commit.
        let deleting = client.transaction().await.unwrap();
        let whole =
            format!("select from exhibitions where id = {id} for update; delete from exhibitions where id = {id}");
        deleting.batch_execute(&whole).await.unwrap();
        let setting_up = async {
            if control {
                let other = app.db.client().await;
                let refused = other.batch_execute(&add_room(true, id)).await.unwrap_err();
                // Which nobody can tell from a mistake of ours: a 500.
                assert_eq!(refused.as_db_error().unwrap().constraint(), Some("room_exhibition"));
            } else {
                let answer = owner.put_room(code, 1, json!({ "capacity": 9 })).await;
                answer.refused(404, "catalogue.unknown_exhibition");
            }
        };
        tokio::join!(setting_up, async {
            somebody_waits(&app).await;
            deleting.commit().await.unwrap();
        });
    }
    assert_eq!(app.db.one::<i64>("select count(*) from rooms").await, 0);

    // The other way round the draft takes along a room that nobody has set.
    let id = draft(&app, &owner, "stays").await;
    let adding = client.transaction().await.unwrap();
    adding.batch_execute(&add_room(false, id)).await.unwrap();
    let one = format!("{EXHIBITIONS}/stays");
    let (ended, ()) = tokio::join!(owner.delete(&one, 1), async {
        somebody_waits(&app).await;
        adding.commit().await.unwrap();
    });
    assert_eq!(ended.expect(200).text("outcome"), "deleted");
    assert_eq!(app.db.one::<i64>("select count(*) from rooms").await, 0);
    app.finish().await;
}

#[tokio::test]
async fn a_room_and_the_end_of_its_draft_meet_in_every_order() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let owner = app.owner().await;
    for round in 0..16 {
        let code = format!("draft-{round}");
        let id = draft(&app, &owner, &code).await;
        let one = format!("{EXHIBITIONS}/{code}");
        let move_it = format!("{one}/room/phase");
        let (ended, set, moved) = tokio::join!(
            owner.delete(&one, 1),
            owner.put_room(&code, 1, json!({ "capacity": 9 })),
            owner.call(Method::POST, &move_it, Some(1), Some(json!({ "to": "bypass" }))),
        );
        let rooms: i64 = app.db.one(&format!("select count(*) from rooms where exhibition_id = {id}")).await;
        let gone = [&set, &moved].iter().filter(|answer| answer.status == 404).count();
        match ended.expect(200).text("outcome").as_str() {
            "archived" => assert_eq!((rooms, gone), (1, 0), "{set:?} {moved:?}"),
            _ => assert_eq!((rooms, gone), (0, 2), "{set:?} {moved:?}"),
        }
        // Of the two one may have been second.
        assert!([&set, &moved].iter().all(|answer| [200, 404, 412].contains(&answer.status)), "{set:?} {moved:?}");
    }
    app.finish().await;
}
