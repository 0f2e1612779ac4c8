//! The consumers, as commands that read a whole topic into ClickHouse and end.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::Options;
use super::process::{Ended, run};
use crate::Failure;

/// The stages whose CPU time the engine reports.
pub(crate) const STAGES: [&str; 7] = ["fetch", "decode", "plugin", "assemble", "digest", "encode", "insert"];

/// The engine's summary: the last line that it prints.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Summary {
    /// CPU seconds by stage.
    #[serde(default)]
    pub(crate) stage_cpu_seconds: std::collections::BTreeMap<String, f64>,
}

/// Where a run reads from and writes to.
pub(crate) struct Target<'a> {
    pub(crate) topic: &'a str,
    pub(crate) clickhouse: &'a str,
    pub(crate) database: &'a str,
}

/// The engine with the `orders` plugin on this one topic. Its folders are made anew, so that it begins at the beginning.
pub(crate) fn engine(options: &Options, target: &Target<'_>) -> Result<(Ended, Summary), Failure> {
    let folder = tempfile::tempdir()?;
    let plugins = plugin_for(&options.plugins, target.topic, folder.path())?;
    let mut command = Command::new(&options.engine);
    command.arg("--plugins").arg(plugins).arg("--data-dir").arg(folder.path().join("data")).arg("--until-idle");
    command.args(["--kafka", &options.kafka, "--clickhouse", target.clickhouse, "--database", target.database]);
    let ended = run(&mut command)?;
    let last = ended.output.lines().last().unwrap_or_default();
    let summary = serde_json::from_str(last).unwrap_or_default();
    Ok((ended, summary))
}

/// The engine put together with or without what makes it exactly once, over the same plugin.
pub(crate) fn once(options: &Options, target: &Target<'_>, without: bool) -> Result<(Ended, Summary), Failure> {
    let folder = tempfile::tempdir()?;
    let plugins = plugin_for(&options.plugins, target.topic, folder.path())?;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("once").args(without.then_some("--without"));
    command.arg("--plugins").arg(plugins).arg("--data-dir").arg(folder.path().join("data"));
    command.args(["--kafka", &options.kafka, "--clickhouse", target.clickhouse, "--database", target.database]);
    let ended = run(&mut command)?;
    let summary = serde_json::from_str(&ended.output)?;
    Ok((ended, summary))
}

/// A plugins folder with nothing but `orders`, reading this topic.
fn plugin_for(plugins: &Path, topic: &str, folder: &Path) -> Result<PathBuf, Failure> {
    let made = folder.join("plugins");
    std::fs::create_dir_all(made.join("orders"))?;
    std::fs::copy(plugins.join("orders/plugin.wasm"), made.join("orders/plugin.wasm"))?;
    std::fs::write(made.join("orders/plugin.toml"), format!("topics = [\"{topic}\"]\n"))?;
    Ok(made)
}

/// What the hand-written consumer says at its end.
#[derive(Debug, Deserialize)]
pub(crate) struct Counts {
    pub(crate) messages: u64,
    pub(crate) rows: u64,
    pub(crate) bad: u64,
}

/// The hand-written consumer; with `history` it writes both of the plugin's tables.
pub(crate) fn naive(options: &Options, target: &Target<'_>, history: bool) -> Result<(Ended, Counts), Failure> {
    let mut command = Command::new(&options.naive);
    command.args(history.then_some("--history"));
    command.args(["--kafka", &options.kafka, "--topic", target.topic]);
    command.args(["--clickhouse", target.clickhouse, "--database", target.database]);
    let ended = run(&mut command)?;
    let counts = serde_json::from_str(&ended.output)?;
    Ok((ended, counts))
}
