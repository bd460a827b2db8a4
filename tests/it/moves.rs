//! From every state to every state by an admin's word: what is legal is done, and nothing else changes anything.

use std::time::Duration;

use admit::orders::model::OrderState::{self, *};
use serde_json::{Value, json};

use crate::deposits::awaiting;
use crate::desk::Desk;
use crate::refunds::{paid, refund};
use crate::support::given::places;
use crate::support::{Given, TestApp};

/// What `PATCH /api/admin/orders/{order_number}` may do. Everything else has a call of its own, or happens by itself.
const LEGAL: &[(OrderState, OrderState)] = &[(Held, Cancelled), (AwaitingDeposit, Cancelled)];

/// An order of a visitor's own that stands so. `Expired` lets time pass, for all that is held.
async fn order_in(app: &TestApp, given: &Given, state: OrderState, n: usize) -> String {
    let visitor = app.visitor(n);
    match state {
        AwaitingDeposit => awaiting(app, &visitor, given, 1).await.0.number,
        Paid => paid(&visitor, given, 1).await.order.number,
        PartiallyRefunded => {
            let bought = paid(&visitor, given, 2).await;
            let one = json!({ "ticket_ids": [bought.tickets[0]], "amount": 10_000 });
            refund(&visitor, &bought.order, "r", one).await.expect(200);
            bought.order.number
        }
        Refunded => {
            let bought = paid(&visitor, given, 1).await;
            refund(&visitor, &bought.order, "r", json!({ "amount": 10_000 })).await.expect(200);
            bought.order.number
        }
        Held | Confirming | Expired | Cancelled => {
            let order = visitor.held(given, 1).await;
            match state {
                Confirming => {
                    // Nobody knows how it ended: the answer is lost, and so is every look afterwards.
                    app.simulate("faults", json!({ "op": "confirm", "kind": "drop_after", "count": 1 })).await;
                    app.simulate("faults", json!({ "op": "query", "kind": "error_before", "count": 1_000 })).await;
                    visitor.pay(&order).await;
                    app.until("nobody knows", async || {
                        app.db.one::<i64>("select count(*) from attempts where state = 'unknown'").await == 1
                    })
                    .await;
                    app.http.delete(format!("{}/_sim/faults", app.simulator.base_url())).send().await.unwrap();
                }
                Expired => {
                    app.advance(Duration::from_secs(602)).await;
                    app.tick("expire").await;
                }
                Cancelled => drop(visitor.cancel(&order).await.expect(200)),
                _ => {}
            }
            order.number
        }
    }
}

/// All that is written down of an order, of places and of who did what.
async fn written(app: &TestApp, number: &str) -> Value {
    app.db
        .one(&format!(
            "select jsonb_build_array(to_jsonb(o), (select jsonb_agg(to_jsonb(e) order by e.id) from order_events e where e.order_id = o.id),
                    (select jsonb_agg(to_jsonb(a) order by a.n) from attempts a where a.order_id = o.id),
                    (select jsonb_agg(to_jsonb(t) order by t.id) from tickets t where t.order_id = o.id),
                    (select jsonb_agg(to_jsonb(r) order by r.id) from refunds r where r.order_id = o.id),
                    (select jsonb_agg(to_jsonb(s) order by s.id) from stock s),
                    (select count(*) from admin_audit), (select count(*) from outbox))
               from orders o where o.number = '{number}'"
        ))
        .await
}

#[tokio::test]
async fn every_move_that_is_not_legal_is_a_conflict_and_changes_nothing() {
    let app = TestApp::start().await;
    let given = app.given(places(50)).await;
    // Time passes for this one alone.
    let lapsed = order_in(&app, &given, Expired, 100).await;
    let desk = Desk::of(&app).await;
    let (mut illegal, mut done) = (0, 0);
    for (n, from) in OrderState::ALL.iter().copied().enumerate() {
        let number = if from == Expired { lapsed.clone() } else { order_in(&app, &given, from, n).await };
        let (tag, read) = desk.read(&number).await;
        assert_eq!(read["state"], from.as_str());
        let before = written(&app, &number).await;
        let ask = async |to: OrderState, tag: &str| {
            desk.patch_as(&desk.admin, &number, tag, json!({ "state": to.as_str() })).await
        };
        for to in OrderState::ALL.iter().copied().filter(|to| !LEGAL.contains(&(from, *to))) {
            let code = if (from, to) == (Confirming, Cancelled) { "payment.in_progress" } else { "order.illegal_move" };
            ask(to, &tag).await.refused(409, code);
            assert_eq!(written(&app, &number).await, before, "{} -> {}", from.as_str(), to.as_str());
            assert_eq!(desk.read(&number).await.0, tag, "{} -> {}", from.as_str(), to.as_str());
            illegal += 1;
        }
        for to in OrderState::ALL.iter().copied().filter(|to| LEGAL.contains(&(from, *to))) {
            let held = app.stock(given.stock_id).await.0;
            let moved = ask(to, &tag).await.expect(200);
            assert_eq!(moved.text("state"), to.as_str());
            assert_eq!(app.stock(given.stock_id).await.0, held - 1, "its place is free");
            // Whoever had read it before is told so, and it is not done twice.
            ask(to, &tag).await.refused(412, "request.changed_meanwhile");
            done += 1;
            assert_eq!(desk.audited("order.cancel").await, done);
        }
    }
    assert_eq!((illegal, done), (62, 2));
    app.settle_everything().await;
    app.finish().await;
}
