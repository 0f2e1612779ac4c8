//! Kernels for short text: what transforms ask of most cells, without a loop over their bytes.
//!
//! In the sandbox each turn of a loop costs a check of the deadline, so a loop over the bytes of a word costs more than the
//! work that it does. These answer exactly as the functions of `str` do whose names they have; text of up to 16 bytes takes
//! them no turn, longer text one for every eight or sixteen bytes.
//!
//! ```
//! use plugin_sdk::text;
//!
//! assert_eq!(text::trim(" paid\t"), "paid");
//! assert!(text::contains("ada@example.com", b'@'));
//! assert!(text::eq_ignore_ascii_case("Paid", "PAID"));
//! ```

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x80 * ONES;

/// Without white space at both ends: as [`str::trim`].
#[inline(always)]
#[must_use]
pub fn trim(text: &str) -> &str {
    if ends_are_plain(text.as_bytes()) { text } else { trim_spaces(text) }
}

/// Nothing to take away: both ends are ASCII, and neither white space nor a control character.
#[inline(always)]
const fn ends_are_plain(bytes: &[u8]) -> bool {
    matches!(bytes, [b'!'..=0x7f, .., b'!'..=0x7f] | [b'!'..=0x7f])
}

/// Spaces first, as there is hardly ever anything else.
#[inline(never)]
fn trim_spaces(text: &str) -> &str {
    let trimmed = text.trim_matches(' ');
    if ends_are_plain(trimmed.as_bytes()) { trimmed } else { trimmed.trim() }
}

/// Whether the text has this ASCII character: as [`str::contains`].
#[inline]
#[must_use]
pub fn contains(text: &str, ascii: u8) -> bool {
    let (bytes, wanted) = (text.as_bytes(), u64::from(ascii) * ONES);
    // A byte that is the wanted one becomes zero, and of zeros the lowest has its high bit set here.
    let has = |eight: u64| (eight ^ wanted).wrapping_sub(ONES) & !(eight ^ wanted) & HIGH != 0;
    match bytes.len() {
        0..=3 => first_middle_last(bytes).is_some_and(|some| some.contains(&ascii)),
        4..=16 => {
            let (head, tail) = ends(bytes);
            has(head) | has(tail)
        }
        _ => {
            let (sixteens, _) = bytes.as_chunks::<16>();
            let last = bytes.last_chunk::<16>().into_iter();
            sixteens.iter().chain(last).any(|sixteen| {
                let (head, tail) = ends(sixteen);
                has(head) | has(tail)
            })
        }
    }
}

/// Whether both are the same, letters of ASCII in whichever case: as [`str::eq_ignore_ascii_case`].
#[inline]
#[must_use]
pub fn eq_ignore_ascii_case(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    if one.len() != other.len() {
        return false;
    }
    match one.len() {
        0..=3 => {
            let word =
                |bytes| first_middle_last(bytes).map_or(0, |[a, b, c]| u64::from_le_bytes([a, b, c, 0, 0, 0, 0, 0]));
            lower(word(one)) == lower(word(other))
        }
        4..=16 => same(one, other),
        _ => {
            let eights = one.as_chunks::<8>().0.iter().zip(other.as_chunks::<8>().0);
            let word = |eight: &[u8; 8]| lower(u64::from_le_bytes(*eight));
            same(&one[one.len() - 16..], &other[other.len() - 16..])
                && eights.into_iter().all(|(a, b)| word(a) == word(b))
        }
    }
}

/// For 4 to 16 bytes.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    let ((head, tail), (other_head, other_tail)) = (ends(one), ends(other));
    (lower(head) ^ lower(other_head)) | (lower(tail) ^ lower(other_tail)) == 0
}

#[inline(always)]
const fn lower(eight: u64) -> u64 {
    flip_case(eight, b'A', b'Z')
}

/// The first and the last eight bytes of 8 to 16, or four of 4 to 7; they may overlap.
#[inline(always)]
fn ends(bytes: &[u8]) -> (u64, u64) {
    if let (Some(head), Some(tail)) = (bytes.first_chunk(), bytes.last_chunk()) {
        return (u64::from_le_bytes(*head), u64::from_le_bytes(*tail));
    }
    match (bytes.first_chunk(), bytes.last_chunk()) {
        // Both in one word, so that no byte is there which the text does not have.
        (Some(head), Some(tail)) => {
            let word = u64::from(u32::from_le_bytes(*head)) | u64::from(u32::from_le_bytes(*tail)) << 32;
            (word, word)
        }
        _ => (0, 0),
    }
}

/// Of up to three bytes all, some of them twice; `None` of none.
#[inline(always)]
fn first_middle_last(bytes: &[u8]) -> Option<[u8; 3]> {
    Some([*bytes.first()?, *bytes.get(bytes.len() / 2)?, *bytes.last()?])
}

/// Turns the case of the letters between `first` and `last` among eight bytes.
#[inline(always)]
pub(crate) const fn flip_case(eight: u64, first: u8, last: u8) -> u64 {
    let low = eight & (0x7f * ONES);
    // The high bit of each byte: at or behind the first letter, behind the last one, ASCII at all.
    let (from_first, behind_last) = (low + (0x80 - first) as u64 * ONES, low + (0x7f - last) as u64 * ONES);
    let letters = (from_first ^ behind_last) & !eight & HIGH;
    // The cases are 0x20 apart.
    eight ^ (letters >> 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Text of every length, of pieces that are easily taken for each other.
    fn texts() -> impl Iterator<Item = String> {
        let pieces =
            ["a", "Z", "@", " ", "\t", "\u{b}", "\u{1f}", "\u{85}", "\u{a0}", "\u{3000}", "é", "[", "`", "\u{0}", "x"];
        (0..20_000_u64).map(move |seed| {
            let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ seed;
            let count = seed % 41;
            let piece = |_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                // Mostly letters, so that long texts have something to look for at any place.
                let choice = usize::try_from(state >> 33).unwrap_or_default();
                if choice.is_multiple_of(3) { pieces[choice / 3 % pieces.len()] } else { "x" }
            };
            (0..count).map(piece).collect()
        })
    }

    #[test]
    fn all_answer_as_those_of_str() {
        let mut before = String::new();
        for text in texts() {
            assert_eq!(trim(&text), text.trim(), "{text:?}");
            for ascii in [b'@', b'a', b' ', 0, 0x7f, b'x', b'`'] {
                assert_eq!(contains(&text, ascii), text.contains(char::from(ascii)), "{text:?} {ascii}");
            }
            let turned: String = text
                .chars()
                .map(|c| if c.is_ascii_lowercase() { c.to_ascii_uppercase() } else { c.to_ascii_lowercase() })
                .collect();
            assert!(eq_ignore_ascii_case(&text, &turned), "{text:?}");
            for other in [&before, &text.replace('x', "y"), &text.replace('@', "`"), &text.replace('[', "{")] {
                assert_eq!(eq_ignore_ascii_case(&text, other), text.eq_ignore_ascii_case(other), "{text:?} {other:?}");
            }
            before = text;
        }
    }

    #[test]
    fn one_other_byte_at_any_place_is_seen() {
        for len in 1..70 {
            let text = "m".repeat(len);
            for place in 0..len {
                let mut other = text.clone();
                other.replace_range(place..=place, "n");
                assert!(!eq_ignore_ascii_case(&text, &other), "{place} of {len}");
                assert!(contains(&other, b'n') && !contains(&text, b'n'), "{place} of {len}");
            }
        }
    }
}
