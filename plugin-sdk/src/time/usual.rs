//! Dates and timestamps as databases write them, read eight bytes at a time.
//!
//! No loop and no division: in the sandbox each turn of a loop costs a check of the deadline. What is not of the usual
//! form is not judged here but left to the general way.

use super::{SECONDS_PER_DAY, Unit, Zone};

/// Days from 0000-01-01 to 1970-01-01.
const DAYS_TO_1970: u32 = 719_528;
/// Days of a usual year before each month; the thirteenth is the next January.
const DAYS_BEFORE: [u16; 13] = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365];

/// Days since 1970-01-01 of `2025-01-31`.
#[inline]
pub(super) fn date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, dash, m0, m1, second_dash, d0, d1] = *text else { return None };
    let date = pairs([y0, y1, y2, y3, dash, m0, m1, second_dash], *b"0000-00-")?;
    let day = pairs([d0, d1, b'0', b'0', b'0', b'0', b'0', b'0'], *b"00000000")?;
    days(date[0], date[2], date[5], day[0])
}

/// Units since 1970 of `2025-01-31T12:34:56` with three, six or no digits behind the second, and `Z` for an instant.
#[inline]
pub(super) fn timestamp<U: Unit, Z: Zone>(text: &[u8]) -> Option<i64> {
    let text = if Z::IS_UTC { text.strip_suffix(b"Z")? } else { text };
    let (day, rest) = text.split_first_chunk::<10>()?;
    let (&[b'T' | b' ', time @ ..], fraction) = rest.split_first_chunk::<9>()? else { return None };
    let days = date(day)?;
    let time = pairs(time, *b"00:00:00")?;
    let micros = match *fraction {
        [] => 0,
        [point, a, b, c] => {
            let digits = pairs([point, b'0', a, b, c, b'0', b'0', b'0'], *b".0000000")?;
            (digits[1] * 100 + digits[3]) * 1000
        }
        [point, a, b, c, d, e, f] => {
            let digits = pairs([point, a, b, c, d, e, f, b'0'], *b".0000000")?;
            (digits[1] * 100 + digits[3]) * 100 + digits[5]
        }
        _ => return None,
    };
    let (hour, minute, second) = (time[0], time[3], time[6]);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = i64::from(days) * SECONDS_PER_DAY + i64::from(hour * 3600 + minute * 60 + second);
    seconds.checked_mul(U::PER_SECOND)?.checked_add(in_units::<U>(micros)?)
}

/// `None` where the unit cannot hold a digit.
#[inline(always)]
fn in_units<U: Unit>(micros: u32) -> Option<i64> {
    let (micros, per_second) = (i64::from(micros), U::PER_SECOND);
    if per_second >= 1_000_000 {
        return Some(micros * (per_second / 1_000_000));
    }
    let micros_per_unit = 1_000_000 / per_second;
    (micros % micros_per_unit == 0).then_some(micros / micros_per_unit)
}

/// Days since 1970-01-01 of a year of two pairs of digits; `None` where the calendar has no such day.
#[inline(always)]
fn days(century: u32, year_of_century: u32, month: u32, day: u32) -> Option<i32> {
    let leap = if year_of_century == 0 { century } else { year_of_century } & 3 == 0;
    let before = u32::from(*DAYS_BEFORE.get(month.wrapping_sub(1) as usize)?);
    let next = u32::from(*DAYS_BEFORE.get(month as usize)?);
    let (leap_month, past) = (u32::from(leap && month == 2), u32::from(leap && month > 2));
    if day == 0 || day > next - before + leap_month {
        return None;
    }
    let year = century * 100 + year_of_century;
    // Leap days of the years 0 to `year - 1`: those that 4 divides, not 100, but 400. Rounded up, for the year 0.
    let centuries = century + u32::from(year_of_century > 0);
    let leap_days = year.div_ceil(4) - centuries + centuries.div_ceil(4);
    Some((year * 365 + leap_days + before + past + day - 1).cast_signed() - DAYS_TO_1970.cast_signed())
}

/// The two-digit number that begins at each place of a text of the form of `pattern`, where `0` stands for any digit and
/// other characters for themselves; numbers with such a character in them are garbage.
#[inline(always)]
fn pairs(text: [u8; 8], pattern: [u8; 8]) -> Option<[u32; 8]> {
    const HIGH: u64 = 0x8080_8080_8080_8080;
    let values = u64::from_le_bytes(text) ^ u64::from_le_bytes(pattern);
    // What carries a value that is too large into its byte's high bit. A carry into the next byte comes from a value
    // above 128, which has that bit itself.
    let limits = u64::from_le_bytes(pattern.map(|byte| if byte == b'0' { 128 - 10 } else { 128 - 1 }));
    if (values | values.wrapping_add(limits)) & HIGH != 0 {
        return None;
    }
    // No carry: values are at most 9, so these bytes are at most 99.
    Some((values * 10 + (values >> 8)).to_le_bytes().map(u32::from))
}
