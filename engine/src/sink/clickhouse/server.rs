//! What those share who insert into one server: how often lanes insert ([`Pace`]), and how many inserts are under way.
//!
//! **Gate.** So many inserts are under way at a time. Beyond, tenants wait for turns by weight ([`crate::fair`]), charged with the
//! time that their inserts take; no tenant has more than half of the turns. Each server has its own gate: one that
//! answers after half a minute holds up nobody who has another.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::pace::Pace;
use crate::fair::{Granted, Party, Queue, Share};

/// Inserts under way to one server: enough to keep it busy, and far from what it refuses.
const AT_ONCE: usize = 32;
/// Of those, the most of one tenant.
const OF_A_TENANT: usize = AT_ONCE / 2;
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
