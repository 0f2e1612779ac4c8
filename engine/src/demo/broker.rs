//! An embedded broker: librdkafka's mock cluster, inside the producer that fills it.
//!
//! **Promise.** Messages of a partition lie in it in the order of `send`, from offset 0 on, without holes, so the
//! count of messages sent to a partition is the offset of the next one. A message that the cluster did not take is an
//! error of [`Broker::flush`].
//! **Assumed.** Whoever sends keeps at most [`IN_FLIGHT`] messages of a partition ahead of its reader: the cluster
//! holds 5 MiB or 100,000 batches of each partition and drops older ones without a word.
//! **After a crash** everything in it is gone: it is for the demo and for tests that need no transactions.

use std::sync::Mutex;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer, ProducerContext, ThreadedProducer};
use rdkafka::{ClientConfig, ClientContext};

/// Most messages that a partition may hold which its reader has not done with. A message of `demo::changes` has at
/// most [`MAX_MESSAGE_BYTES`] and, in a batch of its own, not quite 100 more: 4,000 of them are 4.8 MB, below 5 MiB even
/// where nothing can be compressed.
pub const IN_FLIGHT: i64 = 4_000;
/// Most bytes of a message's key and value.
pub const MAX_MESSAGE_BYTES: usize = 1_100;

const FLUSH_TIMEOUT: Duration = Duration::from_secs(30);

/// A Kafka cluster of one broker on a free port, and the producer that fills it. Dropping it ends both.
pub struct Broker {
    producer: ThreadedProducer<Deliveries>,
    addresses: String,
}

/// Why the broker can't go on.
#[derive(Debug, thiserror::Error)]
pub enum BrokerError {
    /// It could not be started, or a topic could not be made.
    #[error("the embedded broker could not be started")]
    Start(#[source] KafkaError),
    /// The message was not even queued.
    #[error("the embedded broker took no message for topic {topic}")]
    Send {
        /// The topic.
        topic: String,
        /// What the client says.
        #[source]
        source: KafkaError,
    },
    /// The cluster refused a message, or did not answer in time.
    #[error("the embedded broker did not take every message")]
    Lost(#[source] KafkaError),
}

impl Broker {
    /// Starts a cluster with these topics, each of so many partitions.
    pub fn start(topics: &[(&str, i32)]) -> Result<Self, BrokerError> {
        let producer: ThreadedProducer<Deliveries> = ClientConfig::new()
            .set("test.mock.num.brokers", "1")
            // Without it a repeated request could double or reorder messages, and offsets would not be counts.
            .set("enable.idempotence", "true")
            .set("compression.type", "zstd")
            .set("linger.ms", "20")
            .create_with_context(Deliveries::default())
            .map_err(BrokerError::Start)?;
        let addresses = {
            let cluster = producer.client().mock_cluster().expect("the client was made with a mock cluster");
            for (topic, partitions) in topics {
                cluster.create_topic(topic, *partitions, 1).map_err(BrokerError::Start)?;
            }
            cluster.bootstrap_servers()
        };
        Ok(Self { producer, addresses })
    }

    /// The bootstrap servers, for clients.
    #[must_use]
    pub fn addresses(&self) -> &str {
        &self.addresses
    }

    /// Queues a message. Waits while the producer's queue is full.
    pub fn send(&self, topic: &str, partition: i32, key: &[u8], value: Option<&[u8]>) -> Result<(), BrokerError> {
        let mut record = BaseRecord::to(topic).partition(partition).key(key);
        record.payload = value;
        loop {
            match self.producer.send(record) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    record = back;
                    std::thread::sleep(Duration::from_millis(1));
                }
                Err((source, _)) => return Err(BrokerError::Send { topic: topic.to_owned(), source }),
            }
        }
    }

    /// Waits until the cluster has every message that was sent.
    pub fn flush(&self) -> Result<(), BrokerError> {
        self.producer.flush(FLUSH_TIMEOUT).map_err(BrokerError::Lost)?;
        match self.producer.context().failure.lock().expect("held for one assignment only").take() {
            Some(error) => Err(BrokerError::Lost(error)),
            None => Ok(()),
        }
    }
}

/// Remembers the first message that did not arrive.
#[derive(Default)]
struct Deliveries {
    failure: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, _)) = result {
            self.failure.lock().expect("held for one assignment only").get_or_insert_with(|| error.clone());
        }
    }
}

#[cfg(test)]
mod tests;
