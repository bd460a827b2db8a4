//! A provider that is away: nobody is sent there, nobody loses their hold, and one call finds out when it is back.

use std::time::Duration;

use admit::payments::Provider;
use serde_json::json;

use crate::support::given::places;
use crate::support::{Kind, TestApp, race};

async fn outage_ends(app: &TestApp) {
    let url = format!("{}/_sim/outage", app.simulator.base_url());
    assert!(app.http.delete(url).send().await.unwrap().status().is_success());
}

/// How much of a batch the workers would take.
fn room(app: &TestApp) -> Option<i64> {
    app.app().gateways.room(200).iter().find(|(provider, _)| *provider == Provider::Toss).map(|(_, room)| *room)
}

#[tokio::test]
async fn while_the_provider_is_away_visitors_are_told_and_keep_their_holds() {
    for kind in ["refuse", "drop"] {
        let app = TestApp::start().await;
        let adult = app.given(places(10)).await;
        let mut bought = Vec::new();
        for n in 0..4 {
            let order = app.visitor(n).held(&adult, 1).await;
            let (order_id, payment_key) = app.visitor(n).authorised(&order).await;
            bought.push((order, order_id, payment_key));
        }
        app.simulate("outage", json!({ "kind": kind })).await;
        // Each asks twice in vain: the confirm, and the look at what came of it.
        for (n, (order, order_id, payment_key)) in bought.iter().take(3).enumerate() {
            app.visitor(n).confirm(order, order_id, payment_key, &format!("k{n}")).await.expect(202);
        }
        assert_eq!(room(&app), None, "open");
        let late = app.visitor(3);
        let (order, order_id, payment_key) = &bought[3];
        let refused = late.confirm(order, order_id, payment_key, "k3").await.refused(503, "payment.provider_away");
        assert!(refused.retry_after.is_some_and(|s| (1..=5).contains(&s.parse().unwrap())));
        late.initialize(order).await.refused(503, "payment.provider_away");
        assert_eq!(late.read(order).await.body["status"], "held");
        assert_eq!(app.stock(adult.stock_id).await, (4, 0));
        let metrics = app.app().metrics.render();
        assert!(metrics.contains(r#"admit_provider_breaker_changes_total{provider="toss",to="open"}"#), "{metrics}");
        assert!(metrics.contains(r#"admit_provider_breaker{provider="toss"}"#));

        // Still away: one call, and the pause is twice as long.
        app.advance(Duration::from_secs(5)).await;
        assert_eq!((room(&app), app.tick("recover").await), (Some(1), 0));
        app.advance(Duration::from_secs(6)).await;
        assert_eq!(room(&app), None);
        // Nothing is claimed in vain meanwhile.
        let checks = async || app.db.one::<i64>("select sum(checks)::bigint from attempts").await;
        let before = checks().await;
        app.tick("recover").await;
        assert_eq!(checks().await, before);

        outage_ends(&app).await;
        app.advance(Duration::from_secs(5)).await;
        assert_eq!(app.tick("recover").await, 1, "the probe settles an order as it goes");
        assert_eq!(room(&app), Some(200), "closed");
        app.until("all are paid", async || {
            app.advance(Duration::from_secs(2)).await;
            app.tick("recover").await;
            app.db.one::<i64>("select count(*) from orders where state = 'paid'").await == 3
        })
        .await;
        // The same call as before goes through now.
        late.confirm(order, order_id, payment_key, "k3").await.expect(200);
        assert_eq!(app.simulator_counts().await["approved"], 4);
        app.finish().await;
    }
}

#[tokio::test]
async fn a_visitor_may_be_the_probe_and_only_one() {
    let app = TestApp::start().await;
    let adult = app.given(Kind { places: 40, ..Kind::default() }).await;
    let mut bought = Vec::new();
    for n in 0..15 {
        let order = app.visitor(n).held(&adult, 1).await;
        let (order_id, payment_key) = app.visitor(n).authorised(&order).await;
        bought.push((order, order_id, payment_key));
    }
    let confirm = async |n: usize| {
        let (order, order_id, payment_key) = &bought[n];
        app.visitor(n).confirm(order, order_id, payment_key, &format!("k{n}")).await.status
    };
    app.simulate("outage", json!({ "kind": "refuse" })).await;
    for n in 0..3 {
        assert_eq!(confirm(n).await, 202);
    }
    app.advance(Duration::from_secs(5)).await;
    // The crowd comes back at once: one is sent to find out.
    let statuses = race(12, |n| confirm(3 + n)).await;
    let of = |status: u16| statuses.iter().filter(|one| **one == status).count();
    assert_eq!((of(202), of(503)), (1, 11), "{statuses:?}");
    outage_ends(&app).await;
    app.advance(Duration::from_secs(10)).await;
    let probe = statuses.iter().position(|status| *status == 503).unwrap() + 3;
    assert_eq!(confirm(probe).await, 200);
    let rest: Vec<usize> = (3..15).filter(|n| *n != probe && statuses[n - 3] == 503).collect();
    let statuses = race(rest.len(), |n| confirm(rest[n])).await;
    assert!(statuses.iter().all(|status| *status == 200), "{statuses:?}");
    app.settle_everything().await;
    assert_eq!(app.db.one::<i64>("select count(*) from orders where state = 'paid'").await, 15);
    app.assert_books_agree("after an outage").await;
    app.finish().await;
}

#[tokio::test]
async fn a_backlog_clears_at_once_when_the_provider_is_back() {
    let app = TestApp::start().await;
    let adult = app.given(places(1_000)).await;
    let mut bought = Vec::new();
    for n in 0..150 {
        let order = app.visitor(n).held(&adult, 1).await;
        let (order_id, payment_key) = app.visitor(n).authorised(&order).await;
        bought.push((order, order_id, payment_key));
    }
    // All of them were on their way when it went.
    app.simulate("faults", json!({ "op": "confirm", "kind": "drop_after", "count": 150 })).await;
    race(150, |n| {
        let (app, (order, order_id, payment_key)) = (&app, &bought[n]);
        async move {
            let answer = app.visitor(n).confirm(order, order_id, payment_key, &format!("k{n}")).await;
            assert!(matches!(answer.status, 200 | 202 | 503), "{}", answer.body);
        }
    })
    .await;
    let doubted: i64 = app.db.one("select count(*) from attempts where state in ('sent', 'unknown')").await;
    let url = format!("{}/_sim/faults", app.simulator.base_url());
    assert!(app.http.delete(url).send().await.unwrap().status().is_success());
    app.advance(Duration::from_secs(10)).await;
    let mut rounds = 0;
    while app.db.one::<i64>("select count(*) from attempts where state in ('sent', 'unknown')").await > 0 {
        app.tick("recover").await;
        rounds += 1;
        assert!(rounds <= 10, "{doubted} attempts were in doubt");
    }
    app.finish().await;
}
