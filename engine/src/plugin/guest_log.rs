//! What guests say in the engine's log: made harmless, cut, and bounded for an instance and in time.
//!
//! Lines of one instance are few, and instances are many: each epoch of each lane has one. So a plugin has a budget for
//! all of them together, which fills up again with time, and a tenant may have one for all its plugins. What is over it is
//! counted, and said once in a while.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::contract::Level;
use super::sandbox::printable;

/// Log lines that one instance may write; an instance lives for an epoch, seconds at most.
const LOG_LINES: u32 = 100;
/// Longest log line; longer ones are cut.
const LOG_BYTES: usize = 2 << 10;
/// Lines that a plugin may write in the long run …
const LINES_PER_S: u32 = 10;
/// … and the seconds' worth of them that it may write at once: with those above, 2 MiB, and then 20 KiB a second.
const BURST_S: u32 = 100;
/// How often it is said that lines were dropped.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// Whose lines they are: as the engine calls the plugin, never as it calls itself.
#[derive(Clone, Debug)]
pub(super) struct Author {
    tenant: String,
    plugin: String,
}

impl Author {
    pub(super) fn new(tenant: &str, plugin: &str) -> Self {
        Self { tenant: tenant.to_owned(), plugin: plugin.to_owned() }
    }

    /// Of a plugin that is nobody's yet.
    pub(super) fn unnamed(plugin: &str) -> Self {
        Self::new("", plugin)
    }
}

/// Lines that fill up with time.
#[derive(Debug)]
pub(super) struct Bucket {
    lines: u32,
    per_s: u32,
    /// When it was last filled up.
    at: Instant,
}

/// The budget of a tenant; none where it has no limit.
pub(super) type OfTenant = Arc<Mutex<Option<Bucket>>>;

/// The budgets of tenants.
#[derive(Debug, Default)]
pub(super) struct TenantLogs {
    budgets: Mutex<HashMap<String, OfTenant>>,
}

impl TenantLogs {
    pub(super) fn of(&self, tenant: &str) -> OfTenant {
        locked(&self.budgets).entry(tenant.to_owned()).or_default().clone()
    }

    /// All plugins of a tenant together may write so many lines a second; `None`: each what a plugin may.
    pub(super) fn limit(&self, tenant: &str, lines_per_s: Option<u32>) {
        *locked(&self.of(tenant)) = lines_per_s.map(Bucket::new);
    }
}

/// What all instances of a plugin may still write.
#[derive(Debug)]
pub(super) struct LogBudget {
    author: Author,
    own: Mutex<Bucket>,
    of_tenant: OfTenant,
    dropped: Mutex<Dropped>,
}

/// Lines that were dropped and not spoken of yet, and when that was done last.
#[derive(Debug, Default)]
struct Dropped {
    lines: u64,
    said: Option<Instant>,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl LogBudget {
    pub(super) fn new(author: Author, of_tenant: OfTenant) -> Self {
        Self { author, own: Mutex::new(Bucket::new(LINES_PER_S)), of_tenant, dropped: Mutex::default() }
    }

    /// Of a plugin that is nobody's yet.
    pub(super) fn unnamed(plugin: &str) -> Self {
        Self::new(Author::unnamed(plugin), OfTenant::default())
    }

    /// Whether one more line may be written.
    fn take(&self) -> bool {
        let now = Instant::now();
        locked(&self.own).take(now) && locked(&self.of_tenant).as_mut().is_none_or(|budget| budget.take(now))
    }

    /// Lines of an instance were dropped. Says so for all of them, now or with later ones.
    fn dropped(&self, lines: u64) {
        let mut dropped = locked(&self.dropped);
        dropped.lines += lines;
        let now = Instant::now();
        if dropped.said.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            return;
        }
        let lines = std::mem::take(&mut dropped.lines);
        dropped.said = Some(now);
        drop(dropped);
        let Author { tenant, plugin } = &self.author;
        tracing::warn!(target: "plugin", tenant, plugin, lines, "log lines beyond what a plugin may write were dropped");
    }
}

impl Bucket {
    fn new(per_s: u32) -> Self {
        Self { lines: per_s.saturating_mul(BURST_S), per_s, at: Instant::now() }
    }

    fn take(&mut self, now: Instant) -> bool {
        let passed = now.duration_since(self.at).as_millis() * u128::from(self.per_s) / 1_000;
        if passed > 0 {
            let filled = self.lines.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX));
            self.lines = filled.min(self.per_s.saturating_mul(BURST_S));
            self.at = now;
        }
        self.lines.checked_sub(1).map(|left| self.lines = left).is_some()
    }
}

/// What one instance says: without control characters, each line cut to [`LOG_BYTES`], [`LOG_LINES`] at most.
pub(super) struct GuestLog {
    budget: Arc<LogBudget>,
    lines_left: u32,
    dropped: u64,
    last_error: Option<String>,
}

impl GuestLog {
    pub(super) fn new(budget: Arc<LogBudget>) -> Self {
        Self { budget, lines_left: LOG_LINES, dropped: 0, last_error: None }
    }

    /// What of a message becomes the line: the guest's text may be megabytes.
    pub(super) fn cut(message: &str) -> String {
        printable(message, LOG_BYTES)
    }

    pub(super) fn line(&mut self, level: Level, line: String) {
        self.write(level, &line);
        if level == Level::Error {
            self.last_error = Some(line);
        }
    }

    fn write(&mut self, level: Level, line: &str) {
        if self.lines_left == 0 || !self.budget.take() {
            self.dropped += 1;
            return;
        }
        self.lines_left -= 1;
        let Author { tenant, plugin } = &self.budget.author;
        match level {
            Level::Error => tracing::error!(target: "plugin", tenant, plugin, "{line}"),
            Level::Warn => tracing::warn!(target: "plugin", tenant, plugin, "{line}"),
            Level::Info => tracing::info!(target: "plugin", tenant, plugin, "{line}"),
            Level::Debug => tracing::debug!(target: "plugin", tenant, plugin, "{line}"),
        }
    }

    /// The last line of level error since this was last asked. The SDK's panic hook writes one before it traps.
    pub(super) fn take_last_error(&mut self) -> Option<String> {
        self.last_error.take()
    }
}

impl Drop for GuestLog {
    fn drop(&mut self) {
        if self.dropped > 0 {
            self.budget.dropped(self.dropped);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_budget_of_all_instances_fills_up_with_time_and_not_beyond() {
        let mut bucket = Bucket::new(LINES_PER_S);
        let begin = bucket.at;
        let mut at = |ms: u64| {
            let now = begin + Duration::from_millis(ms);
            (0..5_000).filter(|_| bucket.take(now)).count()
        };
        assert_eq!((at(0), at(50), at(1_000), at(1_050), at(600_000)), (1_000, 0, 10, 0, 1_000));
    }

    #[test]
    fn a_tenants_budget_is_that_of_all_its_plugins_together() {
        let logs = TenantLogs::default();
        let plugins = ["orders", "users"].map(|name| LogBudget::new(Author::new("acme", name), logs.of("acme")));
        let other = LogBudget::new(Author::new("other", "orders"), logs.of("other"));
        logs.limit("acme", Some(1));
        let lines = |budget: &LogBudget| (0..500).filter(|_| budget.take()).count();
        assert_eq!((lines(&plugins[0]), lines(&plugins[1]), lines(&other)), (100, 0, 500));
        logs.limit("acme", None);
        assert_eq!(lines(&plugins[1]), 500);
    }
}
