//! The transform of a lane: raw messages in, sealed blocks out.
//!
//! **Promise.** A pure function of the messages, the settings, the plugin's bytes and the epoch's stamp (number, clock):
//! the same input gives the same blocks, byte for byte. Every message becomes rows, a dead letter, a counted no-op or
//! is dropped by the plugin on purpose.
//! **Assumed.** The caller writes the plan down before it sends the blocks.
//! **After a crash** [`Transform::replay`] follows the plan and checks what comes out against the intent.

mod assemble;
mod calls;
mod sandboxed;
mod settings;
mod stages;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::ArrowError;
use bytes::Bytes;
use twox_hash::XxHash3_128;

use crate::batch::{Block, Decoded, Message, NoOp, RawBatch, Reject, Stage};
use crate::decode::{Decoder, InputError};
use crate::digest::digest;
use crate::journal::{Call, Intent, PlannedBlock, Poison};
use crate::offsets::LaneId;
use crate::plugin::{Host, LoadError, Output, Plugin};
use crate::sink::{DeadLetter, Provenance, bronze_block, bronze_table, dead_letter_block, dead_letter_table, out_of_range};
use crate::table::Table;

pub use calls::CallError;
pub use sandboxed::CallLimits;
pub use settings::{Kind, SandboxLimits, SettingsError, TransformSettings};
pub use stages::StageTimes;

use assemble::{assemble, without};
use calls::{Answered, Discovery, follow};
use sandboxed::Sandboxed;

/// Messages decoded, and passed to the plugin, in one go. Measured: larger batches leave the part of a guest's memory
/// that the pool keeps resident, and are paid for in page faults. Part of the journal's format: a plan counts chunks.
pub const CHUNK_MESSAGES: usize = 8192;

/// A transform, ready to run on any partition of its topics.
#[derive(Clone)]
pub struct Transform {
    settings: Arc<TransformSettings>,
    settings_digest: Arc<str>,
    work: Work,
    dead_letters: Arc<Table>,
}

#[derive(Clone)]
enum Work {
    /// Rows through a plugin.
    Plugin { plugin: Plugin, outputs: Arc<[Output]>, tables: Arc<[Arc<Table>]> },
    /// Messages as they are.
    Bronze { table: Arc<Table> },
}

/// What an epoch is made with, beside its messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The lane's generation.
    pub generation: u16,
    /// The epoch's number.
    pub number: u64,
    /// Its clock, ms since 1970-01-01 UTC.
    pub clock_ms: i64,
}

/// Where the messages of an epoch went.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages of the epoch.
    pub messages: usize,
    /// Their bytes.
    pub bytes: usize,
    /// Messages that became a row of the plugin's input (or of bronze).
    pub rows_in: usize,
    /// Rows for tables, dead letters not counted.
    pub rows_out: usize,
    /// Messages without a row, by kind.
    pub no_ops: BTreeMap<NoOp, usize>,
    /// Dead letters, by stage and code.
    pub dead: BTreeMap<(Stage, String), usize>,
    /// CPU time of each stage.
    pub times: StageTimes,
}

/// An epoch transformed, nothing of it sent.
#[derive(Debug)]
pub struct Transformed {
    /// One block for each table that gets rows.
    pub blocks: Vec<Block>,
    /// What to write down of it.
    pub intent: Intent,
    /// For metrics.
    pub tally: Tally,
}

/// Why an epoch can't be transformed, or made again.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// The plugin can't be called.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A bug here: columns that were checked do not make a batch.
    #[error("rows can't be assembled")]
    Assemble(#[from] ArrowError),
    /// What was made again is not what was decided: tables may hold rows of it, so the lane stops.
    #[error("epoch {epoch} was made again and differs from its intent in {what}: {expected} was written down, now it is {found}")]
    Replay {
        /// The epoch.
        epoch: u64,
        /// Which part differs.
        what: String,
        /// As in the intent.
        expected: String,
        /// As it came out now.
        found: String,
    },
}

/// Why a transform can't be made ready.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The plugin's file is not a plugin.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// Its input can't be decoded.
    #[error(transparent)]
    Input(#[from] InputError),
    /// The settings do not fit the plugin.
    #[error(transparent)]
    Settings(#[from] SettingsError),
}

impl Transform {
    /// Makes a transform of a plugin's bytes (none: bronze) and its settings.
    ///
    /// # Errors
    /// What is wrong with the plugin or with the settings for it, all at once.
    pub fn build(host: &Host, settings: TransformSettings, wasm: Option<Bytes>) -> Result<Self, BuildError> {
        let dead_letters = Arc::new(dead_letter_table(&settings.database, &settings.dead_letters));
        let work = match (&settings.kind, wasm) {
            (Kind::Bronze { table }, _) => Work::Bronze { table: Arc::new(bronze_table(&settings.database, table)) },
            (Kind::Plugin, Some(wasm)) => {
                let plugin = host.load(wasm)?;
                let tables = settings.tables(plugin.description())?;
                let outputs = plugin.description().outputs.clone().into();
                settings.parameters(plugin.description())?;
                Decoder::new(&settings.input(plugin.description()), &settings::any_partition(), 1)?;
                Work::Plugin { plugin, outputs, tables }
            }
            (Kind::Plugin, None) => return Err(SettingsError::NoPlugin.into()),
        };
        let settings_digest = settings.digest().into();
        Ok(Self { settings: Arc::new(settings), settings_digest, work, dead_letters })
    }

    /// The settings that it was made with.
    #[must_use]
    pub fn settings(&self) -> &TransformSettings {
        &self.settings
    }

    /// Digest of the settings, in hex.
    #[must_use]
    pub fn settings_digest(&self) -> &str {
        &self.settings_digest
    }

    /// Digest of the plugin's bytes, in hex; empty for bronze.
    #[must_use]
    pub fn plugin_digest(&self) -> &str {
        match &self.work {
            Work::Plugin { plugin, .. } => plugin.digest(),
            Work::Bronze { .. } => "",
        }
    }

    /// The plugin, unless it is bronze.
    #[must_use]
    pub fn plugin(&self) -> Option<&Plugin> {
        match &self.work {
            Work::Plugin { plugin, .. } => Some(plugin),
            Work::Bronze { .. } => None,
        }
    }

    /// All tables that it writes, dead letters last.
    #[must_use]
    pub fn tables(&self) -> Vec<Arc<Table>> {
        let own = match &self.work {
            Work::Plugin { tables, .. } => tables.to_vec(),
            Work::Bronze { table } => vec![table.clone()],
        };
        own.into_iter().chain([self.dead_letters.clone()]).collect()
    }

    /// Transforms an epoch for the first time: finds its plan.
    ///
    /// # Errors
    /// The plugin does not start, or fails on too many rows.
    pub fn run(&self, lane: &LaneId, raw: &RawBatch, epoch: Epoch) -> Result<Transformed, TransformError> {
        let mut run = Run::new(self, lane, raw, epoch);
        match &self.work {
            Work::Bronze { table } => run.bronze(table),
            Work::Plugin { plugin, outputs, tables } => {
                let mut sandbox = Sandboxed::new(plugin, &self.settings, epoch, CallLimits::Enforced);
                let mut discovery = Discovery::default();
                run.plugin(plugin, outputs, tables, |chunk, decoded| {
                    let offsets = &decoded.changes.offset;
                    discovery.chunk(&mut sandbox, chunk, &decoded.rows, |row| offsets.value(row))
                })?;
                (run.plan, run.poison) = (discovery.plan, discovery.poison);
            }
        }
        run.seal()
    }

    /// Makes an epoch again as its intent says, and checks that it is the same.
    ///
    /// # Errors
    /// It is not the same, in what, and both values.
    pub fn replay(&self, lane: &LaneId, raw: &RawBatch, intent: &Intent) -> Result<Transformed, TransformError> {
        let epoch = Epoch { generation: intent.generation, number: intent.epoch, clock_ms: intent.clock_ms };
        let mut run = Run::new(self, lane, raw, epoch);
        match &self.work {
            Work::Bronze { table } => run.bronze(table),
            Work::Plugin { plugin, outputs, tables } => {
                let mut sandbox = Sandboxed::new(plugin, &self.settings, epoch, CallLimits::Replay);
                run.plugin(plugin, outputs, tables, |chunk, decoded| {
                    follow(&mut sandbox, &intent.calls, chunk, &decoded.rows)
                })?;
                (run.plan, run.poison) = (intent.calls.clone(), intent.poison.clone());
            }
        }
        let made = run.seal()?;
        same_as(intent, &made.intent)?;
        Ok(made)
    }
}

/// One epoch on its way through the stages.
struct Run<'a> {
    transform: &'a Transform,
    lane: &'a LaneId,
    raw: &'a RawBatch,
    epoch: Epoch,
    input: XxHash3_128,
    filling: Vec<Filling>,
    rejects: Vec<Reject>,
    plan: Vec<Call>,
    poison: Vec<Poison>,
    tally: Tally,
}

/// A block that still gets rows.
struct Filling {
    table: Arc<Table>,
    batches: Vec<RecordBatch>,
    rows: usize,
}

impl<'a> Run<'a> {
    fn new(transform: &'a Transform, lane: &'a LaneId, raw: &'a RawBatch, epoch: Epoch) -> Self {
        let tally = Tally { messages: raw.messages.len(), bytes: raw.bytes, ..Tally::default() };
        let (filling, rejects, plan, poison) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { transform, lane, raw, epoch, input: XxHash3_128::new(), filling, rejects, plan, poison, tally }
    }

    fn provenance(&self) -> Provenance<'a> {
        Provenance {
            lane: self.lane,
            plugin_digest: self.transform.plugin_digest(),
            generation: self.epoch.generation,
            epoch: self.epoch.number,
            now_ms: self.epoch.clock_ms,
        }
    }

    /// Every message as a row, undecoded.
    fn bronze(&mut self, table: &Arc<Table>) {
        let of = self.provenance();
        let block = self.tally.times.assemble.of(|| bronze_block(table, of, &self.raw.messages));
        self.input.write(&block.digest.to_le_bytes());
        self.tally.rows_in = block.rows;
        self.filling.push(Filling { table: table.clone(), rows: block.rows, batches: block.batches });
    }

    /// Decode, call, assemble: chunk by chunk.
    fn plugin(
        &mut self,
        plugin: &Plugin,
        outputs: &[Output],
        tables: &[Arc<Table>],
        mut call: impl FnMut(u32, &Decoded) -> Result<Vec<Answered>, CallError>,
    ) -> Result<(), TransformError> {
        self.filling = tables.iter().map(|table| Filling { table: table.clone(), batches: Vec::new(), rows: 0 }).collect();
        let input = self.transform.settings.input(plugin.description());
        let mut decoder = Decoder::new(&input, &self.raw.partition, self.epoch.generation)
            .expect("the same input was planned when the transform was built");
        for (chunk, messages) in (0_u32..).zip(self.raw.messages.chunks(CHUNK_MESSAGES)) {
            let decoded = self.tally.times.decode.of(|| decoder.decode(messages));
            self.account_for(&decoded);
            let answers = self.tally.times.plugin.of(|| call(chunk, &decoded))?;
            for answered in &answers {
                self.take_answer(answered, outputs, &decoded)?;
            }
        }
        Ok(())
    }

    fn account_for(&mut self, decoded: &Decoded) {
        self.input.write(&digest(std::slice::from_ref(&decoded.rows)).to_le_bytes());
        decoded.changes.offset.values().iter().for_each(|offset| self.input.write(&offset.to_le_bytes()));
        self.tally.rows_in += decoded.rows.num_rows();
        for (_, kind) in &decoded.no_ops {
            *self.tally.no_ops.entry(*kind).or_default() += 1;
        }
        self.rejects.extend_from_slice(&decoded.rejects);
    }

    fn take_answer(&mut self, answered: &Answered, outputs: &[Output], decoded: &Decoded) -> Result<(), TransformError> {
        let (start, length) = (answered.call.start as usize, (answered.call.end - answered.call.start) as usize);
        let rows = decoded.rows.slice(start, length);
        let changes = decoded.changes.slice(start, length);
        let of = self.provenance();
        for emitted in &answered.answer.emitted {
            let (output, filling) = (&outputs[emitted.output], &mut self.filling[emitted.output]);
            let batch = self.tally.times.assemble.of(|| {
                assemble(emitted, output, &filling.table, &rows, &changes, of, filling.rows)
            })?;
            let (batch, unfit) = set_unfit_aside(batch)?;
            self.rejects.extend(unfit);
            filling.rows += batch.num_rows();
            filling.batches.push(batch);
        }
        self.rejects.extend(answered.answer.rejected.iter().map(|rejected| Reject {
            offset: changes.offset.value(rejected.row),
            stage: Stage::Transform,
            code: rejected.code.clone(),
            column: None,
            reason: rejected.reason.clone(),
        }));
        Ok(())
    }

    /// Ends the epoch: dead letters, digests, the intent.
    fn seal(mut self) -> Result<Transformed, TransformError> {
        self.rejects.extend(self.poison.iter().map(|poison| Reject {
            offset: poison.offset,
            stage: Stage::Transform,
            code: poison.code.clone(),
            column: None,
            reason: poison.reason.clone(),
        }));
        for reject in &self.rejects {
            *self.tally.dead.entry((reject.stage, reject.code.clone())).or_default() += 1;
        }
        self.tally.rows_out = self.filling.iter().map(|filling| filling.rows).sum();
        let mut blocks: Vec<_> = std::mem::take(&mut self.filling).into_iter().filter(|filling| filling.rows > 0).collect();
        let mut blocks: Vec<_> = self.tally.times.assemble.of(|| blocks.drain(..).map(Filling::seal).collect());
        blocks.extend(self.dead_letters());
        let intent = self.intent(&blocks);
        Ok(Transformed { blocks, intent, tally: self.tally })
    }

    /// The epoch's rejects with their messages, in offset order, which makes the block independent of how they were found.
    fn dead_letters(&mut self) -> Option<Block> {
        if self.rejects.is_empty() {
            return None;
        }
        self.rejects.sort_by_key(|reject| reject.offset);
        let letters: Vec<_> = self
            .rejects
            .iter()
            .filter_map(|reject| Some(DeadLetter { message: self.message_at(reject.offset)?, reject }))
            .collect();
        Some(dead_letter_block(&self.transform.dead_letters, self.provenance(), &letters))
    }

    fn message_at(&self, offset: i64) -> Option<&'a Message> {
        let index = self.raw.messages.binary_search_by_key(&offset, |message| message.offset).ok()?;
        self.raw.messages.get(index)
    }

    fn intent(&mut self, blocks: &[Block]) -> Intent {
        let planned = |block: &Block| PlannedBlock {
            table: block.table.quoted(),
            rows: block.rows,
            digest: format!("{:032x}", block.digest),
        };
        Intent {
            generation: self.epoch.generation,
            epoch: self.epoch.number,
            range: self.raw.range,
            messages: self.raw.messages.len(),
            input_digest: format!("{:032x}", self.input.finish_128()),
            plugin_digest: self.transform.plugin_digest().to_owned(),
            settings_digest: self.transform.settings_digest.to_string(),
            clock_ms: self.epoch.clock_ms,
            calls: std::mem::take(&mut self.plan),
            poison: std::mem::take(&mut self.poison),
            blocks: blocks.iter().map(planned).collect(),
        }
    }
}

impl Filling {
    fn seal(self) -> Block {
        Block { digest: digest(&self.batches), table: self.table, batches: self.batches, rows: self.rows }
    }
}

/// Takes out the rows that the table can't hold exactly: they become dead letters, the rest stays.
fn set_unfit_aside(batch: RecordBatch) -> Result<(RecordBatch, Vec<Reject>), ArrowError> {
    let unfit = out_of_range(&batch);
    if unfit.is_empty() {
        return Ok((batch, Vec::new()));
    }
    let offsets = batch.column_by_name("_offset").expect("every output table has the engine's columns").clone();
    let offsets = offsets.as_primitive::<Int64Type>();
    let rejects = unfit
        .iter()
        .map(|row| Reject {
            offset: offsets.value(row.row),
            stage: Stage::Transform,
            code: row.code.to_owned(),
            column: Some(batch.schema_ref().field(row.column).name().clone()),
            reason: row.reason.clone(),
        })
        .collect();
    let mut rows: Vec<_> = unfit.iter().map(|row| row.row).collect();
    rows.dedup();
    Ok((without(&batch, &rows)?, rejects))
}

/// Compares an epoch made again with what was decided.
fn same_as(intent: &Intent, again: &Intent) -> Result<(), TransformError> {
    let differs = |what: &str, expected: String, found: String| {
        Err(TransformError::Replay { epoch: intent.epoch, what: what.to_owned(), expected, found })
    };
    if intent.messages != again.messages {
        return differs("the number of messages", intent.messages.to_string(), again.messages.to_string());
    }
    if intent.input_digest != again.input_digest {
        return differs("the decoded input", intent.input_digest.clone(), again.input_digest.clone());
    }
    if intent.blocks != again.blocks {
        return differs("the output", format!("{:?}", intent.blocks), format!("{:?}", again.blocks));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
