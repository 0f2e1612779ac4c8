//! A table's value as text, as the SDK writes it in native tests: so that one expected row fits both.
//!
//! | type | text |
//! |---|---|
//! | number, boolean | as Rust writes it |
//! | text, JSON | itself |
//! | binary | hexadecimal digits |
//! | UUID | `67e55044-10b1-426f-9247-bb680e5fe0c8` |
//! | date, time, timestamp | `2025-01-31`, `23:59:59.000`, `2025-01-31T23:59:59.000Z` (no `Z` without zone) |
//! | decimal | with all digits of its scale: `12.50` |
//! | list, map, struct | `[1,2]`, `{a:1}` |

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, Float32Type, Float64Type, Int8Type, Int16Type,
    Int32Type, Int64Type, Time32MillisecondType, Time32SecondType, Time64MicrosecondType, Time64NanosecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, TimestampSecondType, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

const DAY_SECONDS: i64 = 86_400;

/// The text of a value; `None` is null.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "no table has a column of another type: `types::declared` refuses it"
)]
pub fn text(column: &ArrayRef, row: usize) -> Option<String> {
    if column.is_null(row) {
        return None;
    }
    Some(match column.data_type() {
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Int8 => number::<Int8Type>(column, row).to_string(),
        DataType::Int16 => number::<Int16Type>(column, row).to_string(),
        DataType::Int32 => number::<Int32Type>(column, row).to_string(),
        DataType::Int64 => number::<Int64Type>(column, row).to_string(),
        DataType::UInt8 => number::<UInt8Type>(column, row).to_string(),
        DataType::UInt16 => number::<UInt16Type>(column, row).to_string(),
        DataType::UInt32 => number::<UInt32Type>(column, row).to_string(),
        DataType::UInt64 => number::<UInt64Type>(column, row).to_string(),
        DataType::Float32 => number::<Float32Type>(column, row).to_string(),
        DataType::Float64 => number::<Float64Type>(column, row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex(column.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(width) => fixed(column.as_fixed_size_binary().value(row), *width),
        DataType::Date32 => date(i64::from(number::<Date32Type>(column, row))),
        DataType::Time32(TimeUnit::Second) => time(number::<Time32SecondType>(column, row).into(), 0),
        DataType::Time32(_) => time(number::<Time32MillisecondType>(column, row).into(), 3),
        DataType::Time64(TimeUnit::Microsecond) => time(number::<Time64MicrosecondType>(column, row), 6),
        DataType::Time64(_) => time(number::<Time64NanosecondType>(column, row), 9),
        DataType::Timestamp(unit, zone) => timestamp(column, row, *unit, zone.is_some()),
        DataType::Decimal128(_, scale) => decimal(&number::<Decimal128Type>(column, row).to_string(), *scale),
        DataType::Decimal256(_, scale) => decimal(&number::<Decimal256Type>(column, row).to_string(), *scale),
        DataType::List(_) => list(&column.as_list::<i32>().value(row)),
        DataType::Map(..) => map(column, row),
        DataType::Struct(fields) => {
            let values = column.as_struct().columns().iter();
            let fields = fields.iter().zip(values).map(|(field, value)| (field.name().clone(), element(value, row)));
            braces(fields)
        }
        other => format!("a value of type {other}"),
    })
}

/// A time in ms since 1970-01-01 UTC, to the second: `2025-01-31T23:59:59Z`.
#[must_use]
pub fn utc(ms: i64) -> String {
    let seconds = ms.div_euclid(1_000);
    format!("{}T{}Z", date(seconds.div_euclid(DAY_SECONDS)), time(seconds.rem_euclid(DAY_SECONDS), 0))
}

fn number<T: ArrowPrimitiveType>(column: &ArrayRef, row: usize) -> T::Native {
    column.as_primitive::<T>().value(row)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes all that is written");
        text
    })
}

/// A UUID where it has the width of one.
fn fixed(bytes: &[u8], width: i32) -> String {
    let digits = hex(bytes);
    if width != 16 {
        return digits;
    }
    [0..8, 8..12, 12..16, 16..20, 20..32].map(|part| digits[part].to_owned()).join("-")
}

/// Days since 1970-01-01 (Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`).
fn date(days: i64) -> String {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);
    match year {
        0..=9999 => format!("{year:04}-{month:02}-{day:02}"),
        _ => format!("{year:+05}-{month:02}-{day:02}"),
    }
}

/// A time of day, in parts of a second with so many digits.
fn time(units: i64, digits: u32) -> String {
    let per_second = 10_i64.pow(digits);
    let (second, fraction) = (units.div_euclid(per_second), units.rem_euclid(per_second));
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if digits == 0 { time } else { format!("{time}.{fraction:0width$}", width = digits as usize) }
}

fn timestamp(column: &ArrayRef, row: usize, unit: TimeUnit, zone: bool) -> String {
    let (units, digits) = match unit {
        TimeUnit::Second => (number::<TimestampSecondType>(column, row), 0),
        TimeUnit::Millisecond => (number::<TimestampMillisecondType>(column, row), 3),
        TimeUnit::Microsecond => (number::<TimestampMicrosecondType>(column, row), 6),
        TimeUnit::Nanosecond => (number::<TimestampNanosecondType>(column, row), 9),
    };
    let day = DAY_SECONDS * 10_i64.pow(digits);
    format!("{}T{}{}", date(units.div_euclid(day)), time(units.rem_euclid(day), digits), if zone { "Z" } else { "" })
}

/// The digits of an unscaled value, with its point.
fn decimal(unscaled: &str, scale: i8) -> String {
    let (sign, digits) = unscaled.strip_prefix('-').map_or(("", unscaled), |digits| ("-", digits));
    let Ok(scale) = usize::try_from(scale) else { return format!("{unscaled}e{}", -i32::from(scale)) };
    if scale == 0 {
        return unscaled.to_owned();
    }
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    format!("{sign}{whole}.{fraction}")
}

fn list(values: &ArrayRef) -> String {
    let values: Vec<_> = (0..values.len()).map(|row| element(values, row)).collect();
    format!("[{}]", values.join(","))
}

fn map(column: &ArrayRef, row: usize) -> String {
    let entries = column.as_map().value(row);
    let (keys, values) = (entries.column(0), entries.column(1));
    braces((0..entries.len()).map(|entry| (element(keys, entry), element(values, entry))))
}

fn element(values: &ArrayRef, row: usize) -> String {
    text(values, row).unwrap_or_else(|| "null".to_owned())
}

fn braces(entries: impl Iterator<Item = (String, String)>) -> String {
    let entries: Vec<_> = entries.map(|(key, value)| format!("{key}:{value}")).collect();
    format!("{{{}}}", entries.join(","))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_array::*;
    use arrow_buffer::i256;

    use super::*;

    fn first(array: impl Array + 'static) -> String {
        text(&(Arc::new(array) as ArrayRef), 0).unwrap_or_else(|| "null".to_owned())
    }

    #[test]
    fn values_are_written_as_the_sdk_writes_them() {
        assert_eq!(first(BooleanArray::from(vec![true])), "true");
        assert_eq!(utc(1_735_689_599_999), "2024-12-31T23:59:59Z");
        assert_eq!(first(Float64Array::from(vec![1.0])), "1");
        assert_eq!(first(BinaryArray::from(vec![&b"\x00\xff"[..]])), "00ff");
        assert_eq!(first(Int32Array::from(vec![None::<i32>])), "null");
        assert_eq!(first(Date32Array::from(vec![20_119])), "2025-01-31");
        assert_eq!(first(Date32Array::from(vec![-719_529])), "-0001-12-31");
        assert_eq!(first(Time32SecondArray::from(vec![86_399])), "23:59:59");
        assert_eq!(first(Time64MicrosecondArray::from(vec![1])), "00:00:00.000001");
        assert_eq!(first(TimestampMillisecondArray::from(vec![-1]).with_timezone("UTC")), "1969-12-31T23:59:59.999Z");
        assert_eq!(first(TimestampSecondArray::from(vec![0])), "1970-01-01T00:00:00");
        let decimal = Decimal128Array::from(vec![-5]).with_precision_and_scale(10, 2).expect("fits");
        assert_eq!(first(decimal), "-0.05");
        let wide = Decimal256Array::from(vec![i256::from_i128(12_345)]).with_precision_and_scale(40, 3).expect("fits");
        assert_eq!(first(wide), "12.345");
        let uuid = FixedSizeBinaryArray::try_from_iter([[0x11_u8; 16]].into_iter()).expect("one width");
        assert_eq!(first(uuid), "11111111-1111-1111-1111-111111111111");
        let lists = ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None])]);
        assert_eq!(first(lists), "[1,null]");
    }
}
