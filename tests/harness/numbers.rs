//! Numbers on a topic, without end: what the plugins of [`crate::versions`] read. Number `n` is the message at offset `n /
//! partitions` of partition `n % partitions`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::kafka::Messages;
use crate::wait::wait_until;

/// Numbers that are sent at once, and how long after one another: some thousand in a second.
pub const SWARM: i64 = 200;
const PAUSE: Duration = Duration::from_millis(40);
const BOUND: Duration = Duration::from_secs(120);

/// Sends numbers until it is told to end.
pub struct Numbers {
    sent: Arc<AtomicI64>,
    /// Where it stops to wait.
    hold: Arc<AtomicI64>,
    ends: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Numbers {
    /// Begins with 0, on an empty topic of so many partitions.
    #[must_use]
    pub fn start(producer: Messages, topic: &str, partitions: i32) -> Self {
        let (sent, hold) = (Arc::new(AtomicI64::new(0)), Arc::new(AtomicI64::new(i64::MAX)));
        let ends = Arc::new(AtomicBool::new(false));
        let (count, until, end, topic) = (sent.clone(), hold.clone(), ends.clone(), topic.to_owned());
        let thread = thread::spawn(move || send(&producer, &topic, partitions, [&count, &until], &end));
        Self { sent, hold, ends, thread: Some(thread) }
    }

    /// Sends so many swarms more, and waits: the first number that is not sent.
    ///
    /// # Panics
    /// When the broker does not take them.
    pub fn hold_after(&self, swarms: i64) -> i64 {
        self.hold.store(0, Ordering::Release);
        let until = self.sent() + swarms * SWARM + SWARM; // one may be under way
        self.hold.store(until, Ordering::Release);
        wait_until("the numbers to hold", BOUND, || self.sent() == until);
        until
    }

    /// Goes on.
    pub fn go_on(&self) {
        self.hold.store(i64::MAX, Ordering::Release);
    }

    /// How many there are so far.
    #[must_use]
    pub fn sent(&self) -> i64 {
        self.sent.load(Ordering::Acquire)
    }

    /// The same, for another thread.
    #[must_use]
    pub fn count(&self) -> Arc<AtomicI64> {
        self.sent.clone()
    }

    /// Ends it: how many there are.
    ///
    /// # Panics
    /// When the broker does not take them.
    pub fn end(mut self) -> i64 {
        self.ends.store(true, Ordering::Release);
        self.thread.take().expect("it runs").join().expect("all are sent");
        self.sent()
    }
}

#[expect(clippy::disallowed_methods, reason = "a load of so many messages in a second is made of pauses")]
fn send(producer: &Messages, topic: &str, partitions: i32, [sent, hold]: [&AtomicI64; 2], ends: &AtomicBool) {
    while !ends.load(Ordering::Acquire) {
        thread::sleep(PAUSE);
        let first = sent.load(Ordering::Acquire);
        if first >= hold.load(Ordering::Acquire) {
            continue;
        }
        for n in first..first + SWARM {
            let value = format!(r#"{{"before":null,"after":{{"n":{n}}},"op":"c"}}"#);
            let partition = i32::try_from(n % i64::from(partitions)).expect("few partitions");
            producer.send(topic, partition, &n.to_string(), Some(&value));
        }
        sent.fetch_add(SWARM, Ordering::AcqRel);
    }
    producer.flush();
}
