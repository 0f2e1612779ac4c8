#![expect(clippy::unwrap_used, reason = "tests")]

use arrow_schema::{DataType, Field};

use super::*;

/// A row's schema: name, Connect's type, what else the field says.
fn row(fields: &[(&str, &str, &str)]) -> Arc<RowSchema> {
    let field = |(name, kind, more): &(&str, &str, &str)| format!(r#"{{"field":"{name}","type":"{kind}"{more}}}"#);
    let fields: Vec<_> = fields.iter().map(field).collect();
    let schema = format!(r#"{{"type":"struct","fields":[{}]}}"#, fields.join(","));
    Arc::new(RowSchema::of_flat(schema.as_bytes()).unwrap())
}

fn decimal(precision: u8, scale: u8) -> String {
    format!(
        r#","name":"org.apache.kafka.connect.data.Decimal","parameters":{{"scale":"{scale}","connect.decimal.precision":"{precision}"}}"#
    )
}

/// A plugin that reads the columns `id`, which it requires, `amount` and `status`.
fn lane(drift: &Drift, partition: i32) -> LaneDrift {
    let columns = [
        ("id", DataType::Int32, false),
        ("amount", DataType::Decimal128(12, 2), true),
        ("status", DataType::Utf8, true),
    ];
    let column = |(place, (name, of, nullable)): (usize, (&str, DataType, bool))| Column {
        place,
        name: name.to_owned(),
        field: Field::new(name, of, nullable),
        required: !nullable,
    };
    let lane =
        LaneId { tenant: "t".into(), plugin: "p".into(), topic: "orders".into(), topic_id: String::new(), partition };
    let columns = columns.into_iter().enumerate().map(column).collect();
    LaneDrift { drift: drift.clone(), lane, columns, rest: None, last: Mutex::default() }
}

fn look(lane: &LaneDrift, schemas: &[&Arc<RowSchema>], nulls: &[usize]) -> usize {
    let schemas = schemas.iter().map(|&schema| schema.clone()).collect();
    lane.look(OffsetRange { start: 10, end: 20 }, &Observed { schemas, nulls: nulls.iter().copied().collect() })
}

fn said(from: &Arc<RowSchema>, to: &Arc<RowSchema>) -> Vec<String> {
    let lane = lane(&Drift::default(), 0);
    let changes = changes(&lane.wanted(), None, from, to);
    changes.iter().map(|finding| format!("{}: {}", finding.weight, finding.message)).collect()
}

#[test]
fn each_kind_of_change_is_said_with_what_it_means() {
    let (narrow, wide) = (decimal(12, 2), decimal(20, 4));
    let before =
        row(&[("id", "int32", ""), ("amount", "bytes", &narrow), ("status", "string", ""), ("old", "string", "")]);
    let added = row(&[
        ("id", "int32", ""),
        ("amount", "bytes", &narrow),
        ("status", "string", ""),
        ("old", "int64", ""),
        ("note", "string", ""),
    ]);
    assert_eq!(
        said(&before, &added),
        [
            "note: column note was added (Utf8), the plugin does not read it",
            "note: column old was Utf8 and is Int64, the plugin does not read it"
        ]
    );
    let other = row(&[("id", "int64", r#","optional":true"#), ("amount", "bytes", &wide), ("state", "string", "")]);
    assert_eq!(
        said(&before, &other),
        [
            "risk: column id: Int64 → Int32, narrowed: a message whose value does not fit is set aside; it was Int32",
            "risk: column amount: Decimal128(20, 4) → Decimal128(12, 2), narrowed: a message whose value does not fit is \
             set aside; it was Decimal128(12, 2)",
            "risk: column status is gone: null in each row from here on; state was added with it: was it renamed?",
            "note: column state was added (Utf8), the plugin does not read it",
            "note: column old is gone, the plugin did not read it",
        ]
    );
    let optional = row(&[("id", "int32", r#","optional":true"#), ("status", "string", "")]);
    assert_eq!(
        said(&row(&[("id", "int32", "")]), &optional),
        [
            "risk: column id may be null now: a message in which it is null is set aside",
            "note: column status has come, the plugin reads it",
        ]
    );
    assert_eq!(
        said(&row(&[("id", "int32", ""), ("x", "string", "")]), &row(&[("x", "string", "")])),
        ["wrong: column id is gone: each message is set aside, because the plugin requires it"]
    );
    assert_eq!(said(&before, &before), Vec::<String>::new());
}

#[test]
fn a_change_is_said_once_whichever_partition_shows_it_and_however_often() {
    let drift = Drift::default();
    let lanes = [lane(&drift, 0), lane(&drift, 1)];
    let (one, two) = (row(&[("id", "int32", "")]), row(&[("id", "int32", ""), ("note", "string", "")]));
    assert_eq!(look(&lanes[0], &[&one], &[]), 0, "the first is compared with nothing");
    assert_eq!(look(&lanes[0], &[], &[]), 0, "an epoch without rows says nothing");
    assert_eq!(look(&lanes[0], &[&one, &two], &[]), 1, "two schemas in one batch");
    assert_eq!((look(&lanes[1], &[&one], &[]), look(&lanes[1], &[&two], &[])), (0, 0));
    assert_eq!(look(&lanes[0], &[&one, &two], &[]), 1, "back, which is new, and forth, which is not");
    let [change] = &drift.changes()[..] else { panic!("one topic") };
    assert_eq!((change.lane.partition, change.range.start), (0, 10));
    assert_eq!(drift.warnings(), Vec::new(), "nothing is at risk");

    let narrowed = row(&[("id", "int64", "")]);
    assert_eq!(look(&lanes[1], &[&narrowed], &[]), 1);
    assert!(
        drift.warnings()[0].1.starts_with("topic orders, plugin t/p: column id: Int64 → Int32"),
        "{:?}",
        drift.warnings()
    );
    assert_eq!(look(&lanes[1], &[&one], &[]), 1);
    assert_eq!(drift.warnings(), Vec::new(), "it is as it was");
}

#[test]
fn rows_with_keys_of_their_own_are_not_said_for_ever() {
    let drift = Drift::default();
    let lane = lane(&drift, 0);
    let rows = (0..100).map(|n| row(&[("id", "int32", ""), (&format!("key{n}"), "string", "")]));
    let said: usize = rows.map(|row| look(&lane, &[&row], &[])).sum();
    assert_eq!(said, MOST_SAID);
}

/// GIVEN a column that the plugin reads and that may be null and has a default, THEN it is named, until a null comes in it.
#[test]
fn a_default_that_may_stand_for_a_null_is_named_until_a_null_comes() {
    let drift = Drift::default();
    let lane = lane(&drift, 0);
    let default = r#","optional":true,"default":"new""#;
    let schema = row(&[("id", "int32", r#","default":0"#), ("status", "string", default), ("x", "string", default)]);
    look(&lane, &[&schema], &[1]);
    let [(_, warning)] = &drift.warnings()[..] else { panic!("{:?}", drift.warnings()) };
    assert!(warning.starts_with("topic orders, plugin t/p: status: NULL at the source may come as"), "{warning}");
    look(&lane, &[&schema], &[2]);
    assert_eq!(drift.warnings(), Vec::new());
}

#[test]
fn what_goes_with_the_rest_of_the_row_is_said_so() {
    let drift = Drift::default();
    let lane =
        LaneDrift { rest: Some("it goes to the table in fields, with the rest of the row".into()), ..lane(&drift, 0) };
    let from = row(&[("id", "int32", ""), ("left", "string", ""), ("wide", "int32", "")]);
    let to = row(&[("id", "int32", ""), ("note", "string", ""), ("wide", "int64", "")]);
    look(&lane, &[&from, &to], &[]);
    let changes = drift.changes();
    let said: Vec<_> = changes[0].findings.iter().map(|finding| (finding.weight, finding.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (Weight::Note, "column note was added (Utf8), it goes to the table in fields, with the rest of the row"),
            (Weight::Note, "column left is gone from the rest of the row"),
            (
                Weight::Note,
                "column wide was Int32 and is Int64, it goes to the table in fields, with the rest of the row"
            ),
        ]
    );
}
