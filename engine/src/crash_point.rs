//! Places where a test lets the engine crash: named steps of a lane, or of a command.
//!
//! With `ENGINE_CRASH_AT=intended:3` the process dies, as by a power cut, when it has reached that step for the third
//! time. Builds without debug assertions have none of this.

/// A step after which the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The lane is this process's at the tables' server.
    Claimed,
    /// An open epoch was made again, and not sent.
    MadeAgain,
    /// The lane runs another version of its plugin from its next epoch on, and nothing of that is written down.
    MovedOver,
    /// An epoch was transformed, and nothing written down.
    Transformed,
    /// Its version was withdrawn for it: the epoch is forgotten.
    Withdrawn,
    /// Its intent is durable, nothing sent.
    Intended,
    /// One of its tables has its rows.
    InsertedOne,
    /// All of its tables have.
    InsertedAll,
    /// Its commit is durable.
    Committed,
    /// `engine schema apply` has written down what it is about to run.
    Noted,
    /// `engine schema backfill` has put one day in place.
    DayReplaced,
}

impl CrashPoint {
    /// Those that lanes come by without another version of their plugin, in the order of an epoch.
    pub const ALL: [Self; 7] = [
        Self::Claimed,
        Self::MadeAgain,
        Self::Transformed,
        Self::Intended,
        Self::InsertedOne,
        Self::InsertedAll,
        Self::Committed,
    ];

    /// Those where one version of a plugin gives way to another.
    pub const OF_VERSIONS: [Self; 2] = [Self::MovedOver, Self::Withdrawn];

    /// Its name in `ENGINE_CRASH_AT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::MadeAgain => "made_again",
            Self::MovedOver => "moved_over",
            Self::Transformed => "transformed",
            Self::Withdrawn => "withdrawn",
            Self::Intended => "intended",
            Self::InsertedOne => "inserted_one",
            Self::InsertedAll => "inserted_all",
            Self::Committed => "committed",
            Self::Noted => "noted",
            Self::DayReplaced => "day_replaced",
        }
    }

    /// The lane is here: dies if this is the time that was asked for.
    #[cfg(debug_assertions)]
    pub fn reached(self) {
        use std::sync::LazyLock;
        use std::sync::atomic::{AtomicU32, Ordering};

        static ASKED: LazyLock<Option<(String, AtomicU32)>> = LazyLock::new(|| {
            let asked = std::env::var("ENGINE_CRASH_AT").ok()?;
            let (step, times) = asked.split_once(':')?;
            Some((step.to_owned(), AtomicU32::new(times.parse().ok()?)))
        });
        if let Some((step, times)) = &*ASKED
            && step == self.as_str()
            && times.fetch_sub(1, Ordering::AcqRel) == 1
        {
            std::process::abort();
        }
    }

    /// Nothing happens in this build.
    #[cfg(not(debug_assertions))]
    pub fn reached(self) {}
}
