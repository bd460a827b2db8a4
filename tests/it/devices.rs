//! Devices at the gates: enrolled once, used in shifts, taken back at once.

use std::time::Duration;

use admit::admin::Role;
use reqwest::Method;
use serde_json::{Value, json};

use crate::admin::PASSWORD;
use crate::support::given::places;
use crate::support::{Answer, Given, Kind, TestApp, race};

const DEVICES: &str = "/api/admin/exhibitions/xyz/devices";

/// An exhibition with an admin, two of the staff, and a stranger of the staff.
pub struct Door<'a> {
    pub app: &'a TestApp,
    pub admin: String,
}

impl<'a> Door<'a> {
    pub async fn of(app: &'a TestApp) -> Door<'a> {
        app.account("boss", Role::Admin, &["xyz"]).await;
        app.account("kim", Role::Staff, &["xyz"]).await;
        app.account("lee", Role::Staff, &["xyz"]).await;
        Door { app, admin: app.access_token("boss").await }
    }

    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let url = self.app.url(path);
        let mut request = self.app.http.request(method.clone(), &url).bearer_auth(&self.admin);
        if method == Method::PUT {
            request = self.app.as_seen(request, &url, &self.admin).await;
        }
        Answer::of(request.json(&body)).await
    }

    pub async fn made(&self, gate: &str) -> (String, String) {
        let made = self.call(Method::POST, DEVICES, json!({ "gate": gate, "name": "phone 7" })).await.expect(201);
        let token = made.text("enrol_url").split("#enrol=").nth(1).unwrap().to_owned();
        assert!(made.text("enrol_svg").contains("<svg"));
        (made.text("id"), token)
    }

    pub async fn enrol(&self, token: &str) -> Answer {
        Answer::of(self.app.http.post(self.app.url("/api/entrance/enrol")).json(&json!({ "token": token }))).await
    }

    pub async fn device(&self, gate: &str) -> Phone<'a> {
        let (id, token) = self.made(gate).await;
        Phone { app: self.app, id, credential: self.enrol(&token).await.expect(200).text("credential") }
    }

    pub async fn revoke(&self, id: &str) {
        self.call(Method::POST, &format!("{DEVICES}/{id}/revoke"), json!({})).await.expect(204);
    }

    pub async fn state(&self, id: &str) -> String {
        let list = self.call(Method::GET, DEVICES, json!({})).await.expect(200);
        let all = list.body["devices"].as_array().unwrap();
        let one = all.iter().find(|device| device["id"] == id).unwrap();
        format!("{} {}", one["state"].as_str().unwrap(), one["staff"].as_str().unwrap_or("nobody"))
    }
}

pub struct Phone<'a> {
    pub app: &'a TestApp,
    pub id: String,
    pub credential: String,
}

impl Phone<'_> {
    pub async fn call(&self, method: Method, path: &str, body: Value) -> Answer {
        let request = self.app.http.request(method, self.app.url(path)).header("x-admit-device", &self.credential);
        Answer::of(request.json(&body)).await
    }

    pub async fn begins(&self, username: &str, password: &str) -> Answer {
        self.call(Method::POST, "/api/entrance/shift", json!({ "username": username, "password": password })).await
    }

    pub async fn shift(&self, username: &str) -> String {
        self.begins(username, PASSWORD).await.expect(200).text("shift_token")
    }

    pub async fn scan(&self, shift: &str, qr: &str) -> Answer {
        let ask = json!({ "qr_code": qr, "gate": "somewhere else" });
        Answer::of(self.app.http.post(self.app.url("/api/entrance/scan")).bearer_auth(shift).json(&ask)).await
    }
}

pub async fn codes(app: &TestApp, given: &Given, quantity: i64) -> Vec<String> {
    let visitor = app.visitor(1);
    let order = visitor.held(given, quantity).await;
    let paid = visitor.pay(&order).await.expect(200);
    paid.body["tickets"].as_array().unwrap().iter().map(|t| t["qr_code"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_phone_is_enrolled_scans_in_a_shift_and_is_taken_back_at_once() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let qr = codes(&app, &adult, 3).await;
    let door = Door::of(&app).await;
    let (id, token) = door.made("north").await;
    assert_eq!(door.state(&id).await, "waiting nobody");
    let credential = door.enrol(&token).await.expect(200).text("credential");
    let phone = Phone { app: &app, id, credential };
    door.enrol(&token).await.refused(403, "device.invalid_enrolment");
    assert_eq!(door.state(&phone.id).await, "enrolled nobody");

    let shift = phone.shift("kim").await;
    assert_eq!(door.state(&phone.id).await, "enrolled kim");
    assert_eq!(phone.scan(&shift, &qr[0]).await.expect(200).text("entrance_status"), "allowed");
    let again = phone.scan(&shift, &qr[0]).await.expect(200);
    assert_eq!(again.body["first_scan"]["gate"], "north", "the gate is the admin's to say, not the phone's");
    let written = "select count(*) from scans s join devices d on d.id = s.device_id where d.gate = s.gate";
    assert_eq!(app.db.one::<i64>(written).await, 2);
    let standing = phone.call(Method::GET, "/api/entrance/device", json!({})).await.expect(200);
    assert_eq!((&standing.body["admitted_today"], &standing.body["refused_today"]), (&json!(1), &json!(1)));

    // Somebody else takes over: the token of before is good for nothing.
    let next = phone.shift("lee").await;
    phone.scan(&shift, &qr[1]).await.refused(403, "device.off_shift");
    assert_eq!(phone.scan(&next, &qr[1]).await.expect(200).text("entrance_status"), "allowed");
    phone.call(Method::DELETE, "/api/entrance/shift", json!({})).await.expect(204);
    phone.scan(&next, &qr[2]).await.refused(403, "device.off_shift");

    // Somebody whose account is disabled is off shift as well.
    let lee = phone.shift("lee").await;
    app.db.execute("update admin_users set disabled_at = now() where username = 'lee'").await;
    phone.scan(&lee, &qr[2]).await.refused(403, "device.off_shift");

    let last = phone.shift("kim").await;
    door.revoke(&phone.id).await;
    phone.scan(&last, &qr[2]).await.refused(403, "device.off_shift");
    phone.begins("kim", PASSWORD).await.refused(403, "device.revoked");
    phone.call(Method::GET, "/api/entrance/device", json!({})).await.refused(403, "device.revoked");
    assert_eq!(door.state(&phone.id).await, "revoked nobody");
    let open = "select count(*) from tickets where used_at is null";
    assert_eq!(app.db.one::<i64>(open).await, 1, "what a device off shift presented is let in by nobody");
    assert_eq!(app.db.one::<i64>("select count(*) from scans").await, 3, "nor recorded");
    let audited = "select string_agg(action, ' ' order by id) from admin_audit where action <> 'user.sign_in'";
    assert_eq!(app.db.one::<String>(audited).await, "device.add device.revoke");
    app.finish().await;
}

#[tokio::test]
async fn of_many_phones_that_scan_the_enrolment_one_becomes_the_device() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let door = Door::of(&app).await;
    let (_, token) = door.made("north").await;
    let answers = race(8, |_| door.enrol(&token)).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    // Late, taken back before it was used, or made up.
    let (_, late) = door.made("north").await;
    app.advance(Duration::from_secs(15 * 60 + 1)).await;
    door.enrol(&late).await.refused(403, "device.invalid_enrolment");
    let (id, taken_back) = Door::of(&app).await.made("north").await;
    Door::of(&app).await.revoke(&id).await;
    door.enrol(&taken_back).await.refused(403, "device.invalid_enrolment");
    for nonsense in ["", "de1.", "de1.0", &"x".repeat(10_000)] {
        door.enrol(nonsense).await.refused(403, "device.invalid_enrolment");
    }
    assert_eq!(app.db.one::<i64>("select count(*) from devices where enrolled_at is not null").await, 1);
    app.finish().await;
}

#[tokio::test]
async fn a_device_may_scan_and_nothing_else_and_nobody_else_may_be_one() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let other = app.given(Kind { code: "abc", ..places(10) }).await;
    app.account("far", Role::Staff, &["abc"]).await;
    let qr = codes(&app, &adult, 1).await;
    let elsewhere = codes(&app, &other, 1).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    phone.begins("far", PASSWORD).await.refused(403, "auth.forbidden");
    phone.begins("kim", "wrong").await.refused(401, "auth.invalid_credentials");
    let stranger = Phone { app: &app, id: String::new(), credential: "dc1.0".into() };
    stranger.begins("kim", PASSWORD).await.refused(401, "device.unknown");

    let shift = phone.shift("boss").await;
    // An admin at a device is somebody who scans, at this exhibition alone.
    assert_eq!(phone.scan(&shift, &elsewhere[0]).await.expect(200).text("reason"), "wrong_exhibition");
    for path in ["/api/admin/exhibitions/xyz/devices", "/api/admin/exhibitions/xyz/room", "/api/admin/webhooks"] {
        let refused = Answer::of(app.http.get(app.url(path)).bearer_auth(&shift)).await;
        refused.refused(401, "auth.invalid_token");
    }
    let staff = app.access_token("kim").await;
    let asks = Answer::of(app.http.get(app.url(DEVICES)).bearer_auth(&staff)).await;
    asks.refused(403, "auth.forbidden");
    // Forged, changed, or too old.
    let (body, mac) = shift.split_once('.').unwrap().1.split_once('.').unwrap();
    for forged in
        [format!("sh1.{body}x.{mac}"), format!("sh1.{body}.{}", mac.to_lowercase()), "sh1.".into(), "sh1..".into()]
    {
        phone.scan(&forged, &qr[0]).await.refused(401, "auth.invalid_token");
    }
    app.advance(Duration::from_secs(12 * 3600)).await;
    phone.scan(&shift, &qr[0]).await.refused(401, "auth.expired_token");
    assert_eq!(app.db.one::<i64>("select count(*) from tickets where used_at is not null").await, 0);
    // Another exhibition's admin does not reach it.
    app.account("afar", Role::Admin, &["abc"]).await;
    let afar = Door { app: &app, admin: app.access_token("afar").await };
    let path = format!("/api/admin/exhibitions/abc/devices/{}/revoke", phone.id);
    afar.call(Method::POST, &path, json!({})).await.refused(404, "device.none");
    assert_eq!(Door::of(&app).await.state(&phone.id).await, "enrolled nobody");
    app.finish().await;
}

#[tokio::test]
async fn what_a_device_is_called_is_checked_and_their_number_is_bounded() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let door = Door::of(&app).await;
    for (gate, name, field) in [("", "phone", "gate"), ("north", " ", "name"), ("north", "a\u{202e}b", "name")] {
        let refused = door.call(Method::POST, DEVICES, json!({ "gate": gate, "name": name })).await;
        assert_eq!(refused.refused(422, "request.invalid").body["errors"][0]["field"], field);
    }
    let long = "x".repeat(41);
    door.call(Method::POST, DEVICES, json!({ "gate": long, "name": "x" })).await.refused(422, "request.invalid");
    app.db
        .execute(
            "insert into devices (id, exhibition_id, gate, name, enrol_until, created_by, created_at)
             select gen_random_uuid(), e.id, 'north', 'phone', now(), 1, now() from exhibitions e, generate_series(1, 200)",
        )
        .await;
    door.call(Method::POST, DEVICES, json!({ "gate": "north", "name": "x" })).await.refused(409, "device.too_many");
    app.finish().await;
}

#[tokio::test]
async fn a_shift_begins_with_a_pin_and_few_are_tried() {
    let app = TestApp::start().await;
    app.given(places(1)).await;
    let door = Door::of(&app).await;
    let phone = door.device("north").await;
    let with = async |pin: &str| {
        phone.call(Method::POST, "/api/entrance/shift", json!({ "username": "kim", "pin": pin })).await
    };
    let kim = app.access_token("kim").await;
    let set = async |password: &str, pin: Value| {
        let request = app.http.put(app.url("/api/auth/pin")).bearer_auth(&kim);
        Answer::of(request.json(&json!({ "password": password, "pin": pin }))).await
    };
    with("271828").await.refused(401, "auth.invalid_credentials");
    for weak in ["123456", "777777", "12345", "abcdef"] {
        set(PASSWORD, json!(weak)).await.refused(422, "request.invalid");
    }
    set("guess", json!("271828")).await.refused(401, "auth.invalid_credentials");
    set(PASSWORD, json!("271828")).await.expect(204);
    let begun = with("271828").await.expect(200);
    assert_eq!(begun.text("staff"), "kim");
    // The PIN is good at a device alone, and only one of the two is asked.
    let login = app.http.post(app.url("/api/auth/login")).json(&json!({ "username": "kim", "password": "271828" }));
    Answer::of(login).await.refused(401, "auth.invalid_credentials");
    let both = json!({ "username": "kim", "pin": "271828", "password": PASSWORD });
    phone.call(Method::POST, "/api/entrance/shift", both).await.refused(401, "auth.invalid_credentials");

    // Many guesses at the same time are five, whatever their order; then even the right one is not judged.
    let guesses = race(12, |n| with(["314159", "161803", "141421"][n % 3])).await;
    let judged = guesses.iter().filter(|g| g.text("code") == "auth.invalid_credentials").count();
    assert_eq!((judged, guesses.iter().filter(|g| g.text("code") == "device.pin_locked").count()), (5, 7));
    with("271828").await.refused(403, "device.pin_locked");
    phone.begins("kim", PASSWORD).await.expect(200);
    app.advance(Duration::from_secs(15 * 60 + 1)).await;
    with("271828").await.expect(200);
    let kim = app.access_token("kim").await;
    let gone = app.http.put(app.url("/api/auth/pin")).bearer_auth(&kim);
    Answer::of(gone.json(&json!({ "password": PASSWORD, "pin": null }))).await.expect(204);
    with("271828").await.refused(401, "auth.invalid_credentials");
    app.finish().await;
}
