//! A topic of twelve partitions, keyed by purchaser, grows out of one engine: its data folder is copied, and two engines go on,
//! each with a half of the partitions.

use std::time::Duration;

use harness::engine::{Engine, ROWS_IN};
use harness::pipeline::{ARRIVAL, DATABASE, Pipeline};
use harness::wait::wait_until;

const PARTITIONS: i32 = 12;
const ORDERS: i64 = 60_000;
const EPOCH_MESSAGES: usize = 500;
const MESSAGE: Duration = Duration::from_secs(60);

/// GIVEN an engine that has read a part of twelve partitions, WHEN two go on with copies of its folder, each with six of them, one of
/// them is killed and started again, and a third is started with partitions that are not its own, THEN that one is shut out
/// where it came too late or knows too little, and each order is there once.
#[test]
fn twelve_partitions_are_shared_by_two_engines() {
    let mut pipeline = Pipeline::with_partitions(PARTITIONS, ORDERS, EPOCH_MESSAGES);
    pipeline.run_for(0.2).terminate();
    pipeline.assert_in_the_middle();
    let share = |partitions| {
        let setup = Pipeline::setup_of(partitions, &pipeline.kafka, &pipeline.clickhouse, EPOCH_MESSAGES);
        setup.copy_data_of(&pipeline.setup);
        setup
    };
    let (low, high) = (share("0-5"), share("6-11"));
    let (mut first, mut second) = (low.start(), high.start());
    second.wait_for_count(ROWS_IN, 2_000.0, ARRIVAL);
    second.kill();
    pipeline.assert_in_the_middle();
    first.wait_until_up();
    let second = high.start();
    pipeline.produce(ORDERS);
    wait_until("all orders to be there", ARRIVAL, || pipeline.arrived().1 == pipeline.orders);
    for engine in [&first, &second] {
        assert!(!engine.health().contains("not this engine's any more"), "{}", engine.health());
    }
    assert_eq!(partitions_of(&pipeline), "12");

    // A mistake: the folder as it was before the split, which would read all partitions again from there.
    let mut third = pipeline.setup.start();
    wait_until("the former engine to be shut out", MESSAGE, || is_shut_out(&third));
    assert!(third.runs(), "{}", third.output());
    third.terminate();
    first.terminate();
    second.terminate();
    pipeline.assert_each_arrived_once();
}

/// Whether none of its lanes runs: the tables know more than its journal, or the fences an engine that came later.
fn is_shut_out(engine: &Engine) -> bool {
    let health = engine.health();
    let told = health.matches("old copy").count() + health.matches("not this engine's any more").count();
    told >= usize::try_from(PARTITIONS).expect("a few")
}

/// How many partitions have rows.
fn partitions_of(pipeline: &Pipeline) -> String {
    let sql = format!("SELECT uniqExact(_partition) FROM {DATABASE}.orders_final");
    pipeline.clickhouse.query(&sql).trim().to_owned()
}
