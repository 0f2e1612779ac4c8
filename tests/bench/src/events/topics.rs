//! Fills the benchmark's topics: the same order envelopes plain and with the schema embedded in each message.

use std::time::Duration;

use engine::demo::{Change, Mix, Orders};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::Failure;
use crate::messages::Shape;

/// Partitions of each topic.
pub(crate) const PARTITIONS: i32 = 4;

/// Mostly inserts, so that a message without schema has about 750 bytes; one of a hundred is bad.
const MIX: Mix = Mix { updates: 15, deletes: 0, bad: 10, total_in_stream: true };
const TIMEOUT: Duration = Duration::from_secs(30);
/// 2026-01-01, so that every run sees the same bytes.
const START: i64 = 1_767_225_600_000_000;

/// A topic that is there, and what its reader must find.
pub(crate) struct Topic {
    pub(crate) name: String,
    pub(crate) messages: u64,
    /// Messages that are no rows.
    pub(crate) bad: u64,
    /// Orders that are current after the last message.
    pub(crate) current: u64,
    /// Bytes of all keys and values.
    pub(crate) bytes: u64,
}

/// Makes sure that the topic holds exactly so many messages; fills it if it is not there.
pub(crate) fn ensure(kafka: &str, shape: Shape, messages: u64) -> Result<Topic, Failure> {
    let name = format!("bench.orders.{}.{messages}", shape.as_str());
    let there = held(kafka, &name)?;
    if there.is_none() {
        create(kafka, &name, PARTITIONS)?;
    }
    let fill = there.unwrap_or(0) == 0;
    if !fill && there != Some(messages) {
        return Err(
            format!("topic {name} holds {there:?} messages: delete it, it is no topic of this benchmark").into()
        );
    }
    let mut topic = Topic { name, messages, bad: 0, current: 0, bytes: 0 };
    produce(kafka, shape, &mut topic, fill)?;
    Ok(topic)
}

fn config(kafka: &str) -> ClientConfig {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", kafka);
    config
}

/// Messages in the topic, if it is there.
fn held(kafka: &str, topic: &str) -> Result<Option<u64>, Failure> {
    let consumer: BaseConsumer = config(kafka).set("allow.auto.create.topics", "false").create()?;
    let metadata = consumer.fetch_metadata(None, TIMEOUT)?;
    let Some(topic) = metadata.topics().iter().find(|found| found.name() == topic) else { return Ok(None) };
    let mut messages = 0;
    for partition in topic.partitions() {
        let (low, high) = consumer.fetch_watermarks(topic.name(), partition.id(), TIMEOUT)?;
        messages += (high - low).unsigned_abs();
    }
    Ok(Some(messages))
}

pub(crate) fn create(kafka: &str, topic: &str, partitions: i32) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = config(kafka).create()?;
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for result in runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))? {
        result.map_err(|(name, code)| format!("topic {name}: {code}"))?;
    }
    Ok(())
}

/// Generates the topic's messages, and sends them if the topic is to be filled: their sizes and the number of bad ones
/// are known either way.
fn produce(kafka: &str, shape: Shape, topic: &mut Topic, fill: bool) -> Result<(), Failure> {
    let producer = producer(kafka)?;
    let mut orders = Orders::new(7, 0, MIX);
    let mut changes = Vec::new();
    for n in 0..topic.messages {
        orders.change(START + n.cast_signed() * 1_000, &mut changes);
        for change in changes.drain(..) {
            let value = shape.write(change.value.as_deref().unwrap_or_default());
            topic.bytes += (change.key.len() + value.len()) as u64;
            if fill {
                send(&producer, &topic.name, &change, &value)?;
            }
        }
    }
    producer.flush(Duration::from_secs(120))?;
    topic.current = orders.rows().len() as u64;
    topic.bad = engine::demo::Bad::ALL.map(|kind| orders.bad(kind)).iter().sum();
    Ok(())
}

/// A producer that is made for many messages.
pub(crate) type Many = ThreadedProducer<DefaultProducerContext>;

pub(crate) fn producer(kafka: &str) -> Result<Many, Failure> {
    let producer = config(kafka)
        .set("compression.type", "lz4")
        .set("linger.ms", "50")
        .set("batch.size", "1000000")
        .set("queue.buffering.max.kbytes", "262144")
        .set("enable.idempotence", "true")
        .create()?;
    Ok(producer)
}

fn send(producer: &Many, topic: &str, change: &Change, value: &[u8]) -> Result<(), Failure> {
    let partition = change.id.rem_euclid(PARTITIONS);
    send_record(producer, BaseRecord::to(topic).partition(partition).key(&change.key).payload(value))
}

/// Sends a message as soon as there is room for it.
#[expect(clippy::disallowed_methods, reason = "no result is waited for: the producer's queue is full")]
pub(crate) fn send_record(producer: &Many, mut record: BaseRecord<'_, Vec<u8>, [u8]>) -> Result<(), Failure> {
    loop {
        match producer.send(record) {
            Ok(()) => return Ok(()),
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                record = back;
                std::thread::sleep(Duration::from_millis(2));
            }
            Err((error, _)) => return Err(error.into()),
        }
    }
}
