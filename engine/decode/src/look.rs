//! A look at a message: what stands in one column of its row, or in one header, without decoding it.
//!
//! **Promise.** A pure function of the message, of where to look and, for Avro, of the message's schema. Nothing but the
//! value looked for is parsed, and the scan ends where it is found. Whatever the bytes are, there is an answer.
//!
//! | message | its row |
//! |---|---|
//! | with `after` or `before` | `after`; where that is null, `before` |
//! | any other object | the object itself |
//! | null, and where the row does not say | the key |
//!
//! A column is named by its path: `tenant_id`, or `customer.tenant` for a field in an object. A name that holds a dot itself
//! is found as well. Of a name that stands twice in one object the first with a value counts.
//!
//! Values are compared as text: a string's without quotes and escapes, a number, `true` and `false` as they are written. So `7`
//! and `"7"` are the same, and `7` and `7.0` are not. MongoDB's `{"$oid": "…"}` and `{"$numberLong": "7"}` are the text in
//! them. Null, lists and other objects are no value. Avro is looked at as the JSON that Kafka Connect would have written of it.

use std::sync::Arc;

use super::avro::{Registry, Views, is_framed};
use super::input::SelectBy;
use super::no_op;
use super::reject::{MALFORMED, Read};
use super::scan::Cursor;
use super::schema::{is_schema, next_key_is};
use crate::decoded::NoOp;
use crate::message::Message;

/// Beginnings of messages remembered: a topic has one schema at a time, and two or three while it changes.
const MAX_PREFIXES: usize = 8;
/// Longest of them, in bytes.
const MAX_PREFIX_BYTES: usize = 512 * 1024;

/// What a look finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen<'s> {
    /// The value, as text.
    Value(&'s [u8]),
    /// No value, in words.
    Nothing(&'static str),
    /// The message has no row that it could stand in, nor a key with it.
    NoRow(NoOp),
}

const NO_COLUMN: Seen<'_> = Seen::Nothing("neither the row nor the message's key has a value in the column");
const NO_HEADER: Seen<'_> = Seen::Nothing("the message does not have the header");
const NOT_READ: Seen<'_> =
    Seen::Nothing("the message can't be looked at: it is neither JSON nor Avro of a schema that the registry knows");

/// Looks at messages, one after the other. What it remembers makes it faster, never different.
#[derive(Debug)]
pub struct Look {
    /// A header's name; none: a column's path is meant.
    header: Option<String>,
    path: Vec<u8>,
    /// The bytes before the payload of messages that carry their schema.
    prefixes: Vec<Box<[u8]>>,
    avro: Views,
    /// What was found.
    found: Vec<u8>,
    json: Vec<u8>,
}

/// Where a message's row is searched.
#[derive(Clone, Copy)]
struct Path<'p>(&'p [u8]);

/// What a payload has come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Met {
    Value,
    Row,
    NoRow(NoOp),
}

impl Look {
    /// Looks there.
    #[must_use]
    pub fn new(at: &SelectBy) -> Self {
        let (header, path) = match at {
            SelectBy::Column(path) => (None, path.clone().into_bytes()),
            SelectBy::Header(name) => (Some(name.clone()), Vec::new()),
        };
        Self { header, path, prefixes: Vec::new(), avro: Views::default(), found: Vec::new(), json: Vec::new() }
    }

    /// What the schema registry says of the schema ids of all messages to come, until it is said anew.
    pub fn set_registry(&mut self, registry: &Arc<Registry>) {
        self.avro.set_registry(registry);
    }

    /// Looks at a message.
    pub fn at<'s>(&'s mut self, message: &'s impl Message) -> Seen<'s> {
        if let Some(value) = self.header.as_ref().and_then(|name| message.header(name)) {
            return Seen::Value(value);
        }
        let path = std::mem::take(&mut self.path);
        let met = self.column(Path(&path), message.key(), message.value());
        self.path = path;
        match met {
            Ok(Met::NoRow(no_op)) => Seen::NoRow(no_op),
            Ok(_) | Err(_) if self.header.is_some() => NO_HEADER,
            Ok(Met::Value) => Seen::Value(&self.found),
            Ok(Met::Row) => NO_COLUMN,
            Err(_) => NOT_READ,
        }
    }

    fn column(&mut self, path: Path<'_>, key: Option<&[u8]>, value: Option<&[u8]>) -> Read<Met> {
        let met = match value {
            Some(value) => self.bytes(path, value)?,
            None => Met::NoRow(NoOp::Tombstone),
        };
        // A key that can't be read does not have it.
        let in_key = met != Met::Value && key.is_some_and(|key| matches!(self.bytes(path, key), Ok(Met::Value)));
        Ok(if in_key { Met::Value } else { met })
    }

    fn bytes(&mut self, path: Path<'_>, bytes: &[u8]) -> Read<Met> {
        self.found.clear();
        if !is_framed(bytes) {
            let payload = self.payload(bytes)?;
            return path.payload(payload, &mut self.found);
        }
        let mut json = std::mem::take(&mut self.json);
        json.clear();
        let viewed = self.avro.write(bytes, &mut json, |name| path.behind(name.as_bytes()).is_some());
        let met = viewed.and_then(|()| path.payload(Cursor::new(&json, 0), &mut self.found));
        self.json = json;
        met
    }

    /// Finds a message's payload, in its wrapper or without.
    fn payload<'m>(&mut self, message: &'m [u8]) -> Read<Cursor<'m>> {
        if let Some(prefix) = self.prefixes.iter().find(|prefix| message.starts_with(prefix)) {
            return Ok(Cursor::new(message, prefix.len()));
        }
        let bare = Cursor::new(message, 0);
        let mut cursor = bare;
        if !cursor.take(b'{') {
            return Ok(bare);
        }
        if next_key_is(&mut cursor, b"\"schema\"") {
            let schema = cursor.skip()?;
            if is_schema(schema) && cursor.take(b',') && next_key_is(&mut cursor, b"\"payload\"") {
                self.remember(message.get(..cursor.position()).unwrap_or_default());
                return Ok(cursor);
            }
        } else if next_key_is(&mut cursor, b"\"payload\"") {
            let payload = cursor;
            cursor.skip()?;
            if cursor.take(b',') && next_key_is(&mut cursor, b"\"schema\"") && is_schema(cursor.skip()?) {
                return Ok(payload);
            }
        }
        Ok(bare)
    }

    fn remember(&mut self, prefix: &[u8]) {
        if prefix.len() <= MAX_PREFIX_BYTES {
            self.prefixes.truncate(MAX_PREFIXES - 1);
            self.prefixes.insert(0, prefix.into());
        }
    }
}

impl<'p> Path<'p> {
    /// What is left of the path behind a key: nothing at its end; `None`: it does not go there.
    fn behind(self, key: &[u8]) -> Option<Self> {
        if self.0 == key {
            return Some(Path(&[]));
        }
        self.0.strip_prefix(key)?.strip_prefix(b".").map(Path)
    }

    /// Searches a payload: an envelope or a row.
    fn payload(self, mut cursor: Cursor<'_>, found: &mut Vec<u8>) -> Read<Met> {
        if cursor.take_null() {
            return Ok(Met::NoRow(NoOp::Tombstone));
        }
        cursor.expect(b'{')?;
        if cursor.take(b'}') {
            return Ok(Met::Row);
        }
        let (mut keys, mut scratch) = (no_op::Keys::default(), Vec::new());
        let (mut before, mut image, mut op, mut own) = (None, false, None, None);
        loop {
            let key = cursor.raw_string()?.text(&mut scratch)?;
            keys.note(key);
            let (is_after, is_before, is_op) = (key == b"after", key == b"before", key == b"op");
            let (behind, of_envelope) = (self.behind(key), is_op || is_envelopes(key));
            cursor.expect(b':')?;
            if is_after {
                image |= !matches!(cursor.peek(), Some(b'n'));
                if self.image(&mut cursor, found)? {
                    return Ok(Met::Value);
                }
            } else if is_before {
                before = Some(cursor);
                cursor.skip()?;
            } else if let (Some(behind), None) = (behind, &own) {
                if behind.value(&mut cursor, found)? {
                    // Where the name is an envelope's as well, the rest of the message tells whose it is.
                    if !of_envelope {
                        return Ok(Met::Value);
                    }
                    own = Some(std::mem::take(found));
                }
            } else {
                let value = cursor.skip()?;
                op = if is_op { Some(value) } else { op };
            }
            if !cursor.another_member()? {
                break;
            }
        }
        if let Some(mut before) = before.filter(|_| !image)
            && self.image(&mut before, found)?
        {
            return Ok(Met::Value);
        }
        Ok(match (op, own) {
            (Some(b"\"t\""), _) if keys.row => Met::NoRow(NoOp::Truncate),
            (Some(b"\"m\""), _) if keys.row => Met::NoRow(NoOp::LogicalMessage),
            (_, Some(own)) if !keys.row => {
                *found = own;
                Met::Value
            }
            _ => keys.no_op().map_or(Met::Row, Met::NoRow),
        })
    }

    /// Searches `after` or `before`: an object, or a text that holds MongoDB's.
    fn image(self, cursor: &mut Cursor<'_>, found: &mut Vec<u8>) -> Read<bool> {
        match cursor.peek() {
            Some(b'{') => self.object(cursor, found),
            Some(b'"') => {
                let mut scratch = Vec::new();
                let mut document = Cursor::new(cursor.raw_string()?.text(&mut scratch)?, 0);
                if document.peek() == Some(b'{') { self.object(&mut document, found) } else { Ok(false) }
            }
            _ => {
                cursor.skip()?;
                Ok(false)
            }
        }
    }

    /// Searches an object. As deep as the path has names.
    fn object(self, cursor: &mut Cursor<'_>, found: &mut Vec<u8>) -> Read<bool> {
        cursor.expect(b'{')?;
        if cursor.take(b'}') {
            return Ok(false);
        }
        let mut scratch = Vec::new();
        loop {
            let behind = self.behind(cursor.raw_string()?.text(&mut scratch)?);
            cursor.expect(b':')?;
            match behind {
                Some(behind) => {
                    if behind.value(cursor, found)? {
                        return Ok(true);
                    }
                }
                None => drop(cursor.skip()?),
            }
            if !cursor.another_member()? {
                return Ok(false);
            }
        }
    }

    /// Searches a value to which the path has led.
    fn value(self, cursor: &mut Cursor<'_>, found: &mut Vec<u8>) -> Read<bool> {
        if self.0.is_empty() {
            return scalar(cursor, found);
        }
        if cursor.peek() == Some(b'{') {
            return self.object(cursor, found);
        }
        cursor.skip()?;
        Ok(false)
    }
}

/// Names of an envelope's own level, beside `before`, `after` and `op`.
fn is_envelopes(key: &[u8]) -> bool {
    matches!(key, b"source" | b"transaction" | b"ts_ms" | b"ts_us" | b"ts_ns" | b"updateDescription")
}

/// Takes a value; if it is a scalar, `found` has its text.
fn scalar(cursor: &mut Cursor<'_>, found: &mut Vec<u8>) -> Read<bool> {
    match cursor.peek().ok_or(MALFORMED)? {
        b'"' => cursor.raw_string()?.append_to(found)?,
        b'-' | b'0'..=b'9' => found.extend_from_slice(cursor.number()?),
        b't' | b'f' => found.extend_from_slice(cursor.skip()?),
        b'{' => {
            let start = *cursor;
            if extended(cursor, found).unwrap_or(false) {
                return Ok(true);
            }
            found.clear();
            *cursor = start;
            cursor.skip()?;
            return Ok(false);
        }
        _ => {
            cursor.skip()?;
            return Ok(false);
        }
    }
    Ok(true)
}

/// MongoDB's way to write a scalar that JSON has no type for: an object of one key that begins with `$`.
fn extended(cursor: &mut Cursor<'_>, found: &mut Vec<u8>) -> Read<bool> {
    let mut scratch = Vec::new();
    cursor.expect(b'{')?;
    let is_type = cursor.raw_string()?.text(&mut scratch)?.starts_with(b"$");
    cursor.expect(b':')?;
    let plain = is_type && cursor.peek() != Some(b'{') && scalar(cursor, found)?;
    Ok(plain && cursor.take(b'}'))
}

#[cfg(test)]
mod tests;
