//! The plugins folder as it is: what lies in it, and when it has come to rest.
//!
//! **Promise.** What is given out was whole: its files' places, sizes and times did not change for [`SETTLE`], they had
//! the same content before and after, and nobody had one of them open for writing where the system says so. Every state
//! that lasts is given out once, in the end; states in between may be passed over.
//! **Assumed.** Whoever writes a file in place over a network does not pause for longer than [`SETTLE`] in the middle: a
//! file that was cut then is not a plugin, is refused, and the whole one is taken when it is there.
//!
//! A plugin's files are its plugin.toml and its artifact, wherever that lies; a tenant's are its tenant.toml and the file of
//! its password. Everything is found by looking: how a file came to be there (renamed, written in place, by way of a link that was
//! exchanged, in a folder that was deleted and made again) makes no difference. [`super::watch`] says when to look.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::writer::is_written;
use crate::config::{Layout, TENANT_FILE, artifact_of, password_file};
use crate::offsets::{DEFAULT_TENANT, PluginKey};

/// For how long nothing must have changed.
pub(super) const SETTLE: Duration = Duration::from_millis(50);
/// For how long a plugin must have been away until it is removed: editors and deployments take a file away for a moment.
pub(super) const ABSENCE: Duration = Duration::from_secs(2);

/// No larger artifact is read: [`crate::plugin::HostSettings`] refuses it by its size.
const MOST_BYTES: u64 = (64 << 20) + 1;
/// Far above any plugin.toml or tenant.toml.
const MOST_TEXT_BYTES: u64 = 4 << 20;

/// The files of a plugin, read at a time when nobody changed them.
#[derive(Debug)]
pub(super) struct Files {
    /// The plugin.
    pub(super) key: PluginKey,
    /// The plugin's folder.
    pub(super) folder: PathBuf,
    /// What is in plugin.toml.
    pub(super) text: io::Result<String>,
    /// What is in the artifact.
    pub(super) wasm: io::Result<Bytes>,
    /// When they were first seen so.
    pub(super) seen: Instant,
}

/// A tenant's file, read at a time when nobody changed it.
#[derive(Debug)]
pub(super) struct TenantFiles {
    /// The tenant's name.
    pub(super) name: String,
    /// Its folder.
    pub(super) folder: PathBuf,
    /// What is in tenant.toml.
    pub(super) text: io::Result<String>,
}

/// What has become of a folder. A tenant is told of before its plugins, and is gone after them.
#[derive(Debug)]
pub(super) enum Change {
    /// A plugin is there with other files than before.
    Holds(Box<Files>),
    /// A plugin is gone, or its plugin.toml is.
    Gone {
        /// Which.
        key: PluginKey,
    },
    /// A tenant is there with another tenant.toml or password than before.
    Tenant(TenantFiles),
    /// A tenant is gone, or its tenant.toml is.
    TenantGone {
        /// Its name.
        name: String,
    },
}

/// What a file looks like from outside: another content, or another file, looks otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Look {
    place: (u64, u64),
    bytes: u64,
    changed: [(i64, i64); 2],
}

/// Those of all files of a plugin or tenant; the first is the one that makes it one.
type Looks = Vec<Option<Look>>;

/// The plugins folder, as it was told of and as it changes.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    tenants: BTreeMap<String, Seen>,
    plugins: BTreeMap<PluginKey, Seen>,
    /// Artifacts that somebody has, by their digests: those that many plugins share are in memory once.
    artifacts: BTreeMap<[u8; 32], Bytes>,
    /// While it can't be read, plugins go on as they are: they may be on a disk that is about to come back.
    unreadable: bool,
}

#[derive(Debug, Default)]
struct Seen {
    /// As it was told of last.
    told: Option<Looks>,
    /// It looks otherwise since then.
    changing: Option<Changing>,
    absent_since: Option<Instant>,
    /// Files that the first one names, as of this look of it.
    named: Option<(Option<Look>, Vec<PathBuf>)>,
}

#[derive(Debug)]
struct Changing {
    looks: Looks,
    since: Instant,
    /// The content at that time; none where somebody was writing.
    content: Option<[u8; 32]>,
}

/// What a look at a plugin or tenant has shown.
#[derive(Debug)]
enum Rest {
    /// Nothing, or nothing yet.
    Same,
    /// These files, as of this time.
    Holds(Vec<io::Result<Vec<u8>>>, Instant),
    /// They are gone.
    Gone,
}

/// Looks that were taken.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What has come to rest.
    pub(super) changes: Vec<Change>,
    /// When to look again, unless something happens before.
    pub(super) look_again: Option<Instant>,
}

impl Folder {
    /// A folder of which nothing is known yet.
    #[must_use]
    pub(super) fn new(path: &Path) -> Self {
        let (tenants, plugins, artifacts) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        Self { path: path.to_owned(), tenants, plugins, artifacts, unreadable: false }
    }

    /// Where it is.
    #[must_use]
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether something is about to be told of.
    #[must_use]
    pub(super) fn is_changing(&self) -> bool {
        self.plugins.values().chain(self.tenants.values()).any(|seen| seen.changing.is_some())
    }

    /// Looks at everything, in the folders that there are.
    pub(super) fn look(&mut self, layout: io::Result<Layout>, now: Instant) -> Found {
        let mut found = Found::default();
        let layout = match layout {
            Ok(layout) => layout,
            Err(error) => {
                if !self.unreadable {
                    tracing::warn!(folder = %self.path.display(), %error, "the plugins folder can't be read: plugins go on as they are");
                }
                self.unreadable = true;
                return found;
            }
        };
        self.unreadable = false;
        let gone = self.look_at_tenants(&layout, now, &mut found);
        self.look_at_plugins(&layout, now, &mut found);
        self.artifacts.retain(|_, bytes| !bytes.is_unique());
        for name in gone {
            self.plugins.retain(|key, seen| {
                if key.tenant == name && seen.told.is_some() {
                    found.changes.push(Change::Gone { key: key.clone() });
                }
                key.tenant != name
            });
            found.changes.push(Change::TenantGone { name });
        }
        found
    }

    /// Gives back the tenants that are gone.
    fn look_at_tenants(&mut self, layout: &Layout, now: Instant, found: &mut Found) -> Vec<String> {
        let there = layout.tenants.iter().map(|tenant| name_of(&tenant.folder));
        let names: BTreeSet<_> = there.chain(self.tenants.keys().cloned()).collect();
        let mut gone = Vec::new();
        for name in names {
            let folder = self.path.join(&name);
            let seen = self.tenants.entry(name.clone()).or_default();
            let named = |text: &str| {
                let password = password_file(&folder, text);
                // It must not be there: a folder is a tenant's or a plugin's.
                [Some(folder.join("plugin.toml")), password].into_iter().flatten().collect()
            };
            match seen.look(folder.join(TENANT_FILE), named, now, found) {
                Rest::Same => {}
                Rest::Holds(files, _) => {
                    let text = files.into_iter().next().map_or_else(|| Err(io::ErrorKind::NotFound.into()), utf8);
                    found.changes.push(Change::Tenant(TenantFiles { name: name.clone(), folder, text }));
                }
                Rest::Gone => gone.push(name.clone()),
            }
            if self.tenants.get(&name).is_some_and(Seen::is_nothing) {
                self.tenants.remove(&name);
            }
        }
        gone
    }

    fn look_at_plugins(&mut self, layout: &Layout, now: Instant, found: &mut Found) {
        let own = layout.plugins.iter().map(|folder| PluginKey::new(DEFAULT_TENANT, &name_of(folder)));
        let of_tenants = layout.tenants.iter().flat_map(|tenant| {
            let name = name_of(&tenant.folder);
            tenant.plugins.iter().map(move |folder| PluginKey::new(&name, &name_of(folder)))
        });
        let keys: BTreeSet<_> = own.chain(of_tenants).chain(self.plugins.keys().cloned()).collect();
        for key in keys {
            let tenant = if key.tenant == DEFAULT_TENANT { &key.name } else { &key.tenant };
            let is_tenants = self.tenants.get(tenant);
            let waits = if key.tenant == DEFAULT_TENANT {
                // A plugin whose folder has become a tenant's goes on until that has one meaning again.
                is_tenants.is_some()
            } else {
                // One whose tenant is about to change or go is looked at behind that.
                is_tenants.is_none_or(|it| it.told.is_none() || it.changing.is_some() || it.absent_since.is_some())
            };
            if waits {
                continue;
            }
            let folder = if key.tenant == DEFAULT_TENANT {
                self.path.join(&key.name)
            } else {
                self.path.join(tenant).join(&key.name)
            };
            let seen = self.plugins.entry(key.clone()).or_default();
            let named = |text: &str| vec![artifact_of(&self.path, &folder, text)];
            match seen.look(folder.join("plugin.toml"), named, now, found) {
                Rest::Same => {}
                Rest::Holds(files, since) => {
                    let mut files = files.into_iter();
                    let mut next = || files.next().unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
                    let (text, wasm) = (utf8(next()), next().map(|bytes| shared(&mut self.artifacts, bytes)));
                    found.changes.push(Change::Holds(Box::new(Files {
                        key: key.clone(),
                        folder,
                        text,
                        wasm,
                        seen: since,
                    })));
                }
                Rest::Gone => found.changes.push(Change::Gone { key: key.clone() }),
            }
            if self.plugins.get(&key).is_some_and(Seen::is_nothing) {
                self.plugins.remove(&key);
            }
        }
    }
}

impl Seen {
    /// Looks at the file that makes it what it is, and those that are named in it.
    fn look(&mut self, first: PathBuf, named: impl Fn(&str) -> Vec<PathBuf>, now: Instant, found: &mut Found) -> Rest {
        let paths = self.paths(first, named);
        let looks = looks(&paths);
        if looks.first().is_none_or(Option::is_none) {
            return self.is_absent(now, found);
        }
        self.absent_since = None;
        if self.told.as_ref() == Some(&looks) {
            self.changing = None;
            return Rest::Same;
        }
        let wait = self.settle(&looks);
        match self.changing.as_mut().filter(|changing| changing.looks == looks) {
            None => {
                let content = read(&paths).map(|files| content(&files));
                self.changing = Some(Changing { looks, since: now, content });
                found.again_at(now + SETTLE);
            }
            Some(changing) if now < changing.since + wait => found.again_at(changing.since + wait),
            Some(changing) => {
                let files = read(&paths);
                let read = files.as_deref().map(content);
                match files {
                    Some(files) if changing.content == read && self::looks(&paths) == looks => {
                        let since = changing.since;
                        (self.told, self.changing) = (Some(looks), None);
                        return Rest::Holds(files, since);
                    }
                    Some(_) | None => {
                        changing.content = read;
                        found.again_at(now + SETTLE);
                    }
                }
            }
        }
        Rest::Same
    }

    /// The first file and those that it names, as it is now.
    fn paths(&mut self, first: PathBuf, named: impl Fn(&str) -> Vec<PathBuf>) -> Vec<PathBuf> {
        let look = look(&first);
        let paths = match &self.named {
            Some((of, paths)) if *of == look => paths.clone(),
            Some(_) | None => {
                let text = read_file(&first, MOST_TEXT_BYTES);
                let written = text.is_none(); // what it names is known once it is
                let text = text.and_then(Result::ok).unwrap_or_default();
                let paths = named(&String::from_utf8_lossy(&text));
                self.named = (!written).then(|| (look, paths.clone()));
                paths
            }
        };
        [first].into_iter().chain(paths).collect()
    }

    /// How long these files must stay as they are: a plugin.wasm that was there will be there again.
    fn settle(&self, looks: &Looks) -> Duration {
        let told = self.told.iter().flatten().zip(looks);
        let gone = told.into_iter().any(|(told, now)| told.is_some() && now.is_none());
        if gone { ABSENCE } else { SETTLE }
    }

    fn is_absent(&mut self, now: Instant, found: &mut Found) -> Rest {
        self.changing = None;
        if self.told.is_none() {
            return Rest::Same;
        }
        let since = *self.absent_since.get_or_insert(now);
        if now < since + ABSENCE {
            found.again_at(since + ABSENCE);
            return Rest::Same;
        }
        *self = Self::default();
        Rest::Gone
    }

    fn is_nothing(&self) -> bool {
        self.told.is_none() && self.changing.is_none() && self.absent_since.is_none()
    }
}

impl Found {
    fn again_at(&mut self, at: Instant) {
        self.look_again = Some(self.look_again.map_or(at, |earlier| earlier.min(at)));
    }
}

impl Look {
    fn of(metadata: &Metadata) -> Self {
        Self {
            place: (metadata.dev(), metadata.ino()),
            bytes: metadata.size(),
            changed: [(metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec())],
        }
    }
}

fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

/// Links are followed: what counts is the file at their end.
fn look(path: &Path) -> Option<Look> {
    fs::metadata(path).ok().filter(Metadata::is_file).map(|metadata| Look::of(&metadata))
}

fn looks(paths: &[PathBuf]) -> Looks {
    paths.iter().map(|path| look(path)).collect()
}

/// Reads all files; none while somebody writes one of them.
fn read(paths: &[PathBuf]) -> Option<Vec<io::Result<Vec<u8>>>> {
    let most = |index| if index == 0 { MOST_TEXT_BYTES } else { MOST_BYTES };
    paths.iter().enumerate().map(|(index, path)| read_file(path, most(index))).collect()
}

/// These bytes, where they are in memory already.
fn shared(artifacts: &mut BTreeMap<[u8; 32], Bytes>, bytes: Vec<u8>) -> Bytes {
    use sha2::{Digest, Sha256};
    artifacts.entry(Sha256::digest(&bytes).into()).or_insert_with(|| bytes.into()).clone()
}

fn utf8(bytes: io::Result<Vec<u8>>) -> io::Result<String> {
    bytes.and_then(|bytes| {
        String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error.utf8_error()))
    })
}

fn read_file(path: &Path, most: u64) -> Option<io::Result<Vec<u8>>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) => return Some(Err(error)),
    };
    if is_written(&file) {
        return None;
    }
    let mut bytes = Vec::new();
    Some(file.take(most).read_to_end(&mut bytes).map(|_| bytes))
}

/// What tells files' content from another.
fn content(files: &[io::Result<Vec<u8>>]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new();
    for file in files {
        match file {
            Ok(bytes) => {
                digest.update((bytes.len() as u64).to_le_bytes());
                digest.update(bytes);
            }
            Err(error) => digest.update(format!("{:?}", error.kind())),
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests;
