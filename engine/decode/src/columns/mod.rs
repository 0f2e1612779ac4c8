//! Columns under way: one file for each type that a column can have, each with the ways in which Debezium writes it.
//!
//! **Promise.** A value is read exactly or refused; a refused value leaves the column to be truncated to the rows
//! before it. Which type a column has is decided once, when the input is planned.
//!
//! A new type is a new file here and a line in [`column`].

mod primitive;
mod bytes;
mod integer;
mod float;
mod boolean;
mod text;
mod json;
mod binary;
mod uuid;
mod calendar;
mod cells;
mod date;
mod time;
mod timestamp;
mod decimal;
mod structured;
mod bits;
mod list;
mod sparse;
mod map;
mod base64;

use std::fmt::Debug;

use arrow_array::ArrayRef;
use arrow_array::types as arrow;
use arrow_schema::{DataType, Field, TimeUnit};

pub(super) use self::calendar::date_text;
pub(super) use self::decimal::append_digits;
pub(super) use self::integer::int64;

use self::bytes::Variable;
use self::primitive::Primitive;
use super::reject::{End, Read};
use super::scan::Cursor;
use super::schema::Wire;
use crate::input::Decimals;
use crate::input::EXTENSION_NAME;
use crate::policy::{Case, Encoding, Policy, Reading};

/// A value of a binary format, as it stands there.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Plain<'m> {
    /// A boolean.
    Boolean(bool),
    /// A number, or what is written as one: days, a time.
    Integer(i64),
    /// A number of 32 bits.
    Float(f32),
    /// A number of 64 bits.
    Double(f64),
    /// Text, known to be UTF-8.
    Text(&'m [u8]),
    /// Bytes, or what is written as bytes: a decimal.
    Bytes(&'m [u8]),
}

/// Cells of one column, collected row by row.
pub(super) trait Column: Debug + Send {
    /// Makes room for so many rows.
    fn reserve(&mut self, rows: usize);

    /// Bytes of its cells, for types whose cells can be much longer than their text.
    fn held(&self) -> usize {
        0
    }

    /// Appends the value that the cursor is at, which is not null, and moves behind it. After a refusal the column
    /// may hold a part of a cell, until it is truncated.
    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<()>;

    /// Appends a value that needs no reading, as Avro has it. False: nothing was done; this is no plain case, to be read
    /// from the JSON that Connect would have written of the same value.
    fn read_plain(&mut self, _value: Plain<'_>, _wire: &Wire) -> Read<bool> {
        Ok(false)
    }

    /// Appends a null.
    fn push_null(&mut self);

    /// Appends the type's zero: 0, false, empty, 1970-01-01.
    fn push_zero(&mut self);

    /// Appends the value at an end of what ClickHouse's type holds. False: the type has none.
    fn push_limit(&mut self, _end: End) -> bool {
        false
    }

    /// Appends a negative number as the unsigned one of the same bits. False: the type is not such a one.
    fn push_wrapped(&mut self, _negative: i64) -> bool {
        false
    }

    /// Keeps the first rows alone.
    fn truncate(&mut self, rows: usize);

    /// Takes all rows as an array of the declared type.
    fn finish(&mut self) -> ArrayRef;
}

/// The column for a field of an input; an error names the field and what is possible instead.
#[expect(clippy::wildcard_enum_match_arm, reason = "Arrow has more types than can be decoded, and gets more")]
pub(super) fn column(field: &Field, reading: &Reading, decimals: Decimals) -> Result<Box<dyn Column>, String> {
    let encoding = reading.encoding;
    let decimals = match encoding {
        Some(Encoding::Text) => Decimals::String,
        Some(Encoding::Precise) => Decimals::Precise,
        _ => decimals,
    };
    let bounded = reading.policy(Case::OutOfRange).is_some_and(|policy| policy != Policy::Reject);
    let specials = reading.policy(Case::Nan).is_none_or(|policy| policy == Policy::Keep);
    let data_type = field.data_type();
    let extension = field.metadata().get(EXTENSION_NAME).map(String::as_str);
    Ok(match data_type {
        DataType::Boolean => Box::new(boolean::Booleans::default()),
        DataType::Int8 => integer::<arrow::Int8Type>(data_type, encoding),
        DataType::Int16 => integer::<arrow::Int16Type>(data_type, encoding),
        DataType::Int32 => integer::<arrow::Int32Type>(data_type, encoding),
        DataType::Int64 => integer::<arrow::Int64Type>(data_type, encoding),
        DataType::UInt8 => integer::<arrow::UInt8Type>(data_type, encoding),
        DataType::UInt16 => integer::<arrow::UInt16Type>(data_type, encoding),
        DataType::UInt32 => integer::<arrow::UInt32Type>(data_type, encoding),
        DataType::UInt64 => integer::<arrow::UInt64Type>(data_type, encoding),
        DataType::Float32 => Box::new(Primitive::new(float::Float32 { specials }, data_type)),
        DataType::Float64 => Box::new(Primitive::new(float::Float64 { specials }, data_type)),
        DataType::Utf8 if extension == Some("arrow.json") => Box::new(Variable::new(json::Json::default())),
        DataType::Utf8 => Box::new(Variable::new(text::Text)),
        DataType::Binary => Box::new(Variable::new(binary::Binary::new(encoding))),
        DataType::FixedSizeBinary(16) => Box::new(uuid::Uuids::default()),
        DataType::Date32 => Box::new(Primitive::new(date::Date { bounded }, data_type)),
        DataType::Time32(TimeUnit::Second) => time::<arrow::Time32SecondType>(data_type, TimeUnit::Second),
        DataType::Time32(TimeUnit::Millisecond) => {
            time::<arrow::Time32MillisecondType>(data_type, TimeUnit::Millisecond)
        }
        DataType::Time64(TimeUnit::Microsecond) => {
            time::<arrow::Time64MicrosecondType>(data_type, TimeUnit::Microsecond)
        }
        DataType::Time64(TimeUnit::Nanosecond) => time::<arrow::Time64NanosecondType>(data_type, TimeUnit::Nanosecond),
        DataType::Timestamp(unit, zone) => timestamp(data_type, *unit, zone.is_some(), bounded),
        DataType::Decimal128(precision, scale) => {
            let cell = decimal::Decimal::<arrow::Decimal128Type>::new(*precision, *scale, decimals);
            Box::new(Primitive::new(cell, data_type))
        }
        DataType::Decimal256(precision, scale) => {
            let cell = decimal::Decimal::<arrow::Decimal256Type>::new(*precision, *scale, decimals);
            Box::new(Primitive::new(cell, data_type))
        }
        DataType::List(element) => Box::new(list::Lists::new(
            element.clone(),
            column(element, reading, decimals).map_err(|_| not_decodable(field))?,
        )),
        DataType::Map(entries, _) => {
            let values =
                |value: &arrow_schema::FieldRef| column(value, reading, decimals).map_err(|_| not_decodable(field));
            Box::new(map::Maps::new(entries, values).ok_or_else(|| not_decodable(field))??)
        }
        _ => return Err(not_decodable(field)),
    })
}

fn integer<A>(data_type: &DataType, encoding: Option<Encoding>) -> Box<dyn Column>
where
    A: arrow::ArrowPrimitiveType + Debug,
    A::Native: TryFrom<i64> + TryFrom<i128>,
{
    Box::new(Primitive::new(integer::Integer::<A>::new(encoding, *data_type == DataType::UInt64), data_type))
}

fn time<A>(data_type: &DataType, unit: TimeUnit) -> Box<dyn Column>
where
    A: arrow::ArrowPrimitiveType + Debug,
    A::Native: TryFrom<i64>,
{
    Box::new(Primitive::new(time::Time::<A>::new(unit), data_type))
}

fn timestamp(data_type: &DataType, unit: TimeUnit, zoned: bool, bounded: bool) -> Box<dyn Column> {
    fn of<A>(data_type: &DataType, unit: TimeUnit, zoned: bool, bounded: bool) -> Box<dyn Column>
    where
        A: arrow::ArrowPrimitiveType<Native = i64> + Debug,
    {
        Box::new(Primitive::new(timestamp::Timestamp::<A>::new(unit, zoned, bounded), data_type))
    }
    match unit {
        TimeUnit::Second => of::<arrow::TimestampSecondType>(data_type, unit, zoned, bounded),
        TimeUnit::Millisecond => of::<arrow::TimestampMillisecondType>(data_type, unit, zoned, bounded),
        TimeUnit::Microsecond => of::<arrow::TimestampMicrosecondType>(data_type, unit, zoned, bounded),
        TimeUnit::Nanosecond => of::<arrow::TimestampNanosecondType>(data_type, unit, zoned, bounded),
    }
}

fn not_decodable(field: &Field) -> String {
    format!(
        "column {} is declared as {}, which can't be decoded; possible are Boolean, Int8 to Int64, UInt8 to UInt64, \
         Float32, Float64, Utf8 (with the extension arrow.json for JSON), Binary, FixedSizeBinary(16) for UUIDs, Date32, \
         Time32, Time64, Timestamp, Decimal128, Decimal256, and List and Map (with keys of Utf8) of these",
        field.name(),
        field.data_type()
    )
}

#[cfg(test)]
mod tests;
