//! One epoch on its way through the stages: decode, call, assemble, seal.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::ArrowError;
use twox_hash::XxHash3_128;

use super::assemble::{assemble, without};
use super::calls::{Answered, CallError};
use super::{CHUNK_MESSAGES, Epoch, Tally, Transform, TransformError, Transformed};
use crate::batch::{Block, Decoded, Message, RawBatch, Reject, Stage};
use crate::decode::Decoder;
use crate::digest::digest;
use crate::journal::{Call, Intent, PlannedBlock, Poison};
use crate::offsets::LaneId;
use crate::plugin::{Output, Plugin};
use crate::registry::Schemas;
use crate::sink::{DeadLetter, Provenance, bronze_block, dead_letter_block, out_of_range};
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
    tally: Tally,
}

/// A block that still gets rows.
struct Filling {
    table: Arc<Table>,
    batches: Vec<RecordBatch>,
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
        let (filling, rejects, plan, poison) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { transform, lane, raw, schemas, epoch, input: XxHash3_128::new(), filling, rejects, plan, poison, tally }
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
    pub(super) fn bronze(&mut self, table: &Arc<Table>) {
        let of = self.provenance();
        let block = self.tally.times.assemble.of(|| bronze_block(table, of, &self.raw.messages));
        self.input.write(&block.digest.to_le_bytes());
        self.tally.rows_in = block.rows;
        self.filling.push(Filling { table: table.clone(), rows: block.rows, batches: block.batches });
    }

    /// Decode, call, assemble: chunk by chunk.
    pub(super) fn plugin(
        &mut self,
        plugin: &Plugin,
        outputs: &[Output],
        tables: &[Arc<Table>],
        mut call: impl FnMut(u32, &Decoded) -> Result<Vec<Answered>, CallError>,
    ) -> Result<(), TransformError> {
        self.filling =
            tables.iter().map(|table| Filling { table: table.clone(), batches: Vec::new(), rows: 0 }).collect();
        let input = self.transform.settings.input(plugin.description());
        let mut decoder = Decoder::new(&input, &self.raw.partition, self.epoch.generation)
            .expect("the same input was planned when the transform was built");
        if let Some(answers) = &self.schemas.answers {
            decoder.set_registry(answers);
        }
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
        let input = &mut self.input;
        self.tally.times.assemble.of(|| {
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
        let rows = decoded.rows.slice(start, length);
        let changes = decoded.changes.slice(start, length);
        let of = self.provenance();
        for emitted in &answered.answer.emitted {
            let (output, filling) = (&outputs[emitted.output], &mut self.filling[emitted.output]);
            let (batch, unfit) = self.tally.times.assemble.of(|| {
                set_unfit_aside(assemble(emitted, output, &filling.table, &rows, &changes, of, filling.rows)?)
            })?;
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
    pub(super) fn seal(mut self) -> Result<Transformed, TransformError> {
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
        let mut blocks: Vec<_> =
            std::mem::take(&mut self.filling).into_iter().filter(|filling| filling.rows > 0).collect();
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
            schemas: self.schemas.digests.clone(),
            clock_ms: self.epoch.clock_ms,
            calls: std::mem::take(&mut self.plan),
            poison: std::mem::take(&mut self.poison),
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
