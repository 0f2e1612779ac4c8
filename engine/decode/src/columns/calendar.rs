//! Dates and times as ISO 8601 text, and the arithmetic of units. Proleptic Gregorian calendar, as Java's and
//! PostgreSQL's.
//!
//! ```text
//! date    YYYY-MM-DD, or a sign and 4 to 9 digits for the year; year 0 is 1 BC
//! time    hh:mm:ss, or with a point and 1 to 9 digits
//! offset  Z, +hh, +hh:mm or +hh:mm:ss
//! ```

use arrow_schema::TimeUnit;

use crate::reject::{Read, Refusal, RejectCode};

pub(super) const DAY_SECONDS: i64 = 86_400;

const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a point in time that fits the column's unit" };
const INEXACT: &Refusal =
    &Refusal { code: RejectCode::Inexact, reason: "the time has more digits than the column's unit can hold" };

/// Parts of a second that a unit has.
pub(super) fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Converts a number of one unit to another, or refuses.
pub(super) fn convert(value: i64, from: TimeUnit, to: TimeUnit) -> Read<i64> {
    let (from, to) = (per_second(from), per_second(to));
    if from <= to {
        return value.checked_mul(to / from).ok_or(OUT_OF_RANGE);
    }
    let ratio = from / to;
    if value % ratio == 0 { Ok(value / ratio) } else { Err(INEXACT) }
}

/// Seconds and nanoseconds in a unit, or refuses.
pub(super) fn in_unit(seconds: i64, nanos: i64, unit: TimeUnit) -> Read<i64> {
    let per_second = per_second(unit);
    let nanos_each = 1_000_000_000 / per_second;
    if nanos % nanos_each != 0 {
        return Err(INEXACT);
    }
    // Wider in between: the earliest times are representable only after the parts are added.
    let value = i128::from(seconds) * i128::from(per_second) + i128::from(nanos / nanos_each);
    i64::try_from(value).map_err(|_| OUT_OF_RANGE)
}

/// Text that is taken apart from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Iso<'t> {
    text: &'t [u8],
}

impl<'t> Iso<'t> {
    pub(super) fn new(text: &'t [u8]) -> Self {
        Self { text }
    }

    /// Whether nothing is left.
    pub(super) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the next byte if it is this one.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let rest = self.text.strip_prefix(&[byte]);
        self.text = rest.unwrap_or(self.text);
        rest.is_some()
    }

    /// A date, as days since 1970-01-01.
    pub(super) fn date(&mut self) -> Option<i64> {
        let year = self.year()?;
        let month = self.take(b'-').then(|| self.two())??;
        let day = self.take(b'-').then(|| self.two())??;
        let last = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
            2 => 28,
            _ => return None,
        };
        (1..=last).contains(&day).then(|| days(year, month, day))
    }

    /// A time of day, as seconds and nanoseconds.
    pub(super) fn time(&mut self) -> Option<(i64, i64)> {
        let hour = self.two().filter(|hour| *hour < 24)?;
        let minute = self.take(b':').then(|| self.two())?.filter(|minute| *minute < 60)?;
        let second = self.take(b':').then(|| self.two())?.filter(|second| *second < 60)?;
        let mut nanos = 0;
        if self.take(b'.') {
            let (value, digits) = self.digits(9)?;
            nanos = value * 10_i64.pow(9 - digits);
        }
        Some((hour * 3600 + minute * 60 + second, nanos))
    }

    /// An offset, in seconds; `Some(None)` if there is none.
    pub(super) fn offset(&mut self) -> Option<Option<i64>> {
        let sign = match self.text.first() {
            Some(b'Z') => {
                self.take(b'Z');
                return Some(Some(0));
            }
            Some(b'+') => 1,
            Some(b'-') => -1,
            Some(_) => return None,
            None => return Some(None),
        };
        self.text = self.text.get(1..)?;
        let mut seconds = self.two().filter(|hours| *hours <= 18)? * 3600;
        for unit in [60, 1] {
            if self.take(b':') {
                seconds += self.two().filter(|part| *part < 60)? * unit;
            } else {
                break;
            }
        }
        Some(Some(sign * seconds))
    }

    fn year(&mut self) -> Option<i64> {
        let negative = self.take(b'-');
        let signed = negative || self.take(b'+');
        let (year, digits) = self.digits(if signed { 9 } else { 4 })?;
        (digits >= 4).then_some(if negative { -year } else { year })
    }

    fn two(&mut self) -> Option<i64> {
        let (value, digits) = self.digits(2)?;
        (digits == 2).then_some(value)
    }

    /// At least one and at most so many digits, and how many.
    fn digits(&mut self, most: usize) -> Option<(i64, u32)> {
        let (mut value, mut length) = (0, 0);
        while length < most
            && let Some(digit) = self.text.get(length).filter(|byte| byte.is_ascii_digit())
        {
            value = value * 10 + i64::from(digit - b'0');
            length += 1;
        }
        self.text = self.text.get(length..)?;
        (length > 0).then_some((value, u32::try_from(length).ok()?))
    }
}

/// Days since 1970-01-01, by eras of 400 years that begin on March 1 (Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}
