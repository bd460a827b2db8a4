//! `admit doctor`: one line per check, and a failing exit when one fails.

use super::Outcome;
use crate::app::App;
use crate::config::Settings;
use crate::platform::clock::Clock;
use crate::platform::invariants;

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Also run every invariant over the whole database (seconds to minutes).
    #[arg(long)]
    sweep: bool,
}

pub async fn run(args: Args) -> Outcome {
    let app = App::build(args.settings.check()?, Clock::System).map_err(super::said)?;
    println!("ok    settings");
    if app.settings.trusted_proxies.is_empty() {
        println!("note  ADMIT_TRUSTED_PROXIES is empty: behind a proxy every caller would look like the proxy");
    }
    let mut failed = 0;
    let mut line = |what: &str, outcome: Result<String, String>| match outcome {
        Ok(note) => println!("ok    {what} {note}"),
        Err(why) => {
            failed += 1;
            println!("FAIL  {what}: {why}");
        }
    };
    line("postgres", postgres(&app).await);
    line("redis", redis(&app).await);
    line("ticket keys", app.keys.load(&app).await.map(|()| String::new()).map_err(super::said));
    if args.sweep {
        let found = invariants::sweep(&app.settings.database.database_url).await;
        line(
            "invariants",
            found.map_err(super::said).and_then(|violations| match violations.as_slice() {
                [] => Ok("none broken".to_owned()),
                broken => Err(broken.join("; ")),
            }),
        );
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} checks failed")) }
}

async fn postgres(app: &App) -> Result<String, String> {
    let client = app.pg.get().await.map_err(|e| format!("DATABASE_URL: {e}"))?;
    match crate::platform::pg::schema_is_current(&client).await.map_err(super::said)? {
        true => Ok("reachable, schema up to date".into()),
        false => Err("the schema is older than this binary: run `admit migrate`".into()),
    }
}

async fn redis(app: &App) -> Result<String, String> {
    let offset = app.redis.time_ms().await.map_err(super::said)? - app.clock.now_ms();
    if offset.abs() > crate::platform::http::health::CLOCK_OFFSET_MAX_MS {
        return Err(format!("its clock is {offset} ms from ours"));
    }
    Ok(format!("reachable, clock offset {offset} ms"))
}
