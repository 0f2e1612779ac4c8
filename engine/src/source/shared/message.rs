//! A message in queues: with bytes of its own, so that it holds none of the client's buffers, which it shares with the
//! messages of other lanes.

use std::sync::Arc;

use crate::batch::{Header, Message};
use crate::source::budget::Lease;

/// What a message in a queue costs beyond its key and value: its entry, its own fields, a header or two, and what the allocator
/// rounds up.
const COPY_OVERHEAD: usize = 256;

/// The bytes that a copy with so many of key and value counts for.
pub(super) fn cost_of_copy(payload: usize) -> usize {
    payload + COPY_OVERHEAD
}

/// A message's bytes. They are booked, with those that came for the same lane at the same time, until the last of them is
/// let go.
#[derive(Debug)]
pub struct SharedMessage {
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Vec<Header>,
    _lease: Arc<Lease>,
}

impl SharedMessage {
    /// Copies a message.
    pub(super) fn copy(message: &Message, lease: Arc<Lease>) -> Self {
        Self {
            key: message.key().map(Into::into),
            value: message.value().map(Into::into),
            headers: message.headers(),
            _lease: lease,
        }
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    /// The headers, in their order.
    #[must_use]
    pub fn headers(&self) -> &[Header] {
        &self.headers
    }
}
