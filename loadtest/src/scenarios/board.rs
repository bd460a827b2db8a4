//! The live board with so many watching: how old is what they see, what does it cost.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

use crate::Failure;
use crate::catalogue;
use crate::cli::{Board, Common};
use crate::context::Context;
use crate::cpu;
use crate::demo::{self, Target};
use crate::engine::Window;
use crate::login::log_in;
use crate::report::Report;
use crate::scenarios::holds::{CONNECTIONS, enough, hold_phase};
use crate::tally::Times;

const SECONDS: u32 = 20;
const WARMUP: u32 = 3;
/// From the issue: what is on the board is never older.
const AGE_TARGET_MS: f64 = 1_000.0;

pub async fn run(common: Common, options: Board) -> Result<Report, Failure> {
    let (seconds, warmup) = (common.seconds_or(SECONDS), common.warmup_or(WARMUP));
    let mut context = Context::open(common, options.beside_holds > 0).await?;
    let owner = context.demo.accounts.super_admin.clone().ok_or("the demo file names no super_admin")?;
    let shop = context.shop(context.options.connections_or(CONNECTIONS))?;
    let token = log_in(&shop.site, &owner).await?;
    let target = demo::http(&context.demo.base_url)?;
    let window = Window::soon(warmup, seconds);
    let seen = Arc::new(Mutex::new(Seen::default()));
    let viewers: Vec<_> = (0..options.viewers)
        .map(|_| {
            let (target, token, code) = (target.clone(), token.clone(), options.exhibition.clone());
            tokio::spawn(watch(target, token, code, window, Arc::clone(&seen)))
        })
        .collect();
    if options.beside_holds == 0 {
        for one in cpu::over(window).await {
            context.figure(format!("CPU of the machine, {}", one.name), one.percent_of_machine, "%");
        }
    } else {
        let (choice, rate) = (catalogue::hot(&shop.site, "aaa", None).await?, f64::from(options.beside_holds));
        enough(&choice, rate * (seconds + warmup))?;
        let phase = hold_phase(&context, "holds beside", &shop, &choice, window, rate).await;
        context.phases.push(phase);
    }
    let mut lost = Vec::new();
    for viewer in viewers {
        lost.extend(viewer.await.map_err(|error| error.to_string())?.err());
    }
    context.require("everybody sees the board", lost.is_empty(), lost.join("; "));
    told(&mut context, &seen.lock().unwrap_or_else(PoisonError::into_inner), f64::from(options.viewers) * seconds);
    Ok(context.close("board").await)
}

#[derive(Default)]
struct Seen {
    pictures: u64,
    bytes: u64,
    /// Of the oldest thing on a screen, when it is replaced.
    ages: Times,
}

/// What is measured of a picture.
#[derive(Deserialize)]
struct Picture {
    at: i64,
    heard_age_ms: i64,
    stocks_age_ms: i64,
    instances: Vec<Instance>,
}

#[derive(Deserialize)]
struct Instance {
    age_ms: i64,
}

impl Picture {
    /// The instant of the oldest thing on it [Unix ms].
    fn oldest(&self) -> i64 {
        let pulse = self.instances.iter().map(|one| one.age_ms).max().unwrap_or(self.heard_age_ms);
        self.at - pulse.max(self.stocks_age_ms)
    }
}

/// HTTP/1.0: the stream comes as it is, not in chunks.
async fn watch(
    target: Target,
    token: String,
    code: String,
    window: Window,
    seen: Arc<Mutex<Seen>>,
) -> Result<(), Failure> {
    let said = |error: std::io::Error| error.to_string();
    let mut stream = TcpStream::connect(target.addr).await.map_err(said)?;
    let ask = format!(
        "GET /api/admin/exhibitions/{code}/live HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {token}\r\n\r\n",
        target.authority
    );
    stream.write_all(ask.as_bytes()).await.map_err(said)?;
    let mut lines = BufReader::new(stream).lines();
    let status = lines.next_line().await.map_err(said)?.unwrap_or_default();
    if !status.contains(" 200 ") {
        return Err(status);
    }
    let mut before: Option<Picture> = None;
    loop {
        let line = match tokio::time::timeout_at(window.end().into(), lines.next_line()).await {
            Err(_) => return Ok(()),
            Ok(line) => line.map_err(said)?.ok_or("the stream ended")?,
        };
        let Some(json) = line.strip_prefix("data: ") else { continue };
        let now_ms = jiff::Timestamp::now().as_millisecond();
        let picture: Picture = serde_json::from_str(json).map_err(|error| error.to_string())?;
        let replaced = before.replace(picture);
        let (Some(replaced), true) = (replaced, Instant::now() >= window.measured_from()) else { continue };
        let age = now_ms - replaced.oldest();
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.pictures += 1;
        seen.bytes += line.len() as u64;
        seen.ages.record(Duration::from_millis(u64::try_from(age).unwrap_or(0)));
    }
}

fn told(context: &mut Context, seen: &Seen, viewer_seconds: f64) {
    if seen.pictures == 0 {
        return;
    }
    let ages = seen.ages.quantiles();
    context.figure("pictures a viewer gets", seen.pictures as f64 / viewer_seconds, "/s");
    context.figure("bytes of a picture", seen.bytes as f64 / seen.pictures as f64, "");
    context.figure("oldest on a screen just before the next, p50", ages.p50_ms, "ms");
    context.figure("oldest on a screen just before the next, p99", ages.p99_ms, "ms");
    context.figure("oldest on a screen just before the next, most", ages.max_ms, "ms");
    let detail = format!("{} ms at most, target {AGE_TARGET_MS} ms", ages.max_ms);
    context.target("what is on a screen is fresh", ages.max_ms <= AGE_TARGET_MS, detail);
}
