//! Dates.
//!
//! | written as | read |
//! |---|---|
//! | number of days since 1970-01-01 (`io.debezium.time.Date`) | yes |
//! | ISO 8601 text, with or without a `Z` behind it (`IsoDate`) | yes |
//! | number of another unit, where the schema says so; text with a time | if it is midnight |
//! | object of its parts (`StructuredDate`) | yes |
//!
//! PostgreSQL's infinities, in each of the forms that Debezium gives them, and dates without month or day are cases for
//! a policy.

use arrow_array::types::Date32Type;
use arrow_schema::TimeUnit;

use super::Plain;
use super::calendar::{DAY_SECONDS, Iso, convert, days_of, finite, special, within};
use super::integer::int64;
use super::primitive::Cell;
use super::structured::Parts;
use crate::reject::{End, NEGATIVE_INFINITY, POSITIVE_INFINITY, Read, Refusal, RejectCode, ZERO_DATE};
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

/// How PostgreSQL's infinities come as numbers of days: of the driver's constants a part in the snapshot, the first
/// and last day of its calendar in the stream.
const POSITIVE: [i64; 2] = [-622_191_234, 2_146_033_979];
const NEGATIVE: [i64; 2] = [-625_821_272, -2_147_472_691];

/// 1900-01-01 and 2299-12-31: what ClickHouse's Date32 holds.
pub(super) const CLICKHOUSE_DAYS: (i64, i64) = (-25_567, 120_529);

/// Reads dates.
#[derive(Debug)]
pub(super) struct Date {
    /// Whether a value that ClickHouse can't hold is out of range already here, for a policy to decide.
    pub(super) bounded: bool,
}

impl Date {
    #[inline]
    fn days(value: &mut Cursor<'_>, wire: &Wire) -> Read<i64> {
        if value.at_number() {
            let number = int64(value)?;
            return if let Wire::Timestamp(unit) = wire {
                midnight(number, *unit)
            } else if let Wire::Time(_) = wire {
                Err(NOT_A_DATE)
            } else if POSITIVE.contains(&number) {
                Err(POSITIVE_INFINITY)
            } else if NEGATIVE.contains(&number) {
                Err(NEGATIVE_INFINITY)
            } else {
                Ok(number)
            };
        }
        match value.peek() {
            Some(b'"') => {
                let mut scratch = Vec::new();
                iso(value.raw_string()?.text(&mut scratch)?)
            }
            Some(b'{') => Parts::read(value)?.days(),
            _ => Err(NOT_A_DATE),
        }
    }
}

impl Cell for Date {
    type Arrow = Date32Type;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<i32> {
        let days = Self::days(value, wire)?;
        if self.bounded {
            within(days, CLICKHOUSE_DAYS)?;
        }
        i32::try_from(days).map_err(|_| OUT_OF_RANGE)
    }

    fn limit(&self, end: End) -> Option<i32> {
        let (low, high) = CLICKHOUSE_DAYS;
        i32::try_from(if end == End::Low { low } else { high }).ok()
    }

    fn plain(&mut self, value: Plain<'_>, wire: &Wire) -> Read<Option<i32>> {
        let Plain::Integer(days) = value else { return Ok(None) };
        let special = self.bounded || POSITIVE.contains(&days) || NEGATIVE.contains(&days);
        Ok(if *wire == Wire::Days && !special { i32::try_from(days).ok() } else { None })
    }
}

fn midnight(number: i64, unit: TimeUnit) -> Read<i64> {
    let seconds = convert(number, unit, TimeUnit::Second).map_err(|_| NOT_MIDNIGHT)?;
    if seconds % DAY_SECONDS == 0 { Ok(seconds / DAY_SECONDS) } else { Err(NOT_MIDNIGHT) }
}

/// A date, with a `Z` or a midnight behind it or without.
fn iso(text: &[u8]) -> Read<i64> {
    let mut date = Iso::new(text);
    let Some((year, month, day)) = date.year_month_day() else { return Err(special(text).unwrap_or(NOT_ISO)) };
    if month == 0 || day == 0 {
        return Err(ZERO_DATE);
    }
    if date.take(b'T') && date.time().ok_or(NOT_ISO)? != (0, 0) {
        return Err(NOT_MIDNIGHT);
    }
    date.take(b'Z');
    if !date.is_empty() {
        return Err(NOT_ISO);
    }
    finite(days_of(year, month, day).ok_or(NOT_ISO)?)
}
