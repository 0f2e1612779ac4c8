//! The load: so many orders a second, each at a known time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DefaultProducerContext, Producer, ThreadedProducer};

use crate::Failure;

/// Partitions of the topic. Message `n` has offset `n / PARTITIONS` of partition `n % PARTITIONS`.
pub(crate) const PARTITIONS: usize = 4;
/// How often messages are sent.
const TICK: Duration = Duration::from_millis(5);

/// What was sent when.
pub(crate) struct Sent {
    /// Messages of each tick.
    pub(crate) per_tick: u64,
    /// When each tick's messages were sent, behind the beginning.
    pub(crate) ticks: Vec<Duration>,
}

impl Sent {
    pub(crate) fn messages(&self) -> u64 {
        self.ticks.len() as u64 * self.per_tick
    }

    /// When the message at this place was sent; none: it was not.
    pub(crate) fn at(&self, partition: usize, offset: u64) -> Option<Duration> {
        let n = offset * PARTITIONS as u64 + partition as u64;
        self.ticks.get(usize::try_from(n / self.per_tick).ok()?).copied()
    }
}

/// The load, as long as it goes on.
pub(crate) struct Load {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent, Failure>>,
}

impl Load {
    /// Makes the topic, and begins to fill it.
    pub(crate) fn start(kafka: &str, topic: &str, rate: u64, began: Instant) -> Result<Self, Failure> {
        create(kafka, topic)?;
        let producer: ThreadedProducer<DefaultProducerContext> = ClientConfig::new()
            .set("bootstrap.servers", kafka)
            .set("compression.type", "lz4")
            .set("linger.ms", "2")
            .set("enable.idempotence", "true") // in order, each once
            .create()?;
        let ends = Arc::new(AtomicBool::new(false));
        let (end, topic) = (ends.clone(), topic.to_owned());
        let thread = thread::spawn(move || send(&producer, &topic, rate, began, &end));
        Ok(Self { ends, thread })
    }

    /// Ends it, once the broker has all of it.
    pub(crate) fn end(self) -> Result<Sent, Failure> {
        self.ends.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the thread that sends panicked")?
    }
}

#[expect(clippy::disallowed_methods, reason = "a rate is made of pauses")]
fn send(
    producer: &ThreadedProducer<DefaultProducerContext>,
    topic: &str,
    rate: u64,
    began: Instant,
    ends: &AtomicBool,
) -> Result<Sent, Failure> {
    let ticks_a_second = 1_000 / u64::try_from(TICK.as_millis())?;
    let mut sent = Sent { per_tick: rate.div_ceil(ticks_a_second), ticks: Vec::new() };
    let mut next = Instant::now();
    while !ends.load(Ordering::Acquire) {
        thread::sleep(next.saturating_duration_since(Instant::now()));
        next += TICK;
        let first = sent.messages();
        sent.ticks.push(began.elapsed());
        for n in first..first + sent.per_tick {
            one(producer, topic, n)?;
        }
    }
    producer.flush(Duration::from_secs(120))?;
    Ok(sent)
}

#[expect(clippy::disallowed_methods, reason = "no result is waited for: the producer's queue is full")]
fn one(producer: &ThreadedProducer<DefaultProducerContext>, topic: &str, n: u64) -> Result<(), Failure> {
    const STATUSES: [&str; 4] = ["PENDING", "Confirmed", "SHIPPED", "delivered"];
    let (key, status) = (format!("{{\"id\":{n}}}"), STATUSES[usize::try_from(n % 4)?]);
    let value = format!(
        "{{\"before\":null,\"after\":{{\"id\":{n},\"amount\":{},\"status\":\"{status}\",\"email\":\"Ada.{}@Example.org\"}},\
         \"source\":{{\"version\":\"3.7.0.Final\",\"connector\":\"postgresql\",\"name\":\"shop\",\"ts_ms\":1767225600000,\
         \"snapshot\":\"false\",\"db\":\"shop\",\"schema\":\"public\",\"table\":\"orders\",\"lsn\":{n}}},\"op\":\"c\",\
         \"ts_ms\":1767225600005}}",
        n.wrapping_mul(7_919) % 100_000,
        n % 9_973,
    );
    let partition = i32::try_from(n % PARTITIONS as u64)?;
    let mut record = BaseRecord::to(topic).partition(partition).key(&key).payload(&value);
    while let Err((error, back)) = producer.send(record) {
        if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
            return Err(error.into());
        }
        thread::sleep(Duration::from_millis(1));
        record = back;
    }
    Ok(())
}

fn create(kafka: &str, topic: &str) -> Result<(), Failure> {
    let admin: AdminClient<DefaultClientContext> = ClientConfig::new().set("bootstrap.servers", kafka).create()?;
    let partitions = i32::try_from(PARTITIONS)?;
    let topic = NewTopic::new(topic, partitions, TopicReplication::Fixed(1)).set("retention.ms", "-1");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for result in runtime.block_on(admin.create_topics([&topic], &AdminOptions::new()))? {
        result.map_err(|(name, code)| format!("topic {name}: {code}"))?;
    }
    Ok(())
}
