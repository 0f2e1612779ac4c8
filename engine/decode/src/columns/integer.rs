//! Whole numbers: exact in all their 64 bits, refused where they do not fit.
//!
//! | written as | read |
//! |---|---|
//! | number | yes, `1.0` and `1e3` as well: they are whole |
//! | base64 of an unscaled integer, with a schema that says so (`BIGINT UNSIGNED` as `precise`) | yes |

use std::marker::PhantomData;

use arrow_array::types::ArrowPrimitiveType;

use super::primitive::Cell;
use super::{Plain, base64, decimal};
use crate::reject::{Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a whole number that fits the column's type" };
const NOT_WHOLE: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a whole number" };

/// Reads integers of one Arrow type.
#[derive(Debug)]
pub(super) struct Integer<A> {
    scratch: Vec<u8>,
    of: PhantomData<fn() -> A>,
}

impl<A> Default for Integer<A> {
    fn default() -> Self {
        Self { scratch: Vec::new(), of: PhantomData }
    }
}

impl<A> Cell for Integer<A>
where
    A: ArrowPrimitiveType + std::fmt::Debug,
    A::Native: TryFrom<i64> + TryFrom<i128>,
{
    type Arrow = A;

    fn read(&mut self, value: &mut Cursor<'_>, wire: Wire) -> Read<A::Native> {
        if let Some(number) = value.plain_integer() {
            return A::Native::try_from(number).map_err(|_| OUT_OF_RANGE);
        }
        let number = self.wide(value, wire)?;
        A::Native::try_from(number).map_err(|_| OUT_OF_RANGE)
    }

    fn plain(&mut self, value: Plain<'_>, _: Wire) -> Read<Option<A::Native>> {
        let Plain::Integer(number) = value else { return Ok(None) };
        A::Native::try_from(number).map(Some).map_err(|_| OUT_OF_RANGE)
    }
}

impl<A> Integer<A> {
    #[cold]
    fn wide(&mut self, value: &mut Cursor<'_>, wire: Wire) -> Read<i128> {
        if value.at_number() {
            let whole = decimal::from_text(value.number()?, 0);
            return whole.map_err(|refusal| if refusal.code == RejectCode::Inexact { NOT_WHOLE } else { refusal });
        }
        let Wire::Decimal { scale } = wire else { return Err(NOT_WHOLE) };
        if !value.at_string() {
            return Err(NOT_WHOLE);
        }
        let unscaled = base64::integer(value.raw_string()?.text(&mut self.scratch)?)?;
        decimal::rescale(unscaled, scale, 0)
    }
}

/// Reads a whole number of 64 bits.
pub(super) fn int64(value: &mut Cursor<'_>) -> Read<i64> {
    match value.plain_integer() {
        Some(number) => Ok(number),
        None => i64::try_from(Integer::<()>::default().wide(value, Wire::Unknown)?).map_err(|_| OUT_OF_RANGE),
    }
}
