//! `engine apply`: puts a built plugin where a running engine finds it, and waits for what the engine makes of it.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::control::{Control, ControlError, EngineAt};
use super::paint::Paint;
use super::plugin::files;
use super::plugin::project::host;
use super::plugin::{Failure, ended};
use super::run::engine_runtime;
use super::status::details;
use crate::config::read_plugin_of;
use crate::deploy::VersionId;
use crate::deploy::status::{FolderState, PluginStatus};
use crate::disposition::in_words;
use crate::offsets::PluginKey;

/// How often the engine is asked.
const INTERVAL: Duration = Duration::from_millis(50);

/// Arguments of `apply`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct ApplyArgs {
    /// The plugin; of a tenant, TENANT/NAME.
    #[arg(value_name = "NAME")]
    pub name: PluginKey,
    /// The built plugin.
    #[arg(value_name = "FILE.wasm")]
    pub artifact: PathBuf,
    /// Which engine.
    #[command(flatten)]
    pub at: EngineAt,
    /// Wait until its trial is over as well.
    #[arg(long)]
    pub until_passed: bool,
    /// Wait no longer than so many seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
}

const EXAMPLES: &str = "\
Examples:
  engine apply customers target/wasm32-unknown-unknown/release/customers.wasm
  engine apply acme/customers new.wasm
  engine apply customers new.wasm --engine http://127.0.0.1:8080 --until-passed --timeout 600

The exit code is 0 where the engine runs it, 3 where it is on trial or in the shadow, 1 where it was refused or taken back, 2 \
for a mistake in what was asked, 4 where the engine did not say within the time. `engine plan` shows before what would \
change.";

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Fate {
    Runs,
    OnTrial,
    Refused(String),
    Unknown,
}

/// The command.
pub(super) fn apply(args: &ApplyArgs) -> ExitCode {
    ended(applied(args))
}

fn applied(args: &ApplyArgs) -> Result<ExitCode, Failure> {
    let settings = args.at.settings()?;
    let control = args.at.control(&settings)?;
    let artifact = read_plugin_of(&settings, &args.name)?.artifact;
    let unreadable = |error| Failure::in_words(format!("{} can't be read: {error}", args.artifact.display()));
    let bytes = std::fs::read(&args.artifact).map_err(unreadable)?;
    let plugin = host()?.load(bytes.clone());
    let no_plugin = |error| Failure::in_words(format!("{}: {}", args.artifact.display(), in_words(&error)));
    let digest = plugin.map_err(no_plugin)?.digest().to_owned();
    let runtime = engine_runtime().map_err(Failure::failed)?;
    runtime.block_on(async {
        control.plugins().await?; // nothing is put where nobody would take it
        files::write(&artifact, &bytes)?;
        println!("{}  {}", artifact.display(), &digest[..12]);
        let until = Instant::now() + Duration::from_secs(args.timeout);
        let (fate, status) = fate(&control, args, &digest, until).await?;
        status.iter().flat_map(|status| details(status, Paint::stdout())).for_each(|line| println!("  {line}"));
        Ok(said(&fate, &args.name))
    })
}

fn said(fate: &Fate, name: &PluginKey) -> ExitCode {
    match fate {
        Fate::Runs => println!("{name}: the engine runs it"),
        Fate::OnTrial => println!("{name}: on probation; engine status {name} shows how it goes"),
        Fate::Refused(reason) => eprintln!("engine: {name}: {reason}"),
        Fate::Unknown => {
            eprintln!("engine: {name}: the engine did not say in time what becomes of it: engine status {name}")
        }
    }
    match fate {
        Fate::Runs => ExitCode::SUCCESS,
        Fate::Refused(_) => ExitCode::FAILURE,
        Fate::OnTrial => ExitCode::from(3),
        Fate::Unknown => ExitCode::from(4),
    }
}

/// How the plugin stands; none: it does not run (yet).
async fn asked(control: &Control, name: &PluginKey) -> Result<Option<PluginStatus>, ControlError> {
    Ok(control.plugins().await?.into_iter().find(|plugin| plugin.key() == *name))
}

/// Asks until the engine has said something about these bytes.
async fn fate(
    control: &Control,
    args: &ApplyArgs,
    digest: &str,
    until: Instant,
) -> Result<(Fate, Option<PluginStatus>), Failure> {
    loop {
        let status = asked(control, &args.name).await?;
        let fate = status.as_ref().map_or(Fate::Unknown, |status| read(status, digest));
        let last = Instant::now() >= until;
        let waits = fate == Fate::Unknown || fate == Fate::OnTrial && args.until_passed;
        if !waits || last {
            return Ok((fate, status));
        }
        sleep(INTERVAL).await;
    }
}

/// What the engine says of these bytes.
fn read(status: &PluginStatus, digest: &str) -> Fate {
    let PluginStatus { version, trial, shadow, folder, .. } = status;
    let are_of = |version: &VersionId| version.plugin_digest == digest;
    let ended = |why: &Option<String>| Fate::Refused(why.clone().unwrap_or_default());
    match folder.state {
        // What is wrong with plugin.toml is wrong with any version.
        FolderState::Refused if folder.version.as_ref().is_none_or(are_of) => return ended(&folder.why),
        FolderState::Withdrawn if folder.version.as_ref().is_some_and(are_of) => return ended(&folder.why),
        FolderState::Waiting if folder.version.as_ref().is_some_and(are_of) => {
            return Fate::Refused(
                "another version is pinned: engine plugin unpin lets the folder decide again".to_owned(),
            );
        }
        FolderState::Preparing
        | FolderState::Running
        | FolderState::Refused
        | FolderState::Withdrawn
        | FolderState::Waiting => {}
    }
    let on_trial = trial.as_ref().is_some_and(|trial| are_of(&trial.version));
    let in_shadow = shadow.as_ref().is_some_and(|shadow| are_of(&shadow.version));
    if version.as_ref().is_some_and(are_of) {
        Fate::Runs
    } else if on_trial || in_shadow {
        Fate::OnTrial
    } else {
        Fate::Unknown
    }
}
