//! The engine's program.

/// For the clients' C code as well. Messages are allocated on one thread and freed on another, epochs in turns on all of them: with
/// glibc's allocator 2,000 lanes took a fifth more CPU time, and 500 a fifth more memory.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> std::process::ExitCode {
    engine::cli::main()
}
