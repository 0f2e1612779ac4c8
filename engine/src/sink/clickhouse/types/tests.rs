#![expect(clippy::unwrap_used, reason = "tests")]

use super::*;

fn parse(text: &str) -> ColumnType {
    ColumnType::parse(text).unwrap_or_else(|| panic!("{text} is not read"))
}

#[test]
fn what_is_written_is_read_again() {
    for text in [
        "Bool",
        "Int8",
        "UInt64",
        "Float32",
        "LowCardinality(Nullable(String))",
        "Nullable(FixedString(16))",
        "DateTime('UTC')",
        "DateTime64(6, 'UTC')",
        "Time64(3)",
        "Decimal(76, 38)",
        "Array(Tuple(key String, value Nullable(String)))",
    ] {
        assert_eq!(parse(text).to_string(), text);
    }
}

#[test]
fn what_the_engine_never_writes_is_not_read() {
    for text in [
        "",
        "Int128",
        "Float16",
        "Enum8('a' = 1)",
        "String) ENGINE = Null",
        "Array(String))",
        "Tuple(String, Int8)",
        "DateTime64(3, 'UTC') DEFAULT now()",
        "DateTime64(3, 'x' || 'y')",
        "Decimal(77, 3)",
        "AggregateFunction(sum, UInt64)",
    ] {
        assert_eq!(ColumnType::parse(text), None, "{text} is read");
    }
}

#[test]
fn a_type_holds_what_it_can_hold_and_nothing_else() {
    let cases = [
        ("Int64", "Int32", true),
        ("Int32", "Int64", false),
        ("Int32", "UInt32", false),
        ("Int64", "UInt32", true),
        ("UInt64", "Int8", false),
        ("Float32", "Float64", false),
        ("Float64", "Float32", true),
        ("Nullable(Int32)", "Int32", true),
        ("Int32", "Nullable(Int32)", false),
        ("LowCardinality(String)", "String", true),
        ("DateTime64(6)", "DateTime64(3, 'UTC')", true),
        ("DateTime64(6, 'Europe/Berlin')", "DateTime64(6, 'UTC')", true),
        ("DateTime64(3)", "DateTime64(6)", false),
        ("DateTime64(9)", "DateTime64(6)", false),
        ("DateTime", "DateTime64(0)", false),
        ("Date", "Date32", false),
        ("Decimal(12, 2)", "Decimal(10, 2)", true),
        ("Decimal(12, 4)", "Decimal(10, 2)", true),
        ("Decimal(11, 4)", "Decimal(10, 2)", false),
        ("Decimal(38, 1)", "Decimal(10, 2)", false),
        ("Array(Int64)", "Array(Int32)", true),
        ("Tuple(a Int64)", "Tuple(b Int64)", false),
    ];
    for (wide, narrow, expected) in cases {
        assert_eq!(parse(wide).holds(&parse(narrow)), expected, "{wide} for {narrow}");
    }
}

#[test]
fn a_declared_type_must_hold_the_column() {
    let field = |data_type, declared: &str| {
        let metadata = [(CLICKHOUSE_TYPE.to_owned(), declared.to_owned())];
        super::declared(&Field::new("c", data_type, true).with_metadata(metadata)).map(|found| found.to_string())
    };
    assert_eq!(field(DataType::Utf8, "LowCardinality(String)").unwrap(), "LowCardinality(Nullable(String))");
    assert_eq!(field(DataType::Utf8, "UUID").unwrap(), "Nullable(UUID)");
    assert_eq!(field(DataType::Date32, "Date").unwrap(), "Nullable(Date)");
    assert_eq!(
        field(DataType::Int64, "Int32").unwrap_err(),
        "Nullable(Int32) can't hold every value of Int64 (Nullable(Int64))"
    );
    assert_eq!(
        field(DataType::Utf8, "String) ENGINE = Null --").unwrap_err(),
        "`String) ENGINE = Null --` is not a type that can be declared for Utf8"
    );
}
