//! Positions in a source, and the names of the things that have positions.

use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;

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

/// The tenant of all plugins that lie in no tenant's folder.
pub const DEFAULT_TENANT: &str = "default";

/// Names a plugin of a tenant. As people write it: `acme/orders`; of the default tenant, `orders`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub struct PluginKey {
    /// The tenant's name.
    pub tenant: String,
    /// The plugin's name: its folder.
    pub name: String,
}

impl PluginKey {
    /// The plugin of this tenant and name.
    #[must_use]
    pub fn new(tenant: &str, name: &str) -> Self {
        Self { tenant: tenant.to_owned(), name: name.to_owned() }
    }
}

impl fmt::Display for PluginKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.tenant == DEFAULT_TENANT { f.write_str(&self.name) } else { write!(f, "{}/{}", self.tenant, self.name) }
    }
}

/// A name is a folder's and holds no slash.
impl FromStr for PluginKey {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        let (tenant, name) = text.split_once('/').unwrap_or((DEFAULT_TENANT, text));
        Ok(Self::new(tenant, name))
    }
}

impl From<String> for PluginKey {
    fn from(text: String) -> Self {
        text.parse().unwrap_or_else(|never: Infallible| match never {})
    }
}

impl From<PluginKey> for String {
    fn from(key: PluginKey) -> Self {
        key.to_string()
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
    /// Its plugin.
    #[must_use]
    pub fn key(&self) -> PluginKey {
        PluginKey::new(&self.tenant, &self.plugin)
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_named_as_it_is_written() {
        for (text, tenant, name) in [("orders", "default", "orders"), ("acme/orders", "acme", "orders")] {
            let key = PluginKey::from(text.to_owned());
            assert_eq!(key, PluginKey::new(tenant, name));
            assert_eq!(key.to_string(), text);
        }
        assert_eq!(PluginKey::from("default/orders".to_owned()).to_string(), "orders");
    }
}
