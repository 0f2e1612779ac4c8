//! `engine plugin …`: an author's day, from nothing to a plugin that runs on live data.
//!
//! ```text
//! new ──► build ──► test ──► run          inspect, bench: what it is, what it costs
//! ```
//! Nothing here is a second way through the engine: plugins are loaded by the host, and messages go through the
//! transform that a lane runs, in the same sandbox.

mod bench;
mod build;
mod cases;
mod describe;
mod diff;
mod files;
mod fit;
mod inspect;
mod lock;
mod messages;
mod new;
mod outcome;
mod project;
mod run;
mod sdk;
mod sections;
mod test;

use std::error::Error;
use std::io;
use std::process::ExitCode;

use clap::Subcommand;

pub use bench::BenchArgs;
pub use build::BuildArgs;
pub use inspect::InspectArgs;
pub use new::{NewArgs, Template};
pub use project::Which;
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
    fn mistake(error: impl Error + 'static) -> Self {
        Self::Mistake(Box::new(error))
    }

    fn failed(error: impl Error + 'static) -> Self {
        Self::Failed(Box::new(error))
    }

    fn in_words(message: String) -> Self {
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
    };
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
