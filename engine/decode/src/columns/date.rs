//! Dates.
//!
//! | written as | read |
//! |---|---|
//! | number of days since 1970-01-01 (`io.debezium.time.Date`) | yes |
//! | ISO 8601 text, with or without a `Z` behind it (`IsoDate`) | yes |
//! | number of another unit, where the schema says so | if it is midnight |

use arrow_array::types::Date32Type;
use arrow_schema::TimeUnit;

use super::Plain;
use super::calendar::{DAY_SECONDS, Iso, convert};
use super::integer::int64;
use super::primitive::Cell;
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_DATE: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected a date: a number of days since 1970-01-01, or text like 2025-07-21",
};
const NOT_ISO: &Refusal = &Refusal { code: RejectCode::InvalidValue, reason: "expected a date like 2025-07-21" };
const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a date within 32 bits of days" };
const NOT_MIDNIGHT: &Refusal =
    &Refusal { code: RejectCode::Inexact, reason: "expected a date, found a point in time that is not midnight" };

/// Reads dates.
#[derive(Debug)]
pub(super) struct Date;

impl Cell for Date {
    type Arrow = Date32Type;

    fn read(&mut self, value: &mut Cursor<'_>, wire: Wire) -> Read<i32> {
        let days = if value.at_number() {
            let number = int64(value)?;
            match wire {
                Wire::Timestamp(unit) => midnight(number, unit)?,
                Wire::Time(_) => return Err(NOT_A_DATE),
                Wire::Unknown | Wire::Days | Wire::Text | Wire::Bytes | Wire::Decimal { .. } => number,
            }
        } else if value.at_string() {
            let mut scratch = Vec::new();
            iso(value.raw_string()?.text(&mut scratch)?).ok_or(NOT_ISO)?
        } else {
            return Err(NOT_A_DATE);
        };
        i32::try_from(days).map_err(|_| OUT_OF_RANGE)
    }

    fn plain(&mut self, value: Plain<'_>, wire: Wire) -> Read<Option<i32>> {
        match (value, wire) {
            (Plain::Integer(days), Wire::Days) => i32::try_from(days).map(Some).map_err(|_| OUT_OF_RANGE),
            _ => Ok(None),
        }
    }
}

fn midnight(number: i64, unit: TimeUnit) -> Read<i64> {
    let seconds = convert(number, unit, TimeUnit::Second).map_err(|_| NOT_MIDNIGHT)?;
    if seconds % DAY_SECONDS == 0 { Ok(seconds / DAY_SECONDS) } else { Err(NOT_MIDNIGHT) }
}

fn iso(text: &[u8]) -> Option<i64> {
    let mut text = Iso::new(text);
    let days = text.date()?;
    text.take(b'Z');
    text.is_empty().then_some(days)
}
