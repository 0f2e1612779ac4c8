//! The plan of a schema: how to go over a message written with it, what to read where, and what to skip.

use std::sync::Arc;

use super::json;
use super::schema::{Field, Kind, Schema, TypeId};
use super::skip::{Run, Skips};
use crate::decoded::NoOp;
use crate::no_op;
use crate::rows::Rows;
use crate::schema::{Shape, Wires};

/// A schema with the columns that are wanted of it.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) schema: Arc<Schema>,
    pub(super) skips: Skips,
    /// How columns are written, in the words that JSON has for it.
    pub(super) wires: Arc<Wires>,
    pub(super) messages: Messages,
}

/// What the messages are.
#[derive(Debug)]
pub(super) enum Messages {
    /// Debezium's envelope: the steps over its own level.
    Envelopes(Box<[Part]>),
    /// Rows.
    Rows(RowPlan),
    /// Envelopes of rows that are texts.
    Documents,
    /// Records that are no envelopes, where these are wanted.
    Others(Option<NoOp>),
    /// No records at all.
    NoRecords,
}

/// A step over an envelope.
#[derive(Debug)]
pub(super) enum Part {
    Skip(Run),
    Before(Before),
    After(Image),
    Source(Source),
    Op(TypeId),
}

/// A row within an envelope.
#[derive(Debug)]
pub(super) struct Image {
    pub(super) of: TypeId,
    /// None: the schema has no record there.
    pub(super) row: Option<RowPlan>,
}

/// The row before the change: what of it a delete reads, and what the columns of the row before.
#[derive(Debug)]
pub(super) struct Before {
    pub(super) of: TypeId,
    pub(super) rows: Option<(RowPlan, RowPlan)>,
}

/// How to find `ts_ms` in `source`.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) of: TypeId,
    pub(super) before: Run,
    /// None: it is no record, or has no `ts_ms`.
    pub(super) time: Option<TypeId>,
    pub(super) behind: Run,
}

/// The steps over a row.
#[derive(Debug)]
pub(super) struct RowPlan {
    pub(super) steps: Box<[Step]>,
    /// Whether any column is among its fields.
    pub(super) any: bool,
    /// What else a record of these fields could be.
    pub(super) no_op: Option<NoOp>,
    pub(super) is_envelope: bool,
}

/// A step over a row.
#[derive(Debug)]
pub(super) enum Step {
    Skip(Run),
    Read {
        of: TypeId,
        /// The columns that want it.
        slots: Box<[usize]>,
        /// What it says of the change.
        added: Option<Added>,
    },
    /// A field that goes with the rest of the row.
    Other {
        of: TypeId,
        /// Its name in JSON, and the colon.
        key: Box<[u8]>,
    },
}

/// The fields that `ExtractNewRecordState` adds to a row.
#[derive(Clone, Copy, Debug)]
pub(super) enum Added {
    Deleted,
    Op,
    SourceTs,
    Ts,
}

impl Plan {
    /// Plans the reading of messages of this schema for these columns.
    pub(super) fn new(schema: &Arc<Schema>, wires: Arc<Wires>, shape: Shape, rows: &Rows, before: &Rows) -> Self {
        let messages = match (schema.fields(schema.root()), shape) {
            (None, _) => Messages::NoRecords,
            (Some(fields), Shape::Row) => Messages::Rows(row(schema, fields, rows, true)),
            (Some(fields), Shape::Envelope) => envelope(schema, fields, rows, before),
        };
        Self { skips: Skips::new(schema), schema: schema.clone(), wires, messages }
    }
}

fn row(schema: &Schema, fields: &[Field], rows: &Rows, flat: bool) -> RowPlan {
    let (mut steps, mut skipped, mut any) = (Vec::new(), Vec::new(), false);
    for field in fields {
        let (slots, added) = (rows.slots_of(&field.name), if flat { added(&field.name) } else { None });
        let unread = slots.is_empty() && added.is_none();
        if unread && !rows.has_rest() {
            skipped.push(field.of);
            continue;
        }
        any |= !slots.is_empty();
        steps.extend(skip_over(schema, &mut skipped).map(Step::Skip));
        steps.push(if unread {
            Step::Other { of: field.of, key: json::key(&field.name).into() }
        } else {
            Step::Read { of: field.of, slots: slots.into(), added }
        });
    }
    steps.extend(skip_over(schema, &mut skipped).map(Step::Skip));
    let keys = no_op::Keys::of_names(fields.iter().map(|field| field.name.as_bytes()));
    RowPlan { steps: steps.into(), any, no_op: keys.no_op(), is_envelope: keys.are_envelope() }
}

fn envelope(schema: &Schema, fields: &[Field], rows: &Rows, before: &Rows) -> Messages {
    let keys = no_op::Keys::of_names(fields.iter().map(|field| field.name.as_bytes()));
    if !keys.op {
        return Messages::Others(keys.no_op());
    }
    let is_text = |of| *schema.kind(schema.not_null(of)) == Kind::String;
    if fields.iter().any(|field| matches!(&*field.name, "before" | "after") && is_text(field.of)) {
        return Messages::Documents;
    }
    let image = |of: TypeId, rows| schema.fields(of).map(|fields| row(schema, fields, rows, false));
    let (mut parts, mut skipped) = (Vec::new(), Vec::new());
    for field in fields {
        let part = match &*field.name {
            "before" => Part::Before(Before { of: field.of, rows: image(field.of, rows).zip(image(field.of, before)) }),
            "after" => Part::After(Image { of: field.of, row: image(field.of, rows) }),
            "source" => Part::Source(source(schema, field.of)),
            "op" => Part::Op(field.of),
            _ => {
                skipped.push(field.of);
                continue;
            }
        };
        parts.extend(skip_over(schema, &mut skipped).map(Part::Skip));
        parts.push(part);
    }
    parts.extend(skip_over(schema, &mut skipped).map(Part::Skip));
    Messages::Envelopes(parts.into())
}

fn source(schema: &Schema, of: TypeId) -> Source {
    let fields = schema.fields(of).unwrap_or_default();
    let at = fields.iter().position(|field| &*field.name == "ts_ms");
    let (before, rest) = fields.split_at(at.unwrap_or(fields.len()));
    let run = |fields: &[Field]| Run::over(schema, fields.iter().map(|field| field.of));
    Source {
        of,
        before: run(before),
        time: rest.first().map(|field| field.of),
        behind: run(rest.get(1..).unwrap_or_default()),
    }
}

/// The run over the fields that were skipped so far.
fn skip_over(schema: &Schema, skipped: &mut Vec<TypeId>) -> Option<Run> {
    let run = Run::over(schema, skipped.drain(..));
    if run.is_empty() { None } else { Some(run) }
}

fn added(name: &str) -> Option<Added> {
    match name {
        "__deleted" => Some(Added::Deleted),
        "__op" => Some(Added::Op),
        "__source_ts_ms" => Some(Added::SourceTs),
        "__ts_ms" => Some(Added::Ts),
        _ => None,
    }
}
