//! Claims about Avro. What is right is what the JSON of the same record becomes: topics that were recorded twice, from the
//! same tables, and random records that are written twice, by the test's own hand.
#![expect(clippy::unwrap_used, clippy::cast_possible_truncation, reason = "tests")]

mod malformed;
mod recorded;
mod written;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};

use super::{Registered, Registry, Schema};
use crate::Decoder;
use crate::decoded::Decoded;
use crate::input::{EXTENSION_NAME, Format, Input};
use crate::message::OwnedMessage;
use crate::partition::TopicPartition;

/// A registry of these schemas, the first under 1.
fn registry(schemas: &[&str]) -> Arc<Registry> {
    let parsed = schemas.iter().map(|text| Registered::Schema(Arc::new(Schema::parse(text, &[]).unwrap())));
    Arc::new((1..).zip(parsed).collect::<BTreeMap<_, _>>())
}

fn decoder(input: &Input, registry: &Arc<Registry>) -> Decoder {
    let mut decoder = Decoder::new(input, &TopicPartition { topic: "t".into(), partition: 0 }, 1).unwrap();
    decoder.set_registry(registry);
    decoder
}

fn input(format: Format, columns: Vec<Field>) -> Input {
    Input::by_names(&arrow_schema::Schema::new(columns), format)
}

/// The wire format.
fn framed(id: u32, datum: &[u8]) -> Vec<u8> {
    [&[0], &id.to_be_bytes()[..], datum].concat()
}

/// What became of each message, in offset order: the row with its change, the no-op, or the reject with its column.
fn outcomes(decoded: &Decoded) -> Vec<String> {
    let mut all: Vec<(i64, String)> = Vec::new();
    all.extend(decoded.no_ops.iter().map(|(offset, no_op)| (*offset, no_op.as_str().to_owned())));
    let column = |column: &Option<String>| column.clone().unwrap_or_default();
    all.extend(decoded.rejects.iter().map(|it| (it.offset, format!("{} {}", it.code, column(&it.column)))));
    for row in 0..decoded.rows.num_rows() {
        let op = char::from(decoded.changes.op.value(row));
        all.push((decoded.changes.offset.value(row), format!("{op}: {:?}", decoded.rows.slice(row, 1).columns())));
    }
    all.sort_unstable();
    all.into_iter().map(|(_, outcome)| outcome).collect()
}

/// One of each type that a column can have.
fn every_type() -> Vec<Field> {
    let utc = |unit| DataType::Timestamp(unit, Some("UTC".into()));
    let types = [
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
        DataType::Date32,
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Timestamp(TimeUnit::Millisecond, None),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, None),
        utc(TimeUnit::Microsecond),
        DataType::Decimal128(38, 4),
        DataType::Decimal128(9, 0),
        DataType::Decimal256(76, 20),
    ];
    let json = HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]);
    let json = Field::new("", DataType::Utf8, true).with_metadata(json);
    types.into_iter().map(|data_type| Field::new("", data_type, true)).chain([json]).collect()
}

fn message(offset: i64, key: Option<Vec<u8>>, value: Option<Vec<u8>>) -> OwnedMessage {
    OwnedMessage::new(offset, key, value)
}
