//! Orders on their way: a real topic of some partitions, an engine with the plugin `orders`, a real ClickHouse.

use std::ops::Range;
use std::time::Duration;

use crate::clickhouse::ClickHouse;
use crate::engine::{Engine, Plugin, ROWS_IN, Setup};
use crate::kafka::Kafka;
use crate::orders;

/// Partitions of the topic, where a test does not say how many.
const PARTITIONS: i32 = 4;
/// Where the tables are.
pub const DATABASE: &str = "silver";
/// A million orders take 5 s to a minute, by the machine and its load.
pub const ARRIVAL: Duration = Duration::from_secs(300);

/// Parts that live as long as the test, and how many orders were produced.
#[derive(Debug)]
pub struct Pipeline {
    /// The broker.
    pub kafka: Kafka,
    /// The server.
    pub clickhouse: ClickHouse,
    /// The engine's arguments and data folder.
    pub setup: Setup,
    /// Orders on the topic: 0 until this.
    pub orders: i64,
    partitions: i32,
}

impl Pipeline {
    /// A topic with that many orders, and an engine that has not seen any, whose epochs have at most so many messages: an
    /// interruption is to find some committed, some decided and some not begun.
    #[must_use]
    pub fn new(orders: i64, epoch_messages: usize) -> Self {
        Self::with_partitions(PARTITIONS, orders, epoch_messages)
    }

    /// The same with so many partitions.
    #[must_use]
    pub fn with_partitions(partitions: i32, orders: i64, epoch_messages: usize) -> Self {
        let (kafka, clickhouse) = (Kafka::start(), ClickHouse::start());
        kafka.create_topic(orders::TOPIC, partitions);
        let setup = Self::setup(&kafka, &clickhouse, epoch_messages);
        let mut pipeline = Self { kafka, clickhouse, setup, orders: 0, partitions };
        pipeline.produce(orders);
        assert_eq!(pipeline.kafka.ends(orders::TOPIC).iter().sum::<i64>(), orders);
        pipeline
    }

    /// Another engine over the same topic and tables, with a data folder of its own.
    #[must_use]
    pub fn setup(kafka: &Kafka, clickhouse: &ClickHouse, epoch_messages: usize) -> Setup {
        Self::setup_of("all", kafka, clickhouse, epoch_messages)
    }

    /// One that takes these partitions of the topic: `"0-1"`, or `"all"`.
    #[must_use]
    pub fn setup_of(partitions: &str, kafka: &Kafka, clickhouse: &ClickHouse, epoch_messages: usize) -> Setup {
        let messages = format!("batch.max_messages={epoch_messages}");
        let arguments = ["--kafka", &kafka.address(), "--set", &messages];
        let topic = orders::TOPIC;
        let settings = match partitions {
            "all" => format!("topics = ['{topic}']"),
            some => format!("topics = ['{topic}']\npartitions = '{some}'"),
        };
        // Nothing but this plugin: each start compiles what it finds.
        let plugin = Plugin { name: "orders", settings: &settings, artifact: Some("orders") };
        Setup::new(&clickhouse.http_url(), DATABASE).with(&arguments).with_plugins(&[plugin])
    }

    /// Adds orders to the topic, those of a purchaser to one partition.
    pub fn produce(&mut self, count: i64) {
        let producer = self.kafka.producer();
        let new: Range<i64> = self.orders..self.orders + count;
        for id in new {
            let (key, value) = orders::created(id);
            let partition = i32::try_from(orders::purchaser(id) % i64::from(self.partitions)).expect("a partition");
            producer.send(orders::TOPIC, partition, &key, Some(&value));
        }
        producer.flush();
        self.orders += count;
    }

    /// Starts the engine and waits until it has committed that share of all orders since this start.
    #[must_use]
    pub fn run_for(&self, share: f64) -> Engine {
        let mut engine = self.setup.start();
        #[expect(clippy::cast_precision_loss, reason = "a few million")]
        engine.wait_for_count(ROWS_IN, self.orders as f64 * share, ARRIVAL);
        engine
    }

    /// Runs the engine until the topic is read to its end and all of it is committed.
    ///
    /// # Panics
    /// When it does not come to that.
    pub fn run_to_the_end(&self) {
        let mut engine = self.setup.start_with(&["--until-idle"]);
        let status = engine.wait(ARRIVAL);
        assert!(status.success(), "{status}\n{}", engine.output());
    }

    /// Rows of the history table: all, and those of different messages.
    #[must_use]
    pub fn arrived(&self) -> (i64, i64) {
        let sql = format!("SELECT count(), uniqExact(_partition, _offset) FROM {DATABASE}.orders_final FORMAT TSV");
        let counts = self.clickhouse.query(&sql);
        let (all, distinct) = counts.trim().split_once('\t').expect("two columns");
        (all.parse().expect("a number"), distinct.parse().expect("a number"))
    }

    /// Rows of the history table, where there is one already.
    #[must_use]
    pub fn arrived_so_far(&self) -> i64 {
        if self.clickhouse.query(&format!("EXISTS {DATABASE}.orders_final")).trim() == "1" {
            self.arrived().0
        } else {
            0
        }
    }

    /// An interruption that comes when everything has arrived proves nothing.
    pub fn assert_in_the_middle(&self) {
        let (_, distinct) = self.arrived();
        assert!(0 < distinct && distinct < self.orders, "interrupted with {distinct} of {} orders there", self.orders);
        println!("interrupted with {distinct} of {} orders there", self.orders);
    }

    /// The history table has a row for each order, and the current table each order with the values that were sent.
    pub fn assert_each_arrived_once(&self) {
        let (all, distinct) = self.arrived();
        println!("{} orders: {} lost, {} twice", self.orders, self.orders - distinct, all - distinct);
        assert_eq!((all, distinct), (self.orders, self.orders));
        self.assert_every_order_is_current();
    }

    /// The current table holds each order once, with the values that were sent.
    pub fn assert_every_order_is_current(&self) {
        let found = self.clickhouse.query(&format!(
            "SELECT count(), uniqExact(id), sum(quantity), toDecimalString(sum(unit_price), 2), \
             countIf(order_number = concat('ORD-', toString(id)) AND total_amount = unit_price * quantity) \
             FROM {DATABASE}.orders_current FORMAT TSV"
        ));
        let orders = self.orders;
        let quantity: i64 = (0..orders).map(orders::quantity).sum();
        let cents: i64 = (0..orders).map(orders::unit_price_cents).sum();
        let price = format!("{}.{:02}", cents / 100, cents % 100);
        let right = format!("{orders}\t{orders}\t{quantity}\t{price}\t{orders}");
        assert!(found.trim() == right, "{} instead of {right}; not current are:\n{}", found.trim(), self.not_current());
    }

    /// Which rows of the history have no current row, by the epochs that made them.
    fn not_current(&self) -> String {
        self.clickhouse.query(&format!(
            "SELECT _partition, hex(_epoch), min(_offset), max(_offset), count() FROM {DATABASE}.orders_final \
             WHERE id NOT IN (SELECT id FROM {DATABASE}.orders_current) GROUP BY ALL ORDER BY ALL FORMAT TSVWithNames"
        ))
    }
}
