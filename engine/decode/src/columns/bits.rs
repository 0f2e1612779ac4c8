//! Bits as Debezium writes them: base64 of little-endian bytes.

use super::base64;
use crate::reject::{Read, Refusal, RejectCode};

const TOO_LONG: &Refusal = &Refusal { code: RejectCode::OutOfRange, reason: "expected at most 64 bits" };

/// The number that the bits make up.
pub(super) fn number(text: &[u8]) -> Read<i128> {
    let mut bytes = Vec::new();
    base64::append(text, &mut bytes)?;
    let length = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let significant = bytes.get(..length).filter(|bytes| bytes.len() <= 8).ok_or(TOO_LONG)?;
    Ok(significant.iter().rev().fold(0, |number, byte| number << 8 | i128::from(*byte)))
}
