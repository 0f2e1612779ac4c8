//! A cursor over one JSON text: what is wanted is read in place, the rest is skipped.
//!
//! **Promise.** What is read is strict JSON (RFC 8259): strings, numbers, literals, commas and colons. What is
//! *skipped* is checked for its quotes and brackets alone (that each string and each bracket closes, not which
//! bracket closes which): looking closer costs as much as parsing it, and nothing is taken from it. Whether a message
//! is accepted therefore depends on its bytes and on what is wanted, never on a path through this code. Nothing
//! recurses; every step goes forward.
//! **Assumed.** The bytes are UTF-8, or the caller checks that before it takes text from them.

mod blocks;
mod number;
mod text;

pub(super) use text::RawString;

use super::reject::{MALFORMED, Read, TRAILING, TRUNCATED};

/// A position in a JSON text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cursor<'m> {
    bytes: &'m [u8],
    at: usize,
}

impl<'m> Cursor<'m> {
    /// Stands at this index.
    pub(super) fn new(bytes: &'m [u8], at: usize) -> Self {
        Self { bytes, at }
    }

    /// How long the whole text is.
    pub(super) fn length(&self) -> usize {
        self.bytes.len()
    }

    /// The index of the next byte.
    pub(super) fn position(&self) -> usize {
        self.at
    }

    /// The bytes from here to another position, behind this one.
    pub(super) fn until(&self, end: &Self) -> &'m [u8] {
        self.bytes.get(self.at..end.at).unwrap_or_default()
    }

    /// The next byte that is not white space, not taken yet.
    #[inline]
    pub(super) fn peek(&mut self) -> Option<u8> {
        let mut byte = *self.bytes.get(self.at)?;
        while matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
            byte = *self.bytes.get(self.at)?;
        }
        Some(byte)
    }

    /// Takes the next byte if it is this one, white space before it included.
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    /// Takes this byte.
    pub(super) fn expect(&mut self, byte: u8) -> Read<()> {
        match self.peek() {
            Some(next) if next == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(MALFORMED),
            None => Err(TRUNCATED),
        }
    }

    /// Takes `null` if it is next.
    #[inline]
    pub(super) fn take_null(&mut self) -> bool {
        self.peek() == Some(b'n') && self.take_literal(b"null")
    }

    /// Takes `true` or `false` if it is next.
    pub(super) fn take_bool(&mut self) -> Option<bool> {
        match self.peek()? {
            b't' if self.take_literal(b"true") => Some(true),
            b'f' if self.take_literal(b"false") => Some(false),
            _ => None,
        }
    }

    /// After a member of an object: whether another one follows, or the object is closed.
    #[inline]
    pub(super) fn another_member(&mut self) -> Read<bool> {
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'}') => {
                self.at += 1;
                Ok(false)
            }
            Some(_) => Err(MALFORMED),
            None => Err(TRUNCATED),
        }
    }

    /// Nothing but white space is left.
    pub(super) fn end(&mut self) -> Read<()> {
        if self.peek().is_none() { Ok(()) } else { Err(TRAILING) }
    }

    /// Skips the next value, whatever it is, and says which bytes it has.
    pub(super) fn skip(&mut self) -> Read<&'m [u8]> {
        let first = self.peek().ok_or(TRUNCATED)?;
        let start = self.at;
        match first {
            b'{' | b'[' => self.at = blocks::container_end(self.bytes, start, 0).ok_or(TRUNCATED)?,
            b'"' => {
                self.raw_string()?;
            }
            b'n' | b't' | b'f' => {
                if !self.take_null() && self.take_bool().is_none() {
                    return Err(MALFORMED);
                }
            }
            _ => {
                self.number()?;
            }
        }
        Ok(self.bytes.get(start..self.at).unwrap_or_default())
    }

    /// Skips to behind the closing bracket of the object that the cursor is in.
    pub(super) fn leave(&mut self) -> Read<()> {
        self.at = blocks::container_end(self.bytes, self.at, 1).ok_or(TRUNCATED)?;
        Ok(())
    }

    /// The bytes from here on.
    pub(super) fn rest(&self) -> &'m [u8] {
        self.bytes.get(self.at..).unwrap_or_default()
    }

    /// Goes on behind bytes that the caller has compared.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.at += bytes;
    }

    fn take_literal(&mut self, literal: &[u8]) -> bool {
        let found = self.rest().starts_with(literal);
        self.at += if found { literal.len() } else { 0 };
        found
    }
}
