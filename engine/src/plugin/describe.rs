//! Checks what a plugin says of itself, and turns it into Arrow's words.
//!
//! **Promise.** Whatever a description holds, the answer is a [`Description`] that all the engine can rely on, or the
//! list of what is wrong with it: bounded in length, with names cut, because the names are the plugin's.

mod output;
mod types;

use std::collections::HashSet;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, Schema};

use super::contract::{self, Version, described, v0_3};
use super::{Description, EventTime, Output, Parameter, ParameterType, StateDescription};
use crate::decode::{EXTENSION_NAME, Reading};
use crate::input::{ChangeColumn, Format, InputColumn, REST, Source};
use crate::state::{OnExpire, StateTable};

/// Longest name of anything.
const NAME_BYTES: usize = 128;
/// Longest word to a user: of a parameter, of a column.
const DOC_BYTES: usize = 4 << 10;
/// Most columns of the input, and of an output: more than tables have.
const COLUMNS: usize = 4_096;
/// Most outputs, parameters, sort keys and indexes.
const OTHERS: usize = 256;
/// Most tables of state. A table costs nothing, but a record of state names each.
const STATE_TABLES: usize = 16;
/// Longest delay of the watermark, and longest time that a partition may be idle: ten years.
const MOST_MS: u64 = 10 * 366 * 24 * 3_600 * 1_000;
/// Most problems that are said: nobody reads more, and they may come from an adversary.
const PROBLEMS: usize = 50;

/// The description, or everything that is wrong with it.
pub(super) fn check(version: Version, described: v0_3::Description) -> Result<Description, Vec<String>> {
    let mut problems = Vec::new();
    check_counts(&described, &mut problems);
    if !problems.is_empty() {
        return Err(problems);
    }
    check_name("plugin name", &described.name, &mut problems);
    check_name("plugin version", &described.version, &mut problems);
    let format = match described.input.format {
        contract::Format::Envelope => Format::Envelope,
        contract::Format::Flat => Format::Flat,
    };
    let crosses = described.input.columns.iter().map(|column| column.crosses).collect();
    let columns = input(described.input.columns, format, &mut problems);
    let outputs: Vec<Output> =
        described.outputs.into_iter().map(|output| output::check(output, &columns, &mut problems)).collect();
    output::check_tables(&outputs, &mut problems);
    let parameters = parameters(described.parameters, &mut problems);
    let event_time = described.event_time.map(|event_time| check_event_time(&event_time, &mut problems));
    let state = described.state.map(|state| check_state(state, event_time.is_some(), &mut problems));
    if !problems.is_empty() {
        let more = problems.len().saturating_sub(PROBLEMS);
        problems.truncate(PROBLEMS);
        problems.extend((more > 0).then(|| format!("and {more} more")));
        return Err(problems);
    }
    Ok(Description {
        name: described.name,
        version: described.version,
        contract: version.name(),
        input: Schema::new(columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>()).into(),
        columns,
        crosses,
        format,
        outputs,
        parameters,
        state,
        event_time,
    })
}

/// Checked first: everything else takes time and words for each of them.
fn check_counts(described: &v0_3::Description, problems: &mut Vec<String>) {
    let mut at_most = |what: &str, count: usize, most: usize| {
        if count > most {
            problems.push(format!("{what}: {count} are described, at most {most} are possible"));
        }
    };
    at_most("input columns", described.input.columns.len(), COLUMNS);
    at_most("output tables", described.outputs.len(), OTHERS);
    at_most("parameters", described.parameters.len(), OTHERS);
    if let Some(state) = &described.state {
        at_most("state tables", state.tables.len(), STATE_TABLES);
        at_most("state versions that it reads", state.reads.len(), OTHERS);
    }
    for (index, output) in described.outputs.iter().enumerate().take(OTHERS) {
        at_most(&format!("output {index}: columns"), output.columns.len(), COLUMNS);
        at_most(&format!("output {index}: sort keys"), output.sort_key.len(), OTHERS);
        at_most(&format!("output {index}: indexes"), output.indexes.len(), OTHERS);
    }
}

fn check_name(what: &str, name: &str, problems: &mut Vec<String>) {
    if name.trim().is_empty() {
        problems.push(format!("{what} is empty"));
    } else if name.len() > NAME_BYTES {
        problems.push(format!("{what} has {} bytes, at most {NAME_BYTES} are possible", name.len()));
    } else if name.chars().any(char::is_control) {
        problems.push(format!("{what} {name:?} has control characters"));
    }
}

fn check_doc(what: &str, doc: &str, problems: &mut Vec<String>) {
    if doc.len() > DOC_BYTES {
        problems.push(format!("{what} is described in {} bytes, at most {DOC_BYTES} are possible", doc.len()));
    } else if doc.chars().any(|c| c.is_control() && c != '\n') {
        problems.push(format!("{what} is described with control characters"));
    }
}

/// A text of the plugin in quotes, as far as a message can hold it.
fn quoted(text: &str) -> String {
    match text.char_indices().nth(NAME_BYTES) {
        Some((end, _)) => format!("{:?}…", text.get(..end).unwrap_or_default()),
        None => format!("{text:?}"),
    }
}

/// Names that occur more than once.
fn check_unique<'a>(what: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<String>) {
    let mut seen = HashSet::new();
    let twice = names.filter(|name| !seen.insert(*name));
    problems.extend(twice.map(|name| format!("{what} {} occurs twice", quoted(name))));
}

fn input(columns: Vec<described::InputColumn>, format: Format, problems: &mut Vec<String>) -> Vec<InputColumn> {
    if columns.is_empty() {
        problems.push("input has no columns".to_owned());
    }
    let columns: Vec<InputColumn> = columns.into_iter().map(|column| input_column(column, problems)).collect();
    check_unique("input column", columns.iter().map(|column| column.field.name().as_str()), problems);
    for column in &columns {
        check_source(column, format, problems);
    }
    columns
}

fn input_column(described: described::InputColumn, problems: &mut Vec<String>) -> InputColumn {
    let field: FieldRef = Arc::new(field("input", &described.column, problems));
    let source = match described.source {
        described::Source::Row(name) => Source::Row(name),
        described::Source::Before(name) => Source::Before(name),
        described::Source::Header(name) => Source::Header(name),
        described::Source::Change(column) => Source::Change(change_column(column)),
    };
    // Only the row names fields: there is nothing else that a message could lack.
    let required = described.required && matches!(&source, Source::Row(name) if name != REST);
    InputColumn { field, source, required, reading: Reading::default() }
}

fn change_column(described: described::ChangeColumn) -> ChangeColumn {
    match described {
        described::ChangeColumn::Op => ChangeColumn::Op,
        described::ChangeColumn::Deleted => ChangeColumn::Deleted,
        described::ChangeColumn::Version => ChangeColumn::Version,
        described::ChangeColumn::SourceTimestamp => ChangeColumn::SourceTs,
        described::ChangeColumn::Topic => ChangeColumn::Topic,
        described::ChangeColumn::Partition => ChangeColumn::Partition,
        described::ChangeColumn::Offset => ChangeColumn::Offset,
        described::ChangeColumn::Key => ChangeColumn::Key,
    }
}

/// A column has a type that its source can fill.
fn check_source(column: &InputColumn, format: Format, problems: &mut Vec<String>) {
    let (field, what) = (&column.field, format!("input column {}", quoted(column.field.name())));
    match &column.source {
        Source::Row(name) => check_row_field(&what, field, name, problems),
        Source::Before(name) => {
            check_row_field(&what, field, name, problems);
            if format == Format::Flat {
                problems.push(format!("{what}: flat messages do not say what the row was before, only envelopes do"));
            }
            if !field.is_nullable() {
                problems.push(format!("{what} has to be nullable: not every change has a row before it"));
            }
        }
        Source::Header(name) => {
            check_name(&format!("{what}: name of the header"), name, problems);
            if !matches!(field.data_type(), DataType::Utf8 | DataType::Binary) {
                problems.push(format!("{what}: a header is Utf8 or Binary, not {}", field.data_type()));
            }
            if !field.is_nullable() {
                problems.push(format!("{what} has to be nullable: not every message has the header"));
            }
        }
        Source::Change(change) => check_change_column(&what, field, *change, problems),
    }
}

/// A field has a name; what has none is all that no other column reads, an object.
fn check_row_field(what: &str, field: &Field, name: &str, problems: &mut Vec<String>) {
    if name != REST {
        check_name(&format!("{what}: name of the row's field"), name, problems);
    } else if field.metadata().get(EXTENSION_NAME).is_none_or(|name| name != "arrow.json") {
        problems
            .push(format!("{what} is the rest of the row, an object: it has to be json, not {}", field.data_type()));
    }
}

/// What is known of a change has the type that the engine fills it with.
fn check_change_column(what: &str, field: &Field, change: ChangeColumn, problems: &mut Vec<String>) {
    let filled = change.field();
    let fits = field.data_type() == filled.data_type() && (field.is_nullable() || !filled.is_nullable());
    if !fits {
        let null = if filled.is_nullable() { ", nullable" } else { "" };
        let (name, want) = (filled.name(), filled.data_type());
        problems.push(format!("{what} is the change's {name}: {want}{null}, not {}", field.data_type()));
    }
}

/// A column as a field.
fn field(of: &str, column: &described::Column, problems: &mut Vec<String>) -> Field {
    check_name(&format!("{of} column name"), &column.name, problems);
    let what = format!("{of} column {}", quoted(&column.name));
    types::field(&what, column, problems)
}

fn parameters(described: Vec<described::Parameter>, problems: &mut Vec<String>) -> Vec<Parameter> {
    check_unique("parameter", described.iter().map(|parameter| parameter.name.as_str()), problems);
    described.into_iter().map(|parameter| check_parameter(parameter, problems)).collect()
}

fn check_parameter(described: described::Parameter, problems: &mut Vec<String>) -> Parameter {
    let kind = match described.parameter_type {
        described::ParameterType::Text => ParameterType::Text,
        described::ParameterType::Integer => ParameterType::Integer,
        described::ParameterType::Number => ParameterType::Number,
        described::ParameterType::Boolean => ParameterType::Boolean,
    };
    check_name("parameter name", &described.name, problems);
    let what = format!("parameter {}", quoted(&described.name));
    check_doc(&what, &described.doc, problems);
    if let Some(default) = described.default.as_ref().filter(|default| !kind.accepts(default)) {
        problems.push(format!("{what}: its default {} is not {}", quoted(default), kind.words()));
    }
    Parameter { name: described.name, doc: described.doc, kind, default: described.default }
}

fn check_state(described: v0_3::State, event_time: bool, problems: &mut Vec<String>) -> StateDescription {
    if described.tables.is_empty() {
        problems.push("it keeps state, but describes no state table".to_owned());
    }
    if described.reads.contains(&described.version) {
        problems.push(format!("it reads state of version {}, which is its own: name older ones", described.version));
    }
    check_unique("state table", described.tables.iter().map(|table| table.name.as_str()), problems);
    let tables = described.tables.into_iter().map(|table| check_state_table(table, event_time, problems)).collect();
    StateDescription { version: described.version, reads: described.reads, tables }
}

fn check_state_table(described: v0_3::StateTable, event_time: bool, problems: &mut Vec<String>) -> StateTable {
    check_name("state table name", &described.name, problems);
    let on_expire = match described.on_expire {
        v0_3::OnExpire::Drop => OnExpire::Drop,
        v0_3::OnExpire::Call => OnExpire::Call,
    };
    if on_expire == OnExpire::Call && !event_time {
        problems.push(format!(
            "state table {} calls when entries expire, but without event time none ever does",
            quoted(&described.name)
        ));
    }
    StateTable { name: described.name, on_expire }
}

fn check_event_time(described: &v0_3::EventTime, problems: &mut Vec<String>) -> EventTime {
    let times = [("delay", Some(described.delay_ms)), ("time to be idle", described.idle_ms)];
    for (what, ms) in times {
        if let Some(ms) = ms.filter(|ms| *ms > MOST_MS) {
            problems.push(format!("event time: a {what} of {ms} ms is longer than {MOST_MS} ms, ten years"));
        }
    }
    EventTime { delay_ms: described.delay_ms, idle_ms: described.idle_ms }
}
