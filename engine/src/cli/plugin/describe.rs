//! What a plugin says of itself, in lines and as JSON.

use arrow_schema::Field;
use serde_json::{Value, json};

use crate::input::{Format, InputColumn, REST, Source};
use crate::plugin::{Description, EventTime, Origin, Output, Parameter, StateDescription};
use crate::state::{OnExpire, StateTable};
use crate::table::{CLICKHOUSE_TYPE, EXTENSION_NAME, TableKind};

/// One line for each thing that a plugin promises or wants: what a new build adds or drops is the difference.
pub(super) fn facts(description: &Description) -> Vec<String> {
    let mut facts = vec![format!("version {}", description.version), reads(description)];
    for (column, crosses) in description.columns.iter().zip(&description.crosses) {
        let crosses = if *crosses { "" } else { ", not looked at" };
        facts.push(format!("reads {} {}{}{crosses}", column.field.name(), type_of(&column.field), source(column)));
    }
    for output in &description.outputs {
        facts.push(format!("writes {}", table(output)));
        for (field, _) in &output.columns {
            facts.push(format!("writes {}.{} {}", output.table, field.name(), type_of(field)));
        }
    }
    facts.extend(remembers(description));
    for parameter in &description.parameters {
        facts.push(format!("parameter {} {}", parameter.name, parameter_type(parameter)));
    }
    facts
}

/// What it keeps from epoch to epoch, and how its watermark moves.
pub(super) fn remembers(description: &Description) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(StateDescription { version, reads, tables }) = &description.state {
        let tables: Vec<_> = tables.iter().map(|table| table.name.as_str()).collect();
        let reads: Vec<_> = reads.iter().map(ToString::to_string).collect();
        let reads = if reads.is_empty() { String::new() } else { format!(" (reads {})", reads.join(", ")) };
        lines.push(format!("keeps state of version {version}{reads}: {}", tables.join(", ")));
    }
    if let Some(EventTime { delay_ms, idle_ms }) = description.event_time {
        let idle =
            idle_ms.map(|idle| format!(", follows the clock after {idle} ms without messages")).unwrap_or_default();
        lines.push(format!("watermark {delay_ms} ms behind the greatest event time{idle}"));
    }
    lines
}

/// How its messages are written.
pub(super) fn reads(description: &Description) -> String {
    format!("reads {}", format_word(description.format))
}

fn format_word(format: Format) -> &'static str {
    match format {
        Format::Envelope => "Debezium envelopes",
        Format::Flat => "flat rows",
    }
}

/// A table, how its rows add up, and its keys.
pub(super) fn table(output: &Output) -> String {
    let kind = match output.kind {
        TableKind::Append => "append",
        TableKind::Current => "current state",
    };
    let mut text = format!("{} ({kind}", output.table);
    if !output.sort_key.is_empty() {
        text += &format!(", by {}", output.sort_key.join(", "));
    }
    if let Some(partition) = &output.partition_by {
        text += &format!(", in parts of {partition}");
    }
    text + ")"
}

/// The type as the contract names it, `?` where null is possible, and the ClickHouse type where it is another one.
pub(super) fn type_of(field: &Field) -> String {
    let extension = field.metadata().get(EXTENSION_NAME).map(|name| name.trim_start_matches("arrow.").to_owned());
    let name = extension.unwrap_or_else(|| field.data_type().to_string());
    let null = if field.is_nullable() { "?" } else { "" };
    let clickhouse = field.metadata().get(CLICKHOUSE_TYPE).map(|name| format!(" as {name}")).unwrap_or_default();
    format!("{name}{null}{clickhouse}")
}

/// Where the values of an input column come from, where its name does not say it, and whether it must be there.
pub(super) fn source(column: &InputColumn) -> String {
    let name = column.field.name();
    let from = match &column.source {
        Source::Row(field) if field == name => String::new(),
        Source::Row(field) if field == REST => ", all that no other column reads".to_owned(),
        Source::Before(field) if field == REST => ", all that no other column reads, before the change".to_owned(),
        Source::Row(field) => format!(", from {field}"),
        Source::Before(field) => format!(", from {field} before the change"),
        Source::Header(header) => format!(", from header {header}"),
        Source::Change(change) if change.field().name() == name => String::new(),
        Source::Change(change) => format!(", from {}", change.field().name()),
    };
    from + if column.required { ", required" } else { "" }
}

/// What a parameter's text must be, and what it is if nobody sets it.
pub(super) fn parameter_type(parameter: &Parameter) -> String {
    let default = parameter.default.as_ref().map_or("must be set".to_owned(), |it| format!("default {it}"));
    format!("{}, {default}", parameter.kind.words())
}

/// The description for programs.
pub(super) fn as_json(description: &Description) -> Value {
    let inputs = description.columns.iter().zip(&description.crosses);
    let inputs: Vec<_> = inputs.map(|(column, crosses)| input(column, *crosses)).collect();
    let outputs: Vec<_> = description.outputs.iter().map(output).collect();
    let parameters: Vec<_> = description
        .parameters
        .iter()
        .map(|it| json!({ "name": it.name, "doc": it.doc, "type": it.kind.words(), "default": it.default }))
        .collect();
    json!({
        "name": description.name,
        "version": description.version,
        "format": match description.format { Format::Envelope => "envelope", Format::Flat => "flat" },
        "input": inputs,
        "outputs": outputs,
        "parameters": parameters,
        "state": description.state.as_ref().map(state),
        "event_time": description.event_time.map(|it| json!({ "delay_ms": it.delay_ms, "idle_ms": it.idle_ms })),
    })
}

fn state(of: &StateDescription) -> Value {
    let table = |table: &StateTable| {
        let on_expire = match table.on_expire {
            OnExpire::Drop => "drop",
            OnExpire::Call => "call",
        };
        json!({ "name": table.name, "on_expire": on_expire })
    };
    let tables: Vec<_> = of.tables.iter().map(table).collect();
    json!({ "version": of.version, "reads": of.reads, "tables": tables })
}

fn input(of: &InputColumn, crosses: bool) -> Value {
    let (source, name) = match &of.source {
        Source::Row(field) => ("row", field.as_str().to_owned()),
        Source::Before(field) => ("before", field.as_str().to_owned()),
        Source::Header(header) => ("header", header.as_str().to_owned()),
        Source::Change(change) => ("change", change.field().name().clone()),
    };
    let input = with(column(&of.field), "source", json!({ "from": source, "name": name }));
    with(with(input, "required", json!(of.required)), "crosses", json!(crosses))
}

fn output(output: &Output) -> Value {
    let columns: Vec<_> = output
        .columns
        .iter()
        .map(|(field, origin)| {
            let from = match origin {
                Origin::Made => Value::Null,
                Origin::Input(index) => json!(index),
            };
            with(column(field), "input", from)
        })
        .collect();
    json!({
        "table": output.table,
        "kind": match output.kind { TableKind::Append => "append", TableKind::Current => "current" },
        "columns": columns,
        "sort_key": output.sort_key,
        "partition_by": output.partition_by,
    })
}

fn column(field: &Field) -> Value {
    json!({
        "name": field.name(),
        "type": field.metadata().get(EXTENSION_NAME).cloned().unwrap_or_else(|| field.data_type().to_string()),
        "nullable": field.is_nullable(),
        "clickhouse": field.metadata().get(CLICKHOUSE_TYPE),
    })
}

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}
