//! The transform of a lane: raw messages in, sealed blocks out.
//!
//! **Promise.** A pure function of the messages, their schemas, the settings, the plugin's bytes, the state that the epochs
//! before left, and the epoch's stamp (number, clock, watermark): the same input gives the same blocks and the same changes
//! of the state, byte for byte. Every message becomes rows, a dead letter, a counted no-op or
//! is dropped by the plugin on purpose.
//! **Assumed.** The caller writes the plan down before it sends the blocks, and drops the state after an error.
//! **After a crash** [`Transform::replay`] follows the plan and checks what comes out against the intent.

mod assemble;
mod calls;
mod run;
mod sandboxed;
mod settings;
mod stages;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef};
use arrow_schema::ArrowError;
use bytes::Bytes;

use crate::batch::{Block, Decoded, NoOp, RawBatch, Reject, Stage};
use crate::decode::source::RowSchema;
use crate::decode::{Decoder, InputError, Op};
use crate::journal::Intent;
use crate::offsets::LaneId;
use crate::plugin::{EventTime, Host, LoadError, Output, Plugin};
use crate::registry::Schemas;
use crate::sink::{MOST_KEPT_BYTES, bronze_table, dead_letter_table};
use crate::source::Part;
use crate::state::{DUE_ROWS, Sealed, State, StateError};
use crate::table::Table;

pub use calls::{Budget, CallError};
pub use sandboxed::CallLimits;
pub use settings::{EventTimeSettings, Kind, Misfit, SandboxLimits, SettingsError, TransformSettings, check_table};
pub use stages::StageTimes;

use calls::{Calls, Discovery, Plan};
use run::Run;
use sandboxed::Sandboxed;

/// Messages decoded, and passed to the plugin, in one go. Measured: larger batches leave the part of a guest's memory
/// that the pool keeps resident, and are paid for in page faults. Part of the journal's format: a plan counts chunks.
pub const CHUNK_MESSAGES: usize = 8192;

/// A transform, ready to run on any partition of its topics.
#[derive(Clone)]
pub struct Transform {
    settings: Arc<TransformSettings>,
    settings_digest: Arc<str>,
    part: Arc<Part>,
    /// The value of `_plugin`, where it is asked for.
    made_by: Option<Arc<str>>,
    work: Work,
    dead_letters: Arc<Table>,
    impatient: bool,
    budget: Budget,
    /// Why messages are parked.
    parking: Option<Arc<str>>,
}

#[derive(Clone)]
enum Work {
    /// Rows through a plugin.
    Plugin { plugin: Plugin, outputs: Arc<[Output]>, tables: Arc<[Arc<Table>]>, event_time: Option<EventTime> },
    /// Messages as they are.
    Bronze { table: Arc<Table> },
    /// Messages that nobody claims, to the dead letters.
    Unclaimed,
}

impl Work {
    /// Which plugin it is: the version that its author gave it, and the first digits of its digest.
    fn name(&self) -> Option<String> {
        match self {
            Self::Plugin { plugin, .. } => {
                let digest = plugin.digest();
                Some(format!("{}@{}", plugin.description().version, digest.get(..12).unwrap_or(digest)))
            }
            Self::Bronze { .. } | Self::Unclaimed => None,
        }
    }
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
    /// Its watermark, ms since 1970-01-01 UTC.
    pub watermark_ms: Option<i64>,
}

impl Epoch {
    /// The epoch of an intent.
    #[must_use]
    pub fn of(intent: &Intent) -> Self {
        Self {
            generation: intent.generation,
            number: intent.epoch,
            clock_ms: intent.clock_ms,
            watermark_ms: intent.watermark_ms,
        }
    }
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
    /// What the plugin counted, by its names.
    pub counts: BTreeMap<String, u64>,
    /// What its messages say of their rows.
    pub rows: Observed,
    /// CPU time of each stage.
    pub times: StageTimes,
}

/// What the messages of an epoch say of their rows, beside the rows themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Each schema once, in the order in which it came first: see [`Decoder::row_schemas`].
    pub schemas: Vec<Arc<RowSchema>>,
    /// The input's columns that were null in a row that is no delete.
    pub nulls: BTreeSet<usize>,
}

impl Observed {
    /// Notes which columns of some rows are null. A delete may know its key alone, so as many nulls as deletes say nothing.
    fn nulls_of(&mut self, decoded: &Decoded) {
        let nulls = |column: &ArrayRef| column.null_count();
        if decoded.rows.columns().iter().all(|column| nulls(column) == 0) {
            return;
        }
        let deletes = decoded.changes.op.values().iter().filter(|op| **op == Op::Delete as u8).count();
        let columns = decoded.rows.columns().iter().enumerate();
        self.nulls.extend(columns.filter(|(_, column)| nulls(column) > deletes).map(|(index, _)| index));
    }
}

/// An epoch transformed, nothing of it sent.
#[derive(Debug)]
pub struct Transformed {
    /// One block for each table that gets rows.
    pub blocks: Vec<Block>,
    /// What to write down of it.
    pub intent: Intent,
    /// What it changed of the state.
    pub state: Sealed,
    /// Files that nothing names any more once that is committed.
    pub replaced: Vec<PathBuf>,
    /// Some of its rows were made of state alone: their version is the one of a message that may follow.
    pub of_state: bool,
    /// Why messages were set aside: one for each, in offset order.
    pub rejects: Vec<Reject>,
    /// For metrics.
    pub tally: Tally,
}

/// Why an epoch can't be transformed, or made again.
#[derive(Debug, thiserror::Error)]
pub enum TransformError {
    /// What the plugin remembers can't be had, or not be kept.
    #[error(transparent)]
    State(#[from] StateError),
    /// The plugin can't be called.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A row that no message made, so that it can be nobody's dead letter.
    #[error("the plugin made a row of its state alone that table {table} can't hold, in column {column}: {reason}")]
    Unfit {
        /// The table, quoted.
        table: String,
        /// The column.
        column: String,
        /// Why.
        reason: String,
    },
    /// A message that can't be parked: its letter would hold the beginning of it alone.
    #[error(
        "the message of offset {offset} has more than {MOST_KEPT_BYTES} bytes of key, value or headers, which no dead letter \
         holds, so it is not parked but waits at the source, and those behind it"
    )]
    Unparkable {
        /// Its offset.
        offset: i64,
    },
    /// A bug here: columns that were checked do not make a batch.
    #[error("rows can't be assembled")]
    Assemble(#[from] ArrowError),
    /// What was made again is not what was decided: tables may hold rows of it, so the lane stops.
    #[error(
        "epoch {epoch} was made again and differs from its intent in {what}: {expected} was written down, now it is {found}"
    )]
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
            (Kind::Unclaimed { .. }, _) => Work::Unclaimed,
            (Kind::Plugin, Some(wasm)) => {
                let plugin = host.load(wasm)?;
                let plugin = plugin.of(&settings.tenant, &settings.name).logging(settings.limits.log_lines_per_second);
                let tables = settings.tables(plugin.description())?;
                let outputs = plugin.description().outputs.clone().into();
                settings.parameters(plugin.description())?;
                settings.columns(plugin.description())?;
                let event_time = settings.event_time(plugin.description())?;
                Decoder::new(&settings.input(plugin.description()), &settings::any_partition(), 1)?;
                Work::Plugin { plugin, outputs, tables, event_time }
            }
            (Kind::Plugin, None) => return Err(SettingsError::NoPlugin.into()),
        };
        let settings_digest = settings.digest().into();
        let part = Arc::new(settings.part());
        let made_by = work.name().filter(|_| settings.plugin_column).map(Into::into);
        let (settings, impatient, budget, parking) = (Arc::new(settings), false, Budget::default(), None);
        Ok(Self { settings, settings_digest, part, made_by, work, dead_letters, impatient, budget, parking })
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

    /// The part of its topics that it reads.
    #[must_use]
    pub fn part(&self) -> &Part {
        &self.part
    }

    /// Digest of the plugin's bytes, in hex; empty for bronze.
    #[must_use]
    pub fn plugin_digest(&self) -> &str {
        match &self.work {
            Work::Plugin { plugin, .. } => plugin.digest(),
            Work::Bronze { .. } | Work::Unclaimed => "",
        }
    }

    /// Whether another transform does the same: the same plugin with the same settings.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.plugin_digest() == other.plugin_digest() && self.settings_digest == other.settings_digest
    }

    /// The plugin, unless it is bronze.
    #[must_use]
    pub fn plugin(&self) -> Option<&Plugin> {
        match &self.work {
            Work::Plugin { plugin, .. } => Some(plugin),
            Work::Bronze { .. } | Work::Unclaimed => None,
        }
    }

    /// All tables that it writes, dead letters last.
    #[must_use]
    pub fn tables(&self) -> Vec<Arc<Table>> {
        let own = match &self.work {
            Work::Plugin { tables, .. } => tables.to_vec(),
            Work::Bronze { table } => vec![table.clone()],
            Work::Unclaimed => Vec::new(),
        };
        own.into_iter().chain([self.dead_letters.clone()]).collect()
    }

    /// The table of its dead letters.
    #[must_use]
    pub fn dead_letters(&self) -> &Arc<Table> {
        &self.dead_letters
    }

    /// Whether rows come of more than the epoch's messages: of what the plugin keeps from epoch to epoch, or of the times of
    /// earlier events.
    #[must_use]
    pub fn remembers(&self) -> bool {
        self.state_version().is_some() || self.event_time().is_some()
    }

    /// Whether messages are decoded or looked at, so that their schemas are needed.
    #[must_use]
    pub fn decodes(&self) -> bool {
        match self.work {
            Work::Plugin { .. } => true,
            Work::Unclaimed => self.part.reads_columns(),
            Work::Bronze { .. } => false,
        }
    }

    /// Where it gets its watermarks from, if it has any.
    #[must_use]
    pub fn event_time(&self) -> Option<EventTime> {
        match &self.work {
            Work::Plugin { event_time, .. } => *event_time,
            Work::Bronze { .. } | Work::Unclaimed => None,
        }
    }

    /// The version of the state that it keeps, if it keeps any.
    #[must_use]
    pub fn state_version(&self) -> Option<u32> {
        self.plugin()?.description().state.as_ref().map(|state| state.version)
    }

    /// A state in which nothing is remembered yet; without tables where it keeps none.
    #[must_use]
    pub fn empty_state(&self) -> State {
        let kept = self.plugin().and_then(|plugin| plugin.description().state.as_ref());
        kept.map_or_else(State::default, |kept| State::new(kept.tables.clone(), self.settings.limits.state_bytes))
    }

    /// The same transform, which gives up at the first call that takes too long. To find the rows that are to blame takes up
    /// to 13 such calls for each, and a version on trial is withdrawn for any of them.
    #[must_use]
    pub fn impatient(self) -> Self {
        Self { impatient: true, ..self }
    }

    /// The same transform, which fails on so much at most.
    #[must_use]
    pub fn within(self, budget: Budget) -> Self {
        Self { budget, ..self }
    }

    /// The same transform, which makes a letter of each message, for this reason, and nothing else: what the plugin remembers
    /// and the watermark stay as they are.
    #[must_use]
    pub fn parking(self, reason: &str) -> Self {
        Self { parking: Some(reason.into()), ..self }
    }

    /// Transforms an epoch for the first time, over the state that the epoch before left: finds its plan.
    ///
    /// # Errors
    /// The plugin does not start, fails on too many rows, or wants to remember too much.
    pub fn run(
        &self,
        lane: &LaneId,
        raw: &RawBatch,
        schemas: &Schemas,
        epoch: Epoch,
        state: &mut State,
    ) -> Result<Transformed, TransformError> {
        let run = Run::new(self, lane, raw, schemas, epoch);
        if let Some(reason) = &self.parking {
            return run.park(reason);
        }
        self.epoch(run, epoch, Calls::Find(Discovery::new(self.impatient, self.budget)), state)
    }

    /// Makes an epoch again as its intent says, over the same state, and checks that it is the same.
    ///
    /// # Errors
    /// It is not the same, in what, and both values.
    pub fn replay(
        &self,
        lane: &LaneId,
        raw: &RawBatch,
        schemas: &Schemas,
        intent: &Intent,
        state: &mut State,
    ) -> Result<Transformed, TransformError> {
        let epoch = Epoch::of(intent);
        let mut run = Run::new(self, lane, raw, schemas, epoch);
        if let Some(reason) = &intent.parked {
            let made = run.park(reason)?;
            same_as(intent, &made.intent)?;
            return Ok(made);
        }
        (run.poison, run.expired) = (intent.poison.clone(), intent.expired.clone());
        let plan = Plan { expired: intent.expired.as_ref(), calls: &intent.calls };
        let made = self.epoch(run, epoch, Calls::Follow(plan), state)?;
        same_as(intent, &made.intent)?;
        Ok(made)
    }

    fn epoch(
        &self,
        mut run: Run<'_>,
        epoch: Epoch,
        mut calls: Calls<'_>,
        state: &mut State,
    ) -> Result<Transformed, TransformError> {
        match &self.work {
            Work::Bronze { table } => run.bronze(table),
            Work::Unclaimed => run.unclaimed(&self.part),
            Work::Plugin { plugin, outputs, tables, .. } => {
                let due = state.begin(epoch.watermark_ms, DUE_ROWS)?;
                let mut sandbox = Sandboxed::new(plugin, &self.settings, epoch, calls.limits(), state);
                run.plugin(plugin, outputs, tables, &mut sandbox, (&mut calls, &due))?;
                match calls {
                    Calls::Find(found) => {
                        (run.expired, run.plan, run.poison) = (found.expired, found.plan, found.poison);
                    }
                    Calls::Follow(plan) => run.plan = plan.calls.to_vec(),
                }
                run.set_entries_aside(plugin, &due);
            }
        }
        run.seal(state)
    }
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
    if intent.state_digest != again.state_digest {
        return differs(
            "the changes of the state",
            format!("{:?}", intent.state_digest),
            format!("{:?}", again.state_digest),
        );
    }
    if intent.next_watermark_ms != again.next_watermark_ms {
        let (expected, found) = (intent.next_watermark_ms, again.next_watermark_ms);
        return differs("the watermark", format!("{expected:?}"), format!("{found:?}"));
    }
    if intent.blocks != again.blocks {
        return differs("the output", format!("{:?}", intent.blocks), format!("{:?}", again.blocks));
    }
    Ok(())
}
