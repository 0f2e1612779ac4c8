//! Which plugins a command means.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::Failure;
use crate::config::{PluginFile, Problems, TENANT_FILE, Tenant, read_plugin};
use crate::disposition::in_words;
use crate::offsets::{DEFAULT_TENANT, PluginKey};
use crate::plugin::{Host, HostSettings};
use crate::sink::ClickHouseSettings;
use crate::transform::{BuildError, Kind, Transform, TransformSettings};

/// The database that names tables where none is written.
const DATABASE: &str = "default";

/// Which plugins: for the commands that take several.
#[derive(Clone, Debug, clap::Args)]
pub struct Which {
    /// Names of folders in the folder of plugins, or paths of folders. Without any: the working directory if it is a
    /// plugin, else all plugins that have a source.
    #[arg(value_name = "NAME|DIR")]
    pub names: Vec<String>,
    /// The folder of plugins.
    #[arg(long, value_name = "DIR", default_value = "plugins", env = "ENGINE_PLUGINS")]
    pub plugins: PathBuf,
}

/// There is no such plugin.
#[derive(Debug, thiserror::Error)]
pub(in crate::cli) enum NotFound {
    #[error(
        "there is no plugin {name}: neither {} nor {name} is a folder with a plugin.toml. Name one of {there}, or the \
         folder of plugins with --plugins", expected.display()
    )]
    Plugin { name: String, expected: PathBuf, there: String },
    #[error(
        "{} holds no plugin with a source (a folder with Cargo.toml and plugin.toml): make one with `engine plugin new \
         NAME`, or name the folder of plugins with --plugins", .0.display()
    )]
    None(PathBuf),
    #[error("{} is bronze: messages as they come, without a plugin", .0.display())]
    Bronze(PathBuf),
    #[error("there is no {}: build it with `engine plugin build {name}`", path.display())]
    NotBuilt { path: PathBuf, name: String },
    #[error("{} can't be read", path.display())]
    Unreadable {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl From<NotFound> for Failure {
    fn from(error: NotFound) -> Self {
        Self::mistake(error)
    }
}

impl From<Problems> for Failure {
    fn from(problems: Problems) -> Self {
        Self::mistake(problems)
    }
}

/// A plugin's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Project {
    /// Its folder, as it was named.
    pub folder: PathBuf,
    /// The folder's name, which is the plugin's.
    pub name: String,
}

impl Which {
    /// The folders that are meant.
    pub(in crate::cli) fn projects(&self) -> Result<Vec<Project>, NotFound> {
        if !self.names.is_empty() {
            return self.names.iter().map(|name| Project::find(&self.plugins, name)).collect();
        }
        let here = Path::new(".");
        if is_source(here) {
            return Ok(vec![Project::at(here)]);
        }
        let all: Vec<_> = folders(&self.plugins).into_iter().filter(|folder| is_source(folder)).collect();
        if all.is_empty() {
            return Err(NotFound::None(self.plugins.clone()));
        }
        Ok(all.iter().map(|folder| Project::at(folder)).collect())
    }
}

impl Project {
    /// The plugin of this name, or in this folder; by its name also where its folder is the working directory.
    pub(in crate::cli) fn find(plugins: &Path, name: &str) -> Result<Self, NotFound> {
        let expected = plugins.join(name);
        let mut places = vec![expected.clone(), PathBuf::from(name)];
        if Self::at(Path::new(".")).name == name {
            places.push(PathBuf::from("."));
        }
        let found = places.into_iter().find(|it| it.join("plugin.toml").is_file());
        let Some(folder) = found else {
            let there: Vec<_> = folders(plugins).iter().map(|folder| Self::at(folder).name).collect();
            let there = if there.is_empty() { "those that are there (none)".to_owned() } else { there.join(", ") };
            return Err(NotFound::Plugin { name: name.to_owned(), expected, there });
        };
        Ok(Self::at(&folder))
    }

    fn at(folder: &Path) -> Self {
        let whole = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
        let name = whole.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        let folder = if folder == Path::new(".") { whole } else { folder.to_owned() };
        Self { folder, name }
    }

    /// How an engine names it that has its folder among its plugins.
    pub(in crate::cli) fn key(&self) -> PluginKey {
        let folder = self.plugins();
        let tenant = folder.file_name().filter(|_| folder.join(TENANT_FILE).is_file());
        let tenant = tenant.map_or_else(|| DEFAULT_TENANT.into(), |name| name.to_string_lossy());
        PluginKey::new(&tenant, &self.name)
    }

    /// The folder of plugins that it lies in.
    pub(in crate::cli) fn plugins(&self) -> &Path {
        self.folder.parent().unwrap_or(Path::new("."))
    }

    /// Where the built plugin lies.
    pub(in crate::cli) fn artifact(&self) -> PathBuf {
        self.folder.join("plugin.wasm")
    }

    /// What its plugin.toml says.
    pub(in crate::cli) fn file(&self) -> Result<PluginFile, Problems> {
        let nowhere = Tenant::default_of(ClickHouseSettings::new("http://127.0.0.1:8123"), DATABASE);
        read_plugin(&self.folder, &nowhere.into())
    }

    /// The built plugin's bytes.
    pub(in crate::cli) fn wasm(&self) -> Result<Bytes, NotFound> {
        let path = self.artifact();
        match fs::read(&path) {
            Ok(bytes) => Ok(bytes.into()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(NotFound::NotBuilt { path, name: self.name.clone() })
            }
            Err(source) => Err(NotFound::Unreadable { path, source }),
        }
    }

    /// A transform as a lane would run it, with these settings.
    pub(in crate::cli) fn transform(&self, host: &Host, settings: TransformSettings) -> Result<Transform, Failure> {
        if settings.kind != Kind::Plugin {
            return Err(NotFound::Bronze(self.folder.clone()).into());
        }
        self.transform_of(host, settings, self.wasm()?)
    }

    /// The same, of these bytes in place of the built plugin.
    pub(in crate::cli) fn transform_of(
        &self,
        host: &Host,
        settings: TransformSettings,
        wasm: Bytes,
    ) -> Result<Transform, Failure> {
        Transform::build(host, settings, Some(wasm)).map_err(|error| {
            let place = match error {
                BuildError::Settings(_) => self.folder.join("plugin.toml"),
                BuildError::Load(_) | BuildError::Input(_) => self.artifact(),
            };
            Failure::in_words(format!("{}: {}", place.display(), in_words(&error)))
        })
    }

    /// A file of the source that is younger than the built plugin: what is tested is then not what is written.
    pub(in crate::cli) fn stale(&self) -> Option<PathBuf> {
        let built = fs::metadata(self.artifact()).and_then(|it| it.modified()).ok()?;
        let mut waiting = vec![self.folder.join("Cargo.toml"), self.folder.join("src")];
        while let Some(path) = waiting.pop() {
            let Ok(about) = fs::metadata(&path) else { continue };
            if about.is_dir() {
                waiting.extend(fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
            } else if about.modified().is_ok_and(|modified| modified > built) {
                return Some(path);
            }
        }
        None
    }
}

/// A host for a command: a few instances, so little address space.
pub(in crate::cli) fn host() -> Result<Host, Failure> {
    Host::new(HostSettings { instances: 4, ..HostSettings::default() }).map_err(Failure::failed)
}

fn is_source(folder: &Path) -> bool {
    folder.join("plugin.toml").is_file() && folder.join("Cargo.toml").is_file()
}

/// Folders of plugins, by name; hidden ones are none.
fn folders(plugins: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(plugins).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries
        .filter(|entry| !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| entry.path())
        .filter(|path| path.join("plugin.toml").is_file())
        .collect();
    folders.sort();
    folders
}
