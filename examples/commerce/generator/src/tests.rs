#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;

const PLAN: Plan = Plan { seed: 7, snapshot: 50, users: 100, per_day: 500 };
const NOW: i64 = 1_795_237_200_123;

fn event() -> Event {
    Event {
        id: "6774858000000000070000ff".to_owned(),
        user_id: Some(17),
        event_type: "login".to_owned(),
        timestamp_ms: FIRST_MS + 1,
        as_text: false,
        metadata: Some(r#"{"page":"/"}"#.to_owned()),
    }
}

#[test]
fn a_seed_gives_the_same_changes_and_another_seed_others() {
    let changes = |seed| Changes::new(Plan { seed, ..PLAN }).take(1000).collect::<Vec<_>>();
    assert_eq!(changes(7), changes(7));
    assert_ne!(changes(7), changes(8));
}

#[test]
fn everything_occurs_in_its_share_and_what_is_repeated_is_whole() {
    let changes: Vec<_> = Changes::new(PLAN).take(20_000).collect();
    let count = |is: fn(&Change) -> bool| changes.iter().filter(|change| is(change)).count();
    assert_eq!(count(|change| matches!(change, Change::Read(_))), 50);
    assert!((1_800..3_000).contains(&count(|change| matches!(change, Change::Update(_)))));
    assert!((900..1_500).contains(&count(|change| matches!(change, Change::Delete(_)))));
    for flaw in Flaw::ALL {
        assert!(changes.iter().any(|change| matches!(change, Change::Flawed(found, _) if *found == flaw)), "{flaw:?}");
    }
    let created = |change: &Change| if let Change::Create(event) = change { Some(event.id.clone()) } else { None };
    let ids: BTreeSet<_> = changes.iter().filter_map(created).collect();
    assert!(ids.len() < changes.iter().filter_map(created).count(), "something comes twice");
}

/// The same changes, through the connector's own transform.
#[test]
fn messages_are_as_the_connector_writes_them() {
    let whole = r#"{"page":"/","ms":12,"device":{"os":"ios","tablet":false},"tags":["a","b"]}"#;
    let event = Event { metadata: Some(whole.to_owned()), ..event() };
    let anonymous = Event { user_id: None, as_text: true, metadata: None, ..event.clone() };
    let changes = [
        Change::Read(event.clone()),
        Change::Create(event.clone()),
        Change::Update(event.clone()),
        Change::Create(anonymous),
        Change::Delete(event.id),
    ];
    let recorded = include_str!("../../../../schemas/debezium/mongo-flattened.jsonl");
    let recorded = recorded.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let recorded: Vec<_> =
        recorded.map(|line| Message { key: text(&line["key"]), value: text(&line["value"]) }).collect();
    assert_eq!(changes.map(|change| Message::new(&change, NOW)).as_slice(), recorded);
}

#[test]
fn each_flaw_is_in_its_message_alone() {
    let of = |flaw| Message::new(&Change::Flawed(flaw, event()), NOW).value;
    assert!(serde_json::from_str::<Value>(&of(Flaw::Cut)).is_err());
    let value = |flaw| serde_json::from_str::<Value>(&of(flaw)).unwrap();
    assert!(value(Flaw::NoType).get("event_type").is_none());
    assert!(value(Flaw::NoTime).get("timestamp").is_none());
    assert_eq!(value(Flaw::WrongTime)["timestamp"], "yesterday");
    assert_eq!(value(Flaw::WrongUser)["user_id"], "nobody");
}

#[test]
fn times_are_written_as_others_write_them() {
    for (ms, text) in [
        (0, "1970-01-01T00:00:00.000Z"),
        (951_868_799_999, "2000-02-29T23:59:59.999Z"),
        (1_795_237_200_123, "2026-11-21T05:00:00.123Z"),
        (-1, "1969-12-31T23:59:59.999Z"),
    ] {
        assert_eq!(iso(ms), text);
    }
}
