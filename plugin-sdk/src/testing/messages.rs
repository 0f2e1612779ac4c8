//! Messages as Kafka carries them: made by hand, or read from a recording.

use std::fmt;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::Deserialize;

/// A message of a topic.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Its topic.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// Its offset; `None`: the one after the message before it in the partition, from 0.
    pub offset: Option<i64>,
    /// Its timestamp, ms since 1970-01-01 UTC.
    pub timestamp: Option<i64>,
    /// Its headers, in order.
    pub headers: Vec<(String, Option<Vec<u8>>)>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

impl Message {
    /// A message with a value, in partition 0 of the topic `test`.
    #[must_use]
    pub fn new(value: impl Into<Vec<u8>>) -> Self {
        Self { value: Some(value.into()), ..Self::tombstone() }
    }

    /// A message without a value.
    #[must_use]
    pub fn tombstone() -> Self {
        Self {
            topic: "test".into(),
            partition: 0,
            offset: None,
            timestamp: None,
            headers: Vec::new(),
            key: None,
            value: None,
        }
    }

    /// The message with a key.
    #[must_use]
    pub fn key(self, key: impl Into<Vec<u8>>) -> Self {
        Self { key: Some(key.into()), ..self }
    }

    /// The message in another topic.
    #[must_use]
    pub fn topic(self, topic: &str) -> Self {
        Self { topic: topic.into(), ..self }
    }

    /// The message at an offset.
    #[must_use]
    pub fn offset(self, offset: i64) -> Self {
        Self { offset: Some(offset), ..self }
    }

    /// The message with one more header.
    #[must_use]
    pub fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.into(), Some(value.into())));
        self
    }

    /// Reads a line of a recording.
    ///
    /// # Errors
    /// The line is no message, in words.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line: Line = serde_json::from_str(line).map_err(|error| error.to_string())?;
        let header = |header: HeaderLine| Ok((header.key, bytes(header.value, header.value_b64)?));
        Ok(Self {
            topic: line.topic,
            partition: line.partition,
            offset: Some(line.offset),
            timestamp: line.timestamp,
            headers: line.headers.into_iter().map(header).collect::<Result<_, String>>()?,
            key: bytes(line.key, line.key_b64)?,
            value: bytes(line.value, line.value_b64)?,
        })
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |bytes: &Option<Vec<u8>>| bytes.as_deref().map(String::from_utf8_lossy).map(String::from);
        write!(f, "{}/{}@{:?}: {:?} {:?}", self.topic, self.partition, self.offset, text(&self.key), text(&self.value))
    }
}

/// Reads the messages of a recording: a file of JSON lines as `engine --source` plays it, one message a line with
/// `topic`, `partition`, `offset`, and `timestamp`, `headers`, `key` and `value` where it has them.
///
/// ```no_run
/// use plugin_sdk::testing::recording;
/// let orders = recording("cases/changes/input.jsonl").into_iter().filter(|it| it.topic.ends_with(".orders"));
/// ```
///
/// # Panics
/// The file can't be read, or a line is no message.
#[must_use]
#[track_caller]
pub fn recording(path: impl AsRef<Path>) -> Vec<Message> {
    let path = path.as_ref();
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    let message = |(number, line): (usize, &str)| {
        Message::parse(line).unwrap_or_else(|error| panic!("{}:{}: {error}", path.display(), number + 1))
    };
    lines.map(message).collect()
}

#[derive(Deserialize)]
struct Line {
    topic: String,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    #[serde(default)]
    headers: Vec<HeaderLine>,
    key: Option<String>,
    value: Option<String>,
    key_b64: Option<String>,
    value_b64: Option<String>,
}

#[derive(Deserialize)]
struct HeaderLine {
    key: String,
    value: Option<String>,
    value_b64: Option<String>,
}

fn bytes(text: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>, String> {
    match base64 {
        Some(base64) => BASE64.decode(base64).map(Some).map_err(|error| error.to_string()),
        None => Ok(text.map(String::into_bytes)),
    }
}
