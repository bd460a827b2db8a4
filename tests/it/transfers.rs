//! A transfer comes hours later, when the order has lapsed: its places are taken again, or nothing is written.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::races::naive_sale;
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, Kind, Options, TestApp, race};

const PAST_THE_HOLD: Duration = Duration::from_secs(602);

/// The money of this order has come.
async fn came(desk: &Desk<'_>, token: &str, order: &Held) -> Answer {
    let body = json!({ "amount": order.total, "note": "statement of today" });
    desk.call(token, Method::POST, &format!("orders/{}/transfer", order.number), body).await
}

/// Everything held so far lapses, and its places are free again.
async fn lapse(app: &TestApp, given: &Given, free: i64) {
    app.advance(PAST_THE_HOLD).await;
    app.tick("expire").await;
    app.until("the places are free again", async || app.redis_free(given).await == Some(free)).await;
}

/// What must be as before: the order, its events and attempts, and the log.
async fn written(app: &TestApp, number: &str) -> Value {
    app.db
        .one(&format!(
            "select jsonb_build_array(to_jsonb(o), (select count(*) from order_events e where e.order_id = o.id),
                    (select count(*) from attempts a where a.order_id = o.id), (select count(*) from tickets t where t.order_id = o.id),
                    (select count(*) from admin_audit)) from orders o where o.number = '{number}'"
        ))
        .await
}

#[tokio::test]
async fn a_transfer_after_the_time_to_pay_gets_its_places_again() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(9), person_limit: Some(3), ..places(9) }).await;
    let desk = Desk::of(&app).await;
    let (swept, unswept) = (app.visitor(1).held(&adult, 2).await, app.visitor(2).held(&adult, 1).await);
    app.advance(PAST_THE_HOLD).await;
    // Nobody has taken its places away yet: they are still its own.
    came(&desk, &desk.admin, &unswept).await.expect(200);
    assert_eq!(app.tick("expire").await, 1);
    app.until("the places are free again", async || app.redis_free(&adult).await == Some(8)).await;

    came(&desk, &desk.support, &swept).await.refused(403, "auth.forbidden");
    let paid = came(&desk, &desk.admin, &swept).await.expect(200);
    assert_eq!((paid.text("state"), paid.text("payment_method")), ("paid".into(), "transfer".into()));
    assert_eq!(paid.body["tickets"].as_array().unwrap().len(), 2);
    let last = paid.body["events"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["from"], &last["to"], &last["cause"]), (&json!("expired"), &json!("paid"), &json!("transfer")));
    // Pressed again it is the same payment.
    came(&desk, &desk.admin, &swept).await.expect(200);
    assert_eq!((app.stock(adult.stock_id).await, app.stock(adult.slot_stock_id.unwrap()).await), ((0, 3), (0, 3)));
    assert_eq!(
        (app.db.one::<i64>("select count(*) from attempts").await, desk.audited("order.transfer").await),
        (2, 2)
    );
    let before: String = app
        .db
        .one(&format!(
            "select before ->> 'state' from admin_audit where action = 'order.transfer' and before ->> 'order' = '{}'",
            swept.number
        ))
        .await;
    assert_eq!(before, "expired");
    // Its places are its person's again, and no hold of theirs is open.
    app.until("Redis counts them", async || app.visitor(1).order(&adult, 2).await.code() == "stock.person_limit").await;
    app.until("none is open", async || app.visitor(1).order(&adult, 1).await.status == 201).await;
    app.finish().await;
}

#[tokio::test]
async fn a_late_transfer_without_room_or_day_is_refused_and_writes_nothing() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(3), person_limit: Some(3), ..places(9) }).await;
    let undated = app.given(Kind { person_limit: Some(3), ..places(9) }).await;
    let desk = Desk::of(&app).await;
    let (full, again) = (app.visitor(1).held(&adult, 2).await, app.visitor(2).held(&undated, 2).await);
    let forgotten = app.visitor(3).held(&undated, 1).await;
    lapse(&app, &undated, 9).await;
    let refused = async |order: &Held, status: u16, code: &str| {
        let admin = app.access_token("boss").await;
        let before = written(&app, &order.number).await;
        came(&desk, &admin, order).await.refused(status, code);
        assert_eq!(written(&app, &order.number).await, before, "{code}");
    };

    // Somebody else has two of the three places of its slot.
    app.until("two are taken", async || app.visitor(4).order(&adult, 2).await.status == 201).await;
    refused(&full, 409, "transfer.no_room").await;
    refused(&full, 409, "transfer.no_room").await;
    // Its visitor has ordered anew meanwhile, up to the limit.
    let anew = app.visitor(2).held(&undated, 3).await;
    app.visitor(2).pay(&anew).await.expect(200);
    refused(&again, 409, "stock.person_limit").await;
    app.db
        .execute(&format!(
            "update contacts c set erased_at = now(), sealed = '', phone_digest = '', name_index = null, tail_index = null
               from orders o where o.id = c.order_id and o.number = '{}'",
            forgotten.number
        ))
        .await;
    refused(&forgotten, 410, "order.forgotten").await;

    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    refused(&full, 409, "transfer.slot_closed").await;
    app.advance(Duration::from_secs(6 * 24 * 3600)).await;
    refused(&full, 409, "transfer.slot_over").await;
    app.advance(Duration::from_secs(70 * 24 * 3600)).await;
    refused(&again, 409, "transfer.slot_over").await;
    app.tick("expire").await;
    app.finish().await;
}

/// Whatever the instance that was asked knows of it: the slot is looked at under the lock of its places.
#[tokio::test]
async fn a_slot_that_is_closed_in_the_same_moment_is_not_sold() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(3), ..places(9) }).await;
    let desk = Desk::of(&app).await;
    let late = app.visitor(1).held(&adult, 2).await;
    lapse(&app, &adult, 9).await;
    app.db.execute("update slots set closed = true").await;
    came(&desk, &desk.admin, &late).await.refused(409, "transfer.slot_closed");
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.transfer").await), ((0, 0), 0));
    app.finish().await;
}

#[tokio::test]
async fn two_desks_beside_pay_an_order_once_and_sell_the_last_place_once() {
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    app.given(places(1)).await;
    let desk = Desk::of(&app).await;
    let (mut alone, mut rivals) = (Vec::new(), Vec::new());
    for (n, code) in ["same-1", "same-2", "same-3"].into_iter().enumerate() {
        let given = app.given(Kind { code, ..places(1) }).await;
        alone.push((app.visitor(n).held(&given, 1).await, given));
    }
    for (n, code) in ["last-1", "last-2", "last-3"].into_iter().enumerate() {
        let given = app.given(Kind { code, ..places(2) }).await;
        rivals.push(([app.visitor(10 + n).held(&given, 1).await, app.visitor(20 + n).held(&given, 1).await], given));
    }
    app.advance(PAST_THE_HOLD).await;
    app.tick("expire").await;
    for (n, (_, given)) in rivals.iter().enumerate() {
        app.until("one place goes to somebody else", async || app.visitor(30 + n).order(given, 1).await.status == 201)
            .await;
        app.until("one is left", async || app.redis_free(given).await == Some(1)).await;
    }
    let owner = app.access_token("owner").await;
    let came_at = async |n: usize, order: &Held| {
        let url = format!("http://{}/api/admin/orders/{}/transfer", app.instances[n].address, order.number);
        let body = json!({ "amount": order.total, "note": "statement" });
        Answer::of(app.http.post(url).bearer_auth(&owner).json(&body)).await
    };

    for (order, given) in &alone {
        app.until("its place is free", async || app.redis_free(given).await == Some(1)).await;
        let answers = race(2, async |n| came_at(n, order).await).await;
        assert!(answers.iter().all(|answer| answer.status == 200), "{answers:?}");
        assert_eq!(app.stock(given.stock_id).await, (0, 1));
    }
    assert_eq!(app.db.one::<i64>("select count(*) from tickets").await, 3);
    assert_eq!(
        (app.db.one::<i64>("select count(*) from attempts").await, desk.audited("order.transfer").await),
        (3, 3)
    );
    for (orders, given) in &rivals {
        let answers = race(2, async |n| came_at(n, &orders[n]).await).await;
        let won = answers.iter().filter(|answer| answer.status == 200).count();
        let full = answers.iter().filter(|answer| answer.code() == "transfer.no_room").count();
        assert_eq!((won, full), (1, 1), "{answers:?}");
        assert_eq!(app.stock(given.stock_id).await, (1, 1));
    }
    assert!(naive_sale(&app, 1, 2).await > 1, "desks that look before they write must sell it twice");
    app.finish().await;
}
