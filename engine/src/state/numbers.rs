//! Keys of 8 bytes without a value, which is what most deduplication keeps: 16 bytes a slot, 20 to 25 bytes a key.
//!
//! Open addressing with linear probing, the keys in the slots themselves: one fetch from memory finds a key.

use super::hash::{Hash, Hasher, SHARDS, in_order, is_full, prefetch, slot, slots_for};
use super::{huge, live};

/// Marks a slot without a key: an expiry that no entry has.
const EMPTY: i64 = i64::MIN;

#[derive(Clone, Copy, Debug)]
struct Slot {
    key: u64,
    expiry: i64,
}

/// Keys and their expiries.
#[derive(Debug)]
pub(super) struct Numbers {
    shards: Vec<Shard>,
    len: usize,
    /// What a shard frees when it grows goes back to the system.
    pub(super) tight: bool,
}

#[derive(Clone, Debug)]
struct Shard {
    number: usize,
    slots: Vec<Slot>,
    len: usize,
    /// No entry expires before this.
    earliest: i64,
}

impl Numbers {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(Shard::new).collect(), len: 0, tight: false }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for so many, where there are none yet.
    pub(super) fn reserve(&mut self, keys: usize) {
        for shard in self.shards.iter_mut().filter(|shard| shard.len == 0) {
            shard.take_slots(slots_for(keys / SHARDS, shard.number));
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        self.shards.iter().map(|shard| shard.slots.capacity() * size_of::<Slot>()).sum()
    }

    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        let slots = &self.shards[hash.shard()].slots;
        prefetch(slots, slot(hash.low(), slots.len()));
    }

    /// The expiry of a key.
    #[inline]
    pub(super) fn get(&self, hash: Hash, key: u64) -> Option<i64> {
        let slots = &self.shards[hash.shard()].slots;
        let at = find(slots, hash, key).ok()?;
        slots.get(at).map(|slot| slot.expiry)
    }

    /// Whether the key is new.
    pub(super) fn put(&mut self, hasher: Hasher, hash: Hash, key: u64, expiry: i64, watermark_ms: Option<i64>) -> bool {
        let shard = &mut self.shards[hash.shard()];
        let mut found = find(&shard.slots, hash, key);
        if found.is_err() && is_full(shard.len + 1, shard.slots.len()) {
            let bytes = size_of_val(&shard.slots[..]);
            self.len -= shard.rebuild(hasher, watermark_ms);
            if self.tight {
                huge::give_back(bytes);
            }
            found = find(&shard.slots, hash, key);
        }
        shard.earliest = shard.earliest.min(expiry);
        let (Ok(at) | Err(at)) = found;
        shard.slots[at] = Slot { key, expiry };
        shard.len += usize::from(found.is_err());
        self.len += usize::from(found.is_err());
        found.is_err()
    }

    /// Whether the key was there.
    pub(super) fn remove(&mut self, hasher: Hasher, hash: Hash, key: u64) -> bool {
        let shard = &mut self.shards[hash.shard()];
        let Ok(at) = find(&shard.slots, hash, key) else { return false };
        shard.close(at, |slot| hasher.number(slot.key));
        shard.len -= 1;
        self.len -= 1;
        true
    }

    /// Gives back the memory of expired keys.
    pub(super) fn clean(&mut self, hasher: Hasher, watermark_ms: i64) {
        for shard in &mut self.shards {
            if shard.earliest <= watermark_ms {
                self.len -= shard.rebuild(hasher, Some(watermark_ms));
            }
        }
    }

    pub(super) fn shard_bytes(&self, shard: usize) -> usize {
        self.shards[shard].slots.len() * size_of::<Slot>()
    }

    /// Keys of a shard and their expiries, in the order of (hash, key).
    pub(super) fn in_order(&self, hasher: Hasher, shard: usize) -> Vec<([u8; 8], i64)> {
        let shard = &self.shards[shard];
        let place = |slot: &Slot| (hasher.number(slot.key).low(), slot.key.to_le_bytes());
        let low = |slot: &Slot| (slot.expiry != EMPTY).then(|| place(slot).0);
        let slots = in_order(&shard.slots, shard.len, low, |one, other| place(one) < place(other));
        slots.into_iter().map(|slot| (slot.key.to_le_bytes(), slot.expiry)).collect()
    }

    pub(super) fn clear_shard(&mut self, shard: usize) {
        let before = std::mem::replace(&mut self.shards[shard], Shard::new(shard));
        self.len -= before.len;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, i64)> {
        let slots = self.shards.iter().flat_map(|shard| &shard.slots);
        slots.filter(|slot| slot.expiry != EMPTY).map(|slot| (slot.key, slot.expiry))
    }
}

/// Where a key is, or the empty slot that it would take: there is always one, but of no slots at all.
#[inline]
fn find(slots: &[Slot], hash: Hash, key: u64) -> Result<usize, usize> {
    let mut at = slot(hash.low(), slots.len());
    while let Some(slot) = slots.get(at) {
        if slot.key == key && slot.expiry != EMPTY {
            return Ok(at);
        }
        if slot.expiry == EMPTY {
            return Err(at);
        }
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
    Err(at)
}

/// The empty slot that a key would take which is not there.
#[inline]
fn vacant(slots: &[Slot], hash: Hash) -> usize {
    let mut at = slot(hash.low(), slots.len());
    while slots.get(at).is_some_and(|slot| slot.expiry != EMPTY) {
        at = if at + 1 == slots.len() { 0 } else { at + 1 };
    }
    at
}

impl Shard {
    fn new(number: usize) -> Self {
        Self { number, slots: Vec::new(), len: 0, earliest: i64::MAX }
    }

    /// Moves all that has not expired to as many slots as it needs. Gives back how many have.
    fn rebuild(&mut self, hasher: Hasher, watermark_ms: Option<i64>) -> usize {
        let expired = |slot: &Slot| slot.expiry == EMPTY || !live(slot.expiry, watermark_ms);
        let stay = match watermark_ms {
            Some(watermark) if self.earliest <= watermark => self.slots.iter().filter(|slot| !expired(slot)).count(),
            Some(_) | None => self.len,
        };
        let gone = self.len - stay;
        let old = self.take_slots(slots_for(stay, self.number));
        self.earliest = i64::MAX;
        self.len = stay;
        for moved in old.iter().filter(|slot| !expired(slot)) {
            let at = vacant(&self.slots, hasher.number(moved.key));
            self.slots[at] = *moved;
            self.earliest = self.earliest.min(moved.expiry);
        }
        gone
    }

    /// Leaves so many empty slots.
    fn take_slots(&mut self, count: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(count);
        huge::ask(slots.spare_capacity_mut());
        slots.resize(count, Slot { key: 0, expiry: EMPTY });
        std::mem::replace(&mut self.slots, slots)
    }

    /// Empties a slot, and moves those behind it up that would not be found any more (Knuth, volume 3, 6.4, algorithm R).
    fn close(&mut self, mut hole: usize, hash: impl Fn(&Slot) -> Hash) {
        let count = self.slots.len();
        let mut at = hole;
        loop {
            at = if at + 1 == count { 0 } else { at + 1 };
            let behind = self.slots[at];
            if behind.expiry == EMPTY {
                break;
            }
            let home = slot(hash(&behind).low(), count);
            // The distance from its home to the hole, around the end.
            let (from_home, from_hole) = ((at + count - home) % count, (at + count - hole) % count);
            if from_home >= from_hole {
                self.slots[hole] = behind;
                hole = at;
            }
        }
        self.slots[hole].expiry = EMPTY;
    }
}
