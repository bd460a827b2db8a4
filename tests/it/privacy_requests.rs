//! Requests of people about their data: asked again, about orders without a number, and what must not be told by them.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp};

struct Owner<'a> {
    app: &'a TestApp,
    token: String,
}

impl<'a> Owner<'a> {
    async fn of(app: &'a TestApp) -> Owner<'a> {
        app.account("owner", Role::SuperAdmin, &[]).await;
        Owner { app, token: app.access_token("owner").await }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.app.http.request(method, self.app.url(&format!("/api/admin/{path}")));
        Answer::of(request.bearer_auth(&self.token).json(&body)).await
    }

    async fn asked(&self, kind: &str, who: Value) -> Answer {
        let mut body = json!({ "kind": kind, "verified_by": "phone" });
        body.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        self.call(Method::POST, "privacy/requests", body).await
    }

    async fn erase(&self, id: &str) -> Answer {
        self.call(Method::POST, &format!("privacy/requests/{id}/erase"), json!({})).await
    }
}

async fn ends_in(app: &TestApp, given: &Given, days: i32) {
    app.db
        .execute(&format!(
            "update exhibitions set ends_on = (admit_now() at time zone 'Asia/Seoul')::date + {days} where id = {}",
            given.exhibition_id
        ))
        .await;
    app.refresh().await;
}

async fn days(app: &TestApp, n: u64) {
    app.advance(Duration::from_secs(n * 86_400)).await;
}

async fn erased(app: &TestApp) -> i64 {
    app.db.one("select count(*) from contacts where erased_at is not null").await
}

/// A gift: an order of nobody's number.
async fn gift(app: &TestApp, desk: &Desk<'_>, given: &Given, key: &str) -> String {
    let ask = json!({ "items": [{ "product_id": given.product_id, "quantity": 1 }], "reason": "press" });
    let request = app.http.post(app.url("/api/admin/exhibitions/xyz/complimentary")).bearer_auth(&desk.admin);
    Answer::of(request.header("idempotency-key", key).json(&ask)).await.expect(201).text("order_number")
}

#[tokio::test]
async fn whoever_asks_again_is_forgotten_with_what_they_ordered_in_between() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    ends_in(&app, &adult, 1).await;
    let visitor = app.visitor(1);
    let first = visitor.held(&adult, 1).await;
    visitor.pay(&first).await.expect(200);
    let owner = Owner::of(&app).await;
    let phone = json!({ "phone": visitor.phone });
    let id = owner.asked("erase", phone.clone()).await.expect(201).text("id");
    assert_eq!(owner.erase(&id).await.expect(200).text("state"), "waiting");
    app.advance(Duration::from_secs(5)).await;
    let second = visitor.held(&adult, 1).await;
    visitor.pay(&second).await.expect(200);
    // It is not meant, until they say so again.
    let meant = async || {
        let shown = owner.call(Method::GET, &format!("privacy/requests/{id}"), json!({})).await.expect(200);
        shown.body["orders"].as_array().unwrap().len()
    };
    assert_eq!(meant().await, 1);
    app.advance(Duration::from_secs(5)).await;
    let again = owner.asked("erase", phone.clone()).await.expect(200);
    assert_eq!((again.text("id"), again.text("state")), (id.clone(), "waiting".into()));
    assert_eq!(meant().await, 2);
    let told: Value = app
        .db
        .one("select jsonb_agg(after -> 'again' order by id) from admin_audit where action = 'privacy.request'")
        .await;
    assert_eq!(told, json!([false, true]));
    // Without anybody at the page: the day after the visit.
    days(&app, 2).await;
    app.tick("retention").await;
    assert_eq!(erased(&app).await, 2);
    let ended = "select state || ' ' || orders_erased from privacy_requests";
    assert_eq!(app.db.one::<String>(ended).await, "done 2");
    app.finish().await;
}

/// The same copy asked for again is the same, and for as long as it was.
#[tokio::test]
async fn a_copy_that_is_asked_for_again_is_no_other() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    app.visitor(1).held(&adult, 1).await;
    let owner = Owner::of(&app).await;
    let phone = json!({ "phone": app.visitor(1).phone });
    let first = owner.asked("export", phone.clone()).await.expect(201);
    app.advance(Duration::from_secs(60)).await;
    let again = owner.asked("export", phone).await.expect(200);
    assert_eq!((again.text("id"), again.text("asked_at")), (first.text("id"), first.text("asked_at")));
    assert_eq!(app.db.one::<i64>("select count(*) from admin_audit where action = 'privacy.request'").await, 1);
    app.finish().await;
}
