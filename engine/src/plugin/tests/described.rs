//! Descriptions: what version 0.2 says is understood, what 0.3 can say arrives, and lies have words.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_schema::{DataType, Field};

use super::guest::{Guest, Output, column, parameter};
use super::{HOST, LIMITS, State, context, instance};
use crate::decode::{Decoder, EXTENSION_NAME, Reading};
use crate::input::{ChangeColumn, Decimals, Format, Input, InputColumn, Source, Tombstone};
use crate::offsets::TopicPartition;
use crate::plugin::{Answer, Description, LoadError, Origin, Parameter, ParameterType, Plugin, Rows};
use crate::table::{CLICKHOUSE_CODEC, CLICKHOUSE_TYPE, COMMENT, Index, TableKind};

/// A plugin as it was built with the SDK of version 0.2.
pub(super) const ORDERS_0_2: &[u8] = include_bytes!("contracts/orders-0.2.wasm");

fn text(name: &str, nullable: bool) -> Field {
    Field::new(name, DataType::Utf8, nullable)
}

fn json(name: &str, nullable: bool) -> Field {
    text(name, nullable).with_metadata(HashMap::from([(EXTENSION_NAME.to_owned(), "arrow.json".to_owned())]))
}

fn problems(guest: Guest) -> Vec<String> {
    match HOST.load(guest.module()).err() {
        Some(LoadError::Description { problems }) => problems,
        other => panic!("{other:?}"),
    }
}

fn described(guest: Guest) -> Description {
    HOST.load(guest.module()).unwrap().description().clone()
}

#[test]
fn a_plugin_of_version_0_2_loads_and_describes_itself() {
    let plugin = HOST.load(ORDERS_0_2).unwrap();
    let description = plugin.description();
    assert_eq!((description.name.as_str(), description.contract), ("orders", "0.2"));
    assert_eq!(description.format, Format::Envelope);
    for (column, field) in description.columns.iter().zip(description.input.fields()) {
        assert_eq!(&column.field, field);
        if let Source::Row(name) = &column.source {
            assert_eq!(name, field.name());
        }
    }
    let sources: Vec<_> = description.columns.iter().map(|column| column.source.clone()).collect();
    assert!(sources.contains(&Source::Change(ChangeColumn::Op)), "{sources:?}");
    assert!(sources.contains(&Source::Row("unit_price".to_owned())), "{sources:?}");
    let tables: Vec<_> = description.outputs.iter().map(|output| (output.table.as_str(), output.kind)).collect();
    assert_eq!(tables, [("orders", TableKind::Current), ("orders_final", TableKind::Append)]);
    assert!(description.outputs.iter().all(|output| output.indexes.is_empty()));
    assert_eq!(description.parameters, []);
}

/// Three orders: one to clean, one without an amount, one to reject.
fn orders(plugin: &Plugin) -> RecordBatch {
    let description = plugin.description();
    let input = Input {
        columns: description.columns.clone(),
        format: description.format,
        tombstone: Tombstone::Ignore,
        decimals: Decimals::String,
        placeholder: String::new(),
    };
    let partition = TopicPartition { topic: "shop.orders".into(), partition: 0 };
    let mut decoder = Decoder::new(&input, &partition, 1).unwrap();
    let order = |offset: i64, quantity: i32, total: &str, status: &str| {
        let row = format!(
            r#"{{"id":{offset},"order_number":"A-{offset}","order_date":19000,"order_time":1000000,"purchaser":7,
               "quantity":{quantity},"product_id":9,"unit_price":"2.50","total_amount":{total},"status":"{status}",
               "created_at":1700000000000000,"updated_at":null}}"#
        );
        let value = format!(r#"{{"before":null,"after":{row},"source":{{"ts_ms":1700000000000}},"op":"c"}}"#);
        crate::batch::Message::owned(offset, None, None, Some(value.into_bytes()), vec![])
    };
    let messages = [order(1, 2, "\"5.00\"", " shipped "), order(2, 3, "null", "PENDING"), order(3, 1, "null", "lost")];
    let decoded = decoder.decode(&messages);
    assert!(decoded.rejects.is_empty(), "{:?}", decoded.rejects);
    decoded.rows
}

#[test]
fn a_plugin_of_version_0_2_processes_rows() {
    let plugin = HOST.load(ORDERS_0_2).unwrap();
    let Answer { emitted, rejected, .. } = instance(&plugin).process(&orders(&plugin), &mut State::default()).unwrap();
    let rejected: Vec<_> = rejected.iter().map(|reject| (reject.row, reject.code.as_str())).collect();
    assert_eq!(rejected, [(2, "unknown_status")]);
    assert_eq!(emitted.iter().map(|emitted| emitted.output).collect::<Vec<_>>(), [0, 1]);
    for emitted in &emitted {
        let rows: Vec<usize> = match &emitted.rows {
            Rows::Selected(bits) => bits.values().set_indices().collect(),
            Rows::Taken(indices) => indices.values().iter().map(|row| *row as usize).collect(),
            Rows::All | Rows::None(_) => panic!("one row was rejected"),
        };
        assert_eq!(rows, [0, 1]);
        let made = |name: &str| emitted.made.column_by_name(name).unwrap();
        assert_eq!(made("total_amount").as_primitive::<Decimal128Type>().values(), &[500, 750]);
        let statuses: Vec<_> = made("status").as_string::<i32>().iter().collect();
        assert_eq!(statuses, [Some("SHIPPED"), Some("PENDING")]);
    }
    let operations = emitted[1].made.column_by_name("operation").unwrap().as_string::<i32>();
    assert_eq!(operations.iter().collect::<Vec<_>>(), [Some("c"), Some("c")]);
}

#[test]
fn every_kind_of_column_and_table_arrives() {
    let of = |field: Field, source: Source, required: bool| InputColumn {
        field: field.into(),
        source,
        required,
        reading: Reading::default(),
    };
    let tags = Field::new_list("tags", Field::new_list_field(DataType::Utf8, true), false);
    let mut guest = Guest::new();
    guest.input = vec![
        of(text("mail", true), Source::Row("email".to_owned()), true),
        of(text("old mail", true), Source::Before("email".to_owned()), false),
        of(text("trace", true), Source::Header("traceparent".to_owned()), false),
        of(Field::new("kind", DataType::UInt8, false), Source::Change(ChangeColumn::Op), false),
        of(tags.clone(), Source::Row("tags".to_owned()), false),
        of(json("*", false), Source::Row(String::new()), false),
        of(json("before.*", true), Source::Before(String::new()), false),
    ];
    let words = [(CLICKHOUSE_TYPE, "LowCardinality(String)"), (CLICKHOUSE_CODEC, "ZSTD(3)"), (COMMENT, "Who it is")];
    let words: HashMap<_, _> = words.map(|(key, word)| (key.to_owned(), word.to_owned())).into();
    let made = text("mail", false).with_metadata(words);
    let mut output = Output::append("users", vec![(made.clone(), Origin::Made), (tags, Origin::Input(4))]);
    let index = |name: &str, expression: &str, kind: &str| Index {
        name: name.to_owned(),
        expression: expression.to_owned(),
        kind: kind.to_owned(),
    };
    output.indexes = vec![index("by_mail", "lower(mail)", "bloom_filter(0.01)"), index("by_tag", "tags", "set(100)")];
    guest.outputs = vec![output];
    let typed = |name: &str, kind, default: &str| Parameter { kind, ..parameter(name, Some(default)) };
    guest.parameters = vec![
        typed("most", ParameterType::Integer, "-7"),
        typed("share", ParameterType::Number, "0.5"),
        typed("strict", ParameterType::Boolean, "true"),
    ];
    let (input, parameters) = (guest.input.clone(), guest.parameters.clone());
    let description = described(guest);
    assert_eq!((description.contract, &description.columns), ("0.3", &input));
    assert_eq!(description.parameters, parameters);
    assert_eq!(description.outputs[0].columns[0], (made, Origin::Made));
    assert_eq!(description.outputs[0].indexes[1], index("by_tag", "tags", "set(100)"));
}

#[test]
fn sources_that_can_not_fill_their_columns_are_refused() {
    let of = |name: &str, data_type, nullable, source| InputColumn {
        field: Field::new(name, data_type, nullable).into(),
        source,
        required: false,
        reading: Reading::default(),
    };
    let mut guest = Guest::new();
    guest.flat = true;
    guest.input = vec![
        of("a", DataType::Utf8, false, Source::Before("a".to_owned())),
        of("b", DataType::Int64, true, Source::Header("b".to_owned())),
        of("c", DataType::Utf8, false, Source::Header(String::new())),
        of("d", DataType::Utf8, true, Source::Change(ChangeColumn::Offset)),
        of("e", DataType::Utf8, false, Source::Row(String::new())),
        column(Field::new("n", DataType::Int64, false)),
    ];
    let expected = [
        r#"input column "a": flat messages do not say what the row was before, only envelopes do"#,
        r#"input column "a" has to be nullable: not every change has a row before it"#,
        r#"input column "b": a header is Utf8 or Binary, not Int64"#,
        r#"input column "c": name of the header is empty"#,
        r#"input column "c" has to be nullable: not every message has the header"#,
        r#"input column "d" is the change's _offset: Int64, not Utf8"#,
        r#"input column "e" is the rest of the row, an object: it has to be json, not Utf8"#,
    ];
    assert_eq!(problems(guest), expected);
}

#[test]
fn defaults_codecs_indexes_and_null_lists_that_can_not_be_are_refused() {
    let mut guest = Guest::new();
    let wrong = |name: &str, kind, default: &str| Parameter { kind, ..parameter(name, Some(default)) };
    guest.parameters = vec![
        wrong("i", ParameterType::Integer, "1.5"),
        wrong("n", ParameterType::Number, "inf"),
        wrong("b", ParameterType::Boolean, "yes"),
    ];
    let codec = HashMap::from([(CLICKHOUSE_CODEC.to_owned(), " ".to_owned())]);
    let list = Field::new_list("l", Field::new_list_field(DataType::Int8, false), true);
    guest.outputs[0].columns.extend([(text("c", false).with_metadata(codec), Origin::Made), (list, Origin::Made)]);
    let index = Index { name: "i".to_owned(), expression: "gone".to_owned(), kind: String::new() };
    guest.outputs[0].indexes = vec![index.clone(), index];
    let expected = [
        r#"table t: column "c": the codec is empty"#,
        "table t: column \"l\" is a list or map that may be null, which ClickHouse does not have: declare it not null, \
         and make an empty one or reject the row where there is none",
        r#"table t: index "i" occurs twice"#,
        r#"table t: index "i": expression "gone" is none of its columns"#,
        r#"table t: index "i": its kind is empty"#,
        r#"table t: index "i": expression "gone" is none of its columns"#,
        r#"table t: index "i": its kind is empty"#,
        r#"parameter "i": its default "1.5" is not a decimal integer of 64 bits"#,
        r#"parameter "n": its default "inf" is not a decimal number"#,
        r#"parameter "b": its default "yes" is not true or false"#,
    ];
    assert_eq!(problems(guest), expected);
}

#[test]
fn descriptions_without_measure_are_refused_in_few_words() {
    let n = |index: usize| Field::new(format!("n{index}"), DataType::Int64, false);
    let mut wide = Guest::with((0..100_000).map(n).collect(), vec![]);
    wide.pages = 128;
    assert_eq!(problems(wide), ["input columns: 100000 are described, at most 4096 are possible"]);

    let mut long = Guest::with(vec![n(0).with_name("x".repeat(1 << 20))], vec![(n(1), Origin::Made)]);
    long.pages = 64;
    let said = problems(long);
    assert_eq!(said[0], "input column name has 1048576 bytes, at most 128 are possible");
    assert!(said.iter().all(|line| line.len() < 1_000), "{said:?}");

    let alike = problems(Guest::with(vec![n(0); 4_000], vec![(n(1), Origin::Made)]));
    assert_eq!((alike.len(), alike[0].as_str()), (51, r#"input column "n0" occurs twice"#));
    assert_eq!(alike[50], "and 3949 more");

    // A name of 50 MB: more than a description may be at all, so it is not even copied.
    let mut endless = Guest::new();
    endless.pages = 900;
    endless.describe = "(i32.store (i32.const 68) (i32.const 50000000)) (return (i32.const 64))".to_owned();
    let error = HOST.load(endless.module()).err().unwrap();
    assert!(matches!(error, LoadError::Describe(_)), "{error:?}");

    // A name that lies nowhere.
    let nowhere = "(i32.store (i32.const 64) (i32.const -1)) (return (i32.const 64))";
    let mut lying = Guest::new();
    lying.describe = nowhere.to_owned();
    let error = HOST.load(lying.module()).err().unwrap();
    assert!(matches!(error, LoadError::Describe(crate::plugin::Fault::Contract { .. })), "{error:?}");
}

#[test]
fn a_list_of_the_host_goes_through_a_selection_and_is_charged() {
    let tags = Field::new_list("tags", Field::new_list_field(DataType::Utf8, false), false);
    let mut guest = Guest::with(vec![tags.clone()], vec![(tags, Origin::Input(0))]);
    let bytes = vec![0; 4 * 100];
    guest.process = guest.emit(0, (2, &bytes, 100), &[]);
    let plugin = HOST.load(guest.module()).unwrap();
    let batch = |length: usize| {
        let mut builder = arrow_array::builder::ListBuilder::new(arrow_array::builder::StringBuilder::new())
            .with_field(Field::new_list_field(DataType::Utf8, false));
        builder.append_value([Some("x".repeat(length))]);
        let column: arrow_array::ArrayRef = Arc::new(builder.finish());
        RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap()
    };
    let limits = crate::plugin::Limits { output_bytes: 1 << 20, ..LIMITS };
    let process = |length| plugin.instance(&context(), limits).unwrap().process(&batch(length), &mut State::default());
    assert!(process(10_000).is_ok());
    let fault = process(11_000);
    assert!(matches!(fault, Err(crate::plugin::Fault::Output { .. })), "{fault:?}");
}
