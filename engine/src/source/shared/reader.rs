//! A lane's reader of a shared partition.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Notify;
use tokio::time::sleep_until;

use super::partition::{Partition, Taken};
use super::routes::MemberId;
use crate::batch::RawBatch;
use crate::source::{BatchLimits, Lag, Part, Reader, SourceError};

/// Leaves the partition when dropped. All that is under way belongs to the partition, so a cancelled call loses nothing.
pub(super) struct SharedReader {
    partition: Arc<Partition>,
    id: MemberId,
    wake: Arc<Notify>,
}

impl SharedReader {
    pub(super) fn new(partition: Arc<Partition>, part: Part, position: i64) -> Self {
        let (id, wake) = partition.join(part, position);
        Self { partition, id, wake }
    }

    async fn next(&mut self, limits: BatchLimits) -> Result<Option<RawBatch>, SourceError> {
        loop {
            match self.partition.take(self.id, limits) {
                Taken::Batch(batch) => return Ok(Some(batch)),
                Taken::Failed(error) => return Err(error),
                Taken::End => return Ok(None),
                Taken::Check(offset) => {
                    self.partition.check(offset).await?;
                    self.partition.checked(self.id);
                }
                Taken::Wait(None) => self.wake.notified().await,
                Taken::Wait(Some(at)) => tokio::select! {
                    biased;
                    () = self.wake.notified() => {}
                    () = sleep_until(at) => {}
                },
            }
        }
    }
}

impl Drop for SharedReader {
    fn drop(&mut self) {
        self.partition.leave(self.id);
    }
}

impl Reader for SharedReader {
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>> {
        self.next(limits).boxed()
    }

    fn lag(&self) -> Option<Lag> {
        self.partition.lag(self.id)
    }

    fn trouble(&self) -> Option<String> {
        self.partition.trouble(self.id)
    }
}
