//! Which topics are meant: exact names, and patterns as in Kafka's own clients, which begin with `^`.

use regex_lite::Regex;

use super::SourceError;

/// The names among `wanted`, and those of `all` that match its patterns; sorted, each once. `all` is asked only if
/// there is a pattern.
pub(super) fn matching(
    wanted: &[String],
    all: impl FnOnce() -> Result<Vec<String>, SourceError>,
) -> Result<Vec<String>, SourceError> {
    let (patterns, mut names): (Vec<String>, Vec<String>) = wanted.iter().cloned().partition(|it| it.starts_with('^'));
    if !patterns.is_empty() {
        let patterns: Vec<Regex> = patterns.iter().map(|pattern| compile(pattern)).collect::<Result<_, _>>()?;
        names.extend(all()?.into_iter().filter(|name| patterns.iter().any(|pattern| pattern.is_match(name))));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Whether a topic is one of those that are meant.
#[must_use]
pub fn names_topic(wanted: &[String], topic: &str) -> bool {
    matching(wanted, || Ok(vec![topic.to_owned()])).is_ok_and(|names| names.iter().any(|name| name == topic))
}

fn compile(pattern: &str) -> Result<Regex, SourceError> {
    Regex::new(pattern).map_err(|error| SourceError::Refused { message: format!("topic pattern {pattern}: {error}") })
}

/// What is wrong with a pattern, in words; a name is never wrong.
///
/// # Errors
/// It begins with `^` and is no regular expression.
pub fn check_topic(wanted: &str) -> Result<(), String> {
    if wanted.starts_with('^') { Regex::new(wanted).map(drop).map_err(|error| error.to_string()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn pick(wanted: &[&str]) -> Vec<String> {
        let wanted: Vec<String> = wanted.iter().map(|&it| it.into()).collect();
        matching(&wanted, || Ok(vec!["shop.orders".into(), "shop.users".into(), "eshop.orders".into()])).unwrap()
    }

    #[test]
    fn names_are_exact_and_patterns_begin_at_the_names_begin() {
        assert_eq!(pick(&["shop.users", "not.yet.there"]), ["not.yet.there", "shop.users"]);
        assert_eq!(pick(&["^shop\\..*"]), ["shop.orders", "shop.users"]);
        assert_eq!(pick(&["^.*orders$", "shop.orders"]), ["eshop.orders", "shop.orders"]);
    }

    #[test]
    fn a_bad_pattern_is_refused() {
        let error = matching(&["^(".into()], || Ok(Vec::new())).unwrap_err();
        assert!(error.to_string().starts_with("topic pattern ^(: "), "{error}");
    }
}
