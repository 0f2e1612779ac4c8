//! `io.debezium.time.Structured*`: dates and times as objects of their parts, as `time.precision.mode=structured`
//! writes them. What has no parts (PostgreSQL's infinities) stands in `specialValue`.

use super::calendar::{DAY_SECONDS, days_of};
use super::integer::int64;
use crate::reject::{
    DUPLICATE, NEGATIVE_INFINITY, NOT_A_NUMBER, POSITIVE_INFINITY, Read, Refusal, RejectCode, ZERO_DATE,
};
use crate::scan::Cursor;

const NOT_STRUCTURED: &Refusal = &Refusal {
    code: RejectCode::InvalidValue,
    reason: "expected an object of year, month, day, hour, minute, second and nanos",
};

/// The parts that were there.
#[derive(Debug, Default)]
pub(super) struct Parts {
    year: Option<i64>,
    month: Option<i64>,
    day: Option<i64>,
    hour: Option<i64>,
    minute: Option<i64>,
    second: Option<i64>,
    nanos: Option<i64>,
    offset: Option<i64>,
}

impl Parts {
    /// Reads the object that the cursor is at.
    pub(super) fn read(value: &mut Cursor<'_>) -> Read<Self> {
        let mut parts = Self::default();
        value.expect(b'{')?;
        if value.take(b'}') {
            return Err(NOT_STRUCTURED);
        }
        let mut scratch = Vec::new();
        loop {
            let part = match value.raw_string()?.text(&mut scratch)? {
                b"year" => Some(&mut parts.year),
                b"month" => Some(&mut parts.month),
                b"day" => Some(&mut parts.day),
                b"hour" => Some(&mut parts.hour),
                b"minute" => Some(&mut parts.minute),
                b"second" => Some(&mut parts.second),
                b"nanos" => Some(&mut parts.nanos),
                b"offsetSeconds" => Some(&mut parts.offset),
                b"specialValue" => {
                    value.expect(b':')?;
                    special(value)?;
                    if value.another_member()? {
                        continue;
                    }
                    return Ok(parts);
                }
                b"precision" | b"zoneId" => None,
                _ => return Err(NOT_STRUCTURED),
            };
            value.expect(b':')?;
            match part {
                Some(part) if !value.take_null() => {
                    if part.replace(int64(value).map_err(|_| NOT_STRUCTURED)?).is_some() {
                        return Err(DUPLICATE);
                    }
                }
                Some(_) => {}
                None => {
                    value.skip()?;
                }
            }
            if !value.another_member()? {
                return Ok(parts);
            }
        }
    }

    /// Days since 1970-01-01.
    pub(super) fn days(&self) -> Read<i64> {
        let (Some(year), Some(month), Some(day)) = (self.year, self.month, self.day) else {
            return Err(NOT_STRUCTURED);
        };
        if month == 0 || day == 0 {
            return Err(ZERO_DATE);
        }
        days_of(year, month, day).ok_or(NOT_STRUCTURED)
    }

    /// Seconds of the day and nanoseconds, as UTC where there is an offset: below 0 or beyond a day then.
    pub(super) fn time(&self) -> Read<(i64, i64)> {
        let (Some(hour), Some(minute), Some(second)) = (self.hour, self.minute, self.second) else {
            return Err(NOT_STRUCTURED);
        };
        let nanos = self.nanos.unwrap_or_default();
        let offset = self.offset.unwrap_or_default();
        let sane = (-838..=838).contains(&hour) && minute.abs() < 60 && second.abs() < 60;
        if !sane || nanos.abs() >= 1_000_000_000 || offset.abs() > DAY_SECONDS {
            return Err(NOT_STRUCTURED);
        }
        Ok((hour * 3600 + minute * 60 + second - offset, nanos))
    }

    /// Whether the time is one of a zone.
    pub(super) fn zoned(&self) -> bool {
        self.offset.is_some()
    }
}

fn special(value: &mut Cursor<'_>) -> Read<()> {
    if value.take_null() {
        return Ok(());
    }
    Err(match value.skip()? {
        b"\"POSITIVE_INFINITY\"" => POSITIVE_INFINITY,
        b"\"NEGATIVE_INFINITY\"" => NEGATIVE_INFINITY,
        b"\"NAN\"" => NOT_A_NUMBER,
        b"\"ZERO_DATE\"" | b"\"ZERO\"" => ZERO_DATE,
        _ => NOT_STRUCTURED,
    })
}
