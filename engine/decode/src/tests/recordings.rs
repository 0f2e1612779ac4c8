//! Topics as Debezium wrote them (`schemas/debezium`), with what the SQL beside them says must come out.

use std::collections::BTreeMap;

use serde_json::Value;

use super::*;

/// A recorded topic's messages, in offset order.
pub(super) fn recording(file: &str, topic: &str) -> Vec<OwnedMessage> {
    let path = format!("{}/../../schemas/debezium/{file}", env!("CARGO_MANIFEST_DIR"));
    let lines = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages: Vec<OwnedMessage> = lines
        .filter(|line| line["topic"].as_str().unwrap().ends_with(topic))
        .map(|line| {
            let bytes = |field: &str| line[field].as_str().map(|text| text.as_bytes().to_vec());
            let header = |header: &Value| {
                let value = header["value"].as_str().map(|text| text.as_bytes().to_vec());
                (header["key"].as_str().unwrap().to_owned(), value)
            };
            let headers = line["headers"].as_array().unwrap().iter().map(header).collect();
            OwnedMessage {
                headers,
                ..OwnedMessage::new(line["offset"].as_i64().unwrap(), bytes("key"), bytes("value"))
            }
        })
        .collect();
    assert!(!messages.is_empty(), "{file} has no topic {topic}");
    messages
}

fn check(messages: &[OwnedMessage], input: &Input, expected: &[&str]) {
    let mut decoder = decoder(input);
    let decoded = decode(&mut decoder, messages);
    assert_eq!(outcomes(&decoded), expected, "{:#?}", decoded.rejects);
    let again = decode(&mut decoder, messages);
    assert_eq!(outcomes(&again), expected, "what the decoder remembers must not matter");
    for message in messages {
        let alone = decode(&mut super::decoder(input), std::slice::from_ref(message));
        assert_eq!(outcomes(&alone)[0], expected[usize::try_from(message.offset).unwrap()]);
    }
}

/// The same tables were recorded with and without embedded schema; only the clock differs.
const INVENTORY: [&str; 2] = ["orders-envelope-plain.jsonl", "orders-envelope-schema.jsonl"];

#[test]
fn orders_keep_their_numbers_and_a_delete_its_row() {
    let columns = vec![
        required("id", DataType::Int32),
        required("order_number", DataType::Utf8),
        required("order_date", DataType::Date32),
        required("order_time", MICROS),
        required("purchaser", DataType::Int64),
        required("quantity", DataType::Int16),
        required("product_id", DataType::UInt32),
        required("unit_price", DataType::Decimal128(10, 2)),
        optional("total_amount", DataType::Decimal256(60, 4)),
        required("status", DataType::Utf8),
    ];
    let without_schema = [
        "r: 1 | ORD-1001 | 20777 | 1795177783978108 | 1 | 2 | 1 | 49.90 | null | PENDING",
        "r: 2 | ORD-1002 | 20777 | 1795177783978108 | 2 | 1 | 2 | 12.50 | null | PENDING",
        "c: 3 | ORD-1003 | 20777 | 1795177792560649 | 1 | 5 | 2 | 12.50 | null | PENDING",
        "u: 1 | ORD-1001 | 20777 | 1795177783978108 | 1 | 2 | 1 | 49.90 | null | CONFIRMED",
        "d: 2 | ORD-1002 | 20777 | 1795177783978108 | 2 | 1 | 2 | 12.50 | null | PENDING",
        "tombstone",
    ];
    // Scale 4 is the message's 2 at another scale where the schema says so; without it base64 has no scale of its own.
    let amounts = |first: &str, second: &str| {
        let mut expected = without_schema.map(str::to_owned);
        for (row, amount) in [(0, first), (1, second)] {
            expected[row] = expected[row].replace("null", amount);
        }
        expected
    };
    for (file, expected) in INVENTORY.into_iter().zip([amounts("0.9980", "0.1250"), amounts("99.8000", "12.5000")]) {
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        check(&recording(file, ".orders"), &input(Format::Envelope, columns.clone()), &expected);
    }
}

#[test]
fn customers_keep_their_umlauts() {
    let columns = vec![
        required("email", DataType::Utf8),
        required("id", DataType::Int64),
        required("last_name", DataType::Utf8),
        required("created_at", utc_micros()),
        required("_source_ts", DataType::Int64),
    ];
    let reserved = Decoder::new(&input(Format::Envelope, columns.clone()), &partition(), 1).unwrap_err();
    assert_eq!(reserved.problems.len(), 1, "{reserved}");
    for file in INVENTORY {
        check(
            &recording(file, ".customers"),
            &input(Format::Envelope, columns[..4].to_vec()),
            &[
                "r: sally@acme.com | 1 | Thomas | 1795177783977416",
                "r: gbailey@foobar.com | 2 | Bailey | 1795177783977416",
                "c: anna@example.com | 3 | Zähringer | 1795177792566812",
                "d: anna@example.com | 3 | Zähringer | 1795177792566812",
                "tombstone",
            ],
        );
    }
}

#[test]
fn products_keep_doubles_decimals_and_json() {
    let columns = vec![
        required("id", DataType::Int32),
        required("name", DataType::Utf8),
        optional("description", DataType::Utf8),
        optional("weight", DataType::Float64),
        optional("price", DataType::Decimal128(10, 2)),
        json("tags"),
        json("attributes"),
    ];
    for file in INVENTORY {
        check(
            &recording(file, ".products"),
            &input(Format::Envelope, columns.clone()),
            &[
                "r: 1 | scooter | Small 2-wheel scooter | 3.14 | 49.90 | [\"toy\",\"wheels\"] \
                 | {\"color\": \"red\", \"sizes\": [1, 2]}",
                "r: 2 | hammer | null | 0.875 | 12.50 | null | null",
                "u: 2 | hammer | null | 0.875 | 11.99 | null | null",
            ],
        );
    }
}

#[test]
fn a_delete_with_default_identity_has_the_rows_key_and_zeros() {
    let columns = vec![
        required("carrier", DataType::Utf8),
        required("line", DataType::Int16),
        required("order_id", DataType::Int32),
        optional("shipped_at", utc_micros()),
    ];
    for file in INVENTORY {
        check(
            &recording(file, ".shipments"),
            &input(Format::Envelope, columns.clone()),
            &[
                "r: DHL | 1 | 1 | 1753084800000000",
                "missing_value carrier",
                "d:  | 1 | 2 | null",
                "tombstone",
                "missing_value carrier",
                "d:  | 1 | 1 | null",
                "tombstone",
            ],
        );
    }
}

#[test]
fn users_come_flat_with_their_deletes_and_a_change_of_key() {
    let columns = vec![
        required("user_id", DataType::Int64),
        required("full_name", DataType::Utf8),
        required("created_at", utc_micros()),
        required("_deleted", DataType::Boolean),
    ];
    let input = input(Format::Flat, columns);
    let messages = recording("users-unwrapped.jsonl", ".users");
    let decoded = decode(&mut decoder(&input), &messages);
    let outcomes = outcomes(&decoded);
    assert_eq!(outcomes.len(), 32);
    let begin = 1_795_177_783_836_554_i64; // 2026-11-20T12:29:43.836554Z
    let expected = [
        (0, format!("r: 1 | Alice Johnson | {begin} | false")),
        (2, format!("r: 3 | Çağla Öztürk | {begin} | false")),
        (3, format!("r: 4 | O'Brien \"Q\" \\ \n tab\t | {begin} | false")),
        (4, format!("r: 5 | 李雷 🚀 | {begin} | false")),
        (5, format!("u: 1 | Alice J. Johnson | {begin} | false")),
        (8, format!("d: 3 | Çağla Öztürk | {begin} | true")),
        (12, format!("d: 4 | O'Brien \"Q\" \\ \n tab\t | {begin} | true")),
        (13, format!("c: 100 | O'Brien \"Q\" \\ \n tab\t | {begin} | false")),
    ];
    for (offset, expected) in expected {
        assert_eq!(outcomes[offset], expected);
    }
    // What is left of the table is what the SQL leaves: of 1 to 20 and 100 without 3 and 14 (deleted), 4 (now 100), 7
    // (deleted in its transaction) and 8 (rolled back).
    let mut table = BTreeMap::new();
    for row in 0..decoded.rows.num_rows() {
        let [id, name] = [0, 1].map(|column| cell(decoded.rows.column(column), row));
        if decoded.changes.op.value(row) == b'd' {
            table.remove(&id)
        } else {
            table.insert(id, name)
        };
    }
    assert_eq!(table.len(), 16);
    assert_eq!(table["1"], "Alice J. Johnson");
    assert!(!table.contains_key("14") && !table.contains_key("4") && table.contains_key("100"));
    assert_eq!(decoded.changes.source_ts.value(0), 1_795_177_785_874);
}

#[test]
fn the_type_zoo_is_exact() {
    let columns = vec![
        required("id", DataType::Int64),
        optional("c_bool", DataType::Boolean),
        optional("c_i2", DataType::Int16),
        optional("c_i8", DataType::Int64),
        optional("c_f4", DataType::Float32),
        optional("c_num_38_0", DataType::Decimal128(38, 0)),
        optional("c_num_76_38", DataType::Decimal256(76, 38)),
        optional("c_num", DataType::Decimal256(76, 19)),
        optional("c_money", DataType::Decimal128(19, 2)),
        optional("c_date", DataType::Date32),
        optional("c_ts3", MICROS),
        optional("c_tstz", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into()))),
        optional("c_time3", DataType::Time64(TimeUnit::Nanosecond)),
        optional("c_uuid", DataType::FixedSizeBinary(16)),
        optional("c_bytea", DataType::Binary),
        json("c_jsonb"),
        json("c_point"),
        optional("c_oid", DataType::UInt32),
    ];
    let first = "1 | true | -32768 | -9223372036854775808 | 1.5 | 99999999999999999999999999999999999999 \
                 | 12345678901234567890123456789012345678.12345678901234567890123456789012345678 \
                 | 3.1415900000000000000 | -1234.56 | 20290 | 1753101296789000 | 1753094096789012000 | 45296789000000 \
                 | a0eebc999c0b4ef8bb6d6bb9bd380a11 | deadbeef00 \
                 | {\"a\": [1, 2.50], \"b\": 1, \"big\": 12345678901234567890.123} \
                 | {\"x\":1.5,\"y\":-2.25,\"wkb\":\"AQEAAAAAAAAAAAD4PwAAAAAAAALA\",\"srid\":null} | 4294967295";
    let nulls = " | null".repeat(17);
    let empty = |op: char, id: i64| format!("{op}: {id}{nulls}");
    let fourth = "r: 4 | null | null | null | null | null | null | 123456789012345678901234567890.1234567890123456789 \
                  | null | -703383 | -1000 | -2208988799999999000 | null | null | null | null | null | null";
    check(
        &recording("type-zoo-postgres.jsonl", ".type_zoo"),
        &input(Format::Envelope, columns),
        &[
            &format!("r: {first}"),
            &empty('r', 2),
            "infinity c_date",
            fourth,
            &empty('c', 5),
            &format!("u: {first}"),
            &empty('d', 5),
            "tombstone",
            &empty('c', 50),
            &empty('d', 50),
            "tombstone",
            "truncate",
        ],
    );
}

#[test]
fn infinities_of_floats_are_values_and_those_of_times_are_not() {
    let messages = recording("type-zoo-postgres.jsonl", ".type_zoo");
    let third = |field: Field| {
        let input = input(Format::Envelope, vec![field]);
        outcomes(&decode(&mut decoder(&input), &messages)).remove(2)
    };
    assert_eq!(third(optional("c_f4", DataType::Float32)), "r: -inf");
    assert_eq!(third(optional("c_f8", DataType::Float64)), "r: inf");
    assert_eq!(third(optional("c_ts", MICROS)), "infinity c_ts");
    assert_eq!(third(optional("c_time", DataType::Time64(TimeUnit::Microsecond))), "out_of_range c_time");
    assert_eq!(third(optional("c_time", DataType::Int64)), "r: 86400000000");
    assert_eq!(third(optional("c_num", DataType::Decimal128(38, 2))), "r: null");
    assert_eq!(third(json("c_jsonb")), "r: null");
}

#[test]
fn documents_of_mongodb_come_from_their_strings() {
    let messages = recording("mongo-snapshot.jsonl", ".events");
    let columns =
        vec![required("_id", DataType::Int64), optional("user_id", DataType::Int64), optional("type", DataType::Utf8)];
    let decoded = decode(&mut decoder(&input(Format::Envelope, columns)), &messages);
    assert_eq!(decoded.rejects, []);
    assert_eq!(outcomes(&decoded)[..2], ["r: 0 | 0 | click", "r: 1 | 1 | x"]);
}

#[test]
fn the_other_format_is_refused_with_the_setting_to_change() {
    let id = || vec![optional("id", DataType::Int64)];
    let flat = decode(&mut decoder(&input(Format::Flat, id())), &recording(INVENTORY[0], ".orders")[..4]);
    assert!(flat.rejects.iter().all(|reject| reject.reason.contains("format to envelope")), "{flat:?}");
    assert_eq!(flat.rejects.len(), 4);
    let users = recording("users-unwrapped.jsonl", ".users");
    let envelope = decode(&mut decoder(&input(Format::Envelope, id())), &users);
    assert!(envelope.rejects.iter().all(|reject| reject.reason.contains("format to flat")), "{envelope:?}");
    assert_eq!(envelope.rejects.len(), users.len());
}
