//! The command line: settings are read and checked here, nowhere else.

mod doctor;
mod migrate;
pub mod seed_demo;
mod serve;
mod user;
mod work;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};

use crate::app::App;
use crate::catalogue::Catalogue;
use crate::config::{self, DatabaseSettings, Settings};
use crate::error::Error;
use crate::observability::pulse::BEAT;
use crate::platform::clock::Clock;
use crate::platform::pg;
use crate::waiting_room::room::Rooms;

#[derive(Parser)]
#[command(
    name = "admit",
    version,
    about = "Reservations for exhibitions on the day everybody comes at once",
    long_about = "Admit sells limited, dated exhibition tickets and lets each ticket in once.\n\n\
        A running installation is: nginx in front of several `admit serve`, at least one `admit work`, one Postgres \
        (the truth) and one Redis (the speed). Every setting is an environment variable, shown with its default and \
        unit by `admit serve --help`; secrets may come from files through NAME_FILE.\n\n\
        First time: `admit migrate`, then `admit user add`, then `admit doctor`, then serve and work."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Answers visitors, staff and webhooks over HTTP. Stateless: run as many as you like behind nginx.
    Serve(Box<Settings>),
    /// Runs the ticks: expiry, recovery, webhooks, refunds, outbox, audit. One is enough, several are fine.
    Work(Box<Settings>),
    /// Brings the database schema up to date. Safe to run from several places at once.
    Migrate(DatabaseSettings),
    /// Fills an empty installation with two exhibitions to play with, and makes demo accounts.
    SeedDemo(Box<seed_demo::Args>),
    /// Checks settings, database, Redis, clocks and the invariants, and says what is wrong.
    Doctor(Box<doctor::Args>),
    /// Makes and changes the accounts of admins and staff.
    User(Box<user::Args>),
}

pub fn main() -> ExitCode {
    if let Err(message) = config::secret_files_into_env() {
        eprintln!("admit: {message}");
        return ExitCode::FAILURE;
    }
    let cli = Cli::parse();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    if let Command::Serve(settings) | Command::Work(settings) = &cli.command
        && settings.threads > 0
    {
        runtime.worker_threads(settings.threads);
    }
    let runtime = match runtime.enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("admit: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        match cli.command {
            Command::Serve(settings) => serve::run(settings.check()?).await,
            Command::Work(settings) => work::run(settings.check()?).await,
            Command::Migrate(settings) => migrate::run(settings.check()?).await,
            Command::SeedDemo(args) => seed_demo::run(*args).await,
            Command::Doctor(args) => doctor::run(*args).await,
            Command::User(args) => user::run(*args).await,
        }
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("admit: {message}");
            ExitCode::FAILURE
        }
    }
}

/// What a command may fail with: a sentence for whoever typed it.
type Outcome = Result<(), String>;

fn said(error: Error) -> String {
    match &error.source {
        Some(source) => format!("{}: {source}", error.code),
        None => error.to_string(),
    }
}

/// The filter was checked with the other settings.
fn init_logs(filter: &str) {
    let filter = tracing_subscriber::EnvFilter::new(filter);
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(filter).with_target(false).init();
}

/// Builds the app and starts what every long-running process keeps up: the catalogue, the ticket keys, metrics, and
/// the stock writer, which is returned with its own stop since it ends last.
async fn start(settings: Settings) -> Result<(App, WriterTask), String> {
    let app = App::build(settings, Clock::System).map_err(said)?;
    wait_for_schema(&app).await?;
    app.keys.load(&app).await.map_err(said)?;
    if let Err(error) = app.catalogue.refresh(&app).await {
        tracing::warn!(%error, "starting without a catalogue");
    }
    if let Err(error) = app.rooms.refresh(&app).await {
        tracing::warn!(%error, "starting without a picture of the waiting rooms");
    }
    app.lifecycle.spawn(Catalogue::keep_fresh(app.clone()));
    app.lifecycle.spawn(Rooms::keep_fresh(app.clone()));
    app.lifecycle.spawn(every(app.clone(), Duration::from_secs(5), |app| async move {
        app.metrics.upkeep();
        app.metrics.writer_waiting(app.writer.waiting());
    }));
    app.lifecycle.spawn(every(app.clone(), BEAT, |app| async move {
        if let Err(error) = crate::dashboard::beat(&app).await {
            tracing::debug!(%error, "the others were not told how this process is doing");
        }
    }));
    app.lifecycle.spawn(every(app.clone(), Duration::from_secs(10), |app| async move {
        if let Err(error) = crate::dashboard::save(&app).await {
            tracing::warn!(%error, "counts stay here until they can be written down");
        }
    }));
    app.lifecycle.spawn(every(app.clone(), Duration::from_secs(60), |app| async move {
        if let Err(error) = app.keys.load(&app).await {
            tracing::warn!(%error, "ticket keys not refreshed");
        }
    }));
    let writer = WriterTask::start(&app);
    Ok((app, writer))
}

async fn every<F, Fut>(app: App, pause: Duration, act: F)
where
    F: Fn(App) -> Fut,
    Fut: Future<Output = ()>,
{
    let stopping = app.lifecycle.stopping();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(pause) => act(app.clone()).await,
        }
    }
}

/// Waits for the database and its schema for a while: in containers everything starts at once.
async fn wait_for_schema(app: &App) -> Result<(), String> {
    let mut last = String::new();
    for _ in 0..60 {
        match app.pg.get().await {
            Ok(client) => match pg::schema_is_current(&client).await {
                Ok(true) => return Ok(()),
                Ok(false) => last = "the schema is older than this binary: run `admit migrate`".into(),
                Err(error) => last = said(error),
            },
            Err(error) => last = format!("DATABASE_URL: {error}"),
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    Err(last)
}

/// The stock writer, outside the tracked tasks: it must outlive everybody who submits to it.
pub struct WriterTask {
    stop: tokio_util::sync::CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl WriterTask {
    #[expect(clippy::disallowed_methods, reason = "ends after the tracked tasks, so it cannot be one of them")]
    pub fn start(app: &App) -> WriterTask {
        let stop = tokio_util::sync::CancellationToken::new();
        let (app, stopping) = (app.clone(), stop.clone());
        let task = tokio::spawn(async move {
            // A writer that panics leaves its batch unknown, and everybody else a new writer.
            while tokio::spawn(crate::orders::writer::Writer::run(app.clone(), stopping.clone())).await.is_err() {
                tracing::error!("the stock writer panicked and was started again");
            }
        });
        WriterTask { stop, task }
    }

    pub async fn finish(self) {
        self.stop.cancel();
        let _ = self.task.await;
    }
}

/// Ends in order: tracked tasks, then the writer with what they queued, then what was counted of both, then Redis.
async fn stop(app: App, writer: WriterTask) {
    let patience = Duration::from_secs(app.settings.shutdown_s) / 2;
    if !app.lifecycle.finish(patience).await {
        tracing::warn!("some tasks did not end in time; recovery takes over");
    }
    writer.finish().await;
    if let Err(error) = crate::dashboard::end(&app).await {
        tracing::warn!(%error, "what was counted in the last seconds is lost");
    }
    app.redis.quit().await;
    tracing::info!("stopped");
}

/// The private port of a long-running process.
async fn private_port(app: &App) -> Outcome {
    let address = app.settings.private_listen;
    let listener = tokio::net::TcpListener::bind(address)
        .await
        .map_err(|e| format!("ADMIT_PRIVATE_LISTEN: cannot listen on {address}: {e}"))?;
    let routes = app.private_routes();
    let stopping = app.lifecycle.stopping();
    app.lifecycle.spawn(async move {
        let served = axum::serve(listener, routes).with_graceful_shutdown(async move { stopping.cancelled().await });
        if let Err(error) = served.await {
            tracing::error!(%error, "the private port ended");
        }
    });
    Ok(())
}
