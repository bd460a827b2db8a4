use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use loadtest::http::Fault;
use tokio::io::AsyncWriteExt;

use crate::local::{OK, client, request, server};

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn a_reply_in_small_pieces_is_joined() {
    let addr = server(|mut stream| async move {
        while request(&mut stream).await {
            let reply = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n";
            for piece in reply.chunks(7) {
                let _ = stream.write_all(piece).await;
                let _ = stream.flush().await;
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    let client = client(addr, 1, SECOND);
    for _ in 0..20 {
        let seen = client.call(&client.get("/", &[]), |status, body| (status, body.to_vec())).await;
        assert_eq!(seen, Ok((201, b"abcdefg".to_vec())));
    }
    assert_eq!(client.opened(), 1);
}

#[tokio::test]
async fn a_large_reply_and_a_reply_up_to_the_close_are_whole() {
    let addr = server(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await;
        let _ = stream.write_all(&[b'x'; 100_000]).await;
    })
    .await;
    let client = client(addr, 1, SECOND);
    for _ in 0..3 {
        assert_eq!(client.call(&client.get("/", &[]), |_, body| body.len()).await, Ok(100_000));
    }
    assert_eq!(client.opened(), 3);
}

#[tokio::test]
async fn silence_is_a_timeout_and_its_connection_is_not_used_again() {
    let served = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&served);
    let addr = server(move |mut stream| {
        let first = seen.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            while request(&mut stream).await {
                if first {
                    std::future::pending::<()>().await;
                }
                let _ = stream.write_all(OK).await;
            }
        }
    })
    .await;
    let client = client(addr, 4, Duration::from_millis(100));
    let get = client.get("/", &[]);
    assert_eq!(client.call(&get, |status, _| status).await, Err(Fault::Timeout));
    assert_eq!(client.call(&get, |status, _| status).await, Ok(200));
    assert_eq!(served.load(Ordering::SeqCst), 2);
}

/// Answers once per connection, then closes it on the next request without a word.
async fn forgetful() -> std::net::SocketAddr {
    server(|mut stream| async move {
        if request(&mut stream).await {
            let _ = stream.write_all(OK).await;
            request(&mut stream).await;
        }
    })
    .await
}

#[tokio::test]
async fn only_what_is_safe_to_repeat_is_sent_again() {
    let addr = forgetful().await;
    let client = client(addr, 1, SECOND);
    let (keyed, bare) = (client.post("/", &[("Idempotency-Key", "k")], "{}"), client.post("/", &[], "{}"));
    assert_eq!(client.call(&keyed, |status, _| status).await, Ok(200));
    assert_eq!(client.call(&keyed, |status, _| status).await, Ok(200));
    assert_eq!(client.resent(), 1);
    assert_eq!(client.call(&bare, |status, _| status).await, Err(Fault::Closed));
    assert_eq!(client.resent(), 1);
}

#[tokio::test]
async fn half_a_reply_is_broken_and_nobody_there_is_told() {
    let addr = server(|mut stream| async move {
        request(&mut stream).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf").await;
    })
    .await;
    let client_half = client(addr, 1, SECOND);
    assert_eq!(client_half.call(&client_half.get("/", &[]), |status, _| status).await, Err(Fault::Broken));
    let gone = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port");
    let client_gone = client(gone, 1, SECOND);
    assert_eq!(client_gone.call(&client_gone.get("/", &[]), |status, _| status).await, Err(Fault::Connect));
}
