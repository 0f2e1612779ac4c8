//! State, event time and expiry across the border: what a guest asks for it gets, and what it says is checked.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{BooleanArray, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field};

use super::guest::{Guest, Output};
use super::{HOST, LIMITS, State, context, instance};
use crate::plugin::{Answer, Context, EventTime, Fault, Limits, LoadError, Origin, Plugin, Rows, StateDescription};
use crate::state::{Cells, OnExpire, Sealed, StateError, StateTable};
use crate::table::TableKind;

/// Where a guest lets the host put what a function gives back.
const ANSWER: u32 = 256;

fn tables() -> Vec<StateTable> {
    let table = |name: &str, on_expire| StateTable { name: name.to_owned(), on_expire };
    vec![table("seen", OnExpire::Drop), table("open", OnExpire::Call)]
}

fn state() -> State {
    State::new(tables(), 1 << 20)
}

/// Keeps state of two tables, and takes its input column over.
fn keeper() -> Guest {
    let n = Field::new("n", DataType::Int64, false);
    let mut guest = Guest::with(vec![n.clone()], vec![(n, Origin::Input(0))]);
    guest.state = Some(StateDescription { version: 3, reads: vec![1, 2], tables: tables() });
    guest.event_time = Some(EventTime { delay_ms: 5_000, idle_ms: Some(1 << 33) });
    guest
}

/// Makes its column, and so can make rows of nothing.
fn maker() -> Guest {
    let mut guest = keeper();
    guest.outputs = Guest::new().outputs;
    guest
}

/// Entries and bytes of the first table.
fn kept(state: &State) -> (usize, usize) {
    let size = state.size(0).unwrap();
    (size.entries, size.bytes)
}

fn load(guest: Guest) -> Plugin {
    HOST.load(guest.module()).unwrap()
}

fn batch(plugin: &Plugin, numbers: &[i64]) -> RecordBatch {
    let column = std::sync::Arc::new(Int64Array::from(numbers.to_vec()));
    RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap()
}

fn run(guest: Guest, state: &mut State, limits: Limits) -> Result<Answer, Fault> {
    let plugin = load(guest);
    plugin.instance(&context(), limits)?.process(&batch(&plugin, &[1, 2, 3]), state)
}

fn broken(guest: Guest) -> String {
    match run(guest, &mut state(), LIMITS) {
        Err(Fault::Contract { message }) => message,
        other => panic!("{other:?}"),
    }
}

/// The batch's numbers as keys or values.
const NUMBERS: &str = "(i32.const 0) (i32.const 8) (i32.load offset=8 (local.get $buffers))
    (i32.load offset=12 (local.get $buffers)) (i32.const 0)";
const NOTHING: &str = "(i32.const 0) (i32.const 0)";

fn texts(guest: &mut Guest, offsets: &[u32], bytes: &[u8]) -> String {
    let words: Vec<u8> = offsets.iter().flat_map(|offset| offset.to_le_bytes()).collect();
    let (offsets_at, bytes_at) = (guest.place(&words), guest.place(bytes));
    format!(
        "(i32.const 1) (i32.const {offsets_at}) (i32.const {}) (i32.const {bytes_at}) (i32.const {})",
        offsets.len(),
        bytes.len()
    )
}

/// Emits the rows whose number it has not seen.
fn deduplicating() -> Guest {
    keeper().process(&format!(
        "(call $insert (i32.const 0) {NUMBERS} {NOTHING} (i32.const {ANSWER}))
         (call $emit (i32.const 0) (i32.const 1) (i32.load (i32.const {ANSWER}))
            (i32.load offset=4 (i32.const {ANSWER})) {NOTHING})"
    ))
}

fn selected(answer: &Answer) -> Vec<usize> {
    let [emitted] = &answer.emitted[..] else { panic!("{answer:?}") };
    let Rows::Selected(bits) = &emitted.rows else { panic!("{emitted:?}") };
    bits.values().set_indices().collect()
}

#[test]
fn what_one_instance_has_seen_the_next_remembers() {
    let (plugin, mut state) = (load(deduplicating()), state());
    let mut process = |numbers: &[i64]| {
        state.begin_call();
        selected(&instance(&plugin).process(&batch(&plugin, numbers), &mut state).unwrap())
    };
    assert_eq!(process(&[7, 8, 7, 9]), [0, 1, 3]);
    assert_eq!(process(&[10, 9, 8, 11, 11]), [0, 3]);
    assert_eq!(state.size(0).unwrap().entries, 5);
    let Sealed::Changes(record) = state.seal().unwrap().changes else { panic!() };
    let mut again = super::keyed::state();
    again.restore(&record).unwrap();
    assert_eq!(kept(&again), kept(&state));
}

#[test]
fn values_are_written_read_and_deleted() {
    let mut guest = maker();
    // Writes each number under itself, and emits what it reads; then deletes the second.
    guest.process = format!(
        "(call $put (i32.const 0) {NUMBERS} {NUMBERS} {NOTHING})
         (call $get (i32.const 0) {NUMBERS} (i32.const {ANSWER}))
         (if (i32.ne (i32.load8_u (i32.load (i32.const {ANSWER}))) (i32.const 7)) (then (unreachable)))
         (if (i32.ne (i32.load offset=12 (i32.const {ANSWER})) (i32.const 4)) (then (unreachable)))
         (if (i32.ne (i32.load offset=12 (i32.load offset=8 (i32.const {ANSWER}))) (i32.const 24)) (then (unreachable)))
         (i64.store (i32.const 328) (i64.load offset=16 (i32.const {ANSWER})))
         (call $emit (i32.const 0) (i32.const 0) {NOTHING} (i32.const 320) (i32.const 2))
         (call $delete (i32.const 0) (i32.const 0) (i32.const 8)
            (i32.add (i32.load offset=8 (local.get $buffers)) (i32.const 8)) (i32.const 8) (i32.const 0))"
    );
    let mut state = state();
    let answer = run(guest, &mut state, LIMITS).unwrap();
    let made = answer.emitted[0].made.column(0).as_primitive::<Int64Type>();
    assert_eq!(made, &Int64Array::from(vec![1, 2, 3]));
    let keys: Vec<u8> = [1_u64, 2, 3].iter().flat_map(|key| key.to_le_bytes()).collect();
    let found = state.get_many(0, Cells::Fixed { width: 8, bytes: &keys }, 100).unwrap();
    assert_eq!((found.present, found.offsets), (vec![0b101], vec![0, 8, 8, 16]));
}

#[test]
fn an_expired_entry_is_not_found_and_expiries_are_per_key() {
    let mut guest = keeper();
    let expiries: Vec<u8> = [100_i64, 200, i64::MAX].iter().flat_map(|expiry| expiry.to_le_bytes()).collect();
    let at = guest.place(&expiries);
    guest.process = format!("(call $put (i32.const 0) {NUMBERS} {NUMBERS} (i32.const {at}) (i32.const 3))");
    let mut state = state();
    run(guest, &mut state, LIMITS).unwrap();
    state.begin(Some(150), 10).unwrap();
    assert_eq!(selected(&run(deduplicating(), &mut state, LIMITS).unwrap()), [0]);
}

#[test]
fn the_state_comes_back_after_every_fault_and_the_call_can_be_undone() {
    let mut state = state();
    state.begin_call();
    run(deduplicating(), &mut state, LIMITS).unwrap();
    let before = (kept(&state), state.snapshot());
    let write = format!("(call $put (i32.const 0) {NUMBERS} {NUMBERS} {NOTHING})");
    let faults = [
        "(unreachable)",
        "(call $count (i32.const 0) (i32.const 0) (i64.const 1))",
        "(drop (memory.grow (i32.const 10000)))",
        "(call $get (i32.const 9) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 256))",
    ];
    for fault in faults {
        state.begin_call();
        run(keeper().process(&format!("{write} {fault}")), &mut state, LIMITS).unwrap_err();
        assert_ne!(kept(&state), before.0, "the call wrote before it failed");
        state.undo_call();
        assert_eq!(kept(&state), before.0, "{fault}");
        assert_eq!(state.snapshot().len(), before.1.len());
    }
    assert_eq!(state.tables(), tables());
}

#[test]
fn lies_about_keys_and_values_name_the_table_and_what_is_wrong() {
    let insert = |cells: &str| format!("(call $insert (i32.const 1) {cells} {NOTHING} (i32.const {ANSWER}))");
    let width = |width: i32, length: i32| {
        format!("(i32.const 0) (i32.const {width}) (i32.const 0) (i32.const {length}) (i32.const 0)")
    };
    let says = |body: String, words: &str| {
        let message = broken(keeper().process(&body));
        assert_eq!(message, words);
    };
    says(insert(&width(8, 9)), "insert-if-absent-many of table open: 9 bytes of keys are no cells of 8 bytes");
    says(insert(&width(0, 9)), "insert-if-absent-many of table open: 9 bytes of keys are no cells of 0 bytes");
    says(
        insert(&width(-1, 9)),
        "insert-if-absent-many of table open: 9 bytes of keys are no cells of 4294967295 bytes",
    );
    says(
        format!("(call $get (i32.const 2) {NUMBERS} (i32.const {ANSWER}))"),
        "get-many: state table 2, but 2 are described",
    );
    says(
        format!("(call $delete (i32.const -1) {NUMBERS})"),
        "delete-many: state table 4294967295, but 2 are described",
    );
    says(
        format!("(call $put (i32.const 0) {NUMBERS} {} {NOTHING})", width(4, 8)),
        "put-many of table seen: 8 bytes of values are no cells of 4 bytes",
    );
    says(
        format!("(call $put (i32.const 0) {NUMBERS} {NUMBERS} (i32.const 0) (i32.const 2))"),
        "put-many of table seen: 2 expiries for 3 keys",
    );
}

#[test]
fn lies_about_offsets_are_refused() {
    for (offsets, words) in [
        (&[1, 3][..], "offset 0 of 1 keys is wrong"),
        (&[0, 4], "offset 1 of 1 keys is wrong"),
        (&[0, 3, 2, 3], "offset 2 of 3 keys is wrong"),
        (&[], "offset 0 of 0 keys is wrong"),
    ] {
        let mut guest = keeper();
        let keys = texts(&mut guest, offsets, b"abc");
        guest.process = format!("(call $delete (i32.const 0) {keys})");
        assert_eq!(broken(guest), format!("delete-many of table seen: {words}"));
    }
    let mut guest = keeper();
    let (keys, values) = (texts(&mut guest, &[0, 1, 2], b"ab"), texts(&mut guest, &[0, 1], b"a"));
    guest.process = format!("(call $put (i32.const 0) {keys} {values} {NOTHING})");
    assert_eq!(broken(guest), "put-many of table seen: 1 values for 2 keys");
}

#[test]
fn addresses_outside_of_the_memory_are_refused() {
    for cells in [
        "(i32.const 0) (i32.const 8) (i32.const -8) (i32.const 800) (i32.const 0)",
        "(i32.const 0) (i32.const 8) (i32.const 0) (i32.const -8) (i32.const 0)",
        "(i32.const 1) (i32.const 2) (i32.const 1) (i32.const 0) (i32.const 0)",
        "(i32.const 1) (i32.const 0) (i32.const -4) (i32.const 0) (i32.const 0)",
        "(i32.const 2) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)",
    ] {
        let message = broken(keeper().process(&format!("(call $delete (i32.const 0) {cells})")));
        assert!(!message.is_empty() && !message.contains("of table"), "{message}");
    }
    // The answer's place, and its allocation.
    broken(keeper().process(&format!("(call $get (i32.const 0) {NUMBERS} (i32.const -4))")));
    broken(keeper().process(&format!("(call $get (i32.const 0) {NUMBERS} (i32.const 3))")));
}

#[test]
fn a_guest_without_state_has_none() {
    let get = format!("(call $get (i32.const 0) {NUMBERS} (i32.const {ANSWER}))");
    let fault = run(Guest::new().process(&get), &mut State::default(), LIMITS).unwrap_err();
    assert!(fault.to_string().contains("state table 0, but 0 are described"), "{fault}");

    let mut early = keeper();
    early.start =
        "(call $delete (i32.const 0) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0))".to_owned();
    assert_eq!(broken(early), "delete-many called outside of process and expire");
    let mut describing = keeper();
    describing.describe = "(call $count (i32.const 0) (i32.const 0) (i64.const 1))".to_owned();
    let Some(LoadError::Describe(fault)) = HOST.load(describing.module()).err() else { panic!() };
    assert!(fault.to_string().contains("count called outside of process and expire"), "{fault}");
}

#[test]
fn what_a_call_reads_and_writes_has_a_limit() {
    let limits = Limits { output_bytes: 100_000, ..LIMITS };
    let forever = |request: String| keeper().process(&format!("(loop $again {request} (br $again))"));
    let value = "(i32.const 0) (i32.const 20000) (i32.const 0) (i32.const 60000) (i32.const 0)";
    for request in [
        format!("(call $put (i32.const 0) {NUMBERS} {NUMBERS} {NOTHING})"),
        format!("(call $put (i32.const 0) {NUMBERS} {value} {NOTHING})"),
        format!("(call $delete (i32.const 0) {NUMBERS})"),
        "(call $delete (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))".to_owned(),
    ] {
        let fault = run(forever(request), &mut state(), limits).unwrap_err();
        assert!(matches!(fault, Fault::StateTraffic { limit_bytes: 100_000 }), "{fault:?}");
    }
    // Written by calls that are allowed to, read all at once.
    let mut state = state();
    run(keeper().process(&format!("(call $put (i32.const 0) {NUMBERS} {value} {NOTHING})")), &mut state, LIMITS)
        .unwrap();
    let twice = format!("(call $get (i32.const 0) {NUMBERS} (i32.const {ANSWER}))").repeat(2);
    run(keeper().process(&twice), &mut state, Limits { output_bytes: 130_000, ..LIMITS }).unwrap();
    let fault = run(keeper().process(&twice), &mut state, Limits { output_bytes: 119_000, ..LIMITS }).unwrap_err();
    assert!(matches!(fault, Fault::StateTraffic { .. }), "{fault:?}");
}

#[test]
fn too_many_keys_at_once_are_refused() {
    let mut guest = keeper();
    guest.pages = 40;
    guest.process = format!(
        "(call $insert (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 0) (i32.const {}) (i32.const 0) {NOTHING}
            (i32.const {ANSWER}))",
        (1 << 20) + 1
    );
    assert_eq!(broken(guest), "insert-if-absent-many of 1048577 keys, at most 1048576 are possible at once");
}

#[test]
fn a_plugin_that_keeps_too_much_is_stopped_and_no_row_is_to_blame() {
    let mut state = State::new(tables(), 60);
    state.begin_call();
    let fault = run(deduplicating(), &mut state, LIMITS).unwrap_err();
    let Fault::State(StateError::Quota { bytes: 72, limit_bytes: 60 }) = fault else { panic!("{fault:?}") };
    assert_eq!(fault.code(), "state");
    state.undo_call();
    assert_eq!(state.bytes(), 0);
}

#[test]
fn event_time_is_the_greatest_that_was_said_and_at_most_the_clock() {
    let said = |times: &[i64]| {
        let calls: String = times.iter().map(|time| format!("(call $event_time (i64.const {time}))")).collect();
        run(keeper().process(&calls), &mut state(), LIMITS).unwrap().event_time_ms
    };
    assert_eq!(said(&[]), None);
    assert_eq!(said(&[5, 9, 7]), Some(9));
    assert_eq!(said(&[i64::MIN]), Some(i64::MIN));
    assert_eq!(said(&[5, i64::MAX]), Some(context().now_ms));
    let mut guest = keeper();
    guest.event_time = None;
    guest.state = None;
    guest.process = "(call $event_time (i64.const 1))".to_owned();
    assert_eq!(broken(guest), "event-time called, but no event time is described");
}

#[test]
fn counters_add_up_and_have_good_names() {
    let mut guest = keeper();
    let (late, other) = (guest.place(b"late"), guest.place(b"_2nd"));
    guest.process = format!(
        "(call $count (i32.const {late}) (i32.const 4) (i64.const 2))
         (call $count (i32.const {other}) (i32.const 4) (i64.const -1))
         (call $count (i32.const {late}) (i32.const 4) (i64.const 3))
         (call $count (i32.const {other}) (i32.const 4) (i64.const 3))"
    );
    let answer = run(guest, &mut state(), LIMITS).unwrap();
    assert_eq!(answer.counts, [("late".to_owned(), 5), ("_2nd".to_owned(), u64::MAX)]);
    for (name, shown) in [("", ""), ("2nd", "2nd"), ("a-b", "a-b"), ("é", "é"), ("a\nb", "a b"), (&"x".repeat(65), "x")]
    {
        let mut guest = keeper();
        let at = guest.place(name.as_bytes());
        guest.process = format!("(call $count (i32.const {at}) (i32.const {}) (i64.const 1))", name.len());
        let message = broken(guest);
        assert!(message.starts_with(&format!("count \"{shown}")) && message.contains("64 at most"), "{message}");
    }
    let mut guest = keeper();
    let names: Vec<u32> = (0..65).map(|index| guest.place(format!("name_{index:02}").as_bytes())).collect();
    guest.process =
        names.iter().map(|at| format!("(call $count (i32.const {at}) (i32.const 7) (i64.const 1))")).collect();
    assert_eq!(broken(guest), "count \"name_64\": 64 names are counted already");
}

/// A guest that emits rows without an input row, for as many entries as it is given.
fn expiring() -> Guest {
    let mut guest = maker();
    guest.expire = "(i32.store (i32.const 328) (local.get $expiries))
        (i32.store (i32.const 332) (i32.mul (local.get $count) (i32.const 8)))
        (call $emit (i32.const 0) (i32.const 3) (local.get $count) (i32.const 0) (i32.const 320) (i32.const 2))
        (call $delete (local.get $table) (i32.const 1) (local.get $key_offsets) (local.get $keys)
            (local.get $key_bytes) (local.get $key_length))
        (call $put (i32.const 0) (i32.const 1) (local.get $key_offsets) (local.get $keys)
            (local.get $key_bytes) (local.get $key_length) (i32.const 1) (local.get $value_offsets) (local.get $values)
            (local.get $value_bytes) (local.get $value_length) (i32.const 0) (i32.const 0))"
        .to_owned();
    guest
}

fn with_two_due() -> State {
    let mut state = state();
    for (key, expiry) in [("b", 20), ("a", 10), ("c", 30)] {
        let (offsets, value) = ([0, 1], [0, 5]);
        let keys = Cells::Variable { offsets: &offsets, bytes: key.as_bytes() };
        state.put_many(1, keys, Cells::Variable { offsets: &value, bytes: b"value" }, &[expiry]).unwrap();
    }
    state
}

#[test]
fn expire_gets_what_is_due_and_makes_rows_of_it() {
    let (plugin, mut state) = (load(expiring()), with_two_due());
    let due = state.begin(Some(20), 100).unwrap();
    let mut instance = instance(&plugin);
    let answer = instance.expire(&due[0], &mut state).unwrap();
    let [emitted] = &answer.emitted[..] else { panic!("{answer:?}") };
    assert!(matches!(emitted.rows, Rows::None(2)), "{emitted:?}");
    assert_eq!(emitted.made.column(0).as_primitive::<Int64Type>(), &Int64Array::from(vec![10, 20]));
    let keys = Cells::Variable { offsets: &[0, 1, 2, 3], bytes: b"abc" };
    assert_eq!(state.get_many(0, keys, 100).unwrap().bytes, b"valuevalue");
    // The instance goes on with the rows.
    instance.process(&batch(&plugin, &[1]), &mut state).unwrap();
}

#[test]
fn a_plugin_of_version_0_2_never_expires() {
    let plugin = HOST.load(super::described::ORDERS_0_2).unwrap();
    let fault = instance(&plugin).expire(&crate::state::Due::default(), &mut State::default()).unwrap_err();
    assert!(matches!(fault, Fault::Engine { .. }), "{fault:?}");
}

#[test]
fn expire_has_no_input_rows_and_no_event_time() {
    let expire = |mut guest: Guest, body: &str| {
        body.clone_into(&mut guest.expire);
        let (plugin, mut state) = (load(guest), with_two_due());
        let due = state.begin(Some(20), 100).unwrap();
        let fault = instance(&plugin).expire(&due[0], &mut state).unwrap_err();
        assert_eq!(state.tables(), tables());
        fault.to_string()
    };
    for case in ["0", "1", "2"] {
        let emit = format!("(call $emit (i32.const 0) (i32.const {case}) {NOTHING} (i32.const 320) (i32.const 2))");
        let said = expire(maker(), &emit);
        assert!(said.contains("table t: rows of a batch, but expire has none"), "{said}");
    }
    let said = expire(
        keeper(),
        "(call $emit (i32.const 0) (i32.const 3) (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0))",
    );
    assert!(said.contains("table t: rows without an input row, but it takes columns over"), "{said}");
    let said = expire(maker(), "(call $event_time (i64.const 1))");
    assert!(said.contains("event-time called outside of process"), "{said}");
    let mut failing = maker();
    let words = failing.place(b"no more");
    let said = expire(
        failing,
        &format!(
            "(i32.store (i32.const 300) (i32.const 1)) (i32.store (i32.const 304) (i32.const {words}))
            (i32.store (i32.const 308) (i32.const 7)) (return (i32.const 300))"
        ),
    );
    assert_eq!(said, "plugin failed: no more");
}

#[test]
fn rows_of_nothing_are_charged_before_they_are_made() {
    let emit = "(call $emit (i32.const 0) (i32.const 3) (i32.const -1) (i32.const 0) (i32.const 320) (i32.const 2))";
    let fault = run(maker().process(emit), &mut state(), LIMITS).unwrap_err();
    assert!(matches!(fault, Fault::Output { .. }), "{fault:?}");
    let emit = "(call $emit (i32.const 0) (i32.const 3) (i32.const 2) (i32.const 0) (i32.const 320) (i32.const 2))";
    let message = broken(maker().process(emit));
    assert!(message.contains("values has 0 bytes where 2 rows need 16"), "{message}");
}

#[test]
fn rows_may_delete_their_key_where_there_are_current_rows() {
    let emitting = |kind, deletes: &[u8]| {
        let mut guest = keeper();
        let n = Field::new("n", DataType::Int64, false);
        guest.outputs =
            vec![Output { kind, sort_key: vec!["n".to_owned()], ..Output::append("t", vec![(n, Origin::Input(0))]) }];
        let at = guest.place(deletes);
        guest.process = format!(
            "(call $emit_and_delete (i32.const 0) (i32.const 0) {NOTHING} (i32.const {at}) (i32.const {}) {NOTHING})",
            deletes.len()
        );
        guest
    };
    let answer = run(emitting(TableKind::Current, &[0b1111_1010]), &mut state(), LIMITS).unwrap();
    assert_eq!(answer.emitted[0].deletes, Some(BooleanArray::from(vec![false, true, false])));
    let answer = run(emitting(TableKind::Current, &[]), &mut state(), LIMITS).unwrap();
    assert_eq!(answer.emitted[0].deletes, None);
    let message = broken(emitting(TableKind::Current, &[0, 0]));
    assert!(message.contains("table t") && message.contains("deletes has 2 bytes where 3 rows need 1"), "{message}");
    let message = broken(emitting(TableKind::Append, &[0b010]));
    assert!(message.contains("table t: deletes, but its rows stay"), "{message}");
}

#[test]
fn the_watermark_reaches_start() {
    let mut guest = keeper();
    guest.start = "(if (i32.eqz (local.get $watermark_is_there)) (then (unreachable)))
        (if (i64.ne (local.get $watermark) (i64.const -42)) (then (unreachable)))"
        .to_owned();
    let plugin = load(guest);
    let with = |watermark_ms| plugin.instance(&Context { watermark_ms, ..context() }, LIMITS);
    assert!(with(Some(-42)).is_ok());
    assert!(with(None).is_err());
    assert!(with(Some(42)).is_err());
}

#[test]
fn state_and_event_time_are_described() {
    let description = load(keeper()).description().clone();
    assert_eq!(description.contract, "0.3");
    assert_eq!(description.state, Some(StateDescription { version: 3, reads: vec![1, 2], tables: tables() }));
    assert_eq!(description.event_time, Some(EventTime { delay_ms: 5_000, idle_ms: Some(1 << 33) }));
    let description = load(Guest::new()).description().clone();
    assert_eq!((description.state, description.event_time), (None, None));
}

#[test]
fn state_that_can_not_be_is_refused_in_words() {
    let table = |name: &str, on_expire| StateTable { name: name.to_owned(), on_expire };
    let problems = |state: StateDescription, event_time| {
        let mut guest = keeper();
        (guest.state, guest.event_time) = (Some(state), event_time);
        match HOST.load(guest.module()).err() {
            Some(LoadError::Description { problems }) => problems,
            other => panic!("{other:?}"),
        }
    };
    let tables = vec![table("a", OnExpire::Drop), table("a", OnExpire::Call), table("", OnExpire::Drop)];
    assert_eq!(
        problems(StateDescription { version: 2, reads: vec![1, 2], tables }, None),
        [
            "it reads state of version 2, which is its own: name older ones",
            r#"state table "a" occurs twice"#,
            r#"state table "a" calls when entries expire, but without event time none ever does"#,
            "state table name is empty",
        ]
    );
    let none = StateDescription { version: 1, reads: vec![], tables: vec![] };
    let long = EventTime { delay_ms: u64::MAX, idle_ms: Some(u64::MAX) };
    let said = problems(none, Some(long));
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said.iter().any(|problem| problem == "it keeps state, but describes no state table"), "{said:?}");
    let many = (0..17).map(|index| table(&index.to_string(), OnExpire::Drop)).collect();
    assert_eq!(
        problems(StateDescription { version: 1, reads: vec![], tables: many }, None),
        ["state tables: 17 are described, at most 16 are possible"]
    );
}

#[test]
fn expire_has_to_be_exported() {
    let mut guest = keeper();
    guest.wit = guest.wit.replace("export expire:", "export other:");
    let error = HOST.load(guest.module()).err().unwrap();
    assert!(error.to_string().contains("expire") || error.to_string().contains("other"), "{error}");
}
