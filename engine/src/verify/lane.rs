//! The audit of one lane under way: window by window, each epoch's rows made again by whoever made them.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_select::filter::filter_record_batch;

use super::compare::{Stamp, Stretch, add, judge, stretches};
use super::{Audit, AuditError, Report, Subject, lanes};
use crate::artifacts::{ArtifactError, Maker};
use crate::batch::{Message, RawBatch};
use crate::clock::{Clock, SystemClock};
use crate::offsets::OffsetRange;
use crate::plugin::Plugin;
use crate::registry::Schemas;
use crate::sink::{Audited, SeenEpoch, SeenReplay};
use crate::source::Filter as PartFilter;
use crate::state::State;
use crate::table::Table;
use crate::transform::{Budget, Epoch, Transform};

/// Who made rows.
#[derive(Clone)]
enum MadeBy {
    /// This transform: the present one, or one from the artifacts.
    Known(Box<Transform>),
    /// A plugin that is not to be had any more. The present one is taken.
    Gone,
    /// Nobody noted it. The present one is taken.
    Unknown,
}

/// An audit of one lane under way.
pub(super) struct Lane<'a> {
    audit: &'a Audit,
    subject: &'a Subject,
    makers: Vec<Maker>,
    rebuilt: HashMap<(String, String), MadeBy>,
    before: Option<Stamp>,
    pub(super) report: Report,
}

impl<'a> Lane<'a> {
    pub(super) fn new(audit: &'a Audit, subject: &'a Subject) -> Result<Self, AuditError> {
        let makers = audit.artifacts.makers(&subject.id)?;
        Ok(Self { audit, subject, makers, rebuilt: HashMap::new(), before: None, report: Report::empty(subject) })
    }

    /// Compares the tables with the messages of a window.
    pub(super) async fn window(&mut self, raw: RawBatch, tables: &[Arc<Table>]) -> Result<(), AuditError> {
        let (id, clickhouse) = (&self.subject.id, &self.audit.clickhouse);
        let lanes = lanes(id);
        let offsets: Vec<i64> = raw.messages.iter().map(|message| message.offset).collect();
        let seen = clickhouse.epochs_seen(tables, id.number(), raw.range).await?;
        let replays = clickhouse.replays_seen(tables, lanes, raw.range).await?;
        let otherwise = Stamp { epoch: 1 << 48, clock_ms: SystemClock.now_ms() };
        let letters = tables.iter().find(|table| table.quoted() == self.subject.transform.dead_letters().quoted());
        let parked = match letters {
            Some(letters) => clickhouse.parked_seen(letters, id.number(), raw.range).await?,
            None => Vec::new(),
        };
        let stretches = stretches(&offsets, &seen, self.before, otherwise);
        self.before = stretches.last().map(|stretch| stretch.stamp).or(self.before);
        let read_now = self.read_by(&self.subject.transform, &raw).await?;
        self.report.messages += read_now.len() as u64;
        if stretches.is_empty() {
            let made = self.subject.transform.clone();
            return self.compare(tables, &made, false, Made::default(), &read_now, raw.range).await;
        }
        let raw = Arc::new(raw);
        let mut waiting = &stretches[..];
        let mut start = raw.range.start;
        // Epochs of one maker at a time: another one may have other tables, or columns.
        while let Some(first) = waiting.first() {
            let made_by = self.made_by(first.stamp.epoch).await?;
            let same = |stretch: &&Stretch| self.maker(stretch.stamp.epoch) == self.maker(first.stamp.epoch);
            let count = waiting.iter().take_while(same).count();
            let (these, behind) = waiting.split_at(count);
            waiting = behind;
            let end = behind.first().and_then(|next| offsets.get(next.start)).copied().unwrap_or(raw.range.end);
            let gone = matches!(made_by, MadeBy::Gone);
            let transform = match made_by {
                MadeBy::Known(transform) => *transform,
                MadeBy::Gone | MadeBy::Unknown => self.subject.transform.clone(),
            };
            let range = OffsetRange { start, end };
            let other = transform.part() != self.subject.transform.part();
            let read = if other { self.read_by(&transform, &raw).await? } else { read_now.clone() };
            let again = Again { raw: &raw, read: &read, replays: &replays, parked: &parked, range };
            let made = self.make_again(&transform, these, again).await?;
            self.compare(tables, &transform, gone, made, &read, range).await?;
            start = end;
        }
        Ok(())
    }

    /// The offsets of the messages that are in the part that a transform reads.
    async fn read_by(&self, transform: &Transform, raw: &RawBatch) -> Result<Vec<i64>, AuditError> {
        let part = transform.part();
        let mut filter = PartFilter::new(part.clone());
        if let Some(registry) = self.audit.registry.as_ref().filter(|_| part.reads_columns())
            && let Some(answers) = registry.schemas_of(raw, warn).await?.answers
        {
            filter.set_registry(&answers);
        }
        Ok(raw.messages.iter().filter(|message| filter.holds(message)).map(|message| message.offset).collect())
    }

    fn maker(&self, epoch: u64) -> Option<&Maker> {
        self.makers.iter().rfind(|maker| maker.epoch <= epoch)
    }

    /// The transform that made an epoch.
    async fn made_by(&mut self, epoch: u64) -> Result<MadeBy, AuditError> {
        let present = &self.subject.transform;
        let Some(Maker { plugin_digest, settings_digest, .. }) = self.maker(epoch).cloned() else {
            self.report.note(
                "which plugin made the rows was not noted in this data folder: the present one is taken".to_owned(),
            );
            return Ok(MadeBy::Unknown);
        };
        if plugin_digest == present.plugin_digest() && settings_digest == present.settings_digest() {
            return Ok(MadeBy::Known(Box::new(present.clone())));
        }
        let digests = (plugin_digest, settings_digest);
        if let Some(known) = self.rebuilt.get(&digests) {
            return Ok(known.clone());
        }
        let (artifacts, host) = (self.audit.artifacts.clone(), self.audit.host.clone());
        let ((plugin, settings), here) = (digests.clone(), present.settings().clone());
        let rebuild = move || {
            let then = artifacts.rebuild(&host, &plugin, &settings)?;
            let settings = then.settings().writing_where(&here, then.plugin().map(Plugin::description));
            Ok::<_, ArtifactError>(Transform::build(&host, settings, then.plugin().map(|it| it.bytes().clone()))?)
        };
        let rebuilt = self.audit.cpu.run(&self.subject.id.tenant, rebuild).await;
        let short: String = digests.0.chars().take(12).collect();
        let made_by = match rebuilt {
            // It only wrote elsewhere: its tables were shadows once, or were renamed since.
            Ok(then) if then.settings_digest() == present.settings_digest() && digests.0 == present.plugin_digest() => {
                MadeBy::Known(Box::new(then))
            }
            Ok(then) if then.remembers() => {
                self.report.note(format!(
                    "rows of plugin {short} were compared with what the present one makes, as it remembered earlier messages"
                ));
                MadeBy::Gone
            }
            Ok(transform) => {
                self.report
                    .note(format!("rows of plugin {short} with its settings were compared with what that one makes"));
                MadeBy::Known(Box::new(transform))
            }
            Err(error) => {
                self.report.note(format!(
                    "rows of plugin {short} were compared with what the present one makes, as it is not to be had: {}",
                    crate::disposition::in_words(&error)
                ));
                MadeBy::Gone
            }
        };
        self.rebuilt.insert(digests, made_by.clone());
        Ok(made_by)
    }

    /// Makes the rows of stretches again, and those of letters that were replayed, which the present plugin made.
    async fn make_again(
        &self,
        transform: &Transform,
        these: &[Stretch],
        Again { raw, read, replays, parked, range }: Again<'_>,
    ) -> Result<Made, AuditError> {
        let mut made = Made::default();
        for replay in replays {
            made.replayed.extend(replay.offsets.iter().filter(|offset| (range.start..range.end).contains(offset)));
        }
        made.replayed.sort_unstable();
        made.replayed.dedup();
        let letters = transform.dead_letters().quoted();
        for stretch in these {
            let (messages, stamp) = (&raw.messages[stretch.start..stretch.end], stretch.stamp);
            let last = parked.iter().find(|epoch| epoch.epoch == stamp.epoch).map(|epoch| epoch.last);
            let (parked, called) = messages.split_at(messages.partition_point(|it| Some(it.offset) <= last));
            let is_read = |message: &&Message| read.binary_search(&message.offset).is_ok();
            for (transform, messages) in [(&transform.clone().parking(""), parked), (transform, called)] {
                let part = part(raw, messages.iter().filter(is_read));
                for (table, batches) in self.epoch(transform, part, stamp).await? {
                    for batch in batches {
                        made.add(&table, made.without_replayed(&batch, &table, &letters)?);
                    }
                }
            }
        }
        for replay in replays {
            let mine = |offset: &i64| made.replayed.binary_search(offset).is_ok();
            let offsets: Vec<i64> = replay.offsets.iter().copied().filter(mine).collect();
            let messages = raw.messages.iter().filter(|message| offsets.binary_search(&message.offset).is_ok());
            let part = part(raw, messages);
            let stamp = Stamp { epoch: replay.epoch, clock_ms: replay.clock_ms };
            let present = &self.subject.transform;
            for (table, batches) in self.epoch(present, part, stamp).await? {
                if table != letters {
                    batches.into_iter().for_each(|batch| made.add(&table, batch));
                }
            }
        }
        Ok(made)
    }

    /// The rows of messages in an epoch, by table.
    async fn epoch(
        &self,
        transform: &Transform,
        part: RawBatch,
        stamp: Stamp,
    ) -> Result<Vec<(String, Vec<RecordBatch>)>, AuditError> {
        if part.messages.is_empty() {
            return Ok(Vec::new());
        }
        let schemas = match &self.audit.registry {
            Some(registry) if transform.decodes() => registry.schemas_of(&part, warn).await?,
            Some(_) | None => Schemas::default(),
        };
        let generation = u16::try_from(stamp.epoch >> 48).unwrap_or(u16::MAX);
        let number = stamp.epoch & 0xffff_ffff_ffff;
        // Nothing here remembers: what does is not made again.
        let epoch = Epoch { generation, number, clock_ms: stamp.clock_ms, watermark_ms: None };
        let (transform, id) = (transform.clone().within(Budget::MOST), self.subject.id.clone());
        let run = move || transform.run(&id, &part, &schemas, epoch, &mut State::default());
        let made = self.audit.cpu.run(&self.subject.id.tenant, run).await?;
        Ok(made.blocks.into_iter().map(|block| (block.table.quoted(), block.batches)).collect())
    }

    async fn compare(
        &mut self,
        tables: &[Arc<Table>],
        transform: &Transform,
        plugin_gone: bool,
        mut made: Made,
        read: &[i64],
        range: OffsetRange,
    ) -> Result<(), AuditError> {
        let messages = read.iter().copied().filter(|offset| (range.start..range.end).contains(offset));
        let messages: Vec<(i64, bool)> =
            messages.map(|offset| (offset, made.replayed.binary_search(&offset).is_ok())).collect();
        for present in tables {
            // As its maker describes it: with those columns its rows were made again.
            let described = transform.tables().into_iter().find(|table| table.quoted() == present.quoted());
            let Some(table) = described else {
                self.report.note(format!("{}: an earlier plugin did not write it", present.quoted()));
                continue;
            };
            let batches = made.tables.remove(&table.quoted()).unwrap_or_default();
            let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let lanes = lanes(&self.subject.id);
            let asked = Audited { table: &table, made: &batches, messages: &messages, range, lanes };
            let groups = self.audit.clickhouse.audit(&asked).await?;
            if let Some(report) = self.report.table(&table.quoted()) {
                report.rows += rows as u64;
                for finding in groups.iter().flat_map(|group| judge(group, plugin_gone)) {
                    add(&mut report.findings, finding);
                }
            }
        }
        Ok(())
    }
}

/// What rows are made again of.
struct Again<'a> {
    raw: &'a Arc<RawBatch>,
    /// The offsets of messages that the transform reads.
    read: &'a [i64],
    replays: &'a [SeenReplay],
    parked: &'a [SeenEpoch],
    range: OffsetRange,
}

/// Rows made again, by table.
#[derive(Default)]
struct Made {
    tables: BTreeMap<String, Vec<RecordBatch>>,
    /// Offsets whose dead letter was replayed, ascending.
    replayed: Vec<i64>,
}

impl Made {
    fn add(&mut self, table: &str, batch: RecordBatch) {
        if batch.num_rows() > 0 {
            self.tables.entry(table.to_owned()).or_default().push(batch);
        }
    }

    /// Rows of messages whose letter was replayed are those of the replay, and its letter is done with.
    fn without_replayed(&self, batch: &RecordBatch, table: &str, letters: &str) -> Result<RecordBatch, AuditError> {
        if self.replayed.is_empty() {
            return Ok(batch.clone());
        }
        let column = if table == letters { "offset" } else { "_offset" };
        let offsets = batch.column_by_name(column).expect("every table has the message's offset");
        let offsets = offsets.as_primitive::<Int64Type>().values().iter();
        let keep = offsets.map(|offset| Some(self.replayed.binary_search(offset).is_err())).collect();
        Ok(filter_record_batch(batch, &keep)?)
    }
}

/// Some messages of a batch. They are copied: the batch is needed once more.
fn part<'a>(raw: &RawBatch, messages: impl Iterator<Item = &'a Message>) -> RawBatch {
    let messages: Vec<Message> = messages.map(Message::copy).collect();
    let range = OffsetRange {
        start: messages.first().map_or(raw.range.start, |message| message.offset),
        end: messages.last().map_or(raw.range.start, |message| message.offset + 1),
    };
    let bytes = messages.iter().map(Message::bytes).sum();
    RawBatch { partition: raw.partition.clone(), range, messages, bytes }
}

fn warn(why: Option<String>) {
    if let Some(why) = why {
        tracing::warn!("waiting for the schema registry: {why}");
    }
}
