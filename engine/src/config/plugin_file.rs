//! One `plugin.toml` for each folder below the plugins folder.
//!
//! ```toml
//! topics = ["shop.inventory.orders"]   # names, or regular expressions that begin with ^
//! start = "earliest"                   # or "latest": where a lane begins that has never run
//! partitions = "0-5,8"               # of each topic: where several engines share it by hand, each with its own; default all
//! bronze = "bronze_orders"             # instead of a plugin: messages as they come, into this table
//! tombstone = "ignore"                 # or "delete"; by default what the plugin's format implies
//! decimals = "precise"                 # or "string": decimal.handling.mode, for messages without schema
//! placeholder = "__debezium_unavailable_value"  # the connector's unavailable.value.placeholder
//! dead_letters = "dead_letters"        # the table for messages that were set aside
//! plugin_column = true                 # each row says which plugin made it, in a column _plugin; by default none does
//! [tables]                             # other names for the plugin's tables
//! orders = "silver_orders"
//! [parameters]                         # the plugin's own
//! [policies]                           # for values that have no exact cell, where it makes sense
//! infinity = "null"                    # cases and policies: the documentation of `debezium_decode::Case`
//! [columns.paid_at]                    # the same for one column of the plugin's input, and
//! unavailable = "null"
//! encoding = "hex"                     # how its strings are written: base64, hex, bits, precise, text
//! [event_time]                         # otherwise than the plugin says
//! delay_ms = 30000                     # how far out of order events may come
//! idle_ms = 60000                      # after how long without events the watermark follows the clock
//! [limits]                             # of the sandbox
//! memory_mib = 256
//! call_ms = 5000
//! output_mib = 64
//! state_mib = 1024                     # memory for what the plugin remembers, for each partition
//! state_disk_mib = 65536               # disk for what memory has no room for; 0: none
//! [capsule]                            # what is kept of calls that trap or run too long
//! keep = 8                             # files in the data folder; the oldest go first
//! redact = ["email", "parameters.key", "state"]  # columns, parameters and state that are left out
//! [rollout]                            # how a new version takes over, while the engine runs
//! mode = "replace"                     # or "shadow", "canary"
//! share = 0.1                          # of the partitions, for a canary
//! promote = "by-hand"                  # or "when-equal": who lets a shadow or canary take over
//! probation_s = 60                     # how long it is watched
//! probation_rows = 100000              # or after how many messages it no longer is
//! max_dead_letters = 0.01              # how much larger the share of dead letters may be
//! max_cost = 3.0                       # how many times as much CPU time a message may take
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::given::Settings;
use super::partitions::Partitions;
use super::problem::{Place, Problems};
use super::rollout::{Rollout, rollout};
use crate::capsule::{MOST_FILES, Rules};
use crate::decode::{Case, Encoding, Policy, Reading};
use crate::input::{Decimals, Tombstone};
use crate::source::{Start, check_topic};
use crate::transform::{EventTimeSettings, Kind, SandboxLimits, TransformSettings};

/// All transforms are of one tenant as long as no folder says otherwise.
pub const TENANT: &str = "default";
/// 4 GiB is all that a 32-bit plugin can address.
const MOST_MIB: usize = 4096;
/// 1 TiB: more than any machine that this runs on.
const MOST_STATE_MIB: usize = 1 << 20;

/// A plugin as its folder configures it.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// The folder.
    pub folder: PathBuf,
    /// Names and patterns of topics.
    pub topics: Vec<String>,
    /// Where a lane begins that has never run.
    pub start: Start,
    /// Which partitions of its topics are this engine's.
    pub partitions: Partitions,
    /// What decides its output.
    pub settings: TransformSettings,
    /// How a new version of it takes over.
    pub rollout: Rollout,
    /// What is kept of calls that fail, if anything is.
    pub capsule: Option<Rules>,
    /// Where the settings stand that only the plugin can judge: by key, such as `parameters.rate`.
    pub places: BTreeMap<String, Place>,
}

impl PluginFile {
    /// Where the artifact lies.
    #[must_use]
    pub fn artifact(&self) -> PathBuf {
        self.folder.join("plugin.wasm")
    }

    /// Where a setting stands: that which is missing, in the file as a whole.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or_else(|| Place::Path(self.folder.join("plugin.toml")))
    }
}

/// Reads all plugins of a folder, by name.
///
/// # Errors
/// Every mistake in any of them, with its place.
pub fn read_plugins(folder: &Path, database: &str) -> Result<Vec<PluginFile>, Problems> {
    let mut problems = Problems::default();
    let mut plugins = Vec::new();
    let folders = plugin_folders(folder).unwrap_or_else(|error| {
        let hint = "name the folder of plugins with --plugins".to_owned();
        problems.of_path(folder, format!("can't be read: {error}"), Some(hint));
        Vec::new()
    });
    for folder in folders {
        if folder.join("plugin.toml").is_file() {
            let (plugin, found) = read_plugin(&folder, database);
            plugins.push(plugin);
            problems.0.extend(found.0);
        } else {
            let hint = "a plugin is a folder with plugin.toml and plugin.wasm".to_owned();
            problems.of_path(&folder, "there is no plugin.toml", Some(hint));
        }
    }
    if plugins.is_empty() && problems.0.is_empty() {
        let hint = "add a folder with plugin.toml and plugin.wasm, or name another folder with --plugins".to_owned();
        problems.of_path(folder, "there are no plugins", Some(hint));
    }
    problems.none(plugins)
}

/// Reads one plugin, whose folder this is.
///
/// # Errors
/// Every mistake in its plugin.toml, with its place.
pub fn read_plugin_folder(folder: &Path, database: &str) -> Result<PluginFile, Problems> {
    let (plugin, problems) = read_plugin(folder, database);
    problems.none(plugin)
}

/// Reads one plugin from what was in its plugin.toml.
///
/// # Errors
/// Every mistake in it, with its place.
pub fn parse_plugin(folder: &Path, text: &str, database: &str) -> Result<PluginFile, Problems> {
    let mut given = Settings::default();
    given.read_text(&folder.join("plugin.toml"), text);
    let (plugin, problems) = plugin_of(folder, given, database);
    problems.none(plugin)
}

/// The folders below a folder, in order of their names. Names that begin with a dot are left out: editors and mounted
/// config maps use them.
///
/// # Errors
/// It can't be read.
pub fn plugin_folders(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let hidden = |path: &Path| path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
    let entries = fs::read_dir(folder)?.flatten().map(|entry| entry.path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir() && !hidden(path)).collect();
    folders.sort();
    Ok(folders)
}

fn read_plugin(folder: &Path, database: &str) -> (PluginFile, Problems) {
    let mut given = Settings::default();
    given.read_file(&folder.join("plugin.toml"));
    plugin_of(folder, given, database)
}

fn plugin_of(folder: &Path, mut given: Settings, database: &str) -> (PluginFile, Problems) {
    let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    let place = given.place("topics");
    let topics = given.list("topics").unwrap_or_default();
    for (topic, wrong) in topics.iter().filter_map(|topic| Some((topic, check_topic(topic).err()?))) {
        given.problems.add(place.clone(), format!("topics: {topic} is no regular expression: {wrong}"), None);
    }
    if topics.is_empty() {
        let hint = "topics = [\"server.schema.table\"], or a regular expression that begins with ^".to_owned();
        given.problems.add(Place::Path(folder.join("plugin.toml")), "topics: not given", Some(hint));
    }
    let kind = match given.text("bronze") {
        Some((table, _)) => Kind::Bronze { table },
        None => Kind::Plugin,
    };
    let mut settings = TransformSettings::new(TENANT, &name, kind, database);
    let start = given.choice("start", &[("earliest", Start::Earliest), ("latest", Start::Latest)]);
    let partitions = given.value("partitions", "partitions such as \"0-5,8\"").unwrap_or_default();
    settings.tombstone = given.choice("tombstone", &[("ignore", Tombstone::Ignore), ("delete", Tombstone::Delete)]);
    if let Some(decimals) = given.choice("decimals", &[("precise", Decimals::Precise), ("string", Decimals::String)]) {
        settings.decimals = decimals;
    }
    if let Some((table, _)) = given.text("dead_letters") {
        settings.dead_letters = table;
    }
    plugin_column(&mut given, &mut settings);
    let places = ["tables.", "parameters.", "event_time.", "capsule."]
        .into_iter()
        .flat_map(|prefix| given.places(prefix))
        .collect();
    settings.tables = given.table("tables");
    settings.parameters = given.table("parameters");
    if let Some((placeholder, _)) = given.text("placeholder") {
        settings.placeholder = placeholder;
    }
    settings.policies = policies(&mut given, "policies");
    for name in given.names("columns") {
        let key = format!("columns.{name}");
        let encodings = Encoding::ALL.map(|encoding| (encoding.as_str(), encoding));
        let encoding = given.choice(&format!("{key}.encoding"), &encodings);
        settings.columns.insert(name, Reading { encoding, policies: policies(&mut given, &key) });
    }
    settings.event_time = EventTimeSettings {
        delay_ms: given.value("event_time.delay_ms", "a number of ms"),
        idle_ms: given.value("event_time.idle_ms", "a number of ms"),
    };
    settings.limits = limits(&mut given);
    let (rollout, capsule) = (rollout(&mut given), capsule(&mut given));
    let (folder, start) = (folder.to_owned(), start.unwrap_or(Start::Earliest));
    (PluginFile { folder, topics, start, partitions, settings, rollout, capsule, places }, given.finish())
}

/// The policies below a key, each one of those that its case has.
fn policies(given: &mut Settings, key: &str) -> BTreeMap<Case, Policy> {
    let policy = |case: Case| {
        let choices: Vec<_> = case.policies().iter().map(|policy| (policy.as_str(), *policy)).collect();
        Some((case, given.choice(&format!("{key}.{}", case.as_str()), &choices)?))
    };
    Case::ALL.into_iter().filter_map(policy).collect()
}

/// Whether rows say which plugin made them, where there is one.
fn plugin_column(given: &mut Settings, settings: &mut TransformSettings) {
    let place = given.place("plugin_column");
    settings.plugin_column = given.choice("plugin_column", &[("true", true), ("false", false)]).unwrap_or(false);
    if settings.plugin_column && settings.kind != Kind::Plugin {
        let hint = Some("the rows of a bronze table are the messages as they came: leave it out".to_owned());
        given.problems.add(place, "plugin_column: there is no plugin that could have made a row", hint);
    }
}

/// `keep` turns capsules on. What is to be left out is known before anything is kept.
fn capsule(given: &mut Settings) -> Option<Rules> {
    let place = given.place("capsule.redact");
    let redact = given.list("capsule.redact");
    let keep = given.place("capsule.keep");
    match (given.value("capsule.keep", "a number of files"), redact) {
        (Some(files @ 1..=MOST_FILES), redact) => Some(Rules { keep: files, redact: redact.unwrap_or_default() }),
        (Some(_), _) => {
            given.problems.add(keep, format!("capsule.keep: not between 1 and {MOST_FILES}"), None);
            None
        }
        (None, Some(_)) => {
            let hint = Some("keep = 8 below [capsule]".to_owned());
            given.problems.add(place, "capsule.redact: without capsule.keep, nothing is kept", hint);
            None
        }
        (None, None) => None,
    }
}

fn limits(given: &mut Settings) -> SandboxLimits {
    let mut limits = SandboxLimits::default();
    if let Some(bytes) = mebibytes(given, "limits.memory_mib", MOST_MIB) {
        limits.memory_bytes = bytes;
    }
    if let Some(bytes) = mebibytes(given, "limits.output_mib", MOST_MIB) {
        limits.output_bytes = bytes;
    }
    if let Some(bytes) = mebibytes(given, "limits.state_mib", MOST_STATE_MIB) {
        limits.state_bytes = bytes;
    }
    if let Some(mib) = given.value::<u64>("limits.state_disk_mib", "a number of MiB, or 0") {
        limits.state_disk_bytes = mib.saturating_mul(1 << 20);
    }
    if let Some(ms) = given.value("limits.call_ms", "a number of ms") {
        limits.call_ms = ms;
    }
    limits
}

fn mebibytes(given: &mut Settings, key: &str, most: usize) -> Option<usize> {
    let place = given.place(key);
    let mib: usize = given.value(key, "a number of MiB")?;
    if !(1..=most).contains(&mib) {
        given.problems.add(place, format!("{key}: not between 1 and {most}"), None);
        return None;
    }
    Some(mib << 20)
}
