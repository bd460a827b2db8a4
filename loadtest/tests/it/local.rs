//! Small servers on 127.0.0.1, each doing one thing on purpose.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use loadtest::demo;
use loadtest::http::Client;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}";

/// Serves every connection with `serve` until the test ends.
pub async fn server<F, S>(serve: F) -> SocketAddr
where
    F: Fn(TcpStream) -> S + Send + Sync + 'static,
    S: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let addr = listener.local_addr().expect("bound");
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            tokio::spawn(serve(stream));
        }
    });
    addr
}

/// Reads one request; our client sends each in one write, without pipelining. False at the end.
pub async fn request(stream: &mut TcpStream) -> bool {
    let mut buf = [0; 4096];
    matches!(stream.read(&mut buf).await, Ok(read) if read > 0)
}

pub fn client(addr: SocketAddr, connections_max: usize, timeout: Duration) -> Arc<Client> {
    let target = demo::http(&format!("http://{addr}")).expect("loopback");
    Arc::new(Client::new(&target, connections_max, timeout))
}
