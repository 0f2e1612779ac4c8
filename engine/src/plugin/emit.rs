//! The host function `emit`: a guest's rows for one output, checked, charged and copied.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::ArrowNativeType;
use arrow_schema::{DataType, Schema, SchemaRef};
use wasmtime::StoreContextMut;
use wasmtime::component::WasmList;

use super::frame::{self, FrameError};
use super::rows::Given;
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
    let batch_rows = call.input.num_rows();
    let rows = given(store, rows).check(batch_rows).map_err(|error| in_table(error.to_string()))?;
    let count = rows.count(batch_rows);
    let carried = plan.carried.iter().map(|index| carried_bytes(call.input.column(*index), &rows));
    let bytes = carried.fold(own.saturating_add(count.saturating_mul(ROW_BYTES)), usize::saturating_add);
    if bytes > call.bytes_left {
        return Err(over());
    }

    let lists: Vec<&[u8]> = lists.iter().map(|list| list.as_le_slice(store)).collect();
    let made = frame::batch(&plan.made, count, &lists).map_err(|error| in_table(error.to_string()))?;
    Ok((Emitted { output: output as usize, rows, made }, bytes))
}

/// Rows that a guest names one by one: known before they are copied.
fn rows_given(rows: &contract::Rows) -> usize {
    match rows {
        contract::Rows::All | contract::Rows::Selected(_) => 0,
        contract::Rows::Taken(indices) => indices.len(),
    }
}

/// The rows as they lie in the guest's memory.
fn given<'a>(store: &'a StoreContextMut<'_, Sandbox>, rows: &contract::Rows) -> Given<'a> {
    match rows {
        contract::Rows::All => Given::All,
        contract::Rows::Selected(bitmap) => Given::Selected(bitmap.as_le_slice(store)),
        contract::Rows::Taken(indices) => Given::Taken(indices.as_le_slice(store)),
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
