//! Dead letters: messages set aside, with their bytes and the reason, as rows of a table of their own.
//!
//! **Promise.** A row holds the message exact to the byte, where it lay, who set it aside (tenant, plugin and its
//! digest) and why, so that it can be searched, counted, and sent again. It is one more output table of the epoch,
//! with a token, `_epoch` and `_row` like any other. A message has one letter, whatever number of rows it failed on.
//! **Bounds.** Key and value are kept up to [`MOST_KEPT_BYTES`] each, and so are the headers together; what is longer
//! is cut, and says so. ClickHouse drops letters that are older than [`KEPT_DAYS`].

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use arrow_array::TimestampMillisecondArray;
use arrow_array::{ArrayRef, Int32Array, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array};
use arrow_schema::{DataType, Field, Schema};
use sha2::{Digest, Sha256};

use super::messages::{Provenance, message_columns, message_fields, runs, same};
use crate::batch::{Block, Header, Message, Reject};
use crate::digest::digest;
use crate::table::{CLICKHOUSE_TYPE, TABLE_TTL, Table, TableKind, provenance_columns};

/// Most bytes of a message's key, of its value and of its headers that a letter keeps: as large as a whole message may
/// be in a broker that was left as it comes (`message.max.bytes`), so few are ever cut.
pub const MOST_KEPT_BYTES: usize = 1 << 20;

/// How long the table keeps a letter: a quarter, in which somebody will have looked. It is in the table's `TTL`, where
/// whoever wants another one alters it.
pub const KEPT_DAYS: u32 = 90;

/// A message set aside, and why.
#[derive(Clone, Copy, Debug)]
pub struct DeadLetter<'a> {
    /// The message as it lay in its topic.
    pub message: &'a Message,
    /// The reason.
    pub reject: &'a Reject,
}

/// The table for a tenant's dead letters. Partitioned by month, so that old ones are dropped without a merge.
///
/// | column | meaning |
/// |---|---|
/// | `tenant`, `plugin`, `plugin_digest` | who set the message aside |
/// | `topic`, `partition`, `offset`, `timestamp`, `key`, `value`, `headers` | the message |
/// | `message_bytes` | bytes of its key, value and headers in the topic |
/// | `cut_sha256` | empty: the message is here whole; else it was cut, and this is the SHA-256 of its whole value |
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
    fields.push(Field::new("message_bytes", DataType::UInt64, false));
    fields.push(Field::new("cut_sha256", DataType::Utf8, false));
    fields.extend([word("stage", false), word("code", false), word("column", true)]);
    fields.push(Field::new("reason", DataType::Utf8, false));
    fields.extend(provenance_columns());
    let ttl = format!("toDateTime(_ingested_at) + INTERVAL {KEPT_DAYS} DAY");
    let metadata = HashMap::from([(TABLE_TTL.to_owned(), ttl)]);
    Table {
        database: database.into(),
        name: name.into(),
        kind: TableKind::Append,
        schema: Arc::new(Schema::new_with_metadata(fields, metadata)),
        sort_key: ["topic", "partition", "offset"].map(String::from).to_vec(),
        partition_by: Some("toYYYYMM(_ingested_at)".to_owned()),
        indexes: vec![],
    }
}

/// One epoch's dead letters as a block of that table. `_row` counts them from 0, in the order given.
#[must_use]
pub fn dead_letter_block(table: &Arc<Table>, of: Provenance<'_>, letters: &[DeadLetter<'_>]) -> Block {
    let letters: Vec<Kept<'_>> = letters.iter().map(Kept::of).collect();
    let mut first_row = 0;
    let batches: Vec<RecordBatch> = runs(&letters, |letter| letter.message.bytes() + letter.reject.reason.len())
        .into_iter()
        .map(|run| {
            let columns = columns(of, run, first_row);
            first_row += u32::try_from(run.len()).unwrap_or(u32::MAX);
            RecordBatch::try_new(Arc::clone(&table.schema), columns).expect("the table is dead_letter_table's")
        })
        .collect();
    Block { table: Arc::clone(table), digest: digest(&batches), batches, rows: letters.len() }
}

/// Whether a letter holds a message whole, so that it can be replayed.
#[must_use]
pub fn is_kept_whole(message: &Message) -> bool {
    fits(message, header_bytes(&message.headers()))
}

fn fits(message: &Message, headers: usize) -> bool {
    let fits = |bytes: Option<&[u8]>| bytes.is_none_or(|bytes| bytes.len() <= MOST_KEPT_BYTES);
    fits(message.key()) && fits(message.value()) && headers <= MOST_KEPT_BYTES
}

/// A letter as it is kept: its message whole, or the beginning of it.
struct Kept<'a> {
    message: Part<'a>,
    bytes: usize,
    cut_sha256: String,
    reject: &'a Reject,
}

enum Part<'a> {
    Whole(&'a Message),
    Beginning(Message),
}

impl Deref for Part<'_> {
    type Target = Message;

    fn deref(&self) -> &Message {
        match self {
            Self::Whole(message) => message,
            Self::Beginning(message) => message,
        }
    }
}

impl<'a> Kept<'a> {
    fn of(letter: &DeadLetter<'a>) -> Self {
        let (message, reject) = (letter.message, letter.reject);
        let headers = header_bytes(&message.headers());
        let bytes = message.bytes() + headers;
        if fits(message, headers) {
            return Self { message: Part::Whole(message), bytes, cut_sha256: String::new(), reject };
        }
        let hash = Sha256::digest(message.value().unwrap_or_default());
        let cut_sha256 = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        Self { message: Part::Beginning(beginning(message)), bytes, cut_sha256, reject }
    }
}

/// What is kept of a message that is too long: the beginnings of key and value, and the headers up to the one that is
/// too much.
fn beginning(message: &Message) -> Message {
    let cut = |bytes: Option<&[u8]>| bytes.map(|bytes| bytes[..bytes.len().min(MOST_KEPT_BYTES)].to_vec());
    let mut kept = 0;
    let fits = |header: &Header| {
        kept += header_bytes(std::slice::from_ref(header));
        kept <= MOST_KEPT_BYTES
    };
    let headers = message.headers().into_iter().take_while(fits).collect();
    Message::owned(message.offset, message.timestamp, cut(message.key()), cut(message.value()), headers)
}

fn header_bytes(headers: &[Header]) -> usize {
    headers.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Vec::len)).sum()
}

fn columns(of: Provenance<'_>, letters: &[Kept<'_>], first_row: u32) -> Vec<ArrayRef> {
    let rows = letters.len();
    let text = |value: &str| same::<StringArray, _>(Some(value), rows);
    let rejects = || letters.iter().map(|letter| letter.reject);
    let each = |of: fn(&Reject) -> &str| Arc::new(StringArray::from_iter_values(rejects().map(of))) as ArrayRef;

    let mut columns = vec![text(&of.lane.tenant), text(&of.lane.plugin), text(of.plugin_digest), text(&of.lane.topic)];
    columns.push(same::<Int32Array, _>(Some(of.lane.partition), rows));
    columns.push(Arc::new(Int64Array::from_iter_values(letters.iter().map(|letter| letter.message.offset))));
    columns.extend(message_columns(letters.iter().map(|letter| &*letter.message)));
    columns.push(Arc::new(UInt64Array::from_iter_values(letters.iter().map(|letter| letter.bytes as u64))));
    columns.push(Arc::new(StringArray::from_iter_values(letters.iter().map(|letter| &letter.cut_sha256))));
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

#[cfg(test)]
mod tests {
    use arrow_array::cast::AsArray;
    use arrow_array::types::UInt64Type;

    use super::*;
    use crate::batch::Stage;
    use crate::offsets::LaneId;

    fn reject() -> Reject {
        Reject { offset: 7, stage: Stage::Decode, code: "x".into(), column: None, reason: "y".into() }
    }

    fn row_of(message: &Message) -> RecordBatch {
        let lane =
            LaneId { tenant: "t".into(), plugin: "p".into(), topic: "o".into(), topic_id: String::new(), partition: 0 };
        let of = Provenance { lane: &lane, plugin_digest: "", made_by: None, generation: 1, epoch: 1, now_ms: 0 };
        let table = Arc::new(dead_letter_table("d", "dead_letters"));
        let block = dead_letter_block(&table, of, &[DeadLetter { message, reject: &reject() }]);
        assert_eq!(block.rows, 1);
        block.batches[0].clone()
    }

    fn text(row: &RecordBatch, column: &str) -> String {
        row.column_by_name(column).expect(column).as_string::<i32>().value(0).to_owned()
    }

    fn kept(row: &RecordBatch, column: &str) -> usize {
        row.column_by_name(column).expect(column).as_binary::<i32>().value(0).len()
    }

    #[test]
    fn a_message_of_a_mebibyte_is_kept_whole_and_a_longer_one_is_cut() {
        for (length, whole) in [(MOST_KEPT_BYTES, true), (MOST_KEPT_BYTES + 1, false)] {
            let row = row_of(&Message::owned(7, None, Some(vec![1; 3]), Some(vec![2; length]), vec![]));
            assert_eq!(kept(&row, "value"), MOST_KEPT_BYTES);
            let bytes = row.column_by_name("message_bytes").expect("column").as_primitive::<UInt64Type>().value(0);
            assert_eq!(bytes, length as u64 + 3);
            let sha: String = Sha256::digest(vec![2; length]).iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(text(&row, "cut_sha256"), if whole { String::new() } else { sha });
        }
    }

    #[test]
    fn headers_are_kept_up_to_the_one_that_is_too_much() {
        let header = |length| ("h".to_owned(), Some(vec![0; length]));
        let headers = vec![header(10), header(MOST_KEPT_BYTES), header(10)];
        let row = row_of(&Message::owned(7, None, None, None, headers));
        assert_eq!(row.column_by_name("headers").expect("headers").as_list::<i32>().value(0).len(), 1);
        assert!(!text(&row, "cut_sha256").is_empty());
    }
}
