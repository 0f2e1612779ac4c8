//! The bytes of an Avro datum (Avro 1.12 specification, "Binary encoding"), taken from the front.
//!
//! **Promise.** Nothing is allocated for a length before as many bytes are there; every step goes forward or refuses.

use crate::reject::{Read, Refusal, RejectCode};

const TRUNCATED: &Refusal =
    &Refusal { code: RejectCode::InvalidAvro, reason: "the Avro value ends before its schema does" };
const TRAILING: &Refusal =
    &Refusal { code: RejectCode::InvalidAvro, reason: "something follows the Avro value that its schema describes" };
const VARINT: &Refusal =
    &Refusal { code: RejectCode::InvalidAvro, reason: "an Avro integer is longer than its type's bits" };
const LENGTH: &Refusal = &Refusal {
    code: RejectCode::InvalidAvro,
    reason: "an Avro length or count is negative, or more than the message has bytes",
};
const BOOLEAN: &Refusal = &Refusal { code: RejectCode::InvalidAvro, reason: "an Avro boolean is neither 0 nor 1" };

/// What is left of a datum.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body<'m> {
    rest: &'m [u8],
    /// Items that arrays and maps may still have. Items of no bytes (an array of nulls) are as many as a count says;
    /// paying for each from the message's own length bounds the work by it.
    items: usize,
}

/// A block of an array or a map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Block {
    pub(super) items: usize,
    /// The bytes that it takes, where the writer says so: for skipping.
    pub(super) bytes: Option<usize>,
}

impl<'m> Body<'m> {
    pub(super) fn new(bytes: &'m [u8]) -> Self {
        Self { rest: bytes, items: bytes.len() }
    }

    pub(super) fn end(self) -> Read<()> {
        if self.rest.is_empty() { Ok(()) } else { Err(TRAILING) }
    }

    pub(super) fn take(&mut self, length: usize) -> Read<&'m [u8]> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Read<[u8; N]> {
        let (taken, rest) = self.rest.split_first_chunk::<N>().ok_or(TRUNCATED)?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(super) fn boolean(&mut self) -> Read<bool> {
        match self.array()? {
            [0] => Ok(false),
            [1] => Ok(true),
            [_] => Err(BOOLEAN),
        }
    }

    /// `int` and `long`: zigzag, seven bits a byte, the lowest first.
    #[inline]
    pub(super) fn long(&mut self) -> Read<i64> {
        if let [first, rest @ ..] = self.rest
            && *first < 0x80
        {
            self.rest = rest;
            return Ok(zigzag(u64::from(*first)));
        }
        self.long_varint()
    }

    fn long_varint(&mut self) -> Read<i64> {
        let mut value = 0_u64;
        for (index, byte) in self.rest.iter().enumerate().take(10) {
            // The tenth byte has room for one bit.
            if index == 9 && *byte > 1 {
                return Err(VARINT);
            }
            value |= u64::from(byte & 0x7f) << (7 * index);
            if *byte < 0x80 {
                self.rest = self.rest.get(index + 1..).unwrap_or_default();
                return Ok(zigzag(value));
            }
        }
        Err(if self.rest.len() < 10 { TRUNCATED } else { VARINT })
    }

    pub(super) fn int(&mut self) -> Read<i32> {
        i32::try_from(self.long()?).map_err(|_| VARINT)
    }

    pub(super) fn skip_varint(&mut self) -> Read<()> {
        let end = self.rest.iter().take(10).position(|byte| *byte < 0x80);
        let end = end.ok_or(if self.rest.len() < 10 { TRUNCATED } else { VARINT })?;
        self.rest = self.rest.get(end + 1..).unwrap_or_default();
        Ok(())
    }

    pub(super) fn float(&mut self) -> Read<f32> {
        Ok(f32::from_le_bytes(self.array()?))
    }

    pub(super) fn double(&mut self) -> Read<f64> {
        Ok(f64::from_le_bytes(self.array()?))
    }

    /// `bytes` and `string`: a length, and as many bytes.
    pub(super) fn bytes(&mut self) -> Read<&'m [u8]> {
        let length = self.long()?;
        let length = usize::try_from(length).ok().filter(|length| *length <= self.rest.len());
        self.take(length.ok_or(LENGTH)?)
    }

    /// The index of a union's branch or of an enum's symbol.
    pub(super) fn index(&mut self) -> Read<usize> {
        // A negative index is beyond any list.
        Ok(usize::try_from(self.long()?).unwrap_or(usize::MAX))
    }

    /// The next block of an array or a map; `None`: that was the last.
    pub(super) fn block(&mut self) -> Read<Option<Block>> {
        let count = self.long()?;
        if count == 0 {
            return Ok(None);
        }
        // A negative count is followed by the block's bytes.
        let bytes = if count < 0 { Some(usize::try_from(self.long()?).map_err(|_| LENGTH)?) } else { None };
        let items = usize::try_from(count.unsigned_abs()).map_err(|_| LENGTH)?;
        self.items = self.items.checked_sub(items).ok_or(LENGTH)?;
        Ok(Some(Block { items, bytes }))
    }
}

fn zigzag(value: u64) -> i64 {
    (value >> 1).cast_signed() ^ -(value & 1).cast_signed()
}
