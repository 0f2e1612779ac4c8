//! Plugins in WebAssembly text, so that a simulation needs no toolchain.

use bytes::Bytes;
use serde_json::{Value, json};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use super::canonical::Memory;

const WIT: &str = include_str!("../../../schemas/wit/0.3/transform.wit");

/// Address of the guest's description. Below it are zeros: 16 of them at 16 are `ok` of a result, and room for what calls
/// of the host give back.
const DATA: u32 = 1024;
/// Where its heap begins.
const HEAP: u32 = 8192;

/// The functions of the host, as a core module imports them.
const IMPORTS: &str = r#"
    (import "engine:plugin/host@0.3.0" "emit" (func $emit (param i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "engine:plugin/host@0.3.0" "event-time" (func $event_time (param i64)))
    (import "engine:plugin/host@0.3.0" "count" (func $count (param i32 i32 i64)))
    (import "engine:plugin/state@0.3.0" "get-many" (func $get (param i32 i32 i32 i32 i32 i32 i32)))
    (import "engine:plugin/state@0.3.0" "put-many"
        (func $put (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
    (import "engine:plugin/state@0.3.0" "insert-if-absent-many"
        (func $insert (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))"#;

/// A plugin that reads a column `n` of Debezium envelopes and passes each row on to a table `passed`.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn passing_plugin() -> Bytes {
    plugin(&passing_description(), PASS, "(unreachable)", "")
}

/// The same plugin with a bug: it traps on every row.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn trapping_plugin() -> Bytes {
    plugin(&passing_description(), "(unreachable)", "(unreachable)", "")
}

/// The same plugin, which traps on every row while its clock shows less than this.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn late_plugin(from_ms: i64) -> Bytes {
    let trap = format!("(if (i64.lt_s (global.get $now) (i64.const {from_ms})) (then (unreachable)))");
    plugin(&passing_description(), &format!("{trap} {PASS}"), "(unreachable)", "")
}

/// The same plugin, which traps on these numbers.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn poisoned_plugin(poison: &[i64]) -> Bytes {
    let is = |n: &i64| format!("(if (i64.eq (local.get $n) (i64.const {n})) (then (unreachable)))");
    let poison: String = poison.iter().map(is).collect();
    let process = format!(
        "(local $at i32) (local $end i32) (local $n i64)
        (local.set $at (i32.load offset=8 (local.get $buffers)))
        (local.set $end (i32.add (local.get $at) (i32.mul (local.get $rows) (i32.const 8))))
        (block $done (loop $next
            (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
            (local.set $n (i64.load (local.get $at)))
            {poison}
            (local.set $at (i32.add (local.get $at) (i32.const 8)))
            (br $next)))
        {PASS}"
    );
    plugin(&described_passing(true), &process, "(unreachable)", "")
}

/// Passes each row on.
const PASS: &str = "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (i32.const 0) (i32.const 0)) (i32.const 16)";

fn passing_description() -> Value {
    described_passing(false)
}

/// `crosses`: the plugin sees the column.
fn described_passing(crosses: bool) -> Value {
    json!({
        "name": "passing", "version": "1.0.0",
        "input": { "columns": [input_column("n", crosses)], "format": "envelope" },
        "outputs": [output("passed", "append", &[output_column("n", &json!({ "input": 0 }))], &[])],
        "parameters": [], "state": null, "event-time": null,
    })
}

/// An input column of 64-bit integers.
pub(crate) fn input_column(name: &str, crosses: bool) -> Value {
    json!({ "column": column(name), "source": { "row": name }, "required": true, "crosses": crosses })
}

/// An output column of 64-bit integers.
pub(crate) fn output_column(name: &str, origin: &Value) -> Value {
    json!({ "column": column(name), "origin": origin, "clickhouse-type": null, "codec": null, "doc": null })
}

pub(crate) fn output(table: &str, kind: &str, columns: &[Value], sort_key: &[&str]) -> Value {
    json!({ "table": table, "kind": kind, "columns": columns, "sort-key": sort_key, "partition-by": null, "indexes": [] })
}

fn column(name: &str) -> Value {
    json!({ "name": name, "data-type": { "scalar": "int64" }, "nullable": false })
}

/// A plugin of this description. `process` has the parameters `$rows`, `$buffers` (an address) and `$count`; `expire` has
/// `$table`, `$key_offsets`, `$keys`, … as pairs of address and length; both end with the address of their result.
pub(crate) fn plugin(description: &Value, process: &str, expire: &str, more: &str) -> Bytes {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", WIT).expect("the contract");
    let mut memory = Memory::new(&resolve, DATA);
    let address = memory.value("description", description);
    assert!(memory.bytes.len() < (HEAP - DATA) as usize, "the heap begins behind the description");
    let data: String = memory.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
    // Memory is taken from the heap and given back after a call.
    let text = format!(
        r#"(module
        {IMPORTS}
        (memory (export "memory") 4)
        (global $heap (mut i32) (i32.const {HEAP}))
        (func $alloc (param $align i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and
                (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get $align))))
            (global.set $heap (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
        (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
            (call $alloc (local.get $align) (local.get $size)))
        (func (export "describe") (result i32) (i32.const {address}))
        (global $now (mut i64) (i64.const 0))
        (func (export "start") (param i32 i32) (param $clock i64) (param i32 i64) (result i32)
            (global.set $now (local.get $clock))
            (i32.const 16))
        (func (export "process") (param $rows i32) (param $buffers i32) (param $count i32) (result i32)
            {process})
        (func (export "cabi_post_process") (param i32) (global.set $heap (i32.const {HEAP})))
        (func (export "expire") (param $table i32) (param $key_offsets i32) (param $key_count i32) (param $keys i32)
            (param $key_bytes i32) (param $value_offsets i32) (param $value_count i32) (param $values i32)
            (param $value_bytes i32) (param $expiries i32) (param $expired i32) (result i32)
            {expire})
        (func (export "cabi_post_expire") (param i32) (global.set $heap (i32.const {HEAP})))
        {more}
        (data (i32.const {DATA}) "{data}"))"#
    );
    let mut module = wat::parse_str(text).expect("WebAssembly text");
    let world = resolve.select_world(&[package], Some("transform")).expect("the contract has one world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("a module");
    module.into()
}
