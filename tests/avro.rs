//! PostgreSQL → Debezium → Avro converter and schema registry → Kafka → engine → ClickHouse: the silver table equals the
//! source's, over a change of schema in mid-stream and without the registry.

use std::time::Duration;

use harness::clickhouse::ClickHouse;
use harness::connect::{Connect, Writing, postgres_connector};
use harness::engine::{Engine, Plugin, Setup};
use harness::kafka::Kafka;
use harness::place;
use harness::postgres::Postgres;
use harness::registry::Registry;
use harness::rows::{difference, rows_of_json_lines};
use harness::wait::wait_for;

const DATABASE: &str = "avro";
const SOURCE: &str = "commerce";
const TOPIC: &str = "avro.inventory.orders";
const ARRIVAL: Duration = Duration::from_secs(60);

const SETTINGS: &str = "topics = [\"avro.inventory.orders\"]\n";
const PLUGINS: [Plugin<'static>; 2] = [
    Plugin { name: "orders", settings: SETTINGS, artifact: Some("orders") },
    // Declares the key alone: all other columns are the rest of the row.
    Plugin { name: "mirror", settings: SETTINGS, artifact: Some("mirror") },
];

/// A column of both databases: the expressions that give it the same text form in each.
const COLUMNS: [(&str, &str); 10] = [
    ("id", "toString(id)"),
    ("order_number", "order_number"),
    ("order_date", "toString(order_date)"),
    ("to_char(order_time, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(order_time)"),
    ("quantity", "toString(quantity)"),
    ("unit_price", "toDecimalString(unit_price, 2)"),
    ("total_amount", "toDecimalString(total_amount, 2)"),
    ("status", "status"),
    ("to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(created_at)"),
    ("to_char(updated_at, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(updated_at)"),
];

/// No null in a column that has a default: the converter writes the default in its place, and the null is lost for good.
const FIRST: &str = "
INSERT INTO inventory.orders (order_date, order_time, purchaser, quantity, product_id, unit_price, status, created_at, updated_at) VALUES
  ('1970-01-01', '1970-01-01 00:00:00', 1, 1, 1, 0.00, 'PENDING', '1970-01-01 00:00:00', NULL),
  ('2024-02-29', '2024-02-29 23:59:59.999999', 2, 100, 3, 99999999.99, 'DELIVERED', '1969-12-31 23:59:59.999999', '2200-01-01 00:00:00.000001'),
  ('2000-01-01', '1999-12-31 23:59:59.5', 3, 2147483647, 2, -0.01, 'SHIPPED', '1999-12-31 23:59:59.5', '2000-01-01 00:00:00');
INSERT INTO inventory.orders (order_date, purchaser, quantity, product_id, unit_price, order_time)
  SELECT date '2025-01-01' + n % 365, 1 + n % 3, 1 + n % 9, 1 + n % 3, n * 0.37, timestamp '2025-01-01' + n * interval '61.000007 seconds'
  FROM generate_series(1, 1000) n;
";

const CHANGES: &str = "
UPDATE inventory.orders SET status = 'CONFIRMED', updated_at = clock_timestamp() WHERE id % 3 = 0;
DELETE FROM inventory.orders WHERE id % 7 = 0;
UPDATE inventory.orders SET id = 100000 WHERE id = 2;
";

/// From here on the topic's messages have another schema.
const ANOTHER_SCHEMA: &str = "
ALTER TABLE inventory.orders ADD COLUMN note text NOT NULL DEFAULT 'none', ADD COLUMN weight double precision;
UPDATE inventory.orders SET note = 'heavy', weight = 12.5, quantity = quantity + 1 WHERE id BETWEEN 10 AND 200;
INSERT INTO inventory.orders (purchaser, quantity, product_id, unit_price, weight) VALUES (1, 1, 1, 12345678.90, 0.1);
";

const WITHOUT_THE_REGISTRY: &str = "
UPDATE inventory.orders SET status = 'CANCELLED' WHERE id % 2 = 0;
DELETE FROM inventory.orders WHERE id BETWEEN 300 AND 400;
";

struct World {
    _connect: Connect,
    registry: Registry,
    postgres: Postgres,
    kafka: Kafka,
    clickhouse: ClickHouse,
    setup: Setup,
}

impl World {
    fn new() -> Self {
        let mut registry = Registry::start();
        let postgres = Postgres::start();
        postgres.sql("postgres", &format!("CREATE DATABASE {SOURCE};"));
        let tables = std::fs::read_to_string(place::repository().join("schemas/postgres/inventory.sql"));
        postgres.sql(SOURCE, &tables.expect("the tables' statements"));
        postgres.sql(SOURCE, FIRST);
        let kafka = Kafka::with_partitions(2);
        let connect = Connect::start(&kafka);
        registry.wait_until_up();
        let mut connector =
            postgres_connector(postgres.port(), SOURCE, "avro", &["inventory.orders"], Writing::Envelope);
        for (key, value) in ["key", "value"].into_iter().flat_map(|of| registry.converter(of)) {
            connector[key] = value;
        }
        connect.register("avro", &connector);
        let clickhouse = ClickHouse::start();
        let setup = Setup::new(&clickhouse.http_url(), DATABASE)
            .with(&["--kafka", &kafka.address(), "--set", &format!("registry.url={}", registry.url())])
            .with_plugins(&PLUGINS);
        Self { _connect: connect, registry, postgres, kafka, clickhouse, setup }
    }

    fn wait_until_equal(&self, engine: &mut Engine) {
        wait_for("the silver table to equal the source", ARRIVAL, || {
            assert!(engine.runs(), "the engine ended");
            self.equal().map_err(|words| format!("{words}; {}", engine.health()))
        });
    }

    fn equal(&self) -> Result<(), String> {
        let (source, silver): (Vec<_>, Vec<_>) = COLUMNS.into_iter().unzip();
        let expected = self.postgres.rows(SOURCE, &source, "inventory.orders ORDER BY id");
        let query = format!("SELECT {} FROM {DATABASE}.orders_current ORDER BY id", silver.join(", "));
        let text = self.clickhouse.try_query(&format!("{query} FORMAT JSONCompactEachRow"));
        let found = rows_of_json_lines(&text.map_err(|error| error.to_string())?);
        difference(&source, &expected, &found).map_or(Ok(()), Err)
    }

    /// The columns that were added, in the table of a plugin that does not know them.
    fn mirrored(&self) -> Result<(), String> {
        let source = "SELECT count(*) || ' ' || sum(unit_price) || ' ' || coalesce(sum(weight), 0) || ' ' || \
                      count(*) FILTER (WHERE note = 'heavy') FROM inventory.orders WHERE id BETWEEN 10 AND 200 OR weight = 0.1";
        let expected = self.postgres.rows(SOURCE, &["text"], &format!("({source}) AS sums (text)"));
        let text = |name: &str| format!("JSONExtractString(fields, '{name}')");
        let weight = "toDecimal64(JSONExtractRaw(fields, 'weight'), 1)";
        let query = format!(
            "SELECT count(), toDecimalString(sum(toDecimal64({}, 2)), 2), toDecimalString(sum({weight}), 1), \
             countIf({} = 'heavy') FROM {DATABASE}.silver_mirror_current WHERE JSONHas(fields, 'weight')",
            text("unit_price"),
            text("note"),
        );
        let found = self.clickhouse.try_query(&query).map_err(|error| error.to_string())?;
        let found = found.trim().replace('\t', " ");
        if expected == [[Some(found.clone())]] { Ok(()) } else { Err(format!("{expected:?}, found {found}")) }
    }

    fn number(&self, query: &str) -> i64 {
        let text = self.clickhouse.query(query);
        text.trim().parse().unwrap_or_else(|_| panic!("{query}: {text}"))
    }
}

#[test]
fn silver_equals_source_with_avro_and_without_the_registry() {
    // GIVEN a snapshot and changes in Avro, and an engine that knows the registry
    let mut world = World::new();
    let mut engine = world.setup.start();
    engine.wait_until_up();
    world.postgres.sql(SOURCE, CHANGES);
    world.wait_until_equal(&mut engine);

    // WHEN the table gets columns in mid-stream, THEN messages of both schemas are read
    world.postgres.sql(SOURCE, ANOTHER_SCHEMA);
    world.wait_until_equal(&mut engine);
    // and what changed is said in words.
    wait_for("the change to be said", ARRIVAL, || {
        let health = engine.health();
        let said = health.contains("column note was added (Utf8), the plugin does not read it");
        if said { Ok(()) } else { Err(health) }
    });
    // and where a plugin passes on what it does not declare, the new columns are in its table.
    wait_for("the new columns in the mirror", ARRIVAL, || world.mirrored());
    let health = engine.health();
    let said = "column note was added (Utf8), it goes to the table in fields, with the rest of the row";
    assert!(health.contains(said), "{health}");
    let changes = engine.metrics().expect("metrics").sum("engine_schema_changes_total", &[("plugin", "orders")]);
    // A generated column is in the snapshot and not in the stream: that was the first. Two partitions say it once.
    assert!((changes - 2.0).abs() < 0.5, "{changes} changes");

    // WHEN the engine is killed while it works, the registry goes away for good, and the topic gets more of a known schema,
    world.postgres.sql(SOURCE, "UPDATE inventory.orders SET updated_at = clock_timestamp();");
    engine.kill();
    world.registry.stop();
    world.postgres.sql(SOURCE, WITHOUT_THE_REGISTRY);
    // THEN the next start makes its open epochs again and goes on, without asking anybody
    let mut engine = world.setup.start();
    world.wait_until_equal(&mut engine);

    // WHEN a message comes whose schema nobody knows, THEN its lane waits and says for what,
    let producer = world.kafka.producer();
    producer.send(TOPIC, 0, "key", Some("\0\0\0\u{27}\u{0f}datum")); // a zero byte, 9999 in four, a datum
    producer.flush();
    wait_for("the lane to say what it waits for", ARRIVAL, || {
        let health = engine.health();
        if health.contains("schema 9999") && health.contains("degraded") { Ok(()) } else { Err(health) }
    });
    assert_eq!(world.number(&format!("SELECT count() FROM {DATABASE}.dead_letters")), 0);
    engine.terminate();

    // and once a registry answers that it has no such schema, it is a dead letter.
    let mut other = Registry::start();
    other.wait_until_up();
    let url = format!("registry.url={}", other.url());
    let mut engine = world.setup.start_with(&["--set", &url]);
    wait_for("a dead letter of each plugin", ARRIVAL, || {
        let letters =
            world.clickhouse.query(&format!("SELECT code, count() FROM {DATABASE}.dead_letters GROUP BY code"));
        if letters.trim() == "unknown_schema\t2" { Ok(()) } else { Err(format!("{letters}; {}", engine.health())) }
    });
    assert!(engine.runs());
    world.equal().unwrap_or_else(|words| panic!("{words}"));
    engine.terminate();
}
