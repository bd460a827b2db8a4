//! What admins and support change in an order, and send again.

use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::{Desk, order_of};
use crate::notifications::{mails, text};
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Kind, TestApp};

#[tokio::test]
async fn a_corrected_contact_is_found_anew_and_counts_for_its_new_person() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(3), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let (one, two) = (app.visitor(1), app.visitor(2));
    let order = order_of(&one, &adult, "홍길동", None).await;
    one.pay(&order).await.expect(200);
    let other = Held::from(&two.order(&adult, 2).await.expect(201));
    two.pay(&other).await.expect(200);

    // The name alone: nothing is counted anew.
    let changed = desk.patch(&order.number, json!({ "customer_name": " 김  철수 " })).await.expect(200);
    assert_eq!(changed.body["contact"]["customer_name"], "* 철*");
    assert_eq!(desk.found("김철수").await, std::slice::from_ref(&order.number));
    assert_eq!(desk.found("홍길동").await, std::slice::from_ref(&other.number));
    let recorded: Value = app.db.one("select after from admin_audit where action = 'order.contact'").await;
    assert_eq!(recorded, json!({ "order": order.number, "fields": ["name"] }));
    let event: String =
        app.db.one("select actor || ' ' || cause from order_events where kind = 'contact_changed'").await;
    assert_eq!(event, "support name");

    // To the other's number: 2 + 1 are within the limit of 3, one more is not.
    desk.patch(&order.number, json!({ "customer_phone": two.phone, "customer_email": "kim@example.org" }))
        .await
        .expect(200);
    app.sweep().await;
    assert_eq!(desk.found(&two.phone).await.len(), 2);
    assert_eq!(desk.found(&one.phone).await, [""; 0]);
    assert_eq!(desk.found("0001").await, [""; 0]);
    let third = Held::from(&app.visitor(3).order(&adult, 1).await.expect(201));
    desk.patch(&third.number, json!({ "customer_phone": two.phone })).await.refused(409, "stock.person_limit");
    two.order(&adult, 1).await.refused(409, "stock.person_limit");
    // Whoever lost the order has their places back.
    let again = one.order(&adult, 3).await.expect(201);
    // An unpaid order goes to nobody who has one open.
    let open = order_of(&app.visitor(4), &adult, "이", None).await;
    desk.patch(&open.number, json!({ "customer_phone": one.phone })).await.refused(409, "stock.person_limit");
    one.cancel(&Held::from(&again)).await.expect(200);
    order_of(&one, &adult, "박", None).await;
    desk.patch(&open.number, json!({ "customer_phone": one.phone })).await.refused(409, "order.open_holds");
    // To somebody new, while it is held; then it is paid, and given back, under the new person.
    desk.patch(&open.number, json!({ "customer_phone": "010-9999-0000" })).await.expect(200);
    app.sweep().await;
    app.visitor(4).pay(&open).await.expect(200);
    let lookup = json!({ "order_number": open.number, "phone": "01099990000" });
    Answer::of(app.http.post(app.url("/api/orders/lookup")).json(&lookup)).await.expect(200);
    let lookup = json!({ "order_number": open.number, "phone": app.visitor(4).phone });
    Answer::of(app.http.post(app.url("/api/orders/lookup")).json(&lookup)).await.refused(404, "order.unknown");

    for (body, field) in [
        (json!({ "customer_name": "" }), "customer_name"),
        (json!({ "customer_phone": "02-123-4567" }), "customer_phone"),
        (json!({ "customer_email": "nobody" }), "customer_email"),
        (json!({ "customer_name": "x", "state": "cancelled" }), "state"),
        (json!({}), "customer_name"),
    ] {
        let refused = desk.patch(&open.number, body.clone()).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    assert_eq!(desk.audited("order.contact").await, 3);
    let (_, read) = desk.read(&order.number).await;
    assert_eq!(read["contact"]["customer_email"], "k***@example.org");
    desk.patch(&order.number, json!({ "customer_email": "" })).await.expect(200);
    assert!(!app.db.one::<bool>(&format!("select has_email from orders where number = '{}'", order.number)).await);
    let before = desk.read(&order.number).await.0;
    desk.patch(&order.number, json!({ "customer_name": "김  철수 " })).await.expect(200);
    assert_eq!(desk.read(&order.number).await.0, before, "nothing was different");
    app.finish().await;
}

/// A payment that begins while the number changes is told to read again, and goes through at its next try.
#[tokio::test]
async fn whoever_read_the_order_before_its_person_changed_reads_it_again() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(3), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&adult, 2).await;
    let client = app.app().pg.get().await.unwrap();
    let stale = admit::orders::pg::by_number(app.app(), &client, &order.number).await.unwrap().unwrap();
    drop(client);
    desk.patch(&order.number, json!({ "customer_phone": "010-9999-0000" })).await.expect(200);
    let origin = admit::orders::model::Origin::new("test", "cancel", "");
    let refused = admit::orders::cancel::cancel(app.app(), &stale, origin.clone(), None).await.unwrap_err();
    assert_eq!(refused.code, "server.busy");
    app.sweep().await;
    app.visitor(1).cancel(&order).await.expect(200);
    assert_eq!(app.stock(adult.stock_id).await, (0, 0));
    app.finish().await;
}

#[tokio::test]
async fn the_second_of_two_changes_is_asked_to_look_again() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let order = app.visitor(1).held(&adult, 1).await.number;
    let (tag, _) = desk.read(&order).await;
    desk.patch_as(&desk.support, &order, &tag, json!({ "customer_name": "김철수" })).await.expect(200);
    let late = json!({ "customer_name": "이영희" });
    desk.patch_as(&desk.admin, &order, &tag, late).await.refused(412, "request.changed_meanwhile");
    desk.patch_as(&desk.admin, &order, &tag, json!({ "state": "cancelled" }))
        .await
        .refused(412, "request.changed_meanwhile");
    for tag in ["", "1", "*", "\"\""] {
        desk.patch_as(&desk.admin, &order, tag, json!({ "customer_name": "x" }))
            .await
            .refused(412, "request.changed_meanwhile");
    }
    assert_eq!(desk.found("김철수").await, std::slice::from_ref(&order));
    assert_eq!(desk.audited("order.contact").await, 1);
    let (tag, _) = desk.read(&order).await;
    let raced = crate::support::race(6, async |n| {
        desk.patch_as(&desk.support, &order, &tag, json!({ "customer_name": format!("사람{n}") })).await.status
    })
    .await;
    assert_eq!(raced.iter().filter(|status| **status == 200).count(), 1, "{raced:?}");
    assert_eq!(desk.audited("order.contact").await, 2);
    app.finish().await;
}

#[tokio::test]
async fn only_what_is_not_paid_is_cancelled_and_only_by_an_admin() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let held = app.visitor(1).held(&adult, 2).await.number;
    let gone = json!({ "state": "cancelled" });
    let (tag, _) = desk.read(&held).await;
    desk.patch_as(&desk.support, &held, &tag, gone.clone()).await.refused(403, "auth.forbidden");
    for state in ["paid", "held", "refunded", "expired", "nonsense"] {
        desk.patch_as(&desk.admin, &held, &tag, json!({ "state": state })).await.refused(409, "order.illegal_move");
    }
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.cancel").await), ((2, 0), 0));
    let cancelled = desk.patch_as(&desk.admin, &held, &tag, gone.clone()).await.expect(200);
    assert_eq!(cancelled.text("state"), "cancelled");
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.cancel").await), ((0, 0), 1));
    let last = cancelled.body["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["actor"], &last["to"]), (&json!("admin"), &json!("cancelled")));
    let (tag, _) = desk.read(&held).await;
    desk.patch_as(&desk.admin, &held, &tag, gone.clone()).await.refused(409, "order.illegal_move");

    let paid = app.visitor(2).held(&adult, 1).await;
    app.visitor(2).pay(&paid).await.expect(200);
    let (tag, _) = desk.read(&paid.number).await;
    desk.patch_as(&desk.admin, &paid.number, &tag, gone.clone()).await.refused(409, "order.illegal_move");
    assert_eq!(app.stock(adult.stock_id).await, (0, 1));
    app.finish().await;
}

#[tokio::test]
async fn contacts_of_before_the_index_are_found_after_a_tick_and_forgotten_ones_never() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let (old, gone, lost) = (
        app.visitor(1).held(&adult, 1).await,
        app.visitor(2).held(&adult, 1).await,
        app.visitor(3).held(&adult, 1).await,
    );
    app.db
        .execute(&format!(
            "update contacts set name_index = null, tail_index = null, index_version = 0;
             update contacts c set erased_at = now(), sealed = '', phone_digest = '' from orders o where o.id = c.order_id and o.number = '{}';
             update contacts c set key_id = 'lost' from orders o where o.id = c.order_id and o.number = '{}'",
            gone.number, lost.number
        ))
        .await;
    let new = app.visitor(4).held(&adult, 1).await;
    assert_eq!(desk.found("홍길동").await, std::slice::from_ref(&new.number));
    assert_eq!(app.tick("contact_index").await, 2);
    assert_eq!(app.tick("contact_index").await, 0, "what does not open is not tried for ever");
    assert_eq!(desk.found("홍길동").await, [new.number.clone(), old.number.clone()]);
    assert_eq!(desk.found("0001").await, std::slice::from_ref(&old.number));
    assert_eq!((desk.found("0002").await.len(), desk.found("0003").await.len()), (0, 0));
    // Listed all the same, without a name.
    let one = desk.search(json!({ "q": lost.number })).await.expect(200).body["orders"][0].clone();
    assert!(one["customer_name"].is_null());
    let (tag, body) = desk.read(&gone.number).await;
    assert_eq!((&body["contact"]["forgotten"], &body["contact"]["customer_name"]), (&json!(true), &json!("")));
    desk.patch_as(&desk.support, &gone.number, &tag, json!({ "customer_name": "x" }))
        .await
        .refused(410, "order.forgotten");
    let path = format!("orders/{}/reveal", gone.number);
    desk.call(&desk.support, Method::POST, &path, json!({ "why": "x" })).await.refused(410, "order.forgotten");
    app.db.execute("update contacts set key_id = 't1' where key_id = 'lost'").await;
    app.finish().await;
}

#[tokio::test]
async fn a_mail_is_sent_again_five_times_a_day() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let order = order_of(&visitor, &adult, "홍길동", Some("hong@example.org")).await;
    let silent = app.visitor(2).held(&adult, 1).await;
    let resend = async |number: &str| {
        desk.call(&desk.support, Method::POST, &format!("orders/{number}/resend"), json!({})).await
    };
    resend(&order.number).await.refused(409, "order.nothing_to_send");
    visitor.pay(&order).await.expect(200);
    app.visitor(2).pay(&silent).await.expect(200);
    resend(&silent.number).await.refused(409, "order.no_address");
    app.tick("outbox").await;
    assert_eq!(mails(&app).len(), 1);

    let sent = resend(&order.number).await.expect(200);
    assert_eq!(sent.body, json!({ "mail": "order_paid", "left_today": 4 }));
    // To the address that is known by then.
    desk.patch(&order.number, json!({ "customer_email": "other@example.org" })).await.expect(200);
    app.tick("outbox").await;
    let all = mails(&app);
    assert_eq!((all.len(), all.iter().filter(|mail| mail.contains("other@example.org")).count()), (2, 1));
    let again = all.iter().find(|mail| mail.contains("other@example.org")).unwrap();
    assert!(text(again, "text/html").contains(&order.number));
    let raced = crate::support::race(8, async |_| resend(&order.number).await.status).await;
    assert_eq!(raced.iter().filter(|status| **status == 200).count(), 4, "{raced:?}");
    let refused = resend(&order.number).await.refused(429, "order.too_many_mails");
    assert!(refused.retry_after.unwrap().parse::<i64>().unwrap() > 80_000);
    let (_, read) = desk.read(&order.number).await;
    let messages = read["messages"].as_array().unwrap();
    assert_eq!(
        (messages.len(), &messages[1]["kind"], &messages[1]["asked_by"]),
        (6, &json!("resend"), &json!("helper"))
    );
    assert_eq!(desk.audited("order.resend").await, 5);
    app.advance(std::time::Duration::from_secs(24 * 3600)).await;
    // Signed in a day ago.
    let support = app.access_token("helper").await;
    desk.call(&support, Method::POST, &format!("orders/{}/resend", order.number), json!({})).await.expect(200);
    app.finish().await;
}
