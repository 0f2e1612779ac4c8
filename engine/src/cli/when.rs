//! Times as flags give them: so long ago, or a day and time.

/// Milliseconds since 1970-01-01 UTC of a time that is given as `90s`, `15m`, `2h`, `7d` before now, as a day or as a day
/// and time in UTC.
pub(super) fn milliseconds(flag: &str, text: &str, now_ms: i64) -> Result<i64, String> {
    ago(text).map(|ago| now_ms.saturating_sub(ago)).or_else(|| time(text)).ok_or_else(|| {
        format!(
            "flag {flag}: `{text}` is neither a time ago, such as 90s, 15m, 2h or 7d, nor a day or time in UTC, such as \
             2026-11-21 or 2026-11-21T05:13:45"
        )
    })
}

fn ago(text: &str) -> Option<i64> {
    let unit = match text.chars().last()? {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return None,
    };
    let number: u32 = text[..text.len() - 1].parse().ok()?;
    i64::from(number).checked_mul(unit)
}

fn time(text: &str) -> Option<i64> {
    let text = text.trim_end_matches('Z');
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "00:00:00"));
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time, ':')?;
    let fits = (1..=12).contains(&month) && (1..=31).contains(&day) && hour < 24 && minute < 60 && second < 60;
    fits.then(|| (((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

fn numbers(text: &str, between: char) -> Option<[i64; 3]> {
    let numbers: Vec<i64> =
        text.split(between).map(|part| part.parse::<u16>().map(i64::from)).collect::<Result<_, _>>().ok()?;
    numbers.try_into().ok()
}

/// Days since 1970-01-01 in the Gregorian calendar, counted from the first of March, so that a leap day is a year's last.
fn days(year: i64, month: i64, day: i64) -> i64 {
    let year = if month > 2 { year } else { year - 1 };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400) + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_ago_and_times() {
        let now = 1_795_237_200_000;
        let cases = [
            ("90s", now - 90_000),
            ("7d", now - 7 * 86_400_000),
            ("1970-01-01", 0),
            ("2000-02-29", 951_782_400_000),
            ("2026-11-21", 1_795_219_200_000),
            ("2026-11-21T05:00:01Z", 1_795_237_201_000),
            ("2026-11-21 05:00:01", 1_795_237_201_000),
        ];
        for (text, expected) in cases {
            assert_eq!(milliseconds("--since", text, now), Ok(expected), "{text}");
        }
        for text in ["", "d", "7", "7y", "é", "-5m", "2026-13-01", "2026-11-21T25:00:00", "2026-11", "yesterday"] {
            assert!(milliseconds("--since", text, now).is_err(), "{text}");
        }
    }
}
