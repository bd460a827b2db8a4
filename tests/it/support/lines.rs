//! Every line that leads out of one instance: to Postgres, to Redis and to the providers. What goes out is counted over
//! all of them, so that a test can break the n-th message, whichever it is, for every n there is.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admit::config::Settings;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;

/// What becomes of the n-th message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// It never arrives, and its connection is gone.
    Failed,
    /// It arrives; its answer never comes.
    Lost,
    /// It arrives twice, as a network that repeats itself would have it. Only where messages stand alone: not in
    /// Postgres's conversations.
    Repeated,
    /// The process dies instead of sending it.
    KilledBefore,
    /// The process dies once it is sent.
    KilledAfter,
}

impl Break {
    fn kills(self) -> bool {
        matches!(self, Break::KilledBefore | Break::KilledAfter)
    }
}

#[derive(Clone)]
pub struct Lines {
    postgres: SocketAddr,
    redis: SocketAddr,
    toss: SocketAddr,
    stripe: Option<SocketAddr>,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    sent: AtomicU64,
    /// The message to break, and how; 0: none.
    at: AtomicU64,
    how: Mutex<Option<Break>>,
    fired: AtomicBool,
    /// Every connection of an instance that was killed.
    dead: CancellationToken,
}

#[derive(Clone, Copy, PartialEq)]
enum To {
    Postgres,
    Redis,
    Provider,
}

/// The host and port of a URL.
pub fn host_of(url: &str, default_port: u16) -> String {
    let rest = url.split_once("//").unwrap().1;
    let host = rest.split('/').next().unwrap();
    let host = host.rsplit('@').next().unwrap();
    if host.contains(':') { host.to_owned() } else { format!("{host}:{default_port}") }
}

impl Lines {
    /// Between an instance with these settings and everything it talks to.
    pub async fn lay(settings: &Settings) -> Lines {
        let state = Arc::new(State::default());
        let stripe_url = &settings.stripe.stripe_api_url;
        let stripe = match stripe_url.is_empty() {
            true => None,
            false => Some(line(host_of(stripe_url, 80), To::Provider, state.clone()).await),
        };
        Lines {
            postgres: line(host_of(&settings.database.database_url, 5432), To::Postgres, state.clone()).await,
            redis: line(host_of(&settings.redis_url, 6379), To::Redis, state.clone()).await,
            toss: line(host_of(&settings.toss_api_url, 80), To::Provider, state.clone()).await,
            stripe,
            state,
        }
    }

    /// The same settings, by way of these lines.
    pub fn settings(&self, mut settings: Settings) -> Settings {
        let through = |url: &str, port: u16, line: SocketAddr| url.replace(&host_of(url, port), &line.to_string());
        let database = &mut settings.database.database_url;
        *database = through(database, 5432, self.postgres);
        settings.redis_url = through(&settings.redis_url, 6379, self.redis);
        settings.toss_api_url = through(&settings.toss_api_url, 80, self.toss);
        if let Some(stripe) = self.stripe {
            settings.stripe.stripe_api_url = through(&settings.stripe.stripe_api_url, 80, stripe);
        }
        settings
    }

    /// Counts from now on, and breaks the n-th message.
    pub fn arm(&self, n: u64, how: Break) {
        *self.state.how.lock().unwrap() = Some(how);
        self.state.sent.store(0, Ordering::SeqCst);
        self.state.fired.store(false, Ordering::SeqCst);
        self.state.at.store(n, Ordering::SeqCst);
    }

    /// Counts from now on, and breaks nothing.
    pub fn count(&self) {
        self.arm(u64::MAX, Break::Failed);
    }

    /// Messages since then.
    pub fn sent(&self) -> u64 {
        self.state.sent.load(Ordering::SeqCst)
    }

    pub fn disarm(&self) {
        self.state.at.store(0, Ordering::SeqCst);
    }

    pub fn fired(&self) -> bool {
        self.state.fired.load(Ordering::SeqCst)
    }

    pub fn is_dead(&self) -> bool {
        self.state.dead.is_cancelled()
    }

    /// Returns once the instance is to be dead.
    pub async fn died(&self) {
        self.state.dead.cancelled().await;
    }
}

async fn line(target: String, to: To, state: Arc<State>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = state.dead.cancelled() => return,
            };
            let Ok((client, _)) = accepted else { return };
            let (target, state) = (target.clone(), state.clone());
            tokio::spawn(async move { pass(client, &target, to, &state).await });
        }
    });
    address
}

async fn pass(client: TcpStream, target: &str, to: To, state: &State) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let deaf = CancellationToken::new();
    tokio::select! {
        () = upstream(from_client, to_server, target, to, state, &deaf) => {}
        () = downstream(from_server, to_client, &deaf) => {}
    }
}

/// Until a break ends it; what the server is to hear stays in its ears long enough to be acted upon.
async fn upstream(
    mut client: impl AsyncRead + Unpin,
    mut server: impl AsyncWrite + Unpin,
    target: &str,
    to: To,
    state: &State,
    deaf: &CancellationToken,
) {
    let mut buffer = vec![0u8; 256 * 1024];
    loop {
        let n = tokio::select! {
            read = client.read(&mut buffer) => read.unwrap_or(0),
            () = state.dead.cancelled() => 0,
        };
        if n == 0 {
            return;
        }
        let message = &buffer[..n];
        let Some(how) = state.breaks(message, to) else {
            if server.write_all(message).await.is_err() {
                return;
            }
            continue;
        };
        match how {
            Break::Failed | Break::KilledBefore => return state.fire(how),
            Break::Lost | Break::KilledAfter => {
                deaf.cancel();
                state.fire(how);
                let _ = server.write_all(message).await;
                // The server ends what it was told; a server that hears its client leave may not.
                tokio::time::sleep(Duration::from_millis(150)).await;
                return;
            }
            Break::Repeated => {
                state.fire(how);
                let echo = said_alone(target, message);
                if server.write_all(message).await.is_err() {
                    return;
                }
                echo.await;
            }
        }
    }
}

async fn downstream(mut server: impl AsyncRead + Unpin, mut client: impl AsyncWrite + Unpin, deaf: &CancellationToken) {
    let mut buffer = vec![0u8; 256 * 1024];
    loop {
        let Ok(n) = server.read(&mut buffer).await else { return };
        if n == 0 {
            return;
        }
        // Until upstream ends it, nothing more is heard.
        if !deaf.is_cancelled() && client.write_all(&buffer[..n]).await.is_err() {
            return;
        }
    }
}

/// The same message once more, over a connection of its own, and its answer.
async fn said_alone(target: &str, message: &[u8]) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    if server.write_all(message).await.is_ok() {
        let mut answer = [0u8; 4096];
        let _ = tokio::time::timeout(Duration::from_millis(500), server.read(&mut answer)).await;
    }
}

impl State {
    /// Counts a message; how it breaks, if it is the one.
    fn breaks(&self, message: &[u8], to: To) -> Option<Break> {
        let at = self.at.load(Ordering::SeqCst);
        if at == 0 || !speaks(message, to) {
            return None;
        }
        let how = (*self.how.lock().unwrap())?;
        if how == Break::Repeated && to == To::Postgres {
            return None;
        }
        (self.sent.fetch_add(1, Ordering::SeqCst) + 1 == at).then_some(how)
    }

    fn fire(&self, how: Break) {
        self.fired.store(true, Ordering::SeqCst);
        if how.kills() {
            self.dead.cancel();
        }
    }
}

/// Whether a step of the path is taken by this message, and not only a connection made or looked after.
fn speaks(message: &[u8], to: To) -> bool {
    match to {
        // A statement is bound or sent as text. Preparing one changes nothing, and the start-up packet begins with its length.
        To::Postgres => matches!(message[0], b'B' | b'Q'),
        To::Redis => message.windows(4).any(|w| w.eq_ignore_ascii_case(b"eval")),
        To::Provider => message.starts_with(b"POST") || message.starts_with(b"GET"),
    }
}
