//! Feeds the embedded broker at a steady rate, never further ahead of the engine than the broker remembers.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::broker::{Broker, BrokerError, IN_FLIGHT};
use super::changes::{Change, Mix, Orders, Users};
use super::{Amount, ProgressOf};

/// Topic of the orders: full envelopes.
pub(super) const ORDERS: &str = "demo.inventory.orders";
/// Topic of the users: flattened rows.
pub(super) const USERS: &str = "demo.public.users";
/// More partitions let more messages be in flight, each being allowed [`IN_FLIGHT`]; fewer let a lane wait less for
/// its turn to insert. Orders are nine tenths of the changes.
pub(super) const ORDERS_PARTITIONS: i32 = 8;
pub(super) const USERS_PARTITIONS: i32 = 2;

/// Of a thousand changes; the broken ones are half of one percent.
const MIX: Mix = Mix { updates: 420, deletes: 80, bad: 5, total_in_stream: false };
/// Orders that the first snapshot finds; of users a tenth.
const SNAPSHOT: u32 = 10_000;
/// One change of ten is a user's.
const USERS_SHARE: u64 = 10;
/// How often the rate is kept and the engine is asked how far it is.
const TICK: Duration = Duration::from_millis(5);
/// Most changes of one tick, each being one message or two: with the tick it limits the rate to 100,000 a second.
const BURST: u64 = 500;
/// What a partition must have room for before a tick, should all messages of the tick be for it.
const MARGIN: i64 = 2 * BURST.cast_signed();

/// What the feed has done so far, for the screen.
#[derive(Debug, Default)]
pub(super) struct Fed {
    /// Messages sent.
    pub messages: AtomicU64,
    /// Ticks in which a partition was full and the feed waited for the engine.
    pub held_back: AtomicU64,
    /// Asks the feed to end.
    pub stop: AtomicBool,
}

/// The source tables as they are after the last message, and how many messages each partition has.
#[derive(Debug)]
pub(super) struct Tables {
    /// `inventory.orders`.
    pub orders: Orders,
    /// `public.users`.
    pub users: Users,
    /// Messages by partition of [`ORDERS`].
    pub order_ends: Vec<i64>,
    /// Messages by partition of [`USERS`].
    pub user_ends: Vec<i64>,
}

impl Tables {
    /// Empty tables.
    #[must_use]
    pub(super) fn new(seed: u64) -> Self {
        let ends = |partitions| (0..partitions).map(|_| 0).collect();
        Self {
            orders: Orders::new(seed, SNAPSHOT, MIX),
            users: Users::new(seed ^ 1, SNAPSHOT / 10, MIX),
            order_ends: ends(ORDERS_PARTITIONS),
            user_ends: ends(USERS_PARTITIONS),
        }
    }

    /// Messages sent.
    #[must_use]
    pub(super) fn messages(&self) -> i64 {
        self.order_ends.iter().chain(&self.user_ends).sum()
    }

    /// Whether the engine is done with every message.
    #[must_use]
    pub(super) fn are_done(&self, progress: &super::Progress) -> bool {
        let done = |topic, ends: &[i64]| (0..).zip(ends).all(|(p, end)| progress.position(topic, p) >= *end);
        done(ORDERS, &self.order_ends) && done(USERS, &self.user_ends)
    }

    pub(super) fn has_room(&self, progress: &super::Progress) -> bool {
        let room = |topic, ends: &[i64]| {
            (0..).zip(ends).all(|(p, end)| end - progress.position(topic, p) <= IN_FLIGHT - MARGIN)
        };
        room(ORDERS, &self.order_ends) && room(USERS, &self.user_ends)
    }
}

/// Sends changes until the amount is reached or the feed is asked to stop. Blocks; for a thread of its own.
pub(super) fn feed(
    broker: &Broker,
    mut tables: Tables,
    amount: Amount,
    rate: u64,
    fed: &Fed,
    progress: &ProgressOf,
) -> Result<Tables, BrokerError> {
    let start = Instant::now();
    let mut pace = Pace { rate, owed: 0, last: start };
    let mut changes = 0;
    let mut messages = Vec::with_capacity(2);
    while !fed.stop.load(Ordering::Relaxed) && amount.allows(changes, start.elapsed()) {
        std::thread::sleep(TICK);
        let burst = pace.burst();
        if !tables.has_room(&progress()) {
            fed.held_back.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        for _ in 0..burst.min(amount.left(changes)) {
            changes += 1;
            send_one(broker, &mut tables, changes, &mut messages)?;
        }
        fed.messages.store(tables.messages().unsigned_abs(), Ordering::Relaxed);
    }
    broker.flush()?;
    Ok(tables)
}

/// Turns time into a number of changes.
struct Pace {
    /// Changes per second.
    rate: u64,
    /// Millionths of a change.
    owed: u64,
    last: Instant,
}

impl Pace {
    /// Changes due since the last call, at most [`BURST`]. What is above is not made up for: the rate is an upper limit.
    fn burst(&mut self) -> u64 {
        let now = Instant::now();
        let elapsed = u64::try_from((now - self.last).as_micros()).unwrap_or(u64::MAX);
        self.last = now;
        self.owed = (self.owed + self.rate.saturating_mul(elapsed)).min(BURST * 1_000_000);
        let burst = self.owed / 1_000_000;
        self.owed %= 1_000_000;
        burst
    }
}

fn send_one(broker: &Broker, tables: &mut Tables, n: u64, messages: &mut Vec<Change>) -> Result<(), BrokerError> {
    let (topic, ends) = if n.is_multiple_of(USERS_SHARE) {
        tables.users.change(now(), messages);
        (USERS, &mut tables.user_ends)
    } else {
        tables.orders.change(now(), messages);
        (ORDERS, &mut tables.order_ends)
    };
    for message in messages.drain(..) {
        let index = message.id.unsigned_abs() as usize % ends.len();
        let partition = i32::try_from(index).expect("the partitions were counted with 32 bits");
        broker.send(topic, partition, &message.key, message.value.as_deref())?;
        ends[index] += 1;
    }
    Ok(())
}

/// Microseconds since 1970-01-01.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros()).unwrap_or(i64::MAX)
}
