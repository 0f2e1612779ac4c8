//! Times as events say them, read without the engine's help.

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 of `2026-11-21T20:44:00.000Z`.
pub(crate) fn milliseconds(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    if text.len() != 24 || !text.ends_with('Z') {
        return None;
    }
    let days = days(number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = number(11..13)? * 3600 + number(14..16)? * 60 + number(17..19)?;
    Some(days * DAY_MS + seconds * 1000 + number(20..23)?)
}

/// Days from 1970-01-01 to this one, counted one month after the other.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let is_leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let of_years: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    let lengths = [31, if is_leap(year) { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let of_months: i64 = lengths.iter().take(usize::try_from(month - 1).unwrap_or_default()).sum();
    of_years + of_months + day - 1
}

#[test]
fn times_are_read() {
    assert_eq!(milliseconds("1970-01-01T00:00:00.001Z"), Some(1));
    assert_eq!(milliseconds("2000-02-29T00:00:00.000Z"), Some(951_782_400_000));
    assert_eq!(milliseconds("2026-11-21T05:00:01.042Z"), Some(1_795_237_201_042));
    assert_eq!(milliseconds("yesterday"), None);
}
