//! A simulated world: the real engine and its lanes between simulated topics, tables, disk and clock, in paused time on
//! one thread. A seed decides all that happens: run again, it does the same.
//!
//! What lives outside a process survives it: [`World::crash`] drops the engine with all its tasks, and what it had not
//! synced, and nothing else. A request that had left goes on. [`World::check`] is what must hold at the end of any run.
//!
//! **It can fail.** `tests/simulation/planted` holds known bugs, each a patch that says within how many seeds it has to be
//! found; `make planted` plants them one at a time, and its README says which seed found them last. One more was planted and
//! never found, as it is none: a token without the epoch. The rows hold `_epoch`, so the block's digest does.
//!
//! Of eight seeds, three are messages as they are; two are a plugin that remembers (`remembering.rs`), one the same with bad days,
//! on which it fails and its lanes wait or park, and two a plugin that changes under its lanes besides (`reloading.rs`): newcomers
//! on trial, with bugs, with other tables and other state. Of all but the first, the plugin's tables are compared with what plain Rust makes of the messages (`remembering_oracle.rs`).

pub mod canonical;
pub(crate) mod guest;
mod oracle;
mod random;
mod reloading;
mod shared;
pub mod remembering;
mod remembering_oracle;
mod world;

pub use guest::{late_plugin, passing_plugin, poisoned_plugin, trapping_plugin};
pub use oracle::Row;
pub use random::{Outcome, run_seed};
pub use reloading::{Change, Changed, run_change};
pub use shared::run_shared;
pub use world::{End, Other, WORLDS, World, partition, simulate};
