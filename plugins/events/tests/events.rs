//! Events, natively.

use events::{EventIn, Events};
use plugin_sdk::testing::{Harness, run_cases};
use plugin_sdk::{Change, Json, Timestamp};

const DAY: i64 = 86_400_000;
/// The harness's clock.
const NOW: i64 = 1_735_689_600_000;

fn event<'a>(id: &'a str, event_type: &'a str, timestamp: i64) -> EventIn<'a> {
    EventIn {
        id: Json(id),
        event_type: Some(event_type),
        old_event_type: None,
        timestamp: Some(Timestamp::new(timestamp)),
    }
}

#[test]
fn ids_of_every_kind_become_text() {
    let ids = [
        r#"{"$oid" : "65a1"}"#,
        r#"{"$oid":"65a2"}"#,
        r#"{"$numberInt": "6"}"#,
        "7",
        r#""order-7""#,
        r#"{"$binary": "oO68mZwL", "$type": "04"}"#,
        r#"{"$binary" : {"base64": "oO68mZwM", "subType": "04"}}"#,
        r#"{"$date": {"$numberLong": "17"}}"#,
        r#"{"a":1}"#,
    ];
    let answer = Harness::<Events>::new().run(ids.map(|id| Change::create(event(id, " Click ", 0))));
    answer.assert_table(
        "silver_events",
        "
        event_id  | event_type | timestamp
        65a1      | click      | 1970-01-01T00:00:00.000Z
        65a2      | click      | 1970-01-01T00:00:00.000Z
        6         | click      | 1970-01-01T00:00:00.000Z
        7         | click      | 1970-01-01T00:00:00.000Z
        order-7   | click      | 1970-01-01T00:00:00.000Z
        oO68mZwL  | click      | 1970-01-01T00:00:00.000Z
        oO68mZwM  | click      | 1970-01-01T00:00:00.000Z
        17        | click      | 1970-01-01T00:00:00.000Z
        \"{\\\"a\\\":1}\" | click      | 1970-01-01T00:00:00.000Z
        ",
    );
}

#[test]
fn older_producers_say_type() {
    let old = EventIn { event_type: None, old_event_type: Some("view"), ..event("1", "", 0) };
    let answer = Harness::<Events>::new().run([Change::read(old)]);
    answer.assert_table("silver_events", "event_id | event_type\n 1 | view");
}

#[test]
fn what_cannot_be_placed_is_rejected_and_a_delete_changes_nothing() {
    let events = [
        Change::create(event("1", " ", 0)),
        Change::create(EventIn { timestamp: None, ..event("2", "click", 0) }),
        Change::create(event("3", "click", NOW + DAY + 1)),
        Change::create(event("4", "click", NOW + DAY)),
        Change::delete(event("", "", 0)),
    ];
    let harness = Harness::<Events>::new();
    let answer = harness.run(events);
    assert_eq!(answer.rejects(), [(0, "no_event_type"), (1, "no_timestamp"), (2, "timestamp_ahead")]);
    answer.assert_table("silver_events", "event_id\n 4");

    let answer = harness.parameter("max_ahead_seconds", "0").run(events);
    assert_eq!(answer.rejects().last(), Some(&(3, "timestamp_ahead")));
}

#[test]
fn cases() {
    run_cases::<Events>("cases");
}
