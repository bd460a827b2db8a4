//! What the figures were made on.

use std::fs;
use std::process::Command;

use serde::Serialize;

#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    pub cores: u32,
    pub cpu: String,
    pub memory_mb: u64,
    pub kernel: String,
    pub commit: String,
    /// The working tree differs from the commit.
    pub modified: bool,
    /// A figure from an unoptimised generator is not worth publishing.
    pub optimised: bool,
}

impl Machine {
    pub fn read() -> Machine {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let field = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory_kb = field(&meminfo, "MemTotal").and_then(|text| text.split(' ').next()?.parse::<u64>().ok());
        Machine {
            cores: crate::cpu::cores() as u32,
            cpu: field(&cpuinfo, "model name").unwrap_or_else(|| "unknown".into()),
            memory_mb: memory_kb.unwrap_or(0) / 1024,
            kernel: fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned(),
            commit: git(&["rev-parse", "--verify", "-q", "HEAD"]).unwrap_or_else(|| "unknown".into()),
            modified: git(&["status", "--porcelain"]).is_some(),
            optimised: !cfg!(debug_assertions),
        }
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}

/// Open files this process may have; connections above it would fail as if the server had refused.
pub fn files_max() -> usize {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    line.and_then(|line| line.split_ascii_whitespace().nth(3)?.parse().ok()).unwrap_or(usize::MAX)
}
