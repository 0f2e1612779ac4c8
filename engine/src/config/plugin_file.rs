//! One `plugin.toml` for each plugin's folder.
//!
//! ```toml
//! shared = "orders"                    # the plugin is _shared/orders/plugin.wasm, not plugin.wasm in this folder
//! topics = ["shop.inventory.orders"]   # names, or regular expressions that begin with ^
//! start = "earliest"                   # or "latest": where a lane begins that has never run
//! partitions = "0-5,8"               # of each topic: where several engines share it by hand, each with its own; default all
//! bronze = "bronze_orders"             # instead of a plugin: messages as they come, into this table
//! tombstone = "ignore"                 # or "delete"; by default what the plugin's format implies
//! decimals = "precise"                 # or "string": decimal.handling.mode, for messages without schema
//! placeholder = "__debezium_unavailable_value"  # the connector's unavailable.value.placeholder
//! dead_letters = "dead_letters"        # the table for messages that were set aside
//! sha256 = "9f86d081…"                  # the only plugin.wasm that may run here, by its SHA-256 in hex; by default any may
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
//! [batch]                              # where rows may wait longer than those of other plugins
//! linger_ms = 2000                     # they are gathered for so long at least; by default as the engine's file says
//! [limits]                             # of the sandbox
//! memory_mib = 256
//! call_ms = 5000
//! output_mib = 64
//! state_mib = 1024                     # memory for what the plugin remembers, for each partition
//! state_disk_mib = 65536               # disk for what memory has no room for; 0: none
//! [capsule]                            # what is kept of calls that trap or run too long
//! keep = 8                             # files in the data folder; the oldest go first
//! redact = ["email", "parameters.key", "state"]  # columns, parameters and state that are left out
//! [failure]                            # when the plugin fails on more than single rows
//! policy = "pause"                     # rows wait in Kafka; or "park": they become dead letters, and the lane goes on
//! max_failures = 64                    # on so many rows of an epoch it may fail: see `crate::breaker`
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
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::failure::{Failure, failure};
use super::folders::{UNCLAIMED, name_of};
use super::given::Settings;
use super::partitions::Partitions;
use super::problem::{Place, Problems};
use super::rollout::{Rollout, rollout};
use super::tenant_file::{SHARED, Tenant, TopicScope};
use crate::capsule::{MOST_FILES, Rules};
use crate::decode::{Case, Encoding, Policy, Reading};
use crate::input::{Decimals, Tombstone};
use crate::offsets::PluginKey;
use crate::source::{Found, Source, SourceError, Start, check_topic};
use crate::transform::{EventTimeSettings, Kind, SandboxLimits, TransformSettings, check_table};

/// 4 GiB is all that a 32-bit plugin can address.
const MOST_MIB: usize = 4096;
/// 1 TiB: more than any machine that this runs on.
const MOST_STATE_MIB: usize = 1 << 20;
/// What is gathered lies in memory: longer than this would be another way of storing it.
const MOST_LINGER_MS: u64 = 60_000;

/// A plugin as its folder configures it.
#[derive(Clone, Debug)]
pub struct PluginFile {
    /// Whose it is.
    pub tenant: Arc<Tenant>,
    /// The folder.
    pub folder: PathBuf,
    /// Where the artifact lies.
    pub artifact: PathBuf,
    /// Names and patterns of topics.
    pub topics: Vec<String>,
    /// Where a lane begins that has never run.
    pub start: Start,
    /// SHA-256 of the only artifact that may run, in lower-case hex.
    pub sha256: Option<String>,
    /// Which partitions of its topics are this engine's.
    pub partitions: Partitions,
    /// What decides its output.
    pub settings: TransformSettings,
    /// For how long rows of its lanes are gathered, at least.
    pub linger: Duration,
    /// How a new version of it takes over.
    pub rollout: Rollout,
    /// What is kept of calls that fail, if anything is.
    pub capsule: Option<Rules>,
    /// What becomes of its lanes when it is broken.
    pub failure: Failure,
    /// Where the settings stand that only the plugin can judge: by key, such as `parameters.rate`.
    pub places: BTreeMap<String, Place>,
}

impl PluginFile {
    /// Its name.
    #[must_use]
    pub fn key(&self) -> PluginKey {
        self.settings.key()
    }

    /// Where a setting stands: that which is missing, in the file as a whole.
    #[must_use]
    pub fn place(&self, key: &str) -> Place {
        self.places.get(key).cloned().unwrap_or_else(|| Place::Path(self.folder.join("plugin.toml")))
    }

    /// Whether it reads a topic: one that it names, and that may be its tenant's.
    #[must_use]
    pub fn reads(&self, topic: &str) -> bool {
        self.tenant.topics.names(&self.topics, topic)
    }

    /// The partitions of the topics that it reads, whichever engine's they are.
    ///
    /// # Errors
    /// The source can't be asked.
    pub async fn discover(&self, source: &dyn Source) -> Result<Vec<Found>, SourceError> {
        let mut found = source.discover(&self.topics).await?;
        found.retain(|found| self.tenant.topics.holds(&found.partition.topic));
        Ok(found)
    }
}

/// Reads one plugin, whose folder this is.
///
/// # Errors
/// Every mistake in its plugin.toml, with its place.
pub fn read_plugin(folder: &Path, tenant: &Arc<Tenant>) -> Result<PluginFile, Problems> {
    let file = folder.join("plugin.toml");
    if !file.is_file() {
        let hint = "a plugin is a folder with plugin.toml and plugin.wasm".to_owned();
        let mut problems = Problems::default();
        problems.of_path(folder, "there is no plugin.toml", Some(hint));
        return Err(problems);
    }
    let mut given = Settings::default();
    given.read_file(&file);
    plugin_of(folder, given, tenant)
}

/// Reads one plugin from what was in its plugin.toml.
///
/// # Errors
/// Every mistake in it, with its place.
pub fn parse_plugin(folder: &Path, text: &str, tenant: &Arc<Tenant>) -> Result<PluginFile, Problems> {
    let mut given = Settings::default();
    given.read_text(&folder.join("plugin.toml"), text);
    plugin_of(folder, given, tenant)
}

/// Where the artifact of a plugin lies, whose plugin.toml holds this: in its folder, or among those that are shared.
/// `root` is the plugins folder.
#[must_use]
pub fn artifact_of(root: &Path, folder: &Path, text: &str) -> PathBuf {
    let mut given = Settings::default();
    given.read_text(&folder.join("plugin.toml"), text);
    artifact(&mut given, root, folder)
}

fn artifact(given: &mut Settings, root: &Path, folder: &Path) -> PathBuf {
    let Some((name, place)) = given.text("shared") else { return folder.join("plugin.wasm") };
    // One folder's name, so that it stays among those that are shared.
    if name.is_empty() || name.starts_with('.') || name.contains(['/', '\\', '\0']) {
        let hint = Some(format!("shared = \"orders\" is {SHARED}/orders/plugin.wasm in the plugins folder"));
        given.problems.add(place, "shared: not the name of a folder", hint);
        return folder.join("plugin.wasm");
    }
    root.join(SHARED).join(name).join("plugin.wasm")
}

fn plugin_of(folder: &Path, mut given: Settings, tenant: &Arc<Tenant>) -> Result<PluginFile, Problems> {
    let name = name_of(folder);
    if name == UNCLAIMED {
        given.problems.of_path(folder, "a plugin can't be named so: the engine has one of that name", None);
    }
    let topics = topics(&mut given, folder, tenant);
    let place_of_tables = ["bronze", "dead_letters"].map(|key| (key, given.place(key)));
    let place_of_shared = given.place("shared");
    let root = if tenant.is_default() { folder.parent() } else { folder.parent().and_then(Path::parent) };
    let artifact = artifact(&mut given, root.unwrap_or(Path::new("")), folder);
    let kind = match given.text("bronze") {
        Some((table, _)) => Kind::Bronze { table },
        None => Kind::Plugin,
    };
    if matches!(kind, Kind::Bronze { .. }) && place_of_shared != Place::Nowhere {
        given.problems.add(place_of_shared, "shared: beside bronze, for which no plugin runs", None);
    }
    let mut settings = TransformSettings::new(&tenant.name, &name, kind, &tenant.database);
    settings.selection = tenant.selection().cloned();
    let start = given.choice("start", &[("earliest", Start::Earliest), ("latest", Start::Latest)]);
    let partitions = given.value("partitions", "partitions such as \"0-5,8\"").unwrap_or_default();
    settings.tombstone = given.choice("tombstone", &[("ignore", Tombstone::Ignore), ("delete", Tombstone::Delete)]);
    if let Some(decimals) = given.choice("decimals", &[("precise", Decimals::Precise), ("string", Decimals::String)]) {
        settings.decimals = decimals;
    }
    if let Some((table, _)) = given.text("dead_letters") {
        settings.dead_letters = table;
    }
    let sha256 = sha256(&mut given, &settings.kind);
    plugin_column(&mut given, &mut settings);
    let places: BTreeMap<_, _> = ["tables.", "parameters.", "event_time.", "capsule."]
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
    settings.limits = limits(&mut given, tenant);
    if !tenant.is_default() {
        let places = place_of_tables.into_iter().chain(places.iter().map(|(key, place)| (key.as_str(), place.clone())));
        own_tables(&mut given, &settings, places);
    }
    let linger = linger(&mut given);
    let (rollout, failure, capsule) = (rollout(&mut given), failure(&mut given), capsule(&mut given));
    let (folder, start, tenant) = (folder.to_owned(), start.unwrap_or(Start::Earliest), tenant.clone());
    let file = PluginFile {
        tenant,
        folder,
        artifact,
        topics,
        start,
        sha256,
        partitions,
        settings,
        linger,
        rollout,
        failure,
        capsule,
        places,
    };
    given.finish().none(file)
}

/// The topics that the plugin names: those that can't be its tenant's are mistakes, of a pattern they are left out.
fn topics(given: &mut Settings, folder: &Path, tenant: &Tenant) -> Vec<String> {
    let place = given.place("topics");
    let topics = given.list("topics").unwrap_or_default();
    for (topic, wrong) in topics.iter().filter_map(|topic| Some((topic, check_topic(topic).err()?))) {
        given.problems.add(place.clone(), format!("topics: {topic} is no regular expression: {wrong}"), None);
    }
    for topic in topics.iter().filter(|topic| !topic.starts_with('^') && !tenant.topics.holds(topic)) {
        let its = match &tenant.topics {
            TopicScope::All => String::new(), // it holds all
            TopicScope::Prefix(prefix) => format!("whose topics begin with {prefix}"),
            TopicScope::Selected { topics, .. } => format!("which shares {}", topics.join(", ")),
        };
        let message = format!("topics: {topic} is not one of tenant {}, {its}", tenant.name);
        given.problems.add(place.clone(), message, None);
    }
    if topics.is_empty() {
        let hint = "topics = [\"server.schema.table\"], or a regular expression that begins with ^".to_owned();
        given.problems.add(Place::Path(folder.join("plugin.toml")), "topics: not given", Some(hint));
    }
    topics
}

/// A tenant's tables are in its database: no name of one may seem to be elsewhere.
fn own_tables<'a>(given: &mut Settings, settings: &TransformSettings, places: impl Iterator<Item = (&'a str, Place)>) {
    let bronze = match &settings.kind {
        Kind::Bronze { table } => Some(table),
        Kind::Plugin | Kind::Unclaimed { .. } => None,
    };
    for (key, place) in places {
        let table = match key {
            "bronze" => bronze,
            "dead_letters" => Some(&settings.dead_letters),
            _ => key.strip_prefix("tables.").and_then(|name| settings.tables.get(name)),
        };
        if let Some(Err(wrong)) = table.map(|table| check_table(table)) {
            given.problems.add(place, format!("{key}: {wrong}"), None);
        }
    }
}

/// The policies below a key, each one of those that its case has.
fn policies(given: &mut Settings, key: &str) -> BTreeMap<Case, Policy> {
    let policy = |case: Case| {
        let choices: Vec<_> = case.policies().iter().map(|policy| (policy.as_str(), *policy)).collect();
        Some((case, given.choice(&format!("{key}.{}", case.as_str()), &choices)?))
    };
    Case::ALL.into_iter().filter_map(policy).collect()
}

/// The digest that an artifact must have.
fn sha256(given: &mut Settings, kind: &Kind) -> Option<String> {
    let (digest, place) = given.text("sha256")?;
    let wrong = if *kind != Kind::Plugin {
        "there is no plugin that it could be of"
    } else if digest.len() != 64 || !digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        "not 64 hexadecimal digits, as sha256sum plugin.wasm prints them"
    } else {
        return Some(digest.to_ascii_lowercase());
    };
    given.problems.add(place, format!("sha256: {wrong}"), None);
    None
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

/// Nothing is lost by gathering longer but time: for tables that nobody waits for.
fn linger(given: &mut Settings) -> Duration {
    let place = given.place("batch.linger_ms");
    match given.value("batch.linger_ms", "a number of ms") {
        Some(ms @ 0..=MOST_LINGER_MS) => Duration::from_millis(ms),
        Some(_) => {
            given.problems.add(place, format!("batch.linger_ms: not between 0 and {MOST_LINGER_MS}"), None);
            Duration::ZERO
        }
        None => Duration::ZERO,
    }
}

fn limits(given: &mut Settings, tenant: &Tenant) -> SandboxLimits {
    let places: BTreeMap<_, _> = given.places("limits.").into_iter().collect();
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
    let place = |key: &str| places.get(key).cloned().unwrap_or(Place::Nowhere);
    given.problems.0.extend(tenant.limits.lower(&mut limits, place));
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
