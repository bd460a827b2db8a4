//! The simulator as a program: settings from flags or the environment, one line when it is ready.

use clap::Parser;
use simulator_common::serve::asked_to_stop;
use std::net::SocketAddr;
use std::process::ExitCode;
use toss_simulator::{Options, Settings, start};

/// A local stand-in for Toss Payments. Controls live under /_sim/; see simulators/README.md.
#[derive(Parser)]
#[command(name = "toss-simulator", version)]
struct Flags {
    /// Address to listen on
    #[arg(long, env = "TOSS_SIM_LISTEN", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Origin under which browsers reach it, if not the listening address
    #[arg(long, env = "TOSS_SIM_PUBLIC_URL")]
    public_url: Option<String>,
    /// Where webhooks go; without it none are sent
    #[arg(long, env = "TOSS_SIM_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// Milliseconds the bank takes for every call (50 in benchmarks)
    #[arg(long, env = "TOSS_SIM_LATENCY_MS", default_value_t = 0)]
    latency_ms: u64,
    /// Simulated seconds per real second, for deadlines and webhook retries
    #[arg(long, env = "TOSS_SIM_TIME_SCALE", default_value_t = 1.0)]
    time_scale: f64,
    /// Calls per minute and API; 0 is no limit (Toss's test environment has 100)
    #[arg(long, env = "TOSS_SIM_RATE_LIMIT_PER_MIN", default_value_t = 0)]
    rate_limit_per_min: u32,
    /// Client key of the payment window
    #[arg(long, env = "TOSS_CLIENT_KEY", default_value = "test_ck_DEMO000000000000000000")]
    client_key: String,
    /// Secret key of the payment window
    #[arg(long, env = "TOSS_SECRET_KEY", default_value = "test_sk_DEMO000000000000000000", hide_env_values = true)]
    secret_key: String,
    /// Client key of the payment widget
    #[arg(long, env = "TOSS_WIDGET_CLIENT_KEY", default_value = "test_gck_DEMO000000000000000000")]
    widget_client_key: String,
    /// Secret key of the payment widget
    #[arg(
        long,
        env = "TOSS_WIDGET_SECRET_KEY",
        default_value = "test_gsk_DEMO000000000000000000",
        hide_env_values = true
    )]
    widget_secret_key: String,
}

impl From<Flags> for Settings {
    fn from(flags: Flags) -> Self {
        Self {
            listen: flags.listen,
            public_url: flags.public_url,
            webhook_url: flags.webhook_url,
            client_key: flags.client_key,
            secret_key: flags.secret_key,
            widget_client_key: flags.widget_client_key,
            widget_secret_key: flags.widget_secret_key,
            latency_ms: flags.latency_ms,
            time_scale: flags.time_scale,
            options: Options { rate_limit_per_min: flags.rate_limit_per_min, ..Options::default() },
            ..Self::default()
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let flags = Flags::parse();
    let listen = flags.listen;
    match start(flags.into()).await {
        Ok(running) => {
            println!("toss-simulator ready on {} (SDK at /v2/standard, controls at /_sim/)", running.base_url());
            asked_to_stop().await;
            running.shutdown().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("toss-simulator cannot start on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}
