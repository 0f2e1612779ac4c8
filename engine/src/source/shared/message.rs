//! A message in queues: with bytes of its own, so that it holds none of the client's buffers, which it shares with the
//! messages of other lanes.

use crate::batch::{Header, Message};
use crate::source::budget::{Account, Lease, cost};
use std::sync::Arc;

/// A message's bytes, booked until the last lane that has it lets it go.
#[derive(Debug)]
pub struct SharedMessage {
    key: Option<Box<[u8]>>,
    value: Option<Box<[u8]>>,
    headers: Vec<Header>,
    _lease: Lease,
}

impl SharedMessage {
    /// Copies a message, and books it.
    pub(super) fn copy(message: &Message, account: &Arc<Account>) -> Self {
        Self {
            key: message.key().map(Into::into),
            value: message.value().map(Into::into),
            headers: message.headers(),
            _lease: account.lease(cost(message.bytes())),
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
