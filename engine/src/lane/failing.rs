//! A plugin that fails on too much: the lane asks its breaker before each epoch, and leaves its path when it opens.
//!
//! What the plugin did in an epoch that was not made is in memory alone, so the lane ends what is under way and is run again:
//! at the next probe, or at once to park its messages. Then it goes its path as always, with epochs of letters.

use super::{Lane, LaneError, Left};
use crate::breaker::Turn;
use crate::config::Failure;
use crate::disposition::{Disposition, disposition};
use crate::transform::Transform;

impl Lane {
    /// By which rules the plugin may fail: those in its folder now, also where nothing else has changed.
    fn failure(&self) -> Failure {
        self.versions.of(&self.id).file.failure
    }

    /// The transform as the breaker has it, for an epoch of so many messages.
    pub(super) fn in_turn(&self, transform: Transform, messages: usize) -> Transform {
        match self.status.breaker.turn(self.version.id(), self.failure(), messages) {
            Turn::Call(budget) => transform.within(budget),
            Turn::Park(reason) => transform.parking(&reason),
        }
    }

    /// Whether the error of an epoch opens the breaker; what is under way is ended first.
    pub(super) fn fails(error: LaneError) -> Result<Left, LaneError> {
        if disposition(&error).0 == Disposition::Break { Ok(Left::Failing(Box::new(error))) } else { Err(error) }
    }
}
