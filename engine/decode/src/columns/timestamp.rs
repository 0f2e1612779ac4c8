//! Points in time.
//!
//! | written as | read |
//! |---|---|
//! | number: of the schema's unit, or of the column's | if the column's unit holds all its digits |
//! | number of days, where the schema says so | midnight |
//! | ISO 8601 text, with an offset (`ZonedTimestamp`, `IsoTimestamp`) | in UTC, if the unit holds all its digits |
//! | the same without an offset | as UTC, if the column has no zone |
//!
//! PostgreSQL's infinities are no point in time and refused in each of the forms that Debezium gives them.

use std::fmt::Debug;
use std::marker::PhantomData;

use arrow_array::types::ArrowPrimitiveType;
use arrow_schema::TimeUnit;

use super::Plain;
use super::calendar::{DAY_SECONDS, Iso, convert, in_unit};
use super::integer::int64;
use super::primitive::Cell;
use crate::reject::{Read, Refusal, RejectCode};
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
const INFINITE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a point in time, found infinity" };

/// How PostgreSQL's infinities come as numbers of microseconds or nanoseconds: from the driver's constants, or from
/// their overflow.
const INFINITIES: [i64; 4] = [i64::MAX, i64::MIN, 9_223_372_036_825_200_000, -9_223_372_036_832_400_000];

/// Reads points in time.
#[derive(Debug)]
pub(super) struct Timestamp<A> {
    unit: TimeUnit,
    zoned: bool,
    scratch: Vec<u8>,
    of: PhantomData<fn() -> A>,
}

impl<A> Timestamp<A> {
    /// In the column's unit; `zoned` if its type has a zone.
    pub(super) fn new(unit: TimeUnit, zoned: bool) -> Self {
        Self { unit, zoned, scratch: Vec::new(), of: PhantomData }
    }

    fn number(&self, number: i64, wire: Wire) -> Read<i64> {
        match wire {
            Wire::Timestamp(unit) => convert(number, unit, self.unit),
            Wire::Unknown | Wire::Text | Wire::Bytes | Wire::Decimal { .. } => Ok(number),
            Wire::Days => convert(number.checked_mul(DAY_SECONDS).ok_or(INFINITE)?, TimeUnit::Second, self.unit),
            Wire::Time(_) => Err(NOT_A_TIMESTAMP),
        }
    }

    fn text(&mut self, value: &mut Cursor<'_>) -> Read<i64> {
        let text = value.raw_string()?.text(&mut self.scratch)?;
        of_text(text, self.unit, self.zoned)
    }
}

/// ISO 8601 text in a unit.
fn of_text(text: &[u8], unit: TimeUnit, zoned: bool) -> Read<i64> {
    let Some((seconds, nanos, offset)) = iso(text) else {
        return Err(if matches!(text, b"infinity" | b"-infinity") { INFINITE } else { NOT_ISO });
    };
    if offset.is_none() && zoned {
        return Err(NO_OFFSET);
    }
    in_unit(seconds - offset.unwrap_or_default(), nanos, unit)
}

impl<A> Cell for Timestamp<A>
where
    A: ArrowPrimitiveType<Native = i64> + Debug,
{
    type Arrow = A;

    fn read(&mut self, value: &mut Cursor<'_>, wire: Wire) -> Read<i64> {
        if let Some(number) = value.plain_integer() {
            self.number(number, wire)
        } else if value.at_string() {
            self.text(value)
        } else if value.at_number() {
            // The infinities have 19 digits, so they come here.
            let number = int64(value)?;
            if INFINITIES.contains(&number) { Err(INFINITE) } else { self.number(number, wire) }
        } else {
            Err(NOT_A_TIMESTAMP)
        }
    }

    fn plain(&mut self, value: Plain<'_>, wire: Wire) -> Read<Option<i64>> {
        match value {
            Plain::Integer(number) if INFINITIES.contains(&number) => Err(INFINITE),
            Plain::Integer(number) => self.number(number, wire).map(Some),
            Plain::Text(text) => of_text(text, self.unit, self.zoned).map(Some),
            Plain::Boolean(_) | Plain::Float(_) | Plain::Double(_) | Plain::Bytes(_) => Ok(None),
        }
    }
}

/// Seconds since 1970-01-01 of the wall clock, nanoseconds, and the offset.
fn iso(text: &[u8]) -> Option<(i64, i64, Option<i64>)> {
    let mut text = Iso::new(text);
    let days = text.date()?;
    if !text.take(b'T') && !text.take(b' ') {
        return None;
    }
    let (seconds, nanos) = text.time()?;
    let offset = text.offset()?;
    text.is_empty().then_some((days * DAY_SECONDS + seconds, nanos, offset))
}
