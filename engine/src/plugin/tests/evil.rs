//! Guests that do what they must not. Each is stopped with the fault that names what it did, and the host goes on.

use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use arrow_schema::{DataType, Field};

use super::guest::{Guest, Output, parameter};
use super::{HOST, LIMITS, State, context, instance};
use crate::plugin::{Answer, Fault, Host, HostSettings, Limits, LoadError, Origin, Plugin};

const FOREVER: &str = "(loop $again (br $again))";

fn load(guest: Guest) -> Plugin {
    HOST.load(guest.module()).unwrap()
}

fn numbers(plugin: &Plugin, values: Vec<i64>) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(values));
    RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap()
}

/// Runs a guest over three numbers, and an honest guest after it: the host must have taken no harm.
fn run(guest: Guest, limits: Limits) -> Result<Answer, Fault> {
    let plugin = load(guest);
    let ran = plugin.instance(&context(), limits).and_then(|mut instance| {
        let ran = instance.process(&numbers(&plugin, vec![1, 2, 3]), &mut State::default());
        if ran.is_err() {
            let again = instance.process(&numbers(&plugin, vec![1]), &mut State::default());
            assert!(matches!(again, Err(Fault::Engine { .. })), "an instance is dead after a fault");
        }
        ran
    });
    let honest = load(Guest::echo(vec![Field::new("n", DataType::Int64, false)]));
    let batch = numbers(&honest, vec![7, 8]);
    assert_eq!(
        instance(&honest).process(&batch, &mut State::default()).unwrap().emitted[0].made.columns(),
        batch.columns()
    );
    ran
}

fn fault(process: &str) -> Fault {
    run(Guest::new().process(process), LIMITS).unwrap_err()
}

fn contract_message(guest: Guest) -> String {
    match run(guest, LIMITS) {
        Err(Fault::Contract { message }) => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_loop_meets_its_deadline_wherever_it_is() {
    let limits = Limits { call_ms: 100, ..LIMITS };
    let mut start = Guest::new();
    start.start = FOREVER.to_owned();
    for guest in [Guest::new().process(FOREVER), start] {
        let began = Instant::now();
        let fault = run(guest, limits).unwrap_err();
        assert!(matches!(fault, Fault::Deadline { limit_ms: 100 }), "{fault:?}");
        assert!(began.elapsed() >= Duration::from_millis(100), "stopped before its time: {:?}", began.elapsed());
    }
    // In the allocator, while the host copies the batch.
    let plugin = HOST.load(Guest::new().module_with_allocator(&format!("{FOREVER} (local.get $at)"))).unwrap();
    let fault = plugin
        .instance(&context(), limits)
        .and_then(|mut it| it.process(&numbers(&plugin, vec![1]), &mut State::default()));
    assert!(matches!(fault, Err(Fault::Deadline { .. })), "{fault:?}");
    let mut describe = Guest::new();
    describe.describe = FOREVER.to_owned();
    let error = HOST.load(describe.module()).err().unwrap();
    assert!(matches!(error, LoadError::Describe(Fault::Deadline { .. })), "{error:?}");
}

#[test]
fn memory_has_a_limit_from_the_first_page_on() {
    let limits = Limits { memory_bytes: 1 << 20, ..LIMITS };
    let hog = "(loop $again (drop (memory.grow (i32.const 1))) (br $again))";
    let mut born_large = Guest::new();
    born_large.pages = 17;
    for guest in [Guest::new().process(hog), born_large] {
        let fault = run(guest, limits).unwrap_err();
        assert!(matches!(fault, Fault::Memory { limit_bytes: 1_048_576 }), "{fault:?}");
    }
    // A batch that does not fit is the guest's allocator asking for more.
    let plugin = load(Guest::echo(vec![Field::new("n", DataType::Int64, false)]));
    let fault = plugin
        .instance(&context(), limits)
        .unwrap()
        .process(&numbers(&plugin, vec![0; 200_000]), &mut State::default());
    assert!(matches!(fault, Err(Fault::Memory { .. })), "{fault:?}");
}

#[test]
fn recursion_without_end_is_a_stack_overflow_on_either_stack() {
    let mut machine = Guest::new();
    machine.more = "(func $deep (param i64) (result i64)
        (i64.add (i64.const 1) (call $deep (i64.add (local.get 0) (i64.const 1)))))"
        .to_owned();
    machine.process = "(drop (call $deep (i64.const 0)))".to_owned();
    let mut shadow = Guest::new();
    // As Rust does: the frame's memory below the last one, until the address wraps around.
    shadow.more = "(global $sp (mut i32) (i32.const 65536))
        (func $deep (result i64)
            (global.set $sp (i32.sub (global.get $sp) (i32.const 1024)))
            (i64.store (global.get $sp) (i64.const 1))
            (i64.add (call $deep) (i64.load (global.get $sp))))"
        .to_owned();
    shadow.process = "(drop (call $deep))".to_owned();
    for guest in [machine, shadow] {
        let fault = run(guest, LIMITS).unwrap_err();
        assert!(matches!(fault, Fault::Stack), "{fault:?}");
    }
}

#[test]
fn a_trap_is_named_with_the_guests_own_frames() {
    let trap = |fault| match fault {
        Fault::Trap { message } => message,
        other => panic!("{other:?}"),
    };
    let message = trap(fault("(drop (i32.load (i32.const -4)))"));
    assert!(message.contains("out of bounds memory access") && message.contains("at process"), "{message}");
    let message = trap(fault("(drop (i32.div_s (i32.const 1) (i32.const 0)))"));
    assert!(message.contains("integer divide by zero"), "{message}");

    let mut start = Guest::new();
    start.start = "(unreachable)".to_owned();
    assert!(trap(run(start, LIMITS).unwrap_err()).contains("at start"));

    // What the SDK's panic hook does.
    let mut panic = Guest::new();
    let log = panic.log(0, b"panicked at src/lib.rs:12:5: \x1b[31mno such order\nsee above");
    panic.more = format!("(func $_ZN6orders5clean17h0123456789abcdefE {log} (unreachable))");
    panic.process = "(call $_ZN6orders5clean17h0123456789abcdefE)".to_owned();
    let message = trap(run(panic, LIMITS).unwrap_err());
    let expected = "panicked at src/lib.rs:12:5: \u{fffd}[31mno such order see above\n  at orders::clean\n  at process";
    assert_eq!(message, expected);
}

#[test]
fn a_trap_in_describe_is_a_plugin_that_does_not_load() {
    let mut guest = Guest::new();
    guest.describe = "(unreachable)".to_owned();
    let error = HOST.load(guest.module()).err().unwrap();
    assert!(matches!(error, LoadError::Describe(Fault::Trap { .. })), "{error:?}");
}

#[test]
fn an_error_is_passed_on_in_the_plugins_words() {
    let failing = |guest: &mut Guest| {
        let text = guest.place(b"rate must be \x07 a number");
        let result = guest.place(&[[1, 0, 0, 0], text.to_le_bytes(), 23_u32.to_le_bytes()].concat());
        format!("(return (i32.const {result}))")
    };
    let mut start = Guest::new();
    start.start = failing(&mut start);
    let mut process = Guest::new();
    process.process = failing(&mut process);
    for guest in [start, process] {
        match run(guest, LIMITS).unwrap_err() {
            Fault::Failed { message } => assert_eq!(message, "rate must be \u{fffd} a number"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn lies_in_emit_break_the_contract() {
    let value = 1_i64.to_le_bytes();
    let lie = |output, rows: (u32, &[u8], u32), buffers: &[&[u8]]| {
        let mut guest = Guest::new();
        guest.process = guest.emit(output, rows, buffers);
        contract_message(guest)
    };
    assert_eq!(lie(1, (0, &[], 0), &[&[], &value]), "emit to output 1, but 1 are described");
    assert_eq!(lie(u32::MAX, (0, &[], 0), &[]), "emit to output 4294967295, but 1 are described");
    let count = "emit to table t: 3 buffers where the described columns have 2";
    assert_eq!(lie(0, (0, &[], 0), &[&[], &value, &[]]), count);
    let length = "emit to table t: column n: values has 8 bytes where 3 rows need 24";
    assert_eq!(lie(0, (0, &[], 0), &[&[], &value]), length);

    let mut in_start = Guest::new();
    in_start.start = in_start.emit(0, (0, &[], 0), &[&[], &value]);
    assert_eq!(contract_message(in_start), "emit called outside of process and expire");
}

#[test]
fn lies_about_addresses_break_the_contract() {
    let calls = [
        // A list of lists beyond the memory, one that is longer than any memory, and one that is not aligned.
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -8) (i32.const 2))",
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const -1))",
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 3) (i32.const 2))",
        // A variant without such a case, and indices that are not aligned.
        "(call $emit (i32.const 0) (i32.const 7) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))",
        "(call $emit (i32.const 0) (i32.const 2) (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 0))",
        // Inner lists beyond the memory.
        "(i32.store (i32.const 64) (i32.const -1)) (i32.store (i32.const 68) (i32.const 9))
         (call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 64) (i32.const 2))",
        "(call $log (i32.const 0) (i32.const -1) (i32.const 9))",
        "(call $log (i32.const 9) (i32.const 0) (i32.const 0))",
        "(return (i32.const -4))",
        "(return (i32.const 3))",
    ];
    for call in calls {
        let fault = fault(call);
        assert!(matches!(fault, Fault::Contract { .. }), "{call}: {fault:?}");
    }
    let mut text = Guest::new();
    text.process = text.log(0, b"\xff\xfe");
    assert!(contract_message(text).contains("utf-8"));
}

#[test]
fn an_allocator_that_lies_harms_the_guest_alone() {
    for answer in ["(i32.const -1)", "(i32.const 1)", "(i32.const 0)", "(memory.size)"] {
        let module = Guest::echo(vec![Field::new("n", DataType::Int64, false)]).module_with_allocator(answer);
        let plugin = HOST.load(module).unwrap();
        // Answers within the guest's own memory are its own affair; the others are refused.
        let ran = plugin
            .instance(&context(), LIMITS)
            .and_then(|mut instance| instance.process(&numbers(&plugin, vec![1, 2, 3]), &mut State::default()));
        assert!(matches!(ran, Ok(_) | Err(Fault::Contract { .. } | Fault::Trap { .. })), "{answer}: {ran:?}");
    }
}

fn rejecting(rejects: &[[u32; 5]], count: u32) -> Guest {
    let mut guest = Guest::new();
    let bytes: Vec<u8> = rejects.as_flattened().iter().flat_map(|word| word.to_le_bytes()).collect();
    let list = guest.place(&bytes);
    let result = guest.place(&[0_u32, list, count].map(u32::to_le_bytes).concat());
    guest.process = format!("(return (i32.const {result}))");
    guest
}

#[test]
fn rejects_are_rows_of_the_batch_each_once() {
    assert_eq!(contract_message(rejecting(&[[3, 0, 0, 0, 0]], 1)), "row 3 rejected of a batch of 3");
    assert_eq!(contract_message(rejecting(&[[1, 0, 0, 0, 0], [0; 5], [1, 0, 0, 0, 0]], 3)), "row 1 rejected twice");

    let answer = run(rejecting(&[[2, 0, 3, 0, 0], [0, 0, 0, 0, 0]], 2), LIMITS).unwrap();
    let rejected: Vec<_> = answer.rejected.iter().map(|reject| (reject.row, reject.code.as_str())).collect();
    assert_eq!(rejected, [(0, "rejected"), (2, "___")]);
}

#[test]
fn what_a_call_gives_out_is_limited() {
    let limits = Limits { output_bytes: 1 << 20, ..LIMITS };
    let forever = |call: &str| format!("(loop $again {call} (br $again))");
    let output = |guest| {
        let fault = run(guest, limits).unwrap_err();
        assert!(matches!(fault, Fault::Output { limit_bytes: 1_048_576 }), "{fault:?}");
    };
    // Honest rows without end, rows of no bytes without end, and one buffer that is too large at once.
    let mut rows = Guest::new();
    let values = [0; 24];
    rows.process = forever(&rows.emit(0, (0, &[], 0), &[&[], &values]));
    output(rows);
    let mut nothing = Guest::new();
    let call = nothing.emit(0, (2, &[], 0), &[&[], &[]]);
    nothing.process = forever(&call);
    output(nothing);
    let mut large = Guest::new();
    large.pages = 40;
    let list = large.place(&[0_u32, 0, 0, 2 << 20].map(u32::to_le_bytes).concat());
    large.process = format!(
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {list}) (i32.const 2))"
    );
    output(large);
    // Rejects whose texts all lie at the same place: small there, large here.
    let mut rejects = rejecting(&[[0, 0, 1000, 0, 1000]; 1000], 1000);
    rejects.pages = 4;
    output(rejects);
}

#[test]
fn a_large_row_taken_often_is_charged_as_often() {
    let text = Field::new("text", DataType::Utf8, false);
    let mut guest = Guest::with(vec![text.clone()], vec![(text, Origin::Input(0))]);
    let bytes = vec![0; 4 * 100];
    guest.process = guest.emit(0, (2, &bytes, 100), &[]);
    let plugin = load(guest);
    let batch = |length: usize| {
        let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(length), String::new()]));
        RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap()
    };
    let limits = Limits { output_bytes: 1 << 20, ..LIMITS };
    let process = |length| plugin.instance(&context(), limits).unwrap().process(&batch(length), &mut State::default());
    assert!(process(10_000).is_ok());
    let fault = process(11_000);
    assert!(matches!(fault, Err(Fault::Output { .. })), "{fault:?}");
}

/// Keeps what is logged.
#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_flood_of_log_lines_is_cut_and_made_harmless() {
    let mut guest = Guest::new();
    let mut line = vec![b'x'; 100_000];
    let harmful = b"\x1b[2J\r\nEVIL\x07\xe2\x80\xae\x00\x7f";
    line[..harmful.len()].copy_from_slice(harmful);
    let log = guest.log(1, &line);
    guest.pages = 8;
    guest.more = "(global $n (mut i32) (i32.const 10000))".to_owned();
    guest.process = format!(
        "(loop $again {log} (global.set $n (i32.sub (global.get $n) (i32.const 1))) (br_if $again (global.get $n)))"
    );
    let plugin = load(guest);
    let captured = Captured::default();
    let writer = captured.clone();
    let subscriber =
        tracing_subscriber::fmt().with_ansi(false).with_target(false).with_writer(move || writer.clone()).finish();
    tracing::subscriber::with_default(subscriber, || {
        instance(&plugin).process(&numbers(&plugin, vec![1]), &mut State::default()).unwrap();
    });
    let log = String::from_utf8(captured.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.lines().count(), 101, "100 lines and one about the rest");
    assert!(log.lines().all(|line| line.len() < 2_300), "lines are cut");
    assert!(!log.contains(|c: char| c != '\n' && c.is_control() || c == '\u{202e}'), "control characters");
    assert!(log.contains("EVIL") && log.contains("plugin=\"guest\"") && log.contains("lines=9900"), "{log}");
}

/// The pool gives memory to the next instance that the last one has used: nothing of it may be left.
#[test]
fn an_instance_finds_nothing_of_the_one_before_it() {
    // One slot, so that the next instance gets the very same memory; a warm one, so that it is not simply unmapped.
    let host = Host::new(HostSettings { instances: 1, ..HostSettings::default() }).unwrap();
    let n = Field::new("n", DataType::Int64, false);
    let plant = |pages: u32| {
        let mut guest = Guest::new();
        // Fills the upper part of its memory, grown to `pages`, with a canary.
        guest.process = format!(
            "(drop (memory.grow (i32.sub (i32.const {pages}) (memory.size))))
             (memory.fill (i32.const 131072) (i32.const 0xa5) (i32.sub (i32.const {}) (i32.const 131072)))",
            pages * 65_536
        );
        guest
    };
    let scan = |name: &str| {
        let mut guest = Guest::with(vec![n.clone()], vec![(n.clone(), Origin::Made)]);
        guest.name = name.to_owned();
        // Grows to 16 MiB, counts bytes that are not zero above 128 KiB, emits the count.
        let emit = "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 80) (i32.const 2))";
        guest.more = "(global $at (mut i32) (i32.const 131072)) (global $found (mut i64) (i64.const 0))".to_owned();
        guest.process = format!(
            "(drop (memory.grow (i32.sub (i32.const 256) (memory.size))))
             (loop $again
                (if (i64.ne (i64.load (global.get $at)) (i64.const 0))
                    (then (global.set $found (i64.add (global.get $found) (i64.const 1)))))
                (global.set $at (i32.add (global.get $at) (i32.const 8)))
                (br_if $again (i32.lt_u (global.get $at) (i32.const 16777216))))
             (i64.store (i32.const 64) (global.get $found))
             (i32.store (i32.const 80) (i32.const 0)) (i32.store (i32.const 84) (i32.const 0))
             (i32.store (i32.const 88) (i32.const 64)) (i32.store (i32.const 92) (i32.const 8))
             {emit}"
        );
        guest
    };
    // Below and above the 8 MiB that stay resident.
    for pages in [8, 100, 256] {
        let planter = host.load(plant(pages).module()).unwrap();
        // The scanner is loaded before: loading describes, which would take the slot in between.
        let scanner = host.load(scan("scanner").module()).unwrap();
        let batch = numbers(&planter, vec![0]);
        for _ in 0..3 {
            instance(&planter).process(&batch, &mut State::default()).unwrap();
            let answer = instance(&scanner).process(&batch, &mut State::default()).unwrap();
            let found = answer.emitted[0].made.column(0).as_primitive::<Int64Type>().value(0);
            assert_eq!(found, 0, "{found} words of another instance's memory, of {pages} pages");
        }
        // The same plugin, twice: its slot is kept for it, and still it begins anew.
        let again = host.load(plant_then_scan(&plant(pages).process, &scan("both").process).module()).unwrap();
        let mut first = instance(&again);
        assert_eq!(found(&mut first, &batch), 0);
        assert!(found(&mut first, &batch) > 0, "the canary is not seen even where it must be");
        drop(first);
        assert_eq!(found(&mut instance(&again), &batch), 0);
    }
}

fn found(instance: &mut crate::plugin::Instance, batch: &RecordBatch) -> i64 {
    instance.process(batch, &mut State::default()).unwrap().emitted[0]
        .made
        .column(0)
        .as_primitive::<Int64Type>()
        .value(0)
}

/// Scans first, then plants: so what it finds is what was there before the call.
fn plant_then_scan(plant: &str, scan: &str) -> Guest {
    let mut guest = Guest::new();
    guest.more = "(global $at (mut i32) (i32.const 131072)) (global $found (mut i64) (i64.const 0))".to_owned();
    guest.process =
        format!("(global.set $at (i32.const 131072)) (global.set $found (i64.const 0)) {scan} {}", fill_only(plant));
    guest
}

/// The memory has been grown by the scan already.
fn fill_only(plant: &str) -> &str {
    plant.split_once('\n').unwrap().1
}

#[test]
fn more_instances_than_there_are_slots_is_the_engines_fault_and_passes() {
    let host = Host::new(HostSettings { instances: 2, ..HostSettings::default() }).unwrap();
    let plugin = host.load(Guest::new().module()).unwrap();
    let held = [instance(&plugin), instance(&plugin)];
    let fault = plugin.instance(&context(), LIMITS).err().unwrap();
    assert!(matches!(fault, Fault::Engine { .. }), "{fault:?}");
    // What is loaded already needs no instance to be loaded again; another does, to describe itself.
    host.load(Guest::new().module()).unwrap();
    let mut other = Guest::new();
    other.name = "other".to_owned();
    let other = other.module();
    let error = host.load(other.clone()).err().unwrap();
    assert!(matches!(error, LoadError::Describe(Fault::Engine { .. })), "{error:?}");
    drop(held);
    host.load(other).unwrap();
    instance(&plugin).process(&numbers(&plugin, vec![1]), &mut State::default()).unwrap();
}

#[test]
fn without_address_space_for_a_pool_plugins_run_all_the_same() {
    // 4 PiB of address space are more than any machine has.
    let host = Host::new(HostSettings { instances: 1 << 20, ..HostSettings::default() }).unwrap();
    let plugin = host.load(Guest::echo(vec![Field::new("n", DataType::Int64, false)]).module()).unwrap();
    let batch = numbers(&plugin, (0..100_000).collect());
    assert_eq!(
        instance(&plugin).process(&batch, &mut State::default()).unwrap().emitted[0].made.columns(),
        batch.columns()
    );
    let wild = host.load(Guest::new().process("(drop (i32.load (i32.const -4)))").module()).unwrap();
    assert!(matches!(instance(&wild).process(&batch, &mut State::default()), Err(Fault::Trap { .. })));
}

#[test]
fn contexts_and_batches_that_do_not_fit_are_the_engines_fault() {
    let mut guest = Guest::new();
    guest.parameters = vec![parameter("rate", None)];
    let plugin = load(guest);
    assert!(matches!(plugin.instance(&context(), LIMITS), Err(Fault::Engine { .. })));

    let plugin = load(Guest::new());
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x"]));
    let batch = RecordBatch::try_from_iter([("n", column)]).unwrap();
    assert!(matches!(instance(&plugin).process(&batch, &mut State::default()), Err(Fault::Engine { .. })));
}

#[test]
fn the_same_batches_give_the_same_answers_in_every_instance() {
    let n = Field::new("x", DataType::Float64, false);
    // 0/0, made at run time: a NaN whose bits WebAssembly leaves open.
    let mut guest = Guest::with(vec![n.clone()], vec![(n, Origin::Made)]);
    guest.outputs.push(Output::append("unused", vec![(Field::new("y", DataType::Int8, false), Origin::Made)]));
    guest.process = "(f64.store (i32.const 64) (f64.div (f64.load (i32.const 128)) (f64.load (i32.const 136))))
        (i32.store (i32.const 80) (i32.const 0)) (i32.store (i32.const 84) (i32.const 0))
        (i32.store (i32.const 88) (i32.const 64)) (i32.store (i32.const 92) (i32.const 8))
        (call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 80) (i32.const 2))"
        .to_owned();
    let plugin = load(guest);
    let column: ArrayRef = Arc::new(arrow_array::Float64Array::from(vec![1.0]));
    let batch = RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap();
    let answer = instance(&plugin).process(&batch, &mut State::default()).unwrap();
    let bits = answer.emitted[0].made.column(0).to_data().buffers()[0].typed_data::<u64>()[0];
    assert_eq!(bits, 0x7ff8_0000_0000_0000, "the canonical NaN");
}
