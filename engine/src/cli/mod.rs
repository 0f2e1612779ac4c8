//! The command line: arguments → settings → run → exit code.

mod apply;
mod args;
mod capsule;
mod check;
mod control;
mod demo;
mod dev;
mod difference;
mod plugin;
mod dlq;
mod greeting;
mod paint;
mod plan;
mod quality;
mod recent;
mod recover;
mod replay;
mod run;
mod schema;
mod server_args;
mod state;
mod status;
mod table;
mod tenant;
mod verify;
mod when;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

pub use apply::ApplyArgs;
pub use args::{Args, Command, RunArgs};
pub use control::EngineAt;
pub use demo::DemoArgs;
pub use dev::DevArgs;
pub use plan::PlanArgs;
pub use plugin::{
    BenchArgs, BuildArgs, HistoryArgs, InspectArgs, NewArgs, OfEngine, PluginCommand, PluginRunArgs, Template,
    TestArgs, ToVersion, Which,
};
pub use quality::{QualityCommand, QualityRunArgs};
pub use run::{Running, RunningError, start, start_with};
pub use schema::{BackfillArgs, SchemaApplyArgs, SchemaCommand, SchemaPlanArgs};
pub use state::{StateCommand, StateExportArgs, StateLanes};
pub use status::StatusArgs;
pub use tenant::TenantCommand;

use crate::config::{Config, Overlay, Problems};
use crate::deploy::Version;
use crate::offsets::LaneId;
use crate::plugin::{Compiler, compile_child};
use crate::source::Found;

/// Runs the program: 0 success, 1 a failure while running, 2 a mistake in the settings.
#[must_use]
pub fn main() -> ExitCode {
    Compiler::this_is_the_engine();
    let args = Args::parse();
    let command = args.command.unwrap_or(Command::Run(args.run));
    start_logging(args.verbose, matches!(command, Command::Run(_)));
    match command {
        Command::Run(args) => with_config(&args, run::run),
        Command::Check(args) => with_config(&args, check::check),
        Command::Demo(args) => demo::demo(&args),
        Command::Recover(args) => recover::recover(&args),
        Command::State(command) => state::state(&command),
        Command::Status(args) => status::status(&args),
        Command::Tenant(command) => tenant::tenant(&command),
        Command::Dev(args) => dev::dev(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Apply(args) => apply::apply(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Verify(args) => verify::verify(&args),
        Command::Plugin(command) => plugin::plugin(&command),
        Command::Dlq(args) => dlq::dlq(args),
        Command::Schema(command) => schema::schema(&command),
        Command::Capsule(command) => capsule::capsule(&command),
        Command::Quality(command) => quality::quality(&command),
        Command::CompileChild(args) => compile_child(&args),
    }
}

/// Reads the settings, or says everything that is wrong with them.
fn with_config(args: &RunArgs, then: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    match Config::read(&overlay(args)) {
        Ok(config) => then(config),
        Err(problems) => mistaken(&problems),
    }
}

fn overlay(args: &RunArgs) -> Overlay {
    Overlay {
        file: args.config.clone(),
        flags: args.flags(),
        environment: std::env::vars().collect(),
        source_files: args.source.clone(),
        ignore_default_file: false,
        until_idle: args.until_idle,
        no_source: false,
    }
}

/// Settings of a command that reads no source: of a file, `--set`, and its own flags (each with the key that it stands for).
fn settings(file: Option<&Path>, set: &[String], named: &[(&str, &str, Option<&str>)]) -> Result<Config, Problems> {
    let named = named.iter().filter_map(|&(flag, key, value)| Some((flag, key, value?)));
    let set = set.iter().map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let flags = set.map(|(key, value)| ("--set", key, value)).chain(named);
    Config::read(&Overlay {
        file: file.map(Path::to_owned),
        flags: flags.map(|(flag, key, value)| (flag.to_owned(), key.to_owned(), value.to_owned())).collect(),
        environment: std::env::vars().collect(),
        no_source: true,
        ..Overlay::default()
    })
}

/// The lane of a plugin on a partition.
fn lane_id(deployed: &Version, found: &Found) -> LaneId {
    let settings = &deployed.file.settings;
    LaneId {
        tenant: settings.tenant.clone(),
        plugin: settings.name.clone(),
        topic: found.partition.topic.to_string(),
        topic_id: found.topic_id.to_string(),
        partition: found.partition.partition,
    }
}

fn mistaken(problems: &Problems) -> ExitCode {
    eprintln!("{problems}");
    ExitCode::from(2)
}

/// Logs go to standard error: quiet by default, and those of the service as JSON where nobody reads along. What the other
/// commands say is read by people, in a terminal or in what a build has written.
fn start_logging(verbose: u8, service: bool) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;

    let default = match verbose {
        0 => "warn",
        1 => "engine=info,warn",
        _ => "engine=debug,info",
    };
    let filter = EnvFilter::try_from_env("ENGINE_LOG").unwrap_or_else(|_| EnvFilter::new(default));
    let terminal = std::io::stderr().is_terminal();
    let logs = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_target(false);
    if service && !terminal {
        logs.json().flatten_event(true).init();
    } else {
        logs.with_ansi(terminal).compact().init();
    }
}
