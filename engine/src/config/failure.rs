//! What becomes of a lane whose plugin fails on too much: below `[failure]` in plugin.toml.

use super::given::Settings;

/// The budget's default: what a day's bad rows of one batch may be; a plugin that fails on more is broken, not the rows.
pub const MAX_FAILURES: usize = 64;
/// The intent of an epoch names each row on which the plugin failed, with the reason: a megabyte at most.
const MOST_FAILURES: usize = 1_000;

/// How often a plugin may fail, and what becomes of the lane then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What becomes of the lane.
    pub policy: FailurePolicy,
    /// Rows, and entries of state that expired, on which the plugin may fail in an epoch: see [`crate::breaker`].
    pub max_failures: usize,
}

/// What becomes of a lane whose plugin is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailurePolicy {
    /// It stops where it stands: its messages wait at the source.
    Pause,
    /// It goes on, and its messages become dead letters until the plugin works again.
    Park,
}

impl FailurePolicy {
    /// The word in plugin.toml, and for those who look.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Park => "park",
        }
    }
}

impl Default for Failure {
    /// What waits at the source is in order when it comes, whatever keeps its rows: so that is what nobody has to ask for.
    fn default() -> Self {
        Self { policy: FailurePolicy::Pause, max_failures: MAX_FAILURES }
    }
}

/// Reads what is below `[failure]`.
pub(super) fn failure(given: &mut Settings) -> Failure {
    let mut failure = Failure::default();
    let policies = [FailurePolicy::Pause, FailurePolicy::Park].map(|policy| (policy.as_str(), policy));
    if let Some(policy) = given.choice("failure.policy", &policies) {
        failure.policy = policy;
    }
    let place = given.place("failure.max_failures");
    match given.value("failure.max_failures", "a number of rows") {
        Some(most) if most <= MOST_FAILURES => failure.max_failures = most,
        Some(_) => {
            given.problems.add(place, format!("failure.max_failures: not between 0 and {MOST_FAILURES}"), None);
        }
        None => {}
    }
    failure
}
