//! `engine verify`: tables compared with what their topics make of them.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::args::RunArgs;
use super::run::{RunningError, cores, engine_runtime, load_plugin, load_plugins, registry, source};
use super::when::milliseconds;
use crate::artifacts::{ArtifactError, Artifacts};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Problems};
use crate::cpu::Cpu;
use crate::deploy::Version;
use crate::disposition::in_words;
use crate::journal::{Journal, JournalError, LocalJournal, Position};
use crate::offsets::{LaneId, OffsetRange, PluginKey};
use crate::plugin::{Compiler, Host, HostSettings};
use crate::sink::{ClickHouses, SinkError, epoch_column};
use crate::source::{Found, SourceError, Start};
use crate::verify::compare::Finding;
use crate::verify::{Audit, AuditError, Report, Subject, TableReport};

/// How long a broker or a server may not answer before the first row is compared. After that it is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Rows of a running engine that are younger are not compared: those of an epoch land one table after the other.
const SETTLED_SECONDS: u32 = 60;

/// Arguments of `verify`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct VerifyArgs {
    /// The plugins whose tables are audited, of tenants TENANT/NAME; all by default.
    plugin: Vec<PluginKey>,
    /// From where: an offset, a time ago (90s, 15m, 2h, 7d), or a day or time in UTC; by default where the topic or the
    /// lane begins.
    #[arg(long, value_name = "OFFSET|TIME")]
    from: Option<String>,
    /// Up to where, by default to what is committed.
    #[arg(long, value_name = "OFFSET|TIME")]
    to: Option<String>,
    /// This topic alone.
    #[arg(long)]
    topic: Option<String>,
    /// This partition alone.
    #[arg(long, value_name = "N")]
    partition: Option<i32>,
    /// Count the rows' names (`_lane`, `_epoch`, `_row`) alone, without reading the topics.
    #[arg(long)]
    names: bool,
    /// One JSON object for each partition on a line.
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    at: RunArgs,
}

const EXAMPLES: &str = "\
Messages are read again, their rows made again by the plugin that made them, and compared with the tables. Nothing is
written. Exit code: 0 all is right, 1 there are differences, 2 it could not be done.
Examples:
  engine verify --kafka localhost:9092
  engine verify orders --from 2h
  engine verify orders --topic shop.orders --partition 3 --from 4711 --to 5000 --json";

/// Why it could not be done.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Settings(#[from] Problems),
    #[error("{0}")]
    Asked(String),
    #[error(transparent)]
    Start(#[from] RunningError),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error(transparent)]
    Sink(#[from] SinkError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    #[error("lane {lane} can't be audited")]
    Lane {
        lane: Box<LaneId>,
        #[source]
        source: AuditError,
    },
    #[error("{what} does not answer within {} s", PATIENCE.as_secs())]
    Silent { what: &'static str },
}

/// The command.
pub(super) fn verify(args: &VerifyArgs) -> ExitCode {
    let runtime = match engine_runtime() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("engine: {error}");
            return ExitCode::from(2);
        }
    };
    let done = runtime.block_on(run(args));
    runtime.shutdown_background();
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(Failure::Settings(problems)) => super::mistaken(&problems),
        Err(Failure::Asked(words)) => {
            eprintln!("{words}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::from(2)
        }
    }
}

/// Audits all lanes that are meant, and says whether all is right.
async fn run(args: &VerifyArgs) -> Result<bool, Failure> {
    let config = Config::read(&super::overlay(&args.at))?;
    let host = Host::with(HostSettings::default(), Compiler::of_this_program(), None).map_err(RunningError::from)?;
    let deployed = if args.plugin.is_empty() {
        load_plugins(&config, &host)?
    } else {
        args.plugin.iter().map(|plugin| load_plugin(&config, &host, plugin)).collect::<Result<_, _>>()?
    };
    // Where nothing was kept yet, nothing is kept now: an audit leaves no trace.
    let scratch = tempfile::tempdir().map_err(|error| Failure::Asked(in_words(&error)))?;
    let kept = if config.data_dir.exists() { config.data_dir.as_path() } else { scratch.path() };
    let artifacts = Artifacts::open(kept)?;
    let clickhouses = ClickHouses::default();
    let audit = Audit {
        source: source(&config)?,
        clickhouse: clickhouses.with(&config.clickhouse)?,
        registry: registry(&config, &artifacts).map_err(RunningError::from)?,
        artifacts,
        host,
        cpu: Cpu::start(cores()).map_err(RunningError::Threads)?,
    };
    let journal = positions(&config)?;
    let (mut right, mut lanes) = (true, 0);
    for deployed in &deployed {
        let audit = Audit { clickhouse: clickhouses.of(&deployed.file.tenant)?, ..audit.clone() };
        let all = in_time("the source", deployed.file.discover(&*audit.source)).await?;
        for found in &all {
            let id = super::lane_id(deployed, found);
            let other = args.topic.as_ref().is_some_and(|topic| *topic != id.topic)
                || args.partition.is_some_and(|partition| partition != id.partition)
                || !deployed.file.partitions.contains(id.partition);
            if other {
                continue;
            }
            lanes += 1;
            let report = lane(args, &audit, deployed, found, journal.as_ref()).await?;
            right &= report.is_right();
            show(&report, args.json);
        }
        let known: Vec<u64> =
            all.iter().flat_map(|found| crate::verify::lanes(&super::lane_id(deployed, found))).collect();
        strangers(args, &audit, deployed, &known).await?;
    }
    if lanes == 0 {
        return Err(Failure::Asked("there is no such topic or partition".to_owned()));
    }
    Ok(right)
}

/// Where lanes stand, as the journal says; `None`: an engine runs on it, or it is not here.
fn positions(config: &Config) -> Result<Option<BTreeMap<LaneId, Position>>, Failure> {
    if !config.data_dir.join("journal").exists() {
        return Ok(None);
    }
    match LocalJournal::open(&config.data_dir) {
        Ok(journal) => {
            let lanes = journal.lanes()?.into_iter();
            Ok(Some(lanes.map(|(lane, position, _)| (lane, position)).collect()))
        }
        Err(JournalError::Locked { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The audit of one lane.
async fn lane(
    args: &VerifyArgs,
    audit: &Audit,
    deployed: &Version,
    found: &Found,
    journal: Option<&BTreeMap<LaneId, Position>>,
) -> Result<Report, Failure> {
    let (id, transform) = (super::lane_id(deployed, found), deployed.transform.clone());
    let mut notes = Vec::new();
    let range = range(args, audit, deployed, found, journal, &mut notes).await?;
    let subject = Subject { id: id.clone(), found: found.clone(), transform, range };
    let failed = |source| Failure::Lane { lane: Box::new(id.clone()), source };
    let mut report = if range.start >= range.end {
        notes.push("nothing to compare: no message of it is committed".to_owned());
        Report::empty(&subject)
    } else if args.names || deployed.transform.remembers() {
        let why = if args.names {
            ""
        } else {
            ": a plugin that remembers earlier messages can't make them again from the middle"
        };
        notes.push(format!("rows were counted by their names alone, not made again{why}"));
        let epoch = journal.and_then(|lanes| lanes.get(&id)).map(|it| epoch_column(it.generation, it.epoch));
        audit.names(&subject, epoch).await.map_err(failed)?
    } else {
        audit.lane(&subject).await.map_err(failed)?
    };
    notes.append(&mut report.notes);
    report.notes = notes;
    Ok(report)
}

/// The offsets that are meant and can be compared.
async fn range(
    args: &VerifyArgs,
    audit: &Audit,
    deployed: &Version,
    found: &Found,
    journal: Option<&BTreeMap<LaneId, Position>>,
    notes: &mut Vec<String>,
) -> Result<OffsetRange, Failure> {
    let id = super::lane_id(deployed, found);
    let (first, end) = in_time("the source", audit.source.bounds(&found.partition)).await?;
    let tables = tables_there(audit, deployed).await?;
    let settled = if journal.is_some() { 0 } else { SETTLED_SECONDS };
    let seen = in_time("ClickHouse", audit.clickhouse.offsets_seen(&tables, id.number(), settled)).await?;
    let committed = match journal {
        Some(lanes) => lanes.get(&id).and_then(|position| position.next_offset).unwrap_or(first),
        None => {
            notes.push(format!(
                "the journal is in use, or elsewhere: compared up to what the tables held {SETTLED_SECONDS} s ago"
            ));
            seen.map_or(first, |seen| seen.end)
        }
    };
    if committed > end {
        let words = format!("{}: offset {committed} is committed, and the topic ends at {end}", found.partition);
        return Err(Failure::Asked(format!("{words}: it was made again, or lost messages")));
    }
    let begin = match (&args.from, deployed.file.start) {
        (Some(from), _) => offset(audit, found, "--from", from).await?,
        // Nobody noted where such a lane began.
        (None, Start::Latest) => seen.map_or(committed, |seen| seen.start),
        (None, Start::Earliest | Start::Offset(_)) => first,
    };
    if begin < first {
        notes.push(format!("offsets [{begin}, {first}) are no longer in the topic: not compared"));
    }
    let until = match &args.to {
        Some(to) => offset(audit, found, "--to", to).await?,
        None => committed,
    };
    Ok(OffsetRange { start: begin.max(first), end: until.min(committed) })
}

async fn tables_there(audit: &Audit, deployed: &Version) -> Result<Vec<Arc<crate::table::Table>>, Failure> {
    let mut there = Vec::new();
    for table in deployed.transform.tables() {
        if in_time("ClickHouse", audit.clickhouse.comparable(&table)).await? == crate::sink::Comparable::Rows {
            there.push(table);
        }
    }
    Ok(there)
}

async fn offset(audit: &Audit, found: &Found, flag: &str, text: &str) -> Result<i64, Failure> {
    if let Ok(offset) = text.parse::<i64>() {
        return Ok(offset);
    }
    let time = milliseconds(flag, text, SystemClock.now_ms()).map_err(Failure::Asked)?;
    Ok(audit.source.at_time(&found.partition, time).await?)
}

async fn in_time<T, E: Into<Failure>>(
    what: &'static str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, Failure> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(_) => Err(Failure::Silent { what }),
    }
}

/// Names rows of lanes that the plugin does not have: another plugin's, a former topic's, or nobody's.
async fn strangers(args: &VerifyArgs, audit: &Audit, deployed: &Version, known: &[u64]) -> Result<(), Failure> {
    if args.json || known.is_empty() {
        return Ok(());
    }
    let letters = deployed.transform.dead_letters().quoted();
    for table in tables_there(audit, deployed).await?.iter().filter(|table| table.quoted() != letters) {
        let strangers = audit.clickhouse.strangers(table, known).await?;
        let rows: u64 = strangers.iter().map(|stranger| stranger.rows).sum();
        if rows > 0 {
            let lanes: Vec<_> = strangers.iter().map(|stranger| stranger.lane.to_string()).collect();
            println!(
                "note  {}: {rows} rows are of other lanes (another plugin's, or a topic's that is gone), _lane {}",
                table.quoted(),
                lanes.join(", ")
            );
        }
    }
    Ok(())
}

fn show(report: &Report, json: bool) {
    if json {
        println!("{}", serde_json::to_string(report).expect("text and numbers"));
        return;
    }
    let Report { plugin, topic, partition, from, to, messages, tables, notes } = report;
    println!("{plugin}  {topic}/{partition}  offsets [{from}, {to}), {}", counted(*messages, "message"));
    for table in tables {
        let TableReport { table: name, current, compared, rows, findings, letters } = table;
        let right = findings.iter().all(|finding| !finding.fault.is_wrong());
        let word = match (compared, right) {
            (false, _) => "-    ",
            (true, true) => "right",
            (true, false) => "WRONG",
        };
        let rows = counted(*rows, "row");
        println!("  {word}  {name}{}: {rows}", if *current { " (current state)" } else { "" });
        for finding in findings {
            println!("           {}", words(finding, *letters));
        }
    }
    notes.iter().for_each(|note| println!("  note   {note}"));
}

/// `3 rows missing: offsets 5, 7 and 1 more up to 99`.
fn words(finding: &Finding, letters: bool) -> String {
    let Finding { fault, rows, offsets, last, some, .. } = finding;
    let what = if letters { "dead letter" } else { "row" };
    let mut words = format!("{} {}", counted(*rows, what), fault.words());
    if !some.is_empty() {
        let named: Vec<_> = some.iter().map(ToString::to_string).collect();
        words.push_str(&format!(": {} {}", if *offsets == 1 { "offset" } else { "offsets" }, named.join(", ")));
        let more = offsets.saturating_sub(some.len() as u64);
        if more > 0 {
            words.push_str(&format!(" and {more} more up to {last}"));
        }
    }
    words
}

fn counted(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}
