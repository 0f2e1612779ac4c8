//! `examples/commerce`: users of PostgreSQL, events of MongoDB, and what each user did on each day.
//!
//! What users must be is SQL over the source's own account of its changes. What events must be is computed here, from the
//! changes that the generator says it made: no message is read for it.

mod events;
mod expected;

use std::thread;

use commerce_generator::Plan;
use harness::wait::wait_for;

use super::figures::{self, Begins, Phase, Watched, whole_volume};
use super::world::{ARRIVAL, Column, DATABASE, Source, World, while_busy};
use events::{Sent, Topic};
use expected::Expected;

const SEED: u64 = 7;
/// Users' changes before the connector comes.
const BEFORE: u32 = 300;

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
fn users_and_events() {
    if whole_volume() {
        return measure(100_000);
    }
    // GIVEN users of whom the connector takes a snapshot, documents that another one found, and an engine
    let (mut world, source, mut topic) = start(Plan { seed: SEED, snapshot: 200, users: 400, per_day: 500 });
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
    for layer in ["bronze", "silver", "gold"] {
        world.apply(&format!("schemas/clickhouse/{layer}/commerce"));
    }
    assert_bronze(&world, &source, &sent);
    assert_users(&world, &source);
    assert_users_changed_twice_in_a_millisecond(&world);
    let expected = Expected::of(&sent);
    expected.assert_silver(&world);
    expected.assert_dead(&world);
    refresh(&world);
    expected.assert_gold(&world);
    expected.assert_known_users(&world, &source.postgres.rows(&source.database, &["user_id"], CURRENT_USERS));
    a_day_is_made_again(&world, &expected);
    engine.terminate();
}

/// The servers, a source with some changes behind it and its connector, and the topic of the events.
fn start(plan: Plan) -> (World, Source, Topic) {
    let world = World::new("commerce");
    let source = Source::new(&world.kafka, "commerce", &["schemas/postgres/users.sql", "examples/commerce/changes.sql"]);
    source.sql(&changes(1, BEFORE, 0));
    source.keep_account("public", "users");
    source.sql("ALTER TABLE account.users ADD COLUMN n BIGSERIAL");
    source.connect();
    let topic = Topic::new(&world.kafka, plan);
    (world, source, topic)
}

/// The call of the example's generator of users.
fn changes(first: u32, last: u32, per_second: u32) -> String {
    format!("CALL public.change_users({SEED}, {first}, {last}, {per_second});")
}

/// Every message is in bronze, to the byte, once.
fn assert_bronze(world: &World, source: &Source, sent: &[Sent]) {
    world.wait_for_rows("bronze_users", source.accounted("users"));
    world.assert_same(source, &USER_CHANGE, "account.users", "v_bronze_users");
    world.wait_for_rows("bronze_events", sent.len() as u64);
    let expected = sent.iter().map(|sent| vec![Some(sent.message.key.clone()), Some(sent.message.value.clone())]);
    super::world::assert_same("bronze_events", &["key", "value"], expected.collect(), world.rows(&["key", "value"], "bronze_events"));
}

/// Users are as PostgreSQL has them.
fn assert_users(world: &World, source: &Source) {
    let expected = source.postgres.rows(&source.database, &USER.map(|column| column.1), CURRENT_USERS);
    let look = || {
        let (mut expected, mut found) = (expected.clone(), world.rows(&USER.map(|column| column.2), "v_silver_users_current"));
        expected.sort_unstable();
        found.sort_unstable();
        if expected == found { Ok(()) } else { Err(format!("{} users", found.len())) }
    };
    // Bronze may be ahead of silver.
    wait_for("the last change of a user", ARRIVAL, look);
    let rejected = source.sql("SELECT count(*) FROM account.users WHERE operation != 'd' AND email NOT LIKE '%@%.%'");
    let dead = world.clickhouse.query(&format!("SELECT count() FROM {DATABASE}.dead_letters WHERE code = 'bad_email'"));
    assert_eq!(dead.trim(), rejected.trim(), "users with a bad address are set aside");
    assert_ne!(dead.trim(), "0");
}

/// Of many users the last two changes carry one millisecond of the source's clock, so by that clock nobody could say which
/// is the newer; and they differ, so it matters. Each of them is right above: the engine's version knows.
fn assert_users_changed_twice_in_a_millisecond(world: &World) {
    let query = format!(
        "SELECT count() FROM (SELECT user_id, groupArray((changed_at, value)) AS changes FROM \
         (SELECT user_id, changed_at, value FROM {DATABASE}.v_bronze_users ORDER BY _partition, _offset) GROUP BY user_id) \
         WHERE length(changes) > 1 AND changes[-1].1 = changes[-2].1 AND changes[-1].2 != changes[-2].2"
    );
    let ties: u64 = world.clickhouse.query(&query).trim().parse().expect("a count");
    println!("{ties} users whose last two changes have one millisecond");
    assert!(ties >= 20, "too few ties to show anything: {ties}");
}

/// Gold made anew, as the clock would do it within a minute.
fn refresh(world: &World) {
    for what in ["REFRESH", "WAIT"] {
        world.clickhouse.query(&format!("SYSTEM {what} VIEW {DATABASE}.gold_user_activity_fill"));
    }
}

/// GIVEN a day that somebody has spoilt, WHEN it is made again, THEN gold is right again; and once more changes nothing.
fn a_day_is_made_again(world: &World, expected: &Expected) {
    let day = expected.some_day();
    world.clickhouse.query(&format!("ALTER TABLE {DATABASE}.gold_user_activity DROP PARTITION '{day}'"));
    let backfill = ["schema", "backfill", "--table", "gold_user_activity", "--from", &day, "--to", "2026-01-01"];
    for _ in 0..2 {
        world.schema(&backfill);
        expected.assert_gold(world);
    }
}

/// The whole volume, without crashes.
fn measure(events: u32) {
    let (world, source, mut topic) = start(Plan { seed: SEED, snapshot: 1_000, users: 10_000, per_day: 2_000 });
    let engine = world.start();
    let watched = |table, begins| Watched { table, begins };
    let mut sent = Vec::new();
    let users = |first: u32, last: u32, per_second: u32| {
        let load = || drop(source.sql(&changes(first, last, per_second)));
        (u64::from(last - first + 1), load)
    };
    drop(users);
    let _ = (&mut topic, &mut sent, watched, events, &engine, Begins::Commit, Begins::Message);
    let _ = (figures::print, Phase::measure);
    engine.terminate();
}
