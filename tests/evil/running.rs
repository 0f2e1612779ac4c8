//! What guests do while they run: each entry, each host function, each thing that grows.

use engine::disposition::in_words;
use engine::plugin::{Fault, Host, Instance, Limits, Plugin};
use engine::state::Due;

use super::guest::{FOREVER, Guest};
use super::neighbour::state;
use super::{Case, LIMITS, batch, context, run};

const LATE: &str = "longer than";

#[test]
fn a_loop_or_trap_in_any_entry_ends_its_guest_alone() {
    let with = |name: &str, change: fn(&mut Guest)| {
        let mut guest = Guest::new(name);
        change(&mut guest);
        guest
    };
    let core_start = "(func $begin (loop $forever (br $forever))) (start $begin)";
    let trap_at_start = "(func $begin (unreachable)) (start $begin)";
    run(vec![
        case("loop: core start function", Guest { more: core_start.to_owned(), ..Guest::new("a") }, LATE),
        case("loop: describe", with("b", |it| it.describe = FOREVER.to_owned()), LATE),
        case("loop: start", with("c", |it| it.start = FOREVER.to_owned()), LATE),
        case("loop: process", with("d", |it| it.process = FOREVER.to_owned()), LATE),
        expiring("loop: expire", with("e", |it| it.expire = FOREVER.to_owned()), LATE),
        case("loop: allocator", with("f", |it| it.realloc = format!("{FOREVER} (i32.const 0)")), LATE),
        case("loop: post-return", with("g", |it| it.post_process = FOREVER.to_owned()), LATE),
        case("loop: memory.grow by nothing", grows("h", 0), LATE),
        case("trap: core start function", Guest { more: trap_at_start.to_owned(), ..Guest::new("i") }, "unreachable"),
        case("trap: describe", with("j", |it| it.describe = "(unreachable)".to_owned()), "unreachable"),
        case("trap: start", with("k", |it| it.start = "(unreachable)".to_owned()), "unreachable"),
        case("trap: process", with("l", |it| it.process = "(unreachable)".to_owned()), "unreachable"),
        expiring("trap: expire", with("m", |it| it.expire = "(unreachable)".to_owned()), "unreachable"),
        case("trap: allocator", with("n", |it| it.realloc = "(unreachable)".to_owned()), "unreachable"),
        case("trap: post-return", with("o", |it| it.post_process = "(unreachable)".to_owned()), "unreachable"),
    ]);
}

#[test]
fn nothing_that_a_guest_makes_grow_grows_without_bound() {
    let recursion = "(func $deep (param i64) (result i64) (i64.add (i64.const 1) (call $deep (local.get 0))))";
    let indirect = "(type $f (func)) (table 1 funcref) (elem (i32.const 0) $deep)
        (func $deep (call_indirect (type $f) (i32.const 0)) (call_indirect (type $f) (i32.const 0)))";
    let deep = |name: &str, more: &str, call: &str| Guest { more: more.to_owned(), ..Guest::process(name, call) };
    let initial = |name: &str, memory: &str| Guest { memory: memory.to_owned(), ..Guest::new(name) };
    let table = |name: &str, table: &str| Guest { more: table.to_owned(), ..Guest::new(name) };
    let memory = "bytes of memory";
    run(vec![
        case("memory: grows page by page", grows("a", 1), memory),
        case("memory: grows to 4 GiB at once", grows("b", 65_000), memory),
        case("memory: born with 3 GiB", initial("c", "49152"), memory),
        case("memory: born larger than it may be", initial("d", "1024 1024"), memory),
        storms(),
        case("table: 10,000,000 elements", table("e", "(table 10000000 funcref)"), "elements in a table"),
        case("table: 4,000,000,000 elements", table("f", "(table 4000000000 funcref)"), "table"),
        case("stack: recursion", deep("g", recursion, "(drop (call $deep (i64.const 0)))"), "stack overflowed"),
        case("stack: recursion through a table", deep("h", indirect, "(call $deep)"), "stack overflowed"),
        case("output: rows without end", floods("i", EMIT_AGAIN), "emitted more than"),
        case("output: rows of nothing without end", floods("j", &emit_rows(2)), "emitted more than"),
        case("output: one list of 3 GiB", emits_list("k", 0, 0xc000_0000), "broke the contract"),
        case("rejects: 8,000 with the same text", rejects("l"), "emitted more than"),
        case("error: of 16 MiB", fails("m", 16 << 20), "emitted more than"),
        case(
            "log: lines of 60 KB without end",
            floods("n", "(call $log (i32.const 1) (i32.const 65536) (i32.const 60000))"),
            LATE,
        ),
        case(
            "log: lines of nothing without end",
            floods("o", "(call $log (i32.const 3) (i32.const 0) (i32.const 0))"),
            LATE,
        ),
        case("counters: names without end", counts("p"), "names are counted already"),
        case(
            "counters: a name of 200 KB",
            floods("q", "(call $count (i32.const 65536) (i32.const 190000) (i64.const 1))"),
            "a name is",
        ),
        case(
            "counters: the largest number, again and again",
            floods("r", "(call $count (i32.const 2048) (i32.const 1) (i64.const -1))"),
            LATE,
        ),
        case("state: keys without end", keys("s"), "keeps too much"),
        case("state: more than may be kept", keeps("t"), "keeps too much"),
        case("state: deletes without end", deletes("x"), "of state in one call"),
        case("state: reads without end", reads("u"), "of state in one call"),
        case("state: a million keys of nothing", floods("v", &get(0, 0x8000_0000_u32)), "broke the contract"),
        case(
            "state: no such table",
            floods(
                "w",
                "(call $delete (i32.const 77) (i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0))",
            ),
            "broke the contract",
        ),
    ]);
}

#[test]
fn lies_about_pointers_lengths_and_text_are_seen() {
    let contract = "broke the contract";
    let answers = |name: &str, answer: &str| Guest { realloc: answer.to_owned(), ..Guest::new(name) };
    let bad_text = |name: &str, call: &str| Guest { data: b"\xff\xfe\xc0\x80".to_vec(), ..floods(name, call) };
    run(vec![
        case("allocator: answers the end of the address space", answers("a", "(i32.const -1)"), contract),
        case("allocator: answers behind its memory", answers("b", "(i32.const 0x7fffffff)"), contract),
        case("allocator: answers what is not aligned", answers("c", "(i32.const 33333)"), contract),
        any("allocator: answers the same place for everything", answers("d", "(i32.const 40000)")),
        any("allocator: answers its own description", answers("e", "(i32.const 4096)")),
        case("lists: beyond the memory", emits_list("f", 0x00f0_0000, 64), contract),
        case("lists: address and length wrap around", emits_list("g", 0xffff_fff8, 0xffff_fff8), contract),
        case("lists: not aligned", Guest::process("h", &emit_at(3, 2)), contract),
        any("lists: overlap each other", emits_list("i", 0, 16)),
        case("variant: no such case", floods("j", &emit_rows(9)), contract),
        case(
            "text: a log line that is no UTF-8",
            bad_text("k", "(call $log (i32.const 1) (i32.const 2048) (i32.const 4))"),
            contract,
        ),
        case(
            "text: a name that is no UTF-8",
            bad_text("l", "(call $count (i32.const 2048) (i32.const 4) (i64.const 1))"),
            contract,
        ),
        case(
            "text: an error that is no UTF-8",
            Guest {
                data: b"\x01\0\0\0\x0c\x08\0\0\x04\0\0\0\xff\xfe\xc0\x80".to_vec(),
                ..Guest::process("m", "(return (i32.const 2048))")
            },
            contract,
        ),
        case("result: beyond the memory", Guest::process("n", "(return (i32.const -4))"), contract),
        case("result: not aligned", Guest::process("o", "(return (i32.const 17))"), contract),
        case("calls the host while it starts", Guest { start: emit_rows(0), ..Guest::new("p") }, contract),
        case("calls the host while it describes itself", Guest { describe: get(0, 8), ..Guest::new("q") }, contract),
        case(
            "calls the host from its allocator",
            Guest { realloc: format!("{} (local.get $at)", emit_rows(0)), ..Guest::new("r") },
            "cannot leave component",
        ),
        case("describes a million columns that are one", describes_columns("s"), "could not describe itself"),
    ]);
}

/// A guest over three numbers.
fn case(name: &'static str, guest: Guest, expected: &'static str) -> Case {
    Case { name, expected: vec![expected], run: Box::new(move |host| words(process(host, &guest))) }
}

/// What it does may be its own affair: only that the host takes no harm counts.
fn any(name: &'static str, guest: Guest) -> Case {
    Case { expected: vec![""], ..case(name, guest, "") }
}

fn expiring(name: &'static str, guest: Guest, expected: &'static str) -> Case {
    let run = move |host: &Host| {
        let call = |instance: &mut Instance, plugin: &Plugin| {
            let due = Due {
                table: 1,
                key_offsets: vec![0, 0],
                value_offsets: vec![0, 0],
                expiries: vec![1],
                ..Due::default()
            };
            instance.expire(&due, &mut state(plugin)).map(drop)
        };
        words(load(host, &guest).and_then(|plugin| called(&plugin, LIMITS, call)))
    };
    Case { name, expected: vec![expected], run: Box::new(run) }
}

/// Fifty guests, one after the other, each of which takes all the memory that it may.
fn storms() -> Case {
    let run = |host: &Host| {
        let guest = Guest::process(
            "storm",
            &format!(
                "(drop (memory.grow (i32.const 400))) (memory.fill (i32.const 65536) (i32.const 0xa5) (i32.const {}))",
                400 * 65_536
            ),
        );
        let plugin = load(host, &guest).expect("it loads");
        let all = (0..50).try_for_each(|_| called(&plugin, LIMITS, numbers));
        words(all)
    };
    Case { name: "memory: 50 guests that take 25 MiB each", expected: vec!["harmless"], run: Box::new(run) }
}

fn load(host: &Host, guest: &Guest) -> Result<Plugin, String> {
    host.load(guest.module()).map(|plugin| plugin.of("evil", &guest.name)).map_err(|error| in_words(&error))
}

fn process(host: &Host, guest: &Guest) -> Result<(), String> {
    load(host, guest).and_then(|plugin| called(&plugin, LIMITS, numbers))
}

fn numbers(instance: &mut Instance, plugin: &Plugin) -> Result<(), Fault> {
    instance.process(&batch(plugin, vec![1, 2, 3]), &mut state(plugin)).map(drop)
}

fn called(
    plugin: &Plugin,
    limits: Limits,
    call: impl FnOnce(&mut Instance, &Plugin) -> Result<(), Fault>,
) -> Result<(), String> {
    let called = plugin.instance(&context(), limits).and_then(|mut instance| call(&mut instance, plugin));
    called.map_err(|fault| in_words(&fault))
}

fn words(ended: Result<(), String>) -> String {
    ended.map_or_else(|words| words, |()| "harmless".to_owned())
}

fn floods(name: &str, call: &str) -> Guest {
    Guest { data: b"x".to_vec(), ..Guest::process(name, &format!("(loop $again {call} (br $again))")) }
}

fn grows(name: &str, pages: u32) -> Guest {
    floods(name, &format!("(drop (memory.grow (i32.const {pages})))"))
}

/// `emit` of two empty lists, for rows: 0 all, 2 taken, of which there are none.
fn emit_rows(case: u32) -> String {
    format!(
        "(call $emit (i32.const 0) (i32.const {case}) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 2))"
    )
}

/// What came in, once more.
const EMIT_AGAIN: &str =
    "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
    (local.get $buffers) (local.get $count))";

fn emit_at(at: u32, lists: u32) -> String {
    format!(
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {at})
            (i32.const {lists}))"
    )
}

/// Emits one column whose both buffers lie there and are as long.
fn emits_list(name: &str, at: u32, bytes: u32) -> Guest {
    let words = [at, bytes, at, bytes].map(u32::to_le_bytes).concat();
    Guest { data: words, ..Guest::process(name, &emit_at(2048, 2)) }
}

/// 8,000 rejects of rows, all of whose texts lie at the same place.
fn rejects(name: &str) -> Guest {
    let process = "(global.set $at (i32.const 65536))
        (loop $fill
            (i32.store (global.get $at) (i32.wrap_i64 (global.get $k)))
            (i32.store offset=4 (global.get $at) (i32.const 4096)) (i32.store offset=8 (global.get $at) (i32.const 1000))
            (i32.store offset=12 (global.get $at) (i32.const 4096)) (i32.store offset=16 (global.get $at) (i32.const 1000))
            (global.set $k (i64.add (global.get $k) (i64.const 1)))
            (global.set $at (i32.add (global.get $at) (i32.const 20)))
            (br_if $fill (i32.lt_u (global.get $at) (i32.const 225536))))
        (memory.fill (i32.const 4096) (i32.const 120) (i32.const 1000))
        (return (i32.const 2048))";
    let data = [0_u32, 65_536, 8_000].map(u32::to_le_bytes).concat();
    Guest { data, memory: "4".to_owned(), more: GLOBALS.to_owned(), ..Guest::process(name, process) }
}

fn fails(name: &str, bytes: u32) -> Guest {
    let data = [1, 65_536, bytes].map(u32::to_le_bytes).concat();
    Guest { data, memory: "400".to_owned(), ..Guest::process(name, "(return (i32.const 2048))") }
}

/// Counts by one name after the other: eight letters that change.
fn counts(name: &str) -> Guest {
    let next = "(i64.store (i32.const 2048) (i64.add (i64.const 0x6161616161616161) (i64.and (global.get $k) (i64.const 0x0f0f))))
        (global.set $k (i64.add (global.get $k) (i64.const 1)))
        (call $count (i32.const 2048) (i32.const 8) (i64.const 1))";
    Guest { more: "(global $k (mut i64) (i64.const 0))".to_owned(), ..floods(name, next) }
}

/// 4,096 new keys at 65536.
const NEW_KEYS: &str = "(global.set $at (i32.const 65536))
    (loop $fill
        (i64.store (global.get $at) (global.get $k))
        (global.set $k (i64.add (global.get $k) (i64.const 1)))
        (global.set $at (i32.add (global.get $at) (i32.const 8)))
        (br_if $fill (i32.lt_u (global.get $at) (i32.const 98304))))";
const GLOBALS: &str = "(global $k (mut i64) (i64.const 0)) (global $at (mut i32) (i32.const 0))";
const THESE_KEYS: &str = "(i32.const 0) (i32.const 8) (i32.const 65536) (i32.const 32768) (i32.const 0)";

fn keys(name: &str) -> Guest {
    let put =
        format!("{NEW_KEYS} (call $insert (i32.const 0) {THESE_KEYS} (i32.const 0) (i32.const 0) (i32.const 1024))");
    // What the host gives back is taken from the heap: begun anew each time.
    Guest { more: GLOBALS.to_owned(), ..floods(name, &format!("(global.set $heap (i32.const 32768)) {put}")) }
}

fn deletes(name: &str) -> Guest {
    let delete = format!("{NEW_KEYS} (call $delete (i32.const 0) {THESE_KEYS})");
    Guest { more: GLOBALS.to_owned(), ..floods(name, &delete) }
}

/// Values of 256 bytes under each key: beyond the quota before the call has written all that it may.
fn keeps(name: &str) -> Guest {
    let values = "(i32.const 0) (i32.const 256) (i32.const 131072) (i32.const 1048576) (i32.const 0)";
    let put = format!("{NEW_KEYS} (call $put (i32.const 0) {THESE_KEYS} {values} (i32.const 0) (i32.const 0))");
    Guest { more: GLOBALS.to_owned(), memory: "32".to_owned(), ..floods(name, &put) }
}

/// Writes a value of 32 KB once and reads it again and again.
fn reads(name: &str) -> Guest {
    let value = "(i32.const 0) (i32.const 32768) (i32.const 65536) (i32.const 32768) (i32.const 0)";
    let key = "(i32.const 0) (i32.const 8) (i32.const 0) (i32.const 8) (i32.const 0)";
    let process = format!(
        "(call $put (i32.const 0) {key} {value} (i32.const 0) (i32.const 0))
         (loop $again (global.set $heap (i32.const 32768)) {} (br $again))",
        get(0, 8)
    );
    Guest { memory: "4".to_owned(), ..Guest::process(name, &process) }
}

/// `get-many` of keys of 8 bytes at an address.
fn get(at: u32, bytes: u32) -> String {
    format!(
        "(call $get (i32.const 0) (i32.const 0) (i32.const 8) (i32.const {at}) (i32.const {bytes}) (i32.const 0)
            (i32.const 1024))"
    )
}

/// A description whose list of columns says that it is a million long.
fn describes_columns(name: &str) -> Guest {
    // name, version, then address and length of the columns.
    Guest {
        describe: "(i32.store (i32.add (i32.const 20) (call $at)) (i32.const 1000000))".to_owned(),
        more: "(func $at (result i32) (i32.const 4096))".to_owned(),
        memory: "2000".to_owned(),
        ..Guest::new(name)
    }
}
