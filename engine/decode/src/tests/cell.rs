//! Cells as text, each type in its plainest form: numbers and times as numbers, decimals with their point, bytes as
//! hexadecimal digits. The matrix of types (`tests/matrix`) reads this file as well.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef};
use arrow_schema::{DataType, TimeUnit};

/// A cell's text; `null` for none.
pub(crate) fn cell(array: &ArrayRef, row: usize) -> String {
    macro_rules! value {
        ($type:ty) => {
            array.as_primitive::<$type>().value(row).to_string()
        };
    }
    if array.is_null(row) {
        return "null".to_owned();
    }
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    match array.data_type() {
        DataType::Boolean => array.as_boolean().value(row).to_string(),
        DataType::Int8 => value!(Int8Type),
        DataType::Int16 => value!(Int16Type),
        DataType::Int32 => value!(Int32Type),
        DataType::Int64 => value!(Int64Type),
        DataType::UInt8 => value!(UInt8Type),
        DataType::UInt16 => value!(UInt16Type),
        DataType::UInt32 => value!(UInt32Type),
        DataType::UInt64 => value!(UInt64Type),
        DataType::Float32 => value!(Float32Type),
        DataType::Float64 => value!(Float64Type),
        DataType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        DataType::Binary => hex(array.as_binary::<i32>().value(row)),
        DataType::FixedSizeBinary(_) => hex(array.as_fixed_size_binary().value(row)),
        DataType::Date32 => value!(Date32Type),
        DataType::Time32(TimeUnit::Second) => value!(Time32SecondType),
        DataType::Time32(_) => value!(Time32MillisecondType),
        DataType::Time64(TimeUnit::Microsecond) => value!(Time64MicrosecondType),
        DataType::Time64(_) => value!(Time64NanosecondType),
        DataType::Timestamp(TimeUnit::Second, _) => value!(TimestampSecondType),
        DataType::Timestamp(TimeUnit::Millisecond, _) => value!(TimestampMillisecondType),
        DataType::Timestamp(TimeUnit::Microsecond, _) => value!(TimestampMicrosecondType),
        DataType::Timestamp(TimeUnit::Nanosecond, _) => value!(TimestampNanosecondType),
        DataType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        DataType::Decimal256(..) => array.as_primitive::<Decimal256Type>().value_as_string(row),
        DataType::List(_) => {
            let elements = array.as_list::<i32>().value(row);
            let cells: Vec<_> = (0..elements.len()).map(|index| cell(&elements, index)).collect();
            format!("[{}]", cells.join(", "))
        }
        DataType::Map(..) => {
            let entries = array.as_map().value(row);
            let [keys, values] = [0, 1].map(|column| entries.column(column).clone());
            let cells: Vec<_> =
                (0..entries.len()).map(|at| format!("{}: {}", cell(&keys, at), cell(&values, at))).collect();
            format!("{{{}}}", cells.join(", "))
        }
        other => panic!("no text for {other}"),
    }
}
