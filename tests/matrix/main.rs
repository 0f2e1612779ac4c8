//! The matrix of types: what comes out of a live connector, in every handling mode, as JSON with embedded schema, as JSON
//! without and as Avro, beside what the database itself says of each cell. One comparison (`deviations`), two inputs:
//! recordings (`schemas/debezium/matrix`), in seconds, printed to `schemas/debezium/MATRIX.md`; and a stack that the test
//! starts, with rows of random values besides.
//!
//! `RECORD_MATRIX=1` makes a live test keep what it sees as the recordings; `UPDATE_MATRIX=1` then prints the matrix anew.
#![expect(clippy::unwrap_used, clippy::wildcard_enum_match_arm, reason = "tests")]

#[path = "../../engine/decode/src/tests/cell.rs"]
mod cell;
mod declared;
mod deviations;
mod document;
mod explained;
mod live;
mod recording;
mod same;
mod tables;

use std::collections::{BTreeMap, BTreeSet};

use deviations::{Found, compare};
use explained::EXPLAINED;
use recording::{Recording, recorded_cells};
use tables::{Database, TABLES};

#[test]
fn recorded_cells_are_what_the_database_says() {
    let found: Vec<Found> = TABLES
        .iter()
        .map(|table| {
            let recordings: BTreeMap<_, _> =
                table.modes().map(|mode| (mode.name, Recording::recorded(table.name, mode.name))).collect();
            compare(table, &recordings, &recorded_cells(table.name))
        })
        .collect();
    expect_explained(&found);
    let used: BTreeSet<usize> =
        found.iter().flat_map(|found| found.notes.iter().flatten().flatten().flatten()).copied().collect();
    let unused: Vec<_> =
        EXPLAINED.iter().enumerate().filter(|(index, _)| !used.contains(index)).map(|(_, it)| it.words).collect();
    assert!(unused.is_empty(), "explanations of nothing: {unused:#?}");
    document::check(&document::document(&found));
}

#[test]
fn live_cells_of_postgres_are_what_it_says() {
    expect_explained(&live::compared(Database::Postgres));
}

#[test]
fn live_cells_of_mariadb_are_what_it_says() {
    expect_explained(&live::compared(Database::MariaDb));
}

fn expect_explained(found: &[Found]) {
    let unexplained: Vec<&str> = found.iter().flat_map(|found| &found.unexplained).map(String::as_str).collect();
    assert!(unexplained.is_empty(), "{} cells:\n{}", unexplained.len(), unexplained.join("\n"));
    println!("{} cells compared", found.iter().map(|found| found.compared).sum::<usize>());
}
