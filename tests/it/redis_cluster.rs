//! Redis as a cluster: an exhibition is whole on one of its nodes, and what becomes of that node concerns the others not.

use std::time::Duration;

use admit::stock::audit;
use fred::util::redis_keyslot;

use crate::support::given::places;
use crate::support::servers::OwnRedis;
use crate::support::{Given, Kind, Options, TestApp};
use crate::waiting_room::{Guest, config, open_room, tick};

/// Two exhibitions on two nodes.
const CODES: [&str; 2] = ["xyz", "other"];

async fn on_two_nodes() -> ([OwnRedis; 2], TestApp, [Given; 2]) {
    let mut codes = CODES;
    codes.sort_by_key(|code| redis_keyslot(code.as_bytes()));
    let nodes = OwnRedis::start_cluster(redis_keyslot(codes[1].as_bytes())).await;
    let redis_url = Some(format!("redis-cluster://127.0.0.1:{}", nodes[0].port));
    let app = TestApp::start_with(Options { redis_url, ..Options::default() }).await;
    let given = [
        app.given(Kind { code: codes[0], ..places(100) }).await,
        app.given(Kind { code: codes[1], ..places(100) }).await,
    ];
    (nodes, app, given)
}

/// How many exhibitions were counted anew.
async fn audited(app: &TestApp) -> usize {
    app.advance(Duration::from_secs(1)).await;
    audit::tick(app.app()).await.map_or(0, |report| report.rebuilt)
}

#[tokio::test]
async fn a_node_that_has_lost_everything_concerns_the_exhibitions_on_it_alone() {
    let ([one, mut two], app, [calm, hit]) = on_two_nodes().await;
    for given in [&calm, &hit] {
        open_room(&app, given, config()).await;
        let mut guest = Guest::new(&app, given);
        guest.join().await.expect(200);
        tick(&app, 8).await;
        guest.claim().await.expect(200);
        guest.order(given, 1).await.expect(201);
    }
    // Each node is a server of its own: nobody takes the answers of one for a restart of the other.
    audited(&app).await;
    for _ in 0..12 {
        assert_eq!(audited(&app).await, 0);
        tick(&app, 2).await;
    }
    let epoch = async |given: &Given| {
        app.db.one::<i32>(&format!("select epoch from rooms where exhibition_id = {}", given.exhibition_id)).await
    };
    let epochs = async || [epoch(&calm).await, epoch(&hit).await];
    assert_eq!(epochs().await, [1, 1]);

    two.kill().await;
    two.run().await;
    two.until_joined().await;
    one.until_joined().await;
    let mut anew = 0;
    app.until("the exhibition of that node is counted anew", async || {
        anew += audited(&app).await;
        anew > 0 && app.redis_free(&hit).await == Some(99)
    })
    .await;
    app.until("its room has begun an epoch", async || {
        let _ = app.try_tick_on(0, "rooms").await;
        app.advance(Duration::from_millis(250)).await;
        epochs().await[1] > 1
    })
    .await;
    assert_eq!((anew, epochs().await[0]), (1, 1), "the other goes on as it was");
    app.finish().await;
}
