//! The audit log: whatever is done in the control room leaves one row, in the commit that does it. A story in which an owner
//! makes every call of `docs/roles.md` once, so that it succeeds; a new one has no place in it yet, and fails by its name.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use admit::admin::Role;
use admit::admin::users::{self, NewUser};
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::admin::PASSWORD;
use crate::catalogue_admin::adult;
use crate::control_room::{code, table};
use crate::desk::order_of;
use crate::devices::{Door, Phone, codes};
use crate::offline::{decided, ticket};
use crate::payments::{approve_at_toss, send_webhook};
use crate::pictures::png;
use crate::refunds::{carried, paid};
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp};

/// Places are held first, in a commit of their own as any visitor's are, and lapse if nothing follows.
const HOLDS_FIRST: &str = "POST /api/admin/exhibitions/{code}/complimentary";

pub struct Story<'a> {
    app: &'a TestApp,
    /// Those of the table.
    pub routes: BTreeSet<String>,
    /// The owner's.
    pub token: String,
    /// Calls of the table that were made.
    told: BTreeSet<String>,
    calls: usize,
}

impl<'a> Story<'a> {
    async fn begin(app: &'a TestApp) -> Story<'a> {
        app.account("owner", Role::SuperAdmin, &[]).await;
        let routes = table().into_keys().map(|(method, path)| format!("{method} {path}")).collect();
        let token = app.access_token("owner").await;
        Story { app, routes, token, told: BTreeSet::new(), calls: 0 }
    }

    /// A step: `POST exhibitions/xyz/devices` under `/api/admin`, or a path from its root.
    async fn does(&mut self, call: &str, body: Value) -> Answer {
        self.does_with(call, |request| if body.is_null() { request } else { request.json(&body) }).await
    }

    /// The same for what has no address of its own to be read at: as it was answered before.
    async fn does_to(&mut self, seen: &Value, call: &str, body: Value) -> Answer {
        let tag = format!("\"{}\"", seen["revision"]);
        let with = |request: RequestBuilder| {
            let request = request.header("if-match", &tag);
            if body.is_null() { request } else { request.json(&body) }
        };
        self.does_with(call, with).await
    }

    async fn does_with(&mut self, call: &str, with: impl Fn(RequestBuilder) -> RequestBuilder) -> Answer {
        let (route, method, path) = self.named(call);
        self.calls += 1;
        let key = format!("story-{:03}", self.calls);
        let tag = if method == Method::GET { None } else { self.tag(&path).await };
        let ask = async |id: &str| {
            let request = self.app.http.request(method.clone(), self.app.url(&path)).bearer_auth(&self.token);
            let request = request.header("idempotency-key", &key).header("x-request-id", id);
            Answer::of(with(match &tag {
                Some(tag) => request.header("if-match", tag),
                None => request,
            }))
            .await
        };

        // While the log cannot be written, nothing is done.
        let before = self.rows().await;
        self.app.db.execute("alter table admin_audit add constraint full_up check (false) not valid").await;
        let refused = ask(&format!("{key}-refused")).await;
        self.app.db.execute("alter table admin_audit drop constraint full_up").await;
        assert!(refused.status >= 500, "{call} without a log: {} {}", refused.status, refused.body);
        if route != HOLDS_FIRST {
            let after = self.rows().await;
            // A try of a code is counted before it is judged, whatever becomes of the call.
            let mine = |table: &str| table != "sign_in_tries";
            let changed: Vec<_> =
                before.iter().filter(|(table, rows)| mine(table) && after[*table] != **rows).collect();
            assert!(changed.is_empty(), "{call} is not done in the commit of its record: {changed:?}");
        }

        let last: i64 = self.app.db.one("select coalesce(max(id), 0) from admin_audit").await;
        let mut answer = refused;
        self.app
            .until("there is a turn for this call", async || {
                answer = ask(&key).await;
                answer.code() != "server.busy"
            })
            .await;
        assert!((200..300).contains(&answer.status), "{call}: {} {}", answer.status, answer.body);
        let rows = format!(
            "select coalesce(string_agg(user_name || ' ' || request_id || ' ' || host(address), ', '), '')
               from admin_audit where id > {last}"
        );
        let rows: String = self.app.db.one(&rows).await;
        assert_eq!(rows, format!("owner {key} 127.0.0.1"), "what {call} left in the log");
        self.told.insert(route);
        answer
    }

    async fn reads(&self, path: &str) -> Value {
        let request = self.app.http.get(self.app.url(&format!("/api/admin/{path}"))).bearer_auth(&self.token);
        Answer::of(request).await.expect(200).body
    }

    /// A token lasts a quarter of an hour.
    async fn later(&mut self, by: Duration) {
        self.app.advance(by).await;
        self.token = self.app.access_token("owner").await;
    }

    /// The route of the table that a call is of, its method and its whole path.
    fn named(&self, call: &str) -> (String, Method, String) {
        let (method, path) = call.split_once(' ').unwrap();
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/api/admin/{path}") };
        let asked: Vec<&str> = path.split('?').next().unwrap().split('/').collect();
        let fits = |route: &&String| {
            let (of, template) = route.split_once(' ').unwrap();
            let parts: Vec<&str> = template.split('/').collect();
            of == method
                && parts.len() == asked.len()
                && parts.iter().zip(&asked).all(|(part, given)| part == given || part.starts_with('{'))
        };
        let own = path.starts_with("/api/auth/").then(|| call.to_owned());
        // `slots/bulk` is also a `slots/{slot_id}`: the plainer one.
        let route = self.routes.iter().filter(fits).min_by_key(|route| route.matches('{').count()).cloned().or(own);
        (route.unwrap_or_else(|| panic!("{call} is not in docs/roles.md")), method.parse().unwrap(), path)
    }

    /// The ETag of what is there, if it can be read and has one.
    async fn tag(&self, path: &str) -> Option<String> {
        let reply = self.app.http.get(self.app.url(path)).bearer_auth(&self.token).send().await.unwrap();
        reply.headers().get("etag").map(|tag| tag.to_str().unwrap().to_owned())
    }

    /// A digest of each table, but for the log.
    async fn rows(&self) -> BTreeMap<String, String> {
        let client = self.app.db.client().await;
        let all = "select string_agg(format('select %L, md5(string_agg(t::text, ''~'' order by t::text)) from %I t', relname, relname),
                                     ' union all ')
                     from pg_class where relkind in ('r', 'p') and not relispartition and relnamespace = 'public'::regnamespace
                      and relname <> 'admin_audit'";
        let all: String = client.query_one(all, &[]).await.unwrap().get(0);
        let rows = client.query(&all, &[]).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get::<_, Option<String>>(1).unwrap_or_default())).collect()
    }
}

async fn sets_up(story: &mut Story<'_>) {
    let app = story.app;
    story.does("POST exhibitions", app.new_exhibition("spring")).await;
    story.does("PUT exhibitions/spring", json!({ "stage": "published" })).await;
    let rules = json!({ "exhibition": null, "walk_ins": true });
    story.does("PUT exhibitions/spring/entry-rules", rules).await;
    let shot = |request: RequestBuilder| request.body(png(640, 320, 1));
    story.does_with("PUT exhibitions/spring/picture?alt_ko=a&alt_en=b", shot).await;
    story.does("DELETE exhibitions/spring/picture", Value::Null).await;

    let made = story.does("POST products", adult("spring", 50)).await.body;
    let product = format!("products/{}", made["id"]);
    let made = story.does_to(&made, &format!("PUT {product}"), json!({ "price_won": 8_000 })).await.body;
    story.does_to(&made, &format!("DELETE {product}"), Value::Null).await;
    let slot =
        json!({ "exhibition": "spring", "date": app.day(3), "start_time": "10:00", "end_time": "12:00", "total": 5 });
    let made = story.does("POST slots", slot).await.body;
    let slot = format!("slots/{}", made["id"]);
    let made = story.does_to(&made, &format!("PUT {slot}"), json!({ "total": 6 })).await.body;
    let more = json!({ "exhibition": "spring", "from": app.day(4), "until": app.day(5), "total": 5 });
    story.does("POST slots/pattern", more).await;
    let fewer = json!({ "exhibition": "spring", "filter": { "from": app.day(4) }, "set": { "offered": 3 } });
    story.does("POST slots/bulk", fewer).await;
    story.does_to(&made, &format!("DELETE {slot}"), Value::Null).await;
    story.does("DELETE exhibitions/spring", Value::Null).await;

    story.does("PUT sales", json!({ "paused": true, "reason_ko": "점검", "reason_en": "Repairs" })).await;
    story.does("PUT sales", json!({ "paused": false })).await;
}

async fn looks_after_orders(story: &mut Story<'_>, adult: &Given) {
    let app = story.app;
    let order = order_of(&app.visitor(2), adult, "홍길동", Some("hong@example.org")).await;
    let path = format!("orders/{}", order.number);
    story.does("POST orders/search", json!({ "q": "홍길동" })).await;
    story.does(&format!("POST {path}/reveal"), json!({ "why": "called about the date" })).await;
    let file = json!({ "format": "csv", "unmasked": true, "why": "lost post" });
    story.does("POST exhibitions/xyz/exports", file).await;
    story
        .does(&format!("PATCH {path}"), json!({ "customer_name": "홍 길동", "customer_phone": "010-1000-0003" }))
        .await;
    story.does(&format!("POST {path}/transfer"), json!({ "amount": order.total, "note": "bank" })).await;
    story.does(&format!("POST {path}/resend"), Value::Null).await;
    let unpaid = app.visitor(4).held(adult, 1).await;
    story.does(&format!("PATCH orders/{}", unpaid.number), json!({ "state": "cancelled" })).await;
    let gift = json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "customer_name": "홍길동",
        "customer_email": "press@example.org", "reason": "press day" });
    story.does("POST exhibitions/xyz/complimentary", gift).await;
}

async fn gives_back(story: &mut Story<'_>, adult: &Given, dated: &Given) {
    let app = story.app;
    // Tries fail for good, so that somebody has to look.
    let fails = async || {
        let fault = json!({ "op": "cancel", "kind": "fail", "code": "NOT_CANCELABLE_PAYMENT", "count": 1 });
        app.simulate("faults", fault).await;
        carried(app).await;
    };
    let bought = paid(&app.visitor(5), adult, 2).await;
    let path = format!("exhibitions/xyz/orders/{}", bought.order.number);
    let one = json!({ "ticket_ids": [bought.tickets[0]], "reason": "goodwill" });
    let refund = story.does(&format!("POST {path}/refund"), one).await.text("id");
    fails().await;
    story.does(&format!("POST {path}/refunds/{refund}/retry"), json!({})).await;
    fails().await;
    let note = json!({ "note": "over the counter" });
    story.does(&format!("POST {path}/refunds/{refund}/paid-by-hand"), note).await;

    paid(&app.visitor(6), dated, 1).await;
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let day = json!({ "slot_ids": [dated.slot_id], "reason": "typhoon" });
    story.does("POST exhibitions/xyz/bulk-refunds", day).await;
    app.tick("bulk_refunds").await;
    carried(app).await;
}

async fn runs_gates(story: &mut Story<'_>, adult: &Given) {
    let app = story.app;
    let qr = codes(app, adult, 2).await;
    let door = Door::of(app).await;
    let made = story.does("POST exhibitions/xyz/devices", json!({ "gate": "north", "name": "phone 7" })).await;
    let token = made.text("enrol_url").split("#enrol=").nth(1).unwrap().to_owned();
    let credential = door.enrol(&token).await.expect(200).text("credential");
    let phone = Phone { app, id: made.text("id"), credential };
    let (_, shift) = phone.shift_id("kim").await;
    story.later(Duration::from_secs(600)).await;
    story.does(&format!("POST exhibitions/xyz/devices/{}/revoke", phone.id), Value::Null).await;
    phone.hand_in(vec![decided(app, &qr[0], "a", shift, 60)]).await.expect(200);
    let open = story.reads("exhibitions/xyz/entry-conflicts").await;
    let conflict = format!("exhibitions/xyz/entry-conflicts/{}", open["conflicts"][0]["id"].as_str().unwrap());
    story.does(&format!("POST {conflict}/decide"), json!({ "decision": "honest" })).await;
    let path = format!("exhibitions/xyz/tickets/{}", ticket(&qr[1]));
    story.does(&format!("POST {path}/block"), Value::Null).await;
    story.does(&format!("POST {path}/unblock"), Value::Null).await;
}

/// Of another exhibition, so that nobody waits.
async fn runs_a_room(story: &mut Story<'_>) {
    let app = story.app;
    let given = app.given(Kind { code: "other", ..places(5) }).await;
    let room = "exhibitions/other/room";
    let config = json!({ "capacity": 50, "slack": 0, "rate_per_min": 6_000, "draw": false });
    let seen = story.does(&format!("PUT {room}"), json!({ "config": config })).await.body;
    story.does(&format!("POST {room}/invites"), json!({ "count": 2, "note": "press" })).await;
    let people = json!({ "people": 200, "arrive_s": 20, "abandon_pct": 20, "stay_s": 10, "during_sale": true });
    story.does_to(&seen, &format!("POST {room}/rehearsal"), people).await;
    story.does(&format!("DELETE {room}/rehearsal"), Value::Null).await;

    let opens_at = app.app().clock.now() + jiff::SignedDuration::from_secs(300);
    let config = json!({ "draw": true, "beacon": "manual", "opens_at": opens_at, "freeze_lead_s": 120 });
    let seen = story.does(&format!("PUT {room}"), json!({ "config": config })).await.body;
    let seen = story.does_to(&seen, &format!("POST {room}/phase"), json!({ "to": "prequeue" })).await.body;
    story.later(Duration::from_secs(181)).await;
    let frozen = story.does_to(&seen, &format!("POST {room}/phase"), json!({ "to": "frozen" })).await;
    let run = u32::try_from(frozen.body["run"].as_u64().unwrap()).unwrap();
    let client = app.app().pg.get().await.unwrap();
    assert!(admit::waiting_room::pg::freeze(&client, given.exhibition_id, run, 2, &[3; 32]).await.unwrap());
    drop(client);
    story.later(Duration::from_secs(16)).await;
    story.does(&format!("POST {room}/beacon"), json!({ "value": "03 11 17" })).await;
}

async fn runs_accounts(story: &mut Story<'_>) {
    let new = json!({ "username": "gate-9", "password": "a long enough one", "role": "staff", "exhibitions": ["xyz"] });
    story.does("POST users", new).await;
    let change = json!({ "role": "support", "exhibitions": ["xyz"], "disabled": false });
    story.does_to(&json!({ "revision": 1 }), "PUT users/gate-9", change).await;
    story.does("POST users/gate-9/password", json!({ "password": "quite another one" })).await;
    story.does("DELETE users/gate-9/second-factor", Value::Null).await;
    story.does("DELETE users/gate-9/sign-ins", Value::Null).await;
    story.does("PUT users/gate-9/email", json!({ "email": "gate9@example.org" })).await;
    story.does("POST users/gate-9/unlock", Value::Null).await;
    story.does("PUT account-rules", json!({ "second_factor_from": "super_admin" })).await;
    story.does("PUT account-rules", json!({ "second_factor_from": null })).await;

    // One's own, too.
    let app = story.app;
    story.does("PUT /api/auth/pin", json!({ "password": PASSWORD, "pin": "802914" })).await;
    let mine = app.http.get(app.url("/api/auth/sign-ins")).bearer_auth(&story.token);
    let mine = Answer::of(mine).await.expect(200).body["sign_ins"][0]["id"].as_str().unwrap().to_owned();
    story.does(&format!("DELETE /api/auth/sign-ins/{mine}"), Value::Null).await;
    let factor = "/api/auth/second-factor";
    let begin = app.http.post(app.url(factor)).bearer_auth(&story.token).json(&json!({ "password": PASSWORD }));
    let secret = Answer::of(begin).await.expect(200).text("secret");
    let now = || code(&secret, app.app().clock.now().as_second());
    story.does(&format!("PUT {factor}"), json!({ "code": now() })).await;
    app.advance(Duration::from_secs(60)).await;
    story.does(&format!("DELETE {factor}"), json!({ "password": PASSWORD, "code": now() })).await;
}

async fn replays(story: &mut Story<'_>, adult: &Given) {
    let app = story.app;
    let visitor = app.visitor(7);
    let order = visitor.held(adult, 1).await;
    let (order_id, payment_key) = visitor.authorised(&order).await;
    approve_at_toss(app, &order_id, &payment_key, order.total).await;
    send_webhook(app, &order_id, &payment_key, "DONE").await.expect(200);
    // The twelfth try is the last.
    app.db.execute("update inbox set tries = 11").await;
    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1 })).await;
    app.webhooks().await;
    let id: i64 = app.db.one("select max(id) from inbox where state = 'dead'").await;
    story.does("POST webhook-replay", json!({ "event_id": id })).await;
    assert_eq!(app.tick("webhooks").await, 1);
}

/// Mails that were given up are sent again, and set aside.
async fn minds_messages(story: &mut Story<'_>) {
    let app = story.app;
    app.db
        .execute("update outbox set state = 'dead', tries = 12 where kind = 'order_paid' and state = 'pending'")
        .await;
    let list = story.reads("outbox?state=dead").await;
    let ids: Vec<&Value> = list["messages"].as_array().unwrap().iter().map(|message| &message["id"]).collect();
    story.does("POST outbox/replay", json!({ "ids": ids[..1] })).await;
    story.does("POST outbox/set-aside", json!({ "ids": ids[1..2], "reason": "moved away" })).await;
}

async fn answers_people(story: &mut Story<'_>, adult: &Given) {
    let app = story.app;
    let order = order_of(&app.visitor(9), adult, "김철수", None).await;
    let copy = json!({ "kind": "export", "verified_by": "phone", "order_number": order.number });
    story.does("POST privacy/requests", copy).await;
    let ask = json!({ "kind": "erase", "verified_by": "phone", "order_number": order.number });
    let id = story.does("POST privacy/requests", ask.clone()).await.text("id");
    story.does(&format!("DELETE privacy/requests/{id}"), Value::Null).await;
    let id = story.does("POST privacy/requests", ask).await.text("id");
    story.does(&format!("POST privacy/requests/{id}/erase"), Value::Null).await;
}

/// Everything that there is to do.
pub async fn told(app: &TestApp) -> Story<'_> {
    let adult = app.given(Kind { open_holds_max: 20, ..places(200) }).await;
    let dated = app.given(Kind { open_holds_max: 20, slot_places: Some(20), ..places(50) }).await;
    let mut story = Story::begin(app).await;
    sets_up(&mut story).await;
    looks_after_orders(&mut story, &adult).await;
    gives_back(&mut story, &adult, &dated).await;
    story.later(Duration::ZERO).await;
    replays(&mut story, &adult).await;
    minds_messages(&mut story).await;
    answers_people(&mut story, &adult).await;
    runs_gates(&mut story, &adult).await;
    runs_a_room(&mut story).await;
    runs_accounts(&mut story).await;
    story
}

#[tokio::test]
async fn whatever_is_done_is_on_record_in_the_commit_that_does_it() {
    let app = TestApp::start().await;
    let story = told(&app).await;
    let writes = |route: &&String| !route.starts_with("GET ");
    let untold: Vec<_> = story.routes.iter().filter(writes).filter(|route| !story.told.contains(*route)).collect();
    assert!(untold.is_empty(), "these have no place in the story yet: {untold:?}");
    let missing = fields_without_words(&app).await;
    assert!(missing.is_empty(), "the log tells these by their names in the code: {missing:?}");
    app.finish().await;
}

/// Of all that the log has of before and after, as its page flattens it: objects part by part, lists as they are.
async fn fields_without_words(app: &TestApp) -> BTreeSet<String> {
    fn fields(value: &Value, to: &mut BTreeSet<String>) {
        for (name, one) in value.as_object().into_iter().flatten() {
            to.insert(name.clone());
            fields(one, to);
        }
    }
    let rows = app.db.client().await.query("select action, before, after from admin_audit", &[]).await.unwrap();
    let mut missing = BTreeSet::new();
    for language in ["ko", "en"] {
        let path = format!("{}/web/locales/{language}.json", env!("CARGO_MANIFEST_DIR"));
        let texts: Value = serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        for row in &rows {
            let (action, before, after): (String, Value, Value) = (row.get(0), row.get(1), row.get(2));
            let mut names = BTreeSet::new();
            fields(&before, &mut names);
            fields(&after, &mut names);
            // Settings of a room are called as on its page.
            let of_room =
                |name: &String| action == "room.config" && texts[format!("page.admin.waiting.{name}")].is_string();
            // Some are told by their number.
            names.retain(|name| {
                name.parse::<i32>().is_err() && !texts[format!("page.admin.field.{name}")].is_string() && !of_room(name)
            });
            missing.extend(names.into_iter().map(|name| format!("{language} {action}: {name}")));
        }
    }
    missing
}

#[tokio::test]
async fn what_is_done_from_the_command_line_is_on_record_too() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let passwords = &app.app().passwords;
    let mut client = app.app().pg.get().await.unwrap();
    let exhibitions = ["xyz".to_owned()];
    let new = NewUser { username: "kim", password: PASSWORD, role: Role::Admin, exhibitions: &exhibitions };
    users::create(&mut client, passwords, &new).await.unwrap();
    users::set_password(&mut client, passwords, "kim", "quite another one").await.unwrap();
    users::disable(&mut client, "kim").await.unwrap();
    drop(client);
    let rows = "select string_agg(user_name || ' ' || action || ' ' || (after ->> 'username'), ', ' order by id) from admin_audit";
    let said = "command line user.create kim, command line user.password kim, command line user.change kim";
    assert_eq!(app.db.one::<String>(rows).await, said);
    app.finish().await;
}
