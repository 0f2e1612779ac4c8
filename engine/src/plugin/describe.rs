//! Checks what a plugin says of itself, and turns it into Arrow's words.

use std::collections::{HashMap, HashSet};

use arrow_schema::{DataType, Field, Schema, TimeUnit};

use super::{Description, Origin, Output, Parameter, contract};
use crate::input::{ChangeColumn, Format};
use crate::table::{CLICKHOUSE_TYPE, EXTENSION_NAME, TableKind, engine_columns};

/// Longest name of anything.
const NAME_BYTES: usize = 128;

/// The description, or everything that is wrong with it.
pub(super) fn check(described: contract::Description) -> Result<Description, Vec<String>> {
    let mut problems = Vec::new();
    check_name("plugin name", &described.name, &mut problems);
    check_name("plugin version", &described.version, &mut problems);
    let (input, crosses) = input(described.input.columns, &mut problems);
    let outputs: Vec<Output> =
        described.outputs.into_iter().map(|output| check_output(output, &input, &mut problems)).collect();
    check_tables(&outputs, &mut problems);
    let parameters = parameters(described.parameters, &mut problems);
    let format = match described.input.format {
        contract::Format::Envelope => Format::Envelope,
        contract::Format::Flat => Format::Flat,
    };
    if !problems.is_empty() {
        return Err(problems);
    }
    Ok(Description {
        name: described.name,
        version: described.version,
        input: Schema::new(input).into(),
        crosses,
        format,
        outputs,
        parameters,
    })
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

/// Names that occur more than once.
fn check_unique<'a>(what: &str, names: impl Iterator<Item = &'a str>, problems: &mut Vec<String>) {
    let mut seen = HashSet::new();
    problems.extend(names.filter(|name| !seen.insert(*name)).map(|name| format!("{what} {name:?} occurs twice")));
}

fn input(columns: Vec<contract::InputColumn>, problems: &mut Vec<String>) -> (Vec<Field>, Vec<bool>) {
    if columns.is_empty() {
        problems.push("input has no columns".to_owned());
    }
    let crosses = columns.iter().map(|column| column.crosses).collect();
    let fields: Vec<Field> = columns.into_iter().map(|column| field("input", &column.column, None, problems)).collect();
    check_unique("input column", fields.iter().map(|field| field.name().as_str()), problems);
    for field in &fields {
        check_change_column(field, problems);
    }
    (fields, crosses)
}

/// A reserved name has the type that the engine fills it with.
fn check_change_column(field: &Field, problems: &mut Vec<String>) {
    let Some(reserved) = ChangeColumn::named(field.name()).map(ChangeColumn::field) else { return };
    let fits = field.data_type() == reserved.data_type() && (field.is_nullable() || !reserved.is_nullable());
    if !fits {
        let null = if reserved.is_nullable() { ", nullable" } else { "" };
        let (name, want) = (field.name(), reserved.data_type());
        problems.push(format!("input column {name} is reserved: it is {want}{null}, not {}", field.data_type()));
    }
}

/// A column as a field, which may carry a ClickHouse type.
fn field(of: &str, column: &contract::Column, clickhouse: Option<String>, problems: &mut Vec<String>) -> Field {
    let what = format!("{of} column {:?}", column.name);
    check_name(&format!("{of} column name"), &column.name, problems);
    let (data_type, extension) = data_type(&column.data_type);
    if let contract::DataType::Decimal(decimal) = &column.data_type {
        check_decimal(&what, decimal, problems);
    }
    let extension = extension.map(|name| (EXTENSION_NAME.to_owned(), name.to_owned()));
    if clickhouse.as_ref().is_some_and(|name| name.trim().is_empty()) {
        problems.push(format!("{what}: the ClickHouse type is empty"));
    }
    let clickhouse = clickhouse.map(|name| (CLICKHOUSE_TYPE.to_owned(), name));
    Field::new(&column.name, data_type, column.nullable)
        .with_metadata(extension.into_iter().chain(clickhouse).collect::<HashMap<_, _>>())
}

fn check_decimal(what: &str, decimal: &contract::DecimalType, problems: &mut Vec<String>) {
    let (precision, scale) = (decimal.precision, decimal.scale);
    if !(1..=76).contains(&precision) {
        problems.push(format!("{what}: a decimal has 1 to 76 digits, not {precision}"));
    } else if u8::try_from(scale).is_ok_and(|scale| scale <= precision) {
        // As ClickHouse has them.
    } else {
        problems.push(format!("{what}: the scale of a decimal of {precision} digits is 0 to {precision}, not {scale}"));
    }
}

/// The Arrow type, and the extension name of those that Arrow has no type for.
fn data_type(described: &contract::DataType) -> (DataType, Option<&'static str>) {
    use contract::DataType as Described;
    let data_type = match described {
        Described::Boolean => DataType::Boolean,
        Described::Int8 => DataType::Int8,
        Described::Int16 => DataType::Int16,
        Described::Int32 => DataType::Int32,
        Described::Int64 => DataType::Int64,
        Described::UInt8 => DataType::UInt8,
        Described::UInt16 => DataType::UInt16,
        Described::UInt32 => DataType::UInt32,
        Described::UInt64 => DataType::UInt64,
        Described::Float32 => DataType::Float32,
        Described::Float64 => DataType::Float64,
        Described::Utf8 => DataType::Utf8,
        Described::Binary => DataType::Binary,
        Described::Json => return (DataType::Utf8, Some("arrow.json")),
        Described::Uuid => return (DataType::FixedSizeBinary(16), Some("arrow.uuid")),
        Described::Date => DataType::Date32,
        Described::Time(unit) => match time_unit(*unit) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
        },
        Described::Timestamp(of) => DataType::Timestamp(time_unit(of.unit), of.utc.then(|| "UTC".into())),
        Described::Decimal(of) if of.precision <= 38 => DataType::Decimal128(of.precision, of.scale),
        Described::Decimal(of) => DataType::Decimal256(of.precision, of.scale),
    };
    (data_type, None)
}

fn time_unit(unit: contract::TimeUnit) -> TimeUnit {
    match unit {
        contract::TimeUnit::Second => TimeUnit::Second,
        contract::TimeUnit::Millisecond => TimeUnit::Millisecond,
        contract::TimeUnit::Microsecond => TimeUnit::Microsecond,
        contract::TimeUnit::Nanosecond => TimeUnit::Nanosecond,
    }
}

fn check_output(output: contract::Output, input: &[Field], problems: &mut Vec<String>) -> Output {
    let table = output.table;
    check_name("table name", &table, problems);
    let of = format!("table {table}:");
    let columns = output.columns.into_iter().map(|column| output_column(&of, column, input, problems)).collect();
    let kind = match output.kind {
        contract::TableKind::Append => TableKind::Append,
        contract::TableKind::Current => TableKind::Current,
    };
    let output = Output { table, kind, columns, sort_key: output.sort_key, partition_by: output.partition_by };
    check_columns(&of, &output, problems);
    check_keys(&of, &output, problems);
    output
}

fn output_column(
    of: &str,
    column: contract::OutputColumn,
    input: &[Field],
    problems: &mut Vec<String>,
) -> (Field, Origin) {
    let field = field(of, &column.column, column.clickhouse_type, problems);
    let origin = match column.origin {
        contract::Origin::Made => Origin::Made,
        contract::Origin::Input(index) => Origin::Input(index as usize),
    };
    if let Origin::Input(index) = origin {
        check_origin(&format!("{of} column {:?}", field.name()), &field, index, input, problems);
    }
    (field, origin)
}

/// What is taken over as it is has the same type on both sides.
fn check_origin(what: &str, field: &Field, index: usize, input: &[Field], problems: &mut Vec<String>) {
    let Some(from) = input.get(index) else {
        problems.push(format!("{what} comes from input column {index}, but there are {}", input.len()));
        return;
    };
    let extension = |field: &Field| field.metadata().get(EXTENSION_NAME).cloned();
    let name = from.name();
    if field.data_type() != from.data_type() || extension(field) != extension(from) {
        let (to, from) = (type_name(field), type_name(from));
        problems.push(format!("{what} is {to}, but the input column {name:?} it comes from is {from}"));
    } else if from.is_nullable() && !field.is_nullable() {
        problems.push(format!("{what} is not nullable, but the input column {name:?} it comes from is"));
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
    let reserved = engine_columns();
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
        check_key(&format!("{of} sort key {key:?}"), key, output, problems);
    }
    if let Some(key) = &output.partition_by {
        check_key(&format!("{of} partition key {key:?}"), key, output, problems);
    }
}

fn check_key(what: &str, key: &str, output: &Output, problems: &mut Vec<String>) {
    if key.trim().is_empty() {
        problems.push(format!("{what} is empty"));
        return;
    }
    let name =
        key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') && !key.starts_with(|c: char| c.is_ascii_digit());
    if !name {
        return;
    }
    let own = output.columns.iter().map(|(field, _)| field);
    match own.chain(&engine_columns()).find(|field| field.name() == key) {
        None => problems.push(format!("{what} is none of its columns")),
        // Not allowed by ClickHouse either, unless it is told to, and then a null equals a null.
        Some(field) if field.is_nullable() => problems.push(format!("{what} is nullable")),
        Some(_) => {}
    }
}

/// Names of tables, and of the views that go with them.
fn check_tables(outputs: &[Output], problems: &mut Vec<String>) {
    if outputs.is_empty() {
        problems.push("it has no output table".to_owned());
    }
    let view = |output: &Output| (output.kind == TableKind::Current).then(|| format!("{}_current", output.table));
    let views: Vec<String> = outputs.iter().filter_map(view).collect();
    let tables = outputs.iter().map(|output| output.table.as_str());
    check_unique("table or view", tables.chain(views.iter().map(String::as_str)), problems);
}

fn parameters(described: Vec<contract::Parameter>, problems: &mut Vec<String>) -> Vec<Parameter> {
    check_unique("parameter", described.iter().map(|parameter| parameter.name.as_str()), problems);
    for parameter in &described {
        check_name("parameter name", &parameter.name, problems);
    }
    let parameter = |p: contract::Parameter| Parameter { name: p.name, doc: p.doc, default: p.default };
    described.into_iter().map(parameter).collect()
}
