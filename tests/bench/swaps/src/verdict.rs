//! What a run has shown: first whether everything is right, then the figures.

use std::time::Duration;

use serde_json::Value;

use crate::figures::Figures;
use crate::load::{PARTITIONS, Sent};
use crate::quantile::quantile;
use crate::watch::{Commit, Seen};
use crate::{Failure, ask};

/// So long before a version is saved and after its first rows, messages count as sent around the change.
const MARGIN: Duration = Duration::from_millis(300);

/// A version that was saved.
pub(crate) struct Swap {
    pub(crate) mark: u64,
    /// When, behind the beginning.
    pub(crate) at: Duration,
}

/// An epoch as the table has it.
struct Epoch {
    partition: usize,
    first: u64,
    mark: u64,
}

/// What the engine's log says of a version that it took: how long each step took, in milliseconds.
#[derive(Clone, Copy)]
struct Took {
    read_ms: f64,
    code_ms: f64,
    cached: bool,
    prepare_ms: f64,
}

/// A change of version: from the saved file to the first row, and to the first rows of all lanes.
struct Moved {
    at: Duration,
    first: Duration,
    all: Duration,
    took: Took,
}

impl Moved {
    fn kind(&self) -> &'static str {
        if self.took.cached { "cached" } else { "compiled" }
    }
}

pub(crate) fn verdict(
    clickhouse: &str,
    sent: &Sent,
    seen: &Seen,
    swaps: &[Swap],
    log: &str,
) -> Result<Figures, Failure> {
    let epochs = epochs(clickhouse, sent)?;
    let runs = runs(&epochs, swaps)?;
    let took = took(log)?;
    if took.len() != swaps.len() {
        return Err(format!("{} versions were saved, {} taken", swaps.len(), took.len()).into());
    }
    println!(
        "{} messages, each once; {} versions in {PARTITIONS} partitions, each a contiguous range, in the order of their files",
        sent.messages(),
        swaps.len() + 1
    );
    let mut moves = Vec::new();
    for (number, (swap, took)) in swaps.iter().zip(took).enumerate() {
        let mut firsts = Vec::new();
        for (commits, runs) in seen.commits.iter().zip(&runs) {
            let offset = *runs.get(number + 1).ok_or("a version has no rows")?;
            let commit = commits.iter().find(|commit| commit.below > offset).ok_or("a commit was not seen")?;
            firsts.push(commit.at);
        }
        firsts.sort();
        let [first, .., all] = firsts[..] else { return Err("there are several partitions".into()) };
        moves.push(Moved { at: swap.at, first, all, took });
    }
    let mut figures = Figures::default();
    latencies(&mut figures, sent, seen, &moves);
    of_moves(&mut figures, sent, seen, &moves);
    Ok(figures)
}

/// The table's epochs, in order; an error where a row is missing, there twice, of another version than its epoch, or not in
/// its place.
fn epochs(clickhouse: &str, sent: &Sent) -> Result<Vec<Epoch>, Failure> {
    let answer = ask(
        clickhouse,
        &format!(
            "SELECT _partition, min(_offset), max(_offset), count(), uniqExact(_offset), uniqExact(mark, _plugin), any(mark), \
             countIf(id != _offset * {PARTITIONS} + _partition) FROM swaps.marks \
             GROUP BY _partition, _epoch ORDER BY _partition, min(_offset) FORMAT TSV"
        ),
    )?;
    let mut epochs: Vec<Epoch> = Vec::new();
    let (mut partition, mut next, mut rows) = (0, 0, 0);
    for line in answer.lines() {
        let numbers: Vec<u64> = line.split('\t').map(str::parse).collect::<Result<_, _>>()?;
        let [of, first, last, count, distinct, versions, mark, misplaced] = numbers[..] else {
            return Err("eight columns".into());
        };
        if of != partition {
            (partition, next) = (of, 0);
        }
        let whole = first == next && last + 1 - first == count && distinct == count;
        if !whole || versions != 1 || misplaced != 0 {
            return Err(format!("partition {of}, offset {next} expected: {line}").into());
        }
        (next, rows) = (last + 1, rows + count);
        epochs.push(Epoch { partition: usize::try_from(of)?, first, mark });
    }
    if rows != sent.messages() {
        return Err(format!("{rows} rows of {} messages", sent.messages()).into());
    }
    Ok(epochs)
}

/// The first offset of each version in each partition, in order: that of the files.
fn runs(epochs: &[Epoch], swaps: &[Swap]) -> Result<[Vec<u64>; PARTITIONS], Failure> {
    let mut runs: [Vec<u64>; PARTITIONS] = Default::default();
    let wanted: Vec<u64> = std::iter::once(0).chain(swaps.iter().map(|swap| swap.mark)).collect();
    for (partition, firsts) in runs.iter_mut().enumerate() {
        let own: Vec<_> = epochs.iter().filter(|epoch| epoch.partition == partition).collect();
        let versions: Vec<_> = own.chunk_by(|one, next| one.mark == next.mark).filter_map(|run| run.first()).collect();
        let marks: Vec<u64> = versions.iter().map(|epoch| epoch.mark).collect();
        if marks != wanted {
            return Err(format!("partition {partition}: versions {marks:?}, saved were {wanted:?}").into());
        }
        firsts.extend(versions.iter().map(|epoch| epoch.first));
    }
    Ok(runs)
}

fn took(log: &str) -> Result<Vec<Took>, Failure> {
    let lines = log.lines().filter(|line| line.contains("a new version is on trial") && line.contains("code_ms"));
    lines
        .map(|line| of_line(&serde_json::from_str(line)?).ok_or_else(|| format!("not understood: {line}").into()))
        .collect()
}

fn of_line(line: &Value) -> Option<Took> {
    let fields = line.get("fields").unwrap_or(line);
    let number = |name: &str| {
        let field = &fields[name];
        field.as_f64().or_else(|| field.as_str()?.parse().ok())
    };
    Some(Took {
        read_ms: number("read_ms")?,
        code_ms: number("code_ms")?,
        cached: fields["cached"].as_bool()?,
        prepare_ms: number("prepare_ms")?,
    })
}

/// Latencies of messages that were sent around a change, and of all others; and the longest time between two commits of a
/// lane.
fn latencies(figures: &mut Figures, sent: &Sent, seen: &Seen, moves: &[Moved]) {
    let around = |at: Duration| moves.iter().find(|it| it.at < at + MARGIN && at < it.all + MARGIN).map(Moved::kind);
    let calm_from = moves.first().map_or(Duration::ZERO, |first| first.at.saturating_sub(Duration::from_secs(8)));
    for kind in [None, Some("cached"), Some("compiled")] {
        let name = kind.unwrap_or("at_rest");
        let (mut latencies, mut stall) = (Vec::new(), Duration::ZERO);
        for (partition, commits) in seen.commits.iter().enumerate() {
            for pair in commits.windows(2) {
                let [before, commit] = pair else { continue };
                if before.at < calm_from {
                    continue; // the engine has begun only then
                }
                let now = around(before.at).or(around(commit.at));
                if now == kind {
                    stall = stall.max(commit.at - before.at);
                }
                latencies.extend(of_epoch(sent, partition, *before, *commit, |at| around(at) == kind));
            }
        }
        latencies.sort_by(f64::total_cmp);
        for (words, share) in [("p50", 0.5), ("p99", 0.99), ("p999", 0.999), ("max", 1.0)] {
            figures.add(format!("reload_latency_{name}_{words}"), "ms", quantile(&latencies, share));
        }
        figures.add(format!("reload_longest_stall_{name}"), "ms", ms(stall));
    }
    let p99 = |name: &str| figures.median(&format!("reload_latency_{name}_p99"));
    if let [Some(rest), Some(cached), Some(compiled)] = ["at_rest", "cached", "compiled"].map(p99) {
        figures.add("reload_latency_p99_cached_ratio", "", cached / rest);
        figures.add("reload_latency_p99_compiled_ratio", "", compiled / rest);
    }
}

/// In milliseconds, of the messages between two commits that were sent at such times.
fn of_epoch(sent: &Sent, partition: usize, from: Commit, to: Commit, at: impl Fn(Duration) -> bool) -> Vec<f64> {
    let times = (from.below..to.below).filter_map(|offset| sent.at(partition, offset));
    times.filter(|sent| at(*sent)).map(|sent| ms(to.at.saturating_sub(sent))).collect()
}

/// From the saved file to the first row, and what of it was what.
fn of_moves(figures: &mut Figures, sent: &Sent, seen: &Seen, moves: &[Moved]) {
    // What an epoch takes by itself: from its first message to its commit.
    let mut epochs: Vec<f64> = Vec::new();
    for (partition, commits) in seen.commits.iter().enumerate() {
        for pair in commits.windows(2).skip(20) {
            let [before, commit] = pair else { continue };
            let began = sent.at(partition, before.below);
            epochs.extend(began.map(|began| ms(commit.at.saturating_sub(began))));
        }
    }
    epochs.sort_by(f64::total_cmp);
    let epoch = quantile(&epochs, 0.5);
    figures.add("reload_epoch", "ms", epoch);
    for kind in ["cached", "compiled"] {
        let of_kind = || moves.iter().filter(|it| it.kind() == kind);
        type Part = (&'static str, fn(&Moved) -> f64);
        let parts: [Part; 6] = [
            ("read", |it| it.took.read_ms),
            ("code", |it| it.took.code_ms),
            ("prepare", |it| it.took.prepare_ms),
            ("first_row", |it| ms(it.first - it.at)),
            ("all_lanes", |it| ms(it.all - it.at)),
            ("move", |it| ms(it.first - it.at) - it.took.read_ms - it.took.code_ms - it.took.prepare_ms),
        ];
        for (name, part) in parts {
            let mut times: Vec<f64> = of_kind().map(part).collect();
            times.sort_by(f64::total_cmp);
            for (words, share) in [("p50", 0.5), ("p95", 0.95)] {
                figures.add(format!("reload_{kind}_{name}_{words}"), "ms", quantile(&times, share));
            }
        }
        let first = figures.median(&format!("reload_{kind}_first_row_p95")).unwrap_or(0.0);
        figures.add(format!("reload_{kind}_first_row_p95_beyond_an_epoch"), "ms", first - epoch);
        let count = u32::try_from(of_kind().count()).unwrap_or(u32::MAX);
        figures.add(format!("reload_{kind}_changes"), "", f64::from(count));
    }
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
