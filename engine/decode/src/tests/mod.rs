//! Claims about decoding. Cells are compared as text, each type in its plainest form: numbers and times as numbers,
//! decimals with their point, bytes as hexadecimal digits.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

mod cell;
mod kinds;
mod malformed;
mod messages;
mod mongo;
mod oracle;
mod policies;
mod recordings;
mod rest;
mod round_trip;
mod row_schemas;

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::test_runner::{Config as ProptestConfig, RngSeed};

use super::Decoder;
use crate::decoded::Decoded;
use crate::input::EXTENSION_NAME;
use crate::input::{Format, Input, InputColumn, REST, Source, Tombstone};
use crate::message::OwnedMessage;
use crate::partition::TopicPartition;
use crate::policy::Reading;
pub(super) use cell::cell;

pub(super) const MICROS: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

pub(super) fn utc_micros() -> DataType {
    DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
}

pub(super) fn required(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, false)
}

pub(super) fn optional(name: &str, data_type: DataType) -> Field {
    Field::new(name, data_type, true)
}

pub(super) fn json(name: &str) -> Field {
    let metadata = std::collections::HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]);
    Field::new(name, DataType::Utf8, true).with_metadata(metadata)
}

/// The column of all that no other one reads.
pub(super) fn rest() -> InputColumn {
    let source = Source::Row(REST.to_owned());
    InputColumn { field: Arc::new(json("*")), source, required: false, reading: Reading::default() }
}

pub(super) fn input(format: Format, columns: Vec<Field>) -> Input {
    Input::by_names(&Schema::new(columns), format)
}

pub(super) fn partition() -> TopicPartition {
    TopicPartition { topic: "shop.orders".into(), partition: 3 }
}

pub(super) fn decoder(input: &Input) -> Decoder {
    Decoder::new(input, &partition(), 2).unwrap()
}

/// So many random cases. The seed is printed; `PROPTEST_RNG_SEED` repeats it.
pub(super) fn random(cases: u32) -> ProptestConfig {
    let given = std::env::var("PROPTEST_RNG_SEED").ok().map(|seed| seed.parse().unwrap());
    let seed = given.unwrap_or_else(|| RandomState::new().hash_one(cases));
    println!("PROPTEST_RNG_SEED={seed}");
    ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(seed), ..ProptestConfig::with_cases(cases) }
}

/// A message's key and value.
type Bytes<'m> = (Option<&'m [u8]>, Option<&'m [u8]>);

/// Messages from offset 0 on.
pub(super) fn messages(bytes: &[Bytes<'_>]) -> Vec<OwnedMessage> {
    let message = |(offset, (key, value)): (i64, &Bytes<'_>)| {
        OwnedMessage::new(offset, key.map(<[u8]>::to_vec), value.map(<[u8]>::to_vec))
    };
    (0..).zip(bytes).map(message).collect()
}

/// Decodes, and checks what holds of every result: each message became exactly one thing, in order.
pub(super) fn decode(decoder: &mut Decoder, messages: &[OwnedMessage]) -> Decoded {
    let decoded = decoder.decode(messages);
    let rows = decoded.rows.num_rows();
    assert_eq!(rows + decoded.rejects.len() + decoded.no_ops.len(), messages.len());
    assert_eq!(decoded.changes.op.len(), rows);
    assert_eq!(decoded.changes.source_ts.len(), rows);
    let rejects: Vec<i64> = decoded.rejects.iter().map(|reject| reject.offset).collect();
    let no_ops: Vec<i64> = decoded.no_ops.iter().map(|(offset, _)| *offset).collect();
    let row_offsets = decoded.changes.offset.values().to_vec();
    for offsets in [&rejects, &no_ops, &row_offsets] {
        assert!(offsets.is_sorted(), "{offsets:?}");
    }
    let mut all = [rejects, no_ops, row_offsets].concat();
    all.sort_unstable();
    assert_eq!(all, messages.iter().map(|message| message.offset).collect::<Vec<_>>());
    decoded
}

/// What became of one value without a key, in a word: the row's cells, the no-op or the reject's code.
pub(super) fn outcome(input: &Input, value: &[u8]) -> String {
    outcome_with_key(input, None, value)
}

pub(super) fn outcome_with_key(input: &Input, key: Option<&[u8]>, value: &[u8]) -> String {
    let decoded = decode(&mut decoder(input), &messages(&[(key, Some(value))]));
    outcomes(&decoded).remove(0)
}

/// What became of each message, in offset order.
pub(super) fn outcomes(decoded: &Decoded) -> Vec<String> {
    let mut all: Vec<(i64, String)> = Vec::new();
    all.extend(decoded.no_ops.iter().map(|(offset, no_op)| (*offset, no_op.as_str().to_owned())));
    all.extend(decoded.rejects.iter().map(|reject| {
        let column = reject.column.as_ref().map(|column| format!(" {column}")).unwrap_or_default();
        (reject.offset, format!("{}{column}", reject.code))
    }));
    for row in 0..decoded.rows.num_rows() {
        let op = char::from(decoded.changes.op.value(row));
        let cells: Vec<String> = decoded.rows.columns().iter().map(|column| cell(column, row)).collect();
        all.push((decoded.changes.offset.value(row), format!("{op}: {}", cells.join(" | "))));
    }
    all.sort_unstable();
    all.into_iter().map(|(_, outcome)| outcome).collect()
}
