//! Dates and times as ISO 8601 text, and the arithmetic of units. Proleptic Gregorian calendar, as Java's and
//! PostgreSQL's.
//!
//! ```text
//! date    YYYY-MM-DD, or a sign and 4 to 9 digits for the year; year 0 is 1 BC
//! time    hh:mm:ss, or with a point and 1 to 9 digits
//! offset  Z, +hh, +hh:mm or +hh:mm:ss
//! ```

use arrow_schema::TimeUnit;

use crate::reject::{ABOVE, BELOW, NEGATIVE_INFINITY, POSITIVE_INFINITY, Read, Refusal, RejectCode};

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

    /// A date's numbers, whatever they are.
    pub(super) fn year_month_day(&mut self) -> Option<(i64, i64, i64)> {
        let year = self.year()?;
        let month = self.take(b'-').then(|| self.two())??;
        let day = self.take(b'-').then(|| self.two())??;
        Some((year, month, day))
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

/// Days since 1970-01-01 of a date, if there is such a day.
pub(super) fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    let last = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => return None,
    };
    (1..=last).contains(&day).then(|| days(year, month, day))
}

/// Days that no database has: PostgreSQL's dates, the widest, go from 4713 BC to 5874897 AD. What a text holds beyond
/// comes from the connector's constants for infinity.
const LAST_DAY: i64 = 2_145_042_905;
const FIRST_DAY: i64 = -2_440_915;

/// A day number from text, unless it stands for infinity.
pub(super) fn finite(days: i64) -> Read<i64> {
    if days > LAST_DAY {
        Err(POSITIVE_INFINITY)
    } else if days < FIRST_DAY {
        Err(NEGATIVE_INFINITY)
    } else {
        Ok(days)
    }
}

/// What text means that is no date: PostgreSQL's infinities by name.
pub(super) fn special(text: &[u8]) -> Option<&'static Refusal> {
    match text {
        b"infinity" => Some(POSITIVE_INFINITY),
        b"-infinity" => Some(NEGATIVE_INFINITY),
        _ => None,
    }
}

/// Refuses what is outside of a range.
pub(super) fn within(value: i64, (low, high): (i64, i64)) -> Read<()> {
    if value < low {
        Err(BELOW)
    } else if value > high {
        Err(ABOVE)
    } else {
        Ok(())
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

/// ISO 8601 text of milliseconds since 1970-01-01: any year, in UTC. The inverse of [`days`], by the same eras.
pub(crate) fn date_text(ms: i64) -> String {
    let (days, ms) = (ms.div_euclid(DAY_SECONDS * 1000), ms.rem_euclid(DAY_SECONDS * 1000));
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let sign = if year > 9999 {
        "+"
    } else if year < 0 {
        "-"
    } else {
        ""
    };
    let (seconds, ms) = (ms / 1000, ms % 1000);
    let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    format!("{sign}{:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{ms:03}Z", year.abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_they_are_read() {
        for ms in [
            0,
            -1,
            1,
            1_753_101_296_789,
            -62_135_596_800_001,
            253_402_300_800_000,
            8_640_000_000_000_000,
            -8_640_000_000_000_000,
        ] {
            let text = date_text(ms);
            let mut iso = Iso::new(text.as_bytes());
            let (year, month, day) = iso.year_month_day().expect("a date");
            let days = days_of(year, month, day).expect("a day");
            assert!(iso.take(b'T'));
            let (seconds, nanos) = iso.time().expect("a time");
            assert_eq!((days * DAY_SECONDS + seconds) * 1000 + nanos / 1_000_000, ms, "{text}");
        }
    }
}
