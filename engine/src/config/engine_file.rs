//! The engine's own settings. Every key can be given in `engine.toml`, in the environment (`ENGINE_` and the key in
//! capitals, dots as underscores) and as a flag (`--set KEY=VALUE`, or a flag of its own).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::connection::{address, file, password, tls};
use super::given::Settings;
use super::kafka::kafka_properties;
use super::problem::{Place, Problems};
use super::tenant_file::Tenant;
use crate::memory::default_limit;
use crate::registry::RegistrySettings;
use crate::sink::{ClickHouseSettings, Compression, INSERTS_PER_SECOND};
use crate::source::{BatchLimits, KafkaSettings};
use crate::tls::Tls;

/// Read when `--config` names no other file; it may be missing.
const DEFAULT_FILE: &str = "engine.toml";
const ENVIRONMENT_PREFIX: &str = "ENGINE_";
const KAFKA_PROPERTIES: &str = "KAFKA_PROPERTIES_";

/// Measured: the server's cost of a row hardly falls beyond blocks of 100,000 rows.
const MAX_MESSAGES: usize = 100_000;
/// Bounds the memory of an epoch: its messages, its columns and its block are each about this large at most.
const MAX_BYTES: usize = 32 << 20;
/// Fetched messages in memory, over all lanes: eight epochs.
const PREFETCH_BYTES: usize = 8 * MAX_BYTES;

/// Where messages come from.
#[derive(Clone, Debug)]
pub enum Input {
    /// Kafka.
    Kafka(KafkaSettings),
    /// Recorded messages, JSON lines.
    Files(Vec<PathBuf>),
}

/// Settings of an engine, complete.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where messages come from.
    pub input: Input,
    /// Where rows go.
    pub clickhouse: ClickHouseSettings,
    /// The schema registry, for messages in Avro.
    pub registry: Option<RegistrySettings>,
    /// The database of all tables.
    pub database: String,
    /// The folder of plugins.
    pub plugins: PathBuf,
    /// The folder of the journal and the artifacts.
    pub data_dir: PathBuf,
    /// Where metrics and health are served, if anywhere.
    pub listen: Option<SocketAddr>,
    /// When an epoch is collected; the linger is the shortest.
    pub batch: BatchLimits,
    /// Inserts a second that one server takes: lanes gather rows for longer when they are many.
    pub inserts_per_second: u32,
    /// Most bytes that lanes hold, all together.
    pub memory_bytes: usize,
    /// End when the source is caught up and committed.
    pub until_idle: bool,
}

/// Settings from outside the file.
#[derive(Clone, Debug, Default)]
pub struct Overlay {
    /// The file; a missing one is a mistake only if it was named.
    pub file: Option<PathBuf>,
    /// Keys set by flags, with the flag's name.
    pub flags: Vec<(String, String, String)>,
    /// The environment.
    pub environment: BTreeMap<String, String>,
    /// Recorded messages in place of Kafka.
    pub source_files: Vec<PathBuf>,
    /// Leave `engine.toml` alone although it is there.
    pub ignore_default_file: bool,
    /// End when idle.
    pub until_idle: bool,
    /// For commands that read no messages: none have to be named.
    pub no_source: bool,
}

impl Config {
    /// Puts the layers together.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn read(overlay: &Overlay) -> Result<Self, Problems> {
        let mut settings = Settings::default();
        match &overlay.file {
            Some(path) => settings.read_file(path),
            None if !overlay.ignore_default_file && Path::new(DEFAULT_FILE).exists() => {
                settings.read_file(Path::new(DEFAULT_FILE))
            }
            None => {}
        }
        overlay_environment(&mut settings, &overlay.environment);
        for (flag, key, value) in &overlay.flags {
            settings.overlay(key, Place::Flag(flag.clone()), value.clone());
        }

        let config = Self {
            input: input(&mut settings, &overlay.source_files, overlay.no_source),
            clickhouse: clickhouse(&mut settings),
            registry: registry(&mut settings),
            database: settings.text("clickhouse.database").map_or_else(|| "default".into(), |(name, _)| name),
            plugins: path(&mut settings, "plugins", "plugins"),
            data_dir: path(&mut settings, "data_dir", "data"),
            listen: settings.value("listen", "an address and port, such as 127.0.0.1:8080"),
            batch: BatchLimits {
                max_messages: settings.value("batch.max_messages", "a number").unwrap_or(MAX_MESSAGES),
                max_bytes: settings.value("batch.max_bytes", "a number of bytes").unwrap_or(MAX_BYTES),
                linger: Duration::from_millis(settings.value("batch.linger_ms", "a number of ms").unwrap_or(200)),
            },
            inserts_per_second: settings
                .value("clickhouse.inserts_per_second", "a number")
                .unwrap_or(INSERTS_PER_SECOND)
                .max(1),
            memory_bytes: settings
                .value::<usize>("memory_mib", "a number of MiB")
                .map_or_else(default_limit, |mib| mib.saturating_mul(1 << 20)),
            until_idle: overlay.until_idle,
        };
        settings.finish().none(config)
    }

    /// The tenant of the plugins that lie in no tenant's folder.
    #[must_use]
    pub fn default_tenant(&self) -> Arc<Tenant> {
        Arc::new(Tenant::default_of(self.clickhouse.clone(), &self.database))
    }
}

fn overlay_environment(settings: &mut Settings, environment: &BTreeMap<String, String>) {
    for (name, value) in environment {
        let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
        let dotted = match key.strip_prefix(KAFKA_PROPERTIES) {
            Some(property) => format!("kafka.properties.{}", property.to_lowercase().replace('_', ".")),
            None => environment_key(&key.to_lowercase()),
        };
        settings.overlay(&dotted, Place::Environment(name.clone()), value.clone());
    }
}

/// `clickhouse_password_file` → `clickhouse.password_file`: the first word names the section, if it is one.
fn environment_key(key: &str) -> String {
    let section =
        ["kafka", "clickhouse", "registry", "batch"].iter().find(|section| key.starts_with(&format!("{section}_")));
    match section {
        Some(section) => format!("{section}.{}", &key[section.len() + 1..]),
        None => key.to_owned(),
    }
}

fn path(settings: &mut Settings, key: &str, default: &str) -> PathBuf {
    settings.text(key).map_or_else(|| default.into(), |(text, _)| text.into())
}

fn input(settings: &mut Settings, files: &[PathBuf], none: bool) -> Input {
    let brokers = settings.text("kafka.brokers").map(|(brokers, _)| brokers);
    let group = settings.text("kafka.group").map_or_else(|| "engine".into(), |(group, _)| group);
    let properties = kafka_properties(settings);
    let prefetch_bytes = settings.value("kafka.prefetch_bytes", "a number of bytes");
    if !files.is_empty() || none {
        return Input::Files(files.to_vec());
    }
    if brokers.is_none() {
        let hint = "give --kafka HOST:PORT, ENGINE_KAFKA_BROKERS, or brokers below [kafka] in engine.toml; or recorded messages with --source FILE";
        settings.problems.add(Place::Nowhere, "kafka.brokers: not given", Some(hint.into()));
    }
    let prefetch_bytes = prefetch_bytes.unwrap_or(PREFETCH_BYTES);
    Input::Kafka(KafkaSettings { brokers: brokers.unwrap_or_default(), group, properties, prefetch_bytes })
}

fn clickhouse(settings: &mut Settings) -> ClickHouseSettings {
    let url = address(settings, "clickhouse.url").unwrap_or_else(|| "http://127.0.0.1:8123".into());
    let mut clickhouse = ClickHouseSettings::new(url);
    if let Some((user, _)) = settings.text("clickhouse.user") {
        clickhouse.user = user;
    }
    if let Some(password) = password(settings, "clickhouse") {
        clickhouse.password = password;
    }
    clickhouse.tls = clickhouse_tls(settings, &clickhouse.url);
    let compressions = [("none", Compression::None), ("lz4", Compression::Lz4)];
    if let Some(compression) = settings.choice("clickhouse.compression", &compressions) {
        clickhouse.compression = compression;
    }
    clickhouse
}

/// Certificates at an address that would never see them are a mistake: somebody relies on them.
fn clickhouse_tls(settings: &mut Settings, url: &str) -> Tls {
    let places = ["ca", "certificate"].map(|key| settings.place(&format!("clickhouse.{key}")));
    let tls = tls(settings, "clickhouse", Path::new(""));
    if let Some(place) = places.into_iter().find(|place| *place != Place::Nowhere)
        && !url.starts_with("https:")
    {
        let hint = Some("https://host:8443, or leave the certificates out".to_owned());
        settings.problems.add(place, format!("clickhouse: certificates, but the address {url} is not https"), hint);
    }
    tls
}

/// All keys are read, whatever is wrong with others: what is not read would be reported as unknown.
fn registry(settings: &mut Settings) -> Option<RegistrySettings> {
    let keys = ["url", "user", "password", "password_file", "token_file", "ca", "certificate", "key"];
    let places = keys.map(|key| settings.place(&format!("registry.{key}")));
    let url = address(settings, "registry.url");
    let user = settings.text("registry.user").map(|(user, _)| user);
    let password = password(settings, "registry");
    let token_file = file(settings, "registry.token_file", Path::new("")).map(|(path, _)| path);
    let tls = tls(settings, "registry", Path::new(""));

    let [url_place, user_place, passwords @ .., token_place, _, _, _] = &places;
    let mut wrong = |place: &Place, message: &str| settings.problems.add(place.clone(), message, None);
    let given = |place: &&Place| **place != Place::Nowhere;
    if !given(&url_place)
        && let Some(other) = places.iter().find(given)
    {
        wrong(other, "registry: settings without registry.url, its address");
    }
    if !given(&user_place)
        && let Some(password) = passwords.iter().find(given)
    {
        wrong(password, "registry.password: without registry.user");
    }
    if given(&user_place) && given(&token_place) {
        wrong(token_place, "registry.token_file: beside registry.user: the registry gets one or the other");
    }
    let user = user.map(|user| (user, password.unwrap_or_default()));
    Some(RegistrySettings { url: url?, user, token_file, tls })
}
