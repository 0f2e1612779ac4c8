//! Gaps in a row that is counted up, natively.

use plugin_sdk::testing::{Harness, run_cases};
use plugin_sdk::{Change, Timestamp};
use source_gaps::{Beat, SourceGaps};

fn beat(name: &str, n: i64) -> Beat<'_> {
    Beat { name, n, at: Timestamp::new(n * 10_000) }
}

/// GIVEN a connector that goes on behind a range that it never read, also while the lane was away, THEN each gap is a row.
#[test]
fn what_was_skipped_is_a_row() {
    let harness = Harness::<SourceGaps>::new();
    let mut lane = harness.lane();
    let steady = [1, 2, 3].map(|n| Change::update(beat("shop", n)));
    assert!(lane.run(steady).table("source_gaps").is_empty());
    lane.restart();
    lane.run([5, 6, 60].map(|n| Change::update(beat("shop", n)))).assert_table(
        "source_gaps",
        "
        name | missing | last_n | after                    | next_n | before
        shop | 1       | 3      | 1970-01-01T00:00:30.000Z | 5      | 1970-01-01T00:00:50.000Z
        shop | 53      | 6      | 1970-01-01T00:01:00.000Z | 60     | 1970-01-01T00:10:00.000Z
        ",
    );
    assert_eq!((lane.count("missing_beats"), lane.count("repeated_beats")), (54, 0));
}

/// GIVEN snapshots, the repeats of a connector that starts again, another connector's row, and a row that is taken away and
/// made again, THEN nothing is said.
#[test]
fn what_is_only_repeated_is_no_gap() {
    let harness = Harness::<SourceGaps>::new();
    let mut lane = harness.lane();
    let changes = [
        Change::read(beat("shop", 40)),
        Change::update(beat("shop", 41)),
        Change::update(beat("shop", 42)),
        Change::update(beat("stock", 7)),
        Change::update(beat("shop", 41)),
        Change::read(beat("shop", 42)),
        Change::update(beat("shop", 43)),
        Change::update(beat("stock", 8)),
        Change::delete(beat("shop", 43)),
        Change::create(beat("shop", 1)),
    ];
    assert!(lane.run(changes).table("source_gaps").is_empty());
    assert_eq!((lane.count("missing_beats"), lane.count("repeated_beats")), (0, 2));
}

#[test]
fn cases() {
    run_cases::<SourceGaps>("cases");
}
