//! Keyed state, deduplication and event time, as a plugin's author uses them.

use std::collections::BTreeMap;

use plugin_sdk::testing::Harness;
use plugin_sdk::{
    Batch, Change, Ctx, Emit, Entry, KeySet, KeyedState, Late, Millis, Plugin, Reject, Row, StateKey, StateValue,
    Table, Timestamp, Upsert, Uuid, milliseconds, seconds,
};

mod random;
use random::Random;

#[derive(Clone, Copy, Debug, Row)]
struct EventIn<'a> {
    key: Option<&'a str>,
    at: Option<Timestamp<Millis>>,
    value: i64,
}

fn event(key: &str, at: i64, value: i64) -> EventIn<'_> {
    EventIn { key: Some(key), at: Some(Timestamp::new(at)), value }
}

#[derive(Table)]
#[table(name = "events", kind = "append")]
struct Event<'a> {
    key: Option<&'a str>,
    value: i64,
}

fn check<'a>(change: Change<EventIn<'a>>, _: &Ctx) -> Result<Option<Event<'a>>, Reject> {
    match change.row.value {
        ..0 => Err(Reject::new("negative", "below zero")),
        0 => Ok(None),
        value => Ok(Some(Event { key: change.row.key, value })),
    }
}

plugin_sdk::export! {
    plugin: Once,
    input: Change<EventIn>,
    output: Option<Event>,
    event_time: of(|change| change.row.at).delay(milliseconds(100)).late(Late::Reject),
    dedup: by(|change| change.row.key).within(seconds(1)),
    row: check,
}

#[test]
fn the_first_row_of_a_key_stays_in_the_batch_and_behind_it() {
    let harness = Harness::<Once>::new();
    let mut lane = harness.lane();
    let answer = lane.run([
        Change::create(event("a", 0, -1)), // rejected, and
        Change::create(event("a", 0, 0)),  // left out: neither uses the key up
        Change::create(event("a", 0, 1)),
        Change::create(event("b", 0, 2)),
        Change::create(event("a", 0, 3)),
        Change::update(event("a", 0, 4)), // an update and a delete are no duplicates
        Change::delete(event("a", 0, 5)),
        Change::read(event("b", 0, 6)), // what a snapshot reads is one
        Change::create(EventIn { key: None, ..event("", 0, 7) }), // no key, no duplicate
        Change::create(EventIn { key: None, ..event("", 0, 8) }),
        Change::create(event("", 0, 9)), // an empty text is a key
        Change::create(event("", 0, 10)),
    ]);
    answer.assert_table("events", "value\n 1\n 2\n 4\n 5\n 7\n 8\n 9");
    assert_eq!(answer.rejects(), [(0, "negative")]);
    assert_eq!(lane.count("duplicate_rows"), 3);
    lane.restart();
    lane.run([Change::create(event("b", 0, 11)), Change::create(event("c", 0, 12))])
        .assert_table("events", "value\n 12");
}

#[test]
fn a_key_is_forgotten_when_the_watermark_has_passed_its_horizon() {
    let harness = Harness::<Once>::new();
    let mut lane = harness.lane();
    lane.run([Change::create(event("a", 500, 1))]);
    lane.advance_to(Timestamp::new(1_499));
    lane.run([Change::create(event("a", 1_499, 2))]).assert_table("events", "value");
    lane.advance_to(Timestamp::new(1_500));
    lane.run([Change::create(event("a", 1_500, 3))]).assert_table("events", "value\n 3");
    assert_eq!(lane.entries("dedup"), 1);
}

#[test]
fn late_rows_are_rejected_but_for_duplicates_and_deletes() {
    let harness = Harness::<Once>::new();
    let mut lane = harness.lane();
    lane.run([Change::create(event("a", 1_000, 1)), Change::create(event("b", 2_000, 1))]);
    assert_eq!(lane.watermark(), Some(Timestamp::new(1_900)));
    let answer = lane.run([
        Change::create(event("b", 1_899, 2)), // known: a duplicate
        Change::create(event("c", 1_899, 3)),
        Change::create(event("d", 1_900, 4)), // exactly in time
        Change::update(event("b", 1_899, 5)),
        Change::delete(event("b", 1_899, 6)),
        Change::create(EventIn { at: None, ..event("e", 0, 7) }), // of no time: not late
        Change::create(event("d", 0, 8)),                         // late, and known since three rows
    ]);
    answer.assert_table("events", "value\n 4\n 6\n 7");
    assert_eq!(answer.rejects(), [(1, "late"), (3, "late")]);
    assert_eq!((lane.count("duplicate_rows"), lane.count("late_rows")), (2, 0));
}

mod other_policies {
    use super::{Change, Ctx, Event, EventIn, Late, Reject, check, milliseconds};

    fn one<'a>(row: EventIn<'a>, ctx: &Ctx) -> Result<Option<Event<'a>>, Reject> {
        check(Change::create(row), ctx)
    }

    plugin_sdk::export! {
        plugin: Dropping,
        input: EventIn,
        output: Option<Event>,
        event_time: of(|row| row.at).delay(milliseconds(100)).late(Late::Drop),
        row: one,
    }

    fn two<'a>(row: EventIn<'a>, _: &Ctx) -> Result<impl Iterator<Item = Event<'a>>, Reject> {
        Ok((0..row.value).map(move |value| Event { key: row.key, value }))
    }

    plugin_sdk::export! {
        plugin: Several,
        input: EventIn,
        output: Event,
        dedup: by(|row| (row.key, row.value)),
        rows: two,
    }
}

#[test]
fn late_rows_are_dropped_and_counted() {
    let harness = Harness::<other_policies::Dropping>::new();
    let mut lane = harness.lane();
    lane.run([event("a", 1_000, 1), event("a", 0, 2)]).assert_table("events", "value\n 1\n 2");
    // Neither dropped nor rejected rows move the watermark, and it never goes back.
    lane.run([event("a", 899, 3), event("b", 900, 4), event("c", 5_000, -1)]).assert_table("events", "value\n 4");
    assert_eq!((lane.count("late_rows"), lane.watermark()), (1, Some(Timestamp::new(900))));
    // A date beyond the clock counts as the clock.
    lane.run([event("a", i64::MAX, 5)]);
    assert_eq!(lane.watermark(), Some(Timestamp::new(1_735_689_599_900)));
}

#[test]
fn rows_of_one_message_are_duplicates_together_and_keys_of_several_columns_are_keys() {
    let harness = Harness::<other_policies::Several>::new().batch_rows(2);
    let answer = harness.run([event("a", 0, 2), event("a", 0, 3), event("a", 0, 2), event("b", 0, 2)]);
    answer.assert_table("events", "key | value\n a | 0\n a | 1\n a | 0\n a | 1\n a | 2\n b | 0\n b | 1");
}

#[test]
fn duplicates_are_those_of_a_set() {
    for round in 0..40 {
        let mut random = Random::new("duplicates_are_those_of_a_set", round);
        let harness = Harness::<Once>::new().batch_rows(1 + random.index(12));
        let mut lane = harness.lane();
        // When each key is forgotten.
        let mut known: BTreeMap<String, i64> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..random.below(12) {
            let watermark = lane.watermark().map_or(i64::MIN, Timestamp::units);
            known.retain(|_, expiry| *expiry > watermark);
            let (mut expected, mut late, mut keys) = (Vec::new(), Vec::new(), Vec::new());
            let rows: Vec<_> = (0..random.below(40))
                .map(|value| {
                    now += random.below(30);
                    (format!("k{}", random.below(60)), now - random.below(150), value + 1)
                })
                .collect();
            for (row, (key, at, value)) in rows.iter().enumerate() {
                if known.contains_key(key) {
                    continue;
                }
                if *at < watermark {
                    late.push((row, "late", key));
                    continue;
                }
                known.insert(key.clone(), at + 1_000);
                keys.push(key);
                expected.push(value.to_string());
            }
            let answer = lane.run(rows.iter().map(|(key, at, value)| Change::create(event(key, *at, *value))));
            let found: Vec<_> = answer.rows("events").iter().map(|row| row.get("value").expect("a value")).collect();
            assert_eq!(found, expected);
            // In one call, a late row behind which its key comes in time is a duplicate as well; so fewer are rejected.
            let rejected = answer.rejects();
            assert!(rejected.iter().all(|(row, _)| late.iter().any(|late| late.0 == *row)));
            assert!(late.iter().all(|late| rejected.contains(&(late.0, "late")) || keys.contains(&late.2)));
            lane.restart();
        }
    }
}

/// What is kept of an account.
#[derive(Clone, Debug, Default, PartialEq, StateValue)]
struct Account {
    balance: i64,
    bookings: u64,
    note: String,
}

#[derive(Table)]
#[table(name = "balances", kind = "current", sort_key = ["key"])]
struct Balance {
    key: String,
    balance: i64,
    bookings: u64,
}

fn book(change: Change<EventIn>, entry: &mut Entry<Account>, _: &Ctx) -> Result<Option<Upsert<Balance>>, Reject> {
    let key = change.row.key.unwrap_or_default().to_owned();
    if change.deleted() {
        let account = entry.remove().unwrap_or_default();
        return Ok(Some(Upsert::Delete(Balance { key, balance: account.balance, bookings: account.bookings })));
    }
    if let Some(at) = change.row.at {
        entry.until(Timestamp::new(at.units() + 1_000));
    }
    let account = entry.or_default();
    account.balance += change.row.value;
    account.bookings += 1;
    if account.balance < 0 {
        return Err(Reject::new("overdrawn", "below zero"));
    }
    let Account { balance, bookings, .. } = *account;
    Ok((change.row.value != 0).then_some(Upsert::Put(Balance { key, balance, bookings })))
}

#[expect(clippy::needless_pass_by_value, reason = "the form of a function of expiry")]
fn closed(key: &str, account: Account, _: &Ctx) -> Option<Upsert<Balance>> {
    let Account { balance, bookings, .. } = account;
    (balance > 0).then(|| Upsert::Delete(Balance { key: key.to_owned(), balance, bookings }))
}

plugin_sdk::export! {
    plugin: Accounts,
    input: Change<EventIn>,
    output: Option<Upsert<Balance>>,
    event_time: of(|change| change.row.at).delay(milliseconds(100)),
    dedup: by(|change| (change.row.key, change.row.at, change.row.value)).within(seconds(10)),
    state: KeyedState<&str, Account>,
    key: |change| change.row.key.unwrap_or_default(),
    row: book,
    expire: closed,
}

#[test]
fn rows_of_a_key_see_each_others_changes_and_rejected_ones_leave_none() {
    for batch_rows in [1, 2, 3, 100] {
        let harness = Harness::<Accounts>::new().batch_rows(batch_rows);
        let mut lane = harness.lane();
        let answer = lane.run([
            Change::create(event("a", 1, 10)),
            Change::create(event("b", 2, 1)),
            Change::create(event("a", 3, -4)),
            Change::create(event("a", 4, -7)), // rejected: still 6
            Change::create(event("a", 5, -6)),
            Change::create(event("b", 2, 1)),  // a duplicate
            Change::create(event("c", 6, -1)), // rejected: no entry
            Change::create(event("b", 7, 0)),  // changes the entry, writes no row
            Change::create(event("b", 8, 1)),
        ]);
        answer.assert_table(
            "balances",
            "key | balance | bookings\n a | 10 | 1\n b | 1 | 1\n a | 6 | 2\n a | 0 | 3\n b | 2 | 3",
        );
        assert_eq!(answer.rejects(), [(3, "overdrawn"), (6, "overdrawn")]);
        assert_eq!((lane.entries("state"), lane.count("duplicate_rows")), (2, 1));
        lane.restart();
        // What was rejected did not use its key up; a delete of what there is, and of what there is not.
        let answer = lane.run([
            Change::create(event("c", 6, 5)),
            Change::create(event("c", 6, -1)),
            Change::create(event("b", 7, 0)), // a duplicate, as it changed the entry
            Change::delete(event("b", 9, 0)),
            Change::delete(event("d", 9, 0)),
            Change::create(event("b", 10, 3)),
        ]);
        answer.assert_table(
            "balances",
            "
            key | balance | bookings | _deleted
            c   | 5       | 1        | false
            c   | 4       | 2        | false
            b   | 2       | 3        | true
            d   | 0       | 0        | true
            b   | 3       | 1        | false
            ",
        );
        assert_eq!(lane.count("duplicate_rows"), 2);
    }
}

#[test]
fn an_entry_expires_when_it_was_last_told_to_and_keeps_its_expiry() {
    let harness = Harness::<Accounts>::new();
    let mut lane = harness.lane();
    lane.run([Change::create(event("a", 100, 10)), Change::create(event("b", 100, 10))]);
    // A change without a time leaves the expiry as it is.
    lane.run([Change::create(event("b", 500, 1)), Change::create(EventIn { at: None, ..event("a", 0, 1) })]);
    lane.advance_to(Timestamp::new(1_099)).assert_table("balances", "key");
    lane.advance_to(Timestamp::new(1_100)).assert_table("balances", "key | balance | _deleted\n a | 11 | true");
    lane.run([Change::create(event("a", 1_200, 5))]).assert_table("balances", "key | balance\n a | 5");
    lane.advance_to(Timestamp::new(9_000)).assert_table("balances", "key | balance\n b | 11\n a | 5");
    assert_eq!(lane.entries("state"), 0);
}

mod newer {
    use super::{Change, Ctx, Entry, EventIn, Reject, StateValue, Table};

    #[derive(StateValue)]
    pub(super) struct AccountV1 {
        balance: i64,
        bookings: u64,
        note: String,
    }

    /// In tenths of a cent, and with what it never had.
    #[derive(Clone, StateValue)]
    #[state(version = 2, from = AccountV1)]
    pub(super) struct Account {
        mills: i64,
        bookings: u64,
        frozen: Option<bool>,
    }

    impl From<AccountV1> for Account {
        fn from(old: AccountV1) -> Self {
            assert!(old.note.is_empty());
            Self { mills: old.balance * 10, bookings: old.bookings, frozen: None }
        }
    }

    #[derive(Table)]
    #[table(name = "mills", kind = "append")]
    pub(super) struct Mills {
        mills: i64,
        bookings: u64,
    }

    fn book(change: Change<EventIn>, entry: &mut Entry<Account>, _: &Ctx) -> Result<Option<Mills>, Reject> {
        if change.row.value == 0 {
            return Ok(entry.get().map(|account| Mills { mills: account.mills, bookings: account.bookings }));
        }
        let Some(account) = entry.get_mut() else { return Ok(None) };
        (account.mills, account.frozen) = (account.mills + change.row.value, Some(false));
        Ok(Some(Mills { mills: account.mills, bookings: account.bookings }))
    }

    plugin_sdk::export! {
        plugin: Newer,
        input: Change<EventIn>,
        output: Option<Mills>,
        event_time: of(|change| change.row.at),
        dedup: by(|_| None::<u64>),
        state: KeyedState<&str, Account>,
        key: |change| change.row.key.unwrap_or_default(),
        row: book,
    }

    use super::KeyedState;
}

#[test]
fn entries_are_read_in_the_version_that_wrote_them() {
    let (old, new) = (Harness::<Accounts>::new(), Harness::<newer::Newer>::new());
    assert_eq!(new.description().state.as_ref().map(|state| (state.version, state.reads.clone())), Some((2, vec![1])));
    let mut lane = old.lane();
    lane.run([Change::create(event("a", 0, 7)), Change::create(event("b", 0, 8))]);
    let mut lane = lane.taken_over_by(&new);
    lane.run([Change::create(event("a", 0, 1))]).assert_table("mills", "mills | bookings\n 71 | 1");
    let read = [event("a", 0, 0), event("b", 0, 0)].map(Change::create);
    lane.run(read).assert_table("mills", "mills\n 71\n 80");
}

#[test]
#[should_panic(expected = "state of version 2 can't be read")]
fn a_lane_of_a_newer_version_is_refused() {
    let (old, new) = (Harness::<Accounts>::new(), Harness::<newer::Newer>::new());
    let _ = new.lane().taken_over_by(&old);
}

#[derive(Clone, Copy, Debug, PartialEq, StateKey)]
struct Pair<'a> {
    word: &'a str,
    number: i64,
}

fn vectors(
    batch: &Batch<EventIn>,
    (counts, seen): &(KeyedState<Pair, u64>, KeySet<(&str, Uuid)>),
    emit: &mut Emit<Event>,
    _: &Ctx,
) -> Result<(), String> {
    fn key(row: EventIn<'_>) -> Pair<'_> {
        Pair { word: row.key.unwrap_or_default(), number: row.value }
    }
    let before = counts.get_many(batch.rows().map(key))?;
    let sums: Vec<_> = before.iter().map(|before| before.unwrap_or(0) + 1).collect();
    counts.put_many(
        batch.rows().zip(&sums).map(|(row, sum)| (key(row), sum, row.at.map(|at| Timestamp::new(at.units() + 40)))),
    );
    let new = seen.insert_many(batch.rows().map(|row| ((row.key.unwrap_or_default(), Uuid::default()), None)));
    let there = seen.contains_many(batch.rows().map(|row| (row.key.unwrap_or_default(), Uuid::default())));
    assert_eq!(there.count_ones(), batch.len());
    for row in (0..batch.len()).filter(|row| new.get(*row) || sums[*row] > 1) {
        let value = i64::try_from(sums[row]).expect("small");
        emit.tables.push(row, Event { key: batch.row(row).key, value });
    }
    counts.delete_many(batch.rows().filter(|row| row.value == 9).map(key));
    Ok(())
}

mod batch_style {
    use super::{Event, EventIn, KeySet, KeyedState, Pair, Uuid, vectors};

    plugin_sdk::export! {
        plugin: Vectors,
        input: EventIn,
        output: Event,
        event_time: of(|row| row.at),
        state: (KeyedState<Pair, u64>, KeySet<(&str, Uuid)>),
        batch: vectors,
    }
}

#[test]
fn batch_style_reads_and_writes_tables_itself() {
    let harness = Harness::<batch_style::Vectors>::new();
    let mut lane = harness.lane();
    lane.run([event("a", 50, 1), event("b", 60, 9)]).assert_table("events", "key | value\n a | 1\n b | 1");
    let rows = [event("a", 90, 1), event("b", 90, 9), event("a", 90, 2), event("a", 90, 1)];
    // Both rows of a key see what was there before the batch.
    lane.run(rows).assert_table("events", "key | value\n a | 2\n a | 2");
    lane.run([event("a", 91, 1)]).assert_table("events", "key | value\n a | 3");
    assert_eq!((lane.entries("state"), lane.entries("state_2")), (2, 2));
    lane.advance_to(Timestamp::new(131));
    lane.run([event("a", 131, 1)]).assert_table("events", "key | value");
}

mod mistakes {
    use super::{Change, Ctx, Event, EventIn, Late, Reject, check, seconds};

    plugin_sdk::export! {
        plugin: NoTime,
        input: Change<EventIn>,
        output: Option<Event>,
        dedup: by(|change| change.row.key).within(seconds(1)),
        row: check,
    }

    fn batch(
        _: &plugin_sdk::Batch<EventIn>,
        _: &plugin_sdk::KeySet<u64>,
        _: &mut plugin_sdk::Emit<Event>,
        _: &Ctx,
    ) -> Result<(), String> {
        Ok(())
    }

    plugin_sdk::export! {
        plugin: LateBatch,
        input: EventIn,
        output: Event,
        event_time: of(|row| row.at).late(Late::Drop),
        state: plugin_sdk::KeySet<u64>,
        batch: batch,
    }

    #[expect(dead_code, reason = "it is of no use")]
    fn unused(_: Result<(), Reject>) {}
}

#[test]
fn contradictions_are_told() {
    let said = |contradiction: plugin_sdk::Contradiction| contradiction.to_string();
    let no_time = mistakes::NoTime::description().map_err(said).expect_err("no event time");
    assert!(no_time.contains("dedup forgets keys by event time"), "{no_time}");
    let late = mistakes::LateBatch::description().map_err(said).expect_err("late rows in batch style");
    assert!(late.contains("in batch style the function decides of late rows"), "{late}");
}
