//! `io.debezium.data.SparseDoubleVector`, pgvector's `sparsevec`: an object of `dimensions` and of `vector`, pairs of a place,
//! counted from 1, and its value. As a list it has a value at every place, zero where it names none.

use super::integer::int64;
use crate::reject::{DUPLICATE, Read, Refusal, RejectCode};
use crate::scan::Cursor;

const NOT_SPARSE: &Refusal = &Refusal {
    code: RejectCode::WrongType,
    reason: "expected an array, or the object of a sparse vector: dimensions, and a vector of pairs",
};
const NO_PLACE: &Refusal = &Refusal {
    code: RejectCode::InvalidValue,
    reason: "a sparse vector has a value at a place beyond its dimensions, or two at one",
};

/// A sparse vector whose values are not read yet.
#[derive(Debug, Default)]
pub(super) struct Sparse<'m> {
    pub(super) dimensions: usize,
    /// Places from 0 in ascending order, and where the value stands.
    pub(super) values: Vec<(usize, Cursor<'m>)>,
}

impl<'m> Sparse<'m> {
    /// Reads the object that the cursor is at.
    pub(super) fn read(value: &mut Cursor<'m>) -> Read<Self> {
        let (mut dimensions, mut values) = (None, None);
        let mut scratch = Vec::new();
        value.expect(b'{')?;
        loop {
            let twice = match value.raw_string()?.text(&mut scratch)? {
                b"dimensions" => {
                    value.expect(b':')?;
                    dimensions.replace(place(value)?).is_some()
                }
                b"vector" => {
                    value.expect(b':')?;
                    values.replace(pairs(value)?).is_some()
                }
                _ => return Err(NOT_SPARSE),
            };
            if twice {
                return Err(DUPLICATE);
            }
            if !value.another_member()? {
                break;
            }
        }
        let (Some(dimensions), Some(mut values)) = (dimensions, values) else { return Err(NOT_SPARSE) };
        values.sort_unstable_by_key(|(place, _)| *place);
        let twice = values.windows(2).any(|pair| matches!(pair, [(one, _), (other, _)] if one == other));
        if twice || values.first().is_some_and(|(place, _)| *place == 0) {
            return Err(NO_PLACE);
        }
        values.iter_mut().for_each(|(place, _)| *place -= 1);
        if values.last().is_some_and(|(place, _)| *place >= dimensions) {
            return Err(NO_PLACE);
        }
        Ok(Self { dimensions, values })
    }
}

fn place(value: &mut Cursor<'_>) -> Read<usize> {
    usize::try_from(int64(value).map_err(|_| NOT_SPARSE)?).map_err(|_| NO_PLACE)
}

fn pairs<'m>(value: &mut Cursor<'m>) -> Read<Vec<(usize, Cursor<'m>)>> {
    let mut pairs = Vec::new();
    value.expect(b'[').map_err(|_| NOT_SPARSE)?;
    if value.take(b']') {
        return Ok(pairs);
    }
    loop {
        value.expect(b'[').map_err(|_| NOT_SPARSE)?;
        let place = place(value)?;
        value.expect(b',')?;
        value.peek();
        pairs.push((place, *value));
        value.skip()?;
        value.expect(b']')?;
        if value.take(b']') {
            return Ok(pairs);
        }
        value.expect(b',')?;
    }
}
