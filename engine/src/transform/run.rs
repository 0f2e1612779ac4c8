//! One epoch on its way through the stages: expire, decode, call, assemble, seal.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::ArrowError;
use twox_hash::XxHash3_128;

use super::assemble::{CallInput, assemble, without_messages};
use super::calls::{Answered, Caller, Calls, MAX_POISON_ENTRIES};
use super::{CHUNK_MESSAGES, Epoch, Tally, Transform, TransformError, Transformed};
use crate::batch::{Block, Decoded, Message, RawBatch, Reject, Stage};
use crate::cpu::checkpoint;
use crate::decode::Decoder;
use crate::digest::digest;
use crate::input::SelectBy;
use crate::journal::{Call, Expired, Intent, PlannedBlock, Poison};
use crate::offsets::LaneId;
use crate::plugin::{Answer, Output, Plugin, Rows};
use crate::registry::Schemas;
use crate::sink::{DeadLetter, OutOfRange, Provenance, bronze_block, dead_letter_block, is_kept_whole, out_of_range};
use crate::source::{Filter, Part, Unclaimed};
use crate::state::{Due, Seal, Sealed, State};
use crate::table::Table;

/// An epoch that is being made.
pub(super) struct Run<'a> {
    transform: &'a Transform,
    lane: &'a LaneId,
    raw: &'a RawBatch,
    schemas: &'a Schemas,
    epoch: Epoch,
    input: XxHash3_128,
    filling: Vec<Filling>,
    rejects: Vec<Reject>,
    /// The calls that succeeded.
    pub(super) plan: Vec<Call>,
    /// The rows that no call succeeded on.
    pub(super) poison: Vec<Poison>,
    /// The calls on expired entries, where one failed.
    pub(super) expired: Option<Expired>,
    /// The entries that no call succeeded on, as messages that never were.
    entries: Vec<(Message, Reject)>,
    /// The greatest event time of the calls.
    event_time_ms: Option<i64>,
    /// There are rows that no message made.
    of_state: bool,
    tally: Tally,
}

/// A block that still gets rows.
struct Filling {
    table: Arc<Table>,
    batches: Vec<RecordBatch>,
    /// Rows so far. Those of messages that are set aside are taken out at the end; their ordinals stay unused.
    rows: usize,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        transform: &'a Transform,
        lane: &'a LaneId,
        raw: &'a RawBatch,
        schemas: &'a Schemas,
        epoch: Epoch,
    ) -> Self {
        let tally = Tally { messages: raw.messages.len(), bytes: raw.bytes, ..Tally::default() };
        Self {
            transform,
            lane,
            raw,
            schemas,
            epoch,
            input: XxHash3_128::new(),
            filling: Vec::new(),
            rejects: Vec::new(),
            plan: Vec::new(),
            poison: Vec::new(),
            expired: None,
            entries: Vec::new(),
            event_time_ms: None,
            of_state: false,
            tally,
        }
    }

    fn provenance(&self) -> Provenance<'a> {
        Provenance {
            lane: self.lane,
            plugin_digest: self.transform.plugin_digest(),
            made_by: self.transform.made_by.as_deref(),
            generation: self.epoch.generation,
            epoch: self.epoch.number,
            now_ms: self.epoch.clock_ms,
        }
    }

    /// Every message as a row, undecoded.
    pub(super) fn bronze(&mut self, table: &Arc<Table>) {
        let of = self.provenance();
        let block = self.tally.times.assemble.of(|| bronze_block(table, of, &self.raw.messages));
        self.input.write(&block.digest.to_le_bytes());
        self.tally.rows_in = block.rows;
        self.filling.push(Filling { table: table.clone(), rows: block.rows, batches: block.batches });
    }

    /// Every message that has a row is set aside: there is nobody whose it is.
    pub(super) fn unclaimed(&mut self, part: &Part) {
        let mut filter = Filter::new(part.of_topic(&self.lane.topic));
        if let Some(answers) = &self.schemas.answers {
            filter.set_registry(answers);
        }
        for message in &self.raw.messages {
            self.input.write(&message.offset.to_le_bytes());
            let (by, code, reason) = match filter.why_unclaimed(message) {
                Unclaimed::NoRow(no_op) => {
                    *self.tally.no_ops.entry(no_op).or_default() += 1;
                    continue;
                }
                Unclaimed::UnknownTenant(by) => {
                    (by, "unknown_tenant", "no tenant has the value that the message names")
                }
                Unclaimed::NoTenant(by, reason) => (by, "no_tenant", reason),
            };
            let (column, reason) = match by {
                SelectBy::Column(path) => (Some(path), reason.to_owned()),
                SelectBy::Header(name) => (None, format!("header {name}: {reason}")),
            };
            let (offset, code) = (message.offset, code.to_owned());
            self.rejects.push(Reject { offset, stage: Stage::Tenant, code, column, reason });
        }
    }

    /// Expired entries first; then decode, call, assemble, chunk by chunk.
    pub(super) fn plugin(
        &mut self,
        plugin: &Plugin,
        outputs: &[Output],
        tables: &[Arc<Table>],
        caller: &mut impl Caller,
        (calls, due): (&mut Calls<'_>, &[Due]),
    ) -> Result<(), TransformError> {
        self.filling =
            tables.iter().map(|table| Filling { table: table.clone(), batches: Vec::new(), rows: 0 }).collect();
        for answer in self.tally.times.plugin.of(|| calls.expire(caller, due))? {
            self.take_rows(&answer, outputs, None)?;
        }
        let input = self.transform.settings.input(plugin.description());
        let mut decoder = Decoder::new(&input, &self.raw.partition, self.epoch.generation)
            .expect("the same input was planned when the transform was built");
        if let Some(answers) = &self.schemas.answers {
            decoder.set_registry(answers);
        }
        for (chunk, messages) in (0_u32..).zip(self.raw.messages.chunks(CHUNK_MESSAGES)) {
            checkpoint();
            let decoded = self.tally.times.decode.of(|| decoder.decode(messages));
            self.account_for(&decoded);
            self.tally.rows.nulls_of(&decoded);
            let offset_of = |row| decoded.changes.offset.value(row);
            let answers = self.tally.times.plugin.of(|| calls.chunk(caller, chunk, &decoded.rows, offset_of))?;
            for answered in &answers {
                self.take_answer(answered, outputs, &decoded)?;
            }
        }
        self.tally.rows.schemas = decoder.row_schemas();
        Ok(())
    }

    fn account_for(&mut self, decoded: &Decoded) {
        let input = &mut self.input;
        self.tally.times.digest.of(|| {
            input.write(&digest(std::slice::from_ref(&decoded.rows)).to_le_bytes());
            input.write(decoded.changes.offset.values().inner().as_slice());
        });
        self.tally.rows_in += decoded.rows.num_rows();
        for (_, kind) in &decoded.no_ops {
            *self.tally.no_ops.entry(*kind).or_default() += 1;
        }
        self.rejects.extend_from_slice(&decoded.rejects);
    }

    fn take_answer(
        &mut self,
        answered: &Answered,
        outputs: &[Output],
        decoded: &Decoded,
    ) -> Result<(), TransformError> {
        let (start, length) = (answered.call.start as usize, (answered.call.end - answered.call.start) as usize);
        let changes = decoded.changes.slice(start, length);
        self.rejects.extend(answered.answer.rejected.iter().map(|rejected| Reject {
            offset: changes.offset.value(rejected.row),
            stage: Stage::Transform,
            code: rejected.code.clone(),
            column: None,
            reason: rejected.reason.clone(),
        }));
        let input = CallInput { rows: decoded.rows.slice(start, length), changes };
        self.take_rows(&answered.answer, outputs, Some(&input))
    }

    /// Takes what a call gave beside its rejects.
    fn take_rows(
        &mut self,
        answer: &Answer,
        outputs: &[Output],
        input: Option<&CallInput>,
    ) -> Result<(), TransformError> {
        let (of, start) = (self.provenance(), self.raw.range.start);
        for emitted in &answer.emitted {
            let (output, filling) = (&outputs[emitted.output], &mut self.filling[emitted.output]);
            let (batch, unfit) = self.tally.times.assemble.of(|| {
                let batch = assemble(emitted, output, &filling.table, input, of, start, filling.rows)?;
                let unfit = unfit(&batch);
                Ok::<_, ArrowError>((batch, unfit))
            })?;
            if matches!(emitted.rows, Rows::None(_)) {
                self.of_state = true;
                if let Some(Reject { column, reason, .. }) = unfit.into_iter().next() {
                    let (table, column) = (filling.table.quoted(), column.unwrap_or_default());
                    return Err(TransformError::Unfit { table, column, reason });
                }
            } else {
                self.rejects.extend(unfit);
            }
            filling.rows += batch.num_rows();
            filling.batches.push(batch);
        }
        self.event_time_ms = self.event_time_ms.max(answer.event_time_ms);
        for (name, by) in &answer.counts {
            *self.tally.counts.entry(name.clone()).or_default() += by;
        }
        Ok(())
    }

    /// Makes a letter of each entry that no call succeeded on: it has the entry's key and value, and the table's name as its
    /// column. It is no message and has no offset, but a number below all of them, which no other letter of the lane's
    /// generation has.
    pub(super) fn set_entries_aside(&mut self, plugin: &Plugin, due: &[Due]) {
        let tables = plugin.description().state.as_ref().map_or(&[][..], |state| &state.tables);
        let most = i64::try_from(MAX_POISON_ENTRIES).expect("a small number");
        let below = i64::try_from(self.epoch.number).unwrap_or(i64::MAX).saturating_mul(-most) - 1;
        for (number, poison) in (0..).zip(self.expired.iter().flat_map(|expired| &expired.poison)) {
            let Some(batch) = due.get(poison.batch as usize) else { continue };
            let Some((key, value, _)) = batch.entry(poison.entry as usize) else { continue };
            let (offset, column) = (below - number, tables.get(batch.table).map(|table| table.name.clone()));
            let message = Message::owned(offset, None, Some(key.to_vec()), Some(value.to_vec()), Vec::new());
            let (code, reason) = (poison.code.clone(), poison.reason.clone());
            self.entries.push((message, Reject { offset, stage: Stage::Expire, code, column, reason }));
        }
    }

    /// Every message as a letter; nothing of it is looked at.
    pub(super) fn park(mut self, reason: &str) -> Result<Transformed, TransformError> {
        if let Some(message) = self.raw.messages.iter().find(|message| !is_kept_whole(message)) {
            return Err(TransformError::Unparkable { offset: message.offset });
        }
        let reject = |message: &Message| Reject {
            offset: message.offset,
            stage: Stage::Parked,
            code: Stage::Parked.as_str().to_owned(),
            column: None,
            reason: reason.to_owned(),
        };
        self.rejects = self.raw.messages.iter().map(reject).collect();
        self.tally.dead = [((Stage::Parked, Stage::Parked.as_str().to_owned()), self.rejects.len())].into();
        let blocks: Vec<_> = self.dead_letters().into_iter().collect();
        blocks.iter().for_each(|block| self.input.write(&block.digest.to_le_bytes()));
        let intent = Intent { parked: Some(reason.to_owned()), ..self.intent(&blocks) };
        let (rejects, tally) = (self.rejects, self.tally);
        let (state, replaced, of_state) = (Sealed::Unchanged, Vec::new(), false);
        Ok(Transformed { blocks, intent, state, replaced, of_state, rejects, tally })
    }

    /// Ends the epoch: dead letters, digests, changes of the state, the intent.
    pub(super) fn seal(mut self, state: &mut State) -> Result<Transformed, TransformError> {
        self.rejects.extend(self.poison.iter().map(|poison| Reject {
            offset: poison.offset,
            stage: Stage::Transform,
            code: poison.code.clone(),
            column: None,
            reason: poison.reason.clone(),
        }));
        self.rejects = one_for_each_message(std::mem::take(&mut self.rejects));
        for reject in self.rejects.iter().chain(self.entries.iter().map(|(_, reject)| reject)) {
            *self.tally.dead.entry((reject.stage, reject.code.clone())).or_default() += 1;
        }
        let filling = std::mem::take(&mut self.filling);
        let filling = self.tally.times.assemble.of(|| complete(filling, &self.rejects))?;
        let mut blocks: Vec<_> = self.tally.times.digest.of(|| filling.into_iter().map(Filling::seal).collect());
        self.tally.rows_out = blocks.iter().map(|block| block.rows).sum();
        blocks.extend(self.dead_letters());
        let mut intent = self.intent(&blocks);
        let Seal { changes, digest, replaced } = self.tally.times.digest.of(|| state.seal())?;
        if let Some(version) = self.transform.state_version() {
            (intent.state_version, intent.state_digest) = (Some(version), Some(format!("{digest:032x}")));
        }
        let (rejects, tally, of_state) = (self.rejects, self.tally, self.of_state);
        Ok(Transformed { blocks, intent, state: changes, replaced, of_state, rejects, tally })
    }

    /// What the next epoch sees: it never goes back, and it depends on this epoch and those before it alone.
    fn next_watermark(&self) -> Option<i64> {
        let delay_ms = self.transform.event_time().map_or(0, |event_time| event_time.delay_ms);
        self.epoch.watermark_ms.max(self.event_time_ms.map(|greatest| greatest.saturating_sub_unsigned(delay_ms)))
    }

    /// The epoch's rejects with their messages, in offset order, which makes the block independent of how they were found;
    /// before them the entries.
    fn dead_letters(&self) -> Option<Block> {
        let of_entries = self.entries.iter().map(|(message, reject)| DeadLetter { message, reject });
        let of_messages = self
            .rejects
            .iter()
            .filter_map(|reject| Some(DeadLetter { message: self.message_at(reject.offset)?, reject }));
        let letters: Vec<_> = of_entries.chain(of_messages).collect();
        (!letters.is_empty()).then(|| dead_letter_block(&self.transform.dead_letters, self.provenance(), &letters))
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
            schemas: self.schemas.digests.clone(),
            clock_ms: self.epoch.clock_ms,
            watermark_ms: self.epoch.watermark_ms,
            next_watermark_ms: self.next_watermark(),
            state_digest: None,
            state_version: None,
            expired: self.expired.take(),
            calls: std::mem::take(&mut self.plan),
            poison: std::mem::take(&mut self.poison),
            parked: None,
            blocks: blocks.iter().map(planned).collect(),
            marks: Vec::new(),
        }
    }
}

impl Filling {
    fn seal(self) -> Block {
        Block { digest: digest(&self.batches), table: self.table, batches: self.batches, rows: self.rows }
    }
}

/// The tables that get rows, without those of messages that are set aside: a message takes effect as a whole or is a
/// dead letter as a whole, so that replaying the letter repeats nothing.
fn complete(mut filling: Vec<Filling>, rejects: &[Reject]) -> Result<Vec<Filling>, ArrowError> {
    let set_aside: Vec<i64> = rejects.iter().map(|reject| reject.offset).collect();
    for filling in &mut filling {
        if !set_aside.is_empty() {
            let batches = std::mem::take(&mut filling.batches).into_iter();
            let batches = batches.map(|batch| without_messages(batch, &set_aside));
            filling.batches = batches.collect::<Result<_, _>>()?;
        }
        filling.rows = filling.batches.iter().map(RecordBatch::num_rows).sum();
    }
    filling.retain(|filling| filling.rows > 0);
    Ok(filling)
}

/// The rows that the table can't hold exactly.
fn unfit(batch: &RecordBatch) -> Vec<Reject> {
    let unfit = out_of_range(batch);
    let offsets = batch.column_by_name("_offset").expect("every output table has the engine's columns");
    let offsets = offsets.as_primitive::<Int64Type>();
    let reject = |row: OutOfRange| Reject {
        offset: offsets.value(row.row),
        stage: Stage::Transform,
        code: row.code.to_owned(),
        column: Some(batch.schema_ref().field(row.column).name().clone()),
        reason: row.reason,
    };
    unfit.into_iter().map(reject).collect()
}

/// In offset order, the first of each message, which says how many there are: a letter keeps the whole message, and one
/// that becomes a thousand rows must not be kept a thousand times.
fn one_for_each_message(mut rejects: Vec<Reject>) -> Vec<Reject> {
    rejects.sort_by_key(|reject| reject.offset);
    let of_message = |a: &Reject, b: &Reject| a.offset == b.offset;
    let first = |rejects: &[Reject]| {
        let mut reject = rejects[0].clone();
        if let more @ 1.. = rejects.len() - 1 {
            reject.reason.push_str(&format!(" (and {more} more of this message)"));
        }
        reject
    };
    rejects.chunk_by(of_message).map(first).collect()
}
