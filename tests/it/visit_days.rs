//! Orders found, and written down, by the day of the visit and its slot.

use admit::admin::Role;
use admit::orders::model::OrderState;
use reqwest::Method;
use serde_json::{Value, json};

use crate::desk::{Desk, numbers, order_of};
use crate::exports::fetched;
use crate::support::given::{Given, places};
use crate::support::{Answer, Kind, TestApp};

fn dated(code: &'static str) -> Kind {
    Kind { code, slot_places: Some(50), open_holds_max: 20, ..places(50) }
}

/// A slot of that exhibition so many days after the one that is made next.
async fn later(app: &TestApp, code: &'static str, days: i32) -> Given {
    let mut given = app.given(dated(code)).await;
    let id = given.slot_id.unwrap();
    app.db.execute(&format!("update slots set visit_date = visit_date + {days} where id = {id}")).await;
    app.refresh().await;
    given.date = Some(app.db.one(&format!("select visit_date::text from slots where id = {id}")).await);
    given
}

/// One order of each state on a day, newest first. Their states are written down: how they come about is told elsewhere.
async fn one_of_each(app: &TestApp, given: &Given) -> Vec<(OrderState, String)> {
    let mut made = Vec::new();
    for (n, state) in OrderState::ALL.iter().enumerate() {
        let visitor = app.visitor(n);
        let held = order_of(&visitor, given, if n % 2 == 0 { "홍길동" } else { "김철수" }, None).await;
        let number = &held.number;
        if *state == OrderState::Confirming {
            visitor.initialize(&held).await.expect(200);
            let of = format!("order_id = (select id from orders where number = '{number}')");
            app.db
                .execute(&format!(
                    "update attempts set state = 'sent', sent_at = now(), payment_key = 'key-of-it' where {of}"
                ))
                .await;
        }
        app.db.execute(&format!("update orders set state = '{}' where number = '{number}'", state.as_str())).await;
        made.push((*state, number.clone()));
    }
    made.reverse();
    made
}

fn refused(answer: &Answer) -> (&Value, &Value) {
    (&answer.body["errors"][0]["field"], &answer.body["errors"][0]["code"])
}

#[tokio::test]
async fn orders_of_a_day_are_found_in_every_state_and_page_by_page() {
    let app = TestApp::start().await;
    let (second, first) = (later(&app, "xyz", 1).await, app.given(dated("xyz")).await);
    let elsewhere = app.given(dated("abc")).await;
    let any_day = app.given(Kind { open_holds_max: 20, ..places(50) }).await;
    let desk = Desk::of(&app).await;
    let orders = one_of_each(&app, &first).await;
    let other_day = app.visitor(20).held(&second, 1).await.number;
    app.visitor(21).held(&any_day, 1).await;
    let stranger = app.visitor(22).held(&elsewhere, 1).await.number;
    assert_eq!(elsewhere.date, first.date, "so that it would be found were it not another's");
    let found = async |ask: Value| numbers(&desk.search(ask).await.expect(200));
    let all: Vec<String> = orders.iter().map(|(_, number)| number.clone()).collect();

    let day = &first.date;
    assert_eq!(found(json!({ "visit_date": day })).await, all);
    assert_eq!(found(json!({ "visit_date": second.date })).await, std::slice::from_ref(&other_day));
    assert_eq!(found(json!({ "slot_id": first.slot_id })).await, all);
    assert_eq!(found(json!({ "slot_id": second.slot_id, "visit_date": day })).await, [""; 0]);
    for (state, number) in &orders {
        let ask = json!({ "visit_date": day, "slot_id": first.slot_id, "state": state.as_str() });
        assert_eq!(found(ask).await, std::slice::from_ref(number), "{state:?}");
    }
    // With whatever else is asked for.
    let named: Vec<String> = all.iter().rev().step_by(2).rev().cloned().collect();
    assert_eq!(found(json!({ "visit_date": day, "q": "홍길동" })).await, named);
    assert_eq!(found(json!({ "visit_date": second.date, "q": "김철수" })).await, [""; 0]);
    assert_eq!(found(json!({ "visit_date": day, "q": all[0] })).await, [all[0].clone()]);
    assert_eq!(found(json!({ "visit_date": second.date, "q": all[0] })).await, [""; 0]);
    assert_eq!(found(json!({ "visit_date": day, "q": all[0][..11] })).await, all);
    assert_eq!(found(json!({ "visit_date": day, "until": "2020-01-01" })).await, [""; 0]);

    let (mut read, mut next) = (Vec::new(), Value::Null);
    for _ in 0..3 {
        let page = desk.search(json!({ "visit_date": day, "limit": 3, "before": next })).await.expect(200);
        read.extend(numbers(&page));
        next = page.body["next"].clone();
    }
    assert_eq!((read, next), (all.clone(), Value::Null));

    let path = format!("orders?visit_date={}&slot_id={}", day.as_ref().unwrap(), first.slot_id.unwrap());
    assert_eq!(numbers(&desk.call(&desk.support, Method::GET, &path, json!({})).await.expect(200)), all);
    // Of another exhibition it is as good as not there.
    let theirs = json!({ "slot_id": elsewhere.slot_id });
    for ask in [theirs.clone(), json!({ "slot_id": 0 }), json!({ "slot_id": elsewhere.slot_id, "exhibition": "xyz" })] {
        let answer = desk.search(ask).await.refused(422, "request.invalid");
        assert_eq!(refused(&answer), (&json!("slot_id"), &json!("unknown_slot")));
    }
    let answer = desk.call(&desk.owner, Method::POST, "orders/search", theirs).await.expect(200);
    assert_eq!(numbers(&answer), [stranger]);
    let answer = desk.search(json!({ "visit_date": "5 May" })).await.refused(422, "request.invalid");
    assert_eq!(refused(&answer), (&json!("visit_date"), &json!("date")));
    app.db.drop().await;
}

#[tokio::test]
async fn an_export_of_a_day_holds_its_orders_and_the_log_says_which_day() {
    let app = TestApp::start().await;
    let (second, first) = (later(&app, "xyz", 1).await, app.given(dated("xyz")).await);
    let elsewhere = app.given(dated("abc")).await;
    app.account("boss", Role::Admin, &["xyz"]).await;
    let token = app.access_token("boss").await;
    let here = [app.visitor(1).held(&first, 1).await.number, app.visitor(2).held(&first, 1).await.number];
    let there = app.visitor(3).held(&second, 1).await.number;
    let ask = json!({ "format": "csv", "visit_date": first.date, "slot_id": first.slot_id });
    let file = fetched(&app, &token, "xyz", &ask).await.text().await.unwrap();
    assert!(here.iter().all(|number| file.contains(number)) && !file.contains(&there), "{file}");
    let filters: Value = app.db.one("select after -> 'filters' from admin_audit where action = 'order.export'").await;
    assert_eq!((&filters["visit_date"], &filters["slot_id"]), (&json!(first.date), &json!(first.slot_id)));

    // Of a whole day slot by slot, as they come, the newest of each first.
    for (given, hour) in [(&second, 9), (&first, 10)] {
        app.db
            .execute(&format!(
                "update slots set visit_date = '{}', start_time = '{hour}:00', end_time = '{hour}:30' where id = {}",
                first.date.as_ref().unwrap(),
                given.slot_id.unwrap()
            ))
            .await;
    }
    app.given(dated("xyz")).await;
    app.refresh().await;
    let ask = json!({ "format": "csv", "visit_date": first.date });
    let file = fetched(&app, &token, "xyz", &ask).await.text().await.unwrap();
    let at: Vec<_> = [&there, &here[1], &here[0]].iter().map(|number| file.find(number.as_str())).collect();
    assert!(at.iter().all(Option::is_some) && at.is_sorted(), "{file}");

    let ask = json!({ "format": "csv", "slot_id": elsewhere.slot_id });
    let url = app.url("/api/admin/exhibitions/xyz/exports");
    let answer = Answer::of(app.http.post(url).bearer_auth(&token).json(&ask)).await.refused(422, "request.invalid");
    assert_eq!(refused(&answer), (&json!("slot_id"), &json!("unknown_slot")));
    app.finish().await;
}
