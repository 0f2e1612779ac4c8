//! Watches the plugins folder, on a thread of its own.
//!
//! **Promise.** What [`Folder`] tells of is passed on, in order; a change at the latest [`POLL`] and a moment after it was
//! made, whatever file system it was made on; [`SELDOM`] in a folder of hundreds of plugins. The system's notifications, where
//! there are any, only make it quicker: 50 ms. So nothing rests on their order, number or kind.
//! **Assumed.** Somebody takes what is passed on: until then the thread waits.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

use super::folder::{Change, Folder, Found};
use crate::config::{Layout, SHARED, folders};
use crate::cpu::thread_time;

/// How often it is looked without being told.
const POLL: Duration = Duration::from_secs(2);
/// A look at hundreds of plugins takes much CPU time: so many times as much passes before the next one...
const RESTS: u32 = 1_000;
/// ...or this.
const SELDOM: Duration = Duration::from_secs(10);
/// Notifications come in swarms: one look for each.
const SWARM: Duration = Duration::from_millis(5);
/// How long plugins may be changing at the start until it goes on without them.
const START: Duration = Duration::from_secs(10);

enum Wake {
    Look,
    End,
}

/// What a watched folder tells.
#[derive(Debug)]
pub(super) struct Watch {
    changes: tokio::sync::mpsc::Receiver<Change>,
    wake: mpsc::Sender<Wake>,
}

impl Watch {
    /// Watches a folder from how it was found last.
    ///
    /// # Errors
    /// There are no more threads.
    pub(super) fn start(folder: Folder) -> io::Result<Self> {
        let (passed_on, changes) = tokio::sync::mpsc::channel(16);
        let (wake, woken) = mpsc::channel();
        let notified = wake.clone();
        thread::Builder::new().name("engine-watch".into()).spawn(move || {
            let notifier = Notifier::new(notified);
            watch(folder, notifier, &woken, &passed_on);
        })?;
        Ok(Self { changes, wake })
    }

    /// The next change.
    pub(super) async fn change(&mut self) -> Option<Change> {
        self.changes.recv().await
    }

    /// Looks now.
    pub(super) fn look(&self) {
        self.wake.send(Wake::Look).ok(); // the thread ends with this
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.wake.send(Wake::End).ok(); // it may have ended
    }
}

/// Everything that a folder holds, once it has come to rest: blocks for [`super::folder::SETTLE`], and for ten seconds if it
/// does not.
pub(super) fn read_all(folder: &mut Folder) -> Vec<Change> {
    let began = Instant::now();
    let mut all = Vec::new();
    loop {
        let Found { changes, look_again } = folder.look(Layout::of(folder.path()), Instant::now());
        all.extend(changes);
        match look_again {
            Some(at) if folder.is_changing() && began.elapsed() < START => {
                thread::sleep(at.saturating_duration_since(Instant::now()));
            }
            Some(_) | None => return all,
        }
    }
}

fn watch(
    mut folder: Folder,
    mut notifier: Notifier,
    woken: &mpsc::Receiver<Wake>,
    passed_on: &tokio::sync::mpsc::Sender<Change>,
) {
    loop {
        let before = thread_time();
        let mut layout = Layout::of(folder.path());
        if notifier.follow(folder.path(), layout.as_ref().unwrap_or(&Layout::default())) {
            layout = Layout::of(folder.path()); // of what came before it was watched, nothing was notified
        }
        let Found { changes, look_again } = folder.look(layout, Instant::now());
        let pause = (thread_time().saturating_sub(before) * RESTS).clamp(POLL, SELDOM);
        for change in changes {
            if passed_on.blocking_send(change).is_err() {
                return;
            }
        }
        let poll = Instant::now() + pause;
        let until = look_again.map_or(poll, |at| at.min(poll));
        match woken.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Wake::Look) => {
                thread::sleep(SWARM);
                if woken.try_iter().any(|wake| matches!(wake, Wake::End)) {
                    return;
                }
            }
            Ok(Wake::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

/// The system's notifications of the folders that count. Not of all below them: a plugin's project holds thousands.
struct Notifier {
    watcher: Option<RecommendedWatcher>,
    /// Which folder is watched under each path: a folder that was made again is another one.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    complained: bool,
}

impl Notifier {
    fn new(wake: mpsc::Sender<Wake>) -> Self {
        let told = move |event: notify::Result<Event>| {
            // Our own looks are notified of as well.
            let ours = event.as_ref().is_ok_and(|event| match event.kind {
                EventKind::Access(kind) => kind != AccessKind::Close(AccessMode::Write),
                EventKind::Any
                | EventKind::Create(_)
                | EventKind::Modify(_)
                | EventKind::Remove(_)
                | EventKind::Other => false,
            });
            if !ours {
                wake.send(Wake::Look).ok(); // nobody watches any more
            }
        };
        let watcher = notify::recommended_watcher(told);
        let complained = watcher.as_ref().is_err_and(complain);
        Self { watcher: watcher.ok(), watched: BTreeMap::new(), complained }
    }

    /// Watches the folder of plugins, each tenant's and each plugin's, as they are now. Says whether any is new.
    fn follow(&mut self, root: &Path, layout: &Layout) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        let mut now: BTreeMap<PathBuf, (u64, u64)> = BTreeMap::new();
        for folder in all_folders(root, layout) {
            if let Ok(metadata) = fs::metadata(&folder) {
                now.insert(folder, (metadata.dev(), metadata.ino()));
            }
        }
        self.watched.retain(|folder, place| {
            let same = now.get(folder) == Some(place);
            if !same {
                watcher.unwatch(folder).ok(); // it is gone
            }
            same
        });
        let mut news = false;
        for (folder, place) in now {
            if self.watched.contains_key(&folder) {
                continue;
            }
            match watcher.watch(&folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder, place);
                    news = true;
                }
                Err(error) => self.complained = self.complained || complain(&error),
            }
        }
        news
    }
}

/// The folders in which something may change that counts. A password may lie elsewhere: it is found by looking.
fn all_folders(root: &Path, Layout { plugins, tenants }: &Layout) -> Vec<PathBuf> {
    let of_tenants = tenants.iter().flat_map(|tenant| tenant.plugins.iter().chain([&tenant.folder]));
    let shared = root.join(SHARED);
    let of_shared = folders(&shared).unwrap_or_default();
    [root.to_owned(), shared].into_iter().chain(of_shared).chain(plugins.iter().chain(of_tenants).cloned()).collect()
}

/// Says it once: it is only slower.
fn complain(error: &notify::Error) -> bool {
    tracing::warn!(%error, poll_s = POLL.as_secs(), "the system does not notify of changed plugins: they are looked for instead");
    true
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use tokio::time::timeout;

    use super::*;

    /// Long enough for a machine that is busy with everything else.
    const PATIENCE: Duration = Duration::from_secs(60);

    async fn next(watch: &mut Watch) -> String {
        match timeout(PATIENCE, watch.change()).await.unwrap().unwrap() {
            Change::Holds(files) => String::from_utf8(files.wasm.unwrap().to_vec()).unwrap(),
            Change::Gone { key } => format!("{key} is gone"),
            other @ (Change::Tenant(_) | Change::TenantGone { .. }) => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn changes_come_by_themselves_and_the_thread_ends() {
        let dir = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(dir.path());
        assert!(read_all(&mut folder).is_empty());
        let mut watch = Watch::start(folder).unwrap();
        let plugin = dir.path().join("p");
        for content in ["one", "two"] {
            fs::create_dir(&plugin).unwrap();
            fs::write(plugin.join("plugin.wasm"), content).unwrap();
            fs::write(plugin.join("plugin.toml"), "").unwrap();
            assert_eq!(next(&mut watch).await, content);
            fs::remove_dir_all(&plugin).unwrap();
            if content == "one" {
                assert_eq!(next(&mut watch).await, "p is gone");
            }
        }
        let wake = watch.wake.clone();
        drop(watch);
        let ended = async {
            while wake.send(Wake::Look).is_ok() {
                tokio::task::yield_now().await;
            }
        };
        timeout(PATIENCE, ended).await.unwrap();
    }

    #[test]
    fn everything_is_read_at_the_start() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a", "b"] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join("plugin.toml"), "").unwrap();
        }
        let all = read_all(&mut Folder::new(dir.path()));
        assert!(all.iter().all(|change| matches!(change, Change::Holds(_))));
        assert_eq!(all.len(), 2);
    }
}
