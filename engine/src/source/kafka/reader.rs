//! A reader of one partition.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until};

use super::catalog::{Catalog, refused};
use super::fetcher::Fetcher;
use super::inbox::{Failure, Inbox};
use crate::batch::{Message, RawBatch};
use crate::offsets::OffsetRange;
use crate::source::{BatchLimits, Lag, Reader, SourceError, Start};

/// How long to wait before a question is repeated that had no answer.
const RETRY: Duration = Duration::from_secs(1);

/// Reads one partition; closes it when dropped.
#[derive(Debug)]
pub(super) struct KafkaReader {
    inbox: Arc<Inbox>,
    fetcher: Arc<Fetcher>,
    catalog: Arc<Catalog>,
    /// Where the next batch's range begins.
    position: i64,
    // The batch that is being filled. Here and not in the future, so that a cancelled call loses nothing.
    messages: Vec<Message>,
    bytes: usize,
    since: Option<Instant>,
}

impl KafkaReader {
    /// A reader of a registered inbox. Nothing is fetched before `start`.
    pub(super) fn new(inbox: Arc<Inbox>, fetcher: Arc<Fetcher>, catalog: Arc<Catalog>) -> Self {
        Self { inbox, fetcher, catalog, position: 0, messages: Vec::new(), bytes: 0, since: None }
    }

    /// Checks that the topic is still the one that was found, finds the first offset, and begins to fetch.
    pub(super) async fn start(&mut self, start: Start) -> Result<(), SourceError> {
        if let Start::Offset(offset) = start {
            self.position = offset;
        }
        self.same_topic().await?;
        self.position = match start {
            Start::Offset(offset) if offset < 0 => {
                return Err(SourceError::Refused {
                    message: format!("{}: no offset {offset}", self.inbox.partition()),
                });
            }
            Start::Offset(offset) => offset,
            Start::Earliest => self.bounds().await?.0,
            Start::Latest => self.bounds().await?.1,
        };
        self.inbox.position(self.position);
        self.fetcher.open(&self.inbox);
        Ok(())
    }

    async fn next(&mut self, limits: BatchLimits) -> Result<RawBatch, SourceError> {
        loop {
            let taken = self.inbox.take(limits, &mut self.messages, &mut self.bytes);
            self.since = self.since.or(taken.since);
            let deadline = self.since.map(|since| since + limits.linger);
            let complete = self.messages.len() >= limits.max_messages
                || self.bytes >= limits.max_bytes
                || taken.full
                || taken.failure.is_some()
                || deadline.is_some_and(|deadline| deadline <= Instant::now());
            if complete && !self.messages.is_empty() {
                return Ok(self.give_out());
            }
            if let Some(failure) = taken.failure {
                self.look_into(failure).await?;
            }
            match deadline {
                Some(deadline) => tokio::select! {
                    () = self.inbox.arrived.notified() => {}
                    () = sleep_until(deadline) => {}
                },
                None => self.inbox.arrived.notified().await,
            }
        }
    }

    fn give_out(&mut self) -> RawBatch {
        let end = self.messages.last().map_or(self.position, |last| last.offset + 1);
        let range = OffsetRange { start: self.position, end };
        self.position = end;
        self.since = None;
        RawBatch {
            partition: self.inbox.partition().clone(),
            range,
            messages: std::mem::take(&mut self.messages),
            bytes: std::mem::take(&mut self.bytes),
        }
    }

    /// Finds out what a failure means. `Ok`: fetching has begun anew.
    async fn look_into(&self, failure: Failure) -> Result<(), SourceError> {
        match failure {
            Failure::Refused(reason) => return Err(refused(&reason)),
            Failure::Replaced(now) => return Err(self.replaced(now)),
            Failure::Missing => self.insist(|| self.same_topic().boxed()).await?,
            Failure::OutOfRange => {
                self.insist(|| self.same_topic().boxed()).await?;
                let (earliest, end) = self.insist(|| self.bounds().boxed()).await?;
                self.in_range(earliest, end)?;
            }
        }
        tracing::info!(partition = %self.inbox.partition(), position = self.position, ?failure, "fetching anew");
        self.fetcher.restart(&self.inbox);
        sleep(RETRY).await; // a broker that says so again and again is not asked more often
        Ok(())
    }

    fn in_range(&self, earliest: i64, end: i64) -> Result<(), SourceError> {
        let (partition, wanted) = (self.inbox.partition().clone(), self.position);
        if wanted < earliest {
            Err(SourceError::OffsetGone { partition, wanted, earliest, end, lost: earliest - wanted })
        } else if wanted > end {
            Err(SourceError::OffsetAhead { partition, wanted, end })
        } else {
            Ok(()) // a leader that was behind has caught up
        }
    }

    /// Asks until there is an answer: a broker that is gone says nothing about the position.
    async fn insist<'a, T>(
        &self,
        question: impl Fn() -> BoxFuture<'a, Result<T, SourceError>>,
    ) -> Result<T, SourceError> {
        loop {
            match question().await {
                Err(SourceError::Unavailable { message }) => {
                    tracing::debug!(partition = %self.inbox.partition(), message, "no answer; asking again");
                    sleep(RETRY).await;
                }
                answer => return answer,
            }
        }
    }

    async fn bounds(&self) -> Result<(i64, i64), SourceError> {
        let (catalog, inbox) = (self.catalog.clone(), self.inbox.clone());
        blocking(move || catalog.bounds(inbox.partition())).await
    }

    /// Is there a topic of this name, with the id that was found?
    async fn same_topic(&self) -> Result<(), SourceError> {
        let (catalog, inbox) = (self.catalog.clone(), self.inbox.clone());
        let topics = blocking(move || catalog.describe(&[&inbox.partition().topic])).await?;
        let had = &self.inbox.found.topic_id;
        match topics.into_iter().next() {
            None => Err(self.replaced(String::new())),
            Some(topic) if !had.is_empty() && *topic.id != **had => Err(self.replaced(topic.id)),
            Some(_) => Ok(()),
        }
    }

    fn replaced(&self, now: String) -> SourceError {
        let found = &self.inbox.found;
        SourceError::TopicReplaced {
            topic: found.partition.topic.clone(),
            had: found.topic_id.clone(),
            now,
            position: self.position,
        }
    }
}

/// Runs a question that blocks where that harms nobody.
pub(super) async fn blocking<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let answer = spawn_blocking(question).await;
    answer.unwrap_or_else(|_| Err(SourceError::Unavailable { message: "the engine is shutting down".into() }))
}

impl Drop for KafkaReader {
    fn drop(&mut self) {
        self.fetcher.close(&self.inbox);
    }
}

impl Reader for KafkaReader {
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>> {
        self.next(limits).map(|batch| batch.map(Some)).boxed()
    }

    fn lag(&self) -> Option<Lag> {
        let behind = self.messages.last().map_or(self.position, |last| last.offset + 1);
        let (end, position) = self.inbox.lag(behind)?;
        let position = if self.messages.is_empty() { position } else { self.position };
        Some(Lag { end, position })
    }

    fn trouble(&self) -> Option<String> {
        self.fetcher.client().events().trouble()
    }
}
