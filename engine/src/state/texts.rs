//! Keys and values of any length: slots of 8 bytes, which say where an entry lies in one piece of memory for each shard.
//!
//! Open addressing with linear probing. A slot has enough of the hash to move to more slots without looking at the entry,
//! and to look at no wrong one but once in four billion. An entry is its expiry (8 bytes), the lengths of key and value
//! (4 each), key, value, and as much as is missing to a multiple of 8.

use std::collections::BTreeMap;

use super::hash::{Hash, SHARDS, in_order, is_full, prefetch, slot, slots_for};
use super::{huge, live};

/// Bytes before the key.
const HEADER: usize = 16;
/// Entries begin at multiples of this, so that 32 bits reach over 32 GiB.
const UNIT: usize = 8;
/// Memory without entries that is not worth a move: 4 KiB.
const SLACK_UNITS: usize = 512;

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    hash: u32,
    /// In units. 0: no entry.
    at: u32,
}

/// Entries by key.
#[derive(Debug)]
pub(super) struct Texts {
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
    /// The entries; the first unit is nobody's.
    bytes: Vec<u8>,
    /// Places of entries that are gone, by their units.
    free: BTreeMap<usize, Vec<u32>>,
    free_units: usize,
    /// No entry expires before this.
    earliest: i64,
}

/// An entry as it lies there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Entry<'a> {
    pub(super) key: &'a [u8],
    pub(super) value: &'a [u8],
    pub(super) expiry: i64,
}

impl Texts {
    pub(super) fn new() -> Self {
        Self { shards: (0..SHARDS).map(Shard::new).collect(), len: 0, tight: false }
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Makes room for so many, where there are none yet.
    pub(super) fn reserve(&mut self, entries: usize) {
        for shard in self.shards.iter_mut().filter(|shard| shard.len == 0) {
            shard.take_slots(slots_for(entries / SHARDS, shard.number));
        }
    }

    /// Bytes of memory that it takes.
    pub(super) fn memory(&self) -> usize {
        let of = |shard: &Shard| shard.slots.capacity() * size_of::<Slot>() + shard.bytes.len() + shard.free_units / 2;
        self.shards.iter().map(of).sum()
    }

    /// Fetches the slot of a hash.
    #[inline]
    pub(super) fn prefetch_slot(&self, hash: Hash) {
        let slots = &self.shards[hash.shard()].slots;
        prefetch(slots, slot(hash.low(), slots.len()));
    }

    /// Fetches the entry of a hash, whose slot was fetched before.
    #[inline]
    pub(super) fn prefetch_entry(&self, hash: Hash) {
        let shard = &self.shards[hash.shard()];
        let start = slot(hash.low(), shard.slots.len());
        // Most are in the first slots; a chain that is longer is not followed for a guess.
        let near = shard.slots.iter().skip(start).take(4).find(|slot| slot.hash == hash.low());
        if let Some(slot) = near {
            prefetch(&shard.bytes, slot.at as usize * UNIT);
        }
    }

    #[inline]
    pub(super) fn get(&self, hash: Hash, key: &[u8]) -> Option<Entry<'_>> {
        let shard = &self.shards[hash.shard()];
        let at = shard.find(hash, |entry| entry.key == key).ok()?;
        Some(shard.entry(shard.slots.get(at)?.at))
    }

    /// All entries of this hash: mostly one.
    pub(super) fn of_hash(&self, hash: Hash) -> impl Iterator<Item = Entry<'_>> {
        let shard = &self.shards[hash.shard()];
        let start = slot(hash.low(), shard.slots.len());
        let chain = shard.slots.iter().cycle().skip(start).take(shard.slots.len()).take_while(|slot| slot.at != 0);
        chain.filter(move |slot| slot.hash == hash.low()).map(|slot| shard.entry(slot.at))
    }

    pub(super) fn put(&mut self, hash: Hash, entry: Entry<'_>, watermark_ms: Option<i64>, gone: impl FnMut(Entry<'_>)) {
        let shard = &mut self.shards[hash.shard()];
        let (before, slots) = (shard.len, shard.slots.len());
        shard.put(hash, entry, watermark_ms, gone);
        self.len = self.len + shard.len - before;
        if self.tight && shard.slots.len() != slots {
            huge::give_back(slots * size_of::<Slot>());
        }
    }

    /// Whether the key was there.
    pub(super) fn remove(&mut self, hash: Hash, key: &[u8]) -> bool {
        let shard = &mut self.shards[hash.shard()];
        let Ok(at) = shard.find(hash, |entry| entry.key == key) else { return false };
        let units = shard.entry(shard.slots[at].at).units();
        shard.give_back(shard.slots[at].at, units);
        shard.close(at);
        shard.len -= 1;
        shard.tidy();
        self.len -= 1;
        true
    }

    /// Gives back the memory of expired entries.
    pub(super) fn clean(&mut self, watermark_ms: i64, mut gone: impl FnMut(Entry<'_>)) {
        for shard in &mut self.shards {
            if shard.earliest <= watermark_ms {
                let before = shard.len;
                shard.rebuild(Some(watermark_ms), &mut gone);
                self.len = self.len + shard.len - before;
            }
        }
    }

    /// Bytes of a shard, as they lie there.
    pub(super) fn shard_bytes(&self, shard: usize) -> usize {
        let shard = &self.shards[shard];
        shard.bytes.len() - shard.free_units * UNIT + shard.slots.len() * size_of::<Slot>()
    }

    /// The entries of a shard.
    pub(super) fn of_shard(&self, shard: usize) -> impl Iterator<Item = Entry<'_>> {
        let shard = &self.shards[shard];
        shard.iter().map(|slot| shard.entry(slot.at))
    }

    /// The same in the order of (hash, key).
    pub(super) fn in_order(&self, shard: usize) -> InOrder<'_> {
        let shard = &self.shards[shard];
        let key = |slot: &Slot| shard.entry(slot.at).key;
        let before =
            |one: &Slot, other: &Slot| one.hash < other.hash || one.hash == other.hash && key(one) < key(other);
        let slots = in_order(&shard.slots, shard.len, |slot| (slot.at != 0).then_some(slot.hash), before);
        InOrder { shard, slots: slots.into_iter() }
    }

    pub(super) fn clear_shard(&mut self, shard: usize) {
        let before = std::mem::replace(&mut self.shards[shard], Shard::new(shard));
        self.len -= before.len;
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        let of = |shard| Shard::iter(shard).map(|slot| shard.entry(slot.at));
        self.shards.iter().flat_map(of)
    }
}

/// The entries of a shard, one after the other.
pub(super) struct InOrder<'a> {
    shard: &'a Shard,
    slots: std::vec::IntoIter<Slot>,
}

impl InOrder<'_> {
    pub(super) fn len(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn head(&self) -> Option<Entry<'_>> {
        self.slots.as_slice().first().map(|slot| self.shard.entry(slot.at))
    }

    pub(super) fn advance(&mut self) {
        self.slots.next();
    }
}

impl Shard {
    fn new(number: usize) -> Self {
        let (slots, bytes, free) = (Vec::new(), vec![0; UNIT], BTreeMap::new());
        Self { number, slots, len: 0, bytes, free, free_units: 0, earliest: i64::MAX }
    }

    fn iter(&self) -> impl Iterator<Item = Slot> {
        self.slots.iter().copied().filter(|slot| slot.at != 0)
    }

    #[inline]
    fn entry(&self, at: u32) -> Entry<'_> {
        let entry = self.bytes.get(at as usize * UNIT..).and_then(read);
        entry.expect("a slot says where an entry lies")
    }

    /// Where an entry of this hash is, or the empty slot that it would take: there is always one, but of no slots at all.
    #[inline]
    fn find(&self, hash: Hash, is: impl Fn(Entry<'_>) -> bool) -> Result<usize, usize> {
        let mut at = slot(hash.low(), self.slots.len());
        while let Some(slot) = self.slots.get(at) {
            if slot.at == 0 {
                return Err(at);
            }
            if slot.hash == hash.low() && is(self.entry(slot.at)) {
                return Ok(at);
            }
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        Err(at)
    }

    /// The empty slot that a key would take which is not there.
    fn vacant(&self, low: u32) -> usize {
        let mut at = slot(low, self.slots.len());
        while self.slots.get(at).is_some_and(|slot| slot.at != 0) {
            at = if at + 1 == self.slots.len() { 0 } else { at + 1 };
        }
        at
    }

    fn put(&mut self, hash: Hash, entry: Entry<'_>, watermark_ms: Option<i64>, gone: impl FnMut(Entry<'_>)) {
        self.earliest = self.earliest.min(entry.expiry);
        if let Ok(at) = self.find(hash, |there| there.key == entry.key) {
            let old = self.slots[at].at;
            let units = self.entry(old).units();
            if units == entry.units() {
                return self.write(old, entry);
            }
            self.give_back(old, units);
            self.slots[at].at = self.place(entry);
            return self.tidy();
        }
        if is_full(self.len + 1, self.slots.len()) {
            self.rebuild(watermark_ms, gone);
        }
        let at = self.vacant(hash.low());
        self.slots[at] = Slot { hash: hash.low(), at: self.place(entry) };
        self.len += 1;
    }

    /// Finds room for an entry and writes it there.
    fn place(&mut self, entry: Entry<'_>) -> u32 {
        let units = entry.units();
        let again = self.free.get_mut(&units).and_then(Vec::pop);
        let at = again.unwrap_or_else(|| {
            let end = self.bytes.len() / UNIT;
            self.reserve_bytes(units * UNIT);
            self.bytes.resize((end + units) * UNIT, 0);
            u32::try_from(end).expect("a shard is far below 32 GiB: the quota is")
        });
        if again.is_some() {
            self.free_units -= units;
        }
        self.write(at, entry);
        at
    }

    /// Room for more entries grows by half.
    fn reserve_bytes(&mut self, bytes: usize) {
        if self.bytes.capacity() - self.bytes.len() < bytes {
            self.bytes.reserve_exact(bytes.max(self.bytes.len() / 2));
            huge::ask(self.bytes.spare_capacity_mut());
        }
    }

    /// Leaves so many empty slots.
    fn take_slots(&mut self, count: usize) -> Vec<Slot> {
        let mut slots = Vec::with_capacity(count);
        huge::ask(slots.spare_capacity_mut());
        slots.resize(count, Slot::default());
        std::mem::replace(&mut self.slots, slots)
    }

    fn write(&mut self, at: u32, entry: Entry<'_>) {
        let start = at as usize * UNIT;
        let place = self.bytes.get_mut(start..start + entry.units() * UNIT).expect("it was made for the entry");
        let (header, rest) = place.split_at_mut(HEADER);
        header[..8].copy_from_slice(&entry.expiry.to_le_bytes());
        header[8..12].copy_from_slice(&length(entry.key).to_le_bytes());
        header[12..].copy_from_slice(&length(entry.value).to_le_bytes());
        let (key, value) = rest.split_at_mut(entry.key.len());
        key.copy_from_slice(entry.key);
        value[..entry.value.len()].copy_from_slice(entry.value);
    }

    /// A place is free for the next entry of its size.
    fn give_back(&mut self, at: u32, units: usize) {
        self.free.entry(units).or_default().push(at);
        self.free_units += units;
    }

    /// Moves the slots of all that has not expired to as many as they need.
    fn rebuild(&mut self, watermark_ms: Option<i64>, mut gone: impl FnMut(Entry<'_>)) {
        let some_expired = watermark_ms.is_some_and(|watermark| self.earliest <= watermark);
        let mut old = std::mem::take(&mut self.slots);
        old.retain(|slot| slot.at != 0);
        if some_expired {
            self.drop_expired(&mut old, watermark_ms, &mut gone);
        }
        self.len = old.len();
        self.take_slots(slots_for(old.len(), self.number));
        for moved in &old {
            let at = self.vacant(moved.hash);
            self.slots[at] = *moved;
        }
        self.tidy();
    }

    fn drop_expired(&mut self, slots: &mut Vec<Slot>, watermark_ms: Option<i64>, gone: &mut impl FnMut(Entry<'_>)) {
        self.earliest = i64::MAX;
        let mut places = Vec::new();
        for index in 0..slots.len() {
            if let Some(ahead) = slots.get(index + super::hash::AHEAD) {
                prefetch(&self.bytes, ahead.at as usize * UNIT);
            }
            let entry = self.entry(slots[index].at);
            if live(entry.expiry, watermark_ms) {
                self.earliest = self.earliest.min(entry.expiry);
            } else {
                gone(entry);
                places.push((slots[index].at, entry.units()));
                slots[index].at = 0;
            }
        }
        slots.retain(|slot| slot.at != 0);
        places.into_iter().for_each(|(at, units)| self.give_back(at, units));
    }

    /// Moves the entries together where half of their memory is free, so that each is moved once for each that goes.
    fn tidy(&mut self) {
        if self.free_units <= SLACK_UNITS || self.free_units * 2 * UNIT <= self.bytes.len() {
            return;
        }
        let mut bytes = Vec::with_capacity(self.bytes.len() - self.free_units * UNIT);
        huge::ask(bytes.spare_capacity_mut());
        bytes.resize(UNIT, 0);
        for slot in self.slots.iter_mut().filter(|slot| slot.at != 0) {
            let start = slot.at as usize * UNIT;
            let entry = self.bytes.get(start..).and_then(read).expect("a slot says where an entry lies");
            let end = start + entry.units() * UNIT;
            slot.at = u32::try_from(bytes.len() / UNIT).expect("less than before");
            bytes.extend_from_slice(self.bytes.get(start..end).expect("as long as it says"));
        }
        (self.bytes, self.free_units) = (bytes, 0);
        self.free.clear();
    }

    /// Empties a slot, and moves those behind it up that would not be found any more (Knuth, volume 3, 6.4, algorithm R).
    fn close(&mut self, mut hole: usize) {
        let count = self.slots.len();
        let mut at = hole;
        loop {
            at = if at + 1 == count { 0 } else { at + 1 };
            let behind = self.slots[at];
            if behind.at == 0 {
                break;
            }
            let home = slot(behind.hash, count);
            // The distance from its home to the hole, around the end.
            let (from_home, from_hole) = ((at + count - home) % count, (at + count - hole) % count);
            if from_home >= from_hole {
                self.slots[hole] = behind;
                hole = at;
            }
        }
        self.slots[hole] = Slot::default();
    }
}

impl Entry<'_> {
    fn units(&self) -> usize {
        self.bytes().div_ceil(UNIT)
    }

    /// Its bytes, without what rounds them up.
    pub(super) fn bytes(&self) -> usize {
        HEADER + self.key.len() + self.value.len()
    }

    /// Appends it as it lies in memory.
    pub(super) fn write(&self, bytes: &mut Vec<u8>) {
        bytes.extend_from_slice(&self.expiry.to_le_bytes());
        bytes.extend_from_slice(&length(self.key).to_le_bytes());
        bytes.extend_from_slice(&length(self.value).to_le_bytes());
        bytes.extend_from_slice(self.key);
        bytes.extend_from_slice(self.value);
    }
}

/// The entry at the beginning of these bytes.
#[inline]
pub(super) fn read(bytes: &[u8]) -> Option<Entry<'_>> {
    let (expiry, rest) = bytes.split_first_chunk()?;
    let (key_length, rest) = rest.split_first_chunk()?;
    let (value_length, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key_length) as usize)?;
    let value = rest.get(..u32::from_le_bytes(*value_length) as usize)?;
    Some(Entry { key, value, expiry: i64::from_le_bytes(*expiry) })
}

fn length(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("it lay in a guest's memory of 32 bits")
}
