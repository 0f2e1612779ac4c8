//! The newest messages of a topic, and what they say of their rows.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use debezium_decode::avro::{Schema as AvroSchema, as_json, schema_id};
use debezium_decode::source::{RowSchema, SourceField, Written};
use serde_json::Value;

use super::columns::{Finding, Weight};
use crate::batch::{Message, RawBatch};
use crate::registry::Registry;
use crate::source::{BatchLimits, Filter, Found, Part, Source, SourceError, Start};

/// Messages looked at, of each partition.
const MESSAGES: i64 = 100;
/// Rows that are enough. All partitions have the same schemas, but not every one has messages.
const ENOUGH: usize = 50;
/// The same where a topic is shared: one tenant's are among them.
const SHARED_MESSAGES: i64 = 1000;
const SHARED_MOST: usize = 1000;
const LIMITS: BatchLimits = BatchLimits { max_messages: 100, max_bytes: 16 << 20, linger: Duration::from_millis(200) };

/// What the newest messages look like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Messages with a row.
    pub messages: usize,
    /// Whether they carry their schema.
    pub with_schema: bool,
    /// How their rows are wrapped.
    pub shape: Shape,
    /// The row's fields, as the newest messages have them.
    pub fields: Vec<SourceField>,
    /// Fields that were null in one of them.
    pub nulls: BTreeSet<String>,
}

/// How a row is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In `before` and `after`.
    Envelope,
    /// Not at all.
    Flat,
}

/// What was found in the newest messages.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) sample: Option<Sample>,
    /// There are messages in Avro, and none could be read.
    pub(super) unread_avro: Option<UnreadAvro>,
    /// The messages themselves.
    pub(super) batches: Vec<RawBatch>,
}

/// Why messages in Avro could not be read.
#[derive(Clone, Copy, Debug)]
pub(super) enum UnreadAvro {
    NoRegistry,
    NoSchema,
}

impl UnreadAvro {
    pub(super) fn finding(self) -> Finding {
        match self {
            Self::NoRegistry => Finding {
                weight: Weight::Stops,
                message:
                    "the messages are Avro with a schema's id, and no schema registry is set: give its address below \
                          [registry]"
                        .to_owned(),
            },
            Self::NoSchema => Finding {
                weight: Weight::Unknown,
                message: "the messages are Avro, and the schema registry gives no schema to read them with".to_owned(),
            },
        }
    }
}

/// Reads the newest messages of the first partitions that have any. Of a part of a topic, those among as many that are in it:
/// no plugin sees another tenant's rows, also not to be tried out.
pub(super) async fn newest(
    source: &dyn Source,
    registry: Option<&Registry>,
    partitions: &[Found],
    part: &Part,
) -> Result<Newest, SourceError> {
    let mut sample: Option<Sample> = None;
    let mut unread_avro = None;
    let mut schemas = HashMap::new();
    let mut batches = Vec::new();
    for found in partitions {
        if sample.as_ref().is_some_and(|sample| sample.messages >= ENOUGH) {
            break;
        }
        let (earliest, end) = source.bounds(&found.partition).await?;
        if earliest >= end {
            continue;
        }
        let (back, limits) = match part {
            Part::Whole => (MESSAGES, LIMITS),
            Part::Selected(_) | Part::Unclaimed(_) => {
                (SHARED_MESSAGES, BatchLimits { max_messages: SHARED_MOST, ..LIMITS })
            }
        };
        let mut reader = source.open(found, Start::Offset(earliest.max(end - back))).await?;
        let Some(mut batch) = reader.next_batch(limits).await? else { continue };
        keep_part(&mut batch, registry, part).await?;
        for value in batch.messages.iter().filter_map(|message| message.value()) {
            let row = match schema_id(value) {
                None => look_at(value),
                Some(id) => {
                    unread_avro = Some(if registry.is_some() { UnreadAvro::NoSchema } else { UnreadAvro::NoRegistry });
                    let schema = schema_of(registry, &mut schemas, id).await;
                    schema.and_then(|schema| look_at(&as_json(&schema, value)?))
                }
            };
            if let Some(row) = row {
                sample = Some(merged(sample, row));
            }
        }
        batches.push(batch);
    }
    Ok(Newest { unread_avro: unread_avro.filter(|_| sample.is_none()), sample, batches })
}

/// Leaves the newest messages of a part.
async fn keep_part(batch: &mut RawBatch, registry: Option<&Registry>, part: &Part) -> Result<(), SourceError> {
    if *part == Part::Whole {
        return Ok(());
    }
    let mut filter = Filter::new(part.clone());
    if let Some(registry) = registry.filter(|_| part.reads_columns())
        && let Some(answers) = registry.schemas_of(batch, |_| ()).await?.answers
    {
        filter.set_registry(&answers);
    }
    batch.messages.retain(|message| filter.holds(message));
    batch.messages.drain(..batch.messages.len().saturating_sub(LIMITS.max_messages));
    batch.bytes = batch.messages.iter().map(Message::bytes).sum();
    Ok(())
}

/// The schema of an id, asked for once.
async fn schema_of(
    registry: Option<&Registry>,
    schemas: &mut HashMap<u32, Option<Arc<AvroSchema>>>,
    id: u32,
) -> Option<Arc<AvroSchema>> {
    if let Some(known) = schemas.get(&id) {
        return known.clone();
    }
    let schema = registry?.schema(id).await;
    schemas.insert(id, schema.clone());
    schema
}

/// What a message says of its row; `None` where it has none.
pub(super) fn look_at(value: &[u8]) -> Option<Sample> {
    let value: Value = serde_json::from_slice(value).ok()?;
    let wrapper = value.as_object().filter(|it| it.contains_key("schema") && it.contains_key("payload"));
    let (schema, payload) = match wrapper {
        Some(wrapper) => (wrapper.get("schema"), wrapper.get("payload")?),
        None => (None, &value),
    };
    let schema = schema.filter(|schema| schema.is_object());
    let payload = payload.as_object()?;
    let shape = if payload.contains_key("op") && (payload.contains_key("after") || payload.contains_key("before")) {
        Shape::Envelope
    } else {
        Shape::Flat
    };
    let row = match shape {
        Shape::Flat => payload,
        Shape::Envelope => ["after", "before"].iter().find_map(|image| payload.get(*image)?.as_object())?,
    };
    let fields = match schema {
        Some(schema) => schema_fields(schema, shape),
        None => row.iter().map(|(name, value)| json_field(name, value)).collect(),
    };
    let nulls = row.iter().filter(|(_, value)| value.is_null()).map(|(name, _)| name.clone()).collect();
    Some(Sample { messages: 1, with_schema: schema.is_some(), shape, fields, nulls })
}

/// The newer message wins; a field that only an older one has is kept where there is no schema to say that it is gone.
fn merged(older: Option<Sample>, newer: Sample) -> Sample {
    let Some(older) = older else { return newer };
    let (mut fields, mut nulls) = (newer.fields, newer.nulls);
    nulls.extend(older.nulls);
    if !newer.with_schema {
        for old in older.fields {
            match fields.iter_mut().find(|field| field.name == old.name) {
                Some(field) if field.written == Written::Json(None) => field.written = old.written,
                Some(_) => {}
                None => fields.push(old),
            }
        }
    }
    Sample { messages: older.messages + 1, with_schema: newer.with_schema, shape: newer.shape, fields, nulls }
}

fn json_field(name: &str, value: &Value) -> SourceField {
    let kind = match value {
        Value::Null => None,
        Value::Bool(_) => Some("true or false"),
        Value::Number(_) => Some("a number"),
        Value::String(_) => Some("text"),
        Value::Array(_) => Some("an array"),
        Value::Object(_) => Some("an object"),
    };
    SourceField { name: name.to_owned(), written: Written::Json(kind), optional: false, default_for_null: false }
}

fn schema_fields(schema: &Value, shape: Shape) -> Vec<SourceField> {
    let schema = schema.to_string();
    let row = match shape {
        Shape::Envelope => RowSchema::of_envelope(schema.as_bytes()),
        Shape::Flat => RowSchema::of_flat(schema.as_bytes()),
    };
    row.map(|row| row.fields).unwrap_or_default()
}
