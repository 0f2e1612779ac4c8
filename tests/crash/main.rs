//! The engine on real Kafka and real ClickHouse, dying at every step and with everything around it: the tables are what
//! one undisturbed run would have made.
//!
//! `CRASH_RUNS=200` has more of it, `CRASH_SEED=n` the same again.

mod halves;
mod kills;
mod owners;
mod sessions;
mod versions;
