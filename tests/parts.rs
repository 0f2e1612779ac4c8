//! The parts themselves: what the other tests take for granted of them.

use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::connect::{Connect, Writing, postgres_connector};
use harness::kafka::Kafka;
use harness::postgres::Postgres;
use harness::wait::wait_until;

#[test]
fn a_broker_keeps_its_topics_when_it_is_stopped_or_killed() {
    let mut kafka = Kafka::start();
    let address = kafka.address();
    kafka.create_topic("orders", 4);
    let producer = kafka.producer();
    for n in 0..1_000 {
        producer.send("orders", n % 4, &n.to_string(), (n % 10 != 0).then_some("{}"));
    }
    producer.flush();
    assert_eq!(kafka.ends("orders"), [250; 4]);

    kafka.stop();
    kafka.restart();
    assert_eq!(kafka.ends("orders"), [250; 4]);

    kafka.kill();
    kafka.restart();
    assert_eq!(kafka.ends("orders"), [250; 4]);
    assert_eq!(kafka.address(), address);

    kafka.delete_topic("orders");
    kafka.create_topic("orders", 1);
    assert_eq!(kafka.ends("orders"), [0]);
}

#[test]
fn debezium_carries_changes_from_postgres_to_kafka() {
    let postgres = Postgres::start();
    postgres.sql("postgres", "CREATE TABLE t (id int PRIMARY KEY, at timestamptz); INSERT INTO t VALUES (1, '2025-07-21 12:34:56.789012+02');");
    assert_eq!(
        postgres.rows("postgres", &["id", "at"], "t"),
        [[Some("1".to_owned()), Some("2025-07-21 10:34:56.789012+00".to_owned())]]
    );

    let kafka = Kafka::start();
    let connect = Connect::start(&kafka);
    let config = postgres_connector(postgres.port(), "postgres", "p", &["public.t"], Writing::Flat);
    connect.register("p", &config);
    // The topic appears with its first message.
    wait_until("the snapshot", Duration::from_secs(60), || {
        kafka.topics().contains(&"p.public.t".to_owned()) && kafka.ends("p.public.t") == [1]
    });
    postgres.sql("postgres", "UPDATE t SET at = NULL; DELETE FROM t;");
    wait_until("the changes", Duration::from_secs(60), || kafka.ends("p.public.t") == [3]);
}

#[test]
fn clickhouse_keeps_its_rows_when_it_is_stopped_or_killed() {
    let mut clickhouse = ClickHouse::start();
    clickhouse.query("CREATE DATABASE d ENGINE = Atomic");
    clickhouse.query("CREATE TABLE d.t (n UInt64) ENGINE = MergeTree ORDER BY n");
    clickhouse.query("INSERT INTO d.t SETTINGS async_insert = 0 SELECT number FROM numbers(10)");
    clickhouse.stop();
    clickhouse.restart();
    assert_eq!(clickhouse.query("SELECT count() FROM d.t").trim(), "10");
    clickhouse.kill();
    clickhouse.restart();
    assert_eq!(clickhouse.query("SELECT count() FROM d.t").trim(), "10");
}
