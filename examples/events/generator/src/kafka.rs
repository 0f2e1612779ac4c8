//! The topic, by the client that the engine reads with.
//!
//! **Promise.** What [`Topic::flush`] has answered `Ok` for lies in the topic, each message once, in order of the partition.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{ClientContext, Message as _};

use crate::{GenerateError, Message};

const PATIENCE: Duration = Duration::from_secs(120);

/// A topic that is written to.
pub(crate) struct Topic {
    name: String,
    producer: BaseProducer<Deliveries>,
}

/// What became of messages: the first that was lost is what a flush reports.
#[derive(Default)]
struct Deliveries(std::sync::Mutex<Option<KafkaError>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        if let Err((error, message)) = result {
            let mut first = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            eprintln!("a message of partition {} is lost: {error}", message.partition());
            first.get_or_insert_with(|| error.clone());
        }
    }
}

impl Topic {
    /// The topic, which is made with so many partitions where it is not there.
    pub(crate) fn open(brokers: &str, name: &str, partitions: i32) -> Result<Self, GenerateError> {
        let opened = client(brokers)
            .set("enable.idempotence", "true") // no message twice, none out of order, whatever is repeated on the way
            .set("compression.type", "lz4")
            .set("linger.ms", "10")
            .set("queue.buffering.max.kbytes", "65536")
            .create_with_context(Deliveries::default())
            .and_then(|producer| create(brokers, name, partitions).map(|()| producer));
        match opened {
            Ok(producer) => Ok(Self { name: name.to_owned(), producer }),
            Err(source) => Err(GenerateError::Kafka { topic: name.to_owned(), source }),
        }
    }

    /// Queues a message; waits where the queue is full.
    pub(crate) fn send(&self, message: &Message) -> Result<(), GenerateError> {
        let mut record = BaseRecord::to(&self.name)
            .partition(message.partition)
            .timestamp(message.made_ms)
            .key(&message.key)
            .payload(&message.value);
        while let Err((error, unsent)) = self.producer.send(record) {
            if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
                return Err(self.failed(error));
            }
            self.producer.poll(Duration::from_millis(100));
            record = unsent;
        }
        self.producer.poll(Duration::ZERO);
        Ok(())
    }

    /// Waits until the topic has all of them.
    pub(crate) fn flush(&self) -> Result<(), GenerateError> {
        self.producer.flush(PATIENCE).map_err(|error| self.failed(error))?;
        let lost = self.producer.context().0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        lost.map_or(Ok(()), |error| Err(self.failed(error)))
    }

    fn failed(&self, source: KafkaError) -> GenerateError {
        GenerateError::Kafka { topic: self.name.clone(), source }
    }
}

fn client(brokers: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", brokers);
    config
}

fn create(brokers: &str, name: &str, partitions: i32) -> Result<(), KafkaError> {
    let admin: AdminClient<DefaultClientContext> = client(brokers).create()?;
    let topic = [NewTopic::new(name, partitions, TopicReplication::Fixed(-1))];
    let options = AdminOptions::new().operation_timeout(Some(PATIENCE));
    // The client's futures need no reactor, only somebody who waits.
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime without threads or I/O");
    for outcome in runtime.block_on(admin.create_topics(&topic, &options))? {
        match outcome {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
            Err((_, code)) => return Err(KafkaError::AdminOp(code)),
        }
    }
    Ok(())
}
