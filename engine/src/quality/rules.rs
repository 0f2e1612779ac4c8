//! The file that says what must hold.
//!
//! ```toml
//! [alert]
//! webhook = "https://alerts.example.org/events"    # or $ENGINE_QUALITY_WEBHOOK, where the address is a secret
//!
//! [[freshness]]
//! name = "events_are_fresh"
//! table = "silver_events_current"
//! column = "timestamp"
//! max_age = "24h"
//!
//! [[volume]]                          # the last whole day, UTC, beside the mean of the days before it
//! name = "as_many_events_as_usual"
//! table = "silver_events_current"
//! column = "timestamp"
//! max_deviation = 0.2
//! days = 7                            # this many, if nothing is said
//!
//! [[nulls]]
//! name = "no_event_without_user"
//! table = "silver_events_current"
//! columns = ["user_id", "idempotency_key"]
//! where = "event_type = 'purchase'"   # of these rows alone
//! max_share = 0.0                     # none, if nothing is said
//!
//! [[dead_letters]]
//! name = "few_bad_events"
//! table = "dead_letters"              # this one, if nothing is said
//! of = "bronze_events"                # a table with a row for each message
//! topic = "events_raw"
//! within = "24h"
//! max_share = 0.01
//!
//! [[query]]                           # one row of one number
//! name = "no_session_of_a_day"
//! query = "SELECT count() FROM silver_sessions_current WHERE duration_ms > 86400000"
//! max = 0                             # or min, or both
//! ```

use std::fmt;
use std::ops::Range;
use std::path::Path;

use serde::{Deserialize, Deserializer};
use toml::Spanned;

use super::check::Check;
use crate::config::{Place, Problems};

/// What must hold, and who is told.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// Who is told.
    #[serde(default)]
    pub alert: Alerting,
    #[serde(default)]
    freshness: Vec<Freshness>,
    #[serde(default)]
    volume: Vec<Volume>,
    #[serde(default)]
    nulls: Vec<Nulls>,
    #[serde(default)]
    dead_letters: Vec<DeadLetters>,
    #[serde(default)]
    query: Vec<OwnQuery>,
}

/// Who is told.
#[derive(Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Alerting {
    /// Where the report is posted to. Never shown: such addresses hold secrets.
    pub webhook: Option<String>,
}

impl fmt::Debug for Alerting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alerting").field("webhook", &self.webhook.is_some()).finish()
    }
}

/// The newest row is not older than so long.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Freshness {
    pub(super) name: Spanned<String>,
    pub(super) table: String,
    pub(super) column: String,
    pub(super) max_age: Age,
}

/// The last whole day has about as many rows as the days before it on average.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Volume {
    pub(super) name: Spanned<String>,
    pub(super) table: String,
    pub(super) column: String,
    pub(super) max_deviation: Spanned<f64>,
    #[serde(default = "a_week")]
    pub(super) days: Spanned<u16>,
}

/// Columns have a value: no null, and no empty text.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Nulls {
    pub(super) name: Spanned<String>,
    pub(super) table: String,
    pub(super) columns: Spanned<Vec<String>>,
    #[serde(rename = "where")]
    pub(super) condition: Option<String>,
    #[serde(default = "none")]
    pub(super) max_share: Spanned<f64>,
}

/// Few messages are set aside.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct DeadLetters {
    pub(super) name: Spanned<String>,
    #[serde(default = "the_usual_table")]
    pub(super) table: String,
    pub(super) of: String,
    pub(super) topic: String,
    pub(super) within: Age,
    pub(super) max_share: Spanned<f64>,
}

/// A number that a query gives lies within bounds.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OwnQuery {
    pub(super) name: Spanned<String>,
    pub(super) query: String,
    pub(super) min: Option<f64>,
    pub(super) max: Option<f64>,
}

fn a_week() -> Spanned<u16> {
    Spanned::new(0..0, 7)
}

fn none() -> Spanned<f64> {
    Spanned::new(0..0, 0.0)
}

fn the_usual_table() -> String {
    "dead_letters".to_owned()
}

/// A length of time: `90s`, `15m`, `24h`, `7d`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Age {
    pub(super) ms: i64,
    text: String,
}

impl fmt::Display for Age {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Age {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let ms = length_ms(&text).ok_or_else(|| {
            serde::de::Error::custom(format!("`{text}` is no length of time, such as 90s, 15m, 24h or 7d"))
        })?;
        Ok(Self { ms, text })
    }
}

fn length_ms(text: &str) -> Option<i64> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let unit = match unit {
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.parse::<u32>().ok().filter(|number| *number > 0).map(|number| i64::from(number) * unit)
}

impl Rules {
    /// Reads what a file says.
    ///
    /// # Errors
    /// All that is wrong with it, with places.
    pub fn parse(path: &Path, text: &str) -> Result<Self, Problems> {
        let mut problems = Problems::default();
        let place = |span: Range<usize>| place(path, text, span.start);
        let rules: Self = match toml::from_str(text) {
            Ok(rules) => rules,
            Err(error) => {
                problems.add(place(error.span().unwrap_or_default()), error.message(), None);
                return Err(problems);
            }
        };
        let mut names: Vec<&Spanned<String>> = Vec::new();
        for check in rules.checks() {
            let name = check.name();
            if name.get_ref().trim().is_empty() {
                problems.add(place(name.span()), "name: is empty", Some("alerts go by it".to_owned()));
            } else if names.contains(&name) {
                problems.add(place(name.span()), format!("name: {} is another check's", name.get_ref()), None);
            }
            names.push(name);
            for (span, message) in check.mistakes() {
                problems.add(place(span), message, None);
            }
        }
        if names.is_empty() {
            let hint = "add one, such as [[freshness]]".to_owned();
            problems.of_path(path, "there is no check in it", Some(hint));
        }
        problems.none(rules)
    }

    /// Each check, by kind and in the order of the file.
    pub(super) fn checks(&self) -> impl Iterator<Item = Check<'_>> {
        let Self { alert: _, freshness, volume, nulls, dead_letters, query } = self;
        let first = freshness.iter().map(Check::Freshness).chain(volume.iter().map(Check::Volume));
        let last = dead_letters.iter().map(Check::DeadLetters).chain(query.iter().map(Check::OwnQuery));
        first.chain(nulls.iter().map(Check::Nulls)).chain(last)
    }
}

fn place(path: &Path, text: &str, offset: usize) -> Place {
    let before = text.get(..offset).unwrap_or(text);
    let line_begins = before.rfind('\n').map_or(0, |at| at + 1);
    let (line, column) = (before.matches('\n').count() + 1, before[line_begins..].chars().count() + 1);
    Place::File { path: path.to_owned(), line, column }
}
