//! `engine quality`: whether the data is as it should be.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::run::engine_runtime;
use super::server_args::ServerArgs;
use super::when::milliseconds;
use crate::clock::{Clock, SystemClock};
use crate::config::Problems;
use crate::disposition::in_words;
use crate::quality::{Alert, Report, Rules, run, send};
use crate::sink::{ClickHouse, SinkError};

/// What to do about data quality.
#[derive(Clone, Debug, Subcommand)]
pub enum QualityCommand {
    /// Look at each rule of a file, report what came of it, and tell a webhook what does not hold.
    Run(QualityRunArgs),
}

/// Arguments of `quality run`.
#[derive(Clone, Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct QualityRunArgs {
    /// The file that says what must hold.
    #[arg(long, value_name = "FILE")]
    rules: PathBuf,
    /// Look at the data as of this time: ago (90s, 15m, 2h, 7d), or a day or time in UTC; by default now.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Print the report as JSON.
    #[arg(long)]
    json: bool,
    /// Write the report there as well, as JSON.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Tell this address, in place of the one in the file, what does not hold.
    #[arg(long, value_name = "URL", env = "ENGINE_QUALITY_WEBHOOK", hide_env_values = true)]
    webhook: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

const EXAMPLES: &str = "\
Nothing is written to any table. Exit code: 0 all that could be judged holds, 1 something does not hold, 2 something could not be
looked at, the alert was not delivered, or there is a mistake in the rules or settings.
Examples:
  engine quality run --rules examples/events/quality.toml --database silver
  engine quality run --rules quality.toml --json --report /var/log/quality.json --webhook https://alerts.example.org/events";

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error("{0}")]
    Asked(String),
    #[error("{} can't be written", path.display())]
    Report {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// The command.
pub(super) fn quality(command: &QualityCommand) -> ExitCode {
    let QualityCommand::Run(args) = command;
    let runtime = match engine_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("engine: {error}");
            return ExitCode::from(2);
        }
    };
    let done = runtime.block_on(report(args));
    runtime.shutdown_background();
    match done {
        Ok(report) => verdict(&report),
        Err(Failure::Settings(problems)) => super::mistaken(&problems),
        Err(Failure::Asked(words)) => {
            eprintln!("{words}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::from(2)
        }
    }
}

async fn report(args: &QualityRunArgs) -> Result<Report, Failure> {
    let rules = read(&args.rules)?;
    let now = SystemClock.now_ms();
    let at = args.at.as_deref().map(|text| milliseconds("--at", text, now)).transpose().map_err(Failure::Asked)?;
    let config = args.server.settings(&[])?;
    let clickhouse = ClickHouse::new(config.clickhouse)?;
    let mut report = run(&rules, &args.rules, &clickhouse, &config.database, at.unwrap_or(now)).await;
    let webhook = args.webhook.as_ref().or(rules.alert.webhook.as_ref());
    if let Some(webhook) = webhook.filter(|_| !report.passed) {
        let error = send(webhook, &report).await.err();
        report.alert = Some(Alert { delivered: error.is_none(), error: error.map(|error| in_words(&error)) });
    }
    show(args, &report)?;
    Ok(report)
}

fn read(path: &Path) -> Result<Rules, Failure> {
    let text = fs::read_to_string(path).map_err(|error| {
        let mut problems = Problems::default();
        problems.of_path(path, format!("can't be read: {error}"), None);
        problems
    })?;
    Ok(Rules::parse(path, &text)?)
}

fn show(args: &QualityRunArgs, report: &Report) -> Result<(), Failure> {
    let json = serde_json::to_string_pretty(report).expect("text and numbers");
    if let Some(path) = &args.report {
        let written = fs::write(path, format!("{json}\n"));
        written.map_err(|source| Failure::Report { path: path.clone(), source })?;
    }
    if args.json {
        println!("{json}");
    } else {
        println!("{report}");
    }
    if let Some(Alert { error: Some(error), .. }) = &report.alert {
        eprintln!("engine: the alert was not delivered: {error}");
    }
    Ok(())
}

fn verdict(report: &Report) -> ExitCode {
    let undelivered = report.alert.as_ref().is_some_and(|alert| !alert.delivered);
    match (report.passed, report.has_errors() || undelivered) {
        (true, _) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
        (false, true) => ExitCode::from(2),
    }
}
