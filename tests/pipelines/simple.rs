//! `examples/orders-simple`: orders without schema.

use super::figures::{self, Begins, Phase, Watched};
use super::world::{Column, Source, World, while_busy};

const NAME: &str = "orders-simple";
const FILES: [&str; 2] = ["examples/orders-simple/source.sql", "examples/orders-simple/changes.sql"];
const WATCHED: Watched = Watched { table: "orders_final", begins: Begins::Commit };
/// Changes before the snapshot.
const BEFORE: u64 = 500;

const HISTORY: [Column; 6] = [
    ("operation", "operation", "operation"),
    ("id", "id", "toString(id)"),
    ("order_date", "order_date", "toString(order_date)"),
    ("purchaser", "purchaser", "toString(purchaser)"),
    ("quantity", "quantity", "toString(quantity)"),
    ("product_id", "product_id", "toString(product_id)"),
];

#[test]
fn orders_without_schema() {
    if figures::whole_volume() {
        return at_volume();
    }
    // GIVEN orders in the source, of which the connector takes a snapshot, and an engine
    let mut world = World::new(NAME);
    let source = source(&world);
    let engine = world.start();

    // WHEN they change, and meanwhile the engine is killed, and ClickHouse is
    let engine = while_busy(
        || change(&source, BEFORE + 1, BEFORE + 3000, 500),
        || world.kill_both(engine, WATCHED.table, [700, 1500]),
    );

    // THEN every change is one row, deletes too, and the current orders are the source's.
    world.wait_for_rows(WATCHED.table, source.accounted("orders"));
    engine.terminate();
    assert_silver(&world, &source);
}

fn at_volume() {
    let world = World::new(NAME);
    let source = source(&world);
    let engine = world.start();
    world.wait_for_rows(WATCHED.table, source.accounted("orders"));
    let (fast, steady) = (100_000, 30_000);
    let measure = |name, events, first, per_second| {
        let load = || change(&source, first, first + events - 1, per_second);
        Phase::measure(name, &world, &engine, WATCHED, (events, events), load)
    };
    let phases = [
        measure("as fast as the source", fast, BEFORE + 1, 0),
        measure("1,000 changes/s", steady, BEFORE + fast + 1, 1000),
    ];
    engine.terminate();
    assert_silver(&world, &source);
    let counts = [
        ("changes at the source, those of the snapshot among them", source.accounted("orders")),
        ("`orders_final`", world.count("orders_final")),
        ("`orders_current`", world.count("orders_current")),
        ("dead letters", world.count("dead_letters")),
    ];
    figures::print(NAME, &counts, &phases, "1,000 events/s and more, under 2 s end to end; deletes are dropped");
}

/// A source with orders, and a connector that begins with a snapshot of them.
fn source(world: &World) -> Source {
    let source = Source::new(&world.kafka, NAME, &FILES);
    change(&source, 1, BEFORE, 0);
    source.keep_account("inventory", "orders");
    source.connect();
    source
}

/// Changes by the example's generator; 0 a second: as fast as the source can.
fn change(source: &Source, first: u64, last: u64, per_second: u64) {
    source.sql(&format!("CALL inventory.change_orders(7, {first}, {last}, {per_second});"));
}

fn assert_silver(world: &World, source: &Source) {
    world.assert_same(source, &HISTORY, "account.orders", "orders_final");
    world.assert_same(source, &HISTORY[1..], "inventory.orders", "orders_current");
    world.assert_no_dead_letters();
    let deletes = world.count("orders_final WHERE operation = 'd'");
    assert!(deletes > 100, "{deletes} deletes");
}
