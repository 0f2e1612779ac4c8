//! Versions of plugins while the engine runs: which one makes the next epoch of a lane, and what becomes of a bad one.
//!
//! **Promise.** A lane asks, between two epochs, what to make the next one with: no epoch has two versions. A newcomer on
//! trial is judged after each of its epochs was made and before anything of it is written down or sent: of an epoch for
//! which it is withdrawn nothing is left, and the lane makes it again with the version before.
//! **Assumed.** Correctness never rests on this: an intent names what it was made with, and a lane that recovers takes that
//! from the artifacts. What is decided here is policy.

mod compare;
mod deployer;
mod deployments;
pub mod difference;
mod first;
mod folder;
mod history;
mod noting;
mod operator;
mod orders;
mod plugins;
mod prepare;
mod preparing;
pub mod shadow;
mod shadowing;
pub mod status;
mod tenancy;
mod trial;
mod version;
mod versions;
mod watch;
mod writer;

pub use compare::{Compatibility, compare};
pub use deployer::Deployer;
pub use deployments::{Deployment, Deployments, Holds};
pub use history::{Entry, History, Standing, What};
pub use orders::{Command, Order, OrderError};
pub use plugins::Plugins;
pub use prepare::{Cause, Refusal, build};
pub use trial::{Figures, TrialView};
pub use version::{Version, VersionId};
pub use versions::{News, Verdict, Versions};

#[cfg(test)]
mod tests;
