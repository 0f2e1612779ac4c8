//! The byte budget that all readers of a source share.
//!
//! **Invariant:** bytes held (waiting in inboxes, or handed out and alive) stay below the budget, but for one message
//! for each partition that holds nothing else: that one is always let in, so that every lane can go on.
//!
//! How much one partition may hold follows from what is left: as much as is *free*. A lone busy partition gets half of
//! the budget, `n` busy ones get 1/(n+1) each, and as much again stays free for those that are quiet now. This is the
//! dynamic threshold of shared-memory switches (Choudhury and Hahne, 1998). Fixed shares were rejected: with 1,000
//! partitions of which three are busy, they leave almost all of the budget unused.
//!
//! Hundreds of busy ones, which gather messages for seconds, would leave less free than one answer of a broker brings. All of
//! them were nearly full at once then, and gave out the little that they had. So while less than an eighth is free, those that hold
//! more than most are to give it out, some at a time: what they had comes back before others are told.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::memory::{self, Booking, For, Memory};

/// The part of a budget below which little is free.
const LITTLE: usize = 8;
/// Then this part of it is given out before its time...
const EARLY: usize = 32;
/// ...in so long: what an epoch of hundreds of messages takes until they are let go of.
pub(in crate::source) const COMES_BACK: Duration = Duration::from_millis(50);

/// All bytes held by a source's readers.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    held: AtomicUsize,
    /// Partitions that hold some of it.
    holders: AtomicUsize,
    early: Mutex<Early>,
    fetched: AtomicU64,
    /// The engine's: who reads a partition, and for how many tenants, is not known here.
    pool: memory::Account,
}

/// What was given out before its time, since when.
#[derive(Debug)]
struct Early {
    since: Instant,
    bytes: usize,
}

impl Budget {
    /// So many bytes, none of them held.
    #[must_use]
    pub fn new(limit: usize) -> Arc<Self> {
        Self::within(limit, &Memory::unlimited())
    }

    /// The same, as a part of a pool.
    #[must_use]
    pub fn within(limit: usize, memory: &Memory) -> Arc<Self> {
        Arc::new(Self {
            limit,
            held: AtomicUsize::new(0),
            holders: AtomicUsize::new(0),
            early: Mutex::new(Early { since: Instant::now(), bytes: 0 }),
            fetched: AtomicU64::new(0),
            pool: memory.account(""),
        })
    }

    /// Bytes held now.
    #[must_use]
    pub fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes of keys and values that have come in so far: those of a message as often as it was fetched.
    #[must_use]
    pub fn fetched(&self) -> u64 {
        self.fetched.load(Ordering::Relaxed)
    }

    /// Most bytes to hold.
    #[cfg(test)]
    pub(in crate::source) fn limit(&self) -> usize {
        self.limit
    }

    fn free(&self) -> usize {
        self.limit.saturating_sub(self.held())
    }

    /// Is so much more than most partitions hold?
    fn is_much(&self, held: usize) -> bool {
        let mean = self.held() / self.holders.load(Ordering::Relaxed).max(1);
        held > mean + mean / 2
    }

    /// What was given out before its time and may not have come back yet. Changed in one step each.
    fn early(&self) -> MutexGuard<'_, Early> {
        let mut early = self.early.lock().unwrap_or_else(PoisonError::into_inner);
        if early.since.elapsed() >= COMES_BACK {
            *early = Early { since: Instant::now(), bytes: 0 };
        }
        early
    }
}

/// One partition's part of the budget.
#[derive(Debug)]
pub(in crate::source) struct Account {
    budget: Arc<Budget>,
    held: AtomicUsize,
}

impl Account {
    pub(in crate::source) fn new(budget: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self { budget, held: AtomicUsize::new(0) })
    }

    /// Bytes that the partition holds.
    pub(in crate::source) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    /// Bytes that nobody holds.
    pub(in crate::source) fn free(&self) -> usize {
        self.budget.free()
    }

    /// May a message of this cost come on top of `more` that is about to be taken?
    pub(in crate::source) fn admits(&self, more: usize, cost: usize) -> bool {
        let held = self.held() + more;
        held == 0 || held + cost <= self.budget.free().saturating_sub(more)
    }

    /// Is what a partition has better worked on than added to? It holds nearly all that it may: to stop it would cost a fetch that
    /// is thrown away. Or little is free, and it is its turn to make room.
    pub(in crate::source) fn is_nearly_full(&self) -> bool {
        let (held, free) = (self.held(), self.free());
        let budget = &self.budget;
        held / 7 >= free / 8
            || free < budget.limit / LITTLE && budget.is_much(held) && budget.early().bytes < budget.limit / EARLY
    }

    /// Notes that it is given out for that.
    pub(in crate::source) fn gives_out(&self) {
        self.budget.early().bytes += self.held();
    }

    /// May a partition that was stopped go on? At half of what would stop it, lest it stops again at once.
    pub(in crate::source) fn may_resume(&self) -> bool {
        let held = self.held();
        held == 0 || held * 2 <= self.budget.free()
    }

    /// Notes that so many bytes of keys and values have come in.
    pub(in crate::source) fn fetched(&self, bytes: usize) {
        self.budget.fetched.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Takes bytes until the lease is dropped.
    pub(in crate::source) fn lease(self: &Arc<Self>, bytes: usize) -> Lease {
        if self.held.fetch_add(bytes, Ordering::Relaxed) == 0 && bytes > 0 {
            self.budget.holders.fetch_add(1, Ordering::Relaxed);
        }
        self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        Lease { account: self.clone(), bytes, _booked: self.budget.pool.book(For::Fetched, bytes) }
    }
}

/// Bytes in use. Gives them back when dropped.
#[derive(Debug)]
pub(in crate::source) struct Lease {
    account: Arc<Account>,
    bytes: usize,
    _booked: Booking,
}

impl Lease {
    /// How many.
    pub(in crate::source) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if self.account.held.fetch_sub(self.bytes, Ordering::Relaxed) == self.bytes && self.bytes > 0 {
            self.account.budget.holders.fetch_sub(1, Ordering::Relaxed);
        }
        self.account.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_partition_gets_half_and_a_second_one_a_third() {
        let budget = Budget::new(900_000);
        let (a, b) = (Account::new(budget.clone()), Account::new(budget.clone()));
        let fill = |account: &Arc<Account>| {
            let mut leases = Vec::new();
            while account.admits(0, 1000) {
                leases.push(account.lease(1000));
            }
            leases
        };
        let first = fill(&a);
        assert_eq!(a.held(), 450_000);
        let second = fill(&b);
        assert_eq!(b.held(), 225_000, "half of what the first one left");
        assert!(!a.may_resume());
        drop(first);
        assert!(a.may_resume());
        drop(second);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_partition_that_holds_nothing_is_let_in_even_when_nothing_is_free() {
        let budget = Budget::new(10_000);
        let (hog, quiet) = (Account::new(budget.clone()), Account::new(budget));
        let _all = hog.lease(20_000);
        assert!(!hog.admits(0, 1) && !hog.may_resume());
        assert!(quiet.may_resume());
        assert!(quiet.admits(0, 5_000), "its first message");
        assert!(!quiet.admits(5_000, 1), "but no second one");
    }

    #[tokio::test(start_paused = true)]
    async fn of_hundreds_that_gather_those_that_hold_the_most_make_room_some_at_a_time() {
        let budget = Budget::new(1_000_000);
        let accounts: Vec<_> = (0..100).map(|_| Account::new(budget.clone())).collect();
        let hold = |each: usize| accounts.iter().zip(1..).map(move |(account, n)| account.lease(n * each));
        let told = || accounts.iter().filter(|account| account.is_nearly_full()).count();
        let some: Vec<_> = hold(150).collect();
        assert_eq!(told(), 0, "a quarter is free");
        drop(some);
        let mut many: Vec<_> = hold(180).collect();
        assert_eq!(told(), 25, "those that hold more than one and a half times the mean");
        accounts[99].gives_out();
        accounts[98].gives_out();
        assert_eq!(told(), 0, "these two hold what is given out at a time");
        tokio::time::advance(COMES_BACK).await;
        assert_eq!(told(), 25);
        many.pop();
        many.pop();
        assert_eq!(told(), 0, "it has come back");
        drop(many);
        assert_eq!((budget.held(), budget.holders.load(Ordering::Relaxed)), (0, 0));
    }
}
