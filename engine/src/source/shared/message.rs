//! A message in queues: with bytes of its own, so that it holds none of the client's buffers, which it shares with the
//! messages of other lanes.

use std::sync::Arc;

use crate::batch::{Header, Message, RawBatch};
use crate::source::budget::Lease;

/// What a message in a queue costs beyond its key and value: its entry (32 bytes, and as much again where the queue has grown),
/// its own fields (88), and what the allocator rounds up.
const COPY_OVERHEAD: usize = 192;

/// The bytes that a copy with so many of key and value counts for.
pub(super) fn cost_of_copy(payload: usize) -> usize {
    payload + COPY_OVERHEAD
}

/// A message's bytes. They are booked, with those that came for the same lane at the same time, until the last of them is
/// let go.
#[derive(Debug)]
pub struct SharedMessage {
    /// The key, then the value.
    bytes: Box<[u8]>,
    key: Option<usize>,
    has_value: bool,
    headers: Vec<Header>,
    _lease: Arc<Lease>,
}

impl SharedMessage {
    /// Copies a message.
    fn copy(message: &Message, lease: Arc<Lease>) -> Self {
        let (key, value) = (message.key(), message.value());
        Self {
            bytes: [key.unwrap_or_default(), value.unwrap_or_default()].concat().into(),
            key: key.map(<[u8]>::len),
            has_value: value.is_some(),
            headers: message.headers(),
            _lease: lease,
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.map(|len| &self.bytes[..len])
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.has_value.then(|| &self.bytes[self.key.unwrap_or(0)..])
    }

    /// The headers, in their order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }

    /// Bytes of key and value.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// The copies of a batch's messages: one of each, by whichever lane is the first to want it.
pub(super) struct Copies<'b> {
    batch: &'b RawBatch,
    made: Vec<Option<Arc<SharedMessage>>>,
}

impl<'b> Copies<'b> {
    pub(super) fn of(batch: &'b RawBatch) -> Self {
        Self { batch, made: vec![None; batch.messages.len()] }
    }

    /// What those of these messages cost that are not there yet.
    pub(super) fn cost(&self, indices: impl Iterator<Item = usize>) -> usize {
        let missing = indices.filter(|index| self.made[*index].is_none());
        missing.map(|index| cost_of_copy(self.batch.messages[index].bytes())).sum()
    }

    /// A message's copy; a new one is on this lease.
    pub(super) fn copy(&mut self, index: usize, lease: &Arc<Lease>) -> &Arc<SharedMessage> {
        let message = &self.batch.messages[index];
        self.made[index].get_or_insert_with(|| Arc::new(SharedMessage::copy(message, lease.clone())))
    }
}
