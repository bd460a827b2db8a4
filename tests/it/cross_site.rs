//! Other sites: a browser sends our cookies along with whatever a page of another site makes it send. Nothing of that is done.

use admit::admin::Role;
use admit::waiting_room::model::Config;
use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::admin::PASSWORD;
use crate::control_room::fill;
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Kind, TestApp};
use crate::waiting_room::open_room;

/// A browser with all the cookies that we give.
struct Jar<'a> {
    app: &'a TestApp,
    cookies: Vec<String>,
}

impl Jar<'_> {
    fn send(&self, method: Method, path: &str) -> RequestBuilder {
        self.app.http.request(method, self.app.url(path)).header("cookie", self.cookies.join("; "))
    }

    /// As a page of ours does.
    async fn posts(&mut self, path: &str, body: Value) -> Answer {
        let request = self.send(Method::POST, path).header("sec-fetch-site", "same-origin").json(&body);
        let reply = request.send().await.unwrap();
        let set = reply.headers().get_all("set-cookie").iter().map(|cookie| cookie.to_str().unwrap());
        self.cookies.extend(set.map(|cookie| cookie.split(';').next().unwrap().to_owned()));
        let (status, body) = (reply.status().as_u16(), reply.text().await.unwrap());
        let body = serde_json::from_str(&body).unwrap_or(json!(body));
        Answer { status, body, retry_after: None, content_type: String::new() }
    }
}

#[tokio::test]
async fn another_site_changes_nothing_with_somebody_s_cookies() {
    let app = TestApp::start().await;
    let adult = app.given(places(20)).await;
    let waited_for = app.given(Kind { code: "other", ..places(5) }).await;
    open_room(&app, &waited_for, Config { draw: false, ..Config::default() }).await;
    app.account("runs", Role::Admin, &["xyz"]).await;
    let mut browser = Jar { app: &app, cookies: Vec::new() };
    let ask = json!({ "username": "runs", "password": PASSWORD, "keep_in_cookie": true });
    browser.posts("/api/auth/login", ask).await.expect(200);
    let order = Held::from(&browser.posts("/api/orders", app.visitor(1).ask(&adult, 1)).await.expect(201));
    browser.posts("/api/exhibitions/other/queue/join", json!({})).await.expect(200);
    for name in ["staff_session=", "admit_ord", "admit_d_other=", "admit_q_other="] {
        assert!(browser.cookies.iter().any(|cookie| cookie.starts_with(name)), "no {name} in {:?}", browser.cookies);
    }

    let document: Value = app.http.get(app.url("/api/openapi.json")).send().await.unwrap().json().await.unwrap();
    let mut calls = 0;
    for (path, item) in document["paths"].as_object().unwrap() {
        let place = |path: String| path.replace("/xyz/queue/", "/other/queue/");
        let path = place(fill(&path.replace("{order_number}", &order.number)));
        for method in item.as_object().unwrap().keys().filter(|method| *method != "get") {
            let method: Method = method.to_uppercase().parse().unwrap();
            for (header, value) in
                [("sec-fetch-site", "cross-site"), ("sec-fetch-site", "same-site"), ("origin", "https://evil.example")]
            {
                let request = || browser.send(method.clone(), &path).header(header, value);
                // What a script sends, and what a form or a beacon can.
                Answer::of(request().json(&json!({}))).await.refused(403, "request.cross_site");
                Answer::of(request()).await.refused(403, "request.cross_site");
            }
            calls += 1;
        }
    }
    assert!(calls > 60, "only {calls}");

    // They were good for all of it, from our own pages.
    let read = app.visitor(1).read(&order).await;
    assert_eq!(read.text("status"), "held");
    browser.posts(&format!("/api/orders/{}/cancel", order.number), json!({})).await.expect(200);
    browser.posts("/api/exhibitions/other/queue/leave", json!({})).await.expect(204);
    browser.posts("/api/auth/refresh", json!({})).await.expect(200);
    app.finish().await;
}
