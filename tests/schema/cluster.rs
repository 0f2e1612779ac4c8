//! The statements for a cluster: two shards, an engine for each, and what readers see of both.
//!
//! The embedded server has neither a queue for `ON CLUSTER` nor a port for replicas. So the statements are parsed by it as they
//! are, and run on each server as the queue would run them there, with the engines that have no replicas.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup, plugins, program};
use harness::kafka::Kafka;
use harness::pipeline::ARRIVAL;
use harness::{orders, place};

const SHARDS: usize = 2;
const PARTITIONS: i64 = 4;
const ORDERS: i64 = 20_000;
const GOLD: &str = "
CREATE TABLE IF NOT EXISTS daily
(
    day Date,
    orders AggregateFunction(count),
    buyers AggregateFunction(uniqExact, Int32)
)
ENGINE = AggregatingMergeTree PARTITION BY day ORDER BY day SETTINGS non_replicated_deduplication_window = 10000;
CREATE MATERIALIZED VIEW IF NOT EXISTS daily_fill TO daily AS
SELECT toDate(order_date) AS day, countState() AS orders, uniqExactState(purchaser) AS buyers FROM orders_final GROUP BY day;
CREATE OR REPLACE VIEW days AS
SELECT day, countMerge(orders) AS n, uniqExactMerge(buyers) AS different FROM daily GROUP BY day;
CREATE TABLE IF NOT EXISTS best (purchaser Int32, n UInt64) ENGINE = MergeTree ORDER BY purchaser;
CREATE MATERIALIZED VIEW IF NOT EXISTS best_fill REFRESH EVERY 100 YEAR TO best AS
SELECT purchaser, count() AS n FROM orders_current GROUP BY purchaser;
";

/// Two servers that know each other as the cluster `shop`.
fn servers() -> Vec<ClickHouse> {
    let ports: Vec<u16> = (0..SHARDS).map(|_| place::free_port()).collect();
    let shard = |port: &u16| {
        format!(
            "<shard><internal_replication>true</internal_replication><replica><host>127.0.0.1</host><port>{port}</port></replica></shard>"
        )
    };
    let shards: String = ports.iter().map(shard).collect();
    let settings = format!("<remote_servers><shop>{shards}</shop></remote_servers>");
    ports.iter().map(|port| ClickHouse::start_with(&[], &settings, *port)).collect()
}

/// What `engine schema plan --cluster shop` prints, statement by statement.
fn planned(folder: &std::path::Path) -> Vec<String> {
    let setup = Setup::new("http://127.0.0.1:1", "silver").with_plugins(&[plugin("topics = ['t']")]);
    let mut command = Command::new(program());
    command.args(["schema", "plan", "--cluster", "shop", "--database", "silver", "--plugins"]).arg(&setup.plugins);
    let output = command.arg(folder).current_dir(folder).output().expect("the program runs");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    println!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", output.status);
    text.split(";\n").map(str::trim).filter(|statement| !statement.is_empty()).map(str::to_owned).collect()
}

fn plugin(settings: &str) -> Plugin<'_> {
    Plugin { name: "orders", settings, artifact: Some("orders") }
}

/// GIVEN two shards with the tables of a plan, WHEN the engine of each writes the partitions that are its own, THEN readers of either
/// server see all rows, each key once, and a partition is looked for where it is.
#[test]
fn two_engines_write_two_shards_and_readers_see_both() {
    let _ = plugins();
    let folder = place::folder("gold");
    fs::write(folder.path().join("010.sql"), GOLD).expect("a file of gold");
    let (servers, kafka) = (servers(), Kafka::start());
    let statements = planned(folder.path());
    for statement in &statements {
        servers[0].query(&format!("EXPLAIN AST {statement}"));
        assert!(statement.contains(" ON CLUSTER `shop`"), "{statement}");
    }
    let replicated = statements.iter().filter(|statement| statement.contains("ENGINE = Replicated")).count();
    assert_eq!(replicated, 5, "fences, orders_final, orders, dead_letters, daily");
    for server in &servers {
        for statement in &statements {
            server.query(&statement.replace(" ON CLUSTER `shop`", "").replace("ENGINE = Replicated", "ENGINE = "));
        }
    }

    kafka.create_topic(orders::TOPIC, i32::try_from(PARTITIONS).expect("a few"));
    let producer = kafka.producer();
    for id in 0..ORDERS {
        let (key, value) = orders::created(id);
        let partition = i32::try_from(orders::purchaser(id) % PARTITIONS).expect("a few");
        producer.send(orders::TOPIC, partition, &key, Some(&value));
    }
    producer.flush();
    for (shard, server) in servers.iter().enumerate() {
        let own: Vec<String> = (shard..4).step_by(SHARDS).map(|partition| partition.to_string()).collect();
        let settings = format!("topics = ['{}']\npartitions = '{}'", orders::TOPIC, own.join(","));
        let setup = Setup::new(&server.http_url(), "silver")
            .with(&["--kafka", &kafka.address()])
            .with_plugins(&[plugin(&settings)]);
        let mut engine = setup.start_with(&["--until-idle"]);
        let status = engine.wait(ARRIVAL);
        assert!(status.success(), "{status}\n{}", engine.output());
    }

    let mut buyers: BTreeMap<i64, BTreeSet<i64>> = BTreeMap::new();
    for id in 0..ORDERS {
        buyers.entry(id % 28).or_default().insert(orders::purchaser(id)); // the day of `orders::created`
    }
    let different: usize = buyers.values().map(BTreeSet::len).sum();
    for server in &servers {
        let ask = |sql: &str| server.query(sql).trim().to_owned();
        let here: i64 = ask("SELECT count() FROM silver.orders_final").parse().expect("a number");
        assert!(0 < here && here < ORDERS, "a shard has a part: {here}");
        let both = format!("{ORDERS}\t{ORDERS}");
        assert_eq!(ask("SELECT count(), uniqExact(id) FROM silver.orders_final_all"), both);
        assert_eq!(ask("SELECT count(), uniqExact(id) FROM silver.orders_current_all"), both);
        assert_eq!(ask("SELECT sum(n), sum(different) FROM silver.days"), format!("{ORDERS}\t{different}"));
        server.query("SYSTEM REFRESH VIEW silver.best_fill");
        server.query("SYSTEM WAIT VIEW silver.best_fill");
        assert_eq!(
            ask("SELECT sum(n), count() FROM silver.best"),
            format!("{ORDERS}\t10000"),
            "the whole, on each server"
        );
        for partition in 0..PARTITIONS {
            let sql = format!(
                "SELECT count() FROM silver.orders_final_all WHERE _partition = {partition} \
                 SETTINGS optimize_skip_unused_shards = 1, force_optimize_skip_unused_shards = 2"
            );
            assert_eq!(ask(&sql), (ORDERS / PARTITIONS).to_string(), "partition {partition}");
        }
    }
}
