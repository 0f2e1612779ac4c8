//! What ClickHouse's `JSON` takes of JSON, and refuses with the whole insert if it is anything else (26.7, tried value by value):
//!
//! | | taken |
//! |---|---|
//! | the text | an object, of at most [`MAX_DEPTH`] levels |
//! | integers | -2^63 to 2^64 - 1; others it does not make a Float64 of |
//! | other numbers | what Float64 can round to: 1e-400 is 0, 1e400 is refused |
//! | strings and keys | no half of a surrogate pair |
//! | keys, paths | each once: neither `{"a":1,"a":2}` nor `{"a.b":1,"a":{"b":2}}`; an object in an array has paths of its own |

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Deepest nesting: as the decoder has it. ClickHouse's own limit is 1,000 and more.
const MAX_DEPTH: usize = 128;

/// Whether a column of ClickHouse's `JSON` takes this text.
pub(super) fn is_taken(text: &str) -> bool {
    text.trim_start().starts_with('{')
        && serde_json::from_str::<&RawValue>(text)
            .is_ok_and(|object| is_value_taken(object, None, &mut HashSet::new(), MAX_DEPTH))
}

/// Whether a value is taken, where all paths so far are these.
fn is_value_taken(value: &RawValue, path: Option<&str>, paths: &mut HashSet<String>, levels: usize) -> bool {
    let Some(levels) = levels.checked_sub(1) else { return false };
    let text = value.get();
    let first = text.bytes().next().unwrap_or_default();
    if first == b'{' {
        return serde_json::from_str::<Members<'_>>(text).is_ok_and(|Members(members)| {
            let mut keys = HashSet::new();
            members.into_iter().all(|(key, value)| {
                if !keys.insert(key.clone()) {
                    return false;
                }
                let path = path.map_or(key.clone(), |path| format!("{path}.{key}"));
                is_value_taken(value, Some(&path), paths, levels)
            })
        });
    }
    if path.is_some_and(|path| !paths.insert(path.to_owned())) {
        return false;
    }
    match first {
        b'[' => serde_json::from_str::<Vec<&RawValue>>(text).is_ok_and(|elements| {
            elements.into_iter().all(|element| is_value_taken(element, None, &mut HashSet::new(), levels))
        }),
        b'"' => serde_json::from_str::<String>(text).is_ok(),
        b'-' | b'0'..=b'9' => is_number_taken(text),
        _ => true,
    }
}

fn is_number_taken(text: &str) -> bool {
    if text.contains(['.', 'e', 'E']) {
        text.parse().is_ok_and(f64::is_finite)
    } else {
        text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok()
    }
}

/// An object's members, those that come twice as well.
struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfObject;
        impl<'de> Visitor<'de> for OfObject {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(OfObject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clickhouse_refuses_is_not_taken() {
        let (deep, long) =
            (|levels| format!(r#"{{"a":{}1{}}}"#, "[".repeat(levels), "]".repeat(levels)), "9".repeat(10_000));
        let taken = [
            " {} ",
            r#"{"n":18446744073709551615,"m":-9223372036854775808,"z":-0,"e":1e308,"f":-1e-400}"#,
            r#"{"":1,"s":"\u0000\ud83d\ude80"}"#,
            r#"{"l":[{"a":1},{"a":2},[1,"x",null,true]]}"#,
            r#"{"a.b":1,"a":2}"#,
        ];
        let refused = [
            r#"{"a":{"b":1},"a":2}"#,
            r#"{"a":{},"a":{}}"#,
            "",
            "1",
            "[]",
            "{",
            r#"{"n":18446744073709551616}"#,
            r#"{"n":-9223372036854775809}"#,
            r#"{"n":[1e400]}"#,
            r#"{"s":"\ud83d"}"#,
            r#"{"\ude80":1}"#,
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":1}"#,
            r#"{"o":{"a":1,"a":null}}"#,
            r#"{"a.b":1,"a":{"b":2}}"#,
            r#"{"l":[{"a":1,"a":2}]}"#,
            r#"{"":1,"":2}"#,
        ];
        assert_eq!(taken.map(is_taken), [true; 5]);
        assert_eq!(refused.map(is_taken), [false; 17]);
        assert!(is_taken(&deep(126)) && !is_taken(&deep(127)) && !is_taken(&deep(100_000)));
        assert!(is_taken(&format!(r#"{{"n":0.{long}}}"#)) && !is_taken(&format!(r#"{{"n":{long}}}"#)));
    }
}
