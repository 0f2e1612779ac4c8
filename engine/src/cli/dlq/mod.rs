//! `engine dlq`: dead letters listed, shown, exported and replayed. Beside a running engine or without one: what is done is
//! done through ClickHouse alone.

mod export;
mod list;
mod replay;
mod show;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::run::engine_runtime;
use super::server_args::ServerArgs;
use super::when::milliseconds;
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, PluginFile, Problems, Tenant, read_plugin_of, read_plugins};
use crate::dead_letters::replay::ReplayError;
use crate::dead_letters::{Filter, Letters};
use crate::disposition::in_words;
use crate::offsets::PluginKey;
use crate::sink::{ClickHouses, SinkError};

/// How long a command waits for ClickHouse, in all. A lane waits for ever; a person does not.
const PATIENCE: Duration = Duration::from_secs(30);

/// Arguments of `dlq`.
#[derive(Clone, Debug, Args)]
pub struct DlqArgs {
    #[command(subcommand)]
    command: DlqCommand,
}

#[derive(Clone, Debug, Subcommand)]
enum DlqCommand {
    /// Open letters, counted by plugin, stage, code and column.
    List(ListArgs),
    /// One letter with its message and what replays did to it.
    Show(ShowArgs),
    /// Messages of letters as a recording (JSON lines), exact to the byte: for `engine --source` and a plugin's cases.
    Export(ExportArgs),
    /// Send letters through the plugin as it is now. Again has no further effect.
    Replay(ReplayArgs),
}

/// Where the letters are.
#[derive(Clone, Debug, Args)]
struct WhereArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// The folder of plugins [default: plugins].
    #[arg(long, value_name = "DIR")]
    plugins: Option<String>,
    /// Where replays keep the plugins that they began with [default: data].
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The table of dead letters; by default those that the plugins name.
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
}

/// Which letters.
#[derive(Clone, Debug, Args)]
struct WhichArgs {
    /// Set aside by this plugin; of a tenant, TENANT/NAME.
    #[arg(long, value_name = "NAME")]
    plugin: Option<PluginKey>,
    /// From this topic.
    #[arg(long)]
    topic: Option<String>,
    /// With this code.
    #[arg(long)]
    code: Option<String>,
    /// Set aside since: 90s, 15m, 2h or 7d ago, or a day or time in UTC, 2026-11-21 or 2026-11-21T05:13:45.
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// At most so many, by topic, partition and offset (of `list`: kinds, the most frequent first).
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    limit: u64,
}

#[derive(Clone, Debug, Args)]
struct ListArgs {
    #[command(flatten)]
    at: WhereArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Those that were replayed as well.
    #[arg(long)]
    all: bool,
    /// One JSON object a line.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct ShowArgs {
    #[command(flatten)]
    at: WhereArgs,
    /// The topic.
    topic: String,
    /// The partition.
    partition: i32,
    /// The message's offset.
    offset: i64,
    /// Set aside by this plugin; of a tenant, TENANT/NAME.
    #[arg(long, value_name = "NAME")]
    plugin: Option<PluginKey>,
    /// One JSON object a line, the message as in a recording.
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Debug, Args)]
struct ExportArgs {
    #[command(flatten)]
    at: WhereArgs,
    #[command(flatten)]
    which: WhichArgs,
    /// Those that were replayed as well.
    #[arg(long)]
    all: bool,
    /// The file to write; by default standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

#[derive(Clone, Debug, Args)]
struct ReplayArgs {
    #[command(flatten)]
    at: WhereArgs,
    #[command(flatten)]
    which: WhichArgs,
}

/// Why a command of `dlq` fails.
#[derive(Debug, thiserror::Error)]
enum DlqError {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error("{0}")]
    Asked(String),
    #[error("{what}")]
    Io {
        what: String,
        #[source]
        source: std::io::Error,
    },
    #[error("ClickHouse at {url} does not answer within {} s", PATIENCE.as_secs())]
    Silent { url: String },
}

/// The command: 0 done, 1 failed (of `replay`: also where letters failed again), 2 a mistake in the settings.
pub(super) fn dlq(args: DlqArgs) -> ExitCode {
    let runtime = match engine_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("engine: {error}");
            return ExitCode::FAILURE;
        }
    };
    let done = runtime.block_on(async {
        match args.command {
            DlqCommand::List(args) => list::list(&args).await,
            DlqCommand::Show(args) => show::show(&args).await,
            DlqCommand::Export(args) => export::export(&args).await,
            DlqCommand::Replay(args) => replay::replay(&args).await,
        }
    });
    runtime.shutdown_background();
    match done {
        Ok(code) => code,
        Err(DlqError::Settings(problems)) => super::mistaken(&problems),
        Err(DlqError::Asked(message)) => {
            eprintln!("{message}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

impl WhereArgs {
    fn config(&self) -> Result<Config, Problems> {
        let (plugins, data_dir) = (self.plugins.as_deref(), self.data_dir.as_deref());
        self.server.settings(&[("--plugins", "plugins", plugins), ("--data-dir", "data_dir", data_dir)])
    }

    /// The tables of letters that there are: of a plugin, or of all tenants. Says whether all of these could be asked.
    async fn tables(&self, config: &Config, plugin: Option<&PluginKey>) -> Result<(Vec<Letters>, bool), DlqError> {
        let named = match (&self.table, plugin) {
            (Some(table), Some(plugin)) => vec![(read_plugin_of(config, plugin)?.tenant, table.clone())],
            (Some(table), None) => vec![(config.default_tenant(), table.clone())],
            (None, Some(plugin)) => vec![where_letters_are(read_plugin_of(config, plugin)?)],
            (None, None) => {
                let mut all: Vec<_> = read_plugins(config)?.into_iter().map(where_letters_are).collect();
                all.sort_by(|(a, one), (b, other)| (&a.name, one).cmp(&(&b.name, other)));
                all.dedup_by(|(a, one), (b, other)| (&a.name, one) == (&b.name, other));
                all
            }
        };
        let (clickhouses, alone) = (ClickHouses::default(), named.len() == 1);
        let (mut tables, mut whole) = (Vec::new(), true);
        for (tenant, name) in named {
            let letters = Letters::new(clickhouses.of(&tenant)?, &tenant.database, &name);
            match in_time(config, letters.exist()).await {
                Ok(true) => tables.push(letters),
                Ok(false) if self.table.is_some() => {
                    return Err(DlqError::Asked(format!("there is no table {}", letters.table())));
                }
                Ok(false) => {}
                Err(error) if alone => return Err(error),
                Err(error) => {
                    whole = false; // one tenant's server is not the others'
                    eprintln!("engine: tenant {}: {}", tenant.name, in_words(&error));
                }
            }
        }
        Ok((tables, whole))
    }
}

fn where_letters_are(file: PluginFile) -> (Arc<Tenant>, String) {
    (file.tenant, file.settings.dead_letters)
}

/// What a person waits for.
async fn in_time<T, E: Into<DlqError>>(
    config: &Config,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, DlqError> {
    match tokio::time::timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(DlqError::Silent { url: config.clickhouse.url.clone() }),
    }
}

impl WhichArgs {
    fn filter(&self, resolved: bool) -> Result<Filter, DlqError> {
        let since_ms = self.since.as_deref().map(|since| milliseconds("--since", since, SystemClock.now_ms()));
        Ok(Filter {
            plugin: self.plugin.clone(),
            topic: self.topic.clone(),
            code: self.code.clone(),
            since_ms: since_ms.transpose().map_err(DlqError::Asked)?,
            resolved,
            limit: self.limit,
            ..Filter::default()
        })
    }
}
