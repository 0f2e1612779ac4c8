//! Bronze: a topic as it came, message by message, without a plugin.
//!
//! **Promise.** A row for each message, tombstones included: key, value and headers exact to the byte, the message's
//! own time, and the engine's columns. Nothing is decoded, so nothing can be rejected: `_op` is empty, `_deleted` 0,
//! `_source_ts` null.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray, UInt8Array, UInt32Array,
    UInt64Array,
};

use super::messages::{Provenance, message_columns, message_fields, runs, same};
use crate::batch::{Block, Message};
use crate::digest::digest;
use crate::input::version;
use crate::table::{Table, TableKind, with_engine_columns};

/// A bronze table: `timestamp`, `key`, `value`, `headers` and the engine's columns, by topic, partition and offset.
#[must_use]
pub fn bronze_table(database: &str, name: &str) -> Table {
    Table {
        database: database.into(),
        name: name.into(),
        kind: TableKind::Append,
        schema: with_engine_columns(message_fields()),
        sort_key: ["_topic", "_partition", "_offset"].map(String::from).to_vec(),
        partition_by: None,
        indexes: vec![],
    }
}

/// One epoch's messages as a block of that table. `_row` counts them from 0, in the order given.
#[must_use]
pub fn bronze_block(table: &Arc<Table>, of: Provenance<'_>, messages: &[Message]) -> Block {
    let mut first_row = 0;
    let batches: Vec<RecordBatch> = runs(messages, Message::bytes)
        .into_iter()
        .map(|run| {
            let columns = columns(of, run, first_row);
            first_row += u32::try_from(run.len()).unwrap_or(u32::MAX);
            RecordBatch::try_new(Arc::clone(&table.schema), columns).expect("the table is bronze_table's")
        })
        .collect();
    Block { table: Arc::clone(table), digest: digest(&batches), batches, rows: messages.len() }
}

fn columns(of: Provenance<'_>, messages: &[Message], first_row: u32) -> Vec<ArrayRef> {
    let rows = messages.len();
    let offsets = || messages.iter().map(|message| message.offset);
    let unknown: TimestampMillisecondArray = std::iter::repeat_n(None, rows).collect();
    let now: TimestampMillisecondArray = std::iter::repeat_n(Some(of.now_ms), rows).collect();

    let mut columns = message_columns(messages.iter());
    columns.push(same::<StringArray, _>(Some(""), rows));
    columns.push(same::<UInt8Array, _>(Some(0), rows));
    columns.push(Arc::new(UInt64Array::from_iter_values(offsets().map(|offset| version(of.generation, offset)))));
    columns.push(Arc::new(unknown.with_timezone("UTC")));
    columns.push(same::<StringArray, _>(Some(&*of.lane.topic), rows));
    columns.push(same::<Int32Array, _>(Some(of.lane.partition), rows));
    columns.push(Arc::new(Int64Array::from_iter_values(offsets())));
    columns.push(same::<UInt64Array, _>(Some(of.lane.number()), rows));
    columns.push(same::<UInt64Array, _>(Some(of.epoch_column()), rows));
    columns.push(Arc::new((first_row..).take(rows).collect::<UInt32Array>()));
    columns.push(Arc::new(now.with_timezone("UTC")));
    columns
}
