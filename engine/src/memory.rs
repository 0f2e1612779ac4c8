//! The memory of tenants' work, booked in one pool with a limit: fetched messages, guests, epochs on their way to their
//! tables, and what plugins remember.
//!
//! **Promise.** Lanes wait before the limit is reached, not the system for memory behind it. No tenant holds so much that others
//! can't go on: it may have as much as its weight times what is free. A lone busy tenant of weight 1 gets half of the pool, `n`
//! of them 1/(n+1) each, and as much again stays free for those that are quiet now (the dynamic threshold of
//! shared-memory switches, Choudhury and Hahne, 1998). So a tenant whose tables take nothing for an hour keeps its part, and
//! nobody else's. One that holds no epoch is always let in with one, however little is free: so every tenant goes on, and no two
//! wait for each other. What an epoch takes is small where little is free, as lanes collect less then.
//! **Assumed.** What is booked is about what is taken; the allocator's losses and the program itself are not, so the limit is to
//! be well below what the process may have.
//!
//! Fixed parts were rejected: of a thousand tenants three are busy, and would have a thousandth each.

mod limit;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

pub use limit::default_limit;

/// Of the pool, in eighths, what is kept for the growth of guests and state: epochs are not begun with it.
const KEPT_EIGHTHS: usize = 2;
/// What an instance may always take, whatever others have taken: else nobody could begin.
const LEAST_GUEST_BYTES: usize = 16 << 20;
/// The least that a lane collects for an epoch: below, the fixed costs of an epoch would be most of it.
const LEAST_EPOCH_BYTES: usize = 256 << 10;

/// What memory is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum For {
    /// Messages that wait for lanes, or are being worked on.
    Fetched,
    /// Linear memory of guests.
    Guests,
    /// Columns and blocks, until they are committed.
    Epochs,
    /// What plugins remember.
    State,
}

impl For {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Fetched, Self::Guests, Self::Epochs, Self::State];

    /// The word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Guests => "guests",
            Self::Epochs => "epochs",
            Self::State => "state",
        }
    }
}

/// The pool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Pool>);

#[derive(Debug)]
struct Pool {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    held: usize,
    tenants: Vec<Tenant>,
    names: HashMap<Arc<str>, usize>,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
}

#[derive(Debug)]
struct Tenant {
    name: Arc<str>,
    weight: usize,
    held: [usize; For::ALL.len()],
}

#[derive(Debug)]
struct Waiting {
    tenant: usize,
    bytes: usize,
    granted: oneshot::Sender<Booking>,
}

impl Waiting {
    /// It has not given up.
    fn still(&self) -> bool {
        !self.granted.is_closed()
    }
}

/// A tenant's account. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Account {
    pool: Arc<Pool>,
    tenant: usize,
}

/// Bytes in use. Gives them back when dropped.
#[derive(Debug)]
#[must_use]
pub struct Booking {
    account: Account,
    of: For,
    bytes: usize,
}

/// What a tenant holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The tenant.
    pub tenant: Arc<str>,
    /// Bytes, by what they are for.
    pub bytes: Vec<(&'static str, usize)>,
    /// Lanes that wait for memory.
    pub waiting: usize,
}

impl Memory {
    /// A pool of so many bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self(Arc::new(Pool { limit, state: Mutex::default() }))
    }

    /// A pool in which nobody ever waits: for commands that work on one thing.
    #[must_use]
    pub fn unlimited() -> Self {
        Self::new(usize::MAX)
    }

    /// Most bytes.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes that are booked.
    #[must_use]
    pub fn held(&self) -> usize {
        self.0.lock().held
    }

    /// Sets a tenant's weight from now on. One of which nothing was said has 1.
    pub fn share(&self, tenant: &str, weight: u32) {
        let mut state = self.0.lock();
        let tenant = state.tenant(tenant);
        state.tenants[tenant].weight = usize::try_from(weight).unwrap_or(usize::MAX).max(1);
        self.0.grant(state);
    }

    /// A tenant's account.
    #[must_use]
    pub fn account(&self, tenant: &str) -> Account {
        Account { pool: self.0.clone(), tenant: self.0.lock().tenant(tenant) }
    }

    /// What each tenant holds.
    #[must_use]
    pub fn tenants(&self) -> Vec<Held> {
        let state = self.0.lock();
        let held = |(index, tenant): (usize, &Tenant)| Held {
            tenant: tenant.name.clone(),
            bytes: For::ALL.map(|of| (of.as_str(), tenant.held[of as usize])).to_vec(),
            waiting: state.waiting.iter().filter(|waiting| waiting.tenant == index && waiting.still()).count(),
        };
        state.tenants.iter().enumerate().map(held).collect()
    }
}

impl Pool {
    /// Numbers that are changed in one step each: whole also after a panic.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What epochs may begin with.
    fn free(&self, state: &State) -> usize {
        (self.limit - self.limit / 8 * KEPT_EIGHTHS).saturating_sub(state.held)
    }

    /// Whether a tenant may have an epoch of so many bytes.
    fn admits(&self, state: &State, tenant: usize, bytes: usize) -> bool {
        let Tenant { weight, held, .. } = &state.tenants[tenant];
        let part = self.free(state).saturating_mul(*weight);
        held[For::Epochs as usize] == 0 || held.iter().sum::<usize>().saturating_add(bytes) <= part
    }

    /// Lets in who may go on now: of those that wait, the one first whose tenant holds least for its weight.
    fn grant(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        let mut given = Vec::new();
        loop {
            state.waiting.retain(Waiting::still);
            let of_weight = |waiting: &Waiting| {
                let Tenant { weight, held, .. } = &state.tenants[waiting.tenant];
                held.iter().sum::<usize>() / weight
            };
            let admitted = state.waiting.iter().enumerate();
            let admitted = admitted.filter(|(_, waiting)| self.admits(&state, waiting.tenant, waiting.bytes));
            let Some((next, _)) = admitted.min_by_key(|(_, waiting)| of_weight(waiting)) else { break };
            let Waiting { tenant, bytes, granted } = state.waiting.remove(next);
            state.take(tenant, For::Epochs, bytes);
            given.push((granted, Booking { account: Account { pool: self.clone(), tenant }, of: For::Epochs, bytes }));
        }
        drop(state); // a booking that nobody takes gives itself back
        for (granted, booking) in given {
            drop(granted.send(booking));
        }
    }
}

impl State {
    fn tenant(&mut self, name: &str) -> usize {
        if let Some(tenant) = self.names.get(name) {
            return *tenant;
        }
        let (tenant, name) = (self.tenants.len(), Arc::<str>::from(name));
        self.names.insert(name.clone(), tenant);
        self.tenants.push(Tenant { name, weight: 1, held: [0; For::ALL.len()] });
        tenant
    }

    fn take(&mut self, tenant: usize, of: For, bytes: usize) {
        self.held += bytes;
        self.tenants[tenant].held[of as usize] += bytes;
    }

    fn give(&mut self, tenant: usize, of: For, bytes: usize) {
        self.held -= bytes;
        self.tenants[tenant].held[of as usize] -= bytes;
    }
}

impl Account {
    /// Books what is taken already, or can't be refused.
    pub fn book(&self, of: For, bytes: usize) -> Booking {
        self.pool.lock().take(self.tenant, of, bytes);
        Booking { account: self.clone(), of, bytes }
    }

    /// Waits until the tenant may have so much for an epoch. Cancel safe.
    pub async fn room(&self, bytes: usize) -> Booking {
        let granted = {
            let mut state = self.pool.lock();
            state.waiting.retain(Waiting::still);
            let waits = state.waiting.iter().any(|waiting| waiting.tenant == self.tenant);
            if !waits && self.pool.admits(&state, self.tenant, bytes) {
                state.take(self.tenant, For::Epochs, bytes);
                return Booking { account: self.clone(), of: For::Epochs, bytes };
            }
            let (granted, waiting) = oneshot::channel();
            state.waiting.push(Waiting { tenant: self.tenant, bytes, granted });
            waiting
        };
        granted.await.expect("who waits is told before it is forgotten")
    }

    /// How much a lane should collect for its next epoch at most, where it would collect `wanted`: a part of what the tenant may
    /// still have, so that neither the epoch nor those behind it have to wait.
    #[must_use]
    pub fn epoch_bytes(&self, wanted: usize) -> usize {
        let state = self.pool.lock();
        let Tenant { weight, held, .. } = &state.tenants[self.tenant];
        let part = self.pool.free(&state).saturating_mul(*weight).saturating_sub(held.iter().sum());
        (part / 8).clamp(LEAST_EPOCH_BYTES.min(wanted), wanted)
    }
}

impl Booking {
    /// Books so much in place of what was.
    pub fn resize(&mut self, bytes: usize) {
        if bytes == self.bytes {
            return;
        }
        let (pool, tenant) = (&self.account.pool, self.account.tenant);
        let mut state = pool.lock();
        state.give(tenant, self.of, self.bytes);
        state.take(tenant, self.of, bytes);
        let less = bytes < self.bytes;
        self.bytes = bytes;
        if less {
            pool.grant(state);
        }
    }

    /// The same for what may still be refused: says whether the pool has it.
    #[must_use]
    pub fn grow(&mut self, bytes: usize) -> bool {
        let (pool, tenant) = (&self.account.pool, self.account.tenant);
        let mut state = pool.lock();
        let more = bytes.saturating_sub(self.bytes);
        if bytes > LEAST_GUEST_BYTES && state.held.saturating_add(more) > pool.limit {
            return false;
        }
        state.take(tenant, self.of, more);
        self.bytes = self.bytes.max(bytes);
        true
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let pool = self.account.pool.clone();
        let mut state = pool.lock();
        state.give(self.account.tenant, self.of, self.bytes);
        pool.grant(state);
    }
}
