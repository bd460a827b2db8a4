//! What others keep a queue in, on the same Redis as Admit's: the place of somebody by LIST + LPOS and by ZSET + ZRANK.
//! Asked of Redis directly and many at a time, which flatters them: Admit's `polls` are whole HTTP calls through nginx.

use std::sync::{Arc, Mutex};

use crate::Failure;
use crate::cli::{Common, Recipes};
use crate::context::Context;
use crate::cpu;
use crate::demo::{self, RedisTarget};
use crate::engine::{self, Window};
use crate::redis::{Commands, Redis};
use crate::report::{Arrivals, Phase, Report};
use crate::tally::{Outcome, Times};

const SECONDS: u32 = 10;
const WARMUP: u32 = 1;
const CONNECTIONS: u32 = 4;
/// Members written in one go.
const FILL_BATCH: usize = 500;

struct Recipe {
    name: &'static str,
    /// The commands that add a member and ask for its place.
    add: fn(&mut Commands, &str, usize, &str),
    ask: &'static str,
}

const RECIPES: [Recipe; 2] = [
    Recipe { name: "LIST + LPOS", add: |commands, key, _, member| commands.add(&["RPUSH", key, member]), ask: "LPOS" },
    Recipe {
        name: "ZSET + ZRANK",
        add: |commands, key, at, member| commands.add(&["ZADD", key, &at.to_string(), member]),
        ask: "ZRANK",
    },
];

pub async fn run(common: Common, options: Recipes) -> Result<Report, Failure> {
    let mut context = Context::open(common, false).await?;
    let target = demo::redis(&context.demo.redis_url)?;
    let run: u64 = rand::random();
    context.notes.push(format!(
        "{} members of 36 characters, a random one asked for, {} commands in one go on each of {} connections; \
         one row below is such a batch",
        options.waiting,
        options.pipeline,
        context.options.connections_or(CONNECTIONS)
    ));
    for recipe in &RECIPES {
        let key = format!("loadtest:recipes:{run:016x}:{}", recipe.ask);
        let measured = measure(&mut context, &options, &target, recipe, &key).await;
        // Whatever became of it, nothing of ours stays.
        let removed = Redis::connect(&target).await?.remove(&key).await;
        measured?;
        removed?;
    }
    context.require_winners();
    Ok(context.close("recipes").await)
}

/// As long as the session ids that such queues hold.
fn member(at: usize) -> String {
    let scattered = (at as u128).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835);
    let hex = format!("{scattered:032x}");
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

async fn measure(
    context: &mut Context,
    options: &Recipes,
    target: &RedisTarget,
    recipe: &Recipe,
    key: &str,
) -> Result<(), Failure> {
    let count = options.waiting as usize;
    let mut redis = Redis::connect(target).await?;
    let mut commands = Commands::default();
    for from in (0..count).step_by(FILL_BATCH) {
        commands.clear();
        (from..count.min(from + FILL_BATCH)).for_each(|at| (recipe.add)(&mut commands, key, at, &member(at)));
        redis.pipelined(&commands).await?;
    }
    let bytes = redis.key_bytes(key).await? / count as f64;

    let workers = context.options.connections_or(CONNECTIONS);
    let mut connections = Vec::new();
    for _ in 0..workers {
        connections.push(Redis::connect(target).await?);
    }
    let asked = Asked { key: key.to_owned(), ask: recipe.ask, count, depth: options.pipeline as usize };
    let visit = visits(asked, connections);
    let common = &context.options;
    let window = Window::soon(common.warmup_or(WARMUP), common.seconds_or(SECONDS));
    eprintln!("{}: {count} members, {workers} connections", recipe.name);
    let (recorder, cpu) = tokio::join!(engine::closed_loop(window, workers, visit), cpu::over(window));
    let mut phase = Phase::new(recipe.name, Arrivals::Closed, &recorder, &Times::new());
    phase.cpu = cpu;

    let per_s = phase.succeeded_per_s * f64::from(options.pipeline);
    context.figure(format!("{}: polls a second at {count} waiting", recipe.name), per_s, "/s");
    context.figure(format!("{}: Redis memory for each who waits", recipe.name), bytes, "bytes");
    let failed = phase.tally.failures();
    context.require(&format!("{} finds everybody", recipe.name), failed == 0, format!("{failed} batches did not"));
    context.phases.push(phase);
    Ok(())
}

struct Asked {
    key: String,
    ask: &'static str,
    count: usize,
    depth: usize,
}

fn visits(
    asked: Asked,
    connections: Vec<Redis>,
) -> impl Fn() -> std::pin::Pin<Box<dyn Future<Output = Outcome> + Send>> + Clone + Send {
    let (asked, idle) = (Arc::new(asked), Arc::new(Mutex::new(connections)));
    move || {
        let (asked, idle) = (Arc::clone(&asked), Arc::clone(&idle));
        Box::pin(async move {
            // A connection that failed is not put back.
            let taken = idle.lock().ok().and_then(|mut idle| idle.pop());
            let Some(mut redis) = taken else { return Outcome::Transport("no connection to Redis is left".into()) };
            let mut commands = Commands::default();
            for _ in 0..asked.depth {
                commands.add(&[asked.ask, &asked.key, &member(rand::random_range(0..asked.count))]);
            }
            match redis.pipelined(&commands).await {
                Ok(found) => {
                    if let Ok(mut idle) = idle.lock() {
                        idle.push(redis);
                    }
                    if found == asked.depth { Outcome::Success } else { Outcome::Refused("not in line".into()) }
                }
                Err(why) => Outcome::Transport(why),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_as_long_as_session_ids_and_all_different() {
        let mut all: Vec<String> = (0..10_000).map(member).collect();
        assert!(all.iter().all(|one| one.len() == 36));
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 10_000);
    }
}
