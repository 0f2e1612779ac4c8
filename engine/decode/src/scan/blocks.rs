//! The two inner loops of the scanner, 64 and 16 bytes a step: the only file of the decoder with `unsafe`.
//!
//! Measured on order envelopes: skipping byte by byte costs more than all the rest of the decoding. The technique is
//! that of "Parsing Gigabytes of JSON per Second" (Langdale and Lemire, 2019): bytes become bit masks, quoted parts
//! are the prefix xor of the quotes that are not escaped, and brackets count only outside of them.
//!
//! The scalar versions are the definition; those with SSE2 (which every x86-64 has) must agree with them on all
//! input, well-formed or not, and tests compare them.

/// Bytes of a block.
const BLOCK: usize = 64;
/// Bytes of a step within a string.
const STEP: usize = 16;

/// One bit for each byte of a block, the first byte the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Masks {
    quotes: u64,
    backslashes: u64,
    opens: u64,
    closes: u64,
}

/// Where the value ends whose opening bracket is at `start`: the index behind its closing bracket. With `depth` 1,
/// `start` is inside of it already.
pub(super) fn container_end(bytes: &[u8], start: usize, depth: usize) -> Option<usize> {
    container_end_with(fast_masks, bytes, start, depth)
}

/// The index of the first byte from `start` on that ends a plain run of a string: a quote, a backslash or a control
/// character; or the length of the bytes.
pub(super) fn plain_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start;
    while let Some(step) = bytes.get(at..).and_then(|rest| rest.first_chunk::<STEP>()) {
        let stops = fast_stops(step);
        if stops != 0 {
            return at + stops.trailing_zeros() as usize;
        }
        at += STEP;
    }
    at + bytes.get(at..).unwrap_or_default().iter().take_while(|byte| !stops_plain(**byte)).count()
}

fn stops_plain(byte: u8) -> bool {
    byte == b'"' || byte == b'\\' || byte < 0x20
}

fn container_end_with(
    masks: impl Fn(&[u8; BLOCK]) -> Masks,
    bytes: &[u8],
    start: usize,
    mut depth: usize,
) -> Option<usize> {
    let mut at = start;
    let mut quoted = 0_u64; // all ones while a string is open across the border of two blocks
    let mut escaped = 0_u64; // 1 if the block's first byte follows an odd run of backslashes
    loop {
        let rest = bytes.get(at..).filter(|rest| !rest.is_empty())?;
        let mut padded = [b' '; BLOCK];
        let block = rest.first_chunk::<BLOCK>().unwrap_or_else(|| {
            padded[..rest.len()].copy_from_slice(rest);
            &padded
        });
        let masks = masks(block);
        let quotes = masks.quotes & !escaped_bytes(masks.backslashes, &mut escaped);
        let inside = prefix_xor(quotes) ^ quoted;
        quoted = 0_u64.wrapping_sub(inside >> 63);
        let opens = masks.opens & !inside;
        let mut closes = masks.closes & !inside;
        if (closes.count_ones() as usize) < depth {
            depth = depth + opens.count_ones() as usize - closes.count_ones() as usize;
        } else {
            let mut closed = 0;
            while closes != 0 {
                let bit = closes.trailing_zeros();
                let opened = (opens & ((1_u64 << bit) - 1)).count_ones() as usize;
                closed += 1;
                if depth + opened == closed {
                    return Some(at + bit as usize + 1);
                }
                closes &= closes - 1;
            }
            depth = depth + opens.count_ones() as usize - closed;
        }
        at += BLOCK;
    }
}

/// The bytes that follow an odd run of backslashes. `carry` is 1 if the block before ended in one.
fn escaped_bytes(backslashes: u64, carry: &mut u64) -> u64 {
    const EVEN: u64 = 0x5555_5555_5555_5555;
    if backslashes == 0 {
        return std::mem::take(carry);
    }
    let backslashes = backslashes & !*carry;
    let follows = backslashes << 1 | *carry;
    let odd_starts = backslashes & !EVEN & !follows;
    let (runs, overflow) = odd_starts.overflowing_add(backslashes);
    *carry = u64::from(overflow);
    (EVEN ^ (runs << 1)) & follows
}

/// Bit n of the result is the xor of bits 0 to n: within quotes, ones.
fn prefix_xor(mut bits: u64) -> u64 {
    bits ^= bits << 1;
    bits ^= bits << 2;
    bits ^= bits << 4;
    bits ^= bits << 8;
    bits ^= bits << 16;
    bits ^ bits << 32
}

#[cfg(any(test, not(target_arch = "x86_64")))]
mod scalar {
    use super::{BLOCK, Masks, STEP, stops_plain};

    pub(super) fn masks(block: &[u8; BLOCK]) -> Masks {
        let mask =
            |wanted: fn(u8) -> bool| block.iter().rev().fold(0_u64, |bits, byte| bits << 1 | u64::from(wanted(*byte)));
        Masks {
            quotes: mask(|byte| byte == b'"'),
            backslashes: mask(|byte| byte == b'\\'),
            opens: mask(|byte| byte == b'{' || byte == b'['),
            closes: mask(|byte| byte == b'}' || byte == b']'),
        }
    }

    pub(super) fn stops(step: &[u8; STEP]) -> u32 {
        step.iter().rev().fold(0_u32, |bits, byte| bits << 1 | u32::from(stops_plain(*byte)))
    }
}

#[cfg(target_arch = "x86_64")]
mod sse2 {
    use std::arch::x86_64::{
        __m128i, _mm_cmpeq_epi8, _mm_loadu_si128, _mm_min_epu8, _mm_movemask_epi8, _mm_or_si128, _mm_set1_epi8,
    };

    use super::{BLOCK, Masks, STEP};

    pub(super) fn masks(block: &[u8; BLOCK]) -> Masks {
        let mut masks = Masks { quotes: 0, backslashes: 0, opens: 0, closes: 0 };
        let (steps, _) = block.as_chunks::<STEP>();
        for (index, step) in steps.iter().enumerate() {
            let bytes = load(step);
            // `[` and `]` differ from `{` and `}` in bit 5 alone, and no other byte becomes one of these by setting it.
            let folded = or(bytes, splat(0x20));
            let place = |bits: u32| u64::from(bits) << (index * STEP);
            masks.quotes |= place(equal(bytes, b'"'));
            masks.backslashes |= place(equal(bytes, b'\\'));
            masks.opens |= place(equal(folded, b'{'));
            masks.closes |= place(equal(folded, b'}'));
        }
        masks
    }

    pub(super) fn stops(step: &[u8; STEP]) -> u32 {
        let bytes = load(step);
        // SAFETY: SSE2 is part of x86-64; these work on values alone.
        unsafe {
            let quote = _mm_cmpeq_epi8(bytes, splat(b'"'));
            let backslash = _mm_cmpeq_epi8(bytes, splat(b'\\'));
            let control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, splat(0x1f)), bytes);
            bits(_mm_or_si128(_mm_or_si128(quote, backslash), control))
        }
    }

    fn load(step: &[u8; STEP]) -> __m128i {
        // SAFETY: the reference is to 16 readable bytes, and the load is an unaligned one.
        unsafe { _mm_loadu_si128(step.as_ptr().cast()) }
    }

    fn splat(byte: u8) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_set1_epi8(byte.cast_signed()) }
    }

    fn or(left: __m128i, right: __m128i) -> __m128i {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_or_si128(left, right) }
    }

    fn equal(bytes: __m128i, byte: u8) -> u32 {
        // SAFETY: SSE2 is part of x86-64.
        bits(unsafe { _mm_cmpeq_epi8(bytes, splat(byte)) })
    }

    fn bits(lanes: __m128i) -> u32 {
        // SAFETY: SSE2 is part of x86-64.
        unsafe { _mm_movemask_epi8(lanes) }.cast_unsigned()
    }
}

#[cfg(not(target_arch = "x86_64"))]
use scalar::{masks as fast_masks, stops as fast_stops};
#[cfg(target_arch = "x86_64")]
use sse2::{masks as fast_masks, stops as fast_stops};

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::random;

    /// The definition, byte by byte: quotes that are not escaped toggle, brackets count outside of them.
    fn by_bytes(bytes: &[u8], start: usize, mut depth: usize) -> Option<usize> {
        let (mut quoted, mut escaped) = (false, false);
        for (index, byte) in bytes.iter().enumerate().skip(start) {
            match byte {
                b'"' if !escaped => quoted = !quoted,
                b'{' | b'[' if !quoted => depth += 1,
                b'}' | b']' if !quoted => {
                    depth = depth.checked_sub(1)?;
                    if depth == 0 {
                        return Some(index + 1);
                    }
                }
                _ => {}
            }
            escaped = *byte == b'\\' && !escaped;
        }
        None
    }

    fn noise() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![
            Just(b'"'),
            Just(b'\\'),
            Just(b'{'),
            Just(b'}'),
            Just(b'['),
            Just(b']'),
            Just(b'a'),
            Just(b'\n'),
            any::<u8>()
        ];
        prop::collection::vec(byte, 0..400).prop_map(|mut bytes| {
            bytes.insert(0, b'{');
            bytes
        })
    }

    proptest! {
        #![proptest_config(random(3000))]

        #[test]
        fn the_fast_loops_agree_with_their_definition(bytes in noise(), depth in 0_usize..3) {
            let expected = by_bytes(&bytes, 0, depth);
            prop_assert_eq!(container_end(&bytes, 0, depth), expected);
            prop_assert_eq!(container_end_with(scalar::masks, &bytes, 0, depth), expected);
            let plain = bytes.iter().take_while(|byte| !stops_plain(**byte)).count();
            prop_assert_eq!(plain_end(&bytes, 0), plain);
        }

        #[test]
        fn blocks_agree_bit_by_bit(bytes in prop::collection::vec(any::<u8>(), BLOCK)) {
            let block: &[u8; BLOCK] = bytes.as_slice().try_into().unwrap();
            prop_assert_eq!(fast_masks(block), scalar::masks(block));
            let step = block.first_chunk::<STEP>().unwrap();
            prop_assert_eq!(fast_stops(step), scalar::stops(step));
        }
    }

    #[test]
    fn every_byte_is_seen_alike() {
        for byte in 0..=u8::MAX {
            assert_eq!(fast_masks(&[byte; BLOCK]), scalar::masks(&[byte; BLOCK]), "byte {byte:#x}");
            assert_eq!(fast_stops(&[byte; STEP]), scalar::stops(&[byte; STEP]), "byte {byte:#x}");
        }
    }
}
