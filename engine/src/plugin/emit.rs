//! The host function `emit`: a guest's rows for one output, checked, charged and copied.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Schema, SchemaRef};
use wasmtime::StoreContextMut;
use wasmtime::component::WasmList;

use super::call::Call;
use super::contract::v0_2;
use super::contract::v0_3 as contract;
use super::frame::{self, FrameError};
use super::rows::Given;
use super::sandbox::Sandbox;
use super::{Emitted, Fault, Origin, Output, Rows};
use crate::table::TableKind;

/// Charged for each call of `emit`, so that a million empty ones don't fill the host: its own bookkeeping.
const EMIT_BYTES: usize = 1 << 10;
/// Charged for each buffer: an array's own memory beside its values.
const BUFFER_BYTES: usize = 256;
/// Charged for each row: the columns that the engine adds to every table.
const ROW_BYTES: usize = 64;

/// What `emit` has to know of an output.
pub(super) struct OutputPlan {
    table: String,
    kind: TableKind,
    /// The columns that the plugin makes.
    made: SchemaRef,
    /// Their buffers.
    buffers: usize,
    /// Input columns that the host takes over.
    carried: Vec<usize>,
}

impl OutputPlan {
    pub(super) fn new(output: &Output) -> Self {
        let made = output.columns.iter().filter(|(_, origin)| *origin == Origin::Made);
        let made = Schema::new(made.map(|(field, _)| field.clone()).collect::<Vec<_>>());
        let carried = output.columns.iter().filter_map(|(_, origin)| match origin {
            Origin::Made => None,
            Origin::Input(index) => Some(*index),
        });
        Self {
            table: output.table.clone(),
            kind: output.kind,
            buffers: made.fields().iter().map(|field| frame::buffer_count(field.data_type())).sum(),
            carried: carried.collect(),
            made: Arc::new(made),
        }
    }
}

/// Takes rows from a guest of version 0.2, or stops it.
pub(super) fn emit_0_2(
    store: StoreContextMut<'_, Sandbox>,
    (output, rows, buffers): (u32, v0_2::Rows, WasmList<WasmList<u8>>),
) -> wasmtime::Result<()> {
    take(store, output, &rows.into(), None, &buffers)
}

/// Takes rows from the guest, or stops it.
pub(super) fn emit(
    store: StoreContextMut<'_, Sandbox>,
    (output, rows, deletes, buffers): (u32, contract::Rows, WasmList<u8>, WasmList<WasmList<u8>>),
) -> wasmtime::Result<()> {
    take(store, output, &rows, Some(&deletes).filter(|deletes| deletes.len() > 0), &buffers)
}

fn take(
    mut store: StoreContextMut<'_, Sandbox>,
    output: u32,
    rows: &contract::Rows,
    deletes: Option<&WasmList<u8>>,
    buffers: &WasmList<WasmList<u8>>,
) -> wasmtime::Result<()> {
    // Bound first: the list of lists is as long as the guest says.
    let expected = store.data().outputs.get(output as usize).map(|plan| plan.buffers);
    let given = buffers.len();
    let lists = match expected {
        Some(want) if want == given => buffers.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?,
        Some(_) | None => Vec::new(),
    };
    match check(&store, output, &Said { rows, deletes, given, lists: &lists }) {
        Ok((emitted, bytes)) => {
            // `check` has refused a call outside `process` and `expire`.
            if let Some(call) = &mut store.data_mut().call {
                call.bytes_left -= bytes;
                call.emitted.push(emitted);
            }
            Ok(())
        }
        Err(fault) => Err(store.data_mut().stop(fault)),
    }
}

/// What a guest hands to `emit`.
struct Said<'a> {
    rows: &'a contract::Rows,
    deletes: Option<&'a WasmList<u8>>,
    /// Buffers that it says it gives.
    given: usize,
    /// Them, where they are as many as there have to be.
    lists: &'a [WasmList<u8>],
}

/// The rows and what they are charged.
fn check(store: &StoreContextMut<'_, Sandbox>, output: u32, said: &Said<'_>) -> Result<(Emitted, usize), Fault> {
    let sandbox = store.data();
    let broken = |message: String| Fault::Contract { message };
    let Some(call) = &sandbox.call else { return Err(broken("emit called outside of process and expire".to_owned())) };
    let Some(plan) = sandbox.outputs.get(output as usize) else {
        return Err(broken(format!("emit to output {output}, but {} are described", sandbox.outputs.len())));
    };
    let in_table = |message: String| broken(format!("emit to table {}: {message}", plan.table));
    if said.given != plan.buffers {
        return Err(in_table(FrameError::Count { want: plan.buffers, got: said.given }.to_string()));
    }
    plan.check_origin(call, said.rows).map_err(|message| in_table(message.to_owned()))?;

    let lists = said.lists.iter().chain(said.deletes).map(WasmList::len).sum::<usize>();
    let own = EMIT_BYTES + plan.buffers * BUFFER_BYTES + lists;
    let bytes = own.saturating_add(rows_given(said.rows).saturating_mul(ROW_BYTES));
    let over = || Fault::Output { limit_bytes: sandbox.limits.output_bytes };
    if bytes > call.bytes_left {
        return Err(over());
    }
    let batch_rows = call.input.as_ref().map_or(0, RecordBatch::num_rows);
    let rows = given(store, said.rows).check(batch_rows).map_err(|error| in_table(error.to_string()))?;
    let count = rows.count(batch_rows);
    let carried = call.input.iter().flat_map(|input| plan.carried.iter().map(|index| input.column(*index)));
    let carried = carried.map(|column| carried_bytes(column, &rows));
    let bytes = carried.fold(own.saturating_add(count.saturating_mul(ROW_BYTES)), usize::saturating_add);
    if bytes > call.bytes_left {
        return Err(over());
    }

    let bits = |deletes: &WasmList<u8>| frame::bits("deletes", count, deletes.as_le_slice(store));
    let deletes = said.deletes.map(bits).transpose().map_err(|error| in_table(error.to_string()))?;
    if deletes.is_some() && plan.kind == TableKind::Append {
        return Err(in_table("deletes, but its rows stay: it is no table of current rows".to_owned()));
    }
    let lists: Vec<&[u8]> = said.lists.iter().map(|list| list.as_le_slice(store)).collect();
    let made = frame::batch(&plan.made, count, &lists).map_err(|error| in_table(error.to_string()))?;
    let deletes = deletes.map(|bits| BooleanArray::new(bits, None));
    Ok((Emitted { output: output as usize, rows, made, deletes }, bytes))
}

impl OutputPlan {
    /// Rows of the batch where there is a batch, and for columns that are taken over.
    fn check_origin(&self, call: &Call, rows: &contract::Rows) -> Result<(), &'static str> {
        match (rows, &call.input) {
            (contract::Rows::None(_), _) if !self.carried.is_empty() => {
                Err("rows without an input row, but it takes columns over from the input")
            }
            (contract::Rows::None(_), _) | (_, Some(_)) => Ok(()),
            (_, None) => Err("rows of a batch, but expire has none: its rows have no input row"),
        }
    }
}

/// Rows that a guest names one by one: known before they are copied.
fn rows_given(rows: &contract::Rows) -> usize {
    match rows {
        contract::Rows::All | contract::Rows::Selected(_) => 0,
        contract::Rows::Taken(indices) => indices.len(),
        contract::Rows::None(rows) => *rows as usize,
    }
}

/// The rows as they lie in the guest's memory.
fn given<'a>(store: &'a StoreContextMut<'_, Sandbox>, rows: &contract::Rows) -> Given<'a> {
    match rows {
        contract::Rows::All => Given::All,
        contract::Rows::Selected(bitmap) => Given::Selected(bitmap.as_le_slice(store)),
        contract::Rows::Taken(indices) => Given::Taken(indices.as_le_slice(store)),
        contract::Rows::None(rows) => Given::None(*rows as usize),
    }
}

/// Bytes that the host will copy for a column that it takes over. Without this, a guest could name one large row a
/// million times at four bytes each.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other types have values of one width")]
fn carried_bytes(column: &ArrayRef, rows: &Rows) -> usize {
    match column.data_type() {
        DataType::Utf8 => value_bytes(column.as_string::<i32>().value_offsets(), rows, |from, to| to - from),
        DataType::Binary => value_bytes(column.as_binary::<i32>().value_offsets(), rows, |from, to| to - from),
        DataType::List(_) => {
            let list = column.as_list::<i32>();
            value_bytes(list.value_offsets(), rows, |from, to| element_bytes(list.values(), from, to))
        }
        DataType::Map(..) => {
            let map = column.as_map();
            let bytes = |from, to| element_bytes(map.keys(), from, to) + element_bytes(map.values(), from, to);
            value_bytes(map.value_offsets(), rows, bytes)
        }
        _ => rows.count(column.len()).saturating_mul(frame::width(column.data_type())),
    }
}

/// The sum of what the values of these rows take, each from an offset to the next.
fn value_bytes(offsets: &[i32], rows: &Rows, bytes: impl Fn(usize, usize) -> usize) -> usize {
    let between = |from: &i32, to: &i32| bytes(from.as_usize(), to.as_usize());
    let of_row = |row: usize| match offsets.get(row..row + 2) {
        Some([from, to]) => between(from, to),
        Some(_) | None => 0,
    };
    match rows {
        Rows::All => offsets.first().zip(offsets.last()).map_or(0, |(from, to)| between(from, to)),
        Rows::Selected(bits) => bits.values().set_indices().map(of_row).sum(),
        Rows::Taken(indices) => indices.values().iter().map(|row| of_row(*row as usize)).sum(),
        Rows::None(_) => 0,
    }
}

/// Bytes of some elements of lists or maps: those of text with their offsets.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other types have values of one width")]
fn element_bytes(values: &ArrayRef, from: usize, to: usize) -> usize {
    let text = |offsets: &[i32]| match (offsets.get(from), offsets.get(to)) {
        (Some(first), Some(last)) => first.abs_diff(*last) as usize + (to - from) * size_of::<i32>(),
        _ => 0,
    };
    match values.data_type() {
        DataType::Utf8 => text(values.as_string::<i32>().value_offsets()),
        DataType::Binary => text(values.as_binary::<i32>().value_offsets()),
        other => (to - from).saturating_mul(frame::width(other)),
    }
}
