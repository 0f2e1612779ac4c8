//! Embedded schemas: `{"schema": …, "payload": …}`, as Kafka Connect's JSON converter writes with
//! `schemas.enable=true`.
//!
//! The schema is most of such a message and the same in message after message, so all bytes up to the payload are
//! compared at once with those of the last messages; only new ones are parsed. Detected per message: a message
//! without the wrapper is its own payload.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::TimeUnit;

use super::budget;
use super::connect::ConnectSchema;
use super::reject::{Read, Refusal, RejectCode, UTF8};
use super::rest;
use super::scan::Cursor;
use super::source::{RowSchema, SeenSchemas};
use crate::input::REST;

/// Schemas remembered: a topic has one at a time, and two or three while it changes.
const MAX_SCHEMAS: usize = 8;
/// Longest schema remembered, in bytes: bounds the memory of a decoder to 4 MiB.
const MAX_SCHEMA_BYTES: usize = 512 * 1024;

const INVALID_SCHEMA: &Refusal = &Refusal {
    code: RejectCode::InvalidSchema,
    reason: "the embedded schema is not a Kafka Connect schema of type struct",
};

const LONG_SCHEMA: &Refusal = &Refusal { code: RejectCode::TooLarge, reason: "the schema is longer than 2.6 MiB" };

/// How a field is written, as the schema says: what of it changes the meaning of the JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wire {
    /// No schema, or none that matters: the declared type and the JSON value decide.
    Unknown,
    /// Text as it is.
    Text,
    /// Base64 of bytes.
    Bytes,
    /// Base64 of little-endian bits.
    Bits,
    /// Base64 of an unscaled big-endian integer: `org.apache.kafka.connect.data.Decimal`.
    Decimal {
        /// Digits behind the point.
        scale: i32,
    },
    /// Days since 1970-01-01.
    Days,
    /// Time of day in this unit.
    Time(TimeUnit),
    /// Time since 1970-01-01 in this unit.
    Timestamp(TimeUnit),
    /// Words with commas between them.
    Set,
    /// An array of elements that are written like this.
    List(Box<Wire>),
    /// An object: those of its fields that are decimals, and how they are written.
    Fields(HashMap<Box<[u8]>, Wire>),
    /// MongoDB's extended JSON, made plain: strings are text, base64 of bytes, or ISO 8601, as the column's type says.
    Plain,
}

impl Wire {
    /// How an array's elements are written.
    pub(super) fn element(&self) -> &Self {
        match self {
            Self::List(element) => element,
            Self::Plain => self,
            Self::Unknown
            | Self::Text
            | Self::Bytes
            | Self::Bits
            | Self::Decimal { .. }
            | Self::Days
            | Self::Time(_)
            | Self::Timestamp(_)
            | Self::Fields(_)
            | Self::Set => &Self::Unknown,
        }
    }

    /// Whether a string can be a set: no schema says otherwise.
    pub(super) fn may_be_set(&self) -> bool {
        matches!(self, Self::Set | Self::Unknown)
    }
}

/// How each column of the input is written.
#[derive(Debug)]
pub(super) struct Wires {
    /// Columns of the row, in the new row.
    pub(super) row: Box<[Wire]>,
    /// The same in the row before, where a delete has them.
    pub(super) deleted: Box<[Wire]>,
    /// Columns of the row before.
    pub(super) before: Box<[Wire]>,
}

/// Where the schema's struct has the columns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// In its fields `before` and `after`.
    Envelope,
    /// It is the row.
    Row,
}

/// The schemas of one kind of message.
#[derive(Debug)]
pub(super) struct Schemas {
    shape: Shape,
    /// The field that each column is read from.
    row: Box<[String]>,
    before: Box<[String]>,
    none: Arc<Wires>,
    /// The last one used first.
    known: Vec<Known>,
    seen: SeenSchemas,
}

#[derive(Debug)]
struct Known {
    /// All bytes of a message up to its payload.
    prefix: Box<[u8]>,
    wires: Arc<Wires>,
}

/// What a schema says.
#[derive(Debug)]
pub(super) struct Described {
    /// For decoding.
    pub(super) wires: Arc<Wires>,
    /// For those who compare; none: it describes no rows.
    pub(super) row: Option<RowSchema>,
}

/// A payload, and what its schema says.
#[derive(Clone, Debug)]
pub(super) struct Payload<'m> {
    /// Stands at the payload.
    pub(super) cursor: Cursor<'m>,
    pub(super) wires: Arc<Wires>,
    /// Whether the wrapper closes behind it.
    wrapped: bool,
}

impl Payload<'_> {
    /// Nothing follows the payload but the end of its wrapper.
    pub(super) fn end(&mut self) -> Read<()> {
        if self.wrapped {
            self.cursor.expect(b'}')?;
        }
        self.cursor.end()
    }
}

impl Schemas {
    /// For columns of the row, and of the row before, that are read from these fields.
    pub(super) fn new(shape: Shape, row: &[String], before: &[String]) -> Self {
        let unknown = |fields: &[String]| vec![Wire::Unknown; fields.len()].into_boxed_slice();
        let none = Arc::new(Wires { row: unknown(row), deleted: unknown(row), before: unknown(before) });
        Self { shape, row: row.into(), before: before.into(), none, known: Vec::new(), seen: SeenSchemas::default() }
    }

    /// The rows that embedded schemas have described so far.
    pub(super) fn seen(&self) -> &SeenSchemas {
        &self.seen
    }

    /// Finds a message's payload. All the message's bytes are UTF-8 after this.
    pub(super) fn open<'m>(&mut self, message: &'m [u8]) -> Read<Payload<'m>> {
        if let Some(index) = self.known.iter().position(|known| message.starts_with(&known.prefix)) {
            self.known[..=index].rotate_right(1);
            let known = &self.known[0];
            let cursor = Cursor::new(message, known.prefix.len());
            check_utf8(cursor.rest())?;
            return Ok(Payload { cursor, wires: known.wires.clone(), wrapped: true });
        }
        check_utf8(message)?;
        self.find(message)
    }

    fn find<'m>(&mut self, message: &'m [u8]) -> Read<Payload<'m>> {
        let bare = Cursor::new(message, 0);
        let mut cursor = bare;
        if cursor.take(b'{') {
            if next_key_is(&mut cursor, b"\"schema\"") {
                let schema = cursor.skip()?;
                if is_schema(schema) && cursor.take(b',') && next_key_is(&mut cursor, b"\"payload\"") {
                    let wires = self.wires(schema)?;
                    self.remember(message.get(..cursor.position()).unwrap_or_default(), &wires);
                    return Ok(Payload { cursor, wires, wrapped: true });
                }
            } else if next_key_is(&mut cursor, b"\"payload\"")
                && let Some(payload) = self.payload_first(message, cursor)?
            {
                return Ok(payload);
            }
        }
        Ok(Payload { cursor: bare, wires: self.none.clone(), wrapped: false })
    }

    /// The same wrapper with its members the other way round, as other writers than Kafka's may have it.
    fn payload_first<'m>(&mut self, message: &'m [u8], mut cursor: Cursor<'m>) -> Read<Option<Payload<'m>>> {
        let length = cursor.skip()?.len();
        let end = cursor.position();
        if !cursor.take(b',') || !next_key_is(&mut cursor, b"\"schema\"") {
            return Ok(None);
        }
        let schema = cursor.skip()?;
        if !is_schema(schema) || !cursor.take(b'}') || cursor.end().is_err() {
            return Ok(None);
        }
        let payload = message.get(..end).unwrap_or_default();
        Ok(Some(Payload { cursor: Cursor::new(payload, end - length), wires: self.wires(schema)?, wrapped: false }))
    }

    fn remember(&mut self, prefix: &[u8], wires: &Arc<Wires>) {
        if prefix.len() > MAX_SCHEMA_BYTES {
            return;
        }
        self.known.truncate(MAX_SCHEMAS - 1);
        self.known.insert(0, Known { prefix: prefix.into(), wires: wires.clone() });
    }

    /// The same of a schema that was not seen before.
    fn wires(&mut self, schema: &[u8]) -> Read<Arc<Wires>> {
        let Described { wires, row } = self.describe(schema)?;
        self.seen.add(row);
        Ok(wires)
    }

    /// What a schema in the words of Connect's JSON converter says.
    pub(super) fn describe(&self, schema: &[u8]) -> Read<Described> {
        // A payload without schema is written as `"schema":null` while schemas are enabled.
        if schema.len() > budget::SCHEMA_TEXT {
            return Err(LONG_SCHEMA);
        }
        let schema: Option<ConnectSchema> = serde_json::from_slice(schema).map_err(|_| INVALID_SCHEMA)?;
        let Some(schema) = schema else { return Ok(Described { wires: self.none.clone(), row: None }) };
        let after = schema.row(self.shape);
        let wires = match self.shape {
            Shape::Row => Wires {
                row: wires(&self.row, after),
                deleted: self.none.deleted.clone(),
                before: self.none.before.clone(),
            },
            Shape::Envelope => {
                let before = schema.fields_of("before");
                Wires {
                    row: wires(&self.row, after),
                    deleted: wires(&self.row, before),
                    before: wires(&self.before, before),
                }
            }
        };
        Ok(Described { wires: Arc::new(wires), row: RowSchema::of(after) })
    }
}

/// How each column is written, by the field that it is read from.
fn wires(columns: &[String], fields: &[ConnectSchema]) -> Box<[Wire]> {
    let wire = |column: &String| {
        if column == REST {
            return rest::wire(fields.iter().filter_map(|field| Some((field.field.as_deref()?, field.wire()))));
        }
        let field = fields.iter().find(|field| field.field.as_ref() == Some(column));
        field.map_or(Wire::Unknown, ConnectSchema::wire)
    };
    columns.iter().map(wire).collect()
}

fn check_utf8(bytes: &[u8]) -> Read<()> {
    simdutf8::basic::from_utf8(bytes).map(|_| ()).map_err(|_| UTF8)
}

pub(super) fn next_key_is(cursor: &mut Cursor<'_>, key: &[u8]) -> bool {
    cursor.peek();
    let found = cursor.rest().starts_with(key);
    if !found {
        return false;
    }
    let mut behind = *cursor;
    behind.advance(key.len());
    let colon = behind.take(b':');
    if colon {
        *cursor = behind;
    }
    colon
}

/// A row may have a column that is called `schema`: the wrapper's holds an object, or null.
pub(super) fn is_schema(value: &[u8]) -> bool {
    value.starts_with(b"{") || value == b"null"
}
