//! What guests say in the engine's log: made harmless, cut, and bounded for an instance and in time.
//!
//! Lines of one instance are few, and instances are many: each epoch of each lane has one. So a plugin has a budget for
//! all of them together, which fills up again with time. What is over it is counted, and said once in a while.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::contract::Level;
use super::sandbox::printable;

/// Log lines that one instance may write; an instance lives for an epoch, seconds at most.
const LOG_LINES: u32 = 100;
/// Longest log line; longer ones are cut.
const LOG_BYTES: usize = 2 << 10;
/// Lines that a plugin may write in a second in the long run, where nobody says otherwise: 20 KiB …
pub const LINES_PER_S: u32 = 10;
/// … and so many times that at once: 2 MiB.
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

/// What all instances of a plugin may still write.
#[derive(Debug)]
pub(super) struct LogBudget {
    author: Author,
    lines_per_s: u32,
    left: Mutex<Left>,
}

#[derive(Debug)]
struct Left {
    lines: u32,
    /// When it was last filled up.
    at: Instant,
    dropped: u64,
    said: Option<Instant>,
}

impl LogBudget {
    pub(super) fn new(author: Author, lines_per_s: u32) -> Self {
        let lines = lines_per_s.saturating_mul(BURST_S);
        let left = Left { lines, at: Instant::now(), dropped: 0, said: None };
        Self { author, lines_per_s, left: Mutex::new(left) }
    }

    pub(super) fn author(&self) -> &Author {
        &self.author
    }

    fn left(&self) -> std::sync::MutexGuard<'_, Left> {
        self.left.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether one more line may be written.
    fn take(&self) -> bool {
        self.left().take(self.lines_per_s, Instant::now())
    }

    /// Lines of an instance were dropped. Says so for all of them, now or with later ones.
    fn dropped(&self, lines: u64) {
        let mut left = self.left();
        left.dropped += lines;
        let now = Instant::now();
        if left.said.is_some_and(|said| now.duration_since(said) < SAID_EVERY) {
            return;
        }
        let lines = std::mem::take(&mut left.dropped);
        left.said = Some(now);
        drop(left);
        let Author { tenant, plugin } = &self.author;
        tracing::warn!(target: "plugin", tenant, plugin, lines, "log lines beyond what a plugin may write were dropped");
    }
}

impl Left {
    fn take(&mut self, lines_per_s: u32, now: Instant) -> bool {
        let passed = now.duration_since(self.at).as_millis() * u128::from(lines_per_s) / 1_000;
        if passed > 0 {
            let most = lines_per_s.saturating_mul(BURST_S);
            self.lines = self.lines.saturating_add(u32::try_from(passed).unwrap_or(u32::MAX)).min(most);
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
        let budget = LogBudget::new(Author::new("acme", "orders"), 10);
        let mut left = budget.left();
        let begin = left.at;
        let mut at = |ms: u64| {
            let now = begin + Duration::from_millis(ms);
            (0..5_000).filter(|_| left.take(10, now)).count()
        };
        assert_eq!((at(0), at(50), at(1_000), at(1_050), at(600_000)), (1_000, 0, 10, 0, 1_000));
    }
}
