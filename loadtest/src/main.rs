use std::process::ExitCode;

use clap::Parser;
use loadtest::cli::Cli;
use loadtest::scenarios;

/// One thread: the generator shares its cores with the system it measures, and one is enough for the
/// rates asked for. When it is not, the report shows it as lateness.
fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return refuse(&format!("no runtime: {error}")),
    };
    let json = cli.common.json.clone();
    let report = match runtime.block_on(scenarios::run(cli)) {
        Ok(report) => report,
        Err(why) => return refuse(&why),
    };
    println!("{}", report.table());
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report).map_err(|error| error.to_string());
        let written = text.and_then(|text| std::fs::write(&path, text + "\n").map_err(|error| error.to_string()));
        if let Err(error) = written {
            return refuse(&format!("{}: {error}", path.display()));
        }
    }
    if report.passed { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Told apart from a failed run (1): here nothing was measured.
fn refuse(why: &str) -> ExitCode {
    eprintln!("loadtest: {why}");
    ExitCode::from(2)
}
