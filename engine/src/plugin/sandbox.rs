//! What the host keeps for one instance: its limits, its log, the call that is under way, and why it was stopped.
//!
//! **Promise.** Nothing that a guest does makes the host allocate without bound: memory and tables are limited here,
//! log lines are counted and cut, and what one call gives out is charged before it is copied.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::ResourceLimiter;

use super::call::Call;
use super::emit::OutputPlan;
use super::guest_log::{GuestLog, LogBudget};
use super::{Fault, Limits};
use crate::memory::Booking;
use crate::state::{State, Touched};

/// Most core instances of a plugin: wit-component makes the module, a shim and its filler; the rest is headroom.
pub(super) const CORE_INSTANCES: u32 = 8;
/// Most tables of a plugin: its own and the shim's.
pub(super) const TABLES: u32 = 4;
/// Linear memories of a plugin.
pub(super) const MEMORIES: u32 = 1;
/// Most elements of a table: functions whose address a plugin takes.
pub(super) const TABLE_ELEMENTS: usize = 20_000;

/// The data of an instance's store.
pub(super) struct Sandbox {
    pub(super) limits: Limits,
    /// Of its tenant, for its linear memory.
    memory: Booking,
    pub(super) outputs: Arc<[OutputPlan]>,
    /// Only while `process` or `expire` runs.
    pub(super) call: Option<Call>,
    /// The lane's, only while a call runs; else one without tables.
    pub(super) state: State,
    /// What of the state it has asked for, where that is recorded.
    pub(super) touched: Option<Touched>,
    /// Its functions at the fault that ended it.
    pub(super) frames: Vec<String>,
    /// The thread's CPU time when the call began.
    pub(super) call_began: Duration,
    /// Why the host stopped the guest, where it was the host: the trap alone would not say.
    pub(super) fault: Option<Fault>,
    pub(super) log: GuestLog,
}

impl Sandbox {
    pub(super) fn new(log: Arc<LogBudget>, outputs: Arc<[OutputPlan]>, limits: Limits, memory: Booking) -> Self {
        Self {
            limits,
            memory,
            outputs,
            call: None,
            state: State::default(),
            touched: None,
            frames: Vec::new(),
            call_began: Duration::ZERO,
            fault: None,
            log: GuestLog::new(log),
        }
    }

    /// Notes why the guest is stopped, and makes the error that stops it.
    pub(super) fn stop(&mut self, fault: Fault) -> wasmtime::Error {
        let error = wasmtime::Error::msg(fault.to_string());
        self.fault = Some(fault);
        error
    }
}

/// Growth beyond a limit traps: the guest can't see how much memory the host has, and the fault has a name.
impl ResourceLimiter for Sandbox {
    fn memory_growing(&mut self, _: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        let limit_bytes = self.limits.memory_bytes;
        if desired <= limit_bytes && maximum.is_none_or(|maximum| desired <= maximum) {
            if self.memory.grow(desired) {
                return Ok(true);
            }
            let message = format!("no room for {desired} bytes of its memory: the engine's is all in use (memory_mib)");
            return Err(self.stop(Fault::Engine { message }));
        }
        Err(self.stop(Fault::Memory { limit_bytes: maximum.map_or(limit_bytes, |maximum| limit_bytes.min(maximum)) }))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Err(self.stop(Fault::Engine { message: format!("the system has no memory for a plugin: {error:#}") }))
    }

    fn table_growing(&mut self, _: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        if desired <= TABLE_ELEMENTS {
            return Ok(true);
        }
        let message = format!("its function table has {desired} elements, at most {TABLE_ELEMENTS} are possible");
        Err(self.stop(Fault::Contract { message }))
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        TABLES as usize
    }

    fn memories(&self) -> usize {
        MEMORIES as usize
    }
}

/// A guest's text for terminals, logs and tables: control characters (escape sequences begin with one) and the marks
/// that reverse a text's direction become `�`, and what is beyond `max_bytes` is cut.
pub(super) fn printable(text: &str, max_bytes: usize) -> String {
    let end = text.floor_char_boundary(max_bytes);
    let harmful = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let shown = |c: char| match c {
        '\n' | '\t' => ' ',
        c if harmful(c) => char::REPLACEMENT_CHARACTER,
        c => c,
    };
    let mut printable: String = text[..end].chars().map(shown).collect();
    if end < text.len() {
        printable.push('…');
    }
    printable
}
