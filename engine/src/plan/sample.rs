//! The newest messages of a topic, and what they say of their rows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arrow_schema::{DataType, TimeUnit};
use debezium_decode::avro::{Schema as AvroSchema, as_json, schema_id};
use serde_json::{Map, Value};

use super::columns::{Finding, Weight};
use crate::registry::Registry;
use crate::source::{BatchLimits, Found, Source, SourceError, Start};

/// Messages looked at, of each partition.
const MESSAGES: i64 = 100;
/// Rows that are enough. All partitions have the same schemas, but not every one has messages.
const ENOUGH: usize = 50;
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
}

/// How a row is wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// In `before` and `after`.
    Envelope,
    /// Not at all.
    Flat,
}

/// A field of the source's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceField {
    /// Its name.
    pub name: String,
    /// How its values are written.
    pub written: Written,
}

/// How values are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// The schema says, and there is an Arrow type for exactly that.
    As(DataType),
    /// The schema says, in these words.
    Named(String),
    /// There is no schema: this is the kind of the JSON value; `None` where all were null.
    Json(Option<&'static str>),
}

/// What was found in the newest messages.
#[derive(Debug)]
pub(super) struct Newest {
    pub(super) sample: Option<Sample>,
    /// There are messages in Avro, and none could be read.
    pub(super) unread_avro: Option<UnreadAvro>,
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

/// Reads the newest messages of the first partitions that have any.
pub(super) async fn newest(
    source: &dyn Source,
    registry: Option<&Registry>,
    partitions: &[Found],
) -> Result<Newest, SourceError> {
    let mut sample: Option<Sample> = None;
    let mut unread_avro = None;
    let mut schemas = HashMap::new();
    for found in partitions {
        if sample.as_ref().is_some_and(|sample| sample.messages >= ENOUGH) {
            break;
        }
        let (earliest, end) = source.bounds(&found.partition).await?;
        if earliest >= end {
            continue;
        }
        let mut reader = source.open(found, Start::Offset(earliest.max(end - MESSAGES))).await?;
        let Some(batch) = reader.next_batch(LIMITS).await? else { continue };
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
    }
    Ok(Newest { unread_avro: unread_avro.filter(|_| sample.is_none()), sample })
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
    Some(Sample { messages: 1, with_schema: schema.is_some(), shape, fields })
}

/// The newer message wins; a field that only an older one has is kept where there is no schema to say that it is gone.
fn merged(older: Option<Sample>, newer: Sample) -> Sample {
    let Some(older) = older else { return newer };
    let mut fields = newer.fields;
    if !newer.with_schema {
        for old in older.fields {
            match fields.iter_mut().find(|field| field.name == old.name) {
                Some(field) if field.written == Written::Json(None) => field.written = old.written,
                Some(_) => {}
                None => fields.push(old),
            }
        }
    }
    Sample { messages: older.messages + 1, fields, ..newer }
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
    SourceField { name: name.to_owned(), written: Written::Json(kind) }
}

fn schema_fields(schema: &Value, shape: Shape) -> Vec<SourceField> {
    let row = match shape {
        Shape::Flat => Some(schema),
        Shape::Envelope => fields_of(schema).find(|field| field.get("field").and_then(Value::as_str) == Some("after")),
    };
    let named = |field: &Value| {
        let name = field.get("field")?.as_str()?.to_owned();
        Some(SourceField { name, written: written(field.as_object()?) })
    };
    row.into_iter().flat_map(fields_of).filter_map(named).collect()
}

fn fields_of(schema: &Value) -> impl Iterator<Item = &Value> {
    schema.get("fields").and_then(Value::as_array).into_iter().flatten()
}

/// Semantic types of Kafka Connect and Debezium (<https://debezium.io/documentation/reference/stable/connectors/postgresql.html>,
/// "Data type mappings") that are an Arrow type.
fn written(field: &Map<String, Value>) -> Written {
    let text = |key: &str| field.get(key).and_then(Value::as_str).unwrap_or_default();
    let (name, kind) = (text("name"), text("type"));
    let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let exact = match (name, kind) {
        ("org.apache.kafka.connect.data.Decimal", _) => return decimal(field),
        ("io.debezium.time.Date" | "org.apache.kafka.connect.data.Date", _) => DataType::Date32,
        ("io.debezium.time.Time", _) => DataType::Time32(TimeUnit::Millisecond),
        ("io.debezium.time.MicroTime", _) => DataType::Time64(TimeUnit::Microsecond),
        ("io.debezium.time.NanoTime", _) => DataType::Time64(TimeUnit::Nanosecond),
        ("io.debezium.time.Timestamp" | "org.apache.kafka.connect.data.Timestamp", _) => {
            DataType::Timestamp(TimeUnit::Millisecond, None)
        }
        ("io.debezium.time.MicroTimestamp", _) => DataType::Timestamp(TimeUnit::Microsecond, None),
        ("io.debezium.time.NanoTimestamp", _) => DataType::Timestamp(TimeUnit::Nanosecond, None),
        ("io.debezium.time.ZonedTimestamp", _) => utc(TimeUnit::Microsecond),
        ("", "boolean") => DataType::Boolean,
        ("", "int8") => DataType::Int8,
        ("", "int16") => DataType::Int16,
        ("", "int32") => DataType::Int32,
        ("", "int64") => DataType::Int64,
        ("", "float" | "float32") => DataType::Float32,
        ("", "double" | "float64") => DataType::Float64,
        ("", "string") => DataType::Utf8,
        ("", "bytes") => DataType::Binary,
        ("", other) => return Written::Named(other.to_owned()),
        (named, _) => return Written::Named(named.rsplit('.').next().unwrap_or(named).to_owned()),
    };
    Written::As(exact)
}

fn decimal(field: &Map<String, Value>) -> Written {
    let parameter = |key: &str| field.get("parameters")?.get(key)?.as_str()?.parse::<i16>().ok();
    let (precision, scale) = (parameter("connect.decimal.precision"), parameter("scale"));
    let exact = || {
        let (precision, scale) = (u8::try_from(precision?).ok()?, i8::try_from(scale?).ok()?);
        Some(if precision <= 38 {
            DataType::Decimal128(precision, scale)
        } else {
            DataType::Decimal256(precision, scale)
        })
    };
    exact().map_or_else(|| Written::Named("Decimal".to_owned()), Written::As)
}
