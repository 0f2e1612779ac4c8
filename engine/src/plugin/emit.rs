//! The host function `emit`: a guest's rows for one output, checked, charged and copied.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BooleanArray, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_buffer::{Buffer, ScalarBuffer};
use arrow_schema::{DataType, Schema, SchemaRef};
use wasmtime::StoreContextMut;
use wasmtime::component::WasmList;

use super::frame::{self, FrameError};
use super::sandbox::Sandbox;
use super::{Emitted, Fault, Origin, Output, Rows, contract};

/// Charged for each call of `emit`, so that a million empty ones don't fill the host: its own bookkeeping.
const EMIT_BYTES: usize = 1 << 10;
/// Charged for each buffer: an array's own memory beside its values.
const BUFFER_BYTES: usize = 256;
/// Charged for each row: the columns that the engine adds to every table.
const ROW_BYTES: usize = 64;

/// What `emit` has to know of an output.
pub(super) struct OutputPlan {
    table: String,
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
            buffers: made.fields().iter().map(|field| frame::buffer_count(field.data_type())).sum(),
            carried: carried.collect(),
            made: Arc::new(made),
        }
    }
}

/// Takes rows from the guest, or stops it.
pub(super) fn emit(
    mut store: StoreContextMut<'_, Sandbox>,
    (output, rows, buffers): (u32, contract::Rows, WasmList<WasmList<u8>>),
) -> wasmtime::Result<()> {
    // Bound first: the list of lists is as long as the guest says.
    let expected = store.data().outputs.get(output as usize).map(|plan| plan.buffers);
    let lists = match expected {
        Some(want) if want == buffers.len() => buffers.iter(&mut store)?.collect::<wasmtime::Result<Vec<_>>>()?,
        Some(_) | None => Vec::new(),
    };
    match check(&store, output, &rows, buffers.len(), &lists) {
        Ok((emitted, bytes)) => {
            // `check` has refused a call outside `process`.
            if let Some(call) = &mut store.data_mut().call {
                call.bytes_left -= bytes;
                call.emitted.push(emitted);
            }
            Ok(())
        }
        Err(fault) => Err(store.data_mut().stop(fault)),
    }
}

/// The rows and what they are charged.
fn check(
    store: &StoreContextMut<'_, Sandbox>,
    output: u32,
    rows: &contract::Rows,
    lists_given: usize,
    lists: &[WasmList<u8>],
) -> Result<(Emitted, usize), Fault> {
    let sandbox = store.data();
    let broken = |message: String| Fault::Contract { message };
    let Some(call) = &sandbox.call else { return Err(broken("emit called outside of process".to_owned())) };
    let Some(plan) = sandbox.outputs.get(output as usize) else {
        return Err(broken(format!("emit to output {output}, but {} are described", sandbox.outputs.len())));
    };
    let in_table = |message: String| broken(format!("emit to table {}: {message}", plan.table));
    if lists_given != plan.buffers {
        return Err(in_table(FrameError::Count { want: plan.buffers, got: lists_given }.to_string()));
    }

    let own = EMIT_BYTES + plan.buffers * BUFFER_BYTES + lists.iter().map(WasmList::len).sum::<usize>();
    let bytes = own.saturating_add(rows_given(rows).saturating_mul(ROW_BYTES));
    let over = || Fault::Output { limit_bytes: sandbox.limits.output_bytes };
    if bytes > call.bytes_left {
        return Err(over());
    }
    let (rows, count) = take_rows(store, rows, call.input.num_rows()).map_err(in_table)?;
    let carried = plan.carried.iter().map(|index| carried_bytes(call.input.column(*index), &rows));
    let bytes = carried.fold(own.saturating_add(count.saturating_mul(ROW_BYTES)), usize::saturating_add);
    if bytes > call.bytes_left {
        return Err(over());
    }

    let lists: Vec<&[u8]> = lists.iter().map(|list| list.as_le_slice(store)).collect();
    let made = made_columns(plan, count, &lists).map_err(in_table)?;
    Ok((Emitted { output: output as usize, rows, made }, bytes))
}

/// Rows that a guest names one by one: known before they are copied.
fn rows_given(rows: &contract::Rows) -> usize {
    match rows {
        contract::Rows::All | contract::Rows::Selected(_) => 0,
        contract::Rows::Taken(indices) => indices.len(),
    }
}

/// The rows, each within the batch, and how many they are.
fn take_rows(
    store: &StoreContextMut<'_, Sandbox>,
    rows: &contract::Rows,
    batch_rows: usize,
) -> Result<(Rows, usize), String> {
    match rows {
        contract::Rows::All => Ok((Rows::All, batch_rows)),
        contract::Rows::Selected(bitmap) => {
            let bits = frame::bits("selection", batch_rows, bitmap.as_le_slice(store)).map_err(|e| e.to_string())?;
            let count = bits.count_set_bits();
            Ok((Rows::Selected(BooleanArray::new(bits, None)), count))
        }
        contract::Rows::Taken(indices) => {
            let indices = indices.as_le_slice(store);
            if let Some(index) = indices.iter().max().filter(|index| **index as usize >= batch_rows) {
                return Err(format!("row {index} taken of a batch of {batch_rows}"));
            }
            let values = ScalarBuffer::new(Buffer::from_slice_ref(indices), 0, indices.len());
            Ok((Rows::Taken(UInt32Array::new(values, None)), indices.len()))
        }
    }
}

/// Bytes that the host will copy for a column that it takes over. Without this, a guest could name one large row a
/// million times at four bytes each.
#[expect(clippy::wildcard_enum_match_arm, reason = "all other types have values of one width")]
fn carried_bytes(column: &ArrayRef, rows: &Rows) -> usize {
    match column.data_type() {
        DataType::Utf8 => value_bytes(column.as_string::<i32>().value_offsets(), rows),
        DataType::Binary => value_bytes(column.as_binary::<i32>().value_offsets(), rows),
        _ => row_count(rows, column.len()).saturating_mul(frame::width(column.data_type())),
    }
}

fn row_count(rows: &Rows, batch_rows: usize) -> usize {
    match rows {
        Rows::All => batch_rows,
        Rows::Selected(bits) => bits.true_count(),
        Rows::Taken(indices) => indices.len(),
    }
}

fn value_bytes(offsets: &[i32], rows: &Rows) -> usize {
    let length = |row: usize| match offsets.get(row..row + 2) {
        Some([from, to]) => to.abs_diff(*from) as usize,
        Some(_) | None => 0,
    };
    match rows {
        Rows::All => offsets.first().zip(offsets.last()).map_or(0, |(from, to)| to.abs_diff(*from) as usize),
        Rows::Selected(bits) => bits.values().set_indices().map(length).sum(),
        Rows::Taken(indices) => indices.values().iter().map(|row| length(*row as usize)).sum(),
    }
}

/// The columns that the plugin made, each of `rows` rows.
fn made_columns(plan: &OutputPlan, rows: usize, mut lists: &[&[u8]]) -> Result<RecordBatch, String> {
    let mut columns = Vec::with_capacity(plan.made.fields().len());
    for field in plan.made.fields() {
        let (own, rest) = lists.split_at(frame::buffer_count(field.data_type()));
        lists = rest;
        let column = frame::column(field, rows, own).map_err(|error| format!("column {}: {error}", field.name()))?;
        columns.push(column);
    }
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(plan.made.clone(), columns, &options).map_err(|error| error.to_string())
}
