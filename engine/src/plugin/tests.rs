//! The host against guests written in WebAssembly text: good ones, and ones that lie, loop, hog and crash.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "what a test does not expect fails it")]

mod guest;
mod border;
mod evil;
mod lying;
mod loading;
mod compiled;
mod described;
mod keyed;

use std::sync::LazyLock;

use super::{Context, Host, HostSettings, Instance, Limits, Plugin};
use crate::state::State;

/// One engine for all tests, as there is one in production.
static HOST: LazyLock<Host> = LazyLock::new(|| Host::new(HostSettings::default()).unwrap());

const LIMITS: Limits = Limits { memory_bytes: 64 << 20, call_ms: 10_000, output_bytes: 32 << 20 };

fn context() -> Context {
    Context { parameters: [].into(), now_ms: 1_700_000_000_000, watermark_ms: None }
}

fn instance(plugin: &Plugin) -> Instance {
    plugin.instance(&context(), LIMITS).unwrap()
}
