//! Which keys a run surely does not have, so that a new key is not looked for on the disk.
//!
//! A Bloom filter split into blocks of 32 bytes: a key is eight bits of one block, which is one fetch from memory (Putze,
//! Sanders, Singler, "Cache-, Hash- and Space-Efficient Bloom Filters"; the layout and the constants are Parquet's). At 12
//! bits a key one new key in some 250 is looked for in vain.

use super::hash::{Hash, prefetch};

/// Bytes of the filter for each key.
const BITS_PER_KEY: usize = 12;
/// Multipliers that choose a bit in each word of a block.
const SALT: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

type Block = [u32; 8];
/// Bytes of a block.
pub(super) const BLOCK_BYTES: usize = 32;

/// A set of hashes that may seem to have more than it has.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<Block>,
}

impl Filter {
    /// Room for so many.
    pub(super) fn for_keys(count: usize) -> Self {
        Self { blocks: vec![[0; 8]; (count * BITS_PER_KEY).div_ceil(256).max(1)] }
    }

    pub(super) fn insert(&mut self, hash: Hash) {
        let at = self.block(hash);
        for (word, bit) in self.blocks[at].iter_mut().zip(bits(hash)) {
            *word |= bit;
        }
    }

    #[inline]
    pub(super) fn may_have(&self, hash: Hash) -> bool {
        let words = &self.blocks[self.block(hash)];
        words.iter().zip(bits(hash)).all(|(word, bit)| word & bit != 0)
    }

    /// Fetches what [`Self::may_have`] will look at.
    #[inline]
    pub(super) fn prefetch(&self, hash: Hash) {
        prefetch(&self.blocks, self.block(hash));
    }

    /// The block of a hash, by the bits above those that say which shard and below those that choose the bits.
    #[inline]
    fn block(&self, hash: Hash) -> usize {
        (((hash.0 << 4 >> 32) * self.blocks.len() as u64) >> 32) as usize
    }

    /// As a file has it.
    pub(super) fn blocks(&self) -> impl ExactSizeIterator<Item = [u8; BLOCK_BYTES]> {
        self.blocks.iter().map(|words| {
            let mut bytes = [0; BLOCK_BYTES];
            bytes.as_chunks_mut::<4>().0.iter_mut().zip(words).for_each(|(to, word)| *to = word.to_le_bytes());
            bytes
        })
    }

    /// None: these are no blocks.
    pub(super) fn of(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks::<4>();
        let (blocks, words) = words.as_chunks::<8>();
        let blocks: Vec<Block> = blocks.iter().map(|block| block.map(u32::from_le_bytes)).collect();
        (rest.is_empty() && words.is_empty() && !blocks.is_empty()).then_some(Self { blocks })
    }
}

#[inline]
fn bits(hash: Hash) -> Block {
    SALT.map(|salt| 1 << (hash.low().wrapping_mul(salt) >> 27))
}

#[cfg(test)]
mod tests {
    use super::super::hash::Hasher;
    use super::*;

    #[test]
    fn what_was_inserted_is_there_and_little_else_seems_so() {
        let (hasher, mut filter) = (Hasher::default(), Filter::for_keys(10_000));
        let of_shard = |key: u64| hasher.number(key);
        let keys: Vec<_> = (0..).map(of_shard).filter(|hash| hash.shard() == 3).take(20_000).collect();
        let (there, others) = keys.split_at(10_000);
        there.iter().for_each(|hash| filter.insert(*hash));
        let again = Filter::of(&filter.blocks().flatten().collect::<Vec<_>>()).expect("as it was written");
        assert!(there.iter().all(|hash| again.may_have(*hash)));
        let in_vain = others.iter().filter(|hash| again.may_have(**hash)).count();
        assert!(in_vain < 200, "{in_vain} of 10,000, seed in {hasher:?}");
        assert!(Filter::of(&[0; 33]).is_none() && Filter::of(&[]).is_none());
    }
}
