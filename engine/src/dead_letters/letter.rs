//! One letter: what is said of it, and its message.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Letters, marks};
use crate::batch::Message;
use crate::sink::SinkError;

/// Bytes of messages that are read in one answer: base64 makes four of three, and an answer may have 16 MiB.
const PAGE_BYTES: u64 = 8 << 20;
/// Letters that are read in one answer.
const PAGE_LETTERS: usize = 1000;

/// A letter as it stands, without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Letter {
    /// The tenant.
    pub tenant: String,
    /// The plugin that set it aside.
    pub plugin: String,
    /// Where the message lies.
    pub topic: String,
    /// Its partition.
    pub partition: i32,
    /// The generation of the lane that read it: a message that was read again in a later one has another letter.
    pub generation: u16,
    /// Its offset.
    pub offset: i64,
    /// Its time, ms since 1970-01-01 UTC.
    pub timestamp: Option<i64>,
    /// Bytes of key, value and headers in the topic.
    pub bytes: u64,
    /// Whether the letter holds only the beginning of its message.
    #[serde(deserialize_with = "number_as_bool")]
    pub cut: bool,
    /// When it was set aside, ms since 1970-01-01 UTC.
    pub set_aside: i64,
    /// What became of it: a [`super::MarkState`] as a word; empty for a letter that was never replayed.
    pub state: String,
    /// The last replay's number; 0 where there is none.
    pub replay: u64,
    /// The plugin that failed on it last.
    pub plugin_digest: String,
    /// Where on the path.
    pub stage: String,
    /// The word to count by.
    pub code: String,
    /// The column to blame; empty where there is none.
    pub column: String,
    /// What is wrong.
    pub reason: String,
}

fn number_as_bool<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    u8::deserialize(from).map(|number| number != 0)
}

impl Letter {
    /// What a replay takes together: tenant, plugin, topic, partition, generation.
    #[must_use]
    pub fn lane(&self) -> (&str, &str, &str, i32, u16) {
        (&self.tenant, &self.plugin, &self.topic, self.partition, self.generation)
    }
}

/// A letter's message.
#[derive(Debug)]
pub struct Body {
    /// As it lay in its topic, or the beginning of it where the letter is cut.
    pub message: Message,
    /// SHA-256 of the whole value, in hex, where the letter is cut; else empty.
    pub cut_sha256: String,
}

#[derive(Deserialize)]
struct Row {
    offset: i64,
    timestamp: Option<i64>,
    key: Option<String>,
    value: Option<String>,
    header_keys: Vec<String>,
    header_values: Vec<Option<String>>,
    cut_sha256: String,
}

impl Letters {
    /// The messages of letters that were found, by offset. All letters are of one lane and generation.
    ///
    /// # Errors
    /// The server can't be asked, or answers with something else.
    pub async fn bodies(&self, letters: &[Letter]) -> Result<BTreeMap<i64, Body>, SinkError> {
        let mut bodies = BTreeMap::new();
        for page in pages(letters) {
            for row in self.page(page).await? {
                let offset = row.offset;
                let body = row.body().map_err(|mismatch| SinkError::Table {
                    table: self.letters.quoted(),
                    mismatch: format!("the letter of offset {offset} can't be read: {mismatch}"),
                    statement: None,
                })?;
                bodies.insert(offset, body);
            }
        }
        Ok(bodies)
    }

    async fn page(&self, page: &[Letter]) -> Result<Vec<Row>, SinkError> {
        let Some(first) = page.first() else { return Ok(Vec::new()) };
        debug_assert!(page.iter().all(|letter| letter.lane() == first.lane()), "letters of one lane");
        let offsets: Vec<String> = page.iter().map(|letter| letter.offset.to_string()).collect();
        let query = format!(
            "SELECT offset, toUnixTimestamp64Milli(timestamp) AS timestamp, base64Encode(key) AS key, \
             base64Encode(value) AS value, arrayMap(h -> h.1, headers) AS header_keys, \
             arrayMap(h -> base64Encode(h.2), headers) AS header_values, cut_sha256 FROM {} WHERE {} \
             AND offset IN ({}) ORDER BY offset, _epoch, _row LIMIT 1 BY offset",
            self.letters.quoted(),
            marks::OF_LANE.replace("generation =", "bitShiftRight(_epoch, 48) ="),
            offsets.join(", ")
        );
        // The columns keep their names in the answer, so `timestamp` and the others are the table's in `WHERE`.
        let query = format!("{query} SETTINGS prefer_column_name_to_alias = 1");
        self.clickhouse.select(&self.letters, &query, &marks::lane_parameters(first)).await
    }
}

/// Letters in runs that fit into an answer.
fn pages(letters: &[Letter]) -> Vec<&[Letter]> {
    let (mut pages, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, letter) in letters.iter().enumerate() {
        // Of key, value and headers each a mebibyte is kept at most.
        let kept = letter.bytes.min(3 << 20);
        if index > start && (bytes + kept > PAGE_BYTES || index - start == PAGE_LETTERS) {
            pages.push(&letters[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += kept;
    }
    pages.push(&letters[start..]);
    pages
}

impl Row {
    fn body(self) -> Result<Body, String> {
        let decoded = |text: Option<String>| {
            text.map(|text| BASE64.decode(text)).transpose().map_err(|error| format!("base64: {error}"))
        };
        let values = self.header_values.into_iter().map(decoded).collect::<Result<Vec<_>, _>>()?;
        let headers = self.header_keys.into_iter().zip(values).collect();
        let message = Message::owned(self.offset, self.timestamp, decoded(self.key)?, decoded(self.value)?, headers);
        Ok(Body { message, cut_sha256: self.cut_sha256 })
    }
}
