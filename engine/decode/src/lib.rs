//! Debezium's change events, as Kafka carries them, to Arrow columns.
//!
//! **Promise.** A pure function of the messages, the input and, for Avro, the schemas by their ids: every message becomes exactly one of a row, a reject
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
//! | null | as [`Input::tombstone`](input::Input::tombstone) says: no-op, or a delete with the row of the key |
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
//!         ──id──► avro: the same rows by a plan of the schema
//! ```

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub mod avro;
pub mod input;
pub mod source;

mod budget;
mod policy;
mod message;
mod partition;
mod decoded;
mod scan;
mod reject;
mod schema;
mod connect;
mod members;
mod columns;
mod unavailable;
mod extended;
mod rest;
mod rows;
mod key;
mod no_op;
mod envelope;
mod flat;
mod headers;
mod changes;
mod plan;
mod look;

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{Schema, SchemaRef};

use input::{Format, Tombstone};

use avro::{Avro, Found, Registry};
use changes::ChangeLog;
use envelope::Envelopes;
use flat::FlatRows;
use headers::Headers;
use key::Keys;
use plan::{MadeColumn, Plan};
use reject::{MALFORMED, NEGATIVE_UNSIGNED, Place, Refused};
use rows::{Absent, RowColumn, Rows};
use schema::{Payload, Schemas, Shape};
use source::RowSchema;

pub use budget::memory_budget;
pub use decoded::{Changes, Decoded, NoOp, Op, Reject, Stage};
pub use input::{EXTENSION_NAME, Input, InputColumn, Source};
pub use look::{Look, Seen};
pub use message::{Header, Message, OwnedMessage, last_header};
pub use partition::TopicPartition;
pub use plan::InputError;
pub use policy::{Case, Encoding, Policy, Reading};
pub use reject::RejectCode;

/// Decodes the messages of one partition for one input.
///
/// Memory beside the batch under way: the order of keys and the last schemas of the topic, a few MiB at most.
#[derive(Debug)]
pub struct Decoder {
    schema: SchemaRef,
    tombstone: Tombstone,
    change_columns: Vec<MadeColumn>,
    rows: Rows,
    /// The columns of the row before the change.
    before: Rows,
    headers: Headers,
    changes: ChangeLog,
    keys: Keys,
    schemas: Schemas,
    reader: Reader,
    avro: Avro,
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

/// A row that was read, and not filled up yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Change {
    op: Op,
    /// When the source database made it, ms since 1970-01-01 UTC.
    source_ts: Option<i64>,
    /// What the columns mean that it has no value for.
    absent: Absent,
}

impl Decoder {
    /// Plans the decoding of an input.
    ///
    /// # Errors
    /// Names every column that can't be decoded as it is declared.
    pub fn new(input: &Input, partition: &TopicPartition, generation: u16) -> Result<Self, InputError> {
        let plan = Plan::of(input)?;
        let names = |columns: &[RowColumn]| columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>();
        let (row, before) = (names(&plan.row), names(&plan.before));
        let (shape, reader) = match input.format {
            Format::Envelope => (Shape::Envelope, Reader::Envelope(Envelopes::new())),
            Format::Flat => (Shape::Row, Reader::Flat(FlatRows::new())),
        };
        Ok(Self {
            schema: Arc::new(Schema::new(input.columns.iter().map(|column| column.field.clone()).collect::<Vec<_>>())),
            tombstone: input.tombstone,
            change_columns: plan.changes,
            rows: Rows::new(plan.row),
            before: Rows::new(plan.before),
            headers: Headers::new(plan.headers),
            changes: ChangeLog::new(partition.clone(), generation),
            keys: Keys::new(&row),
            schemas: Schemas::new(shape, &row, &before),
            reader,
            avro: Avro::new(shape),
        })
    }

    /// What the schema registry says of the schema ids of all messages to come, until it is said anew. Without it, a
    /// message in Avro is set aside.
    pub fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.avro.set_registry(registry.clone());
        self.keys.set_registry(registry);
    }

    /// What the messages so far said of their rows, each once, in the order in which they said it first: by a schema, or by
    /// the keys of rows where no message had one. MongoDB's documents say nothing: each has fields of its own.
    #[must_use]
    pub fn row_schemas(&self) -> Vec<Arc<RowSchema>> {
        let seen: Vec<_> = self.schemas.seen().all().iter().chain(self.avro.seen().all()).cloned().collect();
        if !seen.is_empty() {
            return seen;
        }
        let keys = match &self.reader {
            Reader::Envelope(reader) => reader.row_keys(),
            Reader::Flat(reader) => reader.row_keys(),
        };
        RowSchema::of_keys(keys).map(Arc::new).into_iter().collect()
    }

    /// Decodes messages, given in offset order. The result depends on the messages, the input and the registry's answers
    /// alone: what the decoder remembers from earlier calls makes it faster, never different.
    pub fn decode<M: Message>(&mut self, messages: &[M]) -> Decoded {
        self.rows.reserve(messages.len());
        self.before.reserve(messages.len());
        self.changes.reserve(messages.len());
        let (mut rejects, mut no_ops) = (Vec::new(), Vec::new());
        for (index, message) in messages.iter().enumerate() {
            match self.row(message) {
                Ok(Outcome::Row(change)) => self.commit(change, message, index),
                Ok(Outcome::NoOp(no_op)) => {
                    self.roll_back();
                    no_ops.push((message.offset(), no_op));
                }
                Err(refused) => {
                    self.roll_back();
                    rejects.push(self.reject(message.offset(), refused));
                }
            }
        }
        let (changes, mut columns) = self.changes.take(&self.change_columns, messages);
        columns.extend(self.rows.take());
        columns.extend(self.before.take());
        columns.extend(self.headers.take());
        columns.sort_unstable_by_key(|(place, _)| *place);
        let columns: Vec<ArrayRef> = columns.into_iter().map(|(_, column)| column).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(changes.offset.len()));
        let rows = RecordBatch::try_new_with_options(self.schema.clone(), columns, &options)
            .expect("each column is built with its field's type and has one cell for each row");
        Decoded { rows, changes, rejects, no_ops }
    }

    /// Reads one message; if it is a row, each column has a cell for it, to be kept or rolled back.
    fn row(&mut self, message: &impl Message) -> Result<Outcome, Refused> {
        let outcome =
            self.message(message.key(), message.value()).or_else(|refused| self.unsigned(message, refused))?;
        if let Outcome::Row(change) = outcome {
            self.rows.fill(change.absent)?;
            self.before.fill(Absent::Null)?;
            self.headers.check(message)?;
        }
        Ok(outcome)
    }

    /// MySQL's connectors write a `BIGINT UNSIGNED` beyond 2^63 as the negative number of the same bits, and an envelope
    /// says which connector wrote it: such a message is read once more.
    #[cold]
    fn unsigned(&mut self, message: &impl Message, refused: Refused) -> Result<Outcome, Refused> {
        let wraps = refused.refusal == NEGATIVE_UNSIGNED
            && matches!(self.reader, Reader::Envelope(_))
            && message.value().is_some_and(|value| match self.avro.json(value) {
                Some(json) => envelope::is_of_mysql(&json),
                None => envelope::is_of_mysql(value),
            });
        if !wraps {
            return Err(refused);
        }
        self.roll_back();
        self.wrap(true);
        let outcome = self.message(message.key(), message.value());
        self.wrap(false);
        outcome
    }

    fn wrap(&mut self, wraps: bool) {
        self.rows.wrap(wraps);
        self.before.wrap(wraps);
    }

    fn commit(&mut self, change: Change, message: &impl Message, index: usize) {
        self.rows.commit();
        self.before.commit();
        self.headers.push(message);
        self.changes.push(change.op, change.source_ts, message.offset(), index);
    }

    fn roll_back(&mut self) {
        self.rows.roll_back();
        self.before.roll_back();
    }

    /// Reads one message; if it is a row, `rows` and `before` have its values.
    fn message(&mut self, key: Option<&[u8]>, value: Option<&[u8]>) -> Result<Outcome, Refused> {
        let Some(value) = value else { return self.tombstone(key) };
        if avro::is_framed(value) {
            let (rows, before) = (&mut self.rows, &mut self.before);
            let read = self.avro.read(rows, before, &mut self.keys, &self.schemas, value, key)?;
            return match read {
                Found::Outcome(outcome) => Ok(outcome),
                Found::Null => self.tombstone(key),
                Found::Json(json) => self.json(key, &json),
            };
        }
        self.json(key, value)
    }

    /// Reads one message in JSON.
    fn json(&mut self, key: Option<&[u8]>, value: &[u8]) -> Result<Outcome, Refused> {
        let mut payload = self.schemas.open(value)?;
        if payload.cursor.peek() == Some(b'n') {
            return self.null(payload, key);
        }
        match &mut self.reader {
            Reader::Envelope(reader) => reader.read(&mut self.rows, &mut self.before, &mut self.keys, payload, key),
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
        match self.tombstone {
            Tombstone::Ignore => Ok(Outcome::NoOp(NoOp::Tombstone)),
            Tombstone::Delete => {
                self.keys.required(&mut self.rows, key)?;
                Ok(Outcome::Row(Change { op: Op::Delete, source_ts: None, absent: Absent::KeyAlone }))
            }
        }
    }

    fn reject(&self, offset: i64, refused: Refused) -> Reject {
        let column = match refused.place {
            Place::Column(index) => Some(self.schema.field(index)),
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

#[cfg(test)]
mod tests;
