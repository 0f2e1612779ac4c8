//! Codecs and kinds of data skipping indexes: words of a plugin that become part of a `CREATE TABLE`.
//!
//! A plugin is not trusted (see [`super::expression`]), so only what this file knows gets through: names of a list, with
//! numbers as arguments.

/// Codecs, but those that encrypt: the key is not the plugin's.
const CODECS: [&str; 10] = ["NONE", "LZ4", "LZ4HC", "ZSTD", "Delta", "DoubleDelta", "GCD", "Gorilla", "FPC", "T64"];
/// Kinds of indexes.
const KINDS: [&str; 5] = ["minmax", "set", "bloom_filter", "ngrambf_v1", "tokenbf_v1"];

/// Reads a list of codecs, such as `DoubleDelta, ZSTD(1)`.
///
/// # Errors
/// Names what is not one.
pub(super) fn codecs(text: &str) -> Result<String, String> {
    let read = calls(text).filter(|calls| calls.iter().all(|call| CODECS.contains(&call.0)));
    read.map(|calls| written(&calls)).ok_or_else(|| {
        format!("`{text}` is no list of codecs: {}, with numbers as arguments, separated by commas", CODECS.join(", "))
    })
}

/// Reads an index's kind, such as `bloom_filter(0.01)`.
///
/// # Errors
/// Says what is possible.
pub(super) fn kind(text: &str) -> Result<String, String> {
    let read = calls(text).filter(|calls| calls.len() == 1 && calls.iter().all(|call| KINDS.contains(&call.0)));
    read.map(|calls| written(&calls))
        .ok_or_else(|| format!("`{text}` is no kind of index: {}, with numbers as arguments", KINDS.join(", ")))
}

/// A text as SQL has it.
pub(super) fn string(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// A name and its arguments.
type Call<'a> = (&'a str, Vec<&'a str>);

/// `name`, or `name(number, …)`, separated by commas.
fn calls(text: &str) -> Option<Vec<Call<'_>>> {
    let mut calls = Vec::new();
    let mut rest = text.trim();
    loop {
        let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let (name, behind) = rest.split_at(end);
        let mut arguments = Vec::new();
        rest = behind.trim_start();
        if let Some(inside) = rest.strip_prefix('(') {
            let (inside, behind) = inside.split_once(')')?;
            arguments.extend(inside.split(',').map(str::trim));
            rest = behind.trim_start();
        }
        if name.is_empty() || !arguments.iter().all(|argument| is_number(argument)) {
            return None;
        }
        calls.push((name, arguments));
        match rest.strip_prefix(',') {
            Some(next) => rest = next.trim_start(),
            None => return rest.is_empty().then_some(calls),
        }
    }
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
        && text.chars().all(|c| c.is_ascii_digit() || c == '.')
        && text.matches('.').count() <= 1
}

fn written(calls: &[Call<'_>]) -> String {
    let call = |(name, arguments): &Call<'_>| match arguments.as_slice() {
        [] => (*name).to_owned(),
        arguments => format!("{name}({})", arguments.join(", ")),
    };
    calls.iter().map(call).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn known_words_with_numbers_pass() {
        assert_eq!(codecs(" DoubleDelta,ZSTD( 1 ) ").unwrap(), "DoubleDelta, ZSTD(1)");
        assert_eq!(codecs("NONE").unwrap(), "NONE");
        assert_eq!(kind("bloom_filter(0.01)").unwrap(), "bloom_filter(0.01)");
        assert_eq!(kind("ngrambf_v1(3,256, 2,0)").unwrap(), "ngrambf_v1(3, 256, 2, 0)");
        assert_eq!(string("it's \\ 1"), r"'it\'s \\ 1'");
    }

    #[test]
    fn nothing_else_passes() {
        for text in [
            "",
            ",",
            "ZSTD,",
            "ZSTD(1",
            "ZSTD()",
            "ZSTD(1)) ENGINE = Null --",
            "ZSTD('1')",
            "ZSTD(1.2.3)",
            "AES_128_GCM_SIV",
            "zstd; DROP TABLE t",
            "minmax",
        ] {
            assert!(codecs(text).is_err(), "{text:?}");
        }
        for text in ["", "minmax, set(1)", "set(SELECT 1)", "inverted", "minmax GRANULARITY 1", "ZSTD(1)"] {
            assert!(kind(text).is_err(), "{text:?}");
        }
    }
}
