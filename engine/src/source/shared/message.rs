//! Messages in queues: with bytes of their own, so that they hold none of the client's buffers, which they share with the
//! messages of other lanes.

use std::sync::Arc;

use crate::batch::{Header, Message};
use crate::source::budget::{Account, Lease};

/// What a chunk costs beyond its messages: its own fields, its place in a queue, and what the allocator rounds up.
const CHUNK_OVERHEAD: usize = 192;
/// What a message costs beyond its key and value: its entry, and again what the allocator rounds up.
const MESSAGE_OVERHEAD: usize = 72;

/// Messages that came for the same lanes at the same time, in one piece of memory. They are booked until the last of them is
/// let go.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Keys and values, in the order of the messages, each key before its value.
    bytes: Box<[u8]>,
    entries: Box<[Entry]>,
    lease: Lease,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    timestamp: Option<i64>,
    /// Where its bytes begin.
    begin: usize,
    key: Option<u32>,
    value: Option<u32>,
    headers: Option<Box<[Header]>>,
}

impl Chunk {
    /// Copies messages.
    pub(super) fn copy<'m>(messages: impl Iterator<Item = &'m Message> + Clone, account: &Arc<Account>) -> Self {
        let payload: usize = messages.clone().map(Message::bytes).sum();
        let mut bytes = Vec::with_capacity(payload);
        let entry = |message: &Message| {
            let (begin, offset, timestamp) = (bytes.len(), message.offset, message.timestamp);
            let mut add = |part: &[u8]| {
                bytes.extend_from_slice(part);
                u32::try_from(part.len()).expect("a message of Kafka has fewer bytes than 2^31")
            };
            let (key, value) = (message.key().map(&mut add), message.value().map(&mut add));
            let headers = Some(message.headers().into_boxed_slice()).filter(|headers| !headers.is_empty());
            Entry { offset, timestamp, begin, key, value, headers }
        };
        let entries: Box<[Entry]> = messages.map(entry).collect();
        let lease = account.lease(payload + entries.len() * MESSAGE_OVERHEAD + CHUNK_OVERHEAD);
        Self { bytes: bytes.into(), entries, lease }
    }

    /// What it costs.
    pub(super) fn cost(&self) -> usize {
        self.lease.bytes()
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Which is the first at or behind an offset.
    pub(super) fn index_of(&self, offset: i64) -> usize {
        self.entries.partition_point(|entry| entry.offset < offset)
    }

    pub(super) fn offset(&self, index: usize) -> i64 {
        self.entries[index].offset
    }

    /// Bytes of the keys and values from this message on.
    pub(super) fn bytes_from(&self, index: usize) -> usize {
        self.bytes.len() - self.entries.get(index).map_or(self.bytes.len(), |entry| entry.begin)
    }

    /// One of its messages.
    pub(super) fn message(self: &Arc<Self>, index: usize) -> Message {
        let Entry { offset, timestamp, .. } = self.entries[index];
        Message::shared(offset, timestamp, SharedMessage { chunk: self.clone(), index })
    }
}

/// A message of a chunk.
#[derive(Debug)]
pub struct SharedMessage {
    chunk: Arc<Chunk>,
    index: usize,
}

impl SharedMessage {
    fn entry(&self) -> &Entry {
        &self.chunk.entries[self.index]
    }

    fn part(&self, begin: usize, len: Option<u32>) -> Option<&[u8]> {
        Some(&self.chunk.bytes[begin..begin + len? as usize])
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        let Entry { begin, key, .. } = *self.entry();
        self.part(begin, key)
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        let Entry { begin, key, value, .. } = *self.entry();
        self.part(begin + key.unwrap_or(0) as usize, value)
    }

    /// The headers, in their order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        self.entry().headers.as_deref().unwrap_or_default()
    }
}
