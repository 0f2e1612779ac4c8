//! A topic that many lanes share: each partition is read once for all of them.
//!
//! ```text
//!                                       ┌► queue of a ──► lane of tenant a ──► its own epochs, its own commits
//! partition ──► stream: one reader,  ───┼► queue of b ──► lane of tenant b
//!               one look at a message   └► queue of the rest ──► lane of what nobody claims
//! ```
//! **Promise.** Each lane gets the messages of its [`Part`] and no others, each once, in offset order, as if it had read and
//! filtered by itself; its batches answer for the offsets of others' messages as for holes. A message is looked at once
//! however many lanes there are, and copied once, together with those that come for the same lanes. No lane waits for
//! another: one that does not take its messages, because it is stopped, slow or far behind, leaves the stream, and the others
//! go on.
//! **How.** A lane that asks is given to the stream that comes to its position next; if none does soon, to one that is opened
//! there, for all lanes that wait near it. So there are a few streams (at most four, one position of the source
//! each), however many lanes begin or fall behind. A stream that comes to where another one stands ends, and its lanes go over
//! to that. A stream whose place others wait for makes room after a while, unless it is the foremost.
//! **Memory.** What waits in queues is booked in the source's [`Budget`], a message once. Where there is no room, lanes that
//! wait for fuller batches are given what they have; then the longest queue of those that do not take theirs is cut from its
//! end. Only where no lane of a stream takes anything does the stream itself wait.
//! **Quiet lanes.** A lane to which only others' messages come is given an empty batch now and then, so that its position
//! moves on: each minute, not with each batch of the others.
//! **After a crash** nothing here needs recovery: readers are opened anew where the journal says.

mod member;
mod partition;
mod reader;
mod routes;
mod state;
mod stream;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures::FutureExt;
use futures::future::BoxFuture;

use self::partition::Partition;
use self::reader::SharedReader;
use super::budget::Budget;
use super::{Found, Part, Reader, Source, SourceError, Start};
use crate::offsets::TopicPartition;
use crate::registry::Registry;

/// A source whose partitions are read once for all lanes that [follow](Source::follow) a part of them. All else is the inner
/// source's.
pub struct SharedSource {
    inner: Arc<dyn Source>,
    budget: Arc<Budget>,
    registry: Option<Arc<Registry>>,
    partitions: Mutex<Partitions>,
}

/// By their name and their topic's id.
type Partitions = BTreeMap<(TopicPartition, Arc<str>), Weak<Partition>>;

impl SharedSource {
    /// Over another source, within its budget. The registry tells columns of messages in Avro.
    #[must_use]
    pub fn new(inner: Arc<dyn Source>, budget: Arc<Budget>, registry: Option<Arc<Registry>>) -> Self {
        Self { inner, budget, registry, partitions: Mutex::default() }
    }

    fn partition(&self, found: &Found) -> Arc<Partition> {
        // A map that is only ever inserted into and swept is whole after any panic.
        let mut partitions = self.partitions.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (found.partition.clone(), found.topic_id.clone());
        if let Some(partition) = partitions.get(&key).and_then(Weak::upgrade) {
            return partition;
        }
        partitions.retain(|_, partition| partition.strong_count() > 0);
        let partition = Partition::new(found.clone(), self.inner.clone(), self.budget.clone(), self.registry.clone());
        partitions.insert(key, Arc::downgrade(&partition));
        partition
    }
}

impl Source for SharedSource {
    fn discover<'a>(&'a self, topics: &'a [String]) -> BoxFuture<'a, Result<Vec<Found>, SourceError>> {
        self.inner.discover(topics)
    }

    fn open<'a>(&'a self, found: &'a Found, start: Start) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        self.inner.open(found, start)
    }

    fn follow<'a>(
        &'a self,
        found: &'a Found,
        start: Start,
        part: &'a Part,
    ) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        async move {
            if *part == Part::Whole {
                return self.inner.open(found, start).await;
            }
            let partition = self.partition(found);
            let position = partition.position_of(start).await?;
            Ok(Box::new(SharedReader::new(partition, part.of_topic(&found.partition.topic), position))
                as Box<dyn Reader>)
        }
        .boxed()
    }

    fn bounds<'a>(&'a self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<(i64, i64), SourceError>> {
        self.inner.bounds(partition)
    }

    fn at_time<'a>(&'a self, partition: &'a TopicPartition, time_ms: i64) -> BoxFuture<'a, Result<i64, SourceError>> {
        self.inner.at_time(partition, time_ms)
    }

    fn budget(&self) -> Option<Arc<Budget>> {
        Some(self.budget.clone())
    }

    fn mirror(&self, partition: &TopicPartition, plugin: &str, next_offset: i64) {
        self.inner.mirror(partition, plugin, next_offset);
    }
}
