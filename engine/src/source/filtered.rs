//! A reader of a part of a topic that reads by itself: all messages come to it, and it gives those of the part.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::part::{Filter, Part};
use super::{BatchLimits, Found, Lag, Reader, Source, SourceError, Start};
use crate::batch::{Message, RawBatch};
use crate::offsets::{OffsetRange, TopicPartition};
use crate::registry::{Registry, RegistryError, Schemas};

/// Messages looked at in one go.
const STEP: BatchLimits = BatchLimits { max_messages: 2048, max_bytes: 1 << 20, linger: std::time::Duration::ZERO };

/// Opens a reader of a part of a partition: of the source itself where the part is all of it. For whoever reads a range and
/// ends; a lane that goes on uses [`Source::follow`].
///
/// # Errors
/// As [`Source::open`].
pub async fn open_part(
    source: &dyn Source,
    found: &Found,
    start: Start,
    part: &Part,
    registry: Option<&Arc<Registry>>,
) -> Result<Box<dyn Reader>, SourceError> {
    let reader = source.open(found, start).await?;
    Ok(filter(reader, found, start, part, registry))
}

/// A reader of a part, over one of all messages that was opened at `start`.
pub(super) fn filter(
    reader: Box<dyn Reader>,
    found: &Found,
    start: Start,
    part: &Part,
    registry: Option<&Arc<Registry>>,
) -> Box<dyn Reader> {
    if *part == Part::Whole {
        return reader;
    }
    let position = match start {
        Start::Offset(offset) => Some(offset),
        Start::Earliest | Start::Latest => None,
    };
    let partition = found.partition.clone();
    let filter = Filter::new(part.of_topic(&partition.topic));
    let registry = registry.filter(|_| part.reads_columns()).cloned();
    let (looking, messages, bytes, scanned, since) = (None, Vec::new(), 0, None, None);
    Box::new(Filtered { reader, partition, filter, registry, position, scanned, looking, messages, bytes, since })
}

/// Messages that wait for their schemas.
type Looking = BoxFuture<'static, Result<(RawBatch, Schemas), RegistryError>>;

struct Filtered {
    reader: Box<dyn Reader>,
    partition: TopicPartition,
    filter: Filter,
    registry: Option<Arc<Registry>>,
    /// Where the next batch's range begins.
    position: Option<i64>,
    /// How far the messages have been looked at.
    scanned: Option<i64>,
    // What is under way is here and not in the future of a call, so that a cancelled call loses none of it.
    looking: Option<Looking>,
    messages: Vec<Message>,
    bytes: usize,
    since: Option<Instant>,
}

impl Filtered {
    async fn next(&mut self, limits: BatchLimits) -> Result<Option<RawBatch>, SourceError> {
        loop {
            let deadline = self.since.map(|since| since + limits.linger);
            let full = self.messages.len() >= limits.max_messages || self.bytes >= limits.max_bytes;
            if full || deadline.is_some_and(|deadline| deadline <= Instant::now()) {
                return Ok(Some(self.give_out(limits)));
            }
            if let Some(looking) = &mut self.looking {
                let batch = match deadline {
                    Some(deadline) => tokio::select! {
                        biased;
                        batch = looking => batch,
                        () = sleep_until(deadline) => continue,
                    },
                    None => looking.await,
                };
                self.looking = None;
                let (batch, schemas) = batch?;
                self.look_at(batch, &schemas);
                continue;
            }
            let read = self.reader.next_batch(STEP);
            let read = match deadline {
                Some(deadline) => match timeout_at(deadline, read).await {
                    Ok(read) => read?,
                    Err(_) => continue,
                },
                None => read.await?,
            };
            let Some(batch) = read else {
                // The end: what is left, and the others' messages behind it.
                let left = !self.messages.is_empty() || self.scanned > self.position;
                return Ok(left.then(|| self.give_out(limits)));
            };
            self.position.get_or_insert(batch.range.start);
            self.looking = Some(with_schemas(self.registry.clone(), batch).boxed());
        }
    }

    fn look_at(&mut self, batch: RawBatch, schemas: &Schemas) {
        let filter = &mut self.filter;
        if let Some(answers) = &schemas.answers {
            filter.set_registry(answers);
        }
        let before = self.messages.len();
        self.messages.extend(batch.messages.into_iter().filter(|message| filter.holds(message)));
        self.bytes += self.messages.iter().skip(before).map(Message::bytes).sum::<usize>();
        self.scanned = Some(batch.range.end);
        if !self.messages.is_empty() {
            self.since.get_or_insert_with(Instant::now);
        }
    }

    fn give_out(&mut self, limits: BatchLimits) -> RawBatch {
        let (mut count, mut bytes) = (0, 0);
        for message in &self.messages {
            if count >= limits.max_messages || bytes >= limits.max_bytes {
                break;
            }
            (count, bytes) = (count + 1, bytes + message.bytes());
        }
        self.bytes -= bytes;
        let left = self.messages.split_off(count);
        let messages = std::mem::replace(&mut self.messages, left);
        let start = self.position.unwrap_or_default();
        let behind = messages.last().map_or(start, |last| last.offset + 1);
        let end = if self.messages.is_empty() { self.scanned.unwrap_or(behind) } else { behind };
        (self.position, self.since) = (Some(end), (!self.messages.is_empty()).then(Instant::now));
        RawBatch { partition: self.partition.clone(), range: OffsetRange { start, end }, messages, bytes }
    }
}

impl Reader for Filtered {
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>> {
        self.next(limits).boxed()
    }

    fn lag(&self) -> Option<Lag> {
        let lag = self.reader.lag()?;
        if self.messages.is_empty() && self.looking.is_none() {
            return Some(lag);
        }
        Some(Lag { position: self.position.unwrap_or(lag.position).min(lag.position), ..lag })
    }

    fn trouble(&self) -> Option<String> {
        self.reader.trouble()
    }
}

/// A batch with the schemas that are needed to look at it. A registry that is away is waited for.
async fn with_schemas(registry: Option<Arc<Registry>>, batch: RawBatch) -> Result<(RawBatch, Schemas), RegistryError> {
    let schemas = match registry {
        Some(registry) => registry.schemas_of(&batch, |_| ()).await?,
        None => Schemas::default(),
    };
    Ok((batch, schemas))
}
