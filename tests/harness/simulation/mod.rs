//! A simulated world: the real engine and its lanes between simulated topics, tables, disk and clock, in paused time on
//! one thread. A run is a function of its seed.
//!
//! What lives outside a process survives it: [`World::crash`] drops the engine with all its tasks, and what it had not
//! synced, and nothing else. [`World::check`] is what must hold at the end of any run.

mod oracle;
mod random;
mod world;

pub use oracle::Row;
pub use random::{Outcome, run_seed};
pub use world::{End, World, partition, simulate};
