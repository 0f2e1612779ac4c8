//! Messages for a transform, read as a lane reads them: partition by partition, in batches that are epochs.

use std::path::PathBuf;
use std::time::Duration;

use super::Failure;
use crate::batch::RawBatch;
use crate::offsets::LaneId;
use crate::registry::Schemas;
use crate::source::{BatchLimits, FileSource, Found, Source, Start};
use crate::transform::{Epoch, Transform, TransformError, Transformed};

/// As large as an epoch of a lane is by default.
pub(super) const EPOCH: BatchLimits =
    BatchLimits { max_messages: 100_000, max_bytes: 32 << 20, linger: Duration::from_millis(200) };

/// Recorded messages that are of none of the plugin's topics.
#[derive(Debug, thiserror::Error)]
#[error("{}: no message is of the topics of plugin.toml, {}", file.display(), topics.join(", "))]
pub(super) struct OtherTopics {
    file: PathBuf,
    topics: Vec<String>,
}

/// All messages of a recording that are of these topics, each partition from its begin to its end.
pub(super) fn recorded(file: PathBuf, topics: &[String]) -> Result<Vec<(Found, RawBatch)>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(Failure::failed)?;
    let source = FileSource::new(vec![file.clone()]);
    let batches = runtime.block_on(async {
        let mut batches = Vec::new();
        for found in source.discover(topics).await? {
            // A topic that plugin.toml names and the file does not hold is no mistake.
            let (first, end) = source.bounds(&found.partition).await?;
            if first == end {
                continue;
            }
            let mut reader = source.open(&found, Start::Earliest).await?;
            while let Some(batch) = reader.next_batch(EPOCH).await? {
                batches.push((found.clone(), batch));
            }
        }
        Ok(batches)
    });
    let batches = batches.map_err(|error: crate::source::SourceError| Failure::mistake(error))?;
    if batches.is_empty() {
        return Err(Failure::mistake(OtherTopics { file, topics: topics.to_vec() }));
    }
    Ok(batches)
}

/// The lane that such a batch would be of.
pub(super) fn lane(transform: &Transform, found: &Found) -> LaneId {
    LaneId {
        tenant: transform.settings().tenant.clone(),
        plugin: transform.settings().name.clone(),
        topic: found.partition.topic.to_string(),
        topic_id: found.topic_id.to_string(),
        partition: found.partition.partition,
    }
}

/// One epoch, as a lane makes it for the first time; nothing of it is written anywhere.
pub(super) fn transformed(
    transform: &Transform,
    found: &Found,
    batch: &RawBatch,
    clock_ms: i64,
) -> Result<Transformed, TransformError> {
    let epoch = Epoch { generation: 0, number: 0, clock_ms, watermark_ms: None };
    transform.run(&lane(transform, found), batch, &Schemas::default(), epoch, &mut transform.empty_state())
}
