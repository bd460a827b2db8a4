//! What a run says: a table for people, JSON for the record.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::cpu::Use;
use crate::machine::Machine;
use crate::memory::Resident;
use crate::sweep::Sweep;
use crate::tally::{Quantiles, Recorder, Tally, Times};

/// How the visitors came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Arrivals {
    /// On a schedule, so many a second, whatever is answered.
    Open(f64),
    /// Each as soon as it has its last answer.
    Closed,
    AtOnce,
}

#[derive(Debug, Clone, Serialize)]
pub struct Phase {
    pub name: String,
    pub arrivals: Arrivals,
    pub finished_per_s: f64,
    pub succeeded_per_s: f64,
    pub seconds: f64,
    pub success: Quantiles,
    pub all: Quantiles,
    pub lateness: Quantiles,
    pub connection_wait: Quantiles,
    pub steps: BTreeMap<&'static str, Quantiles>,
    pub tally: Tally,
    pub warmup_tally: Tally,
    pub connections_opened: u64,
    pub resent: u64,
    pub cpu: Vec<Use>,
}

impl Phase {
    pub fn new(name: &str, arrivals: Arrivals, recorder: &Recorder, waits: &Times) -> Phase {
        let seconds = recorder.seconds();
        let per_s = |count: u64| (count as f64 / seconds * 10.0).round() / 10.0;
        Phase {
            name: name.to_owned(),
            arrivals,
            finished_per_s: per_s(recorder.finished_in_window),
            succeeded_per_s: per_s(recorder.succeeded_in_window),
            seconds,
            success: recorder.success.quantiles(),
            all: recorder.all.quantiles(),
            lateness: recorder.lateness.quantiles(),
            connection_wait: waits.quantiles(),
            steps: BTreeMap::new(),
            tally: recorder.tally.clone(),
            warmup_tally: recorder.warmup.clone(),
            connections_opened: 0,
            resent: 0,
            cpu: Vec::new(),
        }
    }
}

/// One number that the run was made for and that no table above has.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figure {
    pub name: String,
    pub value: f64,
    pub unit: &'static str,
}

/// How something went in the course of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Course {
    pub name: String,
    pub columns: Vec<&'static str>,
    pub rows: Vec<Vec<f64>>,
}

/// A promise looked at after the run.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    pub name: String,
    pub kept: bool,
    /// A required one fails the run; the others are targets, and are only told.
    pub required: bool,
    pub detail: String,
}

#[derive(Debug, Serialize)]
pub struct Report {
    pub scenario: String,
    pub command: Vec<String>,
    pub started_at: String,
    pub machine: Machine,
    pub notes: Vec<String>,
    pub phases: Vec<Phase>,
    pub courses: Vec<Course>,
    pub figures: Vec<Figure>,
    pub memory_before: Vec<Resident>,
    pub memory_after: Vec<Resident>,
    pub sweep: Option<Sweep>,
    pub checks: Vec<Check>,
    pub passed: bool,
}

impl Report {
    pub fn table(&self) -> String {
        let mut out = String::new();
        let machine = &self.machine;
        let _ = writeln!(out, "\n{}  {}", self.scenario, self.started_at);
        let _ = writeln!(
            out,
            "machine: {} cores, {}, {} MB, Linux {}, commit {}{}{}",
            machine.cores,
            machine.cpu,
            machine.memory_mb,
            machine.kernel,
            machine.commit.get(..12).unwrap_or(&machine.commit),
            if machine.modified { " (modified)" } else { "" },
            if machine.optimised { "" } else { "  ! generator built without optimisation" },
        );
        for note in &self.notes {
            let _ = writeln!(out, "note: {note}");
        }
        self.phases.iter().for_each(|phase| phase.table(&mut out));
        self.courses.iter().for_each(|course| course_table(&mut out, course));
        figure_table(&mut out, &self.figures);
        memory_table(&mut out, &self.memory_before, &self.memory_after);
        if let Some(sweep) = &self.sweep {
            sweep_table(&mut out, sweep);
        }
        let _ = writeln!(out);
        for check in &self.checks {
            let mark = match (check.kept, check.required) {
                (true, _) => "ok    ",
                (false, true) => "FAILED",
                (false, false) => "missed",
            };
            let _ = writeln!(out, "  {mark} {}: {}", check.name, check.detail);
        }
        let _ = writeln!(out, "{}", if self.passed { "PASSED" } else { "FAILED" });
        out
    }
}

impl Phase {
    fn table(&self, out: &mut String) {
        let offered = match self.arrivals {
            Arrivals::Open(rate) => format!("open loop, {rate:.0}/s offered"),
            Arrivals::Closed => "closed loop (latency hides stalls)".to_owned(),
            Arrivals::AtOnce => format!("{} at once", self.tally.total()),
        };
        let _ = writeln!(
            out,
            "\n{}: {offered}, {:.0}/s succeeded, {:.0}/s answered, over {:.1} s",
            self.name, self.succeeded_per_s, self.finished_per_s, self.seconds
        );
        let _ = writeln!(
            out,
            "  {:<28}{:>9}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}{:>10}",
            "ms", "count", "mean", "p50", "p90", "p95", "p99", "p99.9", "max"
        );
        row(out, "success", &self.success);
        if self.all.count != self.success.count {
            row(out, "all answers", &self.all);
        }
        for (name, times) in &self.steps {
            row(out, name, times);
        }
        if self.arrivals != Arrivals::Closed {
            row(out, "generator started late by", &self.lateness);
        }
        row(out, "waited for a connection", &self.connection_wait);
        tally_lines(out, &self.tally);
        if self.warmup_tally.failures() > 0 {
            let _ = write!(out, "  in the warm-up:\n  ");
            tally_lines(out, &self.warmup_tally);
        }
        let _ = writeln!(out, "  connections opened {}, requests sent again {}", self.connections_opened, self.resent);
        if !self.cpu.is_empty() {
            let _ = writeln!(out, "  {:<28}{:>9}{:>12}", "cpu", "seconds", "% machine");
        }
        for one in &self.cpu {
            let _ = writeln!(out, "  {:<28}{:>9.2}{:>12.1}", one.name, one.cpu_seconds, one.percent_of_machine);
        }
    }
}

fn row(out: &mut String, name: &str, times: &Quantiles) {
    let Quantiles { count, mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms } = times;
    let _ = write!(out, "  {name:<28}{count:>9}");
    for ms in [mean_ms, p50_ms, p90_ms, p95_ms, p99_ms, p999_ms, max_ms] {
        let _ = write!(out, "{ms:>10.2}");
    }
    let _ = writeln!(out);
}

fn tally_lines(out: &mut String, tally: &Tally) {
    let _ = writeln!(
        out,
        "  success {}  sold out {}  refused {}  5xx {}  transport {}  timeout {}  overrun {}",
        tally.success,
        tally.sold_out,
        tally.refused.values().sum::<u64>(),
        tally.server_error_count(),
        tally.transport_errors.values().sum::<u64>(),
        tally.timeouts,
        tally.overruns
    );
    if tally.left > 0 {
        let _ = writeln!(out, "    {:>9}  left on purpose", tally.left);
    }
    for (code, count) in tally.refused.iter().chain(&tally.server_errors).chain(&tally.transport_errors) {
        let _ = writeln!(out, "    {count:>9}  {code}");
    }
}

fn course_table(out: &mut String, course: &Course) {
    let _ = writeln!(out, "\n{}", course.name);
    let columns: String = course.columns.iter().map(|column| format!("{column:>14}")).collect();
    let _ = writeln!(out, "  {columns}");
    for row in &course.rows {
        let row: String = row.iter().map(|value| format!("{:>14}", shown(*value))).collect();
        let _ = writeln!(out, "  {row}");
    }
}

/// Hundredths only where they say something.
fn shown(value: f64) -> String {
    if value.abs() >= 100.0 || value.fract() == 0.0 { format!("{value:.0}") } else { format!("{value:.2}") }
}

fn figure_table(out: &mut String, figures: &[Figure]) {
    if !figures.is_empty() {
        let _ = writeln!(out);
    }
    for Figure { name, value, unit } in figures {
        let _ = writeln!(out, "  {name:<58}{:>12} {unit}", shown(*value));
    }
}

fn memory_table(out: &mut String, before: &[Resident], after: &[Resident]) {
    for (at, resident) in after.iter().enumerate() {
        let shown = |one: Option<&Resident>| match one {
            Some(Resident { mb: Some(mb), .. }) => format!("{mb:.1} MB"),
            Some(Resident { why_not: Some(why), .. }) => why.clone(),
            _ => "not read".to_owned(),
        };
        let first = if at == 0 { "\n" } else { "" };
        let _ = writeln!(
            out,
            "{first}memory {}: {} before, {} after",
            resident.url,
            shown(before.get(at)),
            shown(Some(resident))
        );
    }
}

fn sweep_table(out: &mut String, sweep: &Sweep) {
    let kept = sweep.invariants.iter().filter(|verdict| verdict.kept()).count();
    let _ = writeln!(
        out,
        "\nsweep: {kept} of {} invariants kept (Postgres {}, Redis {})",
        sweep.invariants.len(),
        sweep.postgres,
        sweep.redis
    );
    for verdict in sweep.invariants.iter().filter(|verdict| !verdict.kept()) {
        let _ = writeln!(out, "  broken: {} ({} rows)", verdict.name, verdict.violations);
        for line in verdict.rows.iter().chain(&verdict.error) {
            let _ = writeln!(out, "    {line}");
        }
    }
    let agreement = match sweep.agreed_after_s {
        Some(seconds) => format!("agree on {} stocks after {seconds:.1} s", sweep.stocks),
        None => "were not seen to agree".to_owned(),
    };
    let _ = writeln!(out, "  Redis and Postgres {agreement}");
    for line in &sweep.disagreements {
        let _ = writeln!(out, "    {line}");
    }
}
