//! A simulated world: the real engine and its lanes between simulated topics, tables, disk and clock, in paused time on
//! one thread. A seed decides all that happens: run again, it does the same.
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
//! | state of an epoch in the commit behind it, apart from its offset | 1 | rows that were seen are fresh |
//! | state of a failed call kept | 1 | rows that were not seen are missing |
//! | state not rolled back to the last commit when a lane starts again | 2 | lane halts: made again it differs |
//! | state of recovered epochs not committed | 2 | the journal remembers less |
//! | no intent for an epoch that changes the state alone | 2 | lane halts, or counts too small |
//! | a torn record of state not cut off | 8 | lane halts: its state is damaged |
//! | an instance's memory kept for the next epoch | 1 | lane halts: made again it differs |
//! | an open epoch's watermark from the clock, not the intent | 2 | lane halts |
//! | what expires left out when an epoch is made again | 3 | lane halts |
//! | watermark not kept in the position | 1 | watermark does not follow the events |
//! | watermark that goes back | 1 | watermark does not follow the events |
//! | rows of state with the version of the message before | 1 | rows of other versions |
//! | inserts of rows of state not in the order of epochs | 399 | an older row of a key is shown |
//!
//! Every second seed is a plugin that remembers (`remembering.rs`), the others are messages as they are; the numbers of the last
//! thirteen count the former alone. Of those, the plugin's tables are compared with what plain Rust makes of the messages
//! (`remembering_oracle.rs`).

mod canonical;
mod guest;
mod oracle;
mod random;
mod reloading;
pub mod remembering;
mod remembering_oracle;
mod world;

pub use guest::{passing_plugin, trapping_plugin};
pub use oracle::Row;
pub use random::{Outcome, run_seed};
pub use world::{End, Other, WORLDS, World, partition, simulate};
