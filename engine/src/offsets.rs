//! Positions in a source, and the names of the things that have positions.

use std::fmt;

use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_64;

pub use debezium_decode::TopicPartition;

/// A range of offsets `[start, end)` of one partition. Kafka's offsets have holes (control records, compaction), so
/// its length is not a number of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetRange {
    /// First offset of the range.
    pub start: i64,
    /// The offset after the last one: where the next range begins.
    pub end: i64,
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{}, {})", self.start, self.end)
    }
}

/// Names a lane: one transform on one source partition.
///
/// The topic's *id* belongs to the name: a topic that was deleted and made again has other messages at the same
/// offsets, so it is another lane. Sources without ids (files, old brokers) leave it empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct LaneId {
    /// The tenant's name.
    pub tenant: String,
    /// The plugin's name: its folder below the tenant.
    pub plugin: String,
    /// The topic's name.
    pub topic: String,
    /// The topic's id as Kafka prints it, or empty.
    pub topic_id: String,
    /// The partition's number.
    pub partition: i32,
}

impl LaneId {
    /// The value of `_lane`: which lane a row came by, also where several write into one table. A hash, as names are long
    /// and every row has it; two of a million lanes share one with a probability below 10^-7.
    #[must_use]
    pub fn number(&self) -> u64 {
        let name = format!("{self}/{}", self.topic_id);
        XxHash3_64::oneshot(name.as_bytes())
    }
}

impl fmt::Display for LaneId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.tenant, self.plugin, self.topic, self.partition)
    }
}
