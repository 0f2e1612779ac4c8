//! The messages, one after the other.

use std::collections::VecDeque;

use engine::clock::iso;
use engine::random::Random;

use crate::event::{CURRENCIES, Device, Event, PAGES, Properties, REASONS, amount, raw};
use crate::people::{Act, PLANS, People};
use crate::{DAY_MS, Message};

/// A message that is sent again is one of so many before it: some come back at once, as a client repeats what it got no
/// answer for, some hours later, as a phone does that was in a tunnel.
const REPEATED_FROM: usize = 5_000;

/// One event in ten comes out of order, by at most this.
const OUT_OF_ORDER_MS: u32 = 60_000;

/// How many of a million messages are which; the others are good and new.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mix {
    /// Break a rule.
    pub bad: u32,
    /// Are good, and were sent before.
    pub duplicates: u32,
}

/// What a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// An event that is right.
    Good,
    /// The very bytes of one that was sent before.
    Duplicate,
    /// An event on which this is wrong, and nothing else.
    Bad(Defect),
}

/// What is wrong with an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Defect {
    /// The text ends in the middle.
    Truncated,
    /// Of a form that nobody knows.
    Version,
    /// Of a type that nobody knows.
    Type,
    /// There is no `idempotency_key`.
    NoKey,
    /// There is no `user_id`.
    NoUser,
    /// The time is no time.
    Time,
    /// The application's clock is years ahead.
    Ahead,
    /// A page view without page.
    NoPage,
    /// An amount below zero, or with too many digits.
    Amount,
    /// A currency that is none.
    Currency,
}

impl Defect {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Truncated,
        Self::Version,
        Self::Type,
        Self::NoKey,
        Self::NoUser,
        Self::Time,
        Self::Ahead,
        Self::NoPage,
        Self::Amount,
        Self::Currency,
    ];
}

/// The messages that a seed makes.
#[derive(Debug)]
pub struct Stream {
    /// Decides which message is good, bad or sent before; nothing else, so that the times have no say in it.
    rolls: Random,
    random: Random,
    mix: Mix,
    people: People,
    /// Messages so far, by partition.
    ends: Vec<i64>,
    /// The last good messages: user and value.
    recent: VecDeque<(u32, String)>,
}

impl Stream {
    /// Messages for so many partitions (at least one), of at most so many users.
    #[must_use]
    pub fn new(seed: u64, mix: Mix, partitions: u32, most_users: u32) -> Self {
        let ends = vec![0; partitions.max(1) as usize];
        let (rolls, random) = (Random::new(seed), Random::new(!seed));
        Self { rolls, random, mix, people: People::new(most_users), ends, recent: VecDeque::new() }
    }

    /// The next message: of an event at this time, if it is of a new one; made now. Both are ms since 1970-01-01 UTC.
    pub fn next(&mut self, at_ms: i64, now_ms: i64) -> Message {
        let roll = self.rolls.below(1_000_000);
        let is_duplicate = roll >= self.mix.bad && roll < self.mix.bad + self.mix.duplicates && !self.recent.is_empty();
        let (user, value, truth) = if is_duplicate {
            let (user, value) = self.recent[self.random.index(self.recent.len())].clone();
            (user, value, Truth::Duplicate)
        } else {
            let act = self.people.next(&mut self.random, at_ms);
            let event = self.event(act, at_ms);
            if roll < self.mix.bad {
                let (value, defect) = self.spoilt(event, at_ms);
                (act.user, value, Truth::Bad(defect))
            } else {
                let value = event.text();
                self.remember(act.user, value.clone());
                (act.user, value, Truth::Good)
            }
        };
        let partition = user as usize % self.ends.len();
        let offset = self.ends[partition];
        self.ends[partition] += 1;
        let partition = i32::try_from(partition).expect("partitions are numbered in 32 bits");
        Message { partition, offset, made_ms: now_ms, key: user_id(user), value, truth }
    }

    fn remember(&mut self, user: u32, value: String) {
        if self.recent.len() == REPEATED_FROM {
            self.recent.pop_front();
        }
        self.recent.push_back((user, value));
    }

    fn event(&mut self, act: Act, at_ms: i64) -> Event {
        let (event_type, properties) = self.what_happens(act);
        let random = &mut self.random;
        let out_of_order = random.below(10) == 0 && !act.is_signup;
        let at_ms = if out_of_order { at_ms - i64::from(random.below(OUT_OF_ORDER_MS)) } else { at_ms };
        Event {
            schema_version: "v1",
            event_id: format!("{:016x}", random.bits()),
            idempotency_key: Some(format!("{:016x}{:08x}", random.bits(), random.bits() >> 32)),
            event_type,
            user_id: Some(user_id(act.user)),
            // Some clients count visits themselves.
            session_id: act.device.is_multiple_of(2).then(|| format!("v{}", act.visit)),
            timestamp: iso(at_ms),
            device: Device::of(act.device),
            properties,
        }
    }

    fn what_happens(&mut self, act: Act) -> (&'static str, Properties) {
        let random = &mut self.random;
        if act.is_signup {
            return ("user_signup", Properties { plan: Some(PLANS[act.plan]), ..Properties::default() });
        }
        match random.below(100) {
            0..86 => ("page_view", Properties { page: Some(random.pick(&PAGES)), ..Properties::default() }),
            86..96 => {
                // One purchase in four is of a plan, now and then of the one that the user has.
                let plan = (random.below(4) == 0).then(|| random.index(PLANS.len()));
                let bought = Properties {
                    amount: Some(amount(99 + random.below(50_000), random.below(10) == 0)),
                    currency: Some(random.pick(&CURRENCIES)),
                    plan: plan.map(|plan| PLANS[plan]),
                    ..Properties::default()
                };
                if let Some(plan) = plan {
                    self.people.change_plan(act.user, plan);
                }
                ("purchase", bought)
            }
            _ => ("payment_failed", Properties { reason: Some(random.pick(&REASONS)), ..Properties::default() }),
        }
    }

    /// The event with one thing wrong.
    fn spoilt(&mut self, mut event: Event, at_ms: i64) -> (String, Defect) {
        let defect = self.random.pick(&Defect::ALL);
        match defect {
            Defect::Truncated => {
                let text = event.text();
                // At least the first brace, at most all but the last one; all of it is ASCII.
                let length = 1 + self.random.index(text.len() - 1);
                return (text[..length].to_owned(), defect);
            }
            Defect::Version => event.schema_version = "v2",
            Defect::Type => event.event_type = "logout",
            Defect::NoKey => event.idempotency_key = None,
            Defect::NoUser => event.user_id = None,
            Defect::Time => event.timestamp = "yesterday".to_owned(),
            Defect::Ahead => event.timestamp = iso(at_ms + 3 * 365 * DAY_MS),
            Defect::NoPage => (event.event_type, event.properties) = ("page_view", Properties::default()),
            Defect::Amount | Defect::Currency => (event.event_type, event.properties) = self.bad_purchase(defect),
        }
        (event.text(), defect)
    }

    fn bad_purchase(&mut self, defect: Defect) -> (&'static str, Properties) {
        let wrong = [raw("-5.00".to_owned()), raw("1.999".to_owned()), raw("\"ten\"".to_owned())];
        let (amount, currency) = if defect == Defect::Amount {
            (wrong[self.random.index(wrong.len())].clone(), "EUR")
        } else {
            (amount(99 + self.random.below(50_000), false), "euro")
        };
        ("purchase", Properties { amount: Some(amount), currency: Some(currency), ..Properties::default() })
    }
}

fn user_id(number: u32) -> String {
    format!("u{number}")
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use super::*;

    const MIX: Mix = Mix { bad: 10_000, duplicates: 50_000 };

    fn messages(seed: u64, count: i64) -> Vec<Message> {
        let mut stream = Stream::new(seed, MIX, 4, 300);
        (0..count).map(|second| stream.next(second * 1000, second)).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_messages() {
        assert_eq!(messages(3, 500), messages(3, 500));
        assert_ne!(messages(3, 500), messages(4, 500));
    }

    #[test]
    fn as_many_are_bad_and_repeated_as_were_asked_for() {
        let messages = messages(7, 100_000);
        let count = |is: fn(&Truth) -> bool| messages.iter().filter(|message| is(&message.truth)).count();
        let (bad, again) = (count(|it| matches!(it, Truth::Bad(_))), count(|it| *it == Truth::Duplicate));
        // Five standard deviations of a fair die.
        assert!((850..1150).contains(&bad) && (4650..5350).contains(&again), "{bad} bad, {again} again");
        let defects: BTreeSet<Defect> = messages
            .iter()
            .filter_map(|message| if let Truth::Bad(defect) = message.truth { Some(defect) } else { None })
            .collect();
        assert_eq!(defects, Defect::ALL.into());
    }

    #[test]
    fn what_is_sent_again_is_what_was_sent_and_nothing_else_is() {
        let mut seen = HashSet::new();
        for message in messages(7, 20_000) {
            let is_known = !seen.insert((message.partition, message.key, message.value));
            // Two texts that are cut behind the first letters may be the same.
            if message.truth != Truth::Bad(Defect::Truncated) {
                assert_eq!(is_known, message.truth == Truth::Duplicate);
            }
        }
    }

    #[test]
    fn partitions_are_counted_up_and_keep_users_together() {
        let (mut ends, mut homes) = ([0; 4], BTreeMap::new());
        for message in messages(7, 5_000) {
            let end = &mut ends[usize::try_from(message.partition).expect("from 0")];
            assert_eq!(message.offset, *end);
            *end += 1;
            assert_eq!(*homes.entry(message.key).or_insert(message.partition), message.partition);
        }
        assert!(ends.iter().all(|end| *end > 0), "{ends:?}");
    }
}
