//! Events of an application that never was, for the pipeline of `examples/events`.
//!
//! Users sign up, come for visits, look at pages, buy, change their plans, and stay away in the end. Some events are sent again,
//! some are bad, some come a little out of order: as much of each as is asked for.
//!
//! **Promise.** The same seed and the same times give the same messages. All messages of a user lie in one partition, in the
//! order in which they are made.

mod args;
mod event;
mod kafka;
mod log;
mod pace;
mod people;
mod stream;

pub use args::Args;
pub use stream::{Defect, Mix, Stream, Truth};

use std::fmt;

use engine::clock::{Clock, SystemClock};

use kafka::Topic;
use log::Log;
use pace::Pace;

const DAY_MS: i64 = 86_400_000;

/// A message, where it lies and what it is in truth.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The partition.
    pub partition: i32,
    /// Its place there, where the topic was empty before.
    pub offset: i64,
    /// When it was made, ms since 1970-01-01 UTC: the message's own timestamp, and not the event's.
    pub made_ms: i64,
    /// The key: whose event it is.
    pub key: String,
    /// The value.
    pub value: String,
    /// What the generator knows of it. Nobody else is told.
    pub truth: Truth,
}

/// How many messages were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// All of them.
    pub messages: u64,
    /// Those that break a rule.
    pub bad: u64,
    /// Good ones that were sent before.
    pub duplicates: u64,
}

impl Sent {
    /// Good ones, each counted once.
    #[must_use]
    pub fn good(&self) -> u64 {
        self.messages - self.bad - self.duplicates
    }

    fn add(&mut self, truth: Truth) {
        self.messages += 1;
        match truth {
            Truth::Good => {}
            Truth::Duplicate => self.duplicates += 1,
            Truth::Bad(_) => self.bad += 1,
        }
    }
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, bad, duplicates } = self;
        write!(f, "{messages} messages, {bad} of them bad, {duplicates} sent again")
    }
}

/// Why there are no events, or not all of them.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// Arguments that make no sense together.
    #[error("{0}")]
    Asked(String),
    /// The topic.
    #[error("Kafka, topic {topic}")]
    Kafka {
        /// Its name.
        topic: String,
        /// What the client says.
        #[source]
        source: rdkafka::error::KafkaError,
    },
    /// The file.
    #[error("{path} can't be written")]
    File {
        /// Which.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// How many messages of each kind [`generate`] makes. The seed decides it, and not the time.
///
/// # Errors
/// The arguments make no sense.
pub fn foresee(args: &Args) -> Result<Sent, GenerateError> {
    let mut stream = Stream::new(args.seed, args.mix()?, args.partitions()?, args.users());
    let mut sent = Sent::default();
    for second in (0..).take(usize::try_from(args.total_events).unwrap_or(usize::MAX)) {
        sent.add(stream.next(second * 1000, 0).truth);
    }
    Ok(sent)
}

/// Makes the events that are asked for and sends each to where it is to go; `witness` sees each first.
///
/// # Errors
/// The arguments make no sense, or the topic or file did not take all of them.
pub fn generate(args: &Args, mut witness: impl FnMut(&Message)) -> Result<Sent, GenerateError> {
    let mut stream = Stream::new(args.seed, args.mix()?, args.partitions()?, args.users());
    let topic = args.kafka.as_deref().map(|brokers| Topic::open(brokers, &args.topic, args.partitions)).transpose()?;
    let mut log = args.output.as_deref().map(Log::create).transpose()?;
    let (mut pace, mut sent) = (Pace::new(args.events_per_second), Sent::default());
    let history = args.history(SystemClock.now_ms());
    for index in 0..args.total_events {
        pace.wait();
        let now = SystemClock.now_ms();
        let message = stream.next(history.as_ref().map_or(now, |history| history.at(index)), now);
        witness(&message);
        sent.add(message.truth);
        if let Some(topic) = &topic {
            topic.send(&message)?;
        }
        if let Some(log) = &mut log {
            log.write(&args.topic, &message)?;
        }
    }
    topic.as_ref().map_or(Ok(()), Topic::flush)?;
    log.map_or(Ok(()), Log::close)?;
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[test]
    fn what_is_made_is_foreseen_and_goes_into_the_file() {
        let file = std::env::temp_dir().join(format!("events-generator-{}.jsonl", std::process::id()));
        let mut args = Args::parse_from(["x", "--total-events", "3000", "--events-per-second", "0", "--days", "2"]);
        args.output = Some(file.clone());
        let mut seen = Vec::new();
        let sent = generate(&args, |message| seen.push(message.clone())).expect("a file");
        assert_eq!(foresee(&args).expect("numbers"), sent);
        assert_eq!(sent.messages, 3000);
        let text = std::fs::read_to_string(&file).expect("the file");
        std::fs::remove_file(&file).expect("the file goes");
        for (line, message) in text.lines().zip(&seen) {
            let line: serde_json::Value = serde_json::from_str(line).expect("a line is an object");
            assert_eq!((&line["key"], &line["value"]), (&message.key.as_str().into(), &message.value.as_str().into()));
        }
        assert_eq!((text.lines().count(), seen.len()), (3000, 3000));
    }
}
