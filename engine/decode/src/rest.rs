//! The fields of a row that no column reads, as one JSON object: for plugins that pass on what they do not know.
//!
//! | field | in the object |
//! |---|---|
//! | decimal of base64 whose scale a schema says, alone or in an array | a string of its digits, `"12.50"` |
//! | value that was not in the source's log | refused; by policy left out, or kept |
//! | any other | as the message has it, byte by byte: no number is read |
//! | of Avro | as Connect's JSON converter would have written it |
//!
//! Keys are in the message's order and have its spelling. One that occurs twice is refused, as among columns.

use std::collections::{HashMap, HashSet};

use super::budget;
use super::columns::{Column, append_digits};
use super::reject::{DUPLICATE, Read, Refusal, RejectCode};
use super::scan::Cursor;
use super::schema::Wire;

const OUT_OF_PROPORTION: &Refusal = &Refusal {
    code: RejectCode::TooLarge,
    reason: "the rest of the row is out of proportion to the message: many times as long",
};

/// Bytes that are kept for the next message.
const KEPT: usize = 1 << 20;

/// An object under way.
#[derive(Debug)]
pub(super) struct Rest {
    /// Its column.
    pub(super) slot: usize,
    object: Vec<u8>,
    /// Its keys as written, one behind the other.
    keys: Vec<u8>,
    /// Keys that are known to be different. Messages have the same keys in the same order, so that one comparison mostly
    /// does for all.
    different: Vec<u8>,
}

impl Rest {
    pub(super) fn new(slot: usize) -> Self {
        Self { slot, object: Vec::new(), keys: Vec::new(), different: Vec::new() }
    }

    pub(super) fn begin(&mut self) {
        for buffer in [&mut self.object, &mut self.keys, &mut self.different] {
            buffer.shrink_to(KEPT);
        }
        self.object.clear();
        self.object.push(b'{');
        self.keys.clear();
    }

    /// Adds a field of a message of so many bytes. The key has its quotes and its colon.
    pub(super) fn add(&mut self, key: &[u8], value: &[u8], wire: &Wire, length: usize) -> Read<()> {
        if self.object.len() > 1 {
            self.object.push(b',');
        }
        self.object.extend_from_slice(key);
        self.keys.extend_from_slice(key);
        let most = budget::json_of(length);
        let wire = if let Wire::Fields(fields) = wire
            && matches!(value.first(), Some(b'"' | b'['))
        {
            fields.get(&*name(key)?)
        } else {
            None
        };
        match wire {
            Some(wire) => append(&mut Cursor::new(value, 0), wire, &mut self.object, most)?,
            None => self.object.extend_from_slice(value),
        }
        if self.object.len() > most { Err(OUT_OF_PROPORTION) } else { Ok(()) }
    }

    /// Gives the column its cell.
    pub(super) fn end(&mut self, column: &mut dyn Column) -> Read<()> {
        self.object.push(b'}');
        if self.keys != self.different {
            check_different(&self.keys)?;
            self.different.clone_from(&self.keys);
        }
        column.read(&mut Cursor::new(&self.object, 0), &Wire::Unknown)
    }
}

/// Which of a row's fields are not written as they stand.
pub(super) fn wire<'a>(fields: impl Iterator<Item = (&'a str, Wire)>) -> Wire {
    let fields = fields.filter(|(_, wire)| is_decimal(wire)).map(|(name, wire)| (name.as_bytes().into(), wire));
    let fields: HashMap<_, _> = fields.collect();
    if fields.is_empty() { Wire::Unknown } else { Wire::Fields(fields) }
}

fn is_decimal(wire: &Wire) -> bool {
    if let Wire::List(element) = wire { is_decimal(element) } else { matches!(wire, Wire::Decimal { .. }) }
}

fn append(value: &mut Cursor<'_>, wire: &Wire, out: &mut Vec<u8>, most: usize) -> Read<()> {
    match (value.peek(), wire) {
        (Some(b'"'), Wire::Decimal { scale }) => {
            out.push(b'"');
            append_digits(value.raw_string()?.text(&mut Vec::new())?, *scale, out)?;
            out.push(b'"');
        }
        (Some(b'['), Wire::List(element)) => {
            value.expect(b'[')?;
            out.push(b'[');
            let mut another = !value.take(b']');
            while another {
                append(value, element, out, most)?;
                another = !value.take(b']');
                if another {
                    value.expect(b',')?;
                    out.push(b',');
                }
            }
            out.push(b']');
        }
        _ => out.extend_from_slice(value.skip()?),
    }
    // A decimal of a few letters may have a thousand zeros.
    if out.len() > most { Err(OUT_OF_PROPORTION) } else { Ok(()) }
}

fn name(key: &[u8]) -> Read<Vec<u8>> {
    let mut name = Vec::new();
    Cursor::new(key, 0).raw_string()?.append_to(&mut name)?;
    Ok(name)
}

fn check_different(keys: &[u8]) -> Read<()> {
    let mut seen = HashSet::new();
    let mut cursor = Cursor::new(keys, 0);
    while cursor.peek().is_some() {
        let mut name = Vec::new();
        cursor.raw_string()?.append_to(&mut name)?;
        cursor.expect(b':')?;
        if !seen.insert(name) {
            return Err(DUPLICATE);
        }
    }
    Ok(())
}
