//! Places where a test lets the engine crash: named steps of a lane.
//!
//! With `ENGINE_CRASH_AT=intended:3` the process dies, as by a power cut, when a lane has reached that step for the third
//! time. Builds without debug assertions have none of this.

/// A step of a lane, after which the process may die.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrashPoint {
    /// The lane is this process's at the tables' server.
    Claimed,
    /// An open epoch was made again, and not sent.
    MadeAgain,
    /// An epoch was transformed, and nothing written down.
    Transformed,
    /// Its intent is durable, nothing sent.
    Intended,
    /// One of its tables has its rows.
    InsertedOne,
    /// All of its tables have.
    InsertedAll,
    /// Its commit is durable.
    Committed,
}

impl CrashPoint {
    /// All of them, in the order of an epoch.
    pub const ALL: [Self; 7] = [
        Self::Claimed,
        Self::MadeAgain,
        Self::Transformed,
        Self::Intended,
        Self::InsertedOne,
        Self::InsertedAll,
        Self::Committed,
    ];

    /// Its name in `ENGINE_CRASH_AT`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claimed => "claimed",
            Self::MadeAgain => "made_again",
            Self::Transformed => "transformed",
            Self::Intended => "intended",
            Self::InsertedOne => "inserted_one",
            Self::InsertedAll => "inserted_all",
            Self::Committed => "committed",
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
