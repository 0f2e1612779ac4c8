//! A plugin in WebAssembly text, so that a simulation needs no toolchain: it reads a column `n` of Debezium envelopes
//! and passes each row on to a table `passed`.

use bytes::Bytes;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../../schemas/wit/0.2/transform.wit");

/// Address of the guest's data.
const DATA: u32 = 1024;
/// Where its heap begins.
const HEAP: u32 = 4096;
/// Type code of a scalar that is a 64-bit integer.
const INT64: [u32; 2] = [4 << 8, 0];

/// The plugin's bytes.
///
/// # Panics
/// If they can't be made: the text is fixed.
#[must_use]
pub fn passing_plugin() -> Bytes {
    plugin(
        "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)) (i32.const 16)",
    )
}

/// The same plugin with a bug: it traps on every row.
///
/// # Panics
/// If it can't be made: the text is fixed.
#[must_use]
pub fn trapping_plugin() -> Bytes {
    plugin("(unreachable)")
}

fn plugin(process: &str) -> Bytes {
    let (data, description) = description();
    let data: String = data.iter().map(|byte| format!("\\{byte:02x}")).collect();
    // 16 zero bytes at address 16 are `ok` of either result. Memory is taken from the heap and given back after a call.
    let text = format!(
        r#"(module
        (import "engine:plugin/host@0.2.0" "emit" (func $emit (param i32 i32 i32 i32 i32 i32)))
        (memory (export "memory") 4)
        (global $heap (mut i32) (i32.const {HEAP}))
        (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
            (local $at i32)
            (local.set $at (i32.and
                (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                (i32.sub (i32.const 0) (local.get $align))))
            (global.set $heap (i32.add (local.get $at) (local.get $size)))
            (local.get $at))
        (func (export "describe") (result i32) (i32.const {description}))
        (func (export "start") (param i32 i32 i64) (result i32) (i32.const 16))
        (func (export "process") (param i32 i32 i32) (result i32)
            {process})
        (func (export "cabi_post_process") (param i32) (global.set $heap (i32.const {HEAP})))
        (data (i32.const {DATA}) "{data}"))"#
    );
    let mut module = wat::parse_str(text).expect("WebAssembly text");
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", WIT).expect("the contract");
    let world = resolve.select_world(&[package], Some("transform")).expect("the contract has one world");
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).expect("a module");
    module.into()
}

/// The guest's data, and the address of the description in it, as the canonical ABI lays it out.
fn description() -> (Vec<u8>, u32) {
    let mut data = Vec::new();
    let name = place(&mut data, b"passing\0");
    let version = place(&mut data, b"1.0.0\0\0\0");
    let table = place(&mut data, b"passed\0\0");
    let n = place(&mut data, b"n\0\0\0\0\0\0\0");
    // A column that is not nullable, from the row's field of its name, required, which does not cross.
    let input = words(&mut data, &[n, 1, INT64[0], INT64[1], 0, 0, n, 1, 1]);
    // A column that is not nullable, and is the input's first; neither type, codec nor comment.
    let output = words(&mut data, &[n, 1, INT64[0], INT64[1], 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    // Appended to; one column; no sort key, no partitions, no indexes.
    let outputs = words(&mut data, &[table, 6, 0, output, 1, 0, 0, 0, 0, 0, 0, 0]);
    // Envelopes; one output; no parameters.
    let description = words(&mut data, &[name, 7, version, 5, input, 1, 0, outputs, 1, 0, 0]);
    (data, description)
}

fn words(data: &mut Vec<u8>, words: &[u32]) -> u32 {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
    place(data, &bytes)
}

fn place(data: &mut Vec<u8>, bytes: &[u8]) -> u32 {
    let at = DATA + u32::try_from(data.len()).expect("a few hundred bytes");
    data.extend_from_slice(bytes);
    at
}
