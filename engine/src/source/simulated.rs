//! The source's simulated twin: topics in memory, to which happens what happens to topics.
//!
//! **Promise.** That of [`Source`]: messages in offset order, each once; a position that can't be served is an error.
//! What a fetch brings is as much as chance has it, so a batch made again has other borders unless it is asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::topics::matching;
use super::{BatchLimits, Found, Lag, Reader, Source, SourceError, Start};
use crate::batch::{Message, RawBatch};
use crate::offsets::{OffsetRange, TopicPartition};
use crate::simulation::{Chance, Process, Step, locked};

/// A fetch that takes long takes this long.
const SLOW_FETCH: Duration = Duration::from_millis(30);

/// The topics of a cluster. Clones are the same cluster.
#[derive(Clone, Debug)]
pub struct SimulatedTopics {
    state: Arc<Mutex<State>>,
    changed: Arc<Notify>,
    chance: Chance,
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<TopicPartition, Log>,
    made: u32,
    trouble: u32,
    mirrored: BTreeMap<(TopicPartition, String), i64>,
}

#[derive(Debug)]
struct Log {
    topic_id: Arc<str>,
    earliest: i64,
    end: i64,
    messages: BTreeMap<i64, Content>,
}

/// Key and value of a message.
type Content = (Option<Vec<u8>>, Option<Vec<u8>>);

impl SimulatedTopics {
    /// No topics.
    #[must_use]
    pub fn new(chance: Chance) -> Self {
        Self { state: Arc::default(), changed: Arc::default(), chance }
    }

    /// A process's way to them.
    #[must_use]
    pub fn open(&self, process: Process) -> SimulatedSource {
        SimulatedSource { topics: self.clone(), process }
    }

    /// Makes a topic, or makes it again: under another id, empty.
    pub fn create(&self, topic: &str, partitions: i32) {
        let mut state = locked(&self.state);
        state.partitions.retain(|it, _| *it.topic != *topic);
        state.made += 1;
        let topic_id: Arc<str> = format!("id-{}", state.made).into();
        for partition in 0..partitions {
            let log = Log { topic_id: topic_id.clone(), earliest: 0, end: 0, messages: BTreeMap::new() };
            state.partitions.insert(TopicPartition { topic: topic.into(), partition }, log);
        }
        drop(state);
        self.changed.notify_waiters();
    }

    /// Appends a message; gives its offset.
    pub fn produce(&self, to: &TopicPartition, key: Option<&[u8]>, value: Option<&[u8]>) -> i64 {
        self.with(to, |log| {
            log.messages.insert(log.end, (key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec)));
            log.end += 1;
            log.end - 1
        })
    }

    /// Appends offsets that hold no message, as control records do.
    pub fn hole(&self, to: &TopicPartition, offsets: i64) {
        self.with(to, |log| log.end += offsets);
    }

    /// Retention: offsets below this are gone.
    pub fn truncate(&self, of: &TopicPartition, earliest: i64) {
        self.with(of, |log| {
            log.earliest = log.earliest.max(earliest);
            log.messages = log.messages.split_off(&earliest);
        });
    }

    /// An unclean election: offsets from this on were never written.
    pub fn cut(&self, of: &TopicPartition, end: i64) {
        self.with(of, |log| {
            log.messages.split_off(&end);
            log.end = end;
        });
    }

    /// Compaction: one message is gone.
    pub fn compact(&self, of: &TopicPartition, offset: i64) {
        self.with(of, |log| log.messages.remove(&offset));
    }

    /// What no log does and a restored disk can: another value at an offset.
    pub fn replace(&self, of: &TopicPartition, offset: i64, value: &[u8]) {
        self.with(of, |log| {
            if let Some(content) = log.messages.get_mut(&offset) {
                content.1 = Some(value.to_vec());
            }
        });
    }

    /// How many of a thousand attempts to open a reader fail, passing.
    pub fn trouble(&self, per_mille: u32) {
        locked(&self.state).trouble = per_mille;
    }

    /// Offsets and values of all messages of a partition.
    #[must_use]
    pub fn messages(&self, of: &TopicPartition) -> Vec<(i64, Option<Vec<u8>>)> {
        self.with(of, |log| log.messages.iter().map(|(offset, (_, value))| (*offset, value.clone())).collect())
    }

    /// All partitions.
    #[must_use]
    pub fn partitions(&self) -> Vec<Found> {
        let state = locked(&self.state);
        let found = |(partition, log): (&TopicPartition, &Log)| Found {
            partition: partition.clone(),
            topic_id: log.topic_id.clone(),
        };
        state.partitions.iter().map(found).collect()
    }

    /// The position that lag tools were last told of.
    #[must_use]
    pub fn mirrored(&self, partition: &TopicPartition, plugin: &str) -> Option<i64> {
        locked(&self.state).mirrored.get(&(partition.clone(), plugin.to_owned())).copied()
    }

    /// # Panics
    /// If there is no such partition: whoever writes a scenario knows its topics.
    fn with<T>(&self, partition: &TopicPartition, change: impl FnOnce(&mut Log) -> T) -> T {
        let result = change(locked(&self.state).partitions.get_mut(partition).expect("a partition of the scenario"));
        self.changed.notify_waiters();
        result
    }
}

/// A process's way to such topics.
#[derive(Debug)]
pub struct SimulatedSource {
    topics: SimulatedTopics,
    process: Process,
}

impl Source for SimulatedSource {
    fn discover<'a>(&'a self, topics: &'a [String]) -> BoxFuture<'a, Result<Vec<Found>, SourceError>> {
        async move {
            let all = self.topics.partitions();
            let names = matching(topics, || Ok(all.iter().map(|it| it.partition.topic.to_string()).collect()))?;
            Ok(all.into_iter().filter(|it| names.iter().any(|name| **name == *it.partition.topic)).collect())
        }
        .boxed()
    }

    fn open<'a>(&'a self, found: &'a Found, start: Start) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        async move {
            self.process.step(Step::Open).await;
            let trouble = locked(&self.topics.state).trouble;
            if self.topics.chance.per_mille(trouble) {
                return Err(SourceError::Unavailable { message: "the simulated broker is gone".into() });
            }
            let (topics, process) = (self.topics.clone(), self.process.clone());
            let mut reader = SimulatedReader { topics, process, found: found.clone(), position: 0, since: None };
            let (earliest, end) = reader.bounds(start)?;
            reader.position = match start {
                Start::Earliest => earliest,
                Start::Latest => end,
                Start::Offset(offset) => offset,
            };
            Ok(Box::new(reader) as Box<dyn Reader>)
        }
        .boxed()
    }

    fn bounds<'a>(&'a self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<(i64, i64), SourceError>> {
        async move { Ok(self.topics.with(partition, |log| (log.earliest, log.end))) }.boxed()
    }

    /// Simulated messages have no time: all are as old as asked.
    fn at_time<'a>(&'a self, partition: &'a TopicPartition, _: i64) -> BoxFuture<'a, Result<i64, SourceError>> {
        async move { Ok(self.topics.with(partition, |log| log.earliest)) }.boxed()
    }

    fn mirror(&self, partition: &TopicPartition, plugin: &str, next_offset: i64) {
        locked(&self.topics.state).mirrored.insert((partition.clone(), plugin.to_owned()), next_offset);
    }
}

struct SimulatedReader {
    topics: SimulatedTopics,
    process: Process,
    found: Found,
    position: i64,
    /// When the first message of the next batch was seen.
    since: Option<Instant>,
}

impl SimulatedReader {
    /// First offset and end of the partition, if the position can be served.
    fn bounds(&self, start: Start) -> Result<(i64, i64), SourceError> {
        let state = locked(&self.topics.state);
        let log = state.partitions.get(&self.found.partition);
        let position = if let Start::Offset(offset) = start { offset } else { self.position };
        let Some(log) = log.filter(|log| log.topic_id == self.found.topic_id) else {
            let now = log.map_or_else(String::new, |log| log.topic_id.to_string());
            let (topic, had) = (self.found.partition.topic.clone(), self.found.topic_id.clone());
            return Err(SourceError::TopicReplaced { topic, had, now, position });
        };
        let (earliest, end, partition) = (log.earliest, log.end, self.found.partition.clone());
        match start {
            Start::Offset(wanted) if wanted < earliest => {
                Err(SourceError::OffsetGone { partition, wanted, earliest, end, lost: earliest - wanted })
            }
            Start::Offset(wanted) if wanted > end => Err(SourceError::OffsetAhead { partition, wanted, end }),
            Start::Offset(_) | Start::Earliest | Start::Latest => Ok((earliest, end)),
        }
    }

    async fn next(&mut self, limits: BatchLimits) -> Result<RawBatch, SourceError> {
        let changes = self.topics.changed.clone();
        loop {
            let changed = changes.notified();
            self.bounds(Start::Offset(self.position))?;
            let waiting = self.waiting(limits.max_messages);
            if waiting == 0 {
                changed.await;
                continue;
            }
            let since = *self.since.get_or_insert_with(Instant::now);
            let deadline = since + limits.linger;
            if waiting >= limits.max_messages {
                break;
            }
            // A fetch can also take long enough that the batch is given out in parts.
            let slow = self.topics.chance.per_mille(200);
            if deadline <= Instant::now() {
                if slow {
                    sleep_until(Instant::now() + SLOW_FETCH).await;
                }
                break;
            }
            drop(timeout_at(deadline, changed).await);
        }
        self.process.step(Step::Batch).await;
        Ok(self.give_out(limits))
    }

    fn waiting(&self, most: usize) -> usize {
        let state = locked(&self.topics.state);
        let log = state.partitions.get(&self.found.partition);
        log.map_or(0, |log| log.messages.range(self.position..).take(most).count())
    }

    /// At least one message, and no await on the way: a cancelled call has given out nothing.
    fn give_out(&mut self, limits: BatchLimits) -> RawBatch {
        let most = limits
            .max_messages
            .min(1 + self.topics.chance.below(u32::try_from(limits.max_messages).unwrap_or(u32::MAX)) as usize);
        let state = locked(&self.topics.state);
        let log = state.partitions.get(&self.found.partition);
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for (&offset, (key, value)) in log.iter().flat_map(|log| log.messages.range(self.position..)) {
            if messages.len() >= most || bytes >= limits.max_bytes {
                break;
            }
            let message = Message::owned(offset, Some(offset), key.clone(), value.clone(), Vec::new());
            bytes += message.bytes();
            messages.push(message);
        }
        let end = messages.last().map_or(self.position, |last| last.offset + 1);
        let range = OffsetRange { start: self.position, end };
        (self.position, self.since) = (end, None);
        RawBatch { partition: self.found.partition.clone(), range, messages, bytes }
    }
}

impl Reader for SimulatedReader {
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>> {
        self.next(limits).map(|batch| batch.map(Some)).boxed()
    }

    fn lag(&self) -> Option<Lag> {
        let state = locked(&self.topics.state);
        let log = state.partitions.get(&self.found.partition)?;
        let left = log.messages.range(self.position..).next().is_some();
        let position = if left { self.position } else { log.end };
        Some(Lag { end: log.end, position })
    }
}
