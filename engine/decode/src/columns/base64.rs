//! Base64 (RFC 4648 §4, as Kafka Connect's JSON converter writes bytes, and §5); and integers written that way:
//! big-endian two's complement, as Java's `BigInteger` gives them.

use ::base64::engine::DecodePaddingMode;
use ::base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use ::base64::{Engine, alphabet};
use arrow_buffer::i256;

use crate::reject::{Read, Refusal, RejectCode};

const NOT_BASE64: &Refusal = &Refusal { code: RejectCode::InvalidValue, reason: "expected base64" };
const EMPTY: &Refusal = &Refusal { code: RejectCode::InvalidValue, reason: "expected base64 of at least one byte" };
const TOO_LONG: &Refusal = &Refusal { code: RejectCode::OutOfRange, reason: "expected a number of at most 256 bits" };

/// Longest integer that is made digits, in bytes: 9,864 digits. The work grows with the square.
const LONGEST: usize = 4096;

/// Base64 for URLs and file names (RFC 4648 §5), with padding or without.
const URL: GeneralPurpose = GeneralPurpose::new(
    &alphabet::URL_SAFE,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Appends the bytes. No text means different bytes in the two alphabets.
pub(super) fn append(text: &[u8], out: &mut Vec<u8>) -> Read<()> {
    let start = out.len();
    if STANDARD.decode_vec(text, out).is_ok() {
        return Ok(());
    }
    out.truncate(start);
    if !text.iter().any(|byte| matches!(byte, b'-' | b'_')) {
        return Err(NOT_BASE64);
    }
    URL.decode_vec(text, out).map_err(|_| NOT_BASE64)
}

/// An integer of at most 128 bits, which most are: read without a buffer. Declines what is longer or malformed.
pub(super) fn small_integer(text: &[u8]) -> Option<i128> {
    let data = text.strip_suffix(b"==").or_else(|| text.strip_suffix(b"=")).unwrap_or(text);
    if !text.len().is_multiple_of(4) || data.is_empty() || data.len() > 20 {
        return None;
    }
    // Ten letters fill 60 bits: one register does for most amounts of money.
    let (first, others) = data.split_at(data.len().min(10));
    let mut bits = u128::from(sextets_of(first)?);
    if !others.is_empty() {
        bits = bits << (6 * others.len()) | u128::from(sextets_of(others)?);
    }
    let spare = data.len() * 6 % 8;
    if bits & ((1 << spare) - 1) != 0 {
        return None;
    }
    let unused = 128 - (data.len() * 6 - spare);
    Some((bits >> spare << unused).cast_signed() >> unused)
}

/// The same of the bytes themselves.
pub(super) fn small_of_bytes(bytes: &[u8]) -> Option<i128> {
    if bytes.is_empty() || bytes.len() > 15 {
        return None;
    }
    let bits = bytes.iter().fold(0_u128, |bits, byte| bits << 8 | u128::from(*byte));
    let unused = 128 - 8 * bytes.len();
    Some((bits << unused).cast_signed() >> unused)
}

/// The bits of at most ten letters.
fn sextets_of(letters: &[u8]) -> Option<u64> {
    let (mut bits, mut seen) = (0, 0);
    for letter in letters {
        let value = SEXTETS[usize::from(*letter)];
        seen |= value;
        bits = bits << 6 | u64::from(value & 63);
    }
    (seen < 64).then_some(bits)
}

/// An integer of at most 256 bits.
pub(super) fn wide_integer(text: &[u8]) -> Read<i256> {
    let mut bytes = Vec::new();
    append(text, &mut bytes)?;
    let sign = if *bytes.first().ok_or(EMPTY)? < 0x80 { 0x00 } else { 0xff };
    let mut wide = [sign; 32];
    let excess = bytes.len().saturating_sub(wide.len());
    let (above, low) = bytes.split_at(excess);
    let fits = above.iter().all(|byte| *byte == sign) && low.first().is_none_or(|byte| (byte ^ sign) < 0x80);
    if !fits {
        return Err(TOO_LONG);
    }
    let start = wide.len() - low.len();
    wide[start..].copy_from_slice(low);
    Ok(i256::from_be_bytes(wide))
}

/// The digits of an integer of any length up to [`LONGEST`].
pub(super) fn digits(text: &[u8]) -> Read<String> {
    let mut bytes = Vec::new();
    append(text, &mut bytes)?;
    let negative = *bytes.first().ok_or(EMPTY)? >= 0x80;
    if bytes.len() > LONGEST {
        return Err(TOO_LONG);
    }
    let mut carry = negative;
    if negative {
        // The magnitude in two's complement: every bit the other way, and one more.
        for byte in bytes.iter_mut().rev() {
            (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
        }
    }
    // Limbs of 18 digits, the lowest first; the bytes are taken in one by one.
    const LIMB: u128 = 1_000_000_000_000_000_000;
    let mut limbs: Vec<u64> = vec![0];
    for byte in bytes {
        let mut rest = u128::from(byte);
        for limb in &mut limbs {
            let value = u128::from(*limb) * 256 + rest;
            *limb = u64::try_from(value % LIMB).expect("a limb is below 2^60");
            rest = value / LIMB;
        }
        if rest > 0 {
            limbs.push(u64::try_from(rest).expect("what is carried is a byte"));
        }
    }
    let mut digits = String::from(if negative { "-" } else { "" });
    for (at, limb) in limbs.iter().rev().enumerate() {
        digits += &if at == 0 { limb.to_string() } else { format!("{limb:018}") };
    }
    Ok(digits)
}

/// An integer of at most 128 bits, or refused.
pub(super) fn integer(text: &[u8]) -> Read<i128> {
    match small_integer(text) {
        Some(number) => Ok(number),
        None => wide_integer(text)?.to_i128().ok_or(TOO_LONG),
    }
}

/// The value of each letter; 255 for what is none.
const SEXTETS: [u8; 256] = sextets();

const fn sextets() -> [u8; 256] {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut table = [255; 256];
    let mut value = 0_u8;
    while value < 64 {
        table[alphabet[value as usize] as usize] = value;
        value += 1;
    }
    table
}
