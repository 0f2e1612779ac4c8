//! Cases: folders that say what becomes of messages. The same folders are what `engine plugin test` runs the built
//! plugin over; here they run natively, in milliseconds.
//!
//! ```text
//! plugin.toml              parameters, tombstone, decimals
//! cases/<case>/input.jsonl      recorded messages of the plugin's topics
//!              expected.jsonl   what becomes of them: rows table by table, then dead letters by offset
//!              case.toml        may be missing: clock = 2025-01-01T00:00:00Z, and parameters below [parameters]
//! ```

use std::collections::BTreeMap;
use std::fmt::Write;
use std::fs;
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
        let text = clock.to_string();
        let clock = Timestamp::<Micros>::parse(&text).unwrap_or_else(|| panic!("clock: no point in time: {text}"));
        harness = harness.now_ms(clock.units() / 1000);
    }
    let found = outcomes(&harness, recording(case.join("input.jsonl")));

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

/// The lines of what becomes of messages, partition by partition.
fn outcomes<P: Plugin>(harness: &Harness<P>, messages: Vec<Message>) -> Vec<String> {
    let mut partitions: BTreeMap<(String, i32), Vec<Message>> = BTreeMap::new();
    for message in messages {
        partitions.entry((message.topic.clone(), message.partition)).or_default().push(message);
    }
    partitions.into_values().flat_map(|messages| lines(&harness.run_messages(messages.clone()), &messages)).collect()
}

fn lines(answer: &Answer, messages: &[Message]) -> Vec<String> {
    let rows = answer.tables.iter().flat_map(|(table, rows)| {
        rows.iter().map(move |row| {
            let op = row.from.and_then(|from| answer.ops.get(&from)).map(|op| char::from(*op).to_string());
            let columns = row.columns.iter().map(|(name, value)| (name.as_str(), value)).chain([("_op", &op)]);
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
