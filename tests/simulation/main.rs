//! Claims about lane and engine, each in a simulated world. `seeds.rs` beside this runs them all together, at random.

mod changes;
mod crashes;
mod failing;
mod halts;
mod outages;
mod pauses;
mod plugins;
mod remembering;
mod shared;
mod soak;
mod twins;
