//! What crosses the border: every type, both ways, and no bytes that could do harm.

use std::collections::HashMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int64Array, ListArray, MapArray, RecordBatch, StringArray, StructArray, UInt32Array,
    make_array,
};
use arrow_buffer::{Buffer, MutableBuffer, NullBuffer, OffsetBuffer};
use arrow_data::ArrayData;
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use proptest::prelude::*;

use super::guest::{Guest, Output, key_and_value};
use super::{HOST, State, instance};
use crate::plugin::frame::{buffer_count, column, push_buffers};
use crate::plugin::{Emitted, Origin, Rows};
use crate::table::EXTENSION_NAME;

/// A field of every type of the contract that a table may have: lists and maps are never null there.
pub(super) fn every_type(nullable: bool) -> Vec<Field> {
    let of_table = |field: Field| {
        let nullable = field.is_nullable() && !field.data_type().is_nested();
        field.with_nullable(nullable)
    };
    every_field(nullable).into_iter().map(of_table).collect()
}

/// A field of every type of the contract.
fn every_field(nullable: bool) -> Vec<Field> {
    let units = [TimeUnit::Second, TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];
    let mut types = vec![
        DataType::Boolean,
        DataType::Int8,
        DataType::Int16,
        DataType::Int32,
        DataType::Int64,
        DataType::UInt8,
        DataType::UInt16,
        DataType::UInt32,
        DataType::UInt64,
        DataType::Float32,
        DataType::Float64,
        DataType::Utf8,
        DataType::Binary,
        DataType::FixedSizeBinary(16),
        DataType::Date32,
        DataType::Decimal128(1, 0),
        DataType::Decimal128(38, 38),
        DataType::Decimal256(39, 2),
        DataType::Decimal256(76, 10),
        DataType::Time32(TimeUnit::Second),
        DataType::Time32(TimeUnit::Millisecond),
        DataType::Time64(TimeUnit::Microsecond),
        DataType::Time64(TimeUnit::Nanosecond),
    ];
    types.extend(nested_types());
    types.extend(units.map(|unit| DataType::Timestamp(unit, None)));
    types.extend(units.map(|unit| DataType::Timestamp(unit, Some("UTC".into()))));
    let extension = |name: &str| [(EXTENSION_NAME.to_owned(), name.to_owned())];
    let field = |(index, data_type)| {
        let field = Field::new(format!("c{index}"), data_type, nullable);
        match field.data_type() {
            DataType::FixedSizeBinary(_) => field.with_metadata(extension("arrow.uuid")),
            _ => field,
        }
    };
    let json = Field::new("json", DataType::Utf8, nullable).with_metadata(extension("arrow.json"));
    types.into_iter().enumerate().map(field).chain([json]).collect()
}

/// Lists and maps, with nulls in them and without.
fn nested_types() -> Vec<DataType> {
    let item = |data_type, nullable| DataType::List(Arc::new(Field::new_list_field(data_type, nullable)));
    let map = |key, value, nullable| {
        let uuid = (key == DataType::FixedSizeBinary(16)).then(|| (EXTENSION_NAME.to_owned(), "arrow.uuid".to_owned()));
        let key = Field::new("key", key, false).with_metadata(uuid.into_iter().collect::<HashMap<_, _>>());
        let value = Field::new("value", value, nullable);
        let entries = Field::new("entries", DataType::Struct(vec![key, value].into()), false);
        DataType::Map(Arc::new(entries), false)
    };
    vec![
        item(DataType::Utf8, true),
        item(DataType::Utf8, false),
        item(DataType::Boolean, true),
        item(DataType::Decimal128(5, 2), false),
        item(DataType::Timestamp(TimeUnit::Microsecond, None), true),
        map(DataType::Utf8, DataType::Utf8, true),
        map(DataType::Int32, DataType::Binary, false),
        map(DataType::FixedSizeBinary(16), DataType::Boolean, true),
    ]
}

/// A small generator: the seed is the case.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.next() % bound.max(1) as u64).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next().to_le_bytes()[3]).collect()
    }
}

/// Any array of the field's type.
pub(super) fn random_array(field: &Field, rows: usize, random: &mut Random) -> ArrayRef {
    if field.data_type().is_nested() {
        return random_nested(field, rows, random);
    }
    let validity = field.is_nullable().then(|| Buffer::from(random.bytes(rows.div_ceil(8))));
    let buffers = match field.data_type() {
        DataType::Boolean => vec![random.bytes(rows.div_ceil(8)).into()],
        DataType::Utf8 | DataType::Binary => {
            let words = ["", "a", "zwölf", "🦀🦀", "a longer text without any accent"];
            let values: Vec<&str> = (0..rows).map(|_| words[random.below(words.len())]).collect();
            let text = StringArray::from(values).to_data();
            text.buffers().to_vec()
        }
        // Small, so that they are within every precision; of either sign.
        DataType::Decimal128(..) | DataType::Decimal256(..) => {
            let width = field.data_type().primitive_width().unwrap();
            let value = |random: &mut Random| {
                let value = i8::try_from(random.below(19)).unwrap() - 9;
                let fill = if value < 0 { 0xff } else { 0 };
                let mut bytes = vec![fill; width];
                bytes[0] = value.cast_unsigned();
                bytes
            };
            vec![(0..rows).flat_map(|_| value(random)).collect::<Vec<u8>>().into()]
        }
        DataType::FixedSizeBinary(width) => vec![random.bytes(rows * usize::try_from(*width).unwrap()).into()],
        other => vec![random.bytes(rows * other.primitive_width().unwrap()).into()],
    };
    // Buffers of bytes lie anywhere; an array wants its values aligned.
    let buffers = buffers.iter().map(|buffer: &Buffer| aligned(buffer)).collect();
    let data = ArrayData::try_new(field.data_type().clone(), rows, validity, 0, buffers, vec![]).unwrap();
    make_array(data)
}

fn random_nested(field: &Field, rows: usize, random: &mut Random) -> ArrayRef {
    let nulls = field.is_nullable().then(|| NullBuffer::from_iter((0..rows).map(|_| random.below(4) > 0)));
    let offsets = OffsetBuffer::<i32>::from_lengths((0..rows).map(|_| random.below(4)));
    let children = usize::try_from(offsets[rows]).unwrap();
    match field.data_type() {
        DataType::List(item) => {
            let items = random_array(item, children, random);
            Arc::new(ListArray::try_new(item.clone(), offsets, items, nulls).unwrap())
        }
        DataType::Map(entries, _) => {
            let (key, value) = key_and_value(entries);
            let columns = [key, value].map(|field| random_array(field, children, random)).to_vec();
            let pairs = StructArray::try_new(vec![key.clone(), value.clone()].into(), columns, None).unwrap();
            Arc::new(MapArray::try_new(entries.clone(), offsets, pairs, nulls, false).unwrap())
        }
        other => panic!("{other} is not nested"),
    }
}

fn aligned(buffer: &Buffer) -> Buffer {
    let mut copy = MutableBuffer::new(buffer.len());
    copy.extend_from_slice(buffer);
    copy.into()
}

pub(super) fn random_batch(fields: Vec<Field>, rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random::new(seed);
    let columns = fields.iter().map(|field| random_array(field, rows, &mut random)).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).unwrap()
}

fn buffers_of(array: &dyn Array) -> Vec<Buffer> {
    let mut buffers = Vec::new();
    push_buffers(array, &mut buffers).unwrap();
    buffers
}

fn back(field: &Field, rows: usize, buffers: &[Buffer]) -> Result<ArrayRef, crate::plugin::frame::FrameError> {
    let slices: Vec<&[u8]> = buffers.iter().map(Buffer::as_slice).collect();
    column(field, rows, &slices)
}

/// Damages one buffer in one way.
fn mutate(buffers: &mut [Buffer], random: &mut Random) {
    let index = random.below(buffers.len());
    let mut bytes = buffers[index].to_vec();
    let at = random.below(bytes.len());
    match random.below(6) {
        0 => bytes.push(0xff),
        1 => bytes.truncate(at),
        2 => bytes = random.bytes(at),
        3 if !bytes.is_empty() => bytes[at] ^= 1 << random.below(8),
        4 if bytes.len() >= 4 => {
            let at = at.min(bytes.len() - 4) & !3;
            bytes[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0x7f]);
        }
        _ => bytes.fill(0xff),
    }
    buffers[index] = bytes.into();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_slice_of_any_array_comes_back_equal(seed: u64, rows in 0_usize..200, from in 0_usize..40) {
        let mut random = Random::new(seed);
        for field in [every_field(true), every_field(false)].concat() {
            let array = random_array(&field, rows + from, &mut random).slice(from, rows);
            let buffers = buffers_of(&array);
            prop_assert_eq!(buffers.len(), buffer_count(field.data_type()));
            let same = back(&field, rows, &buffers).unwrap();
            prop_assert_eq!(&same, &array, "{}", field);
        }
    }

    /// No bytes make the border panic, and none become an array that Arrow would refuse.
    #[test]
    fn damaged_buffers_are_refused_or_harmless(seed: u64, rows in 0_usize..100, damages in 1_usize..4) {
        let mut random = Random::new(seed);
        for field in [every_field(true), every_field(false)].concat() {
            let array = random_array(&field, rows, &mut random);
            let mut buffers = buffers_of(&array);
            for _ in 0..damages {
                mutate(&mut buffers, &mut random);
            }
            if let Ok(array) = back(&field, rows, &buffers) {
                prop_assert_eq!(array.len(), rows);
                prop_assert_eq!(array.data_type(), field.data_type());
                prop_assert!(field.is_nullable() || array.null_count() == 0);
                prop_assert!(array.to_data().validate_full().is_ok(), "{}", field);
            }
        }
    }

    #[test]
    fn any_number_of_any_buffers_is_refused_or_harmless(seed: u64, rows in 0_usize..20, count in 0_usize..5) {
        let mut random = Random::new(seed);
        for field in every_field(true) {
            let buffers: Vec<Buffer> = (0..count).map(|_| { let n = random.below(90); random.bytes(n).into() }).collect();
            if let Ok(array) = back(&field, rows, &buffers) {
                prop_assert!(array.to_data().validate_full().is_ok());
            }
        }
    }
}

#[test]
fn each_lie_about_a_column_has_its_error() {
    let text = |nullable| Field::new("c", DataType::Utf8, nullable);
    let offsets = |of: &[i32]| of.iter().flat_map(|at| at.to_le_bytes()).collect::<Vec<u8>>();
    let decimal = Field::new("c", DataType::Decimal128(2, 0), false);
    let cases: Vec<Lie> = vec![
        ("0 buffers", text(true), 1, vec![]),
        ("2 buffers", text(true), 1, vec![vec![], vec![]]),
        ("offsets has 4 bytes where 1 rows need 8", text(true), 1, vec![vec![], offsets(&[0]), vec![]]),
        ("validity has 2 bytes where 8 rows need 1", text(true), 8, vec![vec![0, 0], offsets(&[0; 9]), vec![]]),
        ("do not begin at 0", text(true), 1, vec![vec![], offsets(&[1, 2]), b"ab".to_vec()]),
        ("do not begin at 0", text(true), 1, vec![vec![], offsets(&[-1, 2]), b"ab".to_vec()]),
        ("go back", text(true), 3, vec![vec![], offsets(&[0, 2, 1, 2]), b"ab".to_vec()]),
        ("go back", text(true), 1, vec![vec![], offsets(&[0, -1]), b"ab".to_vec()]),
        ("do not end where", text(true), 1, vec![vec![], offsets(&[0, 3]), b"ab".to_vec()]),
        ("do not end where", text(true), 1, vec![vec![], offsets(&[0, 1]), b"ab".to_vec()]),
        ("not UTF-8", text(true), 1, vec![vec![], offsets(&[0, 2]), vec![0xc3, 0x28]]),
        ("not UTF-8", text(true), 2, vec![vec![], offsets(&[0, 1, 2]), "é".as_bytes().to_vec()]),
        (
            "1 nulls in a column that is not nullable",
            text(false),
            2,
            vec![vec![0b10], offsets(&[0, 1, 2]), b"ab".to_vec()],
        ),
        ("more than 2 digits", decimal.clone(), 1, vec![vec![], 100_i128.to_le_bytes().to_vec()]),
        ("more than 2 digits", decimal, 1, vec![vec![], i128::MIN.to_le_bytes().to_vec()]),
    ];
    for (expected, field, rows, buffers) in cases.into_iter().chain(lies_about_lists_and_maps()) {
        let buffers: Vec<Buffer> = buffers.into_iter().map(Buffer::from).collect();
        let error = back(&field, rows, &buffers).unwrap_err().to_string();
        assert!(error.contains(expected), "{error:?} should say {expected:?}");
    }
}

type Lie = (&'static str, Field, usize, Vec<Vec<u8>>);

fn lies_about_lists_and_maps() -> Vec<Lie> {
    let words = |of: &[i32]| of.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
    let none = Vec::new;
    let list = |nullable| Field::new_list("c", Field::new_list_field(DataType::Int32, nullable), false);
    let map = |value| {
        let pair = vec![Field::new("key", DataType::Utf8, false), Field::new("value", value, true)];
        let entries = Field::new("entries", DataType::Struct(pair.into()), false);
        Field::new("c", DataType::Map(Arc::new(entries), false), false)
    };
    let bad_text = vec![0xc3, 0x28];
    vec![
        ("1 buffers where the described columns have 4", list(true), 1, vec![none()]),
        ("elements: 1 buffers where the described columns have 2", list(true), 1, vec![none(), words(&[0, 0]), none()]),
        ("offsets has 4 bytes where 1 rows need 8", list(true), 1, vec![none(), words(&[0]), none(), none()]),
        ("do not begin at 0", list(true), 1, vec![none(), words(&[1, 1]), none(), words(&[7])]),
        ("go back", list(true), 2, vec![none(), words(&[0, 1, 0]), none(), none()]),
        ("go back", list(true), 1, vec![none(), words(&[0, i32::MIN]), none(), none()]),
        // Offsets beyond the elements, far beyond them, and elements beyond the offsets.
        (
            "elements: values has 4 bytes where 2 rows need 8",
            list(true),
            1,
            vec![none(), words(&[0, 2]), none(), words(&[7])],
        ),
        (
            "elements: values has 4 bytes where 2147483647 rows need 8589934588",
            list(true),
            1,
            vec![none(), words(&[0, i32::MAX]), none(), words(&[7])],
        ),
        (
            "elements: values has 8 bytes where 1 rows need 4",
            list(true),
            1,
            vec![none(), words(&[0, 1]), none(), words(&[7, 8])],
        ),
        ("1 nulls in a column that is not nullable", list(true), 1, vec![vec![0], words(&[0, 0]), none(), none()]),
        (
            "elements: 1 nulls in a column that is not nullable",
            list(false),
            1,
            vec![none(), words(&[0, 1]), vec![0], words(&[7])],
        ),
        (
            "keys: 1 nulls in a column that is not nullable",
            map(DataType::Int8),
            1,
            vec![none(), words(&[0, 1]), vec![0], words(&[0, 0]), none(), none(), vec![1]],
        ),
        (
            "keys: text is not UTF-8",
            map(DataType::Int8),
            1,
            vec![none(), words(&[0, 1]), none(), words(&[0, 2]), bad_text, none(), vec![1]],
        ),
        (
            "values: values has 1 bytes where 2 rows need 2",
            map(DataType::Int8),
            1,
            vec![none(), words(&[0, 2]), none(), words(&[0, 0, 0]), none(), none(), vec![1]],
        ),
        ("keys: 0 buffers", map(DataType::Int8), 1, vec![none(), words(&[0, 0])]),
    ]
}

#[test]
fn a_null_decimal_may_hold_anything_and_bits_beyond_the_rows_too() {
    let decimal = Field::new("c", DataType::Decimal128(2, 0), true);
    let values = [i128::MAX.to_le_bytes(), 99_i128.to_le_bytes()].concat();
    let array = back(&decimal, 2, &[vec![0b1111_1110_u8].into(), values.into()]).unwrap();
    assert_eq!(array.null_count(), 1);
}

fn echoed(fields: &[Field], batch: &RecordBatch) -> RecordBatch {
    let plugin = HOST.load(Guest::echo(fields.to_vec()).module()).unwrap();
    assert_eq!(plugin.description().input.fields().iter().map(|f| (**f).clone()).collect::<Vec<_>>(), fields);
    let answer = instance(&plugin).process(batch, &mut State::default()).unwrap();
    let [Emitted { output: 0, rows: Rows::All, made, .. }] = &answer.emitted[..] else { panic!("{answer:?}") };
    made.clone()
}

#[test]
fn every_type_goes_through_a_guest_and_comes_back_equal() {
    for nullable in [false, true] {
        let fields = every_type(nullable);
        for rows in [0, 1, 7, 8, 9, 1_000] {
            let batch = random_batch(fields.clone(), rows + 3, 42).slice(3, rows);
            assert_eq!(echoed(&fields, &batch).columns(), batch.columns(), "{rows} rows, nullable: {nullable}");
        }
    }
}

/// Emits one carried and one made column for rows that it names.
fn picking(rows: (u32, &[u8], u32), made: &[i64]) -> Result<Emitted, String> {
    let text = Field::new("text", DataType::Utf8, false);
    let made_field = Field::new("m", DataType::Int64, false);
    let mut guest = Guest::with(vec![text.clone()], vec![(text, Origin::Input(0)), (made_field, Origin::Made)]);
    guest.stay = vec![0];
    let made: Vec<u8> = made.iter().flat_map(|value| value.to_le_bytes()).collect();
    guest.process = guest.emit(0, rows, &[&[], &made]);
    let plugin = HOST.load(guest.module()).unwrap();
    let column: ArrayRef = Arc::new(StringArray::from(vec!["a", "bb", "ccc"]));
    let batch = RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap();
    let answer = instance(&plugin).process(&batch, &mut State::default()).map_err(|fault| fault.to_string())?;
    Ok(answer.emitted.into_iter().next().unwrap())
}

#[test]
fn rows_are_all_selected_or_taken() {
    let numbers = |emitted: &Emitted| emitted.made.column(0).as_primitive::<Int64Type>().clone();
    let all = picking((0, &[], 0), &[1, 2, 3]).unwrap();
    assert!(matches!(all.rows, Rows::All));
    assert_eq!(numbers(&all), Int64Array::from(vec![1, 2, 3]));

    let selected = picking((1, &[0b1111_1101], 1), &[1, 3]).unwrap();
    let Rows::Selected(bits) = &selected.rows else { panic!("{selected:?}") };
    assert_eq!(bits, &BooleanArray::from(vec![true, false, true]));
    assert_eq!(numbers(&selected), Int64Array::from(vec![1, 3]));

    let indices: Vec<u8> = [2_u32, 0, 2, 1].iter().flat_map(|index| index.to_le_bytes()).collect();
    let taken = picking((2, &indices, 4), &[9, 8, 7, 6]).unwrap();
    let Rows::Taken(rows) = &taken.rows else { panic!("{taken:?}") };
    assert_eq!(rows, &UInt32Array::from(vec![2, 0, 2, 1]));
}

#[test]
fn rows_outside_of_the_batch_are_refused() {
    let cases = [
        ((0, &[][..], 0), &[1, 2][..], "column m: values has 16 bytes where 3 rows need 24"),
        ((1, &[0b101][..], 1), &[1, 2, 3], "values has 24 bytes where 2 rows need 16"),
        ((1, &[1, 1], 2), &[1], "selection has 2 bytes where 3 rows need 1"),
        ((1, &[], 0), &[1], "selection has 0 bytes where 3 rows need 1"),
        ((2, &[3, 0, 0, 0], 1), &[1], "row 3 taken of a batch of 3"),
        ((2, &[0xff, 0xff, 0xff, 0xff], 1), &[1], "row 4294967295 taken of a batch of 3"),
    ];
    for (rows, made, expected) in cases {
        let error = picking(rows, made).unwrap_err();
        assert!(error.contains(expected) && error.contains("table t"), "{error:?} should say {expected:?}");
    }
}

#[test]
fn a_column_that_does_not_cross_has_no_buffers() {
    let fields = every_type(true);
    let mut guest = Guest::with(fields.clone(), vec![(Field::new("n", DataType::Int32, false), Origin::Made)]);
    guest.stay = (1..fields.len()).collect();
    // Traps unless the first column's two buffers alone are there.
    guest.process = "(if (i32.ne (local.get $count) (i32.const 2)) (then (unreachable)))".to_owned();
    let plugin = HOST.load(guest.module()).unwrap();
    let answer = instance(&plugin).process(&random_batch(fields, 10, 1), &mut State::default()).unwrap();
    assert!(answer.emitted.is_empty() && answer.rejected.is_empty());
}

#[test]
fn one_call_may_fill_several_tables_and_instances_take_many_batches() {
    let n = Field::new("n", DataType::Int64, false);
    let mut guest = Guest::echo(vec![n.clone()]);
    guest.outputs.push(Output::append("second", vec![(n.clone(), Origin::Input(0))]));
    guest
        .process
        .push_str("(call $emit (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0))");
    let plugin = HOST.load(guest.module()).unwrap();
    let mut instance = instance(&plugin);
    for rows in [1, 100, 8_192] {
        let batch = random_batch(vec![n.clone()], rows, 5);
        let answer = instance.process(&batch, &mut State::default()).unwrap();
        assert_eq!(answer.emitted.iter().map(|emitted| emitted.output).collect::<Vec<_>>(), [0, 1]);
        assert_eq!(answer.emitted[0].made.columns(), batch.columns());
        assert_eq!((answer.emitted[1].made.num_columns(), answer.emitted[1].made.num_rows()), (0, rows));
    }
}

#[test]
fn a_batch_of_64_mb_goes_through() {
    let field = Field::new("text", DataType::Utf8, false);
    let plugin = HOST.load(Guest::echo(vec![field.clone()]).module()).unwrap();
    let column: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1 << 20); 64]));
    let batch = RecordBatch::try_new(Arc::new(Schema::new(vec![field])), vec![column]).unwrap();
    let limits = crate::plugin::Limits { memory_bytes: 256 << 20, call_ms: 60_000, output_bytes: 80 << 20 };
    let answer = plugin.instance(&super::context(), limits).unwrap().process(&batch, &mut State::default()).unwrap();
    assert_eq!(answer.emitted[0].made.columns(), batch.columns());
}

/// CPU time of this thread in ns: on a busy machine the clock on the wall tells about the others.
fn cpu_ns() -> f64 {
    let schedstat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap();
    schedstat.split(' ').next().unwrap().parse().unwrap()
}

/// CPU microseconds of one of `times` calls.
fn cost(times: u32, mut call: impl FnMut()) -> f64 {
    call();
    let began = cpu_ns();
    for _ in 0..times {
        call();
    }
    (cpu_ns() - began) / f64::from(times) / 1e3
}

/// Prints what the border costs: `cargo test -p engine --lib border_cost -- --ignored --nocapture`.
#[test]
#[ignore = "a measurement"]
fn border_cost() {
    let number = |name: &str| Field::new(name, DataType::Int64, true);
    let text = |name: &str| Field::new(name, DataType::Utf8, false);
    let fields: Vec<Field> = vec![
        number("a"),
        number("b"),
        number("c"),
        number("d"),
        text("e"),
        text("f"),
        text("g"),
        Field::new("h", DataType::Boolean, false),
        Field::new("i", DataType::Float64, false),
        Field::new("j", DataType::Decimal128(12, 2), false),
    ];
    let plugin = HOST.load(Guest::echo(fields.clone()).module()).unwrap();
    let silent = HOST.load(Guest::echo(fields.clone()).process("").module()).unwrap();
    let report = |what: &str, rows: usize, us: f64| {
        println!("{what}, {rows} rows: {us:.1} µs a call, {:.1} ns a row", us * 1e3 / rows.max(1) as f64);
    };
    for rows in [0, 1_000, 8_192, 65_536] {
        let batch = random_batch(fields.clone(), rows, 7);
        let times = u32::try_from(4_000 / (rows / 1_000 + 1)).unwrap();
        let process = |plugin: &crate::plugin::Plugin| {
            let mut instance = instance(plugin);
            cost(times, || drop(instance.process(&batch, &mut State::default()).unwrap()))
        };
        report("in", rows, process(&silent));
        report("in and out", rows, process(&plugin));
        let own: Vec<Vec<Buffer>> = batch.columns().iter().map(|column| buffers_of(column)).collect();
        report(
            "of it checks and copy out",
            rows,
            cost(times, || {
                for (field, buffers) in fields.iter().zip(&own) {
                    drop(back(field, rows, buffers).unwrap());
                }
            }),
        );
    }
    let batch = random_batch(fields.clone(), 8_192, 7);
    for (field, column) in fields.iter().zip(batch.columns()) {
        let buffers = buffers_of(column);
        let what = format!("checks and copy out of {}", field.data_type());
        report(&what, 8_192, cost(500, || drop(back(field, 8_192, &buffers).unwrap())));
    }
    report("instantiate, start and drop", 0, cost(2_000, || drop(instance(&plugin))));
    report(
        "fresh instance, in and out",
        8_192,
        cost(500, || drop(instance(&plugin).process(&batch, &mut State::default()).unwrap())),
    );
}
