//! A reader of one partition.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until};

use super::catalog::Catalog;
use super::fetcher::Fetcher;
use super::inbox::Inbox;
use super::inquiry::Inquiry;
use crate::batch::{Message, RawBatch};
use crate::offsets::OffsetRange;
use crate::source::{BatchLimits, Lag, Reader, SourceError, Start};

/// Reads one partition; closes it when dropped.
pub(super) struct KafkaReader {
    inbox: Arc<Inbox>,
    fetcher: Arc<Fetcher>,
    inquiry: Inquiry,
    /// Where the next batch's range begins.
    position: i64,
    // What is under way is here and not in the future of a call, so that a cancelled call loses none of it.
    /// The batch that is being filled.
    messages: Vec<Message>,
    bytes: usize,
    since: Option<Instant>,
    /// Finds out what a failure means.
    looking: Option<BoxFuture<'static, Result<(), SourceError>>>,
}

impl KafkaReader {
    /// A reader of a registered inbox. Nothing is fetched before `start`.
    pub(super) fn new(inbox: Arc<Inbox>, fetcher: Arc<Fetcher>, catalog: Arc<Catalog>) -> Self {
        let inquiry = Inquiry::new(inbox.clone(), fetcher.clone(), catalog);
        Self { inbox, fetcher, inquiry, position: 0, messages: Vec::new(), bytes: 0, since: None, looking: None }
    }

    /// Checks that the topic is still the one that was found, finds the first offset, and begins to fetch.
    pub(super) async fn start(&mut self, start: Start) -> Result<(), SourceError> {
        if let Start::Offset(offset) = start {
            self.position = offset;
        }
        self.inquiry.same_topic(self.position).await?;
        self.position = match start {
            Start::Offset(offset) if offset < 0 => {
                return Err(SourceError::Refused {
                    message: format!("{}: no offset {offset}", self.inbox.partition()),
                });
            }
            Start::Offset(offset) => offset,
            Start::Earliest => self.inquiry.bounds().await?.0,
            Start::Latest => self.inquiry.bounds().await?.1,
        };
        self.inbox.position(self.position);
        self.fetcher.open(&self.inbox);
        Ok(())
    }

    async fn next(&mut self, limits: BatchLimits) -> Result<RawBatch, SourceError> {
        loop {
            if let Some(looking) = &mut self.looking {
                let fetching_anew = looking.await;
                self.looking = None;
                fetching_anew?;
            }
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
                self.looking = Some(self.inquiry.clone().look_into(failure, self.position).boxed());
                continue;
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
