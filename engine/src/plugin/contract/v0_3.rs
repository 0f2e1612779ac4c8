//! Version 0.3: what is new in it, and what it says otherwise than 0.2.

use wasmtime::component::{ComponentType, Lift, Lower, WasmList};

use super::described::{Input, Output, Parameter};

#[derive(ComponentType, Lift, Clone, Copy)]
#[component(enum)]
#[repr(u8)]
pub(in crate::plugin) enum OnExpire {
    #[component(name = "drop")]
    Drop,
    #[component(name = "call")]
    Call,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct StateTable {
    pub(in crate::plugin) name: String,
    #[component(name = "on-expire")]
    pub(in crate::plugin) on_expire: OnExpire,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct State {
    pub(in crate::plugin) version: u32,
    pub(in crate::plugin) reads: Vec<u32>,
    pub(in crate::plugin) tables: Vec<StateTable>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct EventTime {
    #[component(name = "delay-ms")]
    pub(in crate::plugin) delay_ms: u64,
    #[component(name = "idle-ms")]
    pub(in crate::plugin) idle_ms: Option<u64>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Description {
    pub(in crate::plugin) name: String,
    pub(in crate::plugin) version: String,
    pub(in crate::plugin) input: Input,
    pub(in crate::plugin) outputs: Vec<Output>,
    pub(in crate::plugin) parameters: Vec<Parameter>,
    pub(in crate::plugin) state: Option<State>,
    #[component(name = "event-time")]
    pub(in crate::plugin) event_time: Option<EventTime>,
}

#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in crate::plugin) struct Context<'a> {
    pub(in crate::plugin) parameters: &'a [String],
    #[component(name = "now-ms")]
    pub(in crate::plugin) now_ms: i64,
    #[component(name = "watermark-ms")]
    pub(in crate::plugin) watermark_ms: Option<i64>,
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
    #[component(name = "none")]
    None(u32),
}

/// Of a guest: nothing of them has been copied.
#[derive(ComponentType, Lift)]
#[component(variant)]
pub(in crate::plugin) enum Cells {
    #[component(name = "fixed")]
    Fixed(Fixed),
    #[component(name = "variable")]
    Variable(Variable),
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Fixed {
    pub(in crate::plugin) width: u32,
    pub(in crate::plugin) bytes: WasmList<u8>,
}

#[derive(ComponentType, Lift)]
#[component(record)]
pub(in crate::plugin) struct Variable {
    pub(in crate::plugin) offsets: WasmList<u32>,
    pub(in crate::plugin) bytes: WasmList<u8>,
}

/// The same, given to a guest.
#[derive(ComponentType, Lower, Clone, Copy)]
#[component(record)]
pub(in crate::plugin) struct Texts<'a> {
    pub(in crate::plugin) offsets: &'a [u32],
    pub(in crate::plugin) bytes: &'a [u8],
}

/// As [`Texts`]: what a host function gives back is owned.
#[derive(ComponentType, Lower)]
#[component(record)]
pub(in crate::plugin) struct OwnedTexts {
    pub(in crate::plugin) offsets: Vec<u32>,
    pub(in crate::plugin) bytes: Vec<u8>,
}

#[derive(ComponentType, Lower)]
#[component(record)]
pub(in crate::plugin) struct Found {
    pub(in crate::plugin) present: Vec<u8>,
    pub(in crate::plugin) values: OwnedTexts,
}
