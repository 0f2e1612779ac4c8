//! Sessions of users, natively.

use plugin_sdk::testing::{Harness, run_cases};
use plugin_sdk::{Json, Timestamp};
use sessions::{EventIn, UserSessions};

const MINUTE: i64 = 60_000;
/// The harness's clock.
const NOW: i64 = 1_735_689_600_000;

fn event<'a>(key: &'a str, user: &'a str, minute: i64, event_type: &'a str, properties: &'a str) -> EventIn<'a> {
    EventIn {
        schema_version: "v1",
        idempotency_key: key,
        user_id: user,
        event_type,
        timestamp: Timestamp::new(minute * MINUTE),
        properties: Some(Json(properties)),
    }
}

fn view<'a>(key: &'a str, user: &'a str, minute: i64) -> EventIn<'a> {
    event(key, user, minute, "page_view", r#"{"page":"/pricing"}"#)
}

#[test]
fn a_session_adds_up_what_happened_in_it() {
    let harness = Harness::<UserSessions>::new();
    let mut lane = harness.lane();
    let answer = lane.run([
        view("a", "ada", 0),
        event("b", "ada", 20, "purchase", r#"{"amount":19.99,"currency":"EUR"}"#),
        event("c", "ada", 30, "purchase", r#"{"amount":5,"currency":"EUR"}"#),
        event("d", "ada", 35, "payment_failed", "{}"),
        event("e", "ada", 10, "page_view", r#"{"page":"/"}"#), // out of order
        event("f", "ada", 65, "user_signup", "{}"),
        view("g", "grace", 5),
    ]);
    answer.assert_table(
        "user_sessions",
        "
        user_id | session_start            | duration_ms | events | page_views | purchases | failed_payments | revenue     | exit_page | closed
        ada     | 1970-01-01T00:00:00.000Z | 2100000     | 5      | 2          | 2         | 1               | {EUR:24.99} | /         | false
        ada     | 1970-01-01T01:05:00.000Z | 0           | 1      | 0          | 0         | 0               | {}          | null      | false
        grace   | 1970-01-01T00:05:00.000Z | 0           | 1      | 1          | 0         | 0               | {}          | /pricing  | false
        ",
    );
    assert_eq!(answer.rows("fact_events").len(), 7);
    let answer = lane.advance_to(Timestamp::new(80 * MINUTE));
    answer.assert_table("user_sessions", "user_id | events | closed\n grace | 1 | true\n ada | 5 | true");
}

#[test]
fn an_event_that_is_sent_again_counts_once_and_a_bad_one_does_not_use_its_key_up() {
    let harness = Harness::<UserSessions>::new();
    let mut lane = harness.lane();
    let answer = lane.run([
        event("k", "ada", 0, "page_view", "{}"),
        view("k", "ada", 0),
        view("k", "ada", 0),
        view("other", "ada", 30),
    ]);
    assert_eq!(answer.rejects(), [(0, "bad_properties")]);
    answer.assert_table("user_sessions", "events\n 1\n 1");
    lane.restart();
    lane.run([view("k", "ada", 30)]).assert_table("fact_events", "session_id");
    assert_eq!(lane.count("duplicate_rows"), 2);
}

#[test]
fn what_can_not_be_believed_is_rejected() {
    let bad = [
        (EventIn { schema_version: "v2", ..view("a", "u", 0) }, "unknown_schema"),
        (view("", "u", 0), "no_key"),
        (view("b", "", 0), "no_key"),
        (EventIn { timestamp: Timestamp::new(NOW + 300_001), ..view("c", "u", 0) }, "timestamp_ahead"),
        (event("d", "u", 0, "logout", "{}"), "unknown_type"),
        (event("e", "u", 0, "purchase", r#"{"amount":0,"currency":"EUR"}"#), "bad_amount"),
        (event("f", "u", 0, "purchase", r#"{"amount":1,"currency":"euro"}"#), "bad_currency"),
        (EventIn { properties: None, ..view("g", "u", 0) }, "bad_properties"),
    ];
    let answer = Harness::<UserSessions>::new().run(bad.map(|(event, _)| event));
    let expected: Vec<_> = bad.iter().enumerate().map(|(index, (_, code))| (index, *code)).collect();
    assert_eq!(answer.rejects(), expected);
    answer.assert_table("user_sessions", "events");
}

#[test]
fn cases() {
    run_cases::<UserSessions>("cases");
}
