//! What travels along the data path. Data and position never part: each form carries the offsets that it came from.
//!
//! ```text
//! RawBatch ──decode──► Decoded ──plugin──► Emitted ──assemble──► Block
//! ```

use std::sync::Arc;

use arrow_array::RecordBatch;
use debezium_decode::last_header;

use crate::offsets::{OffsetRange, TopicPartition};
use crate::source::ChunkedMessage;
use crate::table::Table;

pub use debezium_decode::{Changes, Decoded, Header, NoOp, Op, Reject, Stage};

/// One message as it lies in its topic.
#[derive(Debug)]
pub struct Message {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp, ms since 1970-01-01 UTC, where it has one.
    pub timestamp: Option<i64>,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Owned {
        key: Option<Box<[u8]>>,
        value: Option<Box<[u8]>>,
        headers: Vec<Header>,
    },
    /// Lies beside those that came with it, for one lane or several.
    Chunked(ChunkedMessage),
}

impl Message {
    /// A message whose bytes are its own.
    #[must_use]
    pub fn owned(
        offset: i64,
        timestamp: Option<i64>,
        key: Option<Vec<u8>>,
        value: Option<Vec<u8>>,
        headers: Vec<Header>,
    ) -> Self {
        let body = Body::Owned { key: key.map(Into::into), value: value.map(Into::into), headers };
        Self { offset, timestamp, body }
    }

    /// A message of a chunk.
    #[must_use]
    pub fn chunked(offset: i64, timestamp: Option<i64>, message: ChunkedMessage) -> Self {
        Self { offset, timestamp, body: Body::Chunked(message) }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Owned { key, .. } => key.as_deref(),
            Body::Chunked(message) => message.key(),
        }
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match &self.body {
            Body::Owned { value, .. } => value.as_deref(),
            Body::Chunked(message) => message.value(),
        }
    }

    /// The headers, copied: they are read for a few messages only.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        match &self.body {
            Body::Owned { headers, .. } => headers.clone(),
            Body::Chunked(message) => message.headers(),
        }
    }

    /// The same message with bytes of its own, so that the source's budget is free of it.
    #[must_use]
    pub fn into_owned(self) -> Self {
        match &self.body {
            Body::Owned { .. } => self,
            Body::Chunked(_) => self.copy(),
        }
    }

    /// A copy with bytes of its own.
    #[must_use]
    pub fn copy(&self) -> Self {
        let bytes = |bytes: Option<&[u8]>| bytes.map(<[u8]>::to_vec);
        Self::owned(self.offset, self.timestamp, bytes(self.key()), bytes(self.value()), self.headers())
    }

    /// Bytes of key and value.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.key().map_or(0, <[u8]>::len) + self.value().map_or(0, <[u8]>::len)
    }
}

impl debezium_decode::Message for Message {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    fn key(&self) -> Option<&[u8]> {
        self.key()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        match &self.body {
            Body::Owned { headers, .. } => last_header(headers, name),
            Body::Chunked(message) => message.header(name),
        }
    }
}

/// Consecutive messages of one partition, in offset order.
#[derive(Debug)]
pub struct RawBatch {
    /// Where the messages lie.
    pub partition: TopicPartition,
    /// The offsets that this batch answers for, holes included.
    pub range: OffsetRange,
    /// The messages.
    pub messages: Vec<Message>,
    /// Sum of the messages' bytes.
    pub bytes: usize,
}

/// Rows of one epoch for one table: what one `INSERT` sends. Sealed: never changed, only sent again.
#[derive(Clone, Debug)]
pub struct Block {
    /// The table, all its columns named.
    pub table: Arc<Table>,
    /// The rows; schema equal to the table's.
    pub batches: Vec<RecordBatch>,
    /// Rows in all batches.
    pub rows: usize,
    /// Hash of the rows: of every buffer's content, in order.
    pub digest: u128,
}
