//! `examples/events`: events straight from applications. What the tables must hold is computed from the generator's log, in
//! plain Rust (`model`).

mod calendar;
mod model;

use std::process::Command;

use clap::Parser;
use events_generator::{Args, foresee, generate};
use harness::engine::{Engine, program};
use harness::rows::Rows;
use harness::wait::wait_for;
use serde_json::Value;

use self::calendar::DAY_MS;
use self::model::Model;
use super::figures::{self, Begins, Phase, Watched};
use super::world::{ARRIVAL, DATABASE, World, example, same, while_busy};

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
    let engine = while_busy(|| send(&args, &mut model), || world.kill_both(engine, "bronze_events", [8_000, 20_000]));

    // THEN every table is what the log says.
    drain(&world, engine);
    assert_tables(&world, &model);
    assert_quality(&world);
    let (dead, duplicates) = (model.dead.len(), model.duplicates);
    assert!(dead > 200 && duplicates > 1000, "{dead} dead letters, {duplicates} repeats: the log tests too little");
}

fn at_volume() {
    // A month of events that waits for an engine, and then some at a steady rate, as they happen.
    let (world, engine) = start();
    engine.terminate();
    let (brokers, mut model) = (world.kafka.address(), Model::default());
    let month = arguments_of(&brokers, "--total-events 1000000 --events-per-second 0 --days 30 --users 10000");
    send(&month, &mut model);
    let sizes = (month.total_events, good(&month));
    let (backlog, engine) = Phase::backlog("30 days that are there already", &world, WATCHED, sizes);
    let steady = arguments_of(&brokers, "--total-events 30000 --events-per-second 1000 --seed 8 --users 10000");
    let sizes = (steady.total_events, good(&steady));
    let load = || send(&steady, &mut model);
    let steady = Phase::measure("1,000 events/s", &world, &engine, WATCHED, sizes, load);
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
    figures::print(NAME, &counts, &[backlog, steady], ORIGINAL);
}

/// Servers, the topic, an engine that has made its tables, and what lies before and behind them.
fn start() -> (World, Engine) {
    let world = World::new(NAME);
    world.kafka.create_topic(TOPIC, PARTITIONS);
    world.clickhouse.query(&format!("CREATE DATABASE {DATABASE} ENGINE = Atomic"));
    world.apply("bronze/events");
    let engine = world.start();
    wait_for("the engine's tables", ARRIVAL, || {
        let there = |table: &&str| world.clickhouse.try_query(&format!("SELECT 1 FROM {DATABASE}.{table}")).is_ok();
        SILVER.iter().find(|table| !there(table)).map_or(Ok(()), |table| Err(format!("there is no {table}")))
    });
    world.apply("gold/events");
    (world, engine)
}

/// A call of the example's generator.
fn arguments_of(brokers: &str, words: &str) -> Args {
    let call = format!("events-generator --kafka {brokers} --partitions {PARTITIONS} {words}");
    Args::try_parse_from(call.split_whitespace()).expect("arguments of the generator")
}

/// How many of them are right, and not sent before: the seed decides it.
fn good(args: &Args) -> u64 {
    foresee(args).expect("arguments that make sense").good()
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

/// Every table is what the log says.
fn assert_tables(world: &World, model: &Model) {
    assert_bronze(world, model);
    assert_silver(world, model);
    assert_gold(world, model);
}

/// A table or view has these rows, in whatever order. A column is its name, and the expression that gives its text.
fn assert_rows(world: &World, from: &str, columns: &[(&str, &str)], expected: Rows) {
    let (names, expressions): (Vec<_>, Vec<_>) = columns.iter().copied().unzip();
    same(from, &names, expected, world.rows(&expressions, from)).unwrap_or_else(|words| panic!("{words}"));
}

/// Every message is there once, to the byte, below its type.
fn assert_bronze(world: &World, model: &Model) {
    let query = format!(
        "SELECT count(), uniqExact(_partition, _offset), sum(length(assumeNotNull(value))) FROM {DATABASE}.bronze_events \
         FORMAT TSV"
    );
    let expected = format!("{0}\t{0}\t{1}", model.messages, model.bytes);
    assert_eq!(world.clickhouse.query(&query).trim(), expected, "messages, places, bytes");
    let types = model.types.iter().map(|(name, count)| vec![Some(name.clone()), Some(count.to_string())]).collect();
    let columns = [("event_type", "event_type"), ("messages", "count()")];
    assert_rows(world, "bronze_events GROUP BY event_type", &columns, types);
}

fn assert_silver(world: &World, model: &Model) {
    let letter = [("plugin", "plugin"), ("partition", "`partition`"), ("offset", "`offset`"), ("code", "code")];
    assert_rows(world, "dead_letters", &letter, model.dead_letters());
    let event = whole(&[
        "idempotency_key",
        "event_id",
        "user_id",
        "event_type",
        "toUnixTimestamp64Milli(timestamp)",
        "ifNull(client_session_id, 'none')",
        "ifNull(device, '')",
        "ifNull(properties, '')",
    ]);
    assert_rows(world, "silver_events_current", &[("event", &event)], model.silver_events());
    let session = [
        ("user_id", "user_id"),
        ("start", "toUnixTimestamp64Milli(session_start)"),
        ("end", "toUnixTimestamp64Milli(session_end)"),
        ("duration_ms", "duration_ms"),
        ("events", "events"),
        ("page_views", "page_views"),
        ("purchases", "purchases"),
        ("failed_payments", "failed_payments"),
        ("revenue", REVENUE),
        ("entry_page", "entry_page"),
        ("exit_page", "exit_page"),
    ];
    assert_rows(world, "silver_sessions_current", &session, model.sessions());
    // What ended hours before the last event is over.
    let long_ago = model.events.iter().map(|event| event.at_ms).max().expect("events") - 4 * 3_600_000;
    let open = format!("silver_sessions_current WHERE NOT closed AND toUnixTimestamp64Milli(session_end) < {long_ago}");
    assert_eq!(world.count(&open), 0, "sessions that should be over");
    let version = [
        ("user_id", "user_id"),
        ("plan", "plan"),
        ("from", "toUnixTimestamp64Milli(effective_start)"),
        ("until", "toUnixTimestamp64Milli(effective_end)"),
        ("is_current", "is_current"),
    ];
    assert_rows(world, "dim_user_current", &version, model.dim_user());
}

/// The revenue of a session, as `EUR=12.30,USD=1.00`.
const REVENUE: &str = "arrayStringConcat(arrayMap((currency, amount) -> concat(currency, '=', toDecimalString(amount, 2)), \
                       mapKeys(revenue), mapValues(revenue)), ',')";

fn assert_gold(world: &World, model: &Model) {
    let fact = whole(&[
        "idempotency_key",
        "user_id",
        "event_type",
        "toUnixTimestamp64Milli(timestamp)",
        "intDiv(toUnixTimestamp(time_key), 3600)",
        "ifNull(page, 'none')",
        "ifNull(toDecimalString(amount, 2), 'none')",
        "ifNull(currency, 'none')",
        "ifNull(plan, 'none')",
        "ifNull(reason, 'none')",
    ]);
    assert_rows(world, "fact_events", &[("event", &fact)], model.fact_events());
    for view in ["dim_device_fill", "daily_active_users_fill", "revenue_per_user_fill"] {
        world.refresh(view);
    }
    let device = [
        ("kind", "kind"),
        ("os", "os"),
        ("browser", "browser"),
        ("first_seen", "toUnixTimestamp64Milli(first_seen)"),
        ("last_seen", "toUnixTimestamp64Milli(last_seen)"),
    ];
    assert_rows(world, "dim_device", &device, model.devices());
    let orphans = format!(
        "fact_events WHERE device_key NOT IN (SELECT device_key FROM {DATABASE}.dim_device) \
         OR time_key NOT IN (SELECT time_key FROM {DATABASE}.dim_time)"
    );
    assert_eq!(world.count(&orphans), 0, "events without their dimensions");
    let day = [
        ("day", "toInt32(day)"),
        ("active_users", "active_users"),
        ("new_users", "new_users"),
        ("events", "events"),
        ("sessions", "sessions"),
    ];
    assert_rows(world, "daily_active_users", &day, model.daily_active_users());
    let revenue = [
        ("user_id", "user_id"),
        ("currency", "currency"),
        ("purchases", "purchases"),
        ("lifetime_value", "toDecimalString(lifetime_value, 2)"),
        ("average_order_value", "toDecimalString(average_order_value, 2)"),
        ("first_purchase", "toUnixTimestamp64Milli(first_purchase)"),
        ("last_purchase", "toUnixTimestamp64Milli(last_purchase)"),
    ];
    assert_rows(world, "revenue_per_user", &revenue, model.revenue_per_user());
    assert_churn(world, model);
}

fn assert_churn(world: &World, model: &Model) {
    let columns = [
        ("user_id", "user_id"),
        ("last_seen", "toUnixTimestamp64Milli(last_seen)"),
        ("days_inactive", "days_inactive"),
        ("events", "events"),
        ("purchases", "purchases"),
    ];
    let last_day = model.events.iter().map(|event| event.at_ms.div_euclid(DAY_MS)).max().expect("events");
    for day in [last_day, last_day - 1] {
        let date = world.clickhouse.query(&format!("SELECT toDate32({day})"));
        let expected = model.churn_risk(day);
        assert!(!expected.is_empty(), "somebody stays away");
        assert_rows(world, &format!("churn_risk(day = '{}')", date.trim()), &columns, expected);
    }
}

/// The example's rules hold, but for one: as much is bad as the rules just allow, and chance decides what is more.
fn assert_quality(world: &World) {
    let mut command = Command::new(program());
    command.args(["quality", "run", "--json", "--rules"]).arg(example(NAME).join("quality.toml"));
    command.args(["--clickhouse", &world.clickhouse.http_url(), "--database", DATABASE]);
    let output = command.env_remove("ENGINE_QUALITY_WEBHOOK").output().expect("the program runs");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    for check in report["checks"].as_array().expect("checks") {
        println!("{}: {}, {}", check["name"], check["status"], check["message"]);
        if check["kind"] == "dead_letters" {
            let share = check["value"].as_f64().expect("a share");
            assert!((0.008..0.012).contains(&share), "{check}");
        } else {
            assert_eq!(check["status"], "passed", "{check}");
        }
    }
}

/// Several expressions as one text: a million rows of ten columns each would be a thousand million bytes of texts.
fn whole(expressions: &[&str]) -> String {
    let texts: Vec<_> = expressions.iter().map(|expression| format!("toString({expression})")).collect();
    format!("concatWithSeparator('|', {})", texts.join(", "))
}
