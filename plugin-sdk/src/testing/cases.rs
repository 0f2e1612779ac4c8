//! Cases: folders that say what becomes of messages. The same folders are what `engine plugin test` runs the built
//! plugin over; here they run natively, in milliseconds.
//!
//! ```text
//! plugin.toml              parameters, tombstone, decimals
//! cases/<case>/input.jsonl      recorded messages of the plugin's topics
//!              expected.jsonl   what becomes of them: rows table by table, then dead letters by offset
//!              case.toml        may be missing: clock = 2025-01-01T00:00:00Z, and parameters below [parameters];
//!                               epoch_messages = 2: epochs of so many messages; without it all are one epoch;
//!                               watermark = 2025-01-02T00:00:00Z: what expires until then, expires behind the last one
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use debezium_decode::input::{Decimals, Tombstone};
use serde::Deserialize;
use serde_json::{Value, json};

use super::grid::{Grid, difference};
use super::{Answer, Harness, Message, recording};
use crate::{Micros, Plugin, Timestamp};

/// What the files say that a native run depends on.
#[derive(Default, Deserialize)]
struct Settings {
    #[serde(default)]
    parameters: BTreeMap<String, toml::Value>,
    tombstone: Option<Tombstone>,
    decimals: Option<Decimals>,
    clock: Option<toml::value::Datetime>,
    epoch_messages: Option<NonZeroUsize>,
    watermark: Option<toml::value::Datetime>,
    event_time: Option<EventTimeSettings>,
}

/// Of plugin.toml.
#[derive(Clone, Copy, Deserialize)]
struct EventTimeSettings {
    delay_ms: Option<u64>,
    idle_ms: Option<u64>,
}

/// Runs the plugin over all cases in a folder, such as `"cases"`: `cargo test` runs in the package's folder. With
/// `UPDATE_CASES=1` in the environment what is found becomes what is expected.
///
/// # Panics
/// Where something else becomes of a case's messages, with the difference line by line; where there is no case, or a
/// file can't be read.
#[track_caller]
pub fn run_cases<P: Plugin>(folder: impl AsRef<Path>) {
    let folder = folder.as_ref();
    let plugin = settings(&folder.join("../plugin.toml"));
    let mut cases: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|case| case.join("input.jsonl").is_file())
        .collect();
    cases.sort();
    assert!(!cases.is_empty(), "{} has no cases: folders with an input.jsonl", folder.display());
    let wrong: String = cases.iter().filter_map(|case| run_case::<P>(&plugin, case)).collect();
    assert!(wrong.is_empty(), "\n{wrong}(- expected, + found; UPDATE_CASES=1 accepts what was found)");
}

/// What differs.
fn run_case<P: Plugin>(plugin: &Settings, case: &Path) -> Option<String> {
    let own = settings(&case.join("case.toml"));
    let mut harness = Harness::<P>::new();
    (harness.tombstone, harness.decimals) = (plugin.tombstone, plugin.decimals);
    for (name, value) in plugin.parameters.iter().chain(&own.parameters) {
        harness = harness.parameter(name, &parameter(value));
    }
    if let Some(clock) = &own.clock {
        harness = harness.now_ms(milliseconds(clock));
    }
    if let (Some(settings), Some(event_time)) = (plugin.event_time, &mut harness.description.event_time) {
        event_time.delay_ms = settings.delay_ms.unwrap_or(event_time.delay_ms);
        event_time.idle_ms = settings.idle_ms.or(event_time.idle_ms);
    }
    let found = outcomes(&harness, &own, recording(case.join("input.jsonl")));

    let path = case.join("expected.jsonl");
    if std::env::var_os("UPDATE_CASES").is_some() {
        let lines = found.iter().fold(String::new(), |mut text, line| {
            let _ = writeln!(text, "{line}");
            text
        });
        fs::write(&path, lines).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        return None;
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let expected = lines.map(|line| {
        serde_json::from_str::<Value>(line).unwrap_or_else(|error| panic!("{}: {error}: {line}", path.display()))
    });
    let grid = |lines: &mut dyn Iterator<Item = String>| {
        Grid::new(vec![case.display().to_string()], lines.map(|line| vec![line]))
    };
    let canonical = |line: &String| serde_json::from_str::<Value>(line).expect("it was just written").to_string();
    difference(&grid(&mut expected.map(|line| line.to_string())), &grid(&mut found.iter().map(canonical)))
}

fn milliseconds(at: &toml::value::Datetime) -> i64 {
    let text = at.to_string();
    Timestamp::<Micros>::parse(&text).unwrap_or_else(|| panic!("no point in time: {text}")).units() / 1000
}

/// The lines of what becomes of messages, partition by partition, epoch by epoch.
fn outcomes<P: Plugin>(harness: &Harness<P>, case: &Settings, messages: Vec<Message>) -> Vec<String> {
    let mut partitions: BTreeMap<(String, i32), Vec<Message>> = BTreeMap::new();
    for message in messages {
        partitions.entry((message.topic.clone(), message.partition)).or_default().push(message);
    }
    let mut found = Vec::new();
    for messages in partitions.into_values() {
        let mut lane = harness.lane();
        for epoch in messages.chunks(case.epoch_messages.map_or(messages.len(), NonZeroUsize::get)) {
            found.extend(lines(&lane.run_messages(epoch.iter().cloned()), epoch));
        }
        if let Some(watermark) = &case.watermark {
            found.extend(lines(&lane.advance_to(Timestamp::new(milliseconds(watermark))), &[]));
        }
    }
    found
}

fn lines(answer: &Answer, messages: &[Message]) -> Vec<String> {
    let rows = answer.tables.iter().flat_map(|(table, rows)| {
        rows.iter().map(move |row| {
            // Of a row that is made of state alone there is none.
            let op = row.from.and_then(|from| answer.ops.get(&from)).map(|op| char::from(*op));
            let deletes =
                row.deletes.filter(|deletes| *deletes != (op == Some('d'))).map(|deletes| deletes.to_string());
            let op = Some(op.map_or_else(String::new, String::from));
            let engines = [("_op", &op)].into_iter().chain(deletes.is_some().then_some(("_deleted", &deletes)));
            let columns = row.columns.iter().map(|(name, value)| (name.as_str(), value)).chain(engines);
            // Written by hand for the order of the columns, which is the table's.
            let columns: Vec<_> = columns.map(|(name, value)| format!("{}:{}", json!(name), json!(value))).collect();
            format!("{{\"table\":{},\"row\":{{{}}}}}", json!(table), columns.join(","))
        })
    });
    let dead = answer.rejected.iter().map(|dead| {
        let offset = messages[dead.index].offset;
        format!(
            "{{\"dead\":{{\"offset\":{},\"stage\":{},\"code\":{},\"column\":{}}}}}",
            json!(offset),
            json!(dead.stage),
            json!(dead.code),
            json!(dead.column)
        )
    });
    rows.chain(dead).collect()
}

/// A parameter's text: text as it is, anything else as it is written.
fn parameter(value: &toml::Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// What a file says; nothing, where there is none.
fn settings(path: &Path) -> Settings {
    let Ok(text) = fs::read_to_string(path) else { return Settings::default() };
    toml::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
