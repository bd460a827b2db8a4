//! `admit serve` as the process it is in production, for tests that kill it as only a kernel kills.

use std::process::Stdio;

use admit::config::Settings;
use rand::Rng;
use tokio::process::{Child, Command};

use super::TestApp;

/// The real binary over the stores of a test. It goes by the machine's clock: a test that moves time ends it first.
pub struct Process {
    settings: Settings,
    child: Child,
}

/// A port below the range that the kernel gives to outgoing connections, so that nobody gets it while the process is
/// dead.
fn free_port() -> u16 {
    (0..200)
        .map(|_| rand::rng().random_range(20_000..32_000))
        .find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
}

/// The settings as an operator would write them.
fn environment(settings: &Settings) -> Vec<(&'static str, String)> {
    let database = &settings.database;
    let mut all = vec![
        ("ADMIT_MODE", "development".to_owned()),
        ("DATABASE_URL", database.database_url.clone()),
        ("ADMIT_DATABASE_POOL", database.database_pool.to_string()),
        ("ADMIT_ENTRANCE_POOL", database.entrance_pool.to_string()),
        ("REDIS_URL", settings.redis_url.clone()),
        ("ADMIT_REDIS_PREFIX", settings.redis_prefix.clone()),
        ("ADMIT_BASE_URL", settings.base_url.clone()),
        ("ADMIT_LISTEN", settings.listen.to_string()),
        ("ADMIT_PRIVATE_LISTEN", settings.private_listen.to_string()),
        ("ADMIT_SECRET", settings.secret.clone()),
        ("ADMIT_DATA_KEYS", settings.data_keys.clone()),
        ("TOSS_CLIENT_KEY", settings.toss_client_key.clone()),
        ("TOSS_SECRET_KEY", settings.toss_secret_key.clone()),
        ("TOSS_API_URL", settings.toss_api_url.clone()),
        ("TOSS_SDK_URL", settings.toss_sdk_url.clone()),
        ("ADMIT_LOG", "error".to_owned()),
    ];
    let stripe = &settings.stripe;
    if !stripe.stripe_secret_key.is_empty() {
        all.extend([
            ("STRIPE_PUBLISHABLE_KEY", stripe.stripe_publishable_key.clone()),
            ("STRIPE_SECRET_KEY", stripe.stripe_secret_key.clone()),
            ("STRIPE_WEBHOOK_SECRET", stripe.stripe_webhook_secret.clone()),
            ("STRIPE_API_URL", stripe.stripe_api_url.clone()),
            ("STRIPE_SDK_URL", stripe.stripe_sdk_url.clone()),
        ]);
    }
    if !settings.rate_limit_exempt.is_empty() {
        all.push(("ADMIT_RATE_LIMIT_EXEMPT", "127.0.0.0/8".to_owned()));
    }
    all
}

fn spawn(settings: &Settings) -> Child {
    Command::new(env!("CARGO_BIN_EXE_admit"))
        .arg("serve")
        .env_clear()
        .envs(environment(settings))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .expect("the admit binary")
}

/// What one of the commands came to.
pub struct Ran {
    pub succeeded: bool,
    pub said: String,
    pub complained: String,
}

/// One of the commands of the real binary, run to its end over the stores of a test.
pub async fn command(app: &TestApp, args: &[&str]) -> Ran {
    let output = Command::new(env!("CARGO_BIN_EXE_admit"))
        .args(args)
        .env_clear()
        .envs(environment(&app.settings()))
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await
        .expect("the admit binary");
    let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
    Ran { succeeded: output.status.success(), said: text(output.stdout), complained: text(output.stderr) }
}

impl Process {
    pub async fn serve(app: &TestApp) -> Process {
        Process::serve_with(app, app.settings()).await
    }

    pub async fn serve_with(app: &TestApp, mut settings: Settings) -> Process {
        settings.listen.set_port(free_port());
        settings.private_listen.set_port(free_port());
        let mut process = Process { child: spawn(&settings), settings };
        process.ready(app).await;
        process
    }

    /// Where it listens, before and after every restart.
    pub fn base(&self) -> String {
        format!("http://{}", self.settings.listen)
    }

    /// SIGKILL: nothing is finished, nothing is said.
    pub async fn kill(&mut self) {
        self.child.kill().await.expect("a process to kill");
    }

    /// SIGTERM, as a deployment stops it: it finishes what it has begun.
    pub async fn stop(&mut self) {
        let id = self.child.id().expect("a process to stop").to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().await.expect("kill").success());
        let ended = tokio::time::timeout(std::time::Duration::from_secs(30), self.child.wait()).await;
        assert!(ended.expect("admit serve ended in time").unwrap().success());
    }

    pub async fn restart(&mut self, app: &TestApp) {
        self.child = spawn(&self.settings);
        self.ready(app).await;
    }

    /// By other ways to its stores and providers, and in the same place.
    pub async fn restart_with(&mut self, app: &TestApp, settings: Settings) {
        self.settings =
            Settings { listen: self.settings.listen, private_listen: self.settings.private_listen, ..settings };
        self.restart(app).await;
    }

    async fn ready(&mut self, app: &TestApp) {
        let url = format!("{}/readyz", self.base());
        let child = &mut self.child;
        app.until("admit serve is ready", async || {
            assert!(child.try_wait().unwrap().is_none(), "admit serve ended by itself");
            app.http.get(&url).send().await.is_ok_and(|reply| reply.status() == 200)
        })
        .await;
    }
}
