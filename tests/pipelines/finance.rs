//! `examples/finance`: payments by card in Avro, beside reference data that changes meanwhile.
//!
//! PostgreSQL computes what silver and gold have to be, from its own tables and a trigger's account of every change
//! (`finance/expected.sql`, `finance/account.sql`).

mod dashboard;

use std::fs;
use std::process::Command;

use harness::engine::{Engine, program};
use harness::place;
use harness::registry::Registry;
use harness::wait::wait_for;

use super::figures::{self, Begins, Phase, Watched};
use super::world::{ARRIVAL, Column, DATABASE, Source, World, same, while_busy};

const NAME: &str = "finance";
const FILES: [&str; 3] =
    ["examples/finance/source.sql", "examples/finance/generator.sql", "tests/pipelines/finance/expected.sql"];
const ACCOUNT: &str = "tests/pipelines/finance/account.sql";
const TABLES: [&str; 4] = ["merchants", "accounts", "networks", "transactions"];
const WATCHED: Watched = Watched { table: "bookings", begins: Begins::Commit };
const PARTITIONS: i32 = 3;
/// Accounts of the small run.
const FEW: u32 = 1234;
/// Payments before the snapshot.
const BEFORE: u64 = 500;

const BOOKINGS: [Column; 9] = [
    ("sign", "sign", "toString(sign)"),
    ("transaction_id", "transaction_id", "toString(transaction_id)"),
    ("account_id", "account_id", "toString(account_id)"),
    ("merchant_id", "merchant_id", "toString(merchant_id)"),
    ("amount", "amount", "toDecimalString(amount, 2)"),
    ("currency", "currency", "currency"),
    ("status", "status", "status"),
    ("ip", "ip", "ip"),
    ("occurred_at", OCCURRED_AT, "toString(occurred_at)"),
];

const OCCURRED_AT: &str = "to_char(occurred_at, 'YYYY-MM-DD HH24:MI:SS.US')";

/// Payments with what is known of account, merchant and address.
const ENRICHED: [Column; 17] = [
    ("transaction_id", "transaction_id", "toString(transaction_id)"),
    ("occurred_at", OCCURRED_AT, "toString(occurred_at)"),
    ("account_id", "account_id", "toString(account_id)"),
    ("account_segment", "account_segment", "account_segment"),
    ("account_country", "account_country", "account_country"),
    ("merchant_id", "merchant_id", "toString(merchant_id)"),
    ("merchant_name", "merchant_name", "merchant_name"),
    ("merchant_category", "merchant_category", "merchant_category"),
    ("card_issuer", "card_issuer", "card_issuer"),
    ("card_last_four", "card_last_four", "card_last_four"),
    ("amount", "amount", "toDecimalString(amount, 2)"),
    ("currency", "currency", "currency"),
    ("status", "status", "status"),
    ("decline_reason", "decline_reason", "decline_reason"),
    ("channel", "channel", "channel"),
    ("ip", "host(address)", "ip"),
    ("ip_country", "ip_country", "ip_country"),
];

const VOLUME: Column = ("volume", "count(*)", "toString(volume)");
const DECLINES: Column = ("declines", "count(*) FILTER (WHERE status = 'DECLINED')", "toString(declines)");
const REVERSALS: Column = ("reversals", "count(*) FILTER (WHERE status = 'REVERSED')", "toString(reversals)");
const APPROVED: Column = ("approved_amount", "sum(approved)::numeric(38, 2)", "toDecimalString(approved_amount, 2)");
const LOST: Column = ("lost_amount", "sum(lost)::numeric(38, 2)", "toDecimalString(lost_amount, 2)");
const CURRENCY: Column = ("currency", "currency", "currency");
const DAY: Column = ("day", "day::date", "toString(day)");

/// A view of gold, its columns, and where the source has them from.
type Gold = (&'static str, &'static [Column], &'static str);
const GOLD: [Gold; 5] = [
    (
        "payments_by_minute",
        &[
            ("minute", "to_char(minute, 'YYYY-MM-DD HH24:MI:SS')", "toString(minute)"),
            CURRENCY,
            VOLUME,
            DECLINES,
            REVERSALS,
            APPROVED,
        ],
        "expected.payments GROUP BY minute, currency",
    ),
    (
        "payments_by_merchant",
        &[
            DAY,
            ("merchant_id", "merchant_id", "toString(merchant_id)"),
            ("merchant", "merchant_name", "merchant"),
            ("category", "merchant_category", "category"),
            CURRENCY,
            VOLUME,
            DECLINES,
            APPROVED,
            LOST,
        ],
        "expected.payments GROUP BY day, merchant_id, merchant_name, merchant_category, currency",
    ),
    (
        "payments_by_country",
        &[DAY, ("country", "ip_country", "country"), CURRENCY, VOLUME, DECLINES, APPROVED],
        "expected.payments GROUP BY day, ip_country, currency",
    ),
    (
        "payments_by_account",
        &[
            DAY,
            ("account_id", "account_id", "toString(account_id)"),
            ("segment", "account_segment", "segment"),
            CURRENCY,
            VOLUME,
            DECLINES,
            APPROVED,
        ],
        "expected.payments GROUP BY day, account_id, account_segment, currency",
    ),
    (
        "suspicious_accounts",
        &[
            ("hour", "to_char(hour, 'YYYY-MM-DD HH24:MI:SS')", "toString(hour)"),
            ("account_id", "account_id", "toString(account_id)"),
            ("reason", "reason", "reason"),
            ("evidence", "evidence", "evidence"),
        ],
        "expected.suspicious",
    ),
];

#[test]
fn finance() {
    if figures::whole_volume() {
        return at_volume();
    }
    // GIVEN tables, views over them that are there before any row, and a source of which the connector takes a snapshot
    let (mut world, _registry, source, engine) = begin();
    source.sql(&format!("CALL finance.fill_reference(7, {FEW});"));
    source.sql(&make(1, BEFORE, 0));
    source.sql(&read(ACCOUNT));
    source.connect();
    wait_for_snapshot(&world, &source);

    // WHEN payments are made, changed and deleted while merchants, accounts and networks change as well, and meanwhile the
    // engine is killed, and ClickHouse is
    let engine = while_busy(
        || drop(source.sql(&make(BEFORE + 1, BEFORE + 6000, 600))),
        || world.kill_both(engine, WATCHED.table, [1500, 3500]),
    );

    // THEN silver and gold are what the source makes of its own tables, to the last cent,
    assert_equal(&world, &source);
    // each booking is there, and what can't be booked is a dead letter,
    world.assert_same(&source, &BOOKINGS, "expected.bookings", "bookings");
    let dead = number(&source.sql("SELECT count(*) FROM expected.dead_letters"));
    assert_eq!(world.count("dead_letters"), dead, "dead letters");
    let spoilt = world.count("transactions_current WHERE isNotNull(fault)");
    assert!(dead > 10 && spoilt > 0, "{dead} dead letters, {spoilt} spoilt: the generator is to make some");
    // bronze has every message,
    assert_bronze(&world);
    // nobody can read a card's number in silver,
    assert_masked(&world, &source);
    // and each query of the dashboard has rows, for a user who can do nothing else.
    dashboard::check(&world);
    engine.terminate();
}

/// Five batches as the original makes them, then a second's thousand for half a minute.
fn at_volume() {
    const BATCH: u64 = 123_456;
    const STEADY: u64 = 30_000;
    let batches =
        |every| format!("CALL finance.run(7, batches => 5, every => '{every}', epoch => '2026-01-01 00:00:00+00');");
    let steady = |per_second| format!("CALL finance.make(7, {}, {}, {per_second});", 5 * BATCH + 1, 5 * BATCH + STEADY);
    let (world, _registry, source, engine) = begin();
    source.sql("CALL finance.fill_reference(7);");
    let expected = rehearsal(&source, &[batches("0"), steady(0)]);
    source.connect();
    wait_for_reference(&world, &source);

    let measure = |name, events, bookings, load: String| {
        let load = || drop(source.sql(&load));
        Phase::measure(name, &world, &engine, WATCHED, (events, bookings), load)
    };
    let phases = [
        measure("five batches, one every 24 s", 5 * BATCH, expected[0], batches("24 s")),
        measure("1,000 payments/s", STEADY, expected[1], steady(1000)),
    ];
    assert_equal(&world, &source);
    assert_bronze(&world);
    dashboard::check(&world);
    engine.terminate();
    let counts = [
        ("messages of all four topics", world.count("bronze_finance")),
        ("payments at the source", number(&source.sql("SELECT count(*) FROM finance.transactions"))),
        ("`bookings`", world.count("bookings")),
        ("`transactions_current`", world.count("transactions_current")),
        ("`minute_sums`, by minute, merchant, currency and status", world.count("minute_sums")),
        ("`hour_sums`, by hour, account, address, currency and status", world.count("hour_sums")),
        ("suspicious accounts", world.count("suspicious_accounts")),
        ("dead letters", world.count("dead_letters")),
    ];
    figures::print(NAME, &counts, &phases, "a batch of 123,456 payments every 24 s: 5,144/s; nothing said of latency");
}

/// Servers, a registry, an engine whose tables are there, the views over them, and a source with empty tables.
fn begin() -> (World, Registry, Source, Engine) {
    let mut registry = Registry::start();
    let mut world = World::with_users(NAME, &[dashboard::user()]);
    for table in TABLES {
        world.kafka.create_topic(&format!("bank.finance.{table}"), PARTITIONS);
    }
    let mut source = Source::new(&world.kafka, NAME, &FILES);
    registry.wait_until_up();
    for (key, value) in ["key", "value"].into_iter().flat_map(|of| registry.converter(of)) {
        assert!(source.connector.get(&key).is_some(), "connector.json has no {key}");
        source.connector[key] = value;
    }
    world.setup.arguments.extend(["--set".to_owned(), format!("registry.url={}", registry.url())]);
    let engine = world.start();
    wait_for("the engine's tables", ARRIVAL, || {
        let query = "SELECT count() FROM system.tables WHERE database = 'silver' AND name IN ('bookings', \
                     'transactions_current', 'dim_merchants_current', 'accounts_current', 'networks_current')";
        let tables = world.clickhouse.query(query);
        if tables.trim() == "5" { Ok(()) } else { Err(format!("{} tables; {}", tables.trim(), engine.health())) }
    });
    // To apply twice is to apply once.
    apply(&world);
    apply(&world);
    (world, registry, source, engine)
}

/// Makes dictionaries, views and projections as an operator does.
fn apply(world: &World) {
    let schemas = place::repository().join("schemas/clickhouse");
    let mut command = Command::new(program());
    command.args(["schema", "apply"]).args(["silver/finance", "gold/finance"].map(|folder| schemas.join(folder)));
    command.args(["--clickhouse", &world.clickhouse.http_url(), "--database", DATABASE]);
    let output = command.output().expect("the program runs");
    let words = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "engine schema apply: {}\n{words}", output.status);
}

/// The generator's call for a few payments: of some hours and few accounts, with news so often that there is some.
fn make(first: u64, last: u64, per_second: u32) -> String {
    format!(
        "CALL finance.make(7, {first}, {last}, {per_second}, news_every => 300, account_count => {FEW}, apart => '2 s');"
    )
}

/// How many bookings each of these calls brings about, by making them in another database, with a trigger that counts.
fn rehearsal(source: &Source, calls: &[String]) -> Vec<u64> {
    const REHEARSAL: &str = "rehearsal";
    let sql = |statements: &str| source.postgres.sql(REHEARSAL, statements);
    source.sql(&format!("CREATE DATABASE {REHEARSAL};"));
    FILES.iter().for_each(|file| drop(sql(&read(file))));
    sql("CALL finance.fill_reference(7);");
    sql(&read(ACCOUNT));
    let mut there = 0;
    let bookings = calls.iter().map(|call| {
        sql(call);
        let now = number(&sql("SELECT count(*) FROM expected.bookings"));
        let more = now - there;
        there = now;
        more
    });
    let bookings = bookings.collect();
    source.sql(&format!("DROP DATABASE {REHEARSAL};"));
    bookings
}

fn wait_for_reference(world: &World, source: &Source) {
    for (table, key) in [("accounts", "account_id"), ("networks", "network")] {
        let columns = [(key, key, key), ("country", "country", "country")];
        world.wait_until_same(source, &columns, &format!("finance.{table}"), &format!("{table}_current"));
    }
    let merchants = [("merchant_id", "merchant_id", "merchant_id"), ("category", "category", "category")];
    world.wait_until_same(source, &merchants, "finance.merchants", "dim_merchants_current WHERE is_current");
}

fn wait_for_snapshot(world: &World, source: &Source) {
    wait_for_reference(world, source);
    let bookings = number(&source.sql("SELECT count(*) FROM expected.bookings"));
    world.wait_for_rows(WATCHED.table, bookings);
}

fn assert_equal(world: &World, source: &Source) {
    source.sql("REFRESH MATERIALIZED VIEW expected.payments; ANALYZE expected.payments;");
    // What is looked up has to be there first: a server within a program, as this one is, reads dictionaries when it is told.
    wait_for_reference(world, source);
    world.clickhouse.query("SYSTEM RELOAD DICTIONARIES");
    if figures::whole_volume() {
        wait_for("enriched payments", ARRIVAL, || same_digests(world, source));
    } else {
        world.wait_until_same(source, &ENRICHED, "expected.payments", "transactions_enriched");
    }
    for (view, columns, expected) in GOLD {
        world.wait_until_same(source, columns, expected, view);
        assert!(world.count(view) > 0, "{view} is empty: the generator is to make some");
        // The sums that the server keeps are read, not the bookings: it says so, or fails.
        let query = format!("SELECT * FROM silver.{view} FORMAT Null SETTINGS force_optimize_projection = 1");
        world.clickhouse.query(&query);
    }
}

/// Compares thousands of enriched payments by a digest of their text: millions of cells would not fit into the test's memory.
fn same_digests(world: &World, source: &Source) -> Result<(), String> {
    let texts = |text: fn(&Column) -> String| ENRICHED.iter().map(text).collect::<Vec<_>>().join(", '|', ");
    let expected = texts(|column| format!("coalesce(({})::text, '-')", column.1));
    let found = texts(|column| format!("ifNull({}, '-')", column.2));
    let expected = format!("md5(string_agg(concat({expected}), '/' ORDER BY transaction_id))");
    let found = format!(
        "lower(hex(MD5(arrayStringConcat(arrayMap(it -> it.2, arraySort(groupArray((transaction_id, concat({found}))))), '/'))))"
    );
    let bucket = "GROUP BY (transaction_id - transaction_id % 1000)";
    let expected = ["transaction_id - transaction_id % 1000", "count(*)", &expected];
    let expected = source.postgres.rows(&source.database, &expected, &format!("expected.payments {bucket}"));
    let found = ["transaction_id - transaction_id % 1000", "count()", &found];
    let found = world.rows(&found, &format!("transactions_enriched {bucket}"));
    same("transactions_enriched, by thousands", &["from", "payments", "digest"], expected, found)
}

/// Each message of the topics is a row of bronze, once.
fn assert_bronze(world: &World) {
    for table in TABLES {
        let topic = format!("bank.finance.{table}");
        let messages: i64 = world.kafka.ends(&topic).iter().sum();
        let rows = format!("bronze_finance WHERE _topic = '{topic}'");
        world.wait_for_rows(&rows, messages.unsigned_abs());
        assert_eq!(world.count(&rows), messages.unsigned_abs(), "{rows}");
        let distinct = format!("(SELECT DISTINCT _partition, _offset FROM silver.{rows})");
        let query = format!("SELECT count() FROM {distinct}");
        assert_eq!(number(&world.clickhouse.query(&query)), messages.unsigned_abs(), "{query}");
    }
}

/// No text of silver holds a card's number.
fn assert_masked(world: &World, source: &Source) {
    let card = source.sql("SELECT card_number FROM finance.transactions WHERE expected.is_card(card_number) LIMIT 1");
    for table in ["transactions", "bookings", "accounts", "dim_merchants"] {
        let query = format!("SELECT * FROM silver.{table} FORMAT TSV");
        let rows = world.clickhouse.query(&query);
        assert!(!rows.contains(card.trim()) && !rows.contains("4111 1111"), "{table} has a card's number");
    }
}

fn read(file: &str) -> String {
    fs::read_to_string(place::repository().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

fn number(text: &str) -> u64 {
    text.trim().parse().unwrap_or_else(|_| panic!("{text} is no number"))
}
