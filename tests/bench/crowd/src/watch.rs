//! Asks the running engine, again and again, how far its lanes are.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::{Failure, pause};

/// That a lane has committed everything below an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    /// When that was seen, behind the beginning.
    pub(crate) at: Duration,
    pub(crate) below: u64,
}

/// The commits of each lane, by its name.
pub(crate) type Seen = BTreeMap<String, Vec<Commit>>;

/// The thread that asks.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn start(url: &str, began: Instant, every: Duration) -> Result<Self, Failure> {
        let (seen, ends) = (Arc::new(Mutex::new(Seen::new())), Arc::new(AtomicBool::new(false)));
        let (into, end, url) = (seen.clone(), ends.clone(), format!("{url}/health"));
        let client = reqwest::blocking::Client::builder().timeout(Duration::from_secs(10)).build()?;
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                let answer = client.get(&url).send().and_then(reqwest::blocking::Response::text);
                let at = began.elapsed();
                if let Ok(text) = answer
                    && let Ok(health) = serde_json::from_str::<Value>(&text)
                {
                    note(&mut into.lock().unwrap_or_else(PoisonError::into_inner), &health, at);
                }
                pause(every);
            }
        });
        Ok(Self { seen, ends, thread })
    }

    /// What was seen so far.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(crate) fn end(self) -> Result<Seen, Failure> {
        self.ends.store(true, Ordering::Release);
        self.thread.join().map_err(|_| "the thread that asks panicked")?;
        Ok(std::mem::take(&mut *self.seen.lock().unwrap_or_else(PoisonError::into_inner)))
    }
}

fn note(seen: &mut Seen, health: &Value, at: Duration) {
    for lane in health["lanes"].as_array().into_iter().flatten() {
        let (Some(name), Some(below)) = (lane["lane"].as_str(), lane["committed"].as_u64()) else { continue };
        let commits = seen.entry(name.to_owned()).or_default();
        if commits.last().is_none_or(|last| last.below < below) {
            commits.push(Commit { at, below });
        }
    }
}

/// Of the messages that were sent between two times, from each one's sending to its commit, in milliseconds. Those that
/// were never seen to be committed are not among them.
pub(crate) fn latencies(sent: &[Duration], commits: &[Commit], from: Duration, to: Duration) -> Vec<f64> {
    let mut commits = commits.iter().peekable();
    let mut latencies = Vec::new();
    for (offset, at) in (0_u64..).zip(sent) {
        while commits.next_if(|commit| commit.below <= offset).is_some() {}
        let Some(commit) = commits.peek() else { break };
        if (from..to).contains(at) {
            latencies.push(commit.at.saturating_sub(*at).as_secs_f64() * 1e3);
        }
    }
    latencies
}
