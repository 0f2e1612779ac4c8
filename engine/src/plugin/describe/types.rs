//! The contract's types in Arrow's words.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Fields, TimeUnit};

use crate::plugin::contract::{self, DecimalType, ScalarType, described};
use crate::table::EXTENSION_NAME;

/// A column as a field. Children are named as Arrow's format recommends: `item` of a list; `key` and `value` of the
/// `entries` of a map.
pub(super) fn field(what: &str, column: &described::Column, problems: &mut Vec<String>) -> Field {
    let (name, nullable) = (&column.name, column.nullable);
    match &column.data_type {
        described::DataType::Scalar(of) => scalar(what, name, of, nullable, problems),
        described::DataType::List(of) => {
            let item = scalar(what, Field::LIST_FIELD_DEFAULT_NAME, &of.element, of.nullable, problems);
            Field::new_list(name, item, nullable)
        }
        described::DataType::Map(of) => {
            let key = scalar(what, "key", &of.key, false, problems);
            let value = scalar(what, "value", &of.value, of.nullable, problems);
            let entries = Field::new("entries", DataType::Struct(Fields::from(vec![key, value])), false);
            Field::new(name, DataType::Map(Arc::new(entries), false), nullable)
        }
    }
}

fn scalar(what: &str, name: &str, described: &ScalarType, nullable: bool, problems: &mut Vec<String>) -> Field {
    if let ScalarType::Decimal(decimal) = described {
        check_decimal(what, decimal, problems);
    }
    let (data_type, extension) = scalar_type(described);
    let extension = extension.map(|name| (EXTENSION_NAME.to_owned(), name.to_owned()));
    Field::new(name, data_type, nullable).with_metadata(extension.into_iter().collect::<HashMap<_, _>>())
}

fn check_decimal(what: &str, decimal: &DecimalType, problems: &mut Vec<String>) {
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
fn scalar_type(described: &ScalarType) -> (DataType, Option<&'static str>) {
    let data_type = match described {
        ScalarType::Boolean => DataType::Boolean,
        ScalarType::Int8 => DataType::Int8,
        ScalarType::Int16 => DataType::Int16,
        ScalarType::Int32 => DataType::Int32,
        ScalarType::Int64 => DataType::Int64,
        ScalarType::UInt8 => DataType::UInt8,
        ScalarType::UInt16 => DataType::UInt16,
        ScalarType::UInt32 => DataType::UInt32,
        ScalarType::UInt64 => DataType::UInt64,
        ScalarType::Float32 => DataType::Float32,
        ScalarType::Float64 => DataType::Float64,
        ScalarType::Utf8 => DataType::Utf8,
        ScalarType::Binary => DataType::Binary,
        ScalarType::Json => return (DataType::Utf8, Some("arrow.json")),
        ScalarType::Uuid => return (DataType::FixedSizeBinary(16), Some("arrow.uuid")),
        ScalarType::Date => DataType::Date32,
        ScalarType::Time(unit) => match time_unit(*unit) {
            unit @ (TimeUnit::Second | TimeUnit::Millisecond) => DataType::Time32(unit),
            unit @ (TimeUnit::Microsecond | TimeUnit::Nanosecond) => DataType::Time64(unit),
        },
        ScalarType::Timestamp(of) => DataType::Timestamp(time_unit(of.unit), of.utc.then(|| "UTC".into())),
        ScalarType::Decimal(of) if of.precision <= 38 => DataType::Decimal128(of.precision, of.scale),
        ScalarType::Decimal(of) => DataType::Decimal256(of.precision, of.scale),
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
