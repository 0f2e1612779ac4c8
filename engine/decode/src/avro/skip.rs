//! Skipping: Avro has no lengths to jump by, so what nobody asked for is walked over, by a plan in which runs of fields
//! of known size are one step.

use super::body::Body;
use super::schema::{Kind, Schema, TypeId};
use crate::reject::{Read, Refusal, RejectCode};

/// Deepest nesting of values: types that contain themselves nest as deep as a message says, and a stack is not endless.
pub(super) const MAX_DEPTH: usize = 128;

pub(super) const TOO_DEEP: &Refusal =
    &Refusal { code: RejectCode::InvalidAvro, reason: "the Avro value is nested deeper than 128 levels" };
pub(super) const NO_BRANCH: &Refusal =
    &Refusal { code: RejectCode::InvalidAvro, reason: "an Avro union names a branch that its schema does not have" };

/// How each type of a schema is skipped, by its id.
#[derive(Debug)]
pub(super) struct Skips(Box<[Run]>);

/// The steps over values that follow each other.
#[derive(Debug, Default)]
pub(super) struct Run(Box<[Step]>);

/// A step over bytes.
#[derive(Debug, PartialEq, Eq)]
enum Step {
    /// So many bytes.
    Bytes(usize),
    /// So many integers.
    Varints(usize),
    /// A length and as many bytes.
    Blob,
    /// One of these.
    Union(Box<[TypeId]>),
    Array(TypeId),
    Map(TypeId),
    /// Another type.
    Type(TypeId),
}

impl Skips {
    pub(super) fn new(schema: &Schema) -> Self {
        let empty = empty(schema);
        let run = |kind: &Kind| {
            let Kind::Record(fields) = kind else { return Run(step(kind).into_iter().collect()) };
            Run::over(schema, fields.iter().map(|field| field.of).filter(|field| !empty[*field]))
        };
        Self(schema.kinds().iter().map(run).collect())
    }

    /// Skips a value of this type.
    pub(super) fn skip(&self, id: TypeId, body: &mut Body<'_>) -> Read<()> {
        self.skip_below(id, body, MAX_DEPTH)
    }

    /// Skips values that follow each other.
    pub(super) fn skip_run(&self, run: &Run, body: &mut Body<'_>) -> Read<()> {
        self.steps(run, body, MAX_DEPTH)
    }

    fn skip_below(&self, id: TypeId, body: &mut Body<'_>, levels: usize) -> Read<()> {
        let levels = levels.checked_sub(1).ok_or(TOO_DEEP)?;
        self.steps(&self.0[id], body, levels)
    }

    fn steps(&self, run: &Run, body: &mut Body<'_>, levels: usize) -> Read<()> {
        for step in &run.0 {
            match step {
                Step::Bytes(length) => {
                    body.take(*length)?;
                }
                Step::Varints(count) => (0..*count).try_for_each(|_| body.skip_varint())?,
                Step::Blob => {
                    body.bytes()?;
                }
                Step::Union(branches) => {
                    let branch = *branches.get(body.index()?).ok_or(NO_BRANCH)?;
                    self.skip_below(branch, body, levels)?;
                }
                Step::Array(items) => self.skip_blocks(false, *items, body, levels)?,
                Step::Map(values) => self.skip_blocks(true, *values, body, levels)?,
                Step::Type(id) => self.skip_below(*id, body, levels)?,
            }
        }
        Ok(())
    }

    fn skip_blocks(&self, keyed: bool, item: TypeId, body: &mut Body<'_>, levels: usize) -> Read<()> {
        while let Some(block) = body.block()? {
            if let Some(bytes) = block.bytes {
                body.take(bytes)?;
                continue;
            }
            for _ in 0..block.items {
                if keyed {
                    body.bytes()?;
                }
                self.skip_below(item, body, levels)?;
            }
        }
        Ok(())
    }
}

/// Which types take no byte: null, and records of such alone. They are not walked over, or names that multiply (ten
/// fields of a record of ten fields of …) would take for ever without a byte.
fn empty(schema: &Schema) -> Vec<bool> {
    let mut empty: Vec<bool> = schema.kinds().iter().map(|kind| *kind == Kind::Null).collect();
    loop {
        let before = empty.clone();
        for (id, kind) in schema.kinds().iter().enumerate() {
            if let Kind::Record(fields) = kind {
                empty[id] = fields.iter().all(|field| empty[field.of]);
            }
        }
        if empty == before {
            return empty;
        }
    }
}

impl Run {
    /// Over values of these types: steps of known size are merged.
    pub(super) fn over(schema: &Schema, types: impl Iterator<Item = TypeId>) -> Self {
        let mut steps = Vec::new();
        for id in types {
            let kind = schema.kind(id);
            let next = if matches!(kind, Kind::Record(_)) { Some(Step::Type(id)) } else { step(kind) };
            match (steps.last_mut(), next) {
                (Some(Step::Bytes(length)), Some(Step::Bytes(more))) => *length = length.saturating_add(more),
                (Some(Step::Varints(count)), Some(Step::Varints(more))) => *count += more,
                (_, next) => steps.extend(next),
            }
        }
        Self(steps.into())
    }

    /// Whether there is nothing to skip.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The step over a type that is no record; null takes none.
fn step(kind: &Kind) -> Option<Step> {
    Some(match kind {
        Kind::Null | Kind::Record(_) => return None,
        Kind::Boolean => Step::Bytes(1),
        Kind::Int | Kind::Long | Kind::Enum(_) => Step::Varints(1),
        Kind::Float => Step::Bytes(4),
        Kind::Double => Step::Bytes(8),
        Kind::Fixed(size) => Step::Bytes(*size),
        Kind::Bytes | Kind::String => Step::Blob,
        Kind::Array(items) => Step::Array(*items),
        Kind::Map(values) => Step::Map(*values),
        Kind::Union(branches) => Step::Union(branches.clone()),
    })
}
