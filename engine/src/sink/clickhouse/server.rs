//! What those share who insert into one server: how often lanes insert, and how many inserts are under way.
//!
//! **Pace.** A server takes so many inserts a second before its merges fall behind, whatever their size. So a lane gathers rows
//! for as long as its part of that budget allows: tenants that have inserted lately share it by weight, each tenant's
//! lanes alike, and one that is quiet has no part. Many quiet tenants become few parts so, each of more rows, and one that floods
//! makes its own blocks fuller, not the others' rarer. A block that is full is not held back: it is the part that merges want.
//!
//! **Gate.** So many inserts are under way at a time. Beyond, tenants wait for turns by weight ([`crate::fair`]), charged with the
//! time that their inserts take; no tenant has more than half of the turns. Each server has its own gate: one that
//! answers after half a minute holds up nobody who has another.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::fair::{Granted, Party, Queue, Share};
use crate::offsets::LaneId;

/// Inserts under way to one server: enough to keep it busy, and far from what it refuses.
const AT_ONCE: usize = 32;
/// Of those, the most of one tenant.
const OF_A_TENANT: usize = AT_ONCE / 2;
/// A lane that has not inserted for so long has no part of the pace.
const QUIET: Duration = Duration::from_secs(60);
/// How old the sums may be that parts are made of.
const SUMS: Duration = Duration::from_secs(1);
/// The longest that rows are gathered: beyond, few would mind more parts.
const LONGEST: Duration = Duration::from_secs(30);

/// Inserts a second that one server takes without more parts than its merges can keep up with.
pub(crate) const INSERTS_PER_SECOND: u32 = 20;

/// One server, for all who insert into it.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) pace: Pace,
    pub(super) gate: Gate,
}

impl Server {
    pub(super) fn new(inserts_per_second: u32) -> Self {
        Self { pace: Pace::new(inserts_per_second), gate: Gate::default() }
    }

    /// Sets what a tenant may have from now on.
    pub(super) fn share(&self, tenant: &str, weight: u32, inserts_per_second: Option<u32>) {
        self.pace.share(tenant, weight, inserts_per_second);
        self.gate.share(tenant, weight);
    }
}

/// How often lanes insert.
#[derive(Debug)]
pub(super) struct Pace {
    per_second: f64,
    tenants: Mutex<Paced>,
}

#[derive(Debug, Default)]
struct Paced {
    tenants: HashMap<String, Tenant>,
    /// When the sums were made.
    summed: Option<Instant>,
    /// The weights of all tenants that have inserted lately.
    weights: f64,
}

#[derive(Debug)]
struct Tenant {
    weight: u32,
    most: Option<u32>,
    /// When each lane inserted last.
    lanes: BTreeMap<LaneId, Instant>,
}

impl Default for Tenant {
    fn default() -> Self {
        Self { weight: 1, most: None, lanes: BTreeMap::new() }
    }
}

impl Pace {
    fn new(per_second: u32) -> Self {
        Self { per_second: f64::from(per_second.max(1)), tenants: Mutex::default() }
    }

    fn share(&self, tenant: &str, weight: u32, most: Option<u32>) {
        let mut paced = self.lock();
        let tenant = paced.tenants.entry(tenant.to_owned()).or_default();
        (tenant.weight, tenant.most) = (weight.max(1), most);
        paced.summed = None;
    }

    /// A lane has inserted; or it begins, which counts as much: when hundreds begin, they do not all insert at once.
    pub(super) fn inserted(&self, lane: &LaneId) {
        let mut paced = self.lock();
        let lanes = &mut paced.tenants.entry(lane.tenant.clone()).or_default().lanes;
        match lanes.get_mut(lane) {
            Some(last) => *last = Instant::now(),
            None => {
                lanes.insert(lane.clone(), Instant::now());
                paced.summed = None;
            }
        }
    }

    /// How long a lane should gather rows for an insert. To ask is not to insert: a lane that waits for messages has no part.
    pub(super) fn linger(&self, lane: &LaneId) -> Duration {
        let mut paced = self.lock();
        paced.sum();
        let quiet = Tenant::default();
        let tenant = paced.tenants.get(&lane.tenant).unwrap_or(&quiet);
        let weight = f64::from(tenant.weight);
        let itself = usize::from(!tenant.lanes.contains_key(lane));
        let (lanes, others) = (tenant.lanes.len() + itself, if tenant.lanes.is_empty() { weight } else { 0.0 });
        let part = self.per_second * weight / (paced.weights + others);
        let part = tenant.most.map_or(part, |most| part.min(f64::from(most)));
        let lanes = f64::from(u32::try_from(lanes).unwrap_or(u32::MAX));
        Duration::try_from_secs_f64(lanes / part).unwrap_or(LONGEST).min(LONGEST)
    }

    /// Changed in one step each.
    fn lock(&self) -> MutexGuard<'_, Paced> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Paced {
    fn sum(&mut self) {
        if self.summed.is_some_and(|at| at.elapsed() < SUMS) {
            return;
        }
        self.summed = Some(Instant::now());
        self.weights = 0.0;
        for tenant in self.tenants.values_mut() {
            tenant.lanes.retain(|_, last| last.elapsed() < QUIET);
            if !tenant.lanes.is_empty() {
                self.weights += f64::from(tenant.weight);
            }
        }
    }
}

/// Who inserts now.
#[derive(Clone, Debug)]
pub(super) struct Gate(Arc<Turns>);

#[derive(Debug)]
struct Turns {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: Queue<oneshot::Sender<Turn>>,
    free: usize,
    /// Turns of each tenant.
    held: HashMap<Party, usize>,
}

/// Permission for one insert, given back when dropped.
#[derive(Debug)]
pub(super) struct Turn {
    gate: Gate,
    party: Party,
    expected: Duration,
    began: Instant,
}

impl Default for Gate {
    fn default() -> Self {
        let state = State { queue: Queue::default(), free: AT_ONCE, held: HashMap::new() };
        Self(Arc::new(Turns { began: Instant::now(), state: Mutex::new(state) }))
    }
}

impl Gate {
    fn share(&self, tenant: &str, weight: u32) {
        let (at, mut state) = (self.now(), self.lock());
        let party = state.queue.party(tenant);
        state.queue.share(party, Share { weight, cap: None }, at);
    }

    /// Waits until the tenant may insert. Cancel safe.
    pub(super) async fn turn(&self, tenant: &str) -> Turn {
        let (granted, turn) = oneshot::channel();
        {
            let (at, mut state) = (self.now(), self.lock());
            let party = state.queue.party(tenant);
            state.queue.push(party, granted, at);
            self.grant(state);
        }
        turn.await.expect("who waits is told before it is forgotten")
    }

    fn grant(&self, mut state: MutexGuard<'_, State>) {
        let mut given = Vec::new();
        while state.free > 0
            && let Some(Granted { party, what, expected }) = state.queue.next(self.now())
        {
            if what.is_closed() {
                state.queue.charge(party, Duration::ZERO, expected, self.now());
                state.queue.ended(party);
                continue; // it has given up
            }
            state.free -= 1;
            let held = state.held.entry(party).or_default();
            *held += 1;
            if *held == OF_A_TENANT {
                state.queue.hold(party, self.now());
            }
            given.push((what, Turn { gate: self.clone(), party, expected, began: Instant::now() }));
        }
        drop(state); // a turn that nobody takes gives itself back
        for (granted, turn) in given {
            drop(granted.send(turn));
        }
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }

    /// Changed in one step each.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (party, cost, at) = (self.party, self.began.elapsed(), self.gate.now());
        let mut state = self.gate.lock();
        state.queue.charge(party, cost, self.expected, at);
        state.queue.learn(party, cost);
        state.queue.ended(party);
        state.free += 1;
        let held = state.held.entry(party).or_default();
        *held -= 1;
        if *held + 1 == OF_A_TENANT {
            state.queue.release(party, at);
        }
        self.gate.grant(state);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;

    use super::*;

    fn lane(tenant: &str, partition: i32) -> LaneId {
        let text = str::to_owned;
        LaneId { tenant: text(tenant), plugin: text("p"), topic: text("t"), topic_id: text(""), partition }
    }

    fn seconds(pace: &Pace, lane: &LaneId) -> f64 {
        (pace.linger(lane).as_secs_f64() * 100.0).round() / 100.0
    }

    #[test]
    fn lanes_share_a_servers_inserts() {
        let pace = Pace::new(20);
        assert!((seconds(&pace, &lane("a", 0)) - 0.05).abs() < 1e-9);
        for partition in 0..100 {
            pace.inserted(&lane("a", partition));
        }
        assert!((seconds(&pace, &lane("a", 0)) - 5.0).abs() < 1e-9);
        for partition in 0..10_000 {
            pace.inserted(&lane("a", partition));
        }
        pace.lock().summed = None;
        assert_eq!(pace.linger(&lane("a", 0)), LONGEST);
    }

    #[test]
    fn tenants_share_them_by_weight_whatever_the_number_of_their_lanes() {
        let pace = Pace::new(20);
        pace.share("heavy", 3, None);
        for partition in 0..50 {
            pace.inserted(&lane("many", partition));
        }
        pace.inserted(&lane("heavy", 0));
        // 5 of 20 for one, 15 for the other.
        assert!((seconds(&pace, &lane("many", 0)) - 10.0).abs() < 1e-9);
        assert!((seconds(&pace, &lane("heavy", 0)) - 0.07).abs() < 1e-9);
        pace.share("heavy", 3, Some(2));
        assert!((seconds(&pace, &lane("heavy", 0)) - 0.5).abs() < 1e-9, "no more than it may");
    }

    #[test]
    fn who_waits_for_messages_leaves_the_inserts_to_others() {
        let pace = Pace::new(20);
        pace.inserted(&lane("busy", 0));
        for partition in 0..500 {
            pace.linger(&lane("quiet", partition));
        }
        pace.lock().summed = None;
        assert!((seconds(&pace, &lane("busy", 0)) - 0.05).abs() < 1e-9);
        assert!((seconds(&pace, &lane("quiet", 0)) - 0.1).abs() < 1e-9, "as if it were one of two");
    }

    #[tokio::test]
    async fn one_that_floods_leaves_turns_to_others_and_gets_all_it_may() {
        let gate = Gate::default();
        let mut flood: Vec<_> = (0..100).map(|_| Box::pin(gate.turn("flood"))).collect();
        let mut turns: Vec<_> = flood.iter_mut().filter_map(FutureExt::now_or_never).collect();
        assert_eq!(turns.len(), OF_A_TENANT);
        assert!(gate.turn("other").now_or_never().is_some());
        flood.truncate(50); // half of them give up
        turns.clear();
        let others = flood.iter_mut().skip(OF_A_TENANT).filter_map(FutureExt::now_or_never);
        assert_eq!(others.count(), 50 - OF_A_TENANT);
        assert_eq!(gate.lock().free, AT_ONCE);
    }

    #[tokio::test]
    async fn waiting_tenants_take_turns() {
        let gate = Gate::default();
        let mut taken: Vec<_> = vec![gate.turn("a").await];
        for tenant in ["a", "b", "c"] {
            while taken.len() < AT_ONCE
                && let Some(turn) = gate.turn(tenant).now_or_never()
            {
                taken.push(turn);
            }
        }
        let (mut of_a, mut of_d) = (Box::pin(gate.turn("c")), Box::pin(gate.turn("d")));
        assert!((&mut of_a).now_or_never().is_none() && (&mut of_d).now_or_never().is_none());
        taken.pop();
        taken.pop();
        assert!((&mut of_a).now_or_never().is_some() && (&mut of_d).now_or_never().is_some());
    }
}
