//! Kafka.
//!
//! **Promise.** Only messages of committed transactions, from the asked offset on, in order, each once. A position that
//! is gone, a topic that was deleted, or deleted and created again under its name, ends the reader with an error that
//! says so. Fetched bytes in memory stay below `prefetch_bytes`, whatever the number of partitions and readers (see
//! `budget`; on top come the client's queue and one answer of each broker, both fractions of it, see `settings`).
//! **Assumed.** Topic ids come from the brokers (Kafka 2.8 and later); older ones have none, and a topic created again
//! goes unnoticed if it is longer than the position.
//! **A broker that is gone** ends nothing: readers wait, [`Reader::trouble`] says what for, and they go on by themselves.
//!
//! ```text
//! broker ──► client (librdkafka) ──► fetcher thread ──► inbox of a partition ──► reader
//!            its queue: bounded      one for a client   bounded by the budget    batches
//! ```
//! Partitions are assigned by the engine; no consumer group is joined. A client has a hundred partitions at most; with more
//! there are more clients, up to eight, whose messages are copied out of the clients' buffers. A second reader of the same partition uses another client: librdkafka keeps one
//! position for each partition.

mod catalog;
mod client;
mod events;
mod fetcher;
mod inbox;
mod inquiry;
mod keeper;
mod message;
mod mirror;
mod reader;
mod settings;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use futures::FutureExt;
use futures::future::BoxFuture;

use self::catalog::Catalog;
use self::fetcher::Fetcher;
use self::inbox::{Inbox, lock};
use self::inquiry::blocking;
use self::keeper::Keeper;
use self::reader::KafkaReader;
use self::settings::Configs;
use super::budget::Budget;
use super::topics::matching;
use super::{Found, Reader, Source, SourceError, Start};
use crate::memory::Memory;
use crate::offsets::TopicPartition;

pub use settings::KafkaSettings;

/// How long a list of partitions is good for: many plugins ask for the same topics.
const DISCOVERY_AGE: Duration = Duration::from_secs(1);

/// Partitions of one client. It goes through all of them whenever its thread wakes, which is for each piece of an answer: with
/// 500 that was a seventh of what their messages cost.
const MOST_PARTITIONS: usize = 100;
/// Clients for different partitions. Where these are full, each takes more.
const MOST_CLIENTS: usize = 8;

/// A Kafka cluster.
#[derive(Debug)]
pub struct KafkaSource {
    group: String,
    catalog: Arc<Catalog>,
    pool: Arc<Pool>,
    keeper: Keeper,
    discovered: Mutex<HashMap<Vec<String>, Discovered>>,
}

/// A list of partitions, and when it was made.
type Discovered = (Instant, Vec<Found>);

/// The clients that fetch, and the budget that they share.
#[derive(Debug)]
struct Pool {
    configs: Configs,
    budget: Arc<Budget>,
    fetchers: Mutex<Vec<Weak<Fetcher>>>,
}

impl Pool {
    fn fetchers(&self) -> Vec<Arc<Fetcher>> {
        Self::running(&mut lock(&self.fetchers))
    }

    fn running(fetchers: &mut Vec<Weak<Fetcher>>) -> Vec<Arc<Fetcher>> {
        fetchers.retain(|fetcher| fetcher.strong_count() > 0);
        fetchers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Registers an inbox with the first client that has room and does not have its partition.
    fn place(&self, inbox: &Arc<Inbox>) -> Result<Arc<Fetcher>, SourceError> {
        let mut fetchers = lock(&self.fetchers);
        let running = Self::running(&mut fetchers);
        let total: usize = running.iter().map(|fetcher| fetcher.partitions()).sum();
        let most = MOST_PARTITIONS.max(total / MOST_CLIENTS + 1);
        let room = running.into_iter().filter(|fetcher| fetcher.partitions() < most);
        if let Some(fetcher) = room.into_iter().find(|fetcher| fetcher.register(inbox)) {
            return Ok(fetcher);
        }
        let fetcher = Arc::new(Fetcher::start(&self.configs)?);
        fetcher.register(inbox);
        fetchers.push(Arc::downgrade(&fetcher));
        Ok(fetcher)
    }
}

impl KafkaSource {
    /// A source. Nothing is asked of the brokers yet.
    ///
    /// # Errors
    /// [`SourceError::Refused`] for a property that librdkafka doesn't know or that would change what is delivered.
    pub fn new(settings: &KafkaSettings) -> Result<Self, SourceError> {
        Self::within(settings, &Memory::unlimited())
    }

    /// The same, with messages whose memory is a part of this pool.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn within(settings: &KafkaSettings, memory: &Memory) -> Result<Self, SourceError> {
        let configs = Configs::new(settings)?;
        let catalog = Arc::new(Catalog::start(&configs.few)?);
        let budget = Budget::within(settings.held_bytes(), memory);
        let pool = Arc::new(Pool { configs, budget, fetchers: Mutex::default() });
        let keeper = Keeper::start(catalog.clone(), pool.clone())
            .map_err(|error| SourceError::Refused { message: format!("can't start a thread: {error}") })?;
        Ok(Self { group: settings.group.clone(), catalog, pool, keeper, discovered: Mutex::default() })
    }

    /// Bytes of messages that wait for readers or were handed out and are still alive.
    #[must_use]
    pub fn held_bytes(&self) -> usize {
        self.pool.budget.held()
    }

    /// What keeps a client from fetching, as of now.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.pool.fetchers().iter().find_map(|fetcher| fetcher.client().events().trouble())
    }

    /// A fresh list, which also tells readers whose topic was replaced.
    async fn look_up(&self, topics: Vec<String>) -> Result<Vec<Found>, SourceError> {
        let (catalog, wanted) = (self.catalog.clone(), topics.clone());
        let described = blocking(move || {
            let names = matching(&wanted, || catalog.names())?;
            catalog.describe(&names.iter().map(String::as_str).collect::<Vec<_>>())
        });
        let mut found = Vec::new();
        for topic in described.await? {
            if !topic.id.is_empty() {
                self.pool.fetchers().iter().for_each(|fetcher| fetcher.topic_is(&topic.name, &topic.id));
            }
            let (name, topic_id): (Arc<str>, Arc<str>) = (topic.name.into(), topic.id.into());
            found.extend((0..topic.partitions).map(|partition| Found {
                partition: TopicPartition { topic: name.clone(), partition },
                topic_id: topic_id.clone(),
            }));
        }
        lock(&self.discovered).insert(topics, (Instant::now(), found.clone()));
        Ok(found)
    }
}

impl Source for KafkaSource {
    fn discover<'a>(&'a self, topics: &'a [String]) -> BoxFuture<'a, Result<Vec<Found>, SourceError>> {
        async move {
            if let Some((when, found)) = lock(&self.discovered).get(topics)
                && when.elapsed() < DISCOVERY_AGE
            {
                return Ok(found.clone());
            }
            self.look_up(topics.to_vec()).await
        }
        .boxed()
    }

    fn open<'a>(&'a self, found: &'a Found, start: Start) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        async move {
            let inbox = Inbox::new(found.clone(), self.pool.budget.clone());
            let fetcher = self.pool.place(&inbox)?;
            let mut reader = KafkaReader::new(inbox, fetcher, self.catalog.clone());
            reader.start(start).await?;
            Ok(Box::new(reader) as Box<dyn Reader>)
        }
        .boxed()
    }

    fn bounds<'a>(&'a self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<(i64, i64), SourceError>> {
        let (catalog, partition) = (self.catalog.clone(), partition.clone());
        blocking(move || catalog.bounds(&partition)).boxed()
    }

    fn at_time<'a>(&'a self, partition: &'a TopicPartition, time_ms: i64) -> BoxFuture<'a, Result<i64, SourceError>> {
        let (catalog, partition) = (self.catalog.clone(), partition.clone());
        blocking(move || catalog.at_time(&partition, time_ms)).boxed()
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        Some(self.pool.budget.clone())
    }

    fn mirror(&self, partition: &TopicPartition, plugin: &str, next_offset: i64) {
        self.keeper.mirror(format!("{}-{plugin}", self.group), partition.clone(), next_offset);
    }
}
