//! Every setting of Admit, with its default, unit and reason. `admit serve --help` prints these files' words; a
//! missing or malformed setting stops start-up with a message that names it. Secrets are never printed.

mod drand;
mod retention;
mod secret_files;
mod seller;
mod stripe;

use std::net::SocketAddr;

use clap::{Args, ValueEnum};

use crate::payments::toss::Fees;
use crate::platform::net::Network;

pub use drand::DrandSettings;
pub use retention::RetentionSettings;
use secret_files::from_file;
pub use secret_files::secret_files_into_env;
pub use seller::SellerSettings;
pub use stripe::StripeSettings;

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    /// Refuses demo secrets and Toss test keys mixed with live ones; cookies are `Secure`.
    Production,
    /// For one machine: plain HTTP, demo secrets allowed.
    Development,
}

#[derive(Args, Clone)]
pub struct DatabaseSettings {
    /// Postgres, the truth: `postgres://user:password@host:5432/admit`. Add `?sslmode=require` for TLS. [no default]
    #[arg(long, env = "DATABASE_URL", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub database_url: String,
    /// Connections of one instance's general pool; the stock writer and the entrance have their own. [connections]
    #[arg(long, env = "ADMIT_DATABASE_POOL", default_value_t = 12, value_parser = clap::value_parser!(u32).range(2..=200))]
    pub database_pool: u32,
    /// Connections kept apart for scans, so that a sale never slows the door. [connections]
    #[arg(long, env = "ADMIT_ENTRANCE_POOL", default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=200))]
    pub entrance_pool: u32,
}

fn check_url(name: &str, url: &str) -> Result<(), String> {
    let parsed = reqwest::Url::parse(url).map_err(|e| format!("{name} is malformed: {e}"))?;
    if !matches!(parsed.scheme(), "http" | "https") || parsed.host_str().is_none() {
        return Err(format!("{name} must be http(s)://host/…"));
    }
    Ok(())
}

#[derive(Args, Clone)]
pub struct Settings {
    /// production (default: nothing unsafe by omission) or development.
    #[arg(long, env = "ADMIT_MODE", value_enum, default_value_t = Mode::Production)]
    pub mode: Mode,
    #[command(flatten)]
    pub database: DatabaseSettings,
    /// Redis, the speed: `redis://[:password@]host:6379/0`; `rediss://` for TLS, `redis-cluster://` and
    /// `redis-sentinel://` work too. [no default]
    #[arg(long, env = "REDIS_URL", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub redis_url: String,
    /// First part of every Redis key, so that several installations can share one server.
    #[arg(long, env = "ADMIT_REDIS_PREFIX", default_value = "admit")]
    pub redis_prefix: String,
    /// Where visitors reach this installation, without a trailing slash; Toss redirects back to it.
    #[arg(long, env = "ADMIT_BASE_URL", default_value = "http://localhost:8080")]
    pub base_url: String,
    /// Address `serve` listens on, behind nginx.
    #[arg(long, env = "ADMIT_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Private address for /metrics, /livez and /readyz; never reachable from outside.
    #[arg(long, env = "ADMIT_PRIVATE_LISTEN", default_value = "127.0.0.1:9081")]
    pub private_listen: SocketAddr,
    /// Root of all tokens and digests; at least 32 characters. Changing it ends every open order link. [secret]
    #[arg(long, env = "ADMIT_SECRET", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub secret: String,
    /// Keys that seal personal data: `id:64 hex digits`, comma separated; the first seals, all open. [secret]
    #[arg(long, env = "ADMIT_DATA_KEYS", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub data_keys: String,
    /// Payment provider: toss. Exhibitions name their own.
    #[arg(long, env = "PAYMENTS_PROVIDER", default_value = "toss", value_parser = ["toss"])]
    pub payments_provider: String,
    /// Toss client key, `test_ck_…` or `live_ck_…`; shown to browsers.
    #[arg(long, env = "TOSS_CLIENT_KEY", default_value = "")]
    pub toss_client_key: String,
    /// Toss secret key of the same pair. [secret]
    #[arg(long, env = "TOSS_SECRET_KEY", hide_env_values = true, default_value = "", hide_default_value = true)]
    pub toss_secret_key: String,
    /// Toss's REST API; a simulator in development.
    #[arg(long, env = "TOSS_API_URL", default_value = "https://api.tosspayments.com")]
    pub toss_api_url: String,
    /// Script that the payment page loads.
    #[arg(long, env = "TOSS_SDK_URL", default_value = "https://js.tosspayments.com/v2/standard")]
    pub toss_sdk_url: String,
    /// Addresses or networks that Toss's webhooks may come from, comma separated; empty: from anywhere, since what they say
    /// is asked about. Toss's list: docs/external/toss.md.
    #[arg(long, env = "TOSS_WEBHOOK_ADDRESSES", value_delimiter = ',')]
    pub toss_webhook_addresses: Vec<Network>,
    /// What the contract with Toss lets it keep, for the settlement report, VAT included: `CARD=3.4%,TRANSFER=2%+100,
    /// VIRTUAL_ACCOUNT=400` in percent of the sum and won for each payment. What is not named has no fee in the report.
    #[arg(long, env = "TOSS_FEES", default_value = "", value_parser = clap::value_parser!(Fees), hide_default_value = true)]
    pub toss_fees: Fees,
    #[command(flatten)]
    pub stripe: StripeSettings,
    #[command(flatten, next_help_heading = "Seller")]
    pub seller: SellerSettings,
    #[command(flatten, next_help_heading = "Retention")]
    pub retention: RetentionSettings,
    /// Networks whose callers are spared rate limits and open-hold limits, e.g. load tests from `127.0.0.0/8`.
    #[arg(long, env = "ADMIT_RATE_LIMIT_EXEMPT", value_delimiter = ',')]
    pub rate_limit_exempt: Vec<Network>,
    /// Proxies whose X-Forwarded-For is believed.
    #[arg(long, env = "ADMIT_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<Network>,
    /// Addresses or networks that the control room is open to, comma separated: its page, its calls and files, and sign-ins of
    /// everybody but the gates' staff; empty: all. Behind a proxy this needs ADMIT_TRUSTED_PROXIES. Somebody who may not get in any more
    /// changes it here and restarts, which no account can do for them.
    #[arg(long, env = "ADMIT_ADMIN_ADDRESSES", value_delimiter = ',')]
    pub admin_addresses: Vec<Network>,
    /// Origins that may call the API from a browser on another site.
    #[arg(long, env = "ADMIT_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<String>,
    /// Mail: `smtp://user:password@host:587`, `smtps://…`, `file:///directory`, or `none`.
    #[arg(long, env = "ADMIT_MAIL", hide_env_values = true, default_value = "none")]
    pub mail: String,
    /// Sender of mails.
    #[arg(long, env = "ADMIT_MAIL_FROM", default_value = "Admit <tickets@example.org>")]
    pub mail_from: String,
    /// Orders one phone number may place per minute, before holds are even looked at.
    #[arg(long, env = "ADMIT_ORDERS_PER_MINUTE", default_value_t = 5)]
    pub orders_per_minute: u32,
    /// Sign-ins one user name may try per minute from one address, or in one browser that it has signed in with; an address, ten
    /// times as many.
    #[arg(long, env = "ADMIT_LOGINS_PER_MINUTE", default_value_t = 3)]
    pub logins_per_minute: u32,
    /// Order look-ups one phone number may try per minute.
    #[arg(long, env = "ADMIT_LOOKUPS_PER_MINUTE", default_value_t = 10)]
    pub lookups_per_minute: u32,
    /// Places in line that one address may take per minute with new devices, on each instance. Phones share addresses
    /// behind carriers, so this is generous: it stops floods, not crowds.
    #[arg(long, env = "ADMIT_JOINS_PER_MINUTE", default_value_t = 1200)]
    pub joins_per_minute: u32,
    /// Entries of one exhibition that may wait for the stock writer before callers get 503; at 10,000 entries/s
    /// this is 0.4 s of waiting, more would only be refused as stale later. [entries]
    #[arg(long, env = "ADMIT_WRITER_QUEUE", default_value_t = 4096)]
    pub writer_queue: usize,
    /// Entries written in one commit. More raises throughput a little and the wait of the first a lot. [entries]
    #[arg(long, env = "ADMIT_WRITER_BATCH", default_value_t = 128)]
    pub writer_batch: usize,
    #[command(flatten)]
    pub drand: DrandSettings,
    /// What is logged: error, warn, info, debug, or a filter such as `info,admit::stock=debug`.
    #[arg(long, env = "ADMIT_LOG", default_value = "info")]
    pub log: String,
    /// Threads that answer requests; 0: one per core. Where several instances share a machine, give each its share:
    /// threads that take turns on a core cost more than they do. [threads]
    #[arg(long, env = "ADMIT_THREADS", default_value_t = 0)]
    pub threads: usize,
    /// How long a stopping process may finish what it has begun. [seconds]
    #[arg(long, env = "ADMIT_SHUTDOWN_S", default_value_t = 20)]
    pub shutdown_s: u64,
}

/// `scheme://host[:port]` and nothing behind it.
fn is_origin(text: &str) -> bool {
    reqwest::Url::parse(text).is_ok_and(|url| url.origin().is_tuple() && url.origin().ascii_serialization() == text)
}

const DEMO_SECRET_MARK: &str = "demo";

impl DatabaseSettings {
    pub fn check(mut self) -> Result<DatabaseSettings, String> {
        if let Some(url) = from_file("DATABASE_URL") {
            self.database_url = url;
        }
        if self.database_url.is_empty() {
            return Err("DATABASE_URL is missing: set it to postgres://user:password@host:5432/admit".into());
        }
        self.database_url.parse::<tokio_postgres::Config>().map_err(|e| format!("DATABASE_URL is malformed: {e}"))?;
        Ok(self)
    }
}

impl Settings {
    /// What clap cannot judge alone. The message names the setting, never a secret's value.
    pub fn check(mut self) -> Result<Settings, String> {
        self.database = self.database.check()?;
        for (name, slot) in [
            ("REDIS_URL", &mut self.redis_url),
            ("ADMIT_SECRET", &mut self.secret),
            ("ADMIT_DATA_KEYS", &mut self.data_keys),
            ("TOSS_SECRET_KEY", &mut self.toss_secret_key),
            ("STRIPE_SECRET_KEY", &mut self.stripe.stripe_secret_key),
            ("STRIPE_WEBHOOK_SECRET", &mut self.stripe.stripe_webhook_secret),
            ("ADMIT_MAIL", &mut self.mail),
        ] {
            if let Some(value) = from_file(name) {
                *slot = value;
            }
        }
        if self.redis_url.is_empty() {
            return Err("REDIS_URL is missing: set it to redis://host:6379/0".into());
        }
        if ![
            "redis://",
            "rediss://",
            "redis-cluster://",
            "rediss-cluster://",
            "redis-sentinel://",
            "rediss-sentinel://",
        ]
        .iter()
        .any(|scheme| self.redis_url.starts_with(scheme))
        {
            return Err("REDIS_URL is malformed: it must begin with redis:// or one of its kin".into());
        }
        fred::types::config::Config::from_url(&self.redis_url).map_err(|e| format!("REDIS_URL is malformed: {e}"))?;
        if self.secret.len() < 32 {
            return Err("ADMIT_SECRET is missing or shorter than 32 characters".into());
        }
        crate::platform::secrets::parse_data_keys(&self.data_keys).map_err(|e| format!("ADMIT_DATA_KEYS {e}"))?;
        if !self.base_url.starts_with("http") || !is_origin(&self.base_url) {
            return Err(
                "ADMIT_BASE_URL must be http(s)://host[:port] as a browser writes it: small letters, no default port, \
                        no path, no trailing slash"
                    .into(),
            );
        }
        if !(self.mail == "none"
            || ["file://", "smtp://", "smtps://"].iter().any(|scheme| self.mail.starts_with(scheme)))
        {
            return Err("ADMIT_MAIL must be none, file:///directory, smtp://… or smtps://…".into());
        }
        if let Some(listed) = self.cors_origins.iter().find(|origin| !is_origin(origin)) {
            return Err(format!("ADMIT_CORS_ORIGINS: '{listed}' is not an origin such as https://partner.example.org"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
        if self.redis_prefix.is_empty() || !self.redis_prefix.chars().all(plain) {
            return Err("ADMIT_REDIS_PREFIX must be letters, digits, - and _".into());
        }
        for (name, value) in [
            ("ADMIT_WRITER_QUEUE", self.writer_queue as u64),
            ("ADMIT_WRITER_BATCH", self.writer_batch as u64),
            ("ADMIT_ORDERS_PER_MINUTE", self.orders_per_minute.into()),
            ("ADMIT_LOGINS_PER_MINUTE", self.logins_per_minute.into()),
            ("ADMIT_LOOKUPS_PER_MINUTE", self.lookups_per_minute.into()),
            ("ADMIT_JOINS_PER_MINUTE", self.joins_per_minute.into()),
            ("ADMIT_SHUTDOWN_S", self.shutdown_s),
        ] {
            if value == 0 {
                return Err(format!("{name} must be at least 1"));
            }
        }
        tracing_subscriber::EnvFilter::try_new(&self.log).map_err(|e| format!("ADMIT_LOG is malformed: {e}"))?;
        self.check_toss()?;
        self.stripe.check()?;
        self.drand.check()?;
        if self.mode == Mode::Production {
            self.check_production()?;
        }
        Ok(self)
    }

    fn check_toss(&self) -> Result<(), String> {
        if self.toss_client_key.is_empty() {
            return Err("TOSS_CLIENT_KEY is missing".into());
        }
        if self.toss_secret_key.is_empty() {
            return Err("TOSS_SECRET_KEY is missing".into());
        }
        let kind = |key: &str| key.split('_').next().unwrap_or_default().to_owned();
        let (client, secret) = (kind(&self.toss_client_key), kind(&self.toss_secret_key));
        if !matches!(client.as_str(), "test" | "live") || !matches!(secret.as_str(), "test" | "live") {
            return Err("TOSS_CLIENT_KEY and TOSS_SECRET_KEY must begin with test_ or live_".into());
        }
        if client != secret {
            return Err(format!("TOSS_CLIENT_KEY is a {client} key but TOSS_SECRET_KEY is a {secret} key"));
        }
        check_url("TOSS_API_URL", &self.toss_api_url)?;
        check_url("TOSS_SDK_URL", &self.toss_sdk_url)
    }

    fn check_production(&self) -> Result<(), String> {
        if self.secret.to_ascii_lowercase().contains(DEMO_SECRET_MARK) {
            return Err("ADMIT_SECRET is a demo secret; production mode refuses it".into());
        }
        if self.data_keys.split(',').any(|key| key.trim().to_ascii_lowercase().starts_with(DEMO_SECRET_MARK)) {
            return Err("ADMIT_DATA_KEYS holds a demo key; production mode refuses it".into());
        }
        if self.toss_secret_key.contains("DEMO") || self.toss_client_key.contains("DEMO") {
            return Err("TOSS_SECRET_KEY or TOSS_CLIENT_KEY is a demo key; production mode refuses it".into());
        }
        let to_toss = self.toss_api_url.trim_end_matches('/') == "https://api.tosspayments.com";
        if self.toss_secret_key.starts_with("live_") != to_toss {
            return Err("TOSS_API_URL and the Toss keys disagree: live keys go to Toss itself and to nowhere else, \
                        test keys belong to development mode"
                .into());
        }
        self.stripe.check_production()?;
        if !self.base_url.starts_with("https://") {
            return Err("ADMIT_BASE_URL must be https:// in production mode".into());
        }
        // Behind a proxy that is not named every caller has its address: all are spared, or none is let in.
        for (name, listed) in [
            ("ADMIT_RATE_LIMIT_EXEMPT", &self.rate_limit_exempt),
            ("ADMIT_ADMIN_ADDRESSES", &self.admin_addresses),
            ("TOSS_WEBHOOK_ADDRESSES", &self.toss_webhook_addresses),
        ] {
            if !listed.is_empty() && self.trusted_proxies.is_empty() {
                return Err(format!(
                    "{name} wants ADMIT_TRUSTED_PROXIES as well: whose word is taken for where a caller is"
                ));
            }
        }
        Ok(())
    }

    pub fn secure_cookies(&self) -> bool {
        self.base_url.starts_with("https://")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        settings: Settings,
    }

    const GOOD: [(&str, &str); 9] = [
        ("--mode", "production"),
        ("--database-url", "postgres://admit@db/admit"),
        ("--redis-url", "redis://redis:6379/0"),
        ("--base-url", "https://tickets.example.org"),
        ("--secret", "0123456789abcdef0123456789abcdef"),
        ("--data-keys", "k1:abababababababababababababababababababababababababababababababab"),
        ("--toss-client-key", "live_ck_x"),
        ("--toss-secret-key", "live_sk_x"),
        ("--mail", "none"),
    ];

    /// The good settings with one of them changed.
    fn with(name: &str, value: &str) -> Result<Settings, String> {
        let mut pairs: Vec<(&str, &str)> = GOOD.iter().filter(|(n, _)| *n != name).copied().collect();
        pairs.push((name, value));
        let words = std::iter::once("admit".to_owned()).chain(pairs.iter().map(|(n, v)| format!("{n}={v}")));
        Cli::try_parse_from(words).map_err(|e| e.to_string())?.settings.check()
    }

    #[test]
    fn good_settings_start() {
        assert!(with("--mail", "smtps://user:pw@mail.example.org").is_ok());
        assert!(with("--cors-origins", "https://a.example.org,https://b.example.org:8443").is_ok());
    }

    #[test]
    fn a_missing_or_malformed_setting_is_named_and_its_secret_is_not_shown() {
        for (name, value, says) in [
            ("--database-url", "", "DATABASE_URL is missing"),
            ("--database-url", "nonsense", "DATABASE_URL is malformed"),
            ("--redis-url", "", "REDIS_URL is missing"),
            ("--redis-url", "http://x", "REDIS_URL is malformed"),
            ("--secret", "hush-hush", "ADMIT_SECRET is missing or shorter"),
            ("--data-keys", "k1:hush-hush", "ADMIT_DATA_KEYS"),
            ("--base-url", "tickets.example.org", "ADMIT_BASE_URL"),
            ("--base-url", "https://tickets.example.org/", "ADMIT_BASE_URL"),
            ("--toss-client-key", "", "TOSS_CLIENT_KEY is missing"),
            ("--toss-secret-key", "hush-hush", "TOSS_CLIENT_KEY and TOSS_SECRET_KEY"),
            ("--toss-sdk-url", "not a url", "TOSS_SDK_URL"),
            ("--mail", "hush-hush", "ADMIT_MAIL"),
            ("--cors-origins", "https://a.example.org/path", "ADMIT_CORS_ORIGINS"),
            ("--redis-prefix", "a{b}", "ADMIT_REDIS_PREFIX"),
            ("--writer-batch", "0", "ADMIT_WRITER_BATCH"),
            ("--drand-url", "api.drand.sh", "ADMIT_DRAND_URL"),
            ("--drand-chain", "52db", "ADMIT_DRAND_CHAIN"),
            ("--drand-public-key", "83cg", "ADMIT_DRAND_PUBLIC_KEY"),
            ("--drand-period-s", "0", "ADMIT_DRAND_PERIOD_S"),
            ("--stripe-secret-key", "sk_live_hush", "STRIPE_PUBLISHABLE_KEY is missing"),
            ("--log", "info,=,", "ADMIT_LOG"),
            ("--keep-payments-years", "4", "keep-payments-years"),
            ("--keep-audit-years", "1", "keep-audit-years"),
            ("--rate-limit-exempt", "everybody", "rate-limit-exempt"),
            ("--toss-webhook-addresses", "13.124.18.147,toss", "toss-webhook-addresses"),
            ("--admin-addresses", "198.51.100.0/24,office", "admin-addresses"),
        ] {
            let Err(message) = with(name, value) else { panic!("{name}={value} was accepted") };
            assert!(message.contains(says), "{name}: {message}");
            assert!(!message.contains("hush"), "{name}: {message}");
        }
    }

    /// Good settings with Stripe's three keys and its address.
    fn with_stripe(publishable: &str, secret: &str, webhook: &str, url: &str) -> Result<Settings, String> {
        let mut words = vec!["admit".to_owned()];
        words.extend(GOOD.iter().map(|(n, v)| format!("{n}={v}")));
        words.push(format!("--stripe-publishable-key={publishable}"));
        words.push(format!("--stripe-secret-key={secret}"));
        words.push(format!("--stripe-webhook-secret={webhook}"));
        words.push(format!("--stripe-api-url={url}"));
        Cli::try_parse_from(words).map_err(|e| e.to_string())?.settings.check()
    }

    #[test]
    fn stripe_is_all_there_or_not_at_all() {
        const URL: &str = "https://api.stripe.com";
        assert!(!with("--mail", "none").unwrap().stripe.is_set());
        assert!(with_stripe("pk_live_x", "rk_live_x", "whsec_a,whsec_b", URL).unwrap().stripe.is_set());
        for (publishable, secret, webhook, url, says) in [
            ("pk_live_x", "sk_live_hush", "", URL, "STRIPE_WEBHOOK_SECRET is missing"),
            ("pk_live_x", "sk_live_hush", "whsec_a,whsec_b,whsec_c", URL, "STRIPE_WEBHOOK_SECRET must be"),
            ("pk_live_x", "sk_live_hush", "hush", URL, "STRIPE_WEBHOOK_SECRET must be"),
            ("pk_live_x", "hush", "whsec_a", URL, "STRIPE_SECRET_KEY with sk_test_"),
            ("pk_test_x", "sk_live_hush", "whsec_a", URL, "is a test key but STRIPE_SECRET_KEY is a live key"),
            ("pk_live_x", "sk_live_hush", "whsec_a", "api.stripe.com", "STRIPE_API_URL"),
            ("pk_live_x", "sk_live_hush", "whsec_a", "https://api.stripe.com.evil.example", "disagree"),
            ("pk_test_x", "sk_test_hush", "whsec_a", URL, "disagree"),
            ("pk_live_x", "sk_live_DEMO_hush", "whsec_a", URL, "demo"),
            ("pk_live_x", "sk_live_hush", "whsec_DEMO", URL, "demo"),
        ] {
            let Err(message) = with_stripe(publishable, secret, webhook, url) else { panic!("{says}: accepted") };
            assert!(message.contains(says) && !message.contains("hush"), "{message}");
        }
    }

    #[test]
    fn production_refuses_demo_secrets_and_mixed_keys() {
        for (name, value, says) in [
            ("--secret", "a demo secret that is long enough to pass", "ADMIT_SECRET is a demo secret"),
            ("--data-keys", "demo:abababababababababababababababababababababababababababababababab", "ADMIT_DATA_KEYS"),
            ("--toss-client-key", "test_ck_x", "TOSS_CLIENT_KEY is a test key but TOSS_SECRET_KEY is a live key"),
            ("--toss-api-url", "https://api.tosspayments.com.evil.example", "TOSS_API_URL"),
            ("--toss-api-url", "http://127.0.0.1:9090", "TOSS_API_URL"),
            ("--base-url", "http://tickets.example.org", "ADMIT_BASE_URL must be https"),
            ("--base-url", "https://tickets.example.org/shop", "ADMIT_BASE_URL must be http(s)://host[:port]"),
            ("--base-url", "https://tickets.example.org/", "ADMIT_BASE_URL must be http(s)://host[:port]"),
            ("--rate-limit-exempt", "127.0.0.0/8", "ADMIT_RATE_LIMIT_EXEMPT wants ADMIT_TRUSTED_PROXIES"),
            ("--admin-addresses", "192.0.2.0/24", "ADMIT_ADMIN_ADDRESSES wants ADMIT_TRUSTED_PROXIES"),
            ("--toss-webhook-addresses", "192.0.2.0/24", "TOSS_WEBHOOK_ADDRESSES wants ADMIT_TRUSTED_PROXIES"),
        ] {
            let Err(message) = with(name, value) else { panic!("{name}={value} was accepted") };
            assert!(message.contains(says), "{name}: {message}");
        }
    }
}
