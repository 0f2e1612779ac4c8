//! Values that ClickHouse can't hold: found before a block is sealed, so that their rows become dead letters.
//!
//! ClickHouse's dates end earlier than Arrow's, and outside they wrap without a word or fail the whole insert; a
//! decimal with more digits than its column wraps as well; one bad JSON text fails its whole block. Each column is
//! looked at as a whole first (its least and greatest value): a batch that is in range costs one pass over its dates
//! and decimals, and its other columns nothing.

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Decimal256Type, DecimalType, Time32MillisecondType,
    Time32SecondType, Time64MicrosecondType, Time64NanosecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType, TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray, RecordBatch};
use arrow_buffer::{ArrowNativeType, NullBuffer, i256};
use arrow_schema::{DataType, TimeUnit};

use super::clickhouse::types::{self, Base};
use super::json;

/// A value that its column can't hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutOfRange {
    /// The row's index in the batch.
    pub row: usize,
    /// The column's index.
    pub column: usize,
    /// A stable word to count and search by.
    pub code: &'static str,
    /// What is wrong, in words, without the value.
    pub reason: String,
}

/// Every value of the batch that ClickHouse can't hold, by row, then column. Empty for most batches. The batch's fields
/// are the table's: what they declare decides.
#[must_use]
pub fn out_of_range(batch: &RecordBatch) -> Vec<OutOfRange> {
    let mut found = Vec::new();
    for (column, (field, array)) in batch.schema_ref().fields().iter().zip(batch.columns()).enumerate() {
        // A field without a type is refused by `prepare`, with its reason.
        let Ok(declared) = types::declared(field) else { continue };
        let Some((rows, code, reason)) = misfits(array, &declared.base) else { continue };
        found.extend(rows.into_iter().map(|row| OutOfRange { row, column, code, reason: reason.clone() }));
    }
    found.sort_by_key(|value| (value.row, value.column));
    found
}

type Misfits = (Vec<usize>, &'static str, String);

/// The rows that a type can't hold, and why; `None` if it holds all.
fn misfits(array: &ArrayRef, base: &Base) -> Option<Misfits> {
    let (rows, code, reason) = match base {
        Base::Date | Base::Date32 | Base::DateTime | Base::DateTime64(_) | Base::Time64(_) => {
            let (rows, range) = times(array, base)?;
            (rows, "out_of_range", format!("ClickHouse's {base} holds {range}"))
        }
        Base::Decimal { precision, .. } => {
            let reason = format!("the value has more digits than the {precision} of its decimal");
            (decimals(array, *precision)?, "out_of_range", reason)
        }
        Base::Json => {
            let reason = "the text is no JSON object as ClickHouse's JSON takes it: each path once, integers within 64 bits, \
                          other numbers within Float64, no half surrogate pairs, at most 128 levels";
            (texts(array, json::is_taken)?, "invalid_json", reason.into())
        }
        Base::Uuid => {
            (texts(array, is_uuid)?, "invalid_uuid", "the text is not a UUID like 8-4-4-4-12 hex digits".into())
        }
        Base::Array(element) => {
            let list = array.as_list_opt::<i32>()?;
            let misfits = misfits(list.values(), &element.base)?;
            return of_elements(misfits, list.offsets(), "an element");
        }
        Base::Map(pair) => {
            let map = array.as_map_opt()?;
            let keys = misfits(map.keys(), &pair.0.base);
            let values = misfits(map.values(), &pair.1.base);
            let keys = keys.and_then(|misfits| of_elements(misfits, map.offsets(), "a key"));
            let values = values.and_then(|misfits| of_elements(misfits, map.offsets(), "a value"));
            return either(keys, values);
        }
        Base::Bool
        | Base::Int(_)
        | Base::UInt(_)
        | Base::Float(_)
        | Base::String
        | Base::FixedString(_)
        // Only the engine's own tables have tuples, of text and binary.
        | Base::Tuple(_) => return None,
    };
    (!rows.is_empty()).then_some((rows, code, reason))
}

/// The rows whose lists or maps have the misfits among their elements; each once. Elements that belong to no row, as
/// before a slice, are nobody's.
fn of_elements((elements, code, reason): Misfits, offsets: &[i32], what: &str) -> Option<Misfits> {
    let row = |element: usize| offsets.partition_point(|at| at.as_usize() <= element).checked_sub(1);
    let within = |row: &usize| *row + 1 < offsets.len();
    let mut rows: Vec<usize> = elements.into_iter().filter_map(row).filter(within).collect();
    rows.dedup();
    (!rows.is_empty()).then(|| (rows, code, format!("{what}: {reason}")))
}

/// The rows of both, each once.
fn either(one: Option<Misfits>, other: Option<Misfits>) -> Option<Misfits> {
    match (one, other) {
        (Some((mut rows, code, reason)), Some((more, _, other))) => {
            rows.extend(more);
            rows.sort_unstable();
            rows.dedup();
            Some((rows, code, format!("{reason}, or {other}")))
        }
        (one, other) => one.or(other),
    }
}

/// Days from 1970-01-01 to 1900-01-01 and to the last days of `Date` and `Date32`.
const DAY_1900: i32 = -25_567;
const DAY_2149: i32 = 65_535;
const DAY_2299: i32 = 120_529;
/// Seconds from 1970 to the beginning of 1900 and of 2300.
const YEAR_1900: i64 = DAY_1900 as i64 * 86_400;
const YEAR_2300: i64 = (DAY_2299 as i64 + 1) * 86_400;
/// `Time64` holds ±999:59:59 and a fraction.
const TIME: i32 = 1000 * 3600;

/// Rows outside the range of a date or time, and the range in words.
fn times(array: &ArrayRef, base: &Base) -> Option<(Vec<usize>, &'static str)> {
    let seconds = |ticks: i64| (YEAR_1900 * ticks, YEAR_2300 * ticks - 1);
    let clock = |ticks: i64| (1 - i64::from(TIME) * ticks, i64::from(TIME) * ticks - 1);
    let all = "1900-01-01 to 2299-12-31";
    let hours = "-999:59:59 to 999:59:59";
    Some(match (array.data_type(), base) {
        (DataType::Date32, Base::Date) => (outside::<Date32Type>(array, (0, DAY_2149)), "1970-01-01 to 2149-06-06"),
        (DataType::Date32, _) => (outside::<Date32Type>(array, (DAY_1900, DAY_2299)), all),
        (DataType::Timestamp(TimeUnit::Second, _), Base::DateTime) => {
            (outside::<TimestampSecondType>(array, (0, i64::from(u32::MAX))), "1970-01-01 to 2106-02-07")
        }
        (DataType::Timestamp(unit, _), _) => match unit {
            TimeUnit::Second => (outside::<TimestampSecondType>(array, seconds(1)), all),
            TimeUnit::Millisecond => (outside::<TimestampMillisecondType>(array, seconds(1_000)), all),
            TimeUnit::Microsecond => (outside::<TimestampMicrosecondType>(array, seconds(1_000_000)), all),
            // 64 bits of nanoseconds end in 2262 by themselves.
            TimeUnit::Nanosecond => {
                let low = YEAR_1900 * 1_000_000_000;
                (outside::<TimestampNanosecondType>(array, (low, i64::MAX)), "1900-01-01 to 2262-04-11")
            }
        },
        (DataType::Time32(TimeUnit::Second), _) => (outside::<Time32SecondType>(array, (1 - TIME, TIME - 1)), hours),
        (DataType::Time32(_), _) => (outside::<Time32MillisecondType>(array, (-i32::MAX, i32::MAX)), hours),
        (DataType::Time64(TimeUnit::Microsecond), _) => {
            (outside::<Time64MicrosecondType>(array, clock(1_000_000)), hours)
        }
        (DataType::Time64(_), _) => (outside::<Time64NanosecondType>(array, clock(1_000_000_000)), hours),
        _ => return None,
    })
}

#[expect(clippy::wildcard_enum_match_arm, reason = "the two decimals that a table can have")]
fn decimals(array: &ArrayRef, precision: u8) -> Option<Vec<usize>> {
    match array.data_type() {
        DataType::Decimal128(..) => {
            let most = Decimal128Type::MAX_FOR_EACH_PRECISION.get(usize::from(precision)).copied()?;
            Some(outside::<Decimal128Type>(array, (-most, most)))
        }
        DataType::Decimal256(..) => {
            let most: i256 = Decimal256Type::MAX_FOR_EACH_PRECISION.get(usize::from(precision)).copied()?;
            Some(outside::<Decimal256Type>(array, (most.wrapping_neg(), most)))
        }
        _ => None,
    }
}

/// Rows whose value is not within `[low, high]`.
fn outside<T: ArrowPrimitiveType>(array: &ArrayRef, (low, high): (T::Native, T::Native)) -> Vec<usize>
where
    T::Native: ArrowNativeType + Ord,
{
    let array: &PrimitiveArray<T> = array.as_primitive();
    let fits = |value: &T::Native| (low..=high).contains(value);
    // Nulls hide any value; those are sorted out only where something is outside at all. No short cut on the way:
    // without a branch in it the pass is done by vector instructions.
    if array.values().iter().fold(true, |all, value| all & fits(value)) {
        return Vec::new();
    }
    let rows = array.values().iter().enumerate().filter(|(_, value)| !fits(value)).map(|(row, _)| row);
    rows.filter(|row| is_valid(array.nulls(), *row)).collect()
}

fn texts(array: &ArrayRef, good: fn(&str) -> bool) -> Option<Vec<usize>> {
    let array = array.as_string_opt::<i32>()?;
    let rows = array.iter().enumerate().filter(|(_, text)| text.is_some_and(|text| !good(text)));
    Some(rows.map(|(row, _)| row).collect())
}

fn is_valid(nulls: Option<&NullBuffer>, row: usize) -> bool {
    nulls.is_none_or(|nulls| nulls.is_valid(row))
}

fn is_uuid(text: &str) -> bool {
    let dash = |index: usize| matches!(index, 8 | 13 | 18 | 23);
    text.len() == 36
        && text
            .bytes()
            .enumerate()
            .all(|(index, byte)| if dash(index) { byte == b'-' } else { byte.is_ascii_hexdigit() })
}

#[cfg(test)]
mod tests;
