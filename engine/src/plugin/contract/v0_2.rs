//! Version 0.2: no state, no event time, and every row of a table is made from a row of the batch.

use wasmtime::component::{ComponentType, Lift, Lower, WasmList};

use super::described::{Input, Output, Parameter};
use super::v0_3;

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Description {
    name: String,
    version: String,
    input: Input,
    outputs: Vec<Output>,
    parameters: Vec<Parameter>,
}

impl From<Description> for v0_3::Description {
    fn from(old: Description) -> Self {
        Self {
            name: old.name,
            version: old.version,
            input: old.input,
            outputs: old.outputs,
            parameters: old.parameters,
            state: None,
            event_time: None,
        }
    }
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in crate::plugin) struct Context<'a> {
    pub(in crate::plugin) parameters: &'a [String],
    #[component(name = "now-ms")]
    pub(in crate::plugin) now_ms: i64,
}

#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in crate::plugin) enum Rows {
    #[component(name = "all")]
    All,
    #[component(name = "selected")]
    Selected(WasmList<u8>),
    #[component(name = "taken")]
    Taken(WasmList<u32>),
}

impl From<Rows> for v0_3::Rows {
    fn from(old: Rows) -> Self {
        match old {
            Rows::All => Self::All,
            Rows::Selected(bitmap) => Self::Selected(bitmap),
            Rows::Taken(indices) => Self::Taken(indices),
        }
    }
}
