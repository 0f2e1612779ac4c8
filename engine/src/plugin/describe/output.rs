//! Output tables: columns, keys and indexes that can be.

use arrow_schema::{DataType, Field};

use super::{check_doc, check_name, check_unique, quoted};
use crate::input::InputColumn;
use crate::plugin::contract::{self, described};
use crate::plugin::{Origin, Output};
use crate::table::{
    CLICKHOUSE_CODEC, CLICKHOUSE_TYPE, COMMENT, EXTENSION_NAME, Index, TableKind, engine_columns, plugin_column,
};

pub(super) fn check(described: described::Output, input: &[InputColumn], problems: &mut Vec<String>) -> Output {
    check_name("table name", &described.table, problems);
    let of = format!("table {}:", shown(&described.table));
    let columns = described.columns.into_iter().map(|column| output_column(&of, column, input, problems)).collect();
    let kind = match described.kind {
        contract::TableKind::Append => TableKind::Append,
        contract::TableKind::Current => TableKind::Current,
    };
    let index = |index: described::Index| Index { name: index.name, expression: index.expression, kind: index.kind };
    let output = Output {
        table: described.table,
        kind,
        columns,
        sort_key: described.sort_key,
        partition_by: described.partition_by,
        indexes: described.indexes.into_iter().map(index).collect(),
    };
    check_columns(&of, &output, problems);
    check_keys(&of, &output, problems);
    check_indexes(&of, &output, problems);
    output
}

/// A table's name as it is, cut where it is too long.
fn shown(table: &str) -> &str {
    table.char_indices().nth(super::NAME_BYTES).map_or(table, |(end, _)| table.get(..end).unwrap_or_default())
}

fn output_column(
    of: &str,
    described: described::OutputColumn,
    input: &[InputColumn],
    problems: &mut Vec<String>,
) -> (Field, Origin) {
    let mut field = super::field(of, &described.column, problems);
    let what = format!("{of} column {}", quoted(field.name()));
    if field.data_type().is_nested() && field.is_nullable() {
        problems.push(format!(
            "{what} is a list or map that may be null, which ClickHouse does not have: declare it not null, and make \
             an empty one or reject the row where there is none"
        ));
    }
    check_doc(&what, described.doc.as_deref().unwrap_or_default(), problems);
    let words = [
        (CLICKHOUSE_TYPE, "ClickHouse type", described.clickhouse_type),
        (CLICKHOUSE_CODEC, "codec", described.codec),
        (COMMENT, "doc", described.doc.filter(|doc| !doc.is_empty())),
    ];
    for (key, word, value) in words {
        let Some(value) = value else { continue };
        if value.trim().is_empty() {
            problems.push(format!("{what}: the {word} is empty"));
        }
        field.metadata_mut().insert(key.to_owned(), value);
    }
    let origin = match described.origin {
        contract::Origin::Made => Origin::Made,
        contract::Origin::Input(index) => Origin::Input(index as usize),
    };
    if let Origin::Input(index) = origin {
        check_origin(&what, &field, index, input, problems);
    }
    (field, origin)
}

/// What is taken over as it is has the same type on both sides.
fn check_origin(what: &str, field: &Field, index: usize, input: &[InputColumn], problems: &mut Vec<String>) {
    let Some(from) = input.get(index).map(|column| &column.field) else {
        problems.push(format!("{what} comes from input column {index}, but there are {}", input.len()));
        return;
    };
    let extension = |field: &Field| field.metadata().get(EXTENSION_NAME).cloned();
    let name = quoted(from.name());
    if field.data_type() != from.data_type() || extension(field) != extension(from) {
        let (to, from) = (type_name(field), type_name(from));
        problems.push(format!("{what} is {to}, but the input column {name} it comes from is {from}"));
    } else if from.is_nullable() && !field.is_nullable() {
        problems.push(format!("{what} is not nullable, but the input column {name} it comes from is"));
    }
}

fn type_name(field: &Field) -> String {
    field.metadata().get(EXTENSION_NAME).cloned().unwrap_or_else(|| field.data_type().to_string())
}

fn check_columns(of: &str, output: &Output, problems: &mut Vec<String>) {
    if output.columns.is_empty() {
        problems.push(format!("{of} it has no columns"));
    }
    let names = || output.columns.iter().map(|(field, _)| field.name().as_str());
    check_unique(&format!("{of} column"), names(), problems);
    let mut reserved = engine_columns();
    reserved.push(plugin_column());
    for name in names().filter(|name| reserved.iter().any(|reserved| reserved.name() == name)) {
        problems.push(format!("{of} column {name} is reserved: the engine adds it to every table"));
    }
}

/// Keys are expressions for ClickHouse to judge; where one is just a name, it can be checked here.
fn check_keys(of: &str, output: &Output, problems: &mut Vec<String>) {
    if output.sort_key.is_empty() && output.kind == TableKind::Current {
        problems.push(format!("{of} a table of current rows needs a sort key: what tells its rows apart"));
    }
    for key in &output.sort_key {
        check_key(&format!("{of} sort key {}", quoted(key)), key, output, problems);
    }
    if let Some(key) = &output.partition_by {
        check_key(&format!("{of} partition key {}", quoted(key)), key, output, problems);
    }
}

fn check_key(what: &str, key: &str, output: &Output, problems: &mut Vec<String>) {
    let Some(field) = check_expression(what, key, output, problems) else { return };
    // Not allowed by ClickHouse either, unless it is told to, and then a null equals a null.
    if field.is_nullable() {
        problems.push(format!("{what} is nullable"));
    } else if matches!(field.data_type(), DataType::Map(..)) {
        problems.push(format!("{what} is a map, which has no order"));
    }
}

/// The column, where the expression is just a name.
fn check_expression(what: &str, text: &str, output: &Output, problems: &mut Vec<String>) -> Option<Field> {
    if text.trim().is_empty() {
        problems.push(format!("{what} is empty"));
        return None;
    }
    let name =
        text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !text.starts_with(|c: char| c.is_ascii_digit());
    if !name {
        return None;
    }
    let own = output.columns.iter().map(|(field, _)| field);
    let found = own.chain(&engine_columns()).find(|field| field.name() == text).cloned();
    if found.is_none() {
        problems.push(format!("{what} is none of its columns"));
    }
    found
}

fn check_indexes(of: &str, output: &Output, problems: &mut Vec<String>) {
    check_unique(&format!("{of} index"), output.indexes.iter().map(|index| index.name.as_str()), problems);
    for index in &output.indexes {
        check_name(&format!("{of} index name"), &index.name, problems);
        let what = format!("{of} index {}", quoted(&index.name));
        check_expression(
            &format!("{what}: expression {}", quoted(&index.expression)),
            &index.expression,
            output,
            problems,
        );
        if index.kind.trim().is_empty() {
            problems.push(format!("{what}: its kind is empty"));
        }
    }
}

/// Names of tables, and of the views that go with them.
pub(super) fn check_tables(outputs: &[Output], problems: &mut Vec<String>) {
    if outputs.is_empty() {
        problems.push("it has no output table".to_owned());
    }
    let view = |output: &Output| (output.kind == TableKind::Current).then(|| format!("{}_current", output.table));
    let views: Vec<String> = outputs.iter().filter_map(view).collect();
    let tables = outputs.iter().map(|output| output.table.as_str());
    check_unique("table or view", tables.chain(views.iter().map(String::as_str)), problems);
}
