//! Whole numbers: exact in all their 64 bits, refused where they do not fit.
//!
//! | written as | read |
//! |---|---|
//! | number | yes, `1.0` and `1e3` as well: they are whole |
//! | base64 of an unscaled integer (`BIGINT UNSIGNED` as `precise`), or of bits (`BIT(n)`) | where the schema, or the column's encoding, says so |
//! | negative number, for UInt64 | a case for a policy: `BIGINT UNSIGNED` as `long` is the signed number of the same bits |

use std::marker::PhantomData;

use arrow_array::types::ArrowPrimitiveType;

use super::primitive::Cell;
use super::{Plain, base64, bits, decimal};
use crate::policy::Encoding;
use crate::reject::{NEGATIVE_UNSIGNED, Read, Refusal, RejectCode};
use crate::scan::Cursor;
use crate::schema::Wire;

const OUT_OF_RANGE: &Refusal =
    &Refusal { code: RejectCode::OutOfRange, reason: "expected a whole number that fits the column's type" };
const NOT_WHOLE: &Refusal = &Refusal { code: RejectCode::WrongType, reason: "expected a whole number" };

/// Reads integers of one Arrow type.
#[derive(Debug)]
pub(super) struct Integer<A> {
    /// How strings are written, where no schema says it.
    encoding: Option<Encoding>,
    unsigned: bool,
    scratch: Vec<u8>,
    of: PhantomData<fn() -> A>,
}

impl<A> Integer<A> {
    pub(super) fn new(encoding: Option<Encoding>, unsigned: bool) -> Self {
        Self { encoding, unsigned, scratch: Vec::new(), of: PhantomData }
    }
}

impl<A> Cell for Integer<A>
where
    A: ArrowPrimitiveType + std::fmt::Debug,
    A::Native: TryFrom<i64> + TryFrom<i128>,
{
    type Arrow = A;

    fn read(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<A::Native> {
        if let Some(number) = value.plain_integer() {
            return A::Native::try_from(number).map_err(|_| self.outside(number < 0));
        }
        let number = self.wide(value, wire)?;
        A::Native::try_from(number).map_err(|_| self.outside(number < 0))
    }

    fn wrapped(&self, negative: i64) -> Option<A::Native> {
        self.unsigned.then(|| A::Native::try_from(i128::from(negative.cast_unsigned())).ok()).flatten()
    }

    fn plain(&mut self, value: Plain<'_>, _: &Wire) -> Read<Option<A::Native>> {
        let Plain::Integer(number) = value else { return Ok(None) };
        Ok(A::Native::try_from(number).ok())
    }
}

impl<A> Integer<A> {
    #[cold]
    fn wide(&mut self, value: &mut Cursor<'_>, wire: &Wire) -> Read<i128> {
        if value.at_number() {
            let whole = decimal::from_text(value.number()?, 0);
            return whole.map_err(|refusal| if refusal.code == RejectCode::Inexact { NOT_WHOLE } else { refusal });
        }
        if !value.at_string() {
            return Err(NOT_WHOLE);
        }
        let text = value.raw_string()?.text(&mut self.scratch)?;
        match (wire, self.encoding) {
            (Wire::Decimal { scale }, _) => decimal::rescale(base64::integer(text)?, *scale, 0),
            (Wire::Bits, _) | (Wire::Unknown, Some(Encoding::Bits)) => bits::number(text),
            (Wire::Unknown, Some(Encoding::Precise)) => base64::integer(text),
            // Without schema a string of base64 may be bits, or `BIGINT UNSIGNED` as `precise`.
            _ => Err(NOT_WHOLE),
        }
    }

    fn outside(&self, negative: bool) -> &'static Refusal {
        if negative && self.unsigned { NEGATIVE_UNSIGNED } else { OUT_OF_RANGE }
    }
}

/// Reads a whole number of 64 bits.
pub(crate) fn int64(value: &mut Cursor<'_>) -> Read<i64> {
    match value.plain_integer() {
        Some(number) => Ok(number),
        None => i64::try_from(Integer::<()>::new(None, false).wide(value, &Wire::Unknown)?).map_err(|_| OUT_OF_RANGE),
    }
}
