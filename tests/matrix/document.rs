//! The matrix as it stands in the documentation.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use harness::place;

use crate::declared::words;
use crate::deviations::Found;
use crate::explained::EXPLAINED;
use crate::tables::{MODES, TABLES};

const HEAD: &str = "# The matrix of types

Written by `cargo test --workspace --test matrix recorded` from the recordings in `matrix/`: messages of live connectors,
beside what the database said of each cell. *exact*: every recorded row, from snapshot and stream, as JSON with embedded
schema, as JSON without, and as Avro, is the database's value, to the last digit. Numbers lead to what is not; `a / b / c`:
as JSON with schema, as JSON without, as Avro. The test `live` of the same file compares the same cells, and rows of random
values, on a stack that it starts.
";

/// The document for what was found of each of [`TABLES`].
pub(crate) fn document(found: &[Found]) -> String {
    let mut text = format!("{HEAD}\nModes:\n\n");
    for mode in MODES {
        writeln!(text, "- {}: {}", mode.name, mode.words).expect("into memory");
    }
    for (table, found) in TABLES.iter().zip(found) {
        if let Some(title) = table.title {
            let modes: Vec<&str> = table.modes().map(|mode| mode.name).collect();
            write!(text, "\n## {title}\n\n| type | declared as | {} |\n", modes.join(" | ")).expect("into memory");
            writeln!(text, "|---|---|{}", "---|".repeat(modes.len())).expect("into memory");
        }
        for ((_, kind, column), notes) in table.columns.iter().zip(&found.notes) {
            let cells: Vec<String> = notes.iter().map(marks).collect();
            writeln!(text, "| {kind} | {} | {} |", words(*column), cells.join(" | ")).expect("into memory");
        }
    }
    text += "\n## What is not exact\n\n";
    for (at, explained) in EXPLAINED.iter().enumerate() {
        writeln!(text, "{}. {}", at + 1, explained.words).expect("into memory");
    }
    text
}

fn marks(notes: &[BTreeSet<usize>; 3]) -> String {
    let mark = |notes: &BTreeSet<usize>| {
        let marks: String = notes.iter().map(|note| format!("[{}]", note + 1)).collect();
        if marks.is_empty() { "exact".to_owned() } else { marks }
    };
    let mut marks: Vec<String> = notes.iter().map(mark).collect();
    if marks.iter().all(|mark| *mark == marks[0]) {
        marks.truncate(1);
    }
    marks.join(" / ")
}

/// The printed matrix is current; `UPDATE_MATRIX=1` writes it anew.
pub(crate) fn check(document: &str) {
    let path = place::repository().join("schemas/debezium/MATRIX.md");
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        std::fs::write(&path, document).unwrap();
    }
    assert!(
        std::fs::read_to_string(&path).unwrap_or_default() == document,
        "MATRIX.md is not what the recordings give: run the test with UPDATE_MATRIX=1 and look at the difference"
    );
}
