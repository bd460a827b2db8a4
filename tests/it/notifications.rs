//! What a visitor finds in the mailbox, and what becomes of mails that cannot be delivered.

use std::time::Duration;

use base64::Engine;
use serde_json::json;

use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, TestApp, Visitor};

/// Mails in the test's mailbox, as they were written.
pub fn mails(app: &TestApp) -> Vec<String> {
    let read = |entry: std::io::Result<std::fs::DirEntry>| std::fs::read_to_string(entry.unwrap().path()).unwrap();
    std::fs::read_dir(&app.mail.0).unwrap().map(read).filter(|mail| mail.contains("Message-ID")).collect()
}

/// The parts of a mail, decoded, with their headers.
fn parts(mail: &str) -> Vec<(String, Vec<u8>)> {
    let boundaries: Vec<&str> = mail.split("boundary=\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    let mut parts = vec![mail.to_owned()];
    for boundary in boundaries {
        let marker = format!("--{boundary}");
        parts = parts.iter().flat_map(|part| part.split(&marker).map(str::to_owned).collect::<Vec<_>>()).collect();
    }
    parts
        .iter()
        .filter_map(|part| {
            let (head, body) = part.trim_start().split_once("\r\n\r\n")?;
            let body = if head.contains("base64") {
                let text: String = body.split_whitespace().collect();
                base64::engine::general_purpose::STANDARD.decode(text).ok()?
            } else {
                body.as_bytes().to_vec()
            };
            Some((head.to_owned(), body))
        })
        .collect()
}

pub fn text(mail: &str, kind: &str) -> String {
    let (head, body) =
        parts(mail).into_iter().find(|(head, _)| head.contains(kind)).unwrap_or_else(|| panic!("no {kind} in {mail}"));
    String::from_utf8(if head.contains("quoted-printable") { unquoted(&body) } else { body }).unwrap()
}

/// Quoted-printable, as bytes again.
fn unquoted(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = body;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        match (byte, after) {
            (b'=', [b'\r', b'\n', next @ ..]) => rest = next,
            (b'=', [high, low, next @ ..]) => {
                out.push(u8::from_str_radix(std::str::from_utf8(&[*high, *low]).unwrap(), 16).unwrap());
                rest = next;
            }
            _ => out.push(*byte),
        }
    }
    out
}

pub async fn held_by_mail(visitor: &Visitor<'_>, given: &Given, quantity: i64, name: &str, language: &str) -> Held {
    let mut ask = visitor.ask(given, quantity);
    ask["customer_email"] = json!("hong@example.org");
    ask["customer_name"] = json!(name);
    let order =
        Answer::of(visitor.post("/api/orders").header("accept-language", language).json(&ask)).await.expect(201);
    Held::from(&order)
}

#[tokio::test]
async fn a_paid_order_is_mailed_with_a_readable_code_for_each_person() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), ..places(100) }).await;
    let visitor = app.visitor(1);
    let order = held_by_mail(&visitor, &adult, 2, "홍길동", "ko").await;
    let paid = visitor.pay(&order).await.expect(200);
    app.tick("outbox").await;

    let mails = mails(&app);
    assert_eq!(mails.len(), 1);
    let mail = &mails[0];
    assert!(mail.contains("hong@example.org"));
    let html = text(mail, "text/html");
    for words in ["홍길동님", &order.number, "시험 전시", "20,000원"] {
        assert!(html.contains(words), "{words} in {html}");
    }
    let pictures: Vec<_> = parts(mail).into_iter().filter(|(head, _)| head.contains("image/png")).collect();
    assert_eq!(pictures.len(), 2);
    for ((head, png), ticket) in pictures.iter().zip(paid.body["tickets"].as_array().unwrap()) {
        assert!(png.starts_with(b"\x89PNG"));
        let id = ticket["id"].as_str().unwrap();
        assert!(head.contains(id), "{head}");
        assert!(html.contains(&format!("cid:{id}@admit")));
    }
    // The link opens the order in a browser that knows nothing of it, and leaves no proof in the address.
    let plain = text(mail, "text/plain");
    let link = plain.split("http://localhost:8080").nth(1).unwrap().split_whitespace().next().unwrap();
    let opened = app.http.get(app.url(link)).send().await.unwrap();
    assert_eq!(opened.status(), 303);
    assert_eq!(opened.headers()["location"], format!("/xyz/complete/{}", order.number));

    app.tick("outbox").await;
    assert_eq!(self::mails(&app).len(), 1, "told once");
    assert_eq!(app.db.one::<String>("select outcome from outbox").await, "sent");
    app.finish().await;
}

#[tokio::test]
async fn a_mail_speaks_the_order_s_language_and_its_headers_stay_its_own() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    let name = "\"Hong\" <evil@example.org>, Bcc: x";
    let order = held_by_mail(&visitor, &adult, 1, name, "en").await;
    visitor.pay(&order).await.expect(200);
    app.tick("outbox").await;
    let mails = mails(&app);
    let head = mails[0].split("\r\n\r\n").next().unwrap();
    assert!(head.contains("Your tickets"), "{head}");
    assert!(!head.lines().any(|line| line.to_ascii_lowercase().starts_with("bcc")), "{head}");
    // One address, whatever the name pretends to be.
    let to = head.lines().find(|line| line.starts_with("To:")).unwrap();
    assert!(to.ends_with("<hong@example.org>") || head.contains(" <hong@example.org>"), "{head}");
    let html = text(&mails[0], "text/html");
    assert!(html.contains("Dear") && !html.contains("<evil@example.org>"), "{html}");
    app.finish().await;
}

#[tokio::test]
async fn nobody_to_write_to_is_an_end_too() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let (silent, forgotten) = (app.visitor(1), app.visitor(2));
    let order = silent.held(&adult, 1).await;
    silent.pay(&order).await.expect(200);
    let order = held_by_mail(&forgotten, &adult, 1, "홍길동", "ko").await;
    forgotten.pay(&order).await.expect(200);
    app.db
        .execute(
            "update contacts set erased_at = now(), sealed = '', phone_digest = '', name_index = null, tail_index = null;
             insert into outbox (kind, order_id, next_try_at, created_at)
             select 'money_returned', id, now(), now() from orders where not has_email",
        )
        .await;
    app.tick("outbox").await;
    assert_eq!(mails(&app).len(), 0);
    let ends: String = app.db.one("select string_agg(state || ' ' || outcome, ', ') from outbox").await;
    assert_eq!(ends, "done no_channel, done no_channel");
    app.finish().await;
}

#[tokio::test]
async fn several_workers_tell_each_order_once() {
    let mut app = TestApp::start().await;
    app.add_instance().await;
    let adult = app.given(places(100)).await;
    for n in 0..30 {
        let visitor = app.visitor(n);
        let order = held_by_mail(&visitor, &adult, 1, "홍길동", "ko").await;
        visitor.pay(&order).await.expect(200);
    }
    for _ in 0..2 {
        tokio::join!(app.tick_on(0, "outbox"), app.tick_on(1, "outbox"));
    }
    assert_eq!(mails(&app).len(), 30);
    app.finish().await;
}

#[tokio::test]
async fn a_mail_that_fails_is_tried_again_later_and_at_last_given_up() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    let order = held_by_mail(&visitor, &adult, 1, "홍길동", "ko").await;
    visitor.pay(&order).await.expect(200);
    // The mailbox is gone.
    std::fs::remove_dir_all(&app.mail.0).unwrap();
    assert_eq!(app.tick("outbox").await, 1);
    assert_eq!(app.tick("outbox").await, 0, "not before its time");
    app.advance(Duration::from_secs(40)).await;
    assert_eq!(app.tick("outbox").await, 1);
    assert_eq!(app.db.one::<String>("select outcome from outbox").await, "not_written_to_file");
    // And is there again: nothing was lost.
    std::fs::create_dir_all(&app.mail.0).unwrap();
    app.advance(Duration::from_secs(100)).await;
    app.tick("outbox").await;
    assert_eq!(mails(&app).len(), 1);

    app.db.execute("update outbox set state = 'pending', tries = 11, next_try_at = admit_now()").await;
    std::fs::remove_dir_all(&app.mail.0).unwrap();
    assert_eq!(app.tick("outbox").await, 1);
    assert_eq!(app.db.one::<String>("select state from outbox").await, "dead", "visible, and replayable");
    app.finish().await;
}

#[tokio::test]
async fn money_that_goes_back_is_told_with_the_reason() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let visitor = app.visitor(1);
    let order = held_by_mail(&visitor, &adult, 1, "홍길동", "ko").await;
    // Two tabs, two attempts, both authenticated: the second to be confirmed is paid back.
    let (first, first_key) = visitor.authorised(&order).await;
    let (second, second_key) = visitor.authorised(&order).await;
    visitor.confirm(&order, &first, &first_key, "tab one").await.expect(200);
    let other = visitor.confirm(&order, &second, &second_key, "tab two").await;
    app.tick("outbox").await;
    // Refused before the bank was asked: nothing was taken, so there is nothing to return and to tell.
    other.refused(409, "payment.already_paid");
    assert_eq!(mails(&app).len(), 1);

    // Money that did arrive is told of, once it is on its way.
    app.db
        .execute(
            "insert into refunds (id, attempt_id, order_id, amount_won, reason, state, next_try_at, created_at, done_at)
             select gen_random_uuid(), id, order_id, amount_won, 'test', 'done', now(), now(), now() from attempts where state = 'ready';
             insert into outbox (kind, order_id, next_try_at, created_at) select 'money_returned', id, now(), now() from orders",
        )
        .await;
    app.tick("outbox").await;
    let mail = mails(&app).into_iter().find(|mail| mail.contains("<money_returned.")).unwrap();
    let html = text(&mail, "text/html");
    for words in ["결제가 한 번 더", "10,000원", "그대로 사용", "따로 하실 일은 없습니다"] {
        assert!(html.contains(words), "{words} in {html}");
    }
    app.db.execute("delete from refunds").await;
    app.finish().await;
}
