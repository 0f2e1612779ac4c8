//! Reading one message along its plan: the same rules as for JSON (see `envelope` and `flat`), over bytes whose order is
//! known.

use std::sync::Arc;

use super::body::Body;
use super::json;
use super::plan::{Added, Before, Image, Part, Plan, RowPlan, Source, Step};
use super::schema::{Kind, Schema, TypeId};
use super::skip::NO_BRANCH;
use crate::columns::Plain;
use crate::decoded::{NoOp, Op};
use crate::key::Keys;
use crate::reject::{Read, Refusal, Refused, UTF8};
use crate::rows::{Absent, Rows};
use crate::scan::Cursor;
use crate::schema::{Shape, Wire};
use crate::{Change, Outcome, envelope, flat};

/// A message under way.
#[derive(Debug)]
pub(super) struct Reading<'a> {
    plan: Arc<Plan>,
    /// Its type, past the union that it may be.
    of: TypeId,
    body: Body<'a>,
    length: usize,
    json: &'a mut Vec<u8>,
}

/// A value as it stands in the bytes.
#[derive(Clone, Copy, Debug)]
enum Value<'m> {
    Null,
    Plain(Plain<'m>),
    /// An enum, an array, a map or a record: not taken yet.
    Nested,
}

/// A row image within an envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Row {
    Null,
    Record,
}

/// What an envelope's own level says.
#[derive(Default)]
struct Seen<'p, 'm> {
    op: Option<&'m [u8]>,
    after: Option<Row>,
    before: Option<(&'p (RowPlan, RowPlan), Body<'m>)>,
    source_ts: Option<i64>,
}

/// What a flat row says of its change.
#[derive(Default)]
struct Told {
    deleted: Option<bool>,
    op: Option<u8>,
    source_ts: Option<i64>,
    ts: Option<i64>,
}

/// The type of the next value, past a union, and whether it is null.
#[inline]
pub(super) fn branch(schema: &Schema, of: TypeId, body: &mut Body<'_>) -> Read<(TypeId, bool)> {
    let of =
        if let Kind::Union(branches) = schema.kind(of) { *branches.get(body.index()?).ok_or(NO_BRANCH)? } else { of };
    Ok((of, *schema.kind(of) == Kind::Null))
}

/// Why a value that is no record is refused.
pub(super) fn no_record(shape: Shape) -> &'static Refusal {
    match shape {
        Shape::Envelope => envelope::NOT_AN_ENVELOPE,
        Shape::Row => flat::NOT_A_FLAT_ROW,
    }
}

impl<'a> Reading<'a> {
    pub(super) fn new(plan: Arc<Plan>, of: TypeId, body: Body<'a>, length: usize, json: &'a mut Vec<u8>) -> Self {
        Self { plan, of, body, length, json }
    }

    /// An envelope.
    pub(super) fn envelope(
        &mut self,
        rows: &mut Rows,
        before: &mut Rows,
        keys: &mut Keys,
        parts: &[Part],
        key: Option<&[u8]>,
    ) -> Result<Outcome, Refused> {
        let plan = self.plan.clone();
        let seen = self.parts(rows, parts)?;
        self.body.end()?;
        let op = match seen.op {
            Some(b"c") => Op::Create,
            Some(b"u") => Op::Update,
            Some(b"r") => Op::Read,
            Some(b"d") => Op::Delete,
            Some(b"t") => return Ok(Outcome::NoOp(NoOp::Truncate)),
            Some(b"m") => return Ok(Outcome::NoOp(NoOp::LogicalMessage)),
            Some(_) | None => return Err(envelope::UNKNOWN_OP.into()),
        };
        let absent = match (op, seen.after) {
            (Op::Delete, after) => {
                if after == Some(Row::Record) {
                    rows.roll_back();
                }
                self.delete(rows, keys, seen.before, &plan.wires.deleted, key)?
            }
            (_, Some(Row::Record)) => Absent::Null,
            (_, Some(Row::Null) | None) => return Err(envelope::NO_AFTER.into()),
        };
        if let Some(((_, row), body)) = seen.before.filter(|_| !before.is_empty()) {
            self.body = body;
            self.row(before, row, &plan.wires.before)?;
        }
        Ok(Outcome::Row(Change { op, source_ts: seen.source_ts, absent }))
    }

    fn parts<'p>(&mut self, rows: &mut Rows, parts: &'p [Part]) -> Result<Seen<'p, 'a>, Refused> {
        let plan = self.plan.clone();
        let mut seen = Seen::default();
        for part in parts {
            match part {
                Part::Skip(run) => plan.skips.skip_run(run, &mut self.body)?,
                Part::Before(Before { of, rows }) => {
                    if let Some((of, rows)) = self.image(*of, rows.as_ref())? {
                        seen.before = Some((rows, self.body));
                        plan.skips.skip(of, &mut self.body)?;
                    }
                }
                Part::After(Image { of, row }) => {
                    let row = self.image(*of, row.as_ref())?;
                    seen.after = Some(if row.is_some() { Row::Record } else { Row::Null });
                    if let Some((_, row)) = row {
                        self.row(rows, row, &plan.wires.row)?;
                    }
                }
                Part::Source(source) => seen.source_ts = self.source_ts(source)?,
                Part::Op(of) => match self.value(*of)?.1 {
                    Value::Plain(Plain::Text(op)) => seen.op = Some(op),
                    Value::Plain(_) | Value::Null | Value::Nested => return Err(envelope::UNKNOWN_OP.into()),
                },
            }
        }
        Ok(seen)
    }

    /// A row image that is not null, with its type.
    fn image<T>(&mut self, of: TypeId, row: Option<T>) -> Read<Option<(TypeId, T)>> {
        let (of, null) = branch(&self.plan.schema, of, &mut self.body)?;
        if null {
            return Ok(None);
        }
        let row = row.filter(|_| matches!(self.plan.schema.kind(of), Kind::Record(_)));
        Ok(Some((of, row.ok_or(envelope::NOT_A_ROW)?)))
    }

    fn source_ts(&mut self, source: &Source) -> Read<Option<i64>> {
        let (of, null) = branch(&self.plan.schema, source.of, &mut self.body)?;
        if null {
            return Ok(None);
        }
        if !matches!(self.plan.schema.kind(of), Kind::Record(_)) {
            return Err(envelope::NOT_A_SOURCE);
        }
        let plan = self.plan.clone();
        plan.skips.skip_run(&source.before, &mut self.body)?;
        let Some(time) = source.time else { return Ok(None) };
        let time = match self.value(time)?.1 {
            Value::Null => None,
            Value::Plain(Plain::Integer(time)) => Some(time),
            Value::Plain(_) | Value::Nested => return Err(envelope::NOT_A_SOURCE),
        };
        plan.skips.skip_run(&source.behind, &mut self.body)?;
        Ok(time)
    }

    /// The row of a delete: the one before, completed from the key.
    fn delete(
        &mut self,
        rows: &mut Rows,
        keys: &mut Keys,
        before: Option<(&(RowPlan, RowPlan), Body<'a>)>,
        wires: &[Wire],
        key: Option<&[u8]>,
    ) -> Result<Absent, Refused> {
        let Some(((row, _), body)) = before else {
            keys.required(rows, key)?;
            return Ok(Absent::KeyAlone);
        };
        self.body = body;
        self.row(rows, row, wires)?;
        let key_alone = !rows.complete() && keys.complete(rows, key)?;
        Ok(if key_alone { Absent::KeyAlone } else { Absent::Null })
    }

    /// A flat row.
    pub(super) fn flat(
        &mut self,
        rows: &mut Rows,
        keys: &mut Keys,
        row: &RowPlan,
        key: Option<&[u8]>,
    ) -> Result<Outcome, Refused> {
        let plan = self.plan.clone();
        let told = self.row(rows, row, &plan.wires.row).and_then(|told| {
            self.body.end()?;
            Ok(told)
        });
        if told.is_err() || !row.any {
            if row.is_envelope {
                return Err(flat::IS_AN_ENVELOPE.into());
            }
            if let Some(no_op) = row.no_op.filter(|_| !row.any) {
                return Ok(Outcome::NoOp(no_op));
            }
        }
        let told = told?;
        let op = match (told.deleted, told.op) {
            (Some(true), _) | (_, Some(b'd')) => Op::Delete,
            (_, Some(b'c') | None) => Op::Create,
            (_, Some(b'u')) => Op::Update,
            (_, Some(b'r')) => Op::Read,
            (_, Some(b't')) => return Ok(Outcome::NoOp(NoOp::Truncate)),
            (_, Some(b'm')) => return Ok(Outcome::NoOp(NoOp::LogicalMessage)),
            (_, Some(_)) => return Err(flat::UNKNOWN_OP.into()),
        };
        let key_alone = op == Op::Delete && !rows.complete() && keys.complete(rows, key)?;
        let absent = if key_alone { Absent::KeyAlone } else { Absent::Null };
        Ok(Outcome::Row(Change { op, source_ts: told.source_ts.or(told.ts), absent }))
    }

    /// A record that is no envelope.
    pub(super) fn other(&mut self, no_op: Option<NoOp>) -> Result<Outcome, Refused> {
        self.plan.skips.skip(self.of, &mut self.body)?;
        self.body.end()?;
        no_op.map(Outcome::NoOp).ok_or(envelope::NOT_AN_ENVELOPE.into())
    }

    /// A key's fields.
    pub(super) fn key(&mut self, rows: &mut Rows, row: &RowPlan) -> Result<(), Refused> {
        let plan = self.plan.clone();
        self.row(rows, row, &plan.wires.row)?;
        Ok(self.body.end()?)
    }

    fn row(&mut self, rows: &mut Rows, row: &RowPlan, wires: &[Wire]) -> Result<Told, Refused> {
        rows.begin_object();
        let mut told = Told::default();
        for step in &row.steps {
            match step {
                Step::Skip(run) => self.plan.skips.skip_run(run, &mut self.body)?,
                Step::Read { of, slots, added } => {
                    let start = self.body;
                    if let Some(added) = added {
                        let value = self.value(*of)?.1;
                        told.note(*added, value)?;
                    }
                    for slot in slots {
                        self.body = start;
                        self.cell(rows, *slot, *of, wires)?;
                    }
                }
                Step::Other { of, key } => {
                    self.json.clear();
                    json::write(&self.plan.schema, *of, &mut self.body, self.length, self.json)?;
                    rows.other(key, self.json, wires, self.length)?;
                }
            }
        }
        rows.end_object()?;
        Ok(told)
    }

    #[inline]
    fn cell(&mut self, rows: &mut Rows, slot: usize, of: TypeId, wires: &[Wire]) -> Result<(), Refused> {
        let start = self.body;
        let (of_value, value) = self.value(of)?;
        let wanted = rows.meet(slot);
        match value {
            Value::Null => return Ok(()),
            Value::Plain(plain) if !wanted || rows.plain(slot, plain, &wires[slot]) => return Ok(()),
            Value::Nested if !wanted => return Ok(self.plan.skips.skip(of_value, &mut self.body)?),
            Value::Plain(_) | Value::Nested => {}
        }
        // Once more, as JSON: from the start, so that the union's branch is taken again.
        self.body = start;
        self.json.clear();
        json::write(&self.plan.schema, of, &mut self.body, self.length, self.json)?;
        rows.json(slot, &mut Cursor::new(self.json, 0), wires)
    }

    /// The next value and its type, past a union.
    #[inline]
    fn value(&mut self, of: TypeId) -> Read<(TypeId, Value<'a>)> {
        let body = &mut self.body;
        let (of, null) = branch(&self.plan.schema, of, body)?;
        if null {
            return Ok((of, Value::Null));
        }
        let plain = match self.plan.schema.kind(of) {
            Kind::Boolean => Plain::Boolean(body.boolean()?),
            Kind::Int => Plain::Integer(body.int()?.into()),
            Kind::Long => Plain::Integer(body.long()?),
            Kind::Float => Plain::Float(body.float()?),
            Kind::Double => Plain::Double(body.double()?),
            Kind::Bytes => Plain::Bytes(body.bytes()?),
            Kind::Fixed(size) => Plain::Bytes(body.take(*size)?),
            Kind::String => Plain::Text(utf8(body.bytes()?)?),
            // An enum's text is the schema's, not the message's: it goes by way of JSON.
            Kind::Enum(_) | Kind::Array(_) | Kind::Map(_) | Kind::Record(_) => return Ok((of, Value::Nested)),
            // A union in a union is refused with the schema; null was taken.
            Kind::Union(_) | Kind::Null => return Ok((of, Value::Null)),
        };
        Ok((of, Value::Plain(plain)))
    }
}

fn utf8(bytes: &[u8]) -> Read<&[u8]> {
    simdutf8::basic::from_utf8(bytes).map(str::as_bytes).map_err(|_| UTF8)
}

impl Told {
    fn note(&mut self, added: Added, value: Value<'_>) -> Read<()> {
        match (added, value) {
            (_, Value::Null) => {}
            (Added::Deleted, Value::Plain(Plain::Boolean(deleted))) => self.deleted = Some(deleted),
            (Added::Deleted, Value::Plain(Plain::Text(b"true"))) => self.deleted = Some(true),
            (Added::Deleted, Value::Plain(Plain::Text(b"false"))) => self.deleted = Some(false),
            (Added::Deleted, _) => return Err(flat::NOT_DELETED),
            (Added::Op, Value::Plain(Plain::Text([op]))) => self.op = Some(*op),
            (Added::Op, _) => return Err(flat::UNKNOWN_OP),
            (Added::SourceTs, Value::Plain(Plain::Integer(time))) => self.source_ts = Some(time),
            (Added::Ts, Value::Plain(Plain::Integer(time))) => self.ts = Some(time),
            (Added::SourceTs | Added::Ts, _) => return Err(flat::NOT_A_TIME),
        }
        Ok(())
    }
}
