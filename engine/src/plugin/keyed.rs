//! The host functions of the interface `state`: a guest's requests for its lane's state, checked, charged, and done in
//! place.
//!
//! **Promise.** Keys and values are read where they lie in the guest's memory; nothing is copied before it is charged.
//! A request that is refused ends the call, and the lane takes back what the call has written before.

use wasmtime::StoreContextMut;
use wasmtime::component::{LinkerInstance, WasmList};

use super::Fault;
use super::contract::v0_3 as contract;
use super::sandbox::Sandbox;
use crate::state::{Cells, Found, MOST_KEYS, State, StateError};

/// Charged for each request, so that a million empty ones do not come for nothing.
const REQUEST_BYTES: usize = 256;
/// Charged for each key: what an answer says of it, or the record and the undoing of a write, beside its bytes.
const KEY_BYTES: usize = 32;

/// Links the interface.
pub(super) fn link(state: &mut LinkerInstance<'_, Sandbox>) -> wasmtime::Result<()> {
    state.func_wrap("get-many", get_many)?;
    state.func_wrap("put-many", put_many)?;
    state.func_wrap("delete-many", delete_many)?;
    state.func_wrap("insert-if-absent-many", insert_if_absent_many)
}

type Store<'a> = StoreContextMut<'a, Sandbox>;

fn get_many(mut store: Store<'_>, (table, keys): (u32, contract::Cells)) -> wasmtime::Result<(contract::Found,)> {
    let request = Request { name: "get-many", table, charged: charge(&keys), keys: &keys };
    let Found { present, offsets, bytes } =
        request.make(&mut store, |store, state, table, left| state.get_many(table, cells(store, &keys), left))?;
    if let Some(call) = &mut store.data_mut().call {
        call.state_bytes_left -= bytes.len();
    }
    Ok((contract::Found { present, values: contract::OwnedTexts { offsets, bytes } },))
}

fn put_many(
    mut store: Store<'_>,
    (table, keys, values, expiries): (u32, contract::Cells, contract::Cells, WasmList<i64>),
) -> wasmtime::Result<()> {
    let charged = charge(&keys).saturating_add(charge(&values));
    let request = Request { name: "put-many", table, charged, keys: &keys };
    request.make(&mut store, |store, state, table, _| {
        state.put_many(table, cells(store, &keys), cells(store, &values), expiries.as_le_slice(store))
    })
}

fn delete_many(mut store: Store<'_>, (table, keys): (u32, contract::Cells)) -> wasmtime::Result<()> {
    let request = Request { name: "delete-many", table, charged: charge(&keys), keys: &keys };
    request.make(&mut store, |store, state, table, _| state.delete_many(table, cells(store, &keys)))
}

fn insert_if_absent_many(
    mut store: Store<'_>,
    (table, keys, expiries): (u32, contract::Cells, WasmList<i64>),
) -> wasmtime::Result<(Vec<u8>,)> {
    let request = Request { name: "insert-if-absent-many", table, charged: charge(&keys), keys: &keys };
    let absent = request.make(&mut store, |store, state, table, _| {
        state.insert_if_absent_many(table, cells(store, &keys), expiries.as_le_slice(store))
    })?;
    Ok((absent,))
}

/// What a guest asks for.
struct Request<'a> {
    name: &'static str,
    table: u32,
    keys: &'a contract::Cells,
    charged: usize,
}

impl Request<'_> {
    /// Charges the request and makes it, with what the call may still read; or stops the guest.
    fn make<T>(
        &self,
        store: &mut Store<'_>,
        make: impl FnOnce(&Store<'_>, &mut State, usize, usize) -> Result<T, StateError>,
    ) -> wasmtime::Result<T> {
        let left = match self.charge(store.data_mut()) {
            Ok(left) => left,
            Err(fault) => return Err(store.data_mut().stop(fault)),
        };
        // Out of the store, whose memory the request borrows; back before anything else can happen.
        let mut state = std::mem::take(&mut store.data_mut().state);
        let mut touched = store.data_mut().touched.take();
        if let Some(touched) = &mut touched {
            touched.note(&state, self.table as usize, cells(store, self.keys));
        }
        let made = make(store, &mut state, self.table as usize, left);
        (store.data_mut().state, store.data_mut().touched) = (state, touched);
        made.map_err(|error| {
            let fault = self.fault(store.data(), error);
            store.data_mut().stop(fault)
        })
    }

    fn charge(&self, sandbox: &mut Sandbox) -> Result<usize, Fault> {
        let (name, keys) = (self.name, key_count(self.keys));
        let Some(call) = &mut sandbox.call else {
            return Err(Fault::Contract { message: format!("{name} called outside of process and expire") });
        };
        // A host function is not interrupted; so many keys take it a fraction of a second.
        if keys > MOST_KEYS {
            let message = format!("{name} of {keys} keys, at most {MOST_KEYS} are possible at once");
            return Err(Fault::Contract { message });
        }
        let charged = self.charged.saturating_add(REQUEST_BYTES + keys * KEY_BYTES);
        let over = || Fault::StateTraffic { limit_bytes: sandbox.limits.output_bytes };
        call.state_bytes_left = call.state_bytes_left.checked_sub(charged).ok_or_else(over)?;
        Ok(call.state_bytes_left)
    }

    fn fault(&self, sandbox: &Sandbox, error: StateError) -> Fault {
        match error {
            StateError::Cells(error) => {
                let table = sandbox.state.tables().get(self.table as usize);
                let of = table.map_or_else(String::new, |table| format!(" of table {}", table.name));
                Fault::Contract { message: format!("{}{of}: {error}", self.name) }
            }
            StateError::Answer { .. } => Fault::StateTraffic { limit_bytes: sandbox.limits.output_bytes },
            StateError::Quota { .. } | StateError::DiskQuota { .. } | StateError::Disk { .. } => Fault::State(error),
            StateError::Damaged(what) => {
                Fault::Engine { message: format!("{} found a damaged state: {what}", self.name) }
            }
        }
    }
}

/// Keys, as many as the guest says they are.
fn key_count(keys: &contract::Cells) -> usize {
    match keys {
        contract::Cells::Fixed(fixed) => fixed.bytes.len().checked_div(fixed.width as usize).unwrap_or_default(),
        contract::Cells::Variable(variable) => variable.offsets.len(),
    }
}

fn charge(cells: &contract::Cells) -> usize {
    match cells {
        contract::Cells::Fixed(fixed) => fixed.bytes.len(),
        contract::Cells::Variable(variable) => variable.bytes.len(),
    }
}

/// Cells as they lie in the guest's memory.
fn cells<'a>(store: &'a Store<'_>, cells: &contract::Cells) -> Cells<'a> {
    match cells {
        contract::Cells::Fixed(contract::Fixed { width, bytes }) => {
            Cells::Fixed { width: *width as usize, bytes: bytes.as_le_slice(store) }
        }
        contract::Cells::Variable(contract::Variable { offsets, bytes }) => {
            Cells::Variable { offsets: offsets.as_le_slice(store), bytes: bytes.as_le_slice(store) }
        }
    }
}
