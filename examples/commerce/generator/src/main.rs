//! Writes events to a topic, as Debezium's MongoDB connector would.
//!
//! For where no MongoDB is: `cargo run --release -p commerce-generator -- --kafka localhost:9092 --changes 100000`.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use commerce_generator::{Changes, Message, Plan};
use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};

/// Events of a shop's customers, as Debezium's MongoDB connector writes them
#[derive(Debug, Parser)]
struct Options {
    /// Bootstrap servers
    #[arg(long)]
    kafka: String,
    /// The topic, which is made where the broker makes topics that are written to
    #[arg(long, default_value = "mongo.commerce.events")]
    topic: String,
    /// Messages, those of the snapshot among them
    #[arg(long)]
    changes: usize,
    /// How many of them a second; 0: as fast as they can be written
    #[arg(long, default_value_t = 0)]
    per_second: u32,
    /// Documents that the snapshot finds
    #[arg(long, default_value_t = 1_000)]
    snapshot: u32,
    /// Users that there are, from 1 on
    #[arg(long, default_value_t = 1_000)]
    users: u32,
    /// New events to a day of theirs
    #[arg(long, default_value_t = 5_000)]
    per_day: u32,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 7)]
    seed: u64,
}

fn main() -> Result<(), KafkaError> {
    let options = Options::parse();
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &options.kafka).set("enable.idempotence", "true").set("linger.ms", "5");
    // As Connect's producer chooses: by hash of the key.
    config.set("partitioner", "murmur2_random").set("compression.type", "lz4");
    let producer: BaseProducer = config.create()?;
    let Options { seed, snapshot, users, per_day, .. } = options;
    let began = Instant::now();
    for (n, change) in (0_u32..).zip(Changes::new(Plan { seed, snapshot, users, per_day }).take(options.changes)) {
        if options.per_second > 0 {
            let due = Duration::from_secs_f64(f64::from(n) / f64::from(options.per_second));
            std::thread::sleep(due.saturating_sub(began.elapsed()));
        }
        send(&producer, &options.topic, &Message::new(&change, now_ms()))?;
    }
    producer.flush(Duration::from_secs(60))
}

fn send(producer: &BaseProducer, topic: &str, message: &Message) -> Result<(), KafkaError> {
    let mut record = BaseRecord::to(topic).key(&message.key).payload(&message.value);
    while let Err((error, unsent)) = producer.send(record) {
        if error.rdkafka_error_code() != Some(RDKafkaErrorCode::QueueFull) {
            return Err(error);
        }
        producer.poll(Duration::from_millis(100));
        record = unsent;
    }
    producer.poll(Duration::ZERO);
    Ok(())
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("64 bits last")
}
