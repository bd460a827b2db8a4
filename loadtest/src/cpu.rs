//! Who used the cores while we measured, read from /proc before and after.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde::Serialize;

use crate::engine::Window;

/// Linux has reported process times in hundredths of a second on every platform since 2.6.
const TICKS_PER_S: f64 = 100.0;
const OWN: &str = "loadtest (this generator)";
const OTHER: &str = "other processes";
const IDLE: &str = "idle, and interrupts";
/// The parts of the system; whatever else runs is shown as one line.
const NAMES: [&str; 5] = ["admit", "nginx", "postgres", "redis-server", "toss-simulator"];

#[derive(Debug, Clone, Serialize)]
pub struct Use {
    pub name: String,
    pub cpu_seconds: f64,
    /// 100 is every core of the machine busy.
    pub percent_of_machine: f64,
}

pub struct Sample {
    at: Instant,
    /// By name and process id; what is not part of the system has an empty name.
    ticks: BTreeMap<(String, u32), u64>,
    own: u64,
}

impl Sample {
    pub fn take() -> Sample {
        let own_pid = std::process::id();
        let mut sample = Sample { at: Instant::now(), ticks: BTreeMap::new(), own: 0 };
        for pid in pids() {
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok();
            let Some((name, ticks)) = stat.and_then(|stat| parse(&stat)) else {
                continue;
            };
            if pid == own_pid {
                sample.own = ticks;
                continue;
            }
            let known = NAMES.contains(&name.as_str());
            let name = if known { role(pid, name) } else { String::new() };
            sample.ticks.insert((name, pid), ticks);
        }
        sample
    }

    /// Uses since `before`. Taken from the processes themselves: the machine's own totals are sampled
    /// at ticks, and miss work that comes in short pieces. What ended in between counts as idle.
    pub fn since(&self, before: &Sample) -> Vec<Use> {
        let wall_ticks = (self.at.duration_since(before.at).as_secs_f64() * TICKS_PER_S).max(1.0);
        let machine_ticks = wall_ticks * cores();
        let mut by_name: BTreeMap<&str, f64> = BTreeMap::new();
        by_name.insert(OWN, self.own.saturating_sub(before.own) as f64);
        for ((name, pid), ticks) in &self.ticks {
            // A process that is new since then has done all its work in between.
            let earlier = before.ticks.get(&(name.clone(), *pid)).copied().unwrap_or(0);
            let name = if name.is_empty() { OTHER } else { name.as_str() };
            *by_name.entry(name).or_default() += ticks.saturating_sub(earlier) as f64;
        }
        let busy: f64 = by_name.values().sum();
        let rest = by_name.remove(OTHER).map(|ticks| (OTHER, ticks));
        let idle = (IDLE, (machine_ticks - busy).max(0.0));
        by_name
            .into_iter()
            .chain(rest)
            .chain([idle])
            .map(|(name, ticks)| Use {
                name: name.to_owned(),
                cpu_seconds: (ticks / TICKS_PER_S * 100.0).round() / 100.0,
                percent_of_machine: (ticks * 1000.0 / machine_ticks).round() / 10.0,
            })
            .collect()
    }
}

/// Measures exactly the window. The reading runs beside the runtime: it takes milliseconds, which
/// would show up as lateness.
pub async fn over(window: Window) -> Vec<Use> {
    tokio::time::sleep_until(window.measured_from().into()).await;
    let before = sample().await;
    tokio::time::sleep_until(window.end().into()).await;
    let after = sample().await;
    between(before, after)
}

pub async fn sample() -> Option<Sample> {
    tokio::task::spawn_blocking(Sample::take).await.ok()
}

pub fn between(before: Option<Sample>, after: Option<Sample>) -> Vec<Use> {
    before.zip(after).map(|(before, after)| after.since(&before)).unwrap_or_default()
}

fn pids() -> Vec<u32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// Tells `admit serve` from `admit work`; other programs go by their name.
fn role(pid: u32, name: String) -> String {
    if name != "admit" {
        return name;
    }
    let command = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let verb = command.split(|byte| *byte == 0).find_map(|word| match word {
        b"serve" => Some("admit serve"),
        b"work" => Some("admit work"),
        _ => None,
    });
    verb.map_or(name, str::to_owned)
}

/// Name and user plus system time of one line of /proc/*/stat; a name may hold spaces and brackets.
fn parse(stat: &str) -> Option<(String, u64)> {
    let (open, close) = (stat.find('(')?, stat.rfind(')')?);
    let name = stat.get(open + 1..close)?.to_owned();
    let mut fields = stat.get(close + 1..)?.split_ascii_whitespace().skip(11);
    let (user, system): (u64, u64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((name, user + system))
}

pub fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_is_read() {
        let stat = "42 (a b) c) S 1 42 42 0 -1 4194560 100 0 0 0 120 30 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse(stat), Some(("a b) c".into(), 150)));
        assert_eq!(parse("nonsense"), None);
    }

    #[test]
    fn work_of_this_process_is_seen() {
        let before = Sample::take();
        let begun = std::time::Instant::now();
        let mut sum = 0_u64;
        while begun.elapsed().as_millis() < 120 {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let uses = Sample::take().since(&before);
        let own = uses.iter().find(|one| one.name.starts_with("loadtest")).unwrap();
        assert!(own.cpu_seconds > 0.05, "{uses:?}");
    }
}
