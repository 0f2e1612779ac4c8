//! Messages as they came: bronze and dead letters.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use engine::batch::{Message, Reject, Stage};
use engine::offsets::LaneId;
use engine::sink::{
    DeadLetter, Guarantee, Provenance, Sink, bronze_block, bronze_table, dead_letter_block, dead_letter_table,
};

use crate::{database, lane, rows, run, send, sink};

fn provenance(lane: &LaneId) -> Provenance<'_> {
    Provenance { lane, plugin_digest: "ab12", made_by: None, generation: 2, epoch: 7, now_ms: 1_700_000_000_123 }
}

fn messages() -> Vec<Message> {
    let headers = vec![
        ("trace".to_owned(), Some(b"\x00\xff".to_vec())),
        ("trace".to_owned(), None),
        (String::new(), Some(Vec::new())),
    ];
    vec![
        Message::owned(
            10,
            Some(1_600_000_000_001),
            Some(b"k\x00\xfe".to_vec()),
            Some(b"{bad json \xc3\x28".to_vec()),
            headers,
        ),
        Message::owned(11, None, None, None, vec![]),
        Message::owned(15, Some(0), Some(vec![]), Some(vec![]), vec![]),
    ]
}

const HEADERS: &str = "arrayMap(h -> (h.1, hex(h.2)), headers)";

#[test]
fn a_topic_lands_as_it_is() {
    let table = Arc::new(bronze_table(&database(), "bronze"));
    let sink = sink();
    run(async {
        assert_eq!(sink.prepare(&table).await.unwrap(), Guarantee::Window { parts: 10_000 });
        sink.insert(&send(&bronze_block(&table, provenance(&lane()), &messages()), "b-1")).await.unwrap();
    });
    let found = rows(&format!(
        "SELECT _offset, toUnixTimestamp64Milli(timestamp), hex(key), hex(value), {HEADERS}, _op, _deleted, bitShiftRight(_version, 48), _topic, _partition, bitAnd(_epoch, 0xffff), _row, toUnixTimestamp64Milli(_ingested_at) FROM {} ORDER BY _offset",
        table.quoted()
    ));
    let tail = "\t0\t2\tshop.orders\t3\t7\t";
    assert_eq!(
        found,
        [
            format!(
                "10\t1600000000001\t6B00FE\t7B626164206A736F6E20C328\t[('trace','00FF'),('trace',NULL),('','')]\t{tail}0\t1700000000123"
            ),
            format!("11\t\\N\t\\N\t\\N\t[]\t{tail}1\t1700000000123"),
            format!("15\t0\t\t\t[]\t{tail}2\t1700000000123"),
        ]
    );
}

#[test]
fn dead_letters_keep_the_message_and_the_reason() {
    let table = Arc::new(dead_letter_table(&database(), "dead_letters"));
    let sink = sink();
    let messages = messages();
    let reject = |stage, column: Option<&str>| Reject {
        offset: 10,
        stage,
        code: "invalid_json".into(),
        column: column.map(str::to_owned),
        reason: "a value was expected at byte 1".into(),
    };
    let rejects = [reject(Stage::Decode, None), reject(Stage::Transform, Some("amount"))];
    let letters: Vec<DeadLetter<'_>> =
        messages.iter().zip(&rejects).map(|(message, reject)| DeadLetter { message, reject }).collect();
    let lane = lane();
    run(async {
        sink.prepare(&table).await.unwrap();
        // Old letters would go at once: the table keeps them for a while only.
        let now_ms = std::time::UNIX_EPOCH.elapsed().unwrap().as_millis();
        let of = Provenance { now_ms: i64::try_from(now_ms).unwrap(), ..provenance(&lane) };
        let block = dead_letter_block(&table, of, &letters);
        assert_eq!(block.rows, 2);
        sink.insert(&send(&block, "d-1")).await.unwrap();
        sink.insert(&send(&block, "d-1")).await.unwrap();
    });
    let found = rows(&format!(
        "SELECT tenant, plugin, plugin_digest, topic, partition, offset, hex(value), {HEADERS}, stage, code, column, reason, bitShiftRight(_epoch, 48), _row FROM {} ORDER BY offset",
        table.quoted()
    ));
    let of_lane = "acme\torders\tab12\tshop.orders\t3";
    let why = "invalid_json";
    assert_eq!(
        found,
        [
            format!(
                "{of_lane}\t10\t7B626164206A736F6E20C328\t[('trace','00FF'),('trace',NULL),('','')]\tdecode\t{why}\t\\N\ta value was expected at byte 1\t2\t0"
            ),
            format!("{of_lane}\t11\t\\N\t[]\ttransform\t{why}\tamount\ta value was expected at byte 1\t2\t1"),
        ]
    );
}
