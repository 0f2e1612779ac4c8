//! Points in time.
//!
//! | written as | read |
//! |---|---|
//! | number: of the schema's unit, or of the column's | if the column's unit holds all its digits |
//! | number of days, where the schema says so | midnight |
//! | ISO 8601 text, with an offset (`ZonedTimestamp`, `IsoTimestamp`) | in UTC, if the unit holds all its digits |
//! | the same without an offset | as UTC, if the column has no zone |
//! | object of its parts (`StructuredTimestamp`, `StructuredZonedTimestamp`) | in the same way |
//!
//! PostgreSQL's infinities, in each of the forms that Debezium gives them, are a case for a policy.

use std::fmt::Debug;
use std::marker::PhantomData;

use arrow_array::types::ArrowPrimitiveType;
use arrow_schema::TimeUnit;

use super::Plain;
use super::calendar::{DAY_SECONDS, Iso, convert, days_of, finite, in_unit, per_second, special, within};
use super::date::CLICKHOUSE_DAYS;
use super::integer::int64;
use super::primitive::Cell;
use super::structured::Parts;
use crate::reject::{ABOVE, End, NEGATIVE_INFINITY, POSITIVE_INFINITY, Read, Refusal, RejectCode, ZERO_DATE};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_TIMESTAMP: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected a point in time: a number, or text like 2025-07-21T12:34:56.789Z",
};
const NOT_ISO: &Refusal =
    &Refusal { code: RejectCode::InvalidValue, reason: "expected a point in time like 2025-07-21T12:34:56.789Z" };
const NO_OFFSET: &Refusal = &Refusal {
    code: RejectCode::InvalidValue,
    reason: "expected an offset from UTC (Z, +02:00) behind the time, because the column has a zone",
};

/// How PostgreSQL's infinities come as numbers, whatever their unit: from the driver's constants, or from their
/// overflow.
const POSITIVE: [i64; 2] = [i64::MAX, 9_223_372_036_825_200_000];
const NEGATIVE: [i64; 2] = [i64::MIN, -9_223_372_036_832_400_000];

/// Reads points in time.
#[derive(Debug)]
pub(super) struct Timestamp<A> {
    unit: TimeUnit,
    zoned: bool,
    /// Whether a value that ClickHouse can't hold is out of range already here, for a policy to decide.
    bounded: bool,
    scratch: Vec<u8>,
    of: PhantomData<fn() -> A>,
}

impl<A> Timestamp<A> {
    /// In the column's unit; `zoned` if its type has a zone.
    pub(super) fn new(unit: TimeUnit, zoned: bool, bounded: bool) -> Self {
        Self { unit, zoned, bounded, scratch: Vec::new(), of: PhantomData }
    }

    #[inline]
    fn number(&self, number: i64, wire: &Wire) -> Read<i64> {
        if let Wire::Timestamp(unit) = wire {
            convert(number, *unit, self.unit)
        } else if let Wire::Days = wire {
            convert(number.checked_mul(DAY_SECONDS).ok_or(ABOVE)?, TimeUnit::Second, self.unit)
        } else if let Wire::Time(_) = wire {
            Err(NOT_A_TIMESTAMP)
        } else {
            Ok(number)
        }
    }

    fn text(&mut self, value: &mut Cursor<'_>) -> Read<i64> {
        let text = value.raw_string()?.text(&mut self.scratch)?;
        let (days, seconds, nanos, offset) = iso(text)?;
        if offset.is_none() && self.zoned {
            return Err(NO_OFFSET);
        }
        in_unit(days * DAY_SECONDS + seconds - offset.unwrap_or_default(), nanos, self.unit)
    }

    fn structured(&self, value: &mut Cursor<'_>) -> Read<i64> {
        let parts = Parts::read(value)?;
        let (seconds, nanos) = parts.time()?;
        if self.zoned && !parts.zoned() {
            return Err(NO_OFFSET);
        }
        in_unit(parts.days()? * DAY_SECONDS + seconds, nanos, self.unit)
    }

    #[inline]
    fn point(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<i64> {
        if let Some(number) = value.plain_integer() {
            return self.number(number, wire);
        }
        match value.peek() {
            Some(b'"') => self.text(value),
            Some(b'{') => self.structured(value),
            Some(b'-' | b'0'..=b'9') => {
                // The infinities have 19 digits, so they come here.
                let number = int64(value)?;
                if POSITIVE.contains(&number) {
                    Err(POSITIVE_INFINITY)
                } else if NEGATIVE.contains(&number) {
                    Err(NEGATIVE_INFINITY)
                } else {
                    self.number(number, wire)
                }
            }
            _ => Err(NOT_A_TIMESTAMP),
        }
    }

    /// The first and last point in time that ClickHouse's DateTime64 holds in this unit.
    fn range(&self) -> (i64, i64) {
        let (low, high) = CLICKHOUSE_DAYS;
        let per_second = per_second(self.unit);
        let first = (low * DAY_SECONDS).saturating_mul(per_second);
        let end = ((high + 1) * DAY_SECONDS).saturating_mul(per_second);
        (first, if end == i64::MAX { end } else { end - 1 })
    }
}

impl<A> Cell for Timestamp<A>
where
    A: ArrowPrimitiveType<Native = i64> + Debug,
{
    type Arrow = A;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<i64> {
        let point = self.point(value, wire)?;
        if self.bounded {
            within(point, self.range())?;
        }
        Ok(point)
    }

    fn limit(&self, end: End) -> Option<i64> {
        let (low, high) = self.range();
        Some(if end == End::Low { low } else { high })
    }

    fn plain(&mut self, value: Plain<'_>, wire: &Wire) -> Read<Option<i64>> {
        let Plain::Integer(number) = value else { return Ok(None) };
        let special = self.bounded || POSITIVE.contains(&number) || NEGATIVE.contains(&number);
        if special { Ok(None) } else { self.number(number, wire).map(Some) }
    }
}

/// Days since 1970-01-01, seconds of the wall clock, nanoseconds, and the offset.
fn iso(text: &[u8]) -> Read<(i64, i64, i64, Option<i64>)> {
    let mut iso = Iso::new(text);
    let Some((year, month, day)) = iso.year_month_day() else { return Err(special(text).unwrap_or(NOT_ISO)) };
    if month == 0 || day == 0 {
        return Err(ZERO_DATE);
    }
    let days = finite(days_of(year, month, day).ok_or(NOT_ISO)?)?;
    if !iso.take(b'T') && !iso.take(b' ') {
        return Err(NOT_ISO);
    }
    let (seconds, nanos) = iso.time().ok_or(NOT_ISO)?;
    let offset = iso.offset().ok_or(NOT_ISO)?;
    if iso.is_empty() { Ok((days, seconds, nanos, offset)) } else { Err(NOT_ISO) }
}
