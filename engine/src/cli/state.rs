//! `engine state`: what the lanes of plugins remember, read from the journal. It needs no plugin, and changes nothing.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::disposition::in_words;
use crate::journal::{Journal, JournalError, LocalJournal, Position};
use crate::offsets::{LaneId, PluginKey};
use crate::state::{Disk, State, StateError};

/// What to do with state.
#[derive(Clone, Debug, Subcommand)]
pub enum StateCommand {
    /// Tables, entries, bytes and expiries of each lane.
    Inspect(StateLanes),
    /// All entries as lines of JSON.
    Export(StateExportArgs),
}

/// Which lanes.
#[derive(Clone, Debug, Args)]
pub struct StateLanes {
    /// Of this plugin alone; of a tenant, TENANT/NAME.
    #[arg(long, value_name = "NAME")]
    pub plugin: Option<PluginKey>,
    /// Of this topic alone.
    #[arg(long)]
    pub topic: Option<String>,
    /// Of this partition alone.
    #[arg(long, value_name = "N")]
    pub partition: Option<i32>,
    /// Journal and artifacts.
    #[arg(long, value_name = "DIR", default_value = "data", env = "ENGINE_DATA_DIR")]
    pub data_dir: PathBuf,
}

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
pub struct StateExportArgs {
    /// Which lanes.
    #[command(flatten)]
    pub lanes: StateLanes,
    /// This table alone.
    #[arg(long, value_name = "NAME")]
    pub table: Option<String>,
    /// Where to [default: standard output].
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Why it can't be shown.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    State(#[from] StateError),
    #[error("writing failed")]
    Write(#[from] io::Error),
}

/// The command.
pub(super) fn state(command: &StateCommand) -> ExitCode {
    let done = match command {
        StateCommand::Inspect(lanes) => inspect(lanes, &mut io::stdout().lock()),
        StateCommand::Export(args) => export(args),
    };
    match done {
        Ok(0) => {
            let (StateCommand::Inspect(lanes) | StateCommand::Export(StateExportArgs { lanes, .. })) = command;
            eprintln!("the journal in {} has no such lane", lanes.data_dir.display());
            ExitCode::from(2)
        }
        Ok(_) => ExitCode::SUCCESS,
        // Whoever reads along has seen enough.
        Err(Failure::Write(error)) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            ExitCode::FAILURE
        }
    }
}

/// Calls for each lane that is meant; says how many there are.
fn each_lane(
    args: &StateLanes,
    mut each: impl FnMut(&LaneId, &Position, &State) -> Result<(), Failure>,
) -> Result<usize, Failure> {
    let journal = LocalJournal::open(&args.data_dir)?;
    let meant = |lane: &LaneId| {
        args.plugin.as_ref().is_none_or(|plugin| *plugin == lane.key())
            && args.topic.as_ref().is_none_or(|topic| *topic == lane.topic)
            && args.partition.is_none_or(|partition| partition == lane.partition)
    };
    let lanes: Vec<_> = journal.lanes()?.into_iter().filter(|(lane, ..)| meant(lane)).collect();
    for (lane, position, _) in &lanes {
        each(lane, position, &read(&journal, lane)?)?;
    }
    Ok(lanes.len())
}

/// The state of a lane as of its last commit, with the tables that its last record names: the others are forgotten.
fn read(journal: &LocalJournal, lane: &LaneId) -> Result<State, Failure> {
    let mut state = State::default();
    journal.look(lane, &mut |record| {
        state = State::of(record)?;
        Ok(())
    })?;
    if let Some(folder) = journal.disk_of(lane).filter(|folder| folder.is_dir()) {
        state.keep_on(Disk::open(&folder, 0, 0)?);
    }
    journal.look(lane, &mut |record| state.restore(record))?;
    state.open_disk()?;
    Ok(state)
}

fn inspect(args: &StateLanes, out: &mut impl Write) -> Result<usize, Failure> {
    each_lane(args, |lane, position, state| {
        let watermark = position.watermark_ms.map_or_else(|| "none".to_owned(), |ms| ms.to_string());
        writeln!(out, "{lane}: epoch {}, watermark {watermark}", position.epoch)?;
        if state.tables().is_empty() {
            writeln!(out, "  remembers nothing")?;
        }
        for (index, table) in state.tables().iter().enumerate() {
            let Found { entries, expired, bytes, expiries } = found(state, index, position.watermark_ms)?;
            let between = expiries
                .map_or_else(|| "none expires".to_owned(), |(first, last)| format!("expiries from {first} to {last}"));
            writeln!(out, "  {}: {entries} entries, {bytes} bytes, {expired} expired, {between}", table.name)?;
        }
        Ok(())
    })
}

/// What there is of a table.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    entries: usize,
    /// Of them, those whose expiry the watermark of the next epoch has reached.
    expired: usize,
    /// Of keys and values.
    bytes: usize,
    /// The earliest and the latest.
    expiries: Option<(i64, i64)>,
}

fn found(state: &State, table: usize, watermark_ms: Option<i64>) -> Result<Found, StateError> {
    let mut found = Found::default();
    state.each_entry(table, |key, value, expiry| {
        found.entries += 1;
        found.bytes += key.len() + value.len();
        found.expired += usize::from(watermark_ms.is_some_and(|watermark| expiry <= watermark));
        if expiry != i64::MAX {
            let (first, last) = found.expiries.unwrap_or((expiry, expiry));
            found.expiries = Some((first.min(expiry), last.max(expiry)));
        }
    })?;
    Ok(found)
}

fn export(args: &StateExportArgs) -> Result<usize, Failure> {
    let mut out: Box<dyn Write> = match &args.output {
        Some(file) => Box::new(BufWriter::new(File::create(file)?)),
        None => Box::new(BufWriter::new(io::stdout().lock())),
    };
    let lanes = each_lane(&args.lanes, |lane, _, state| {
        for (index, table) in state.tables().iter().enumerate() {
            if args.table.as_ref().is_some_and(|wanted| *wanted != table.name) {
                continue;
            }
            let mut written = Ok(());
            state.each_entry(index, |key, value, expiry| {
                let line = json!({
                    "tenant": lane.tenant, "plugin": lane.plugin, "topic": lane.topic, "partition": lane.partition,
                    "table": table.name, "key": cell(key), "value": cell(value), "expiry_ms": (expiry != i64::MAX).then_some(expiry),
                });
                if written.is_ok() {
                    written = writeln!(out, "{line}");
                }
            })?;
            written?;
        }
        Ok(())
    })?;
    out.flush()?;
    Ok(lanes)
}

/// Printable text as it is, other bytes in base64.
fn cell(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => json!({ "text": text }),
        Ok(_) | Err(_) => json!({ "base64": BASE64_STANDARD.encode(bytes) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Commit;
    use crate::state::{Cells, OnExpire, StateTable};

    /// A data folder in which one lane remembers two keys.
    fn remembered() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let lane = LaneId {
            tenant: "default".to_owned(),
            plugin: "events".to_owned(),
            topic: "clicks".to_owned(),
            topic_id: String::new(),
            partition: 3,
        };
        let mut state = State::new(vec![StateTable { name: "seen".to_owned(), on_expire: OnExpire::Drop }], 1 << 20);
        let keys = Cells::Variable { offsets: &[0, 1, 3], bytes: b"a\xff\xff" };
        state.put_many(0, keys, Cells::Variable { offsets: &[0, 0, 3], bytes: b"two" }, &[10, i64::MAX]).expect("good");
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let journal = LocalJournal::open(folder.path()).expect("a new journal");
            let taken = journal.take(&lane).await.expect("nobody's");
            let position = Position { epoch: 1, next_offset: Some(9), watermark_ms: Some(10), ..Position::default() };
            let commit = Commit { epoch: 1, position, state: state.seal().expect("in memory").changes };
            journal.commit(&lane, taken.owner, commit).await.expect("in order");
        });
        folder
    }

    #[test]
    fn what_a_lane_remembers_is_shown_and_written_out() {
        let folder = remembered();
        let lanes = |plugin: &str| StateLanes {
            plugin: Some(PluginKey::from(plugin.to_owned())),
            topic: None,
            partition: None,
            data_dir: folder.path().to_owned(),
        };
        let mut shown = Vec::new();
        assert_eq!(inspect(&lanes("events"), &mut shown).expect("readable"), 1);
        let expected = "default/events/clicks/3: epoch 1, watermark 10\n  \
                        seen: 2 entries, 6 bytes, 1 expired, expiries from 10 to 10\n";
        assert_eq!(String::from_utf8(shown).expect("text"), expected);
        assert_eq!(inspect(&lanes("other"), &mut Vec::new()).expect("readable"), 0);

        let file = folder.path().join("state.jsonl");
        let args = StateExportArgs { lanes: lanes("events"), table: None, output: Some(file.clone()) };
        assert_eq!(export(&args).expect("readable"), 1);
        let lines = std::fs::read_to_string(file).expect("written");
        let mut lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.sort_by_key(|line| line["expiry_ms"].is_null());
        let line = |key: Value, value: Value, expiry: Value| {
            json!({ "tenant": "default", "plugin": "events", "topic": "clicks", "partition": 3, "table": "seen",
                    "key": key, "value": value, "expiry_ms": expiry })
        };
        let text = |text: &str| json!({ "text": text });
        let expected =
            [line(text("a"), text(""), json!(10)), line(json!({ "base64": "//8=" }), text("two"), Value::Null)];
        assert_eq!(lines, expected);
    }

    #[test]
    fn tables_are_counted_with_their_expiries() {
        let mut state = State::new(vec![StateTable { name: "t".to_owned(), on_expire: OnExpire::Call }], 1 << 20);
        assert_eq!(found(&state, 0, None).expect("there"), Found::default());
        let keys = Cells::Variable { offsets: &[0, 1, 2, 3], bytes: b"abc" };
        let values = Cells::Fixed { width: 0, bytes: &[] };
        state.put_many(0, keys, values, &[10, 30, i64::MAX]).expect("good");
        let expected = Found { entries: 3, expired: 1, bytes: 3, expiries: Some((10, 30)) };
        assert_eq!(found(&state, 0, Some(20)).expect("there"), expected);
    }

    #[test]
    fn cells_are_text_where_they_can_be_read() {
        assert_eq!(cell("größe".as_bytes()), json!({ "text": "größe" }));
        assert_eq!(cell(b""), json!({ "text": "" }));
        assert_eq!(cell(&[0, 1, 255]), json!({ "base64": "AAH/" }));
        assert_eq!(cell(b"a\nb"), json!({ "base64": "YQpi" }));
    }
}
