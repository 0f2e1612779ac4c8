//! Deduplication tokens: how a table knows a block that it already has.
//!
//! A token names what is inserted, never who inserts it or when: a new owner that repeats an epoch must come to the
//! same token. Epoch numbers are never used again in a generation, so no two different blocks share one; the block's
//! digest is in it as well, so that a repeat with other content is not swallowed as a success but seen as a second block.

use sha2::{Digest, Sha256};

use crate::batch::Block;
use crate::offsets::LaneId;
use crate::transform::Epoch;

/// The token of a block: a readable beginning, then 128 bits of hash over lane, generation, epoch, table and content.
#[must_use]
pub fn token(lane: &LaneId, epoch: Epoch, block: &Block) -> String {
    let mut hash = Sha256::new();
    for part in [&lane.tenant, &lane.plugin, &lane.topic, &lane.topic_id, &block.table.quoted()] {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    hash.update(lane.partition.to_le_bytes());
    hash.update(epoch.generation.to_le_bytes());
    hash.update(epoch.number.to_le_bytes());
    hash.update(block.digest.to_le_bytes());
    let hex: String = hash.finalize().iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("{lane}-{}-{}-{hex}", epoch.generation, epoch.number)
}
