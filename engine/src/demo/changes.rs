//! Realistic changes of two source tables, as Debezium writes them, from a seed.
//!
//! **Promise.** The same seed, snapshot size, mix and clock readings give the same messages. The tables here are at every moment what
//! a reader of all messages so far must have.
//!
//! The messages carry no headers; Debezium's own tell of the connector and have no effect on rows.

mod orders;
mod users;
#[cfg(test)]
mod tests;

pub use crate::random::Random;
pub use orders::{Bad, Order, Orders};
pub use users::{User, Users};

/// A message about one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The row's primary key. All changes of a key must go to one partition.
    pub id: i32,
    /// The message's key.
    pub key: Vec<u8>,
    /// The message's value; `None` is a tombstone.
    pub value: Option<Vec<u8>>,
}

/// How many of a thousand changes are of which kind; the rest are inserts.
#[derive(Clone, Copy, Debug)]
pub struct Mix {
    /// Changes of rows that exist.
    pub updates: u32,
    /// Deletes; for orders each is two messages, the second one its tombstone.
    pub deletes: u32,
    /// Messages that must become dead letters.
    pub bad: u32,
    /// Whether the stream carries the generated column `total_amount` (MySQL publishes such columns, PostgreSQL
    /// only shows them in the snapshot).
    pub total_in_stream: bool,
}
