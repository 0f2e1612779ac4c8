//! `engine check`: what would run, how it fits topics and tables, and what is wrong, without writing a row or keeping a
//! position.

use std::collections::BTreeSet;
use std::process::ExitCode;

use super::run::{engine_runtime, load_plugins, registry, source};
use crate::artifacts::Artifacts;
use crate::config::{Config, Input};
use crate::deploy::Version;
use crate::disposition::in_words;
use crate::plan::{NoTable, Plan};
use crate::plugin::{Compiler, Description, EventTime, Host, HostSettings};
use crate::sink::{ClickHouses, Guarantee, TablePlan};
use crate::source::Found;
use crate::state::{OnExpire, StateTable};
use crate::table::TableKind;
use crate::tenants::status::TenantSettings;
use crate::transform::Transform;

/// What is wrong is not known: a broker or server did not answer.
const NOT_ASKED: u8 = 3;

/// The command: 0 where everything fits, 1 where something would stop, 2 where the settings are wrong, 3 where nothing is
/// known to be wrong, but not everything could be asked.
#[expect(clippy::needless_pass_by_value, reason = "all commands take their settings")]
pub(super) fn check(config: Config) -> ExitCode {
    let host = match Host::with(HostSettings::default(), Compiler::of_this_program(), None) {
        Ok(host) => host,
        Err(error) => return failed(&error),
    };
    let deployed = match load_plugins(&config, &host) {
        Ok(deployed) => deployed,
        Err(problems) => return super::mistaken(&problems),
    };
    show_settings(&config);
    let plans = engine_runtime().map_err(|error| in_words(&error)).and_then(|runtime| {
        let plans = runtime.block_on(plans(&config, &deployed));
        runtime.shutdown_background();
        plans
    });
    match plans {
        Ok(plans) => {
            let mut shown = BTreeSet::new();
            deployed.iter().zip(&plans).for_each(|(deployed, plan)| show(deployed, plan, &mut shown));
            if !plans.iter().all(Plan::works) {
                return ExitCode::FAILURE;
            }
            if plans.iter().all(Plan::is_whole) {
                return ExitCode::SUCCESS;
            }
            eprintln!("\nengine: not everything could be asked, so not everything is checked");
            ExitCode::from(NOT_ASKED)
        }
        Err(message) => {
            eprintln!("engine: {message}");
            ExitCode::FAILURE
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> ExitCode {
    eprintln!("engine: {}", in_words(error));
    ExitCode::FAILURE
}

async fn plans(config: &Config, deployed: &[Version]) -> Result<Vec<Plan>, String> {
    let source = source(config).map_err(|error| in_words(&error))?;
    let sinks = ClickHouses::default();
    // What the registry says is kept nowhere: a check leaves no trace.
    let folder = tempfile::tempdir().map_err(|error| in_words(&error))?;
    let artifacts = Artifacts::open(folder.path()).map_err(|error| in_words(&error))?;
    let registry = registry(config, &artifacts).map_err(|error| in_words(&error))?;
    let plan = |one: &Version| {
        let (file, transform) = (one.file.clone(), one.transform.clone());
        let (source, sinks, registry) = (&source, &sinks, registry.as_deref());
        async move {
            let sink = sinks.of(&file.tenant).map_err(|error| in_words(&error))?;
            Ok(Plan::make(&**source, &sink, registry, &file, &transform).await)
        }
    };
    futures::future::join_all(deployed.iter().map(plan)).await.into_iter().collect()
}

fn show_settings(config: &Config) {
    match &config.input {
        Input::Kafka(kafka) => println!("source      Kafka {}", kafka.brokers),
        Input::Files(files) => {
            files.iter().for_each(|file| println!("source      {}", file.display()));
        }
    }
    if let Some(registry) = &config.registry {
        println!("registry    {}", registry.url);
    }
    println!("tables      {} database {}", config.clickhouse.url, config.database);
    println!("data        {}", config.data_dir.display());
}

/// Shows a plugin; a table that is `shown` already, with the same plan, is named alone: all have their dead letters in one.
fn show(deployed: &Version, plan: &Plan, shown: &mut BTreeSet<String>) {
    let (file, transform) = (&deployed.file, &deployed.transform);
    println!("\n{}", file.key());
    if !file.tenant.is_default() {
        let TenantSettings { url, user, topics, .. } = TenantSettings::of(&file.tenant);
        println!("  tenant    {}: {topics}; to {url} database {} as {user}", file.tenant.name, file.tenant.database);
    }
    println!("  topics    {}: {}", file.topics.join(", "), partitions(plan));
    match transform.plugin() {
        None => println!("  bronze    messages as they come"),
        Some(plugin) => {
            let description = plugin.description();
            println!("  plugin    {} {} ({})", description.name, description.version, &plugin.digest()[..12]);
            let columns = description.input.fields().iter();
            let columns: Vec<_> = columns.map(|field| format!("{} {}", field.name(), field.data_type())).collect();
            println!("  reads     {}", columns.join(", "));
            show_state(description, transform);
        }
    }
    if let Some(sample) = &plan.sample {
        let schema = if sample.with_schema { "with" } else { "without" };
        println!("  compared  {} newest messages, {schema} schema", sample.messages);
    }
    for finding in &plan.findings {
        println!("  {:<9} {}", finding.weight.to_string(), finding.message);
    }
    for (table, planned) in &plan.tables {
        let kind = match table.kind {
            TableKind::Append => "append",
            TableKind::Current => "current state",
        };
        if shown.insert(format!("{} {planned:?}", table.quoted())) {
            println!("  writes    {} ({kind}, by {})", table.quoted(), table.sort_key.join(", "));
            show_table(planned);
        } else {
            println!("  writes    {}: see above", table.quoted());
        }
    }
}

/// What it remembers, and how time passes for it.
fn show_state(description: &Description, transform: &Transform) {
    if let Some(state) = &description.state {
        let table = |table: &StateTable| match table.on_expire {
            OnExpire::Drop => format!("{} (forgotten when it expires)", table.name),
            OnExpire::Call => format!("{} (the plugin is called when it expires)", table.name),
        };
        let tables: Vec<_> = state.tables.iter().map(table).collect();
        let reads = match &state.reads[..] {
            [] => String::new(),
            reads => format!(", reads {}", reads.iter().map(u32::to_string).collect::<Vec<_>>().join(", ")),
        };
        let most = transform.settings().limits.state_bytes >> 20;
        let version = state.version;
        println!(
            "  keeps     {}: version {version}{reads}, at most {most} MiB a partition in memory",
            tables.join(", ")
        );
    }
    if let Some(EventTime { delay_ms, idle_ms }) = transform.event_time() {
        let idle = idle_ms.map_or_else(
            || "only events move it".to_owned(),
            |ms| format!("after {ms} ms without events it follows the clock"),
        );
        println!("  watermark {delay_ms} ms behind the greatest event time; {idle}");
    }
}

fn partitions(plan: &Plan) -> String {
    match &plan.partitions {
        Ok(found) if found.is_empty() => "no such topic yet".to_owned(),
        Ok(found) => {
            let mut topics: Vec<&str> = found.iter().map(|Found { partition, .. }| &*partition.topic).collect();
            topics.dedup();
            format!("{} of {}", counted(found.len(), "partition"), topics.join(", "))
        }
        Err(message) => format!("not compared: {message}"),
    }
}

fn counted(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

pub(super) fn show_table(planned: &Result<TablePlan, NoTable>) {
    match planned {
        Ok(TablePlan::Create { statements, .. }) => {
            println!("            not there yet; the first start runs:");
            show_statements(statements);
        }
        Ok(TablePlan::Keep { adds, statements, guarantee }) => {
            println!("            is there, {}", worth(*guarantee));
            if !adds.is_empty() {
                println!("            lacks {}", adds.join(", "));
            }
            if !statements.is_empty() {
                println!("            the next start runs:");
                show_statements(statements);
            }
        }
        Err(NoTable::Refused(message)) => {
            message.lines().for_each(|line| println!("  wrong     {}", line.trim_start()));
        }
        Err(NoTable::Unknown(message)) => println!("  unknown   {message}"),
    }
}

fn worth(guarantee: Guarantee) -> String {
    match guarantee {
        Guarantee::Window { parts } => format!("repeats of its last {parts} parts have no effect"),
        Guarantee::None => "without a deduplication window: a repeat after a crash may double rows".to_owned(),
    }
}

fn show_statements(statements: &[String]) {
    for statement in statements {
        statement.lines().for_each(|line| println!("              {line}"));
    }
}
