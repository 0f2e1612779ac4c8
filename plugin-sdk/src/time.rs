//! Dates, times and timestamps in the proleptic Gregorian calendar, as ISO 8601 writes them.
//!
//! Own code instead of a date crate: parsing a timestamp by chrono costs more than all the rest of a typical row.

use std::fmt;
use std::marker::PhantomData;
use std::ops::{Add, Sub};
use std::time::Duration;

use crate::column::ColumnType;
use crate::description::{DataType, ScalarType, TimeUnit};
use crate::view::Plain;

const SECONDS_PER_DAY: i64 = 86_400;

/// A unit of time: [`Seconds`], [`Millis`], [`Micros`] or [`Nanos`].
pub trait Unit: Copy + fmt::Debug + 'static {
    /// The unit's name in descriptions.
    const UNIT: TimeUnit;
    /// Units per second: a power of ten.
    const PER_SECOND: i64;
    /// How many decimal digits of a second that are.
    const DIGITS: usize;
    /// A time of day in this unit: 32 bits where they are enough.
    type TimeOfDay: Plain + Into<i64> + TryFrom<i64> + fmt::Debug + Ord + Default;
}

macro_rules! units {
    ($($(#[$doc:meta])* $name:ident = $unit:ident, $digits:literal, $time:ty;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name;
        impl Unit for $name {
            const UNIT: TimeUnit = TimeUnit::$unit;
            const PER_SECOND: i64 = 10_i64.pow($digits);
            const DIGITS: usize = $digits;
            type TimeOfDay = $time;
        }
    )*};
}
units! {
    /// Seconds.
    Seconds = Second, 0, i32;
    /// Milliseconds.
    Millis = Millisecond, 3, i32;
    /// Microseconds.
    Micros = Microsecond, 6, i64;
    /// Nanoseconds.
    Nanos = Nanosecond, 9, i64;
}

/// What a timestamp counts from: [`Utc`] or [`Wall`].
pub trait Zone: Copy + fmt::Debug + 'static {
    /// True: an instant.
    const IS_UTC: bool;
}

/// An instant, counted in UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Utc;

/// A clock on some wall: no zone is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Wall;

impl Zone for Utc {
    const IS_UTC: bool = true;
}

impl Zone for Wall {
    const IS_UTC: bool = false;
}

/// A date: days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Date(pub i32);

// SAFETY: transparent over i32.
unsafe impl Plain for Date {
    const ZERO: Self = Self(0);
}

impl Date {
    /// The date of a year, month (1–12) and day; `None` where the calendar has no such day, or not within 32 bits.
    #[must_use]
    pub fn from_ymd(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
            return None;
        }
        i32::try_from(days_from_civil(i64::from(year), i64::from(month), i64::from(day))).ok().map(Self)
    }

    /// Year, month and day.
    #[must_use]
    pub fn ymd(self) -> (i32, u32, u32) {
        civil_from_days(self.0)
    }

    /// Reads `2024-02-29`, also with a sign and more digits of the year. `None` where it is no date.
    #[inline]
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        usual::date(text.as_bytes()).map(Self).or_else(|| Self::parse_any(text))
    }

    fn parse_any(text: &str) -> Option<Self> {
        let mut scanner = Scanner(text.as_bytes());
        let date = scanner.date()?;
        scanner.end()?;
        Some(date)
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.ymd();
        match year {
            0..=9999 => write!(f, "{year:04}-{month:02}-{day:02}"),
            _ => write!(f, "{year:+05}-{month:02}-{day:02}"),
        }
    }
}

/// A time of day, in `U` since midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Time<U: Unit>(U::TimeOfDay);

// SAFETY: transparent over a plain integer.
unsafe impl<U: Unit> Plain for Time<U> {
    const ZERO: Self = Self(<U::TimeOfDay as Plain>::ZERO);
}

impl<U: Unit> ColumnType for Time<U> {
    const TYPE: DataType = DataType::Scalar(ScalarType::Time(U::UNIT));
}

impl<U: Unit> Time<U> {
    /// The time so many units after midnight; `None` beyond the day.
    #[must_use]
    pub fn new(units: i64) -> Option<Self> {
        let within = (0..SECONDS_PER_DAY * U::PER_SECOND).contains(&units);
        U::TimeOfDay::try_from(units).ok().filter(|_| within).map(Self)
    }

    /// Units since midnight.
    #[must_use]
    pub fn units(self) -> i64 {
        self.0.into()
    }

    /// Reads `04:05:11.789`. `None` where it is no time of day, or has more digits than the unit that are not zero.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut scanner = Scanner(text.as_bytes());
        let units = scanner.time::<U>()?;
        scanner.end()?;
        Self::new(units)
    }
}

impl<U: Unit> fmt::Display for Time<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (second, fraction) = (self.units() / U::PER_SECOND, self.units() % U::PER_SECOND);
        write!(f, "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60)?;
        if U::DIGITS == 0 { Ok(()) } else { write!(f, ".{fraction:0digits$}", digits = U::DIGITS) }
    }
}

/// A timestamp, in `U` since 1970-01-01T00:00:00.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Timestamp<U, Z = Utc>(i64, PhantomData<(U, Z)>);

/// A timestamp without zone.
pub type WallClock<U> = Timestamp<U, Wall>;

// SAFETY: transparent over i64.
unsafe impl<U: Unit, Z: Zone> Plain for Timestamp<U, Z> {
    const ZERO: Self = Self::new(0);
}

impl<U: Unit, Z: Zone> ColumnType for Timestamp<U, Z> {
    const TYPE: DataType = DataType::Scalar(ScalarType::Timestamp { unit: U::UNIT, utc: Z::IS_UTC });
}

impl<U, Z> Timestamp<U, Z> {
    /// The timestamp of so many units since 1970-01-01T00:00:00.
    #[inline]
    #[must_use]
    pub const fn new(units: i64) -> Self {
        Self(units, PhantomData)
    }

    /// Units since 1970-01-01T00:00:00.
    #[inline]
    #[must_use]
    pub const fn units(self) -> i64 {
        self.0
    }
}

impl<U: Unit, Z: Zone> Timestamp<U, Z> {
    /// Midnight at the begin of a date; `None` beyond 64 bits.
    #[must_use]
    pub fn from_date(date: Date) -> Option<Self> {
        i64::from(date.0).checked_mul(SECONDS_PER_DAY * U::PER_SECOND).map(Self::new)
    }

    /// The day that it lies in; `None` beyond [`Date`]'s 32 bits.
    #[must_use]
    pub fn date(self) -> Option<Date> {
        i32::try_from(self.0.div_euclid(SECONDS_PER_DAY * U::PER_SECOND)).ok().map(Date)
    }

    /// The time of the day that it lies in.
    #[must_use]
    pub fn time(self) -> Time<U> {
        Time::new(self.0.rem_euclid(SECONDS_PER_DAY * U::PER_SECOND)).expect("the remainder is within a day")
    }

    /// The same in another unit, rounded down where that is coarser; `None` beyond 64 bits.
    #[must_use]
    pub fn to_unit<V: Unit>(self) -> Option<Timestamp<V, Z>> {
        let units = if V::PER_SECOND >= U::PER_SECOND {
            self.0.checked_mul(V::PER_SECOND / U::PER_SECOND)?
        } else {
            self.0.div_euclid(U::PER_SECOND / V::PER_SECOND)
        };
        Some(Timestamp::new(units))
    }

    /// Reads ISO text: date, `T` or a space, time with up to nine digits of a second, and for an instant `Z` or an
    /// offset such as `+02:00`. `None` where it is no timestamp, has digits that the unit cannot hold, or lacks the
    /// zone (UTC) or has one (wall clock).
    #[inline]
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        usual::timestamp::<U, Z>(text.as_bytes()).or_else(|| Self::parse_any(text).map(Self::units)).map(Self::new)
    }

    fn parse_any(text: &str) -> Option<Self> {
        let mut scanner = Scanner(text.as_bytes());
        let date = scanner.date()?;
        scanner.one_of(b"T ")?;
        let time = scanner.time::<U>()?;
        let offset_seconds = if Z::IS_UTC { scanner.offset_seconds()? } else { 0 };
        scanner.end()?;
        let day = i128::from(date.0) * i128::from(SECONDS_PER_DAY) - i128::from(offset_seconds);
        i64::try_from(day * i128::from(U::PER_SECOND) + i128::from(time)).ok().map(Self::new)
    }
}

/// A duration in units, rounded down; as long as 64 bits allow where it is longer.
fn units<U: Unit>(duration: Duration) -> i64 {
    let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
    let below = i64::from(duration.subsec_nanos()) / (Nanos::PER_SECOND / U::PER_SECOND);
    seconds.saturating_mul(U::PER_SECOND).saturating_add(below)
}

/// So much later, in whole units; at the end of 64 bits the latest time there is.
impl<U: Unit, Z> Add<Duration> for Timestamp<U, Z> {
    type Output = Self;

    fn add(self, by: Duration) -> Self {
        Self::new(self.0.saturating_add(units::<U>(by)))
    }
}

/// So much earlier, in whole units; at the end of 64 bits the earliest time there is.
impl<U: Unit, Z> Sub<Duration> for Timestamp<U, Z> {
    type Output = Self;

    fn sub(self, by: Duration) -> Self {
        Self::new(self.0.saturating_sub(units::<U>(by)))
    }
}

impl<U: Unit, Z: Zone> fmt::Display for Timestamp<U, Z> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.date() {
            Some(date) => write!(f, "{date}T{}{}", self.time(), if Z::IS_UTC { "Z" } else { "" }),
            None => write!(f, "{} {:?} since 1970", self.0, U::UNIT),
        }
    }
}

/// Days since 1970-01-01. Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `days_from_civil`: years begin
/// in March, so that the leap day is the last one, in eras of 400 years.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// The inverse, `civil_from_days` of the same source.
#[expect(clippy::cast_possible_truncation, reason = "32 bits of days are fewer than six million years")]
fn civil_from_days(days: i32) -> (i32, u32, u32) {
    let days = i64::from(days) + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year as i32, month as u32, day as u32)
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads ISO text from the left.
struct Scanner<'a>(&'a [u8]);

impl Scanner<'_> {
    fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }

    fn one_of(&mut self, wanted: &[u8]) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        wanted.contains(&first).then(|| {
            self.0 = rest;
            first
        })
    }

    fn digits(&mut self, range: std::ops::RangeInclusive<usize>) -> Option<u32> {
        let count = self.0.iter().take(*range.end()).take_while(|byte| byte.is_ascii_digit()).count();
        let (digits, rest) = self.0.split_at_checked(count).filter(|_| range.contains(&count))?;
        self.0 = rest;
        Some(digits.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0')))
    }

    fn two(&mut self, below: u32) -> Option<i64> {
        self.digits(2..=2).filter(|number| *number < below).map(i64::from)
    }

    fn date(&mut self) -> Option<Date> {
        let sign = self.one_of(b"+-");
        // ISO asks for a sign where the year has more than four digits; seven are all that 32 bits of days need.
        let year = i32::try_from(self.digits(4..=if sign.is_some() { 7 } else { 4 })?).ok()?;
        self.one_of(b"-")?;
        let month = self.digits(2..=2)?;
        self.one_of(b"-")?;
        let day = self.digits(2..=2)?;
        Date::from_ymd(if sign == Some(b'-') { -year } else { year }, month, day)
    }

    /// Units since midnight.
    fn time<U: Unit>(&mut self) -> Option<i64> {
        let hour = self.two(24)?;
        self.one_of(b":")?;
        let minute = self.two(60)?;
        let second = if self.one_of(b":").is_some() { self.two(60)? } else { 0 };
        let nanos = if self.one_of(b".").is_some() { self.nanos()? } else { 0 };
        let per_unit = 1_000_000_000 / U::PER_SECOND;
        let whole = (hour * 3600 + minute * 60 + second) * U::PER_SECOND;
        (nanos % per_unit == 0).then_some(whole + nanos / per_unit)
    }

    fn nanos(&mut self) -> Option<i64> {
        let before = self.0.len();
        let digits = i64::from(self.digits(1..=9)?);
        let missing = 9 - (before - self.0.len());
        Some((0..missing).fold(digits, |nanos, _| nanos * 10))
    }

    fn offset_seconds(&mut self) -> Option<i64> {
        let sign = match self.one_of(b"Z+-")? {
            b'Z' => return Some(0),
            b'-' => -1,
            _ => 1,
        };
        let hours = self.two(24)?;
        self.one_of(b":");
        let minutes = if self.0.is_empty() { 0 } else { self.two(60)? };
        Some(sign * (hours * 3600 + minutes * 60))
    }
}

#[cfg(test)]
mod tests;
mod usual;
