//! Letters that staff want sent again while their person is being forgotten. What a letter says is read when it is written, so
//! none is written to somebody whose contact is gone, in whatever order the calls met; and nobody gets a 500.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::desk::Desk;
use crate::erasing::Privacy;
use crate::notifications::mails;
use crate::privacy::ends_in;
use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Answer, Given, TestApp};

const ROUNDS: usize = 24;

fn address(n: usize) -> String {
    format!("v{n}@example.org")
}

fn letters_to(app: &TestApp, n: usize) -> usize {
    mails(app)
        .iter()
        .filter(|mail| mail.contains(&format!("To: {}", address(n))) || mail.contains(&format!("<{}>", address(n))))
        .count()
}

/// Somebody who came, and whose exhibition is over.
async fn bought(app: &TestApp, given: &Given, n: usize) -> Held {
    let visitor = app.visitor(n);
    let mut ask = visitor.ask(given, 1);
    ask["customer_email"] = json!(address(n));
    let order = Held::from(&Answer::of(visitor.post("/api/orders").json(&ask)).await.expect(201));
    visitor.pay(&order).await.expect(200);
    order
}

async fn waiting(app: &TestApp, how_many: i64) {
    let waits = "select count(*) from pg_stat_activity
                  where datname = current_database() and application_name = 'admit' and wait_event_type = 'Lock'";
    app.until("calls wait for the order", async || app.db.one::<i64>(waits).await >= how_many).await;
}

async fn drained(app: &TestApp) {
    while app.tick("outbox").await > 0 {}
}

#[tokio::test]
async fn nobody_who_is_forgotten_is_written_to() {
    let app = TestApp::start().await;
    let adult = app.given(places(100)).await;
    let mut orders = Vec::new();
    for n in 0..=ROUNDS {
        orders.push(bought(&app, &adult, n).await);
    }
    drained(&app).await;
    assert_eq!(letters_to(&app, 1), 1, "each has had their tickets");
    ends_in(&app, &adult, -1).await;
    app.advance(Duration::from_secs(60)).await;
    let (desk, privacy) = (Desk::of(&app).await, Privacy::of(&app).await);
    let asked = async |n: usize| {
        let asked = privacy.asked("erase", &app.visitor(n).phone).await.expect(201);
        format!("/{}/erase", asked.text("id"))
    };
    let erased = async |path: &str| privacy.call(Method::POST, path, json!({})).await.expect(200).text("state");
    let again = async |n: usize| {
        let path = format!("orders/{}/resend", orders[n].number);
        desk.call(&desk.support, Method::POST, &path, json!({})).await
    };

    // Asked for, and then forgotten. Whoever had noted the address when it was asked for would write to it.
    let id: uuid::Uuid = app.db.one(&format!("select id from orders where number = '{}'", orders[0].number)).await;
    let noted = admit::orders::pg::contact(app.app(), &app.app().pg.get().await.unwrap(), id).await.unwrap();
    again(0).await.expect(200);
    assert_eq!(erased(&asked(0).await).await, "done");
    assert_eq!(noted.unwrap().email, Some(address(0)), "the control would write to it");
    drained(&app).await;
    assert_eq!(letters_to(&app, 0), 1, "the tickets of before");

    let (mut accepted, mut refused) = (0, 0);
    for (n, order) in orders.iter().enumerate().skip(1).take(ROUNDS) {
        let path = asked(n).await;
        // The letter of the tickets was given up, and somebody sends it again as well.
        let letter: i64 = app
            .db
            .one(&format!(
                "update outbox set state = 'dead', outcome = 'refused'
                  where kind = 'order_paid' and order_id = (select id from orders where number = '{}') returning id",
                order.number
            ))
            .await;
        let mut other = app.db.client().await;
        let holding = other.transaction().await.unwrap();
        let lock = format!("select from orders where number = '{}' for update", order.number);
        holding.batch_execute(&lock).await.unwrap();
        // Both queue for the order: every second time the resend is first.
        let (first, second) = (i64::from(n % 2 == 0), i64::from(n % 2 == 1));
        let erasing = async {
            waiting(&app, first).await;
            erased(&path).await
        };
        let resending = async {
            waiting(&app, second).await;
            again(n).await
        };
        let replaying = async {
            let ask = json!({ "ids": [letter] });
            let replay = desk.call(&desk.owner, Method::POST, "outbox/replay", ask).await;
            // And every second pair of times the worker comes by.
            if n % 4 >= 2 { app.try_tick_on(0, "outbox").await.map(|_| replay) } else { Ok(replay) }
        };
        let (state, resent, replayed, ()) = tokio::join!(erasing, resending, replaying, async {
            waiting(&app, 2).await;
            holding.commit().await.unwrap();
        });
        assert_eq!(state, "done");
        replayed.unwrap().expect(200);
        match resent.status {
            200 => accepted += 1,
            _ => {
                resent.refused(409, "order.no_address");
                refused += 1;
            }
        }
        // What was on its way before it was forgotten is out; from now on there is nobody to write to.
        let before = letters_to(&app, n);
        assert!(n % 4 >= 2 || before == 1, "{n}: {before}");
        drained(&app).await;
        assert_eq!(letters_to(&app, n), before, "{n}");
    }
    assert_eq!((accepted, refused), (ROUNDS / 2, ROUNDS / 2), "each order of the two was met");
    let left: i64 = app.db.one("select count(*) from outbox where state <> 'done'").await;
    assert_eq!(left, 0);
    app.finish().await;
}
