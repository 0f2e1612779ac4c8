//! Avro, as Kafka Connect's converters write it with a schema registry: a zero byte, the schema's id in four bytes
//! (big-endian), and the datum ("wire format" in Confluent's documentation of Schema Registry).
//!
//! **Promise.** The same columns, rows and rejects as the same record in JSON; a value goes from its bytes to its column
//! without a tree between. A schema is parsed and planned once: which fields are read into which column, which runs of
//! fields are skipped. There is no reader's schema and nothing is filled from defaults: what a schema does not have is
//! null, as what a JSON object does not have.
//! **Assumed.** The registry's answers for all ids of a batch are given before it is decoded: decoding asks nobody.
//!
//! ```text
//! message ──id──► plan ──┬─ skip: runs of steps
//!                        └─ read ──► plain value ──► column
//!                                └─► nested value ──json──► column
//! ```

mod body;
mod json;
mod logical;
mod plan;
mod read;
mod schema;
mod skip;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use self::body::Body;
use self::plan::{Messages, Plan};
use self::read::Reading;
use super::Outcome;
use super::key::Keys;
use super::reject::{Read, Refusal, Refused, RejectCode};
use super::rows::Rows;
use super::schema::{Described, Schemas, Shape};
use super::source::SeenSchemas;

pub use schema::{Schema, SchemaError};
pub(super) use view::Views;

const CUT_FRAME: &Refusal = &Refusal {
    code: RejectCode::InvalidAvro,
    reason: "the message begins with a zero byte like Avro, but is too short for a schema's id",
};
const NO_REGISTRY: &Refusal = &Refusal {
    code: RejectCode::NoRegistry,
    reason: "the message begins with a zero byte, so it is Avro with a schema's id, and no schema registry is set: give \
             its address below [registry]",
};
const UNKNOWN_SCHEMA: &Refusal =
    &Refusal { code: RejectCode::UnknownSchema, reason: "the schema registry does not know the message's schema id" };
const NOT_AVRO: &Refusal = &Refusal {
    code: RejectCode::InvalidSchema,
    reason: "the schema that the registry has under the message's id is no Avro schema that can be read",
};

/// Bytes before the datum.
const FRAME: usize = 5;

/// What a schema registry answered for an id.
#[derive(Clone, Debug)]
pub enum Registered {
    /// The schema.
    Schema(Arc<Schema>),
    /// Something else: JSON Schema, Protobuf, or text that is no schema.
    NotAvro,
    /// There is none.
    Unknown,
}

/// The answers for all ids of a batch, by id.
pub type Registry = BTreeMap<u32, Registered>;

/// The schema id of a key or value in the wire format; `None`: it is in another format.
#[must_use]
pub fn schema_id(bytes: &[u8]) -> Option<u32> {
    framed(bytes)?.ok().map(|(id, _)| id)
}

/// The datum as Kafka Connect's JSON converter would have written it with `schemas.enable=true`: for tools that show
/// messages. `None`: the bytes are not in the wire format, or not of this schema.
#[must_use]
pub fn as_json(schema: &Schema, bytes: &[u8]) -> Option<Vec<u8>> {
    let (_, datum) = framed(bytes)?.ok()?;
    let mut out = format!("{{\"schema\":{},\"payload\":", json::connect_schema(schema)).into_bytes();
    payload(schema, datum, &mut out).ok()?;
    out.push(b'}');
    Some(out)
}

/// Writes a whole datum as JSON.
fn payload(schema: &Schema, datum: &[u8], out: &mut Vec<u8>) -> Read<()> {
    let mut body = Body::new(datum);
    json::write(schema, schema.root(), &mut body, datum.len(), out)?;
    body.end()
}

/// The id and the datum; `None`: another format. JSON never begins with a zero byte.
fn framed(bytes: &[u8]) -> Option<Read<(u32, &[u8])>> {
    let rest = bytes.strip_prefix(&[0])?;
    Some(match rest.split_first_chunk::<{ FRAME - 1 }>() {
        Some((id, datum)) => Ok((u32::from_be_bytes(*id), datum)),
        None => Err(CUT_FRAME),
    })
}

/// Whether a key or value is in the wire format.
pub(super) fn is_framed(bytes: &[u8]) -> bool {
    bytes.first() == Some(&0)
}

/// What a message came to.
#[derive(Debug)]
pub(super) enum Found {
    Outcome(Outcome),
    /// Its value is null.
    Null,
    /// It has no shorter way than its JSON: MongoDB's rows are documents in strings.
    Json(Vec<u8>),
}

/// Reads messages in the wire format.
#[derive(Debug)]
pub(super) struct Avro {
    shape: Shape,
    registry: Option<Arc<Registry>>,
    plans: HashMap<u32, Read<Arc<Plan>>>,
    /// A nested value on its way to its column.
    json: Vec<u8>,
    seen: SeenSchemas,
}

impl Avro {
    /// Of this shape. It knows no registry yet.
    pub(super) fn new(shape: Shape) -> Self {
        Self { shape, registry: None, plans: HashMap::new(), json: Vec::new(), seen: SeenSchemas::default() }
    }

    /// The rows that schemas of messages have described so far.
    pub(super) fn seen(&self) -> &SeenSchemas {
        &self.seen
    }

    /// What the registry says from now on.
    pub(super) fn set_registry(&mut self, registry: Arc<Registry>) {
        self.registry = Some(registry);
        self.plans.clear();
    }

    /// The JSON of a message, for a rare second look.
    pub(super) fn json(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let (id, datum) = framed(bytes)?.ok()?;
        let Registered::Schema(schema) = self.registry.as_ref()?.get(&id)? else { return None };
        let mut out = Vec::new();
        payload(schema, datum, &mut out).ok()?;
        Some(out)
    }

    /// Reads one message into `rows` and `before`.
    pub(super) fn read(
        &mut self,
        rows: &mut Rows,
        before: &mut Rows,
        keys: &mut Keys,
        schemas: &Schemas,
        value: &[u8],
        key: Option<&[u8]>,
    ) -> Result<Found, Refused> {
        let Some((plan, mut reading)) = self.open(rows, before, schemas, value)? else { return Ok(Found::Null) };
        match &plan.messages {
            Messages::Envelopes(parts) => reading.envelope(rows, before, keys, parts, key).map(Found::Outcome),
            Messages::Rows(row) => reading.flat(rows, keys, row, key).map(Found::Outcome),
            Messages::Others(no_op) => reading.other(*no_op).map(Found::Outcome),
            Messages::Documents => {
                let (_, datum) = framed(value).ok_or(CUT_FRAME)??;
                let mut out = Vec::new();
                payload(&plan.schema, datum, &mut out)?;
                Ok(Found::Json(out))
            }
            Messages::NoRecords => Err(read::no_record(self.shape).into()),
        }
    }

    /// Fills what the row has no value for from a key; false: the key is no record and has no names.
    pub(super) fn key(&mut self, rows: &mut Rows, schemas: &Schemas, key: &[u8]) -> Result<bool, Refused> {
        let Some((plan, mut reading)) = self.open(rows, &Rows::new(Vec::new()), schemas, key)? else {
            return Ok(false);
        };
        let Messages::Rows(row) = &plan.messages else { return Ok(false) };
        reading.key(rows, row)?;
        Ok(true)
    }

    /// The plan and the datum of a message, past the union that its type may be; `None`: it is null.
    fn open<'a>(
        &'a mut self,
        rows: &Rows,
        before: &Rows,
        schemas: &Schemas,
        bytes: &'a [u8],
    ) -> Result<Option<(Arc<Plan>, Reading<'a>)>, Refused> {
        let (id, datum) = framed(bytes).ok_or(CUT_FRAME)??;
        let plan = match self.plans.get(&id) {
            Some(plan) => plan.clone()?,
            None => self.plan(rows, before, schemas, id)?,
        };
        let mut body = Body::new(datum);
        let (of, null) = read::branch(&plan.schema, plan.schema.root(), &mut body)?;
        if null {
            body.end()?;
            return Ok(None);
        }
        Ok(Some((plan.clone(), Reading::new(plan, of, body, datum.len(), &mut self.json))))
    }

    #[cold]
    fn plan(&mut self, rows: &Rows, before: &Rows, schemas: &Schemas, id: u32) -> Read<Arc<Plan>> {
        let registry = self.registry.as_ref().ok_or(NO_REGISTRY)?;
        let plan = match registry.get(&id) {
            Some(Registered::Schema(schema)) => {
                let connect = json::connect_schema(schema).to_string();
                schemas.describe(connect.as_bytes()).map(|Described { wires, row }| {
                    self.seen.add(row);
                    Arc::new(Plan::new(schema, wires, self.shape, rows, before))
                })
            }
            Some(Registered::NotAvro) => Err(NOT_AVRO),
            Some(Registered::Unknown) | None => Err(UNKNOWN_SCHEMA),
        };
        self.plans.insert(id, plan.clone());
        plan
    }
}

#[cfg(test)]
mod tests;
