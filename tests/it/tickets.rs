//! Ticket codes, their keys and their pictures, over HTTP and real Postgres.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp};

/// An order of `quantity`, paid, with its tickets as the visitor sees them.
pub async fn bought(app: &TestApp, n: usize, given: &Given, quantity: i64) -> (Held, Vec<Value>) {
    let visitor = app.visitor(n);
    let order = visitor.held(given, quantity).await;
    let paid = visitor.pay(&order).await.expect(200);
    (order, paid.body["tickets"].as_array().unwrap().clone())
}

pub fn text(ticket: &Value, field: &str) -> String {
    ticket[field].as_str().unwrap_or_else(|| panic!("no {field} in {ticket}")).to_owned()
}

/// The path and query of a link that begins with the public address.
fn path_of(link: &str) -> &str {
    link.strip_prefix("http://localhost:8080").unwrap_or_else(|| panic!("{link}"))
}

fn picture_path(ticket: &Value, format: &str) -> String {
    format!("/api/tickets/{}/qr.{format}", text(ticket, "id"))
}

async fn picture(app: &TestApp, path: &str) -> (String, Vec<u8>) {
    let reply = app.http.get(app.url(path)).send().await.unwrap();
    assert_eq!(reply.status(), 200, "{path}");
    let cache = reply.headers()["cache-control"].to_str().unwrap().to_owned();
    (cache, reply.bytes().await.unwrap().to_vec())
}

fn read_by_zbar(png: &[u8], name: &str) -> Option<String> {
    let file = std::env::temp_dir().join(format!("admit-{name}-{}.png", std::process::id()));
    std::fs::write(&file, png).unwrap();
    let output = Command::new("zbarimg").args(["--quiet", "--raw"]).arg(&file).output();
    std::fs::remove_file(&file).unwrap();
    match output {
        Ok(output) => Some(String::from_utf8(output.stdout).unwrap().trim().to_owned()),
        Err(error) => {
            assert!(std::env::var_os("CI").is_none(), "zbarimg: {error}");
            None
        }
    }
}

#[tokio::test]
async fn the_picture_says_the_code_of_the_ticket() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(100) }).await;
    let (order, tickets) = bought(&app, 1, &adult, 2).await;
    for (n, ticket) in tickets.iter().enumerate() {
        assert_eq!((ticket["ticket_no"].as_u64(), ticket["of"].as_u64()), (Some(n as u64 + 1), Some(2)));
        assert_eq!(ticket["slot_date"].as_str(), adult.date.as_deref());
        let (cache, png) = picture(&app, path_of(&text(ticket, "qr_png_url"))).await;
        assert_eq!(cache, "private, max-age=300");
        if let Some(read) = read_by_zbar(&png, "journey") {
            assert_eq!(read, text(ticket, "qr_code"));
        }
        let (_, svg) = picture(&app, path_of(&text(ticket, "qr_svg_url"))).await;
        assert!(svg.starts_with(b"<svg "));
    }
    // A code stays the same from one look to the next.
    let again = app.visitor(1).read(&order).await.expect(200);
    assert_eq!(again.body["tickets"][0]["qr_code"], tickets[0]["qr_code"]);
    app.finish().await;
}

#[tokio::test]
async fn a_picture_is_shown_only_to_whoever_proves_it_is_theirs() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let (order, tickets) = bought(&app, 1, &adult, 1).await;
    let (foreign, _) = bought(&app, 2, &adult, 1).await;
    let path = picture_path(&tickets[0], "png");
    let get = |path: &str| app.http.get(app.url(path));

    Answer::of(get(&path)).await.refused(401, "ticket.proof_required");
    Answer::of(get(&path).bearer_auth(&foreign.token)).await.refused(403, "ticket.wrong_proof");
    Answer::of(get(&path).header("cookie", "admit_x=y")).await.refused(403, "ticket.wrong_proof");
    Answer::of(get(&format!("{path}?e=99999999999&s=AAAA"))).await.refused(403, "ticket.wrong_proof");
    let unknown = "/api/tickets/00000000-0000-7000-8000-000000000000/qr.png";
    Answer::of(get(unknown).bearer_auth(&order.token)).await.refused(404, "ticket.unknown");
    Answer::of(get("/api/tickets/x%00y/qr.svg").bearer_auth(&order.token)).await.refused(404, "ticket.unknown");

    let reply = get(&path).bearer_auth(&order.token).send().await.unwrap();
    assert_eq!(
        (reply.status().as_u16(), reply.headers()["cache-control"].to_str().unwrap()),
        (200, "private, no-store")
    );
    let cookie = format!("admit_{}={}", order.number.to_lowercase(), order.token);
    assert_eq!(get(&path).header("cookie", cookie).send().await.unwrap().status(), 200);

    let link = path_of(&text(&tickets[0], "qr_png_url")).to_owned();
    app.advance(Duration::from_secs(24 * 3600 - 60)).await;
    assert_eq!(get(&link).send().await.unwrap().status(), 200);
    app.advance(Duration::from_secs(61)).await;
    Answer::of(get(&link)).await.refused(410, "ticket.link_expired");
    assert_eq!(get(&link).bearer_auth(&order.token).send().await.unwrap().status(), 200);
    app.finish().await;
}

#[tokio::test]
async fn a_void_ticket_shows_no_code() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let (order, tickets) = bought(&app, 1, &adult, 1).await;
    app.db.execute("update tickets set state = 'blocked'").await;
    let read = app.visitor(1).read(&order).await.expect(200);
    let shown = &read.body["tickets"][0];
    assert_eq!(
        (shown["state"].as_str(), &shown["qr_code"], &shown["qr_png_url"]),
        (Some("blocked"), &Value::Null, &Value::Null)
    );
    let link = path_of(&text(&tickets[0], "qr_png_url")).to_owned();
    Answer::of(app.http.get(app.url(&link))).await.refused(410, "ticket.void");

    // A re-issue ends the old picture's link.
    app.db.execute("update tickets set state = 'valid', version = 2").await;
    Answer::of(app.http.get(app.url(&link))).await.refused(403, "ticket.wrong_proof");
    app.finish().await;
}

#[tokio::test]
async fn processes_that_start_at_once_make_one_key() {
    let app = TestApp::start().await;
    app.db.execute("delete from signing_keys").await;
    let loaded = crate::support::race(16, |_| async { app.app().keys.load(app.app()).await }).await;
    assert!(loaded.iter().all(Result::is_ok));
    assert_eq!(app.db.one::<i64>("select count(*) from signing_keys").await, 1);
    assert_eq!(app.app().keys.current_id(), Some(1));
    app.finish().await;
}

#[tokio::test]
async fn keys_rotate_without_voiding_a_ticket() {
    let app = TestApp::start().await;
    let adult = app.given(places(10)).await;
    let (order, tickets) = bought(&app, 1, &adult, 1).await;
    let keys = &app.app().keys;
    let verified = |code: &str| {
        let signed = admit::tickets::code::read(code).unwrap();
        (signed.claims.key_id, keys.verify(&signed, app.app().clock.now()))
    };
    let old = text(&tickets[0], "qr_code");
    assert_eq!(verified(&old), (1, Some(true)));

    assert_eq!(admit::tickets::keys::rotate(app.app()).await.unwrap(), 2);
    assert_eq!(keys.current_id(), Some(1), "others have not heard of the new key yet");
    let published = Answer::of(app.http.get(app.url("/api/entrance/keys"))).await.expect(200);
    assert_eq!(published.body["keys"].as_array().unwrap().len(), 2);

    app.advance(Duration::from_secs(121)).await;
    keys.load(app.app()).await.unwrap();
    assert_eq!(keys.current_id(), Some(2));
    let (_, newer) = bought(&app, 2, &adult, 1).await;
    assert_eq!(verified(&text(&newer[0], "qr_code")), (2, Some(true)));
    assert_eq!(verified(&old), (1, Some(true)));

    // A key that got out: its codes are forgeries from now on, its tickets get codes of the current key.
    assert!(admit::tickets::keys::retire(app.app(), 1, app.app().clock.now()).await.unwrap());
    assert_eq!(verified(&old), (1, Some(false)));
    let read = app.visitor(1).read(&order).await.expect(200);
    assert_eq!(verified(&text(&read.body["tickets"][0], "qr_code")), (2, Some(true)));
    assert!(!admit::tickets::keys::retire(app.app(), 99, app.app().clock.now()).await.unwrap());
    app.finish().await;
}
