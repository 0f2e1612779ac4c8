//! Avro: whatever the schema and whatever the bytes, a message is a row, a no-op or a reject; and a message that can be
//! shown as JSON becomes the same from it. Never a panic, a hang, or memory out of proportion.
#![no_main]

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use debezium_decode::avro::{self, Registered};
use debezium_decode::input::{Format, Input, REST};
use debezium_decode::{Decoded, Decoder, EXTENSION_NAME, InputColumn, OwnedMessage, Reading, Source, TopicPartition};
use decoding::within_budget;
use libfuzzer_sys::fuzz_target;

/// A field of each kind, for inputs that are to get past the schema.
const SCHEMA: &str = r#"{"type":"record","name":"r","fields":[
 {"name":"a","type":["null","boolean","int","long","float","double","string","bytes"]},
 {"name":"b","type":["null",{"type":"bytes","logicalType":"decimal","precision":9,"scale":2}]},
 {"name":"c","type":{"type":"long","logicalType":"timestamp-micros"}},
 {"name":"d","type":["null",{"type":"array","items":{"type":"record","name":"n","fields":[
   {"name":"x","type":{"type":"map","values":["null","double"]}},{"name":"y","type":["null","n"]}]}}]},
 {"name":"e","type":{"type":"enum","name":"k","symbols":["A","B"]}},
 {"name":"f","type":["null",{"type":"int","logicalType":"date"}]},
 {"name":"__deleted","type":["null","string"]},
 {"name":"z","type":{"type":"array","items":["null","n","string"]}}]}"#;

// The first byte chooses the schema: the one above, or the text up to the first zero byte. The rest is the datum.
fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let (text, datum) = if choice % 2 == 0 {
        (SCHEMA, rest)
    } else {
        let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
        let Ok(text) = std::str::from_utf8(&rest[..end]) else { return };
        (text, rest.get(end + 1..).unwrap_or_default())
    };
    let Ok(schema) = avro::Schema::parse(text, &[]) else { return };
    let schema = Arc::new(schema);
    let message = [&[0, 0, 0, 0, 1][..], datum].concat();
    let format = if choice & 2 == 0 { Format::Flat } else { Format::Envelope };
    let registry = Arc::new(BTreeMap::from([(1, Registered::Schema(schema.clone()))]));
    let mut input = Input::by_names(&columns(usize::from(choice >> 2)), format);
    input.columns.push(all_others());
    // With the message the schema is planned.
    let decoded = within_budget(text.len() + message.len(), || decode(&input, &registry, message.clone()));
    let shown = within_budget(text.len() + message.len(), || avro::as_json(&schema, &message));
    if let Some(json) = shown
        && text == SCHEMA
    {
        let of_json = decode(&input, &registry, json);
        assert_eq!(decoded.rows, of_json.rows, "{:?} {:?}", decoded.rejects, of_json.rejects);
        let codes = |decoded: &Decoded| decoded.rejects.iter().map(|it| it.code.clone()).collect::<Vec<_>>();
        assert_eq!(codes(&decoded), codes(&of_json));
    }
});

/// All that no other column reads.
fn all_others() -> InputColumn {
    let metadata = HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]);
    let field = Field::new("rest", DataType::Utf8, true).with_metadata(metadata).into();
    InputColumn { field, source: Source::Row(REST.to_owned()), required: false, reading: Reading::default() }
}

fn decode(input: &Input, registry: &Arc<avro::Registry>, value: Vec<u8>) -> Decoded {
    let partition = TopicPartition { topic: "t".into(), partition: 0 };
    let mut decoder = Decoder::new(input, &partition, 1).expect("the types can be decoded");
    decoder.set_registry(registry);
    let decoded = decoder.decode(&[OwnedMessage::new(0, Some(value.clone()), Some(value))]);
    assert_eq!(decoded.rows.num_rows() + decoded.rejects.len() + decoded.no_ops.len(), 1);
    decoded
}

/// The fields as types that turn with the number.
fn columns(turn: usize) -> Schema {
    let list = |element| DataType::List(Arc::new(Field::new("item", element, true)));
    let types = [
        DataType::Int64,
        DataType::Decimal128(20, 2),
        DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Utf8,
        DataType::Binary,
        DataType::Date32,
        DataType::Float32,
        DataType::Boolean,
        DataType::Float64,
        DataType::Time64(TimeUnit::Microsecond),
        DataType::FixedSizeBinary(16),
        list(DataType::Utf8),
        list(DataType::Decimal256(76, 2)),
    ];
    let names = ["a", "b", "c", "d", "e", "f", "z"];
    let field = |(at, name): (usize, &str)| Field::new(name, types[(at + turn) % types.len()].clone(), true);
    Schema::new(names.into_iter().enumerate().map(field).collect::<Vec<_>>())
}
