//! Versions of rows against what plain Rust makes of the same changes.

use std::collections::BTreeMap;

use plugin_sdk::testing::{Harness, TableRow};
use plugin_sdk::{Change, Ctx, Millis, Reject, Row, StateValue, Table, Timestamp, Version, milliseconds};

mod random;
use random::Random;

#[derive(Clone, Copy, Debug, Row)]
struct UserIn<'a> {
    user: i64,
    plan: &'a str,
    at: Option<Timestamp<Millis>>,
}

#[derive(Clone, Debug, PartialEq, StateValue)]
struct Plan {
    plan: String,
}

#[derive(Table)]
#[table(name = "users", kind = "current", sort_key = ["user", "start"])]
struct UserOut<'a> {
    user: i64,
    plan: &'a str,
    start: Timestamp<Millis>,
    end: Option<Timestamp<Millis>>,
    is_current: bool,
}

fn plan(change: Change<UserIn>, _: &Ctx) -> Result<Option<Plan>, Reject> {
    match change.row.plan {
        "" => Err(Reject::new("no_plan", "a user has a plan")),
        "ignored" => Ok(None),
        plan => Ok(Some(Plan { plan: plan.to_owned() })),
    }
}

fn version<'v>(user: i64, version: Version<'v, Plan>, _: &Ctx) -> UserOut<'v> {
    let Version { start, end, value } = version;
    UserOut { user, plan: &value.plan, start, end, is_current: end.is_none() }
}

plugin_sdk::export! {
    plugin: Users,
    input: Change<UserIn>,
    output: UserOut,
    event_time: of(|change| change.row.at).delay(milliseconds(100)),
    scd2: by(|change| change.row.user),
    row: plan,
    version: version,
}

fn user(user: i64, plan: &str, at: i64) -> UserIn<'_> {
    UserIn { user, plan, at: Some(Timestamp::new(at)) }
}

#[test]
fn each_change_ends_one_version_and_begins_another() {
    let harness = Harness::<Users>::new();
    let mut lane = harness.lane();
    lane.run([Change::create(user(1, "free", 10)), Change::create(user(2, "free", 10))]).assert_table(
        "users",
        "
        user | plan | start                    | end  | is_current | _deleted
        1    | free | 1970-01-01T00:00:00.010Z | null | true       | false
        2    | free | 1970-01-01T00:00:00.010Z | null | true       | false
        ",
    );
    // The same again makes no version; of two at one time the later one holds.
    let changes = [user(2, "free", 15), user(1, "pro", 20), user(1, "gold", 30), user(1, "team", 30)];
    lane.run(changes.map(Change::update)).assert_table(
        "users",
        "
        user | plan | start                    | end                      | is_current
        1    | free | 1970-01-01T00:00:00.010Z | 1970-01-01T00:00:00.020Z | false
        1    | pro  | 1970-01-01T00:00:00.020Z | 1970-01-01T00:00:00.030Z | false
        1    | team | 1970-01-01T00:00:00.030Z | null                     | true
        ",
    );
    // Out of order: in between, and one that makes a version needless.
    lane.run([Change::update(user(1, "free", 25))]).assert_table(
        "users",
        "
        plan | start                    | end                      | is_current
        pro  | 1970-01-01T00:00:00.020Z | 1970-01-01T00:00:00.025Z | false
        free | 1970-01-01T00:00:00.025Z | 1970-01-01T00:00:00.030Z | false
        ",
    );
    lane.run([Change::update(user(1, "free", 20))]).assert_table(
        "users",
        "
        plan | start                    | end                      | _deleted
        pro  | 1970-01-01T00:00:00.020Z | 1970-01-01T00:00:00.025Z | true
        free | 1970-01-01T00:00:00.025Z | 1970-01-01T00:00:00.030Z | true
        free | 1970-01-01T00:00:00.010Z | 1970-01-01T00:00:00.030Z | false
        ",
    );
    // Deleted, and there again.
    let answer = lane.run([Change::delete(user(1, "", 40)), Change::create(user(1, "free", 50))]);
    answer.assert_table(
        "users",
        "
        plan | start                    | end                      | is_current
        team | 1970-01-01T00:00:00.030Z | 1970-01-01T00:00:00.040Z | false
        free | 1970-01-01T00:00:00.050Z | null                     | true
        ",
    );
}

#[test]
fn bad_changes_are_rejected_and_late_ones_take_effect_at_the_watermark() {
    let harness = Harness::<Users>::new();
    let mut lane = harness.lane();
    let answer = lane.run([
        Change::create(user(1, "", 0)),
        Change::create(UserIn { at: None, ..user(1, "free", 0) }),
        Change::create(user(1, "ignored", 5_000)),
        Change::create(user(1, "free", 1_000)),
        Change::delete(user(9, "", 1_000)),
    ]);
    assert_eq!(answer.rejects(), [(0, "no_plan"), (1, "no_event_time")]);
    answer.assert_table("users", "user | plan\n 1 | free");
    assert_eq!(lane.watermark(), Some(Timestamp::new(900)));
    lane.run([Change::create(user(2, "pro", 10))]).assert_table(
        "users",
        "
        user | start
        2    | 1970-01-01T00:00:00.900Z
        ",
    );
    // What is deleted is forgotten, when nothing before it can come.
    assert_eq!(lane.entries("versions"), 3);
    lane.advance_to(Timestamp::new(1_001));
    assert_eq!(lane.entries("versions"), 2);
}

/// Versions of a user's changes in order of time: (start, end, plan).
fn reference(changes: &[(i64, i64, Option<&'static str>)]) -> Vec<String> {
    let mut facts: BTreeMap<(i64, i64), Option<&str>> = BTreeMap::new();
    for (user, at, plan) in changes {
        facts.insert((*user, *at), *plan);
    }
    let mut versions: Vec<(i64, i64, Option<i64>, &str)> = Vec::new();
    for ((user, at), plan) in facts {
        let open = versions.last_mut().filter(|version| version.0 == user && version.2.is_none());
        match (open, plan) {
            (Some(open), Some(plan)) if open.3 == plan => continue,
            (Some(open), _) => open.2 = Some(at),
            (None, _) => (),
        }
        versions.extend(plan.map(|plan| (user, at, None, plan)));
    }
    let time = |ms| Timestamp::<Millis>::new(ms).to_string();
    let text = |(user, start, end, plan): (i64, i64, Option<i64>, &str)| {
        let end_text = end.map_or("null".to_owned(), time);
        format!("{user} | {} | {end_text} | {plan} | {}", time(start), end.is_none())
    };
    versions.into_iter().map(text).collect()
}

#[test]
fn any_order_within_the_delay_makes_the_versions_of_the_order_of_time() {
    const PLANS: [Option<&str>; 4] = [Some("free"), Some("pro"), Some("team"), None];
    for round in 0..200 {
        let mut random = Random::new("any_order_within_the_delay_makes_the_versions_of_the_order_of_time", round);
        let harness = Harness::<Users>::new().batch_rows(1 + random.index(12));
        let mut lane = harness.lane();
        let mut table: BTreeMap<(String, String), TableRow> = BTreeMap::new();
        let (mut changes, mut now) = (Vec::new(), 1_000);
        for _ in 0..random.below(30) {
            let watermark = lane.watermark().map_or(i64::MIN, Timestamp::units);
            let mut epoch = Vec::new();
            for _ in 0..random.below(12) {
                now += random.below(25);
                let change = (random.below(3), (now - random.below(100)).max(watermark), PLANS[random.index(4)]);
                changes.push(change);
                epoch.push(match change.2 {
                    Some(plan) => Change::update(user(change.0, plan, change.1)),
                    None => Change::delete(user(change.0, "", change.1)),
                });
            }
            let answer = lane.run(epoch);
            for row in answer.rows("users") {
                let key = (row.get("user").expect("a user").to_owned(), row.get("start").expect("a start").to_owned());
                if row.deletes == Some(true) {
                    assert!(table.remove(&key).is_some(), "a row is deleted that was not there: {row}");
                } else {
                    table.insert(key, row.clone());
                }
            }
            lane.restart();
            let columns = ["user", "start", "end", "plan", "is_current"];
            let shown = |row: &TableRow| columns.map(|column| row.get(column).unwrap_or("null").to_owned()).join(" | ");
            assert_eq!(table.values().map(shown).collect::<Vec<_>>(), reference(&changes));
        }
    }
}
