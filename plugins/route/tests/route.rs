//! Routing, natively.

use plugin_sdk::Json;
use plugin_sdk::testing::{Harness, run_cases};
use route::{EventIn, Route};

fn event<'a>(event_type: &'a str, properties: &'a str) -> EventIn<'a> {
    EventIn { event_type, properties: Some(Json(properties)) }
}

#[test]
fn each_type_has_its_table() {
    let answer = Harness::<Route>::new().passed("event_id", ["a", "b", "c", "d"]).run([
        event("purchase", r#"{"currency":"EUR","amount":12.5,"more":[1]}"#),
        event("user_signup", r#"{"plan":"pro \u2603"}"#),
        event("payment_failed", r#"{"reason":"card"}"#),
        event("page_view", r#"{"page":"/"}"#),
    ]);
    answer.assert_table("purchases", "event_id | amount | currency\n a | 12.50 | EUR");
    answer.assert_table("signups", "event_id | plan\n b | pro ☃");
    answer.assert_table("payment_failures", "event_id | reason\n c | card");
    answer.assert_table("page_views", "event_id | page\n d | /");
    answer.assert_table("other_events", "event_id");
}

#[test]
fn what_a_type_has_not_is_rejected() {
    let bad = [
        (event("purchase", r#"{"currency":"EUR"}"#), "bad_properties"),
        (event("purchase", r#"{"currency":"euro","amount":1}"#), "bad_currency"),
        (event("purchase", r#"{"currency":"EUR","amount":0}"#), "bad_amount"),
        (event("purchase", r#"{"currency":"EUR","amount":"1.234"}"#), "bad_amount"),
        (event("purchase", r#"{"currency":"EUR","amount":1e3}"#), "bad_amount"),
        (event("user_signup", r#"{"plan":7}"#), "bad_properties"),
        (EventIn { properties: None, ..event("page_view", "") }, "bad_properties"),
        (event("logout", "{}"), "unknown_type"),
    ];
    let answer = Harness::<Route>::new().run(bad.map(|(event, _)| event));
    let expected: Vec<_> = bad.iter().enumerate().map(|(index, (_, code))| (index, *code)).collect();
    assert_eq!(answer.rejects(), expected);
}

#[test]
fn unknown_types_are_kept_where_a_parameter_says_so() {
    let answer = Harness::<Route>::new()
        .parameter("unknown", "keep")
        .passed("event_id", ["a", "b"])
        .run([event("logout", "{}"), event("page_view", r#"{"page":"/"}"#)]);
    answer.assert_table("other_events", "event_id | event_type | properties\n a | logout | {}");
    answer.assert_table("page_views", "event_id\n b");
}

#[test]
fn cases() {
    run_cases::<Route>("cases");
}
