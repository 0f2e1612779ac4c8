//! A plugin that remembers, and what it does in plain Rust.
//!
//! Of events with an `id`, a key `k` and a time `t` it passes on those whose id it has not seen within a horizon, to
//! `fresh`, and counts those of each key. A key's count is shown as it grows in `counts`, and when no event of the key has
//! come for a while, by the watermark, it is final: a row of `closed`, and the last one in `counts`, deleted where the key is
//! even. Events of key 4 are counted and not shown, so that they change the state alone. A key of -1 makes it trap after it has
//! written to its state; on the final count of key 5 it traps as well. In `memory` it says how many rows its instance had
//! seen before the call.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::guest::{input_column, output, output_column, plugin};

/// How long an id is remembered, ms of event time: those from [`FOREVER`] on for ever.
pub const HORIZON: i64 = 5_000;
/// Ids from this on are never forgotten.
pub const FOREVER: i64 = 1_000;
/// How long a key's count stays open behind its last event.
pub const GAP: i64 = 2_000;
/// How far out of order events may come.
pub const DELAY: i64 = 1_000;
/// The key whose events are counted and not shown.
pub const SILENT: i64 = 4;
/// The key on which the plugin traps.
pub const POISON: i64 = -1;
/// The key whose count it traps on when it is final.
pub const CURSED: i64 = 5;

/// How long days are on which [`unsteady_plugin`] works, and those on which it does not, ms: a power of two.
pub const DAY: i64 = 4_096;

/// Memory that is too little for what the plugin remembers, so that most of it goes to the disk.
pub const LITTLE: usize = 500;

/// The plugin. Those of different versions do the same and are different files.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn remembering_plugin(version: &str, state_version: u32, reads: &[u32]) -> Bytes {
    plugin(&description(version, state_version, reads), PROCESS, EXPIRE, "(global $seen (mut i64) (i64.const 0))")
}

/// The plugin with a bug: it traps on a key on which it should not.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn faulty_plugin(version: &str, state_version: u32, reads: &[u32], key: i64) -> Bytes {
    let of_key = |key: i64| {
        format!(
            "(if (i64.eq (i64.load (i32.add (local.get $ks) (local.get $at))) (i64.const {key})) (then (unreachable)))"
        )
    };
    let process = PROCESS.replace(&of_key(POISON), &format!("{} {}", of_key(POISON), of_key(key)));
    assert_ne!(process, PROCESS, "the place of the bug is there");
    plugin(&description(version, state_version, reads), &process, EXPIRE, "(global $seen (mut i64) (i64.const 0))")
}

/// The plugin on bad days: it traps on whatever it is given while the clock shows an odd number of [`DAY`]s.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn unsteady_plugin(version: &str) -> Bytes {
    let trap =
        format!("(if (i64.ne (i64.and (global.get $now) (i64.const {DAY})) (i64.const 0)) (then (unreachable)))");
    let [process, expire] = [(PROCESS, "(local.set $ids "), (EXPIRE, "(local.set $bits ")].map(|(text, first)| {
        let (locals, body) = text.split_once(first).expect("its first statement is there");
        format!("{locals} {trap} {first}{body}")
    });
    plugin(&description(version, 1, &[]), &process, &expire, "(global $seen (mut i64) (i64.const 0))")
}

fn description(version: &str, state_version: u32, reads: &[u32]) -> Value {
    let made = |name: &str| output_column(name, &json!("made"));
    let taken = |name: &str, index: u32| output_column(name, &json!({ "input": index }));
    let fresh = [taken("id", 0), taken("k", 1), taken("t", 2), made("count"), made("memory")];
    json!({
        "name": "remembering", "version": version,
        "input": {
            "columns": [input_column("id", true), input_column("k", true), input_column("t", true)],
            "format": "envelope",
        },
        "outputs": [
            output("fresh", "append", &fresh, &[]),
            output("counts", "current", &[made("k"), made("count"), made("final")], &["k"]),
            output("closed", "append", &[made("k"), made("count"), made("expiry")], &[]),
        ],
        "parameters": [],
        "state": {
            "version": state_version, "reads": reads,
            "tables": [{ "name": "ids", "on-expire": "drop" }, { "name": "open", "on-expire": "call" }],
        },
        "event-time": { "delay-ms": DELAY, "idle-ms": null },
    })
}

/// A row of `fresh`: id, key, time, the key's count with it, and what the instance had seen.
pub type Fresh = [i64; 5];
/// A row of `closed`: key, count, expiry.
pub type Closed = [i64; 3];

/// What the plugin does, over a state of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Model {
    /// When each id is forgotten.
    pub ids: BTreeMap<i64, i64>,
    /// Count and expiry of each key.
    pub open: BTreeMap<i64, (i64, i64)>,
    /// The last row of each key in `counts`: count, whether it is final.
    pub counts: BTreeMap<i64, (i64, bool)>,
    /// Final counts on which the plugin trapped: dead letters.
    pub lost: usize,
}

impl Model {
    /// What expires at a watermark, in order.
    pub fn expire(&mut self, watermark: Option<i64>) -> Vec<Closed> {
        let Some(watermark) = watermark else { return Vec::new() };
        self.ids.retain(|_, expiry| *expiry > watermark);
        let due = self.open.iter().filter(|(_, (_, expiry))| *expiry <= watermark);
        let mut due: Vec<Closed> = due.map(|(&k, &(count, expiry))| [k, count, expiry]).collect();
        // Keys are compared as their bytes lie.
        due.sort_by_key(|[k, _, expiry]| (*expiry, k.to_le_bytes()));
        self.open.retain(|_, (_, expiry)| *expiry > watermark);
        let taken = due.len();
        due.retain(|[k, ..]| *k != CURSED);
        self.lost += taken - due.len();
        for [k, count, _] in &due {
            self.counts.insert(*k, (*count, true));
        }
        due
    }

    /// An event: the row, if it is fresh. An entry that is written with an expiry at or below the watermark is not seen.
    pub fn event(&mut self, [id, k, t]: [i64; 3], watermark: Option<i64>, memory: i64) -> Option<Fresh> {
        let there = |expiry: i64| expiry == i64::MAX || watermark.is_none_or(|watermark| expiry > watermark);
        if self.ids.get(&id).is_some_and(|expiry| there(*expiry)) {
            return None;
        }
        self.ids.insert(id, if id >= FOREVER { i64::MAX } else { t + HORIZON });
        let count = 1 + self.open.get(&k).filter(|(_, expiry)| there(*expiry)).map_or(0, |(count, _)| *count);
        self.open.insert(k, (count, t + GAP));
        if k == SILENT {
            return None;
        }
        self.counts.insert(k, (count, false));
        Some([id, k, t, count, memory])
    }
}

/// Buffers of the batch: validity and values of each column. Results of host calls go to the zeros at 64.
const PROCESS: &str = r"
    (local $ids i32) (local $ks i32) (local $ts i32) (local $i i32) (local $at i32) (local $greatest i64)
    (local $expiries i32) (local $bits i32) (local $one i32) (local $made i32) (local $counts i32) (local $memory i32)
    (local $keys i32) (local $finals i32) (local $list i32) (local $n i64)
    (local.set $ids (i32.load offset=8 (local.get $buffers)))
    (local.set $ks (i32.load offset=24 (local.get $buffers)))
    (local.set $ts (i32.load offset=40 (local.get $buffers)))
    (local.set $expiries (call $alloc (i32.const 8) (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $counts (call $alloc (i32.const 8) (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $memory (call $alloc (i32.const 8) (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $keys (call $alloc (i32.const 8) (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $finals (call $alloc (i32.const 8) (i32.mul (local.get $rows) (i32.const 8))))
    (local.set $one (call $alloc (i32.const 8) (i32.const 16)))
    (local.set $greatest (i64.const -9223372036854775808))
    ;; When each id is forgotten, and the greatest time.
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
        (local.set $at (i32.mul (local.get $i) (i32.const 8)))
        (local.set $n (i64.load (i32.add (local.get $ts) (local.get $at))))
        (if (i64.gt_s (local.get $n) (local.get $greatest)) (then (local.set $greatest (local.get $n))))
        (i64.store (i32.add (local.get $expiries) (local.get $at))
            (select (i64.const 9223372036854775807) (i64.add (local.get $n) (i64.const 5000))
                (i64.ge_s (i64.load (i32.add (local.get $ids) (local.get $at))) (i64.const 1000))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (call $event_time (local.get $greatest))
    (call $insert (i32.const 0) (i32.const 0) (i32.const 8) (local.get $ids) (i32.mul (local.get $rows) (i32.const 8))
        (i32.const 0) (local.get $expiries) (local.get $rows) (i32.const 64))
    (local.set $bits (i32.load (i32.const 64)))
    ;; The count of each fresh row's key.
    (local.set $i (i32.const 0))
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $rows)))
        (local.set $at (i32.mul (local.get $i) (i32.const 8)))
        (if (i32.and (i32.const 1) (i32.shr_u
                (i32.load8_u (i32.add (local.get $bits) (i32.shr_u (local.get $i) (i32.const 3))))
                (i32.and (local.get $i) (i32.const 7))))
            (then
                (call $get (i32.const 1) (i32.const 0) (i32.const 8) (i32.add (local.get $ks) (local.get $at))
                    (i32.const 8) (i32.const 0) (i32.const 64))
                (local.set $n (i64.const 1))
                (if (i32.load8_u (i32.load (i32.const 64)))
                    (then (local.set $n (i64.add (i64.const 1) (i64.load (i32.load (i32.const 80)))))))
                (i64.store (local.get $one) (local.get $n))
                (i64.store offset=8 (local.get $one)
                    (i64.add (i64.load (i32.add (local.get $ts) (local.get $at))) (i64.const 2000)))
                (call $put (i32.const 1)
                    (i32.const 0) (i32.const 8) (i32.add (local.get $ks) (local.get $at)) (i32.const 8) (i32.const 0)
                    (i32.const 0) (i32.const 8) (local.get $one) (i32.const 8) (i32.const 0)
                    (i32.add (local.get $one) (i32.const 8)) (i32.const 1))
                (if (i64.eq (i64.load (i32.add (local.get $ks) (local.get $at))) (i64.const 4)) (then
                    (i32.store8 (i32.add (local.get $bits) (i32.shr_u (local.get $i) (i32.const 3)))
                        (i32.xor (i32.load8_u (i32.add (local.get $bits) (i32.shr_u (local.get $i) (i32.const 3))))
                            (i32.shl (i32.const 1) (i32.and (local.get $i) (i32.const 7))))))
                (else
                (i64.store (i32.add (local.get $counts) (local.get $made)) (local.get $n))
                (i64.store (i32.add (local.get $memory) (local.get $made)) (global.get $seen))
                (i64.store (i32.add (local.get $finals) (local.get $made)) (i64.const 0))
                (i64.store (i32.add (local.get $keys) (local.get $made))
                    (i64.load (i32.add (local.get $ks) (local.get $at))))
                (local.set $made (i32.add (local.get $made) (i32.const 8)))))))
        (if (i64.eq (i64.load (i32.add (local.get $ks) (local.get $at))) (i64.const -1)) (then (unreachable)))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (global.set $seen (i64.add (global.get $seen) (i64.extend_i32_u (local.get $rows))))
    ;; Six buffers, each validity an empty list.
    (local.set $list (call $alloc (i32.const 4) (i32.const 48)))
    (memory.fill (local.get $list) (i32.const 0) (i32.const 48))
    (i32.store offset=8 (local.get $list) (local.get $counts))
    (i32.store offset=12 (local.get $list) (local.get $made))
    (i32.store offset=24 (local.get $list) (local.get $memory))
    (i32.store offset=28 (local.get $list) (local.get $made))
    (call $emit (i32.const 0) (i32.const 1) (local.get $bits) (i32.shr_u (i32.add (local.get $rows) (i32.const 7)) (i32.const 3)) (i32.const 0) (i32.const 0)
        (local.get $list) (i32.const 4))
    (i32.store offset=8 (local.get $list) (local.get $keys))
    (i32.store offset=24 (local.get $list) (local.get $counts))
    (i32.store offset=40 (local.get $list) (local.get $finals))
    (i32.store offset=44 (local.get $list) (local.get $made))
    (call $emit (i32.const 1) (i32.const 1) (local.get $bits) (i32.shr_u (i32.add (local.get $rows) (i32.const 7)) (i32.const 3)) (i32.const 0) (i32.const 0)
        (local.get $list) (i32.const 6))
    (i32.const 16)";

/// Keys, counts and expiries are columns already.
const EXPIRE: &str = r"
    (local $i i32) (local $bits i32) (local $list i32) (local $finals i32) (local $at i32)
    (local.set $bits (call $alloc (i32.const 1) (i32.shr_u (i32.add (local.get $expired) (i32.const 7)) (i32.const 3))))
    (memory.fill (local.get $bits) (i32.const 0) (i32.shr_u (i32.add (local.get $expired) (i32.const 7)) (i32.const 3)))
    (local.set $finals (call $alloc (i32.const 8) (i32.mul (local.get $expired) (i32.const 8))))
    (block $done (loop $next
        (br_if $done (i32.ge_u (local.get $i) (local.get $expired)))
        (i64.store (i32.add (local.get $finals) (i32.mul (local.get $i) (i32.const 8))) (i64.const 1))
        (if (i64.eq (i64.const 5) (i64.load (i32.add (local.get $keys) (i32.mul (local.get $i) (i32.const 8)))))
            (then (unreachable)))
        (local.set $at (i32.add (local.get $bits) (i32.shr_u (local.get $i) (i32.const 3))))
        (if (i64.eqz (i64.and (i64.const 1)
                (i64.load (i32.add (local.get $keys) (i32.mul (local.get $i) (i32.const 8))))))
            (then (i32.store8 (local.get $at) (i32.or (i32.load8_u (local.get $at))
                (i32.shl (i32.const 1) (i32.and (local.get $i) (i32.const 7)))))))
        (local.set $i (i32.add (local.get $i) (i32.const 1)))
        (br $next)))
    (local.set $list (call $alloc (i32.const 4) (i32.const 48)))
    (memory.fill (local.get $list) (i32.const 0) (i32.const 48))
    (i32.store offset=8 (local.get $list) (local.get $keys))
    (i32.store offset=12 (local.get $list) (local.get $key_bytes))
    (i32.store offset=24 (local.get $list) (local.get $values))
    (i32.store offset=28 (local.get $list) (local.get $value_bytes))
    (i32.store offset=40 (local.get $list) (local.get $finals))
    (i32.store offset=44 (local.get $list) (local.get $key_bytes))
    (call $emit (i32.const 1) (i32.const 3) (local.get $expired) (i32.const 0)
        (local.get $bits) (i32.shr_u (i32.add (local.get $expired) (i32.const 7)) (i32.const 3))
        (local.get $list) (i32.const 6))
    (i32.store offset=40 (local.get $list) (local.get $expiries))
    (call $emit (i32.const 2) (i32.const 3) (local.get $expired) (i32.const 0) (i32.const 0) (i32.const 0)
        (local.get $list) (i32.const 6))
    (i32.const 16)";
