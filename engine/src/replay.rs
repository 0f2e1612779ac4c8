//! An operator's replay: a plugin's lanes read again from an offset, in a new generation whose rows win over all earlier
//! ones.
//!
//! **Promise.** Whatever dies, and whenever: the same command again ends what was begun, and no engine runs on the data
//! folder before that, or before it was given up. In tables that keep each row, none is there twice.
//! **Assumed.** No engine runs: its journal is locked by the replay.
//! **After a crash** the plan that was written down first ([`Pending`]) says what is left to do. Each step can be repeated:
//!
//! | step | what is done | again |
//! |---|---|---|
//! | `Begun` | the lanes taken and claimed, so that nothing old can land any more (fence, then kill); rows of the range deleted, or a shadow made of each table with all other rows; the lanes set back in the journal | shadows are made anew |
//! | `Filling` (shadow) | the lanes run into the shadows, to the topics' ends as of now | goes on from the journal |
//! | `Swapping` (shadow) | each shadow exchanged with its table | what is exchanged stays so, by the tables' own ids |
//!
//! Rows in place need no more than the first step: the engine's next start reads the lanes again.
//! Dead letters of the range are deleted as well, when their messages are about to be read again or have been: one that
//! fails again has a new one.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tempfile::NamedTempFile;

use crate::journal::{Journal, JournalError, Position};
use crate::offsets::LaneId;
use crate::offsets::PluginKey;
use crate::plugin::Host;
use crate::sink::{ClickHouse, EpochSide, RowsFrom, Sink, SinkError, epoch_column};
use crate::table::Table;
use crate::transform::{BuildError, Kind, Transform};

/// Where the plan of a replay lies in the data folder.
const FILE: &str = "replay.json";

/// Which rows make place for the new ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Way {
    /// None: those of the new generation win, in current-state tables.
    InPlace,
    /// Those of the range are deleted first.
    DeleteRows,
    /// The new ones are made in shadows, which are put in their tables' place.
    Shadow,
}

/// How far a replay is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Step {
    /// See the module.
    Begun,
    /// See the module.
    Filling,
    /// See the module.
    Swapping,
}

/// A lane of a replay.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingLane {
    /// Its name.
    pub lane: LaneId,
    /// Where it stood.
    pub old: Position,
    /// From where it is read again; `None`: it goes on where it stood.
    pub from: Option<i64>,
    /// Its new generation.
    pub generation: u16,
}

/// A table and its shadow.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shadow {
    /// The table's name.
    pub table: String,
    /// Its shadow's.
    pub shadow: String,
    /// What the table is called once the shadow is in its place.
    pub before: String,
    /// What the server knows the shadow by, once it is made.
    pub uuid: Option<String>,
}

/// A replay that was begun and is not ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// The plugin.
    pub plugin: PluginKey,
    /// Which rows make place.
    pub way: Way,
    /// How far it is.
    pub step: Step,
    /// Its lanes.
    pub lanes: Vec<PendingLane>,
    /// Its tables, if it has shadows.
    pub shadows: Vec<Shadow>,
}

/// Why a replay can't be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// The tables.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The plugin does not load with its tables' shadows.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The plan can't be written or read.
    #[error("{path}")]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl PendingLane {
    fn position(&self) -> Position {
        let next_offset = self.from.or(self.old.next_offset);
        self.old.restarted(self.generation, next_offset)
    }

    /// The lane's rows that make place: under its own number, and under that of its replayed letters.
    fn replaced(&self) -> Option<RowsFrom> {
        let letters = LaneId { topic_id: String::new(), ..self.lane.clone() };
        self.from.map(|from| (vec![self.lane.number(), letters.number()], from))
    }
}

impl Pending {
    /// The replay that was begun in a data folder, if there is one.
    ///
    /// # Errors
    /// The file can't be read, or is none.
    pub fn read(data_dir: &Path) -> Result<Option<Self>, ReplayError> {
        let path = data_dir.join(FILE);
        let read = match fs::read(&path) {
            Ok(json) => serde_json::from_slice(&json).map(Some).map_err(io::Error::other),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        };
        read.map_err(|source| ReplayError::File { path, source })
    }

    /// Writes it down, durably.
    ///
    /// # Errors
    /// The disk.
    pub fn write(&self, data_dir: &Path) -> Result<(), ReplayError> {
        let path = data_dir.join(FILE);
        let written = (|| {
            let mut partial = NamedTempFile::new_in(data_dir)?;
            partial.write_all(&serde_json::to_vec_pretty(self)?)?;
            partial.as_file().sync_all()?;
            partial.persist(&path)?;
            File::open(data_dir)?.sync_all()
        })();
        written.map_err(|source| ReplayError::File { path, source })
    }

    /// It is ended, or given up.
    ///
    /// # Errors
    /// The disk.
    pub fn remove(data_dir: &Path) -> Result<(), ReplayError> {
        let path = data_dir.join(FILE);
        fs::remove_file(&path).map_err(|source| ReplayError::File { path, source })
    }

    /// The plugin with its tables' shadows in their place; of a replay without shadows, as it is.
    ///
    /// # Errors
    /// It does not load, which it did.
    pub fn transform(&self, host: &Host, of: &Transform) -> Result<Transform, ReplayError> {
        let mut settings = of.settings().clone();
        let shadow = |table: &str| self.shadows.iter().find(|it| it.table == table).map(|it| it.shadow.clone());
        if let Kind::Bronze { table } = &mut settings.kind
            && let Some(shadow) = shadow(table)
        {
            *table = shadow;
        }
        if let Some(plugin) = of.plugin() {
            for output in &plugin.description().outputs {
                let name = settings.tables.get(&output.table).unwrap_or(&output.table);
                if let Some(shadow) = shadow(name) {
                    settings.tables.insert(output.table.clone(), shadow);
                }
            }
        }
        Ok(Transform::build(host, settings, of.plugin().map(|plugin| plugin.bytes().clone()))?)
    }

    /// The step [`Step::Begun`].
    ///
    /// # Errors
    /// What keeps it from being done. Again, it is begun anew.
    pub async fn begin(
        &mut self,
        journal: &dyn Journal,
        clickhouse: &ClickHouse,
        of: &Transform,
    ) -> Result<(), ReplayError> {
        let tables = of.tables();
        for PendingLane { lane, .. } in &self.lanes {
            let taken = journal.take(lane).await?;
            clickhouse.claim(lane, taken.owner, &tables).await?;
        }
        match self.way {
            Way::InPlace => self.delete(clickhouse, of.dead_letters()).await?,
            Way::DeleteRows => {
                for table in &tables {
                    self.delete(clickhouse, table).await?;
                }
            }
            Way::Shadow => {
                let replaced: Vec<RowsFrom> = self.lanes.iter().filter_map(PendingLane::replaced).collect();
                for shadow in &mut self.shadows {
                    let Some((table, made)) = pair(&tables, shadow) else { continue };
                    shadow.uuid = Some(clickhouse.make_shadow(&table, &made, &replaced).await?);
                }
            }
        }
        for lane in &self.lanes {
            journal.restart(&lane.lane, lane.position()).await?;
        }
        Ok(())
    }

    /// The step [`Step::Swapping`].
    ///
    /// # Errors
    /// What keeps it from being done. Again, it goes on.
    pub async fn swap(&self, clickhouse: &ClickHouse, of: &Transform) -> Result<(), ReplayError> {
        let tables = of.tables();
        for shadow in &self.shadows {
            let (Some((table, made)), Some(uuid)) = (pair(&tables, shadow), &shadow.uuid) else { continue };
            let before = named(&table, &shadow.before);
            clickhouse.exchange(&table, &made, uuid, &before).await?;
        }
        self.delete(clickhouse, of.dead_letters()).await
    }

    /// Gives up a replay into shadows: the tables are as they were, and the lanes go on where they stood, in one more
    /// generation, so that no number is ever used again.
    ///
    /// # Errors
    /// What keeps it from being done. Again, it goes on.
    pub async fn abandon(
        &self,
        journal: &dyn Journal,
        clickhouse: &ClickHouse,
        of: &Transform,
    ) -> Result<(), ReplayError> {
        let tables = of.tables();
        for it in &self.lanes {
            let taken = journal.take(&it.lane).await?;
            clickhouse.claim(&it.lane, taken.owner, &tables).await?;
            let new = EpochSide::From(epoch_column(it.generation, 0));
            clickhouse.delete_rows(of.dead_letters(), &(vec![it.lane.number()], 0), new).await?;
            let generation = it.generation.saturating_add(1);
            journal.restart(&it.lane, it.old.restarted(generation, it.old.next_offset)).await?;
        }
        for shadow in &self.shadows {
            if let Some((_, made)) = pair(&tables, shadow) {
                clickhouse.drop_table(&made).await?;
            }
        }
        Ok(())
    }

    /// Deletes the rows of the range that are of earlier generations.
    async fn delete(&self, clickhouse: &ClickHouse, table: &Table) -> Result<(), ReplayError> {
        for lane in &self.lanes {
            if let Some(rows) = lane.replaced() {
                let earlier = EpochSide::Before(epoch_column(lane.generation, 0));
                clickhouse.delete_rows(table, &rows, earlier).await?;
            }
        }
        Ok(())
    }
}

/// A table and its shadow.
fn pair(tables: &[Arc<Table>], shadow: &Shadow) -> Option<(Arc<Table>, Table)> {
    let table = tables.iter().find(|table| *table.name == *shadow.table)?.clone();
    let made = named(&table, &shadow.shadow);
    Some((table, made))
}

fn named(table: &Table, name: &str) -> Table {
    Table { name: name.into(), ..table.clone() }
}
