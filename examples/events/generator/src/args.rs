//! Arguments.

use std::path::PathBuf;

use clap::Parser;

use crate::{DAY_MS, GenerateError, Mix};

/// Events of an application that never was: onto a topic, into a file, or both.
#[derive(Clone, Debug, Parser)]
#[command(name = "events-generator", after_help = EXAMPLES)]
pub struct Args {
    /// How many messages, bad ones and repeats among them.
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub total_events: u64,
    /// At most so many in a second; 0: as many as can be made.
    #[arg(long, value_name = "N", default_value_t = 1000)]
    pub events_per_second: u64,
    /// Share of messages that break a rule, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.01)]
    pub bad_data_rate: f64,
    /// Share of messages that were sent before, from 0 to 1.
    #[arg(long, value_name = "SHARE", default_value_t = 0.05)]
    pub duplicate_rate: f64,
    /// Other numbers, other events.
    #[arg(long, value_name = "N", default_value_t = 7)]
    pub seed: u64,
    /// How many users there are in the end; one for each hundred events if nothing is said.
    #[arg(long, value_name = "N")]
    pub users: Option<u32>,
    /// The events' own times: spread over so many days up to now; 0: the time at which each is made.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub days: u32,
    /// Brokers to send them to.
    #[arg(long, value_name = "HOST:PORT,...")]
    pub kafka: Option<String>,
    /// The topic. It is made where it is not there.
    #[arg(long, value_name = "NAME", default_value = "events_raw")]
    pub topic: String,
    /// Its partitions.
    #[arg(long, value_name = "N", default_value_t = 4)]
    pub partitions: i32,
    /// File for them, as JSON lines that `engine --source` plays.
    #[arg(long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

const EXAMPLES: &str = "\
Examples:
  events-generator --kafka localhost:9092 --total-events 1000000 --events-per-second 0 --days 30
  events-generator --kafka localhost:9092 --events-per-second 5000 --bad-data-rate 0.02
  events-generator --output events.jsonl --total-events 10000 --events-per-second 0 --days 3";

/// A stretch of time that so many events are spread over.
#[derive(Debug)]
pub(crate) struct History {
    from_ms: i64,
    length_ms: i64,
    events: u64,
}

impl History {
    /// The time of the event with this number.
    pub(crate) fn at(&self, index: u64) -> i64 {
        let passed = i128::from(self.length_ms) * i128::from(index) / i128::from(self.events.max(1));
        self.from_ms + i64::try_from(passed).unwrap_or(self.length_ms)
    }
}

impl Args {
    pub(crate) fn mix(&self) -> Result<Mix, GenerateError> {
        let per_million = |flag: &str, share: f64| {
            let fits = (0.0..=1.0).contains(&share);
            #[expect(clippy::cast_possible_truncation, reason = "between 0 and a million")]
            let parts = (share * 1e6).round() as u32;
            fits.then_some(parts).ok_or_else(|| {
                GenerateError::Asked(format!("{flag}: {share} is no share: it lies between 0 and 1, such as 0.01"))
            })
        };
        let bad = per_million("--bad-data-rate", self.bad_data_rate)?;
        let duplicates = per_million("--duplicate-rate", self.duplicate_rate)?;
        if bad + duplicates > 1_000_000 {
            return Err(GenerateError::Asked("--bad-data-rate and --duplicate-rate: more than 1 together".to_owned()));
        }
        if self.kafka.is_none() && self.output.is_none() {
            return Err(GenerateError::Asked("nowhere to send events to: name --kafka, --output or both".to_owned()));
        }
        Ok(Mix { bad, duplicates })
    }

    pub(crate) fn partitions(&self) -> Result<u32, GenerateError> {
        let partitions = u32::try_from(self.partitions).ok().filter(|partitions| *partitions > 0);
        partitions.ok_or_else(|| GenerateError::Asked("--partitions: a topic has at least one".to_owned()))
    }

    pub(crate) fn users(&self) -> u32 {
        self.users.unwrap_or_else(|| u32::try_from(self.total_events / 100).unwrap_or(u32::MAX)).max(1)
    }

    pub(crate) fn history(&self, now_ms: i64) -> Option<History> {
        let length_ms = i64::from(self.days) * DAY_MS;
        (self.days > 0).then_some(History { from_ms: now_ms - length_ms, length_ms, events: self.total_events })
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    fn args(words: &str) -> Args {
        Args::parse_from(std::iter::once("events-generator").chain(words.split_whitespace()))
    }

    #[test]
    fn the_examples_are_understood() {
        Args::command().debug_assert();
        for line in EXAMPLES.lines().skip(1) {
            let words = line.trim().strip_prefix("events-generator").expect("each example is a call");
            args(words).mix().expect("and makes sense");
        }
    }

    #[test]
    fn what_makes_no_sense_is_said() {
        for (words, expected) in [
            ("--output x --bad-data-rate 1.5", "--bad-data-rate: 1.5 is no share"),
            ("--output x --duplicate-rate -1", "--duplicate-rate"),
            ("--output x --bad-data-rate 0.6 --duplicate-rate 0.6", "more than 1 together"),
            ("", "nowhere to send"),
        ] {
            let words = words.replace("-rate -1", "-rate=-1");
            let error = args(&words).mix().expect_err("it makes no sense").to_string();
            assert!(error.contains(expected), "{words}: {error}");
        }
        assert!(args("--partitions 0").partitions().is_err());
    }

    #[test]
    fn a_history_ends_now() {
        let history = args("--days 2 --total-events 4").history(10 * DAY_MS).expect("days of it");
        assert_eq!(
            [0, 1, 3].map(|index| history.at(index)),
            [8 * DAY_MS, 8 * DAY_MS + DAY_MS / 2, 9 * DAY_MS + DAY_MS / 2]
        );
        assert!(args("").history(0).is_none());
    }
}
