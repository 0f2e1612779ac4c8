#![expect(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;
use crate::demo::MAX_MESSAGE_BYTES;

const MIX: Mix = Mix { updates: 400, deletes: 100, bad: 20, total_in_stream: false };
const START: i64 = 1_795_177_783_978_108;

/// An update as Debezium 3.7 wrote it.
const RECORDED_UPDATE: &str = r#"{"before":{"id":1,"order_number":"ORD-1001","order_date":20777,"order_time":1795177783978108,"purchaser":1,"quantity":2,"product_id":1,"unit_price":"E34=","status":"PENDING","created_at":1795177783978108,"updated_at":1795177783978108},"after":{"id":1,"order_number":"ORD-1001","order_date":20777,"order_time":1795177783978108,"purchaser":1,"quantity":2,"product_id":1,"unit_price":"E34=","status":"CONFIRMED","created_at":1795177783978108,"updated_at":1795177792562125},"source":{"version":"3.7.0.Final","connector":"postgresql","name":"postgres-plain","ts_ms":1795177792562,"snapshot":"false","db":"inventory","sequence":"[\"36076504\",\"36076504\"]","ts_us":1795177792562348,"ts_ns":1795177792562348000,"schema":"inventory","table":"orders","txId":773,"lsn":36076504,"xmin":null,"origin":null,"origin_lsn":null},"transaction":null,"op":"u","ts_ms":1795177792975,"ts_us":1795177792975323,"ts_ns":1795177792975323261}"#;
const RECORDED_USER: &str = r#"{"user_id":1,"full_name":"Alice Johnson","email":"alice@example.com","created_at":"2026-11-20T12:29:43.836554Z","updated_at":"2026-11-20T12:29:43.836554Z","__deleted":"false","__op":"r","__ts_ms":1795177786154,"__source_ts_ms":1795177785874}"#;

fn orders(seed: u64, changes: i64) -> (Orders, Vec<Change>) {
    let mut orders = Orders::new(seed, 500, MIX);
    let mut messages = Vec::new();
    (0..changes).for_each(|n| orders.change(START + n * 1_000, &mut messages));
    (orders, messages)
}

/// The keys of a JSON text in the order in which they are written.
fn keys(text: &str) -> Vec<&str> {
    let pieces: Vec<&str> = text.split('"').collect();
    pieces.windows(2).filter(|pair| pair[1].starts_with(':')).map(|pair| pair[0]).collect()
}

fn text(change: &Change) -> &str {
    std::str::from_utf8(change.value.as_deref().unwrap()).unwrap()
}

#[test]
fn a_reader_of_all_messages_has_the_rows_of_the_table() {
    let (orders, messages) = orders(3, 20_000);
    let mut rows: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    let (mut good, mut bad, mut tombstones) = (0, 0, 0);
    for message in &messages {
        let Some(value) = &message.value else {
            tombstones += 1;
            continue;
        };
        let row = |part: &Value| {
            let quantity = part["quantity"].as_i64()?;
            let known = orders::STATUSES.contains(&part["status"].as_str()?.trim().to_uppercase().as_str());
            (quantity > 0 && known && part["purchaser"].is_i64())
                .then_some((part["id"].as_i64()?, (quantity, part["updated_at"].as_i64()?)))
        };
        match serde_json::from_slice::<Value>(value) {
            Ok(envelope) if envelope["op"] == "d" => {
                assert!(envelope["after"].is_null());
                assert!(rows.remove(&envelope["before"]["id"].as_i64().unwrap()).is_some());
                good += 1;
            }
            Ok(envelope) => match row(&envelope["after"]) {
                Some((id, values)) => {
                    good += 1;
                    rows.insert(id, values);
                }
                None => bad += 1,
            },
            Err(_) => bad += 1,
        }
    }
    let model: BTreeMap<i64, (i64, i64)> =
        orders.rows().iter().map(|o| (o.id.into(), (o.quantity.into(), o.updated_at))).collect();
    assert_eq!(rows, model);
    assert_eq!(good, orders.good());
    assert_eq!(bad, Bad::ALL.map(|kind| orders.bad(kind)).iter().sum::<u64>());
    assert!(Bad::ALL.iter().all(|kind| orders.bad(*kind) > 10), "every kind of bad change occurs");
    assert_eq!(tombstones, orders.deleted());
    assert!(orders.deleted() > 1_000);
}

#[test]
fn the_same_seed_gives_the_same_messages() {
    assert_eq!(orders(3, 2_000).1, orders(3, 2_000).1);
    assert_ne!(orders(3, 2_000).1, orders(4, 2_000).1);
}

#[test]
fn messages_have_the_shape_that_debezium_gives_them() {
    let (_, messages) = orders(3, 5_000);
    let update = messages.iter().map(text).find(|text| text.contains(r#""op":"u""#)).unwrap();
    assert_eq!(keys(update), keys(RECORDED_UPDATE));
    let snapshot = text(&messages[0]);
    assert!(snapshot.contains(r#""op":"r""#) && keys(snapshot).contains(&"total_amount"), "{snapshot}");

    let mut changes = Vec::new();
    Users::new(3, 1, MIX).change(START, &mut changes);
    assert_eq!(keys(text(&changes[0])), keys(RECORDED_USER));
}

#[test]
fn no_message_is_larger_than_the_broker_was_told() {
    let (_, messages) = orders(5, 50_000);
    let largest = messages.iter().map(|m| m.key.len() + m.value.as_ref().map_or(0, Vec::len)).max().unwrap();
    assert!(largest <= MAX_MESSAGE_BYTES, "{largest}");
}

#[test]
fn decimals_are_the_shortest_twos_complement() {
    // 4990, 1250 and 9980 as they were recorded; 128 needs a byte for its sign.
    let cases =
        [(4990, "E34="), (1250, "BOI="), (9980, "Jvw="), (0, "AA=="), (128, "AIA="), (-1, "/w=="), (-129, "/38=")];
    for (value, text) in cases {
        assert_eq!(orders::Decimal(value).to_string(), text, "{value}");
    }
}

#[test]
fn times_are_written_as_debezium_writes_them() {
    let cases = [
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (951_782_400_000_000, "2000-02-29T00:00:00.000000Z"),
        (1_795_177_783_836_554, "2026-11-20T12:29:43.836554Z"),
    ];
    for (value, text) in cases {
        assert_eq!(users::Zoned(value).to_string(), text, "{value}");
    }
}
