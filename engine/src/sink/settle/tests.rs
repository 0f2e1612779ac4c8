#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;
use crate::batch::Message;
use crate::offsets::LaneId;
use crate::sink::{Provenance, bronze_block, bronze_table};

fn block(rows: i64) -> Block {
    let lane =
        LaneId { tenant: "t".into(), plugin: "p".into(), topic: "topic".into(), topic_id: String::new(), partition: 0 };
    let of = Provenance { lane: &lane, plugin_digest: "", made_by: None, generation: 1, epoch: 7, now_ms: 0 };
    let messages: Vec<_> = (0..rows).map(|offset| Message::owned(offset, None, None, None, Vec::new())).collect();
    bronze_block(&bronze_table("d", "b").into(), of, &messages)
}

fn there(runs: &[(u32, u32)]) -> Vec<Present> {
    runs.iter().map(|&(first, end)| Present { rows: first..end, count: u64::from(end - first) }).collect()
}

fn rows(block: &Block) -> Vec<u32> {
    let rows =
        block.batches.iter().flat_map(|batch| column(batch, "_row").as_primitive::<UInt32Type>().values().to_vec());
    rows.collect()
}

#[test]
fn what_is_missing_is_what_is_not_there() {
    let block = block(10);
    assert_eq!(rows(&missing(&block, &[]).unwrap().unwrap()), (0..10).collect::<Vec<_>>());
    let some = missing(&block, &there(&[(0, 3), (5, 6), (9, 10)])).unwrap().unwrap();
    assert_eq!((rows(&some), some.rows), (vec![3, 4, 6, 7, 8], 5));
    assert!(missing(&block, &there(&[(0, 10)])).unwrap().is_none());
    assert_eq!(names(&some), names(&block));
}

#[test]
fn rows_that_no_epoch_made_are_not_taken_for_its_own() {
    let block = block(4);
    let error = missing(&block, &there(&[(0, 5)])).unwrap_err().to_string();
    assert!(error.contains("it has row 4, and the epoch made only 4"), "{error}");
    let twice = [Present { rows: 0..2, count: 4 }];
    let error = missing(&block, &twice).unwrap_err().to_string();
    assert!(error.contains("rows 0 to 1 are there 4 times in all"), "{error}");
}

#[test]
fn a_token_is_trusted_within_its_window_only() {
    let block = block(1);
    let table = |countable| Memory { window: 20, countable, telling: false };
    let decided = |mark, now, countable| way(&block, table(countable), mark, now).ok();
    assert_eq!(decided(Some(5), 14, true), Some(Way::Resend));
    assert_eq!(decided(Some(5), 15, true), Some(Way::Probe));
    assert_eq!(decided(Some(5), 4, true), Some(Way::Probe), "the table was emptied");
    assert_eq!(decided(None, 5, true), Some(Way::Probe), "nobody knows how far it was");
    assert_eq!(decided(Some(5), 14, false), Some(Way::Resend));
    assert_eq!(decided(Some(5), 15, false), None, "nobody can tell");
}
