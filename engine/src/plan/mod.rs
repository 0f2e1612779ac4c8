//! The plan: what a plugin reads and writes, compared with what its topics and tables really hold, in words.
//!
//! **Promise.** Nothing is written and no position is kept. What can't be asked (a broker or a server that does not answer
//! within ten seconds) is said, and nothing is guessed in its place.
//!
//! ```text
//! newest messages of the topics ──sample──► fields ─┐
//! plugin's description ─────────────────────────────┴─columns──► findings
//! output tables ──ClickHouse::plan──► statements, guarantee, or why it never fits
//!
//! epochs of a lane ──rows they describe──► drift: what changed, while it runs
//! ```

mod columns;
pub mod drift;
mod sample;
mod unread;

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::timeout;

use crate::batch::RawBatch;
use crate::config::PluginFile;
use crate::disposition::in_words;
use crate::input::{Format, InputColumn, REST, Source as ColumnSource};
use crate::plugin::{Description, Origin};
use crate::registry::Registry;
use crate::sink::{ClickHouse, TablePlan};
use crate::source::{Found, Source};
use crate::table::Table;
use crate::transform::Transform;

use columns::Wanted;

pub use columns::{Finding, Weight};
pub use sample::{Sample, Shape};

/// How long a broker or a server is waited for.
const PATIENCE: Duration = Duration::from_secs(10);

/// Jaro-Winkler similarity from which a topic is taken for a misspelt one. Topics of one server share their beginnings,
/// which this measure favours: `shop.public.orders` and `shop.public.payments` have 0.89.
const ALIKE: f64 = 0.95;

/// What was found out of one plugin.
#[derive(Debug)]
pub struct Plan {
    /// Its partitions, or why they are not known.
    pub partitions: Result<Vec<Found>, String>,
    /// What the newest messages look like; none where there are no rows yet, or a bronze table takes anything.
    pub sample: Option<Sample>,
    /// How the messages differ from what the plugin reads.
    pub findings: Vec<Finding>,
    /// Each table with what has to be done to it.
    pub tables: Vec<(Table, Result<TablePlan, NoTable>)>,
}

/// Why there is no plan for a table, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NoTable {
    /// It will never do as it is.
    Refused(String),
    /// The server did not answer.
    Unknown(String),
}

impl Plan {
    /// Compares a plugin with the world.
    pub async fn make(
        source: &dyn Source,
        sink: &ClickHouse,
        registry: Option<&Registry>,
        file: &PluginFile,
        transform: &Transform,
    ) -> Self {
        let (mut plan, newest) = Self::look(source, registry, file, transform).await;
        if plan.works() {
            plan.findings.extend(unread::findings(transform, newest));
        }
        Self { tables: plan_tables(sink, transform).await, ..plan }
    }

    /// Compares a plugin with its topics alone.
    pub async fn of_topics(
        source: &dyn Source,
        registry: Option<&Registry>,
        file: &PluginFile,
        transform: &Transform,
    ) -> Self {
        Self::look(source, registry, file, transform).await.0
    }

    /// Compares a plugin with its topics, and gives the messages that were looked at as well.
    async fn look(
        source: &dyn Source,
        registry: Option<&Registry>,
        file: &PluginFile,
        transform: &Transform,
    ) -> (Self, Vec<RawBatch>) {
        let partitions = within("the source does not answer", file.discover(source)).await;
        let (mut sample, mut messages) = (None, Vec::new());
        let mut findings = Vec::new();
        if let (Ok(found), Some(plugin)) = (&partitions, transform.plugin()) {
            match within("the newest messages can't be read", sample::newest(source, registry, found, transform.part()))
                .await
            {
                Ok(newest) => {
                    (sample, messages) = (newest.sample, newest.batches);
                    findings.extend(newest.unread_avro.map(|unread| unread.finding()));
                }
                Err(message) => findings.push(Finding { weight: Weight::Unknown, message }),
            }
            if found.is_empty() {
                findings.extend(misspelt(source, file).await);
            }
            if let Some(sample) = &sample {
                let description = plugin.description();
                let wanted: Vec<_> = wanted(description).into_iter().map(|(_, wanted)| wanted).collect();
                let rest = rest(description);
                findings.extend(columns::compare(description.format, &wanted, rest.as_deref(), sample));
            }
        }
        (Self { partitions, sample, findings, tables: Vec::new() }, messages)
    }

    /// Whether the plugin can do its work as things are: nothing is known that stops a lane or sets every message aside.
    #[must_use]
    pub fn works(&self) -> bool {
        self.findings.iter().all(|finding| finding.weight != Weight::Stops)
            && self.tables.iter().all(|(_, plan)| !matches!(plan, Err(NoTable::Refused(_))))
    }

    /// Whether everything could be asked: broker, messages and tables.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.partitions.is_ok()
            && self.findings.iter().all(|finding| finding.weight != Weight::Unknown)
            && self.tables.iter().all(|(_, plan)| !matches!(plan, Err(NoTable::Unknown(_))))
    }
}

/// Where none of the topics is there: the topic that may be meant. Another tenant's is not named.
async fn misspelt(source: &dyn Source, file: &PluginFile) -> Option<Finding> {
    let all = within("topics can't be listed", source.discover(&["^".to_owned()])).await.ok()?;
    let mut best: Option<(f64, &str, &str)> = None;
    let may_be_meant = |found: &&Found| file.tenant.topics.holds(&found.partition.topic);
    for wanted in file.topics.iter().filter(|topic| !topic.starts_with('^')) {
        for Found { partition, .. } in all.iter().filter(may_be_meant) {
            let likeness = strsim::jaro_winkler(wanted, &partition.topic);
            if likeness > best.map_or(ALIKE, |best| best.0) {
                best = Some((likeness, wanted, &partition.topic));
            }
        }
    }
    let (_, wanted, there) = best?;
    let message = format!("there is no topic {wanted}; did you mean {there}?");
    Some(Finding { weight: Weight::Risk, message })
}

/// One table after the other. A server that did not answer once is not asked again.
async fn plan_tables(sink: &ClickHouse, transform: &Transform) -> Vec<(Table, Result<TablePlan, NoTable>)> {
    let mut tables = Vec::new();
    let mut answers = true;
    for table in transform.tables() {
        let plan = if answers { timeout(PATIENCE, sink.plan(&table)).await.ok() } else { None };
        answers = plan.is_some();
        let silent = || NoTable::Unknown(format!("ClickHouse does not answer within {} s", PATIENCE.as_secs()));
        let plan = plan.map_or_else(|| Err(silent()), |plan| plan.map_err(|error| NoTable::Refused(in_words(&error))));
        tables.push((Table::clone(&table), plan));
    }
    tables
}

/// The answer, or in words why there is none.
async fn within<T, E: std::error::Error + 'static>(
    otherwise: &str,
    answer: impl Future<Output = Result<T, E>>,
) -> Result<T, String> {
    match timeout(PATIENCE, answer).await {
        Ok(answer) => answer.map_err(|error| in_words(&error)),
        Err(_) => Err(format!("{otherwise} within {} s", PATIENCE.as_secs())),
    }
}

/// The fields of the source's rows that a plugin reads.
/// Their places are those in the input.
fn wanted<'a>(description: &'a Description) -> Vec<(usize, Wanted<'a>)> {
    let wanted = |(place, column): (usize, &'a InputColumn)| match &column.source {
        ColumnSource::Row(name) | ColumnSource::Before(name) if name == REST => None,
        ColumnSource::Row(name) | ColumnSource::Before(name) => {
            let required = column.required || !column.field.is_nullable();
            Some((place, Wanted { name, field: &column.field, required }))
        }
        ColumnSource::Header(_) | ColumnSource::Change(_) => None,
    };
    description.columns.iter().enumerate().filter_map(wanted).collect()
}

/// What becomes of the fields that a plugin does not name, in words; none where it does not ask for them.
fn rest(description: &Description) -> Option<String> {
    let rest = description.columns.iter().position(|it| it.source == ColumnSource::Row(REST.to_owned()))?;
    let passed = description.outputs.iter().flat_map(|output| &output.columns);
    let passed = passed.filter(|(_, origin)| matches!(origin, Origin::Input(index) if *index == rest));
    let names: BTreeSet<_> = passed.map(|(field, _)| field.name().as_str()).collect();
    Some(if names.is_empty() {
        "the plugin reads it in the rest of the row".to_owned()
    } else {
        format!("it goes to the table in {}, with the rest of the row", Vec::from_iter(names).join(", "))
    })
}

/// The word for a format.
#[must_use]
pub fn format_word(format: Format) -> &'static str {
    match format {
        Format::Envelope => "envelopes",
        Format::Flat => "flat rows",
    }
}
