//! Large blocks and scattered ones.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;
use std::time::Instant;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, StringArray,
    TimestampMicrosecondArray, TimestampMillisecondArray, UInt8Array, UInt64Array,
};
use arrow_schema::Field;
use engine::batch::Block;
use engine::sink::{ClickHouse, Compression, Sink, SinkError};
use engine::table::Table;

use crate::{SERVER, block, count_and_sum, database, id_block, ids, rows, run, send, settings, sink, table};

/// The names of all parts that inserts ever made, merged ones included.
fn inserted_parts(table: &Table) -> u64 {
    let sql = format!(
        "SELECT sum(max_block_number) FROM (SELECT max(max_block_number) AS max_block_number FROM system.parts WHERE database = '{}' AND table = '{}' GROUP BY partition_id)",
        table.database, table.name
    );
    rows(&sql)[0].parse().unwrap()
}

#[test]
fn three_million_rows_of_one_block_are_one_part() {
    let table = ids(&database());
    let sink = sink();
    let mut whole = id_block(&table, 0..3_000_000);
    // As the path makes them: many batches of uneven length.
    let (batch, mut at) = (whole.batches.remove(0), 0);
    while at < batch.num_rows() {
        let length = (8_192 + at % 977).min(batch.num_rows() - at);
        whole.batches.push(batch.slice(at, length));
        at += length;
    }
    run(async {
        sink.prepare(&table).await.unwrap();
        sink.insert(&send(&whole, "lane-1")).await.unwrap();
        sink.insert(&send(&whole, "lane-1")).await.unwrap();
    });
    assert_eq!(count_and_sum(&SERVER, &table), "3000000\t4499998500000");
    assert_eq!(inserted_parts(&table), 1);
}

fn by_id(database: &str) -> Arc<Table> {
    Arc::new(Table { partition_by: Some("id".into()), ..Table::clone(&ids(database)) })
}

#[test]
fn old_data_over_five_hundred_partitions_is_no_fault_and_repeats_nothing() {
    let table = by_id(&database());
    let sink = sink();
    run(async {
        sink.prepare(&table).await.unwrap();
        for _ in 0..2 {
            sink.insert(&send(&id_block(&table, 0..500), "lane-1")).await.unwrap();
        }
    });
    assert_eq!(count_and_sum(&SERVER, &table), "500\t124750");
}

#[test]
fn more_partitions_than_the_window_remembers_are_refused_not_repeated() {
    let table = by_id(&database());
    let sink = sink();
    run(sink.prepare(&table)).unwrap();
    let error = run(sink.insert(&send(&id_block(&table, 0..10_001), "lane-1"))).unwrap_err();
    assert!(matches!(error, SinkError::Refused { code: 252, rows: 10_001, .. }), "{error}");
    assert_eq!(count_and_sum(&SERVER, &table), "0\t0");
}

/// The 13 columns of an order.
fn orders(database: &str, rows: usize) -> Block {
    let field = |name: &str, data_type| Field::new(name, data_type, false);
    let numbers = || 0..i64::try_from(rows).unwrap();
    let small = || (0_i32..).take(rows);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("id", Arc::new(Int64Array::from_iter_values(numbers()))),
        ("number", Arc::new(StringArray::from_iter_values(numbers().map(|n| format!("ORD-{n:012}"))))),
        ("day", Arc::new(Date32Array::from_iter_values(small().map(|n| 18_000 + n % 365)))),
        ("purchaser", Arc::new(Int32Array::from_iter_values(small().map(|n| n % 10_000)))),
        ("quantity", Arc::new(Int32Array::from_iter_values(small().map(|n| n % 9)))),
        (
            "price",
            Arc::new(
                Decimal128Array::from_iter_values(numbers().map(|n| i128::from(n) % 99_999))
                    .with_precision_and_scale(12, 2)
                    .unwrap(),
            ),
        ),
        (
            "status",
            Arc::new(StringArray::from_iter_values(
                numbers().map(|n| ["PENDING", "SHIPPED"][usize::try_from(n % 2).unwrap()]),
            )),
        ),
        ("weight", Arc::new(Float64Array::from_iter_values(small().map(f64::from)))),
        ("gift", Arc::new(BooleanArray::from(vec![false; rows]))),
        (
            "created_at",
            Arc::new(
                TimestampMicrosecondArray::from_iter_values(numbers().map(|n| 1_700_000_000_000_000 + n * 1_001))
                    .with_timezone("UTC"),
            ),
        ),
        ("_deleted", Arc::new(UInt8Array::from(vec![0; rows]))),
        ("_version", Arc::new(UInt64Array::from_iter_values(0..rows as u64))),
        ("_ingested_at", Arc::new(TimestampMillisecondArray::from(vec![1_700_000_000_000; rows]).with_timezone("UTC"))),
    ];
    let fields = columns.iter().map(|(name, array)| field(name, array.data_type().clone())).collect();
    let table = Arc::new(Table { sort_key: vec!["id".into()], ..table(database, fields) });
    block(&table, columns.into_iter().map(|(_, array)| array).collect())
}

/// CPU time of this process, in seconds.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // utime and stime, in ticks of 10 ms.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

#[test]
#[ignore = "a measurement, not a claim: run it with --ignored --nocapture --test-threads 1"]
fn client_cpu_per_million_rows() {
    const BLOCKS: u32 = 30;
    for compression in [Compression::None, Compression::Lz4] {
        let block = orders(&database(), 100_000);
        let mut settings = settings(&SERVER.http_url());
        settings.compression = compression;
        let sink = ClickHouse::new(settings).unwrap();
        run(sink.prepare(&block.table)).unwrap();
        let (before, started) = (cpu(), Instant::now());
        run(async {
            for n in 0..BLOCKS {
                sink.insert(&send(&block, &format!("lane-{n}"))).await.unwrap();
            }
        });
        let millions = f64::from(BLOCKS) * 0.1;
        let totals = sink.stats().totals();
        println!(
            "{compression:?}: {:.3} s CPU of the client, {:.2} s, {:.0} MB for a million rows",
            (cpu() - before) / millions,
            started.elapsed().as_secs_f64() / millions,
            totals.bytes as f64 / 1e6 / millions
        );
    }
    let block = orders("x", 100_000);
    let before = cpu();
    (0..100).for_each(|_| assert_ne!(std::hint::black_box(engine::digest::digest(&block.batches)), 0));
    println!("digest: {:.3} s CPU for a million rows", (cpu() - before) / 10.0);
    let before = Instant::now();
    (0..10).for_each(|_| drop(std::hint::black_box(engine::sink::out_of_range(&block.batches[0]))));
    println!("out_of_range: {:.4} s for a million rows", before.elapsed().as_secs_f64());
}
