//! The harness: every test has a database of its own (cloned from a migrated template), a Redis namespace of its own,
//! a simulator of its own, and a clock that it moves itself.

pub mod browser;
pub mod db;
pub mod given;
pub mod held_up;
pub mod lines;
pub mod money;
pub mod process;
pub mod proxy;
pub mod servers;
pub mod visitor;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use admit::app::App;
use admit::config::{
    DatabaseSettings, DrandSettings, Mode, RetentionSettings, SellerSettings, Settings, StripeSettings,
};
use admit::orders::worker::WORKERS;
use admit::platform::clock::Clock;
use admit::platform::invariants;
use tokio_util::sync::CancellationToken;

pub use given::{Given, Kind};
pub use visitor::{Answer, Visitor};

pub struct Instance {
    pub app: App,
    pub address: SocketAddr,
    writer_stop: CancellationToken,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

/// A running Admit: one or more instances over the same stores.
pub struct TestApp {
    pub db: db::Database,
    pub redis_url: String,
    pub redis_prefix: String,
    pub simulator: toss_simulator::Running,
    pub stripe: Option<stripe_simulator::Running>,
    pub clock: Arc<AtomicI64>,
    pub mail: tempdir::TempDir,
    pub instances: Vec<Instance>,
    pub http: reqwest::Client,
    options: Options,
    panics: Arc<Mutex<Vec<String>>>,
}

#[derive(Clone)]
pub struct Options {
    pub instances: usize,
    /// Spare loopback from rate limits and open-hold limits, as `./dev up` does.
    pub exempt: bool,
    /// Another Redis than the shared one.
    pub redis_url: Option<String>,
    /// Where instances find Postgres, if not directly (a proxy).
    pub database_url: Option<String>,
    pub writer_queue: usize,
    /// Where the control room is open; empty: everywhere.
    pub admin_addresses: Vec<admit::platform::net::Network>,
    pub cors_origins: Vec<String>,
    pub drand: DrandSettings,
    /// Where Toss's webhooks may come from; empty: anywhere.
    pub webhook_addresses: Vec<admit::platform::net::Network>,
    /// A simulator of Stripe as well, and Admit with its keys.
    pub stripe: bool,
    /// Another than the simulator's.
    pub stripe_webhook_secret: Option<String>,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            instances: 1,
            exempt: true,
            redis_url: None,
            database_url: None,
            writer_queue: 4096,
            admin_addresses: vec![],
            cors_origins: vec![],
            drand: nobodys_drand(),
            webhook_addresses: vec![],
            stripe: false,
            stripe_webhook_secret: None,
        }
    }
}

/// A drand network that no test asks by accident: nothing listens there.
fn nobodys_drand() -> DrandSettings {
    DrandSettings { drand_url: "http://127.0.0.1:9".into(), ..DrandSettings::default() }
}

pub mod tempdir {
    /// A directory that goes with the test.
    pub struct TempDir(pub std::path::PathBuf);

    impl TempDir {
        pub fn new() -> TempDir {
            let path = std::env::temp_dir().join(format!("admit-test-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir_all(&path).unwrap();
            TempDir(path)
        }
    }

    impl Drop for TempDir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}

impl Instance {
    /// The stock writer's task, to be ended as a kill would end it. The instance goes on answering.
    pub fn writer_tasks(&self) -> impl Iterator<Item = &tokio::task::JoinHandle<()>> {
        self.tasks.iter().take(1)
    }
}

impl TestApp {
    pub async fn start() -> TestApp {
        TestApp::start_with(Options::default()).await
    }

    pub async fn start_with(options: Options) -> TestApp {
        let db = db::Database::create().await;
        TestApp::start_on(db, options).await
    }

    /// On a database that the test has made itself, because a proxy must know its address.
    pub async fn start_on(db: db::Database, options: Options) -> TestApp {
        let redis_url = options.redis_url.clone().unwrap_or_else(servers::redis_url);
        let simulator = toss_simulator::start(toss_simulator::Settings::default()).await.unwrap();
        let stripe = match options.stripe {
            true => Some(stripe_simulator::start(stripe_simulator::Settings::default()).await.unwrap()),
            false => None,
        };
        let mut app = TestApp {
            db,
            redis_url,
            redis_prefix: format!("t{}", &uuid::Uuid::new_v4().simple().to_string()[..12]),
            simulator,
            stripe,
            clock: Arc::new(AtomicI64::new(0)),
            mail: tempdir::TempDir::new(),
            instances: Vec::new(),
            http: reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            panics: Arc::default(),
            options: options.clone(),
        };
        for _ in 0..options.instances {
            app.add_instance().await;
        }
        app
    }

    pub fn settings(&self) -> Settings {
        let loopback = || vec!["127.0.0.0/8".parse().unwrap()];
        Settings {
            mode: Mode::Development,
            database: DatabaseSettings {
                database_url: self.options.database_url.clone().unwrap_or_else(|| self.db.url.clone()),
                database_pool: 6,
                entrance_pool: 4,
            },
            redis_url: self.redis_url.clone(),
            redis_prefix: self.redis_prefix.clone(),
            base_url: "http://localhost:8080".into(),
            listen: "127.0.0.1:0".parse().unwrap(),
            private_listen: "127.0.0.1:0".parse().unwrap(),
            secret: "a secret of the tests, long enough".into(),
            data_keys: format!("t1:{}", "5a".repeat(32)),
            payments_provider: "toss".into(),
            toss_client_key: "test_ck_DEMO000000000000000000".into(),
            toss_secret_key: "test_sk_DEMO000000000000000000".into(),
            toss_api_url: self.simulator.base_url(),
            toss_sdk_url: format!("{}/v2/standard", self.simulator.base_url()),
            toss_fees: "VIRTUAL_ACCOUNT=400,TRANSFER=2%".parse().unwrap(),
            toss_webhook_addresses: self.options.webhook_addresses.clone(),
            stripe: self.stripe_settings(),
            seller: SellerSettings::default(),
            retention: RetentionSettings::default(),
            rate_limit_exempt: if self.options.exempt { loopback() } else { vec![] },
            trusted_proxies: loopback(),
            admin_addresses: self.options.admin_addresses.clone(),
            cors_origins: self.options.cors_origins.clone(),
            mail: format!("file://{}", self.mail.0.display()),
            mail_from: "Admit <tickets@example.org>".into(),
            orders_per_minute: 5,
            logins_per_minute: 3,
            lookups_per_minute: 10,
            joins_per_minute: 1200,
            writer_queue: self.options.writer_queue,
            writer_batch: 128,
            drand: self.options.drand.clone(),
            log: "info".into(),
            threads: 0,
            shutdown_s: 5,
        }
    }

    /// The keys that the simulator was made with.
    fn stripe_settings(&self) -> StripeSettings {
        let Some(stripe) = &self.stripe else { return StripeSettings::default() };
        let made = stripe_simulator::Settings::default();
        StripeSettings {
            stripe_publishable_key: made.publishable_key,
            stripe_secret_key: made.secret_key,
            stripe_webhook_secret: self.options.stripe_webhook_secret.clone().unwrap_or(made.webhook_secret),
            stripe_api_url: stripe.base_url(),
            stripe_sdk_url: format!("{}/v3/", stripe.base_url()),
        }
    }

    /// One more instance, as another `admit serve` would be. Its workers run only when the test ticks them.
    pub async fn add_instance(&mut self) -> usize {
        self.add_instance_with(self.settings()).await
    }

    pub async fn add_instance_with(&mut self, settings: Settings) -> usize {
        let app = App::build(settings, Clock::Manual(self.clock.clone())).unwrap();
        app.keys.load(&app).await.unwrap();
        app.catalogue.refresh(&app).await.unwrap();
        let writer_stop = CancellationToken::new();
        let mut tasks = vec![self.watched(admit::orders::writer::Writer::run(app.clone(), writer_stop.clone()))];
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (routes, _) = app.routes();
        let stopping = app.lifecycle.stopping();
        tasks.push(self.watched(async move {
            axum::serve(listener, routes.into_make_service_with_connect_info::<SocketAddr>())
                .with_graceful_shutdown(async move { stopping.cancelled().await })
                .await
                .unwrap();
        }));
        self.instances.push(Instance { app, address, writer_stop, tasks });
        self.instances.len() - 1
    }

    /// A task whose panic fails the test at the end.
    fn watched(&self, task: impl Future<Output = ()> + Send + 'static) -> tokio::task::JoinHandle<()> {
        let panics = self.panics.clone();
        tokio::spawn(async move {
            let inner = tokio::spawn(task);
            let aborter = AbortOnDrop(inner.abort_handle());
            if let Err(error) = inner.await
                && error.is_panic()
            {
                panics.lock().unwrap().push(error.to_string());
            }
            drop(aborter);
        })
    }

    /// Ends an instance as a kill would: nothing is finished.
    pub fn kill(&mut self, at: usize) {
        for task in self.instances.remove(at).tasks {
            task.abort();
        }
    }

    pub fn app(&self) -> &App {
        &self.instances[0].app
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.instances[0].address)
    }

    pub fn visitor(&self, n: usize) -> Visitor<'_> {
        Visitor::new(self, n)
    }

    /// Tells Toss's simulator to send its webhooks to the first instance.
    pub async fn with_webhooks(&self) {
        self.simulate("webhook-url", serde_json::json!({ "url": self.url("/api/webhooks/toss") })).await;
    }

    /// One of the simulator's controls.
    pub async fn simulate(&self, control: &str, body: serde_json::Value) -> serde_json::Value {
        self.control(&self.simulator.base_url(), control, body).await
    }

    /// One of the controls of Stripe's simulator.
    pub async fn simulate_stripe(&self, control: &str, body: serde_json::Value) -> serde_json::Value {
        let stripe = self.stripe.as_ref().expect("a test that asked for Stripe");
        self.control(&stripe.base_url(), control, body).await
    }

    async fn control(&self, base: &str, control: &str, body: serde_json::Value) -> serde_json::Value {
        let url = format!("{base}/_sim/{control}");
        let reply = self.http.post(url).json(&body).send().await.unwrap();
        assert!(reply.status().is_success(), "_sim/{control}: {}", reply.text().await.unwrap());
        reply.json().await.unwrap_or_default()
    }

    pub async fn simulator_counts(&self) -> serde_json::Value {
        let url = format!("{}/_sim/counts", self.simulator.base_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    pub async fn stripe_counts(&self) -> serde_json::Value {
        let stripe = self.stripe.as_ref().expect("a test that asked for Stripe");
        let url = format!("{}/_sim/counts", stripe.base_url());
        self.http.get(url).send().await.unwrap().json().await.unwrap()
    }

    /// Moves all clocks: the instances', Postgres's and the providers'.
    pub async fn advance(&self, by: Duration) {
        self.simulate("clock", serde_json::json!({ "advance_s": by.as_secs() })).await;
        if self.stripe.is_some() {
            self.simulate_stripe("clock", serde_json::json!({ "advance_s": by.as_secs() })).await;
        }
        let offset = self.clock.fetch_add(by.as_millis() as i64, Ordering::Relaxed) + by.as_millis() as i64;
        self.db
            .execute(&format!(
                "create or replace function admit_now() returns timestamptz language sql stable as \
                 $$ select clock_timestamp() + interval '{offset} milliseconds' $$"
            ))
            .await;
        self.refresh().await;
    }

    pub async fn refresh(&self) {
        for instance in &self.instances {
            // Without Postgres it goes on with what it knows.
            let _ = instance.app.catalogue.refresh(&instance.app).await;
            // Without Redis the rooms' picture stays as it is.
            let _ = instance.app.rooms.refresh(&instance.app).await;
        }
    }

    /// One round of a worker, by name, on the first instance.
    pub async fn tick(&self, worker: &str) -> usize {
        self.tick_on(0, worker).await
    }

    pub async fn tick_on(&self, at: usize, worker: &str) -> usize {
        self.try_tick_on(at, worker).await.unwrap()
    }

    /// One round on an instance that may not reach what it needs.
    pub async fn try_tick_on(&self, at: usize, worker: &str) -> admit::error::Result<usize> {
        let worker = WORKERS.iter().find(|w| w.name == worker).unwrap_or_else(|| panic!("no worker {worker}"));
        (worker.tick)(&self.instances[at].app).await
    }

    /// One round over webhooks, a second after the last of them came: none is looked at earlier.
    pub async fn webhooks(&self) -> usize {
        self.advance(Duration::from_secs(1)).await;
        self.tick("webhooks").await
    }

    /// Waits, bounded, until a condition holds.
    pub async fn until<F: AsyncFnMut() -> bool>(&self, what: &str, mut condition: F) {
        for _ in 0..1_600 {
            if condition().await {
                return;
            }
            tokio::time::sleep(Duration::from_millis(25)).await;
        }
        panic!("waited 40 s for: {what}");
    }

    /// Redis free + in flight = Postgres free for every stock; takes in flight are waited out.
    pub async fn stores_agree(&self) -> bool {
        let app = self.app();
        for exhibition in app.catalogue.current().exhibitions() {
            let client = app.pg.get().await.unwrap();
            let truth = admit::stock::pg::levels(&client, exhibition.id).await.unwrap();
            let Ok(Some(levels)) = admit::stock::redis::levels(&app.redis, &exhibition.code, true).await else {
                // Never touched: nothing was taken from it.
                continue;
            };
            if !levels.in_flight.is_empty()
                || truth.iter().any(|(id, l)| levels.free.get(id) != Some(&i64::from(l.free())))
            {
                return false;
            }
        }
        true
    }

    /// Drains the outbox and refunds, stops everything, and fails on a panic, a leftover or a broken invariant.
    pub async fn finish(mut self) {
        for worker in ["webhooks", "refunds", "outbox"] {
            for _ in 0..20 {
                if self.tick(worker).await == 0 {
                    break;
                }
            }
        }
        self.until("Redis and Postgres agree", async || self.stores_agree().await).await;
        for instance in &self.instances {
            assert!(instance.app.lifecycle.finish(Duration::from_secs(10)).await, "tasks did not end");
            instance.writer_stop.cancel();
        }
        for instance in std::mem::take(&mut self.instances) {
            for task in instance.tasks {
                task.await.unwrap();
            }
            instance.app.redis.quit().await;
        }
        let panics = self.panics.lock().unwrap().clone();
        assert!(panics.is_empty(), "panicked: {panics:?}");
        let leftover: i64 = self.db.one("select count(*) from outbox where state = 'pending'").await;
        assert_eq!(leftover, 0, "the outbox has leftovers");
        self.sweep().await;
        self.simulator.shutdown().await;
        if let Some(stripe) = self.stripe.take() {
            stripe.shutdown().await;
        }
        self.db.drop().await;
    }

    pub async fn sweep(&self) {
        let broken = invariants::sweep(&self.db.url).await.unwrap();
        assert!(broken.is_empty(), "broken invariants:\n{}", broken.join("\n"));
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs `n` at the same moment and collects their answers.
pub async fn race<F, Fut, T>(n: usize, act: F) -> Vec<T>
where
    F: Fn(usize) -> Fut,
    Fut: Future<Output = T>,
{
    futures_util::future::join_all((0..n).map(act)).await
}
