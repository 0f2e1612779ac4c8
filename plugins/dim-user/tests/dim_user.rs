//! The plans of users, natively.

use dim_user::{EventIn, Users};
use plugin_sdk::testing::{Harness, run_cases};
use plugin_sdk::{Json, Timestamp};

/// The harness's clock.
const NOW: i64 = 1_735_689_600_000;

fn event<'a>(user: &'a str, second: i64, event_type: &'a str, properties: &'a str) -> EventIn<'a> {
    EventIn {
        schema_version: "v1",
        // Each its own: these lie on the heap for as long as the test runs.
        idempotency_key: format!("{user} {second} {properties}").leak(),
        user_id: user,
        event_type,
        timestamp: Timestamp::new(second * 1_000),
        properties: Some(Json(properties)),
    }
}

#[test]
fn a_plan_holds_until_the_next_one() {
    let harness = Harness::<Users>::new();
    let mut lane = harness.lane();
    lane.run([
        event("ada", 0, "user_signup", r#"{"plan":"free"}"#),
        event("ada", 9, "page_view", r#"{"plan":"team"}"#), // says nothing of hers
        event("ada", 10, "purchase", r#"{"plan":" Pro "}"#),
    ])
    .assert_table(
        "dim_user",
        "
        user_id | plan | effective_start          | effective_end            | is_current
        ada     | free | 1970-01-01T00:00:00.000Z | 1970-01-01T00:00:10.000Z | false
        ada     | pro  | 1970-01-01T00:00:10.000Z | null                     | true
        ",
    );
    lane.restart();
    // The same again, of no plan, and one that comes out of order.
    let events = [
        event("ada", 20, "purchase", r#"{"plan":"pro"}"#),
        event("ada", 21, "purchase", "{}"),
        event("ada", 5, "purchase", r#"{"plan":"team"}"#),
    ];
    lane.run(events).assert_table(
        "dim_user",
        "
        plan | effective_start          | effective_end            | is_current | _deleted
        free | 1970-01-01T00:00:00.000Z | 1970-01-01T00:00:05.000Z | false      | false
        team | 1970-01-01T00:00:05.000Z | 1970-01-01T00:00:10.000Z | false      | false
        ",
    );
}

#[test]
fn who_signs_up_has_a_plan() {
    let answer = Harness::<Users>::new().run([
        event("ada", 0, "user_signup", "{}"),
        event("ada", 0, "purchase", r#"{"plan":7}"#),
        event("", 0, "user_signup", r#"{"plan":"free"}"#),
    ]);
    assert_eq!(answer.rejects(), [(0, "no_plan"), (1, "bad_properties"), (2, "no_key")]);
}

#[test]
fn what_can_not_be_believed_is_rejected_where_it_says_a_plan() {
    let signup = event("ada", 0, "user_signup", r#"{"plan":"free"}"#);
    let bad = [
        (EventIn { schema_version: "v2", ..signup }, "unknown_schema"),
        (EventIn { idempotency_key: "", ..signup }, "no_key"),
        (EventIn { timestamp: Timestamp::new(NOW + 300_001), ..signup }, "timestamp_ahead"),
    ];
    let answer = Harness::<Users>::new().run(bad.map(|(event, _)| event));
    let expected: Vec<_> = bad.iter().enumerate().map(|(index, (_, code))| (index, *code)).collect();
    assert_eq!(answer.rejects(), expected);
    let views = bad.map(|(event, _)| EventIn { event_type: "page_view", ..event });
    assert!(Harness::<Users>::new().run(views).rejects().is_empty());
}

#[test]
fn an_old_change_that_is_sent_again_does_not_take_effect_again() {
    let harness = Harness::<Users>::new();
    let mut lane = harness.lane();
    let signup = event("ada", 0, "user_signup", r#"{"plan":"free"}"#);
    lane.run([signup, event("ada", 3600, "purchase", r#"{"plan":"pro"}"#)]);
    lane.advance_to(Timestamp::new(7_200_000));
    lane.run([signup]).assert_table("dim_user", "user_id");
    assert_eq!(lane.count("duplicate_rows"), 1);
}

#[test]
fn cases() {
    run_cases::<Users>("cases");
}
