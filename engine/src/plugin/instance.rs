//! One instance of a plugin in its sandbox.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use wasmtime::component::{ComponentNamedList, Func, Lift, Lower};
use wasmtime::{Store, StoreContextMut, Trap, UpdateDeadline};

use super::call::Call;
use super::contract::v0_3;
use super::emit::OutputPlan;
use super::fault::fault;
use super::guest_log::LogBudget;
use super::host::Slot;
use super::load::{Exports, Plugin};
use super::sandbox::{Sandbox, printable};
use super::ticker::ticks;
use super::{Answer, Context, Description, Fault, Limits, RejectedRow, contract, frame};
use crate::cpu::{checkpoint, thread_time, whose};
use crate::memory::For;
use crate::state::{Due, State, Touched};

/// How long a guest runs until it may have to let others go on.
const SLICE_MS: u64 = 10;
/// What a guest may hand over in one call, at least: a log line or an error must fit also where output is small.
const MIN_HOSTCALL_BYTES: usize = 1 << 20;
/// Longest code of a reject.
const CODE_BYTES: usize = 64;
/// Longest reason of a reject, and longest error of a batch.
const REASON_BYTES: usize = 1 << 10;

/// A store and the instance in it, before anything was called.
pub(super) struct Cell {
    pub(super) store: Store<Sandbox>,
    pub(super) instance: wasmtime::component::Instance,
    /// After the store: only then is its memory back in the pool.
    _slot: Slot,
}

impl Cell {
    pub(super) fn new(
        exports: &Exports,
        log: Arc<LogBudget>,
        outputs: &Arc<[OutputPlan]>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let slot = Slot::take(&exports.shared)?;
        // Described at a load, it is nobody's yet.
        let memory = exports.shared.memory.account(whose().as_deref().unwrap_or_default()).book(For::Guests, 0);
        let sandbox = Sandbox::new(log, outputs.clone(), limits, memory);
        let mut store = Store::new(&exports.shared.engine, sandbox);
        store.limiter(|sandbox| sandbox);
        store.epoch_deadline_callback(go_on);
        begin_call(&mut store);
        store.set_hostcall_fuel(limits.output_bytes.max(MIN_HOSTCALL_BYTES));
        // Handles lie in the host's memory. The contract has none, and what makes some is not let in.
        store.set_max_component_handles(0);
        match exports.pre.instantiate(&mut store) {
            Ok(instance) => Ok(Self { store, instance, _slot: slot }),
            // Nothing has crossed the border yet: what is no trap is the system's refusal.
            Err(error) if error.is::<Trap>() || store.data().fault.is_some() => Err(fault(&error, store.data_mut())),
            Err(error) => Err(Fault::Engine { message: format!("no sandbox for an instance: {error:#}") }),
        }
    }

    /// Calls an export under the deadline. `Params` and `Return` have been compared with the component's at load, but
    /// parameters borrow, so the comparison (some ten nanoseconds) is repeated for the borrowed type.
    pub(super) fn call<Params, Return>(&mut self, func: Func, params: Params) -> Result<Return, Fault>
    where
        Params: ComponentNamedList + Lower,
        Return: ComponentNamedList + Lift,
    {
        checkpoint();
        begin_call(&mut self.store);
        // An error that an earlier call logged has nothing to do with this one.
        drop(self.store.data_mut().log.take_last_error());
        let called = func.typed::<Params, Return>(&self.store).and_then(|func| func.call(&mut self.store, params));
        called.map_err(|error| fault(&error, self.store.data_mut()))
    }

    /// Calls an export that may use the host's functions, and gives back what they were told.
    fn run<Params, Return>(&mut self, func: Func, params: Params, call: Call) -> Result<(Return, Call), Fault>
    where
        Params: ComponentNamedList + Lower,
        Return: Lift + 'static,
        (Result<Return, String>,): ComponentNamedList + Lift,
    {
        self.store.data_mut().call = Some(call);
        let called = self.call::<_, (Result<Return, String>,)>(func, params);
        let call = self.store.data_mut().call.take();
        let returned = called?.0.map_err(|message| Fault::Failed { message: printable(&message, REASON_BYTES) })?;
        Ok((returned, call.expect("only this function takes the call away")))
    }
}

/// The deadline of a call counts from here.
fn begin_call(store: &mut Store<Sandbox>) {
    store.data_mut().call_began = thread_time();
    store.set_epoch_deadline(ticks(store.data().limits.call_ms.min(SLICE_MS)));
}

/// Ends a call that has taken too long; any other goes on, once it is its turn again. Counted is CPU time: how long others let
/// it wait is not the guest's doing, and must not decide what becomes of its rows.
#[expect(clippy::needless_pass_by_value, clippy::unnecessary_wraps, reason = "as wasmtime calls it")]
fn go_on(store: StoreContextMut<'_, Sandbox>) -> wasmtime::Result<UpdateDeadline> {
    let Sandbox { limits, call_began, .. } = store.data();
    let used = thread_time().saturating_sub(*call_began);
    let left = Duration::from_millis(limits.call_ms).saturating_sub(used);
    if left.is_zero() {
        return Ok(UpdateDeadline::Interrupt);
    }
    checkpoint();
    Ok(UpdateDeadline::Continue(ticks(u64::try_from(left.as_millis()).unwrap_or(u64::MAX).min(SLICE_MS))))
}

/// A plugin's instance: fresh, started with its context, and good for the calls of one epoch.
///
/// Calls are CPU work on the calling thread, for as long as [`Limits::call_ms`] allows: not for an async worker.
pub struct Instance {
    plugin: Plugin,
    now_ms: i64,
    /// Gone after a fault, and with it the memory.
    live: Option<Live>,
    remains: Remains,
}

/// What is left of an instance after a fault.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// The guest's functions at the fault, innermost first.
    pub frames: Vec<String>,
    /// What of the state it had asked for, if that was recorded.
    pub touched: Option<Touched>,
}

struct Live {
    cell: Cell,
    process: Func,
    /// None: version 0.2, which keeps nothing that could expire.
    expire: Option<Func>,
}

impl Instance {
    pub(super) fn start(plugin: Plugin, context: &Context, limits: Limits) -> Result<Self, Fault> {
        let (given, described) = (context.parameters.len(), plugin.description().parameters.len());
        if given != described {
            let message = format!("{given} parameters given, {described} described");
            return Err(Fault::Engine { message });
        }
        let exports = plugin.exports();
        let mut cell = Cell::new(exports, plugin.log().clone(), plugin.outputs(), limits)?;
        let started = exports.start(&mut cell, context)?;
        started.map_err(|message| Fault::Failed { message: printable(&message, REASON_BYTES) })?;
        let (process, expire) = (exports.process(&mut cell)?, exports.expire(&mut cell)?);
        Ok(Self {
            plugin,
            now_ms: context.now_ms,
            live: Some(Live { cell, process, expire }),
            remains: Remains::default(),
        })
    }

    /// Transforms one batch, whose columns are those of the description's input, over the state of its lane: one with
    /// the description's tables, or the default where it has none.
    ///
    /// # Errors
    /// The fault. The instance is dead then, its memory given back, and every further call is refused. The state has
    /// what the call wrote before: [`State::undo_call`].
    pub fn process(&mut self, batch: &RecordBatch, state: &mut State) -> Result<Answer, Fault> {
        let clock_ms = self.plugin.description().event_time.map(|_| self.now_ms);
        self.call(state, |live, description, limits| {
            let call = Call::new(Some(batch.clone()), clock_ms, limits);
            let buffers = crossing_buffers(description, batch)?;
            let buffers: Vec<&[u8]> = buffers.iter().map(Buffer::as_slice).collect();
            let rows = u32::try_from(batch.num_rows())
                .map_err(|_| Fault::Engine { message: format!("a batch of {} rows", batch.num_rows()) })?;
            let params = (contract::Batch { rows, buffers: &buffers },);
            let (rejects, call) = live.cell.run::<_, Vec<contract::Reject>>(live.process, params, call)?;
            Ok(Answer { rejected: rejected(&rejects, batch.num_rows())?, ..answer(call) })
        })
    }

    /// Gives the plugin entries that [`State::begin`] took out, before the rows of an epoch.
    ///
    /// # Errors
    /// As [`Self::process`].
    pub fn expire(&mut self, due: &Due, state: &mut State) -> Result<Answer, Fault> {
        self.call(state, |live, _, limits| {
            let no_expire = || Fault::Engine { message: "entries expire of a plugin that keeps none".to_owned() };
            let expire = live.expire.ok_or_else(no_expire)?;
            let keys = v0_3::Texts { offsets: &due.key_offsets, bytes: &due.keys };
            let values = v0_3::Texts { offsets: &due.value_offsets, bytes: &due.values };
            let table = u32::try_from(due.table).map_err(|_| no_expire())?;
            let params = (table, keys, values, due.expiries.as_slice());
            let ((), call) = live.cell.run(expire, params, Call::new(None, None, limits))?;
            Ok(answer(call))
        })
    }

    /// Gives each of the next calls so much time, in place of [`Limits::call_ms`].
    pub fn allow(&mut self, call_ms: u64) {
        if let Some(live) = &mut self.live {
            live.cell.store.data_mut().limits.call_ms = call_ms;
        }
    }

    /// Makes a call with the state in the sandbox. It comes back whatever happens; the instance only without a fault.
    fn call(
        &mut self,
        state: &mut State,
        call: impl FnOnce(&mut Live, &Description, Limits) -> Result<Answer, Fault>,
    ) -> Result<Answer, Fault> {
        let Some(mut live) = self.live.take() else {
            return Err(Fault::Engine { message: "the instance has had a fault before".to_owned() });
        };
        let limits = live.cell.store.data().limits;
        live.cell.store.data_mut().state = std::mem::take(state);
        let answer = call(&mut live, self.plugin.description(), limits);
        *state = std::mem::take(&mut live.cell.store.data_mut().state);
        if answer.is_ok() {
            self.live = Some(live);
        } else {
            let sandbox = live.cell.store.data_mut();
            self.remains = Remains { frames: std::mem::take(&mut sandbox.frames), touched: sandbox.touched.take() };
        }
        answer
    }

    /// Has what it asks of the state recorded from now on.
    pub fn record(&mut self) {
        if let Some(live) = &mut self.live {
            live.cell.store.data_mut().touched = Some(Touched::default());
        }
    }

    /// What is left of it after a fault; nothing before.
    pub fn remains(&mut self) -> Remains {
        std::mem::take(&mut self.remains)
    }
}

fn answer(call: Call) -> Answer {
    let Call { emitted, event_time_ms, counts, .. } = call;
    Answer { emitted, rejected: Vec::new(), event_time_ms, counts }
}

/// The buffers of all columns that cross, one column after the other.
fn crossing_buffers(description: &Description, batch: &RecordBatch) -> Result<Vec<Buffer>, Fault> {
    let fields = description.input.fields();
    let same = batch.columns().len() == fields.len()
        && batch.columns().iter().zip(fields).all(|(column, field)| column.data_type() == field.data_type());
    if !same {
        return Err(Fault::Engine { message: "the batch's columns are not those of the plugin's input".to_owned() });
    }
    let mut buffers = Vec::with_capacity(fields.len() * 3);
    let crossing = batch.columns().iter().zip(&description.crosses).filter(|(_, crosses)| **crosses);
    for (column, _) in crossing {
        frame::push_buffers(column, &mut buffers).map_err(|error| Fault::Engine { message: error.to_string() })?;
    }
    Ok(buffers)
}

/// Rejected rows in order. A row rejected twice would be a row too many in the sum of rows.
fn rejected(rejects: &[contract::Reject], rows: usize) -> Result<Vec<RejectedRow>, Fault> {
    let mut rejected: Vec<RejectedRow> = rejects.iter().map(reject).collect();
    rejected.sort_by_key(|reject| reject.row);
    if let Some(last) = rejected.last().filter(|last| last.row >= rows) {
        return Err(Fault::Contract { message: format!("row {} rejected of a batch of {rows}", last.row) });
    }
    if let Some([one, _]) = rejected.array_windows().find(|[one, next]| one.row == next.row) {
        return Err(Fault::Contract { message: format!("row {} rejected twice", one.row) });
    }
    Ok(rejected)
}

/// A code is a label of metrics, so it is made a word; a reason is shown, so it is made printable.
fn reject(reject: &contract::Reject) -> RejectedRow {
    let word = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.') { c } else { '_' };
    let code: String = reject.code.chars().take(CODE_BYTES).map(word).collect();
    RejectedRow {
        row: reject.row as usize,
        code: if code.is_empty() { "rejected".to_owned() } else { code },
        reason: printable(&reject.reason, REASON_BYTES),
    }
}
