//! The messages of a range, batch by batch, and then an end: a reader of a topic waits for more.

use std::time::Duration;

use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::batch::{Message, RawBatch};
use crate::offsets::{OffsetRange, TopicPartition};
use crate::source::{BatchLimits, Found, Reader, Source, SourceError, Start};

/// A window of the audit: bounds its memory, and the answers of the server. As an epoch that is full.
const LIMITS: BatchLimits =
    BatchLimits { max_messages: 100_000, max_bytes: 32 << 20, linger: Duration::from_millis(200) };

/// How often it is looked whether the range's end is reached by holes alone.
const LOOK: Duration = Duration::from_millis(50);

/// How long nothing may come: a broker that is restarted is back by then.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads a range of a partition.
pub(super) struct RangeReader {
    reader: Box<dyn Reader>,
    partition: TopicPartition,
    range: OffsetRange,
    position: i64,
}

impl RangeReader {
    pub(super) async fn open(source: &dyn Source, found: &Found, range: OffsetRange) -> Result<Self, SourceError> {
        let reader = source.open(found, Start::Offset(range.start)).await?;
        Ok(Self { reader, partition: found.partition.clone(), range, position: range.start })
    }

    /// The next window: its range begins where the last one's ended, and the last one ends where the whole does.
    pub(super) async fn next(&mut self) -> Result<Option<RawBatch>, SourceError> {
        if self.position >= self.range.end {
            return Ok(None);
        }
        let batch = self.batch().await?;
        let mut end = self.range.end;
        let mut messages = Vec::new();
        if let Some(batch) = batch {
            end = end.min(batch.range.end);
            // Bytes of its own: what is held here must not keep the source's budget from reading on.
            messages = batch.messages.into_iter().filter(|it| it.offset < end).map(Message::into_owned).collect();
        }
        let range = OffsetRange { start: self.position, end };
        self.position = end;
        let bytes = messages.iter().map(Message::bytes).sum();
        Ok(Some(RawBatch { partition: self.partition.clone(), range, messages, bytes }))
    }

    /// `None`: there are no more messages in the range.
    async fn batch(&mut self) -> Result<Option<RawBatch>, SourceError> {
        let mut look = interval(LOOK);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let since = Instant::now();
        loop {
            tokio::select! {
                biased;
                batch = self.reader.next_batch(LIMITS) => return batch,
                _ = look.tick() => {}
            }
            if self.reader.lag().is_some_and(|lag| lag.position >= self.range.end) {
                return Ok(None);
            }
            if since.elapsed() > PATIENCE {
                let trouble = self.reader.trouble().unwrap_or_else(|| "no message came".to_owned());
                let message = format!("{} from offset {}: {trouble}", self.partition, self.position);
                return Err(SourceError::Unavailable { message });
            }
        }
    }
}
