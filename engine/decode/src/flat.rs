//! Flat rows: what Debezium's `ExtractNewRecordState` leaves of an envelope. The change is told by added fields, where
//! the connector adds them: `__deleted`, `__op`, `__source_ts_ms`, `__ts_ms`.

use super::key::Keys;
use super::members::Members;
use super::no_op;
use super::reject::{DUPLICATE, Read, Refusal, Refused, RejectCode};
use super::rows::{Absent, Meaning, Rows};
use super::scan::Cursor;
use super::schema::Payload;
use super::{Change, Outcome};
use crate::decoded::{NoOp, Op};

pub(super) const IS_AN_ENVELOPE: &Refusal = &Refusal {
    code: RejectCode::WrongFormat,
    reason: "the message is a Debezium envelope with `op`, `source`, `before` and `after`: set the input's format to \
             envelope",
};
pub(super) const NOT_A_FLAT_ROW: &Refusal =
    &Refusal { code: RejectCode::WrongFormat, reason: "expected a JSON object with the row's columns" };
pub(super) const UNKNOWN_OP: &Refusal = &Refusal {
    code: RejectCode::UnknownOp,
    reason: "expected `__op` to be one of \"c\", \"u\", \"d\", \"r\", \"t\" and \"m\"",
};
pub(super) const NOT_DELETED: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected `__deleted` to be true or false, as a boolean or a string",
};
pub(super) const NOT_A_TIME: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected `__source_ts_ms` and `__ts_ms` to be whole numbers of milliseconds",
};

/// The added fields.
#[derive(Clone, Copy, Debug)]
enum Added {
    Deleted,
    Op,
    SourceTs,
    Ts,
}

/// Reads flat rows.
#[derive(Debug)]
pub(super) struct FlatRows {
    members: Members<Meaning<Added>>,
}

#[derive(Debug, Default)]
struct Seen {
    deleted: Option<bool>,
    op: Option<u8>,
    source_ts: Option<i64>,
    ts: Option<i64>,
}

impl FlatRows {
    pub(super) fn new() -> Self {
        Self { members: Members::new() }
    }

    /// The keys of all rows read so far.
    pub(super) fn row_keys(&self) -> Vec<String> {
        self.members.keys().collect()
    }

    /// Reads one message into `rows`.
    pub(super) fn read(
        &mut self,
        rows: &mut Rows,
        keys: &mut Keys,
        mut payload: Payload<'_>,
        key: Option<&[u8]>,
    ) -> Result<Outcome, Refused> {
        if payload.cursor.peek().is_some_and(|byte| byte != b'{') {
            return Err(NOT_A_FLAT_ROW.into());
        }
        let start = payload.cursor;
        let seen = self.fill(rows, &mut payload);
        if seen.is_err() || !rows.met_any() {
            // Another kind of message, perhaps: worth a second look only now.
            let other = no_op::Keys::of(start)?;
            if other.are_envelope() {
                return Err(IS_AN_ENVELOPE.into());
            }
            if let Some(no_op) = other.no_op().filter(|_| !rows.met_any()) {
                return Ok(Outcome::NoOp(no_op));
            }
        }
        let seen = seen?;
        let op = match (seen.deleted, seen.op) {
            (Some(true), _) | (_, Some(b'd')) => Op::Delete,
            (_, Some(b'c') | None) => Op::Create,
            (_, Some(b'u')) => Op::Update,
            (_, Some(b'r')) => Op::Read,
            (_, Some(b't')) => return Ok(Outcome::NoOp(NoOp::Truncate)),
            (_, Some(b'm')) => return Ok(Outcome::NoOp(NoOp::LogicalMessage)),
            (_, Some(_)) => return Err(UNKNOWN_OP.into()),
        };
        let key_alone = op == Op::Delete && !rows.complete() && keys.complete(rows, key)?;
        let absent = if key_alone { Absent::KeyAlone } else { Absent::Null };
        Ok(Outcome::Row(Change { op, source_ts: seen.source_ts.or(seen.ts), absent }))
    }

    fn fill(&mut self, rows: &mut Rows, payload: &mut Payload<'_>) -> Result<Seen, Refused> {
        let mut seen = Seen::default();
        let note = |added, cursor: &mut Cursor<'_>| seen.note(added, cursor);
        rows.read(&mut self.members, &mut payload.cursor, &payload.wires.row, added, note)?;
        payload.end()?;
        Ok(seen)
    }
}

impl Seen {
    fn note(&mut self, added: Added, cursor: &mut Cursor<'_>) -> Read<()> {
        if cursor.take_null() {
            return Ok(());
        }
        match added {
            Added::Deleted => once(&mut self.deleted, deleted(cursor)?),
            Added::Op => once(&mut self.op, op(cursor)?),
            Added::SourceTs => once(&mut self.source_ts, cursor.plain_integer().ok_or(NOT_A_TIME)?),
            Added::Ts => once(&mut self.ts, cursor.plain_integer().ok_or(NOT_A_TIME)?),
        }
    }
}

fn added(key: &[u8]) -> Option<Added> {
    match key {
        b"__deleted" => Some(Added::Deleted),
        b"__op" => Some(Added::Op),
        b"__source_ts_ms" => Some(Added::SourceTs),
        b"__ts_ms" => Some(Added::Ts),
        _ => None,
    }
}

fn deleted(cursor: &mut Cursor<'_>) -> Read<bool> {
    if let Some(deleted) = cursor.take_bool() {
        return Ok(deleted);
    }
    match cursor.skip()? {
        b"\"true\"" => Ok(true),
        b"\"false\"" => Ok(false),
        _ => Err(NOT_DELETED),
    }
}

fn op(cursor: &mut Cursor<'_>) -> Read<u8> {
    match cursor.skip()? {
        [b'"', op, b'"'] => Ok(*op),
        _ => Err(UNKNOWN_OP),
    }
}

fn once<T>(seen: &mut Option<T>, value: T) -> Read<()> {
    if seen.replace(value).is_some() { Err(DUPLICATE) } else { Ok(()) }
}
