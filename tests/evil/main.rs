//! Evil guests against a real host, whose compiler is a child as in production: each is refused or stopped with words that
//! name what it did, within bounds, while a neighbour in the same host makes its rows; and at the end the host has its
//! memory back. What each took, and what the neighbour felt, is printed (`make evil`).

mod canary;
mod capsules;
mod compiling;
mod guest;
mod neighbour;
mod running;

use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::{Int64Array, RecordBatch};
use engine::plugin::{ChildLimits, Compiler, Context, Host, HostSettings, Limits, Plugin};
use harness::engine::program;
use neighbour::Neighbour;

/// What the evil ones may take in a call; the neighbour has the same.
const LIMITS: Limits = Limits { memory_bytes: 32 << 20, call_ms: 300, output_bytes: 4 << 20 };
/// What a child may take. Far less than in production, so that bombs go off soon.
const CHILD: ChildLimits =
    ChildLimits { cpu_s: 3, memory_bytes: 1 << 30, wall: Duration::from_secs(120), code_bytes: 64 << 20 };
/// How much more resident memory the host may have at the end: what its allocator and its warm slots keep. One guest that
/// stayed would be as much.
const MORE_BYTES: u64 = 96 << 20;

fn host() -> Host {
    let settings = HostSettings { instances: 8, ..HostSettings::default() };
    let compiler = Compiler::Child { program: program().to_owned(), limits: CHILD };
    Host::with(settings, compiler, None).expect("this machine runs WebAssembly")
}

fn context() -> Context {
    Context { parameters: Arc::from([]), now_ms: 1_700_000_000_000, watermark_ms: None }
}

fn batch(plugin: &Plugin, numbers: Vec<i64>) -> RecordBatch {
    let column = Arc::new(Int64Array::from(numbers));
    RecordBatch::try_new(plugin.description().input.clone(), vec![column]).expect("one column of numbers")
}

unsafe extern "C" {
    /// glibc's: gives back to the system what was freed.
    fn malloc_trim(keep: usize) -> i32;
}

/// Resident memory of this process, bytes, without what its allocator keeps of what was freed: texts of guests, mostly.
fn resident() -> u64 {
    // SAFETY: it takes a number alone, and may be called at any time.
    unsafe { malloc_trim(0) };
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a line");
    line.trim_end_matches("kB").trim().parse::<u64>().expect("a number") << 10
}

/// Runs cases one after the other beside a neighbour. Each gives the words in which it was refused or stopped, or those of
/// its harmless end, which have to contain what is expected.
fn run(cases: Vec<Case>) {
    let host = host();
    let neighbour = Neighbour::start(&host);
    let alone = neighbour.felt();
    let before = resident();
    println!("{:44} {:>8} {:>7} {:>9} {:>9}  ended", "guest", "took", "calls", "median", "longest");
    let line = |name: &str, took: Duration, felt: &neighbour::Felt, words: &str| {
        let (median, longest) = (felt.median.as_micros(), felt.longest.as_micros());
        let words: String = words.lines().next().unwrap_or_default().chars().take(150).collect();
        println!("{name:44} {:>5} ms {:>7} {median:>6} µs {longest:>6} µs  {words}", took.as_millis(), felt.calls);
    };
    line("(none)", Duration::ZERO, &alone, "");
    let mut wrong = Vec::new();
    for Case { name, expected, run } in cases {
        let began = Instant::now();
        let words = run(&host);
        let took = began.elapsed();
        line(name, took, &neighbour.felt(), &words);
        if !expected.iter().any(|expected| words.contains(expected)) {
            wrong.push(format!("{name}: {expected:?} is not in {words:?}"));
        }
    }
    drop(neighbour);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let after = resident();
    println!("resident memory: {} MiB before, {} MiB after", before >> 20, after >> 20);
    assert!(after < before + MORE_BYTES, "{before} bytes before, {after} after: memory does not come back");
}

/// An evil guest.
struct Case {
    name: &'static str,
    /// One of these is in the words.
    expected: Vec<&'static str>,
    run: Box<dyn FnOnce(&Host) -> String>,
}
