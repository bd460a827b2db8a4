use std::sync::Arc;
use std::time::{Duration, Instant};

use loadtest::engine::{self, Window};
use loadtest::http::Client;
use loadtest::schedule::Schedule;
use loadtest::tally::{Outcome, Recorder};
use tokio::io::AsyncWriteExt;

use crate::local::{OK, client, request, server};

async fn visit(client: Arc<Client>) -> Outcome {
    let get = client.get("/", &[]);
    client.call(&get, |_, _| Outcome::Success).await.unwrap_or_else(Outcome::from)
}

async fn open(client: &Arc<Client>, rate: f64, seconds: f64) -> Recorder {
    let window = Window::soon(0.2, seconds);
    engine::open_loop(window, window.schedule(rate, false), || visit(Arc::clone(client))).await
}

/// Every second the server answers nothing for 200 ms, as a collector or a checkpoint would.
async fn stalling() -> std::net::SocketAddr {
    let (begun, period, stall) = (Instant::now(), Duration::from_secs(1), Duration::from_millis(200));
    server(move |mut stream| async move {
        while request(&mut stream).await {
            let into = Duration::from_nanos((begun.elapsed().as_nanos() % period.as_nanos()) as u64);
            tokio::time::sleep(stall.saturating_sub(into)).await;
            let _ = stream.write_all(OK).await;
        }
    })
    .await
}

#[tokio::test]
async fn a_stall_shows_in_the_open_loop_and_hides_in_the_closed_one() {
    let addr = stalling().await;
    let many = client(addr, 256, Duration::from_secs(5));
    let open = open(&many, 500.0, 3.0).await.success.quantiles();
    // A fifth of the visitors arrive during a stall and wait 100 ms on average.
    assert!((150.0..260.0).contains(&open.p99_ms), "{open:?}");
    assert!((60.0..160.0).contains(&open.p90_ms), "{open:?}");

    let one = client(addr, 1, Duration::from_secs(5));
    let closed = engine::closed_loop(Window::soon(0.2, 3.0), 1, move || visit(Arc::clone(&one))).await;
    let closed = closed.success.quantiles();
    assert!(closed.p99_ms < 50.0 && closed.max_ms > 120.0, "{closed:?}");
}

#[tokio::test]
async fn waiting_for_a_connection_counts_as_latency() {
    // One connection, 10 ms an answer: 100/s is all it can do, and 200/s are offered.
    let addr = server(|mut stream| async move {
        while request(&mut stream).await {
            tokio::time::sleep(Duration::from_millis(10)).await;
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let one = client(addr, 1, Duration::from_secs(10));
    let recorder = open(&one, 200.0, 1.0).await;
    assert_eq!((recorder.tally.success, recorder.tally.failures()), (200, 0));
    // Answers of the drained backlog count as successes, and not toward the rate.
    assert!((60..=110).contains(&recorder.succeeded_in_window), "{}", recorder.succeeded_in_window);
    let (latency, waits) = (recorder.success.quantiles(), one.take_waits().quantiles());
    assert!(latency.max_ms > 400.0 && waits.max_ms > 400.0, "{latency:?} {waits:?}");
    assert!(recorder.lateness.quantiles().p50_ms < 20.0);
}

#[tokio::test]
async fn a_starved_generator_shows_itself() {
    let addr = server(|mut stream| async move {
        while request(&mut stream).await {
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let many = client(addr, 64, Duration::from_secs(5));
    let hog = tokio::spawn(async {
        for _ in 0..4 {
            tokio::time::sleep(Duration::from_millis(200)).await;
            // Blocks the only thread on purpose.
            std::thread::sleep(Duration::from_millis(100));
        }
    });
    let recorder = open(&many, 1_000.0, 1.0).await;
    hog.await.expect("the hog ends");
    let lateness = recorder.lateness.quantiles();
    assert!(lateness.max_ms > 60.0, "{lateness:?}");
    assert!(recorder.success.quantiles().max_ms >= lateness.max_ms);
    assert_eq!(recorder.tally.total(), 1_000);
}

#[tokio::test]
async fn a_burst_is_counted_to_the_last_one() {
    let addr = server(|mut stream| async move {
        while request(&mut stream).await {
            let _ = stream.write_all(OK).await;
        }
    })
    .await;
    let many = client(addr, 50, Duration::from_secs(5));
    many.prime(50).await.expect("connects");
    let visit = || visit(Arc::clone(&many));
    let recorder = engine::open_loop(Window::soon(0.0, 5.0), Schedule::burst(2_000), visit).await;
    assert_eq!((recorder.tally.success, recorder.tally.total()), (2_000, 2_000));
    assert_eq!(many.opened(), 50);
}
