//! `engine plugin run`: what a plugin makes of a topic or a file, at the terminal. Nothing is written anywhere: there is
//! no journal, no table, and positions are told to nobody.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use terminal_size::{Width, terminal_size_of};
use tokio::signal;
use tokio::time::timeout;

use super::Failure;
use super::messages::{Epochs, SchemaIds};
use super::outcome::{Dead, Outcome, Row, outcomes};
use super::project::{Project, host};
use crate::batch::RawBatch;
use crate::cli::paint::Paint;
use crate::cli::table::{harmless, table};
use crate::clock::{Clock, SystemClock};
use crate::config::{Config, Overlay};
use crate::disposition::in_words;
use crate::registry::Schemas;
use crate::source::{BatchLimits, Found, Reader, Source, SourceError, Start};
use crate::transform::{Tally, Transform};

/// Messages that are shown at a time: a screen or some, so that the first rows are there at once.
const SHOWN_AT_ONCE: usize = 1_000;
/// How long one partition is waited for before the next is asked.
const TURN: Duration = Duration::from_millis(250);
/// The newest messages of each partition of a topic, if nothing else is said.
const NEWEST: i64 = 100;

/// Arguments of `plugin run`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct PluginRunArgs {
    /// The plugin's name or folder.
    #[arg(value_name = "NAME|DIR")]
    pub name: String,
    /// The folder of plugins [default: plugins].
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<String>,
    /// Recorded messages (JSON lines); may be given more than once.
    #[arg(long, value_name = "FILE", conflicts_with = "kafka")]
    pub source: Vec<PathBuf>,
    /// Kafka brokers; security settings are those of engine.toml and the environment.
    #[arg(long, value_name = "HOST:PORT,...")]
    pub kafka: Option<String>,
    /// Topics in place of those of plugin.toml: names, or regular expressions that begin with ^.
    #[arg(long, value_name = "TOPIC")]
    pub topic: Vec<String>,
    /// Where to begin in each partition: `earliest`, `latest`, an offset, or -N for the newest N
    /// [default: earliest in files, -100 in topics].
    #[arg(long, value_name = "WHERE", allow_hyphen_values = true)]
    pub from: Option<From>,
    /// Stop after so many messages.
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Wait for more at the end, until Ctrl-C.
    #[arg(long)]
    pub follow: bool,
    /// One JSON object a line, as in expected.jsonl, in place of tables.
    #[arg(long)]
    pub json: bool,
    /// Settings; by default engine.toml, if it is there. Of messages in Avro the schemas are asked from its `registry`, or
    /// found in a schemas.json beside the recording.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  engine plugin run customers --source recorded.jsonl
  engine plugin run customers --kafka localhost:9092
  engine plugin run customers --kafka localhost:9092 --from latest --follow
  engine plugin run customers --kafka localhost:9092 --from 1200 --limit 10 --json

Nothing is written: no table, no journal, no offsets. Messages that no row is made of are shown with their reasons.";

/// Where to begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    /// At the first message that there is.
    Earliest,
    /// Behind the last one.
    Latest,
    /// At this offset.
    Offset(i64),
    /// So many before the end.
    Newest(i64),
}

impl FromStr for From {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match (text, text.parse::<i64>()) {
            ("earliest", _) => Ok(Self::Earliest),
            ("latest", _) => Ok(Self::Latest),
            (_, Ok(offset @ 0..)) if !text.starts_with('-') => Ok(Self::Offset(offset)),
            (_, Ok(newest @ ..0)) if newest > i64::MIN => Ok(Self::Newest(-newest)),
            _ => Err("expected earliest, latest, an offset, or -N for the newest N messages"),
        }
    }
}

/// A topic without messages, or none at all.
#[derive(Debug, thiserror::Error)]
#[error("there is no topic {}: name another with --topic", .0.join(", "))]
struct NoTopic(Vec<String>);

/// The command.
pub(super) fn run(args: &PluginRunArgs) -> Result<ExitCode, Failure> {
    let config = config(args)?;
    let project = Project::find(&config.plugins, &args.name)?;
    let file = project.file()?;
    let transform = project.transform(&host()?, file.settings)?;
    if let Some(source) = project.stale() {
        eprintln!("note: {} is younger than plugin.wasm: engine plugin build {}", source.display(), project.name);
    }
    let topics = if args.topic.is_empty() { file.topics } else { args.topic.clone() };
    let runtime = crate::cli::run::engine_runtime().map_err(Failure::failed)?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = show_all(args, &config, &topics, &transform) => outcome,
            _ = signal::ctrl_c() => Ok(()),
        }
    });
    runtime.shutdown_background(); // a client that waits for its broker must not hold the program up
    outcome.map(|()| ExitCode::SUCCESS)
}

/// The settings of a run, of which source and folder of plugins are used.
fn config(args: &PluginRunArgs) -> Result<Config, Failure> {
    let flags = [("--kafka", "kafka.brokers", &args.kafka), ("--plugins", "plugins", &args.plugins)];
    let flag =
        |(flag, key, value): (&str, &str, &Option<String>)| Some((flag.to_owned(), key.to_owned(), value.clone()?));
    let overlay = Overlay {
        file: args.config.clone(),
        flags: flags.into_iter().filter_map(flag).collect(),
        environment: std::env::vars().collect(),
        source_files: args.source.clone(),
        ..Overlay::default()
    };
    Ok(Config::read(&overlay)?)
}

/// A partition that is read.
struct Open {
    found: Found,
    reader: Box<dyn Reader>,
    /// Where it ended when it was opened.
    end: i64,
    /// What the plugin remembers of it.
    epochs: Epochs,
}

async fn show_all(
    args: &PluginRunArgs,
    config: &Config,
    topics: &[String],
    transform: &Transform,
) -> Result<(), Failure> {
    let source = crate::cli::run::source(config).map_err(Failure::failed)?;
    let default = if args.source.is_empty() { From::Newest(NEWEST) } else { From::Earliest };
    let mut open = partitions(&*source, topics, args.from.unwrap_or(default), transform).await?;
    let ids = SchemaIds::of(&args.source, config.registry.as_ref())?;
    let mut screen = Screen::new(args.json, transform);
    let mut left = args.limit.unwrap_or(usize::MAX);
    while !open.is_empty() && left > 0 {
        let mut at_end = Vec::new();
        for (index, partition) in open.iter_mut().enumerate() {
            let limits = BatchLimits { max_messages: left.min(SHOWN_AT_ONCE), max_bytes: 8 << 20, linger: TURN };
            match timeout(TURN, partition.reader.next_batch(limits)).await {
                Ok(Ok(Some(batch))) => {
                    left = left.saturating_sub(batch.messages.len());
                    screen.show(transform, partition, &batch, &ids.schemas(&batch).await?)?;
                }
                Ok(Ok(None)) => at_end.push(index),
                Ok(Err(error)) => return Err(Failure::failed(error)),
                Err(_) => screen.waiting(partition.reader.trouble()),
            }
            let reached = partition.reader.lag().is_some_and(|lag| lag.position >= partition.end);
            if reached && !args.follow && at_end.last() != Some(&index) {
                at_end.push(index);
            }
            if left == 0 {
                break;
            }
        }
        at_end.into_iter().rev().for_each(|index| drop(open.remove(index)));
    }
    screen.closing();
    Ok(())
}

async fn partitions(
    source: &dyn Source,
    topics: &[String],
    from: From,
    transform: &Transform,
) -> Result<Vec<Open>, Failure> {
    let refused = |error: SourceError| Failure::failed(error);
    let found = source.discover(topics).await.map_err(refused)?;
    if found.is_empty() {
        return Err(Failure::mistake(NoTopic(topics.to_vec())));
    }
    let mut open = Vec::new();
    for found in found {
        let (first, end) = source.bounds(&found.partition).await.map_err(refused)?;
        if first == end && end == 0 {
            // Nothing was ever there; a file has no such partition at all.
            if source.open(&found, Start::Earliest).await.is_err() {
                continue;
            }
        }
        let start = match from {
            From::Earliest => Start::Earliest,
            From::Latest => Start::Latest,
            From::Offset(offset) => Start::Offset(offset.clamp(first, end)),
            From::Newest(count) => Start::Offset((end - count).max(first)),
        };
        let reader = source.open(&found, start).await.map_err(refused)?;
        open.push(Open { epochs: Epochs::new(transform, &found), found, reader, end });
    }
    if open.is_empty() { Err(Failure::mistake(NoTopic(topics.to_vec()))) } else { Ok(open) }
}

/// Where rows are shown: standard output; what is said of the run goes to standard error.
struct Screen {
    json: bool,
    paint: Paint,
    /// The terminal's cells; none where it is a file or a pipe.
    width: Option<usize>,
    dead_letters: String,
    total: Tally,
    said_waiting: Option<String>,
}

impl Screen {
    fn new(json: bool, transform: &Transform) -> Self {
        let width = terminal_size_of(io::stdout()).map(|(Width(width), _)| usize::from(width));
        let dead_letters = transform.settings().dead_letters.clone();
        Self { json, paint: Paint::stdout(), width, dead_letters, total: Tally::default(), said_waiting: None }
    }

    /// Transforms a batch and shows what becomes of it.
    fn show(
        &mut self,
        transform: &Transform,
        partition: &mut Open,
        batch: &RawBatch,
        schemas: &Schemas,
    ) -> Result<(), Failure> {
        self.said_waiting = None;
        let found = &partition.found;
        let epoch = partition
            .epochs
            .epoch(transform, batch, schemas, SystemClock.now_ms())
            .map_err(|error| Failure::in_words(format!("{}: {}", found.partition, in_words(&error))))?;
        let tally = epoch.tally;
        self.total.messages += tally.messages;
        self.total.rows_out += tally.rows_out;
        add(&mut self.total.no_ops, tally.no_ops);
        add(&mut self.total.dead, tally.dead);
        let outcomes = outcomes(&epoch.blocks, &self.dead_letters);
        let mut out = io::stdout().lock();
        if self.json {
            for outcome in outcomes {
                writeln!(out, "{}", serde_json::to_string(&outcome).expect("texts under text keys"))?;
            }
        } else {
            self.tables(&mut out, &outcomes)?;
            self.letters(&mut out, found, &outcomes)?;
        }
        Ok(out.flush()?)
    }

    fn tables<'o>(&self, out: &mut impl Write, outcomes: &'o [Outcome]) -> io::Result<()> {
        let row = |outcome: &'o Outcome| if let Outcome::Row(row) = outcome { Some(row) } else { None };
        let rows: Vec<&Row> = outcomes.iter().filter_map(row).collect();
        for of_table in rows.chunk_by(|one, next| one.table == next.table) {
            // `_deleted` stands only with rows where it says something.
            let Some(first) = of_table.iter().max_by_key(|row| row.row.0.len()) else { continue };
            let names: Vec<&str> = first.row.0.iter().map(|(name, _)| name.as_str()).collect();
            let value =
                |row: &Row, name: &&str| row.row.get(name).map_or(Some(String::new()), |it| it.map(str::to_owned));
            let values = |row: &&Row| names.iter().map(|name| value(row, name)).collect();
            let values: Vec<Vec<Option<String>>> = of_table.iter().map(values).collect();
            writeln!(out, "{}", self.paint.green(&first.table))?;
            writeln!(out, "{}", table(&names, &values, self.width, self.paint))?;
        }
        Ok(())
    }

    fn letters(&self, out: &mut impl Write, found: &Found, outcomes: &[Outcome]) -> io::Result<()> {
        for outcome in outcomes {
            let Outcome::Dead { dead: Dead { offset, stage, code, column, reason } } = outcome else { continue };
            let column = column.as_ref().map(|column| format!(" (column {column})")).unwrap_or_default();
            let place = format!("{} offset {offset}", found.partition);
            let head = self.paint.red(&format!("dead letter  {place}: {stage} {code}{column}"));
            writeln!(out, "{head}: {}", harmless(reason))?;
        }
        Ok(())
    }

    /// Says once that nothing comes, and why if that is known.
    fn waiting(&mut self, trouble: Option<String>) {
        let why = trouble.unwrap_or_else(|| "waiting for messages (Ctrl-C ends)".to_owned());
        if self.said_waiting.as_ref() != Some(&why) && io::stderr().is_terminal() {
            eprintln!("{why}");
            self.said_waiting = Some(why);
        }
    }

    /// What became of all messages.
    fn closing(&self) {
        let counted = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
        let (messages, rows) = (counted(self.total.messages, "message"), counted(self.total.rows_out, "row"));
        let mut parts = vec![format!("{messages}: {rows}")];
        parts.extend(self.total.dead.iter().map(|((_, code), count)| format!("{count} dead ({code})")));
        parts.extend(self.total.no_ops.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())));
        eprintln!("{}", parts.join(", "));
    }
}

fn add<K: Ord>(total: &mut BTreeMap<K, usize>, more: BTreeMap<K, usize>) {
    for (key, count) in more {
        *total.entry(key).or_default() += count;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_begin_is_read() {
        assert_eq!("earliest".parse(), Ok(From::Earliest));
        assert_eq!("latest".parse(), Ok(From::Latest));
        assert_eq!("17".parse(), Ok(From::Offset(17)));
        assert_eq!("-5".parse(), Ok(From::Newest(5)));
        for wrong in ["", "first", "-0", "1.5", "-9223372036854775808"] {
            assert!(wrong.parse::<From>().is_err(), "{wrong}");
        }
    }
}
