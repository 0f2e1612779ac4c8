//! Topics whose rows change under running lanes, in words.
//!
//! A lane compares what the messages of each epoch say of their rows, by schema or by keys, with what they said before.
//! Lanes of one topic share what was said, so a change is said once, by the partition that shows it first. Nothing is
//! decided here: a column is read as it is declared, or its message is set aside, whatever is said.
//!
//! A lane's first epoch after a start is compared with nothing: what differs from the plugin by then is the [`super::Plan`]'s
//! to say.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::columns::{Finding, Wanted, Weight, each_once, misfit, replaced_nulls};
use super::{rest, wanted};
use crate::decode::source::{RowSchema, SourceField};
use crate::offsets::{LaneId, OffsetRange, PluginKey};
use crate::transform::{Observed, Transform};

/// Changes of a plugin's topic that are said in one run of the engine. Where rows without a schema have keys of their own
/// each, every epoch is a change; so many in a row are no change that anybody made.
const MOST_SAID: usize = 16;

/// What all lanes have noticed so far.
#[derive(Clone, Debug, Default)]
pub struct Drift {
    topics: Arc<Mutex<BTreeMap<(PluginKey, String), Topic>>>,
}

/// A topic, as a plugin reads it.
#[derive(Debug, Default)]
struct Topic {
    /// Changes that were said: from what, to what.
    said: HashSet<(Arc<RowSchema>, Arc<RowSchema>)>,
    last: Option<Change>,
    /// Where a default may stand for a null.
    replaced: Option<String>,
    /// A null has come where it could have been replaced: the converter keeps them.
    keeps_nulls: bool,
}

/// A change of a topic's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The lane that noticed it first.
    pub lane: LaneId,
    /// The epoch in which it did.
    pub range: OffsetRange,
    /// What changed, and what it means for the plugin.
    pub findings: Vec<Finding>,
}

/// One lane's eyes.
#[derive(Debug)]
pub struct LaneDrift {
    drift: Drift,
    lane: LaneId,
    columns: Vec<Column>,
    /// What becomes of other fields; none: nothing.
    rest: Option<String>,
    last: Mutex<Option<Arc<RowSchema>>>,
}

/// A column that the plugin reads from rows, and its place in the input.
#[derive(Debug)]
struct Column {
    place: usize,
    name: String,
    field: arrow_schema::Field,
    required: bool,
}

impl Column {
    fn wanted(&self) -> Wanted<'_> {
        Wanted { name: &self.name, field: &self.field, required: self.required }
    }
}

impl Drift {
    /// A lane that looks at its rows through a plugin.
    #[must_use]
    pub fn lane(&self, lane: &LaneId, transform: &Transform) -> LaneDrift {
        let columns = transform.plugin().map(|plugin| wanted(plugin.description())).unwrap_or_default();
        let columns = columns.into_iter().map(|(place, Wanted { name, field, required })| Column {
            place,
            name: name.to_owned(),
            field: field.clone(),
            required,
        });
        let rest = transform.plugin().and_then(|plugin| rest(plugin.description()));
        LaneDrift { drift: self.clone(), lane: lane.clone(), columns: columns.collect(), rest, last: Mutex::default() }
    }

    /// The last change of each plugin's topic.
    #[must_use]
    pub fn changes(&self) -> Vec<Change> {
        self.lock().values().filter_map(|topic| topic.last.clone()).collect()
    }

    /// What wants an operator's eyes: what the last change put at risk, and nulls that may have been replaced.
    #[must_use]
    pub fn warnings(&self) -> Vec<(PluginKey, String)> {
        let topics = self.lock();
        let words = |((plugin, name), topic): (&(PluginKey, String), &Topic)| {
            let risks = topic.last.iter().flat_map(|change| &change.findings);
            let risks = risks.filter(|finding| finding.weight != Weight::Note).map(|finding| finding.message.clone());
            let words = risks.chain(topic.replaced.clone().filter(|_| !topic.keeps_nulls));
            words.map(|words| (plugin.clone(), format!("topic {name}, plugin {plugin}: {words}"))).collect::<Vec<_>>()
        };
        topics.iter().flat_map(words).collect()
    }

    /// A topic's notes are changed in one step each, so they are whole even if a panic interrupted somebody.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(PluginKey, String), Topic>> {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LaneDrift {
    /// The same eyes, through another version of the plugin: what the rows were before is known.
    #[must_use]
    pub fn through(&self, transform: &Transform) -> Self {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Self { last: Mutex::new(last), ..self.drift.lane(&self.lane, transform) }
    }

    /// Looks at an epoch, and says in the log what is new. Gives back how many changes that are.
    pub fn look(&self, range: OffsetRange, rows: &Observed) -> usize {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(newest) = rows.schemas.last() else { return 0 };
        let mut new = 0;
        for schema in &rows.schemas {
            if let Some(before) = last.replace(schema.clone())
                && before != *schema
            {
                new += usize::from(self.changed(range, &before, schema));
            }
        }
        self.nulls(newest, &rows.nulls);
        new
    }

    /// Says a change, unless it was said.
    fn changed(&self, range: OffsetRange, from: &Arc<RowSchema>, to: &Arc<RowSchema>) -> bool {
        let findings = changes(&self.wanted(), self.rest.as_deref(), from, to);
        let mut topics = self.drift.lock();
        let topic = topics.entry(self.topic()).or_default();
        let new = topic.said.len() < MOST_SAID && topic.said.insert((from.clone(), to.clone()));
        if findings.is_empty() || !new {
            return false;
        }
        let LaneId { plugin, topic: name, partition, .. } = &self.lane;
        for Finding { weight, message } in &findings {
            match weight {
                Weight::Note | Weight::Unknown => {
                    tracing::info!(plugin, topic = name, partition, offsets = %range, "{message}");
                }
                Weight::Risk | Weight::Stops => {
                    tracing::warn!(plugin, topic = name, partition, offsets = %range, "{message}");
                }
            }
        }
        if topic.said.len() == MOST_SAID {
            tracing::warn!(
                plugin,
                topic = name,
                "the topic's rows have changed {MOST_SAID} times: no more is said of it"
            );
        }
        topic.last = Some(Change { lane: self.lane.clone(), range, findings });
        true
    }

    /// Says where a default may stand for a null, as long as no null has come there.
    fn nulls(&self, schema: &RowSchema, nulls: &BTreeSet<usize>) {
        let kept = |column: &&Column| {
            nulls.contains(&column.place) && schema.field(&column.name).is_some_and(|field| field.default_for_null)
        };
        let keeps_nulls = self.columns.iter().any(|column| kept(&column));
        let wanted = self.wanted();
        let replaced = replaced_nulls(wanted.iter(), &schema.fields).map(|finding| finding.message);
        let mut topics = self.drift.lock();
        let topic = topics.entry(self.topic()).or_default();
        topic.keeps_nulls |= keeps_nulls;
        topic.replaced = replaced;
    }

    fn topic(&self) -> (PluginKey, String) {
        (self.lane.key(), self.lane.topic.clone())
    }

    fn wanted(&self) -> Vec<Wanted<'_>> {
        self.columns.iter().map(Column::wanted).collect()
    }
}

/// What changed: columns in the plugin's order, then the others, of which `rest` says what becomes of them.
fn changes(wanted: &[Wanted<'_>], rest: Option<&str>, from: &RowSchema, to: &RowSchema) -> Vec<Finding> {
    let is_new = |field: &&SourceField| from.field(&field.name).is_none();
    let added: Vec<_> = to.fields.iter().filter(is_new).collect();
    let mut findings = Vec::new();
    for wanted in wanted {
        findings.extend(match (from.field(wanted.name), to.field(wanted.name)) {
            (Some(before), None) => Some(gone(*wanted, before, &added)),
            (None, Some(now)) => Some(came(*wanted, now)),
            (Some(before), Some(now)) => other_type(*wanted, before, now).or_else(|| may_be_null(*wanted, before, now)),
            (None, None) => None,
        });
    }
    // Two underscores begin the fields that ExtractNewRecordState adds.
    let unread = |name: &str| !name.starts_with("__") && wanted.iter().all(|wanted| wanted.name != name);
    let becomes = rest.unwrap_or("the plugin does not read it");
    let note = |message| Finding { weight: Weight::Note, message };
    for SourceField { name, written, .. } in added.iter().filter(|field| unread(&field.name)) {
        let of = if written.is_told() { format!(" ({written})") } else { String::new() };
        findings.push(note(format!("column {name} was added{of}, {becomes}")));
    }
    for before in from.fields.iter().filter(|field| unread(&field.name)) {
        let name = &before.name;
        match to.field(name) {
            None if rest.is_some() => findings.push(note(format!("column {name} is gone from the rest of the row"))),
            None => findings.push(note(format!("column {name} is gone, the plugin did not read it"))),
            Some(now) if are_different(before, now) => {
                findings.push(note(format!("column {name} was {} and is {}, {becomes}", before.written, now.written)))
            }
            Some(_) => {}
        }
    }
    each_once(findings)
}

fn are_different(before: &SourceField, now: &SourceField) -> bool {
    before.written.is_told() && now.written.is_told() && before.written != now.written
}

fn came(wanted: Wanted<'_>, now: &SourceField) -> Finding {
    misfit(wanted, now).map_or_else(
        || Finding { weight: Weight::Note, message: format!("column {} has come, the plugin reads it", wanted.name) },
        |misfit| Finding { weight: misfit.weight, message: format!("{}; it has come just now", misfit.message) },
    )
}

/// A rename looks like a column that is gone and another that has come: which it is, is not guessed.
fn gone(wanted: Wanted<'_>, before: &SourceField, added: &[&SourceField]) -> Finding {
    let (weight, becomes) = if wanted.required {
        (Weight::Stops, "each message is set aside, because the plugin requires it")
    } else {
        (Weight::Risk, "null in each row from here on")
    };
    let alike: Vec<_> =
        added.iter().filter(|it| it.written == before.written).map(|it| it.name.as_str()).take(3).collect();
    let hint = match &alike[..] {
        [] => String::new(),
        names => format!("; {} was added with it: was it renamed?", names.join(" or ")),
    };
    Finding { weight, message: format!("column {} is gone: {becomes}{hint}", wanted.name) }
}

fn other_type(wanted: Wanted<'_>, before: &SourceField, now: &SourceField) -> Option<Finding> {
    if !are_different(before, now) {
        return None;
    }
    let name = wanted.name;
    let was = format!("it was {}", before.written);
    Some(match misfit(wanted, now) {
        Some(misfit) => Finding { weight: misfit.weight, message: format!("{}; {was}", misfit.message) },
        None => {
            let (now, declared) = (&now.written, wanted.field.data_type());
            Finding { weight: Weight::Note, message: format!("column {name} is {now} now, declared {declared}; {was}") }
        }
    })
}

fn may_be_null(wanted: Wanted<'_>, before: &SourceField, now: &SourceField) -> Option<Finding> {
    if before.optional || !now.optional || wanted.field.is_nullable() {
        return None;
    }
    let message = format!("column {} may be null now: a message in which it is null is set aside", wanted.name);
    Some(Finding { weight: Weight::Risk, message })
}

#[cfg(test)]
mod tests;
