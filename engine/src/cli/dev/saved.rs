//! What an author has saved: the files of a project that its build depends on, looked at again and again. Looking finds
//! every way of saving, on any file system; a project has few files.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::sleep;

/// How often the files are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// Of a project's folder, what decides what is built or tested.
const WATCHED: [&str; 5] = ["src", "Cargo.toml", "build.rs", "plugin.toml", "cases"];

/// A project's files as they were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Saved(BTreeMap<PathBuf, (SystemTime, u64)>);

impl Saved {
    /// As they are now.
    pub(super) fn of(project: &Path) -> Self {
        let mut files = BTreeMap::new();
        let mut waiting: Vec<_> = WATCHED.iter().map(|name| project.join(name)).collect();
        while let Some(path) = waiting.pop() {
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_dir() {
                waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            } else {
                files.insert(path, (about.modified().unwrap_or(SystemTime::UNIX_EPOCH), about.len()));
            }
        }
        Self(files)
    }

    /// Waits until something else is saved, and at rest; says when that was.
    pub(super) async fn next(&mut self, project: &Path) -> SystemTime {
        loop {
            sleep(LOOK).await;
            let now = Self::of(project);
            if now == *self {
                continue;
            }
            sleep(LOOK).await;
            if Self::of(project) == now {
                let when = now.changed_since(self).unwrap_or_else(SystemTime::now);
                *self = now;
                return when;
            }
        }
    }

    /// The last time that a file was written which is new or other than before.
    fn changed_since(&self, before: &Self) -> Option<SystemTime> {
        let changed = self.0.iter().filter(|(path, about)| before.0.get(*path) != Some(about));
        changed.map(|(_, (modified, _))| *modified).max().filter(|modified| *modified <= SystemTime::now())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[tokio::test]
    async fn what_is_saved_is_noticed_and_what_is_built_is_not() {
        let project = tempfile::tempdir().unwrap();
        let path = |name: &str| project.path().join(name);
        fs::create_dir_all(path("src/deep")).unwrap();
        fs::write(path("src/deep/one.rs"), "1").unwrap();
        let mut saved = Saved::of(project.path());
        fs::write(path("plugin.wasm"), "built").unwrap();
        fs::create_dir_all(path("target")).unwrap();
        fs::write(path("target/x"), "built").unwrap();
        assert_eq!(Saved::of(project.path()), saved);
        fs::write(path("src/deep/one.rs"), "12").unwrap();
        // As editors save: another file takes its place.
        fs::write(path("plugin.toml.new"), "topics = []").unwrap();
        fs::rename(path("plugin.toml.new"), path("plugin.toml")).unwrap();
        let when = tokio::time::timeout(Duration::from_secs(60), saved.next(project.path())).await.unwrap();
        assert!(when <= SystemTime::now());
        assert_eq!(saved, Saved::of(project.path()));
        fs::remove_file(path("plugin.toml")).unwrap();
        assert_ne!(saved, Saved::of(project.path()));
    }
}
