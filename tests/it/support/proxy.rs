//! A TCP proxy that cuts, holds and counts: for outages that no server can be asked to have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

#[derive(Clone)]
pub struct Proxy {
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    /// The first of them that listens.
    targets: Vec<String>,
    refuse: AtomicBool,
    /// Refuse everything from the moment the trap springs.
    cut_when_sprung: AtomicBool,
    /// Cut the connection when a client sends this, after (true) or instead of (false) passing it on.
    trap: std::sync::Mutex<Option<(Vec<u8>, bool)>>,
    sprung: AtomicBool,
    cut: std::sync::Mutex<CancellationToken>,
}

impl Proxy {
    pub async fn start(target: &str) -> Proxy {
        Proxy::before(&[target]).await
    }

    /// In front of several, as a balancer is: each connection goes to the first that is there.
    pub async fn before(targets: &[&str]) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            targets: targets.iter().map(|target| (*target).to_owned()).collect(),
            refuse: AtomicBool::new(false),
            cut_when_sprung: AtomicBool::new(false),
            trap: std::sync::Mutex::new(None),
            sprung: AtomicBool::new(false),
            cut: std::sync::Mutex::new(CancellationToken::new()),
        });
        let proxy = Proxy { address, state };
        let accepting = proxy.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if accepting.state.refuse.load(Ordering::SeqCst) {
                    continue;
                }
                let state = accepting.state.clone();
                tokio::spawn(async move { pass(client, state).await });
            }
        });
        proxy
    }

    /// Refuses new connections and cuts those there are.
    pub fn cut(&self) {
        self.state.refuse.store(true, Ordering::SeqCst);
        self.drop_connections();
    }

    pub fn drop_connections(&self) {
        let mut cut = self.state.cut.lock().unwrap();
        cut.cancel();
        *cut = CancellationToken::new();
    }

    /// The connection that springs the trap is the last for a while.
    pub fn cut_when_sprung(&self) {
        self.state.cut_when_sprung.store(true, Ordering::SeqCst);
    }

    pub fn mend(&self) {
        self.state.cut_when_sprung.store(false, Ordering::SeqCst);
        self.state.refuse.store(false, Ordering::SeqCst);
    }

    /// The next message to the server that contains `bytes` is passed on and its answer never comes back.
    pub fn lose_the_answer_to(&self, bytes: &[u8]) {
        *self.state.trap.lock().unwrap() = Some((bytes.to_vec(), true));
        self.state.sprung.store(false, Ordering::SeqCst);
    }

    /// The next message to the server that contains `bytes` never arrives.
    pub fn lose(&self, bytes: &[u8]) {
        *self.state.trap.lock().unwrap() = Some((bytes.to_vec(), false));
        self.state.sprung.store(false, Ordering::SeqCst);
    }

    pub fn sprung(&self) -> bool {
        self.state.sprung.load(Ordering::SeqCst)
    }
}

async fn connected(targets: &[String]) -> Option<TcpStream> {
    for target in targets {
        if let Ok(server) = TcpStream::connect(target).await {
            return Some(server);
        }
    }
    None
}

async fn pass(client: TcpStream, state: Arc<State>) {
    let Some(server) = connected(&state.targets).await else { return };
    let cut = state.cut.lock().unwrap().clone();
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let gone = CancellationToken::new();
    let (gone_here, gone_there) = (gone.clone(), gone.clone());
    let upstream = async {
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            let Ok(n) = from_client.read(&mut buffer).await else { return };
            if n == 0 {
                return;
            }
            let trapped = {
                let mut trap = state.trap.lock().unwrap();
                match &*trap {
                    Some((bytes, _)) if buffer[..n].windows(bytes.len()).any(|w| w == bytes.as_slice()) => trap.take(),
                    _ => None,
                }
            };
            match trapped {
                Some((_, pass_on)) => {
                    // From here on the client hears nothing any more.
                    gone_here.cancel();
                    if state.cut_when_sprung.load(Ordering::SeqCst) {
                        state.refuse.store(true, Ordering::SeqCst);
                    }
                    if pass_on {
                        let _ = to_server.write_all(&buffer[..n]).await;
                        // The server may finish what it was told: its connection stays open a little longer.
                        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
                    }
                    state.sprung.store(true, Ordering::SeqCst);
                    return;
                }
                None => {
                    if to_server.write_all(&buffer[..n]).await.is_err() {
                        return;
                    }
                }
            }
        }
    };
    let downstream = async {
        let mut buffer = vec![0u8; 64 * 1024];
        loop {
            let Ok(n) = from_server.read(&mut buffer).await else { return };
            if n == 0 {
                return;
            }
            if gone_there.is_cancelled() {
                continue;
            }
            if to_client.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = upstream => {}
        () = downstream => {}
        () = cut.cancelled() => {}
    }
}
