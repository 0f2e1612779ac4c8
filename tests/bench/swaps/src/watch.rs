//! Asks the running engine, a hundred times a second, how far its lanes are.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::Failure;
use crate::load::PARTITIONS;

const INTERVAL: Duration = Duration::from_millis(10);

/// That a lane has committed everything below an offset.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Commit {
    /// When that was seen, behind the beginning.
    pub(crate) at: Duration,
    pub(crate) below: u64,
}

/// How far the lanes are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// Of each partition.
    pub(crate) commits: [Vec<Commit>; PARTITIONS],
    /// The digest of what makes each partition's next epoch.
    pub(crate) runs: [String; PARTITIONS],
    /// Whether a version is on trial.
    pub(crate) trial: bool,
}

impl Seen {
    pub(crate) fn committed(&self) -> u64 {
        self.commits.iter().filter_map(|commits| commits.last()).map(|commit| commit.below).sum()
    }
}

/// The thread that asks.
pub(crate) struct Watch {
    seen: Arc<Mutex<Seen>>,
    ends: Arc<AtomicBool>,
    thread: JoinHandle<()>,
}

impl Watch {
    pub(crate) fn start(url: &str, began: Instant) -> Result<Self, Failure> {
        let (seen, ends) = (Arc::new(Mutex::new(Seen::default())), Arc::new(AtomicBool::new(false)));
        let (into, end, url) = (seen.clone(), ends.clone(), format!("{url}/plugins"));
        let client = reqwest::blocking::Client::new();
        let thread = thread::spawn(move || {
            while !end.load(Ordering::Acquire) {
                let answer = client.get(&url).send().and_then(|answer| answer.text());
                let at = began.elapsed();
                if let Ok(text) = answer
                    && let Ok(status) = serde_json::from_str(&text)
                {
                    note(&mut into.lock().expect("nobody panics with it"), &status, at);
                }
                pause();
            }
        });
        Ok(Self { seen, ends, thread })
    }

    /// What was seen so far.
    pub(crate) fn look<T>(&self, at: impl FnOnce(&Seen) -> T) -> T {
        at(&self.seen.lock().expect("nobody panics with it"))
    }

    pub(crate) fn end(self) -> Result<Seen, Failure> {
        self.ends.store(true, Ordering::Release);
        let Self { seen, thread, .. } = self;
        thread.join().map_err(|_| "the thread that asks panicked")?;
        let seen = seen.lock().map_err(|_| "the thread that asks panicked")?;
        Ok(seen.clone())
    }
}

#[expect(clippy::disallowed_methods, reason = "it asks so often")]
fn pause() {
    thread::sleep(INTERVAL);
}

fn note(seen: &mut Seen, status: &Value, at: Duration) {
    seen.trial = !status[0]["trial"].is_null();
    let lanes = status[0]["lanes"].as_array();
    for lane in lanes.into_iter().flatten() {
        let Some(partition) = lane["partition"].as_u64().and_then(|it| usize::try_from(it).ok()) else { continue };
        let (Some(commits), Some(runs)) = (seen.commits.get_mut(partition), seen.runs.get_mut(partition)) else {
            continue;
        };
        lane["version"]["plugin_digest"].as_str().unwrap_or_default().clone_into(runs);
        let Some(below) = lane["committed"].as_u64() else { continue };
        if commits.last().is_none_or(|last| last.below < below) {
            commits.push(Commit { at, below });
        }
    }
}
