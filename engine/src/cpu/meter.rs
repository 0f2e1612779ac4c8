//! What was done for a tenant: counted as it happens, also for epochs that come to nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::fair::Share;

/// What CPU time was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// Bytes to columns.
    Decode,
    /// The plugin, its border and its instances.
    Guest,
    /// Columns to blocks.
    Assemble,
    /// Digests of what comes in and goes out.
    Digest,
    /// Blocks to bytes for the server.
    Encode,
    /// A version in the shadow.
    Shadow,
}

impl Of {
    /// All of them.
    pub const ALL: [Self; 6] = [Self::Decode, Self::Guest, Self::Assemble, Self::Digest, Self::Encode, Self::Shadow];

    /// The word for metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::Guest => "guest",
            Self::Assemble => "assemble",
            Self::Digest => "digest",
            Self::Encode => "encode",
            Self::Shadow => "shadow",
        }
    }
}

/// Counts for one tenant.
#[derive(Debug, Default)]
pub(super) struct Meter {
    all: AtomicU64,
    of: [AtomicU64; Of::ALL.len()],
    waited: AtomicU64,
}

impl Meter {
    pub(super) fn spent(&self, time: Duration) {
        add(&self.all, time);
    }

    pub(super) fn note(&self, of: Of, time: Duration) {
        add(&self.of[of as usize], time);
    }

    pub(super) fn waited(&self, time: Duration) {
        add(&self.waited, time);
    }

    pub(super) fn used(&self, tenant: Arc<str>, share: Share, waits: Option<Duration>) -> Used {
        let get = |of: Of| (of.as_str(), read(&self.of[of as usize]));
        let mut by: Vec<_> = Of::ALL.map(get).to_vec();
        let named: Duration = by.iter().map(|(_, time)| *time).sum();
        let all = read(&self.all);
        by.push(("other", all.saturating_sub(named)));
        Used { tenant, share, cpu: all.max(named), by, waited: read(&self.waited), waits }
    }
}

fn add(counter: &AtomicU64, time: Duration) {
    counter.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
}

fn read(counter: &AtomicU64) -> Duration {
    Duration::from_nanos(counter.load(Ordering::Relaxed))
}

/// What a tenant has used.
#[derive(Clone, Debug)]
pub struct Used {
    /// The tenant.
    pub tenant: Arc<str>,
    /// What it may have.
    pub share: Share,
    /// CPU time of all its work.
    pub cpu: Duration,
    /// The same by what it was for: [`Of`], and `other`.
    pub by: Vec<(&'static str, Duration)>,
    /// How long its pieces have waited for turns, summed up.
    pub waited: Duration,
    /// How long the piece that waits longest has waited; none: nothing waits.
    pub waits: Option<Duration>,
}
