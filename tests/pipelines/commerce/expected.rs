//! What must come of the events: plain Rust over the changes that were made.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use commerce_generator::{Change, Event, Flaw, iso};
use harness::rows::Rows;

use super::events::Sent;
use crate::world::{World, same};

/// The events that were set aside.
const DEAD: &str = "dead_letters WHERE plugin = 'events'";

/// The tables.
#[derive(Debug)]
pub(super) struct Expected {
    /// Rows of `silver_events`.
    silver: Rows,
    /// Codes of the dead letters, and the messages.
    dead: Rows,
    /// By day and user.
    gold: BTreeMap<(String, i64), Activity>,
}

#[derive(Debug, Default)]
struct Activity {
    events: u64,
    types: BTreeSet<String>,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
}

impl Expected {
    pub(super) fn of(sent: &[Sent]) -> Self {
        let (mut silver, mut dead, mut newest) = (Rows::new(), Rows::new(), HashMap::new());
        for Sent { change, message } in sent {
            let (op, event) = match change {
                Change::Read(event) => ("r", event),
                Change::Create(event) => ("c", event),
                Change::Update(event) => ("u", event),
                // What has happened has happened: documents are deleted to save space.
                Change::Delete(_) => continue,
                Change::Flawed(flaw, _) => {
                    dead.push(vec![Some(code(*flaw).to_owned()), Some(message.value.clone())]);
                    continue;
                }
            };
            silver.push(row(op, event));
            newest.insert(&event.id, event);
        }
        let mut gold: BTreeMap<_, Activity> = BTreeMap::new();
        for event in newest.into_values() {
            let Some(user) = event.user_id else { continue };
            let day = iso(event.timestamp_ms)[..10].to_owned();
            gold.entry((day, user)).or_default().add(event);
        }
        Self { silver, dead, gold }
    }

    pub(super) fn wait_for_silver(&self, world: &World) {
        world.wait_for_rows("silver_events", self.silver.len() as u64);
        world.wait_for_rows(DEAD, self.dead.len() as u64);
    }

    pub(super) fn assert_silver(&self, world: &World) {
        let columns = ["_op", "event_id", "toString(user_id)", "event_type", "toString(timestamp)", "metadata"];
        assert_equal("silver_events", &columns, &self.silver, world);
        assert_equal(DEAD, &["code", "value"], &self.dead, world);
        let flaws: BTreeSet<_> = self.dead.iter().map(|row| &row[0]).collect();
        assert_eq!(flaws.len(), Flaw::ALL.len(), "every kind of flaw: {flaws:?}");
    }

    pub(super) fn assert_gold(&self, world: &World) {
        let expected = self.gold.iter().map(|((day, user), activity)| {
            let time = |ms: Option<i64>| sql_time(ms.expect("an event"));
            let counts = [activity.events, activity.types.len() as u64].map(|count| count.to_string());
            let [events, types] = counts;
            let row = [day.clone(), user.to_string(), events, types, time(activity.first_ms), time(activity.last_ms)];
            row.map(Some).to_vec()
        });
        let columns = ["day", "user_id", "total_events", "distinct_event_types", "first_event", "last_event"];
        let texts = columns.map(|column| format!("toString({column})"));
        let texts = texts.each_ref().map(String::as_str);
        assert_equal("gold_user_activity", &texts, &expected.collect(), world);
    }

    /// Readers see the names of exactly those users whom the source has.
    pub(super) fn assert_known_users(&self, world: &World, users: &Rows) {
        let users: BTreeSet<_> = users.iter().map(|row| row[0].clone().expect("a key")).collect();
        let known = |user: &i64| if users.contains(&user.to_string()) { "1" } else { "0" };
        let expected: Rows = self
            .gold
            .keys()
            .map(|(day, user)| [day.clone(), user.to_string(), known(user).to_owned()].map(Some).to_vec())
            .collect();
        assert!(expected.iter().any(|row| row[2].as_deref() == Some("0")), "some users are unknown or gone");
        let columns = ["toString(day)", "toString(user_id)", "toString(isNotNull(email))"];
        assert_equal("v_gold_user_activity", &columns, &expected, world);
    }

    /// One of the days, not the first.
    pub(super) fn some_day(&self) -> String {
        let days: BTreeSet<_> = self.gold.keys().map(|(day, _)| day).collect();
        days.into_iter().nth(2).expect("three days").clone()
    }
}

/// A table, or part of one, has these rows, each as often.
fn assert_equal(from: &str, columns: &[&str], expected: &Rows, world: &World) {
    same(from, columns, expected.clone(), world.rows(columns, from)).unwrap_or_else(|words| panic!("{words}"));
}

impl Activity {
    fn add(&mut self, event: &Event) {
        self.events += 1;
        self.types.insert(cleaned(event));
        let ms = event.timestamp_ms;
        self.first_ms = Some(self.first_ms.map_or(ms, |first| first.min(ms)));
        self.last_ms = Some(self.last_ms.map_or(ms, |last| last.max(ms)));
    }
}

fn row(op: &str, event: &Event) -> Vec<Option<String>> {
    vec![
        Some(op.to_owned()),
        Some(event.id.clone()),
        event.user_id.map(|user| user.to_string()),
        Some(cleaned(event)),
        Some(sql_time(event.timestamp_ms)),
        event.metadata.clone(),
    ]
}

fn cleaned(event: &Event) -> String {
    event.event_type.trim().to_lowercase()
}

/// As ClickHouse writes a DateTime64(3).
fn sql_time(ms: i64) -> String {
    iso(ms).replace('T', " ").replace('Z', "")
}

/// What the engine has to say of it.
fn code(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Cut => "invalid_json",
        Flaw::NoType => "no_event_type",
        Flaw::NoTime => "no_timestamp",
        Flaw::WrongTime => "invalid_value",
        Flaw::WrongUser => "wrong_type",
    }
}
