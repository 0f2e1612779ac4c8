//! What the plugins folder holds: plugins, tenants, and the plugins of tenants.
//!
//! | a folder with | is |
//! |---|---|
//! | `plugin.toml` | a plugin of the tenant `default` |
//! | `tenant.toml` | a tenant; each folder in it is one of its plugins |
//! | both | a tenant with a mistake |
//! | the name `_shared` | no plugin: the plugins in it run where a plugin.toml says `shared = "NAME"` |
//!
//! Mistakes in a tenant's folder are that tenant's; all others are the default tenant's.

use std::collections::BTreeMap;
use std::fs::{self, DirEntry};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::engine_file::Config;
use super::plugin_file::{PluginFile, read_plugin};
use super::problem::Problems;
use super::tenant_file::{SHARED, TENANT_FILE, Tenant, parse_tenant};
use crate::offsets::PluginKey;

/// The name of a plugin that has no folder: the engine's own, for messages of shared topics that no tenant claims.
pub const UNCLAIMED: &str = "_unclaimed";

/// The folders that there are, by their names and which of the two files they hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Folders of the default tenant's plugins.
    pub plugins: Vec<PathBuf>,
    /// Tenants.
    pub tenants: Vec<TenantFolder>,
}

/// A tenant's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TenantFolder {
    /// Where it is; its name is the tenant's.
    pub folder: PathBuf,
    /// The folders of its plugins.
    pub plugins: Vec<PathBuf>,
}

impl Layout {
    /// What a folder holds now, in order of names.
    ///
    /// # Errors
    /// It can't be read.
    pub fn of(root: &Path) -> io::Result<Self> {
        let mut layout = Self::default();
        for folder in folders(root)? {
            if folder.join(TENANT_FILE).is_file() {
                // A folder that goes away in between is looked at again.
                let plugins = folders(&folder).unwrap_or_default();
                layout.tenants.push(TenantFolder { folder, plugins });
            } else if name_of(&folder) != SHARED {
                layout.plugins.push(folder);
            }
        }
        Ok(layout)
    }
}

/// The folders in a folder, in order of their names. Names that begin with a dot are left out: editors and mounted config
/// maps use them.
///
/// # Errors
/// It can't be read.
pub fn folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let hidden = |entry: &DirEntry| entry.file_name().as_encoded_bytes().starts_with(b".");
    let entries = fs::read_dir(folder)?.flatten().filter(|entry| !hidden(entry) && is_folder(entry));
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.sort();
    Ok(folders)
}

/// What an entry is stands in its folder's listing; only where it is a link, its end has to be asked.
fn is_folder(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_dir() || kind.is_symlink() && entry.path().is_dir())
}

/// What the plugins folder says, with everything that is wrong in it.
#[derive(Debug, Default)]
pub struct Declared {
    /// Plugins without mistakes of tenants without mistakes.
    pub plugins: Vec<PluginFile>,
    /// Tenants beside the default one: each, or what is wrong in its tenant.toml.
    pub tenants: BTreeMap<String, Result<Arc<Tenant>, Problems>>,
    /// Mistakes of the default tenant's plugins, and in the folder itself.
    pub mistakes: Problems,
    /// Mistakes of tenants' plugins.
    pub of_tenants: Problems,
}

impl Declared {
    /// Reads all there is.
    #[must_use]
    pub fn read(config: &Config) -> Self {
        let mut declared = Self::default();
        let (root, default) = (&config.plugins, config.default_tenant());
        let layout = Layout::of(root).unwrap_or_else(|error| {
            let hint = "name the folder of plugins with --plugins".to_owned();
            declared.mistakes.of_path(root, format!("can't be read: {error}"), Some(hint));
            Layout::default()
        });
        if layout == Layout::default() && declared.mistakes.0.is_empty() {
            let hint =
                "add a folder with plugin.toml and plugin.wasm, or name another folder with --plugins".to_owned();
            declared.mistakes.of_path(root, "there are no plugins", Some(hint));
        }
        for folder in &layout.plugins {
            match read_plugin(folder, &default) {
                Ok(plugin) => declared.plugins.push(plugin),
                Err(problems) => declared.mistakes.0.extend(problems.0),
            }
        }
        for TenantFolder { folder, plugins } in &layout.tenants {
            declared.tenant(folder, plugins, &default);
        }
        declared
    }

    fn tenant(&mut self, folder: &Path, plugins: &[PathBuf], default: &Arc<Tenant>) {
        let others = self.tenants.values().flatten().chain([default]);
        let tenant = read_tenant(folder, default, others.map(|tenant| &**tenant)).map(Arc::new);
        if let Ok(tenant) = &tenant {
            for plugin in plugins {
                match read_plugin(plugin, tenant) {
                    Ok(plugin) => self.plugins.push(plugin),
                    Err(problems) => self.of_tenants.0.extend(problems.0),
                }
            }
        }
        self.tenants.insert(name_of(folder), tenant);
    }

    /// All plugins, where nothing is wrong anywhere.
    ///
    /// # Errors
    /// Every mistake.
    pub fn all(self) -> Result<Vec<PluginFile>, Problems> {
        let mut problems = self.mistakes;
        self.tenants.into_values().filter_map(Result::err).for_each(|tenant| problems.0.extend(tenant.0));
        problems.0.extend(self.of_tenants.0);
        problems.none(self.plugins)
    }
}

/// Reads all plugins of a folder, those of the default tenant first, then by tenant and name.
///
/// # Errors
/// Every mistake in any of them, with its place.
pub fn read_plugins(config: &Config) -> Result<Vec<PluginFile>, Problems> {
    Declared::read(config).all()
}

/// Reads one plugin. What is wrong with others is theirs.
///
/// # Errors
/// Every mistake in its plugin.toml and its tenant's tenant.toml; or that there is no such plugin, with those that are there.
pub fn read_plugin_of(config: &Config, key: &PluginKey) -> Result<PluginFile, Problems> {
    let default = config.default_tenant();
    let tenant_folder = config.plugins.join(&key.tenant);
    let (folder, tenant) = if key.tenant == default.name {
        (config.plugins.join(&key.name), default)
    } else if tenant_folder.join(TENANT_FILE).is_file() {
        let tenant = read_tenant(&tenant_folder, &default, std::iter::once(&*default))?;
        (tenant_folder.join(&key.name), Arc::new(tenant))
    } else {
        let mut problems = Problems::default();
        problems.of_path(&tenant_folder, format!("there is no tenant {}: no {TENANT_FILE}", key.tenant), None);
        return Err(problems);
    };
    if folder.join("plugin.toml").is_file() && !folder.join(TENANT_FILE).is_file() {
        return read_plugin(&folder, &tenant);
    }
    let mut problems = Problems::default();
    let there: Vec<_> = plugin_keys(&config.plugins).iter().map(PluginKey::to_string).collect();
    let message = format!("there is no plugin {key} in {}: {}", config.plugins.display(), there.join(", "));
    problems.add(super::Place::Path(folder), message, None);
    Err(problems)
}

/// Reads a tenant.toml, beside those of others.
///
/// # Errors
/// Every mistake in it, with its place.
pub fn read_tenant<'a>(
    folder: &Path,
    default: &Tenant,
    others: impl Iterator<Item = &'a Tenant>,
) -> Result<Tenant, Problems> {
    let file = folder.join(TENANT_FILE);
    let mut problems = Problems::default();
    match fs::read_to_string(&file) {
        Ok(text) => parse_tenant(folder, &text, default).and_then(|tenant| alone(folder, tenant, others)),
        Err(error) => {
            problems.of_path(&file, format!("can't be read: {error}"), None);
            Err(problems)
        }
    }
}

/// A tenant beside others: a database is one tenant's, or one could write another's tables, and so is each message of a
/// shared topic.
///
/// # Errors
/// It is another's.
pub fn alone<'a>(folder: &Path, tenant: Tenant, others: impl Iterator<Item = &'a Tenant>) -> Result<Tenant, Problems> {
    let mut problems = Problems::default();
    let others: Vec<_> = others.filter(|other| other.name != tenant.name).collect();
    if let Some(selection) = tenant.selection()
        && let Some(other) = others.iter().find(|other| other.selection() == Some(selection))
    {
        let message = format!("select.value: {} is claimed by tenant {}", selection.value, other.name);
        let hint = Some("a message of a shared topic is one tenant's: give each a value of its own".to_owned());
        problems.of_path(&folder.join(TENANT_FILE), message, hint);
    }
    if let Some(other) = others.iter().find(|it| it.shares_database_with(&tenant)) {
        let message = format!("clickhouse.database: {} is that of tenant {}", tenant.database, other.name);
        let hint = Some("give each tenant a database of its own".to_owned());
        problems.of_path(&folder.join(TENANT_FILE), message, hint);
    }
    problems.none(tenant)
}

/// The plugins that there are, whatever is wrong with them.
fn plugin_keys(root: &Path) -> Vec<PluginKey> {
    let layout = Layout::of(root).unwrap_or_default();
    let own = layout.plugins.iter().map(|plugin| PluginKey::new(crate::offsets::DEFAULT_TENANT, &name_of(plugin)));
    let of_tenants = layout.tenants.iter().flat_map(|tenant| {
        let name = name_of(&tenant.folder);
        tenant.plugins.iter().map(move |plugin| PluginKey::new(&name, &name_of(plugin)))
    });
    own.chain(of_tenants).collect()
}

pub(super) fn name_of(folder: &Path) -> String {
    folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}
