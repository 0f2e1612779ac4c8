//! Rules files, and what answers mean.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::Path;

use super::Rules;

fn parsed(text: &str) -> Result<Rules, String> {
    Rules::parse(Path::new("quality.toml"), text).map_err(|problems| problems.to_string())
}

#[test]
fn the_rules_of_the_documentation_are_understood() {
    let documented = include_str!("rules.rs");
    let lines = documented.lines().skip_while(|line| *line != "//! ```toml").skip(1);
    let lines = lines.take_while(|line| *line != "//! ```").map(|line| line.trim_start_matches("//!").trim());
    let text = lines.collect::<Vec<_>>().join("\n");
    let rules = parsed(&text).unwrap();
    assert_eq!(rules.checks().count(), 5, "{text}");
}

#[test]
fn the_rules_of_the_example_are_understood() {
    parsed(include_str!("../../../examples/events/quality.toml")).unwrap();
}

const FRESHNESS: &str = "[[freshness]]\nname = \"fresh\"\ntable = \"t\"\ncolumn = \"at\"\n";

#[test]
fn mistakes_are_told_with_their_places() {
    let volume = "[[volume]]\nname = \"v\"\ntable = \"t\"\ncolumn = \"at\"\n";
    let nulls = "[[nulls]]\nname = \"n\"\ntable = \"t\"\n";
    let query = "[[query]]\nname = \"q\"\nquery = \"SELECT 1\"\n";
    for (text, expected) in [
        (String::new(), "quality.toml: there is no check in it"),
        (format!("{FRESHNESS}max_age = \"24x\""), "quality.toml:5:11: `24x` is no length of time"),
        (format!("{FRESHNESS}max_age = \"é\""), "`é` is no length of time"),
        (format!("{FRESHNESS}max_age = \"0s\""), "`0s` is no length of time"),
        (format!("{FRESHNESS}max_ago = \"1h\""), "quality.toml:5:1: unknown field `max_ago`"),
        (FRESHNESS.to_owned(), "missing field `max_age`"),
        (
            format!("{FRESHNESS}max_age = \"1h\"\n{FRESHNESS}max_age = \"1h\""),
            "quality.toml:7:8: name: fresh is another check's",
        ),
        (format!("{volume}max_deviation = -0.2"), "quality.toml:5:17: max_deviation: is below 0"),
        (format!("{volume}max_deviation = 0.2\ndays = 0"), "quality.toml:6:8: days"),
        (format!("{nulls}columns = []"), "columns: there is none"),
        (format!("{nulls}columns = [\"a\"]\nmax_share = 20"), "max_share: 20 is no share"),
        (query.to_owned(), "neither min nor max"),
        (format!("{query}min = 3\nmax = 2"), "min is above max"),
        ("[freshness".to_owned(), "quality.toml:1:11"),
    ] {
        let error = parsed(&text).unwrap_err();
        assert!(error.contains(expected), "{text}\nsays: {error}");
    }
}

#[test]
fn a_webhook_is_never_shown() {
    let rules = parsed(&format!("[alert]\nwebhook = \"https://host/secret\"\n{FRESHNESS}max_age = \"1h\"")).unwrap();
    assert!(!format!("{rules:?}").contains("secret"));
}
