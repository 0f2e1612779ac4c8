//! The load: to each topic so many messages a second, each at a known time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rdkafka::producer::Producer;

use crate::kafka::{producer, send};
use crate::{Failure, pause};

/// How often messages are sent.
const TICK: Duration = Duration::from_millis(5);

/// Where messages go to.
#[derive(Clone, Debug)]
pub(crate) struct Stream {
    pub(crate) tenant: String,
    pub(crate) topic: String,
    pub(crate) partition: i32,
    /// Messages in a second.
    pub(crate) rate: f64,
}

/// When the messages of each stream were sent, behind the beginning, by offset.
pub(crate) type Sent = Vec<Vec<Duration>>;

/// The load, as long as it goes on.
pub(crate) struct Load {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<Sent, Failure>>,
}

impl Load {
    pub(crate) fn start(kafka: &str, streams: Vec<Stream>, began: Instant) -> Result<Self, Failure> {
        let producer = producer(kafka)?;
        let ends = Arc::new(AtomicBool::new(false));
        let end = ends.clone();
        let thread = thread::spawn(move || {
            let mut sent: Sent = vec![Vec::new(); streams.len()];
            let (start, mut tick) = (Instant::now(), 0_u32);
            while !end.load(Ordering::Acquire) {
                pause((TICK * tick).saturating_sub(start.elapsed()));
                tick += 1;
                let until = (TICK * tick).as_secs_f64();
                for (number, (stream, sent)) in streams.iter().zip(&mut sent).enumerate() {
                    // Not all in the same tick: streams that are slow begin one behind the other.
                    let ahead = crate::as_f64(number as u64 % 1_000) / 1_000.0;
                    while crate::as_f64(sent.len() as u64) + ahead < until * stream.rate {
                        sent.push(began.elapsed());
                        send(&producer, &stream.topic, stream.partition, &stream.tenant, sent.len() as u64 - 1)?;
                    }
                }
            }
            producer.flush(Duration::from_secs(120))?;
            Ok(sent)
        });
        Ok(Self { ends, thread })
    }

    /// Ends it, once the broker has all of it.
    pub(crate) fn end(self) -> Result<Sent, Failure> {
        self.ends.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the thread that sends panicked")?
    }
}
