//! Two engines where there should be one: one goes on, the other stops and says why, and no row is there twice. And two
//! that share a topic on purpose.

use std::time::Duration;

use harness::engine::{Engine, ROWS_IN};
use harness::pipeline::{ARRIVAL, DATABASE, Pipeline};
use harness::wait::wait_until;

const EPOCH_MESSAGES: usize = 500;
const ORDERS: i64 = 60_000;
const MESSAGE: Duration = Duration::from_secs(60);

/// GIVEN an engine, WHEN another is started on its data folder, THEN the second ends at once and says so.
#[test]
fn a_second_engine_on_the_same_folder_is_refused() {
    let pipeline = Pipeline::new(ORDERS, EPOCH_MESSAGES);
    let first = pipeline.run_for(0.1);
    let mut second = pipeline.setup.start();
    let status = second.wait(MESSAGE);
    assert_eq!(status.code(), Some(1), "{status}");
    let said = second.output();
    assert!(said.contains("two engines must not share a data folder"), "{said}");
    first.terminate();
    pipeline.run_to_the_end();
    pipeline.assert_each_arrived_once();
}

/// GIVEN an engine that runs, WHEN another is started on a copy of its data folder (a second container, a restored backup),
/// THEN each lane goes on in one of the two and stops in the other, which says so, and every row is there once.
#[test]
fn of_two_engines_on_copies_of_a_folder_each_lane_goes_on_in_one() {
    let mut pipeline = Pipeline::new(ORDERS, EPOCH_MESSAGES);
    pipeline.run_for(0.1).kill();
    let copy = Pipeline::setup(&pipeline.kafka, &pipeline.clickhouse, EPOCH_MESSAGES);
    copy.copy_data_of(&pipeline.setup);
    let (first, second) = (pipeline.setup.start(), copy.start());
    // Both claim all lanes within their first seconds: whoever comes later has them.
    wait_until("one of the two to be shut out", ARRIVAL, || shut_out(&first) || shut_out(&second));
    pipeline.produce(ORDERS);
    wait_until("all orders to be there", ARRIVAL, || pipeline.arrived().1 == pipeline.orders);
    println!("first:  {}\nsecond: {}", first.health(), second.health());
    pipeline.assert_each_arrived_once();
}

/// GIVEN an engine that is frozen with requests under way, WHEN a copy of it takes over, writes more parts than the tables
/// remember tokens of, and the frozen one wakes up, THEN it stops, and no row is there twice.
#[test]
fn a_frozen_engine_that_wakes_up_is_shut_out() {
    let mut pipeline = Pipeline::new(ORDERS, EPOCH_MESSAGES);
    let mut frozen = pipeline.run_for(0.1);
    frozen.freeze();
    for table in ["orders_final", "orders"] {
        // Tokens are to be forgotten within the seconds of a test: of each partition's epochs the last ones count.
        let sql = format!("ALTER TABLE {DATABASE}.{table} MODIFY SETTING non_replicated_deduplication_window = 4");
        pipeline.clickhouse.query(&sql);
    }
    let copy = Pipeline::setup(&pipeline.kafka, &pipeline.clickhouse, EPOCH_MESSAGES);
    copy.copy_data_of(&pipeline.setup);
    let mut second = copy.start();
    second.wait_for_count(ROWS_IN, 20_000.0, ARRIVAL);
    frozen.wake();
    wait_until("the frozen engine to be shut out", ARRIVAL, || shut_out(&frozen));
    pipeline.produce(ORDERS);
    wait_until("all orders to be there", ARRIVAL, || pipeline.arrived().1 == pipeline.orders);
    second.terminate();
    pipeline.assert_each_arrived_once();
}

/// GIVEN the data folder as it was some time ago, WHEN an engine is started on it, THEN its lanes stop: it knows less than
/// the tables.
#[test]
fn yesterdays_folder_is_refused() {
    let pipeline = Pipeline::new(ORDERS, EPOCH_MESSAGES);
    pipeline.run_for(0.1).terminate();
    let old = Pipeline::setup(&pipeline.kafka, &pipeline.clickhouse, EPOCH_MESSAGES);
    old.copy_data_of(&pipeline.setup);
    pipeline.run_for(0.2).terminate();
    let mut engine = old.start();
    wait_until("the old folder to be refused", MESSAGE, || {
        let health = engine.health();
        assert!(engine.runs(), "{}", engine.output());
        health.contains("old copy") || shut_out(&engine)
    });
    drop(engine);
    pipeline.run_to_the_end();
    pipeline.assert_each_arrived_once();
}

/// GIVEN two engines with folders of their own, one for the partitions 0 and 1, the other for 2 and 3, THEN each order is
/// there once.
#[test]
fn two_engines_share_a_topic_by_hand() {
    let mut pipeline = Pipeline::new(ORDERS, EPOCH_MESSAGES);
    let share = |partitions| Pipeline::setup_of(partitions, &pipeline.kafka, &pipeline.clickhouse, EPOCH_MESSAGES);
    let (low, high) = (share("0-1"), share("2,3"));
    let (mut first, second) = (low.start(), high.start());
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    first.wait_for_count(ROWS_IN, ORDERS as f64 / 2.0, ARRIVAL);
    second.kill();
    let second = high.start();
    pipeline.produce(ORDERS);
    wait_until("all orders to be there", ARRIVAL, || pipeline.arrived().1 == pipeline.orders);
    for engine in [&first, &second] {
        assert!(!shut_out(engine), "{}", engine.health());
    }
    first.terminate();
    second.terminate();
    pipeline.assert_each_arrived_once();
}

/// Whether a lane of it has stopped because another engine has it.
fn shut_out(engine: &Engine) -> bool {
    engine.health().contains("not this engine's any more")
}
