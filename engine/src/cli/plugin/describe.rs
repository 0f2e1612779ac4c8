//! What a plugin says of itself, in lines and as JSON.

use arrow_schema::Field;
use serde_json::{Value, json};

use crate::input::Format;
use crate::plugin::{Description, Origin, Output};
use crate::table::{CLICKHOUSE_TYPE, EXTENSION_NAME, TableKind};

/// One line for each thing that a plugin promises or wants: what a new build adds or drops is the difference.
pub(super) fn facts(description: &Description) -> Vec<String> {
    let mut facts = vec![format!("version {}", description.version), reads(description)];
    for (field, crosses) in description.input.fields().iter().zip(&description.crosses) {
        let crosses = if *crosses { "" } else { ", not looked at" };
        facts.push(format!("reads {} {}{crosses}", field.name(), type_of(field)));
    }
    for output in &description.outputs {
        facts.push(format!("writes {}", table(output)));
        for (field, _) in &output.columns {
            facts.push(format!("writes {}.{} {}", output.table, field.name(), type_of(field)));
        }
    }
    for parameter in &description.parameters {
        let default = parameter.default.as_ref().map_or("without default".to_owned(), |it| format!("default {it}"));
        facts.push(format!("parameter {} {default}", parameter.name));
    }
    facts
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

/// The description for programs.
pub(super) fn as_json(description: &Description) -> Value {
    let inputs = description.input.fields().iter().zip(&description.crosses);
    let inputs: Vec<_> = inputs.map(|(field, crosses)| with(column(field), "crosses", json!(crosses))).collect();
    let outputs: Vec<_> = description.outputs.iter().map(output).collect();
    let parameters: Vec<_> = description
        .parameters
        .iter()
        .map(|it| json!({ "name": it.name, "doc": it.doc, "default": it.default }))
        .collect();
    json!({
        "name": description.name,
        "version": description.version,
        "format": match description.format { Format::Envelope => "envelope", Format::Flat => "flat" },
        "input": inputs,
        "outputs": outputs,
        "parameters": parameters,
    })
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
