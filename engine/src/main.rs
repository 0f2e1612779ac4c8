//! The engine's program.

/// For the clients' C code as well. Messages are allocated on one thread and freed on another, epochs in turns on all of them: with
/// glibc's allocator 2,000 lanes took a fifth more CPU time, and 500 a fifth more memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What jemalloc reads when it begins. Freed pages go back to the system after a second, not ten: what is limited is what the
/// process holds.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
// SAFETY: nothing else is called so, and its type is what jemalloc declares: a pointer to a text that ends with 0.
#[unsafe(export_name = "malloc_conf")]
static ALLOCATOR_CONF: &u8 = &b"dirty_decay_ms:1000,muzzy_decay_ms:0\0"[0];

fn main() -> std::process::ExitCode {
    engine::cli::main()
}
