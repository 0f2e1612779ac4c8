//! Guests in WebAssembly text with the canonical ABI by hand: an honest plugin, any part of which can be made evil.

use bytes::Bytes;
use harness::simulation::canonical::Memory;
use serde_json::{Value, json};
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

const WIT: &str = include_str!("../../schemas/wit/0.3/transform.wit");

/// Where the description lies. Below are zeros: 16 of them at 16 are `ok` of a result, and there is room for answers.
const DATA: u32 = 4096;
/// Where the heap begins.
const HEAP: u32 = 32 << 10;
/// A loop without end.
pub(crate) const FOREVER: &str = "(loop $forever (br $forever))";

/// A plugin that gives back the numbers it gets, by its parts. Bodies of functions; what they leave out is honest.
#[derive(Clone, Debug)]
pub(crate) struct Guest {
    pub(crate) name: String,
    pub(crate) description: Value,
    /// Before `describe`, `start`, `process`, `expire` do their work.
    pub(crate) describe: String,
    pub(crate) start: String,
    pub(crate) process: String,
    pub(crate) expire: String,
    /// In place of the allocator's answer, `$at`.
    pub(crate) realloc: String,
    /// Behind `process`.
    pub(crate) post_process: String,
    /// More functions, globals, tables, segments.
    pub(crate) more: String,
    /// `min [max]`, in pages.
    pub(crate) memory: String,
    /// Bytes at 2048.
    pub(crate) data: Vec<u8>,
}

impl Guest {
    pub(crate) fn new(name: &str) -> Self {
        let column = json!({ "name": "n", "data-type": { "scalar": "int64" }, "nullable": false });
        let made = json!({ "column": column, "origin": "made", "clickhouse-type": null, "codec": null, "doc": null });
        let input = json!({ "column": column, "source": { "row": "n" }, "required": true, "crosses": true });
        let output = json!({ "table": "t", "kind": "append", "columns": [made], "sort-key": [], "partition-by": null,
            "indexes": [] });
        let table = |name: &str, on_expire: &str| json!({ "name": name, "on-expire": on_expire });
        let description = json!({
            "name": name, "version": "1.0.0", "input": { "columns": [input], "format": "envelope" },
            "outputs": [output], "parameters": [],
            "state": { "version": 1, "reads": [], "tables": [table("seen", "drop"), table("open", "call")] },
            "event-time": { "delay-ms": 0, "idle-ms": null },
        });
        Self {
            name: name.to_owned(),
            description,
            describe: String::new(),
            start: String::new(),
            process: String::new(),
            expire: String::new(),
            realloc: "(local.get $at)".to_owned(),
            post_process: String::new(),
            more: String::new(),
            memory: "4".to_owned(),
            data: Vec::new(),
        }
    }

    pub(crate) fn process(name: &str, process: &str) -> Self {
        Self { process: process.to_owned(), ..Self::new(name) }
    }

    /// The core module, as a build with the SDK leaves it.
    pub(crate) fn module(&self) -> Bytes {
        let mut resolve = Resolve::default();
        let package = resolve.push_str("transform.wit", WIT).expect("the contract");
        let mut memory = Memory::new(&resolve, DATA);
        let address = memory.value("description", &self.description);
        assert!(memory.bytes.len() < (HEAP - DATA) as usize, "the heap begins behind the description");
        let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\{byte:02x}")).collect::<String>();
        let (description, data) = (escaped(&memory.bytes), escaped(&self.data));
        let Self { describe, start, process, expire, realloc, post_process, more, memory, .. } = self;
        let text = format!(
            r#"(module
            (import "engine:plugin/host@0.3.0" "log" (func $log (param i32 i32 i32)))
            (import "engine:plugin/host@0.3.0" "emit" (func $emit (param i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/host@0.3.0" "event-time" (func $event_time (param i64)))
            (import "engine:plugin/host@0.3.0" "count" (func $count (param i32 i32 i64)))
            (import "engine:plugin/state@0.3.0" "get-many" (func $get (param i32 i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/state@0.3.0" "put-many"
                (func $put (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/state@0.3.0" "delete-many" (func $delete (param i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/state@0.3.0" "insert-if-absent-many"
                (func $insert (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (memory (export "memory") {memory})
            (global $heap (mut i32) (i32.const {HEAP}))
            (func (export "cabi_realloc") (param $old i32) (param i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                    (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))))
                {realloc})
            (func (export "describe") (result i32) {describe} (i32.const {address}))
            (func (export "start") (param i32 i32 i64 i32 i64) (result i32) {start} (i32.const 16))
            (func (export "process") (param $rows i32) (param $buffers i32) (param $count i32) (result i32)
                {process}
                (call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
                    (local.get $buffers) (local.get $count))
                (i32.const 16))
            (func (export "cabi_post_process") (param i32) {post_process} (global.set $heap (i32.const {HEAP})))
            (func (export "expire") (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)
                {expire} (i32.const 16))
            {more}
            (data (i32.const 2048) "{data}")
            (data (i32.const {DATA}) "{description}"))"#
        );
        let mut module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        embed(&mut module, &resolve, package);
        module.into()
    }

    /// The same, wrapped: to be read and changed as text.
    pub(crate) fn component(&self) -> Vec<u8> {
        let mut encoder = wit_component::ComponentEncoder::default();
        encoder.module(&self.module()).expect("a plugin");
        encoder.encode().expect("a plugin")
    }
}

fn embed(module: &mut Vec<u8>, resolve: &Resolve, package: wit_parser::PackageId) {
    let world = resolve.select_world(&[package], Some("transform")).expect("the contract has one world");
    embed_component_metadata(module, resolve, world, StringEncoding::UTF8, false).expect("a module");
}
