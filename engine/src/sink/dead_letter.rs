//! Dead letters: messages set aside, with their bytes and the reason, as rows of a table of their own.
//!
//! **Promise.** A row holds the message exact to the byte, where it lay, who set it aside (tenant, plugin and its
//! digest) and why, so that it can be searched, counted, and sent again. It is one more output table of the epoch,
//! with a token, `_epoch` and `_row` like any other.

use std::sync::Arc;

use arrow_array::TimestampMillisecondArray;
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};

use super::messages::{Provenance, message_columns, message_fields, runs, same};
use crate::batch::{Block, Message, Reject};
use crate::digest::digest;
use crate::table::{CLICKHOUSE_TYPE, Table, TableKind, provenance_columns};

/// A message set aside, and why.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The message as it lay in its topic.
    pub message: &'a Message,
    /// The reason.
    pub reject: &'a Reject,
}

/// The table for a tenant's dead letters. They stay until somebody deletes them.
///
/// | column | meaning |
/// |---|---|
/// | `tenant`, `plugin`, `plugin_digest` | who set the message aside |
/// | `topic`, `partition`, `offset`, `timestamp`, `key`, `value`, `headers` | the message |
/// | `stage`, `code`, `column`, `reason` | where on the path, the word to count by, and what is wrong |
/// | `_lane`, `_epoch`, `_row`, `_ingested_at` | as in every table |
#[must_use]
pub fn dead_letter_table(database: &str, name: &str) -> Table {
    let word = |name: &str, nullable: bool| {
        let metadata = [(CLICKHOUSE_TYPE.to_owned(), "LowCardinality(String)".to_owned())];
        Field::new(name, DataType::Utf8, nullable).with_metadata(metadata)
    };
    let mut fields = vec![word("tenant", false), word("plugin", false), word("plugin_digest", false)];
    fields.push(word("topic", false));
    fields.push(Field::new("partition", DataType::Int32, false));
    fields.push(Field::new("offset", DataType::Int64, false));
    fields.extend(message_fields());
    fields.extend([word("stage", false), word("code", false), word("column", true)]);
    fields.push(Field::new("reason", DataType::Utf8, false));
    fields.extend(provenance_columns());
    Table {
        database: database.into(),
        name: name.into(),
        kind: TableKind::Append,
        schema: Arc::new(Schema::new(fields)),
        sort_key: ["topic", "partition", "offset"].map(String::from).to_vec(),
        partition_by: None,
        indexes: vec![],
    }
}

/// One epoch's dead letters as a block of that table. `_row` counts them from 0, in the order given.
#[must_use]
pub fn dead_letter_block(table: &Arc<Table>, of: Provenance<'_>, letters: &[DeadLetter<'_>]) -> Block {
    let mut first_row = 0;
    let batches: Vec<RecordBatch> = runs(letters, |letter| letter.message.bytes() + letter.reject.reason.len())
        .into_iter()
        .map(|run| {
            let columns = columns(of, run, first_row);
            first_row += u32::try_from(run.len()).unwrap_or(u32::MAX);
            RecordBatch::try_new(Arc::clone(&table.schema), columns).expect("the table is dead_letter_table's")
        })
        .collect();
    Block { table: Arc::clone(table), digest: digest(&batches), batches, rows: letters.len() }
}

fn columns(of: Provenance<'_>, letters: &[DeadLetter<'_>], first_row: u32) -> Vec<ArrayRef> {
    let rows = letters.len();
    let text = |value: &str| same::<StringArray, _>(Some(value), rows);
    let rejects = || letters.iter().map(|letter| letter.reject);
    let each = |of: fn(&Reject) -> &str| Arc::new(StringArray::from_iter_values(rejects().map(of))) as ArrayRef;

    let mut columns = vec![text(&of.lane.tenant), text(&of.lane.plugin), text(of.plugin_digest), text(&of.lane.topic)];
    columns.push(same::<Int32Array, _>(Some(of.lane.partition), rows));
    columns.push(Arc::new(Int64Array::from_iter_values(letters.iter().map(|letter| letter.message.offset))));
    columns.extend(message_columns(letters.iter().map(|letter| letter.message)));
    columns.push(each(|reject| reject.stage.as_str()));
    columns.push(each(|reject| &reject.code));
    columns.push(Arc::new(rejects().map(|reject| reject.column.as_deref()).collect::<StringArray>()));
    columns.push(each(|reject| &reject.reason));
    columns.push(same::<UInt64Array, _>(Some(of.lane.number()), rows));
    columns.push(same::<UInt64Array, _>(Some(of.epoch_column()), rows));
    columns.push(Arc::new((first_row..).take(rows).collect::<UInt32Array>()));
    let now: TimestampMillisecondArray = std::iter::repeat_n(Some(of.now_ms), rows).collect();
    columns.push(Arc::new(now.with_timezone("UTC")));
    columns
}
