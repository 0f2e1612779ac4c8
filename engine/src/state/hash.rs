//! Hashes of keys, and where a hash belongs.
//!
//! The seed differs from state to state: keys come from strangers, who must not be able to choose keys that all fall on
//! one place. No answer depends on the order that hashes give.

use std::hash::{BuildHasher, RandomState};

use twox_hash::XxHash3_64;

use super::cells::Checked;

/// Parts that a table grows in, one at a time: growing stops nothing for long, and takes little memory at a time.
pub(super) const SHARDS: usize = 16;
/// Slots are full when four of five are taken; beyond, chains get long.
const FULL: (usize, usize) = (4, 5);
/// Keys whose place is fetched ahead: what memory can have under way at once, and some more.
pub(super) const AHEAD: usize = 16;

/// Hashes keys.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hasher {
    seed: u64,
}

impl Default for Hasher {
    fn default() -> Self {
        Self { seed: RandomState::new().hash_one(0_u64) }
    }
}

impl Hasher {
    /// One that gives the same hashes as another of this seed.
    pub(super) fn of_seed(seed: u64) -> Self {
        Self { seed }
    }

    pub(super) fn seed(self) -> u64 {
        self.seed
    }

    pub(super) fn key(self, key: &[u8]) -> Hash {
        match key.try_into() {
            Ok(bytes) => self.number(u64::from_le_bytes(bytes)),
            Err(_) => Hash(XxHash3_64::oneshot_with_seed(self.seed, key)),
        }
    }

    /// Of a key of 8 bytes: the two halves of a product with a constant, folded (as in wyhash, by Wang Yi).
    #[inline]
    pub(super) fn number(self, key: u64) -> Hash {
        let product =
            u128::from(key ^ self.seed) * u128::from(0xa076_1d64_78bd_642f_u64 ^ self.seed.rotate_left(32) | 1);
        let [low, high] = halves(product);
        let product = u128::from(low ^ high) * 0xe703_7ed1_a0b4_28db_u128;
        let [low, high] = halves(product);
        Hash(low ^ high)
    }

    pub(super) fn all(self, keys: Checked<'_>) -> Vec<Hash> {
        keys.iter().map(|key| self.key(key)).collect()
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the halves are what is wanted")]
fn halves(product: u128) -> [u64; 2] {
    [product as u64, (product >> 64) as u64]
}

/// A key's hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Hash(pub(super) u64);

impl Hash {
    /// Below [`SHARDS`].
    #[inline]
    pub(super) fn shard(self) -> usize {
        (self.0 >> 60) as usize
    }

    /// What a slot keeps of it, and what decides on the slot.
    #[inline]
    #[expect(clippy::cast_possible_truncation, reason = "the lower half is what is wanted")]
    pub(super) fn low(self) -> u32 {
        self.0 as u32
    }
}

/// The slot of a hash among so many: as the hashes are ordered, so are their slots, whatever the number. So moving to
/// more slots goes through both in order (Lemire, "Fast random integer generation in an interval").
#[inline]
pub(super) fn slot(low: u32, slots: usize) -> usize {
    ((u64::from(low) * slots as u64) >> 32) as usize
}

/// Whether so many entries are too many for the slots.
#[inline]
pub(super) fn is_full(entries: usize, slots: usize) -> bool {
    entries * FULL.1 >= slots * FULL.0
}

/// Slots of a shard for so many entries, with room for two fifths more: an entry is moved two to three times while a table grows.
/// For each shard somewhat more or less, or all of them would grow in one epoch, and memory by two fifths at once.
pub(super) fn slots_for(entries: usize, shard: usize) -> usize {
    let more = 65 + shard * 20 / SHARDS;
    entries + entries * more / 100 + 8
}

/// What slots hold, in an order that theirs almost is: they are ordered by their hashes, but for those that collided, and those
/// that had to go on from the end at the beginning. So each is moved by a few places, and nothing is sorted.
pub(super) fn in_order<T: Copy>(
    slots: &[T],
    taken: usize,
    low: impl Fn(&T) -> Option<u32>,
    before: impl Fn(&T, &T) -> bool,
) -> Vec<T> {
    let (mut items, mut from_the_end) = (Vec::with_capacity(taken), Vec::new());
    for (index, item) in slots.iter().enumerate() {
        match low(item) {
            Some(low) if slot(low, slots.len()) > index => from_the_end.push(*item),
            Some(_) => items.push(*item),
            None => {}
        }
    }
    items.append(&mut from_the_end);
    for index in 1..items.len() {
        let mut at = index;
        while at > 0 && before(&items[at], &items[at - 1]) {
            items.swap(at, at - 1);
            at -= 1;
        }
    }
    items
}

/// Asks the processor to fetch what is at an index, and goes on.
#[inline]
pub(super) fn prefetch<T>(slice: &[T], index: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let address = slice.as_ptr().wrapping_add(index);
        // SAFETY: a prefetch reads nothing; it is allowed at any address.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(address.cast()) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (slice, index);
}
