//! A plugin that remembers, dying at every step: each event is there once, and the sessions are those that all events
//! together make.

use std::collections::{BTreeMap, BTreeSet};

use engine::crash_point::CrashPoint;
use engine::random::Random;
use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup};
use harness::kafka::Kafka;
use harness::pipeline::ARRIVAL;

use crate::kills::{die_at, seed};

const TOPIC: &str = "events_raw";
const DATABASE: &str = "silver";
const PARTITIONS: i32 = 4;
const EVENTS: i64 = 40_000;
/// Each has an event in a quarter of an hour: one pause in seven is long enough to end a session.
const USERS: u32 = 900;
const GAP_MS: i64 = 30 * 60 * 1_000;
/// The first event; each is a second behind the one before.
const BEGIN_MS: i64 = 1_735_678_800_000;

/// A user's session: its user, first and last event, and how many there are.
type Session = (String, i64, i64, u64);

#[derive(Clone)]
struct Event {
    key: i64,
    user: u32,
    at_ms: i64,
}

/// Events in the order of their time, one in twenty of which is sent again some events later.
fn events(random: &mut Random) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for key in 0..EVENTS {
        events.push(Event { key, user: random.below(USERS), at_ms: BEGIN_MS + key * 1_000 });
        if random.below(20) == 0 {
            let recent = events.len().min(100);
            let again = events[events.len() - 1 - random.index(recent)].clone();
            events.push(again);
        }
    }
    events
}

/// What the events make, by someone who sees all of them.
fn sessions(events: &[Event]) -> BTreeSet<Session> {
    let mut times: BTreeMap<u32, BTreeMap<i64, i64>> = BTreeMap::new();
    for event in events {
        times.entry(event.user).or_default().insert(event.key, event.at_ms);
    }
    let mut sessions = BTreeSet::new();
    for (user, times) in times {
        let times: Vec<i64> = times.into_values().collect();
        for session in times.chunk_by(|before, after| after - before < GAP_MS) {
            let (first, last) = (session[0], session[session.len() - 1]);
            sessions.insert((format!("u{user}"), first, last, session.len() as u64));
        }
    }
    sessions
}

fn produce(kafka: &Kafka, events: &[Event]) {
    kafka.create_topic(TOPIC, PARTITIONS);
    let producer = kafka.producer();
    for Event { key, user, at_ms } in events {
        let value = format!(
            "{{\"schema_version\":\"v1\",\"event_id\":\"e{key}\",\"idempotency_key\":\"k{key}\",\"event_type\":\"page_view\",\
             \"user_id\":\"u{user}\",\"session_id\":null,\"timestamp\":{at_ms},\"device\":null,\
             \"properties\":{{\"page\":\"/{key}\"}}}}"
        );
        let partition = i32::try_from(user % PARTITIONS.unsigned_abs()).expect("a partition");
        producer.send(TOPIC, partition, &format!("u{user}"), Some(&value));
    }
    producer.flush();
}

#[test]
fn sessions_are_exact_after_deaths_at_every_step() {
    let mut random = Random::new(seed());
    let (kafka, clickhouse) = (Kafka::start(), ClickHouse::start());
    let events = events(&mut random);
    produce(&kafka, &events);
    let plugin = Plugin { name: "sessions", settings: "topics = ['events_raw']", artifact: Some("sessions") };
    let arguments = ["--kafka", &kafka.address(), "--set", "batch.max_messages=200"];
    let setup = Setup::new(&clickhouse.http_url(), DATABASE).with(&arguments).with_plugins(&[plugin]);
    for step in CrashPoint::ALL {
        println!("died at {}", die_at(&setup, step, &mut random));
    }
    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(ARRIVAL).success(), "{}", engine.output());

    let count = |sql: &str| clickhouse.query(sql).trim().to_owned();
    let facts = count(
        "SELECT count(), uniqExact(idempotency_key), uniqExact(_offset, _partition) FROM silver.fact_events FORMAT TSV",
    );
    assert_eq!(facts, format!("{EVENTS}\t{EVENTS}\t{EVENTS}"), "each event once, also before duplicates are merged");
    let found = clickhouse.query(
        "SELECT user_id, toUnixTimestamp64Milli(session_start), toUnixTimestamp64Milli(session_end), events \
         FROM silver.user_sessions_current FORMAT TSV",
    );
    let found: BTreeSet<Session> = found.lines().map(session_of).collect();
    let expected = sessions(&events);
    println!("{} events, {} of them again, {} sessions", EVENTS, events.len() as i64 - EVENTS, expected.len());
    assert_eq!(found.symmetric_difference(&expected).take(5).collect::<Vec<_>>(), Vec::<&Session>::new());
    // What ended hours before the last event is over.
    let long_ago = BEGIN_MS + EVENTS * 1_000 - 4 * 60 * 60 * 1_000;
    let open = format!(
        "SELECT count() FROM silver.user_sessions_current WHERE NOT closed AND session_end < fromUnixTimestamp64Milli({long_ago})"
    );
    assert_eq!(count(&open), "0");
    assert_eq!(count("SELECT count() FROM silver.dead_letters"), "0");
}

fn session_of(line: &str) -> Session {
    let fields: Vec<&str> = line.split('\t').collect();
    let number = |index: usize| fields[index].parse().expect("a number");
    (fields[0].to_owned(), number(1), number(2), fields[3].parse().expect("a number"))
}
