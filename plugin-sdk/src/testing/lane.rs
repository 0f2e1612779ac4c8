//! A lane: epochs one after the other, with state and a watermark.

use std::collections::BTreeMap;

use super::state::TestState;
use super::{Answer, Fed, Harness, TestHost};
use crate::description::InputColumn;
use crate::plugin::{Epoch, Instance};
use crate::state::{Cells, Due};
#[cfg(feature = "testing")]
use crate::testing::cells::Cells as Texts;
use crate::{Builders, Millis, Plugin, RawBatch, Row, Timestamp};

/// Runs a plugin over epochs, one after the other, as the engine does: each begins with a fresh instance and what is due, and
/// sees the state and the watermark that the epochs before it have left. See [`Harness::lane`].
#[derive(Debug)]
pub struct Lane<'h, P> {
    pub(super) harness: &'h Harness<P>,
    pub(super) state: TestState,
    counts: BTreeMap<String, u64>,
}

impl<P: Plugin> Harness<P> {
    /// A new lane: no state, no watermark.
    ///
    /// ```
    /// # use plugin_sdk::{Ctx, Millis, Reject, Row, Table, Timestamp, seconds};
    /// # #[derive(Clone, Copy, Row)] struct In { id: i64, at: Timestamp<Millis> }
    /// # #[derive(Table)] #[table(name = "rows", kind = "append")] struct Out { id: i64 }
    /// # fn clean(row: In, _: &Ctx) -> Result<Out, Reject> { Ok(Out { id: row.id }) }
    /// # plugin_sdk::export! { plugin: Once, input: In, output: Out,
    /// #     event_time: of(|row| row.at), dedup: by(|row| row.id).within(seconds(10)), row: clean }
    /// use plugin_sdk::testing::Harness;
    ///
    /// let harness = Harness::<Once>::new();
    /// let mut lane = harness.lane();
    /// let row = |id, second: i64| In { id, at: Timestamp::new(second * 1_000) };
    /// lane.run([row(1, 0), row(2, 1), row(1, 2)]).assert_table("rows", "id\n 1\n 2");
    /// lane.restart();
    /// lane.run([row(2, 3)]).assert_table("rows", "id");
    /// assert_eq!(lane.count("duplicate_rows"), 2);
    ///
    /// lane.advance_to(Timestamp::new(11_000));      // time passes: the keys are forgotten
    /// lane.run([row(2, 12)]).assert_table("rows", "id\n 2");
    /// ```
    #[must_use]
    pub fn lane(&self) -> Lane<'_, P> {
        Lane { harness: self, state: TestState::new(self.description.state.as_ref()), counts: BTreeMap::new() }
    }
}

impl<'h, P: Plugin> Lane<'h, P> {
    /// An epoch of these rows, in one call, or in several of [`Harness::batch_rows`].
    ///
    /// # Panics
    /// The plugin fails or breaks the contract, or the rows are not its input.
    #[track_caller]
    pub fn run<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) -> Answer {
        self.try_run(rows).unwrap_or_else(|failure| panic!("the plugin failed: {failure}"))
    }

    pub(super) fn try_run<R: Row>(&mut self, rows: impl IntoIterator<Item = R>) -> Result<Answer, String> {
        self.harness.check_rows::<R>();
        let mut rows = rows.into_iter().peekable();
        let (mut epoch, mut fed) = (self.begin()?, 0);
        loop {
            let mut builders = R::Builders::with_capacity(0);
            let count = rows.by_ref().take(self.harness.batch_rows).map(|row| row.write(&mut builders)).count();
            let mut buffers = Vec::new();
            builders.buffers(&mut buffers);
            let indices: Vec<_> = (fed..fed + count).collect();
            let last = rows.peek().is_none();
            let stays = |input: &InputColumn| self.harness.passed_cells(input, fed, count, last);
            let batch = Fed { rows: count, buffers: &buffers, indices: &indices };
            self.harness.call(&mut epoch, &mut self.state, &mut self.counts, &batch, stays)?;
            fed += count;
            if last {
                break;
            }
        }
        Ok(self.end(epoch))
    }

    /// An epoch without rows at this watermark, where it is not there yet: entries expire that are due by then.
    ///
    /// # Panics
    /// The plugin fails or breaks the contract, or has no event time.
    #[track_caller]
    pub fn advance_to(&mut self, watermark: Timestamp<Millis>) -> Answer {
        assert!(self.harness.description.event_time.is_some(), "the plugin has no event time, and so no watermark");
        self.state.watermark = self.state.watermark.max(Some(watermark.units()));
        let epoch = self.begin().unwrap_or_else(|failure| panic!("the plugin failed: {failure}"));
        self.end(epoch)
    }

    /// The same lane at another watermark, or without one, which no lane of an engine ever goes back to: for tests of what does
    /// not depend on it.
    #[must_use]
    pub fn at_watermark(mut self, watermark: Option<Timestamp<Millis>>) -> Self {
        self.state.watermark = watermark.map(Timestamp::units);
        self
    }

    /// The engine is stopped and started again: what is kept is read back.
    pub fn restart(&mut self) {
        // The host cleans up when it writes: what has expired must not be missed.
        self.state.clean();
    }

    /// Another version of the plugin takes the lane over.
    ///
    /// # Panics
    /// It can't read what was kept.
    #[must_use]
    #[track_caller]
    pub fn taken_over_by<Q: Plugin>(self, harness: &Harness<Q>) -> Lane<'_, Q> {
        let state = harness.description.state.as_ref();
        let reads = state.is_some_and(|it| it.version == self.state.version || it.reads.contains(&self.state.version));
        assert!(reads, "state of version {} can't be read: the plugin says {state:?}", self.state.version);
        let mut state = self.state;
        state.version = harness.description.state.as_ref().map_or(0, |it| it.version);
        Lane { harness, state, counts: self.counts }
    }

    /// What the next epoch will see.
    #[must_use]
    pub fn watermark(&self) -> Option<Timestamp<Millis>> {
        self.state.watermark.map(Timestamp::new)
    }

    /// What the plugin has counted so far under a name.
    #[must_use]
    pub fn count(&self, name: &str) -> u64 {
        self.counts.get(name).copied().unwrap_or(0)
    }

    /// Entries of a table of state that are there: `dedup`, `state`, `sessions`, `session_events`, `versions`.
    ///
    /// # Panics
    /// The plugin keeps no such table.
    #[must_use]
    #[track_caller]
    pub fn entries(&self, table: &str) -> usize {
        let tables: Vec<_> =
            self.harness.description.state.iter().flat_map(|it| &it.tables).map(|it| it.name).collect();
        let index = tables.iter().position(|name| *name == table);
        self.state.len(index.unwrap_or_else(|| panic!("the plugin keeps no table `{table}`, but {tables:?}")))
    }

    /// A fresh instance, and what is due.
    pub(super) fn begin(&mut self) -> Result<Running, String> {
        let harness = self.harness;
        let epoch = Epoch { now_ms: harness.now_ms, watermark_ms: self.state.watermark };
        let instance = P::start(&harness.parameter_values()?, epoch)?;
        let mut running = Running { instance, answer: harness.empty_answer(), greatest: None };
        for due in self.state.due() {
            let entries = Due {
                table: due.table,
                keys: Cells::Variable { offsets: &due.key_offsets, bytes: &due.keys },
                values: Cells::Variable { offsets: &due.value_offsets, bytes: &due.values },
                expiries: &due.expiries,
            };
            let fed = Fed { rows: 0, buffers: &[], indices: &[] };
            let (input, answer) = (BTreeMap::new(), &mut running.answer);
            let description = &harness.description;
            let (state, counts) = (&mut self.state, &mut self.counts);
            let mut host = TestHost { description, fed: &fed, input, answer, state, counts, greatest: None };
            running.instance.expire(&entries, &mut host)?;
            assert_eq!(host.greatest, None, "event times of rows that there are not");
        }
        Ok(running)
    }

    /// The watermark of the next epoch.
    pub(super) fn end(&mut self, epoch: Running) -> Answer {
        if let (Some(greatest), Some(event_time)) = (epoch.greatest, self.harness.description.event_time) {
            let delay = i64::try_from(event_time.delay_ms).unwrap_or(i64::MAX);
            let watermark = greatest.min(self.harness.now_ms).saturating_sub(delay);
            self.state.watermark = self.state.watermark.max(Some(watermark));
        }
        epoch.answer
    }

    #[cfg(feature = "testing")]
    pub(super) fn call(
        &mut self,
        epoch: &mut Running,
        fed: &Fed<'_>,
        stays: impl Fn(&InputColumn) -> Texts,
    ) -> Result<(), String> {
        self.harness.call(epoch, &mut self.state, &mut self.counts, fed, stays)
    }
}

/// An epoch that has begun.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) instance: Instance,
    pub(super) answer: Answer,
    pub(super) greatest: Option<i64>,
}

impl Running {
    pub(super) fn process(&self, fed: &Fed<'_>, host: &mut TestHost<'_>) -> Result<Vec<crate::RejectedRow>, String> {
        self.instance.process(&RawBatch::new(fed.rows, fed.buffers), host)
    }
}
