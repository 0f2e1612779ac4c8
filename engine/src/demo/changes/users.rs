//! `public.users`: the source table as it changes, and each change as a flattened row
//! (`ExtractNewRecordState` with `add.fields=op,ts_ms,source.ts_ms` and `delete.tombstone.handling.mode=rewrite`).

use std::fmt;

use super::{Change, Mix};
use crate::random::Random;

/// As JSON text: Kafka's converter writes characters beyond the BMP as escaped surrogate pairs.
const FIRST: [&str; 10] =
    ["Alice", "Bob", "Çağla", "Sean \\\"Q\\\"", "李", "Ada \\uD83D\\uDE80", "Dave", "Eve", "Zoë", "Tom"];
const LAST: [&str; 8] = ["Johnson", "Smith", "Öztürk", "O'Brien", "雷", "Lovelace", "Zähringer", "Bailey"];

/// One row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// Primary key.
    pub id: i32,
    first: usize,
    last: usize,
    /// Raised by each change of the address.
    address: u32,
    /// Microseconds since 1970-01-01.
    pub created_at: i64,
    /// Microseconds since 1970-01-01.
    pub updated_at: i64,
    /// Written in mixed case with blanks around, as people type addresses.
    untidy: bool,
}

impl User {
    /// The name as text.
    #[must_use]
    pub fn full_name(&self) -> String {
        let first = FIRST[self.first].replace("\\\"", "\"").replace("\\uD83D\\uDE80", "\u{1F680}");
        format!("{first} {}", LAST[self.last])
    }

    /// The address, clean.
    #[must_use]
    pub fn email(&self) -> String {
        format!("user{}.{}@example.com", self.id, self.address)
    }

    fn written_email(&self) -> String {
        if self.untidy { format!(" User{}.{}@Example.COM", self.id, self.address) } else { self.email() }
    }
}

/// The table, and the source of its changes.
#[derive(Debug)]
pub struct Users {
    random: Random,
    mix: Mix,
    snapshot: u32,
    rows: Vec<User>,
    next_id: i32,
    deleted: u64,
    malformed: u64,
}

impl Users {
    /// An empty table. Its first `snapshot` changes are what a connector's first snapshot reads.
    #[must_use]
    pub fn new(seed: u64, snapshot: u32, mix: Mix) -> Self {
        Self { random: Random::new(seed), mix, snapshot, rows: Vec::new(), next_id: 1, deleted: 0, malformed: 0 }
    }

    /// The rows as they are now, in no order.
    #[must_use]
    pub fn rows(&self) -> &[User] {
        &self.rows
    }

    /// Rows that were deleted so far.
    #[must_use]
    pub fn deleted(&self) -> u64 {
        self.deleted
    }

    /// Messages so far that are no JSON.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.malformed
    }

    /// Changes the table once and gives the message that tells of it. `now`: microseconds since 1970-01-01.
    pub fn change(&mut self, now: i64, out: &mut Vec<Change>) {
        let roll = self.random.below(1_000);
        let message = if self.snapshot > 0 {
            self.snapshot -= 1;
            self.insert('r', now)
        } else if roll < self.mix.bad && !self.rows.is_empty() {
            self.spoil(now)
        } else if roll < self.mix.bad + self.mix.deletes && !self.rows.is_empty() {
            self.delete(now)
        } else if roll < self.mix.bad + self.mix.deletes + self.mix.updates && !self.rows.is_empty() {
            self.update(now)
        } else {
            self.insert('c', now)
        };
        out.push(message);
    }

    fn insert(&mut self, op: char, now: i64) -> Change {
        let user = User {
            id: self.next_id,
            first: self.random.index(FIRST.len()),
            last: self.random.index(LAST.len()),
            address: 0,
            created_at: now,
            updated_at: now,
            untidy: self.random.below(20) == 0,
        };
        self.next_id += 1;
        let message = message(op, &user, now);
        self.rows.push(user);
        message
    }

    fn update(&mut self, now: i64) -> Change {
        let index = self.random.index(self.rows.len());
        let user = &mut self.rows[index];
        user.updated_at = now;
        if self.random.below(2) == 0 {
            user.address += 1;
        } else {
            user.last = self.random.index(LAST.len());
        }
        message('u', user, now)
    }

    fn delete(&mut self, now: i64) -> Change {
        let index = self.random.index(self.rows.len());
        let user = self.rows.swap_remove(index);
        self.deleted += 1;
        message('d', &user, now)
    }

    fn spoil(&mut self, now: i64) -> Change {
        let user = &self.rows[self.random.index(self.rows.len())];
        let mut message = message('u', user, now);
        if let Some(value) = &mut message.value {
            value.truncate(value.len() / 2);
        }
        self.malformed += 1;
        message
    }
}

fn message(op: char, user: &User, now: i64) -> Change {
    let (id, ms) = (user.id, now / 1_000);
    let (first, last, email) = (FIRST[user.first], LAST[user.last], user.written_email());
    let (created, updated) = (Zoned(user.created_at), Zoned(user.updated_at));
    let deleted = op == 'd';
    let value = format!(
        r#"{{"user_id":{id},"full_name":"{first} {last}","email":"{email}","created_at":"{created}","updated_at":"{updated}","__deleted":"{deleted}","__op":"{op}","__ts_ms":{ms},"__source_ts_ms":{ms}}}"#
    );
    Change { id, key: format!("{{\"user_id\":{id}}}").into_bytes(), value: Some(value.into_bytes()) }
}

/// Microseconds since 1970-01-01 as `2026-11-20T12:29:43.836554Z`: Debezium's `ZonedTimestamp`.
pub(super) struct Zoned(pub(super) i64);

impl fmt::Display for Zoned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0.div_euclid(86_400_000_000));
        let us = self.0.rem_euclid(86_400_000_000);
        let (s, fraction) = (us / 1_000_000, us % 1_000_000);
        let (hour, minute, second) = (s / 3_600, s / 60 % 60, s % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{fraction:06}Z")
    }
}

/// Year, month and day of a day number, by the rules of the Gregorian calendar. The year is taken to begin in March,
/// so that the day that comes and goes is its last one (Hinnant, "chrono-Compatible Low-Level Date Algorithms").
fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468; // from 0000-03-01 on
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}
