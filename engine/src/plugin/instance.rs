//! One instance of a plugin in its sandbox.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_buffer::Buffer;
use wasmtime::component::{ComponentNamedList, Func, Lift, Lower};
use wasmtime::{Store, Trap};

use super::emit::OutputPlan;
use super::fault::fault;
use super::host::Slot;
use super::load::{Exports, Plugin};
use super::sandbox::{Call, Sandbox, printable};
use super::ticker::ticks;
use super::{Answer, Context, Description, Fault, Limits, RejectedRow, contract, frame};

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
        name: &Arc<str>,
        outputs: &Arc<[OutputPlan]>,
        limits: Limits,
    ) -> Result<Self, Fault> {
        let slot = Slot::take(&exports.shared)?;
        let mut store = Store::new(&exports.shared.engine, Sandbox::new(name.clone(), outputs.clone(), limits));
        store.limiter(|sandbox| sandbox);
        store.set_epoch_deadline(ticks(limits.call_ms));
        store.set_hostcall_fuel(limits.output_bytes.max(MIN_HOSTCALL_BYTES));
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
        self.store.set_epoch_deadline(ticks(self.store.data().limits.call_ms));
        // An error that an earlier call logged has nothing to do with this one.
        drop(self.store.data_mut().log.take_last_error());
        let called = func.typed::<Params, Return>(&self.store).and_then(|func| func.call(&mut self.store, params));
        called.map_err(|error| fault(&error, self.store.data_mut()))
    }
}

/// A plugin's instance: fresh, started with its context, and good for the batches of one epoch.
///
/// Calls are CPU work on the calling thread, for as long as [`Limits::call_ms`] allows: not for an async worker.
pub struct Instance {
    plugin: Plugin,
    /// Gone after a fault, and with it the memory.
    live: Option<(Cell, Func)>,
}

impl Instance {
    pub(super) fn start(plugin: Plugin, context: &Context, limits: Limits) -> Result<Self, Fault> {
        let (given, described) = (context.parameters.len(), plugin.description().parameters.len());
        if given != described {
            let message = format!("{given} parameters given, {described} described");
            return Err(Fault::Engine { message });
        }
        let mut cell = Cell::new(plugin.exports(), plugin.log_name(), plugin.outputs(), limits)?;
        let start = plugin.exports().start(&mut cell)?;
        let process = plugin.exports().process(&mut cell)?;
        let context = contract::Context { parameters: &context.parameters, now_ms: context.now_ms };
        let (started,) = cell.call::<_, (Result<(), String>,)>(start, (context,))?;
        started.map_err(|message| Fault::Failed { message: printable(&message, REASON_BYTES) })?;
        Ok(Self { plugin, live: Some((cell, process)) })
    }

    /// Transforms one batch, whose columns are those of the description's input.
    ///
    /// # Errors
    /// The fault. The instance is dead then, its memory given back, and every further call is refused.
    pub fn process(&mut self, batch: &RecordBatch) -> Result<Answer, Fault> {
        let Some((mut cell, process)) = self.live.take() else {
            return Err(Fault::Engine { message: "the instance has had a fault before".to_owned() });
        };
        let answer = process_in(&mut cell, process, self.plugin.description(), batch)?;
        self.live = Some((cell, process));
        Ok(answer)
    }
}

fn process_in(cell: &mut Cell, process: Func, description: &Description, batch: &RecordBatch) -> Result<Answer, Fault> {
    let buffers = crossing_buffers(description, batch)?;
    let buffers: Vec<&[u8]> = buffers.iter().map(Buffer::as_slice).collect();
    let rows = u32::try_from(batch.num_rows())
        .map_err(|_| Fault::Engine { message: format!("a batch of {} rows", batch.num_rows()) })?;

    let output_bytes = cell.store.data().limits.output_bytes;
    cell.store.data_mut().call = Some(Call::new(batch.clone(), output_bytes));
    let params = (contract::Batch { rows, buffers: &buffers },);
    let called = cell.call::<_, (Result<Vec<contract::Reject>, String>,)>(process, params);
    let call = cell.store.data_mut().call.take();

    let rejects = called?.0.map_err(|message| Fault::Failed { message: printable(&message, REASON_BYTES) })?;
    let emitted = call.map_or_else(Vec::new, |call| call.emitted);
    Ok(Answer { emitted, rejected: rejected(&rejects, batch.num_rows())? })
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
