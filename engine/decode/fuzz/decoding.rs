//! What the targets share: an input of every type, and what holds of every answer.

mod memory;

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::Array;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use debezium_decode::input::{Format, REST};
pub use memory::within_budget;

use debezium_decode::{Case, Decoded, Decoder, EXTENSION_NAME, Input, OwnedMessage, Policy, Source, TopicPartition};

/// A column of each type, named as the seeds have them; every second one with lenient policies.
pub fn input(format: Format) -> Input {
    let list = |element| DataType::List(Arc::new(Field::new("item", element, true)));
    let pair = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)];
    let map = DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false);
    let types = [
        DataType::Int64,
        DataType::Int8,
        DataType::UInt64,
        DataType::Boolean,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
        DataType::Date32,
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Nanosecond),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
        DataType::Decimal128(20, 4),
        DataType::Decimal256(76, 38),
        list(DataType::Utf8),
        list(DataType::Timestamp(TimeUnit::Millisecond, None)),
        list(list(DataType::Decimal128(10, 2))),
        map,
    ];
    let mut fields: Vec<Field> = types.into_iter().zip('a'..).map(|(of, name)| Field::new(name.to_string(), of, true)).collect();
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]);
    fields.push(Field::new("z", DataType::Utf8, true).with_metadata(metadata));
    let mut input = Input::by_names(&Schema::new(fields), format);
    let null = [Case::Infinity, Case::Nan, Case::ZeroDate, Case::OutOfRange, Case::Unavailable].map(|case| (case, Policy::Null));
    for column in input.columns.iter_mut().step_by(2) {
        column.reading.add_defaults(&null.into(), &column.field);
    }
    let rest = input.columns.last().expect("a column of Json was just added").clone();
    let field = Arc::new(rest.field.as_ref().clone().with_name("rest"));
    input.columns.push(debezium_decode::InputColumn { field, source: Source::Row(REST.to_owned()), ..rest });
    if format == Format::Envelope {
        let old = input.columns[6].clone();
        let field = Arc::new(old.field.as_ref().clone().with_name("before"));
        input.columns.push(debezium_decode::InputColumn { field, source: Source::Before("g".to_owned()), ..old });
    }
    input
}

/// A decoder of these columns.
///
/// # Panics
/// The columns can't be decoded.
pub fn decoder(input: &Input) -> Decoder {
    Decoder::new(input, &TopicPartition { topic: "t".into(), partition: 0 }, 1).expect("every type can be decoded")
}

/// Decodes the message between two that are known, and checks what holds of every answer.
///
/// # Panics
/// A promise is broken.
pub fn check(decoder: &mut Decoder, key: Option<&[u8]>, value: &[u8], known: &str) -> Decoded {
    let known = |offset| OwnedMessage::new(offset, None, Some(known.as_bytes().to_vec()));
    let message = OwnedMessage::new(1, key.map(<[u8]>::to_vec), Some(value.to_vec()));
    let messages = [known(0), message, known(2)];
    let decoded = within_budget(key.map_or(0, <[u8]>::len) + value.len(), || decoder.decode(&messages));
    let rows = decoded.rows.num_rows();
    assert_eq!(rows + decoded.rejects.len() + decoded.no_ops.len(), 3, "each message is one thing");
    assert!(decoded.changes.offset.values().contains(&0) && decoded.changes.offset.values().contains(&2));
    for column in decoded.rows.columns() {
        column.to_data().validate_full().expect("arrays are valid");
        assert_eq!(column.slice(0, 1).to_data(), column.slice(rows - 1, 1).to_data(), "neighbours are untouched");
    }
    decoded
}
