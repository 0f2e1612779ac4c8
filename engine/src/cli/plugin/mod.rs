//! `engine plugin …`: an author's day, from nothing to a plugin that runs on live data.
//!
//! ```text
//! new ──► build ──► test ──► run          inspect, bench: what it is, what it costs
//! ```
//! Nothing here is a second way through the engine: plugins are loaded by the host, and messages go through the
//! transform that a lane runs, in the same sandbox.

mod bench;
pub(super) mod build;
pub(super) mod cases;
mod describe;
mod diff;
pub(super) mod files;
mod fit;
mod inspect;
mod lock;
pub(super) mod messages;
mod new;
mod outcome;
pub(super) mod project;
mod rollout;
mod run;
mod sdk;
mod sections;
pub(super) mod test;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Subcommand;

pub use bench::BenchArgs;
pub use build::BuildArgs;
pub use inspect::InspectArgs;
pub use new::{NewArgs, Template};
pub use project::Which;
pub use rollout::{HistoryArgs, OfEngine, ToVersion};
pub use run::PluginRunArgs;
pub use test::TestArgs;

use crate::disposition::in_words;

/// What to do with plugins.
#[derive(Debug, Subcommand)]
pub enum PluginCommand {
    /// Make a project that builds and passes its tests at once.
    New(NewArgs),
    /// Compile plugins to plugin.wasm.
    Build(BuildArgs),
    /// Run built plugins over their cases, as the engine runs them, and compare.
    Test(TestArgs),
    /// Say what a WebAssembly file is: what it reads, writes and imports, or why it is no plugin.
    Inspect(InspectArgs),
    /// Measure a built plugin: CPU time per row and call, bytes across the border.
    Bench(BenchArgs),
    /// Show what a built plugin makes of a topic or a file; nothing is written anywhere.
    Run(PluginRunArgs),
    /// Which version ran when, and why it changed.
    History(HistoryArgs),
    /// Go back to a version that ran before, at once; the one that runs now is not tried again until its files change.
    Rollback(ToVersion),
    /// Stay with a version, whatever is in the folder.
    Pin(ToVersion),
    /// Follow the folder again.
    Unpin(OfEngine),
    /// Let the newcomer on trial, or in the shadow, take over.
    Promote(OfEngine),
}

/// Why a command ends without success.
#[derive(Debug)]
pub(super) enum Failure {
    /// What was asked for can't be: exit code 2.
    Mistake(Box<dyn Error>),
    /// It went wrong: exit code 1.
    Failed(Box<dyn Error>),
}

impl Failure {
    pub(super) fn mistake(error: impl Error + 'static) -> Self {
        Self::Mistake(Box::new(error))
    }

    pub(super) fn failed(error: impl Error + 'static) -> Self {
        Self::Failed(Box::new(error))
    }

    pub(super) fn in_words(message: String) -> Self {
        Self::Failed(message.into())
    }
}

/// Standard output: gone when a pager or `head` has seen enough, which is no failure.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::failed(error)
    }
}

/// Runs a command: 0 success, 1 a failure or a difference, 2 a mistake in what was asked for.
pub(super) fn plugin(command: &PluginCommand) -> ExitCode {
    let outcome = match command {
        PluginCommand::New(args) => new::new(args),
        PluginCommand::Build(args) => build::build(args),
        PluginCommand::Test(args) => test::test(args),
        PluginCommand::Inspect(args) => inspect::inspect(args),
        PluginCommand::Bench(args) => bench::bench(args),
        PluginCommand::Run(args) => run::run(args),
        PluginCommand::History(args) => rollout::history(args),
        PluginCommand::Rollback(args) => rollout::order(&args.of, "rollback", args.to.as_deref()),
        PluginCommand::Pin(args) => rollout::order(&args.of, "pin", args.to.as_deref()),
        PluginCommand::Unpin(of) => rollout::order(of, "unpin", None),
        PluginCommand::Promote(of) => rollout::order(of, "promote", None),
    };
    ended(outcome)
}

/// How a command ended, as an exit code; what went wrong is said.
pub(super) fn ended(outcome: Result<ExitCode, Failure>) -> ExitCode {
    let (error, code) = match outcome {
        Ok(code) => return code,
        Err(Failure::Failed(error)) if is_broken_pipe(&*error) => return ExitCode::SUCCESS,
        Err(Failure::Failed(error)) => (error, ExitCode::FAILURE),
        Err(Failure::Mistake(error)) => (error, ExitCode::from(2)),
    };
    eprintln!("engine: {}", in_words(&*error));
    code
}

fn is_broken_pipe(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
