//! Flattened events, natively.

use commerce_events::{CommerceEvents, EventIn};
use plugin_sdk::testing::{Harness, run_cases};
use plugin_sdk::{Change, Timestamp};

const DAY: i64 = 86_400_000;
/// The harness's clock.
const NOW: i64 = 1_735_689_600_000;

fn event(event_type: &str, timestamp: i64) -> EventIn<'_> {
    EventIn { event_type: Some(event_type), timestamp: Some(Timestamp::new(timestamp)) }
}

#[test]
fn types_are_cleaned_and_the_rest_passes() {
    let answer = Harness::<CommerceEvents>::new()
        .passed("_id", ["65a1", "65a2"])
        .passed("user_id", [Some(7_i64), None])
        .run([Change::create(event(" Page_View", 0)), Change::update(event("login", 1))]);
    answer.assert_table(
        "silver_events",
        "
        event_id | user_id | event_type | timestamp
        65a1     | 7       | page_view  | 1970-01-01T00:00:00.000Z
        65a2     | null    | login      | 1970-01-01T00:00:00.001Z
        ",
    );
}

#[test]
fn what_cannot_be_placed_is_rejected_and_a_delete_changes_nothing() {
    let changes = [
        Change::create(event(" ", 0)),
        Change::create(EventIn { timestamp: None, ..event("login", 0) }),
        Change::create(event("login", NOW + DAY + 1)),
        Change::create(event("login", NOW + DAY)),
        Change::delete(EventIn::default()),
    ];
    let answer = Harness::<CommerceEvents>::new().run(changes);
    assert_eq!(answer.rejects(), [(0, "no_event_type"), (1, "no_timestamp"), (2, "timestamp_ahead")]);
    assert_eq!(answer.rows("silver_events").len(), 1);
}

#[test]
fn cases() {
    run_cases::<CommerceEvents>("cases");
}
