//! Decoding: bytes of messages to Arrow columns.
//!
//! **Promise.** A pure function of the messages and the input: every message becomes exactly one of a row, a reject
//! or a no-op. Columns that nobody asked for are skipped, not parsed. Values are exact, or the message is rejected.
//! No message, however malformed, is an error of the lane, a panic or a hang.
//! **Assumed.** Messages of one partition, in offset order, less than 2 GiB of one column in a batch.
//! **After a crash** nothing here needs recovery: the same messages give the same columns.
//!
//! What becomes of a message:
//!
//! | message | becomes |
//! |---|---|
//! | envelope `c`, `u`, `r` | the row `after` |
//! | envelope `d` | the row `before`, completed from the key; without `before` the row of the key |
//! | envelope `t`, `m`; heartbeat, transaction, change of schema | no-op |
//! | flat row | the row; a delete if `__deleted` is true or `__op` is `d`, completed from the key |
//! | null | as [`Input::tombstone`] says: no-op, or a delete with the row of the key |
//! | anything else | reject |
//!
//! In the row of a delete whose message has a key, a column that the key does not hold and that can't be null is its
//! type's zero where it is null or absent: with the replica identities `default` and `nothing` the database does not
//! say more than the key.
//!
//! A key that occurs twice, among the columns asked for or on the envelope's own level, is a reject. What is skipped
//! is checked for its quotes and brackets alone (see `scan`).
//!
//! ```text
//! message ──schema──► payload ──envelope | flat──► rows ──columns──► Arrow arrays
//!          (wrapper)                    └─ no_op   └ members (keys), scan (values)
//! ```

pub mod input;

mod message;
mod partition;
mod decoded;
mod scan;
mod reject;
mod schema;
mod members;
mod columns;
mod rows;
mod key;
mod no_op;
mod envelope;
mod flat;
mod changes;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field};

use input::{ChangeColumn, Format, Tombstone};

use changes::ChangeLog;
use columns::Column;
use envelope::Envelopes;
use flat::FlatRows;
use key::Keys;
use reject::{MALFORMED, Place, Refused};
use rows::{Absent, Rows};
use schema::{Payload, Schemas, Shape};

pub use decoded::{Changes, Decoded, NoOp, Op, Reject, Stage};
pub use input::{EXTENSION_NAME, Input};
pub use message::{Header, Message, OwnedMessage, last_header};
pub use partition::TopicPartition;
pub use reject::RejectCode;

/// Decodes the messages of one partition for one input.
///
/// Memory beside the batch under way: the order of keys and the last schemas of the topic, a few MiB at most.
#[derive(Debug)]
pub struct Decoder {
    input: Input,
    change_columns: Vec<MadeColumn>,
    rows: Rows,
    changes: ChangeLog,
    keys: Keys,
    schemas: Schemas,
    reader: Reader,
}

#[derive(Debug)]
enum Reader {
    Envelope(Envelopes),
    Flat(FlatRows),
}

/// What became of a message that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Row(Change),
    NoOp(NoOp),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    op: Op,
    /// When the source database made it, ms since 1970-01-01 UTC.
    source_ts: Option<i64>,
}

impl Decoder {
    /// Plans the decoding of an input.
    ///
    /// # Errors
    /// Names every column whose type can't be decoded, whose name occurs twice, or is reserved with another type.
    pub fn new(input: &Input, partition: &TopicPartition, generation: u16) -> Result<Self, InputError> {
        let (columns, change_columns) = plan(input)?;
        let names: Vec<String> = columns.iter().map(|(_, name, ..)| name.clone()).collect();
        let (shape, reader) = match input.format {
            Format::Envelope => (Shape::Envelope, Reader::Envelope(Envelopes::new())),
            Format::Flat => (Shape::Row, Reader::Flat(FlatRows::new())),
        };
        Ok(Self {
            input: input.clone(),
            change_columns,
            rows: Rows::new(columns),
            changes: ChangeLog::new(partition.clone(), generation),
            keys: Keys::new(names.iter().map(String::as_str)),
            schemas: Schemas::new(shape, names.iter().map(String::as_str)),
            reader,
        })
    }

    /// Decodes messages, given in offset order. The result depends on the messages and the input alone: what the
    /// decoder remembers from earlier calls makes it faster, never different.
    pub fn decode<M: Message>(&mut self, messages: &[M]) -> Decoded {
        self.rows.reserve(messages.len());
        self.changes.reserve(messages.len());
        let (mut rejects, mut no_ops) = (Vec::new(), Vec::new());
        for (index, message) in messages.iter().enumerate() {
            match self.message(message.key(), message.value()) {
                Ok(Outcome::Row(change)) => self.changes.push(change.op, change.source_ts, message.offset(), index),
                Ok(Outcome::NoOp(no_op)) => {
                    self.rows.roll_back();
                    no_ops.push((message.offset(), no_op));
                }
                Err(refused) => {
                    self.rows.roll_back();
                    rejects.push(self.reject(message.offset(), refused));
                }
            }
        }
        let (changes, mut columns) = self.changes.take(&self.change_columns, messages);
        columns.extend(self.rows.take());
        columns.sort_unstable_by_key(|(place, _)| *place);
        let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, column)| column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(changes.offset.len()));
        let rows = RecordBatch::try_new_with_options(self.input.columns.clone(), columns, &options)
            .expect("each column is built with its field's type and has one cell for each row");
        Decoded { rows, changes, rejects, no_ops }
    }

    /// Reads one message; if it is a row, `rows` has it.
    fn message(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Outcome, Refused> {
        let Some(value) = value else { return self.tombstone(key) };
        let mut payload = self.schemas.open(value)?;
        if payload.cursor.peek() == Some(b'n') {
            return self.null(payload, key);
        }
        match &mut self.reader {
            Reader::Envelope(reader) => reader.read(&mut self.rows, &mut self.keys, payload, key),
            Reader::Flat(reader) => reader.read(&mut self.rows, &mut self.keys, payload, key),
        }
    }

    /// A converter with schemas may write a tombstone as a payload of null.
    fn null(&mut self, mut payload: Payload<'_>, key: Option<&[u8]>) -> Result<Outcome, Refused> {
        if !payload.cursor.take_null() {
            return Err(MALFORMED.into());
        }
        payload.end()?;
        self.tombstone(key)
    }

    fn tombstone(&mut self, key: Option<&[u8]>) -> Result<Outcome, Refused> {
        match self.input.tombstone {
            Tombstone::Ignore => Ok(Outcome::NoOp(NoOp::Tombstone)),
            Tombstone::Delete => {
                self.keys.required(&mut self.rows, key)?;
                self.rows.finish(Absent::KeyAlone)?;
                Ok(Outcome::Row(Change { op: Op::Delete, source_ts: None }))
            }
        }
    }

    fn reject(&self, offset: i64, refused: Refused) -> Reject {
        let column = match refused.place {
            Place::Column(index) => Some(self.input.columns.field(index)),
            Place::Value | Place::Key => None,
        };
        let reason = match column {
            Some(field) => format!("column {} ({}): {}", field.name(), field.data_type(), refused.refusal.reason),
            None => refused.refusal.reason.to_owned(),
        };
        Reject {
            offset,
            stage: Stage::Decode,
            code: refused.refusal.code.as_str().to_owned(),
            column: column.map(|field| field.name().clone()),
            reason,
        }
    }
}

/// A column that is read from rows: its index in the input, its name, and whether it may be null.
type RowColumn = (usize, String, bool, Box<dyn Column>);
/// A column that is made of the changes: its index in the input, and its declared type.
type MadeColumn = (usize, ChangeColumn, DataType);

/// The columns that are read from rows, and those that are made of the changes.
fn plan(input: &Input) -> Result<(Vec<RowColumn>, Vec<MadeColumn>), InputError> {
    let (mut columns, mut change_columns, mut problems) = (Vec::new(), Vec::new(), Vec::new());
    for (index, field) in input.columns.fields().iter().enumerate() {
        let name = field.name();
        if input.columns.fields()[..index].iter().any(|other| other.name() == name) {
            problems.push(format!("column {name} occurs twice"));
        } else if let Some(change) = ChangeColumn::named(name) {
            match reserved(field, &change.field()) {
                Ok(()) => change_columns.push((index, change, field.data_type().clone())),
                Err(problem) => problems.push(problem),
            }
        } else {
            match columns::column(field, input.decimals) {
                Ok(column) => columns.push((index, name.clone(), field.is_nullable(), column)),
                Err(problem) => problems.push(problem),
            }
        }
    }
    if problems.is_empty() { Ok((columns, change_columns)) } else { Err(InputError { problems }) }
}

fn reserved(field: &Field, change: &Field) -> Result<(), String> {
    let name = field.name();
    if field.data_type() != change.data_type() {
        return Err(format!(
            "column {name} is declared as {}, but the name is reserved for the change column of type {}",
            field.data_type(),
            change.data_type()
        ));
    }
    if change.is_nullable() && !field.is_nullable() {
        return Err(format!("column {name} must be nullable: not every message has one"));
    }
    Ok(())
}

/// An input that can't be decoded as declared.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct InputError {
    /// One line for each column: name, type, and what is possible instead.
    pub problems: Vec<String>,
}

#[cfg(test)]
mod tests;
