//! How much memory a message may take. Text is mostly longer than its cells; but `0,` is an element of 32 bytes where
//! decimals of 76 digits are declared, and a hundred megabytes of that would be gigabytes.
//!
//! **Promise.** What is kept of a message of `n` bytes, and what it takes to read it, is at most [`memory_budget`]`(n)` each
//! beside what every row takes; what would be more is refused. (In Avro the constant part counts for each list and map.)
//! Memory that grows by doubling is twice that for a moment.

use crate::reject::{Read, Refusal, RejectCode};

/// So much is free, in a message of whatever length. Fuzzing sends short messages, and wants to meet the limit.
const FREE: usize = if cfg!(fuzzing) { 32 << 10 } else { 64 << 20 };
/// Bytes of memory for each byte of text: a decimal of 32 bytes has four letters, `0.5,`.
const PER_BYTE: usize = 8;
/// A cell of so many bytes is let pass without a look at the rest.
const SMALL: usize = FREE >> 10;
/// What a parsed schema takes for each byte of its text, at most: the shortest field, `{"type":""},`, is some 250 bytes.
const SCHEMA_PER_BYTE: usize = 24;

/// Longest schema that is parsed: within what is free.
pub(super) const SCHEMA_TEXT: usize = FREE / SCHEMA_PER_BYTE;

const OUT_OF_PROPORTION: &Refusal = &Refusal {
    code: RejectCode::TooLarge,
    reason: "a list or map is out of proportion to its text: over 64 MiB, and over eight bytes for each of the message's",
};

/// What may be kept of a message of so many bytes.
#[must_use]
pub fn memory_budget(bytes: usize) -> usize {
    FREE.saturating_add(bytes.saturating_mul(PER_BYTE))
}

/// A cell may have so many bytes, made of so many bytes of a text of so many. Its share of what is free is its share of
/// the text, so that all cells of a message together keep within the message's budget.
pub(super) fn check(cell: usize, text: usize, of: usize) -> Read<()> {
    if cell <= SMALL || cell <= text.saturating_mul(PER_BYTE) {
        return Ok(());
    }
    let share = text.saturating_mul(FREE) / of.max(1);
    if cell <= SMALL + text.saturating_mul(PER_BYTE).saturating_add(share) { Ok(()) } else { Err(OUT_OF_PROPORTION) }
}

/// How long the JSON may become that a value of a message of so many bytes is written as. An item of one byte can be a
/// record with a long list of names, so a small message could ask for any amount.
pub(super) fn json_of(bytes: usize) -> usize {
    let small = (FREE >> 10).saturating_add(bytes.saturating_mul(128));
    small.min(FREE.saturating_add(bytes.saturating_mul(4)))
}
