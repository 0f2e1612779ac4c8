//! Orders, natively.
#![expect(clippy::unwrap_used, reason = "tests")]

use orders::{OrderIn, Orders};
use plugin_sdk::testing::Harness;
use plugin_sdk::{Change, Date, Decimal, TableKind};

fn order(status: &str) -> OrderIn<'_> {
    OrderIn { quantity: 2, unit_price: Decimal::parse("49.90"), total_amount: None, status: Some(status) }
}

#[test]
fn every_change_is_in_the_history_and_in_the_current_table() {
    let answer = Harness::<Orders>::new().passed("id", [1, 1, 1, 2]).run([
        Change::create(order(" pending ")),
        Change::update(order("Confirmed")),
        Change::delete(order("CONFIRMED")),
        Change::read(order("SHIPPED")),
    ]);
    let seen = |row: &plugin_sdk::testing::TableRow| {
        ["id", "status", "operation", "operation_name"].map(|name| row.get(name).unwrap().to_owned()).join(" ")
    };
    let history: Vec<_> = answer.rows("orders_final").iter().map(seen).collect();
    assert_eq!(history, ["1 PENDING c INSERT", "1 CONFIRMED u UPDATE", "1 CONFIRMED d DELETE", "2 SHIPPED r READ"]);
    let current: Vec<_> = answer.rows("orders").iter().map(|row| row.get("status").unwrap()).collect();
    assert_eq!(current, ["PENDING", "CONFIRMED", "CONFIRMED", "SHIPPED"]);
    assert!(answer.rejects().is_empty());
}

#[test]
fn the_generated_amount_is_taken_from_the_snapshot_and_computed_for_the_stream() {
    let snapshot = OrderIn { total_amount: Decimal::parse("99.80"), ..order("PENDING") };
    let no_price = OrderIn { unit_price: None, status: None, ..order("") };
    let answer = Harness::<Orders>::new().run([
        Change::read(snapshot),
        Change::create(order("PENDING")),
        Change::create(no_price),
    ]);
    let amounts: Vec<_> = answer.rows("orders").iter().map(|row| row.get("total_amount")).collect();
    assert_eq!(amounts, [Some("99.80"), Some("99.80"), None]);
}

#[test]
fn bad_orders_are_rejected_and_the_others_stay() {
    let answer = Harness::<Orders>::new().passed("order_date", (0..5).map(Date)).run([
        Change::create(order("PENDING")),
        Change::create(OrderIn { quantity: 0, ..order("PENDING") }),
        Change::create(order("LOST")),
        Change::update(OrderIn { quantity: i32::MAX, unit_price: Decimal::parse("99999999.99"), ..order("PENDING") }),
        Change::update(order("DELIVERED")),
    ]);
    assert_eq!(answer.rejects(), [(1, "bad_quantity"), (2, "unknown_status"), (3, "amount_out_of_range")]);
    for table in ["orders", "orders_final"] {
        let dates: Vec<_> = answer.rows(table).iter().map(|row| row.get("order_date").unwrap()).collect();
        assert_eq!(dates, ["1970-01-01", "1970-01-05"], "{table}");
    }
}

#[test]
fn a_delete_is_never_rejected() {
    let answer = Harness::<Orders>::new().passed("id", [7, 8]).run([
        // The key alone: zero where a column cannot be null.
        Change::delete(OrderIn::default()),
        Change::delete(OrderIn { quantity: -1, ..order("LOST") }),
    ]);
    assert!(answer.rejects().is_empty());
    let ids: Vec<_> = answer.rows("orders").iter().map(|row| row.get("id").unwrap()).collect();
    assert_eq!(ids, ["7", "8"]);
    assert_eq!(answer.rows("orders_final")[1].get("status"), Some("LOST"));
}

#[test]
fn four_columns_cross_and_two_tables_are_described() {
    let harness = Harness::<Orders>::new();
    let description = harness.description();
    let crossing: Vec<_> = description.input.iter().filter(|it| it.crosses).map(|it| &*it.column.name).collect();
    assert_eq!(crossing, ["change.op", "quantity", "unit_price", "total_amount", "status"]);
    let tables: Vec<_> = description.outputs.iter().map(|it| (it.table, it.kind, it.columns.len())).collect();
    assert_eq!(tables, [("orders", TableKind::Current, 12), ("orders_final", TableKind::Append, 14)]);
    assert_eq!(description.outputs[1].partition_by, Some("toYYYYMM(order_date)"));
}

#[test]
fn cases() {
    plugin_sdk::testing::run_cases::<Orders>("cases");
}
