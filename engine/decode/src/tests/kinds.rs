//! Every kind of record, from a live connector (`schemas/debezium/matrix/kinds.jsonl`): one table under an envelope and
//! under each delete mode of ExtractNewRecordState, with what happened to it in `kinds.sh`.

use super::recordings::recording;
use super::*;
use crate::policy::{Case, Policy};

fn kinds(topic: &str) -> Vec<OwnedMessage> {
    recording("matrix/kinds.jsonl", topic)
}

fn table(format: Format) -> Input {
    let mut input = input(
        format,
        vec![required("id", DataType::Int32), required("name", DataType::Utf8), optional("big", DataType::Utf8)],
    );
    input.columns[2].reading.policies = [(Case::Unavailable, Policy::Null)].into();
    input
}

/// Outcomes with long texts by their length.
fn short(input: &Input, topic: &str) -> Vec<String> {
    let decoded = decode(&mut decoder(input), &kinds(topic));
    outcomes(&decoded).iter().map(|outcome| outcome.replace(&"x".repeat(3000), "x3000")).collect()
}

#[test]
fn envelopes_with_a_change_of_key_an_incremental_snapshot_and_a_truncate() {
    let expected = [
        "r: 1 | one | x3000",
        "c: 2 | two | null",
        "u: 1 | uno | null", // unavailable
        "d: 2 |  | null",    // the key changes from 2 to 3
        "tombstone",
        "c: 3 | two | null",
        "d: 3 |  | null",
        "tombstone",
        "r: 1 | uno | x3000", // incremental snapshot
        "u: 1 | ein | x3000", // replica identity full from here on
        "u: 1 | eins | x3000",
        "d: 1 | eins | x3000",
        "tombstone",
        "truncate",
    ];
    assert_eq!(short(&table(Format::Envelope), "kinds-envelope.public.t"), expected);
    let strict = input(Format::Envelope, vec![optional("big", DataType::Utf8)]);
    assert_eq!(short(&strict, "kinds-envelope.public.t")[2], "unavailable big");
}

#[test]
fn headers_tell_the_other_key_of_a_change_of_key() {
    let mut input = input(Format::Envelope, vec![required("id", DataType::Int32)]);
    for (name, header) in [("to", "__debezium.newkey"), ("from", "__debezium.oldkey")] {
        input.columns.push(InputColumn {
            field: Arc::new(optional(name, DataType::Utf8)),
            source: Source::Header(header.to_owned()),
            required: false,
            reading: Reading::default(),
        });
    }
    let outcomes = short(&input, "kinds-envelope.public.t");
    assert_eq!(outcomes[3], r#"d: 2 | {"id":3} | null"#);
    assert_eq!(outcomes[5], r#"c: 3 | null | {"id":2}"#);
    assert_eq!(outcomes[6], "d: 3 | null | null");
}

#[test]
fn what_is_no_change_of_a_row_is_a_no_op_with_a_name() {
    let input = table(Format::Envelope);
    assert_eq!(short(&input, "kinds-envelope.message"), ["logical_message"]);
    for (topic, name) in [
        ("kinds-envelope.transaction", "transaction"),
        ("__debezium-heartbeat.kinds-envelope", "heartbeat"),
        ("kinds-mariadb", "schema_change"),
    ] {
        let outcomes = short(&input, topic);
        assert!(outcomes.len() >= 2 && outcomes.iter().all(|outcome| outcome == name), "{topic}: {outcomes:?}");
    }
}

#[test]
fn a_column_added_in_mid_stream_is_null_before() {
    let extra =
        vec![required("id", DataType::Int32), required("name", DataType::Utf8), optional("extra", DataType::Int32)];
    let expected = ["r: 1 | one | null", "u: 1 | uno | 5", "d: 1 | uno | 5", "tombstone"];
    assert_eq!(short(&input(Format::Envelope, extra.clone()), "kinds-mariadb.kinds.t"), expected);
    let mut required = input(Format::Envelope, extra);
    required.columns[2].required = true;
    assert_eq!(short(&required, "kinds-mariadb.kinds.t")[..2], ["missing_value extra", "u: 1 | uno | 5"]);
}

#[test]
fn flat_rows_in_each_delete_mode() {
    let changes = |deletes: [&[&str]; 3]| {
        let [first, second, third] = deletes;
        let mut all = vec!["r: 1 | one | x3000", "c: 2 | two | null", "u: 1 | uno | null"];
        all.extend(first);
        all.push("c: 3 | two | null");
        all.extend(second);
        all.extend(["u: 1 | ein | x3000", "u: 1 | eins | x3000"]);
        all.extend(third);
        all.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    let by_key = changes([&["d: 2 |  | null"], &["d: 3 |  | null"], &["d: 1 |  | null"]]);
    let rewritten = changes([&["d: 2 |  | null"], &["d: 3 |  | null"], &["d: 1 | eins | x3000"]]);
    let both = changes([
        &["d: 2 |  | null", "d: 2 |  | null"],
        &["d: 3 |  | null", "d: 3 |  | null"],
        &["d: 1 | eins | x3000", "d: 1 |  | null"],
    ]);
    let mut input = table(Format::Flat);
    assert_eq!(short(&input, "kinds-drop.public.t"), changes([&[], &[], &[]]));
    assert_eq!(short(&input, "kinds-tombstone.public.t"), by_key);
    assert_eq!(short(&input, "kinds-delete_to_tombstone.public.t"), by_key);
    assert_eq!(short(&input, "kinds-rewrite.public.t"), rewritten);
    assert_eq!(short(&input, "kinds-rewrite_with_tombstone.public.t"), both);
    // Where the delete is a row as well, its tombstone is one too many.
    input.tombstone = Tombstone::Ignore;
    let ignored = changes([
        &["d: 2 |  | null", "tombstone"],
        &["d: 3 |  | null", "tombstone"],
        &["d: 1 | eins | x3000", "tombstone"],
    ]);
    assert_eq!(short(&input, "kinds-rewrite_with_tombstone.public.t"), ignored);
}
