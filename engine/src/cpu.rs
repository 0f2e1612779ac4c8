//! Where CPU-bound work runs: apart from the threads that serve I/O, as many pieces at a time as there are cores, and shared
//! fairly among tenants.
//!
//! **Promise.** Tenants that want more than there is get CPU time by weight ([`crate::fair`]), however many lanes they
//! have and however long their pieces are; one that wants little waits for milliseconds, not for the others' pieces. A cap is kept
//! also when nobody else wants anything.
//!
//! ```text
//! run ──► queue, by tenant ──► a turn ──► thread ──► the result
//!            ▲                   │ checkpoint: over the quantum, and somebody else is due?
//!            └──── paused ◄──────┤
//!                                └ no checkpoint for long: the turn is taken away, the thread's priority lowered
//!                                └ low priority, and somebody else is due: the turn is taken away at once
//! ```
//! A piece has a *turn* while it runs. Between two steps (a chunk decoded, a call of a guest, and within a call every few ticks of
//! the guests' clock) it comes to a [`checkpoint`]: there it is charged with the CPU time of its thread, and once that is more than
//! a quantum, the thread waits if another tenant is due. So a guest in a loop without end is preempted like any thread. What
//! does not come to a checkpoint (the host's own work: a log of state that is read, a compiler) loses its turn by itself: another
//! thread gets it, the slow one goes on at the system's mercy, and its tenant gets no other turn until the piece is done.

mod clock;
mod meter;
mod pool;
#[cfg(test)]
mod tests;

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

pub use crate::fair::Share;
pub use clock::thread_time;
pub(crate) use clock::yield_to_others;
pub use meter::{Of, Used};
pub use pool::checkpoint;
use pool::{Manners, Pool};
pub(crate) use pool::{note, uninterrupted, whose};

/// Runs CPU-bound work of all tenants. The threads end with the last clone.
#[derive(Clone, Debug)]
pub struct Cpu {
    /// `None`: the caller's own thread.
    pool: Option<Arc<Owner>>,
}

/// Ends the threads when it goes.
#[derive(Debug)]
struct Owner(Arc<Pool>);

impl Drop for Owner {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Cpu {
    /// Starts so many threads.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(threads: usize) -> std::io::Result<Self> {
        Self::named("engine-cpu", threads)
    }

    /// Starts so many threads of this name, by which the system counts their CPU time.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn named(name: &'static str, threads: usize) -> std::io::Result<Self> {
        let pool = Pool::start(name, threads, Manners::Watched)?;
        Ok(Self { pool: Some(Arc::new(Owner(pool))) })
    }

    /// One thread, to which the system gives what the others leave: for work that nobody waits for, such as the compilation
    /// of a plugin that comes while others run.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn background() -> std::io::Result<Self> {
        let pool = Pool::start("engine-load", 1, Manners::Background)?;
        Ok(Self { pool: Some(Arc::new(Owner(pool))) })
    }

    /// No threads: work is done where it is asked for. For simulations, in which nothing may depend on a second thread.
    #[must_use]
    pub fn in_place() -> Self {
        Self { pool: None }
    }

    /// Sets what a tenant may have from now on. One of which nothing was said has weight 1 and no cap.
    pub fn share(&self, tenant: &str, share: Share) {
        if let Some(pool) = &self.pool {
            pool.0.share(tenant, share);
        }
    }

    /// Runs a piece of a tenant's work and gives its result. A piece whose caller is gone before its turn is not run.
    ///
    /// # Panics
    /// If the work panics: a panic is a bug, and stops the lane that caused it, not the thread.
    pub async fn run<T: Send + 'static>(&self, tenant: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
        let Some(pool) = &self.pool else { return work() };
        let (done, result) = oneshot::channel();
        let piece = move || {
            if !done.is_closed() {
                // The lane may be aborted meanwhile: then nobody waits for the result.
                drop(done.send(catch_unwind(AssertUnwindSafe(work))));
            }
        };
        pool.0.push(tenant, Box::new(piece));
        match result.await.expect("a thread answers before it drops the work") {
            Ok(result) => result,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Charges a tenant with CPU time that another thread has spent for it.
    pub fn charge(&self, tenant: &str, of: Of, time: Duration) {
        if let Some(pool) = &self.pool {
            pool.0.charge(tenant, of, time);
        }
    }

    /// What each tenant has used so far, and how long it has waited for that.
    #[must_use]
    pub fn used(&self) -> Vec<Used> {
        self.pool.as_ref().map_or_else(Vec::new, |pool| pool.0.used())
    }
}
