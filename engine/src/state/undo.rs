//! How to take back a call: what each key that it wrote had before, one after the other in one piece of memory.

/// What the keys written since [`Undo::clear`] had before.
#[derive(Debug, Default)]
pub(super) struct Undo {
    notes: Vec<Note>,
    /// Keys and values.
    bytes: Vec<u8>,
}

#[derive(Debug)]
struct Note {
    table: usize,
    /// Bytes of the key.
    key: usize,
    /// Bytes of the value, and expiry; none: there was no entry.
    entry: Option<(usize, i64)>,
}

impl Undo {
    pub(super) fn clear(&mut self) {
        self.notes.clear();
        self.bytes.clear();
    }

    /// Before a key is written.
    pub(super) fn note(&mut self, table: usize, key: &[u8], before: Option<(&[u8], i64)>) {
        self.bytes.extend_from_slice(key);
        self.bytes.extend_from_slice(before.map_or(&[], |(value, _)| value));
        self.notes.push(Note { table, key: key.len(), entry: before.map(|(value, expiry)| (value.len(), expiry)) });
    }

    /// Gives what was noted, the last first, and forgets it.
    pub(super) fn take_back(&mut self, mut each: impl FnMut(usize, &[u8], Option<(&[u8], i64)>)) {
        let mut bytes = self.bytes.as_slice();
        for note in self.notes.iter().rev() {
            let (rest, value) = bytes.split_at(bytes.len() - note.entry.map_or(0, |(length, _)| length));
            let (rest, key) = rest.split_at(rest.len() - note.key);
            each(note.table, key, note.entry.map(|(_, expiry)| (value, expiry)));
            bytes = rest;
        }
        self.clear();
    }
}
