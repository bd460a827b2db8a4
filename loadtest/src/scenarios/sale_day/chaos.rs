//! Things that go wrong on purpose, at their second. What they are is the caller's business.

use std::process::Stdio;
use std::str::FromStr;
use std::time::{Duration, Instant};

/// No command may hold up the report for longer.
const COMMAND_MAX: Duration = Duration::from_secs(120);

/// `--at SECOND:COMMAND`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At {
    pub second: u32,
    pub command: String,
}

impl FromStr for At {
    type Err = String;

    fn from_str(text: &str) -> Result<At, String> {
        let (second, command) = text.split_once(':').ok_or("SECOND:COMMAND is wanted, e.g. 20:true")?;
        let second = second.trim().parse().map_err(|_| format!("{second:?} is not a second"))?;
        match command.trim() {
            "" => Err("a command is wanted after the colon".into()),
            command => Ok(At { second, command: command.to_owned() }),
        }
    }
}

/// What became of it.
pub struct Done {
    pub at: At,
    pub succeeded: bool,
    pub what: String,
}

/// Runs the command when its second has come. Its output goes to our standard error, and nothing of it keeps us waiting.
pub async fn run(at: At, start: Instant) -> Done {
    tokio::time::sleep_until((start + Duration::from_secs(u64::from(at.second))).into()).await;
    eprintln!("at {} s: {}", at.second, at.command);
    let begun = Instant::now();
    let mut shell = tokio::process::Command::new("sh");
    shell.arg("-c").arg(&at.command).stdin(Stdio::null()).stdout(Stdio::null());
    let ended = tokio::time::timeout(COMMAND_MAX, shell.status()).await;
    let (succeeded, what) = match ended {
        Ok(Ok(status)) => (status.success(), status.to_string()),
        Ok(Err(error)) => (false, error.to_string()),
        Err(_) => (false, format!("still at it after {} s", COMMAND_MAX.as_secs())),
    };
    Done { at, succeeded, what: format!("{what} after {:.1} s", begun.elapsed().as_secs_f64()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_and_a_command_are_read() {
        let at: At = "20:kill -9 $(cut -d: -f1 x)".parse().unwrap();
        assert_eq!(at, At { second: 20, command: "kill -9 $(cut -d: -f1 x)".into() });
        for wrong in ["20", "20:", "20: ", "x:true", "-1:true", ":true"] {
            assert!(wrong.parse::<At>().is_err(), "{wrong}");
        }
    }

    #[tokio::test]
    async fn how_a_command_ended_is_told() {
        let now = Instant::now();
        assert!(run(At { second: 0, command: "true".into() }, now).await.succeeded);
        let failed = run(At { second: 0, command: "exit 3".into() }, now).await;
        assert!(!failed.succeeded && failed.what.contains('3'), "{}", failed.what);
    }
}
