//! Settings of the Kafka source, and the client configuration that follows from them.

use std::collections::BTreeMap;
use std::fmt;

use rdkafka::ClientConfig;

use crate::source::SourceError;

/// How to reach Kafka, and how much of it may be in memory.
#[derive(Clone)]
pub struct KafkaSettings {
    /// Bootstrap brokers, `host:port`, separated by commas.
    pub brokers: String,
    /// Positions are mirrored to the groups `<group>-<plugin>`, for lag tools. Nobody joins them.
    pub group: String,
    /// librdkafka's own properties, for security and networks: `security.protocol`, `sasl.username`, …
    pub properties: BTreeMap<String, String>,
    /// Most bytes of fetched messages in memory, those included that the lanes are working on. Aim at four batches for
    /// each lane that is busy at a time: one that is made, one that is inserted, and one of each to come.
    pub prefetch_bytes: usize,
}

impl fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("group", &self.group)
            .field("properties", &self.properties.keys()) // values may be passwords
            .field("prefetch_bytes", &self.prefetch_bytes)
            .finish()
    }
}

/// Properties that change what is delivered: the engine's promises rest on their values.
const REFUSED: [(&str, &str); 9] = [
    ("bootstrap.servers", "set `brokers` instead"),
    ("metadata.broker.list", "set `brokers` instead"),
    ("auto.offset.reset", "a position that is gone must stop the lane, not jump"),
    ("isolation.level", "messages of aborted transactions must never become rows"),
    ("enable.partition.eof", "the lag is read from it"),
    ("check.crcs", "damaged messages must be noticed"),
    ("partition.assignment.strategy", "the engine assigns its partitions itself"),
    ("allow.auto.create.topics", "reading must not create topics"),
    ("debug", "changes of topic ids are read from the client's debug log"),
];

/// The same for whole families of properties.
const REFUSED_PREFIXES: [(&str, &str); 8] = [
    ("group.", "the engine assigns its partitions itself; positions are in its journal"),
    ("enable.auto.", "positions are in the engine's journal and are mirrored to Kafka after the insert"),
    ("auto.commit.", "positions are in the engine's journal and are mirrored to Kafka after the insert"),
    ("offset.store.", "positions are in the engine's journal"),
    ("queued.", "follows from the byte budget `prefetch_bytes`"),
    ("fetch.", "follows from the byte budget `prefetch_bytes`"),
    ("receive.message.", "a message that the client refuses would be fetched again for ever"),
    ("test.", "for tests of the client itself"),
];

const MIB: usize = 1 << 20;

/// Clients of many partitions share what is the clients' own as if there were so many. With the default budget and twice as many
/// it is twice as much.
const OTHERS: usize = 4;
/// How long brokers gather for them.
const GATHERED_MS: &str = "250";

/// The longest answer that the client takes from a broker, and the longest that it unpacks one to. A message that alone is
/// longer than a fetch may be is sent nevertheless, and one that the client refused would be fetched again for ever: so it
/// is more than the gigabyte that this client lets anybody write. What a message may have is for the topic to limit
/// (`max.message.bytes`).
const MOST_ANSWER_BYTES: usize = 1 << 30;

/// How clients are made.
#[derive(Clone, Debug)]
pub(super) struct Configs {
    pub(super) few: ClientConfig,
    /// Of one with many partitions: there are others like it, and each of its questions to a broker names all of them.
    pub(super) many: ClientConfig,
}

impl Configs {
    pub(super) fn new(settings: &KafkaSettings) -> Result<Self, SourceError> {
        let few = settings.client_config(1)?;
        let mut many = settings.client_config(OTHERS)?;
        // Answered as soon as one of them has a message: of 500 quiet ones that was half of what their messages cost. So
        // brokers gather, for some time or until there is this much, less than what one partition may send at a time: one
        // that is behind never waits.
        let enough = message_bytes(settings.fetch_bytes(OTHERS)) / 4 * 3;
        many.set("fetch.min.bytes", enough.to_string()).set("fetch.wait.max.ms", GATHERED_MS);
        Ok(Self { few, many })
    }
}

impl KafkaSettings {
    /// What readers may hold. The rest of `prefetch_bytes` is the client's own (below).
    pub(super) fn held_bytes(&self) -> usize {
        self.prefetch_bytes / 2
    }

    /// The client's own queue, where fetched messages wait for the fetcher: an eighth of the budget, at most 16 MiB
    /// (more than a fetcher takes at a time only makes more to throw away when a partition is stopped).
    fn queue_bytes(&self, clients: usize) -> usize {
        (self.prefetch_bytes / 8).clamp(MIB, 16 * MIB) / clients
    }

    /// One answer of a broker, compressed. There is one on its way from each broker, and JSON unpacks to some four
    /// times its size: so a sixteenth of the budget, at most 8 MiB (larger ones were not faster).
    fn fetch_bytes(&self, clients: usize) -> usize {
        (self.prefetch_bytes / 16).clamp(MIB, 8 * MIB) / clients
    }

    /// Checks the properties and makes the configuration of one of so many clients.
    fn client_config(&self, clients: usize) -> Result<ClientConfig, SourceError> {
        let mut config = ClientConfig::new();
        for (key, value) in &self.properties {
            if let Some(reason) = refusal(key) {
                return Err(SourceError::Refused { message: format!("Kafka property {key} can't be set: {reason}") });
            }
            config.set(key, value);
        }
        let (queue, fetch) = (self.queue_bytes(clients), self.fetch_bytes(clients));
        config
            .set("bootstrap.servers", &self.brokers)
            .set("group.id", &self.group) // the client wants one to assign partitions; it never joins
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            .set("isolation.level", "read_committed")
            .set("enable.partition.eof", "true")
            .set("check.crcs", "true")
            .set("allow.auto.create.topics", "false")
            .set("max.poll.interval.ms", "86400000") // a stopped fetcher is back-pressure, not a dead member
            .set("queued.max.messages.kbytes", (queue / 1024).to_string())
            // Small messages: the client's 400 bytes for each would exceed the bytes themselves. For each KiB one.
            .set("queued.min.messages", (queue / 1024).to_string())
            .set("fetch.queue.backoff.ms", "5") // the default of 1 s would idle a queue that is emptied in 10 ms
            .set("fetch.max.bytes", fetch.to_string())
            .set("receive.message.max.bytes", MOST_ANSWER_BYTES.to_string())
            .set("fetch.message.max.bytes", message_bytes(fetch).to_string())
            .set("message.max.bytes", MIB.min(fetch).to_string()) // else it raises fetch.max.bytes
            .set("topic.metadata.refresh.interval.ms", "30000")
            .set("topic.metadata.propagation.max.ms", "10000") // how long a missing topic may be a late broker's fault
            .set("debug", "topic"); // see `events`: the only place where the client tells of a changed topic id
        Ok(config)
    }
}

/// What one partition may send in an answer of so many bytes.
fn message_bytes(fetch: usize) -> usize {
    MIB.min(fetch / 2)
}

fn refusal(key: &str) -> Option<&'static str> {
    let exact = REFUSED.iter().find(|(name, _)| *name == key);
    let family = || REFUSED_PREFIXES.iter().find(|(prefix, _)| key.starts_with(prefix));
    exact.or_else(family).map(|(_, reason)| *reason)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]
    use super::*;

    fn settings(key: &str) -> KafkaSettings {
        KafkaSettings {
            brokers: "localhost:9092".into(),
            group: "engine".into(),
            properties: BTreeMap::from([(key.into(), "1".into())]),
            prefetch_bytes: 256 * MIB,
        }
    }

    #[test]
    fn properties_that_change_what_is_delivered_are_refused_with_the_reason() {
        for key in [
            "enable.auto.commit",
            "auto.offset.reset",
            "isolation.level",
            "group.id",
            "group.instance.id",
            "auto.commit.interval.ms",
            "enable.auto.offset.store",
            "fetch.max.bytes",
        ] {
            let message = settings(key).client_config(1).unwrap_err().to_string();
            assert!(message.starts_with(&format!("Kafka property {key} can't be set: ")), "{message}");
        }
        assert!(settings("sasl.username").client_config(1).is_ok());
    }

    #[test]
    fn secrets_do_not_reach_the_log() {
        let mut settings = settings("sasl.username");
        settings.properties.insert("sasl.password".into(), "hunter2".into());
        assert!(!format!("{settings:?}").contains("hunter2"));
    }
}
