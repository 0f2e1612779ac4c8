//! Many orders from a real topic of four partitions, through stops, crashes and outages: all of them arrive.

use std::time::Duration;

use harness::engine::{INSERT_FAILURES, ROWS_IN};
use harness::pipeline::{ARRIVAL, Pipeline};

const EPOCH_MESSAGES: usize = 10_000;

#[test]
fn a_million_orders_arrive_once_through_two_stops_and_an_outage_of_clickhouse() {
    let mut pipeline = Pipeline::new(1_000_000, EPOCH_MESSAGES);

    pipeline.run_for(0.1).terminate();
    pipeline.assert_in_the_middle();
    pipeline.run_for(0.2).terminate();
    pipeline.assert_in_the_middle();

    let mut engine = pipeline.run_for(0.1);
    pipeline.clickhouse.stop();
    engine.wait_for_count(INSERT_FAILURES, 1.0, Duration::from_secs(60));
    pipeline.clickhouse.restart();
    pipeline.assert_in_the_middle();
    engine.wait_for_count(ROWS_IN, 200_000.0, ARRIVAL);
    engine.terminate();

    pipeline.run_to_the_end();
    pipeline.assert_each_arrived_once();
    pipeline.run_to_the_end(); // nothing is left to do, and nothing is done again
    pipeline.assert_each_arrived_once();
}

#[test]
fn no_order_is_lost_when_the_broker_goes_and_comes_back() {
    let mut pipeline = Pipeline::new(200_000, EPOCH_MESSAGES);
    let mut engine = pipeline.run_for(0.2);
    pipeline.kafka.kill();
    pipeline.kafka.restart();
    engine.wait_for_count(ROWS_IN, 200_000.0, ARRIVAL);
    engine.terminate();
    pipeline.assert_each_arrived_once();
}
