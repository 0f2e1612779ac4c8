//! `engine schema`: gold tables and views, from SQL files, in ClickHouse.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Args, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use super::plugin::project::host;
use super::plugin::{Failure, ended};
use super::run::{engine_runtime, load_plugins};
use super::server_args::ServerArgs;
use crate::schema::backfill::{Day, Days, Filled, Range, backfill};
use crate::schema::cluster::Cluster;
use crate::schema::lock::alone;
use crate::schema::plan::{Planned, Step, apply, plan};
use crate::schema::statement::{Kind, read_folders};
use crate::schema::{Database, SchemaError};
use crate::sink::ClickHouse;
use crate::table::Table;

/// What to do about gold.
#[derive(Clone, Debug, Subcommand)]
pub enum SchemaCommand {
    /// Show what `apply` would do; nothing is changed.
    Plan(SchemaPlanArgs),
    /// Make the tables and views of the files; those that are there as their files say are left alone.
    Apply(SchemaApplyArgs),
    /// Make days of a table equal to what its source says; the source is checked before, the outcome after.
    Backfill(BackfillArgs),
}

/// Arguments of `schema plan`.
#[derive(Clone, Debug, Args)]
#[command(after_help = PLAN)]
pub struct SchemaPlanArgs {
    /// Folders of `.sql` files, whose statements are run in the order of their names.
    #[arg(value_name = "FOLDER", required_unless_present = "cluster")]
    folders: Vec<PathBuf>,
    /// The statements for this cluster of the server's `remote_servers` instead, for the tables of all plugins and the folders'. No
    /// server is asked.
    #[arg(long, value_name = "NAME")]
    cluster: Option<String>,
    /// The folder of plugins, with --cluster [default: plugins].
    #[arg(long, value_name = "DIR", requires = "cluster")]
    plugins: Option<String>,
    #[command(flatten)]
    at: ServerArgs,
}

const PLAN: &str = "\
Lines that begin with - are there, lines that begin with + are in the file. Exit code: 0 apply would do all of it, 1 something \
is refused, 2 a mistake in the settings.
Examples:
  engine schema plan schemas/clickhouse/gold/orders --database silver
  engine schema plan schemas/clickhouse/gold/orders --database silver --cluster shop > shop.sql";

/// Arguments of `schema apply`.
#[derive(Clone, Debug, Args)]
pub struct SchemaApplyArgs {
    /// Folders of `.sql` files, whose statements are run in the order of their names.
    #[arg(value_name = "FOLDER", required = true)]
    folders: Vec<PathBuf>,
    /// Take this table or view for what its file says: it was made, or changed, by hand. May be given more than once.
    #[arg(long, value_name = "NAME")]
    adopt: Vec<String>,
    #[command(flatten)]
    at: ServerArgs,
}

/// Arguments of `schema backfill`.
#[derive(Clone, Debug, Args)]
#[command(after_help = BACKFILL)]
pub struct BackfillArgs {
    /// The table.
    #[arg(long, value_name = "NAME")]
    table: String,
    /// The first day; by default the first there is.
    #[arg(long, value_name = "DAY")]
    from: Option<Day>,
    /// The day behind the last; by default none.
    #[arg(long, value_name = "DAY")]
    to: Option<Day>,
    /// Take the source as it is, where rows were taken out of it on purpose.
    #[arg(long)]
    unchecked: bool,
    #[command(flatten)]
    at: ServerArgs,
}

const BACKFILL: &str = "\
Days that are equal already are left alone, so a second run changes nothing. A table whose view makes it anew by the clock is \
made anew as a whole. Exit code: 0 all days are right, 1 something is in the way, 2 a mistake in the settings.
Example:
  engine schema backfill --table orders_hourly_agg --from 2026-11-01 --to 2026-12-01 --database silver";

impl From<SchemaError> for Failure {
    fn from(error: SchemaError) -> Self {
        Self::failed(error)
    }
}

/// The command.
pub(super) fn schema(command: &SchemaCommand) -> ExitCode {
    ended(done(command).map(|right| if right { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
}

/// Says whether all is as it shall be.
fn done(command: &SchemaCommand) -> Result<bool, Failure> {
    if let SchemaCommand::Plan(SchemaPlanArgs { cluster: Some(cluster), folders, plugins, at }) = command {
        return for_cluster(cluster, folders, plugins.as_deref(), at);
    }
    let runtime = engine_runtime()?;
    let done = runtime.block_on(async {
        match command {
            SchemaCommand::Plan(args) => {
                let planned = plan(&database(&args.at)?, read_folders(&args.folders)?, &[]).await?;
                planned.iter().for_each(show);
                Ok(!planned.iter().any(is_refused))
            }
            SchemaCommand::Apply(args) => applied(args).await,
            SchemaCommand::Backfill(args) => filled(args).await,
        }
    });
    runtime.shutdown_background();
    done
}

/// Prints the statements for a cluster.
fn for_cluster(name: &str, folders: &[PathBuf], plugins: Option<&str>, at: &ServerArgs) -> Result<bool, Failure> {
    let config = at.settings(&[("--plugins", "plugins", plugins)])?;
    let versions = load_plugins(&config, &host()?)?;
    let mut tables: Vec<Arc<Table>> = Vec::new();
    for table in versions.iter().flat_map(|version| version.transform.tables()) {
        if !tables.iter().any(|other| other.quoted() == table.quoted()) {
            tables.push(table);
        }
    }
    let statements = Cluster { name, database: &config.database }.plan(&tables, &read_folders(folders)?)?;
    println!("-- Cluster {name}. Each server needs the macros shard and replica, and Keeper or ZooKeeper.");
    println!(
        "-- An engine writes to one server of a shard: to shard n of N, counted from 0, the partitions p with p % N = n."
    );
    statements.iter().for_each(|statement| println!("\n{statement};"));
    Ok(true)
}

async fn applied(args: &SchemaApplyArgs) -> Result<bool, Failure> {
    let (database, statements) = (database(&args.at)?, read_folders(&args.folders)?);
    let work = async {
        let planned = plan(&database, statements, &args.adopt).await?;
        if !planned.iter().any(is_refused) {
            apply(&database, &planned, |done| println!("done  {}", done.statement.name)).await?;
        }
        Ok(planned)
    };
    let planned = alone(&database, "engine schema apply", work, interrupted()).await?;
    if planned.iter().any(is_refused) {
        planned.iter().filter(|planned| is_refused(planned)).for_each(show);
        println!("nothing was changed");
        return Ok(false);
    }
    let left = planned.iter().filter(|planned| planned.step == Step::Keep).count();
    println!("{left} of {} were as their files say", planned.len());
    let new = |planned: &&Planned| planned.step == Step::Create && planned.statement.kind == Kind::Filler;
    if planned.iter().any(|planned| new(&planned)) {
        println!("what was there before a view is not in the table that it fills: engine schema backfill --table NAME");
    }
    Ok(true)
}

async fn filled(args: &BackfillArgs) -> Result<bool, Failure> {
    let BackfillArgs { table, from, to, unchecked, at } = args;
    let (database, range) = (database(at)?, Range { from: from.clone(), to: to.clone() });
    let what = format!("engine schema backfill of {table}");
    match alone(&database, &what, backfill(&database, table, &range, *unchecked), interrupted()).await? {
        Filled::Days(days) => Ok(show_days(table, &days)),
        Filled::Refreshed(views) => {
            println!("{table}: made anew as a whole by {}", views.join(", "));
            Ok(true)
        }
    }
}

/// Ends when somebody wants the command to end.
async fn interrupted() {
    match (signal(SignalKind::interrupt()), signal(SignalKind::terminate())) {
        (Ok(mut interrupt), Ok(mut terminate)) => {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        }
        // Signals can't be caught: one ends the process, as a crash would.
        _ => std::future::pending().await,
    }
}

fn is_refused(planned: &Planned) -> bool {
    matches!(planned.step, Step::Refuse { .. })
}

fn show(planned: &Planned) {
    let Planned { statement, step, .. } = planned;
    let place = format!("{}:{}", statement.path.display(), statement.line);
    let name = &statement.name;
    let lines = |difference: &[String]| difference.iter().for_each(|line| println!("  {line}"));
    match step {
        Step::Keep => println!("keep     {name}  {place}"),
        Step::Adopt => println!("adopt    {name}  {place}"),
        Step::Create => println!("create   {name}  {place}\n{};", statement.text),
        Step::Replace { difference } => {
            println!("replace  {name}  {place}");
            lines(difference);
        }
        Step::Refuse { why, difference } => {
            println!("REFUSED  {name}  {place}\n  {why}");
            lines(difference);
        }
    }
}

/// Says whether all of the days are right.
fn show_days(table: &str, days: &Days) -> bool {
    let Days { compared, made, only_here, restless, fills } = days;
    if made.is_empty() {
        println!("{table}: {compared} days compared with its source, none made anew");
    } else {
        println!("{table}: {compared} days compared with its source; made anew, and equal now: {}", made.join(", "));
        fills
            .iter()
            .for_each(|other| println!("{other} is made of it, and knows nothing of that: backfill it as well"));
    }
    if !only_here.is_empty() {
        println!(
            "left as they are, for the source has no row of them any more: {}. If they shall go: ALTER TABLE {table} DROP \
             PARTITION 'DAY'",
            only_here.join(", ")
        );
    }
    if !restless.is_empty() {
        println!(
            "not equal yet: {}. Rows come into them, or their aggregates are not exact (quantile, any, argMax among equals): run it \
             again when none come, or end the range before them (--to)",
            restless.join(", ")
        );
    }
    only_here.is_empty() && restless.is_empty()
}

/// The database of silver and gold.
fn database(at: &ServerArgs) -> Result<Database, Failure> {
    let config = at.settings(&[])?;
    Ok(Database::new(Arc::new(ClickHouse::new(config.clickhouse).map_err(Failure::failed)?), config.database))
}
