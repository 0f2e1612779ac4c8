//! Writes plugins as WebAssembly text, with the canonical ABI by hand: so a guest can also lie in every way that no
//! bindings would let it.

use std::fmt::Write as _;

use arrow_schema::{DataType, Field, FieldRef, TimeUnit};
use bytes::Bytes;
use wit_component::{StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::decode::Reading;
use crate::input::{ChangeColumn, InputColumn, Source};
use crate::plugin::{EventTime, Origin, Parameter, ParameterType, StateDescription};
use crate::state::OnExpire;
use crate::table::{CLICKHOUSE_CODEC, CLICKHOUSE_TYPE, COMMENT, EXTENSION_NAME, Index, TableKind};

pub(super) const WIT: &str = include_str!("../../../../schemas/wit/0.3/transform.wit");

/// Address of 16 zero bytes: `ok` of either result, with an empty list.
pub(super) const OK: u32 = 16;
/// Where the guest's data begins.
const DATA: u32 = 1024;

pub(super) struct Output {
    pub(super) table: String,
    pub(super) kind: TableKind,
    pub(super) columns: Vec<(Field, Origin)>,
    pub(super) sort_key: Vec<String>,
    pub(super) partition_by: Option<String>,
    pub(super) indexes: Vec<Index>,
}

impl Output {
    pub(super) fn append(table: &str, columns: Vec<(Field, Origin)>) -> Self {
        Self {
            table: table.to_owned(),
            kind: TableKind::Append,
            columns,
            sort_key: vec![],
            partition_by: None,
            indexes: vec![],
        }
    }
}

/// Where a column of this name comes from, unless a test says otherwise: the change, for the names of its columns.
pub(super) fn column(field: Field) -> InputColumn {
    let change = ChangeColumn::named(field.name());
    let source = change.map_or_else(|| Source::Row(field.name().clone()), Source::Change);
    InputColumn {
        required: change.is_none() && !field.is_nullable(),
        field: field.into(),
        source,
        reading: Reading::default(),
    }
}

/// A parameter of type text.
pub(super) fn parameter(name: &str, default: Option<&str>) -> Parameter {
    let default = default.map(str::to_owned);
    Parameter { name: name.to_owned(), doc: String::new(), kind: ParameterType::Text, default }
}

/// A plugin to be. `process` and the rest are bodies of functions in WebAssembly text.
pub(super) struct Guest {
    pub(super) name: String,
    pub(super) input: Vec<InputColumn>,
    /// Input columns that stay in the host, by index.
    pub(super) stay: Vec<usize>,
    /// Flat rows, not envelopes.
    pub(super) flat: bool,
    pub(super) outputs: Vec<Output>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) describe: String,
    pub(super) start: String,
    pub(super) process: String,
    pub(super) expire: String,
    pub(super) state: Option<StateDescription>,
    pub(super) event_time: Option<EventTime>,
    /// More functions and globals.
    pub(super) more: String,
    pub(super) pages: u32,
    pub(super) wit: String,
    pub(super) data: Vec<u8>,
}

impl Guest {
    /// Reads and makes one Int64 column `n`; does nothing.
    pub(super) fn new() -> Self {
        let n = Field::new("n", DataType::Int64, false);
        Self::with(vec![n.clone()], vec![(n, Origin::Made)])
    }

    pub(super) fn with(input: Vec<Field>, output: Vec<(Field, Origin)>) -> Self {
        Self {
            name: "guest".to_owned(),
            input: input.into_iter().map(column).collect(),
            stay: vec![],
            flat: false,
            outputs: vec![Output::append("t", output)],
            parameters: vec![],
            describe: String::new(),
            start: String::new(),
            process: String::new(),
            expire: String::new(),
            state: None,
            event_time: None,
            more: String::new(),
            pages: 4,
            wit: WIT.to_owned(),
            data: vec![],
        }
    }

    /// Gives back all columns as they came.
    pub(super) fn echo(fields: Vec<Field>) -> Self {
        let mut guest = Self::with(fields.clone(), fields.into_iter().map(|field| (field, Origin::Made)).collect());
        guest.process = "(call $emit (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)
            (local.get $buffers) (local.get $count))"
            .to_owned();
        guest
    }

    pub(super) fn process(mut self, body: &str) -> Self {
        body.clone_into(&mut self.process);
        self
    }

    /// Places bytes in the guest's memory, 8-byte aligned.
    pub(super) fn place(&mut self, bytes: &[u8]) -> u32 {
        let at = self.data.len();
        self.data.extend_from_slice(bytes);
        self.data.resize(self.data.len().next_multiple_of(8), 0);
        DATA + u32::try_from(at).unwrap()
    }

    fn words(&mut self, words: &[u32]) -> u32 {
        let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).collect();
        self.place(&bytes)
    }

    fn text(&mut self, text: &str) -> [u32; 2] {
        [self.place(text.as_bytes()), u32::try_from(text.len()).unwrap()]
    }

    fn option(&mut self, text: Option<&str>) -> [u32; 3] {
        match text {
            Some(text) => {
                let [at, len] = self.text(text);
                [1, at, len]
            }
            None => [0; 3],
        }
    }

    /// Code that emits these buffers. Rows: "all", "selected" or "taken" by these bytes.
    pub(super) fn emit(&mut self, output: u32, rows: (u32, &[u8], u32), buffers: &[&[u8]]) -> String {
        let mut list = Vec::new();
        for buffer in buffers {
            list.extend([self.place(buffer), u32::try_from(buffer.len()).unwrap()]);
        }
        let list = self.words(&list);
        let (case, bytes, length) = rows;
        let rows = self.place(bytes);
        format!(
            "(call $emit (i32.const {output}) (i32.const {case}) (i32.const {rows}) (i32.const {length}) \
             (i32.const {list}) (i32.const {}))",
            buffers.len()
        )
    }

    pub(super) fn log(&mut self, level: u32, text: &[u8]) -> String {
        let at = self.place(text);
        format!("(call $log (i32.const {level}) (i32.const {at}) (i32.const {}))", text.len())
    }

    /// The core module with the contract's metadata, as a build with the SDK leaves it.
    pub(super) fn module(self) -> Bytes {
        self.module_with_allocator("(local.get $at)")
    }

    /// A module whose allocator answers this.
    pub(super) fn module_with_allocator(mut self, answer: &str) -> Bytes {
        let description = self.description();
        let base = (DATA as usize + self.data.len()).next_multiple_of(16);
        let version = self.wit.split_once("package engine:plugin@").unwrap().1.split_once(';').unwrap().0.to_owned();
        let mut data = String::new();
        for byte in &self.data {
            write!(data, "\\{byte:02x}").unwrap();
        }
        let Self { describe, start, process, expire, more, pages, .. } = &self;
        let text = format!(
            r#"(module
            (import "engine:plugin/host@{version}" "log" (func $log (param i32 i32 i32)))
            (import "engine:plugin/host@{version}" "emit" (func $emit_and_delete (param i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/host@{version}" "event-time" (func $event_time (param i64)))
            (import "engine:plugin/host@{version}" "count" (func $count (param i32 i32 i64)))
            (import "engine:plugin/state@{version}" "get-many" (func $get (param i32 i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/state@{version}" "put-many" (func $put
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/state@{version}" "delete-many" (func $delete (param i32 i32 i32 i32 i32 i32)))
            (import "engine:plugin/state@{version}" "insert-if-absent-many" (func $insert
                (param i32 i32 i32 i32 i32 i32 i32 i32 i32)))
            (memory (export "memory") {pages})
            (global $heap (mut i32) (i32.const {base}))
            {more}
            (func $emit (param $output i32) (param $case i32) (param $rows i32) (param $length i32)
                (param $buffers i32) (param $count i32)
                (call $emit_and_delete (local.get $output) (local.get $case) (local.get $rows) (local.get $length)
                    (i32.const 0) (i32.const 0) (local.get $buffers) (local.get $count)))
            (func $realloc (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and
                    (i32.add (global.get $heap) (i32.sub (local.get $align) (i32.const 1)))
                    (i32.sub (i32.const 0) (local.get $align))))
                (global.set $heap (i32.add (local.get $at) (local.get $size)))
                (if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))
                    (then (drop (memory.grow (i32.add (i32.const 1) (i32.shr_u (local.get $size) (i32.const 16)))))))
                {answer})
            (func $describe (export "describe") (result i32) {describe} (i32.const {description}))
            (func $start (export "start") (param $parameters i32) (param $count i32) (param $now i64)
                (param $watermark_is_there i32) (param $watermark i64) (result i32)
                {start} (i32.const {OK}))
            (func $process (export "process") (param $rows i32) (param $buffers i32) (param $count i32) (result i32)
                {process} (i32.const {OK}))
            (func $expire (export "expire") (param $table i32) (param $key_offsets i32) (param $keys i32) (param $key_bytes i32)
                (param $key_length i32) (param $value_offsets i32) (param $values i32) (param $value_bytes i32)
                (param $value_length i32) (param $expiries i32) (param $count i32) (result i32)
                {expire} (i32.const {OK}))
            (func (export "cabi_post_process") (param i32) (global.set $heap (i32.const {base})))
            (data (i32.const {DATA}) "{data}"))"#
        );
        let mut module = wat::parse_str(text).unwrap();
        embed(&mut module, &self.wit);
        module.into()
    }

    /// Lays the description out as the canonical ABI says: fields at their alignment, lists and texts by address.
    fn description(&mut self) -> u32 {
        let [name, version] = [self.name.clone(), "1.0.0".to_owned()].map(|text| self.text(&text));
        let mut columns = Vec::new();
        for (index, column) in self.input.clone().iter().enumerate() {
            columns.extend(self.column(&column.field));
            columns.extend(self.source(&column.source));
            columns.push(u32::from_le_bytes([u8::from(column.required), u8::from(!self.stay.contains(&index)), 0, 0]));
        }
        let columns = self.words(&columns);
        let mut outputs = Vec::new();
        for output in std::mem::take(&mut self.outputs) {
            outputs.extend(self.output(&output));
        }
        let mut parameters = Vec::new();
        for parameter in std::mem::take(&mut self.parameters) {
            parameters.extend(self.text(&parameter.name));
            parameters.extend(self.text(&parameter.doc));
            parameters.push(parameter.kind as u32);
            parameters.extend(self.option(parameter.default.as_deref()));
        }
        let outputs = [self.words(&outputs), u32::try_from(outputs.len() / 12).unwrap()];
        let parameters = [self.words(&parameters), u32::try_from(parameters.len() / 8).unwrap()];
        let inputs = [columns, u32::try_from(self.input.len()).unwrap(), u32::from(self.flat)];
        let state = self.state();
        // Numbers of 64 bits, so aligned to them.
        let time = self.event_time.map_or([0; 8], |time| {
            let ([delay, delay_high], [idle, idle_high]) = (halves(time.delay_ms), halves(time.idle_ms.unwrap_or(0)));
            [1, 0, delay, delay_high, u32::from(time.idle_ms.is_some()), 0, idle, idle_high]
        });
        self.words(&[&name[..], &version, &inputs, &outputs, &parameters, &state, &[0], &time].concat())
    }

    fn state(&mut self) -> [u32; 6] {
        let Some(state) = self.state.clone() else { return [0; 6] };
        let mut tables = Vec::new();
        for table in &state.tables {
            tables.extend(self.text(&table.name));
            tables.push(u32::from(table.on_expire == OnExpire::Call));
        }
        let length = |list: usize| u32::try_from(list).unwrap();
        let (reads, tables) = (self.words(&state.reads), self.words(&tables));
        [1, state.version, reads, length(state.reads.len()), tables, length(state.tables.len())]
    }

    fn column(&mut self, field: &Field) -> [u32; 5] {
        let [at, len] = self.text(field.name());
        let [a, b, c, d, e, f, g, h] = type_code(field);
        [at, len, u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h]), u32::from(field.is_nullable())]
    }

    fn source(&mut self, source: &Source) -> [u32; 3] {
        let (case, name) = match source {
            Source::Row(name) => (0, name),
            Source::Before(name) => (1, name),
            Source::Header(name) => (2, name),
            Source::Change(change) => return [3, *change as u32, 0],
        };
        let [at, len] = self.text(name);
        [case, at, len]
    }

    fn output(&mut self, output: &Output) -> [u32; 12] {
        let mut columns = Vec::new();
        for (field, origin) in &output.columns {
            columns.extend(self.column(field));
            columns.extend(match origin {
                Origin::Made => [0, 0],
                Origin::Input(index) => [1, u32::try_from(*index).unwrap()],
            });
            for key in [CLICKHOUSE_TYPE, CLICKHOUSE_CODEC, COMMENT] {
                columns.extend(self.option(field.metadata().get(key).map(String::as_str)));
            }
        }
        let columns = [self.words(&columns), u32::try_from(output.columns.len()).unwrap()];
        let keys: Vec<u32> = output.sort_key.iter().flat_map(|key| self.text(key)).collect();
        let keys = [self.words(&keys), u32::try_from(output.sort_key.len()).unwrap()];
        let index = |guest: &mut Self, of: &Index| [&of.name, &of.expression, &of.kind].map(|text| guest.text(text));
        let indexes: Vec<u32> = output.indexes.iter().flat_map(|of| index(self, of)).flatten().collect();
        let indexes = [self.words(&indexes), u32::try_from(output.indexes.len()).unwrap()];
        let [table, table_len] = self.text(&output.table);
        let kind = u32::from(output.kind == TableKind::Current);
        let [some, by, by_len] = self.option(output.partition_by.as_deref());
        [table, table_len, kind, columns[0], columns[1], keys[0], keys[1], some, by, by_len, indexes[0], indexes[1]]
    }
}

fn halves(number: u64) -> [u32; 2] {
    let (low, high) = (number & u64::from(u32::MAX), number >> 32);
    [low, high].map(|half| u32::try_from(half).unwrap())
}

/// Adds the metadata that makes a core module a plugin.
pub(super) fn embed(module: &mut Vec<u8>, wit: &str) {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("transform.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("transform")).unwrap();
    embed_component_metadata(module, &resolve, world, StringEncoding::UTF8, false).unwrap();
}

/// Case and payload of the WIT variant `data-type`.
fn type_code(field: &Field) -> [u8; 8] {
    match field.data_type() {
        DataType::List(item) => {
            let [a, b, c] = scalar_code(item);
            [1, a, b, c, u8::from(item.is_nullable()), 0, 0, 0]
        }
        DataType::Map(entries, false) => {
            let (key, value) = key_and_value(entries);
            let ([a, b, c], [d, e, f]) = (scalar_code(key), scalar_code(value));
            [2, a, b, c, d, e, f, u8::from(value.is_nullable())]
        }
        _ => {
            let [a, b, c] = scalar_code(field);
            [0, a, b, c, 0, 0, 0, 0]
        }
    }
}

pub(super) fn key_and_value(entries: &FieldRef) -> (&FieldRef, &FieldRef) {
    match entries.data_type() {
        DataType::Struct(fields) => (&fields[0], &fields[1]),
        other => panic!("{other} is no map's"),
    }
}

/// Case and payload of the WIT variant `scalar-type`.
fn scalar_code(field: &Field) -> [u8; 3] {
    let unit = |unit: &TimeUnit| match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 1,
        TimeUnit::Microsecond => 2,
        TimeUnit::Nanosecond => 3,
    };
    if field.metadata().get(EXTENSION_NAME).map(String::as_str) == Some("arrow.json") {
        return [13, 0, 0];
    }
    match field.data_type() {
        DataType::Boolean => [0, 0, 0],
        DataType::Int8 => [1, 0, 0],
        DataType::Int16 => [2, 0, 0],
        DataType::Int32 => [3, 0, 0],
        DataType::Int64 => [4, 0, 0],
        DataType::UInt8 => [5, 0, 0],
        DataType::UInt16 => [6, 0, 0],
        DataType::UInt32 => [7, 0, 0],
        DataType::UInt64 => [8, 0, 0],
        DataType::Float32 => [9, 0, 0],
        DataType::Float64 => [10, 0, 0],
        DataType::Utf8 => [11, 0, 0],
        DataType::Binary => [12, 0, 0],
        DataType::FixedSizeBinary(16) => [14, 0, 0],
        DataType::Date32 => [15, 0, 0],
        DataType::Time32(of) | DataType::Time64(of) => [16, unit(of), 0],
        DataType::Timestamp(of, zone) => [17, unit(of), u8::from(zone.is_some())],
        DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) => {
            [18, *precision, scale.cast_unsigned()]
        }
        other => panic!("{other} is no type of the contract"),
    }
}
