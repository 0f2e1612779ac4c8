//! How a new version of a plugin takes over: below `[rollout]` in plugin.toml.

use std::time::Duration;

/// How a new version takes over, and what it must not do while it is watched.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// On which lanes it runs at first.
    pub mode: Mode,
    /// The share of the partitions that a canary gets, from 0 to 1. One at least has it.
    pub share: f64,
    /// How long it is watched.
    pub probation: Duration,
    /// After how many messages it is watched no longer, if that comes first.
    pub probation_rows: Option<u64>,
    /// How much larger the share of its dead letters may be than the version's before, from 0 to 1.
    pub max_dead_letters: f64,
    /// How much more CPU time per message it may take than the version before: 2 is twice as much.
    pub max_cost: f64,
    /// Who lets it take over for good, where it runs beside the version before.
    pub promote: Promote,
}

/// On which lanes a new version runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// On all.
    Replace,
    /// On none: it is given copies of their batches, and what it makes of them is compared and thrown away.
    Shadow,
    /// On some partitions.
    Canary,
}

/// Who lets a version take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promote {
    /// An operator.
    ByHand,
    /// The engine: a canary that was watched without a complaint, a shadow that made the same rows.
    WhenEqual,
}

impl Default for Rollout {
    /// A minute is long enough to notice what a batch shows, and one dead letter in a hundred messages is no accident.
    /// CPU time is measured beside other work on the same cores: less than three times as much is said by nobody.
    fn default() -> Self {
        Self {
            mode: Mode::Replace,
            share: 0.1,
            probation: Duration::from_secs(60),
            probation_rows: None,
            max_dead_letters: 0.01,
            max_cost: 3.0,
            promote: Promote::ByHand,
        }
    }
}
