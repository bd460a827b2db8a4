//! The command line, with a bound on everything: an instrument must not become an accident.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Open-loop load for Admit on this machine. Latency counts from the intended start of each request.
#[derive(Parser, Debug)]
#[command(version, about)]
pub struct Cli {
    #[command(flatten)]
    pub common: Common,
    #[command(subcommand)]
    pub scenario: Scenario,
}

#[derive(Args, Debug, Clone)]
pub struct Common {
    /// Where the demo runs: written by `./dev up`. Every address in it must be loopback.
    #[arg(long, global = true, default_value = ".run/demo.json")]
    pub demo: PathBuf,
    /// Arrivals per second (each scenario has its own default).
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub rate: Option<u32>,
    /// Measured seconds, after the warm-up.
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub seconds: Option<u32>,
    /// Seconds at the same rate that are not measured.
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(0..=60))]
    pub warmup: Option<u32>,
    /// Connections per pool at most; a request that finds none free waits, and its latency counts on.
    #[arg(long, global = true, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub connections: Option<u32>,
    /// Random (Poisson) arrivals instead of even ones.
    #[arg(long, global = true)]
    pub poisson: bool,
    /// Milliseconds until a call counts as a timeout, its wait for a connection included.
    #[arg(long, global = true, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(10..=60_000))]
    pub timeout_ms: u64,
    /// Write everything to this file as JSON too.
    #[arg(long, global = true)]
    pub json: Option<PathBuf>,
    /// The invariants swept after every run that writes.
    #[arg(long, global = true, default_value = "sql/invariants.sql")]
    pub invariants: PathBuf,
    /// Prefix of Admit's keys in Redis (ADMIT_REDIS_PREFIX).
    #[arg(long, global = true, default_value = "admit")]
    pub redis_prefix: String,
    /// Product to buy instead of the scenario's own choice.
    #[arg(long, global = true)]
    pub product_id: Option<String>,
}

#[derive(Subcommand, Debug, Clone)]
pub enum Scenario {
    /// Durable holds on one hot product.
    Holds,
    /// Search for the highest rate of holds that is sustained.
    HoldsMax(HoldsMax),
    /// Whole purchases: hold, initialize, pay at the simulator, confirm, tickets.
    Full(Full),
    /// The product list.
    Products(Products),
    /// Holds on bbb alone, then beside a flood on aaa.
    Fair(Fair),
    /// Everybody at once for the last places of one slot.
    LastPlaces(LastPlaces),
    /// Entrance scans beside a sale.
    Scans(Scans),
    /// Resident memory of each instance, now.
    Memory,
    /// New devices join a waiting room; no number may be given twice.
    Join(Join),
    /// Many wait and ask where they stand; what that costs Redis.
    Polls(Polls),
    /// The whole day in minutes: arrive, wait, be called, choose, pay, receive tickets, with things going wrong on the way.
    SaleDay(SaleDay),
    /// More than the machine can do: the safety net opens a room by itself, the brake holds the line back.
    Overload(Overload),
    /// What others keep a queue in, on the same Redis: LIST + LPOS and ZSET + ZRANK.
    Recipes(Recipes),
    /// Webhooks of paid orders: stored, answered, worked.
    Webhooks(Webhooks),
    /// The provider falls silent in the middle of a sale: how long until every payment is known once it is back.
    Recovery(Recovery),
    /// The live board with many who watch it: age of the pictures, cost.
    Board(Board),
}

#[derive(Args, Debug, Clone)]
pub struct HoldsMax {
    /// A step is broken when the p99 of successes is above this.
    #[arg(long, default_value_t = 50.0)]
    pub p99_limit_ms: f64,
    /// A step is broken when less than this share of the offered rate succeeded in time.
    #[arg(long, default_value_t = 0.98)]
    pub min_share: f64,
    /// Growth from step to step while nothing breaks.
    #[arg(long, default_value_t = 1.4)]
    pub growth: f64,
    /// Seconds the answer has to be sustained at the end.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u32).range(1..=300))]
    pub sustain: u32,
}

#[derive(Args, Debug, Clone)]
pub struct Full {
    /// Tickets per order.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10))]
    pub quantity: u32,
    /// Exhibition to buy from.
    #[arg(long, default_value = "aaa")]
    pub exhibition: String,
}

#[derive(Args, Debug, Clone)]
pub struct Products {
    /// Closed loop: as many as the server answers, with --connections visitors. Finds the ceiling, hides stalls.
    #[arg(long)]
    pub closed: bool,
    /// The exhibition's page instead of its product list.
    #[arg(long)]
    pub page: bool,
    /// Past nginx's memory: an instance makes each answer.
    #[arg(long)]
    pub uncached: bool,
    /// Exhibition to list.
    #[arg(long, default_value = "aaa")]
    pub exhibition: String,
}

#[derive(Args, Debug, Clone)]
pub struct Fair {
    /// Holds per second offered on aaa beside the visitors of bbb.
    #[arg(long, default_value_t = 8_000, value_parser = clap::value_parser!(u32).range(1..=200_000))]
    pub flood: u32,
    /// Connections of the flood.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub flood_connections: u32,
}

#[derive(Args, Debug, Clone)]
pub struct LastPlaces {
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub buyers: u32,
    /// The slot to race for.
    #[arg(long)]
    pub slot_id: Option<String>,
    /// Race for exactly this many places: the smallest slot with as many is bought down to them first.
    #[arg(long, value_parser = clap::value_parser!(i64).range(1..=100_000))]
    pub places: Option<i64>,
}

#[derive(Args, Debug, Clone)]
pub struct Scans {
    /// Holds per second offered beside the scans; 0 for none.
    #[arg(long, default_value_t = 4_000, value_parser = clap::value_parser!(u32).range(0..=200_000))]
    pub beside_holds: u32,
    /// Tickets per order when the tickets are bought beforehand; lowered if the server refuses.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub per_order: u32,
    /// Gates the scans are spread over.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub gates: u32,
}

#[derive(Args, Debug, Clone)]
pub struct Join {
    /// Closed loop: as many as the server takes, with --connections devices at once. Finds the ceiling, hides stalls.
    #[arg(long)]
    pub closed: bool,
    /// Exhibition whose room is joined: emptied, made as narrow as one person, and given back afterwards.
    #[arg(long, default_value = "bbb")]
    pub exhibition: String,
}

#[derive(Args, Debug, Clone)]
pub struct Polls {
    /// People who wait. They join over HTTP first: a million takes a minute or two.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=3_000_000))]
    pub waiting: u32,
    /// Closed loop: as many polls as the server answers, over --connections. Without it, --rate a second.
    #[arg(long)]
    pub closed: bool,
    /// Exhibition whose room is filled: emptied first, and given back afterwards.
    #[arg(long, default_value = "bbb")]
    pub exhibition: String,
}

#[derive(Args, Debug, Clone)]
pub struct SaleDay {
    /// Visitors, each arriving at a random instant within --seconds (60 unless told).
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub visitors: u32,
    /// Exhibition they want tickets of. Its room is emptied first, and given back afterwards.
    #[arg(long, default_value = "bbb")]
    pub exhibition: String,
    /// People inside at once.
    #[arg(long, default_value_t = 1_500, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub capacity: u32,
    /// People called a minute at most. Above the arrivals nobody waits, and the time told is hardly tested.
    #[arg(long, default_value_t = 12_000, value_parser = clap::value_parser!(u32).range(1..=6_000_000))]
    pub rate_per_min: u32,
    /// Time to claim after being called; those who blink are away for a little longer.
    #[arg(long, default_value_t = 45, value_parser = clap::value_parser!(u32).range(45..=600))]
    pub claim_window_s: u32,
    /// Visitors in a hundred who stop asking while they wait and never come back.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(0..=90))]
    pub abandon_pct: u32,
    /// Visitors in a hundred who are away while they are called, and come back.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=90))]
    pub blink_pct: u32,
    /// Seconds after the last arrival until whoever is not through counts as lost.
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u32).range(10..=1_800))]
    pub patience_s: u32,
    /// Repeats a run: the same arrivals, choices and absences. Drawn and printed unless told.
    #[arg(long)]
    pub seed: Option<u64>,
    /// SECOND:COMMAND, e.g. --at "20:kill -9 $PID": the shell runs it that long after the first arrivals. May be repeated.
    /// A command that fails fails the run, for it did not test what was asked.
    #[arg(long, value_name = "SECOND:COMMAND")]
    pub at: Vec<crate::scenarios::sale_day::At>,
}

#[derive(ValueEnum, Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Net,
    Brake,
    Both,
}

/// --rate and --seconds are those of the crowd before the brake; the rush before the net lasts as long.
#[derive(Args, Debug, Clone)]
pub struct Overload {
    /// What to try: the safety net, the brake, or one after the other.
    #[arg(long, value_enum, default_value_t = Part::Both)]
    pub part: Part,
    /// Exhibition whose room it is: emptied first, and given back afterwards.
    #[arg(long, default_value = "bbb")]
    pub exhibition: String,
    /// Net: arrivals a second that open the room. Below it, at six tenths, the room has to stay as it is.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(50..=5_000))]
    pub net_per_s: u32,
    /// Net: visitors a second in the rush.
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u32).range(50..=20_000))]
    pub rush_per_s: u32,
    /// Net: seconds the room has to be empty before it closes again.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(10..=300))]
    pub off_after_s: u32,
    /// Brake: it is to come on above this p99 of orders.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(50..=60_000))]
    pub brake_p99_ms: u32,
    /// Brake: people called a minute at most, far above what the machine serves.
    #[arg(long, default_value_t = 60_000, value_parser = clap::value_parser!(u32).range(600..=6_000_000))]
    pub rate_per_min: u32,
    /// Brake: holds a second on aaa beside the crowd, which no brake of this room can hold back; 0 for none.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    pub flood: u32,
    /// Brake: seconds it is watched after the last of the crowd has come.
    #[arg(long, default_value_t = 80, value_parser = clap::value_parser!(u32).range(5..=600))]
    pub rest_s: u32,
}

#[derive(Args, Debug, Clone)]
pub struct Recipes {
    /// Members of each structure.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=2_000_000))]
    pub waiting: u32,
    /// Commands sent in one go on each connection.
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub pipeline: u32,
}

#[derive(Args, Debug, Clone)]
pub struct Webhooks {
    /// Closed loop: as many as the server takes, over --connections. Finds the ceiling, hides stalls.
    #[arg(long)]
    pub closed: bool,
    /// Orders bought and paid beforehand, whose webhooks come.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub orders: u32,
}

/// --rate is that of the crowd that pays.
#[derive(Args, Debug, Clone)]
pub struct Recovery {
    /// Payments that end unknown.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    pub unknown: u32,
    /// The provider charges before it falls silent. Without it, it has charged nobody, and is asked again.
    #[arg(long)]
    pub after: bool,
}

#[derive(Args, Debug, Clone)]
pub struct Board {
    /// Streams that are open at once; 0 for what the machine uses without any.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    pub viewers: u32,
    /// Holds per second offered beside them; 0 for none.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=50_000))]
    pub beside_holds: u32,
    /// Exhibition whose board is watched.
    #[arg(long, default_value = "aaa")]
    pub exhibition: String,
}

impl Common {
    pub fn rate_or(&self, default: u32) -> f64 {
        f64::from(self.rate.unwrap_or(default))
    }

    pub fn seconds_or(&self, default: u32) -> f64 {
        f64::from(self.seconds.unwrap_or(default))
    }

    pub fn warmup_or(&self, default: u32) -> f64 {
        f64::from(self.warmup.unwrap_or(default))
    }

    pub fn connections_or(&self, default: u32) -> usize {
        self.connections.unwrap_or(default) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_before_or_after_the_scenario_and_are_bounded() {
        let read = |line: &str| Cli::try_parse_from(line.split(' '));
        let cli = read("loadtest --demo x.json holds --rate 8000 --seconds 30").unwrap();
        assert_eq!((cli.common.rate, cli.common.seconds), (Some(8_000), Some(30)));
        assert!(read("loadtest holds --seconds 601").is_err());
        assert!(read("loadtest holds --rate 0").is_err());
        assert!(read("loadtest last-places --buyers 100001").is_err());
        assert!(read("loadtest scans --beside-holds 0").is_ok());
        assert!(read("loadtest polls --waiting 1000000 --closed --seconds 20").is_ok());
        assert!(read("loadtest sale-day --at 20:true --at 35:false --claim-window-s 45").is_ok());
        assert!(read("loadtest sale-day --at soon:true").is_err());
        assert!(read("loadtest overload --part brake --rate 900 --seconds 15 --flood 4000").is_ok());
        assert!(read("loadtest overload --off-after-s 9").is_err());
    }
}
