//! Changes of the collection `commerce.events`, without end: the same for the same seed, on every machine.
//!
//! First the documents that a snapshot reads, then what change streams say: events that are new, updated and deleted, now and
//! then a run of changes once more, as a connector sends it that starts again, and messages that nobody can use. What each
//! change means is in [`Change`], what its message looks like in [`Message`]: so whoever checks a pipeline needs not read
//! JSON to know what must come of it.

mod message;
#[path = "../../../../engine/src/random.rs"]
pub mod random;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;

use random::Random;

pub use message::{Message, iso};

/// The first event's time: 2025-01-01, in milliseconds since 1970.
pub const FIRST_MS: i64 = 1_735_689_600_000;
const DAY_MS: i64 = 86_400_000;
/// As the application writes them: not always alike.
const TYPES: [&str; 9] =
    ["page_view", "page_view", "Page_View", "add_to_cart", "search", " search", "purchase", "login", "LOGIN"];
const PAGES: [&str; 5] = ["/", "/search?q=çay", "/products/17", "/products/18", "/cart"];
/// Of so many documents some may still change: older ones rest.
const WARM: usize = 1_000;
/// The longest run of changes that comes twice.
const MOST_REPEATED: usize = 8;

/// An event, as the application stored it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The document's `_id`, an ObjectId's 24 digits.
    pub id: String,
    /// Who; nobody where they had not signed in.
    pub user_id: Option<i64>,
    /// What, as it was written.
    pub event_type: String,
    /// When, in milliseconds since 1970.
    pub timestamp_ms: i64,
    /// Whether the time is a text, as older producers store it.
    pub as_text: bool,
    /// The rest: a document, as JSON.
    pub metadata: Option<String>,
}

/// One change of the collection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The snapshot found this document.
    Read(Event),
    /// It is new.
    Create(Event),
    /// It is like this now, as a look at the collection says.
    Update(Event),
    /// The document of this `_id` is gone.
    Delete(String),
    /// A document, or a message, of which no event can be made.
    Flawed(Flaw, Event),
}

/// What is wrong with one that no event can be made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// The message ends in its middle.
    Cut,
    /// There is no `event_type`.
    NoType,
    /// There is no `timestamp`.
    NoTime,
    /// The `timestamp` is some word.
    WrongTime,
    /// The `user_id` is some word.
    WrongUser,
}

impl Flaw {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Cut, Self::NoType, Self::NoTime, Self::WrongTime, Self::WrongUser];
}

/// How many there are of what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything.
    pub seed: u64,
    /// Documents that the snapshot finds.
    pub snapshot: u32,
    /// Users that there are, from 1 on. A few events are of others.
    pub users: u32,
    /// New events to a day of theirs.
    pub per_day: u32,
}

/// The changes.
#[derive(Clone, Debug)]
pub struct Changes {
    plan: Plan,
    random: Random,
    /// Events so far.
    made: u32,
    /// Changes so far.
    given: u32,
    warm: Vec<Event>,
    last: VecDeque<Change>,
    again: VecDeque<Change>,
}

impl Changes {
    /// From the first one on.
    #[must_use]
    pub fn new(plan: Plan) -> Self {
        let random = Random::new(plan.seed);
        Self { plan, random, made: 0, given: 0, warm: Vec::new(), last: VecDeque::new(), again: VecDeque::new() }
    }

    /// Of a hundred: 80 new, 12 updated, 6 deleted, 1 of no use; and one run in two hundred comes twice.
    fn change(&mut self) -> Change {
        match self.random.below(100) {
            0 => {
                let flaw = self.random.pick(&Flaw::ALL);
                Change::Flawed(flaw, self.event())
            }
            1..=6 if !self.warm.is_empty() => {
                let at = self.random.index(self.warm.len());
                Change::Delete(self.warm.swap_remove(at).id)
            }
            7..=18 if !self.warm.is_empty() => {
                let at = self.random.index(self.warm.len());
                let mut event = self.warm.swap_remove(at);
                self.alter(&mut event);
                self.warm.push(event.clone());
                Change::Update(event)
            }
            _ => Change::Create(self.new_event()),
        }
    }

    fn new_event(&mut self) -> Event {
        let event = self.event();
        if self.warm.len() == WARM {
            let at = self.random.index(WARM);
            self.warm.swap_remove(at);
        }
        self.warm.push(event.clone());
        event
    }

    /// Times go on with the events, and are up to two hours off: what is stored late happened before.
    fn event(&mut self) -> Event {
        let since = i64::from(self.made) * DAY_MS / i64::from(self.plan.per_day.max(1));
        let timestamp_ms = FIRST_MS + since + i64::from(self.random.below(7_200_000));
        let id = format!("{:08x}{:010x}{:06x}", FIRST_MS / 1000, self.plan.seed & 0xff_ffff_ffff, self.made);
        self.made += 1;
        let stranger = i64::from(self.plan.users) + 1 + i64::from(self.random.below(5));
        let user_id = match self.random.below(20) {
            0 => None,
            1 => Some(stranger),
            _ => Some(1 + i64::from(self.random.below(self.plan.users.max(1)))),
        };
        Event {
            id,
            user_id,
            event_type: self.random.pick(&TYPES).to_owned(),
            timestamp_ms,
            as_text: self.random.below(10) == 0,
            metadata: (self.random.below(10) > 0).then(|| self.metadata()),
        }
    }

    fn metadata(&mut self) -> String {
        let (page, ms) = (self.random.pick(&PAGES), self.random.below(5_000));
        let tablet = self.random.below(4) == 0;
        let session = self.random.bits();
        format!(
            r#"{{"page":"{page}","ms":{ms},"device":{{"os":"ios","tablet":{tablet}}},"tags":["a","b"],"session":"{session:016x}"}}"#
        )
    }

    /// What applications do to events later on: more often than not they only add to them.
    fn alter(&mut self, event: &mut Event) {
        match self.random.below(10) {
            0 => event.event_type = self.random.pick(&TYPES).to_owned(),
            1 => event.timestamp_ms += DAY_MS,
            2 => event.timestamp_ms -= DAY_MS,
            3 => event.user_id = event.user_id.or(Some(1)),
            _ => event.metadata = Some(self.metadata()),
        }
    }
}

impl Iterator for Changes {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        if let Some(again) = self.again.pop_front() {
            return Some(again);
        }
        self.given += 1;
        if self.given <= self.plan.snapshot {
            return Some(Change::Read(self.new_event()));
        }
        if self.random.below(200) == 0 {
            // All of them in their order: the last word on a document is the same as before.
            self.again = std::mem::take(&mut self.last);
        }
        let change = self.change();
        if self.last.len() == MOST_REPEATED {
            self.last.pop_front();
        }
        self.last.push_back(change.clone());
        match self.again.pop_front() {
            Some(first) => {
                self.again.push_back(change);
                Some(first)
            }
            None => Some(change),
        }
    }
}
