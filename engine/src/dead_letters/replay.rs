//! Letters sent again through a plugin.
//!
//! A letter is its plugin's, whichever messages of the topic the plugin reads by now.
//!
//! **Promise.** The rows of each letter that the plugin now takes are in its tables once, as the lane would have put them
//! there: `_version` is the message's generation and offset, so a newer change of the key wins, whenever the replay comes.
//! A letter that fails again stays open, with the new reason.
//! **Assumed.** A message with a letter has no row in any table: lanes see to that. One replay at a time on a table of
//! letters: a lock in the data folder keeps two of one machine apart.
//! **After a crash** the next replay of the plugin first ends what was started, by the plugin that began it.
//!
//! Letters of one lane and generation are an *epoch*, as in a lane, and take the same steps; the marks are its journal:
//!
//! | step | a crash behind it leaves | the next replay |
//! |---|---|---|
//! | 1. transform | nothing | begins anew, with the plugin as it is then |
//! | 2. mark the letters as started, with the [`Intent`] and, in the artifacts, plugin and schemas | some rows, or none | makes the blocks again as the intent says, checks their hashes |
//! | 3. insert the blocks under their tokens; in append tables without the rows that are there | all rows | finds all rows |
//! | 4. mark each letter as replayed, or as failed again | | nothing |
//!
//! An epoch's number has its 48th bit set, which no lane's ever has, and 47 bits of a hash over its letters, plugin and
//! clock: `_epoch` and `_row` name each of its rows, in any table, for good. That is how a row is known to be there when its
//! block's token is long forgotten.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::ArrowError;
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::{Filter, Letter, Letters, MarkState};
use crate::artifacts::{ArtifactError, Artifacts};
use crate::batch::{Block, RawBatch, Reject};
use crate::clock::Clock;
use crate::cpu::Cpu;
use crate::journal::Intent;
use crate::offsets::{LaneId, OffsetRange, TopicPartition};
use crate::plugin::Host;
use crate::registry::{Registry, RegistryError, Schemas};
use crate::sink::{ClickHouse, Names, Sending, Sink, SinkError, names, without};
use crate::state::State;
use crate::table::TableKind;
use crate::token::token;
use crate::transform::{CallError, Epoch, Transform, TransformError};

/// Most letters of an epoch, and most bytes: a part of a lane's, as a replay is no hurry and shares the machine.
const EPOCH_LETTERS: usize = 10_000;
const EPOCH_BYTES: u64 = 32 << 20;
/// An epoch of so few letters is not halved: so few can't break a plugin for good.
const FEW_LETTERS: usize = 64;
/// How long a schema registry that can't be asked is waited for. A lane waits for ever; a person does not.
const REGISTRY_PATIENCE: Duration = Duration::from_secs(30);
/// Marks the epochs of replays.
const REPLAY_BIT: u64 = 1 << 47;

/// What a replay needs.
pub struct Replay {
    /// The letters.
    pub letters: Letters,
    /// Where rows go: the server that has the letters.
    pub clickhouse: Arc<ClickHouse>,
    /// The plugin as it is now.
    pub transform: Transform,
    /// Plugins and schemas of replays that were started.
    pub artifacts: Artifacts,
    /// What schema ids stand for, if there is a schema registry.
    pub registry: Option<Arc<Registry>>,
    /// Loads them.
    pub host: Host,
    /// Where they run.
    pub cpu: Cpu,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
}

/// What became of the letters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Letters whose rows are in the tables now.
    pub replayed: usize,
    /// Of these, letters of a replay that had been interrupted.
    pub ended: usize,
    /// Rows that were made of them.
    pub rows: usize,
    /// Letters that failed again.
    pub failed: usize,
    /// Letters that hold only the beginning of their message, and are left alone.
    pub cut: usize,
}

/// Why a replay can't go on. What it has done is done; the next one goes on behind it.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// Tables or marks.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The plugin can't be run, or does not make again what was started.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The plugin can't be kept.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// What a letter would do to the state can be done in its lane alone.
    #[error(
        "plugin {plugin} keeps state, so its letters can't be replayed outside of their lanes: publish the messages again \
         (engine dlq export gives them)"
    )]
    KeepsState {
        /// The plugin.
        plugin: String,
    },
    /// The schema registry can't be asked, was exchanged, or what it says can't be kept.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// Another machine, or another data folder.
    #[error(
        "a replay of {letters} letters was interrupted and has to be ended by the plugin that began it ({plugin_digest}), \
         and the schemas that it had, which are not in this data folder: run the same command where it was begun, with \
         that --data-dir"
    )]
    Elsewhere {
        /// How many.
        letters: usize,
        /// The plugin.
        plugin_digest: String,
        /// What is missing.
        #[source]
        source: ArtifactError,
    },
    /// Rows of the table of letters or marks were deleted.
    #[error(
        "replay {replay} was interrupted and can't be ended: {what} is not there any more. To give it up, whatever of it is \
         in append tables: DELETE FROM {marks} WHERE replay = {replay}"
    )]
    Gone {
        /// The replay's number.
        replay: u64,
        /// What is missing.
        what: &'static str,
        /// The table of marks.
        marks: String,
    },
    /// A bug here.
    #[error("rows can't be left out of a block")]
    Rows(#[from] ArrowError),
    /// Another replay is running.
    #[error("another replay runs with this data folder ({path})")]
    Busy {
        /// The lock.
        path: String,
    },
    /// The lock can't be had.
    #[error("{path} can't be locked")]
    Lock {
        /// The lock.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// Letters of one lane and generation with their messages.
struct Part {
    lane: LaneId,
    letters: Vec<Letter>,
    raw: Arc<RawBatch>,
}

/// Keeps a second replay of this data folder out as long as it lives.
///
/// # Errors
/// There is one, or the folder can't be written.
pub fn lock(data_dir: &Path) -> Result<File, ReplayError> {
    let path = data_dir.join("replay.lock");
    let shown = path.display().to_string();
    let opened = std::fs::create_dir_all(data_dir).and_then(|()| File::create(&path));
    let file = opened.map_err(|source| ReplayError::Lock { path: shown.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(ReplayError::Busy { path: shown }),
        Err(std::fs::TryLockError::Error(source)) => Err(ReplayError::Lock { path: shown, source }),
    }
}

impl Replay {
    /// Replays the letters that are meant and open. Those of an interrupted replay of the plugin come first, all of them.
    ///
    /// # Errors
    /// What keeps it from going on.
    pub async fn run(&self, filter: &Filter) -> Result<Outcome, ReplayError> {
        if self.transform.state_version().is_some() {
            return Err(ReplayError::KeepsState { plugin: self.transform.settings().key().to_string() });
        }
        for table in self.transform.tables() {
            self.clickhouse.prepare(&table).await?;
        }
        self.letters.prepare_marks().await?;
        let mut outcome = Outcome::default();
        let plugin = Filter { plugin: filter.plugin.clone(), ..Filter::default() };
        let mut started = self.letters.find(&plugin).await?;
        started.retain(|letter| letter.state == MarkState::Started.as_str());
        started.sort_by(|a, b| (a.replay, a.lane(), a.offset).cmp(&(b.replay, b.lane(), b.offset)));
        for letters in started.chunk_by(|a, b| (a.replay, a.lane()) == (b.replay, b.lane())) {
            self.end(letters, &mut outcome).await?;
        }
        let mut open = self.letters.find(filter).await?;
        outcome.cut = open.iter().filter(|letter| letter.cut).count();
        // What is started by now was started by somebody else.
        open.retain(|letter| !letter.cut && letter.state != MarkState::Started.as_str());
        // A stack, the first part on top: a part on which the plugin breaks is halved.
        let mut waiting: Vec<&[Letter]> = parts(&open);
        waiting.reverse();
        while let Some(letters) = waiting.pop() {
            match self.begin(letters, &mut outcome).await {
                Err(ReplayError::Transform(TransformError::Call(CallError::Broken(_))))
                    if letters.len() > FEW_LETTERS =>
                {
                    let (first, second) = letters.split_at(letters.len() / 2);
                    waiting.extend([second, first]);
                }
                done => done?,
            }
        }
        Ok(outcome)
    }

    /// Steps 1 and 2, then the rest.
    async fn begin(&self, letters: &[Letter], outcome: &mut Outcome) -> Result<(), ReplayError> {
        let part = self.load(letters).await?;
        let Some(first) = part.letters.first() else { return Ok(()) };
        let clock_ms = self.letters.next_clock(&first.plugin, self.clock.now_ms()).await?;
        let number = self.number(&part, clock_ms);
        let epoch = Epoch { generation: first.generation, number, clock_ms, watermark_ms: None };
        let schemas = self.schemas_of(&part).await?;
        let (transform, lane, raw) = (self.transform.clone(), part.lane.clone(), part.raw.clone());
        let run = move || transform.run(&lane, &raw, &schemas, epoch, &mut State::default());
        let made = self.cpu.run(&part.lane.tenant, run).await?;
        self.artifacts.keep(&self.transform)?;
        self.letters.mark_started(&part.letters, &made.intent).await?;
        self.insert(&part, &made.intent, &made.blocks, &self.transform).await?;
        self.ended(&part, &made.intent, &made.rejects, outcome).await?;
        outcome.rows += made.tally.rows_out;
        Ok(())
    }

    /// A replay that was started, as it was decided.
    async fn end(&self, letters: &[Letter], outcome: &mut Outcome) -> Result<(), ReplayError> {
        let Some(first) = letters.first() else { return Ok(()) };
        let gone = |what| ReplayError::Gone { replay: first.replay, what, marks: self.letters.marks() };
        let intent = self.letters.started(first).await?.ok_or_else(|| gone("what was decided"))?;
        let part = self.load(letters).await?;
        if part.raw.messages.len() != intent.messages {
            return Err(gone("a letter of it"));
        }
        let elsewhere = |source| ReplayError::Elsewhere {
            letters: letters.len(),
            plugin_digest: intent.plugin_digest.clone(),
            source,
        };
        let transform = self.transform_of(&part.lane.tenant, &intent).await.map_err(elsewhere)?;
        let schemas = Schemas::of_intent(&self.artifacts, intent.schemas.as_ref()).map_err(elsewhere)?;
        let (again, lane, raw, decided) = (transform.clone(), part.lane.clone(), part.raw.clone(), intent.clone());
        let replay = move || again.replay(&lane, &raw, &schemas, &decided, &mut State::default());
        let made = self.cpu.run(&part.lane.tenant, replay).await?;
        self.insert(&part, &intent, &made.blocks, &transform).await?;
        self.ended(&part, &intent, &made.rejects, outcome).await?;
        outcome.rows += made.tally.rows_out;
        outcome.ended += part.letters.len() - made.rejects.len();
        Ok(())
    }

    /// What the schema ids of letters stand for, as a lane asks for it.
    async fn schemas_of(&self, part: &Part) -> Result<Schemas, ReplayError> {
        Ok(match self.registry.as_ref().filter(|_| self.transform.decodes()) {
            Some(registry) => registry.schemas_within(&part.raw, REGISTRY_PATIENCE).await?,
            None => Schemas::default(),
        })
    }

    async fn transform_of(&self, tenant: &str, intent: &Intent) -> Result<Transform, ArtifactError> {
        let same = intent.plugin_digest == self.transform.plugin_digest()
            && intent.settings_digest == self.transform.settings_digest();
        if same {
            return Ok(self.transform.clone());
        }
        let (artifacts, host, digests) = (self.artifacts.clone(), self.host.clone(), intent.clone());
        let rebuild = move || artifacts.rebuild(&host, &digests.plugin_digest, &digests.settings_digest);
        self.cpu.run(tenant, rebuild).await
    }

    async fn load(&self, letters: &[Letter]) -> Result<Part, ReplayError> {
        let mut bodies = self.letters.bodies(letters).await?;
        // A letter that was deleted since it was found is nobody's any more.
        let letters: Vec<Letter> = letters.iter().filter(|it| bodies.contains_key(&it.offset)).cloned().collect();
        let messages: Vec<_> =
            letters.iter().filter_map(|letter| Some(bodies.remove(&letter.offset)?.message)).collect();
        let (tenant, plugin, topic, partition) = letters
            .first()
            .map(|it| (it.tenant.clone(), it.plugin.clone(), it.topic.clone(), it.partition))
            .unwrap_or_default();
        let range = OffsetRange {
            start: messages.first().map_or(0, |message| message.offset),
            end: messages.last().map_or(0, |message| message.offset + 1),
        };
        let bytes = messages.iter().map(crate::batch::Message::bytes).sum();
        let place = TopicPartition { topic: topic.as_str().into(), partition };
        let raw = Arc::new(RawBatch { partition: place, range, messages, bytes });
        Ok(Part { lane: LaneId { tenant, plugin, topic, topic_id: String::new(), partition }, letters, raw })
    }

    /// Names the epoch: by its letters, by what is run on them, and by its clock, which no earlier replay had.
    fn number(&self, part: &Part, clock_ms: i64) -> u64 {
        let mut hash = Sha256::new();
        for text in [
            &part.lane.tenant,
            &part.lane.plugin,
            &part.lane.topic,
            self.transform.plugin_digest(),
            self.transform.settings_digest(),
        ] {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text.as_bytes());
        }
        hash.update(part.lane.partition.to_le_bytes());
        hash.update(clock_ms.to_le_bytes());
        for letter in &part.letters {
            hash.update(letter.generation.to_le_bytes());
            hash.update(letter.offset.to_le_bytes());
        }
        let mut first = [0; 8];
        first.copy_from_slice(&hash.finalize()[..8]);
        REPLAY_BIT | (u64::from_le_bytes(first) & (REPLAY_BIT - 1))
    }

    /// Step 3.
    async fn insert(
        &self,
        part: &Part,
        intent: &Intent,
        blocks: &[Block],
        transform: &Transform,
    ) -> Result<(), ReplayError> {
        let epoch = Epoch::of(intent);
        let letters = transform.dead_letters().quoted();
        for block in blocks.iter().filter(|block| block.table.quoted() != letters) {
            self.clickhouse.prepare(&block.table).await?;
            // The whole block's, also where only a part of it is sent: a table partition of a block lands as a whole, so
            // what is missing is missing with its token.
            let token = token(&part.lane, epoch, block);
            let missing = self.missing(block).await?;
            self.clickhouse.insert(&Sending::unclaimed(missing, token)).await?;
        }
        Ok(())
    }

    /// A block without the rows that its table has. In a current-state table a row twice is a row once.
    async fn missing(&self, block: &Block) -> Result<Block, ReplayError> {
        if block.table.kind == TableKind::Current {
            return Ok(block.clone());
        }
        let there = self.rows_there(block).await?;
        Ok(without(block, |row| there.contains(&row))?)
    }

    /// The rows of a block's lane and epoch that its table has.
    async fn rows_there(&self, block: &Block) -> Result<BTreeSet<u32>, SinkError> {
        #[derive(Deserialize)]
        struct Row {
            row: u32,
        }
        let Names { lane, epoch } = names(block);
        let query =
            format!("SELECT _row AS row FROM {} WHERE _lane = {lane} AND _epoch = {epoch}", block.table.quoted());
        let rows: Vec<Row> = self.clickhouse.select(&block.table, &query, &[]).await?;
        Ok(rows.into_iter().map(|row| row.row).collect())
    }

    /// Step 4.
    async fn ended(
        &self,
        part: &Part,
        intent: &Intent,
        rejects: &[Reject],
        outcome: &mut Outcome,
    ) -> Result<(), ReplayError> {
        self.letters.mark_ended(&part.letters, intent, rejects).await?;
        outcome.failed += rejects.len();
        outcome.replayed += part.letters.len() - rejects.len();
        Ok(())
    }
}

/// Letters in epochs: of one lane and generation, within the bounds.
fn parts(letters: &[Letter]) -> Vec<&[Letter]> {
    let (mut parts, mut start, mut bytes) = (Vec::new(), 0, 0);
    for (index, letter) in letters.iter().enumerate() {
        let full = index - start == EPOCH_LETTERS || bytes + letter.bytes > EPOCH_BYTES;
        if index > start && (full || letter.lane() != letters[start].lane()) {
            parts.push(&letters[start..index]);
            (start, bytes) = (index, 0);
        }
        bytes += letter.bytes;
    }
    if start < letters.len() {
        parts.push(&letters[start..]);
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(topic: &str, generation: u16, offset: i64, bytes: u64) -> Letter {
        Letter {
            tenant: "t".into(),
            plugin: "p".into(),
            topic: topic.into(),
            partition: 0,
            generation,
            offset,
            timestamp: None,
            bytes,
            cut: false,
            set_aside: 0,
            state: String::new(),
            replay: 0,
            plugin_digest: String::new(),
            stage: String::new(),
            code: String::new(),
            column: String::new(),
            reason: String::new(),
        }
    }

    #[test]
    fn an_epoch_has_letters_of_one_lane_and_generation_within_its_bounds() {
        let mut letters = vec![letter("a", 1, 0, 1), letter("a", 1, 1, 1), letter("a", 2, 0, 1), letter("b", 2, 0, 1)];
        letters.push(letter("b", 2, 1, EPOCH_BYTES));
        letters.extend((2..=EPOCH_LETTERS as i64 + 2).map(|offset| letter("b", 2, offset, 0)));
        let sizes: Vec<_> = parts(&letters).into_iter().map(<[_]>::len).collect();
        assert_eq!(sizes, [2, 1, 1, EPOCH_LETTERS, 2]);
        assert!(parts(&[]).is_empty());
    }
}
