//! Decimals as base64 of an unscaled integer: the same digits by a column of text and by one of decimals, or none.
#![no_main]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal256Type;
use arrow_schema::{DataType, Field, Schema};
use debezium_decode::input::Format;
use debezium_decode::{Decoder, Input, OwnedMessage, Source, TopicPartition};
use decoding::within_budget;
use libfuzzer_sys::fuzz_target;

const SCALE: usize = 20;

fuzz_target!(|data: &[u8]| {
    let Some((scale, text)) = data.split_first() else { return };
    let Ok(text) = std::str::from_utf8(text) else { return };
    if text.chars().any(|letter| letter == '"' || letter == '\\' || letter < ' ') {
        return;
    }
    let schema = Schema::new(vec![
        Field::new("n", DataType::Decimal256(76, SCALE as i8), true),
        Field::new("text", DataType::Utf8, true),
    ]);
    let mut input = Input::by_names(&schema, Format::Flat);
    input.columns[1].source = Source::Row("n".to_owned());
    let field = format!(
        r#"{{"type":"bytes","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{}"}},"field":"n"}}"#,
        scale.cast_signed()
    );
    let message = format!(r#"{{"schema":{{"type":"struct","fields":[{field}]}},"payload":{{"n":"{text}"}}}}"#);
    let partition = TopicPartition { topic: Arc::from("t"), partition: 0 };
    let mut decoder = Decoder::new(&input, &partition, 1).expect("both types can be decoded");
    let messages = [OwnedMessage::new(0, None, Some(message.into_bytes()))];
    let decoded = within_budget(text.len(), || decoder.decode(&messages));
    if decoded.rows.num_rows() == 1 {
        let number = decoded.rows.column(0).as_primitive::<Decimal256Type>().value_as_string(0);
        let text = decoded.rows.column(1).as_string::<i32>().value(0);
        assert_eq!(plain(&number), plain(text));
    }
});

/// Without zeros that mean nothing.
fn plain(digits: &str) -> String {
    let (sign, digits) = digits.strip_prefix('-').map_or(("", digits), |digits| ("-", digits));
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let (whole, fraction) = (whole.trim_start_matches('0'), fraction.trim_end_matches('0'));
    if whole.is_empty() && fraction.is_empty() { String::new() } else { format!("{sign}{whole}.{fraction}") }
}
