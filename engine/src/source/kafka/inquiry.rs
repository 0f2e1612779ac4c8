//! What a reader asks the brokers: whether its topic is the one that was found, and what the topic holds.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::catalog::{Catalog, refused};
use super::fetcher::Fetcher;
use super::inbox::{Failure, Inbox};
use crate::source::SourceError;

/// How long to wait before a question is repeated that had no answer.
const RETRY: Duration = Duration::from_secs(1);

/// The questions of one reader. Owned, so that an answer can outlast the call that began to wait for it.
#[derive(Clone, Debug)]
pub(super) struct Inquiry {
    inbox: Arc<Inbox>,
    fetcher: Arc<Fetcher>,
    catalog: Arc<Catalog>,
}

impl Inquiry {
    pub(super) fn new(inbox: Arc<Inbox>, fetcher: Arc<Fetcher>, catalog: Arc<Catalog>) -> Self {
        Self { inbox, fetcher, catalog }
    }

    /// Finds out what a failure means to a reader at this position. `Ok`: fetching has begun anew.
    pub(super) async fn look_into(self, failure: Failure, position: i64) -> Result<(), SourceError> {
        match failure {
            Failure::Refused(reason) => return Err(refused(&reason)),
            Failure::Replaced(now) => return Err(self.replaced(now, position)),
            Failure::Missing => self.insist(|| self.same_topic(position).boxed()).await?,
            Failure::OutOfRange => {
                self.insist(|| self.same_topic(position).boxed()).await?;
                let (earliest, end) = self.insist(|| self.bounds().boxed()).await?;
                self.in_range(position, earliest, end)?;
            }
        }
        tracing::info!(partition = %self.inbox.partition(), position, ?failure, "fetching anew");
        self.fetcher.restart(&self.inbox);
        sleep(RETRY).await; // a broker that says so again and again is not asked more often
        Ok(())
    }

    fn in_range(&self, wanted: i64, earliest: i64, end: i64) -> Result<(), SourceError> {
        let partition = self.inbox.partition().clone();
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

    /// First offset and end of the partition.
    pub(super) async fn bounds(&self) -> Result<(i64, i64), SourceError> {
        let (catalog, inbox) = (self.catalog.clone(), self.inbox.clone());
        blocking(move || catalog.bounds(inbox.partition())).await
    }

    /// Is there a topic of this name, with the id that was found?
    pub(super) async fn same_topic(&self, position: i64) -> Result<(), SourceError> {
        let (catalog, inbox) = (self.catalog.clone(), self.inbox.clone());
        let topics = blocking(move || catalog.describe(&[&inbox.partition().topic])).await?;
        let had = &self.inbox.found.topic_id;
        match topics.into_iter().next() {
            None => Err(self.replaced(String::new(), position)),
            Some(topic) if !had.is_empty() && *topic.id != **had => Err(self.replaced(topic.id, position)),
            Some(_) => Ok(()),
        }
    }

    fn replaced(&self, now: String, position: i64) -> SourceError {
        let found = &self.inbox.found;
        let (topic, had) = (found.partition.topic.clone(), found.topic_id.clone());
        SourceError::TopicReplaced { topic, had, now, position }
    }
}

/// Runs a question that blocks where that harms nobody.
pub(super) async fn blocking<T: Send + 'static>(
    question: impl FnOnce() -> Result<T, SourceError> + Send + 'static,
) -> Result<T, SourceError> {
    let answer = spawn_blocking(question).await;
    answer.unwrap_or_else(|_| Err(SourceError::Unavailable { message: "the engine is shutting down".into() }))
}
