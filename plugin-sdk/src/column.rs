//! Which Rust types are columns, and of which type.
//!
//! | Rust | column | | Rust | column |
//! |---|---|---|---|---|
//! | `bool` | boolean | | [`Date`] | date |
//! | `i8` … `i64`, `u8` … `u64` | integers | | [`Time<U>`](crate::Time) | time of day |
//! | `f32`, `f64` | floats | | [`Timestamp<U>`](crate::Timestamp) | instant (UTC) |
//! | `&str` | text | | [`WallClock<U>`](crate::WallClock) | timestamp without zone |
//! | `&[u8]` | bytes | | [`Decimal<P, S>`](crate::Decimal) | decimal, P ≤ 38 |
//! | [`Json`] | JSON text | | [`Decimal256<P, S>`](crate::Decimal256) | decimal, 39 ≤ P ≤ 76 |
//! | [`Op`] | what happened to the row | | [`Uuid`] | UUID |
//! | [`List<T>`](crate::List) | list | | [`Map<K, V>`](crate::Map) | map |
//!
//! `Option<T>` of each is the nullable column. Only written: `String`, `Cow<str>`, [`Lowercase`], [`Uppercase`], `Vec<u8>`,
//! [`JsonString`], the forms of lists and maps in [`mod@crate::list`], and [`Pass`], the column that stays in the host.

use std::borrow::Cow;
use std::marker::PhantomData;

use crate::builder::{
    BoolBuilder, Builder, FixedBuilder, Lowercase, NullableBuilder, PassBuilder, Uppercase, VariableBuilder, WriteText,
};
use crate::description::{DataType, ScalarType};
use crate::row::Op;
use crate::time::Date;
use crate::uuid::Uuid;
use crate::view::{Bools, Buffers, Fixed, FromBytes, Mismatch, Nullable, Plain, Values, Variable, View};

/// A Rust type that is a column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no type of a column",
    note = "columns are bool, integers, floats, &str, &[u8], Json, Uuid, Date, Time, Timestamp, WallClock, Decimal, List, Map and Option of these"
)]
pub trait ColumnType {
    /// The column's type.
    const TYPE: DataType;
    /// Whether it may be null.
    const NULLABLE: bool = false;
}

/// A Rust type that can be read from an input column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be read from a column",
    note = "text is read as &str, bytes as &[u8], so that no row is copied; Option<T> is a nullable column"
)]
pub trait ReadColumn: ColumnType {
    /// `Self` for the lifetime of a batch.
    type Of<'a>;
    /// The column's view.
    type View<'a>: View<'a, Item = Self::Of<'a>>;
}

/// A Rust type that can be written to an output column.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be written to a column",
    note = "a column that is taken over from the input as it is has the type Pass<T>"
)]
pub trait WriteColumn: ColumnType {
    /// The column's builder.
    type Builder: Builder;
    /// True for [`Pass`] alone.
    const PASSED: bool = false;
    /// Writes a row's value.
    fn write(self, builder: &mut Self::Builder);
}

macro_rules! fixed {
    ($($rust:ty => $data_type:ident),*) => {$(
        impl ColumnType for $rust {
            const TYPE: DataType = DataType::Scalar(ScalarType::$data_type);
        }
    )*};
}
fixed!(i8 => Int8, i16 => Int16, i32 => Int32, i64 => Int64, u8 => UInt8, u16 => UInt16, u32 => UInt32, u64 => UInt64,
    f32 => Float32, f64 => Float64, Date => Date, Uuid => Uuid);

impl<T: Plain + ColumnType> ReadColumn for T {
    type Of<'a> = T;
    type View<'a> = Fixed<'a, T>;
}

impl<T: Plain + ColumnType> WriteColumn for T {
    type Builder = FixedBuilder<T>;
    #[inline(always)]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self);
    }
}

impl ColumnType for bool {
    const TYPE: DataType = DataType::Scalar(ScalarType::Boolean);
}

impl ReadColumn for bool {
    type Of<'a> = bool;
    type View<'a> = Bools<'a>;
}

impl WriteColumn for bool {
    type Builder = BoolBuilder;
    #[inline(always)]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self);
    }
}

impl ColumnType for &[u8] {
    const TYPE: DataType = DataType::Scalar(ScalarType::Binary);
}

impl ReadColumn for &[u8] {
    type Of<'a> = &'a [u8];
    type View<'a> = Variable<'a, &'a [u8]>;
}

impl WriteColumn for &[u8] {
    type Builder = VariableBuilder;
    #[inline(always)]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self);
    }
}

impl ColumnType for Vec<u8> {
    const TYPE: DataType = DataType::Scalar(ScalarType::Binary);
}

impl WriteColumn for Vec<u8> {
    type Builder = VariableBuilder;
    fn write(self, builder: &mut Self::Builder) {
        builder.push(&self);
    }
}

impl ReadColumn for &str {
    type Of<'a> = &'a str;
    type View<'a> = Variable<'a, &'a str>;
}

macro_rules! text {
    ($($rust:ty),*) => {$(
        impl ColumnType for $rust {
            const TYPE: DataType = DataType::Scalar(ScalarType::Utf8);
        }
        impl WriteColumn for $rust {
            type Builder = VariableBuilder;
            #[inline(always)]
            fn write(self, builder: &mut Self::Builder) {
                builder.push_with(|bytes| self.write_text(bytes));
            }
        }
    )*};
}
text!(&str, String, Cow<'_, str>, Lowercase<'_>, Uppercase<'_>);

/// A JSON document as text, not parsed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Json<'a>(pub &'a str);

impl<'a> FromBytes<'a> for Json<'a> {
    #[inline(always)]
    unsafe fn from_bytes(bytes: &'a [u8]) -> Self {
        // SAFETY: the caller's promise, which is the same for JSON as for text.
        Self(unsafe { <&str>::from_bytes(bytes) })
    }
}

impl ColumnType for Json<'_> {
    const TYPE: DataType = DataType::Scalar(ScalarType::Json);
}

impl ReadColumn for Json<'_> {
    type Of<'a> = Json<'a>;
    type View<'a> = Variable<'a, Json<'a>>;
}

impl WriteColumn for Json<'_> {
    type Builder = VariableBuilder;
    #[inline(always)]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self.0.as_bytes());
    }
}

/// A JSON document that the plugin made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JsonString(pub String);

impl ColumnType for JsonString {
    const TYPE: DataType = DataType::Scalar(ScalarType::Json);
}

impl WriteColumn for JsonString {
    type Builder = VariableBuilder;
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self.0.as_bytes());
    }
}

/// A view of operations.
#[derive(Clone, Copy, Debug)]
pub struct Ops<'a>(Fixed<'a, u8>);

impl<'a> View<'a> for Ops<'a> {
    type Item = Op;
    fn bind(buffers: &mut Buffers<'a>) -> Result<Self, Mismatch> {
        let letters = Fixed::<u8>::bind(buffers)?;
        // Checked for the batch, so that reading a row needs no error.
        if letters.iter().all(|letter| Op::from_letter(*letter).is_some()) {
            Ok(Self(letters))
        } else {
            Err(Mismatch::new("an operation that is none of c, u, d, r"))
        }
    }
    #[inline(always)]
    fn get(&self, row: usize) -> Op {
        match self.0.get(row) {
            b'c' => Op::Create,
            b'u' => Op::Update,
            b'd' => Op::Delete,
            _ => Op::Read,
        }
    }
}

impl ColumnType for Op {
    const TYPE: DataType = DataType::Scalar(ScalarType::UInt8);
}

impl ReadColumn for Op {
    type Of<'a> = Op;
    type View<'a> = Ops<'a>;
}

impl WriteColumn for Op {
    type Builder = FixedBuilder<u8>;
    #[inline(always)]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self.letter());
    }
}

impl<T: ColumnType> ColumnType for Option<T> {
    const TYPE: DataType = T::TYPE;
    const NULLABLE: bool = true;
}

impl<T> ReadColumn for Option<T>
where
    T: ReadColumn,
    for<'a> T::View<'a>: Values<'a>,
{
    type Of<'a> = Option<T::Of<'a>>;
    type View<'a> = Nullable<'a, T::View<'a>>;
}

impl<T: WriteColumn> WriteColumn for Option<T> {
    type Builder = NullableBuilder<T::Builder>;
    #[inline(always)]
    fn write(self, builder: &mut Self::Builder) {
        builder.push(self, |values, value| value.write(values));
    }
}

/// An output column that the host takes over from the row's field of the same name as it is, or from where `#[column]`
/// says: `from = "field"`, `rest`, `before`, `header = "name"`, `change = "offset"`. Its values never cross into the plugin,
/// unless the input row reads them as well. Made by [`pass`].
///
/// In a row style plugin each output row takes the value of the input row that it was made from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pass<T>(PhantomData<fn() -> T>);

/// The value of a [`Pass`] field.
#[inline(always)]
#[must_use]
pub const fn pass<T>() -> Pass<T> {
    Pass(PhantomData)
}

impl<T: ColumnType> ColumnType for Pass<T> {
    const TYPE: DataType = T::TYPE;
    const NULLABLE: bool = T::NULLABLE;
}

impl<T: ColumnType> WriteColumn for Pass<T> {
    type Builder = PassBuilder;
    const PASSED: bool = true;
    #[inline(always)]
    fn write(self, _builder: &mut PassBuilder) {}
}
