//! Topics of one connector's tables, recorded as JSON with schema and as Avro (`schemas/debezium/avro`).

use arrow_array::cast::AsArray;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::*;
use crate::avro::as_json;

fn folder() -> String {
    format!("{}/../../schemas/debezium/avro", env!("CARGO_MANIFEST_DIR"))
}

fn recorded_schemas() -> BTreeMap<String, Value> {
    let text = std::fs::read_to_string(format!("{}/schemas.json", folder())).unwrap();
    serde_json::from_str(&text).unwrap()
}

fn recorded_registry() -> Arc<Registry> {
    let schemas = recorded_schemas().into_iter().map(|(id, answer)| {
        let schema = Schema::parse(answer["schema"].as_str().unwrap(), &[]).unwrap();
        (id.parse().unwrap(), Registered::Schema(Arc::new(schema)))
    });
    Arc::new(schemas.collect())
}

fn topic(file: &str, topic: &str) -> Vec<OwnedMessage> {
    let text = std::fs::read_to_string(format!("{}/{file}.jsonl", folder())).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    let messages: Vec<_> = lines
        .filter(|line| line["topic"].as_str().unwrap().ends_with(topic))
        .map(|line| {
            let bytes = |field: &str| match line[format!("{field}_b64")].as_str() {
                Some(base64) => Some(STANDARD.decode(base64).unwrap()),
                None => line[field].as_str().map(|text| text.as_bytes().to_vec()),
            };
            message(line["offset"].as_i64().unwrap(), bytes("key"), bytes("value"))
        })
        .collect();
    assert!(!messages.is_empty(), "{file} has no topic {topic}");
    messages
}

/// The fields of the rows, as the newest message's schema has them.
fn fields(messages: &[OwnedMessage]) -> Vec<String> {
    let newest = messages.iter().rev().find_map(|message| message.value.as_ref()).unwrap();
    let newest: Value = serde_json::from_slice(newest).unwrap();
    let images = newest["schema"]["fields"].as_array().unwrap();
    let after = images.iter().find(|image| image["field"] == "after").unwrap();
    after["fields"].as_array().unwrap().iter().map(|field| field["field"].as_str().unwrap().to_owned()).collect()
}

/// Each field of a table as each type that a column can have: 58 × 22 columns, nearly all of them wrong for most values, so
/// that rejects are compared as well as rows.
fn the_same_as_json(file: &str, name: &str) {
    let (avro, json) = (topic(file, name), topic(&format!("{file}-as-json"), name));
    let registry = recorded_registry();
    let (mut columns, mut rows) = (0, 0);
    for field in fields(&json) {
        for data_type in every_type() {
            let column = data_type.with_name(&field);
            let input = input(Format::Envelope, vec![column.clone()]);
            let of_avro = decoder(&input, &registry).decode(&avro);
            let of_json = decoder(&input, &registry).decode(&json);
            assert_eq!(outcomes(&of_avro), outcomes(&of_json), "{column}: {:?} {:?}", of_avro.rejects, of_json.rejects);
            columns += 1;
            rows += of_avro.rows.num_rows();
        }
    }
    println!("{file}: {columns} columns, {rows} rows");
    assert!(rows > columns, "most messages must be rows of some type");
}

#[test]
fn orders_are_the_same_as_in_json_over_a_change_of_schema() {
    the_same_as_json("orders", "inventory.orders");
}

#[test]
fn each_type_of_postgresql_is_the_same_as_in_json() {
    the_same_as_json("type-zoo", "public.type_zoo");
}

/// The rest of a row is one object in both formats, over a change of schema.
#[test]
fn what_is_not_declared_is_the_same_as_in_json() {
    for (file, name) in [("orders", "inventory.orders"), ("type-zoo", "public.type_zoo")] {
        let mut input = input(Format::Envelope, vec![Field::new("id", DataType::Int32, true)]);
        let rest =
            every_type().into_iter().find(|field| field.metadata().values().any(|it| it == "arrow.json")).unwrap();
        input.columns.push(crate::input::InputColumn {
            field: Arc::new(rest.with_name("*")),
            source: crate::input::Source::Row(crate::input::REST.to_owned()),
            ..input.columns[0].clone()
        });
        input.columns[1].reading.policies.insert(crate::Case::Unavailable, crate::Policy::Keep);
        let objects = |file: &str| -> Vec<Value> {
            let decoded = decoder(&input, &recorded_registry()).decode(&topic(file, name));
            assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
            let rest = decoded.rows.column(1).as_string::<i32>();
            rest.iter().map(|rest| serde_json::from_str(rest.unwrap()).unwrap()).collect()
        };
        let (avro, json) = (objects(file), objects(&format!("{file}-as-json")));
        assert_eq!(avro, json);
        let widths: std::collections::BTreeSet<_> = avro.iter().map(|it| it.as_object().unwrap().len()).collect();
        println!("{file}: {} rows of {widths:?} fields, the first {}", avro.len(), avro[0]);
        assert!(file != "orders" || widths.len() > 1, "columns were added: {widths:?}");
    }
}

#[test]
fn transactions_are_no_rows() {
    let input = input(Format::Envelope, vec![Field::new("id", DataType::Int32, true)]);
    let decoded = decoder(&input, &recorded_registry()).decode(&topic("type-zoo", "transaction"));
    assert!(decoded.no_ops.len() > 3 && decoded.rejects.is_empty(), "{:?}", decoded.rejects);
}

/// WHEN recorded messages are shown as JSON, THEN they decode as they do by themselves.
#[test]
fn as_json_shows_what_is_decoded() {
    let registry = recorded_registry();
    let avro = topic("orders", "inventory.orders");
    let shown: Vec<_> = avro
        .iter()
        .map(|it| {
            let json = |bytes: &Option<Vec<u8>>| {
                let bytes = bytes.as_deref()?;
                let Registered::Schema(schema) = &registry[&crate::avro::schema_id(bytes).unwrap()] else { panic!() };
                Some(as_json(schema, bytes).unwrap())
            };
            message(it.offset, json(&it.key), json(&it.value))
        })
        .collect();
    let columns = [("id", DataType::Int32), ("unit_price", DataType::Decimal128(10, 2)), ("note", DataType::Utf8)];
    let columns = columns.map(|(name, data_type)| Field::new(name, data_type, true)).into();
    let input = input(Format::Envelope, columns);
    let (of_avro, of_shown) = (decoder(&input, &registry).decode(&avro), decoder(&input, &registry).decode(&shown));
    assert_eq!(outcomes(&of_avro), outcomes(&of_shown));
    assert_eq!(of_avro.changes.source_ts, of_shown.changes.source_ts);
    assert!(of_avro.changes.source_ts.iter().all(|time| time.is_some()));
}

/// WHEN recorded messages are cut at each byte, or have one byte changed, THEN each is a row, a no-op or a reject, and a
/// cut one always a reject.
#[test]
fn damage_is_a_reject_or_another_value() {
    let registry = recorded_registry();
    for (file, name) in [("orders", "inventory.orders"), ("type-zoo", "public.type_zoo")] {
        let messages = topic(file, name);
        let fields: Vec<_> = fields(&topic(&format!("{file}-as-json"), name));
        let columns = fields.iter().enumerate().map(|(index, field)| {
            let types = every_type();
            types[index % types.len()].clone().with_name(field)
        });
        let input = input(Format::Envelope, columns.collect());
        let text = fields.iter().map(|field| Field::new(field, DataType::Utf8, true)).take(1).collect();
        let small = super::input(Format::Envelope, text);
        for it in messages.iter().filter(|it| it.value.as_ref().is_some_and(|value| value.len() < 400)) {
            let value = it.value.clone().unwrap();
            let cut = (1..value.len()).map(|end| message(end as i64, None, Some(value[..end].to_vec())));
            let decoded = decoder(&small, &registry).decode(&cut.collect::<Vec<_>>());
            assert_eq!(decoded.rejects.len(), value.len() - 1);
            let changed: Vec<_> = (5..value.len())
                .flat_map(|at| [0x00, 0x01, 0x7f, 0x80, 0xff].map(|byte| (at, byte)))
                .enumerate()
                .map(|(offset, (at, byte))| {
                    let mut value = value.clone();
                    value[at] = byte;
                    message(offset as i64, it.key.clone(), Some(value))
                })
                .collect();
            for input in [&input, &small] {
                let decoded = decoder(input, &registry).decode(&changed);
                let all = decoded.rows.num_rows() + decoded.rejects.len() + decoded.no_ops.len();
                assert_eq!(all, changed.len());
            }
        }
    }
}

#[test]
fn what_is_said_of_the_rows_is_the_same_as_in_json() {
    for (file, name) in [("orders", "inventory.orders"), ("type-zoo", "public.type_zoo")] {
        let input = input(Format::Envelope, vec![Field::new("id", DataType::Int32, true)]);
        let said = |file: &str| {
            let mut decoder = decoder(&input, &recorded_registry());
            decoder.decode(&topic(file, name));
            decoder.row_schemas()
        };
        let of_json = said(&format!("{file}-as-json"));
        for (of_avro, of_json) in said(file).iter().zip(&of_json) {
            assert_eq!(of_avro, of_json);
        }
        assert_eq!(said(file).len(), of_json.len());
        let with_default = of_json.iter().flat_map(|row| &row.fields).filter(|field| field.default_for_null);
        println!("{file}: {} schemas, {} columns with a default for null", of_json.len(), with_default.count());
    }
}
