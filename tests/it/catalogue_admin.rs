//! The catalogue as its admins run it: from a draft to a ticket, copied, changed during the sale, paused and archived; who
//! may not, what is refused, and what stays on record.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use admit::admin::Role;
use admit::catalogue::Catalogue;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};

const EXHIBITIONS: &str = "/api/admin/exhibitions";
const PRODUCTS: &str = "/api/admin/products";
const SLOTS: &str = "/api/admin/slots";
const SALES: &str = "/api/admin/sales";

/// Somebody with an access token.
struct By<'a> {
    app: &'a TestApp,
    token: String,
}

impl TestApp {
    async fn by(&self, name: &str, role: Role, exhibitions: &[&str]) -> By<'_> {
        self.account(name, role, exhibitions).await;
        By { app: self, token: self.access_token(name).await }
    }

    async fn owner(&self) -> By<'_> {
        self.by("owner", Role::SuperAdmin, &[]).await
    }

    /// A day from today on, in Seoul.
    pub fn day(&self, ahead: i64) -> String {
        let today = self.app().clock.today_in_seoul();
        today.checked_add(jiff::Span::new().days(ahead)).unwrap().to_string()
    }

    pub fn instant(&self, ahead_h: i64) -> String {
        (self.app().clock.now() + jiff::SignedDuration::from_hours(ahead_h)).to_string()
    }

    pub fn new_exhibition(&self, code: &str) -> Value {
        json!({
            "code": code, "name_ko": "새 전시", "name_en": "New one", "starts_on": self.day(0), "ends_on": self.day(60),
            "sale_start": self.instant(-1), "sale_end": self.instant(24 * 30),
        })
    }

    /// Everything that these calls may change, in words.
    async fn catalogue_rows(&self) -> String {
        self.db
            .one(
                "select jsonb_build_array(
                    (select jsonb_agg(to_jsonb(e) order by id) from exhibitions e), (select jsonb_agg(to_jsonb(p) order by id) from products p),
                    (select jsonb_agg(to_jsonb(s) order by id) from slots s), (select jsonb_agg(to_jsonb(t) order by id) from stock t),
                    (select jsonb_agg(to_jsonb(a)) from sales a), (select count(*) from admin_audit))::text",
            )
            .await
    }

    /// Action, before and after of what was recorded last.
    async fn recorded(&self) -> (String, Value, Value) {
        let row = self.db.client().await;
        let row = row.query_one("select action, before, after from admin_audit order by id desc limit 1", &[]).await;
        let row = row.unwrap();
        (row.get(0), row.get(1), row.get(2))
    }
}

impl By<'_> {
    async fn call(&self, method: Method, path: &str, seen: Option<i64>, body: Option<Value>) -> Answer {
        let mut call = self.app.http.request(method, self.app.url(path)).bearer_auth(&self.token);
        if let Some(revision) = seen {
            call = call.header("if-match", format!("\"{revision}\""));
        }
        if let Some(body) = body {
            call = call.json(&body);
        }
        Answer::of(call).await
    }

    async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, None, None).await
    }

    async fn post(&self, path: &str, body: Value) -> Answer {
        self.call(Method::POST, path, None, Some(body)).await
    }

    async fn put(&self, path: &str, seen: i64, body: Value) -> Answer {
        self.call(Method::PUT, path, Some(seen), Some(body)).await
    }

    async fn delete(&self, path: &str, seen: i64) -> Answer {
        self.call(Method::DELETE, path, Some(seen), None).await
    }

    async fn exhibition(&self, code: &str) -> Answer {
        self.get(&format!("{EXHIBITIONS}/{code}")).await.expect(200)
    }

    /// Changes an exhibition as it is now.
    async fn set(&self, code: &str, change: Value) -> Answer {
        let seen = revision(&self.exhibition(code).await);
        self.put(&format!("{EXHIBITIONS}/{code}"), seen, change).await
    }

    async fn product(&self, code: &str, id: i32) -> Value {
        let list = self.get(&format!("{PRODUCTS}?exhibition={code}")).await.expect(200);
        list.body["products"].as_array().unwrap().iter().find(|p| p["id"] == id).unwrap().clone()
    }

    async fn set_product(&self, given: &Given, change: Value) -> Answer {
        let seen = self.product(given.code, given.product_id).await["revision"].as_i64().unwrap();
        self.put(&format!("{PRODUCTS}/{}", given.product_id), seen, change).await
    }

    async fn slot(&self, code: &str, id: i32) -> Value {
        let list = self.get(&format!("{SLOTS}?exhibition={code}")).await.expect(200);
        list.body["slots"].as_array().unwrap().iter().find(|s| s["id"] == id).unwrap().clone()
    }

    async fn set_slot(&self, given: &Given, change: Value) -> Answer {
        let id = given.slot_id.unwrap();
        let seen = self.slot(given.code, id).await["revision"].as_i64().unwrap();
        self.put(&format!("{SLOTS}/{id}"), seen, change).await
    }
}

fn revision(answer: &Answer) -> i64 {
    answer.body["revision"].as_i64().unwrap_or_else(|| panic!("no revision in {}", answer.body))
}

fn id(answer: &Answer) -> i32 {
    answer.body["id"].as_i64().unwrap() as i32
}

fn field(answer: Answer) -> (String, String) {
    let error = answer.refused(422, "request.invalid").body["errors"][0].clone();
    (error["field"].as_str().unwrap().to_owned(), error["code"].as_str().unwrap().to_owned())
}

fn is(name: &str, code: &str) -> (String, String) {
    (name.to_owned(), code.to_owned())
}

async fn public(app: &TestApp, path: &str) -> Answer {
    Answer::of(app.http.get(app.url(path))).await
}

pub fn adult(code: &str, total: i32) -> Value {
    json!({ "exhibition": code, "kind": "adult", "name_ko": "성인", "name_en": "Adult", "price_won": 9000, "dated": true, "total": total })
}

#[tokio::test]
async fn an_exhibition_goes_from_a_draft_to_a_ticket() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let owner = app.owner().await;

    let made = owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
    assert_eq!((made.text("stage"), revision(&made)), ("draft".into(), 1));
    assert_eq!((&made.body["hold_ttl_s"], &made.body["payment_provider"]), (&json!(600), &json!("toss")));
    let product = owner.post(PRODUCTS, adult("spring", 50)).await.expect(201);
    assert_eq!((&product.body["offered"], &product.body["active"]), (&json!(50), &json!(true)));
    let ask =
        json!({ "exhibition": "spring", "date": app.day(3), "start_time": "10:00", "end_time": "12:00", "total": 5 });
    let slot = owner.post(SLOTS, ask).await.expect(201);
    assert_eq!(slot.text("start_time"), "10:00:00");
    let given = Given {
        code: "spring",
        exhibition_id: app.db.one("select id from exhibitions where code = 'spring'").await,
        product_id: id(&product),
        stock_id: app.db.one("select max(stock_id) from products").await,
        slot_id: Some(id(&slot)),
        slot_stock_id: Some(app.db.one("select max(stock_id) from slots").await),
        date: Some(app.day(3)),
    };

    // Nobody but its admins knows a draft.
    let nobody = Browser::new(&app);
    for path in ["/api/exhibitions/spring", "/api/exhibitions/spring/products", "/api/exhibitions/spring/queue/state"] {
        public(&app, path).await.refused(404, "catalogue.unknown_exhibition");
    }
    for path in ["/spring", "/spring/order", "/spring/queue"] {
        assert_eq!(nobody.get(path).await.status, 404, "{path}");
    }
    nobody.get("/").await.expect(200, &[]).without("/spring");
    nobody.get("/sitemap.xml").await.expect(200, &["/xyz"]).without("/spring");
    assert!(!public(&app, "/api/exhibitions").await.body.to_string().contains("spring"));
    app.visitor(1).order(&given, 1).await.refused(404, "catalogue.unknown_exhibition");

    let published = owner.set("spring", json!({ "stage": "published" })).await.expect(200);
    assert_eq!((published.text("stage"), published.text("name_ko")), ("published".into(), "새 전시".into()));
    public(&app, "/api/exhibitions/spring").await.expect(200);
    nobody.get("/").await.expect(200, &["/spring"]);
    let order = app.visitor(1).held(&given, 2).await;
    app.visitor(1).pay(&order).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets").await, 2);
    app.visitor(2).order(&given, 4).await.refused(409, "stock.sold_out");
    let slot = owner.slot("spring", given.slot_id.unwrap()).await;
    assert_eq!((&slot["sold"], &slot["held"]), (&json!(2), &json!(0)));
    assert_eq!(field(owner.set("spring", json!({ "stage": "draft" })).await), is("stage", "illegal_move"));
    app.finish().await;
}

#[tokio::test]
async fn an_archived_exhibition_sells_nothing_and_keeps_its_orders() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let visitor = app.visitor(1);
    let (held, paid) = (visitor.held(&adult, 1).await, app.visitor(2).held(&adult, 2).await);
    app.visitor(2).pay(&paid).await.expect(200);

    let seen = revision(&admin.exhibition("xyz").await);
    let ended = admin.delete(&format!("{EXHIBITIONS}/xyz"), seen).await.expect(200);
    assert_eq!(ended.text("outcome"), "archived");
    assert_eq!(public(&app, "/api/exhibitions").await.expect(200).body["exhibitions"], json!([]));
    Browser::new(&app).get("/").await.expect(200, &[]).without("/xyz");
    app.visitor(3).order(&adult, 1).await.refused(409, "sale.ended");
    assert_eq!(public(&app, "/api/exhibitions/xyz/products").await.expect(200).body["products"][0]["state"], "ended");

    // What was begun goes on: paying, reading, giving back.
    visitor.pay(&held).await.expect(200);
    app.visitor(2).read(&paid).await.expect(200);
    let refund = app.http.post(app.url(&format!("/api/orders/{}/refund", paid.number))).bearer_auth(&paid.token);
    let refund = refund.header("idempotency-key", "back").json(&json!({ "reason": "x", "preview": true }));
    assert_ne!(Answer::of(refund).await.status, 404);
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where state = 'valid'").await, 3);
    // By mistake: back again.
    admin.set("xyz", json!({ "stage": "published" })).await.expect(200);
    app.visitor(3).order(&adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn a_draft_without_orders_goes_and_its_code_can_be_used_again() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    for round in 0..3 {
        owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
        let twice = owner.post(EXHIBITIONS, app.new_exhibition("spring")).await;
        assert_eq!(field(twice), is("code", "taken"));
        let ask = json!({ "exhibition": "spring", "kind": "open", "name_ko": "자유", "name_en": "Open", "price_won": 0, "dated": false, "total": 3 });
        let product = owner.post(PRODUCTS, ask).await.expect(201);
        if round < 2 {
            let ended = owner.delete(&format!("{EXHIBITIONS}/spring"), 1).await.expect(200);
            assert_eq!(ended.text("outcome"), "deleted");
            assert_eq!(app.db.one::<i64>("select count(*) from stock").await, 0);
            continue;
        }
        // Redis remembers what was before, and sells what is now.
        owner.set("spring", json!({ "stage": "published" })).await.expect(200);
        let given = Given {
            code: "spring",
            exhibition_id: 0,
            product_id: id(&product),
            stock_id: app.db.one("select id from stock").await,
            slot_id: None,
            slot_stock_id: None,
            date: None,
        };
        app.visitor(1).order(&given, 3).await.expect(201);
        app.visitor(2).order(&given, 1).await.refused(409, "stock.sold_out");
    }
    app.finish().await;
}

#[tokio::test]
async fn another_exhibition_is_copied_on_other_days_without_its_orders() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(7), person_limit: Some(4), ..places(40) }).await;
    let order = app.visitor(1).held(&adult, 2).await;
    app.visitor(1).pay(&order).await.expect(200);
    let owner = app.owner().await;
    owner.set_product(&adult, json!({ "offered": 30, "sale_end": app.instant(100) })).await.expect(200);
    let rules = json!({ "exhibition": { "early_min": 5, "late_min": 1, "gates": null, "entries": "once", "per_day": 1, "reentry": false, "gap_s": 0 },
        "products": { adult.product_id.to_string(): { "early_min": 9, "late_min": 1, "gates": null, "entries": "once", "per_day": 1, "reentry": false, "gap_s": 0 } },
        "walk_ins": true });
    let set = app.http.put(app.url(&format!("{EXHIBITIONS}/xyz/entry-rules"))).bearer_auth(&owner.token).json(&rules);
    Answer::of(set).await.expect(200);

    let ask = json!({ "code": "next", "copy_from": "xyz", "first_day": app.day(99), "name_en": "The next one" });
    let made = owner.post(EXHIBITIONS, ask).await.expect(201);
    assert_eq!((made.text("stage"), made.text("starts_on")), ("draft".into(), app.day(99)));
    // It began yesterday: a hundred days on.
    assert_eq!((made.text("ends_on"), made.text("name_en")), (app.day(160), "The next one".into()));
    assert_eq!((&made.body["person_limit"], made.text("name_ko")), (&json!(4), "시험 전시".into()));
    let source = owner.exhibition("xyz").await;
    let instant = |answer: &Answer, field: &str| answer.text(field).parse::<jiff::Timestamp>().unwrap();
    let apart = instant(&made, "sale_start").duration_since(instant(&source, "sale_start"));
    assert_eq!(apart, jiff::SignedDuration::from_hours(24 * 100));
    assert_eq!(made.body["refund_rules"], source.body["refund_rules"]);

    let products = owner.get(&format!("{PRODUCTS}?exhibition=next")).await.expect(200);
    let [product] = products.body["products"].as_array().unwrap().as_slice() else { panic!("{}", products.body) };
    assert_eq!((&product["total"], &product["offered"], &product["sold"]), (&json!(40), &json!(30), &json!(0)));
    let slots = owner.get(&format!("{SLOTS}?exhibition=next")).await.expect(200);
    let [slot] = slots.body["slots"].as_array().unwrap().as_slice() else { panic!("{}", slots.body) };
    assert_eq!((&slot["date"], &slot["total"], &slot["sold"]), (&json!(app.day(105)), &json!(7), &json!(0)));
    let copied = owner.get(&format!("{EXHIBITIONS}/next/entry-rules")).await.expect(200);
    assert_eq!((&copied.body["exhibition"], &copied.body["walk_ins"]), (&rules["exhibition"], &json!(true)));
    assert_eq!(copied.body["products"][product["id"].to_string()]["early_min"], 9);

    // It sells on its own places.
    owner.set("next", json!({ "stage": "published", "sale_start": app.instant(-1) })).await.expect(200);
    let given = Given {
        code: "next",
        product_id: product["id"].as_i64().unwrap() as i32,
        date: Some(app.day(105)),
        ..adult.clone()
    };
    app.visitor(2).order(&given, 3).await.expect(201);
    for (ask, name, code) in [
        (
            json!({ "code": "other", "copy_from": "nowhere", "first_day": app.day(9) }),
            "copy_from",
            "unknown_exhibition",
        ),
        (json!({ "code": "other", "copy_from": "xyz" }), "first_day", "required"),
        (
            json!({ "code": "other", "copy_from": "xyz", "first_day": app.day(9), "ends_on": app.day(9) }),
            "ends_on",
            "slots_outside",
        ),
        (json!({ "code": "other", "copy_from": "xyz", "first_day": "9999-12-31" }), "first_day", "out_of_range"),
    ] {
        assert_eq!(field(owner.post(EXHIBITIONS, ask).await), is(name, code));
    }
    app.finish().await;
}

#[tokio::test]
async fn a_change_of_what_the_caller_has_not_seen_is_refused() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(7), ..places(40) }).await;
    let owner = app.owner().await;
    let reply = app.http.get(app.url(&format!("{EXHIBITIONS}/xyz"))).bearer_auth(&owner.token).send().await.unwrap();
    assert_eq!(
        (&reply.headers()["etag"], &reply.headers()["cache-control"]),
        (&"\"1\"".parse().unwrap(), &"no-store".parse().unwrap())
    );

    let product = format!("{PRODUCTS}/{}", adult.product_id);
    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    let changes = [
        (format!("{EXHIBITIONS}/xyz"), "venue_ko"),
        (product.clone(), "name_ko"),
        (slot.clone(), "total"),
        (SALES.to_owned(), "reason_ko"),
    ];
    for (path, name) in &changes {
        let value =
            |n: usize| if *name == "total" { json!({ *name: 50 + n }) } else { json!({ *name: format!("곳 {n}") }) };
        let before = app.catalogue_rows().await;
        owner.call(Method::PUT, path, None, Some(value(0))).await.refused(428, "request.if_match_required");
        owner.put(path, 7, value(0)).await.refused(412, "request.changed_meanwhile");
        for tag in ["*", "", "x", "\"1\", \"2\""] {
            let call = app.http.put(app.url(path)).bearer_auth(&owner.token).header("if-match", tag).json(&value(0));
            Answer::of(call).await.refused(412, "request.changed_meanwhile");
        }
        assert_eq!(app.catalogue_rows().await, before, "{path}");
        // Of several who have seen the same, one is first.
        let answers = race(6, |n| owner.put(path, 1, value(n))).await;
        let won = answers.iter().filter(|a| a.status == 200).count();
        let stale = answers.iter().filter(|a| a.code() == "request.changed_meanwhile").count();
        assert_eq!((won, stale), (1, 5), "{path}");
        // As nginx writes it.
        let call = app.http.put(app.url(path)).bearer_auth(&owner.token).header("if-match", "W/\"2\"").json(&value(9));
        Answer::of(call).await.expect(200);
    }
    for path in [&changes[0].0, &product, &slot] {
        owner.call(Method::DELETE, path, None, None).await.refused(428, "request.if_match_required");
        owner.delete(path, 1).await.refused(412, "request.changed_meanwhile");
    }
    // The same again changes nothing, and is no change.
    let answer = owner.put(&product, 3, json!({ "name_ko": "곳 9" })).await.expect(200);
    assert_eq!(revision(&answer), 3);
    app.finish().await;
}

/// At every write of a place: no more than was on offer at that moment.
const WATCH: &str = "
    create table oversold (held int, sold int, offered int, total int);
    create function watch_stock() returns trigger language plpgsql as $$
    begin
        if new.held + new.sold > old.held + old.sold and new.held + new.sold > least(new.total, new.offered) then
            insert into oversold values (new.held, new.sold, new.offered, new.total);
        end if;
        return new;
    end $$;";

#[tokio::test]
async fn what_is_on_offer_changes_during_the_sale_and_never_more_is_sold() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    let adult = app.given(Kind { slot_places: Some(120), ..places(120) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    app.db
        .execute(&format!(
            "{WATCH} create trigger watch before update on stock for each row execute function watch_stock()"
        ))
        .await;

    let over = AtomicBool::new(false);
    let offers = [60, 20, 90, 0, 45, 10, 120, 30, 70];
    let change = async {
        let mut changed = 0;
        while !over.load(Ordering::Relaxed) || changed < offers.len() {
            let offered = offers[changed % offers.len()];
            let answer = if changed % 2 == 0 {
                admin.set_product(&adult, json!({ "offered": offered })).await
            } else {
                admin.set_slot(&adult, json!({ "offered": offered })).await
            };
            answer.expect(200);
            changed += 1;
        }
        changed
    };
    let sale = async {
        let answers = race(200, |n| {
            let (app, adult) = (&app, &adult);
            async move {
                let visitor = app.visitor(n).at(n % 2);
                let mut answer = visitor.order(adult, 1).await;
                // What is taken off may be put on again; some give up, some change their minds.
                for _ in 0..n % 4 {
                    if answer.status == 201 && n % 3 == 0 {
                        visitor.cancel(&Held::from(&answer)).await;
                    }
                    if answer.status == 201 && n % 3 != 0 {
                        break;
                    }
                    answer = visitor.order(adult, 1).await;
                }
                answer
            }
        })
        .await;
        over.store(true, Ordering::Relaxed);
        answers
    };
    let (changed, answers) = tokio::join!(change, sale);
    assert!(changed >= offers.len());
    let known = ["", "stock.sold_out", "stock.unready", "stock.busy", "order.open_holds"];
    assert!(
        answers.iter().all(|a| known.contains(&a.code())),
        "{:?}",
        answers.iter().map(Answer::code).collect::<Vec<_>>()
    );
    assert!(answers.iter().any(|a| a.status == 201) && answers.iter().any(|a| a.code() == "stock.sold_out"));
    assert_eq!(app.db.one::<i64>("select count(*) from oversold").await, 0);
    app.until("Redis and Postgres agree", async || app.stores_agree().await).await;

    // What is on offer now is what can be had, to the last place.
    let taken = app.stock(adult.stock_id).await.0;
    admin.set_slot(&adult, json!({ "offered": 120 })).await.expect(200);
    admin.set_product(&adult, json!({ "offered": taken + 2 })).await.expect(200);
    app.visitor(900).order(&adult, 3).await.refused(409, "stock.sold_out");
    app.visitor(901).order(&adult, 2).await.expect(201);
    app.visitor(902).order(&adult, 1).await.refused(409, "stock.sold_out");
    assert_eq!(app.redis_free(&adult).await, Some(0));

    assert!(careless_offer(&app).await > 0, "a careless writer must oversell, or this test proves nothing");
    app.finish().await;
}

/// What a careless server does: orders are decided on what was read before the offer was lowered.
async fn careless_offer(app: &TestApp) -> i64 {
    let table = "create table careless (held int, sold int, offered int, total int); insert into careless values (0, 0, 50, 50);
        create trigger watch before update on careless for each row execute function watch_stock()";
    app.db.execute(table).await;
    let clients = race(20, |_| app.db.client()).await;
    let gate = tokio::sync::Barrier::new(clients.len() + 1);
    let lower = async {
        // All have read by then, and nobody has written.
        gate.wait().await;
        app.db.execute("update careless set offered = 5").await;
        gate.wait().await;
    };
    let sale = race(clients.len(), |n| {
        let (client, gate) = (&clients[n], &gate);
        async move {
            let read = "select least(total, offered) - held - sold from careless";
            let free: i32 = client.query_one(read, &[]).await.unwrap().get(0);
            gate.wait().await;
            gate.wait().await;
            if free > 0 {
                client.execute("update careless set held = held + 1", &[]).await.unwrap();
            }
        }
    });
    tokio::join!(sale, lower);
    app.db.one("select count(*) from oversold").await
}

#[tokio::test]
async fn the_offer_is_decided_on_the_orders_that_came_first() {
    let app = TestApp::start().await;
    let adult = app.given(places(20)).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let waiting = async |n: i64| {
        let sql =
            "select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'";
        app.until("it waits for the row", async || app.db.one::<i64>(sql).await == n).await;
    };
    let holder = app.db.client().await;
    holder.batch_execute("begin; select id from stock for update").await.unwrap();
    let order = async { app.visitor(1).order(&adult, 2).await };
    let change = async {
        waiting(1).await;
        let path = format!("{PRODUCTS}/{}", adult.product_id);
        admin.put(&path, 1, json!({ "total": 1 })).await
    };
    let release = async {
        waiting(2).await;
        holder.batch_execute("rollback").await.unwrap();
    };
    let (order, change, ()) = tokio::join!(order, change, release);
    order.expect(201);
    assert_eq!(field(change), is("total", "below_taken"));
    app.finish().await;
}

#[tokio::test]
async fn what_redis_has_lost_or_counts_otherwise_is_repaired() {
    let redis = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(redis.url()), ..Options::default() }).await;
    let adult = app.given(places(20)).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    app.visitor(1).order(&adult, 2).await.expect(201);
    let counted = async |free: i64| app.redis_free(&adult).await == Some(free);

    redis.cli(&["flushall"]).await;
    admin.set_product(&adult, json!({ "offered": 12 })).await.expect(200);
    app.until("counted anew", async || counted(10).await).await;

    // A rebuild that has raised the epoch, and died.
    let mut client = app.app().pg.get().await.unwrap();
    let transaction = client.transaction().await.unwrap();
    admit::stock::pg::raise_epoch(&transaction, adult.exhibition_id).await.unwrap();
    transaction.commit().await.unwrap();
    drop(client);
    admin.set_product(&adult, json!({ "offered": 7 })).await.expect(200);
    assert!(counted(10).await, "what it counts is of another epoch");
    app.until("the audit has seen it", async || {
        app.tick("audit").await;
        counted(5).await
    })
    .await;
    app.visitor(2).order(&adult, 6).await.refused(409, "stock.sold_out");
    app.visitor(2).order(&adult, 5).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn fewer_may_be_offered_than_are_sold_but_never_fewer_exist() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 6).await;
    visitor.pay(&order).await.expect(200);
    let held = app.visitor(2).held(&adult, 2).await;

    admin.set_product(&adult, json!({ "offered": 3 })).await.expect(200);
    app.visitor(3).order(&adult, 1).await.refused(409, "stock.sold_out");
    // Places that come back below what is offered are not on sale.
    app.visitor(2).cancel(&held).await.expect(200);
    app.until("told", async || app.stores_agree().await).await;
    assert_eq!(app.redis_free(&adult).await, Some(0));
    app.visitor(3).order(&adult, 1).await.refused(409, "stock.sold_out");

    let before = app.catalogue_rows().await;
    let refused = admin.set_product(&adult, json!({ "total": 5 })).await.refused(422, "request.invalid");
    let error = &refused.body["errors"][0];
    assert_eq!((&error["field"], &error["code"]), (&json!("total"), &json!("below_taken")));
    assert!(error["detail"].as_str().unwrap().contains('6'), "{error}");
    assert_eq!(app.catalogue_rows().await, before);

    // As many as are sold, and then more. What is offered stays what it was, unless it was all.
    let shown = admin.set_product(&adult, json!({ "total": 6, "offered": 6 })).await.expect(200);
    assert_eq!((&shown.body["sold"], &shown.body["offered"]), (&json!(6), &json!(6)));
    let shown = admin.set_product(&adult, json!({ "total": 9 })).await.expect(200);
    assert_eq!(shown.body["offered"], 9);
    assert_eq!(app.redis_free(&adult).await, Some(3), "at once");
    app.visitor(3).order(&adult, 3).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn a_pattern_makes_what_is_missing_at_once() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(9), ..places(500) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let pattern = format!("{SLOTS}/pattern");
    let times = json!([{ "start": "10:00", "end": "12:00" }, { "start": "14:00", "end": "16:30" }]);
    let mut ask = json!({ "exhibition": "xyz", "from": app.day(7), "until": app.day(20), "weekdays": ["sat", "sun"], "times": times, "total": 8, "dry_run": true });

    let before = app.catalogue_rows().await;
    let planned = admin.post(&pattern, ask.clone()).await.expect(200);
    assert_eq!((planned.body["made"].as_array().unwrap().len(), &planned.body["made"][0]["id"]), (8, &Value::Null));
    assert_eq!(app.catalogue_rows().await, before);
    ask["dry_run"] = json!(false);
    let made = admin.post(&pattern, ask.clone()).await.expect(200);
    assert_eq!((made.body["made"].as_array().unwrap().len(), made.body["existing"].as_array().unwrap().len()), (8, 0));
    let one = made.body["made"][1].clone();
    assert_eq!((&one["start_time"], &one["end_time"]), (&json!("14:00:00"), &json!("16:30:00")));
    assert_eq!(app.recorded().await.0, "slot.pattern");
    // The same again, and with one more time: what is there is left alone.
    let again = admin.post(&pattern, ask.clone()).await.expect(200);
    assert_eq!(
        (again.body["made"].as_array().unwrap().len(), again.body["existing"].as_array().unwrap().len()),
        (0, 8)
    );
    ask["times"] = json!([{ "start": "10:00", "end": "11:00" }, { "start": "18:00", "end": "20:00" }]);
    ask["total"] = json!(3);
    let more = admin.post(&pattern, ask).await.expect(200);
    assert_eq!((more.body["made"].as_array().unwrap().len(), more.body["existing"].as_array().unwrap().len()), (4, 4));
    assert_eq!(admin.slot("xyz", one["id"].as_i64().unwrap() as i32).await["total"], 8);

    // On sale: Redis knows them.
    let mut order = app.visitor(1).ask(&adult, 8);
    order["visit_date"] = one["date"].clone();
    order["slot_id"] = one["id"].clone();
    Answer::of(app.visitor(1).post("/api/orders").json(&order)).await.expect(201);
    order["customer_phone"] = json!("010-7777-7777");
    order["items"][0]["quantity"] = json!(1);
    Answer::of(app.visitor(2).post("/api/orders").json(&order)).await.refused(409, "stock.sold_out");

    let base = json!({ "exhibition": "xyz", "from": app.day(0), "until": app.day(60), "total": 1 });
    let quarters: Vec<Value> =
        (0..48).map(|n| json!({ "start": format!("{:02}:{:02}", n / 2, n % 2 * 30), "end": format!("{:02}:{:02}", n / 2, n % 2 * 30 + 15) })).collect();
    for (change, name, code) in [
        (json!({ "until": app.day(61) }), "until", "outside_dates"),
        (json!({ "from": app.day(9), "until": app.day(8) }), "until", "before_start"),
        (json!({ "times": quarters }), "until", "too_many"),
        (json!({ "times": [{ "start": "10:00", "end": "10:00" }] }), "times[0].end", "before_start"),
        (
            json!({ "times": [{ "start": "10:00", "end": "11:00" }, { "start": "10:00", "end": "12:00" }] }),
            "times[1].start",
            "named_twice",
        ),
        (json!({ "times": vec![quarters[0].clone(); 49] }), "times", "too_many"),
        (json!({ "total": -1 }), "total", "out_of_range"),
        (json!({ "weekdays": ["someday"] }), "weekdays[0]", "malformed"),
    ] {
        let before = app.catalogue_rows().await;
        let mut ask = base.clone();
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(field(admin.post(&pattern, ask).await), is(name, code));
        assert_eq!(app.catalogue_rows().await, before);
    }
    app.finish().await;
}

#[tokio::test]
async fn many_slots_change_together_or_not_at_all() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(9), ..places(500) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let times = json!([{ "start": "10:00", "end": "12:00" }, { "start": "14:00", "end": "16:30" }]);
    let ask = json!({ "exhibition": "xyz", "from": app.day(7), "until": app.day(20), "times": times, "total": 8 });
    let made = admin.post(&format!("{SLOTS}/pattern"), ask).await.expect(200).body["made"].clone();
    let slot = |n: usize| made[n]["id"].as_i64().unwrap() as i32;
    let mut order = app.visitor(1).ask(&adult, 5);
    order["slot_id"] = json!(slot(0));
    order["visit_date"] = made[0]["date"].clone();
    Answer::of(app.visitor(1).post("/api/orders").json(&order)).await.expect(201);

    let bulk = format!("{SLOTS}/bulk");
    let mut ask =
        json!({ "exhibition": "xyz", "filter": { "starts": ["10:00"] }, "set": { "offered": 6 }, "dry_run": true });
    let before = app.catalogue_rows().await;
    let planned = admin.post(&bulk, ask.clone()).await.expect(200);
    assert_eq!(
        (planned.body["changed"].as_array().unwrap().len(), &planned.body["changed"][0]["offered"]),
        (14, &json!(6))
    );
    assert_eq!(app.catalogue_rows().await, before);
    ask["dry_run"] = json!(false);
    admin.post(&bulk, ask.clone()).await.expect(200);
    let (action, was, is_now) = app.recorded().await;
    assert_eq!((action.as_str(), was["slots"].as_object().unwrap().len()), ("slot.bulk", 14));
    assert_eq!(is_now["slots"][slot(0).to_string()], json!({ "slot": slot(0), "offered": 6 }));
    app.until("told", async || app.stores_agree().await).await;
    let shown = admin.slot("xyz", slot(0)).await;
    assert_eq!((&shown["offered"], &shown["revision"], &shown["held"]), (&json!(6), &json!(2), &json!(5)));
    assert_eq!(admin.slot("xyz", slot(1)).await["offered"], 8);
    let again = admin.post(&bulk, ask).await.expect(200);
    assert_eq!((&again.body["changed"], &again.body["unchanged"]), (&json!([]), &json!(14)));

    // One of them has sold too many: nothing changes, of none.
    let before = app.catalogue_rows().await;
    let ask = json!({ "exhibition": "xyz", "ids": [slot(0), slot(2)], "set": { "total": 4 } });
    let refused = admin.post(&bulk, ask).await;
    assert!(refused.body["errors"][0]["detail"].as_str().unwrap().contains('5'), "{}", refused.body);
    assert_eq!(field(refused), is("set.total", "below_taken"));
    for (change, name, code) in [
        (json!({ "set": { "closed": true } }), "ids", "required"),
        (json!({ "ids": [slot(0)], "filter": {}, "set": { "closed": true } }), "ids", "required"),
        (json!({ "ids": [slot(0)], "set": {} }), "set", "required"),
        (json!({ "ids": [slot(0), 999_999], "set": { "closed": true } }), "ids", "unknown_slot"),
        (json!({ "ids": [slot(0)], "set": { "offered": -1 } }), "offered", "out_of_range"),
    ] {
        let mut ask = json!({ "exhibition": "xyz" });
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        assert_eq!(field(admin.post(&bulk, ask).await), is(name, code));
    }
    assert_eq!(app.catalogue_rows().await, before);

    let ask = json!({ "exhibition": "xyz", "filter": { "from": app.day(7), "until": app.day(7) }, "set": { "closed": true } });
    assert_eq!(admin.post(&bulk, ask).await.expect(200).body["changed"].as_array().unwrap().len(), 2);
    order["customer_phone"] = json!("010-7777-7777");
    order["items"][0]["quantity"] = json!(1);
    let closed = Answer::of(app.visitor(2).post("/api/orders").json(&order)).await;
    assert_eq!(field(closed), is("visit_date", "closed"));
    app.finish().await;
}

#[tokio::test]
async fn a_pause_refuses_new_orders_everywhere_within_a_second_and_lets_people_pay() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    // Whoever asks whether it is paused may get a place.
    let adult = app.given(places(5_000)).await;
    let other = app.given(Kind { code: "other", ..places(5_000) }).await;
    let owner = app.owner().await;
    // As every process does.
    let elsewhere = app.instances[1].app.clone();
    let fresh = tokio::spawn(Catalogue::keep_fresh(elsewhere));
    let refuses = async |given: &Given, n: usize| app.visitor(n).at(1).order(given, 1).await.code() == "sale.paused";
    let mut n = 100;
    let mut soon = async |given: &Given, paused: bool| {
        let began = std::time::Instant::now();
        app.until("it is known elsewhere", async || {
            n += 1;
            refuses(given, n).await == paused
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(3), "{:?}", began.elapsed());
    };

    let held = app.visitor(1).held(&adult, 1).await;
    owner.set_product(&adult, json!({ "active": false })).await.expect(200);
    app.visitor(2).order(&adult, 1).await.refused(409, "sale.paused");
    soon(&adult, true).await;
    app.visitor(1).pay(&held).await.expect(200);
    owner.set_product(&adult, json!({ "active": true })).await.expect(200);
    soon(&adult, false).await;

    let held = app.visitor(3).held(&adult, 1).await;
    owner.set("xyz", json!({ "paused": true })).await.expect(200);
    app.visitor(4).order(&adult, 1).await.refused(409, "sale.paused");
    app.visitor(5).order(&other, 1).await.expect(201);
    soon(&adult, true).await;
    app.visitor(3).pay(&held).await.expect(200);
    owner.set("xyz", json!({ "paused": false })).await.expect(200);

    let held = app.visitor(6).held(&adult, 1).await;
    let pause = json!({ "paused": true, "reason_ko": "점검", "reason_en": "Maintenance" });
    assert_eq!(
        owner.get(SALES).await.expect(200).body,
        json!({ "revision": 1, "paused": false, "reason_ko": "", "reason_en": "" })
    );
    assert_eq!(field(owner.put(SALES, 1, json!({ "paused": true })).await), is("reason_ko", "required"));
    owner.put(SALES, 1, pause).await.expect(200);
    for given in [&adult, &other] {
        app.visitor(7).order(given, 1).await.refused(409, "sale.paused");
        soon(given, true).await;
    }
    let shown = public(&app, "/api/exhibitions/xyz").await.expect(200);
    assert_eq!((&shown.body["paused"], shown.text("pause_reason")), (&json!(true), "점검".into()));
    app.visitor(6).pay(&held).await.expect(200);
    assert_eq!(app.recorded().await.0, "sales.change");
    owner.put(SALES, 2, json!({ "paused": false })).await.expect(200);
    soon(&other, false).await;
    fresh.abort();
    app.finish().await;
}

#[tokio::test]
async fn what_somebody_has_an_order_for_stays() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let order = app.visitor(1).held(&adult, 2).await;

    assert_eq!(field(admin.set_product(&adult, json!({ "dated": false })).await), is("dated", "fixed"));
    assert_eq!(field(admin.set_slot(&adult, json!({ "date": app.day(6) })).await), is("date", "fixed"));
    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    admin.delete(&slot, 1).await.refused(409, "catalogue.slot_ordered");
    let ended = admin.delete(&format!("{PRODUCTS}/{}", adult.product_id), 1).await.expect(200);
    assert_eq!(ended.text("outcome"), "archived");
    assert_eq!(public(&app, "/api/exhibitions/xyz/products").await.expect(200).body["products"], json!([]));
    app.visitor(2).order(&adult, 1).await.refused(422, "request.invalid");
    // The order is what it was.
    app.visitor(1).pay(&order).await.expect(200);
    let read = app.visitor(1).read(&order).await.expect(200);
    assert!(read.body.to_string().contains("성인"), "{}", read.body);
    let ticket: uuid::Uuid = app.db.one("select id from tickets limit 1").await;
    let code = app.http.get(app.url(&format!("/api/tickets/{ticket}/qr.svg"))).bearer_auth(&order.token);
    Answer::of(code).await.expect(200);
    assert_eq!(admin.product("xyz", adult.product_id).await["archived"], true);
    admin.set_product(&adult, json!({ "archived": false })).await.expect(200);
    app.visitor(2).order(&adult, 1).await.expect(201);
    app.finish().await;
}

#[tokio::test]
async fn what_nobody_has_an_order_for_can_become_another_thing_or_go() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    // A place taken for the product as it was, before Postgres knows.
    let take = |stocks: &[i32]| {
        let lines: Vec<_> = stocks.iter().map(|id| admit::stock::Line { stock_id: *id, quantity: 1 }).collect();
        let redis = &app.app().redis;
        async move {
            let ask = admit::stock::redis::Ask {
                code: "xyz",
                hold_id: &[3; 16],
                fingerprint: &[4; 16],
                person: &[5; 16],
                places: 0,
                allowed: None,
                open_holds_max: None,
                pass: admit::stock::redis::Pass::None,
                lines: &lines,
            };
            admit::stock::redis::take(redis, &ask, 1).await.unwrap()
        }
    };
    admin.set_product(&adult, json!({ "dated": false })).await.expect(200);
    admin.set_slot(&adult, json!({ "date": app.day(6), "start_time": "10:00", "end_time": "11:00" })).await.expect(200);
    // Its places are others now: those of before can be had neither here nor there.
    let old = [adult.stock_id, adult.slot_stock_id.unwrap()];
    assert_eq!(take(&old).await, admit::stock::redis::Take::Unready);
    let left = format!("select count(*) from stock where id in ({}, {})", old[0], old[1]);
    assert_eq!(app.db.one::<i64>(&left).await, 0);
    app.visitor(1).order(&Given { date: None, ..adult.clone() }, 1).await.expect(201);

    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    assert_eq!(admin.delete(&slot, 2).await.expect(200).text("outcome"), "deleted");
    admin.delete(&slot, 2).await.refused(404, "catalogue.unknown_slot");
    let made = admin.post(PRODUCTS, self::adult("xyz", 4)).await.expect(201);
    let path = format!("{PRODUCTS}/{}", id(&made));
    assert_eq!(admin.delete(&path, 1).await.expect(200).text("outcome"), "deleted");
    admin.put(&path, 1, json!({})).await.refused(404, "catalogue.unknown_product");
    app.finish().await;
}

#[tokio::test]
async fn wrong_input_names_the_field_and_changes_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    let owner = app.owner().await;
    let exhibition = format!("{EXHIBITIONS}/xyz");
    let product = format!("{PRODUCTS}/{}", adult.product_id);
    let slot = format!("{SLOTS}/{}", adult.slot_id.unwrap());
    let rule = |days: i32, pct: i32| json!({ "days_before": days, "fee_pct": pct });
    let before = app.catalogue_rows().await;
    for (path, change, name, code) in [
        (&exhibition, json!({ "name_ko": "  " }), "name_ko", "required"),
        (&exhibition, json!({ "name_en": "x".repeat(101) }), "name_en", "too_long"),
        (&exhibition, json!({ "venue_ko": "a\u{202e}b" }), "venue_ko", "control_characters"),
        (&exhibition, json!({ "description_ko": "x".repeat(4_001) }), "description_ko", "too_long"),
        (&exhibition, json!({ "ends_on": app.day(-5) }), "ends_on", "before_start"),
        (&exhibition, json!({ "ends_on": app.day(3) }), "ends_on", "slots_outside"),
        (&exhibition, json!({ "ends_on": "2199-01-01" }), "ends_on", "out_of_range"),
        (&exhibition, json!({ "ends_on": "soon" }), "ends_on", "malformed"),
        (&exhibition, json!({ "sale_end": app.instant(-90) }), "sale_end", "before_start"),
        (&exhibition, json!({ "hold_ttl_s": 59 }), "hold_ttl_s", "out_of_range"),
        (&exhibition, json!({ "person_limit": 0 }), "person_limit", "out_of_range"),
        (&exhibition, json!({ "open_holds_max": 101 }), "open_holds_max", "out_of_range"),
        (&exhibition, json!({ "refund_free_h": -1 }), "refund_free_h", "out_of_range"),
        (&exhibition, json!({ "deposit_h": 0 }), "deposit_h", "out_of_range"),
        (&exhibition, json!({ "refund_rules": [rule(1, 101)] }), "refund_rules[0]", "out_of_range"),
        (&exhibition, json!({ "refund_rules": [rule(1, 0), rule(-1, 0)] }), "refund_rules[1]", "out_of_range"),
        (
            &exhibition,
            json!({ "refund_rules": [rule(1, 0), rule(1, 5)] }),
            "refund_rules[1].days_before",
            "named_twice",
        ),
        (&exhibition, json!({ "refund_rules": vec![rule(1, 0); 21] }), "refund_rules", "too_many"),
        (&exhibition, json!({ "refund_rules": "none" }), "refund_rules", "malformed"),
        (&exhibition, json!({ "payment_provider": "cash" }), "payment_provider", "malformed"),
        (&exhibition, json!({ "payment_provider": "stripe" }), "payment_provider", "not_set_up"),
        (&exhibition, json!({ "canary_pct": 5 }), "canary_provider", "required"),
        (&exhibition, json!({ "stage": "gone" }), "stage", "malformed"),
        (&product, json!({ "kind": "Adult!" }), "kind", "malformed"),
        (&product, json!({ "name_ko": "" }), "name_ko", "required"),
        (&product, json!({ "price_won": -1 }), "price_won", "out_of_range"),
        (&product, json!({ "price_won": 10_000_001 }), "price_won", "out_of_range"),
        (&product, json!({ "per_order_max": 0 }), "per_order_max", "out_of_range"),
        (&product, json!({ "position": -1 }), "position", "out_of_range"),
        (&product, json!({ "sale_start": app.instant(2), "sale_end": app.instant(1) }), "sale_end", "before_start"),
        (&product, json!({ "total": 10_000_001 }), "total", "out_of_range"),
        (&product, json!({ "offered": -1 }), "offered", "out_of_range"),
        (&product, json!({ "offered": 1.5 }), "offered", "malformed"),
        (&slot, json!({ "date": app.day(99) }), "date", "outside_dates"),
        (&slot, json!({ "start_time": "10:00" }), "end_time", "required"),
        (&slot, json!({ "start_time": "10:00", "end_time": "09:00" }), "end_time", "before_start"),
        (&slot, json!({ "start_time": "ten", "end_time": "11:00" }), "start_time", "malformed"),
        (&slot, json!({ "total": -1, "offered": 0 }), "total", "out_of_range"),
    ] {
        assert_eq!(field(owner.put(path, 1, change).await), is(name, code), "{path}");
    }
    let new = |change: Value| {
        let mut ask = app.new_exhibition("spring");
        ask.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        ask
    };
    for (path, ask, name, code) in [
        (EXHIBITIONS, new(json!({ "code": "Spring" })), "code", "malformed"),
        (EXHIBITIONS, new(json!({ "code": "-a" })), "code", "malformed"),
        (EXHIBITIONS, new(json!({ "code": "a".repeat(32) })), "code", "malformed"),
        (EXHIBITIONS, new(json!({ "code": "admin" })), "code", "taken"),
        (EXHIBITIONS, new(json!({ "code": "xyz" })), "code", "taken"),
        (EXHIBITIONS, new(json!({ "stage": "published" })), "stage", "illegal_move"),
        (EXHIBITIONS, json!({ "code": "spring" }), "name_ko", "required"),
        (PRODUCTS, json!({ "exhibition": "xyz", "kind": "a" }), "name_ko", "required"),
        (SLOTS, json!({ "exhibition": "xyz", "date": app.day(1) }), "total", "required"),
        (SLOTS, json!({ "exhibition": "xyz", "date": adult.date, "total": 4 }), "start_time", "taken"),
        (SLOTS, json!({ "exhibition": "xyz", "date": app.day(90), "total": 4 }), "date", "outside_dates"),
    ] {
        assert_eq!(field(owner.post(path, ask).await), is(name, code), "{path}");
    }
    owner.post(PRODUCTS, self::adult("nowhere", 1)).await.refused(404, "catalogue.unknown_exhibition");
    assert_eq!(app.catalogue_rows().await, before);

    // The database keeps the same list of addresses that are our own.
    let rule: String = app
        .db
        .one("select pg_get_constraintdef(oid) from pg_constraint where conname = 'exhibition_code_reserved'")
        .await;
    let kept: Vec<&str> = rule.split('\'').skip(1).step_by(2).collect();
    for code in &kept {
        assert_eq!(field(owner.post(EXHIBITIONS, new(json!({ "code": code }))).await), is("code", "taken"), "{code}");
    }
    assert!(kept.len() >= 28, "{rule}");
    app.finish().await;
}

#[tokio::test]
async fn whoever_belongs_to_another_exhibition_or_helps_visitors_changes_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(20) }).await;
    app.given(Kind { code: "other", ..places(5) }).await;
    let owner = app.owner().await;
    owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
    let foreign = app.by("foreign", Role::Admin, &["other"]).await;
    let admin = app.by("kim", Role::Admin, &["xyz"]).await;
    let support = app.by("helps", Role::Support, &["xyz"]).await;
    let staff = app.by("gates", Role::Staff, &["xyz"]).await;
    let before = app.catalogue_rows().await;
    let day = app.day(2);
    let writes = [
        (Method::PUT, format!("{EXHIBITIONS}/xyz"), json!({ "paused": true })),
        (Method::DELETE, format!("{EXHIBITIONS}/xyz"), Value::Null),
        (Method::POST, PRODUCTS.to_owned(), self::adult("xyz", 3)),
        (Method::PUT, format!("{PRODUCTS}/{}", adult.product_id), json!({ "offered": 1 })),
        (Method::DELETE, format!("{PRODUCTS}/{}", adult.product_id), Value::Null),
        (Method::POST, SLOTS.to_owned(), json!({ "exhibition": "xyz", "date": day, "total": 4 })),
        (Method::PUT, format!("{SLOTS}/{}", adult.slot_id.unwrap()), json!({ "offered": 1 })),
        (Method::DELETE, format!("{SLOTS}/{}", adult.slot_id.unwrap()), Value::Null),
        (
            Method::POST,
            format!("{SLOTS}/pattern"),
            json!({ "exhibition": "xyz", "from": day, "until": day, "total": 4 }),
        ),
        (
            Method::POST,
            format!("{SLOTS}/bulk"),
            json!({ "exhibition": "xyz", "filter": {}, "set": { "closed": true } }),
        ),
    ];
    for (method, path, body) in &writes {
        for by in [&foreign, &support, &staff] {
            by.call(method.clone(), path, Some(1), Some(body.clone())).await.refused(403, "auth.forbidden");
        }
    }
    for by in [&admin, &foreign, &support, &staff] {
        by.post(EXHIBITIONS, app.new_exhibition("more")).await.refused(403, "auth.forbidden");
        by.put(SALES, 1, json!({ "paused": false })).await.refused(403, "auth.forbidden");
        by.get(&format!("{EXHIBITIONS}/spring")).await.refused(403, "auth.forbidden");
    }
    assert_eq!(app.catalogue_rows().await, before);

    let codes = async |by: &By<'_>| -> Vec<String> {
        let list = by.get(EXHIBITIONS).await.expect(200);
        list.body["exhibitions"].as_array().unwrap().iter().map(|e| e["code"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(codes(&owner).await, ["other", "spring", "xyz"]);
    assert_eq!((codes(&admin).await, codes(&support).await), (vec!["xyz".to_owned()], vec!["xyz".to_owned()]));
    support.exhibition("xyz").await;
    support.product("xyz", adult.product_id).await;
    support.slot("xyz", adult.slot_id.unwrap()).await;
    for path in [PRODUCTS, SLOTS] {
        foreign.get(&format!("{path}?exhibition=xyz")).await.refused(403, "auth.forbidden");
        staff.get(&format!("{path}?exhibition=xyz")).await.refused(403, "auth.forbidden");
    }
    app.finish().await;
}

#[tokio::test]
async fn every_write_is_on_record_with_what_changed() {
    let app = TestApp::start().await;
    let owner = app.owner().await;
    let said = async |action: &str, before: Value, after: Value| {
        let (was, is) = (action.to_owned(), app.recorded().await);
        assert_eq!((is.0, is.1, is.2), (was, before, after));
    };
    owner.post(EXHIBITIONS, app.new_exhibition("spring")).await.expect(201);
    let spring: i32 = app.db.one("select id from exhibitions").await;
    let (action, before, after) = app.recorded().await;
    assert_eq!(
        (action.as_str(), before, &after["settings"]["name_en"]),
        ("exhibition.create", Value::Null, &json!("New one"))
    );
    owner.set("spring", json!({ "stage": "published", "venue_ko": "한강" })).await.expect(200);
    said(
        "exhibition.change",
        json!({ "exhibition": spring, "stage": "draft", "venue_ko": "" }),
        json!({ "exhibition": spring, "stage": "published", "venue_ko": "한강" }),
    )
    .await;

    let product = id(&owner.post(PRODUCTS, adult("spring", 10)).await.expect(201));
    let path = format!("{PRODUCTS}/{product}");
    assert_eq!(app.recorded().await.0, "product.create");
    owner.put(&path, 1, json!({ "total": 12, "active": false })).await.expect(200);
    said(
        "product.change",
        json!({ "product": product, "total": 10, "offered": 10, "active": true }),
        json!({ "product": product, "total": 12, "offered": 12, "active": false }),
    )
    .await;
    let slot =
        id(&owner.post(SLOTS, json!({ "exhibition": "spring", "date": app.day(1), "total": 4 })).await.expect(201));
    assert_eq!(app.recorded().await.0, "slot.create");
    owner.put(&format!("{SLOTS}/{slot}"), 1, json!({ "closed": true })).await.expect(200);
    said("slot.change", json!({ "slot": slot, "closed": false }), json!({ "slot": slot, "closed": true })).await;
    owner.delete(&format!("{SLOTS}/{slot}"), 2).await.expect(200);
    assert_eq!(app.recorded().await.0, "slot.delete");
    owner.delete(&path, 2).await.expect(200);
    assert_eq!(app.recorded().await.0, "product.delete");
    owner.delete(&format!("{EXHIBITIONS}/spring"), 2).await.expect(200);
    said(
        "exhibition.archive",
        json!({ "exhibition": spring, "stage": "published" }),
        json!({ "exhibition": spring, "stage": "archived" }),
    )
    .await;
    // Nothing that changed nothing, and who it was.
    owner.delete(&format!("{EXHIBITIONS}/spring"), 3).await.expect(200);
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit").await, 9);
    let named =
        "select count(*) from admin_audit where user_name = 'owner' and request_id <> '' and address is not null";
    assert_eq!(app.db.one::<i64>(named).await, 9);
    app.finish().await;
}
