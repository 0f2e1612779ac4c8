//! Sessions against what plain Rust makes of the same events: in order and out of order, with updates and deletes, over
//! epochs, batches and restarts.

use std::collections::BTreeMap;

use plugin_sdk::testing::{Harness, Lane, TableRow};
use plugin_sdk::{
    Change, Ctx, Late, Merge, Millis, Op, Plugin, Reject, Row, Session, StateValue, Table, Timestamp, Uuid,
    milliseconds,
};

mod random;
use random::Random;

const GAP: i64 = 100;
const LONGEST: i64 = 350;

#[derive(Clone, Copy, Debug, Row)]
struct EventIn {
    id: i64,
    user: i64,
    at: Option<Timestamp<Millis>>,
    cents: i64,
}

/// Not commutative, so that the order of the fold shows.
#[derive(Clone, Debug, PartialEq, StateValue)]
struct Sum {
    cents: i64,
    events: Vec<i64>,
}

impl Merge for Sum {
    fn merge(&mut self, later: &Self) {
        self.cents += later.cents;
        self.events.extend(&later.events);
    }
}

#[derive(Table)]
#[table(name = "events", kind = "current", sort_key = ["id"])]
struct EventOut {
    id: i64,
    session: Option<Uuid>,
    session_events: Option<u64>,
}

#[derive(Table)]
#[table(name = "sessions", kind = "current", sort_key = ["user", "start"])]
struct SessionOut {
    user: i64,
    start: Timestamp<Millis>,
    end: Timestamp<Millis>,
    session: Uuid,
    events: u64,
    cents: i64,
    order: String,
    closed: bool,
}

fn check(event: &EventIn) -> Result<Option<Sum>, Reject> {
    match event.cents {
        ..0 => Err(Reject::new("negative", "cents are not below zero")),
        0 => Ok(None),
        cents => Ok(Some(Sum { cents, events: vec![event.id] })),
    }
}

fn session_row(user: i64, session: Session<Sum>, _: &Ctx) -> SessionOut {
    let order: Vec<_> = session.sum.events.iter().map(ToString::to_string).collect();
    SessionOut {
        user,
        start: session.start,
        end: session.end,
        session: session.id,
        events: session.events,
        cents: session.sum.cents,
        order: order.join(" "),
        closed: session.closed,
    }
}

mod appended {
    use super::{Ctx, EventIn, EventOut, Reject, Session, SessionOut, Sum, milliseconds, session_row};

    fn check(event: EventIn, _: &Ctx) -> Result<Option<Sum>, Reject> {
        super::check(&event)
    }

    fn event(event: EventIn, session: Session<Sum>, _: &Ctx) -> EventOut {
        EventOut { id: event.id, session: Some(session.id), session_events: Some(session.events) }
    }

    plugin_sdk::export! {
        plugin: Appended,
        input: EventIn,
        output: (EventOut, SessionOut),
        event_time: of(|event| event.at).delay(milliseconds(200)),
        sessions: by(|event| event.user).gap(milliseconds(100)).longest(milliseconds(350)),
        row: check,
        event: event,
        session: session_row,
    }
}

mod changed {
    use super::{Change, Ctx, EventIn, EventOut, Late, Reject, Session, SessionOut, Sum, milliseconds, session_row};

    fn check(change: Change<EventIn>, _: &Ctx) -> Result<Option<Sum>, Reject> {
        super::check(&change.row)
    }

    fn event(change: Change<EventIn>, session: Option<Session<Sum>>, _: &Ctx) -> EventOut {
        let (id, events) = (session.map(|session| session.id), session.map(|session| session.events));
        EventOut { id: change.row.id, session: id, session_events: events }
    }

    plugin_sdk::export! {
        plugin: Changed,
        input: Change<EventIn>,
        output: (EventOut, SessionOut),
        event_time: of(|change| change.row.at).delay(milliseconds(200)).late(Late::Reject),
        sessions: by(|change| change.row.user).gap(milliseconds(100)).longest(milliseconds(350)).id(|change| change.row.id),
        row: check,
        event: event,
        session: session_row,
    }
}

use appended::Appended;
use changed::Changed;

fn event(id: i64, user: i64, at: i64, cents: i64) -> EventIn {
    EventIn { id, user, at: Some(Timestamp::new(at)), cents }
}

/// What a table of kind `current` shows, by its sort key.
#[derive(Default)]
struct Current(BTreeMap<(i64, String), TableRow>);

impl Current {
    fn take(&mut self, rows: &[TableRow]) {
        for row in rows {
            let text = |column| row.get(column).expect("not null").to_owned();
            let key = (text("user").parse().expect("a number"), text("start"));
            if row.deletes == Some(true) {
                assert!(self.0.remove(&key).is_some(), "a row is deleted that was not there: {row}");
            } else {
                self.0.insert(key, row.clone());
            }
        }
    }

    fn shown(&self) -> Vec<String> {
        let columns = ["user", "start", "end", "events", "cents", "order"];
        let text = |row: &TableRow| columns.map(|column| row.get(column).expect("not null").to_owned()).join(" | ");
        self.0.values().map(text).collect()
    }
}

/// What events make in order of time, those of one time in the order given: (user, time, id, cents).
fn reference(events: &[(i64, i64, i64, i64)]) -> Vec<String> {
    let mut events = events.to_vec();
    events.sort_by_key(|event| (event.0, event.1));
    let mut sessions: Vec<(i64, i64, i64, u64, i64, Vec<String>)> = Vec::new();
    for (user, at, id, cents) in events {
        match sessions.last_mut() {
            Some(last) if last.0 == user && at - last.2 < GAP && at - last.1 < LONGEST => {
                last.2 = at;
                last.3 += 1;
                last.4 += cents;
                last.5.push(id.to_string());
            }
            _ => sessions.push((user, at, at, 1, cents, vec![id.to_string()])),
        }
    }
    let time = |ms| Timestamp::<Millis>::new(ms).to_string();
    let text = |(user, start, end, events, cents, order): &(i64, i64, i64, u64, i64, Vec<String>)| {
        format!("{user} | {} | {} | {events} | {cents} | {}", time(*start), time(*end), order.join(" "))
    };
    let mut shown: Vec<_> = sessions.iter().map(|session| (session.0, time(session.1), text(session))).collect();
    shown.sort();
    shown.into_iter().map(|(.., text)| text).collect()
}

const SESSIONS: &str = "sessions";

#[test]
fn sessions_of_events_in_order() {
    let harness = Harness::<Appended>::new();
    let mut lane = harness.lane();
    let answer = lane.run([event(1, 7, 0, 5), event(2, 8, 10, 1), event(3, 7, 99, 2), event(4, 7, 199, 4)]);
    // 100 after the one before is a session of its own.
    answer.assert_table(
        SESSIONS,
        "
        user | start                    | end                      | events | cents | closed | _deleted
        7    | 1970-01-01T00:00:00.000Z | 1970-01-01T00:00:00.099Z | 2      | 7     | false  | false
        7    | 1970-01-01T00:00:00.199Z | 1970-01-01T00:00:00.199Z | 1      | 4     | false  | false
        8    | 1970-01-01T00:00:00.010Z | 1970-01-01T00:00:00.010Z | 1      | 1     | false  | false
        ",
    );
    answer.assert_table("events", "id | session_events\n 1 | 2\n 2 | 1\n 3 | 2\n 4 | 1");
    let ids: Vec<_> = answer.rows("events").iter().map(|row| row.get("session")).collect();
    assert!(ids[0] == ids[2] && ids[0] != ids[3] && ids[0] != ids[1]);
    assert_eq!(answer.rows(SESSIONS)[0].get("session"), ids[0]);
    assert_eq!(lane.watermark(), Some(Timestamp::new(-1)));

    // The first one of 7 is over at 199, that of 8 at 110.
    let answer = lane.advance_to(Timestamp::new(198));
    answer.assert_table(SESSIONS, "user | closed | events\n 8 | true | 1");
    assert_eq!(answer.rows(SESSIONS)[0].from, None);
    let answer = lane.advance_to(Timestamp::new(199));
    answer.assert_table(SESSIONS, "user | closed | events\n 7 | true | 2");
    assert_eq!(lane.entries("sessions"), 1);
    let answer = lane.advance_to(Timestamp::new(10_000));
    answer.assert_table(SESSIONS, "user | closed | events\n 7 | true | 1");
    assert_eq!(lane.entries("sessions"), 0);
}

#[test]
fn an_event_in_between_merges_two_sessions_and_one_in_front_moves_the_start() {
    let harness = Harness::<Appended>::new();
    let mut lane = harness.lane();
    lane.run([event(1, 7, 1_000, 1), event(2, 7, 1_150, 1)]);
    let answer = lane.run([event(3, 7, 1_080, 1)]);
    answer.assert_table(
        SESSIONS,
        "
        start                    | events | order | _deleted
        1970-01-01T00:00:01.150Z | 1      | 2     | true
        1970-01-01T00:00:01.000Z | 3      | 1 3 2 | false
        ",
    );
    let answer = lane.run([event(4, 7, 950, 1)]);
    answer.assert_table(
        SESSIONS,
        "
        start                    | events | order   | _deleted
        1970-01-01T00:00:01.000Z | 3      | 1 3 2   | true
        1970-01-01T00:00:00.950Z | 4      | 4 1 3 2 | false
        ",
    );
    // Both in one batch: nothing was told, so nothing is taken back.
    let answer =
        harness.run([event(1, 7, 1_000, 1), event(2, 7, 1_150, 1), event(3, 7, 1_080, 1), event(4, 7, 950, 1)]);
    answer.assert_table(SESSIONS, "events | _deleted\n 4 | false");
}

#[test]
fn a_session_ends_at_its_greatest_length() {
    let harness = Harness::<Appended>::new();
    let mut lane = harness.lane();
    let events = (0..8).map(|number| event(number, 7, number * 50, 1));
    lane.run(events).assert_table(SESSIONS, "events | order\n 7 | 0 1 2 3 4 5 6\n 1 | 7");
    // No event from 350 on can be of the first one, though its last event was at 300.
    lane.advance_to(Timestamp::new(350)).assert_table(SESSIONS, "events | closed\n 7 | true");
}

#[test]
fn rejected_and_dropped_rows_are_of_no_session_and_rows_without_time_are_rejected() {
    let harness = Harness::<Appended>::new();
    let mut lane = harness.lane();
    let answer = lane.run([
        event(1, 7, 9_000, -1),
        event(2, 7, 9_000, 0),
        EventIn { at: None, ..event(3, 7, 0, 1) },
        event(4, 7, 10, 1),
    ]);
    assert_eq!(answer.rejects(), [(0, "negative"), (2, "no_event_time")]);
    answer.assert_table("events", "id\n 4");
    answer.assert_table(SESSIONS, "order\n 4");
    assert_eq!(lane.watermark(), Some(Timestamp::new(-190)));
}

#[test]
fn what_comes_too_late_makes_a_session_that_is_closed_at_once() {
    let harness = Harness::<Appended>::new();
    let mut lane = harness.lane();
    lane.run([event(1, 7, 10_000, 1)]);
    let answer = lane.run([event(2, 7, 500, 1), event(3, 7, 9_750, 1)]);
    answer.assert_table(SESSIONS, "order | closed\n 2 | true\n 3 | false");
    answer.assert_table("events", "id | session_events\n 2 | 1\n 3 | 1");
    lane.advance_to(Timestamp::new(20_000)).assert_table(SESSIONS, "order | closed\n 3 | true\n 1 | true");
}

#[test]
fn updates_move_events_and_deletes_take_them_out() {
    let harness = Harness::<Changed>::new();
    let mut lane = harness.lane();
    lane.run([1, 2, 3].map(|id| Change::create(event(id, 7, 1_000 + id * 60, id))));
    // From the middle to another user: the session falls in two.
    let answer = lane.run([Change::update(event(2, 8, 1_120, 2))]);
    answer.assert_table(
        SESSIONS,
        "
        user | start                    | order | _deleted
        8    | 1970-01-01T00:00:01.120Z | 2     | false
        7    | 1970-01-01T00:00:01.060Z | 1     | false
        7    | 1970-01-01T00:00:01.180Z | 3     | false
        ",
    );
    // To the front of another session, and one deleted, of which only the key is known.
    let answer = lane.run([Change::update(event(3, 8, 1_100, 9)), Change::delete(event(1, 0, 0, 0))]);
    answer.assert_table(
        SESSIONS,
        "
        user | start                    | order | cents | _deleted
        8    | 1970-01-01T00:00:01.120Z | 2     | 2     | true
        8    | 1970-01-01T00:00:01.100Z | 3 2   | 11    | false
        7    | 1970-01-01T00:00:01.060Z | 1     | 1     | true
        7    | 1970-01-01T00:00:01.180Z | 3     | 3     | true
        ",
    );
    answer.assert_table("events", "id | session_events\n 3 | 2\n 1 | null");
    assert_eq!((lane.entries("sessions"), lane.entries("session_events")), (1, 2));

    // Unknown, deleted twice, created and deleted in one batch, given up by an update, rejected: nothing changes but 2.
    let answer = lane.run([
        Change::delete(event(99, 8, 1_100, 1)),
        Change::delete(event(1, 0, 0, 0)),
        Change::create(event(5, 8, 1_130, 1)),
        Change::delete(event(5, 8, 1_130, 1)),
        Change::update(event(2, 8, 1_120, 0)),
        Change::update(event(3, 8, 1_100, -1)),
        Change::create(event(3, 8, 1_100, 9)),
    ]);
    answer.assert_table(SESSIONS, "user | order | cents | _deleted\n 8 | 3 | 9 | false");
    assert_eq!(answer.rejects(), [(5, "negative")]);
    lane.advance_to(Timestamp::new(10_000)).assert_table(SESSIONS, "order | closed\n 3 | true");
    assert_eq!((lane.entries("sessions"), lane.entries("session_events")), (0, 0));
    // Over: a delete finds nothing, and a change of long ago is late.
    let answer = lane.run([Change::delete(event(3, 8, 1_100, 9)), Change::update(event(2, 8, 1_120, 2))]);
    answer.assert_table(SESSIONS, "order");
    assert_eq!(answer.rejects(), [(1, "late")]);
}

/// One event a user and time, added in any order, over epochs and batches: the table is what they make in order.
#[test]
fn any_order_makes_the_same_sessions() {
    for round in 0..60 {
        let mut random = Random::new("any_order_makes_the_same_sessions", round);
        let mut events: Vec<_> =
            (0..random.below(120)).map(|id| (random.below(4), random.below(1_500), id, 1 + random.below(9))).collect();
        let harness = Harness::<Appended>::new().batch_rows(1 + random.index(9));
        let mut lane = harness.lane();
        let mut current = Current::default();
        shuffle(&mut random, &mut events);
        let mut rest = events.as_slice();
        while !rest.is_empty() {
            let (epoch, more) = rest.split_at(random.index(rest.len().min(40)) + 1);
            // All of an epoch are in time, as long as nothing is closed: the watermark stays below all.
            current.take(lane.run(epoch.iter().map(|it| event(it.2, it.0, it.1, it.3))).rows(SESSIONS));
            lane.restart();
            rest = more;
            if lane.watermark() > Some(Timestamp::new(-1)) {
                lane = same_without_watermark(lane, &harness);
            }
        }
        assert_eq!(current.shown(), reference(&events));
    }
}

/// Sessions that nobody closes: as if the delay were without end.
fn same_without_watermark<'h, P: Plugin>(lane: Lane<'h, P>, harness: &'h Harness<P>) -> Lane<'h, P> {
    lane.at_watermark(None).taken_over_by(harness)
}

/// Inserts, updates and deletes within the delay; the watermark moves and closes sessions on the way.
#[test]
fn changes_within_the_delay_make_the_sessions_of_what_is_left() {
    for round in 0..60 {
        let mut random = Random::new("changes_within_the_delay_make_the_sessions_of_what_is_left", round);
        let harness = Harness::<Changed>::new().batch_rows(1 + random.index(30));
        let mut lane = harness.lane();
        let mut current = Current::default();
        // (user, time, id, cents), in the order of their last change.
        let mut live: Vec<(i64, i64, i64, i64)> = Vec::new();
        let mut now = 0;
        for _ in 0..random.below(40) {
            let watermark = lane.watermark().map_or(i64::MIN, Timestamp::units);
            // What is of a closed session can't change any more.
            let open = |event: &(i64, i64, i64, i64)| event.1 >= watermark;
            let mut changes = Vec::new();
            for _ in 0..random.below(20) {
                now += random.below(20);
                let at = (now - random.below(200)).max(watermark);
                let (user, cents) = (random.below(3), 1 + random.below(9));
                let changeable: Vec<_> = live.iter().copied().filter(open).collect();
                let old = (!changeable.is_empty()).then(|| changeable[random.index(changeable.len())]);
                match (random.below(4), old) {
                    (0, Some(old)) => {
                        live.retain(|event| event.2 != old.2);
                        changes.push(Change { op: Op::Delete, ..Change::delete(event(old.2, 0, 0, 0)) });
                    }
                    (1, Some(old)) => {
                        live.retain(|event| event.2 != old.2);
                        live.push((user, at, old.2, cents));
                        changes.push(Change::update(event(old.2, user, at, cents)));
                    }
                    _ => {
                        let id = i64::try_from(round * 100_000).expect("small") + now * 50 + random.below(50);
                        live.retain(|event| event.2 != id);
                        live.push((user, at, id, cents));
                        changes.push(Change::create(event(id, user, at, cents)));
                    }
                }
            }
            let answer = lane.run(changes);
            assert_eq!(answer.rejects(), []);
            current.take(answer.rows(SESSIONS));
            lane.restart();
            assert_eq!(current.shown(), reference(&live), "open sessions too are what is left");
        }
        let answer = lane.advance_to(Timestamp::new(now + 10_000));
        current.take(answer.rows(SESSIONS));
        assert_eq!(current.shown(), reference(&live));
        assert!(current.0.values().all(|row| row.get("closed") == Some("true")));
        assert_eq!((lane.entries("sessions"), lane.entries("session_events")), (0, 0));
    }
}

/// Any order.
fn shuffle<T>(random: &mut Random, all: &mut [T]) {
    for last in (1..all.len()).rev() {
        all.swap(last, random.index(last + 1));
    }
}
