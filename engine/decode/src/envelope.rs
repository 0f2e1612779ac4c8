//! Debezium's envelope: `before`, `after`, `source`, `op` and times.

use serde::Deserialize;

use super::key::Keys;
use super::members::Members;
use super::no_op;
use super::reject::{DUPLICATE, MALFORMED, Read, Refusal, Refused, RejectCode};
use super::rows::{Absent, Meaning, Rows};
use super::scan::Cursor;
use super::schema::{Payload, Wire};
use super::{Change, Outcome};
use crate::decoded::{NoOp, Op};

pub(super) const NOT_AN_ENVELOPE: &Refusal = &Refusal {
    code: RejectCode::WrongFormat,
    reason: "the message has no `op`, so it is no Debezium envelope: if the connector uses ExtractNewRecordState, \
             set the input's format to flat",
};
pub(super) const UNKNOWN_OP: &Refusal = &Refusal {
    code: RejectCode::UnknownOp,
    reason: "expected `op` to be one of \"c\", \"u\", \"d\", \"r\", \"t\" and \"m\"",
};
pub(super) const NOT_A_ROW: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected `before` and `after` to be objects, strings of MongoDB's extended JSON, or null",
};
const PARTIAL: &Refusal = &Refusal {
    code: RejectCode::PartialUpdate,
    reason: "an update of MongoDB without the whole document: set the connector's capture.mode to \
             change_streams_update_full",
};
pub(super) const NO_AFTER: &Refusal =
    &Refusal { code: RejectCode::MissingRow, reason: "`op` is \"c\", \"u\" or \"r\", but `after` is null or absent" };
pub(super) const NOT_A_SOURCE: &Refusal =
    &Refusal { code: RejectCode::WrongType, reason: "expected `source` to be an object with a whole `ts_ms`" };

/// What the keys of the envelope mean.
#[derive(Clone, Copy, Debug)]
enum Part {
    Before,
    After,
    Source,
    Op,
    /// MongoDB's: what an update changed.
    Description,
    Other,
}

/// Reads envelopes.
#[derive(Debug)]
pub(super) struct Envelopes {
    parts: Members<Part>,
    source: Members<bool>,
    row: Members<Meaning<()>>,
    before: Members<Meaning<()>>,
    /// Whether a row was a document, whose keys are its own.
    documents: bool,
}

/// What an envelope's own level says.
#[derive(Debug, Default)]
struct Seen<'m> {
    op: Option<&'m [u8]>,
    /// Whether there is a description of an update.
    described: bool,
    /// Some, whether null or not: the key was met.
    after: Option<Row>,
    before: Option<(Row, Cursor<'m>)>,
    source_ts: Option<Option<i64>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Null,
    Object,
    /// A string that holds MongoDB's extended JSON.
    Document,
}

impl Envelopes {
    pub(super) fn new() -> Self {
        Self {
            parts: Members::new(),
            source: Members::new(),
            row: Members::new(),
            before: Members::new(),
            documents: false,
        }
    }

    /// The keys of all rows read so far; none where there were documents among them.
    pub(super) fn row_keys(&self) -> Vec<String> {
        if self.documents { Vec::new() } else { self.row.keys().collect() }
    }

    /// Reads one message into `rows` and `before`. `after` is read where it is met, before `op` is known: to skip it first and read
    /// it later would cost a second pass.
    pub(super) fn read(
        &mut self,
        rows: &mut Rows,
        before: &mut Rows,
        keys: &mut Keys,
        mut payload: Payload<'_>,
        key: Option<&[u8]>,
    ) -> Result<Outcome, Refused> {
        let start = payload.cursor;
        let seen = self.parts(rows, &mut payload)?;
        payload.end()?;
        let source_ts = seen.source_ts.flatten();
        let op = match seen.op {
            Some(b"c") => Op::Create,
            Some(b"u") => Op::Update,
            Some(b"r") => Op::Read,
            Some(b"d") => Op::Delete,
            Some(b"t") => return Ok(Outcome::NoOp(NoOp::Truncate)),
            Some(b"m") => return Ok(Outcome::NoOp(NoOp::LogicalMessage)),
            Some(_) => return Err(UNKNOWN_OP.into()),
            None => {
                return no_op::Keys::of(start)?.no_op().map(Outcome::NoOp).ok_or(NOT_AN_ENVELOPE.into());
            }
        };
        let absent = match (op, seen.after) {
            (Op::Delete, after) => {
                if matches!(after, Some(Row::Object | Row::Document)) {
                    rows.roll_back();
                }
                // MongoDB's keys have another name than the column that they are of.
                if rows.has(b"_id") && !rows.has(b"id") {
                    keys.of_documents(connector(start.rest()).as_deref() == Some("mongodb"));
                }
                self.delete(rows, keys, seen.before, &payload.wires.deleted, key)?
            }
            (_, Some(Row::Object | Row::Document)) => Absent::Null,
            (Op::Update, Some(Row::Null) | None) if seen.described => return Err(PARTIAL.into()),
            (_, Some(Row::Null) | None) => return Err(NO_AFTER.into()),
        };
        if !before.is_empty()
            && let Some((row, mut cursor)) = seen.before
            && row != Row::Null
        {
            read_row(row, before, &mut self.before, &mut cursor, &payload.wires.before)?;
        }
        Ok(Outcome::Row(Change { op, source_ts, absent }))
    }

    fn parts<'m>(&mut self, rows: &mut Rows, payload: &mut Payload<'m>) -> Result<Seen<'m>, Refused> {
        let mut seen = Seen::default();
        let cursor = &mut payload.cursor;
        cursor.expect(b'{')?;
        if cursor.take(b'}') {
            return Ok(seen);
        }
        let mut next = 0;
        loop {
            match self.parts.take(cursor, &mut next, part)? {
                Part::After => {
                    let row = row(cursor)?;
                    self.documents |= row == Row::Document;
                    if row != Row::Null {
                        read_row(row, rows, &mut self.row, cursor, &payload.wires.row)?;
                    }
                    once(&mut seen.after, row)?;
                }
                Part::Before => {
                    let row = row(cursor)?;
                    once(&mut seen.before, (row, *cursor))?;
                    if row != Row::Null {
                        cursor.skip()?;
                    }
                }
                Part::Source => once(&mut seen.source_ts, self.source_ts(cursor)?)?,
                Part::Op => once(&mut seen.op, op(cursor)?)?,
                Part::Description => {
                    seen.described = !cursor.take_null();
                    if seen.described {
                        cursor.skip()?;
                    }
                }
                Part::Other => {
                    cursor.skip()?;
                }
            }
            if !cursor.another_member()? {
                return Ok(seen);
            }
        }
    }

    /// The row of a delete: the one before, completed from the key. With the replica identities `default` and
    /// `nothing` it has no more than the key.
    fn delete(
        &mut self,
        rows: &mut Rows,
        keys: &mut Keys,
        before: Option<(Row, Cursor<'_>)>,
        wires: &[Wire],
        key: Option<&[u8]>,
    ) -> Result<Absent, Refused> {
        let Some((row @ (Row::Object | Row::Document), mut cursor)) = before else {
            keys.required(rows, key)?;
            return Ok(Absent::KeyAlone);
        };
        read_row(row, rows, &mut self.row, &mut cursor, wires)?;
        let key_alone = !rows.complete() && keys.complete(rows, key)?;
        Ok(if key_alone { Absent::KeyAlone } else { Absent::Null })
    }

    fn source_ts(&mut self, cursor: &mut Cursor<'_>) -> Read<Option<i64>> {
        if cursor.take_null() {
            return Ok(None);
        }
        if !cursor.take(b'{') {
            return Err(NOT_A_SOURCE);
        }
        if cursor.take(b'}') {
            return Ok(None);
        }
        let mut next = 0;
        loop {
            if self.source.take(cursor, &mut next, |key| key == b"ts_ms")? {
                let ts = if cursor.take_null() { None } else { Some(cursor.plain_integer().ok_or(NOT_A_SOURCE)?) };
                cursor.leave()?;
                return Ok(ts);
            }
            cursor.skip()?;
            if !cursor.another_member()? {
                return Ok(None);
            }
        }
    }
}

/// Whether MySQL's or MariaDB's connector wrote the message. Reads all of it: for rare messages.
pub(super) fn is_of_mysql(message: &[u8]) -> bool {
    matches!(connector(message).as_deref(), Some("mysql" | "mariadb"))
}

/// The name of the connector that wrote an envelope, with its wrapper or without; what follows is not looked at.
fn connector(message: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Source {
        connector: String,
    }
    #[derive(Deserialize)]
    struct Envelope {
        source: Option<Source>,
        payload: Option<Box<Envelope>>,
    }
    let envelope: Envelope = serde_json::Deserializer::from_slice(message).into_iter().next()?.ok()?;
    let source = envelope.source.or_else(|| envelope.payload?.source)?;
    Some(source.connector)
}

fn part(key: &[u8]) -> Part {
    match key {
        b"before" => Part::Before,
        b"after" => Part::After,
        b"source" => Part::Source,
        b"op" => Part::Op,
        b"updateDescription" => Part::Description,
        _ => Part::Other,
    }
}

/// Reads a row that is not null.
#[inline]
fn read_row(
    row: Row,
    rows: &mut Rows,
    members: &mut Members<Meaning<()>>,
    cursor: &mut Cursor<'_>,
    wires: &[Wire],
) -> Result<(), Refused> {
    if row == Row::Object {
        return rows.read(members, cursor, wires, |_| None, |(), _| Ok(()));
    }
    let mut scratch = Vec::new();
    let mut document = Cursor::new(cursor.raw_string()?.text(&mut scratch)?, 0);
    if document.peek() != Some(b'{') {
        return Err(NOT_A_ROW.into());
    }
    rows.read_document(members, &mut document)
}

/// Takes a null row; another is left to be read or skipped.
fn row(cursor: &mut Cursor<'_>) -> Read<Row> {
    if cursor.take_null() {
        return Ok(Row::Null);
    }
    match cursor.peek() {
        Some(b'{') => Ok(Row::Object),
        Some(b'"') => Ok(Row::Document),
        Some(b'n') | None => Err(MALFORMED),
        Some(_) => Err(NOT_A_ROW),
    }
}

fn op<'m>(cursor: &mut Cursor<'m>) -> Read<&'m [u8]> {
    if !cursor.at_string() {
        return Err(UNKNOWN_OP);
    }
    let quoted = cursor.skip()?;
    Ok(quoted.get(1..quoted.len() - 1).unwrap_or_default())
}

fn once<T>(seen: &mut Option<T>, value: T) -> Read<()> {
    if seen.replace(value).is_some() { Err(DUPLICATE) } else { Ok(()) }
}
