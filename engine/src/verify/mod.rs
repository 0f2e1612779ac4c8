//! The audit: tables compared with what their topics make of them.
//!
//! **Promise.** Of a range of offsets every message is read again, its rows are made again, and each table is compared with
//! them: what is missing, too many, there twice or of another content is said with its offsets. Nothing is written.
//! **How.** Window by window, in bounded memory. An epoch's rows are made again in its own generation, number and clock,
//! which its rows name, by the plugin and settings that made them ([`Maker`](crate::artifacts::Maker)), where the data folder has them. The server
//! compares (`sink::clickhouse::audit`), so both sides have passed the same conversions.
//! **Limits.** Where rows depend on more than their messages (a time limit that struck then and not now), they differ,
//! and are reported so. In current-state tables a row that a newer change of its key has replaced is gone, as it should be:
//! of each key the last change of the range is compared, unless a newer one is there. Dead letters are compared until
//! the table drops them; those of messages that were replayed are not.
//! **After a crash** the audit is begun anew.
//!
//! Rows that came of state can't be made again from the middle: of those the names (`_lane`, `_epoch`, `_row`) are counted,
//! by [`Audit::names`].

pub mod compare;
mod lane;
mod range;
pub mod watch;

use std::sync::Arc;

use serde::Serialize;

use self::compare::{Fault, Finding, add};
use self::lane::Lane;
use self::range::RangeReader;
use crate::artifacts::{ArtifactError, Artifacts};
use crate::cpu::Cpu;
use crate::offsets::{LaneId, OffsetRange};
use crate::plugin::Host;
use crate::registry::{Registry, RegistryError};
use crate::sink::{ClickHouse, Comparable, SinkError};
use crate::source::{Found, Source, SourceError};
use crate::table::{Table, TableKind};
use crate::transform::{Transform, TransformError};

/// What an audit needs.
#[derive(Clone)]
pub struct Audit {
    /// The topics.
    pub source: Arc<dyn Source>,
    /// The tables.
    pub clickhouse: Arc<ClickHouse>,
    /// The schema registry, if there is one.
    pub registry: Option<Arc<Registry>>,
    /// Who made which epochs, and the plugins.
    pub artifacts: Artifacts,
    /// Loads them.
    pub host: Host,
    /// Where they run.
    pub cpu: Cpu,
}

/// A lane to be audited.
pub struct Subject {
    /// Its name.
    pub id: LaneId,
    /// Its partition.
    pub found: Found,
    /// Its plugin as it is now.
    pub transform: Transform,
    /// Which offsets.
    pub range: OffsetRange,
}

/// What was found out of a lane.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// The plugin.
    pub plugin: String,
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// The first offset.
    pub from: i64,
    /// The offset after the last.
    pub to: i64,
    /// Messages in the range.
    pub messages: u64,
    /// Its tables.
    pub tables: Vec<TableReport>,
    /// What was not compared, and why; in words.
    pub notes: Vec<String>,
}

/// What was found out of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TableReport {
    /// Database and table.
    pub table: String,
    /// Whether only the last change of each key counts.
    pub current: bool,
    /// Whether its rows were compared: else a note says why not.
    pub compared: bool,
    /// Rows that were made again, or counted.
    pub rows: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
    /// Whether it holds dead letters.
    #[serde(skip)]
    pub letters: bool,
}

/// Why an audit can't be done.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The topic.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The tables.
    #[error(transparent)]
    Sink(#[from] SinkError),
    /// The plugin can't be run.
    #[error(transparent)]
    Transform(#[from] TransformError),
    /// The messages' schemas.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The data folder.
    #[error(transparent)]
    Artifacts(#[from] ArtifactError),
    /// A bug here.
    #[error("rows can't be put together")]
    Rows(#[from] arrow_schema::ArrowError),
}

impl Report {
    /// A report without a finding.
    #[must_use]
    pub fn empty(subject: &Subject) -> Self {
        let LaneId { plugin, topic, partition, .. } = &subject.id;
        let letters = subject.transform.dead_letters().quoted();
        let table = |table: &Arc<Table>| TableReport {
            table: table.quoted(),
            current: table.kind == TableKind::Current,
            compared: true,
            rows: 0,
            findings: Vec::new(),
            letters: table.quoted() == letters,
        };
        Self {
            plugin: plugin.clone(),
            topic: topic.clone(),
            partition: *partition,
            from: subject.range.start,
            to: subject.range.end,
            messages: 0,
            tables: subject.transform.tables().iter().map(table).collect(),
            notes: Vec::new(),
        }
    }

    /// Whether everything is as it should be.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.tables.iter().all(|table| table.findings.iter().all(|finding| !finding.fault.is_wrong()))
    }

    fn note(&mut self, words: String) {
        if !self.notes.contains(&words) {
            self.notes.push(words);
        }
    }

    fn table(&mut self, name: &str) -> Option<&mut TableReport> {
        self.tables.iter_mut().find(|table| table.table == name)
    }
}

impl Audit {
    /// Compares all tables of a lane with its messages.
    ///
    /// # Errors
    /// What can't be read or asked. Differences are no error: they are in the report.
    pub async fn lane(&self, subject: &Subject) -> Result<Report, AuditError> {
        let mut lane = Lane::new(self, subject)?;
        let tables = self.comparable(subject, &mut lane.report).await?;
        let mut reader = RangeReader::open(&*self.source, &subject.found, subject.range).await?;
        while let Some(raw) = reader.next().await? {
            lane.window(raw, &tables).await?;
        }
        Ok(lane.report)
    }

    /// Counts the names of a lane's rows, without reading its messages: rows that are there twice, ordinals that no row of
    /// an epoch has, and epochs behind the last one that the journal knows. The last rows of an epoch, and whole epochs, are
    /// not missed by this.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn names(&self, subject: &Subject, journal_epoch: Option<u64>) -> Result<Report, AuditError> {
        let mut report = Report::empty(subject);
        for table in self.comparable(subject, &mut report).await? {
            if table.kind == TableKind::Current {
                let name = table.quoted();
                report.note(format!(
                    "{name}: rows of current-state tables are replaced by newer ones, and can't be counted"
                ));
                report.tables.retain(|table| table.table != name);
                continue;
            }
            let letters = subject.transform.dead_letters();
            let known = journal_epoch.unwrap_or(u64::MAX);
            let names = self.clickhouse.names(&table, letters, subject.id.number(), subject.range, known).await?;
            if let Some(table) = report.table(&table.quoted()) {
                table.rows = names.rows;
                let faults = [
                    (Fault::Twice, names.twice),
                    (Fault::Missing, names.lacking),
                    (Fault::UnknownEpoch, names.unknown),
                ];
                for (fault, rows) in faults {
                    if rows > 0 {
                        let (first, last) = (subject.range.start, subject.range.end - 1);
                        add(&mut table.findings, Finding { fault, rows, offsets: 0, first, last, some: Vec::new() });
                    }
                }
            }
        }
        Ok(report)
    }

    /// The tables of a lane whose rows can be compared. The others are named in the report.
    async fn comparable(&self, subject: &Subject, report: &mut Report) -> Result<Vec<Arc<Table>>, AuditError> {
        let mut tables = Vec::new();
        for table in subject.transform.tables() {
            match self.clickhouse.comparable(&table).await? {
                Comparable::Rows => {
                    tables.push(table);
                    continue;
                }
                Comparable::Missing => {
                    let mismatch = "there is no such table".to_owned();
                    return Err(SinkError::Table { table: table.quoted(), mismatch, statement: None }.into());
                }
                Comparable::No => report.note(format!(
                    "{}: not compared, as its engine does not keep rows as they were inserted, or the engine's columns are \
                     not in it",
                    table.quoted()
                )),
            }
            if let Some(table) = report.table(&table.quoted()) {
                table.compared = false;
            }
        }
        Ok(tables)
    }
}

/// Values of `_lane` of a lane's rows. Replays of dead letters know no topic's id.
pub(crate) fn lanes(id: &LaneId) -> [u64; 2] {
    [id.number(), LaneId { topic_id: String::new(), ..id.clone() }.number()]
}
