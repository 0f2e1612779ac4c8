//! Repeating: for as long as it takes, ever more slowly, and never all at once.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use twox_hash::XxHash3_64;

use super::Cause;
use super::stats::SinkStats;
use super::trouble::{Decision, Trouble};

/// Repeats under way to one server. When it comes back, a thousand lanes wait for it: they come in through this door,
/// or the server goes down again under what it missed.
const REPEATS_AT_ONCE: usize = 16;

/// One warning of trouble with a server in this time, whoever has it.
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Each attempt that ran out of time gives the next one twice as much, up to 2^this: a time-out that is too short for
/// a block would otherwise be repeated for ever.
const MOST_DOUBLINGS: u32 = 4;

/// The pause after a failed attempt: `first`, doubled with each further one up to `most`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Pause after the first failed attempt.
    pub first: Duration,
    /// Longest pause.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(15) }
    }
}

impl Backoff {
    /// The pause after this many failures: between half and the whole of the doubled time. The fraction comes from the
    /// name of what is repeated, so lanes that failed together come back apart, and a test can foresee it.
    fn pause(self, failures: u32, name: &str) -> Duration {
        let whole = self.first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1))).min(self.most);
        let hash = XxHash3_64::oneshot_with_seed(failures.into(), name.as_bytes());
        let fraction = u32::try_from(hash >> 32).unwrap_or(0);
        whole / 2 + (whole / 2).mul_f64(f64::from(fraction) / f64::from(u32::MAX))
    }
}

/// What is repeated, for logs.
#[derive(Clone, Copy, Debug)]
pub(super) struct What<'a> {
    pub(super) table: &'a str,
    /// The token, or what the statement does.
    pub(super) name: &'a str,
}

/// One attempt.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// From 1.
    pub(super) number: u32,
    pub(super) timeout: Duration,
    /// It is not known what became of an earlier one.
    pub(super) unsettled: bool,
}

impl Attempt {
    /// The only one.
    pub(super) fn once(timeout: Duration) -> Self {
        Self { number: 1, timeout, unsettled: false }
    }
}

/// Repeats for one server.
#[derive(Debug)]
pub(super) struct Patience {
    backoff: Backoff,
    door: Semaphore,
    warned: Mutex<Option<Instant>>,
}

impl Patience {
    pub(super) fn new(backoff: Backoff) -> Self {
        Self { backoff, door: Semaphore::new(REPEATS_AT_ONCE), warned: Mutex::new(None) }
    }

    /// Attempts until there is a success, or an answer that repeating can't change.
    pub(super) async fn until_settled<T, F: Future<Output = Result<T, Trouble>>>(
        &self,
        stats: &SinkStats,
        what: What<'_>,
        timeout: Duration,
        mut attempt: impl FnMut(Attempt) -> F,
    ) -> Result<(T, u32), Trouble> {
        let (mut number, mut doublings, mut waiting, mut unsettled) = (1, 0, None, false);
        loop {
            // The first attempt goes straight; repeats queue.
            let _permit = if number > 1 { self.door.acquire().await.ok() } else { None };
            let trouble = match attempt(Attempt { number, timeout: timeout * 2_u32.pow(doublings), unsettled }).await {
                Ok(done) => return Ok((done, number)),
                Err(trouble) => trouble,
            };
            stats.failed(trouble.cause);
            match trouble.cause.decision() {
                Decision::NotNow => {}
                Decision::Unknown => unsettled = true,
                Decision::Denied | Decision::Table | Decision::Refused | Decision::Bug | Decision::Fenced => {
                    return Err(trouble);
                }
            }
            waiting.get_or_insert_with(|| stats.wait());
            self.warn(stats, what, number, &trouble);
            if trouble.cause == Cause::Timeout {
                doublings = (doublings + 1).min(MOST_DOUBLINGS);
            }
            drop(_permit);
            tokio::time::sleep(self.backoff.pause(number, what.name)).await;
            number = number.saturating_add(1);
        }
    }

    fn warn(&self, stats: &SinkStats, what: What<'_>, attempt: u32, trouble: &Trouble) {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.is_some_and(|at| at.elapsed() < WARN_EVERY) {
            return;
        }
        *warned = Some(Instant::now());
        tracing::warn!(
            table = what.table,
            block = what.name,
            attempt,
            cause = trouble.cause.as_str(),
            code = trouble.code,
            waiting = stats.totals().waiting,
            "ClickHouse did not confirm, repeating: {}",
            trouble.message
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_server_that_is_back_is_not_overrun() {
        const LANES: usize = 200;
        let patience = Patience::new(Backoff { first: Duration::from_nanos(1), most: Duration::from_nanos(1) });
        let (stats, now, most) = (SinkStats::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let what = What { table: "t", name: "lane" };
        let attempt = |attempt: Attempt| {
            let (now, most) = (&now, &most);
            async move {
                if attempt.number > 1 {
                    most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::task::yield_now().await;
                    now.fetch_sub(1, Ordering::Relaxed);
                }
                let trouble = Trouble { cause: Cause::Connect, code: 0, message: String::new() };
                if attempt.number > 3 { Ok(()) } else { Err(trouble) }
            }
        };
        let lanes = (0..LANES).map(|_| patience.until_settled(&stats, what, Duration::ZERO, attempt));
        let settled = futures::future::join_all(lanes).await;
        assert!(settled.iter().all(|settled| matches!(settled, Ok(((), 4)))));
        assert_eq!(most.into_inner(), REPEATS_AT_ONCE);
        assert_eq!(stats.totals().waiting, 0);
    }

    #[test]
    fn pauses_grow_to_their_limit_and_differ() {
        let backoff = Backoff { first: Duration::from_millis(100), most: Duration::from_secs(2) };
        for failures in 1..100 {
            let whole = Duration::from_millis(100 << (failures - 1).min(10)).min(Duration::from_secs(2));
            let (a, b) = (backoff.pause(failures, "a"), backoff.pause(failures, "b"));
            assert!(whole / 2 <= a && a <= whole, "{a:?} after {failures}");
            assert_ne!(a, b, "after {failures}");
        }
    }
}
