//! The catalogue as its admins run it: from a draft to a ticket, copied, changed during the sale, paused and archived; who
//! may not, what is refused, and what stays on record.

mod exhibitions;
mod offers;
mod refusals;
mod repeats;
mod slots;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Given, TestApp};

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
                    (select jsonb_agg(to_jsonb(a)) from sales a), (select count(*) from admin_audit where action <> 'user.sign_in'))::text",
            )
            .await
    }

    /// Action, before and after of what was recorded last.
    async fn recorded(&self) -> (String, Value, Value) {
        let row = self.db.client().await;
        let row = row
            .query_one(
                "select action, before, after from admin_audit where action <> 'user.sign_in' order by id desc limit 1",
                &[],
            )
            .await;
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

    async fn room(&self, code: &str) -> Answer {
        self.get(&format!("{EXHIBITIONS}/{code}/room")).await.expect(200)
    }

    async fn put_room(&self, code: &str, seen: i64, config: Value) -> Answer {
        self.put(&format!("{EXHIBITIONS}/{code}/room"), seen, json!({ "config": config })).await
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
