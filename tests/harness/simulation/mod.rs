//! A simulated world: the real engine and its lanes between simulated topics, tables, disk and clock, in paused time on
//! one thread. A seed decides all that happens outside; about one seed in five still takes its steps in another order when
//! it is run again (the test `a_seed_decides_a_run` shows it), so a failure may need a few runs to be seen again.
//!
//! What lives outside a process survives it: [`World::crash`] drops the engine with all its tasks, and what it had not
//! synced, and nothing else. A request that had left goes on. [`World::check`] is what must hold at the end of any run.
//!
//! **It can fail.** These bugs were planted one at a time; the runs of [`run_seed`] from seed 0 on find each after:
//!
//! | bug | seeds | seen as |
//! |---|---|---|
//! | commit before the insert has ended | 2 | rows missing |
//! | intent after the insert | 1 | invariant; without its watcher after 2 as rows twice |
//! | no intent at all | 1 | invariant; without its watcher after 2 as rows twice |
//! | commit of the second epoch in flight before the first | 1 | lane halts |
//! | position is the range's start | 1 | lane halts, or does not come to its end |
//! | token of lane alone | 1 | rows missing |
//! | token with the attempt (or the owner) | 1 | rows twice |
//! | another token for each repeat of an insert | 2 | rows twice |
//! | an insert that was refused counts as done | 3 | rows missing |
//! | recovery forgets open intents and collects anew | 2 | rows twice |
//! | recovery ends only the first open intent | 5 | rows twice |
//! | recovery ends open intents in reverse | 3 | lane halts |
//! | recovery goes on at the old position | 1 | lane halts |
//! | an open epoch is made again with the transform that runs now | 2 | lane halts |
//! | artifacts are not kept before the intent | 2 | lane does not come to its end |
//! | an epoch's clock can go back | 2 | epochs out of order |
//! | token without the epoch | never | none: the rows hold `_epoch`, so the block's digest does |

mod canonical;
mod guest;
mod oracle;
mod random;
pub mod remembering;
mod remembering_oracle;
mod world;

pub use guest::{passing_plugin, trapping_plugin};
pub use oracle::Row;
pub use random::{Outcome, run_seed};
pub use world::{End, Other, World, partition, simulate};
