//! `engine plugin history|rollback|pin|unpin|promote`: which version of a plugin ran when, and an operator's word to the running
//! engine.

use std::process::ExitCode;

use crate::cell;
use crate::cli::control::{ControlError, EngineAt};
use crate::cli::paint::Paint;
use crate::cli::run::engine_runtime;
use crate::cli::status::named;
use crate::cli::table::table;
use crate::deploy::{Entry, History};
use crate::offsets::PluginKey;

use super::Failure;

/// A plugin of an engine.
#[derive(Clone, Debug, clap::Args)]
pub struct OfEngine {
    /// The plugin; of a tenant, TENANT/NAME.
    #[arg(value_name = "NAME")]
    pub name: PluginKey,
    /// Which engine.
    #[command(flatten)]
    pub at: EngineAt,
}

/// Arguments of `history`.
#[derive(Clone, Debug, clap::Args)]
pub struct HistoryArgs {
    /// Whose.
    #[command(flatten)]
    pub of: OfEngine,
    /// One JSON object a line.
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `rollback` and `pin`.
#[derive(Clone, Debug, clap::Args)]
pub struct ToVersion {
    /// Whose.
    #[command(flatten)]
    pub of: OfEngine,
    /// The version, as `history` names it, or how it begins [default: of `rollback` the one that ran before, of `pin` the one
    /// that runs].
    #[arg(long, value_name = "VERSION")]
    pub to: Option<String>,
}

/// There are no notes.
#[derive(Debug, thiserror::Error)]
#[error("nothing is known of a plugin {name} in {data}: no engine has run it there")]
struct NoHistory {
    name: PluginKey,
    data: String,
}

impl From<ControlError> for Failure {
    fn from(error: ControlError) -> Self {
        if matches!(error, ControlError::NoAddress) { Self::mistake(error) } else { Self::failed(error) }
    }
}

/// What ran, oldest first: asked from the running engine, or read from the data folder where none answers.
pub(super) fn history(args: &HistoryArgs) -> Result<ExitCode, Failure> {
    let OfEngine { name, at } = &args.of;
    let settings = at.settings()?;
    let runtime = engine_runtime().map_err(Failure::failed)?;
    let asked = at.control(&settings).and_then(|control| runtime.block_on(control.history(name)));
    let entries = match asked {
        Err(ControlError::Silent { .. } | ControlError::NoAddress) if at.engine.is_none() => {
            History::of_data(&settings.data_dir).of(name)?
        }
        asked => asked?,
    };
    if entries.is_empty() {
        let data = settings.data_dir.display().to_string();
        return Err(Failure::mistake(NoHistory { name: name.clone(), data }));
    }
    if args.json {
        entries.iter().for_each(|entry| println!("{}", serde_json::to_string(entry).expect("plain data")));
    } else {
        let rows: Vec<_> = entries.iter().map(row).collect();
        print!("{}", table(&["when", "version", "what", "why"], &rows, None, Paint::stdout()));
    }
    Ok(ExitCode::SUCCESS)
}

fn row(entry: &Entry) -> Vec<Option<String>> {
    let version = named(&entry.plugin_version, &entry.version.to_string());
    [cell::utc(entry.at_ms), version, entry.what.as_str().to_owned(), entry.reason.clone()].map(Some).to_vec()
}

/// Gives an order to the running engine, and says what was done.
pub(super) fn order(of: &OfEngine, verb: &str, to: Option<&str>) -> Result<ExitCode, Failure> {
    let control = of.at.control(&of.at.settings()?)?;
    let runtime = engine_runtime().map_err(Failure::failed)?;
    let done = runtime.block_on(control.order(&of.name, verb, to))?;
    println!("{}: {done}", of.name);
    Ok(ExitCode::SUCCESS)
}
