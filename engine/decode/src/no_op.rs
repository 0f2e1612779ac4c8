//! Messages that stand among changes and are none: told by the keys that they have.

use super::reject::Read;
use super::scan::Cursor;
use crate::decoded::NoOp;

/// The keys of an object's own level that tell messages apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Keys {
    /// `op`.
    pub(super) op: bool,
    /// `before` or `after`.
    pub(super) row: bool,
    /// `source`.
    pub(super) source: bool,
    ts_ms: bool,
    status: bool,
    event_count: bool,
    id: bool,
    table_changes: bool,
    ddl: bool,
    others: usize,
}

impl Keys {
    /// Reads the keys of an object and skips its values.
    pub(super) fn of(mut cursor: Cursor<'_>) -> Read<Self> {
        let mut keys = Self::default();
        cursor.expect(b'{')?;
        if cursor.take(b'}') {
            return Ok(keys);
        }
        let mut scratch = Vec::new();
        loop {
            keys.note(cursor.raw_string()?.text(&mut scratch)?);
            cursor.expect(b':')?;
            cursor.skip()?;
            if !cursor.another_member()? {
                return Ok(keys);
            }
        }
    }

    /// The same of keys that are known.
    pub(super) fn of_names<'k>(names: impl Iterator<Item = &'k [u8]>) -> Self {
        let mut keys = Self::default();
        names.for_each(|name| keys.note(name));
        keys
    }

    pub(super) fn note(&mut self, key: &[u8]) {
        match key {
            b"op" => self.op = true,
            b"before" | b"after" => self.row = true,
            b"source" => self.source = true,
            b"ts_ms" => self.ts_ms = true,
            b"status" => self.status = true,
            b"event_count" => self.event_count = true,
            b"id" => self.id = true,
            b"tableChanges" => self.table_changes = true,
            b"ddl" => self.ddl = true,
            _ => self.others += 1,
        }
    }

    /// The message without a row that has these keys: Debezium's heartbeat is its `ts_ms` alone, a transaction's
    /// begin or end has `status`, `id` and `event_count`, a change of schema `ddl` and `tableChanges` beside `source`.
    pub(super) fn no_op(&self) -> Option<NoOp> {
        if self.op || self.row {
            None
        } else if self.status && self.id && self.event_count {
            Some(NoOp::Transaction)
        } else if self.source && self.ddl && self.table_changes {
            Some(NoOp::SchemaChange)
        } else if *self == (Self { ts_ms: true, ..Self::default() }) {
            Some(NoOp::Heartbeat)
        } else {
            None
        }
    }

    /// Whether these are the keys of a change's envelope.
    pub(super) fn are_envelope(&self) -> bool {
        self.op && self.row && self.source
    }
}
