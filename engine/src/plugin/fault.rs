//! From what wasmtime says to what happened.

use rustc_demangle::demangle;
use wasmtime::{Trap, WasmBacktrace};

use super::Fault;
use super::sandbox::{Sandbox, printable};

/// Frames that a fault names.
const FRAMES_SHOWN: usize = 6;
/// Frames that wasmtime collects: enough to see a recursion.
pub(super) const FRAMES_COLLECTED: usize = 24;
/// So many frames of one function among [`FRAMES_COLLECTED`] are a recursion.
const FRAMES_OF_RECURSION: usize = 6;
/// Longest text of one error.
const MESSAGE_BYTES: usize = 2 << 10;

/// Names the fault behind an error of a call. What the host noted when it stopped the guest goes first.
pub(super) fn fault(error: &wasmtime::Error, sandbox: &mut Sandbox) -> Fault {
    let backtrace = error.downcast_ref::<WasmBacktrace>();
    sandbox.frames = backtrace.into_iter().flat_map(function_names).collect();
    if let Some(fault) = sandbox.fault.take() {
        return fault;
    }
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Fault::Deadline { limit_ms: sandbox.limits.call_ms },
        Some(Trap::StackOverflow) => Fault::Stack,
        // Rust keeps locals whose address is taken on a stack of its own at the bottom of linear memory. It ends at
        // address 0, so recursion without end leaves the memory below, often before the machine's stack is full.
        Some(Trap::MemoryOutOfBounds) if backtrace.is_some_and(recursive) => Fault::Stack,
        Some(trap) => Fault::Trap { message: trap_message(*trap, sandbox.log.take_last_error(), backtrace) },
        // wasmtime's error for this has no public type; its words are pinned by a test.
        None if format!("{error:#}").contains("fuel allocated for hostcalls") => {
            Fault::Output { limit_bytes: sandbox.limits.output_bytes }
        }
        // Neither a trap nor a limit: pointers, lengths or text against the component model's canonical ABI.
        None => Fault::Contract { message: abi_message(error) },
    }
}

/// What went wrong without the backtrace, which wasmtime attaches as a context of its own.
fn abi_message(error: &wasmtime::Error) -> String {
    printable(&error.root_cause().to_string(), MESSAGE_BYTES)
}

fn recursive(backtrace: &WasmBacktrace) -> bool {
    let frames = backtrace.frames();
    let times = |index: u32| frames.iter().filter(|frame| frame.func_index() == index).count();
    frames.iter().any(|frame| times(frame.func_index()) >= FRAMES_OF_RECURSION)
}

/// The panic's message if there was one (the SDK logs it and traps), else the trap's name; then the guest's frames.
fn trap_message(trap: Trap, last_error: Option<String>, backtrace: Option<&WasmBacktrace>) -> String {
    let mut message = match (trap, last_error) {
        (Trap::UnreachableCodeReached, Some(panic)) => panic,
        (trap, Some(error)) => format!("{trap}; the last error it logged: {error}"),
        (trap, None) => trap.to_string(),
    };
    for name in backtrace.into_iter().flat_map(function_names).take(FRAMES_SHOWN) {
        message.push_str("\n  at ");
        message.push_str(&name);
    }
    message
}

/// The guest's functions, innermost first, without the machinery of a panic.
fn function_names(backtrace: &WasmBacktrace) -> impl Iterator<Item = String> {
    const MACHINERY: [&str; 6] =
        ["panicking::", "__rust", "rust_panic", "rust_begin_unwind", "std::sys::", "panic_hook"];
    let names = backtrace.frames().iter().map(|frame| match frame.func_name() {
        // `#` leaves the hash out.
        Some(name) => printable(&format!("{:#}", demangle(name)), 200),
        None => format!("function {}", frame.func_index()),
    });
    names.filter(|name| !MACHINERY.iter().any(|machinery| name.contains(machinery)))
}
