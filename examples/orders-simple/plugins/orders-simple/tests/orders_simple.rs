//! Orders of five columns, natively.
#![expect(clippy::unwrap_used, reason = "tests")]

use orders_simple::{OrderIn, OrdersSimple};
use plugin_sdk::testing::Harness;
use plugin_sdk::{Change, Date};

#[test]
fn every_change_is_kept_deletes_too() {
    let order = OrderIn { quantity: 2 };
    let changes = [Change::read(order), Change::create(order), Change::update(order), Change::delete(order)];
    // 18896 is what the message says; the tables have the day.
    let days = [18_896; 4].map(Date);
    let answer = Harness::<OrdersSimple>::new().passed("order_date", days).run(changes);
    let seen = |row: &plugin_sdk::testing::TableRow| {
        ["order_date", "operation"].map(|name| row.get(name).unwrap().to_owned()).join(" ")
    };
    let history: Vec<_> = answer.rows("orders_final").iter().map(seen).collect();
    assert_eq!(history, ["2021-09-26 r", "2021-09-26 c", "2021-09-26 u", "2021-09-26 d"]);
    assert_eq!(answer.rows("orders").len(), 4);
}

#[test]
fn an_order_for_nothing_is_rejected_unless_it_is_deleted() {
    let nothing = OrderIn { quantity: 0 };
    let answer = Harness::<OrdersSimple>::new().run([Change::update(nothing), Change::delete(nothing)]);
    assert_eq!(answer.rejects(), [(0, "bad_quantity")]);
    assert_eq!(answer.rows("orders_final").len(), 1);
}

#[test]
fn cases() {
    plugin_sdk::testing::run_cases::<OrdersSimple>("cases");
}
