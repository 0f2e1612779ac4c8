//! The engine's program.

fn main() -> std::process::ExitCode {
    engine::cli::main()
}
