//! Money and tickets that pass over the desk: transfers, gifts, days that are given back.

use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::Desk;
use crate::notifications::{mails, text};
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Kind, TestApp};

#[tokio::test]
async fn money_that_came_by_a_transfer_pays_once_and_goes_back_by_hand() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    let came = async |token: &str, number: &str, amount: i64, note: &str| {
        let path = format!("orders/{number}/transfer");
        desk.call(token, Method::POST, &path, json!({ "amount": amount, "note": note })).await
    };
    came(&desk.support, &order.number, 20_000, "seen in the bank").await.refused(403, "auth.forbidden");
    came(&desk.admin, &order.number, 19_999, "seen in the bank").await.refused(422, "payment.amount_mismatch");
    came(&desk.admin, &order.number, 20_000, " ").await.refused(422, "request.invalid");
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.transfer").await), ((2, 0), 0));
    let paid = came(&desk.admin, &order.number, 20_000, "seen in the bank").await.expect(200);
    assert_eq!((paid.text("state"), paid.text("payment_method")), ("paid".into(), "transfer".into()));
    assert_eq!(paid.body["tickets"].as_array().unwrap().len(), 2);
    came(&desk.admin, &order.number, 20_000, "seen in the bank").await.expect(200);
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.transfer").await), ((0, 2), 1));
    assert_eq!(visitor.read(&order).await.expect(200).text("status"), "paid");

    // No till of a gate has it.
    let tills = desk.call(&desk.admin, Method::GET, "exhibitions/xyz/walk-ins", json!({})).await.expect(200);
    assert_eq!((&tills.body["all"]["taken"], &tills.body["tills"]), (&json!(0), &json!([])));
    let quote = crate::refunds::preview(&visitor, &order).await.expect(200);
    assert_eq!(quote.body["tickets"][0]["refused_because"], "at_the_desk");
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", order.number));
    let body = json!({ "ticket_ids": [paid.body["tickets"][0]["id"]], "reason": "cannot come" });
    let back = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r").json(&body);
    assert_eq!(Answer::of(back).await.expect(200).text("state"), "by_hand");
    let late = came(&desk.admin, &order.number, 20_000, "again").await;
    late.refused(409, "order.illegal_move");

    let carded = app.visitor(2).held(&adult, 1).await;
    app.visitor(2).pay(&carded).await.expect(200);
    came(&desk.admin, &carded.number, 10_000, "x").await.refused(409, "payment.already_paid");
    // One that is paid by card and by transfer in the same moment is paid once.
    let both = app.visitor(4).held(&adult, 1).await;
    let (order_id, payment_key) = app.visitor(4).authorised(&both).await;
    let payer = app.visitor(4);
    let (card, transfer) =
        tokio::join!(payer.confirm(&both, &order_id, &payment_key, "k"), came(&desk.admin, &both.number, 10_000, "x"));
    assert!(card.status == 200 || transfer.status == 200, "{} {}", card.body, transfer.body);
    assert!(card.status != 200 || transfer.status != 200, "{} {}", card.body, transfer.body);
    app.finish().await;
}

#[tokio::test]
async fn a_ticket_that_is_named_twice_goes_back_once() {
    let app = TestApp::start().await;
    let adult = app.given(places(50)).await;
    let desk = Desk::of(&app).await;
    let visitor = app.visitor(1);
    let order = visitor.held(&adult, 2).await;
    let paid = visitor.pay(&order).await.expect(200);
    let first = &paid.body["tickets"][0]["id"];
    let body = json!({ "ticket_ids": [first, first], "reason": "cannot come" });
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", order.number));
    let back = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r").json(&body);
    assert_eq!(Answer::of(back).await.expect(200).body["amount"], 10_000);
    crate::refunds::carried(&app).await;
    assert_eq!(app.stock(adult.stock_id).await, (0, 1));
    assert_eq!(visitor.read(&order).await.expect(200).text("status"), "partially_refunded");
    assert_eq!(app.simulator_counts().await["cancelled_amount"], 10_000);
    app.finish().await;
}

#[tokio::test]
async fn tickets_are_given_away_out_of_the_same_places() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { person_limit: Some(1), slot_places: Some(4), ..places(50) }).await;
    let desk = Desk::of(&app).await;
    app.db.execute("update exhibitions set sale_end_at = now() - interval '1 hour'").await;
    app.refresh().await;
    let give_as = async |token: &str, key: &str, body: &Value| {
        let url = app.url("/api/admin/exhibitions/xyz/complimentary");
        Answer::of(app.http.post(url).bearer_auth(token).header("idempotency-key", key).json(body)).await
    };
    let gift = |quantity: i64, email: Option<&str>, reason: &str| {
        json!({ "items": [{ "product_id": adult.product_id, "quantity": quantity }], "visit_date": adult.date,
                "customer_email": email, "reason": reason })
    };
    let press = gift(3, Some("press@example.org"), "press day");
    give_as(&desk.support, "1", &press).await.refused(403, "auth.forbidden");
    for (body, field) in [
        (gift(3, None, " "), "reason"),
        (gift(0, None, "x"), "items[0].quantity"),
        (gift(3, Some("nobody"), "x"), "customer_email"),
        (json!({ "items": [], "reason": "x" }), "items"),
        (json!({ "items": [{ "product_id": adult.product_id, "quantity": 1 }], "reason": "x" }), "visit_date"),
    ] {
        let refused = give_as(&desk.admin, "0", &body).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field, "{body}");
    }
    assert_eq!((app.stock(adult.stock_id).await, desk.audited("order.complimentary").await), ((0, 0), 0));

    let given = give_as(&desk.admin, "1", &press).await.expect(201);
    assert_eq!((given.text("state"), &given.body["total_amount"]), ("paid".into(), &json!(0)));
    assert_eq!(
        (given.body["tickets"].as_array().unwrap().len(), &given.body["items"][0]["unit_price"]),
        (3, &json!(0))
    );
    let again = give_as(&desk.admin, "1", &press).await.expect(201);
    assert_eq!(again.text("order_number"), given.text("order_number"));
    give_as(&desk.admin, "1", &gift(2, None, "press day")).await.refused(422, "idempotency.key_reused");
    give_as(&desk.admin, "2", &gift(2, None, "x")).await.refused(409, "stock.sold_out");
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 3));
    let recorded: Value = app.db.one("select after from admin_audit where action = 'order.complimentary'").await;
    assert_eq!(recorded, json!({ "order": given.text("order_number"), "tickets": 3, "reason": "press day" }));
    app.tick("outbox").await;
    let mail = &mails(&app)[0];
    assert!(mail.contains("press@example.org") && !text(mail, "text/html").contains("Dear ,"), "{mail}");
    assert_eq!(desk.found(&given.text("order_number")).await.len(), 1);

    // Nothing was paid and nothing goes back, but the place is free again.
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", given.text("order_number")));
    let body = json!({ "ticket_ids": [given.body["tickets"][0]["id"]], "reason": "cannot come" });
    let back = Answer::of(app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r").json(&body)).await;
    assert_eq!(back.expect(200).body["amount"], 0);
    let more = crate::support::race(6, async |_| give_as(&desk.admin, "3", &gift(2, None, "x")).await).await;
    let one = more[0].clone().expect(201).text("order_number");
    assert!(more.iter().all(|answer| answer.text("order_number") == one));
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 4));
    app.finish().await;
}

#[tokio::test]
async fn a_day_that_does_not_take_place_is_given_back_order_by_order() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(100), ..places(200) }).await;
    let other_day = app.given(Kind { slot_places: None, ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let slot = adult.slot_id.unwrap();
    let mut numbers = Vec::new();
    for n in 0..6 {
        let visitor = app.visitor(n);
        let order = visitor.held(&adult, 2).await;
        visitor.pay(&order).await.expect(200);
        numbers.push(order.number);
    }
    let undated = app.visitor(20).held(&other_day, 1).await;
    app.visitor(20).pay(&undated).await.expect(200);
    let late = app.visitor(21).held(&adult, 1).await;
    let gift = json!({ "items": [{ "product_id": adult.product_id, "quantity": 2 }], "visit_date": adult.date, "reason": "press" });
    let url = app.url("/api/admin/exhibitions/xyz/complimentary");
    Answer::of(app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "g").json(&gift))
        .await
        .expect(201);
    // One ticket of the first order was used.
    app.db
        .execute(&format!(
            "with s as (insert into scans (id, exhibition_id, ticket_id, gate, staff_id, allowed, reason, scanned_at, reply, counted)
                        select gen_random_uuid(), t.exhibition_id, t.id, 'n', 1, true, 'ok', now(), '{{}}', true from tickets t join orders o on o.id = t.order_id
                         where o.number = '{}' and t.ticket_no = 1 returning id, ticket_id, scanned_at)
             update tickets t set used_at = s.scanned_at, used_scan_id = s.id, used_gate = 'n', entries = 1 from s where t.id = s.ticket_id",
            numbers[0]
        ))
        .await;
    let path = "exhibitions/xyz/bulk-refunds";
    let ask = async |token: &str, key: &str, body: Value| {
        let url = app.url(&format!("/api/admin/{path}"));
        Answer::of(app.http.post(url).bearer_auth(token).header("idempotency-key", key).json(&body)).await
    };
    let body = json!({ "slot_ids": [slot], "reason": "typhoon" });
    ask(&desk.support, "1", body.clone()).await.refused(403, "auth.forbidden");
    for (wrong, field) in [
        (json!({ "slot_ids": [], "reason": "x" }), "slot_ids"),
        (json!({ "slot_ids": [slot, 999], "reason": "x" }), "slot_ids[1]"),
        (json!({ "slot_ids": [slot], "reason": " " }), "reason"),
    ] {
        let refused = ask(&desk.admin, "1", wrong).await.refused(422, "request.invalid");
        assert_eq!(refused.body["errors"][0]["field"], field);
    }
    let dry =
        ask(&desk.admin, "1", json!({ "slot_ids": [slot], "reason": "typhoon", "dry_run": true })).await.expect(200);
    assert_eq!(
        dry.body,
        json!({ "orders": 7, "tickets": 13, "amount": 110_000, "currency": "KRW", "used_tickets": 1, "at_the_desk_orders": 0 })
    );
    ask(&desk.admin, "1", body.clone()).await.refused(409, "bulk_refund.slot_open");
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let no_key = desk.call(&desk.admin, Method::POST, path, body.clone()).await;
    no_key.refused(400, "idempotency.key_required");
    assert_eq!(desk.audited("order.bulk_refund").await, 0);
    let begun =
        crate::support::race(4, async |_| ask(&desk.admin, "1", body.clone()).await.expect(202).text("id")).await;
    assert!(begun.iter().all(|id| *id == begun[0]), "{begun:?}");
    ask(&desk.admin, "1", json!({ "slot_ids": [slot], "reason": "other" }))
        .await
        .refused(422, "idempotency.key_reused");
    let far =
        async || desk.call(&desk.admin, Method::GET, &format!("{path}/{}", begun[0]), json!({})).await.expect(200).body;
    let progress = far().await;
    assert_eq!((&progress["left"], &progress["state"]), (&json!(7), &json!("running")));

    // A worker that died had taken some orders, and given one back without saying so.
    app.db.execute("update bulk_refund_orders set next_try_at = now() + interval '60 seconds', tries = 1").await;
    let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", numbers[1]));
    let (_, read) = desk.read(&numbers[1]).await;
    let ids: Vec<&Value> = read["tickets"].as_array().unwrap().iter().map(|ticket| &ticket["id"]).collect();
    let by_hand = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", "r");
    Answer::of(by_hand.json(&json!({ "ticket_ids": ids, "reason": "called" }))).await.expect(200);
    assert_eq!(app.tick("bulk_refunds").await, 0);
    app.advance(std::time::Duration::from_secs(61)).await;
    assert_eq!(app.tick("bulk_refunds").await, 7);
    app.tick("bulk_refunds").await;
    let progress = far().await;
    assert_eq!(
        (
            &progress["left"],
            &progress["done"],
            &progress["failed"],
            &progress["tickets_refunded"],
            &progress["amount_refunded"]
        ),
        (&json!(0), &json!(7), &json!(0), &json!(11), &json!(90_000)),
    );
    // Somebody may still pay what they held before the day was closed.
    assert_eq!(progress["state"], "running");
    app.visitor(21).pay(&late).await.expect(200);
    app.tick("bulk_refunds").await;
    assert_eq!(app.tick("bulk_refunds").await, 0, "orders are looked for once a minute");
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    assert_eq!(app.tick("bulk_refunds").await, 1);
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    let progress = far().await;
    assert_eq!(
        (&progress["state"], &progress["done"], &progress["amount_refunded"]),
        (&json!("done"), &json!(8), &json!(100_000))
    );
    assert_eq!(app.stock(adult.slot_stock_id.unwrap()).await, (0, 1), "the used one stays");
    assert_eq!(desk.read(&undated.number).await.1["state"], "paid");
    assert_eq!(desk.audited("order.bulk_refund").await, 1);
    desk.call(&desk.admin, Method::GET, &format!("{path}/{}", uuid::Uuid::nil()), json!({}))
        .await
        .refused(404, "bulk_refund.unknown");
    let mut listed = desk.call(&desk.admin, Method::GET, path, json!({})).await.expect(200).body;
    assert_eq!((&listed["bulk_refunds"].take(), &listed["next"]), (&json!([progress]), &Value::Null));
    crate::refunds::carried(&app).await;
    app.finish().await;
}

/// Nobody has the cash in hand here: whoever pays it out writes it down.
#[tokio::test]
async fn a_bulk_refund_pays_no_cash_out_and_leaves_a_day_that_takes_place_after_all() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(20), open_holds_max: 20, ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let (cash, card) = (app.visitor(1).held(&adult, 1).await, app.visitor(2).held(&adult, 1).await);
    let paid = json!({ "amount": cash.total, "note": "bank" });
    desk.call(&desk.admin, Method::POST, &format!("orders/{}/transfer", cash.number), paid).await.expect(200);
    app.visitor(2).pay(&card).await.expect(200);
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let path = "exhibitions/xyz/bulk-refunds";
    let begin = async |key: &str| {
        let ask = app.http.post(app.url(&format!("/api/admin/{path}"))).bearer_auth(&desk.admin);
        let body = json!({ "slot_ids": [adult.slot_id], "reason": "typhoon" });
        Answer::of(ask.header("idempotency-key", key).json(&body)).await.expect(202).text("id")
    };
    let id = begin("1").await;
    app.tick("bulk_refunds").await;
    let told = desk.call(&desk.admin, Method::GET, &format!("{path}/{id}"), json!({})).await.expect(200).body;
    assert_eq!((&told["done"], &told["failed"]), (&json!(1), &json!(1)), "{told}");
    assert_eq!(told["failures"][0], json!({ "order_number": cash.number, "code": "refund.at_the_desk" }));
    for code in ["refund.at_the_desk", "bulk_refund.slot_open", "payment.in_progress"] {
        assert!(admit::platform::texts::knows(&format!("page.admin.bulk.refused.{code}")), "{code} has no words");
    }
    assert_eq!(desk.read(&cash.number).await.1["state"], "paid", "its ticket is good until somebody pays it out");

    // The day takes place after all: whoever comes new is not sent away.
    let again = begin("2").await;
    app.db.execute("update slots set closed = false").await;
    app.refresh().await;
    let new = app.visitor(3).held(&adult, 1).await;
    app.visitor(3).pay(&new).await.expect(200);
    app.advance(std::time::Duration::from_secs(61)).await;
    app.tick("bulk_refunds").await;
    app.tick("bulk_refunds").await;
    let told = desk.call(&desk.admin, Method::GET, &format!("{path}/{again}"), json!({})).await.expect(200).body;
    assert_eq!(told["done"], 0, "{told}");
    assert_eq!(desk.read(&new.number).await.1["state"], "paid");
    crate::refunds::carried(&app).await;
    app.finish().await;
}

/// Whatever its orders are like: what a dry run tells is what is then done.
#[tokio::test]
async fn a_dry_run_tells_what_is_then_done() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { slot_places: Some(100), open_holds_max: 20, ..places(200) }).await;
    // Of another price and another day.
    let child = app.given(Kind { slot_places: None, price_won: 4_000, ..places(200) }).await;
    app.db.execute(&format!("update products set dated = true where id = {}", child.product_id)).await;
    let desk = Desk::of(&app).await;
    let other: i32 = app
        .db
        .one(&format!(
            "with s as (insert into stock (exhibition_id, total, offered, epoch) select exhibition_id, 100, 100, epoch from stock where id = {} returning id, exhibition_id)
             insert into slots (exhibition_id, stock_id, visit_date) select exhibition_id, id, (now() at time zone 'Asia/Seoul')::date + 9 from s returning id",
            adult.stock_id
        ))
        .await;
    admit::stock::rebuild::rebuild(app.app(), adult.exhibition_id, "xyz", "test").await.unwrap();
    app.refresh().await;
    let other_day: String = app.db.one(&format!("select visit_date::text from slots where id = {other}")).await;
    let mut paid = Vec::new();
    for n in 0..12 {
        let visitor = app.visitor(n);
        let mut ask = visitor.ask(&adult, 1 + n as i64 % 3);
        ask["items"].as_array_mut().unwrap().push(json!({ "product_id": child.product_id, "quantity": 1 + n % 2 }));
        if n % 4 == 3 {
            ask["visit_date"] = json!(other_day);
        }
        let order = Held::from(&Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201));
        match n {
            // Never paid, and paid by a transfer.
            0 => continue,
            1 => {
                let transfer = json!({ "amount": order.total, "note": "bank" });
                let path = format!("orders/{}/transfer", order.number);
                desk.call(&desk.admin, Method::POST, &path, transfer).await.expect(200);
            }
            _ => drop(visitor.pay(&order).await.expect(200)),
        }
        paid.push(order.number);
    }
    let tickets = async |number: &str| {
        let (_, read) = desk.read(number).await;
        let all = read["tickets"].as_array().unwrap().clone();
        all.into_iter().map(|ticket| ticket["id"].clone()).collect::<Vec<_>>()
    };
    // One ticket of an order went back before, all of another, and one of a third was used.
    for (at, many) in [(1, 1), (2, 9)] {
        let ids: Vec<Value> = tickets(&paid[at]).await.into_iter().take(many).collect();
        let url = app.url(&format!("/api/admin/exhibitions/xyz/orders/{}/refund", paid[at]));
        let ask = app.http.post(url).bearer_auth(&desk.admin).header("idempotency-key", format!("r{at}"));
        Answer::of(ask.json(&json!({ "ticket_ids": ids, "reason": "called" }))).await.expect(200);
    }
    app.db
        .execute(&format!(
            "with s as (insert into scans (id, exhibition_id, ticket_id, gate, staff_id, allowed, reason, scanned_at, reply, counted)
                        select gen_random_uuid(), t.exhibition_id, t.id, 'n', 1, true, 'ok', now(), '{{}}', true from tickets t join orders o on o.id = t.order_id
                         where o.number = '{}' and t.ticket_no = 1 returning id, ticket_id, scanned_at)
             update tickets t set used_at = s.scanned_at, used_scan_id = s.id, used_gate = 'n', entries = 1 from s where t.id = s.ticket_id",
            paid[4]
        ))
        .await;
    app.db.execute("update slots set closed = true").await;
    app.refresh().await;
    let path = "exhibitions/xyz/bulk-refunds";
    for (key, slots) in [("1", vec![other]), ("2", vec![adult.slot_id.unwrap(), other])] {
        let ask = json!({ "slot_ids": slots, "reason": "typhoon", "dry_run": true });
        let told = desk.call(&desk.admin, Method::POST, path, ask).await.expect(200).body;
        let begin = app.http.post(app.url(&format!("/api/admin/{path}"))).bearer_auth(&desk.admin);
        let begin = begin.header("idempotency-key", key).json(&json!({ "slot_ids": slots, "reason": "typhoon" }));
        let id = Answer::of(begin).await.expect(202).text("id");
        while app.tick("bulk_refunds").await > 0 {}
        let done = desk.call(&desk.admin, Method::GET, &format!("{path}/{id}"), json!({})).await.expect(200).body;
        let orders: i64 = app
            .db
            .one(&format!(
                "select count(*) from bulk_refund_orders where bulk_id = '{id}' and state = 'done' and tickets > 0"
            ))
            .await;
        assert_eq!(
            (&told["tickets"], &told["amount"], &told["orders"], &told["at_the_desk_orders"]),
            (&done["tickets_refunded"], &done["amount_refunded"], &json!(orders), &done["failed"]),
            "{told} {done}"
        );
        assert!(orders > 0, "{told}");
        let again = json!({ "slot_ids": slots, "reason": "typhoon", "dry_run": true });
        let left = desk.call(&desk.admin, Method::POST, path, again).await.expect(200).body;
        assert_eq!((&left["orders"], &left["tickets"], &left["amount"]), (&json!(0), &json!(0), &json!(0)));
    }
    let listed = desk.call(&desk.admin, Method::GET, path, json!({})).await.expect(200).body;
    let listed = listed["bulk_refunds"].as_array().unwrap();
    assert_eq!(
        (listed.len(), &listed[0]["slot_ids"]),
        (2, &json!([adult.slot_id.unwrap(), other])),
        "the newest first"
    );
    crate::refunds::carried(&app).await;
    app.finish().await;
}
