//! One check: the question, and what its answer means.
//!
//! | kind | asked | holds where |
//! |---|---|---|
//! | freshness | the newest time, none of the future | it is not longer ago than `max_age` |
//! | volume | rows of each of the last days, UTC | the last whole day's differ from the mean of the days before by no more than `max_deviation` of it |
//! | nulls | rows, and how many of them lack each column | of no column more than `max_share` |
//! | dead letters | messages that came, and that were set aside by any plugin | no more than `max_share` of them |
//! | query | a number | it is not below `min`, nor above `max` |
//!
//! A day on which the table began says nothing of whole ones, nor do those before it: where no whole day is left to compare
//! with, a volume can't be judged yet.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use toml::Spanned;

use super::report::{Finding, Status};
use super::rules::{DeadLetters, Freshness, Nulls, OwnQuery, Volume};
use crate::sink::{ClickHouse, Statement, StatementError};
use crate::table::quote;

const DAY_MS: i64 = 86_400_000;
/// Longest time of a question, which the server ends by itself.
const MOST_SECONDS: u32 = 60;
const PATIENCE: Duration = Duration::from_secs(70);

/// A check of a rules file.
#[derive(Clone, Copy, Debug)]
pub(super) enum Check<'a> {
    Freshness(&'a Freshness),
    Volume(&'a Volume),
    Nulls(&'a Nulls),
    DeadLetters(&'a DeadLetters),
    OwnQuery(&'a OwnQuery),
}

/// What an answer means: a number, and whether it holds, in words.
struct Judgement {
    status: Status,
    value: Option<f64>,
    words: String,
}

/// Why there is no answer that could be judged.
#[derive(Debug, thiserror::Error)]
enum Unanswered {
    #[error(transparent)]
    Server(#[from] StatementError),
    #[error("the query gives {0}, and not one row of one number")]
    NoNumber(String),
}

impl<'a> Check<'a> {
    pub(super) fn name(self) -> &'a Spanned<String> {
        match self {
            Self::Freshness(check) => &check.name,
            Self::Volume(check) => &check.name,
            Self::Nulls(check) => &check.name,
            Self::DeadLetters(check) => &check.name,
            Self::OwnQuery(check) => &check.name,
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::Freshness(_) => "freshness",
            Self::Volume(_) => "volume",
            Self::Nulls(_) => "nulls",
            Self::DeadLetters(_) => "dead_letters",
            Self::OwnQuery(_) => "query",
        }
    }

    fn table(self) -> Option<&'a str> {
        match self {
            Self::Freshness(check) => Some(&check.table),
            Self::Volume(check) => Some(&check.table),
            Self::Nulls(check) => Some(&check.table),
            Self::DeadLetters(check) => Some(&check.table),
            Self::OwnQuery(_) => None,
        }
    }

    /// What must hold, in words.
    fn limit(self) -> String {
        match self {
            Self::Freshness(check) => format!("a row of the last {}", check.max_age),
            Self::Volume(check) => {
                format!(
                    "within {} of the mean of {} days",
                    percent(*check.max_deviation.get_ref()),
                    check.days.get_ref()
                )
            }
            Self::Nulls(check) => format!("at most {} empty", percent(*check.max_share.get_ref())),
            Self::DeadLetters(check) => format!("at most {} of {}", percent(*check.max_share.get_ref()), check.within),
            Self::OwnQuery(OwnQuery { min, max, .. }) => match (min, max) {
                (Some(min), Some(max)) => format!("from {min} to {max}"),
                (Some(min), None) => format!("at least {min}"),
                (None, Some(max)) => format!("at most {max}"),
                (None, None) => String::new(),
            },
        }
    }

    /// What makes no sense in it.
    pub(super) fn mistakes(self) -> Vec<(Range<usize>, String)> {
        let share = |key: &str, share: &Spanned<f64>| {
            let fits = (0.0..=1.0).contains(share.get_ref());
            let words = || format!("{key}: {} is no share: it lies between 0 and 1, such as 0.01", share.get_ref());
            (!fits).then(|| (share.span(), words()))
        };
        let wrong = match self {
            Self::Freshness(_) => None,
            Self::Volume(check) if *check.days.get_ref() == 0 => {
                Some((check.days.span(), "days: there is no mean of none".to_owned()))
            }
            // Twice as many rows are a deviation of 1, and nobody has to stop there.
            Self::Volume(check) => {
                let fits = *check.max_deviation.get_ref() >= 0.0;
                (!fits).then(|| (check.max_deviation.span(), "max_deviation: is below 0".to_owned()))
            }
            Self::Nulls(check) if check.columns.get_ref().is_empty() => {
                Some((check.columns.span(), "columns: there is none".to_owned()))
            }
            Self::Nulls(check) => share("max_share", &check.max_share),
            Self::DeadLetters(check) => share("max_share", &check.max_share),
            Self::OwnQuery(OwnQuery { name, min: None, max: None, .. }) => {
                Some((name.span(), format!("{}: neither min nor max: nothing would ever fail", name.get_ref())))
            }
            Self::OwnQuery(OwnQuery { name, min: Some(min), max: Some(max), .. }) if min > max => {
                Some((name.span(), format!("{}: min is above max: nothing would ever hold", name.get_ref())))
            }
            Self::OwnQuery(_) => None,
        };
        wrong.into_iter().collect()
    }

    /// Asks, and judges the answer.
    pub(super) async fn look(self, clickhouse: &ClickHouse, database: &str, at_ms: i64) -> Finding {
        let asked = Question { clickhouse, database, at_ms };
        let judged = match self {
            Self::Freshness(check) => asked.freshness(check).await,
            Self::Volume(check) => asked.volume(check).await,
            Self::Nulls(check) => asked.nulls(check).await,
            Self::DeadLetters(check) => asked.dead_letters(check).await,
            Self::OwnQuery(check) => asked.own_query(check).await,
        };
        let Judgement { status, value, words } = judged.unwrap_or_else(|error| Judgement {
            status: Status::Error,
            value: None,
            words: format!("could not be looked at: {error}"),
        });
        Finding {
            name: self.name().get_ref().clone(),
            kind: self.kind(),
            table: self.table().map(str::to_owned),
            status,
            value,
            limit: self.limit(),
            message: words,
        }
    }
}

/// A check's question to the server.
struct Question<'a> {
    clickhouse: &'a ClickHouse,
    database: &'a str,
    at_ms: i64,
}

#[derive(Deserialize)]
struct Newest {
    rows: u64,
    newest: Option<i64>,
}

/// Rows by day, days since 1970-01-01.
#[derive(Deserialize)]
struct Days {
    /// The first of the table.
    first: Option<i64>,
    days: Vec<i64>,
    rows: Vec<u64>,
}

#[derive(Deserialize)]
struct Missing {
    rows: u64,
    missing: Vec<u64>,
}

#[derive(Deserialize)]
struct SetAside {
    messages: u64,
    dead: u64,
}

impl Question<'_> {
    async fn ask<T: DeserializeOwned>(&self, sql: &str, values: &[(&str, &str)]) -> Result<Vec<T>, StatementError> {
        let sql = format!("{sql}\nSETTINGS max_execution_time = {MOST_SECONDS}, join_use_nulls = 0");
        let at = self.at_ms.to_string();
        let values: Vec<_> = values.iter().copied().chain([("at", at.as_str())]).collect();
        let since_1970 = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let id = format!("engine-quality/{}-{:x}", std::process::id(), since_1970.as_nanos());
        let statement = Statement { database: self.database, sql: &sql, values: &values, id: &id, timeout: PATIENCE };
        self.clickhouse.rows_once(&statement).await
    }

    async fn one<T: DeserializeOwned>(&self, sql: &str, values: &[(&str, &str)]) -> Result<T, StatementError> {
        let row = self.ask(sql, values).await?.pop();
        row.ok_or_else(|| StatementError { code: 0, message: "the server answers with no row".to_owned(), open: false })
    }

    async fn freshness(&self, check: &Freshness) -> Result<Judgement, Unanswered> {
        let (table, time) = (quote(&check.table), time(&check.column));
        let sql = format!(
            "SELECT count() AS rows, toUnixTimestamp64Milli(max({time})) AS newest FROM {table} \
             WHERE {time} <= fromUnixTimestamp64Milli({{at:Int64}}, 'UTC')"
        );
        Ok(judge_freshness(check, &self.one(&sql, &[]).await?, self.at_ms))
    }

    async fn volume(&self, check: &Volume) -> Result<Judgement, Unanswered> {
        let (table, time) = (quote(&check.table), time(&check.column));
        let last = self.at_ms.div_euclid(DAY_MS) - 1;
        let first = (last - i64::from(*check.days.get_ref())) * DAY_MS;
        let sql = format!(
            "SELECT (SELECT if(count() = 0, NULL, toInt32(toDate32(min({time}), 'UTC'))) FROM {table}) AS first, \
             groupArray(day) AS days, groupArray(of_day) AS rows FROM (\
             SELECT toInt32(toDate32({time}, 'UTC')) AS day, count() AS of_day FROM {table} \
             WHERE {time} >= fromUnixTimestamp64Milli({{first:Int64}}, 'UTC') \
             AND {time} < fromUnixTimestamp64Milli({{end:Int64}}, 'UTC') GROUP BY day)"
        );
        let (first, end) = (first.to_string(), ((last + 1) * DAY_MS).to_string());
        Ok(judge_volume(check, &self.one(&sql, &[("first", &first), ("end", &end)]).await?, last))
    }

    async fn nulls(&self, check: &Nulls) -> Result<Judgement, Unanswered> {
        let columns = check.columns.get_ref().iter();
        let missing: Vec<_> = columns.map(|it| format!("countIf(ifNull(toString({}), '') = '')", quote(it))).collect();
        let condition = check.condition.as_ref().map(|it| format!(" WHERE (\n{it}\n)")).unwrap_or_default();
        let sql = format!(
            "SELECT count() AS rows, [{}] AS missing FROM {}{condition}",
            missing.join(", "),
            quote(&check.table)
        );
        Ok(judge_nulls(check, &self.one(&sql, &[]).await?))
    }

    async fn dead_letters(&self, check: &DeadLetters) -> Result<Judgement, Unanswered> {
        let came = "_ingested_at > fromUnixTimestamp64Milli({since:Int64}, 'UTC') \
                    AND _ingested_at <= fromUnixTimestamp64Milli({at:Int64}, 'UTC')";
        // A message is one, of however many plugins it is a letter.
        let sql = format!(
            "SELECT (SELECT count() FROM {of} WHERE _topic = {{topic:String}} AND {came}) AS messages, \
             (SELECT uniqExact(`partition`, `offset`) FROM {table} WHERE topic = {{topic:String}} AND {came}) AS dead",
            of = quote(&check.of),
            table = quote(&check.table),
        );
        let since = (self.at_ms - check.within.ms).to_string();
        Ok(judge_dead_letters(check, &self.one(&sql, &[("since", &since), ("topic", &check.topic)]).await?))
    }

    async fn own_query(&self, check: &OwnQuery) -> Result<Judgement, Unanswered> {
        // As part of a SELECT it can't be anything else.
        let sql = format!("SELECT * FROM (\n{}\n) LIMIT 2", check.query);
        let rows: Vec<BTreeMap<String, Value>> = self.ask(&sql, &[]).await?;
        let number = match &rows[..] {
            [row] if row.len() == 1 => row.values().next().and_then(number),
            _ => None,
        };
        let number = number.ok_or_else(|| Unanswered::NoNumber(shape(&rows)))?;
        Ok(judge_number(check, number))
    }
}

/// A column as a time; a null stays one.
fn time(column: &str) -> String {
    format!("toDateTime64({}, 3, 'UTC')", quote(column))
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64().or_else(|| value.as_str()?.parse().ok()).filter(|number| number.is_finite())
}

fn shape(rows: &[BTreeMap<String, Value>]) -> String {
    match rows {
        [] => "no row".to_owned(),
        [row] if row.len() == 1 => "no number".to_owned(),
        [row] => format!("{} columns", row.len()),
        _ => "more than one row".to_owned(),
    }
}

fn holds(holds: bool, value: f64, words: String) -> Judgement {
    Judgement { status: if holds { Status::Passed } else { Status::Failed }, value: Some(value), words }
}

fn judge_freshness(check: &Freshness, answer: &Newest, at_ms: i64) -> Judgement {
    let Some(newest) = answer.newest.filter(|_| answer.rows > 0) else {
        return Judgement { status: Status::Failed, value: None, words: "there is no row".to_owned() };
    };
    let age_ms = at_ms - newest;
    let seconds = ratio(age_ms.unsigned_abs(), 1000);
    holds(age_ms <= check.max_age.ms, seconds, format!("the newest row is {} old", length(age_ms)))
}

fn judge_volume(check: &Volume, answer: &Days, last: i64) -> Judgement {
    let rows_of =
        |day: i64| answer.days.iter().zip(&answer.rows).find(|(it, _)| **it == day).map_or(0, |(_, rows)| *rows);
    // The day on which the table began is no whole one.
    let begun = answer.first.map_or(last, |first| first + 1);
    let first = begun.max(last - i64::from(*check.days.get_ref()));
    if first >= last {
        let words = "there is no whole day to compare the last one with".to_owned();
        return Judgement { status: Status::Skipped, value: None, words };
    }
    let before: u64 = (first..last).map(rows_of).sum();
    let (mean, rows) = (ratio(before, (last - first).unsigned_abs()), rows_of(last));
    // Of nothing any row is as much as twice what was expected.
    let deviation = match (before, rows) {
        (0, 0) => 0.0,
        (0, _) => 1.0,
        _ => ratio(rows, 1) / mean - 1.0,
    };
    let (most, days) = (*check.max_deviation.get_ref(), last - first);
    let words = format!(
        "{rows} rows on the last whole day, {mean:.0} on average of the {days} before it: {:+.1} %",
        deviation * 100.0
    );
    holds(deviation.abs() <= most, deviation, words)
}

fn judge_nulls(check: &Nulls, answer: &Missing) -> Judgement {
    let columns = check.columns.get_ref().iter().zip(&answer.missing);
    let most = answer.missing.iter().copied().max().unwrap_or(0);
    let lacking: Vec<_> =
        columns.filter(|(_, missing)| **missing > 0).map(|(name, n)| format!("{n} lack {name}")).collect();
    let share = if answer.rows == 0 { 0.0 } else { ratio(most, answer.rows) };
    let what = if lacking.is_empty() { "none lacks a value".to_owned() } else { lacking.join(", ") };
    holds(share <= *check.max_share.get_ref(), share, format!("of {} rows {what}", answer.rows))
}

fn judge_dead_letters(check: &DeadLetters, answer: &SetAside) -> Judgement {
    let SetAside { messages, dead } = *answer;
    let share = if dead == 0 { 0.0 } else { ratio(dead, messages.max(dead)) };
    let words = format!("of {messages} messages {dead} were set aside, {}", percent(share));
    holds(share <= *check.max_share.get_ref(), share, words)
}

fn judge_number(check: &OwnQuery, number: f64) -> Judgement {
    let fits = check.min.is_none_or(|min| number >= min) && check.max.is_none_or(|max| number <= max);
    holds(fits, number, format!("the query gives {number}"))
}

#[expect(clippy::cast_precision_loss, reason = "a share or a mean is as exact as anybody reads it")]
fn ratio(part: u64, whole: u64) -> f64 {
    part as f64 / whole as f64
}

fn percent(share: f64) -> String {
    let text = format!("{:.2}", share * 100.0);
    format!("{} %", text.trim_end_matches('0').trim_end_matches('.'))
}

fn length(ms: i64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn volume(days: u16) -> Volume {
        Volume {
            name: Spanned::new(0..0, "v".to_owned()),
            table: "t".to_owned(),
            column: "at".to_owned(),
            max_deviation: Spanned::new(0..0, 0.2),
            days: Spanned::new(0..0, days),
        }
    }

    /// The last whole day is 107, and this many rows are on it and on the days before it, backwards.
    fn judged(first: Option<i64>, rows: &[u64]) -> (Status, Option<f64>) {
        let days = (0..).take(rows.len()).map(|back| 107 - back).collect();
        let judgement = judge_volume(&volume(7), &Days { first, days, rows: rows.to_vec() }, 107);
        (judgement.status, judgement.value)
    }

    #[test]
    fn a_day_is_compared_with_the_mean_of_those_before_it() {
        let long_ago = Some(1);
        assert_eq!(judged(long_ago, &[120, 100, 100, 100, 100, 100, 100, 100]).0, Status::Passed);
        assert_eq!(judged(long_ago, &[121, 100, 100, 100, 100, 100, 100, 100]).0, Status::Failed);
        assert_eq!(judged(long_ago, &[79, 100, 100, 100, 100, 100, 100, 100]).0, Status::Failed);
        // A day without rows counts for the mean: 700 on one of seven are a hundred a day.
        assert_eq!(judged(long_ago, &[100, 700]), (Status::Passed, Some(0.0)));
        assert_eq!(judged(long_ago, &[]), (Status::Passed, Some(0.0)));
        assert_eq!(judged(long_ago, &[5]), (Status::Failed, Some(1.0)));
    }

    #[test]
    fn days_before_the_table_began_are_no_days() {
        // It began on day 104, in the middle of it: 105 and 106 are whole.
        assert_eq!(judged(Some(104), &[100, 90, 110, 7]), (Status::Passed, Some(0.0)));
        assert_eq!(judged(Some(106), &[100, 7]).0, Status::Skipped);
        assert_eq!(judged(Some(108), &[]).0, Status::Skipped);
        assert_eq!(judged(None, &[]).0, Status::Skipped);
    }

    #[test]
    fn lengths_and_shares_are_said_as_people_say_them() {
        assert_eq!([0.0, 0.01, 0.0123, 1.0].map(percent), ["0 %", "1 %", "1.23 %", "100 %"]);
        assert_eq!([59_999, 600_000, 86_400_000, 864_000_000].map(length), ["59 s", "10 min", "24 h", "10 days"]);
    }
}
