//! Strings: found in place, unescaped only where there is something to unescape.

use super::{Cursor, blocks};
use crate::reject::{CONTROL, ESCAPE, MALFORMED, Read, SURROGATE, TRUNCATED};

/// A string as it stands in the message, without its quotes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawString<'m> {
    bytes: &'m [u8],
    escaped: bool,
}

impl<'m> RawString<'m> {
    /// The string's text: in place, or in the scratch buffer if it holds escapes.
    pub(crate) fn text<'s>(self, scratch: &'s mut Vec<u8>) -> Read<&'s [u8]>
    where
        'm: 's,
    {
        if !self.escaped {
            return Ok(self.bytes);
        }
        scratch.clear();
        unescape(self.bytes, scratch)?;
        Ok(scratch)
    }

    /// Appends the string's text.
    pub(crate) fn append_to(self, out: &mut Vec<u8>) -> Read<()> {
        if self.escaped {
            return unescape(self.bytes, out);
        }
        out.extend_from_slice(self.bytes);
        Ok(())
    }
}

impl<'m> Cursor<'m> {
    /// Whether a string is next.
    pub(crate) fn at_string(&mut self) -> bool {
        self.peek() == Some(b'"')
    }

    /// Takes a string. Its escapes are looked at when its text is asked for.
    pub(crate) fn raw_string(&mut self) -> Read<RawString<'m>> {
        if !self.take(b'"') {
            return Err(MALFORMED);
        }
        let start = self.at;
        let mut escaped = false;
        loop {
            self.at = blocks::plain_end(self.bytes, self.at);
            match self.bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += 2;
                }
                Some(_) => return Err(CONTROL),
                None => return Err(TRUNCATED),
            }
        }
        let bytes = self.bytes.get(start..self.at).ok_or(TRUNCATED)?;
        self.at += 1;
        Ok(RawString { bytes, escaped })
    }
}

/// Appends the text of a string with escapes.
fn unescape(mut raw: &[u8], out: &mut Vec<u8>) -> Read<()> {
    while let Some(backslash) = raw.iter().position(|byte| *byte == b'\\') {
        let (plain, escape) = raw.split_at(backslash);
        out.extend_from_slice(plain);
        let letter = *escape.get(1).ok_or(ESCAPE)?;
        raw = escape.get(2..).unwrap_or_default();
        match letter {
            b'"' | b'\\' | b'/' => out.push(letter),
            b'b' => out.push(0x08),
            b'f' => out.push(0x0c),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let (character, rest) = code_point(raw)?;
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                raw = rest;
            }
            _ => return Err(ESCAPE),
        }
    }
    out.extend_from_slice(raw);
    Ok(())
}

/// What follows `\u`: four hexadecimal digits, or two such escapes that make up a surrogate pair.
fn code_point(raw: &[u8]) -> Read<(char, &[u8])> {
    let (unit, rest) = code_unit(raw)?;
    if let Some(character) = char::from_u32(unit) {
        return Ok((character, rest));
    }
    let low = rest.strip_prefix(br"\u").ok_or(SURROGATE)?;
    let (low, rest) = code_unit(low)?;
    if unit >= 0xdc00 || !(0xdc00..0xe000).contains(&low) {
        return Err(SURROGATE);
    }
    let character = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00)).ok_or(SURROGATE)?;
    Ok((character, rest))
}

fn code_unit(raw: &[u8]) -> Read<(u32, &[u8])> {
    let (digits, rest) = raw.split_at_checked(4).ok_or(ESCAPE)?;
    let unit = digits.iter().try_fold(0, |unit, digit| {
        let value = char::from(*digit).to_digit(16).ok_or(ESCAPE)?;
        Ok(unit << 4 | value)
    })?;
    Ok((unit, rest))
}
