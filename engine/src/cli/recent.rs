//! The newest messages of a plugin's topics, held, so that versions can be compared over them. Nothing is written anywhere.

use std::time::Duration;

use tokio::time::timeout;

use super::plugin::Failure;
use super::plugin::messages::{EPOCH, Epochs, SchemaIds, lane};
use crate::batch::RawBatch;
use crate::clock::{Clock, SystemClock};
use crate::config::PluginFile;
use crate::deploy::difference::{Difference, Made};
use crate::disposition::in_words;

use crate::registry::Schemas;
use crate::source::{BatchLimits, Found, Source, SourceError, Start};
use crate::transform::{Transform, TransformError};

/// How long a source is waited for, where it has messages and gives none.
const PATIENCE: Duration = Duration::from_secs(10);
/// Messages that are held at most, in bytes: a screen or some are looked at.
const MOST_BYTES: usize = 256 << 20;

/// The newest messages, each partition's in batches as a lane would get them.
pub(super) struct Recent(Vec<Partition>);

struct Partition {
    found: Found,
    batches: Vec<(RawBatch, Schemas)>,
}

/// It has messages, and does not give them.
#[derive(Debug, thiserror::Error)]
#[error("no message of {partition} came within {} s", PATIENCE.as_secs())]
struct Silent {
    partition: String,
}

impl Recent {
    /// Reads the newest messages of each partition: at most so many of each.
    pub(super) async fn read(
        source: &dyn Source,
        ids: &SchemaIds,
        file: &PluginFile,
        newest: i64,
    ) -> Result<Self, Failure> {
        let refused = |error: SourceError| Failure::failed(error);
        let mut partitions = Vec::new();
        let mut bytes = 0;
        for found in file.discover(source).await.map_err(refused)? {
            let (first, end) = source.bounds(&found.partition).await.map_err(refused)?;
            let start = first.max(end.saturating_sub(newest));
            if start >= end || bytes > MOST_BYTES {
                continue;
            }
            let mut reader = source.open(&found, Start::Offset(start)).await.map_err(refused)?;
            let mut batches = Vec::new();
            let mut next = start;
            while next < end {
                let limits = BatchLimits { max_messages: usize::try_from(end - next).unwrap_or(1), ..EPOCH };
                let batch = timeout(PATIENCE, reader.next_batch(limits)).await;
                let silent = |_| Failure::failed(Silent { partition: found.partition.to_string() });
                let Some(batch) = batch.map_err(silent)?.map_err(refused)? else { break };
                next = batch.range.end;
                bytes += batch.bytes;
                let schemas = ids.schemas(&batch).await?;
                // A copy: what the source may hold is not for those who keep it.
                let messages = batch.messages.into_iter().map(crate::batch::Message::into_owned).collect();
                batches.push((RawBatch { messages, ..batch }, schemas));
            }
            partitions.push(Partition { found, batches });
        }
        Ok(Self(partitions))
    }

    /// How many there are.
    pub(super) fn messages(&self) -> usize {
        self.0.iter().flat_map(|partition| &partition.batches).map(|(raw, _)| raw.messages.len()).sum()
    }

    /// How two versions differ over them, each beginning with nothing remembered; without one before, all is new. Says
    /// which of the two could not be run.
    pub(super) fn compare(&self, before: Option<&Transform>, after: &Transform) -> Result<Difference, Failure> {
        let clock_ms = SystemClock.now_ms();
        let mut difference = Difference::default();
        self.warm_up(before.into_iter().chain([after]));
        for Partition { found, batches } in &self.0 {
            let mut before = before.map(|transform| (transform, Epochs::new(transform, found)));
            let mut after_epochs = Epochs::new(after, found);
            for (raw, schemas) in batches {
                let failed = |which: &str, error: TransformError| {
                    Failure::in_words(format!(
                        "{which} can't be run over {} offsets {}: {}",
                        found.partition,
                        raw.range,
                        in_words(&error)
                    ))
                };
                let old = match &mut before {
                    Some((transform, epochs)) => {
                        let made = epochs.epoch(transform, raw, schemas, clock_ms);
                        Made::of(&made.map_err(|error| failed("the version that runs", error))?)
                    }
                    None => Made::default(),
                };
                let new = after_epochs.epoch(after, raw, schemas, clock_ms);
                let new = Made::of(&new.map_err(|error| failed("the new version", error))?);
                difference.add(Difference::between(&lane(after, found), &old, &new));
            }
        }
        Ok(difference)
    }

    /// Runs each over one batch: the first instance of a plugin costs more than all that follow it.
    fn warm_up<'t>(&self, transforms: impl Iterator<Item = &'t Transform>) {
        let Some(Partition { found, batches }) = self.0.first() else { return };
        let Some((raw, schemas)) = batches.first() else { return };
        for transform in transforms {
            // What goes wrong is said when it counts.
            drop(Epochs::new(transform, found).epoch(transform, raw, schemas, SystemClock.now_ms()));
        }
    }
}
