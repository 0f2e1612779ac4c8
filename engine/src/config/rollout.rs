//! How a new version of a plugin takes over: below `[rollout]` in plugin.toml.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::given::Settings;
use super::problem::Place;

/// A day: what has gone well for so long is not judged by what comes then.
const MOST_PROBATION_S: u64 = 86_400;

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

/// Reads what is below `[rollout]`.
pub(super) fn rollout(given: &mut Settings) -> Rollout {
    let mut rollout = Rollout::default();
    let modes = [("replace", Mode::Replace), ("shadow", Mode::Shadow), ("canary", Mode::Canary)];
    if let Some(mode) = given.choice("rollout.mode", &modes) {
        rollout.mode = mode;
    }
    only_for(given, "rollout.share", rollout.mode == Mode::Canary, "mode = \"canary\"");
    if let Some(share) = number(given, "rollout.share", 0.0..=1.0) {
        rollout.share = share;
    }
    let beside = matches!(rollout.mode, Mode::Shadow | Mode::Canary);
    only_for(given, "rollout.promote", beside, "mode = \"shadow\" and \"canary\"");
    let promotes = [("by-hand", Promote::ByHand), ("when-equal", Promote::WhenEqual)];
    if let Some(promote) = given.choice("rollout.promote", &promotes) {
        rollout.promote = promote;
    }
    if let Some(seconds) = whole(given, "rollout.probation_s", "seconds", 0..=MOST_PROBATION_S) {
        rollout.probation = Duration::from_secs(seconds);
    }
    rollout.probation_rows = whole(given, "rollout.probation_rows", "messages", 1..=u64::MAX);
    if let Some(share) = number(given, "rollout.max_dead_letters", 0.0..=1.0) {
        rollout.max_dead_letters = share;
    }
    if let Some(cost) = number(given, "rollout.max_cost", 1.0..=1000.0) {
        rollout.max_cost = cost;
    }
    rollout
}

/// Notes a key that has no meaning in this mode: somebody relies on it.
fn only_for(given: &mut Settings, key: &str, has_meaning: bool, modes: &str) {
    let place = given.place(key);
    if place != Place::Nowhere && !has_meaning {
        given.problems.add(place, format!("{key}: has a meaning for {modes} alone"), None);
    }
}

fn whole(given: &mut Settings, key: &str, of: &str, range: RangeInclusive<u64>) -> Option<u64> {
    let place = given.place(key);
    let value = given.value(key, &format!("a number of {of}"))?;
    if range.contains(&value) {
        return Some(value);
    }
    let most = range.end();
    let wanted =
        if *most == u64::MAX { format!("at least {}", range.start()) } else { format!("between 0 and {most}") };
    given.problems.add(place, format!("{key}: not {wanted}"), None);
    None
}

fn number(given: &mut Settings, key: &str, range: RangeInclusive<f64>) -> Option<f64> {
    let place = given.place(key);
    let value = given.value(key, "a number")?;
    if range.contains(&value) {
        return Some(value);
    }
    given.problems.add(place, format!("{key}: not between {} and {}", range.start(), range.end()), None);
    None
}
