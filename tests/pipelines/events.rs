//! `examples/events`: events straight from applications. What the tables must hold is computed from the generator's log, in
//! plain Rust (`model`).

mod calendar;
mod model;

use std::fs;

use clap::Parser;
use events_generator::{Args, foresee, generate};
use harness::engine::Engine;
use harness::place;
use harness::rows::Rows;
use harness::wait::wait_for;

use self::calendar::DAY_MS;
use self::model::Model;
use super::figures::{self, Begins, Phase, Watched};
use super::world::{ARRIVAL, DATABASE, World, same, while_busy};

const NAME: &str = "events";
const TOPIC: &str = "events_raw";
const PARTITIONS: i32 = 4;
/// The tables of silver, with which gold can be made.
const SILVER: [&str; 4] = ["bronze_events", "silver_events", "silver_sessions", "dim_user"];
const WATCHED: Watched = Watched { table: "silver_events", begins: Begins::Message };
const ORIGINAL: &str = "batches of 30 s, a lag of up to 10,000 messages; it publishes no rates";

#[test]
fn events_of_applications() {
    if figures::whole_volume() {
        return at_volume();
    }
    // GIVEN an empty topic, an engine with its tables, and gold
    let (mut world, engine) = start();

    // WHEN ten days of events come, some of them bad, some twice, and meanwhile the engine is killed, and ClickHouse is
    let mut model = Model::default();
    let words = "--total-events 40000 --events-per-second 4000 --days 10 --users 500";
    let args = arguments_of(&world.kafka.address(), words);
    let engine = while_busy(
        || send(&args, &mut model),
        || world.kill_both(engine, "bronze_events", [8_000, 20_000]),
    );

    // THEN every table is what the log says.
    drain(&world, engine);
    assert_tables(&world, &model);
    let (dead, duplicates) = (model.dead.len(), model.duplicates);
    assert!(dead > 200 && duplicates > 1000, "{dead} dead letters, {duplicates} repeats: the log tests too little");
}

fn at_volume() {
    let (world, engine) = start();
    let brokers = world.kafka.address();
    let mut model = Model::default();
    let mut phases = Vec::new();
    for (name, events, arguments) in [
        ("as fast as they can be written, 30 days", 1_000_000, "--events-per-second 0 --days 30 --users 10000"),
        ("1,000 events/s", 30_000, "--events-per-second 1000 --seed 8 --users 10000"),
    ] {
        let args = arguments_of(&brokers, &format!("--total-events {events} {arguments}"));
        let rows = foresee(&args).expect("the seed decides it").good();
        let load = || send(&args, &mut model);
        phases.push(Phase::measure(name, &world, &engine, WATCHED, (events, rows), load));
    }
    let of_sessions = [("plugin", "sessions"), ("name", "duplicate_rows")];
    wait_for("all duplicates to be dropped and counted", ARRIVAL, || {
        let metrics = engine.metrics().map_err(|error| error.to_string())?;
        let dropped = metrics.sum("engine_plugin_count_total", &of_sessions).to_string();
        if dropped == model.duplicates.to_string() { Ok(()) } else { Err(dropped) }
    });
    drain(&world, engine);
    assert_tables(&world, &model);
    let dead = |plugin: &str| model.dead.iter().filter(|letter| letter.0 == plugin).count() as u64;
    let counts = [
        ("messages in", model.messages),
        ("`bronze_events`", world.count("bronze_events")),
        ("`silver_events`, and `fact_events`", world.count("silver_events_current")),
        ("duplicates dropped", model.duplicates),
        ("dead letters", dead("sessions")),
        ("`silver_sessions`", world.count("silver_sessions_current")),
        ("`dim_user`", world.count("dim_user_current")),
        ("dead letters of `dim-user`", dead("dim-user")),
    ];
    figures::print(NAME, &counts, &phases, ORIGINAL);
}

/// Servers, the topic, an engine that has made its tables, and what lies before and behind them.
fn start() -> (World, Engine) {
    let world = World::new(NAME);
    world.kafka.create_topic(TOPIC, PARTITIONS);
    world.clickhouse.query(&format!("CREATE DATABASE {DATABASE} ENGINE = Atomic"));
    apply(&world, "bronze");
    let engine = world.start();
    wait_for("the engine's tables", ARRIVAL, || {
        let there = |table: &&str| world.clickhouse.try_query(&format!("SELECT 1 FROM {DATABASE}.{table}")).is_ok();
        SILVER.iter().find(|table| !there(table)).map_or(Ok(()), |table| Err(format!("there is no {table}")))
    });
    world.apply_gold(NAME);
    (world, engine)
}

/// A call of the example's generator.
fn arguments_of(brokers: &str, words: &str) -> Args {
    let call = format!("events-generator --kafka {brokers} --partitions {PARTITIONS} {words}");
    Args::try_parse_from(call.split_whitespace()).expect("arguments of the generator")
}

/// Sends events, and shows each to the model.
fn send(args: &Args, model: &mut Model) {
    println!("{}", generate(args, |message| model.add(message)).expect("events on their topic"));
}

/// Ends the engine, and lets another one do what is left.
fn drain(world: &World, engine: Engine) {
    engine.terminate();
    let mut engine = world.setup.start_with(&["--until-idle"]);
    assert!(engine.wait(ARRIVAL).success(), "{}", engine.output());
}

fn assert_tables(world: &World, model: &Model) {
    let table = |columns: &[&str], from: &str, expected: Rows, expressions: &[&str]| {
        same(from, columns, expected, world.rows(expressions, from)).unwrap_or_else(|words| panic!("{words}"));
    };
    assert_bronze(world, model);
    let letter = ["plugin", "_partition", "_offset", "code"];
    table(XX);
    table(&["event"], "silver_events_current", model.silver_events(), &[&whole(&[
        "idempotency_key", "event_id", "user_id", "event_type", &ms("timestamp"), "ifNull(client_session_id, 'none')",
        "ifNull(device, '')", "ifNull(properties, '')",
    ])]);
    table(
        &["user_id", "start", "end", "duration", "events", "views", "purchases", "failed", "revenue", "entry", "exit"],
        "silver_sessions_current",
        model.sessions(),
        &[
            "user_id", &ms("session_start"), &ms("session_end"), "toString(duration_ms)", "toString(events)",
            "toString(page_views)", "toString(purchases)", "toString(failed_payments)", REVENUE, "entry_page", "exit_page",
        ],
    );
    table(
        &["user_id", "plan", "from", "until", "is_current"],
        "dim_user_current",
        model.dim_user(),
        &["user_id", "plan", &ms("effective_start"), &ms("effective_end"), "toString(is_current)"],
    );
    assert_gold(world, model);
}

/// The revenue of a session, as `EUR=12.30,USD=1.00`.
const REVENUE: &str = "arrayStringConcat(arrayMap(it -> concat(it.1, '=', toDecimalString(it.2, 2)), arraySort(revenue)), ',')";

fn assert_gold(world: &World, model: &Model) {
    let table = |columns: &[&str], from: &str, expected: Rows, expressions: &[&str]| {
        same(from, columns, expected, world.rows(expressions, from)).unwrap_or_else(|words| panic!("{words}"));
    };
    table(&["event"], "fact_events_current", model.fact_events(), &[&whole(&[
        "idempotency_key", "user_id", "event_type", &ms("timestamp"), "intDiv(toUnixTimestamp(time_key), 3600)",
        "ifNull(page, 'none')", "ifNull(toDecimalString(amount, 2), 'none')", "ifNull(currency, 'none')",
        "ifNull(plan, 'none')", "ifNull(reason, 'none')",
    ])]);
    let orphans = "fact_events_current AS fact WHERE device_key NOT IN (SELECT device_key FROM silver.dim_device) \
                   OR time_key NOT IN (SELECT time_key FROM silver.dim_time)";
    assert_eq!(world.count(orphans), 0, "events without their dimensions");
    let seen = [&ms("first_seen"), &ms("last_seen")];
    table(&["kind", "os", "browser", "first", "last"], "dim_device", model.devices(), &[
        "kind", "os", "browser", seen[0], seen[1],
    ]);
    for view in ["daily_active_users_fill", "revenue_per_user_fill"] {
        world.refresh(view);
    }
    table(
        &["day", "active_users", "new_users", "events", "sessions"],
        "daily_active_users",
        model.daily_active_users(),
        &["toString(toInt32(day))", "toString(active_users)", "toString(new_users)", "toString(events)", "toString(sessions)"],
    );
    table(
        &["user_id", "currency", "purchases", "lifetime_value", "average_order_value", "first", "last"],
        "revenue_per_user",
        model.revenue_per_user(),
        &[
            "user_id", "currency", "toString(purchases)", "toDecimalString(lifetime_value, 2)",
            "toDecimalString(average_order_value, 2)", &ms("first_purchase"), &ms("last_purchase"),
        ],
    );
    let last_day = model.events.iter().map(|event| event.at_ms.div_euclid(DAY_MS)).max().expect("events");
    for day in [last_day, last_day - 1] {
        let date = world.clickhouse.query(&format!("SELECT toDate32({day})"));
        table(
            &["user_id", "last_seen", "days_inactive", "events", "purchases"],
            &format!("churn_risk(day = '{}')", date.trim()),
            model.churn_risk(day),
            &["user_id", &ms("last_seen"), "toString(days_inactive)", "toString(events)", "toString(purchases)"],
        );
    }
}

/// Every message is there once, to the byte, below its type.
fn assert_bronze(world: &World, model: &Model) {
    let query = format!(
        "SELECT count(), uniqExact(_partition, _offset), sum(length(assumeNotNull(value))) FROM {DATABASE}.bronze_events FORMAT TSV"
    );
    let expected = format!("{0}\t{0}\t{1}", model.messages, model.bytes);
    assert_eq!(world.clickhouse.query(&query).trim(), expected, "messages, places, bytes");
    let types = model.types.iter().map(|(name, count)| vec![Some(name.clone()), Some(count.to_string())]).collect();
    let found = world.rows(&["event_type", "toString(count())"], "bronze_events GROUP BY event_type");
    same("bronze_events", &["event_type", "messages"], types, found).unwrap_or_else(|words| panic!("{words}"));
}

/// Several expressions as one text.
fn whole(expressions: &[&str]) -> String {
    let texts: Vec<_> = expressions.iter().map(|expression| format!("toString({expression})")).collect();
    format!("concatWithSeparator('|', {})", texts.join(", "))
}

/// A time as text: ms since 1970.
fn ms(column: &str) -> String {
    format!("toString(toUnixTimestamp64Milli({column}))")
}

/// Runs the statements of a layer.
fn apply(world: &World, layer: &str) {
    let file = place::repository().join("schemas/clickhouse").join(layer).join(NAME).join("010_bronze_events.sql");
    let statements = fs::read_to_string(file).expect("SQL");
    world.clickhouse.query_in(DATABASE, statements.trim().trim_end_matches(';'));
}
