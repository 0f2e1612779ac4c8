//! Follows one instance after another through an epoch, and makes a capsule where a call fails.
//!
//! Of the calls that halving makes, the one that counts is the last: one row that fails alone. A call of many rows is kept
//! only where nobody looks further, as with a version on trial.

use std::collections::HashSet;
use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch};

use super::{About, Capsule, Capsules, Seen};
use crate::digest::digest;
use crate::plugin::{Answer, Context, Fault, Limits, Plugin, Remains, Rows};
use crate::state::OnExpire;
use crate::transform::Epoch;

/// Most capsules of one epoch: its rows mostly fail alike.
const OF_AN_EPOCH: usize = 4;
/// Bytes of batches that are held for one instance: beyond, what came first is let go.
const HELD_BYTES: usize = 64 << 20;

/// Records the calls of an epoch.
pub(crate) struct Recorder {
    capsules: Capsules,
    plugin: Plugin,
    epoch: Epoch,
    context: Context,
    limits: Limits,
    /// Of the chunk that is being called on.
    offsets: Vec<i64>,
    calls: Vec<Seen>,
    answers: Vec<String>,
    held_bytes: usize,
    complete: bool,
    /// The last call of several rows that failed.
    waiting: Option<Capsule>,
    /// Faults that there are capsules of.
    kept: HashSet<String>,
}

impl Recorder {
    pub(crate) fn new(capsules: Capsules, plugin: Plugin, epoch: Epoch, context: Context, limits: Limits) -> Self {
        Self {
            capsules,
            plugin,
            epoch,
            context,
            limits,
            offsets: Vec::new(),
            calls: Vec::new(),
            answers: Vec::new(),
            held_bytes: 0,
            complete: true,
            waiting: None,
            kept: HashSet::new(),
        }
    }

    /// A chunk begins, of rows with these offsets.
    pub(crate) fn chunk(&mut self, offsets: &[i64]) {
        offsets.clone_into(&mut self.offsets);
    }

    /// A fresh instance was made; or not.
    pub(crate) fn renewed(&mut self, fault: Option<&Fault>) {
        (self.calls, self.answers) = (Vec::new(), Vec::new());
        (self.held_bytes, self.complete) = (0, true);
        if let Some(fault) = fault.filter(|fault| is_the_plugins(fault)) {
            let capsule = self.capsule(fault, Remains::default(), Vec::new());
            self.keep(capsule);
        }
    }

    /// A call was made, of rows from this one of the chunk on, which might take so many ms.
    pub(crate) fn called(
        &mut self,
        seen: Seen,
        (first, call_ms): (usize, u64),
        called: Result<&Answer, (&Fault, Remains)>,
    ) {
        let (rows, is_rows) = (seen.len(), matches!(seen, Seen::Rows(_)));
        self.hold(seen);
        match called {
            Ok(answer) => self.answers.push(digest_of(answer)),
            Err((fault, remains)) if is_the_plugins(fault) => {
                let offsets = self.offsets.get(first..first + rows).filter(|_| is_rows).unwrap_or_default().to_vec();
                let mut capsule = self.capsule(fault, remains, offsets);
                capsule.about.call_ms = call_ms;
                if rows > 1 {
                    self.waiting = Some(capsule);
                } else {
                    self.waiting = None;
                    self.keep(capsule);
                }
            }
            Err(_) => {}
        }
    }

    /// The epoch's calls are over.
    pub(crate) fn finish(mut self) {
        if let Some(capsule) = self.waiting.take() {
            self.keep(capsule);
        }
    }

    fn hold(&mut self, seen: Seen) {
        let bytes = match &seen {
            Seen::Rows(rows) => rows.columns().iter().map(bytes_of).sum(),
            Seen::Expired(due) => due.keys.len() + due.values.len() + 24 * due.len(),
        };
        self.held_bytes += bytes;
        if self.held_bytes > HELD_BYTES && !self.calls.is_empty() {
            (self.calls, self.answers) = (Vec::new(), Vec::new());
            (self.held_bytes, self.complete) = (bytes, false);
        }
        self.calls.push(seen);
    }

    fn keep(&mut self, capsule: Capsule) {
        let alike = format!("{}: {}", capsule.about.code, capsule.about.message);
        if self.kept.len() < OF_AN_EPOCH && self.kept.insert(alike) {
            self.capsules.keep(&self.plugin, capsule);
        }
    }

    fn capsule(&self, fault: &Fault, remains: Remains, offsets: Vec<i64>) -> Capsule {
        let description = self.plugin.description();
        let Remains { frames, touched } = remains;
        let touched = touched.unwrap_or_default();
        let names = description.parameters.iter().map(|parameter| parameter.name.clone());
        let tables = description.state.iter().flat_map(|state| &state.tables);
        let about = About {
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            lane: self.capsules.lane.clone(),
            generation: self.epoch.generation,
            epoch: self.epoch.number,
            clock_ms: self.context.now_ms,
            watermark_ms: self.context.watermark_ms,
            plugin_digest: self.plugin.digest().to_owned(),
            plugin: format!("{} {}", description.name, description.version),
            contract: description.contract.to_owned(),
            parameters: names.zip(self.context.parameters.iter().cloned()).collect(),
            limits: self.limits.into(),
            call_ms: self.limits.call_ms,
            tables: tables.map(|table| (table.name.clone(), table.on_expire == OnExpire::Call)).collect(),
            code: fault.code().to_owned(),
            message: fault.to_string(),
            frames,
            offsets,
            answers: self.answers.clone(),
            complete: self.complete && !touched.is_incomplete(),
            redacted: Vec::new(),
        };
        Capsule { about, calls: self.calls.clone(), state: touched.entries() }
    }
}

fn bytes_of(column: &ArrayRef) -> usize {
    column.to_data().get_slice_memory_size().unwrap_or_default()
}

/// Whether a row or the plugin is to blame.
fn is_the_plugins(fault: &Fault) -> bool {
    !matches!(fault, Fault::Engine { .. } | Fault::State(_))
}

/// All that a call answered.
pub(super) fn digest_of(answer: &Answer) -> String {
    let mut words = Vec::new();
    let column = |column: ArrayRef| {
        let batch = RecordBatch::try_from_iter_with_nullable([("", column, true)]).expect("one column");
        digest(&[batch])
    };
    for emitted in &answer.emitted {
        let rows = match &emitted.rows {
            Rows::All => "all".to_owned(),
            Rows::Selected(bits) => format!("{:x}", column(Arc::new(bits.clone()))),
            Rows::Taken(rows) => format!("{:x}", column(Arc::new(rows.clone()))),
            Rows::None(rows) => rows.to_string(),
        };
        let deletes = emitted.deletes.as_ref().map(|bits| column(Arc::new(bits.clone())));
        words.push(format!("{} {rows} {deletes:x?} {:x}", emitted.output, digest(std::slice::from_ref(&emitted.made))));
    }
    words.push(format!("{:?} {:?} {:?}", answer.rejected, answer.event_time_ms, answer.counts));
    format!("{:032x}", twox_hash::XxHash3_128::oneshot(words.join("\n").as_bytes()))
}
