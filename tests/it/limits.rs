//! What is full, and who comes too often: each is told so, loses nothing, and may come back.

use std::time::Duration;

use crate::admin::PASSWORD;
use crate::payments::send_webhook;
use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::{Answer, Options, TestApp, race};

#[tokio::test]
async fn a_redis_that_refuses_writes_is_away_until_it_takes_them_again() {
    let mut own = OwnRedis::start().await;
    let app = TestApp::start_with(Options { redis_url: Some(own.url()), ..Options::default() }).await;
    let adult = app.given(places(5)).await;
    let order = app.visitor(1).held(&adult, 1).await;
    app.until("the take is confirmed", async || app.stores_agree().await).await;
    for (refuse, accept) in [
        // Full, and told to throw nothing away.
        (["config", "set", "maxmemory", "1"], ["config", "set", "maxmemory", "0"]),
        // Told to keep a copy elsewhere, and alone.
        (["config", "set", "min-replicas-to-write", "1"], ["config", "set", "min-replicas-to-write", "0"]),
    ] {
        own.cli(&refuse).await;
        let refused = app.visitor(2).order(&adult, 1).await.refused(503, "server.redis_away");
        assert!(refused.retry_after.is_some());
        assert_eq!(app.stock(adult.stock_id).await, (1, 0));
        // Who holds an order already reads it without Redis.
        app.visitor(1).read(&order).await.expect(200);
        own.cli(&accept).await;
        assert_eq!(app.redis_free(&adult).await, Some(4), "nothing was taken");
    }
    app.visitor(1).pay(&order).await.expect(200);
    app.visitor(2).order(&adult, 1).await.expect(201);
    app.finish().await;
    own.kill().await;
}

#[tokio::test]
async fn twenty_webhooks_of_one_attempt_may_wait() {
    let app = TestApp::start().await;
    let adult = app.given(places(5)).await;
    let waiting = async |order_id: &str| -> i64 {
        app.db.one(&format!("select count(*) from inbox where order_id = '{order_id}' and state = 'received'")).await
    };
    let (one, other) = (app.visitor(1), app.visitor(2));
    let (order, another) = (one.held(&adult, 1).await, other.held(&adult, 1).await);
    let (order_id, payment_key) = one.authorised(&order).await;
    let (another_id, another_key) = other.authorised(&another).await;
    for _ in 0..25 {
        // More are answered like the others: Toss would only send them again.
        send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    }
    assert_eq!(waiting(&order_id).await, 20);
    send_webhook(&app, &another_id, &another_key, "DONE").await.expect(200);
    assert_eq!(waiting(&another_id).await, 1, "another attempt's are not crowded out");

    app.advance(Duration::from_secs(2)).await;
    while app.tick("webhooks").await > 0 {}
    assert_eq!(waiting(&order_id).await, 0);
    send_webhook(&app, &order_id, &payment_key, "DONE").await.expect(200);
    assert_eq!(waiting(&order_id).await, 1, "there is room again");
    app.advance(Duration::from_secs(2)).await;
    app.finish().await;
}

#[tokio::test]
async fn of_two_sign_ins_at_once_the_last_one_allowed_wins() {
    let app = TestApp::start_with(Options { instances: 2, exempt: false, ..Options::default() }).await;
    app.given(places(1)).await;
    app.account("gate-1", admit::admin::Role::Staff, &["xyz"]).await;
    for _ in 0..2 {
        app.login("gate-1", "a wrong password").await.refused(401, "auth.invalid_credentials");
    }
    // The third of three a minute, asked for twice, at two instances.
    let answers = race(2, |n| {
        let url = format!("http://{}/api/auth/login", app.instances[n].address);
        Answer::of(app.http.post(url).json(&serde_json::json!({ "username": "gate-1", "password": PASSWORD })))
    })
    .await;
    let (won, lost): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 200);
    assert_eq!((won.len(), lost.len()), (1, 1));
    let lost = lost[0].clone().refused(429, "auth.too_many");
    assert!(lost.retry_after.is_some_and(|s| (1..=60).contains(&s.parse().unwrap())));
    assert_eq!(app.db.one::<i64>("select count(*) from refresh_tokens").await, 1);
    app.finish().await;
}
