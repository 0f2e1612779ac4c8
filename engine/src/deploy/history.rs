//! What became of each version of a plugin, in the data folder: a file of JSON lines for each plugin, only ever added to.
//!
//! **Promise.** A note is durable when [`History::note`] returns. A line that a crash has cut is left out; nothing before
//! or behind it is.
//!
//! It says what runs after a restart: the last version that was started, has passed its trial, or was chosen by an
//! operator; unless the folder holds another one, which was not withdrawn.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::version::VersionId;
use crate::offsets::PluginKey;

/// The notes of a data folder.
#[derive(Clone, Debug)]
pub struct History {
    folder: PathBuf,
}

/// Something that happened to a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, ms since 1970-01-01 UTC.
    pub at_ms: i64,
    /// To which version.
    pub version: VersionId,
    /// What its author calls it; empty where that is not known.
    #[serde(default)]
    pub plugin_version: String,
    /// What.
    pub what: What,
    /// Why, in words; empty where there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// The version that it came in place of, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<VersionId>,
}

/// What happened to a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// It runs, without a trial.
    Started,
    /// It is on trial.
    Trial,
    /// It has passed its trial.
    Passed,
    /// It was taken back for what it did.
    Withdrawn,
    /// It was not let in.
    Refused,
    /// An operator went back to it.
    RolledBack,
    /// It runs, whatever the folder holds.
    Pinned,
    /// The folder decides again.
    Unpinned,
    /// Its folder is gone.
    Removed,
    /// An operator or a rule ended its trial.
    Promoted,
}

impl What {
    /// As people and logs read it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Started => "started",
            Self::Trial => "trial",
            Self::Passed => "passed",
            Self::Withdrawn => "withdrawn",
            Self::Refused => "refused",
            Self::RolledBack => "rolled back",
            Self::Pinned => "pinned",
            Self::Unpinned => "unpinned",
            Self::Removed => "removed",
            Self::Promoted => "promoted",
        }
    }
}

impl History {
    /// The notes below a data folder; nothing is made before the first.
    #[must_use]
    pub fn of_data(data: &Path) -> Self {
        Self { folder: data.join("history") }
    }

    /// Adds a note.
    ///
    /// # Errors
    /// The disk.
    pub fn note(&self, plugin: &PluginKey, entry: &Entry) -> io::Result<()> {
        let path = self.file(plugin);
        let folder = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(folder)?;
        let new = !path.exists();
        // On a line of its own, also behind one that a crash has cut.
        let line = format!("\n{}\n", serde_json::to_string(entry).map_err(io::Error::from)?);
        let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
        file.write_all(line.as_bytes())?;
        file.sync_data()?;
        if new {
            File::open(folder)?.sync_all()?;
        }
        Ok(())
    }

    /// All notes of a plugin, in order.
    ///
    /// # Errors
    /// The disk.
    pub fn of(&self, plugin: &PluginKey) -> io::Result<Vec<Entry>> {
        match fs::read_to_string(self.file(plugin)) {
            Ok(lines) => Ok(lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }

    fn file(&self, plugin: &PluginKey) -> PathBuf {
        self.folder.join(&plugin.tenant).join(format!("{}.jsonl", plugin.name))
    }
}

/// What a plugin's notes say of the present.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The version that was found good last.
    pub good: Option<VersionId>,
    /// The one before it.
    pub before: Option<VersionId>,
    /// A version that must not run again as long as the folder holds it, and why.
    pub banned: Option<(VersionId, String)>,
    /// The version that an operator has pinned.
    pub pinned: Option<VersionId>,
    /// The version on trial.
    pub on_trial: Option<VersionId>,
    /// The last note.
    pub last: Option<(What, VersionId)>,
}

impl Standing {
    /// Follows the notes.
    #[must_use]
    pub fn of(entries: &[Entry]) -> Self {
        let mut standing = Self::default();
        for entry in entries {
            standing.follow(entry);
        }
        standing
    }

    /// A trial ends with every other note but that of a file that was refused.
    ///
    /// | note | good | banned | pinned |
    /// |---|---|---|---|
    /// | started, passed, promoted | this | nothing | |
    /// | trial, refused | | nothing: the folder has changed since | |
    /// | withdrawn | | this | |
    /// | rolled back | this | the one before | |
    /// | pinned | this | | this |
    /// | unpinned, removed | | | nothing |
    pub fn follow(&mut self, entry: &Entry) {
        let Entry { version, what, reason, before, .. } = entry;
        self.last = Some((*what, version.clone()));
        match what {
            What::Trial => self.on_trial = Some(version.clone()),
            What::Refused => {}
            What::Started
            | What::Passed
            | What::Promoted
            | What::Withdrawn
            | What::RolledBack
            | What::Pinned
            | What::Unpinned
            | What::Removed => self.on_trial = None,
        }
        match what {
            What::Started | What::Passed | What::Promoted => {
                self.runs(version);
                self.banned = None;
            }
            What::Trial | What::Refused => self.banned = None,
            What::Withdrawn => self.banned = Some((version.clone(), reason.clone())),
            What::RolledBack => {
                self.runs(version);
                self.banned = before.clone().map(|before| (before, reason.clone()));
            }
            What::Pinned => {
                self.runs(version);
                self.pinned = Some(version.clone());
            }
            What::Unpinned | What::Removed => self.pinned = None,
        }
    }

    fn runs(&mut self, version: &VersionId) {
        if self.good.as_ref() != Some(version) {
            self.before = self.good.replace(version.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    fn id(digest: &str) -> VersionId {
        VersionId { plugin_digest: digest.to_owned(), settings_digest: "s".to_owned() }
    }

    fn entry(digest: &str, what: What) -> Entry {
        let (plugin_version, reason) = ("1".to_owned(), format!("{digest} was {}", what.as_str()));
        Entry { at_ms: 7, version: id(digest), plugin_version, what, reason, before: None }
    }

    #[test]
    fn notes_are_there_again_and_a_cut_line_takes_no_other_with_it() {
        let data = tempfile::tempdir().unwrap();
        let history = History::of_data(data.path());
        let p = PluginKey::new("t", "p");
        assert!(history.of(&p).unwrap().is_empty());
        let [one, two, three] = [What::Started, What::Trial, What::Passed].map(|what| entry("a", what));
        history.note(&p, &one).unwrap();
        history.note(&p, &two).unwrap();
        let file = data.path().join("history/t/p.jsonl");
        let whole = fs::read(&file).unwrap();
        fs::write(&file, &whole[..whole.len() - 9]).unwrap();
        history.note(&p, &three).unwrap();
        assert_eq!(History::of_data(data.path()).of(&p).unwrap(), [one, three]);
        assert!(history.of(&PluginKey::new("t", "q")).unwrap().is_empty());
    }

    #[test]
    fn what_stands_follows_from_the_notes() {
        let good = |notes: &[Entry]| Standing::of(notes).good.map(|id| id.plugin_digest);
        let banned = |notes: &[Entry]| Standing::of(notes).banned.map(|(id, _)| id.plugin_digest);
        let mut notes = vec![entry("a", What::Started), entry("b", What::Trial)];
        assert_eq!((good(&notes), banned(&notes)), (Some("a".into()), None));
        notes.push(entry("b", What::Withdrawn));
        assert_eq!((good(&notes), banned(&notes)), (Some("a".into()), Some("b".into())));
        // Another one in the folder: that one back would be tried again.
        notes.push(entry("c", What::Trial));
        assert_eq!((good(&notes), banned(&notes)), (Some("a".into()), None));
        notes.push(entry("c", What::Passed));
        assert_eq!(good(&notes), Some("c".into()));
        notes.push(Entry { before: Some(id("c")), ..entry("a", What::RolledBack) });
        let standing = Standing::of(&notes);
        assert_eq!((standing.good, standing.before), (Some(id("a")), Some(id("c"))));
        assert_eq!(standing.banned.map(|(id, _)| id), Some(id("c")));
        notes.push(entry("a", What::Pinned));
        assert_eq!(Standing::of(&notes).pinned, Some(id("a")));
        notes.push(entry("a", What::Unpinned));
        assert_eq!(Standing::of(&notes).pinned, None);
    }
}
