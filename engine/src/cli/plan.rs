//! `engine plan`: what the plugins in the folder would change, beside what runs: rows, columns, tables, state and cost. The
//! newest messages go through both versions; nothing is written.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;

use super::check::show_table;
use super::paint::Paint;
use super::plugin::messages::SchemaIds;
use super::plugin::project::host;
use super::plugin::{Failure, ended};
use super::recent::Recent;
use super::run::{engine_runtime, registry, source};
use super::status::named;
use super::{RunArgs, difference, overlay};
use crate::artifacts::Artifacts;
use crate::config::{Config, PluginFile, read_plugin_of, read_plugins};
use crate::deploy::{Compatibility, History, Standing, Version, build, compare};
use crate::offsets::PluginKey;
use crate::plan::{Finding, Plan, Weight};
use crate::plugin::Host;
use crate::registry::Registry;
use crate::sink::{ClickHouses, TablePlan};
use crate::source::Source;

/// Arguments of `plan`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PlanArgs {
    /// The plugin; of a tenant, TENANT/NAME [default: all].
    #[arg(value_name = "NAME")]
    pub name: Option<PluginKey>,
    /// A built plugin in place of the one in its folder.
    #[arg(value_name = "FILE.wasm", requires = "name")]
    pub artifact: Option<PathBuf>,
    /// So many of the newest messages of each partition go through both versions.
    #[arg(long, value_name = "N", default_value_t = 1_000)]
    pub last: u32,
    /// Settings.
    #[command(flatten)]
    pub run: RunArgs,
}

const EXAMPLES: &str = "\
Examples:
  engine plan                                   every plugin whose files differ from what runs
  engine plan customers new.wasm --last 10000   before new.wasm is put in its place, with `engine apply`

What runs is known from the data folder (--data-dir); a running engine is not asked, and not disturbed. Plugins that remember \
begin with nothing remembered. The exit code is 0 where every version would be let in, 1 where one would be refused, 2 for a \
mistake in the settings.";

/// The command.
pub(super) fn plan(args: &PlanArgs) -> ExitCode {
    ended(planned(args))
}

fn planned(args: &PlanArgs) -> Result<ExitCode, Failure> {
    let config = Config::read(&overlay(&args.run))?;
    let files = match &args.name {
        Some(name) => vec![read_plugin_of(&config, name)?],
        None => read_plugins(&config)?,
    };
    let host = host()?;
    let runtime = engine_runtime().map_err(Failure::failed)?;
    let world = World::of(&config, &args.run)?;
    let mut fit = true;
    for file in files {
        println!("{}", Paint::stdout().bold(&file.key().to_string()));
        let newcomer = match newcomer(&host, file, args.artifact.as_deref()) {
            Ok(newcomer) => newcomer,
            Err(why) => {
                println!("  refused   {}", why.replace('\n', "\n            "));
                fit = false;
                continue;
            }
        };
        let incumbent = incumbent(&host, &config.data_dir, &newcomer)?;
        fit &= runtime.block_on(compared(&world, &newcomer, incumbent.as_ref(), args.last))?;
    }
    runtime.shutdown_background(); // a client that waits for its broker must not hold the program up
    Ok(if fit { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Where versions would run.
struct World {
    source: Arc<dyn Source>,
    sinks: ClickHouses,
    registry: Option<Arc<Registry>>,
    ids: SchemaIds,
    /// What the registry says is kept nowhere: a plan leaves no trace.
    _folder: TempDir,
}

impl World {
    fn of(config: &Config, run: &RunArgs) -> Result<Self, Failure> {
        let folder = tempfile::tempdir()?;
        let artifacts = Artifacts::open(folder.path()).map_err(Failure::failed)?;
        Ok(Self {
            source: source(config).map_err(Failure::failed)?,
            sinks: ClickHouses::default(),
            registry: registry(config, &artifacts).map_err(Failure::failed)?,
            ids: SchemaIds::of(&run.source, config.registry.as_ref())?,
            _folder: folder,
        })
    }
}

/// The version that would be deployed; in words why it is none.
fn newcomer(host: &Host, file: PluginFile, artifact: Option<&Path>) -> Result<Version, String> {
    let artifact = artifact.map_or_else(|| file.artifact.clone(), Path::to_owned);
    build(host, file, &std::fs::read(artifact).map(Bytes::from)).map_err(|refusal| refusal.to_string())
}

/// The version that runs, as the data folder knows it.
fn incumbent(host: &Host, data: &Path, newcomer: &Version) -> Result<Option<Version>, Failure> {
    let history = History::of_data(data).of(&newcomer.file.key())?;
    let Some(id) = Standing::of(&history).good else { return Ok(None) };
    let artifacts = Artifacts::open(data).map_err(Failure::failed)?;
    let transform = artifacts.rebuild(host, &id.plugin_digest, &id.settings_digest).map_err(Failure::failed)?;
    let file = PluginFile { settings: transform.settings().clone(), ..newcomer.file.clone() };
    Ok(Some(Version::new(file, transform)))
}

/// Says what a newcomer would change; says whether it would be let in.
async fn compared(world: &World, newcomer: &Version, incumbent: Option<&Version>, last: u32) -> Result<bool, Failure> {
    let title = |version: &Version| named(version.says(), &version.id().to_string());
    match incumbent {
        Some(incumbent) => println!("  runs      {}", title(incumbent)),
        None => println!("  runs      nothing yet"),
    }
    if incumbent.is_some_and(|incumbent| incumbent.id() == newcomer.id()) {
        println!("  unchanged");
        return Ok(true);
    }
    println!("  newcomer  {}", title(newcomer));
    let settings = incumbent.map_or_else(Vec::new, |incumbent| settings(incumbent, newcomer));
    settings.iter().for_each(|line| println!("  settings  {line}"));
    let mut fits = incumbent.is_none_or(|incumbent| say_compatible(newcomer, incumbent));
    let (file, transform) = (&newcomer.file, &newcomer.transform);
    let sink = world.sinks.of(&file.tenant).map_err(Failure::failed)?;
    let plan = Plan::make(&*world.source, &sink, world.registry.as_deref(), file, transform).await;
    for Finding { weight, message } in &plan.findings {
        println!("  {:<9} {message}", weight.to_string());
        fits &= *weight != Weight::Stops;
    }
    for (table, planned) in &plan.tables {
        if !matches!(planned, Ok(TablePlan::Keep { statements, .. }) if statements.is_empty()) {
            println!("  writes    {}", table.quoted());
            show_table(planned);
        }
    }
    fits &= plan.works();
    let recent = Recent::read(&*world.source, &world.ids, file, i64::from(last)).await?;
    if recent.messages() == 0 {
        println!("  there is no message to compare them over");
        return Ok(fits);
    }
    if transform.remembers() {
        println!("  note      it remembers: over the newest messages alone, both begin with nothing");
    }
    let difference = recent.compare(incumbent.map(|version| &version.transform), transform)?;
    difference::show(&difference, Paint::stdout()).lines().for_each(|line| println!("  {line}"));
    Ok(fits)
}

/// Says whether a newcomer can take over from the version that runs, whose state is what is kept.
fn say_compatible(newcomer: &Version, incumbent: &Version) -> bool {
    let kept: Vec<_> = incumbent.transform.state_version().into_iter().collect();
    let notes = match compare(newcomer, incumbent, &kept) {
        Compatibility::Same => Vec::new(),
        Compatibility::Compatible { notes } => notes,
        Compatibility::Migrates { from, to, and_back, notes } => {
            let back =
                if and_back { "which the version that runs reads as well" } else { "from which there is no way back" };
            println!("  state     goes from version {from} to {to}, {back}");
            notes
        }
        Compatibility::Refused { why, statement } => {
            println!("  refused   {why}");
            statement.into_iter().for_each(|statement| println!("            {statement}"));
            return false;
        }
    };
    notes.iter().for_each(|note| println!("  changes   {note}"));
    true
}

/// Settings that differ, by their names: values may be nobody's business.
fn settings(before: &Version, after: &Version) -> Vec<String> {
    let settings = |version: &Version| serde_json::to_value(version.transform.settings()).unwrap_or_default();
    let (before, after) = (settings(before), settings(after));
    let mut lines = Vec::new();
    differing("", &before, &after, &mut lines);
    lines
}

fn differing(name: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    let (Some(old), Some(new)) = (before.as_object(), after.as_object()) else {
        if before != after {
            lines.push(format!("{name} differs"));
        }
        return;
    };
    let keys: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for key in keys {
        let dotted = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
        match (old.get(key), new.get(key)) {
            (Some(old), Some(new)) => differing(&dotted, old, new, lines),
            (Some(_), None) => lines.push(format!("{dotted} is no longer set")),
            (None, _) => lines.push(format!("{dotted} is set")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn settings_that_differ_are_named_and_not_shown() {
        let before = json!({ "limits": { "call_ms": 1 }, "parameters": { "a": "x", "b": "y" }, "same": [1] });
        let after = json!({ "limits": { "call_ms": 2 }, "parameters": { "b": "z", "c": "x" }, "same": [1] });
        let mut lines = Vec::new();
        differing("", &before, &after, &mut lines);
        let expected =
            ["limits.call_ms differs", "parameters.a is no longer set", "parameters.b differs", "parameters.c is set"];
        assert_eq!(lines, expected);
    }
}
