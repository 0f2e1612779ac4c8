//! From a plugin's answer to table rows: made columns, columns passed on, and the engine's own.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, TimestampMillisecondType, UInt8Type};
use arrow_array::{
    ArrayRef, BooleanArray, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt8Array,
    UInt32Array, UInt64Array,
};
use arrow_schema::ArrowError;
use arrow_select::filter::filter;
use arrow_select::take::take;

use crate::batch::{Changes, Op};
use crate::input::version;
use crate::plugin::{Emitted, Origin, Output, Rows};
use crate::sink::Provenance;
use crate::table::Table;

/// A call's input: rows, and the changes that they are of.
#[derive(Clone, Debug)]
pub(super) struct CallInput {
    pub rows: RecordBatch,
    pub changes: Changes,
}

/// Where the engine's columns of one `emit` come from.
struct Marks {
    letters: StringArray,
    deleted: UInt8Array,
    versions: UInt64Array,
    source_ts: TimestampMillisecondArray,
    offsets: Int64Array,
}

/// Makes the table's rows of one `emit`. `input` is the call's, none where entries expired; `start` is the first offset of
/// the epoch's range; `first_row` is the ordinal of the first row in the epoch's block for this table.
pub(super) fn assemble(
    emitted: &Emitted,
    output: &Output,
    table: &Table,
    input: Option<&CallInput>,
    of: Provenance<'_>,
    start: i64,
    first_row: usize,
) -> Result<RecordBatch, ArrowError> {
    let mut made = emitted.made.columns().iter();
    let mut columns = Vec::with_capacity(table.schema.fields().len());
    for (_, origin) in &output.columns {
        columns.push(match *origin {
            Origin::Made => made.next().cloned().ok_or_else(|| missing(&table.name))?,
            Origin::Input(index) => match input {
                Some(input) => emitted.rows.pick(input.rows.column(index))?,
                None => return Err(missing(&table.name)),
            },
        });
    }
    let mut marks = match (&emitted.rows, input) {
        (Rows::None(rows), _) => Marks::of_state(*rows, of.generation, start),
        (rows, Some(input)) => Marks::of_changes(&rows.pick_changes(&input.changes)?, of.generation),
        (_, None) => return Err(missing(&table.name)),
    };
    if let Some(deletes) = &emitted.deletes {
        marks.deleted = deletes.values().iter().map(u8::from).collect::<Vec<_>>().into();
    }
    engine_columns(&mut columns, marks, of, first_row);
    RecordBatch::try_new(table.schema.clone(), columns)
}

impl Marks {
    fn of_changes(changes: &Changes, generation: u16) -> Self {
        Self {
            letters: changes.op.values().iter().map(|&op| Some(letter(op))).collect(),
            deleted: changes.op.values().iter().map(|&op| u8::from(op == Op::Delete as u8)).collect(),
            versions: changes.offset.values().iter().map(|&at| version(generation, at)).collect(),
            source_ts: changes.source_ts.clone(),
            offsets: changes.offset.clone(),
        }
    }

    /// Rows that no message made: their version is above those of all rows before the epoch, and not above that of its
    /// first message; their offset is that of no message of the epoch, so that they are nobody's dead letter.
    fn of_state(rows: usize, generation: u16, start: i64) -> Self {
        Self {
            letters: repeated("", rows),
            deleted: UInt8Array::from(vec![0; rows]),
            versions: UInt64Array::from(vec![version(generation, start); rows]),
            source_ts: TimestampMillisecondArray::new_null(rows),
            offsets: Int64Array::from(vec![start - 1; rows]),
        }
    }
}

fn missing(table: &str) -> ArrowError {
    ArrowError::InvalidArgumentError(format!("output {table} lacks a made column"))
}

impl Rows {
    /// The rows of an input column that the output is made from.
    fn pick(&self, column: &ArrayRef) -> Result<ArrayRef, ArrowError> {
        match self {
            Self::All => Ok(column.clone()),
            Self::Selected(bits) => filter(column, bits),
            Self::Taken(indices) => take(column, indices, None),
            Self::None(_) => Err(ArrowError::InvalidArgumentError("rows without an input row have no input".into())),
        }
    }

    fn pick_changes(&self, changes: &Changes) -> Result<Changes, ArrowError> {
        if matches!(self, Self::All) {
            return Ok(changes.clone());
        }
        Ok(Changes {
            op: self.pick(&(Arc::new(changes.op.clone()) as ArrayRef))?.as_primitive::<UInt8Type>().clone(),
            offset: self.pick(&(Arc::new(changes.offset.clone()) as ArrayRef))?.as_primitive::<Int64Type>().clone(),
            source_ts: self
                .pick(&(Arc::new(changes.source_ts.clone()) as ArrayRef))?
                .as_primitive::<TimestampMillisecondType>()
                .clone(),
        })
    }
}

/// Adds the columns of [`crate::table::engine_columns`], in that order, and that of [`crate::table::plugin_column`] where
/// it is asked for.
fn engine_columns(columns: &mut Vec<ArrayRef>, marks: Marks, of: Provenance<'_>, first_row: usize) {
    let Marks { letters, deleted, versions, source_ts, offsets } = marks;
    let rows = offsets.len();
    let ordinals: UInt32Array = (first_row..first_row + rows).map(ordinal).collect();
    columns.extend([
        Arc::new(letters) as ArrayRef,
        Arc::new(deleted),
        Arc::new(versions),
        Arc::new(source_ts.with_timezone("UTC")),
        Arc::new(repeated(&of.lane.topic, rows)),
        Arc::new(Int32Array::from(vec![of.lane.partition; rows])),
        Arc::new(offsets),
        Arc::new(UInt64Array::from(vec![of.lane.number(); rows])),
        Arc::new(UInt64Array::from(vec![of.epoch_column(); rows])),
        Arc::new(ordinals),
        Arc::new(TimestampMillisecondArray::from(vec![of.now_ms; rows]).with_timezone("UTC")),
    ]);
    columns.extend(of.made_by.map(|made_by| Arc::new(repeated(made_by, rows)) as ArrayRef));
}

fn letter(op: u8) -> &'static str {
    match op {
        b'c' => "c",
        b'u' => "u",
        b'd' => "d",
        _ => "r",
    }
}

fn ordinal(row: usize) -> u32 {
    u32::try_from(row)
        .expect("a block has less than 2^32 rows: epochs are bounded in messages and call output in bytes")
}

fn repeated(text: &str, rows: usize) -> StringArray {
    StringArray::new_repeated(text, rows)
}

/// Takes the rows of these messages (offsets, ascending) out of a batch.
pub(super) fn without_messages(batch: RecordBatch, offsets: &[i64]) -> Result<RecordBatch, ArrowError> {
    let of_rows = batch.column_by_name("_offset").expect("every output table has the engine's columns");
    let of_rows = of_rows.as_primitive::<Int64Type>().values().iter();
    let keep: BooleanArray = of_rows.map(|offset| Some(offsets.binary_search(offset).is_err())).collect();
    if keep.true_count() == batch.num_rows() {
        return Ok(batch);
    }
    arrow_select::filter::filter_record_batch(&batch, &keep)
}
