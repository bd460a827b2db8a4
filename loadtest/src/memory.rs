//! Resident memory of each process that serves metrics.

use std::time::Duration;

use serde::Serialize;

use crate::Failure;
use crate::demo::{self, Demo};
use crate::http::Client;

const METRIC: &str = "process_resident_memory_bytes";

#[derive(Debug, Clone, Serialize)]
pub struct Resident {
    pub url: String,
    pub mb: Option<f64>,
    pub why_not: Option<String>,
}

pub async fn read(demo: &Demo) -> Vec<Resident> {
    let mut all = Vec::new();
    for url in &demo.metrics_urls {
        let read = one(url).await;
        let (mb, why_not) = match read {
            Ok(bytes) => (Some((bytes / 104_857.6).round() / 10.0), None),
            Err(why) => (None, Some(why)),
        };
        all.push(Resident { url: url.clone(), mb, why_not });
    }
    all
}

async fn one(url: &str) -> Result<f64, Failure> {
    let target = demo::http(url)?;
    let client = Client::new(&target, 1, Duration::from_secs(5));
    let path = if target.path.is_empty() { "/metrics" } else { &target.path };
    let request = client.get(path, &[]);
    client
        .call(&request, |status, body| match status {
            200 => parse(&String::from_utf8_lossy(body)).ok_or(format!("no {METRIC} among the metrics")),
            _ => Err(format!("metrics answered {status}")),
        })
        .await
        .map_err(|fault| format!("no answer: {fault:?}"))?
}

fn parse(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.strip_prefix(METRIC).is_some_and(|rest| rest.starts_with([' ', '{'])))?;
    line.rsplit_once(' ')?.1.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sample_is_found_beside_its_help() {
        let text = "# HELP process_resident_memory_bytes x\n# TYPE process_resident_memory_bytes gauge\n\
            process_resident_memory_bytes 52428800\n";
        assert_eq!(parse(text), Some(52_428_800.0));
        assert_eq!(parse("process_resident_memory_bytes{a=\"b c\"} 1e3\n"), Some(1000.0));
        assert_eq!(parse("process_resident_memory_bytes_x 1\n"), None);
    }
}
