//! What keyed state costs in the host: CPU time per key of whole batches, bytes per key, and the time to read it again.

use std::hint::black_box;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::Args;
use engine::state::{Cells, OnExpire, Sealed, State, StateTable};

use crate::Failure;
use crate::figures::Figures;

/// Keys of a batch, as the engine makes them.
const ROWS: u64 = 8_192;
/// The same, as a length.
const LEN: usize = 8_192;
/// Batches of a sample.
const BATCHES: u64 = 32;
/// Bytes of a value.
const VALUE: usize = 40;

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Live keys
    #[arg(long, default_value_t = 10_000_000)]
    keys: u64,
    /// Samples
    #[arg(long, default_value_t = 15)]
    rounds: u32,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut figures = Figures::default();
    measure::<Number>(options, &mut figures)?;
    measure::<Text>(options, &mut figures)?;
    figures.print();
    if let (Some(number), Some(text)) =
        (figures.median("state_u64_insert_ns_per_key"), figures.median("state_text_insert_ns_per_key"))
    {
        println!(
            "\na new key of 8 bytes takes {number:.0} ns, one of 22 bytes {text:.0} ns, of {} live keys",
            options.keys
        );
    }
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// A kind of keys.
trait Kind {
    const NAME: &'static str;
    const WIDTH: usize;
    fn push(number: u64, bytes: &mut Vec<u8>);
}

struct Number;

impl Kind for Number {
    const NAME: &'static str = "u64";
    const WIDTH: usize = 8;

    fn push(number: u64, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&scattered(number).to_le_bytes());
    }
}

struct Text;

impl Kind for Text {
    const NAME: &'static str = "text";
    const WIDTH: usize = 22;

    fn push(number: u64, bytes: &mut Vec<u8>) {
        use std::io::Write as _;
        // Writing to a vector does not fail.
        let _ = write!(bytes, "{:022x}", u128::from(scattered(number)) * 7_919);
    }
}

/// The numbers in no order, each once.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Numbered keys as a plugin hands them over, texts by their offsets.
struct Keys {
    width: usize,
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Keys {
    fn of<K: Kind>(numbers: impl Iterator<Item = u64>) -> Self {
        let (mut offsets, mut bytes) = (vec![0], Vec::new());
        for number in numbers {
            K::push(number, &mut bytes);
            offsets.push(u32::try_from(bytes.len()).expect("a batch is small"));
        }
        Self { width: K::WIDTH, offsets, bytes }
    }

    fn cells(&self) -> Cells<'_> {
        match self.width {
            8 => Cells::Fixed { width: 8, bytes: &self.bytes },
            _ => Cells::Variable { offsets: &self.offsets, bytes: &self.bytes },
        }
    }
}

fn empty(on_expire: OnExpire) -> State {
    State::new(vec![StateTable { name: "t".to_owned(), on_expire }], usize::MAX)
}

fn measure<K: Kind>(options: &Options, figures: &mut Figures) -> Result<(), Failure> {
    let name = |what: &str| format!("state_{}_{what}", K::NAME);
    let (mut state, mut records, mut next) = (empty(OnExpire::Drop), Vec::new(), 0);
    while next < options.keys {
        insert::<K>(&mut state, next)?;
        next += ROWS;
        keep(&mut state, &mut records)?;
    }
    let memory = state.size(0)?.memory_bytes;
    figures.add(name("bytes_per_key"), "B", memory as f64 / state.size(0)?.entries as f64);
    for _ in 0..options.rounds {
        let (from, batches) = (next, batches::<K>(next));
        let took = cpu(|| batches.iter().try_for_each(|batch| insert_batch(&mut state, batch)))?;
        figures.add(name("insert_ns_per_key"), "ns", per_key(took));
        next += ROWS * BATCHES;
        keep(&mut state, &mut records)?;
        let again = batches_of::<K>(|index| scattered(index) % from);
        let took = cpu(|| again.iter().try_for_each(|batch| insert_batch(&mut state, batch)))?;
        figures.add(name("seen_ns_per_key"), "ns", per_key(took));
    }
    let snapshot = vec![state.snapshot()];
    drop(state);
    for (of, records) in [("changes", &records), ("snapshot", &snapshot)] {
        for _ in 0..options.rounds.min(3) {
            let (mut state, began) = (empty(OnExpire::Drop), Instant::now());
            let took = cpu(|| records.iter().try_for_each(|record| Ok(state.restore(record)?)))?;
            figures.add(name(&format!("restore_{of}_s")), "s", took.as_secs_f64());
            println!("{} keys read again from {of} in {:.2} s", state.size(0)?.entries, began.elapsed().as_secs_f64());
        }
    }
    values::<K>(options, figures)
}

/// Entries with values, of a table that calls: as sessions are kept.
fn values<K: Kind>(options: &Options, figures: &mut Figures) -> Result<(), Failure> {
    let name = |what: &str| format!("state_{}_{what}", K::NAME);
    let mut state = empty(OnExpire::Call);
    for from in (0..options.keys).step_by(8_192) {
        put(&mut state, &Keys::of::<K>(from..from + ROWS))?;
        state.seal()?;
    }
    let memory = state.size(0)?.memory_bytes;
    figures.add(name("value_bytes_per_key"), "B", memory as f64 / state.size(0)?.entries as f64);
    for round in 0..options.rounds {
        let batches = batches_of::<K>(|index| scattered(index + u64::from(round)) % options.keys);
        let took = cpu(|| {
            batches.iter().try_for_each(|batch| {
                black_box(state.get_many(0, batch.cells(), usize::MAX)?);
                Ok(())
            })
        })?;
        figures.add(name("get_ns_per_key"), "ns", per_key(took));
        let took = cpu(|| batches.iter().try_for_each(|batch| put(&mut state, batch)))?;
        figures.add(name("put_ns_per_key"), "ns", per_key(took));
        state.seal()?;
    }
    Ok(())
}

fn batches<K: Kind>(from: u64) -> Vec<Keys> {
    batches_of::<K>(|index| from + index)
}

fn batches_of<K: Kind>(number: impl Fn(u64) -> u64) -> Vec<Keys> {
    (0..BATCHES).map(|batch| Keys::of::<K>((batch * ROWS..(batch + 1) * ROWS).map(&number))).collect()
}

fn insert<K: Kind>(state: &mut State, from: u64) -> Result<(), Failure> {
    insert_batch(state, &Keys::of::<K>(from..from + ROWS))
}

fn insert_batch(state: &mut State, keys: &Keys) -> Result<(), Failure> {
    state.begin_call();
    black_box(state.insert_if_absent_many(0, keys.cells(), &[1_700_000_000_000; LEN])?);
    Ok(())
}

fn put(state: &mut State, keys: &Keys) -> Result<(), Failure> {
    state.begin_call();
    let values = vec![7; VALUE * LEN];
    let values = Cells::Fixed { width: VALUE, bytes: &values };
    Ok(state.put_many(0, keys.cells(), values, &[1_700_000_000_000; LEN])?)
}

/// As a journal does.
fn keep(state: &mut State, records: &mut Vec<Vec<u8>>) -> Result<(), Failure> {
    let seal = state.seal()?;
    for file in seal.replaced {
        std::fs::remove_file(file)?;
    }
    match seal.changes {
        Sealed::Unchanged => {}
        Sealed::Changes(record) => records.push(record),
        Sealed::Snapshot(record) => *records = vec![record],
    }
    Ok(())
}

fn per_key(took: Duration) -> f64 {
    took.as_secs_f64() * 1e9 / (ROWS * BATCHES) as f64
}

/// CPU time of this thread: on a busy machine the clock on the wall tells about the others.
fn cpu(work: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let now = || -> Result<u64, Failure> {
        let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat")?;
        Ok(schedstat.split(' ').next().unwrap_or_default().parse()?)
    };
    let before = now()?;
    work()?;
    Ok(Duration::from_nanos(now()? - before))
}
