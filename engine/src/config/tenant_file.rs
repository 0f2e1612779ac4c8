//! One `tenant.toml` for each tenant: a folder below the plugins folder, whose sub-folders are the tenant's plugins.
//!
//! ```toml
//! prefix = "acme."                     # the topics that begin so are the tenant's; "" for all there are
//! weight = 1                           # its part beside others', where they compete
//! [clickhouse]
//! database = "acme"                    # the tenant's alone; by default its name
//! url = "https://clickhouse:8443"      # by default the engine's server
//! user = "acme"                        # by default the engine's user and password
//! password_file = "/run/secrets/acme"  # or
//! password_env = "ACME_PASSWORD"       # the name of an environment variable; never the password itself
//! ca = "authority.pem"                 # whom to trust beside the system's authorities; paths begin at this file's folder
//! certificate = "acme.pem"             # who the tenant is, with
//! key = "acme.key"                     # its PKCS #8 key; the engine's own are shown to the engine's server alone
//! [select]                             # in place of prefix: the rows of shared topics that are the tenant's
//! topics = ["shop.events"]            # those topics, by name or pattern
//! column = "tenant_id"                 # by a column of the row, or
//! header = "tenant"                    # by a header of the message
//! value = "acme"                       # by default the tenant's name
//! [limits]                             # above which no plugin's own [limits] go
//! memory_mib = 128
//! call_ms = 1000
//! output_mib = 32
//! state_mib = 256
//! state_disk_mib = 1024
//! cpu_share = 0.25                     # of the engine's cores, at most
//! inserts_per_second = 5
//! log_lines_per_second = 20            # of each of its plugins, in the long run
//! [labels]                             # on the metric engine_tenant_info
//! team = "payments"
//! ```
//!
//! The file is an operator's; what is in the folders below it may be the tenant's own. So nothing that stands there can
//! reach beyond what is said here: topics, database, limits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::connection::{address, tls};
use super::given::Settings;
use super::problem::{Place, Problem, Problems};
use crate::input::{SelectBy, Selection};
use crate::offsets::DEFAULT_TENANT;
use crate::sink::{ClickHouseSettings, Password};
use crate::source::{check_topic, names_topic};
use crate::tls::Tls;
use crate::transform::SandboxLimits;

/// What makes a folder a tenant's.
pub const TENANT_FILE: &str = "tenant.toml";
/// The folder beside the tenants' that holds plugins for whoever names them.
pub const SHARED: &str = "_shared";
/// Names stand in metrics, lanes and files.
const MOST_NAME: usize = 64;
/// A label more is a time series more for each metric that is joined with it.
const MOST_LABELS: usize = 16;

/// A tenant as its folder configures it.
#[derive(Clone, Debug, PartialEq)]
pub struct Tenant {
    /// Its folder's name.
    pub name: String,
    /// The database of all its tables.
    pub database: String,
    /// The server, and who the tenant is there.
    pub clickhouse: ClickHouseSettings,
    /// Which messages are the tenant's.
    pub topics: TopicScope,
    /// What its plugins get at most.
    pub limits: TenantLimits,
    /// Its part beside others', where they compete.
    pub weight: u32,
    /// What an operator knows it by.
    pub labels: BTreeMap<String, String>,
}

/// Which messages a tenant's plugins read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TopicScope {
    /// All that a plugin names.
    All,
    /// Those of topics whose names begin so.
    Prefix(String),
    /// Its own rows of shared topics.
    Selected {
        /// Which rows.
        selection: Selection,
        /// Names of the topics, and patterns. No others: what is another tenant's alone must not become a shared topic by
        /// somebody's naming it.
        topics: Vec<String>,
    },
}

/// What a tenant's plugins get at most; none: as much as the engine gives.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct TenantLimits {
    /// Bytes of linear memory of an instance.
    pub memory_bytes: Option<usize>,
    /// Time of a call, ms.
    pub call_ms: Option<u64>,
    /// Bytes that a call may give out.
    pub output_bytes: Option<usize>,
    /// Bytes of memory for what a lane remembers.
    pub state_bytes: Option<usize>,
    /// Bytes of disk for what memory has no room for.
    pub state_disk_bytes: Option<u64>,
    /// Share of the engine's cores, above 0 and at most 1: of all its plugins together.
    pub cpu_share: Option<f64>,
    /// Inserts a second: of all its plugins together.
    pub inserts_per_second: Option<u32>,
    /// Lines that each of its plugins logs in a second in the long run.
    pub log_lines_per_second: Option<u32>,
}

impl Tenant {
    /// The tenant of plugins that lie in no tenant's folder.
    #[must_use]
    pub fn default_of(clickhouse: ClickHouseSettings, database: &str) -> Self {
        Self {
            name: DEFAULT_TENANT.to_owned(),
            database: database.to_owned(),
            clickhouse,
            topics: TopicScope::All,
            limits: TenantLimits::default(),
            weight: 1,
            labels: BTreeMap::new(),
        }
    }

    /// Whether it is the tenant of plugins that lie in no tenant's folder.
    #[must_use]
    pub fn is_default(&self) -> bool {
        self.name == DEFAULT_TENANT
    }

    /// Whether two tenants' rows would be beside each other.
    #[must_use]
    pub fn shares_database_with(&self, other: &Self) -> bool {
        self.database == other.database && self.clickhouse.url == other.clickhouse.url
    }

    /// What selects its rows of shared topics.
    #[must_use]
    pub fn selection(&self) -> Option<&Selection> {
        match &self.topics {
            TopicScope::Selected { selection, .. } => Some(selection),
            TopicScope::All | TopicScope::Prefix(_) => None,
        }
    }
}

impl TopicScope {
    /// Whether messages of a topic may be the tenant's.
    #[must_use]
    pub fn holds(&self, topic: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => topic.starts_with(prefix),
            Self::Selected { topics, .. } => names_topic(topics, topic),
        }
    }

    /// Whether a topic is among those that a plugin names, and the tenant's.
    #[must_use]
    pub fn names(&self, wanted: &[String], topic: &str) -> bool {
        self.holds(topic) && names_topic(wanted, topic)
    }
}

/// Reads a tenant from what was in its tenant.toml. What it does not say is as the default tenant has it.
///
/// # Errors
/// Every mistake in it, with its place.
pub fn parse_tenant(folder: &Path, text: &str, default: &Tenant) -> Result<Tenant, Problems> {
    let file = folder.join(TENANT_FILE);
    let mut given = Settings::default();
    given.read_text(&file, text);
    let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    if let Err(wrong) = check_name(&name) {
        let hint = Some("a to z, 0 to 9, - and _, beginning with a letter or digit".to_owned());
        given.problems.of_path(folder, format!("a tenant can't be named so: {wrong}"), hint);
    }
    if folder.join("plugin.toml").is_file() {
        let hint = "a tenant's plugins are folders in its folder: move plugin.toml and plugin.wasm into one".to_owned();
        given.problems.of_path(folder, format!("there are {TENANT_FILE} and plugin.toml in one folder"), Some(hint));
    }
    let tenant = Tenant {
        clickhouse: clickhouse(&mut given, folder, &default.clickhouse),
        database: database(&mut given, &name),
        topics: topics(&mut given, &file, &name),
        limits: limits(&mut given),
        weight: weight(&mut given),
        labels: labels(&mut given),
        name,
    };
    given.finish().none(tenant)
}

/// The file that a tenant.toml names for its password, if it names one.
#[must_use]
pub fn password_file(folder: &Path, text: &str) -> Option<PathBuf> {
    let mut given = Settings::default();
    given.read_text(&folder.join(TENANT_FILE), text);
    given.text("clickhouse.password_file").map(|(file, _)| folder.join(file))
}

fn check_name(name: &str) -> Result<(), String> {
    if name == DEFAULT_TENANT {
        return Err(format!("{DEFAULT_TENANT} is the tenant of the plugins that lie in no tenant's folder"));
    }
    if name.len() > MOST_NAME {
        return Err(format!("it is longer than {MOST_NAME} characters"));
    }
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let good = name.chars().all(|c| plain(c) || matches!(c, '-' | '_')) && name.starts_with(plain);
    if good { Ok(()) } else { Err("it would not read well in metrics and files".to_owned()) }
}

fn database(given: &mut Settings, name: &str) -> String {
    given.text("clickhouse.database").map_or_else(|| name.to_owned(), |(database, _)| database)
}

/// The engine's own password goes to the engine's own server alone, and to nobody else's user.
fn clickhouse(given: &mut Settings, folder: &Path, engines: &ClickHouseSettings) -> ClickHouseSettings {
    let place_of_url = given.place("clickhouse.url");
    let url = address(given, "clickhouse.url");
    let tls = tls(given, "clickhouse", folder);
    let user = given.text("clickhouse.user").map(|(user, _)| user);
    let password_places = ["clickhouse.password_file", "clickhouse.password_env"].map(|key| given.place(key));
    let password = password(given, folder);
    let mut wrong = |place: Place, message: &str, hint: &str| {
        given.problems.add(place, message.to_owned(), Some(hint.to_owned()));
    };
    match &user {
        None if url.is_some() => wrong(
            place_of_url,
            "clickhouse.url: another server without clickhouse.user",
            "the engine's user and password are for the engine's server: give the tenant's own",
        ),
        None => {
            if let Some(place) = password_places.iter().find(|place| **place != Place::Nowhere) {
                wrong(place.clone(), "clickhouse: a password without clickhouse.user", "say whose password it is");
            }
        }
        Some(_) if password_places.iter().all(|place| *place != Place::Nowhere) => {
            wrong(password_places[1].clone(), "clickhouse.password_env: beside clickhouse.password_file", "give one");
        }
        Some(_) => {}
    }
    let own = user.map(|user| (user, password.unwrap_or_default()));
    let (user, password) = own.unwrap_or_else(|| (engines.user.clone(), engines.password.clone()));
    // Nor does a certificate of the engine's go elsewhere.
    let tls = if url.is_none() && tls == Tls::default() { engines.tls.clone() } else { tls };
    ClickHouseSettings { url: url.unwrap_or_else(|| engines.url.clone()), user, password, tls, ..engines.clone() }
}

fn password(given: &mut Settings, folder: &Path) -> Option<Password> {
    if let Some((_, place)) = given.text("clickhouse.password") {
        let hint = "name a file with clickhouse.password_file, or a variable with clickhouse.password_env";
        let message = "clickhouse.password: no password stands in tenant.toml, which others may read";
        given.problems.add(place, message, Some(hint.to_owned()));
    }
    if let Some((name, place)) = given.text("clickhouse.password_env") {
        match std::env::var(&name) {
            Ok(password) if !password.is_empty() => return Some(password.into()),
            Ok(_) | Err(_) => {
                let message = format!("clickhouse.password_env: there is no {name} in the engine's environment");
                given.problems.add(place, message, None);
            }
        }
    }
    let (file, place) = given.text("clickhouse.password_file")?;
    let wrong = match std::fs::read(folder.join(&file)) {
        Ok(bytes) => {
            let text = String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned();
            if !text.is_empty() {
                return Some(text.into());
            }
            "is empty".to_owned()
        }
        Err(error) => format!("can't be read: {error}"),
    };
    given.problems.add(place, format!("clickhouse.password_file: {file} {wrong}"), None);
    None
}

fn topics(given: &mut Settings, file: &Path, name: &str) -> TopicScope {
    let prefix = given.text("prefix");
    let place = ["select.column", "select.header", "select.value", "select.topics"].map(|key| given.place(key));
    let shared = shared_topics(given);
    let column = given.text("select.column");
    let header = given.text("select.header");
    let value = given.text("select.value").map_or_else(|| name.to_owned(), |(value, _)| value);
    let selects = place.iter().find(|place| **place != Place::Nowhere).cloned();
    let mut wrong = |place: Place, message: &str, hint: &str| {
        given.problems.add(place, message.to_owned(), Some(hint.to_owned()));
        TopicScope::Prefix(String::new())
    };
    match (prefix, selects, column, header) {
        (Some((prefix, _)), None, ..) if prefix.is_empty() => TopicScope::All,
        (Some((prefix, _)), None, ..) if prefix.ends_with(['.', '-', '_']) => TopicScope::Prefix(prefix),
        (Some((prefix, place)), None, ..) => {
            let hint = format!("\"{prefix}.\" would not be the beginning of another tenant's {prefix}2 as well");
            wrong(place, "prefix: does not end with . - or _", &hint)
        }
        (Some(_), Some(place), ..) => {
            wrong(place, "select: beside prefix", "topics are the tenant's own, or shared: give one of both")
        }
        (None, Some(place), ..) if shared.is_empty() => wrong(
            place,
            "select.topics: not given, so nobody knows of which topics",
            "topics = [\"shop.events\"]: those that tenants share, names or patterns",
        ),
        (None, Some(_), Some((column, _)), None) => {
            TopicScope::Selected { selection: Selection { by: SelectBy::Column(column), value }, topics: shared }
        }
        (None, Some(_), None, Some((header, _))) => {
            TopicScope::Selected { selection: Selection { by: SelectBy::Header(header), value }, topics: shared }
        }
        (None, Some(place), Some(_), Some(_)) => {
            wrong(place, "select.header: beside select.column", "give one of both")
        }
        (None, Some(place), None, None) => {
            wrong(place, "select.value: of what?", "give select.column or select.header")
        }
        (None, None, ..) => wrong(
            Place::Path(file.to_owned()),
            "prefix: not given, so nobody knows which topics are the tenant's",
            "prefix = \"acme.\" for topics that begin so, prefix = \"\" for all, or [select] for rows of shared topics",
        ),
    }
}

fn shared_topics(given: &mut Settings) -> Vec<String> {
    let place = given.place("select.topics");
    let topics = given.list("select.topics").unwrap_or_default();
    for (topic, wrong) in topics.iter().filter_map(|topic| Some((topic, check_topic(topic).err()?))) {
        given.problems.add(place.clone(), format!("select.topics: {topic} is no regular expression: {wrong}"), None);
    }
    topics
}

fn weight(given: &mut Settings) -> u32 {
    let place = given.place("weight");
    match given.value("weight", "a number from 1 to 1000") {
        Some(weight @ 1..=1000) => weight,
        Some(_) => {
            given.problems.add(place, "weight: not a number from 1 to 1000", None);
            1
        }
        None => 1,
    }
}

fn labels(given: &mut Settings) -> BTreeMap<String, String> {
    let places = given.places("labels.");
    let labels = given.table("labels");
    for (key, place) in &places {
        let name = key.strip_prefix("labels.").unwrap_or(key);
        let good = |c: char| c.is_ascii_lowercase() || c == '_';
        if !(name.starts_with(good) && name.chars().all(|c| good(c) || c.is_ascii_digit())) || name == "tenant" {
            let hint = Some("a to z, 0 to 9 and _, beginning with a letter; tenant is there already".to_owned());
            given.problems.add(place.clone(), format!("{key}: not the name of a label"), hint);
        }
    }
    if let Some((_, place)) = places.get(MOST_LABELS) {
        given.problems.add(place.clone(), format!("labels: more than {MOST_LABELS}"), None);
    }
    labels
}

fn limits(given: &mut Settings) -> TenantLimits {
    let mib = |given: &mut Settings, key: &str| {
        let mib = positive::<u64>(given, key, "a number of MiB")?;
        Some(mib.saturating_mul(1 << 20))
    };
    let bytes = |given: &mut Settings, key: &str| mib(given, key).and_then(|bytes| usize::try_from(bytes).ok());
    let place = given.place("limits.cpu_share");
    let cpu_share = given.value::<f64>("limits.cpu_share", "a number above 0 and at most 1");
    if cpu_share.is_some_and(|share| !(share > 0.0 && share <= 1.0)) {
        given.problems.add(place, "limits.cpu_share: not a number above 0 and at most 1", None);
    }
    let disk = given.value::<u64>("limits.state_disk_mib", "a number of MiB, or 0");
    TenantLimits {
        memory_bytes: bytes(given, "limits.memory_mib"),
        call_ms: positive(given, "limits.call_ms", "a number of ms"),
        output_bytes: bytes(given, "limits.output_mib"),
        state_bytes: bytes(given, "limits.state_mib"),
        state_disk_bytes: disk.map(|mib| mib.saturating_mul(1 << 20)),
        cpu_share,
        inserts_per_second: positive(given, "limits.inserts_per_second", "a number"),
        log_lines_per_second: positive(given, "limits.log_lines_per_second", "a number"),
    }
}

fn positive<T: std::str::FromStr + PartialEq + From<u8>>(given: &mut Settings, key: &str, wanted: &str) -> Option<T> {
    let place = given.place(key);
    let value = given.value::<T>(key, wanted)?;
    if value == T::from(0) {
        given.problems.add(place, format!("{key}: not {wanted} above 0"), None);
        return None;
    }
    Some(value)
}

impl TenantLimits {
    /// Limits of a plugin within these: what its plugin.toml does not say is lowered to them, what it does say and goes
    /// beyond is a mistake, by its key.
    pub(super) fn lower(&self, limits: &mut SandboxLimits, place: impl Fn(&str) -> Place) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut hold = |key: &str, asked: u64, most: Option<u64>, unit: (u64, &str)| {
            let Some(most) = most.filter(|most| asked > *most) else { return asked };
            let place = place(key);
            if place != Place::Nowhere {
                let message = format!("{key}: more than the {}{} that the tenant has", most / unit.0, unit.1);
                problems.push(Problem { place, message, hint: None });
            }
            most
        };
        let mib = (1 << 20, " MiB");
        let as_u64 = |bytes: usize| bytes as u64;
        let as_usize = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        limits.log_lines_per_second = self.log_lines_per_second.unwrap_or(limits.log_lines_per_second);
        let memory = hold("limits.memory_mib", as_u64(limits.memory_bytes), self.memory_bytes.map(as_u64), mib);
        let output = hold("limits.output_mib", as_u64(limits.output_bytes), self.output_bytes.map(as_u64), mib);
        let state = hold("limits.state_mib", as_u64(limits.state_bytes), self.state_bytes.map(as_u64), mib);
        limits.state_disk_bytes = hold("limits.state_disk_mib", limits.state_disk_bytes, self.state_disk_bytes, mib);
        limits.call_ms = hold("limits.call_ms", limits.call_ms, self.call_ms, (1, " ms"));
        (limits.memory_bytes, limits.output_bytes) = (as_usize(memory), as_usize(output));
        limits.state_bytes = as_usize(state);
        problems
    }
}

#[cfg(test)]
mod tests;
