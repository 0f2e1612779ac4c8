//! `examples/commerce`: users of PostgreSQL, events of MongoDB, and what each user did on each day.
//!
//! What users must be is SQL over the source's own account of its changes. What events must be is computed here, from the
//! changes that the generator says it made: no message is read for it.

mod events;
mod expected;

use std::process::Command;
use std::thread;

use commerce_generator::Plan;
use harness::engine::program;

use super::figures::{self, Begins, Phase, Watched};
use super::world::{Column, DATABASE, Source, World, same, while_busy};
use events::{Sent, Topic};
use expected::Expected;

const NAME: &str = "commerce";
const FILES: [&str; 2] = ["schemas/postgres/users.sql", "examples/commerce/changes.sql"];
const SEED: u64 = 7;
/// Users' changes before the connector comes.
const BEFORE: u32 = 300;

/// Where events are seen to arrive.
const OF_EVENTS: Watched = Watched { table: "silver_events", begins: Begins::Message };
/// Where users' changes are.
const OF_USERS: Watched = Watched { table: "bronze_users_seen", begins: Begins::Commit };

/// A user, in PostgreSQL's words and in ClickHouse's.
const USER: [Column; 5] = [
    ("user_id", "user_id", "toString(user_id)"),
    ("full_name", "btrim(full_name)", "full_name"),
    ("email", "lower(btrim(email))", "email"),
    ("created_at", "to_char(created_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "toString(created_at)"),
    ("updated_at", "to_char(updated_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')", "toString(updated_at)"),
];

/// Each user as silver has to have them: as the last change left them, but for one to an address to which nothing can be sent,
/// which is set aside.
const CURRENT_USERS: &str = "(SELECT DISTINCT ON (user_id) * FROM account.users \
     WHERE operation = 'd' OR email LIKE '%@%.%' ORDER BY user_id, n DESC) AS users WHERE operation != 'd'";

/// A user's changes as messages have them.
const USER_CHANGE: [Column; 4] = [
    ("operation", "operation", "op"),
    ("user_id", "user_id", "toString(user_id)"),
    ("full_name", "full_name", "JSONExtractString(assumeNotNull(value), 'full_name')"),
    ("email", "email", "JSONExtractString(assumeNotNull(value), 'email')"),
];

#[test]
fn users_and_what_they_do() {
    if figures::whole_volume() {
        return at_volume();
    }
    // GIVEN users of whom the connector takes a snapshot, documents that another one found, and an engine
    let mut world = World::new(NAME);
    let source = source(&world);
    let mut topic = Topic::new(&world.kafka, Plan { seed: SEED, snapshot: 200, users: 400, per_day: 500 });
    let mut sent = topic.send(200, 0);
    let engine = world.start();

    // WHEN users and events change, while the engine is killed and ClickHouse is
    let mut more = Vec::new();
    let busy = || {
        thread::scope(|scope| {
            scope.spawn(|| source.sql(&changes(BEFORE + 1, BEFORE + 1_500, 250)));
            more = topic.send(3_000, 500);
        });
    };
    let engine = while_busy(busy, || world.kill_both(engine, "silver_events", [800, 1_800]));
    sent.append(&mut more);

    // THEN bronze has every change, silver is what the sources say, and gold what both say together.
    let expected = assert_tables(&world, &source, &sent);
    assert_users_changed_twice_in_a_millisecond(&world);
    assert_stored(&world);
    a_day_is_made_again(&world, &expected);
    engine.terminate();
}

/// Users with some changes behind them, and a connector that begins with a snapshot of what they left.
fn source(world: &World) -> Source {
    let source = Source::new(&world.kafka, NAME, &FILES);
    source.sql(&changes(1, BEFORE, 0));
    source.keep_account("public", "users");
    // In which order: a trigger's row names no column, so this one counts by itself.
    source.sql("ALTER TABLE account.users ADD COLUMN n BIGSERIAL");
    source.connect();
    source
}

/// The call of the example's generator of users.
fn changes(first: u32, last: u32, per_second: u32) -> String {
    format!("CALL public.change_users({SEED}, {first}, {last}, {per_second});")
}

/// Every table and view of the pipeline is what it must be, once everything has come.
fn assert_tables(world: &World, source: &Source, sent: &[Sent]) -> Expected {
    world.wait_for_rows("bronze_users", source.accounted("users"));
    world.wait_for_rows("bronze_events", sent.len() as u64);
    let expected = Expected::of(sent);
    expected.wait_for_silver(world);
    for layer in ["bronze", "silver", "gold"] {
        world.apply(&format!("{layer}/{NAME}"));
    }
    world.assert_same(source, &USER_CHANGE, "account.users", "v_bronze_users");
    let messages = sent.iter().map(|sent| vec![Some(sent.message.key.clone()), Some(sent.message.value.clone())]);
    let columns = ["key", "value"];
    same("bronze_events", &columns, messages.collect(), world.rows(&columns, "bronze_events")).expect("each message");
    // Bronze may be ahead of silver.
    world.wait_until_same(source, &USER, CURRENT_USERS, "v_silver_users_current");
    assert_rejected_users(world, source);
    expected.assert_silver(world);
    world.refresh("gold_user_activity_fill");
    expected.assert_gold(world);
    expected.assert_known_users(world, &source.postgres.rows(&source.database, &["user_id"], CURRENT_USERS));
    expected
}

/// Changes to an address to which nothing can be sent are set aside, each of them.
fn assert_rejected_users(world: &World, source: &Source) {
    let rejected = source.sql("SELECT count(*) FROM account.users WHERE operation != 'd' AND email NOT LIKE '%@%.%'");
    let rejected: u64 = rejected.trim().parse().expect("a count");
    assert!(rejected > 0);
    assert_eq!(world.count("dead_letters WHERE plugin = 'users' AND code = 'bad_email'"), rejected);
}

/// Of many users the last two changes carry one millisecond of the source's clock, and differ: by that clock nobody could say
/// which is the newer. Each of them was found right: the engine's version knows.
fn assert_users_changed_twice_in_a_millisecond(world: &World) {
    let ties = world.clickhouse.query(&format!(
        "SELECT count() FROM (SELECT arraySort(groupArray((_offset, changed_at, value))) AS changes \
         FROM {DATABASE}.v_bronze_users GROUP BY user_id) \
         WHERE length(changes) > 1 AND changes[-1].2 = changes[-2].2 AND changes[-1].3 != changes[-2].3"
    ));
    let ties: u32 = ties.trim().parse().expect("a count");
    println!("{ties} users whose last two changes have one millisecond");
    assert!(ties >= 20, "too few to show anything: {ties}");
}

/// The table of events is cut by day, and finds users and types without reading all of one.
fn assert_stored(world: &World) {
    let stored = world.clickhouse.query(
        "SELECT partition_key, (SELECT arraySort(groupArray(name)) FROM system.data_skipping_indices WHERE table = 'silver_events') \
         FROM system.tables WHERE name = 'silver_events'",
    );
    assert_eq!(stored.trim(), "toDate(timestamp)\t['by_type','by_user']");
}

/// GIVEN a day that somebody has spoilt, WHEN it is made again, THEN gold is right again; and once more changes nothing.
fn a_day_is_made_again(world: &World, expected: &Expected) {
    let day = expected.some_day();
    world.clickhouse.query(&format!("ALTER TABLE {DATABASE}.gold_user_activity DROP PARTITION '{day}'"));
    for _ in 0..2 {
        let mut backfill = Command::new(program());
        backfill.args(["schema", "backfill", "--table", "gold_user_activity", "--database", DATABASE]);
        let output = backfill.arg("--clickhouse").arg(world.clickhouse.http_url()).output().expect("the program runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        expected.assert_gold(world);
    }
}

/// A hundred thousand events at once, then events and users at a steady pace.
fn at_volume() {
    const BURST: u32 = 100_000;
    const STEADY: u32 = 30_000;
    let world = World::new(NAME);
    let source = source(&world);
    let mut topic = Topic::new(&world.kafka, Plan { seed: SEED, snapshot: 1_000, users: 10_000, per_day: 2_000 });
    let mut sent = topic.send(1_000, 0);
    let engine = world.start();
    world.wait_for_rows("silver_events", 1_000);
    world.wait_for_rows("bronze_users", source.accounted("users"));

    let mut phases = Vec::new();
    for (name, count, per_second) in [("100,000 events", BURST, 0), ("1,000 events/s", STEADY, 1_000)] {
        let expected = (u64::from(count), topic.rows_of_next(count));
        let load = || sent.append(&mut topic.send(count, per_second));
        phases.push(Phase::measure(name, &world, &engine, OF_EVENTS, expected, load));
    }
    // Of a user's changes in one block silver keeps the last alone, bronze each; when it was committed is in the message.
    world.clickhouse.query(&format!(
        "CREATE VIEW {DATABASE}.{} AS SELECT _topic, _partition, _offset, _lane, _epoch, _ingested_at, \
         fromUnixTimestamp64Milli(JSONExtractInt(assumeNotNull(value), '__source_ts_ms'), 'UTC') AS _source_ts \
         FROM {DATABASE}.bronze_users",
        OF_USERS.table
    ));
    let expected = (u64::from(STEADY), u64::from(STEADY));
    let load = || drop(source.sql(&changes(BEFORE + 1, BEFORE + STEADY, 1_000)));
    let name = "1,000 changes of users/s, to bronze";
    phases.push(Phase::measure(name, &world, &engine, OF_USERS, expected, load));

    assert_tables(&world, &source, &sent);
    engine.terminate();
    let tables = [
        "bronze_users",
        "bronze_events",
        "v_silver_users_current",
        "silver_events",
        "gold_user_activity",
        "dead_letters",
    ];
    let counts: Vec<_> = tables.iter().map(|table| (*table, world.count(table))).collect();
    figures::print(NAME, &counts, &phases, "no figures of its own; gold once a day");
}
