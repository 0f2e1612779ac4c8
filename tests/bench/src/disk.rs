//! What a plugin remembers when memory has no room for it: how much memory it takes all the same, how long an epoch's end can
//! take, and how long a restart.
//!
//! Keys of 8 bytes that are all new, in epochs as the engine makes them, through the state that lanes have; a log as the journal
//! keeps it. The time of an epoch's end, which a lane waits for, is one on the clock; all else is CPU time.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;
use engine::cpu::thread_time;
use engine::state::{Cells, Disk, OnExpire, Sealed, State, StateTable};
use tempfile::TempDir;

use crate::Failure;
use crate::figures::Figures;

/// Keys of a batch, and batches of an epoch, as the engine makes them.
const ROWS: u64 = 8_192;
const BATCHES: u64 = 12;
/// Their expiry.
static EXPIRIES: [i64; 8_192] = [1_700_000_000_000; 8_192];

/// Its arguments.
#[derive(Args)]
pub(crate) struct Options {
    /// Live keys, the fewer first
    #[arg(long, value_delimiter = ',', default_value = "10000000,100000000")]
    keys: Vec<u64>,
    /// Memory for them, MiB: a plugin's `state_mib`
    #[arg(long, default_value_t = 512)]
    memory_mib: usize,
    /// Where a folder is made for the rest; it has to be on a disk
    #[arg(long, default_value = "target")]
    folder: PathBuf,
    /// The file that the figures are added to
    #[arg(long, default_value = "bench.json")]
    out: PathBuf,
}

/// Runs it.
pub(crate) fn run(options: &Options) -> Result<(), Failure> {
    let mut figures = Figures::default();
    for &keys in &options.keys {
        let folder = TempDir::new_in(&options.folder)?;
        let lane = Lane { folder: folder.path(), memory_bytes: options.memory_mib << 20 };
        let name = |what: &str| format!("disk_{}m_keys_{what}", keys / 1_000_000);
        let before = memory_from_here()?;
        let mut state = lane.state()?;
        let filled = lane.fill(&mut state, keys)?;
        let size = state.size(0)?;
        let (resident, peak) = (memory("VmRSS:")?, memory("VmHWM:")?);
        figures.add(name("memory_bytes_per_key"), "B", as_f64(resident.saturating_sub(before)) / as_f64(keys));
        figures.add(name("file_bytes_per_key"), "B", as_f64(size.disk_bytes) / as_f64(keys));
        figures.add(name("rss_mib"), "MiB", mib(resident));
        figures.add(name("peak_rss_mib"), "MiB", mib(peak));
        figures.add(name("insert_ns_per_row"), "ns", nanos(filled.inserting) / as_f64(keys));
        figures.add(name("seal_ns_per_row"), "ns", nanos(filled.sealing) / as_f64(keys));
        figures.add(name("slowest_seal_s"), "s", filled.slowest.as_secs_f64());
        let (took, found) = lane.look(&mut state, keys)?;
        if found != BATCHES * ROWS {
            return Err(format!("{found} of {} keys were there", BATCHES * ROWS).into());
        }
        figures.add(name("seen_ns_per_row"), "ns", nanos(took) / as_f64(BATCHES * ROWS));
        drop(state);
        memory_from_here()?;
        let (mut state, began) = (lane.state()?, Instant::now());
        lane.read(&mut state)?;
        figures.add(name("read_again_s"), "s", began.elapsed().as_secs_f64());
        figures.add(name("read_again_peak_rss_mib"), "MiB", mib(memory("VmHWM:")?));
        let entries = state.size(0)?.entries;
        if entries as u64 != keys {
            return Err(format!("{entries} of {keys} keys were read again").into());
        }
    }
    figures.print();
    figures.write_into(&options.out)?;
    println!("\nadded to {}", options.out.display());
    Ok(())
}

/// Where a lane keeps what it remembers.
struct Lane<'a> {
    folder: &'a Path,
    memory_bytes: usize,
}

/// What filling took.
#[derive(Default)]
struct Filled {
    inserting: Duration,
    sealing: Duration,
    slowest: Duration,
}

impl Lane<'_> {
    fn state(&self) -> Result<State, Failure> {
        let table = StateTable { name: "seen".to_owned(), on_expire: OnExpire::Drop };
        let mut state = State::new(vec![table], self.memory_bytes);
        state.keep_on(Disk::open(&self.folder.join("runs"), 1, u64::MAX)?);
        Ok(state)
    }

    fn fill(&self, state: &mut State, keys: u64) -> Result<Filled, Failure> {
        let (mut filled, mut from) = (Filled::default(), 0);
        while from < keys {
            let end = keys.min(from + BATCHES * ROWS);
            while from < end {
                let batch = batch(from..end.min(from + ROWS));
                filled.inserting += insert(state, &batch)?.0;
                from = end.min(from + ROWS);
            }
            let (began, before) = (Instant::now(), thread_time());
            let seal = state.seal()?;
            filled.sealing += thread_time().saturating_sub(before);
            filled.slowest = filled.slowest.max(began.elapsed());
            self.commit(&seal.changes)?;
            for file in seal.replaced {
                fs::remove_file(file)?;
            }
        }
        Ok(filled)
    }

    /// Keys from all over, none of them new; how many were there.
    fn look(&self, state: &mut State, keys: u64) -> Result<(Duration, u64), Failure> {
        let (mut took, mut found) = (Duration::ZERO, 0);
        for number in 0..BATCHES {
            let numbers = (number * ROWS..(number + 1) * ROWS).map(|index| scattered(index) % keys);
            let (time, absent) = insert(state, &batch(numbers))?;
            took += time;
            found += ROWS - absent;
        }
        Ok((took, found))
    }

    /// As a journal does: changes behind what there is, a snapshot in its place.
    fn commit(&self, changes: &Sealed) -> Result<(), Failure> {
        let (begins, record) = match changes {
            Sealed::Unchanged => return Ok(()),
            Sealed::Changes(record) => (false, record),
            Sealed::Snapshot(record) => (true, record),
        };
        let mut file = File::options().create(true).append(!begins).write(true).truncate(begins).open(self.log())?;
        file.write_all(&(record.len() as u64).to_le_bytes())?;
        Ok(file.write_all(record)?)
    }

    fn read(&self, state: &mut State) -> Result<(), Failure> {
        let (mut log, mut record) = (BufReader::new(File::open(self.log())?), Vec::new());
        loop {
            let mut length = [0; 8];
            match log.read_exact(&mut length) {
                Err(error) if error.kind() == ErrorKind::UnexpectedEof => break,
                read => read?,
            }
            record.resize(usize::try_from(u64::from_le_bytes(length))?, 0);
            log.read_exact(&mut record)?;
            state.restore(&record)?;
        }
        Ok(state.open_disk()?)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("log")
    }
}

fn batch(numbers: impl Iterator<Item = u64>) -> Vec<u8> {
    numbers.flat_map(|number| scattered(number).to_le_bytes()).collect()
}

/// CPU time, and how many of the keys were new.
fn insert(state: &mut State, keys: &[u8]) -> Result<(Duration, u64), Failure> {
    state.begin_call();
    let (before, expiries) = (thread_time(), EXPIRIES.get(..keys.len() / 8).unwrap_or_default());
    let absent = state.insert_if_absent_many(0, Cells::Fixed { width: 8, bytes: keys }, expiries)?;
    let took = thread_time().saturating_sub(before);
    Ok((took, absent.iter().map(|byte| u64::from(byte.count_ones())).sum()))
}

/// The numbers in no order, each once.
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Has the greatest memory measured from here on; gives what there is now.
fn memory_from_here() -> Result<u64, Failure> {
    fs::write("/proc/self/clear_refs", "5")?;
    memory("VmRSS:")
}

/// Bytes of memory of this process, by their name in proc(5).
fn memory(name: &str) -> Result<u64, Failure> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name)).ok_or("the kernel does not say")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

fn mib(bytes: u64) -> f64 {
    as_f64(bytes) / f64::from(1 << 20)
}

fn nanos(took: Duration) -> f64 {
    took.as_secs_f64() * 1e9
}

/// Exact up to 2^53.
fn as_f64(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
    let float = count as f64;
    float
}
