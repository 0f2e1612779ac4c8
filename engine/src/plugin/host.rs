//! The host: one wasmtime engine for all plugins, and what every sandbox has in common.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use wasmtime::component::{Linker, WasmStr};
use wasmtime::{
    Config, Enabled, Engine, InstanceAllocationStrategy, OptLevel, PoolingAllocationConfig, StoreContextMut,
    WasmBacktraceDetails, WasmFeatures,
};

use super::compiled::CompiledCode;
use super::compiler::Compiler;
use super::contract::{Level, Version};
use super::fault::FRAMES_COLLECTED;
use super::guest_log::GuestLog;
use super::loaded::Loaded;
use super::sandbox::{CORE_INSTANCES, MEMORIES, Sandbox, TABLE_ELEMENTS, TABLES};
use super::ticker::Ticker;
use super::{Fault, call, emit, keyed};
use crate::memory::Memory;

/// Memory of a slot that stays with the host between two instances. It covers the working set of batches of about
/// 8,192 rows; what is above is given back and costs page faults next time.
const KEEP_RESIDENT_BYTES: usize = 8 << 20;
/// Idle slots that stay warm: at most `WARM_SLOTS * KEEP_RESIDENT_BYTES` = 256 MiB beside the working ones.
const WARM_SLOTS: u32 = 32;
/// The machine stack of a guest; its threads have 2 MiB. Rust's locals are mostly on the shadow stack of 1 MiB.
const STACK_BYTES: usize = 512 << 10;

/// Settings of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// Most instances that live at a time. Each takes 4 GiB of address space, and memory only as it is used.
    pub instances: u32,
    /// Largest artifact that is loaded.
    pub artifact_bytes: usize,
    /// Most code that is compiled. Each MiB takes the compiler about a second of one core, and some tens of MiB of memory.
    pub code_bytes: usize,
    /// Whether one plugin is compiled on all cores, or on the thread alone that loads it. A child has one thread.
    pub parallel: bool,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self { instances: 512, artifact_bytes: 64 << 20, code_bytes: 16 << 20, parallel: true }
    }
}

/// Loads plugins. Cheap to clone; the engine behind lives as long as any clone, plugin or instance.
#[derive(Clone)]
pub struct Host {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) engine: Engine,
    pub(super) linker: Linker<Sandbox>,
    /// Memories move when they grow, because there is no address space for them to stay.
    pub(super) moving: bool,
    pub(super) settings: HostSettings,
    pub(super) compiler: Compiler,
    pub(super) compiled: Option<CompiledCode>,
    pub(super) loaded: Loaded,
    /// Where guests' memory is booked.
    pub(super) memory: Memory,
    /// Instances that live.
    instances: AtomicU32,
    _ticker: Ticker,
}

/// The host can't be made.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// wasmtime refuses this machine or configuration.
    #[error("the WebAssembly engine can't be started on this machine")]
    Engine(#[source] wasmtime::Error),
    /// No thread for the deadlines.
    #[error("the thread behind plugin deadlines can't be started")]
    Ticker(#[source] std::io::Error),
}

impl Host {
    /// Starts the WebAssembly engine and the clock of its deadlines. What it loads is compiled in this process.
    ///
    /// # Errors
    /// If this machine can't run it. Where only the pool of prepared memories is impossible (a limit of address
    /// space), it does without, which costs about half the speed, and the log says so.
    pub fn new(settings: HostSettings) -> Result<Self, HostError> {
        Self::with(settings, Compiler::Here, None)
    }

    /// The same, with somebody else who compiles, and a place where code is kept.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with(settings: HostSettings, compiler: Compiler, compiled: Option<CompiledCode>) -> Result<Self, HostError> {
        Self::within(settings, compiler, compiled, Memory::unlimited())
    }

    /// The same, with guests whose memory is a part of this pool.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn within(
        settings: HostSettings,
        compiler: Compiler,
        compiled: Option<CompiledCode>,
        memory: Memory,
    ) -> Result<Self, HostError> {
        let (engine, moving) = engine(settings).map_err(HostError::Engine)?;
        let linker = linker(&engine).map_err(HostError::Engine)?;
        let ticker = Ticker::start(&engine).map_err(HostError::Ticker)?;
        let (instances, loaded) = (AtomicU32::new(0), Loaded::default());
        let shared =
            Shared { engine, linker, moving, settings, compiler, compiled, loaded, memory, instances, _ticker: ticker };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Where guests' memory is booked.
    #[must_use]
    pub fn memory(&self) -> &Memory {
        &self.shared.memory
    }
}

/// Permission for one instance, given back when dropped: the limit holds with and without a pool.
pub(super) struct Slot {
    shared: Arc<Shared>,
}

impl Slot {
    pub(super) fn take(shared: &Arc<Shared>) -> Result<Self, Fault> {
        let limit = shared.settings.instances;
        let one_more = |live: u32| (live < limit).then_some(live + 1);
        match shared.instances.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more) {
            Ok(_) => Ok(Self { shared: shared.clone() }),
            Err(_) => Err(Fault::Engine { message: format!("{limit} plugin instances live already") }),
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.shared.instances.fetch_sub(1, Ordering::AcqRel);
    }
}

/// The engine, and whether it had to do without address space.
fn engine(settings: HostSettings) -> wasmtime::Result<(Engine, bool)> {
    let mut config = config();
    config.parallel_compilation(settings.parallel);
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool(settings)));
    Engine::new(&config).map(|engine| (engine, false)).or_else(|error| {
        tracing::warn!(
            error = format!("{error:#}"),
            instances = settings.instances,
            "no address space for a pool of plugin memories: plugins will run at about half their speed. \
             Raise the limit of virtual memory (ulimit -v) or lower the number of instances"
        );
        Ok((Engine::new(without_address_space(&mut config))?, true))
    })
}

/// Where a pool is not possible, 4 GiB for each instance are not either: memories as large as they are, which move
/// when they grow, and a check in front of each access in place of guard pages.
pub(super) fn without_address_space(config: &mut Config) -> &Config {
    config
        .allocation_strategy(InstanceAllocationStrategy::OnDemand)
        .memory_reservation(0)
        .memory_reservation_for_growth(4 << 20)
        .memory_guard_size(64 << 10)
}

fn pool(settings: HostSettings) -> PoolingAllocationConfig {
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(settings.instances)
        .total_core_instances(settings.instances.saturating_mul(CORE_INSTANCES))
        .total_memories(settings.instances.saturating_mul(MEMORIES))
        .total_tables(settings.instances.saturating_mul(TABLES))
        .max_core_instances_per_component(CORE_INSTANCES)
        .max_memories_per_component(MEMORIES)
        .max_tables_per_component(TABLES)
        .max_tables_per_module(TABLES)
        .table_elements(TABLE_ELEMENTS)
        .linear_memory_keep_resident(KEEP_RESIDENT_BYTES)
        .table_keep_resident(TABLE_ELEMENTS * size_of::<usize>())
        .max_unused_warm_slots(WARM_SLOTS)
        // One system call tells which pages a guest has written, where the kernel (Linux 6.7) knows it.
        .pagemap_scan(Enabled::Auto);
    pool
}

/// What compilers of plugins use without being asked, and the contract. Everything else of WebAssembly is off, that of
/// future versions of wasmtime too: threads, memories of 64 bits or several of them, tail calls, garbage collection,
/// references to the host's values, exceptions, stack switching, all of the component model that is not the contract's,
/// and relaxed SIMD, which answers differently on different machines.
const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::CALL_INDIRECT_OVERLONG)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::FLOATS)
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::COMPONENT_MODEL);

/// What a plugin may be made of and how it is compiled: the one configuration, of the engine and of its compiler.
pub(super) fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_features(WasmFeatures::all(), false)
        .wasm_features(FEATURES, true)
        .epoch_interruption(true)
        .max_wasm_stack(STACK_BYTES)
        .memory_init_cow(true)
        // A reservation of 4 GiB and guard pages: no access needs a bounds check, which would cost a third.
        .memory_reservation(4 << 30)
        .guard_before_linear_memory(true)
        .cranelift_opt_level(OptLevel::Speed)
        // Two ways to the same NaN must not give two blocks with different bytes.
        .cranelift_nan_canonicalization(true)
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(NonZeroUsize::new(FRAMES_COLLECTED))
        .concurrency_support(false);
    config
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<Sandbox>> {
    let mut linker = Linker::new(engine);
    for version in Version::ALL {
        linker.instance(&version.interface("types"))?;
        let mut host = linker.instance(&version.interface("host"))?;
        host.func_wrap("log", log)?;
        match version {
            Version::V0_2 => host.func_wrap("emit", emit::emit_0_2)?,
            Version::V0_3 => {
                host.func_wrap("emit", emit::emit)?;
                host.func_wrap("event-time", call::event_time)?;
                host.func_wrap("count", call::count)?;
                keyed::link(&mut linker.instance(&version.interface("state"))?)?;
            }
        }
    }
    Ok(linker)
}

fn log(mut store: StoreContextMut<'_, Sandbox>, (level, message): (Level, WasmStr)) -> wasmtime::Result<()> {
    // At most as long as what a call may hand over, which wasmtime has charged; what is kept of it is cut.
    let line = GuestLog::cut(&message.to_str(&store)?);
    store.data_mut().log.line(level, line);
    Ok(())
}
