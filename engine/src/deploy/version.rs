//! A version of a plugin: its bytes and its settings, ready to run.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use crate::config::PluginFile;
use crate::journal::Intent;
use crate::offsets::LaneId;
use crate::sink::{Guarantee, Sink, SinkError};
use crate::table::{Table, TableKind};
use crate::transform::Transform;

/// What makes rows: a plugin's bytes and its settings.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct VersionId {
    /// SHA-256 of the plugin's bytes, in hex; empty for messages as they are.
    pub plugin_digest: String,
    /// SHA-256 of the settings, in hex.
    pub settings_digest: String,
}

impl VersionId {
    /// The version that a transform is.
    #[must_use]
    pub fn of(transform: &Transform) -> Self {
        Self {
            plugin_digest: transform.plugin_digest().to_owned(),
            settings_digest: transform.settings_digest().to_owned(),
        }
    }

    /// The version that made an epoch.
    #[must_use]
    pub fn of_intent(intent: &Intent) -> Self {
        Self { plugin_digest: intent.plugin_digest.clone(), settings_digest: intent.settings_digest.clone() }
    }
}

/// As people read and type it: 12 digits of the plugin, 6 of the settings.
impl fmt::Display for VersionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let first = |digest: &str, digits: usize| digest.get(..digits).unwrap_or(digest).to_owned();
        let plugin = if self.plugin_digest.is_empty() { "bronze".to_owned() } else { first(&self.plugin_digest, 12) };
        write!(f, "{plugin}.{}", first(&self.settings_digest, 6))
    }
}

/// A version of a plugin, ready to run.
pub struct Version {
    /// As configured.
    pub file: PluginFile,
    /// What it does.
    pub transform: Transform,
    id: VersionId,
    prepared: OnceCell<()>,
}

impl Version {
    /// A version whose tables are not made ready yet.
    #[must_use]
    pub fn new(file: PluginFile, transform: Transform) -> Self {
        let id = VersionId::of(&transform);
        Self { file, transform, id, prepared: OnceCell::new() }
    }

    /// Its name.
    #[must_use]
    pub fn id(&self) -> &VersionId {
        &self.id
    }

    /// The version that its author gave it; empty for messages as they are.
    #[must_use]
    pub fn says(&self) -> &str {
        self.transform.plugin().map_or("", |plugin| &plugin.description().version)
    }

    /// Makes all its tables ready, once for all lanes. Waits for a server that is away.
    ///
    /// # Errors
    /// A table does not fit.
    pub async fn prepare(&self, sink: &dyn Sink) -> Result<(), SinkError> {
        self.prepare_beside(sink, None).await
    }

    /// The same, where another version's tables may be ready: those that are the same to the last column are, and the
    /// server need not be asked, unless it is another one or asked as another user.
    ///
    /// # Errors
    /// A table does not fit.
    pub async fn prepare_beside(&self, sink: &dyn Sink, other: Option<&Self>) -> Result<(), SinkError> {
        let ready = other.filter(|other| other.is_prepared() && self.is_served_as(other));
        let ready = ready.map_or_else(Vec::new, |other| other.transform.tables());
        self.prepared.get_or_try_init(|| self.prepare_tables(sink, &ready)).await.copied()
    }

    /// Whether its tables are ready.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.prepared.initialized()
    }

    async fn prepare_tables(&self, sink: &dyn Sink, ready: &[Arc<Table>]) -> Result<(), SinkError> {
        for table in self.transform.tables().into_iter().filter(|table| !ready.contains(table)) {
            if sink.prepare(&table).await? == Guarantee::None {
                tracing::warn!(
                    table = %table.quoted(),
                    "the table has no deduplication window: a repeated insert can double rows. To have one: ALTER TABLE {} \
                     MODIFY SETTING non_replicated_deduplication_window = 10000",
                    table.quoted()
                );
            }
        }
        Ok(())
    }

    /// Whether a lane is on one of its topics' partitions.
    #[must_use]
    pub fn is_for(&self, lane: &LaneId) -> bool {
        self.file.partitions.contains(lane.partition) && self.file.reads(&lane.topic)
    }

    /// Whether it is the other one: the same code and settings, at the same server as the same user.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.id == other.id && self.is_served_as(other)
    }

    fn is_served_as(&self, other: &Self) -> bool {
        self.file.tenant.clickhouse == other.file.tenant.clickhouse
    }

    /// Whether a lane that runs the other version can run this one from its next epoch on, with what it has at hand: its
    /// claim of the tables, its reader, the state in memory. Otherwise it has to begin anew.
    #[must_use]
    pub fn takes_over_from(&self, other: &Self) -> bool {
        let kept = |version: &Self| {
            let plugin = version.transform.plugin()?;
            let tables = plugin.description().state.as_ref()?.tables.clone();
            let limits = version.transform.settings().limits;
            Some((tables, limits.state_bytes, limits.state_disk_bytes))
        };
        self.is_served_as(other)
            && self.file.tenant.topics == other.file.tenant.topics
            && self.transform.part() == other.transform.part()
            && self.transform.decodes() == other.transform.decodes()
            && self.tables() == other.tables()
            && kept(self) == kept(other)
    }

    /// Each table's name and whether it is of current rows.
    fn tables(&self) -> Vec<(String, bool)> {
        let tables = self.transform.tables();
        let mut tables: Vec<_> =
            tables.iter().map(|table| (table.quoted(), table.kind == TableKind::Current)).collect();
        tables.sort();
        tables
    }

    /// Whether it reads state that was written in each of these versions of it.
    #[must_use]
    pub fn reads(&self, written: &[u32]) -> bool {
        let state = self.transform.plugin().and_then(|plugin| plugin.description().state.as_ref());
        let reads = |version: &u32| state.is_some_and(|it| it.version == *version || it.reads.contains(version));
        written.iter().all(reads)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.id)
    }
}
