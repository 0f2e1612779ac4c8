//! Messages for a transform, read as a lane reads them: partition by partition, in batches that are epochs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use super::Failure;
use crate::artifacts::Artifacts;
use crate::batch::{Message, RawBatch};
use crate::offsets::{LaneId, OffsetRange, TopicPartition};
use crate::registry::{Registry, RegistrySettings, Schemas};
use crate::source::{BatchLimits, FileSource, Filter, Found, Part, Source, SourceError, Start};
use crate::state::State;
use crate::transform::{Epoch, Transform, TransformError, Transformed};

/// As large as an epoch of a lane is by default.
pub(in crate::cli) const EPOCH: BatchLimits =
    BatchLimits { max_messages: 100_000, max_bytes: 32 << 20, linger: Duration::from_millis(200) };

/// How long a schema registry that can't be asked is waited for.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(10);
/// Beside a recording of messages in Avro: what the schema registry answers, by id (`schemas/debezium/README.md`).
const SCHEMAS: &str = "schemas.json";

/// What schema ids stand for, for as long as a command runs: nothing is kept.
pub(in crate::cli) struct SchemaIds {
    registry: Option<Registry>,
    /// Where the registry keeps what it says.
    _folder: TempDir,
}

/// Recordings whose ids mean other schemas.
#[derive(Debug, thiserror::Error)]
#[error("{} and {} say what the recordings' schema ids stand for: read them one after the other", .0.display(), .1.display())]
struct TwoRegistries(PathBuf, PathBuf);

impl SchemaIds {
    /// As the file beside the recordings says, or the registry of the settings where there is none.
    pub(in crate::cli) fn of(recordings: &[PathBuf], settings: Option<&RegistrySettings>) -> Result<Self, Failure> {
        let mut files: Vec<_> = recordings.iter().map(|file| file.with_file_name(SCHEMAS)).collect();
        files.sort();
        files.dedup();
        files.retain(|file| file.is_file());
        if let [first, second, ..] = &files[..] {
            return Err(Failure::mistake(TwoRegistries(first.clone(), second.clone())));
        }
        let beside = files.first().map(|file| RegistrySettings::recorded(file));
        let folder = tempfile::tempdir()?;
        let artifacts = Artifacts::open(folder.path()).map_err(Failure::failed)?;
        let registry = beside.as_ref().or(settings).map(|settings| Registry::new(settings, artifacts)).transpose();
        Ok(Self { registry: registry.map_err(Failure::mistake)?, _folder: folder })
    }

    /// The schemas of a batch.
    pub(in crate::cli) async fn schemas(&self, batch: &RawBatch) -> Result<Schemas, Failure> {
        match &self.registry {
            Some(registry) => registry.schemas_within(batch, REGISTRY_PATIENCE).await.map_err(Failure::failed),
            None => Ok(Schemas::default()),
        }
    }
}

/// Recorded messages of one partition, as a lane would get them.
pub(in crate::cli) struct RecordedBatch {
    pub(in crate::cli) found: Found,
    pub(in crate::cli) raw: RawBatch,
    pub(in crate::cli) schemas: Schemas,
}

/// Recorded messages that are of none of the plugin's topics.
#[derive(Debug, thiserror::Error)]
#[error("{}: no message is of the topics of plugin.toml, {}", file.display(), topics.join(", "))]
pub(in crate::cli) struct OtherTopics {
    file: PathBuf,
    topics: Vec<String>,
}

/// All messages of a recording that are of these topics, each partition from its begin to its end, in batches of at most so
/// many.
pub(in crate::cli) fn recorded(
    file: &Path,
    topics: &[String],
    epoch: BatchLimits,
) -> Result<Vec<RecordedBatch>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().map_err(Failure::failed)?;
    let source = FileSource::new(vec![file.to_owned()]);
    let refused = |error: SourceError| Failure::mistake(error);
    let ids = SchemaIds::of(&[file.to_owned()], None)?;
    let batches: Vec<_> = runtime.block_on(async {
        let mut batches = Vec::new();
        for found in source.discover(topics).await.map_err(refused)? {
            // A topic that plugin.toml names and the file does not hold is no mistake.
            let (first, end) = source.bounds(&found.partition).await.map_err(refused)?;
            if first == end {
                continue;
            }
            let mut reader = source.open(&found, Start::Earliest).await.map_err(refused)?;
            while let Some(raw) = reader.next_batch(epoch).await.map_err(refused)? {
                let schemas = ids.schemas(&raw).await?;
                batches.push(RecordedBatch { found: found.clone(), raw, schemas });
            }
        }
        Ok::<_, Failure>(batches)
    })?;
    if batches.is_empty() {
        return Err(Failure::mistake(OtherTopics { file: file.to_owned(), topics: topics.to_vec() }));
    }
    Ok(batches)
}

/// The lane that such a batch would be of.
pub(in crate::cli) fn lane(transform: &Transform, found: &Found) -> LaneId {
    LaneId {
        tenant: transform.settings().tenant.clone(),
        plugin: transform.settings().name.clone(),
        topic: found.partition.topic.to_string(),
        topic_id: found.topic_id.to_string(),
        partition: found.partition.partition,
    }
}

/// The epochs of a lane, one after the other; nothing of them is written anywhere.
pub(in crate::cli) struct Epochs {
    lane: LaneId,
    partition: TopicPartition,
    state: State,
    watermark_ms: Option<i64>,
    number: u64,
    /// Offset behind the last one.
    next: i64,
}

impl Epochs {
    /// A lane that has not begun.
    pub(in crate::cli) fn new(transform: &Transform, found: &Found) -> Self {
        let (lane, partition) = (lane(transform, found), found.partition.clone());
        Self { lane, partition, state: transform.empty_state(), watermark_ms: None, number: 0, next: 0 }
    }

    /// Whether it is of this partition.
    pub(in crate::cli) fn are_of(&self, found: &Found) -> bool {
        self.partition == found.partition
    }

    /// The next epoch, over what those before it left, as a lane makes it for the first time: over the messages of the part of
    /// the topic that the transform reads.
    pub(in crate::cli) fn epoch(
        &mut self,
        transform: &Transform,
        batch: &RawBatch,
        schemas: &Schemas,
        clock_ms: i64,
    ) -> Result<Transformed, TransformError> {
        let epoch = Epoch { generation: 0, number: self.number, clock_ms, watermark_ms: self.watermark_ms };
        let part = part_of(batch, transform.part(), schemas);
        let made = transform.run(&self.lane, part.as_ref().unwrap_or(batch), schemas, epoch, &mut self.state)?;
        self.watermark_ms = made.intent.next_watermark_ms;
        (self.number, self.next) = (self.number + 1, batch.range.end);
        Ok(made)
    }

    /// An epoch without messages, which sees at least this watermark: what is due by then expires.
    pub(in crate::cli) fn pass(
        &mut self,
        transform: &Transform,
        watermark_ms: i64,
        clock_ms: i64,
    ) -> Result<Transformed, TransformError> {
        self.watermark_ms = self.watermark_ms.max(Some(watermark_ms));
        let range = OffsetRange { start: self.next, end: self.next };
        let nothing = RawBatch { partition: self.partition.clone(), range, messages: Vec::new(), bytes: 0 };
        self.epoch(transform, &nothing, &Schemas::default(), clock_ms)
    }
}

/// The messages of a part; `None`: all of them.
fn part_of(batch: &RawBatch, part: &Part, schemas: &Schemas) -> Option<RawBatch> {
    if *part == Part::Whole {
        return None;
    }
    let mut filter = Filter::new(part.clone());
    if let Some(answers) = &schemas.answers {
        filter.set_registry(answers);
    }
    let messages: Vec<_> = batch.messages.iter().filter(|it| filter.holds(it)).map(Message::copy).collect();
    let bytes = messages.iter().map(Message::bytes).sum();
    Some(RawBatch { partition: batch.partition.clone(), range: batch.range, messages, bytes })
}
