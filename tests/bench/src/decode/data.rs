//! The messages: the same changes in each shape.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use engine::decode::OwnedMessage;
use engine::decode::avro::{self, Registered};
use engine::decode::input::{Format, Input};
use engine::demo::{Mix, Orders};

use super::avro::Written;
use crate::Failure;
use crate::messages::Shape;

/// Nine of ten changes are updates, so that a message has about 1 KB.
const MIX: Mix = Mix { updates: 900, deletes: 0, bad: 0, total_in_stream: true };
/// 2026-01-01, so that every run sees the same bytes.
const START: i64 = 1_767_225_600_000_000;

/// Messages of one shape, and how they are read.
pub(crate) struct Topic {
    /// In the figures' names.
    pub(crate) name: &'static str,
    pub(crate) is_json: bool,
    pub(crate) input: Input,
    pub(crate) registry: Option<Arc<avro::Registry>>,
    pub(crate) messages: Vec<OwnedMessage>,
    /// Of all values.
    pub(crate) bytes: usize,
}

impl Topic {
    fn new(name: &'static str, format: Format, values: Vec<Vec<u8>>, keys: &[Vec<u8>]) -> Self {
        let bytes = values.iter().map(Vec::len).sum();
        let message = |(offset, (key, value)): (i64, (&Vec<u8>, Vec<u8>))| {
            OwnedMessage::new(offset, Some(key.clone()), Some(value))
        };
        let messages = (0..).zip(keys.iter().zip(values)).map(message).collect();
        Self { name, is_json: true, input: input(format), registry: None, messages, bytes }
    }
}

/// So many messages in each shape.
pub(crate) fn topics(count: usize) -> Result<Vec<Topic>, Failure> {
    let (keys, envelopes) = changes(count);
    let of = |shape: Shape| {
        let values = envelopes.iter().map(|envelope| shape.write(envelope)).collect();
        Topic::new(shape.as_str(), Format::Envelope, values, &keys)
    };
    let flat = envelopes.iter().map(|envelope| flattened(envelope)).collect::<Result<_, _>>()?;
    let written = Written::new()?;
    let avro = envelopes.iter().map(|envelope| written.message(envelope)).collect::<Result<_, _>>()?;
    let schema = Registered::Schema(Arc::new(avro::Schema::parse(&written.schema, &[])?));
    Ok(vec![
        of(Shape::Plain),
        of(Shape::Schema),
        Topic::new("flat", Format::Flat, flat, &keys),
        Topic {
            is_json: false,
            registry: Some(Arc::new(BTreeMap::from([(super::avro::ID, schema)]))),
            ..Topic::new("avro", Format::Envelope, avro, &keys)
        },
    ])
}

/// Keys and envelopes.
fn changes(count: usize) -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
    let mut orders = Orders::new(7, 0, MIX);
    let mut changes = Vec::with_capacity(count);
    let mut now = START;
    while changes.len() < count {
        orders.change(now, &mut changes);
        now += 1_000;
    }
    changes.truncate(count);
    changes.into_iter().map(|change| (change.key, change.value.unwrap_or_default())).unzip()
}

/// What `ExtractNewRecordState` leaves of an envelope, with `add.fields=op,source.ts_ms` and
/// `delete.tombstone.handling.mode=rewrite`.
fn flattened(envelope: &[u8]) -> Result<Vec<u8>, Failure> {
    let text = std::str::from_utf8(envelope)?;
    let (_, after) = text.split_once("\"after\":").ok_or("an envelope has a row after")?;
    let (row, source) = after.split_once("},\"source\":").ok_or("a source follows the row")?;
    let (_, ts) = source.split_once("\"ts_ms\":").ok_or("a source has a time")?;
    let ts = ts.split(',').next().unwrap_or_default();
    let op = if text.contains("\"op\":\"u\"") { "u" } else { "c" };
    Ok(format!("{row},\"__deleted\":\"false\",\"__op\":\"{op}\",\"__source_ts_ms\":{ts}}}").into_bytes())
}

/// Ten of the twelve columns, in their proper types.
fn input(format: Format) -> Input {
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let columns = vec![
        Field::new("id", DataType::Int32, false),
        Field::new("order_number", DataType::Utf8, true),
        Field::new("order_date", DataType::Date32, false),
        Field::new("order_time", time.clone(), true),
        Field::new("quantity", DataType::Int32, false),
        Field::new("unit_price", DataType::Decimal128(10, 2), true),
        Field::new("total_amount", DataType::Decimal128(12, 2), true),
        Field::new("status", DataType::Utf8, true),
        Field::new("created_at", time.clone(), true),
        Field::new("updated_at", time, true),
    ];
    Input::by_names(&Schema::new(columns), format)
}
