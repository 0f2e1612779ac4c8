//! PostgreSQL → Debezium → Kafka → engine → ClickHouse: in the end the silver tables equal the source's tables.

use std::fmt::Write;
use std::fs;
use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::connect::{Connect, Writing, postgres_connector};
use harness::engine::Setup;
use harness::kafka::Kafka;
use harness::orders;
use harness::place;
use harness::postgres::Postgres;
use harness::rows::{Rows, difference, rows_of_json_lines};
use harness::wait::wait_for;

const DATABASE: &str = "silver";
const SOURCE: &str = "commerce";
const USERS_TOPIC: &str = "postgres.public.users";
const ARRIVAL: Duration = Duration::from_secs(180);

/// A column of both databases: its name, and the expressions that give it the same text form in each.
type Column = (&'static str, &'static str, &'static str);

const ORDERS: [Column; 12] = [
    ("id", "id", "toString(id)"),
    ("order_number", "order_number", "order_number"),
    ("order_date", "order_date", "toString(order_date)"),
    ("order_time", "to_char(order_time, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(order_time)"),
    ("purchaser", "purchaser", "toString(purchaser)"),
    ("quantity", "quantity", "toString(quantity)"),
    ("product_id", "product_id", "toString(product_id)"),
    ("unit_price", "unit_price", "toDecimalString(unit_price, 2)"),
    ("total_amount", "total_amount", "toDecimalString(total_amount, 2)"),
    ("status", "status", "status"),
    ("created_at", "to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(created_at)"),
    ("updated_at", "to_char(updated_at, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(updated_at)"),
];

const USERS: [Column; 5] = [
    ("user_id", "user_id", "toString(user_id)"),
    ("full_name", "full_name", "full_name"),
    ("email", "email", "email"),
    ("created_at", "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "toString(created_at)"),
    ("updated_at", "to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "toString(updated_at)"),
];

struct World {
    // First, so that it is ended first: without its broker it would fill the output with complaints.
    _connect: Connect,
    postgres: Postgres,
    kafka: Kafka,
    clickhouse: ClickHouse,
    setup: Setup,
}

impl World {
    /// Tables with rows, then connectors that begin with a snapshot of them.
    fn new(orders: Writing) -> Self {
        let postgres = Postgres::start();
        postgres.sql("postgres", &format!("CREATE DATABASE {SOURCE};"));
        for file in ["inventory.sql", "users.sql"] {
            let statements = fs::read_to_string(place::repository().join("schemas/postgres").join(file));
            postgres.sql(SOURCE, &statements.expect("the tables' statements"));
        }
        postgres.sql(SOURCE, BEFORE_THE_SNAPSHOT);
        let kafka = Kafka::with_partitions(3);
        let connect = Connect::start(&kafka);
        let connector = |prefix, table, writing| {
            connect.register(prefix, &postgres_connector(postgres.port(), SOURCE, prefix, &[table], writing));
        };
        connector("postgres-server", "inventory.orders", orders);
        connector("postgres", "public.users", Writing::Flat);
        let clickhouse = ClickHouse::start();
        let setup = Setup::new(&clickhouse.http_url(), DATABASE).with(&["--kafka", &kafka.address()]);
        Self { _connect: connect, postgres, kafka, clickhouse, setup }
    }

    /// What differs now between a source table and its silver table; `None`: nothing.
    fn differs(&self, columns: &[Column], key: &str, source: &str, silver: &str) -> Option<String> {
        let names: Vec<_> = columns.iter().map(|column| column.0).collect();
        let source_columns: Vec<_> = columns.iter().map(|column| column.1).collect();
        let expected = self.postgres.rows(SOURCE, &source_columns, &format!("{source} ORDER BY {key}"));
        match self.silver_rows(columns, &format!("{silver} ORDER BY {key}")) {
            Some(found) => difference(&names, &expected, &found),
            None => Some(format!("no table {silver} yet")),
        }
    }

    fn silver_rows(&self, columns: &[Column], from: &str) -> Option<Rows> {
        let mut query = String::from("SELECT ");
        for (index, column) in columns.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(query, "{comma}{}", column.2).expect("a String takes all");
        }
        let text = self.clickhouse.try_query(&format!("{query} FROM {DATABASE}.{from} FORMAT JSONCompactEachRow"));
        text.ok().map(|text| rows_of_json_lines(&text))
    }

    fn wait_until_equal(&self) {
        wait_for("silver tables to equal the source", ARRIVAL, || self.equal());
    }

    fn equal(&self) -> Result<(), String> {
        let users = self.differs(&USERS, "user_id", "public.users", "silver_users_current");
        let orders = self.differs(&ORDERS, "id", "inventory.orders", "orders_current");
        match users.or(orders) {
            Some(words) => Err(words),
            None => Ok(()),
        }
    }

    fn number(&self, query: &str) -> i64 {
        let text = self.clickhouse.query(query);
        text.trim().parse().unwrap_or_else(|_| panic!("{query}: {text}"))
    }
}

/// Values at the edges of their types, and enough rows that the snapshot is more than one batch of Debezium's.
const BEFORE_THE_SNAPSHOT: &str = "
INSERT INTO inventory.orders (order_date, order_time, purchaser, quantity, product_id, unit_price, status, created_at, updated_at) VALUES
  ('1970-01-01', '1970-01-01 00:00:00', 1, 1, 1, 0.00, 'PENDING', NULL, NULL),
  ('2024-02-29', '2024-02-29 23:59:59.999999', 2, 100, 3, 99999999.99, 'DELIVERED', '1969-12-31 23:59:59.999999', '2200-01-01 00:00:00.000001'),
  ('2000-01-01', NULL, 3, 2147483647, 2, -0.01, NULL, '1999-12-31 23:59:59.5', '2000-01-01 00:00:00');
INSERT INTO inventory.orders (order_date, purchaser, quantity, product_id, unit_price, order_time)
  SELECT date '2025-01-01' + n % 365, 1 + n % 3, 1 + n % 9, 1 + n % 3, n * 0.37, timestamp '2025-01-01' + n * interval '61.000007 seconds'
  FROM generate_series(1, 3000) n;
INSERT INTO public.users (full_name, email, created_at, updated_at)
  SELECT 'User ' || n, 'user' || n || '@example.com', timestamptz '2025-01-01 00:00:00+01' + n * interval '1.000001 seconds', now()
  FROM generate_series(1, 2000) n;
";

const WHILE_THE_ENGINE_RUNS: &str = "
INSERT INTO inventory.orders (purchaser, quantity, product_id, unit_price) SELECT 1 + n % 3, 1 + n % 5, 1 + n % 3, n / 100.0 FROM generate_series(1, 500) n;
UPDATE inventory.orders SET status = 'CONFIRMED', updated_at = clock_timestamp() WHERE id % 3 = 0;
UPDATE inventory.orders SET unit_price = 0.10, quantity = 3 WHERE id = 1;
DELETE FROM inventory.orders WHERE id % 7 = 0;
UPDATE public.users SET full_name = 'Çağla Öztürk-Łukasz', updated_at = clock_timestamp() WHERE user_id = 3;
DELETE FROM public.users WHERE user_id % 11 = 0;
-- The key of a row changes: the old one goes, a new one comes.
UPDATE inventory.orders SET id = 100000 WHERE id = 2;
UPDATE public.users SET user_id = 100000 WHERE user_id = 4;
-- Several changes of one row in one transaction, and one that never was.
BEGIN;
INSERT INTO public.users (user_id, full_name, email) VALUES (200000, 'Eve', 'eve@example.com');
UPDATE public.users SET full_name = 'Eve Two' WHERE user_id = 200000;
UPDATE inventory.orders SET status = 'SHIPPED' WHERE id = 1;
UPDATE inventory.orders SET status = 'DELIVERED' WHERE id = 1;
COMMIT;
BEGIN;
DELETE FROM public.users;
ROLLBACK;
";

const WHILE_IT_IS_STOPPED: &str = "
UPDATE inventory.orders SET quantity = quantity + 1 WHERE id BETWEEN 10 AND 200;
DELETE FROM public.users WHERE user_id = 200000;
-- A key that was deleted comes back.
INSERT INTO public.users (user_id, full_name, email) VALUES (200000, 'Eve Three', 'eve3@example.com');
UPDATE inventory.orders SET id = 2 WHERE id = 100000;
";

const AFTER_A_CRASH: &str = "
UPDATE inventory.orders SET status = 'CANCELLED' WHERE id % 2 = 0;
INSERT INTO inventory.orders (purchaser, quantity, product_id, unit_price) VALUES (1, 1, 1, 12345678.90);
DELETE FROM inventory.orders WHERE id BETWEEN 500 AND 600;
UPDATE public.users SET updated_at = '2025-07-21 12:34:56.789012+02' WHERE user_id % 5 = 0;
";

fn silver_equals_source(writing: Writing) {
    // GIVEN tables with rows, an engine that follows them from the snapshot on
    let world = World::new(writing);
    let mut engine = world.setup.start();
    engine.wait_until_up();

    // WHEN they change while it runs,
    world.postgres.sql(SOURCE, WHILE_THE_ENGINE_RUNS);
    world.wait_until_equal();
    // while it is stopped,
    engine.terminate();
    world.postgres.sql(SOURCE, WHILE_IT_IS_STOPPED);
    assert!(world.equal().is_err(), "nobody could have carried these changes");
    let engine = world.setup.start();
    world.wait_until_equal();
    // and around a crash,
    world.postgres.sql(SOURCE, AFTER_A_CRASH);
    engine.kill();
    let engine = world.setup.start();
    world.wait_until_equal();
    engine.terminate();

    // THEN the tables are equal, and stay it when all is read to the end,
    let mut engine = world.setup.start_with(&["--until-idle"]);
    assert!(engine.wait(ARRIVAL).success());
    world.equal().unwrap_or_else(|words| panic!("{words}"));
    // the history holds each message but the tombstones, one for each delete,
    let history = format!("FROM {DATABASE}.orders_final");
    let changes = world.number(&format!("SELECT uniqExact(_partition, _offset) {history}"));
    let deletes = world.number(&format!("SELECT uniqExact(_partition, _offset) {history} WHERE _op = 'd'"));
    assert!(deletes > 500, "{deletes} deletes");
    assert_eq!(changes + deletes, world.kafka.ends(orders::TOPIC).iter().sum::<i64>());
    // and no message was set aside.
    assert_eq!(world.number(&format!("SELECT count() FROM {DATABASE}.dead_letters")), 0);
    assert!(world.kafka.ends(USERS_TOPIC).iter().all(|&end| end > 0), "users lie in all partitions");
}

#[test]
fn silver_equals_source_with_plain_envelopes() {
    silver_equals_source(Writing::Envelope);
}

#[test]
fn silver_equals_source_with_embedded_schemas() {
    silver_equals_source(Writing::EnvelopeWithSchema);
}
