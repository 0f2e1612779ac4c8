//! `examples/orders`: four tables of a shop, envelopes with schema, hourly aggregates and figures.

use std::fs;

use harness::clickhouse::User;
use harness::place;

use super::figures::{self, Begins, Phase, Watched};
use super::world::{Column, Source, World, while_busy};

const NAME: &str = "orders";
const FILES: [&str; 3] =
    ["schemas/postgres/inventory.sql", "examples/orders/source.sql", "examples/orders/changes.sql"];
const TABLES: [&str; 4] = ["customers", "products", "orders", "shipments"];
const WATCHED: Watched = Watched { table: "orders_final", begins: Begins::Commit };
/// Changes before the snapshot.
const BEFORE: u64 = 1000;

const HISTORY: [Column; 14] = [
    ("operation", "operation", "operation"),
    (
        "operation_name",
        "CASE operation WHEN 'c' THEN 'INSERT' WHEN 'u' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'READ' END",
        "operation_name",
    ),
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

const CUSTOMERS: [Column; 5] = [
    ("id", "id", "toString(id)"),
    ("first_name", "trim(first_name)", "first_name"),
    ("last_name", "trim(last_name)", "last_name"),
    ("email", "lower(trim(email))", "email"),
    ("created_at", "to_char(created_at, 'YYYY-MM-DD HH24:MI:SS.US')", "toString(created_at)"),
];

const PRODUCTS: [Column; 7] = [
    ("id", "id", "toString(id)"),
    ("name", "name", "name"),
    ("description", "description", "description"),
    ("weight", "(weight * 1000)::bigint", "toString(toInt64(weight * 1000))"),
    ("price", "price", "toDecimalString(price, 2)"),
    ("tags", "array_to_string(coalesce(tags, '{}'), ',')", "arrayStringConcat(tags, ',')"),
    ("attributes", "attributes::text", "attributes"),
];

const SHIPMENTS: [Column; 4] = [
    ("order_id", "order_id", "toString(order_id)"),
    ("line", "line", "toString(line)"),
    ("carrier", "trim(carrier)", "carrier"),
    ("shipped_at", "to_char(shipped_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "toString(shipped_at)"),
];

const HOURLY: [Column; 7] = [
    ("hour", "to_char(period, 'YYYY-MM-DD HH24:MI:SS')", "toString(hour)"),
    ("operation", "operation", "operation"),
    ("changes", "count(*)", "toString(changes)"),
    ("pieces", "sum(quantity)", "toString(pieces)"),
    ("amount", "sum(total_amount)", "toDecimalString(amount, 2)"),
    ("customers", "count(DISTINCT purchaser)", "toString(customers)"),
    ("products", "count(DISTINCT product_id)", "toString(products)"),
];

/// `amount` of an order that was not cancelled.
const REVENUE: &str =
    "coalesce(sum(total_amount) FILTER (WHERE status IS DISTINCT FROM 'CANCELLED'), 0)::numeric(38,2)";

const BY_DAY: [Column; 5] = [
    ("order_date", "order_date", "toString(order_date)"),
    ("orders", "count(*)", "toString(orders)"),
    ("cancelled", "count(*) FILTER (WHERE status = 'CANCELLED')", "toString(cancelled)"),
    ("revenue", REVENUE, "toDecimalString(revenue, 2)"),
    ("customers", "count(DISTINCT purchaser)", "toString(customers)"),
];

const BY_CUSTOMER: [Column; 6] = [
    ("customer_id", "c.id", "toString(customer_id)"),
    ("customer", "trim(trim(first_name) || ' ' || trim(last_name))", "customer"),
    ("orders", "count(*)", "toString(orders)"),
    ("revenue", REVENUE, "toDecimalString(revenue, 2)"),
    ("first_order", "min(order_date)", "toString(first_order)"),
    ("last_order", "max(order_date)", "toString(last_order)"),
];

const BY_PRODUCT: [Column; 7] = [
    ("product_id", "p.id", "toString(product_id)"),
    ("product", "p.name", "product"),
    ("price", "p.price", "toDecimalString(price, 2)"),
    ("orders", "count(o.id)", "toString(orders)"),
    ("pieces", "coalesce(sum(quantity), 0)", "toString(pieces)"),
    ("revenue", REVENUE, "toDecimalString(revenue, 2)"),
    ("customers", "count(DISTINCT purchaser)", "toString(customers)"),
];

#[test]
fn a_shop_with_schema() {
    if figures::whole_volume() {
        return at_volume();
    }
    // GIVEN a shop at work, of which the connector takes a snapshot, an engine, and gold on what it makes
    let reader = user("orders_reader");
    let mut world = World::with_users(NAME, std::slice::from_ref(&reader));
    let source = source(&world);
    world.kafka.create_topic("postgres-server", 1);
    let engine = world.start();
    world.wait_for_rows(WATCHED.table, BEFORE / 4);
    world.apply("gold/orders");

    // WHEN it goes on, and meanwhile the engine is killed, and ClickHouse is; and a topic beside the tables' gets what
    // connectors of other databases write there
    let producer = world.kafka.producer();
    producer.send("postgres-server", 0, "{}", Some(SCHEMA_CHANGE));
    producer.flush();
    let engine = while_busy(
        || change(&source, BEFORE + 1, BEFORE + 3000, 500),
        || world.kill_both(engine, WATCHED.table, [1000, 2000]),
    );

    // THEN silver is the source's, and gold what the source computes.
    wait_for_silver(&world, &source);
    wait_for_bronze(&world);
    engine.terminate();
    assert_silver(&world, &source);
    assert_gold(&world, &source);
    assert_bronze(&world);
    assert_stored(&world);
    assert_roles(&world, &reader);
}

fn at_volume() {
    let world = World::new(NAME);
    let source = source(&world);
    let engine = world.start();
    world.wait_for_rows(WATCHED.table, source.accounted("orders"));
    world.apply("gold/orders");
    let (orders, changes) = (100_000, 30_000);
    let measure =
        |name, events, load: &(dyn Fn() + Sync)| Phase::measure(name, &world, &engine, WATCHED, (events, events), load);
    let place = || drop(source.sql(&format!("CALL inventory.place_orders(7, 100001, {});", 100_000 + orders)));
    // Of five changes four are of orders, which are counted here.
    let steady = || change(&source, 200_001, 200_000 + changes, 800);
    let more = || change(&source, 200_001 + changes, 200_000 + 2 * changes, 1000);
    let phases = [
        measure("100,000 orders placed", orders, &place),
        measure("1,000 changes/s", changes, &steady),
        measure("1,250 changes/s", changes, &more),
    ];
    wait_for_silver(&world, &source);
    wait_for_bronze(&world);
    engine.terminate();
    assert_silver(&world, &source);
    assert_gold(&world, &source);
    let messages = TABLES.iter().map(|table| messages(&world, table)).sum();
    let counts = [
        ("messages, tombstones among them", messages),
        ("`bronze_inventory`", world.count("bronze_inventory")),
        ("`orders_final`", world.count("orders_final")),
        ("`orders_current`", world.count("orders_current")),
        ("`customers_current`, `products_current`, `shipments_current`", {
            ["customers", "products", "shipments"].iter().map(|table| world.count(&format!("{table}_current"))).sum()
        }),
        ("`orders_hourly_agg`", world.count("orders_hourly_agg")),
        ("dead letters", world.count("dead_letters")),
    ];
    figures::print(NAME, &counts, &phases, "100,000 orders in 300 s, 333/s mean, 450/s peak, 2–8 s end to end");
}

/// A shop that has been at work for a while, and a connector that begins with a snapshot of it.
fn source(world: &World) -> Source {
    let source = Source::new(&world.kafka, NAME, &FILES);
    change(&source, 1, BEFORE, 0);
    source.keep_account("inventory", "orders");
    source.connect();
    source
}

/// Changes by the example's generator; 0 a second: as fast as the source can.
fn change(source: &Source, first: u64, last: u64, per_second: u64) {
    source.sql(&format!("CALL inventory.change_shop(7, {first}, {last}, {per_second});"));
}

fn topic(table: &str) -> String {
    format!("postgres-server.inventory.{table}")
}

/// What MySQL's connector writes to the topic of its prefix.
const SCHEMA_CHANGE: &str = "{\"source\":{\"server\":\"postgres-server\"},\"ts_ms\":1,\"databaseName\":\"inventory\",\
                             \"ddl\":\"CREATE TABLE orders (id INT)\",\"tableChanges\":[]}";

/// The last change of one table says nothing of the others.
fn wait_for_silver(world: &World, source: &Source) {
    world.wait_for_rows("orders_final", source.accounted("orders"));
    world.wait_until_same(source, &CUSTOMERS, "inventory.customers", "customers_current");
    world.wait_until_same(source, &PRODUCTS, "inventory.products", "products_current");
    world.wait_until_same(source, &SHIPMENTS, "inventory.shipments", "shipments_current");
}

/// Bronze is in no hurry: its rows are gathered for longer.
fn wait_for_bronze(world: &World) {
    for table in TABLES {
        world.wait_for_rows(&bronze_of(table), messages(world, table));
    }
}

/// What the connector has written of a table.
fn messages(world: &World, table: &str) -> u64 {
    world.kafka.ends(&topic(table)).iter().sum::<i64>().cast_unsigned()
}

fn bronze_of(table: &str) -> String {
    format!("bronze_inventory WHERE _topic = '{}'", topic(table))
}

fn assert_silver(world: &World, source: &Source) {
    world.assert_same(source, &HISTORY, "account.orders", "orders_final");
    world.assert_same(source, &HISTORY[2..], "inventory.orders", "orders_current");
    world.assert_same(source, &CUSTOMERS, "inventory.customers", "customers_current");
    world.assert_same(source, &PRODUCTS, "inventory.products", "products_current");
    world.assert_same(source, &SHIPMENTS, "inventory.shipments", "shipments_current");
    world.assert_no_dead_letters();
    let deletes = world.count("orders_final WHERE operation_name = 'DELETE'");
    assert!(deletes > 100, "{deletes} deletes");
}

fn assert_gold(world: &World, source: &Source) {
    let changes = |unit: &str| {
        format!(
            "(SELECT *, date_trunc('{unit}', coalesce(order_time, order_date)) AS period FROM account.orders) t \
             GROUP BY period, operation"
        )
    };
    world.assert_same(source, &HOURLY, &changes("hour"), "orders_hourly_agg");
    let mut daily = HOURLY;
    daily[0] = ("day", "period::date", "toString(day)");
    world.assert_same(source, &daily, &changes("day"), "orders_daily_agg");
    world.assert_same(source, &BY_DAY, "inventory.orders GROUP BY order_date", "kpi_orders_by_day");
    let customers = "inventory.orders o JOIN inventory.customers c ON c.id = o.purchaser GROUP BY c.id";
    world.assert_same(source, &BY_CUSTOMER, customers, "kpi_customers");
    let products = "inventory.products p LEFT JOIN inventory.orders o ON p.id = o.product_id GROUP BY p.id";
    world.assert_same(source, &BY_PRODUCT, products, "kpi_products");

    let plan = world.clickhouse.query_in("silver", "EXPLAIN SELECT day, customers FROM orders_daily_agg");
    assert!(plan.contains("ReadFromMergeTree (by_hour)"), "days are made of hours:\n{plan}");
    let number = |query: &str| world.clickhouse.query_in("silver", query).trim().parse::<u64>().expect("a number");
    // What a table of sums would say of a day's customers: each as often as they came in an hour.
    let hours = number("SELECT sum(customers) FROM orders_hourly_agg");
    let days = number("SELECT sum(customers) FROM orders_daily_agg");
    assert!(hours > days, "{hours} by hour, {days} by day: the test would not see sums of different customers");
    let measured = number("SELECT sum(changes) FROM kpi_latency_by_hour");
    assert_eq!(measured, world.count("orders_final WHERE operation != 'r'"));
}

/// Each message is there as it came, and those beside the tables' did no harm.
fn assert_bronze(world: &World) {
    for table in TABLES {
        assert_eq!(world.count(&bronze_of(table)), messages(world, table), "{table}");
    }
    assert_eq!(world.count("bronze_inventory WHERE _topic = 'postgres-server'"), 1);
    let heartbeats = world.count("bronze_inventory WHERE _topic = '__debezium-heartbeat.postgres-server'");
    assert!(heartbeats > 0, "the connector's heart beats every second");
}

/// Columns of the history are stored as the plugin says.
fn assert_stored(world: &World) {
    let columns = world.clickhouse.query(
        "SELECT name, type, compression_codec FROM system.columns WHERE database = 'silver' AND table = 'orders_final' \
         AND name IN ('order_time', 'purchaser', 'order_number', 'operation_name') ORDER BY name FORMAT CSV",
    );
    let expected = "\"operation_name\",\"LowCardinality(String)\",\"\"\n\
                    \"order_number\",\"Nullable(String)\",\"CODEC(ZSTD(1))\"\n\
                    \"order_time\",\"Nullable(DateTime64(6, 'UTC'))\",\"CODEC(DoubleDelta, ZSTD(1))\"\n\
                    \"purchaser\",\"Int32\",\"CODEC(T64, ZSTD(1))\"\n";
    assert_eq!(columns, expected);
}

/// A user that has the grants of a role in `schemas/clickhouse/access/orders.sql`: this server has no place for roles.
fn user(role: &str) -> User {
    let file = place::repository().join("schemas/clickhouse/access/orders.sql");
    let statements = fs::read_to_string(file).expect("roles");
    let to = format!(" TO {role};");
    let grants: Vec<_> = statements.lines().filter_map(|line| line.strip_suffix(&to)).map(str::to_owned).collect();
    assert!(!grants.is_empty(), "{role} has no grants");
    User { name: role.to_owned(), password: "secret".to_owned(), grants, policies: vec![] }
}

/// Readers see figures and orders, and neither addresses nor messages as they came; they change nothing.
fn assert_roles(world: &World, reader: &User) {
    for table in
        ["orders_daily_agg", "orders_history", "orders_current", "kpi_customers", "kpi_products", "kpi_orders_by_day"]
    {
        let query = format!("SELECT * FROM silver.{table} LIMIT 1");
        world.clickhouse.try_query_as(reader, &query).unwrap_or_else(|error| panic!("{query}: {error}"));
    }
    for statement in [
        "SELECT email FROM silver.customers_current",
        "SELECT value FROM silver.bronze_inventory",
        "SELECT * FROM silver.dead_letters",
        "INSERT INTO silver.products (id) VALUES (1)",
        "ALTER TABLE silver.orders DELETE WHERE 1",
        "DROP VIEW silver.orders_daily_agg",
    ] {
        let refused = world.clickhouse.try_query_as(reader, statement).expect_err(statement).to_string();
        assert!(refused.contains("ACCESS_DENIED"), "{statement}: {refused}");
    }
}
