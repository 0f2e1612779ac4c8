#![expect(clippy::unwrap_used, reason = "tests")]

use arrow_array::builder::{BinaryBuilder, ListBuilder};
use arrow_array::{
    BinaryArray, BooleanArray, Decimal128Array, FixedSizeBinaryArray, Int32Array, ListArray, PrimitiveArray,
    StringArray, StructArray, types::Int64Type,
};
use arrow_buffer::{BooleanBuffer, Buffer, ScalarBuffer};
use arrow_schema::Field;
use arrow_select::concat::concat_batches;

use super::*;

/// One column of every shape, with nulls in all of them, `rows` rows; content depends on the row's number alone.
fn batch(rows: usize) -> RecordBatch {
    let numbers = 0..i32::try_from(rows).unwrap();
    let maybe = |n: i32| n % 3 != 1;
    let text = |n: i32| "x".repeat(usize::try_from(n % 5).unwrap());
    let mut list = ListBuilder::new(BinaryBuilder::new());
    for n in numbers.clone() {
        (0..n % 4).for_each(|m| list.values().append_option((m != 2).then(|| text(n + m))));
        list.append(maybe(n));
    }
    let inner = Int32Array::from_iter(numbers.clone().map(|n| (n % 7 != 0).then_some(n)));
    let outer = NullBuffer::from_iter(numbers.clone().map(maybe));
    let pair = Field::new("inner", DataType::Int32, true);
    let columns: Vec<(&str, ArrayRef)> = vec![
        ("plain", Arc::new(Int32Array::from_iter_values(numbers.clone()))),
        ("int", Arc::new(Int32Array::from_iter(numbers.clone().map(|n| maybe(n).then_some(n))))),
        ("bool", Arc::new(BooleanArray::from_iter(numbers.clone().map(|n| maybe(n).then_some(n % 2 == 0))))),
        ("text", Arc::new(StringArray::from_iter(numbers.clone().map(|n| maybe(n).then(|| text(n)))))),
        ("bytes", Arc::new(BinaryArray::from_iter(numbers.clone().map(|n| maybe(n).then(|| text(n)))))),
        ("decimal", Arc::new(Decimal128Array::from_iter(numbers.clone().map(|n| maybe(n).then_some(i128::from(n)))))),
        (
            "uuid",
            Arc::new(
                FixedSizeBinaryArray::try_from_sparse_iter_with_size(
                    numbers.map(|n| maybe(n).then(|| n.to_le_bytes())),
                    4,
                )
                .unwrap(),
            ),
        ),
        ("list", Arc::new(list.finish())),
        ("struct", Arc::new(StructArray::new(vec![pair].into(), vec![Arc::new(inner)], Some(outer)))),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap()
}

#[test]
fn where_the_rows_were_cut_does_not_matter() {
    let whole = batch(100);
    let expected = digest(std::slice::from_ref(&whole));
    for at in [0, 1, 7, 8, 50, 63, 99, 100] {
        assert_eq!(digest(&[whole.slice(0, at), whole.slice(at, 100 - at)]), expected, "cut at {at}");
    }
}

#[test]
fn a_slice_is_its_rows() {
    let whole = batch(100);
    for (start, length) in [(0, 100), (1, 9), (13, 64), (99, 1), (5, 0)] {
        let slice = whole.slice(start, length);
        let copy = concat_batches(&whole.schema(), &[slice.slice(0, 0), slice.clone()]).unwrap();
        assert_eq!(digest(&[slice]), digest(&[copy]), "[{start}, +{length})");
    }
}

#[test]
fn bytes_below_a_null_do_not_matter() {
    let nulls = Some(NullBuffer::from(vec![true, false, true]));
    let one = |array: ArrayRef| digest(&[RecordBatch::try_from_iter([("c", array)]).unwrap()]);

    let numbers = |hidden| PrimitiveArray::<Int64Type>::new(ScalarBuffer::from(vec![1, hidden, 3]), nulls.clone());
    assert_eq!(one(Arc::new(numbers(0))), one(Arc::new(numbers(77))));

    let bits = |hidden| BooleanArray::new(BooleanBuffer::from(vec![true, hidden, true]), nulls.clone());
    assert_eq!(one(Arc::new(bits(false))), one(Arc::new(bits(true))));

    let text = |content: &str, lengths: [usize; 3]| {
        StringArray::new(OffsetBuffer::from_lengths(lengths), Buffer::from(content.as_bytes()), nulls.clone())
    };
    assert_eq!(one(Arc::new(text("ab", [1, 0, 1]))), one(Arc::new(text("aHIDDENb", [1, 6, 1]))));

    let element = Arc::new(Field::new_list_field(DataType::Int64, true));
    let list = |content: Vec<i64>, lengths: [usize; 3]| {
        let values = Arc::new(PrimitiveArray::<Int64Type>::from(content));
        ListArray::new(Arc::clone(&element), OffsetBuffer::from_lengths(lengths), values, nulls.clone())
    };
    assert_eq!(one(Arc::new(list(vec![1, 2], [1, 0, 1]))), one(Arc::new(list(vec![1, 9, 9, 2], [1, 2, 1]))));
}

#[test]
fn a_validity_buffer_without_a_null_does_not_matter() {
    let one = |nulls| {
        let array = PrimitiveArray::<Int64Type>::new(ScalarBuffer::from(vec![1, 2]), nulls);
        digest(&[RecordBatch::try_from_iter([("c", Arc::new(array) as ArrayRef)]).unwrap()])
    };
    assert_eq!(one(None), one(Some(NullBuffer::new_valid(2))));
}

#[test]
fn another_content_is_another_digest() {
    let one = |array: ArrayRef| digest(&[RecordBatch::try_from_iter([("c", array)]).unwrap()]);
    let digests = [
        one(Arc::new(StringArray::from(vec!["ab", "c"]))),
        one(Arc::new(StringArray::from(vec!["a", "bc"]))),
        one(Arc::new(StringArray::from(vec!["c", "ab"]))),
        one(Arc::new(StringArray::from(vec![Some("ab"), None]))),
        one(Arc::new(StringArray::from(vec!["ab", ""]))),
        one(Arc::new(BinaryArray::from(vec![b"ab".as_slice(), b"c"]))),
        one(Arc::new(Int32Array::from(vec![0]))),
        one(Arc::new(Int32Array::from(vec![None]))),
        one(Arc::new(Int32Array::from(vec![0, 0]))),
        digest(&[]),
    ];
    for (i, a) in digests.iter().enumerate() {
        assert!(digests.iter().skip(i + 1).all(|b| a != b), "digest {i} is not unique");
    }
}

/// The form is part of the journal's format: a change of it would make open intents of an older engine fail.
#[test]
fn the_form_is_fixed() {
    assert_eq!(format!("{:032x}", digest(&[batch(100)])), "cdcf7e110ce49ebd2693e96a7b76686f");
}
