//! What a lane's plugin remembers: read from the journal, for a plugin that can read it.

use std::time::Instant;

use super::{Held, Lane, LaneError};
use crate::cpu::checkpoint;
use crate::journal::Position;
use crate::offsets::LaneId;
use crate::state::{Disk, State};
use crate::transform::{Transform, TransformError};

/// What a lane keeps was written by a version of the plugin's state that the plugin does not read.
#[derive(Debug, thiserror::Error)]
#[error(
    "what plugin {} keeps for this partition was written in {} of its state, but now it keeps {}: let it read the other as \
     well, go back to the plugin before, or give up what is kept: stop the engine and run: engine recover --plugin {} --topic {} \
     --partition {} --from start (to make everything again from the topic) or --from here (to go on with nothing remembered)",
    lane.key(), versions(written), kept_now(*keeps, reads), lane.key(), lane.topic, lane.partition
)]
pub struct OtherState {
    /// The lane.
    pub lane: Box<LaneId>,
    /// Versions that wrote what is kept.
    pub written: Vec<u32>,
    /// The version that the plugin keeps; `None`: it keeps nothing.
    pub keeps: Option<u32>,
    /// The others that it reads.
    pub reads: Vec<u32>,
}

fn versions(versions: &[u32]) -> String {
    let numbers: Vec<_> = versions.iter().map(u32::to_string).collect();
    format!("version{} {}", if versions.len() == 1 { "" } else { "s" }, numbers.join(", "))
}

fn kept_now(version: Option<u32>, reads: &[u32]) -> String {
    match (version, reads) {
        (None, _) => "none".to_owned(),
        (Some(version), []) => format!("version {version} and reads no other"),
        (Some(version), reads) => format!("version {version} and reads {}", versions(reads)),
    }
}

impl Lane {
    /// The state for a transform as the last commit left it: the one at hand if it is this transform's, else read from the
    /// journal.
    pub(super) async fn remembered(
        &self,
        held: &Held,
        transform: &Transform,
        at_hand: Option<(Transform, State)>,
    ) -> Result<State, LaneError> {
        if let Some((of, state)) = at_hand
            && of.is_same(transform)
        {
            return Ok(state);
        }
        let mut state = transform.empty_state();
        if state.tables().is_empty() {
            return Ok(state);
        }
        let (journal, lane, owner, began) = (self.around.journal.clone(), self.id.clone(), held.owner, Instant::now());
        let disk_bytes = transform.settings().limits.state_disk_bytes;
        let read = move || -> Result<State, LaneError> {
            if let Some(folder) = journal.disk_of(&lane) {
                state.keep_on(Disk::open(&folder, owner.0, disk_bytes).map_err(TransformError::from)?);
            }
            journal.state(&lane, owner, &mut |record| {
                checkpoint();
                state.restore(record)
            })?;
            state.open_disk().and_then(|()| state.clean_disk()).map_err(TransformError::from)?;
            Ok(state)
        };
        let state = self.around.cpu.run(&self.id.tenant, read).await?;
        let (bytes, on_disk, ms) = (state.bytes(), state.disk_bytes(), began.elapsed().as_millis());
        tracing::info!(lane = %self.id, bytes, on_disk, ms, "what the plugin remembers was read");
        Ok(state)
    }

    /// Refuses a plugin that can't read what an earlier version of it has written here.
    pub(super) fn reads_what_is_kept(&self, position: &Position) -> Result<(), OtherState> {
        let described = self.version.transform.plugin().and_then(|plugin| plugin.description().state.as_ref());
        let (keeps, reads) = described.map_or((None, &[][..]), |state| (Some(state.version), &state.reads[..]));
        let written = &position.state_versions;
        if self.version.reads(written) {
            return Ok(());
        }
        Err(OtherState { lane: Box::new(self.id.clone()), written: written.clone(), keeps, reads: reads.to_vec() })
    }
}
