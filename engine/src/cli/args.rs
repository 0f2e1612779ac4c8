//! Arguments. Flags win over the environment, which wins over `engine.toml`.

use std::path::PathBuf;

use clap::{ArgAction, Parser, Subcommand};

use super::apply::ApplyArgs;
use super::capsule::CapsuleCommand;
use super::demo::DemoArgs;
use super::dev::DevArgs;
use super::dlq::DlqArgs;
use super::plan::PlanArgs;
use super::plugin::PluginCommand;
use super::quality::QualityCommand;
use super::replay::ReplayArgs;
use super::schema::SchemaCommand;
use super::state::StateCommand;
use super::status::StatusArgs;
use super::tenant::TenantCommand;
use super::verify::VerifyArgs;
use crate::offsets::PluginKey;
use crate::plugin::CompileChildArgs;

/// Streaming transformation engine: Kafka CDC topics through WebAssembly plugins into ClickHouse, exactly once.
#[derive(Debug, Parser)]
#[command(name = "engine", version, args_conflicts_with_subcommands = true, after_help = EXAMPLES)]
pub struct Args {
    /// What to do; without a command: run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// For `run`.
    #[command(flatten)]
    pub run: RunArgs,
    /// More log: -v information, -vv each epoch. ENGINE_LOG sets a filter, such as `engine=debug`.
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub verbose: u8,
}

const EXAMPLES: &str = "\
Examples:
  engine --plugins ./plugins --kafka localhost:9092 --clickhouse http://localhost:8123
  engine check --plugins ./plugins --kafka localhost:9092 --clickhouse http://localhost:8123
  engine --plugins ./plugins --source orders.jsonl --until-idle";

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Read topics, transform, insert: until Ctrl-C.
    Run(RunArgs),
    /// Say what would run and what is wrong, without reading or writing a row.
    Check(RunArgs),
    /// The whole path on this machine, with nothing installed, and a proof of the outcome.
    Demo(DemoArgs),
    /// What the plugins in the folder would change, beside what runs; nothing is written.
    Plan(PlanArgs),
    /// Put a built plugin where the running engine takes it, and wait for what becomes of it.
    Apply(ApplyArgs),
    /// Which version of each plugin the running engine runs, what is on trial, and what was refused.
    Status(StatusArgs),
    /// The tenants of the running engine: how they stand, and to pause one.
    #[command(subcommand)]
    Tenant(TenantCommand),
    /// Let a lane that lost its place in a topic go on elsewhere: starts a new generation.
    Recover(RecoverArgs),
    /// Compare tables with their topics: no gap, no double, no other content.
    Verify(VerifyArgs),
    /// Read topics again, from an offset or a time: rows in a new generation, in place or in shadow tables.
    Replay(ReplayArgs),
    /// Write plugins: make, build, test, inspect, measure and try them.
    #[command(subcommand)]
    Plugin(PluginCommand),
    /// Save a plugin's source, and see at once what an engine makes of it: built, tested, taken over, compared.
    Dev(DevArgs),
    /// What plugins remember: look at it, or write it out. The engine must not run on the data folder.
    #[command(subcommand)]
    State(StateCommand),
    /// Dead letters: messages that were set aside, with the reason.
    Dlq(DlqArgs),
    /// Gold: tables and views that ClickHouse makes of silver, from SQL files.
    #[command(subcommand)]
    Schema(SchemaCommand),
    /// Crash capsules: calls of plugins that failed, kept in the data folder, to be made again.
    #[command(subcommand)]
    Capsule(CapsuleCommand),
    /// Data quality: whether the tables are as a file says that they must be.
    #[command(subcommand)]
    Quality(QualityCommand),
    /// What the engine starts for each plugin that it compiles.
    #[command(hide = true)]
    CompileChild(CompileChildArgs),
}

/// Arguments of `run` and `check`.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RunArgs {
    /// Settings; by default engine.toml, if it is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of plugins [default: plugins].
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<String>,
    /// Kafka brokers.
    #[arg(long, value_name = "HOST:PORT,...")]
    pub kafka: Option<String>,
    /// Recorded messages (JSON lines) in place of Kafka; may be given more than once.
    #[arg(long, value_name = "FILE")]
    pub source: Vec<PathBuf>,
    /// ClickHouse over HTTP [default: http://127.0.0.1:8123].
    #[arg(long, value_name = "URL")]
    pub clickhouse: Option<String>,
    /// The database of all tables [default: default].
    #[arg(long, value_name = "NAME")]
    pub database: Option<String>,
    /// Journal and artifacts [default: data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Serve /metrics and /health there.
    #[arg(long, value_name = "HOST:PORT")]
    pub listen: Option<String>,
    /// Any other key of engine.toml, such as clickhouse.user=loader.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
    /// Exit when everything there is to read is read and committed.
    #[arg(long)]
    pub until_idle: bool,
}

/// Arguments of `recover`.
#[derive(Clone, Debug, clap::Args)]
pub struct RecoverArgs {
    /// The plugin whose lane it is; of a tenant, TENANT/NAME.
    #[arg(long, value_name = "NAME")]
    pub plugin: PluginKey,
    /// The topic.
    #[arg(long)]
    pub topic: String,
    /// The partition; all of the topic by default.
    #[arg(long, value_name = "N")]
    pub partition: Option<i32>,
    /// Where to go on: an offset, `start` for where plugin.toml lets a new lane begin, or `here` to raise the generation
    /// alone, so that what is read from now on wins over all rows so far.
    #[arg(long, value_name = "OFFSET")]
    pub from: String,
    /// Journal and artifacts.
    #[arg(long, value_name = "DIR", default_value = "data", env = "ENGINE_DATA_DIR")]
    pub data_dir: PathBuf,
}

impl RunArgs {
    /// The keys that flags set: flag, key, value.
    #[must_use]
    pub fn flags(&self) -> Vec<(String, String, String)> {
        let named = [
            ("--plugins", "plugins", &self.plugins),
            ("--kafka", "kafka.brokers", &self.kafka),
            ("--clickhouse", "clickhouse.url", &self.clickhouse),
            ("--database", "clickhouse.database", &self.database),
            ("--data-dir", "data_dir", &self.data_dir),
            ("--listen", "listen", &self.listen),
        ];
        let named = named.into_iter().filter_map(|(flag, key, value)| Some((flag, key, value.as_deref()?)));
        let set = self
            .set
            .iter()
            .map(|pair| pair.split_once('=').map_or(("--set", pair.as_str(), ""), |(k, v)| ("--set", k, v)));
        set.chain(named).map(|(flag, key, value)| (flag.to_owned(), key.to_owned(), value.to_owned())).collect()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::path::Path;

    use super::*;
    use crate::config::{Tenant, parse_plugin};
    use crate::sink::ClickHouseSettings;

    const GUIDE: &str = include_str!("../../../plugin-sdk/guide/rollouts.md");

    /// The blocks of the guide in one language.
    fn blocks(language: &str) -> Vec<&'static str> {
        let fence = format!("```{language}\n");
        let blocks = GUIDE.split(&fence).skip(1);
        blocks.map(|block| block.split("```").next().unwrap()).collect()
    }

    #[test]
    fn the_commands_and_settings_of_the_guide_are_understood() {
        let lines: Vec<_> = blocks("sh").into_iter().flat_map(str::lines).collect();
        assert!(lines.len() > 10, "{lines:?}");
        for line in lines {
            let command = line.split('#').next().unwrap();
            Args::try_parse_from(command.split_whitespace()).unwrap_or_else(|error| panic!("{line}\n{error}"));
        }
        for settings in blocks("toml") {
            let tenant = Tenant::default_of(ClickHouseSettings::new("http://localhost:8123"), "default");
            parse_plugin(Path::new("customers"), settings, &tenant.into()).unwrap();
        }
    }
}
