//! A campaign of random visitors, clocks, faults and restarts over two instances. Short by default; longer through
//! `./dev torture --seeds N`. Every seed ends with all invariants swept.

use std::time::Duration;

use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use crate::support::given::places;
use crate::support::visitor::Held;
use crate::support::{Kind, Options, TestApp, race};

fn seeds() -> u64 {
    std::env::var("ADMIT_TORTURE_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(1)
}

/// What one visitor does with an order, decided beforehand so that a seed means something.
#[derive(Clone, Copy)]
enum Fate {
    Pay,
    PayTwice,
    Cancel,
    Leave,
}

async fn visit(app: &TestApp, given: &crate::support::Given, n: usize, quantity: i64, fate: Fate, key: bool) {
    let visitor = app.visitor(n).at(n % 2);
    let answer = if key {
        visitor.order_keyed(given, quantity, &format!("torture-{n}")).await
    } else {
        visitor.order(given, quantity).await
    };
    assert!(matches!(answer.status, 201 | 409 | 503), "{}", answer.body);
    if answer.status != 201 {
        return;
    }
    let order = Held::from(&answer);
    match fate {
        Fate::Leave => {}
        Fate::Cancel => {
            let status = visitor.cancel(&order).await.status;
            assert!(matches!(status, 200 | 410 | 503), "cancel: {status}");
        }
        Fate::Pay | Fate::PayTwice => {
            let opened = visitor.initialize(&order).await;
            if opened.status != 200 {
                assert!(matches!(opened.status, 409 | 410 | 503), "{}", opened.body);
                return;
            }
            let order_id = opened.text("order_id");
            let paid = app.simulate("authorise", json!({ "orderId": order_id, "amount": order.total })).await;
            let payment_key = paid["paymentKey"].as_str().unwrap();
            let times = if matches!(fate, Fate::PayTwice) { 2 } else { 1 };
            race(times, |k| {
                let (visitor, order, order_id) = (app.visitor(n).at((n + k) % 2), order.clone(), order_id.clone());
                async move {
                    let answer = visitor.confirm(&order, &order_id, payment_key, &format!("t-{order_id}-{k}")).await;
                    assert!(matches!(answer.status, 200 | 202 | 409 | 410 | 503), "{}", answer.body);
                }
            })
            .await;
        }
    }
}

async fn campaign(seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    let app = TestApp::start_with(Options { instances: 2, ..Options::default() }).await;
    app.with_webhooks().await;
    let given =
        app.given(Kind { slot_places: Some(random.random_range(20..60)), person_limit: Some(6), ..places(80) }).await;
    for round in 0..4 {
        for (op, kind) in [
            ("confirm", "drop_after"),
            ("confirm", "error_before"),
            ("confirm", "fail"),
            ("query", "error_before"),
            ("cancel", "drop_after"),
        ] {
            if random.random_bool(0.4) {
                app.simulate("faults", json!({ "op": op, "kind": kind, "count": random.random_range(1..4) })).await;
            }
        }
        let plans: Vec<_> = (0..30)
            .map(|n| {
                let fate = match random.random_range(0..10) {
                    0..5 => Fate::Pay,
                    5 => Fate::PayTwice,
                    6 | 7 => Fate::Cancel,
                    _ => Fate::Leave,
                };
                (round * 30 + n, random.random_range(1..4), fate, random.random_bool(0.5))
            })
            .collect();
        let rebuild = random.random_bool(0.5);
        let sale = race(plans.len(), |n| {
            let (visitor, quantity, fate, key) = plans[n];
            visit(&app, &given, visitor, quantity, fate, key)
        });
        let upset = async {
            if rebuild {
                admit::stock::rebuild::rebuild(app.app(), given.exhibition_id, given.code, "torture").await.unwrap();
            }
        };
        tokio::join!(sale, upset);
        app.advance(Duration::from_secs(random.random_range(1..700))).await;
        for worker in ["expire", "recover", "webhooks", "refunds", "audit"] {
            race(2, |at| app.tick_on(at, worker)).await;
        }
        app.sweep().await;
    }
    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
    app.settle_everything().await;
    app.assert_books_agree(&format!("seed {seed}")).await;
    app.finish().await;
}

#[tokio::test]
async fn torture_ends_with_every_invariant_kept() {
    for seed in 0..seeds() {
        campaign(seed).await;
    }
}
