//! Times of day, from 0 to below 24 hours.
//!
//! | written as | read |
//! |---|---|
//! | number: of the schema's unit, or of the column's | yes |
//! | ISO 8601 text, with or without a `Z` behind it (`IsoTime`, `ZonedTime`) | yes |
//! | object of its parts (`StructuredTime`; `StructuredZonedTime` in UTC) | yes |
//!
//! PostgreSQL's `24:00:00` and MySQL's times beyond a day are out of range for Arrow; declared as Int64 they pass.

use std::fmt::Debug;
use std::marker::PhantomData;

use arrow_array::types::ArrowPrimitiveType;
use arrow_schema::TimeUnit;

use super::Plain;
use super::calendar::{DAY_SECONDS, Iso, convert, in_unit, per_second};
use super::integer::int64;
use super::primitive::Cell;
use super::structured::Parts;
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const NOT_A_TIME: &Refusal =
    &Refusal { code: RejectCode::WrongType, reason: "expected a time of day: a number, or text like 12:34:56.789" };
const NOT_ISO: &Refusal =
    &Refusal { code: RejectCode::InvalidValue, reason: "expected a time of day like 12:34:56.789" };
const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a time of day below 24 hours" };

/// Reads times of day.
#[derive(Debug)]
pub(super) struct Time<A> {
    unit: TimeUnit,
    of: PhantomData<fn() -> A>,
}

impl<A> Time<A> {
    /// In the column's unit.
    pub(super) fn new(unit: TimeUnit) -> Self {
        Self { unit, of: PhantomData }
    }
}

impl<A> Cell for Time<A>
where
    A: ArrowPrimitiveType + Debug,
    A::Native: TryFrom<i64>,
{
    type Arrow = A;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<A::Native> {
        let time = if value.at_number() {
            if let Wire::Days | Wire::Timestamp(_) = wire {
                return Err(NOT_A_TIME);
            }
            let unit = if let Wire::Time(unit) = wire { *unit } else { self.unit };
            convert(int64(value)?, unit, self.unit)?
        } else if value.at_string() {
            let mut scratch = Vec::new();
            let text = value.raw_string()?.text(&mut scratch)?;
            if text.starts_with(b"24:00:00") {
                return Err(OUT_OF_RANGE);
            }
            let (seconds, nanos) = iso(text).ok_or(NOT_ISO)?;
            in_unit(seconds, nanos, self.unit)?
        } else if value.peek() == Some(b'{') {
            let parts = Parts::read(value)?;
            let (seconds, nanos) = parts.time()?;
            // A time with an offset is the same time of the day in UTC, as `ZonedTime` writes it.
            let seconds = if parts.zoned() { seconds.rem_euclid(DAY_SECONDS) } else { seconds };
            in_unit(seconds, nanos, self.unit)?
        } else {
            return Err(NOT_A_TIME);
        };
        within_a_day(time, self.unit)
    }

    fn plain(&mut self, value: Plain<'_>, wire: &Wire) -> Read<Option<A::Native>> {
        match (value, wire) {
            (Plain::Integer(time), Wire::Time(unit)) => {
                within_a_day(convert(time, *unit, self.unit)?, self.unit).map(Some)
            }
            _ => Ok(None),
        }
    }
}

fn within_a_day<N: TryFrom<i64>>(time: i64, unit: TimeUnit) -> Read<N> {
    if !(0..DAY_SECONDS * per_second(unit)).contains(&time) {
        return Err(OUT_OF_RANGE);
    }
    N::try_from(time).map_err(|_| OUT_OF_RANGE)
}

fn iso(text: &[u8]) -> Option<(i64, i64)> {
    let mut text = Iso::new(text);
    let time = text.time()?;
    text.take(b'Z');
    text.is_empty().then_some(time)
}
