//! What is left of a value: a column type of this plugin's own, written without a copy in between.

use std::str::FromStr;

use plugin_sdk::builder::VariableBuilder;
use plugin_sdk::{ColumnType, DataType, WriteColumn};

use crate::key::{Key, Pseudonym};

/// What is done to a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It stays as it is.
    Keep,
    /// A pseudonym in its place.
    Hash,
    /// As much as a person needs to recognise it: `a***@example.com`, `A. L.`, `***89`.
    Partial,
    /// Nothing but that there was something.
    Redact,
}

impl FromStr for Mode {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "keep" => Ok(Self::Keep),
            "hash" => Ok(Self::Hash),
            "partial" => Ok(Self::Partial),
            "redact" => Ok(Self::Redact),
            _ => Err(format!("`{text}` is none of keep, hash, partial, redact")),
        }
    }
}

/// A value that is masked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Masked<'a> {
    /// The text itself.
    Kept(&'a str),
    /// A pseudonym, written in hexadecimal digits.
    Hashed(Pseudonym),
    /// The first character of an address, and its domain.
    Address(char, &'a str),
    /// The initials of a name.
    Initials(&'a str),
    /// The last two digits of a number.
    Ending([u8; 2]),
    /// Nothing.
    Redacted,
}

/// Masks an e-mail address. Pseudonyms do not tell upper from lower case.
#[must_use]
pub fn email<'a>(text: &'a str, mode: Mode, key: &Key) -> Masked<'a> {
    let text = text.trim();
    let parts = text.rsplit_once('@').and_then(|(name, domain)| Some((name.chars().next()?, domain)));
    match (mode, parts) {
        (Mode::Keep, _) => Masked::Kept(text),
        (Mode::Hash, _) => Masked::Hashed(key.pseudonym("email", text.chars().flat_map(char::to_lowercase))),
        (Mode::Partial, Some((first, domain))) => Masked::Address(first, domain),
        (Mode::Partial, None) | (Mode::Redact, _) => Masked::Redacted,
    }
}

/// Masks a name. Pseudonyms do not tell upper from lower case, nor one space from several.
#[must_use]
pub fn name<'a>(text: &'a str, mode: Mode, key: &Key) -> Masked<'a> {
    let text = text.trim();
    let words = text.split_whitespace().flat_map(|word| word.chars().flat_map(char::to_lowercase).chain([' ']));
    match mode {
        Mode::Keep => Masked::Kept(text),
        Mode::Hash => Masked::Hashed(key.pseudonym("name", words)),
        Mode::Partial if !text.is_empty() => Masked::Initials(text),
        Mode::Partial | Mode::Redact => Masked::Redacted,
    }
}

/// Masks a telephone number. Pseudonyms look at digits and a leading + alone.
#[must_use]
pub fn phone<'a>(text: &'a str, mode: Mode, key: &Key) -> Masked<'a> {
    let text = text.trim();
    let digits = || text.bytes().filter(u8::is_ascii_digit);
    let plus = text.starts_with('+').then_some('+');
    match mode {
        Mode::Keep => Masked::Kept(text),
        Mode::Hash => Masked::Hashed(key.pseudonym("phone", plus.into_iter().chain(digits().map(char::from)))),
        // Of an extension of four digits two would be half of it.
        Mode::Partial if digits().count() >= 7 => {
            Masked::Ending(digits().fold([0; 2], |[_, before], digit| [before, digit]))
        }
        Mode::Partial | Mode::Redact => Masked::Redacted,
    }
}

impl Masked<'_> {
    fn append(self, to: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let push = |to: &mut Vec<u8>, letter: char| to.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
        match self {
            Self::Kept(text) => to.extend_from_slice(text.as_bytes()),
            Self::Hashed(pseudonym) => {
                to.extend(pseudonym.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|it| DIGITS[usize::from(it)]));
            }
            Self::Address(first, domain) => {
                push(to, first);
                to.extend_from_slice(b"***@");
                to.extend_from_slice(domain.as_bytes());
            }
            Self::Initials(name) => {
                for (index, letter) in name.split_whitespace().filter_map(|word| word.chars().next()).enumerate() {
                    to.extend_from_slice(if index == 0 { b"" } else { b" " });
                    push(to, letter);
                    to.push(b'.');
                }
            }
            Self::Ending(digits) => {
                to.extend_from_slice(b"***");
                to.extend_from_slice(&digits);
            }
            Self::Redacted => to.extend_from_slice(b"[redacted]"),
        }
    }
}

/// Text to everybody else.
impl ColumnType for Masked<'_> {
    const TYPE: DataType = <&str>::TYPE;
}

impl WriteColumn for Masked<'_> {
    type Builder = VariableBuilder;
    fn write(self, builder: &mut VariableBuilder) {
        builder.push_with(|bytes| self.append(bytes));
    }
}
