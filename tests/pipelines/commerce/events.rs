//! The topic of the events: the generator's changes, sent, and what was sent.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use commerce_generator::{Change, Changes, Message, Plan};
use harness::kafka::{Kafka, Messages};
use harness::wait::wait_until;

const NAME: &str = "mongo.commerce.events";
const PARTITIONS: i32 = 3;
/// How long a schedule may lag.
const BOUND: Duration = Duration::from_secs(60);

/// A change, and the message that was sent of it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) change: Change,
    pub(super) message: Message,
}

/// The topic.
pub(super) struct Topic {
    producer: Messages,
    changes: Changes,
}

impl Topic {
    /// A new one, of three partitions.
    pub(super) fn new(kafka: &Kafka, plan: Plan) -> Self {
        kafka.create_topic(NAME, PARTITIONS);
        Self { producer: kafka.producer(), changes: Changes::new(plan) }
    }

    /// How many rows the next changes are in `silver_events`.
    pub(super) fn rows_of_next(&self, count: u32) -> u64 {
        let is_row = |change: &Change| matches!(change, Change::Read(_) | Change::Create(_) | Change::Update(_));
        self.changes.clone().take(count as usize).filter(is_row).count() as u64
    }

    /// Sends the next changes, so many a second; 0: as fast as the broker takes them.
    pub(super) fn send(&mut self, count: u32, per_second: u32) -> Vec<Sent> {
        let began = Instant::now();
        let mut sent = Vec::new();
        for (n, change) in (0..count).zip(&mut self.changes) {
            if per_second > 0 {
                let due = Duration::from_secs_f64(f64::from(n) / f64::from(per_second));
                wait_until("the next event's time", BOUND, || began.elapsed() >= due);
            }
            let message = Message::new(&change, now_ms());
            self.producer.send(NAME, partition(&message.key), &message.key, Some(&message.value));
            sent.push(Sent { change, message });
        }
        self.producer.flush();
        sent
    }
}

/// All changes of a document are in one partition, as a connector's are.
fn partition(key: &str) -> i32 {
    let hash = key.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(u32::from(byte)));
    i32::try_from(hash % PARTITIONS.unsigned_abs()).expect("below the number of partitions")
}

fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock after 1970");
    i64::try_from(since.as_millis()).expect("64 bits last")
}
