use engine::journal::{Intent, PlannedBlock};
use engine::offsets::{LaneId, OffsetRange};
use engine::sink::{ClickHouseSettings, dead_letter_table};
use engine::table::{Table, TableKind};
use engine::verify::watch::{Committed, Seen, seen};
use harness::clickhouse::ClickHouse;
use std::sync::Arc;

use crate::{TOPIC, folder, recording, run_to_end, setup};

/// What an engine would have committed of an epoch.
fn committed(table: &Table, epoch: u64, rows: usize) -> Committed {
    Committed::of(&Intent {
        generation: 1,
        epoch,
        range: OffsetRange { start: 0, end: 0 },
        messages: rows,
        input_digest: String::new(),
        plugin_digest: String::new(),
        settings_digest: String::new(),
        schemas: None,
        clock_ms: 0,
        watermark_ms: None,
        next_watermark_ms: None,
        state_digest: None,
        state_version: None,
        calls: vec![],
        poison: vec![],
        parked: None,
        expired: None,
        blocks: vec![PlannedBlock { table: table.quoted(), rows, digest: String::new() }],
        marks: vec![],
    })
}

/// GIVEN committed epochs, THEN their rows are found; WHEN rows are deleted or doubled, or parts merged, THEN exactly
/// those are counted.
#[test]
fn committed_rows_are_counted_in_their_tables() {
    let (clickhouse, folder) = (ClickHouse::start(), folder());
    let setup = setup(&clickhouse, "watched", &recording(folder.path(), 80, |_| false));
    run_to_end(&setup);
    let lane = LaneId {
        tenant: "default".into(),
        plugin: "orders".into(),
        topic: TOPIC.into(),
        topic_id: String::new(),
        partition: 0,
    };
    let table = Arc::new(Table {
        kind: TableKind::Append,
        name: "orders_final".into(),
        ..dead_letter_table("watched", "orders_final")
    });
    let sink = engine::sink::ClickHouse::new(ClickHouseSettings::new(clickhouse.http_url())).expect("settings");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
    let look = |epochs: &[u64]| {
        let epochs = epochs.iter().map(|epoch| committed(&table, *epoch, 40)).collect();
        let seen = runtime.block_on(seen(&sink, std::slice::from_ref(&table), vec![(lane.clone(), epochs)]));
        seen.expect("the server answers").into_iter().map(|(_, seen)| seen).collect::<Vec<_>>()
    };
    assert_eq!(look(&[1, 2]), [Seen { rows: 80, missing: 0, double: 0 }]);
    clickhouse.query("OPTIMIZE TABLE watched.orders_final FINAL");
    assert_eq!(look(&[1, 2]), [Seen { rows: 80, missing: 0, double: 0 }]);
    clickhouse.query("DELETE FROM watched.orders_final WHERE _offset = 3 SETTINGS lightweight_deletes_sync = 2");
    clickhouse.query(
        "INSERT INTO watched.orders_final SETTINGS async_insert = 0 SELECT * FROM watched.orders_final WHERE _offset IN (50, 51)",
    );
    assert_eq!(look(&[1, 2]), [Seen { rows: 80, missing: 1, double: 2 }]);
    assert_eq!(look(&[2, 3]), [Seen { rows: 80, missing: 40, double: 2 }], "an epoch of which nothing is there");
    assert_eq!(look(&[]), []);
}
