//! The keys of an object, guessed: Debezium writes the members of a row in the same order message after message, so
//! the next key is compared in place with the one that came next last time. Only a miss is read as a string and
//! looked up.
//!
//! What is remembered makes it faster, never different: a guess is the key's exact bytes.

use super::reject::Read;
use super::scan::Cursor;

/// Most keys remembered. The widest tables of PostgreSQL have 1,600 columns; beyond that learning begins anew.
const MAX_KEYS: usize = if cfg!(fuzzing) { 64 } else { 2048 };
/// Longest key remembered, in bytes as written.
const MAX_KEY_BYTES: usize = 512;
/// How far ahead a key is searched that is not the next: the run of absent columns that costs no lookup.
const LOOKAHEAD: usize = 32;
/// Bytes of a key that one comparison covers: `"order_number":` has 15.
const HEAD: usize = 16;

/// The order of keys in one kind of object, and what each means.
#[derive(Debug)]
pub(super) struct Members<T> {
    order: Vec<Expected<T>>,
}

/// A key with its quotes and the colon behind it.
#[derive(Debug)]
struct Expected<T> {
    head: u128,
    mask: u128,
    tail: Box<[u8]>,
    length: usize,
    meaning: T,
}

impl<T: Copy> Members<T> {
    /// Knows nothing yet.
    pub(super) fn new() -> Self {
        Self { order: Vec::new() }
    }

    /// Takes the next key and its colon, and says what it means; `look_up` is asked for keys met for the first time.
    /// `next` counts through the order of one object, from 0.
    #[inline]
    pub(super) fn take(
        &mut self,
        cursor: &mut Cursor<'_>,
        next: &mut usize,
        look_up: impl FnOnce(&[u8]) -> T,
    ) -> Read<T> {
        cursor.peek();
        let rest = cursor.rest();
        if let Some(expected) = self.order.get(*next)
            && expected.is_at(rest)
        {
            cursor.advance(expected.length);
            *next += 1;
            return Ok(expected.meaning);
        }
        self.search(cursor, next, look_up)
    }

    /// The keys met so far, but for those that are too long to be remembered.
    pub(super) fn keys(&self) -> impl Iterator<Item = String> {
        self.order.iter().filter_map(Expected::key)
    }

    #[cold]
    fn search(&mut self, cursor: &mut Cursor<'_>, next: &mut usize, look_up: impl FnOnce(&[u8]) -> T) -> Read<T> {
        let rest = cursor.rest();
        let ahead = self.order.iter().enumerate().skip(*next).take(LOOKAHEAD);
        if let Some((index, expected)) = ahead.into_iter().find(|(_, expected)| expected.is_at(rest)) {
            cursor.advance(expected.length);
            *next = index + 1;
            return Ok(expected.meaning);
        }
        let start = cursor.position();
        let key = cursor.raw_string()?;
        cursor.expect(b':')?;
        let written = rest.get(..cursor.position() - start).unwrap_or_default();
        let meaning = look_up(key.text(&mut Vec::new())?);
        self.learn(written, *next, meaning);
        *next += 1;
        Ok(meaning)
    }

    fn learn(&mut self, written: &[u8], at: usize, meaning: T) {
        if written.len() > MAX_KEY_BYTES {
            return;
        }
        if self.order.len() == MAX_KEYS {
            self.order.clear();
        }
        let at = at.min(self.order.len());
        self.order.insert(at, Expected::new(written, meaning));
    }
}

impl<T> Expected<T> {
    fn new(written: &[u8], meaning: T) -> Self {
        let (head, tail) = written.split_at(written.len().min(HEAD));
        let (mut bytes, mut mask) = ([0; HEAD], [0; HEAD]);
        for (index, byte) in head.iter().enumerate() {
            (bytes[index], mask[index]) = (*byte, 0xff);
        }
        Self {
            head: u128::from_le_bytes(bytes),
            mask: u128::from_le_bytes(mask),
            tail: tail.into(),
            length: written.len(),
            meaning,
        }
    }

    /// The key without quotes and escapes.
    fn key(&self) -> Option<String> {
        let mut written = self.head.to_le_bytes()[..self.length.min(HEAD)].to_vec();
        written.extend_from_slice(&self.tail);
        serde_json::Deserializer::from_slice(&written).into_iter().next()?.ok()
    }

    /// Whether the text begins with this key. Near the text's end it says no: the search finds the key as well.
    #[inline]
    fn is_at(&self, text: &[u8]) -> bool {
        let Some((head, rest)) = text.split_first_chunk::<HEAD>() else { return false };
        u128::from_le_bytes(*head) & self.mask == self.head && (self.tail.is_empty() || rest.starts_with(&self.tail))
    }
}
