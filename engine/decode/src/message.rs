//! Messages as the decoder reads them.

/// A header of a message: its key, and its value if it has one.
pub type Header = (String, Option<Vec<u8>>);

/// A message as it lies in its topic, wherever its bytes are.
pub trait Message {
    /// Its offset in the partition.
    fn offset(&self) -> i64;

    /// Its timestamp, ms since 1970-01-01 UTC, where it has one.
    fn timestamp(&self) -> Option<i64>;

    /// The key's bytes.
    fn key(&self) -> Option<&[u8]>;

    /// The value's bytes; `None` is a tombstone.
    fn value(&self) -> Option<&[u8]>;

    /// The value of the last header of this name; `None`: there is no such header, or it has no value.
    fn header(&self, name: &str) -> Option<&[u8]>;
}

/// A message whose bytes are its own: for tests and tools, and for whatever does not come from a client's buffer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedMessage {
    /// Its offset in the partition.
    pub offset: i64,
    /// Its timestamp, ms since 1970-01-01 UTC, where it has one.
    pub timestamp: Option<i64>,
    /// The key's bytes.
    pub key: Option<Vec<u8>>,
    /// The value's bytes; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
    /// The headers, in their order.
    pub headers: Vec<Header>,
}

impl OwnedMessage {
    /// A message without timestamp and headers.
    #[must_use]
    pub fn new(offset: i64, key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> Self {
        Self { offset, key, value, ..Self::default() }
    }
}

impl Message for OwnedMessage {
    fn offset(&self) -> i64 {
        self.offset
    }

    fn timestamp(&self) -> Option<i64> {
        self.timestamp
    }

    fn key(&self) -> Option<&[u8]> {
        self.key.as_deref()
    }

    fn value(&self) -> Option<&[u8]> {
        self.value.as_deref()
    }

    fn header(&self, name: &str) -> Option<&[u8]> {
        last_header(&self.headers, name)
    }
}

/// The value of the last header of this name.
#[must_use]
pub fn last_header<'h>(headers: &'h [Header], name: &str) -> Option<&'h [u8]> {
    headers.iter().rev().find(|(key, _)| key == name)?.1.as_deref()
}
