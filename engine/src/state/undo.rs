//! How to take back a call: what each key that it wrote had before, one after the other in one piece of memory.

/// What the keys written since [`Undo::clear`] had before.
#[derive(Debug, Default)]
pub(super) struct Undo {
    notes: Vec<Note>,
    /// Keys and values.
    bytes: Vec<u8>,
}

/// A note is small: there is one for each write.
#[derive(Clone, Copy, Debug)]
struct Note {
    /// The entry's, if there was one.
    expiry: i64,
    key_bytes: u32,
    /// [`NONE`]: there was no entry.
    value_bytes: u32,
    table: u8,
}

const NONE: u32 = u32::MAX;

impl Undo {
    pub(super) fn clear(&mut self) {
        self.notes.clear();
        self.bytes.clear();
    }

    /// Before a key is written.
    #[inline]
    pub(super) fn note(&mut self, table: u8, key: &[u8], before: Option<(&[u8], i64)>) {
        let (value, expiry) = before.unwrap_or((&[], 0));
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(value);
        let value_bytes = if before.is_some() { length(value) } else { NONE };
        self.notes.push(Note { expiry, key_bytes: length(key), value_bytes, table });
    }

    /// Gives what was noted, the last first, and forgets it.
    pub(super) fn take_back(&mut self, mut each: impl FnMut(u8, &[u8], Option<(&[u8], i64)>)) {
        let mut bytes = self.bytes.as_slice();
        for note in self.notes.iter().rev() {
            let value_bytes = if note.value_bytes == NONE { 0 } else { note.value_bytes as usize };
            let (rest, value) = bytes.split_at(bytes.len() - value_bytes);
            let (rest, key) = rest.split_at(rest.len() - note.key_bytes as usize);
            each(note.table, key, (note.value_bytes != NONE).then_some((value, note.expiry)));
            bytes = rest;
        }
        self.clear();
    }
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("it lay in a guest's memory of 32 bits")
}
