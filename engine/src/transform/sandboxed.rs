//! The plugin of an epoch in its sandbox: instances made from one context, over the lane's state.

use std::sync::Arc;

use arrow_array::RecordBatch;

use super::calls::Caller;
use super::{Epoch, TransformSettings};
use crate::capsule::{Capsules, Recorder, Seen};
use crate::plugin::{Answer, Context, Fault, Instance, Limits, Plugin};
use crate::state::{Due, State};

/// Whether a call's time limit holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallLimits {
    /// All limits of the settings.
    Enforced,
    /// A call that once succeeded is given all the time it needs: on a slower machine it must succeed again.
    Replay,
}

/// An hour: a bound for a call that once ended within seconds.
const REPLAY_CALL_MS: u64 = 3_600_000;

pub(super) struct Sandboxed<'a> {
    plugin: &'a Plugin,
    context: Context,
    limits: Limits,
    state: &'a mut State,
    instance: Option<Instance>,
    /// Where capsules are kept of what fails.
    recorder: Option<Recorder>,
}

impl<'a> Sandboxed<'a> {
    pub(super) fn new(
        plugin: &'a Plugin,
        settings: &TransformSettings,
        epoch: Epoch,
        enforce: CallLimits,
        state: &'a mut State,
        capsules: Option<&Capsules>,
    ) -> Self {
        let parameters = settings
            .parameters(plugin.description())
            .expect("the parameters were checked when the transform was built");
        let call_ms = match enforce {
            CallLimits::Enforced => settings.limits.call_ms,
            CallLimits::Replay => REPLAY_CALL_MS,
        };
        let limits =
            Limits { memory_bytes: settings.limits.memory_bytes, call_ms, output_bytes: settings.limits.output_bytes };
        let parameters = Arc::from(parameters);
        let context = Context { parameters, now_ms: epoch.clock_ms, watermark_ms: epoch.watermark_ms };
        // What is made again did not fail the first time.
        let capsules = capsules.filter(|_| enforce == CallLimits::Enforced).cloned();
        let recorder = capsules.map(|it| Recorder::new(it, plugin.clone(), epoch, context.clone(), limits));
        Self { plugin, context, limits, state, instance: None, recorder }
    }

    /// What a call may take that has to hurry.
    fn call_ms(&self, hurry: u64) -> u64 {
        self.limits.call_ms.div_ceil(hurry.max(1))
    }

    /// The epoch's calls are over.
    pub(super) fn finish(self) {
        if let Some(recorder) = self.recorder {
            recorder.finish();
        }
    }

    /// Has a call recorded, where calls are.
    fn note(&mut self, seen: impl FnOnce() -> Seen, first: usize, hurry: u64, called: &Result<Answer, Fault>) {
        let call_ms = self.call_ms(hurry);
        if let (Some(recorder), Some(instance)) = (&mut self.recorder, &mut self.instance) {
            recorder.called(seen(), (first, call_ms), called.as_ref().map_err(|fault| (fault, instance.remains())));
        }
    }

    /// Makes a call, in one part of the time over `hurry`; of one that fails nothing is remembered.
    fn remembering(
        &mut self,
        hurry: u64,
        call: impl FnOnce(&mut Instance, &mut State) -> Result<Answer, Fault>,
    ) -> Result<Answer, Fault> {
        let call_ms = self.call_ms(hurry);
        let Some(instance) = &mut self.instance else {
            return Err(Fault::Engine { message: "called before an instance was made".to_owned() });
        };
        instance.allow(call_ms);
        self.state.begin_call();
        call(instance, self.state).inspect_err(|_| self.state.undo_call())
    }
}

impl Caller for Sandboxed<'_> {
    fn renew(&mut self) -> Result<(), Fault> {
        self.instance = None; // its slot in the pool is free before another is asked for
        let mut instance = self.plugin.instance(&self.context, self.limits);
        if let Some(recorder) = &mut self.recorder {
            recorder.renewed(instance.as_ref().err());
            instance.iter_mut().for_each(Instance::record);
        }
        self.instance = Some(instance?);
        Ok(())
    }

    fn chunk(&mut self, offsets: &[i64]) {
        if let Some(recorder) = &mut self.recorder {
            recorder.chunk(offsets);
        }
    }

    fn call(&mut self, rows: &RecordBatch, first: usize, hurry: u64) -> Result<Answer, Fault> {
        let called = self.remembering(hurry, |instance, state| instance.process(rows, state));
        self.note(|| Seen::Rows(rows.clone()), first, hurry, &called);
        called
    }

    fn expire(&mut self, due: &Due, hurry: u64) -> Result<Answer, Fault> {
        let called = self.remembering(hurry, |instance, state| instance.expire(due, state));
        self.note(|| Seen::Expired(due.clone()), 0, hurry, &called);
        called
    }
}
