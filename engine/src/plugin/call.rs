//! A call of a guest: the batch it is about, what it may still give out, and what it has given out so far. Here are the
//! host functions `event-time` and `count`.

use arrow_array::RecordBatch;
use wasmtime::StoreContextMut;
use wasmtime::component::WasmStr;

use super::sandbox::{Sandbox, printable};
use super::{Emitted, Fault, Limits};

/// Most names that one call may count by. The lane holds a plugin to as many in all.
const NAMES: usize = 64;
/// Longest name of a counter.
const NAME_BYTES: usize = 64;

/// One call of `process` or `expire`.
pub(super) struct Call {
    /// The batch, all its columns. None in `expire`.
    pub(super) input: Option<RecordBatch>,
    /// The epoch's clock, where event time is described.
    clock_ms: Option<i64>,
    pub(super) emitted: Vec<Emitted>,
    pub(super) event_time_ms: Option<i64>,
    pub(super) counts: Vec<(String, u64)>,
    /// What the call may still give out.
    pub(super) bytes_left: usize,
    /// What it may still read and write of its state.
    pub(super) state_bytes_left: usize,
}

impl Call {
    pub(super) fn new(input: Option<RecordBatch>, clock_ms: Option<i64>, limits: Limits) -> Self {
        Self {
            input,
            clock_ms,
            emitted: Vec::new(),
            event_time_ms: None,
            counts: Vec::new(),
            bytes_left: limits.output_bytes,
            state_bytes_left: limits.output_bytes,
        }
    }

    fn event_time(&mut self, greatest_ms: i64) -> Result<(), &'static str> {
        if self.input.is_none() {
            return Err("event-time called outside of process");
        }
        let clock_ms = self.clock_ms.ok_or("event-time called, but no event time is described")?;
        // One wrong date must not make all others late.
        self.event_time_ms = self.event_time_ms.max(Some(greatest_ms.min(clock_ms)));
        Ok(())
    }

    fn count(&mut self, name: &str, by: u64) -> Result<(), String> {
        if !is_name(name) {
            return Err(format!(
                "count {name:?}: a name is a letter or _, then letters, digits and _, {NAME_BYTES} at most"
            ));
        }
        if let Some((_, sum)) = self.counts.iter_mut().find(|(counted, _)| counted == name) {
            *sum = sum.saturating_add(by);
        } else if self.counts.len() < NAMES {
            self.counts.push((name.to_owned(), by));
        } else {
            return Err(format!("count {name:?}: {NAMES} names are counted already"));
        }
        Ok(())
    }
}

/// As Prometheus names metrics, without the colon that it keeps for rules.
fn is_name(name: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    (1..=NAME_BYTES).contains(&name.len()) && name.chars().all(word) && !name.starts_with(|c: char| c.is_ascii_digit())
}

/// The host function `event-time`.
pub(super) fn event_time(mut store: StoreContextMut<'_, Sandbox>, (greatest_ms,): (i64,)) -> wasmtime::Result<()> {
    let sandbox = store.data_mut();
    let said = match &mut sandbox.call {
        Some(call) => call.event_time(greatest_ms),
        None => Err("event-time called outside of process"),
    };
    said.map_err(|message| sandbox.stop(Fault::Contract { message: message.to_owned() }))
}

/// The host function `count`.
pub(super) fn count(mut store: StoreContextMut<'_, Sandbox>, (name, by): (WasmStr, u64)) -> wasmtime::Result<()> {
    // Judged where it lies: it may have megabytes.
    let name = name.to_str(&store)?;
    let name = if is_name(&name) { name.into_owned() } else { printable(&name, NAME_BYTES) };
    let sandbox = store.data_mut();
    let counted = match &mut sandbox.call {
        Some(call) => call.count(&name, by),
        None => Err("count called outside of process and expire".to_owned()),
    };
    counted.map_err(|message| sandbox.stop(Fault::Contract { message }))
}
