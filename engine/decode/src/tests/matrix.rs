//! The matrix of types: what comes out of recordings of a live connector, in every handling mode, with embedded schema
//! and without, beside what the database itself says of each cell (`schemas/debezium/matrix`). Without schema each
//! column is declared as its mode writes it. The matrix is printed to `schemas/debezium/MATRIX.md`; a run with
//! `UPDATE_MATRIX=1` writes it anew.
//!
//! The message without schema is the one with it, less the wrapper: the JSON converter writes the same payload.

mod explained;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::policy::Encoding;
use explained::EXPLAINED;

/// A column of a recorded table: its name, its type in the database, and as what it is declared.
type Tested = (&'static str, &'static str, As);

/// As what a column is declared; times in the unit that the mode writes.
#[derive(Clone, Copy, Debug)]
enum As {
    Plain(fn() -> DataType),
    /// Timestamp, of this many digits behind the second.
    Time(u32),
    /// Time of day.
    Clock(u32),
    Zoned,
    Json,
    /// Decimals, told apart because their writing without schema is the input's setting.
    Decimal(u8, i8),
    Bytes,
    Bits,
    /// `BIGINT UNSIGNED`.
    Unsigned,
    Interval,
    /// MySQL's TIME: beyond a day, so that it is no time of day.
    Duration,
    List(fn() -> DataType),
    Times,
    ZonedTimes,
    Decimals,
}

fn map() -> DataType {
    let pair = vec![required("keys", DataType::Utf8), optional("values", DataType::Utf8)];
    DataType::Map(Arc::new(required("entries", DataType::Struct(pair.into()))), false)
}

fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(optional("item", element)))
}

const POSTGRES: &[Tested] = &[
    ("c_bool", "boolean", As::Plain(|| DataType::Boolean)),
    ("c_i2", "smallint", As::Plain(|| DataType::Int16)),
    ("c_i4", "integer", As::Plain(|| DataType::Int32)),
    ("c_i8", "bigint", As::Plain(|| DataType::Int64)),
    ("c_f4", "real", As::Plain(|| DataType::Float32)),
    ("c_f8", "double precision", As::Plain(|| DataType::Float64)),
    ("c_num_10_2", "numeric(10,2)", As::Decimal(10, 2)),
    ("c_num_38_10", "numeric(38,10)", As::Decimal(38, 10)),
    ("c_num_76_38", "numeric(76,38)", As::Decimal(76, 38)),
    ("c_num", "numeric", As::Decimal(76, 19)),
    ("c_money", "money", As::Decimal(19, 2)),
    ("c_char", "char(5)", As::Plain(|| DataType::Utf8)),
    ("c_varchar", "varchar", As::Plain(|| DataType::Utf8)),
    ("c_text", "text", As::Plain(|| DataType::Utf8)),
    ("c_citext", "citext", As::Plain(|| DataType::Utf8)),
    ("c_date", "date", As::Plain(|| DataType::Date32)),
    ("c_ts0", "timestamp(0)", As::Time(0)),
    ("c_ts3", "timestamp(3)", As::Time(3)),
    ("c_ts", "timestamp", As::Time(6)),
    ("c_tstz", "timestamptz", As::Zoned),
    ("c_time0", "time(0)", As::Clock(0)),
    ("c_time3", "time(3)", As::Clock(3)),
    ("c_time", "time", As::Clock(6)),
    ("c_timetz", "timetz", As::Plain(|| DataType::Time64(TimeUnit::Microsecond))),
    ("c_interval", "interval", As::Interval),
    ("c_uuid", "uuid", As::Plain(|| DataType::FixedSizeBinary(16))),
    ("c_json", "json", As::Json),
    ("c_jsonb", "jsonb", As::Json),
    ("c_xml", "xml", As::Plain(|| DataType::Utf8)),
    ("c_bytea", "bytea", As::Bytes),
    ("c_bit1", "bit(1)", As::Plain(|| DataType::Boolean)),
    ("c_bit5", "bit(5)", As::Bits),
    ("c_bit64", "bit(64)", As::Bits),
    ("c_varbit", "bit varying", As::Bits),
    ("c_i4_arr", "integer[]", As::List(|| DataType::Int32)),
    ("c_i8_arr", "bigint[]", As::List(|| DataType::Int64)),
    ("c_f8_arr", "double precision[]", As::List(|| DataType::Float64)),
    ("c_bool_arr", "boolean[]", As::List(|| DataType::Boolean)),
    ("c_text_arr", "text[]", As::List(|| DataType::Utf8)),
    ("c_num_arr", "numeric(10,2)[]", As::Decimals),
    ("c_date_arr", "date[]", As::List(|| DataType::Date32)),
    ("c_ts_arr", "timestamp[]", As::Times),
    ("c_tstz_arr", "timestamptz[]", As::ZonedTimes),
    ("c_uuid_arr", "uuid[]", As::List(|| DataType::FixedSizeBinary(16))),
    ("c_enum_arr", "enum[]", As::List(|| DataType::Utf8)),
    ("c_enum", "enum", As::Plain(|| DataType::Utf8)),
    ("c_domain", "domain of int", As::Plain(|| DataType::Int32)),
    ("c_inet", "inet", As::Plain(|| DataType::Utf8)),
    ("c_cidr", "cidr", As::Plain(|| DataType::Utf8)),
    ("c_macaddr", "macaddr", As::Plain(|| DataType::Utf8)),
    ("c_hstore", "hstore", As::Plain(map)),
    ("c_hstore", "hstore", As::Json),
    ("c_ltree", "ltree", As::Plain(|| DataType::Utf8)),
    ("c_tsvector", "tsvector", As::Plain(|| DataType::Utf8)),
    ("c_point", "point", As::Json),
    ("c_i4range", "int4range", As::Plain(|| DataType::Utf8)),
    ("c_oid", "oid", As::Plain(|| DataType::UInt32)),
];

const MARIADB: &[Tested] = &[
    ("c_bool", "boolean", As::Plain(|| DataType::Boolean)),
    ("c_i1", "tinyint", As::Plain(|| DataType::Int8)),
    ("c_u1", "tinyint unsigned", As::Plain(|| DataType::UInt8)),
    ("c_i2", "smallint", As::Plain(|| DataType::Int16)),
    ("c_u2", "smallint unsigned", As::Plain(|| DataType::UInt16)),
    ("c_i3", "mediumint", As::Plain(|| DataType::Int32)),
    ("c_u3", "mediumint unsigned", As::Plain(|| DataType::UInt32)),
    ("c_i4", "int", As::Plain(|| DataType::Int32)),
    ("c_u4", "int unsigned", As::Plain(|| DataType::UInt32)),
    ("c_i8", "bigint", As::Plain(|| DataType::Int64)),
    ("c_u8", "bigint unsigned", As::Unsigned),
    ("c_f4", "float", As::Plain(|| DataType::Float32)),
    ("c_f8", "double", As::Plain(|| DataType::Float64)),
    ("c_dec_10_2", "decimal(10,2)", As::Decimal(10, 2)),
    ("c_dec_65_30", "decimal(65,30)", As::Decimal(65, 30)),
    ("c_udec", "decimal(20,0) unsigned", As::Decimal(20, 0)),
    ("c_bit1", "bit(1)", As::Plain(|| DataType::Boolean)),
    ("c_bit5", "bit(5)", As::Bits),
    ("c_bit64", "bit(64)", As::Bits),
    ("c_char", "char(5)", As::Plain(|| DataType::Utf8)),
    ("c_varchar", "varchar", As::Plain(|| DataType::Utf8)),
    ("c_text", "text", As::Plain(|| DataType::Utf8)),
    ("c_latin1", "varchar, latin1", As::Plain(|| DataType::Utf8)),
    ("c_binary", "binary(5)", As::Bytes),
    ("c_varbinary", "varbinary", As::Bytes),
    ("c_blob", "blob", As::Bytes),
    ("c_date", "date", As::Plain(|| DataType::Date32)),
    ("c_dt0", "datetime", As::Time(0)),
    ("c_dt3", "datetime(3)", As::Time(3)),
    ("c_dt6", "datetime(6)", As::Time(6)),
    ("c_ts0", "timestamp", As::Zoned),
    ("c_ts6", "timestamp(6)", As::Zoned),
    ("c_time0", "time", As::Duration),
    ("c_time3", "time(3)", As::Duration),
    ("c_time6", "time(6)", As::Duration),
    ("c_year", "year", As::Plain(|| DataType::Int16)),
    ("c_enum", "enum", As::Plain(|| DataType::Utf8)),
    ("c_set", "set", As::List(|| DataType::Utf8)),
    ("c_set", "set", As::Plain(|| DataType::Utf8)),
    ("c_json", "json", As::Json),
    ("c_point", "point", As::Json),
];

const MODES: [(&str, &str); 6] = [
    ("precise", "Debezium's defaults: `precise`, `adaptive`, `bytes`"),
    (
        "string",
        "`string` decimals, `isostring`, `hex`, `interval.handling.mode=string`, hstore as `map`, unsigned `precise`",
    ),
    ("double", "`double` decimals, `connect` times, `base64`"),
    ("numeric", "`decimal.format=NUMERIC`, `microseconds`, `base64-url-safe`, unsigned `precise`"),
    ("nanoseconds", "`nanoseconds`"),
    ("structured", "`structured` times; PostgreSQL alone"),
];

struct Recorded {
    prefix: String,
    payloads: Vec<String>,
    expected: BTreeMap<i64, Value>,
}

fn folder() -> String {
    format!("{}/../../schemas/debezium", env!("CARGO_MANIFEST_DIR"))
}

fn lines(file: &str) -> Vec<Value> {
    let path = format!("{}/matrix/{file}", folder());
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn recorded(database: &str, mode: &str) -> Recorded {
    let messages = lines(&format!("{database}-{mode}.jsonl"));
    let text = |line: &Value, key: &str| line[key].as_str().unwrap().to_owned();
    let values = lines(&format!("{database}-values.jsonl"));
    Recorded {
        prefix: text(&messages[0], "prefix"),
        payloads: messages[1..].iter().map(|line| text(line, "payload")).collect(),
        expected: values.into_iter().map(|row| (row["id"].as_i64().unwrap(), row)).collect(),
    }
}

/// The unit that a mode writes times of so many digits in.
fn unit(mode: &str, digits: u32) -> TimeUnit {
    match mode {
        "double" => TimeUnit::Millisecond,
        "numeric" | "string" | "structured" => TimeUnit::Microsecond,
        "nanoseconds" => TimeUnit::Nanosecond,
        _ if digits > 3 => TimeUnit::Microsecond,
        _ => TimeUnit::Millisecond,
    }
}

fn time_of_day(unit: TimeUnit) -> DataType {
    if unit == TimeUnit::Millisecond { DataType::Time32(unit) } else { DataType::Time64(unit) }
}

fn decimal(precision: u8, scale: i8) -> DataType {
    if precision > 38 { DataType::Decimal256(precision, scale) } else { DataType::Decimal128(precision, scale) }
}

/// The column as a plugin declares it for this mode.
fn declared(mode: &str, name: &str, column: As, schema: bool) -> InputColumn {
    let micros = |unit: TimeUnit| if schema { TimeUnit::Microsecond } else { unit };
    let mut reading = Reading::default();
    let data_type = match column {
        As::Plain(data_type) => data_type(),
        As::Time(digits) => DataType::Timestamp(micros(unit(mode, digits)), None),
        As::Clock(digits) => time_of_day(micros(unit(mode, digits))),
        As::Zoned => utc_micros(),
        As::Json => {
            return InputColumn { field: Arc::new(json(name)), ..declared(mode, name, As::Interval, schema) };
        }
        As::Decimal(precision, scale) => decimal(precision, scale),
        As::Bytes => {
            reading.encoding = match mode {
                "string" => Some(Encoding::Hex),
                "double" | "numeric" => Some(Encoding::Base64),
                _ => None,
            };
            DataType::Binary
        }
        As::Bits => {
            reading.encoding = (!schema).then_some(Encoding::Bits);
            DataType::UInt64
        }
        As::Unsigned => {
            reading.encoding = (!schema && mode == "string").then_some(Encoding::Precise);
            DataType::UInt64
        }
        As::Interval if matches!(mode, "string" | "structured") => DataType::Utf8,
        As::Duration if mode == "string" => DataType::Time64(TimeUnit::Microsecond),
        As::Interval | As::Duration => DataType::Int64,
        As::List(element) => list_of(element()),
        As::Times => list_of(DataType::Timestamp(micros(unit(mode, 6)), None)),
        As::ZonedTimes => list_of(utc_micros()),
        As::Decimals => list_of(decimal(10, 2)),
    };
    if mode == "structured" && matches!(column, As::Interval) {
        return InputColumn { field: Arc::new(json(name)), ..declared("precise", name, column, schema) };
    }
    let field = Arc::new(optional(name, data_type));
    InputColumn { field, source: Source::Row(name.to_owned()), required: false, reading }
}

/// A cell as the database's text has it, and whether the two are equal.
fn same(array: &ArrayRef, row: usize, expected: &Value, column: As, unit: TimeUnit) -> bool {
    let Some(text) = expected.as_str() else { return array.is_null(row) };
    if array.is_null(row) {
        return false;
    }
    let found = cell(array, row);
    let scaled = |unit: &TimeUnit| {
        let per_micro: i128 = match unit {
            TimeUnit::Second => 1_000_000,
            TimeUnit::Millisecond => 1_000,
            TimeUnit::Microsecond => 1,
            TimeUnit::Nanosecond => {
                return found.parse::<i128>().ok().filter(|value| value % 1000 == 0).map(|value| value / 1000);
            }
        };
        found.parse::<i128>().ok().map(|value| value * per_micro)
    };
    match array.data_type() {
        DataType::Float32 => {
            text.parse::<f32>().is_ok_and(|value| found.parse::<f32>().unwrap().to_bits() == value.to_bits())
        }
        DataType::Float64 => {
            text.parse::<f64>().is_ok_and(|value| found.parse::<f64>().unwrap().to_bits() == value.to_bits())
        }
        DataType::Timestamp(unit, _) | DataType::Time32(unit) | DataType::Time64(unit) => {
            scaled(unit) == text.parse().ok()
        }
        DataType::Int64 if matches!(column, As::Duration) => scaled(&unit) == text.parse().ok(),
        DataType::List(element) => same_list(&found, text, element.data_type()),
        DataType::Map(..) => {
            let Ok(Value::Object(object)) = serde_json::from_str(text) else { return false };
            let pair = |(key, value): (&String, &Value)| format!("{key}: {}", value.as_str().unwrap_or("null"));
            let pairs: BTreeSet<String> = object.iter().map(pair).collect();
            let inner = found.trim_start_matches('{').trim_end_matches('}');
            let found: BTreeSet<String> =
                inner.split(", ").filter(|pair| !pair.is_empty()).map(str::to_owned).collect();
            pairs == found
        }
        DataType::Utf8 if matches!(column, As::Interval) => duration(&found) == duration(text),
        _ if found == text => true,
        DataType::Utf8 if matches!(column, As::Json) => same_json(&found, text),
        _ => false,
    }
}

fn same_list(found: &str, text: &str, element: &DataType) -> bool {
    if let (DataType::Utf8, Ok(Value::Array(items))) = (element, serde_json::from_str(text)) {
        let items: Vec<&str> = items.iter().map(|item| item.as_str().unwrap_or("null")).collect();
        return found == format!("[{}]", items.join(", "));
    }
    // A set is its words with commas between them.
    let text = if text.starts_with('[') { text.to_owned() } else { format!("[{}]", text.replace(',', ", ")) };
    if let DataType::Timestamp(TimeUnit::Millisecond | TimeUnit::Nanosecond, _) = element {
        let micros = |text: &str, up: bool| -> Vec<Option<i128>> {
            let one = |item: &str| item.parse::<i128>().ok().map(|value| if up { value * 1000 } else { value / 1000 });
            text.trim_matches(['[', ']']).split(", ").map(one).collect()
        };
        let plain: Vec<Option<i128>> =
            text.trim_matches(['[', ']']).split(", ").map(|item| item.parse().ok()).collect();
        return micros(found, *element == DataType::Timestamp(TimeUnit::Millisecond, None)) == plain;
    }
    if *element == DataType::Float64 {
        let numbers = |text: &str| -> Vec<u64> {
            let items = text.trim_matches(['[', ']']).split(", ").filter(|item| !item.is_empty());
            items.map(|item| item.parse::<f64>().map_or(1, f64::to_bits)).collect()
        };
        return numbers(found) == numbers(&text);
    }
    found == text
}

/// Objects may have more members than the database was asked for, and floats other spellings.
fn same_json(found: &str, expected: &str) -> bool {
    let (found, expected): (Value, Value) =
        (serde_json::from_str(found).unwrap(), serde_json::from_str(expected).unwrap());
    let equal =
        |left: &Value, right: &Value| left == right || left.as_f64().is_some() && left.as_f64() == right.as_f64();
    match (&found, &expected) {
        (Value::Object(found), Value::Object(expected)) => {
            expected.iter().all(|(key, value)| found.get(key).is_some_and(|found| equal(found, value)))
        }
        _ => equal(&found, &expected),
    }
}

/// The parts of an ISO 8601 duration, or of a structured one, that are not zero.
fn duration(text: &str) -> BTreeMap<String, String> {
    if let Ok(Value::Object(parts)) = serde_json::from_str(text) {
        let number = |key: &str| parts[key].as_i64().unwrap();
        let nanos = number("seconds") * 1_000_000_000 + number("nanos");
        let seconds = format!("{}", nanos as f64 / 1e9);
        let named = [("PY", "years"), ("PM", "months"), ("PD", "days"), ("TH", "hours"), ("TM", "minutes")];
        let named = named.map(|(letter, key)| (letter.to_owned(), number(key).to_string()));
        return named.into_iter().chain([("TS".to_owned(), seconds)]).filter(|(_, value)| value != "0").collect();
    }
    let (mut parts, mut number, mut half) = (BTreeMap::new(), String::new(), 'P');
    for letter in text.chars() {
        match letter {
            'P' | 'T' => half = letter,
            '0'..='9' | '-' | '.' => number.push(letter),
            _ => {
                let value: f64 = std::mem::take(&mut number).parse().unwrap();
                if value != 0.0 {
                    parts.insert(format!("{half}{letter}"), value.to_string());
                }
            }
        }
    }
    parts
}

/// What is not exact about a column in a mode, with schema or without: by the row's id.
fn deviations(mode: &str, tested: &Tested, recorded: &Recorded, schema: bool) -> BTreeMap<i64, String> {
    let (name, _, column) = tested;
    let mut input = input(Format::Envelope, vec![required("id", DataType::Int64)]);
    input.decimals = if mode == "string" { Decimals::String } else { Decimals::Precise };
    input.columns.push(declared(mode, name, *column, schema));
    let wrapped = |payload: &String| {
        if schema { format!("{}{payload}}}", recorded.prefix) } else { payload.clone() }
    };
    let values: Vec<String> = recorded.payloads.iter().map(wrapped).collect();
    let all: Vec<Bytes<'_>> = values.iter().map(|value| (None, Some(value.as_bytes()))).collect();
    let decoded = decode(&mut decoder(&input), &messages(&all));
    let id_of = |payload: &str| -> i64 {
        let after = payload.split_once("\"after\":{\"id\":").unwrap().1;
        after.split(',').next().unwrap().parse().unwrap()
    };
    let ids: Vec<i64> = recorded.payloads.iter().map(|payload| id_of(payload)).collect();
    let mut found = BTreeMap::new();
    for reject in &decoded.rejects {
        found.insert(ids[usize::try_from(reject.offset).unwrap()], format!("refused as {}", reject.code));
    }
    // TIME is declared as a number, in the unit that the mode writes, which is microseconds by default.
    let unit = if mode == "precise" { TimeUnit::Microsecond } else { unit(mode, 6) };
    for row in 0..decoded.rows.num_rows() {
        let id = decoded.rows.column(0).as_primitive::<Int64Type>().value(row);
        let expected_name = if matches!(column, As::Interval)
            && declared(mode, name, *column, schema).field.data_type() == &DataType::Utf8
        {
            format!("{name}_text")
        } else {
            (*name).to_owned()
        };
        let expected = &recorded.expected[&(id % 100)][&expected_name];
        let array = decoded.rows.column(1);
        if !same(array, row, expected, *column, unit) {
            let text = cell(array, row);
            let found_text = if array.is_null(row) { "null".to_owned() } else { text };
            found.insert(id, format!("{found_text} for {}", expected.as_str().unwrap_or("null")));
        }
    }
    found
}

fn footnote(
    database: &str,
    mode: &str,
    tested: &Tested,
    deviations: &BTreeMap<i64, String>,
) -> Result<BTreeSet<usize>, String> {
    let mut notes = BTreeSet::new();
    for (id, deviation) in deviations {
        let row = id % 100;
        let matching =
            EXPLAINED.iter().position(|explained| explained.covers(database, mode, tested.0, row, deviation));
        match matching {
            Some(index) => notes.insert(index),
            None => return Err(format!("{database} {mode} {} row {id}: {deviation}", tested.0)),
        };
    }
    Ok(notes)
}

#[test]
fn every_type_in_every_mode_is_what_the_database_says() {
    let (mut unexplained, mut used, mut document) = (Vec::new(), BTreeSet::new(), String::new());
    for (database, title, table) in
        [("postgres", "PostgreSQL 15, Debezium 3.7.0", POSTGRES), ("mariadb", "MariaDB 10.11, Debezium 3.5.0", MARIADB)]
    {
        let modes: Vec<_> = MODES.iter().filter(|(mode, _)| database == "postgres" || *mode != "structured").collect();
        let recordings: Vec<Recorded> = modes.iter().map(|(mode, _)| recorded(database, mode)).collect();
        document += &format!("## {title}\n\n| type | declared as |");
        modes.iter().for_each(|(mode, _)| document += &format!(" {mode} |"));
        document += &format!("\n|---|---|{}\n", "---|".repeat(modes.len()));
        for tested in table {
            let shown = declared("precise", tested.0, tested.2, true);
            let as_json = shown.field.metadata().contains_key(EXTENSION_NAME);
            let declared = if as_json { "Json".to_owned() } else { name_of(shown.field.data_type()) };
            document += &format!("| {} | {declared} |", tested.1);
            for ((mode, _), recording) in modes.iter().zip(&recordings) {
                let mut marks = Vec::new();
                for schema in [true, false] {
                    let found = deviations(mode, tested, recording, schema);
                    match footnote(database, mode, tested, &found) {
                        Ok(notes) => {
                            used.extend(notes.iter().copied());
                            let mark = notes.iter().map(|note| format!("[{}]", note + 1)).collect::<Vec<_>>().join("");
                            marks.push(if mark.is_empty() { "exact".to_owned() } else { mark });
                        }
                        Err(problem) => {
                            unexplained.push(format!("{} schema: {problem}", if schema { "with" } else { "without" }))
                        }
                    }
                }
                marks.dedup();
                document += &format!(" {} |", marks.join(" / "));
            }
            document += "\n";
        }
        document += "\n";
    }
    assert!(unexplained.is_empty(), "{} cells:\n{}", unexplained.len(), unexplained.join("\n"));
    let unused: Vec<_> =
        (0..EXPLAINED.len()).filter(|index| !used.contains(index)).map(|index| EXPLAINED[index].words).collect();
    assert!(unused.is_empty(), "explanations of nothing: {unused:#?}");
    check_document(&document);
}

fn name_of(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) => format!("List({})", name_of(element.data_type())),
        DataType::Map(..) => "Map(Utf8, Utf8)".to_owned(),
        DataType::FixedSizeBinary(16) => "Uuid".to_owned(),
        DataType::Timestamp(_, zone) => if zone.is_some() { "Timestamp(UTC)" } else { "Timestamp" }.to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "Time".to_owned(),
        other => other.to_string(),
    }
}

/// The printed matrix is current.
fn check_document(tables: &str) {
    let modes: Vec<String> = MODES.iter().map(|(mode, words)| format!("- {mode}: {words}")).collect();
    let notes: Vec<String> =
        EXPLAINED.iter().enumerate().map(|(at, explained)| format!("{}. {}", at + 1, explained.words)).collect();
    let document = format!(
        "# The matrix of types\n\nWritten by the decoder's tests from the recordings in `matrix/`: messages of live connectors, beside what the database\nsaid of each cell. *exact*: every recorded row, from snapshot and stream, with embedded schema and without, is the\ndatabase's value, to the last digit. Numbers lead to what is not; `a / b`: with schema, and without.\n\nModes:\n\n{}\n\n{tables}## What is not exact\n\n{}\n",
        modes.join("\n"),
        notes.join("\n")
    );
    let path = format!("{}/MATRIX.md", folder());
    if std::env::var_os("UPDATE_MATRIX").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let current = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        current == document,
        "MATRIX.md is not what the recordings give: run the test with UPDATE_MATRIX=1 and look at the difference"
    );
}
