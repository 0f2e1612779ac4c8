//! The comparison: which cells of a column are not what the database says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use debezium_decode::input::{self, Decimals};
use debezium_decode::{Decoder, Input, TopicPartition};

use crate::cell::cell;
use crate::declared::{declared, unit};
use crate::explained::EXPLAINED;
use crate::recording::{COPIES, Cells, Format, Recording};
use crate::same::same;
use crate::tables::{As, MODES, Table, Tested};

/// What was found of a table.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// For each column and mode the explanations of what is not exact, by the formats.
    pub(crate) notes: Vec<Vec<[BTreeSet<usize>; 3]>>,
    /// What is not exact and has no explanation, in words.
    pub(crate) unexplained: Vec<String>,
    pub(crate) compared: usize,
}

/// Compares every cell of a table in the modes that there are recordings of.
pub(crate) fn compare(table: &Table, recordings: &BTreeMap<&str, Recording>, cells: &Cells) -> Found {
    let mut found = Found::default();
    for tested in table.columns {
        let mut row = Vec::new();
        for mode in MODES.iter().filter(|mode| recordings.contains_key(mode.name)) {
            let recording = &recordings[mode.name];
            row.push(Format::ALL.map(|format| {
                let deviations = deviations(mode.name, tested, recording, cells, format);
                found.compared += recording.payloads.len();
                let (notes, unexplained) = explain(table.name, mode.name, tested.0, &deviations);
                let place = format!("{} {} {:?} as {:?} in {format:?}", table.name, mode.name, tested.0, tested.2);
                found.unexplained.extend(unexplained.into_iter().map(|words| format!("{place}, {words}")));
                notes
            }));
        }
        found.notes.push(row);
    }
    found
}

/// The explanations of deviations, and those that have none.
fn explain(
    table: &str,
    mode: &str,
    column: &str,
    deviations: &BTreeMap<i64, String>,
) -> (BTreeSet<usize>, Vec<String>) {
    let (mut notes, mut unexplained) = (BTreeSet::new(), Vec::new());
    for (id, deviation) in deviations {
        let covers =
            |explained: &crate::explained::Explained| explained.covers(table, mode, column, id % COPIES, deviation);
        match EXPLAINED.iter().position(covers) {
            Some(index) => drop(notes.insert(index)),
            None => unexplained.push(format!("row {id}: {deviation}")),
        }
    }
    (notes, unexplained)
}

/// What is not exact about a column, by the row's id.
fn deviations(
    mode: &str,
    tested: &Tested,
    recording: &Recording,
    cells: &Cells,
    format: Format,
) -> BTreeMap<i64, String> {
    let (name, _, column) = *tested;
    let id = Schema::new(vec![Field::new("id", DataType::Int64, false)]);
    let mut input = Input::by_names(&id, input::Format::Envelope);
    input.decimals = if mode == "string" { Decimals::String } else { Decimals::Precise };
    input.columns.push(declared(mode, name, column, format));
    let partition = TopicPartition { topic: Arc::from("matrix"), partition: 0 };
    let mut decoder = Decoder::new(&input, &partition, 1).unwrap();
    decoder.set_registry(&recording.registry());
    let messages = recording.messages(format);
    let decoded = decoder.decode(&messages);
    assert_eq!(decoded.rows.num_rows() + decoded.rejects.len(), messages.len(), "each message is a row or a reject");

    let ids = recording.ids();
    let refused = |reject: &debezium_decode::Reject| {
        (ids[usize::try_from(reject.offset).unwrap()], format!("refused as {}", reject.code))
    };
    let mut found: BTreeMap<i64, String> = decoded.rejects.iter().map(refused).collect();
    // TIME is declared as a number, in the unit that the mode writes, which is microseconds by default.
    let unit = if mode == "precise" { TimeUnit::Microsecond } else { unit(mode, 6) };
    let as_text = matches!(column, As::Interval) && *input.columns[1].field.data_type() == DataType::Utf8;
    let asked = if as_text { format!("{name}_text") } else { name.to_owned() };
    let array = decoded.rows.column(1);
    for row in 0..decoded.rows.num_rows() {
        let id = decoded.rows.column(0).as_primitive::<Int64Type>().value(row);
        let expected = &cells[&(id % COPIES)][&asked];
        if !same(array, row, expected, column, unit) {
            let text = if array.is_null(row) { "null".to_owned() } else { cell(array, row) };
            found.insert(id, format!("{text} for {}", expected.as_str().unwrap_or("null")));
        }
    }
    found
}
