//! Memory that one tenant's plugin has used and another's gets: nothing of it may be left.

use engine::disposition::in_words;
use engine::plugin::{Host, HostSettings, Plugin};

use super::guest::Guest;
use super::neighbour::state;
use super::{LIMITS, batch, context};

/// How often the memory changes hands.
const ROUNDS: usize = 40;
/// What the first one leaves in all its memory, table and globals.
const CANARY: &str = "0x5ca1ab1e0ddba11a";
/// Adds up how often the canary lies in the whole memory, and traps if it does.
const SCAN: &str = "(global.set $at (i32.const 0))
    (loop $words
        (if (i64.eq (i64.load (global.get $at)) (i64.const 0x5ca1ab1e0ddba11a)) (then (unreachable)))
        (global.set $at (i32.add (global.get $at) (i32.const 8)))
        (br_if $words (i32.lt_u (global.get $at) (i32.mul (memory.size) (i32.const 65536)))))";
const GLOBALS: &str = "(global $at (mut i32) (i32.const 0)) (global $mark (mut i64) (i64.const 0))";

/// Fills its memory from the description on with the canary, after growing to so many pages. Its first pages come with it,
/// as data that the pool maps.
fn planter(pages: u32) -> Guest {
    let bytes = u64::from_str_radix(&CANARY[2..], 16).expect("hexadecimal").to_le_bytes();
    let data = bytes.repeat(256); // up to the description
    let process = format!(
        "(drop (memory.grow (i32.sub (i32.const {pages}) (memory.size))))
         (global.set $at (i32.const 65536))
         (loop $words
            (i64.store (global.get $at) (i64.const {CANARY}))
            (global.set $at (i32.add (global.get $at) (i32.const 8)))
            (br_if $words (i32.lt_u (global.get $at) (i32.const {}))))
         (global.set $mark (i64.const {CANARY}))",
        pages * 65_536
    );
    let table = "(table 20000 funcref) (elem (i32.const 0) func $secret) (func $secret)";
    let more = format!("{GLOBALS} {table}");
    Guest { data, more, ..Guest::process(&format!("planter of {pages}"), &process) }
}

/// Looks for the canary before and after each growth to so many pages; its table has to be empty, its globals nought.
fn scanner(pages: u32, memory: &str) -> Guest {
    let process = format!(
        "{SCAN}
         (loop $grow
            (drop (memory.grow (i32.const 37)))
            {SCAN}
            (br_if $grow (i32.lt_u (memory.size) (i32.const {pages}))))
         (if (i64.ne (global.get $mark) (i64.const 0)) (then (unreachable)))"
    );
    let more = format!("{GLOBALS} (type $nothing (func)) (table 20000 funcref)");
    Guest { more, memory: memory.to_owned(), ..Guest::process(&format!("scanner from {memory}"), &process) }
}

/// Calls each entry of its table in turn, and so ends with the trap of the first, which has to be of an empty one.
fn caller() -> Guest {
    let more = format!("{GLOBALS} (type $nothing (func)) (table 20000 funcref)");
    Guest { more, ..Guest::process("caller", "(call_indirect (type $nothing) (i32.const 0))") }
}

fn load(host: &Host, guest: &Guest) -> Plugin {
    host.load(guest.module()).expect("it loads").of("a tenant", &guest.name)
}

fn call(plugin: &Plugin) -> Result<(), String> {
    let mut instance = plugin.instance(&context(), LIMITS).expect("the slot is free");
    instance.process(&batch(plugin, vec![1]), &mut state(plugin)).map(drop).map_err(|fault| in_words(&fault))
}

#[test]
fn nothing_of_one_tenants_memory_is_left_for_the_next() {
    // One slot: the next instance gets the very same memory.
    let host =
        Host::new(HostSettings { instances: 1, ..HostSettings::default() }).expect("this machine runs WebAssembly");
    // Below and above what stays resident between two instances.
    let planters: Vec<_> = [8, 100, 128, 129, 400].into_iter().map(|pages| load(&host, &planter(pages))).collect();
    let scanners: Vec<_> = ["1", "4", "300"].into_iter().map(|memory| load(&host, &scanner(450, memory))).collect();
    let caller = load(&host, &caller());
    for round in 0..ROUNDS {
        for scanner in &scanners {
            let planter = &planters[round % planters.len()];
            call(planter).expect("it fills what it may have");
            let found = call(scanner);
            assert!(
                found.is_ok(),
                "round {round}: {} after {}: {found:?}",
                scanner.description().name,
                planter.description().name
            );
        }
        call(&planters[round % planters.len()]).expect("it fills what it may have");
        let refused = call(&caller).expect_err("its table is empty");
        assert!(refused.contains("uninitialized element"), "round {round}: a table had something left: {refused}");
    }
}

/// The scan sees a canary where there is one: the memory of an instance stays its own from call to call.
#[test]
fn the_canary_is_seen_where_it_must_be() {
    let host =
        Host::new(HostSettings { instances: 1, ..HostSettings::default() }).expect("this machine runs WebAssembly");
    let plant = planter(100).process;
    let both = Guest {
        more: format!("{GLOBALS} (type $nothing (func)) (table 20000 funcref)"),
        ..Guest::process("both", &format!("{SCAN} {plant}"))
    };
    let plugin = load(&host, &both);
    let mut instance = plugin.instance(&context(), LIMITS).expect("the slot is free");
    let rows = batch(&plugin, vec![1]);
    instance.process(&rows, &mut state(&plugin)).expect("nothing is there yet");
    let found = instance.process(&rows, &mut state(&plugin)).expect_err("what the first call left");
    assert!(in_words(&found).contains("unreachable"), "{found:?}");
}
