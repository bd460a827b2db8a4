//! The simulator as a program: settings from flags or the environment, one line when it is ready.

use clap::Parser;
use simulator_common::serve::asked_to_stop;
use std::net::SocketAddr;
use std::process::ExitCode;
use stripe_simulator::{Options, Settings, start};

/// A local stand-in for Stripe. Controls live under /_sim/; see simulators/README.md.
#[derive(Parser)]
#[command(name = "stripe-simulator", version)]
struct Flags {
    /// Address to listen on
    #[arg(long, env = "STRIPE_SIM_LISTEN", default_value = "127.0.0.1:9091")]
    listen: SocketAddr,
    /// Origin under which browsers reach it, if not the listening address
    #[arg(long, env = "STRIPE_SIM_PUBLIC_URL")]
    public_url: Option<String>,
    /// Where webhooks go; without it none are sent
    #[arg(long, env = "STRIPE_SIM_WEBHOOK_URL")]
    webhook_url: Option<String>,
    /// Milliseconds the company takes for every call (50 in benchmarks)
    #[arg(long, env = "STRIPE_SIM_LATENCY_MS", default_value_t = 0)]
    latency_ms: u64,
    /// Simulated seconds per real second, for deadlines and webhook retries
    #[arg(long, env = "STRIPE_SIM_TIME_SCALE", default_value_t = 1.0)]
    time_scale: f64,
    /// Calls per second; 0 is no limit (Stripe's test mode has 25)
    #[arg(long, env = "STRIPE_SIM_RATE_LIMIT_PER_S", default_value_t = 0)]
    rate_limit_per_s: u32,
    /// Key of the browser
    #[arg(long, env = "STRIPE_PUBLISHABLE_KEY", default_value = "pk_test_DEMO000000000000000000")]
    publishable_key: String,
    /// Key of the server
    #[arg(long, env = "STRIPE_SECRET_KEY", default_value = "sk_test_DEMO000000000000000000", hide_env_values = true)]
    secret_key: String,
    /// What webhooks are signed with
    #[arg(
        long,
        env = "STRIPE_WEBHOOK_SECRET",
        default_value = "whsec_DEMO000000000000000000000000",
        hide_env_values = true
    )]
    webhook_secret: String,
}

impl From<Flags> for Settings {
    fn from(flags: Flags) -> Self {
        Self {
            listen: flags.listen,
            public_url: flags.public_url,
            webhook_url: flags.webhook_url,
            publishable_key: flags.publishable_key,
            secret_key: flags.secret_key,
            webhook_secret: flags.webhook_secret,
            time_scale: flags.time_scale,
            options: Options {
                latency_ms: flags.latency_ms,
                rate_limit_per_s: flags.rate_limit_per_s,
                ..Options::default()
            },
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
            println!("stripe-simulator ready on {} (script at /v3/, controls at /_sim/)", running.base_url());
            asked_to_stop().await;
            running.shutdown().await;
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("stripe-simulator cannot start on {listen}: {error}");
            ExitCode::FAILURE
        }
    }
}
