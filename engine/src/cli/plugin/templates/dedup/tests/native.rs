//! The function and what is remembered, natively: no WebAssembly, no engine.

use plugin_sdk::Timestamp;
use plugin_sdk::testing::Harness;

use {{crate}}::{PaymentIn, Plugin};

fn payment(payment_key: &str, second: i64, cents: i64) -> PaymentIn<'_> {
    let paid_at = Timestamp::new(second * 1_000);
    PaymentIn {
        payment_key,
        paid_at,
        cents,
    }
}

#[test]
fn a_payment_that_is_sent_again_counts_once() {
    let harness = Harness::<Plugin>::new();
    let mut lane = harness.lane();
    // The first one is rejected, so it does not use the key up.
    let answer = lane.run([payment("a", 0, -5), payment("a", 0, 5), payment("a", 0, 5)]);
    answer.assert_table("{{table}}", "cents\n 5");
    assert_eq!(answer.rejects(), [(0, "bad_amount")]);
    // Another epoch, after a restart of the engine.
    lane.restart();
    let answer = lane.run([payment("a", 0, 5), payment("b", 1, 7)]);
    answer.assert_table("{{table}}", "cents\n 7");
    assert_eq!(lane.count("duplicate_rows"), 2);
}

#[test]
fn a_key_is_forgotten_after_a_week_and_what_is_late_is_rejected() {
    const WEEK: i64 = 7 * 86_400;
    let harness = Harness::<Plugin>::new();
    let mut lane = harness.lane();
    lane.run([payment("a", 0, 5)]);
    lane.advance_to(Timestamp::new(WEEK * 1_000));
    let answer = lane.run([payment("a", WEEK, 6), payment("b", WEEK - 1, 7)]);
    answer.assert_table("{{table}}", "cents\n 6");
    assert_eq!(answer.rejects(), [(1, "late")]);
}
