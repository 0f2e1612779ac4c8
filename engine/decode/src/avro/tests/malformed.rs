//! Bytes that mean harm, and schemas that do.

use super::*;

/// What becomes of one message: its code, or its row.
fn outcome(schema: &str, datum: &[u8]) -> String {
    let columns = vec![Field::new("a", DataType::Utf8, true), Field::new("n", DataType::Int64, true)];
    let input = input(Format::Flat, columns);
    let mut decoder = decoder(&input, &registry(&[schema]));
    outcomes(&decoder.decode(&[message(0, None, Some(framed(1, datum)))])).remove(0).trim().to_owned()
}

fn record(of_a: &str) -> String {
    format!(r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":{of_a}}}]}}"#)
}

/// 9,223,372,036,854,775,807 and -9,223,372,036,854,775,808.
const LARGEST: [u8; 10] = [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
const SMALLEST: [u8; 10] = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];

#[test]
fn lengths_and_counts_that_are_impossible_are_rejects() {
    let text = record(r#""string""#);
    let array = record(r#"{"type":"array","items":"int"}"#);
    let nulls = record(r#"{"type":"array","items":"null"}"#);
    let map = record(r#"{"type":"map","values":"null"}"#);
    let union = record(r#"["null","string"]"#);
    let symbols = record(r#"{"type":"enum","name":"e","symbols":["A"]}"#);
    for (what, schema, datum) in [
        ("no byte", &text, &[][..]),
        ("a length without bytes", &text, &[8]),
        ("a negative length", &text, &[7, 1, 1, 1, 1]),
        ("a giant length", &text, &LARGEST),
        ("the smallest length", &text, &SMALLEST),
        ("eleven bytes of an integer", &text, &[0xff; 11]),
        ("more than 64 bits", &text, &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02]),
        ("bytes behind the value", &text, &[2, b'x', 0]),
        ("a giant count", &array, &LARGEST),
        ("the smallest count", &array, &[&SMALLEST[..], &[0, 0]].concat()),
        ("a negative size of a block", &array, &[1, 1, 0]),
        ("no end of an array", &array, &[2, 2]),
        ("a giant count of nothing", &nulls, &[&LARGEST[..], &[0]].concat()),
        ("a large count of nothing", &nulls, &[0x80, 0x80, 0x80, 0x80, 0x10, 0]),
        ("a giant count of pairs", &map, &LARGEST),
        ("a branch that is not there", &union, &[4]),
        ("a negative branch", &union, &[1]),
        ("a symbol that is not there", &symbols, &[2]),
    ] {
        assert_eq!(outcome(schema, datum), "invalid_avro", "{what}");
        // The same where nobody wants the field.
        let unwanted = schema.replace(r#""name":"a""#, r#""name":"z""#);
        if what != "a symbol that is not there" {
            assert_eq!(outcome(&unwanted, datum), "invalid_avro", "{what}, skipped");
        }
    }
    assert_eq!(outcome(&text, &[4, 0xc3, 0x28]), "invalid_utf8");
}

#[test]
fn values_that_contain_themselves_end_at_128_levels() {
    let list = r#"{"type":"record","name":"n","fields":[{"name":"next","type":["null","n"]}]}"#;
    let schema = record(list);
    let nested = |levels: usize| [vec![2; levels], vec![0]].concat();
    assert_eq!(outcome(&schema, &nested(20)), "wrong_type a");
    assert_eq!(outcome(&schema, &nested(1_000_000)), "invalid_avro");
    let unwanted = schema.replace(r#""name":"a""#, r#""name":"z""#);
    assert_eq!(outcome(&unwanted, &nested(1_000_000)), "invalid_avro");
}

/// A million items of one byte, each a record with a long name: the JSON would be a gigabyte.
#[test]
fn a_value_out_of_proportion_is_a_reject() {
    let item = format!(r#"{{"type":"record","name":"i","fields":[{{"name":"{}","type":"int"}}]}}"#, "x".repeat(1000));
    let schema = record(&format!(r#"{{"type":"array","items":{item}}}"#));
    let datum = [&[0x80, 0x89, 0x7a][..], &vec![0; 1_000_000], &[0]].concat();
    assert_eq!(outcome(&schema, &datum), "too_large");
}

#[test]
fn every_prefix_of_a_value_is_a_reject_and_so_is_what_follows_it() {
    let nested = r#"{"type":"array","items":["null","string",{"type":"map","values":"double"}]}"#;
    let schema = format!(
        r#"{{"type":"record","name":"r","fields":[{{"name":"a","type":"string"}},{{"name":"n","type":["null","long"]}},{{"name":"z","type":{nested}}}]}}"#
    );
    let datum =
        [&[4, b'x', b'y', 2, 14, 6, 0, 2, 2, b'z', 4, 2, 2, b'k'][..], &1.5_f64.to_le_bytes(), &[0, 0]].concat();
    assert!(outcome(&schema, &datum).starts_with("c: "), "{}", outcome(&schema, &datum));
    for end in 0..datum.len() {
        assert_eq!(outcome(&schema, &datum[..end]), "invalid_avro", "{end} bytes");
    }
    assert_eq!(outcome(&schema, &[&datum[..], &[0]].concat()), "invalid_avro");
}

#[test]
fn what_is_wrong_is_a_reject_at_100_mb_as_well() {
    const LONG: usize = 100_000_000;
    let length = |bytes: usize| {
        let mut varint = Vec::new();
        let mut rest = bytes * 2;
        while rest >= 0x80 {
            varint.push((rest % 0x80) as u8 | 0x80);
            rest /= 0x80;
        }
        varint.push(rest as u8);
        varint
    };
    let text = record(r#""string""#);
    let long = [length(LONG), vec![b'x'; LONG]].concat();
    assert_eq!(outcome(&text, &long[..LONG]), "invalid_avro");
    assert_eq!(outcome(&text, &[&long[..], &[0]].concat()), "invalid_avro");
    assert_eq!(outcome(&text, &[length(LONG), vec![0xff; LONG]].concat()), "invalid_utf8");
    let numbers = record(r#"{"type":"array","items":"long"}"#);
    assert_eq!(outcome(&numbers, &[length(LONG), vec![0x80; LONG]].concat()), "invalid_avro");
    assert_eq!(outcome(&numbers, &[length(LONG / 50), vec![2; LONG / 50], vec![0]].concat()), "wrong_type a");
}

#[test]
fn frames_and_schemas_that_are_none_have_codes_of_their_own() {
    let input = input(Format::Flat, vec![Field::new("a", DataType::Utf8, true)]);
    let mut registry = Registry::clone(&registry(&[r#""string""#]));
    registry.insert(2, Registered::NotAvro);
    registry.insert(3, Registered::Unknown);
    let messages = [
        message(0, None, Some(vec![0, 0, 0])),
        message(1, None, Some(framed(1, &[0]))),
        message(2, None, Some(framed(2, &[0]))),
        message(3, None, Some(framed(3, &[0]))),
        message(4, None, Some(framed(4, &[0]))),
        message(5, Some(framed(3, &[0])), None),
    ];
    let decoded = decoder(&input, &Arc::new(registry)).decode(&messages);
    let expected =
        ["invalid_avro", "wrong_format", "invalid_schema", "unknown_schema", "unknown_schema", "unknown_schema"];
    assert_eq!(outcomes(&decoded).iter().map(|it| it.trim()).collect::<Vec<_>>(), expected);

    let mut without = Decoder::new(&input, &TopicPartition { topic: "t".into(), partition: 0 }, 1).unwrap();
    assert_eq!(outcomes(&without.decode(&messages[1..2]))[0].trim(), "no_registry");
}

#[test]
fn texts_that_are_no_schema_are_refused() {
    for text in [
        "",
        "{",
        r#""unknown""#,
        r#"{"type":"record","name":"r"}"#,
        r#"{"type":"record","name":"r","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}"#,
        r#"{"type":"fixed","name":"f","size":-1}"#,
        r#"{"type":"enum","name":"e"}"#,
        r#"["null",["int"]]"#,
        r#"{"type":"array"}"#,
        r#"[{"type":"fixed","name":"f","size":1},{"type":"fixed","name":"f","size":2}]"#,
    ] {
        assert!(Schema::parse(text, &[]).is_err(), "{text}");
    }
    let deep = format!("{}\"int\"{}", r#"{"type":"array","items":"#.repeat(10_000), "}".repeat(10_000));
    assert!(Schema::parse(&deep, &[]).is_err());
}

/// WHEN a schema's names multiply (each record has ten fields of the record before), THEN nothing is written out ten to the
/// power of their number.
#[test]
fn names_that_multiply_cost_no_more_than_their_text() {
    let mut references = vec![r#"{"type":"record","name":"r0","fields":[{"name":"a","type":"null"}]}"#.to_owned()];
    for level in 1..30 {
        let fields: Vec<_> = (0..10).map(|n| format!(r#"{{"name":"f{n}","type":"r{}"}}"#, level - 1)).collect();
        references.push(format!(r#"{{"type":"record","name":"r{level}","fields":[{}]}}"#, fields.join(",")));
    }
    let schema = Schema::parse(&record(r#""r29""#), &references).unwrap();
    let registry = Arc::new(BTreeMap::from([(1, Registered::Schema(Arc::new(schema)))]));
    let input = input(Format::Flat, vec![Field::new("n", DataType::Int64, true)]);
    assert!(decoder(&input, &registry).decode(&[message(0, None, Some(framed(1, &[])))]).rejects.is_empty());
}
