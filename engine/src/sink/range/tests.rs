#![expect(clippy::unwrap_used, reason = "tests")]

use std::sync::Arc;

use arrow_array::{
    Date32Array, Decimal128Array, Decimal256Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use arrow_schema::{Field, Schema};

use super::*;
use crate::table::CLICKHOUSE_TYPE;

fn one(array: impl Array + 'static, declared: Option<&str>) -> Vec<usize> {
    let metadata: std::collections::HashMap<_, _> =
        declared.map(|declared| (CLICKHOUSE_TYPE.to_owned(), declared.to_owned())).into_iter().collect();
    let field = Field::new("c", array.data_type().clone(), true).with_metadata(metadata);
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![Arc::new(array)]).unwrap();
    out_of_range(&batch).into_iter().map(|value| value.row).collect()
}

#[test]
fn the_last_value_that_fits_and_the_first_that_does_not() {
    let dates = || Date32Array::from(vec![-25_567, -25_568, 120_529, 120_530, 0]);
    assert_eq!(one(dates(), None), [1, 3]);
    assert_eq!(one(Date32Array::from(vec![0, -1, 65_535, 65_536]), Some("Date")), [1, 3]);

    let first = -25_567 * 86_400;
    let behind = 120_530 * 86_400;
    assert_eq!(one(TimestampSecondArray::from(vec![first, first - 1, behind - 1, behind]), None), [1, 3]);
    let micros = 1_000_000;
    let values = vec![first * micros, first * micros - 1, behind * micros - 1, behind * micros];
    assert_eq!(one(TimestampMicrosecondArray::from(values).with_timezone("UTC"), None), [1, 3]);
    assert_eq!(one(TimestampNanosecondArray::from(vec![i64::MAX, i64::MIN]), None), [1]);
    assert_eq!(one(TimestampSecondArray::from(vec![0, -1, 4_294_967_295, 4_294_967_296]), Some("DateTime")), [1, 3]);
}

#[test]
fn decimals_have_the_digits_of_their_type() {
    let array = Decimal128Array::from(vec![9999, 10_000, -9999, -10_000]).with_precision_and_scale(4, 2).unwrap();
    assert_eq!(one(array, None), [1, 3]);
    let most = i256::from_string(&"9".repeat(50)).unwrap();
    let array = Decimal256Array::from(vec![most, most + i256::ONE]).with_precision_and_scale(50, 2).unwrap();
    assert_eq!(one(array, None), [1]);
}

#[test]
fn texts_are_checked_only_where_the_column_is_no_text() {
    let texts = || StringArray::from(vec!["{\"a\": 1}", "[1]", "{\"a\": 1", "f6ad0c3e-2f1c-4b5a-9f0e-000000000000"]);
    assert_eq!(one(texts(), None), [0; 0]);
    assert_eq!(one(texts(), Some("JSON")), [1, 2, 3]);
    assert_eq!(one(texts(), Some("UUID")), [0, 1, 2]);
}

#[test]
fn what_lies_below_a_null_does_not_count() {
    let nulls = Some(NullBuffer::from(vec![true, false, true]));
    assert_eq!(one(Date32Array::new(vec![0, i32::MAX, i32::MAX].into(), nulls), None), [2]);
}

#[test]
fn misfits_come_by_row_with_their_column() {
    let schema = Schema::new(vec![
        Field::new("id", DataType::Int64, false),
        Field::new("a", DataType::Date32, false),
        Field::new("b", DataType::Date32, false),
    ]);
    let column = |values: [i32; 2]| Arc::new(Date32Array::from(values.to_vec()));
    let columns: Vec<ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 2])), column([0, 1 << 30]), column([1 << 30, 1 << 30])];
    let found = out_of_range(&RecordBatch::try_new(Arc::new(schema), columns).unwrap());
    assert_eq!(found.iter().map(|v| (v.row, v.column)).collect::<Vec<_>>(), [(0, 2), (1, 1), (1, 2)]);
    assert_eq!(found[0].code, "out_of_range");
    assert_eq!(found[0].reason, "ClickHouse's Date32 holds 1900-01-01 to 2299-12-31");
}

#[test]
fn an_element_that_does_not_fit_is_its_rows() {
    use arrow_array::builder::{Date32Builder, ListBuilder, MapBuilder};
    let mut lists = ListBuilder::new(Date32Builder::new());
    lists.append_value([Some(120_530)]);
    lists.append_value([None; 0]);
    lists.append_value([Some(0), Some(120_530), None, Some(-30_000)]);
    lists.append_value([Some(0)]);
    let lists = lists.finish();
    let found = |array: ArrayRef| -> Vec<(usize, String)> {
        let field = Field::new("c", array.data_type().clone(), false);
        let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![array]).unwrap();
        out_of_range(&batch).into_iter().map(|value| (value.row, value.reason)).collect()
    };
    let said = |what: &str| format!("{what}: ClickHouse's Date32 holds 1900-01-01 to 2299-12-31");
    assert_eq!(found(Arc::new(lists.clone())), [(0, said("an element")), (2, said("an element"))]);
    // Of a slice only its own.
    assert_eq!(found(Arc::new(lists.slice(1, 3))), [(1, said("an element"))]);

    let mut maps = MapBuilder::new(None, Date32Builder::new(), Date32Builder::new());
    for (key, value) in [(0, 120_530), (120_530, 0), (0, 0)] {
        maps.keys().append_value(key);
        maps.values().append_value(value);
        maps.append(true).unwrap();
    }
    let both = format!("{}, or {}", said("a key"), said("a value"));
    assert_eq!(found(Arc::new(maps.finish())), [(0, both.clone()), (1, both)]);
}
