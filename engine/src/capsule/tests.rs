#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int32Array, Int64Array, ListArray, RecordBatch, StringArray};
use arrow_schema::Schema;

use super::*;
use crate::input::Format;
use crate::plugin::{Parameter, ParameterType};

fn rows() -> RecordBatch {
    let lists =
        ListArray::from_iter_primitive::<Int32Type, _, _>([Some(vec![Some(1), None]), None, Some(vec![Some(7)])]);
    let columns: [(&str, ArrayRef); 4] = [
        ("id", Arc::new(Int64Array::from(vec![1, 2, 3]))),
        ("email", Arc::new(StringArray::from(vec![Some("a@b.de"), None, Some("jürgen@c.org")]))),
        ("age", Arc::new(Int32Array::from(vec![Some(30), None, Some(40)]))),
        ("scores", Arc::new(lists)),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

fn capsule() -> Capsule {
    let lane = |text: &str| text.to_owned();
    let mut due = Due::of(1);
    due.push(b"key", b"value", 5);
    due.push(b"other", b"", 6);
    let about = About {
        engine: "0".to_owned(),
        lane: LaneId {
            tenant: lane("acme"),
            plugin: lane("orders"),
            topic: lane("t"),
            topic_id: lane(""),
            partition: 3,
        },
        generation: 1,
        epoch: 9,
        clock_ms: 1_700_000_000_000,
        watermark_ms: Some(4),
        plugin_digest: "d".to_owned(),
        plugin: "orders 1".to_owned(),
        contract: "0.3".to_owned(),
        parameters: vec![("key".to_owned(), "secret".to_owned()), ("most".to_owned(), "77".to_owned())],
        limits: KeptLimits { memory_bytes: 1, call_ms: 2, output_bytes: 3 },
        call_ms: 1,
        tables: vec![("seen".to_owned(), false), ("open".to_owned(), true)],
        code: "trap".to_owned(),
        message: "plugin trapped".to_owned(),
        frames: vec!["a".to_owned()],
        offsets: vec![5, 6, 7],
        answers: vec!["0".to_owned()],
        complete: true,
        redacted: vec![],
    };
    let state = vec![(0, b"k1".to_vec(), Some((b"v1".to_vec(), 7))), (0, b"k2".to_vec(), None)];
    Capsule { about, calls: vec![Seen::Expired(due), Seen::Rows(rows())], state }
}

fn description() -> Description {
    let parameter = |name: &str, kind| Parameter { name: name.to_owned(), doc: String::new(), kind, default: None };
    Description {
        name: "orders".to_owned(),
        version: "1".to_owned(),
        contract: "0.3",
        input: Arc::new(Schema::new(rows().schema().fields().clone())),
        columns: vec![],
        crosses: vec![],
        format: Format::Flat,
        outputs: vec![],
        parameters: vec![parameter("key", ParameterType::Text), parameter("most", ParameterType::Integer)],
        state: None,
        event_time: None,
    }
}

fn rules(redact: &[&str]) -> Rules {
    Rules { keep: 3, redact: redact.iter().map(|name| (*name).to_owned()).collect() }
}

fn only_rows(capsule: &Capsule) -> &RecordBatch {
    let Some(Seen::Rows(rows)) = capsule.calls.last() else { panic!("{capsule:?}") };
    rows
}

#[test]
fn a_capsule_is_read_as_it_was_written() {
    let written = capsule();
    let read = file::read(&file::bytes(&written).unwrap()).unwrap();
    assert_eq!((&read.about, &read.state), (&written.about, &written.state));
    assert_eq!(only_rows(&read), only_rows(&written));
    let (Seen::Expired(ours), Seen::Expired(theirs)) = (&written.calls[0], &read.calls[0]) else { panic!("{read:?}") };
    assert_eq!(ours, theirs);
}

#[test]
fn a_damaged_capsule_is_an_error_and_no_more() {
    let whole = file::bytes(&capsule()).unwrap();
    assert!(matches!(file::read(b"something else"), Err(ReadError::Other)));
    for end in (0..whole.len()).step_by(61) {
        assert!(file::read(&whole[..end]).is_err(), "{end} bytes of {}", whole.len());
    }
}

#[test]
fn what_is_redacted_keeps_its_type_length_and_nulls_alone() {
    let names = ["email", "age", "scores", "parameters.key", "parameters.most", "state"];
    let redacted = redact::redacted(capsule(), &rules(&names), &description());
    let rows = only_rows(&redacted);
    let emails: Vec<_> = rows.column(1).as_string::<i32>().iter().collect();
    assert_eq!(emails, [Some("xxxxxx"), None, Some("xxxxxxxxxxxxx")]);
    let ages: Vec<_> = rows.column(2).as_primitive::<Int32Type>().iter().collect();
    assert_eq!(ages, [Some(0), None, Some(0)]);
    let scores = rows.column(3).as_list::<i32>();
    assert_eq!(scores.iter().map(|list| list.map(|list| list.len())).collect::<Vec<_>>(), [Some(2), None, Some(1)]);
    assert_eq!(rows.column(0), self::rows().column(0), "what no rule names stays");
    let parameters: Vec<_> = redacted.about.parameters.iter().map(|(_, value)| value.as_str()).collect();
    assert_eq!(parameters, ["xxxxxx", "0"]);
    let bytes = file::bytes(&redacted).unwrap();
    for secret in ["a@b.de", "rgen@c", "secret", "value", "k1", "v1"] {
        let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
        // Arrow's own words are in the file.
        assert!(!found || secret == "value", "{secret} is in the file");
    }
}

/// A row of a large batch shares its memory: the file must not have the other rows.
#[test]
fn rows_that_were_not_called_with_are_not_in_the_file() {
    let mut sliced = capsule();
    sliced.calls = vec![Seen::Rows(rows().slice(0, 1))];
    let bytes = file::bytes(&redact::redacted(sliced, &rules(&[]), &description())).unwrap();
    let has = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    assert!(has("a@b.de") && !has("@c.org"));
}

#[test]
fn a_name_that_the_plugin_does_not_have_is_told() {
    let unknown = rules(&["email", "e-mail", "parameters.key", "parameters.keys", "state"]).unknown(&description());
    assert_eq!(unknown, ["e-mail", "parameters.keys"]);
}
