//! Columns as text: what assertions compare and failures show.
//!
//! Numbers, dates, times and decimals are as they are written, bytes in hexadecimal digits, lists `[a,b]`, maps
//! `{key:value}`.

use crate::column::Json;
use crate::decimal::scaled_text;
use crate::description::{Column, DataType, ScalarType, TimeUnit};
use crate::time::Zone;
use crate::view::{Buffers, Mismatch, Nullable, Values, View, bit};
use crate::{Date, Decimal, Decimal256, Micros, Millis, Nanos, ReadColumn, Seconds, Time, Timestamp, Utc, Uuid, Wall};

/// A column's values as text; `None` is null.
pub(super) type Cells = Vec<Option<String>>;

/// Reads a column of any type as text.
pub(super) fn cells(column: &Column, buffers: &mut Buffers<'_>) -> Result<Cells, Mismatch> {
    match column.data_type {
        DataType::Scalar(scalar) => scalars(scalar, column.nullable, buffers),
        DataType::List { element, nullable } => {
            let rows = Ranges::take(column.nullable, buffers)?;
            let elements = buffers.elements(rows.count, |buffers| scalars(element, nullable, buffers))?;
            Ok(rows.cells(|row| format!("[{}]", joined(elements[row].iter().map(|cell| text(cell).to_owned())))))
        }
        DataType::Map { key, value, nullable } => {
            let rows = Ranges::take(column.nullable, buffers)?;
            let keys = buffers.elements(rows.count, |buffers| scalars(key, false, buffers))?;
            let values = buffers.elements(rows.count, |buffers| scalars(value, nullable, buffers))?;
            let entry = |index: usize| format!("{}:{}", text(&keys[index]), text(&values[index]));
            Ok(rows.cells(|row| format!("{{{}}}", joined(row.map(entry)))))
        }
    }
}

/// A cell as it is shown.
pub(super) fn text(cell: &Option<String>) -> &str {
    cell.as_deref().unwrap_or("null")
}

fn joined(texts: impl Iterator<Item = String>) -> String {
    texts.collect::<Vec<_>>().join(",")
}

/// Which elements belong to each row of lists or maps.
struct Ranges<'a> {
    validity: Option<&'a [u8]>,
    offsets: &'a [i32],
    count: usize,
}

impl<'a> Ranges<'a> {
    fn take(nullable: bool, buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        let validity = if nullable { buffers.validity()? } else { buffers.no_nulls().map(|()| None)? };
        let (offsets, count) = buffers.offsets()?;
        Ok(Self { validity, offsets, count })
    }

    fn cells(&self, cell: impl Fn(std::ops::Range<usize>) -> String) -> Cells {
        let at = |row: usize| self.offsets[row].cast_unsigned() as usize;
        let valid = |row| self.validity.is_none_or(|bits| bit(bits, row));
        (0..self.offsets.len() - 1).map(|row| valid(row).then(|| cell(at(row)..at(row + 1)))).collect()
    }
}

fn scalars(scalar: ScalarType, nullable: bool, buffers: &mut Buffers<'_>) -> Result<Cells, Mismatch> {
    match scalar {
        ScalarType::Boolean => read::<bool>(nullable, buffers, |value| value.to_string()),
        ScalarType::Int8 => read::<i8>(nullable, buffers, |value| value.to_string()),
        ScalarType::Int16 => read::<i16>(nullable, buffers, |value| value.to_string()),
        ScalarType::Int32 => read::<i32>(nullable, buffers, |value| value.to_string()),
        ScalarType::Int64 => read::<i64>(nullable, buffers, |value| value.to_string()),
        ScalarType::UInt8 => read::<u8>(nullable, buffers, |value| value.to_string()),
        ScalarType::UInt16 => read::<u16>(nullable, buffers, |value| value.to_string()),
        ScalarType::UInt32 => read::<u32>(nullable, buffers, |value| value.to_string()),
        ScalarType::UInt64 => read::<u64>(nullable, buffers, |value| value.to_string()),
        ScalarType::Float32 => read::<f32>(nullable, buffers, |value| value.to_string()),
        ScalarType::Float64 => read::<f64>(nullable, buffers, |value| value.to_string()),
        ScalarType::Utf8 => read::<&str>(nullable, buffers, str::to_owned),
        ScalarType::Binary => {
            read::<&[u8]>(nullable, buffers, |bytes| bytes.iter().map(|b| format!("{b:02x}")).collect())
        }
        ScalarType::Json => read::<Json<'_>>(nullable, buffers, |json| json.0.to_owned()),
        ScalarType::Uuid => read::<Uuid>(nullable, buffers, |value| value.to_string()),
        ScalarType::Date => read::<Date>(nullable, buffers, |value| value.to_string()),
        ScalarType::Time(unit) => match unit {
            TimeUnit::Second => read::<Time<Seconds>>(nullable, buffers, |value| value.to_string()),
            TimeUnit::Millisecond => read::<Time<Millis>>(nullable, buffers, |value| value.to_string()),
            TimeUnit::Microsecond => read::<Time<Micros>>(nullable, buffers, |value| value.to_string()),
            TimeUnit::Nanosecond => read::<Time<Nanos>>(nullable, buffers, |value| value.to_string()),
        },
        ScalarType::Timestamp { unit, utc: true } => timestamps::<Utc>(unit, nullable, buffers),
        ScalarType::Timestamp { unit, utc: false } => timestamps::<Wall>(unit, nullable, buffers),
        ScalarType::Decimal { precision: ..=38, scale } => read::<Decimal<38, 0>>(nullable, buffers, |value| {
            scaled_text(value.is_negative(), &value.unscaled().unsigned_abs().to_string(), scale)
        }),
        ScalarType::Decimal { precision: _, scale } => read::<Decimal256<76, 0>>(nullable, buffers, |value| {
            scaled_text(value.is_negative(), &value.unscaled_text(), scale)
        }),
    }
}

fn timestamps<Z: Zone>(unit: TimeUnit, nullable: bool, buffers: &mut Buffers<'_>) -> Result<Cells, Mismatch> {
    match unit {
        TimeUnit::Second => read::<Timestamp<Seconds, Z>>(nullable, buffers, |value| value.to_string()),
        TimeUnit::Millisecond => read::<Timestamp<Millis, Z>>(nullable, buffers, |value| value.to_string()),
        TimeUnit::Microsecond => read::<Timestamp<Micros, Z>>(nullable, buffers, |value| value.to_string()),
        TimeUnit::Nanosecond => read::<Timestamp<Nanos, Z>>(nullable, buffers, |value| value.to_string()),
    }
}

fn read<'b, T>(nullable: bool, buffers: &mut Buffers<'b>, text: impl Fn(T::Of<'b>) -> String) -> Result<Cells, Mismatch>
where
    T: ReadColumn,
    T::View<'b>: Values<'b>,
{
    let rows = 0..buffers.rows();
    if nullable {
        let view = Nullable::<T::View<'b>>::bind(buffers)?;
        Ok(rows.map(|row| view.get(row).map(&text)).collect())
    } else {
        let view = T::View::bind(buffers)?;
        Ok(rows.map(|row| Some(text(view.get(row)))).collect())
    }
}
