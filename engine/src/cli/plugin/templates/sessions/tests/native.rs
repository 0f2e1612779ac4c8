//! The functions and what is remembered, natively: no WebAssembly, no engine.

use plugin_sdk::Timestamp;
use plugin_sdk::testing::Harness;

use {{crate}}::{ClickIn, Plugin};

fn click(user_id: i64, minute: i64, page: &str) -> ClickIn<'_> {
    let at = Timestamp::new(minute * 60_000);
    ClickIn { user_id, at, page }
}

#[test]
fn a_visit_ends_when_nothing_happens_for_half_an_hour() {
    let harness = Harness::<Plugin>::new();
    let mut lane = harness.lane();
    let answer = lane.run([click(7, 0, "/"), click(7, 29, "/cart"), click(7, 59, "/")]);
    answer.assert_table(
        "{{table}}_visits",
        "
        user_id | clicks | carts | last_page | closed
        7       | 2      | 1     | /cart     | false
        7       | 1      | 0     | /         | false
        ",
    );
    // An epoch later the first one is over: no click before minute 58 is expected any more.
    lane.restart();
    let answer = lane.advance_to(Timestamp::new(59 * 60_000));
    answer.assert_table("{{table}}_visits", "clicks | closed\n 2 | true");
}

#[test]
fn clicks_may_come_out_of_order_and_bad_ones_do_not_count() {
    let harness = Harness::<Plugin>::new();
    let mut lane = harness.lane();
    lane.run([click(7, 0, "/a"), click(7, 30, "/c")]);
    // Between the two visits: they become one, and the row of the second is taken out.
    let answer = lane.run([click(7, 30, ""), click(7, 29, "/b")]);
    answer.assert_table(
        "{{table}}_visits",
        "
        clicks | last_page | _deleted
        1      | /c        | true
        3      | /c        | false
        ",
    );
    assert_eq!(answer.rejects(), [(0, "no_page")]);
}
