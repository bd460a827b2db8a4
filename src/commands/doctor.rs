//! `admit doctor`: one line per check, and a failing exit when one fails.

use super::Outcome;
use crate::app::App;
use crate::config::Settings;
use crate::platform::clock::Clock;
use crate::platform::invariants;
use crate::waiting_room::{draw, token};

#[derive(clap::Args)]
pub struct Args {
    #[command(flatten)]
    settings: Settings,
    /// Also run every invariant over the whole database (seconds to minutes).
    #[arg(long)]
    sweep: bool,
    /// Also draw the order of so many people, as a waiting room does, and say how long it takes on this machine.
    #[arg(long, value_name = "PEOPLE", value_parser = clap::value_parser!(u32).range(1..=20_000_000))]
    draw: Option<u32>,
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
    if let Some(people) = args.draw {
        line("draw", Ok(draw_of(&app, people)));
    }
    if failed == 0 { Ok(()) } else { Err(format!("{failed} checks failed")) }
}

/// The two parts of a draw: closing the cohort by its leader, and the order by every instance.
fn draw_of(app: &App, people: u32) -> String {
    let began = std::time::Instant::now();
    let mut tree = draw::Tree::default();
    for number in 1..=people {
        let salt = token::salt(&app.secrets, "doctor", 1, number);
        tree.push(draw::leaf("doctor", number, &draw::account_digest(number, &salt)));
    }
    let root = tree.root();
    let closed = began.elapsed();
    let began = std::time::Instant::now();
    let last = draw::RankTable::draw(&root, people).rank_of(people);
    let drawn = began.elapsed();
    format!("of {people}: cohort closed in {closed:.2?}, order drawn in {drawn:.2?} (the last has rank {last})")
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
