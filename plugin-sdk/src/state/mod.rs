//! What a plugin remembers: keyed state, and what is built on it.
//!
//! | | remembers | declared in [`export!`](crate::export) by |
//! |---|---|---|
//! | [`KeyedState`] | a value of your own for each key | `state:` and `key:` |
//! | [`Dedup`] | which keys there were | `dedup: by(…)` |
//! | [`Sessions`] | the events of open sessions | `sessions: by(…)` |
//! | [`Scd2`] | the versions of a row | `scd2: by(…)` |
//! | [`EventTime`] | nothing, but says when an entry is old | `event_time: of(…)` |
//!
//! **Promise.** State crosses the border once in and once out for a batch, however many rows it has. Rows of one key see
//! each other's changes, in order. A row that is rejected leaves no trace. What comes out does not depend on the order of
//! a hash table: keys are gone through in the order of their first row.
//! **Assumed.** The host keeps what one call wrote and forgets what a failed one wrote; it shows no entry whose expiry the
//! watermark has reached.

mod cells;
mod dedup;
mod event_time;
mod host;
mod key;
pub(crate) mod keyed;
mod log;
pub(crate) mod scd2;
mod sessions;
mod steps;
mod value;

pub use cells::{Cells, Found, KeyBatch, Slots, Variable};
pub use dedup::{Dedup, Duplicates};
pub use event_time::{EventTime, InstantMs, Late, Times, days, hours, milliseconds, minutes, seconds};
pub use host::{Due, count};
pub(crate) use host::{clear_counters, flush_counters};
pub use key::StateKey;
pub use keyed::{
    Entry, KeyAndValue, KeySet, KeyedState, StateHost, StateTables, expire_keyed, process_batch_with, process_keyed,
};
pub use scd2::{Scd2, Version, process_scd2};
pub use sessions::{
    EventIds, EventsAndSessions, Ids, Merge, NoIds, Session, Sessions, expire_sessions, process_sessions,
};
pub use steps::{process_row_with, process_rows_with};
pub use value::{StateField, StateValue};
