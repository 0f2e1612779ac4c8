//! The benchmark's parts, each a command: `make bench` runs them all, `make bench PART=decode` one of them.
//!
//! One program, because each that holds the engine takes minutes to link. Measured is CPU time, and
//! time on the clock only where somebody waits for it: machines are shared and clocks of processors vary. Of figures that are compared both come from one run.

mod border;
mod decode;
mod disk;
mod events;
mod figures;
mod messages;
mod once;
mod poison;
mod remember;
mod restart;
mod state;

use clap::Parser;

type Failure = Box<dyn std::error::Error + Send + Sync>;

#[derive(Parser)]
enum Part {
    /// Decoding, beside other readers of JSON
    Decode(decode::Options),
    /// Keyed state in the host
    State(state::Options),
    /// Keyed state that memory has no room for
    Disk(disk::Options),
    /// The border to plugins, beside native code and other ways to run functions in WebAssembly
    Border(border::Options),
    /// Rows on which a plugin traps, beside the same epoch without them
    Poison(poison::Options),
    /// Plugins that remember, beside plain maps
    Remember(remember::Options),
    /// From `kill -9` to the first new row, with much remembered
    Restart(restart::Options),
    /// Whole events, beside a hand-written consumer, and what exactly once costs
    Events(events::Options),
    /// A run of the engine with or without what makes it exactly once, for `events`
    #[command(hide = true)]
    Once(once::Options),
}

/// As the engine's program has it.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Failure> {
    match Part::parse() {
        Part::Decode(options) => decode::run(&options),
        Part::State(options) => state::run(&options),
        Part::Disk(options) => disk::run(&options),
        Part::Border(options) => border::run(&options),
        Part::Poison(options) => poison::run(&options),
        Part::Remember(options) => remember::run(&options),
        Part::Restart(options) => restart::run(&options),
        Part::Events(options) => events::run(&options),
        Part::Once(options) => once::run(&options),
    }
}
