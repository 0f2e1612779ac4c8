//! Many orders from a real topic of four partitions, through stops, crashes and outages: all of them arrive.

use std::time::{Duration, Instant};

use harness::clickhouse::ClickHouse;
use harness::engine::{Engine, INSERT_FAILURES, ROWS_IN, Setup};
use harness::kafka::Kafka;
use harness::orders;

const PARTITIONS: i32 = 4;
const DATABASE: &str = "silver";
/// A million take 5 s to a minute here, by the machine and its load.
const ARRIVAL: Duration = Duration::from_secs(300);

struct World {
    kafka: Kafka,
    clickhouse: ClickHouse,
    setup: Setup,
    orders: i64,
}

impl World {
    /// A topic with that many orders, and an engine that has not seen any.
    fn new(orders: i64) -> Self {
        let (kafka, clickhouse) = (Kafka::start(), ClickHouse::start());
        kafka.create_topic(orders::TOPIC, PARTITIONS);
        let (start, producer) = (Instant::now(), kafka.producer());
        for id in 0..orders {
            let (key, value) = orders::created(id);
            let partition = i32::try_from(id % i64::from(PARTITIONS)).expect("a partition");
            producer.send(orders::TOPIC, partition, &key, Some(&value));
        }
        producer.flush();
        assert_eq!(kafka.ends(orders::TOPIC).iter().sum::<i64>(), orders);
        println!("{orders} orders produced in {:.1?}", start.elapsed());
        // Small epochs: an interruption is to find some committed, some decided and some not begun.
        let setup = Setup::new(&clickhouse.http_url(), DATABASE).with(&[
            "--kafka",
            &kafka.address(),
            "--set",
            "batch.max_messages=10000",
        ]);
        Self { kafka, clickhouse, setup, orders }
    }

    /// Starts the engine and waits until it has committed that share of all orders since this start.
    fn run_for(&self, share: f64) -> Engine {
        let mut engine = self.setup.start();
        #[expect(clippy::cast_precision_loss, reason = "a few million")]
        engine.wait_for_count(ROWS_IN, self.orders as f64 * share, ARRIVAL);
        engine
    }

    /// Rows of the history table: all, and those of different messages.
    fn arrived(&self) -> (i64, i64) {
        let counts = self
            .clickhouse
            .query(&format!("SELECT count(), uniqExact(_partition, _offset) FROM {DATABASE}.orders_final FORMAT TSV"));
        let (all, distinct) = counts.trim().split_once('\t').expect("two columns");
        (all.parse().expect("a number"), distinct.parse().expect("a number"))
    }

    /// An interruption that comes when everything has arrived proves nothing.
    fn assert_in_the_middle(&self) {
        let (_, distinct) = self.arrived();
        assert!(0 < distinct && distinct < self.orders, "interrupted with {distinct} of {} orders there", self.orders);
        println!("interrupted with {distinct} of {} orders there", self.orders);
    }

    /// Runs the engine until the topic is read to its end and all of it is committed.
    fn run_to_the_end(&self) {
        let mut engine = self.setup.start_with(&["--until-idle"]);
        let status = engine.wait(ARRIVAL);
        assert!(status.success(), "{status}");
    }

    /// The current table holds each order once, with the values that were sent.
    fn assert_every_order_is_current(&self) {
        let found = self.clickhouse.query(&format!(
            "SELECT count(), uniqExact(id), sum(quantity), toDecimalString(sum(unit_price), 2), \
             countIf(order_number = concat('ORD-', toString(id)) AND total_amount = unit_price * quantity) \
             FROM {DATABASE}.orders_current FORMAT TSV"
        ));
        let orders = self.orders;
        let quantity: i64 = (0..orders).map(orders::quantity).sum();
        let cents: i64 = (0..orders).map(orders::unit_price_cents).sum();
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        assert_eq!(found.trim(), format!("{orders}\t{orders}\t{quantity}\t{price}\t{orders}"));
    }
}

#[test]
fn a_million_orders_arrive_once_through_two_stops_and_an_outage_of_clickhouse() {
    let mut world = World::new(1_000_000);

    world.run_for(0.1).terminate();
    world.assert_in_the_middle();
    world.run_for(0.2).terminate();
    world.assert_in_the_middle();

    let mut engine = world.run_for(0.1);
    world.clickhouse.stop();
    engine.wait_for_count(INSERT_FAILURES, 1.0, Duration::from_secs(60));
    world.clickhouse.restart();
    world.assert_in_the_middle();
    engine.wait_for_count(ROWS_IN, 200_000.0, ARRIVAL);
    engine.terminate();

    world.run_to_the_end();
    assert_eq!(world.arrived(), (1_000_000, 1_000_000));
    world.assert_every_order_is_current();
    world.run_to_the_end(); // nothing is left to do, and nothing is done again
    assert_eq!(world.arrived(), (1_000_000, 1_000_000));
}

#[test]
fn no_order_is_lost_when_the_engine_is_killed() {
    let world = World::new(400_000);
    for _ in 0..4 {
        world.run_for(0.1).kill();
        world.assert_in_the_middle();
    }
    world.run_to_the_end();
    let (all, distinct) = world.arrived();
    println!("{} rows twice", all - distinct);
    assert_eq!(distinct, world.orders);
    world.assert_every_order_is_current();
}

#[test]
fn no_order_is_lost_when_the_broker_goes_and_comes_back() {
    let mut world = World::new(200_000);
    let mut engine = world.run_for(0.2);
    world.kafka.kill();
    world.kafka.restart();
    engine.wait_for_count(ROWS_IN, 200_000.0, ARRIVAL);
    engine.terminate();
    assert_eq!(world.arrived(), (200_000, 200_000));
    world.assert_every_order_is_current();
}
