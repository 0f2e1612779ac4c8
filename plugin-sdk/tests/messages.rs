//! Raw messages and recordings through the engine's decoder into a plugin.

use plugin_sdk::testing::{Harness, Message, recording};
use plugin_sdk::{
    Change, Ctx, Date, Decimal, Json, Micros, Millis, Pass, Reject, Row, Table, Timestamp, WallClock, pass,
};

#[derive(Clone, Copy, Row)]
struct OrderIn<'a> {
    status: Option<&'a str>,
    quantity: i32,
    #[column(change = "offset")]
    offset: i64,
}

#[derive(Table)]
#[table(name = "orders", kind = "append")]
struct Order<'a> {
    id: Pass<i32>,
    order_date: Pass<Date>,
    order_time: Pass<Option<WallClock<Micros>>>,
    unit_price: Pass<Option<Decimal<10, 2>>>,
    status: Option<&'a str>,
    op: &'static str,
    offset: i64,
    #[column(change = "source_timestamp")]
    at: Pass<Option<Timestamp<Millis>>>,
    #[column(change = "topic")]
    topic: Pass<&'a str>,
}

fn keep<'a>(change: Change<OrderIn<'a>>, _: &Ctx) -> Result<Order<'a>, Reject> {
    let OrderIn { status, quantity, offset } = change.row;
    if quantity > 1000 {
        return Err(Reject::new("too_many", "more than a thousand"));
    }
    Ok(Order {
        id: pass(),
        order_date: pass(),
        order_time: pass(),
        unit_price: pass(),
        status,
        op: change.op.as_str(),
        offset,
        at: pass(),
        topic: pass(),
    })
}

plugin_sdk::export! { plugin: Orders, input: Change<OrderIn>, output: Order, row: keep }

fn envelope(op: &str, row: &str) -> Message {
    let (before, after) = if op == "d" { (row, "null") } else { ("null", row) };
    Message::new(format!(r#"{{"before":{before},"after":{after},"source":{{"ts_ms":1000}},"op":"{op}","ts_ms":2000}}"#))
}

#[test]
fn messages_go_the_way_of_the_engine() {
    let row = r#"{"id":1,"order_date":20000,"order_time":1,"unit_price":"E0I=","quantity":2,"status":"PENDING"}"#;
    let big = row.replace("\"quantity\":2", "\"quantity\":2000");
    let answer = Harness::<Orders>::new().run_messages([
        envelope("c", row).key("{\"id\":1}"),
        envelope("u", &big).key("{\"id\":1}"),
        Message::new("{").key("{\"id\":1}"),
        envelope("d", row).key("{\"id\":1}").offset(17),
        Message::tombstone().key("{\"id\":1}"),
    ]);
    answer.assert_table(
        "orders",
        "
        id | order_date | order_time                 | unit_price | status  | op | offset | at                       | topic
        1  | 2024-10-04 | 1970-01-01T00:00:00.000001 | 49.30      | PENDING | c  | 0      | 1970-01-01T00:00:01.000Z | test
        1  | 2024-10-04 | 1970-01-01T00:00:00.000001 | 49.30      | PENDING | d  | 17     | 1970-01-01T00:00:01.000Z | test
        ",
    );
    assert_eq!(answer.rows("orders").iter().map(|row| row.from).collect::<Vec<_>>(), [Some(0), Some(3)]);
    assert_eq!(answer.rejects(), [(1, "too_many"), (2, "invalid_json")]);
    assert_eq!(answer.ignored(), [(4, "tombstone")]);
}

#[test]
fn recordings_of_both_converters_say_the_same() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../schemas/debezium");
    let orders = |file: &str| {
        let messages = recording(format!("{folder}/{file}"));
        Harness::<Orders>::new().run_messages(messages.into_iter().filter(|it| it.topic.ends_with(".inventory.orders")))
    };
    let (plain, schema) = (orders("orders-envelope-plain.jsonl"), orders("orders-envelope-schema.jsonl"));
    assert_eq!(plain.rejects(), []);
    assert!(plain.rows("orders").len() > 3);
    for (plain, schema) in plain.rows("orders").iter().zip(schema.rows("orders")) {
        for column in ["id", "unit_price", "status", "op", "offset"] {
            assert_eq!(plain.get(column), schema.get(column));
        }
    }
}

#[derive(Clone, Copy, Row)]
struct Flat<'a> {
    name: &'a str,
    data: Option<Json<'a>>,
}

#[derive(Table)]
#[table(name = "flat", kind = "append")]
struct FlatOut<'a> {
    name: &'a str,
    data: Option<Json<'a>>,
    op: &'static str,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn flat<'a>(change: Change<Flat<'a>>, _: &Ctx) -> Result<FlatOut<'a>, Reject> {
    Ok(FlatOut { name: change.row.name, data: change.row.data, op: change.op.as_str() })
}

plugin_sdk::export! { plugin: Flattened, format: Flat, input: Change<Flat>, output: FlatOut, row: flat }

#[test]
fn flat_rows_are_messages_too() {
    let answer = Harness::<Flattened>::new().run_messages([
        Message::new(r#"{"name":" Ada ","data":{"a":[1]},"__op":"u"}"#).key(r#"{"name":"x"}"#),
        Message::new(r#"{"name":"","data":null,"__deleted":"true","__op":"d"}"#).key(r#"{"name":"x"}"#),
        Message::tombstone().key(r#"{"name":"x"}"#),
    ]);
    answer.assert_table(
        "flat",
        r#"
        name    | data        | op
        " Ada " | "{\"a\":[1]}" | u
        ""      | null        | d
        x       | null        | d
        "#,
    );
}

#[derive(Clone, Copy, Row)]
struct Plan<'a> {
    id: i32,
    #[column(required)]
    plan: Option<&'a str>,
}

#[derive(Table)]
#[table(name = "plans", kind = "append")]
struct PlanChange<'a> {
    id: i32,
    from: Option<&'a str>,
    to: Option<&'a str>,
    known: bool,
    #[column(header = "trace-id")]
    trace: Pass<Option<&'a str>>,
    #[column(name = "before_id", before = "id")]
    old: Pass<Option<i32>>,
}

#[expect(clippy::unnecessary_wraps, reason = "the form of a row function")]
fn plan<'a>(change: Change<Plan<'a>, Option<Plan<'a>>>, _: &Ctx) -> Result<PlanChange<'a>, Reject> {
    let Change { row, before, .. } = change;
    let from = before.and_then(|before| before.plan);
    Ok(PlanChange { id: row.id, from, to: row.plan, known: before.is_some(), trace: pass(), old: pass() })
}

plugin_sdk::export! { plugin: Plans, input: Change<Plan, Option<Plan>>, output: PlanChange, row: plan }

#[test]
fn the_row_before_headers_and_required_fields_come_from_messages() {
    let update = |before: &str, after: &str| {
        Message::new(format!(r#"{{"before":{before},"after":{after},"source":{{"ts_ms":1}},"op":"u"}}"#))
    };
    let answer = Harness::<Plans>::new().run_messages([
        update(r#"{"id":1,"plan":"free"}"#, r#"{"id":1,"plan":"pro"}"#).header("trace-id", "a").header("trace-id", "b"),
        update("null", r#"{"id":1,"plan":"pro"}"#),
        update(r#"{"id":1,"plan":null}"#, r#"{"id":1,"plan":null}"#),
        update("null", r#"{"id":1}"#),
    ]);
    answer.assert_table(
        "plans",
        "
        id | from | to   | known | trace | before_id
        1  | free | pro  | true  | b     | 1
        1  | null | pro  | false | null  | null
        1  | null | null | true  | null  | 1
        ",
    );
    assert_eq!(answer.rejects().iter().map(|it| it.0).collect::<Vec<_>>(), [3]);
}

#[test]
#[should_panic(expected = "table `flat` is not as expected (- expected, + there):
    name | op
  - Ada  | c
  + Ada  | u
rejected: 1 invalid_json")]
fn a_failure_shows_the_difference_and_what_was_rejected() {
    let answer =
        Harness::<Flattened>::new().run_messages([Message::new(r#"{"name":"Ada","__op":"u"}"#), Message::new("{")]);
    answer.assert_table("flat", "name | op\n Ada | c");
}
