//! The column as a plugin declares it for a mode, with the help that a message without schema needs.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};
use debezium_decode::{EXTENSION_NAME, Encoding, InputColumn, Reading, Source};

use crate::recording::Format;
use crate::tables::{As, list_of};

/// The unit that a mode writes times of so many digits in.
pub(crate) fn unit(mode: &str, digits: u32) -> TimeUnit {
    match mode {
        "double" => TimeUnit::Millisecond,
        "numeric" | "string" | "structured" => TimeUnit::Microsecond,
        "nanoseconds" => TimeUnit::Nanosecond,
        _ if digits > 3 => TimeUnit::Microsecond,
        _ => TimeUnit::Millisecond,
    }
}

/// A column that may be null, read from the field of its name.
pub(crate) fn declared(mode: &str, name: &str, column: As, format: Format) -> InputColumn {
    let data_type = data_type(mode, column, format);
    let reading = Reading { encoding: encoding(mode, column, format), ..Reading::default() };
    let mut field = Field::new(name, data_type, true);
    // A structured interval is an object.
    if matches!((column, mode), (As::Json, _) | (As::Interval, "structured")) {
        field.set_metadata(HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]));
    }
    InputColumn { field: Arc::new(field), source: Source::Row(name.to_owned()), required: false, reading }
}

fn data_type(mode: &str, column: As, format: Format) -> DataType {
    // A schema says the unit, so that any can be declared.
    let unit = |digits| if format == Format::Plain { unit(mode, digits) } else { TimeUnit::Microsecond };
    let utc = DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    match column {
        As::Plain(data_type) => data_type(),
        As::Time(digits) => DataType::Timestamp(unit(digits), None),
        As::Clock(digits) => time_of_day(unit(digits)),
        As::Zoned => utc,
        As::Decimal(precision, scale) => decimal(precision, scale),
        As::Json => DataType::Utf8,
        As::Bytes | As::Wkb | As::LongBits => DataType::Binary,
        As::Bits | As::Unsigned => DataType::UInt64,
        As::Interval if matches!(mode, "string" | "structured") => DataType::Utf8,
        As::Duration if mode == "string" => DataType::Time64(TimeUnit::Microsecond),
        As::Interval | As::Duration => DataType::Int64,
        As::List(element) => list_of(element()),
        As::Times => list_of(DataType::Timestamp(unit(6), None)),
        As::Clocks => list_of(time_of_day(unit(6))),
        As::ZonedTimes => list_of(utc),
        As::BytesList => list_of(DataType::Binary),
        As::Decimals => list_of(decimal(10, 2)),
    }
}

fn encoding(mode: &str, column: As, format: Format) -> Option<Encoding> {
    let plain = format == Format::Plain;
    match (column, mode) {
        (As::Bytes | As::BytesList, "string") => Some(Encoding::Hex),
        (As::Bytes | As::BytesList, "double" | "numeric") => Some(Encoding::Base64),
        (As::Bits, _) if plain => Some(Encoding::Bits),
        (As::Unsigned, "string") if plain => Some(Encoding::Precise),
        _ => None,
    }
}

fn time_of_day(unit: TimeUnit) -> DataType {
    if unit == TimeUnit::Millisecond { DataType::Time32(unit) } else { DataType::Time64(unit) }
}

fn decimal(precision: u8, scale: i8) -> DataType {
    if precision > 38 { DataType::Decimal256(precision, scale) } else { DataType::Decimal128(precision, scale) }
}

/// The declared type in the document's words.
pub(crate) fn words(column: As) -> String {
    let InputColumn { field, .. } = declared("precise", "", column, Format::Schema);
    if field.metadata().contains_key(EXTENSION_NAME) { "Json".to_owned() } else { name(field.data_type()) }
}

fn name(data_type: &DataType) -> String {
    match data_type {
        DataType::List(element) => format!("List({})", name(element.data_type())),
        DataType::Map(..) => "Map(Utf8, Utf8)".to_owned(),
        DataType::FixedSizeBinary(16) => "Uuid".to_owned(),
        DataType::Timestamp(_, zone) => if zone.is_some() { "Timestamp(UTC)" } else { "Timestamp" }.to_owned(),
        DataType::Time32(_) | DataType::Time64(_) => "Time".to_owned(),
        other => other.to_string(),
    }
}
