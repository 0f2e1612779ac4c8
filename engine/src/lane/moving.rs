//! From one version of the plugin to another, between two epochs.
//!
//! Where nothing changes but code and settings, the lane goes on with all it has at hand, also while epochs of the version
//! before are on their way to their tables. Where tables or state change, it collects nothing more, ends what is open, and
//! is run again. Either way no epoch has two versions.
//!
//! An epoch of a newcomer on trial may be found wanting, before anything of it is written down: then what the plugin
//! remembers of it is dropped with the lane, and the next run reads it as the last commit left it.

use super::quiet::Quiet;
use super::{Ahead, Lane, LaneError};
use crate::capsule::Capsules;
use crate::crash_point::CrashPoint;
use crate::deploy::Verdict;
use crate::disposition::{in_words, is_the_plugins};
use crate::transform::{Transform, TransformError, Transformed};

/// Why a lane left its path without an error.
#[derive(Debug)]
pub enum Left {
    /// It was told to stop, or its source has ended.
    Ended,
    /// Another version of the plugin has to begin anew.
    Changed,
    /// The version that it ran was withdrawn in the midst of an epoch.
    Withdrawn,
    /// The plugin fails on more than it may. Nothing of that epoch is decided, everything before it is committed.
    Failing(Box<LaneError>),
}

impl Lane {
    /// Asks what the next epoch is made with, and goes over to it. Says so if that has to begin anew.
    pub(super) fn move_over(&mut self, ahead: &Ahead, quiet: &mut Quiet) -> Option<Left> {
        let next = self.versions.of(&self.id);
        if next.is_same(&self.version) {
            return None;
        }
        let on_the_spot = next.is_for(&self.id)
            && next.is_prepared()
            && next.takes_over_from(&self.version)
            && next.reads(&ahead.position.state_versions);
        let (from, to, offset) = (self.version.id(), next.id(), ahead.position.next_offset);
        tracing::info!(lane = %self.id, %from, %to, offset, on_the_spot, "another version of the plugin");
        if !on_the_spot {
            return Some(Left::Changed);
        }
        quiet.by(next.transform.event_time());
        self.status.runs(&next);
        self.version = next;
        CrashPoint::MovedOver.reached();
        None
    }

    /// What the next epoch is made with, which has so many messages. One fault is enough to withdraw a newcomer, so it is not
    /// tried again and again.
    pub(super) fn transform(&self, messages: usize) -> Transform {
        let transform = self.version.transform.clone().keeping(self.capsules());
        let hasty = self.versions.takes_no_fault_of(self.version.id());
        self.in_turn(if hasty { transform.impatient() } else { transform }, messages)
    }

    /// Where crash capsules go, if there shall be any.
    fn capsules(&self) -> Option<Capsules> {
        let rules = self.version.file.capsule.clone()?;
        Some(Capsules::new(self.around.artifacts.clone(), rules, self.id.clone()))
    }

    /// Has an epoch judged that was made, before anything of it is written down. Says so if its version is withdrawn.
    pub(super) fn judged(&self, made: &Transformed) -> Option<Left> {
        if made.intent.parked.is_some() {
            return None; // nobody made it
        }
        match self.versions.judge(&self.id, self.version.id(), made) {
            Verdict::Keep => {
                self.status.breaker.made(made);
                None
            }
            Verdict::Withdraw { reason } => {
                tracing::warn!(lane = %self.id, offsets = %made.intent.range, reason, "an epoch is made again with the version before");
                CrashPoint::Withdrawn.reached();
                Some(Left::Withdrawn)
            }
        }
    }

    /// An epoch that could not be made: if that is the fault of a version on trial, the version is withdrawn for it.
    pub(super) fn not_made(&self, error: TransformError, offset: i64) -> Result<Left, LaneError> {
        let error = error.into();
        let at = Some((self.id.clone(), offset));
        if is_the_plugins(&error) && self.versions.withdraw(self.version.id(), in_words(&error), at) {
            CrashPoint::Withdrawn.reached();
            return Ok(Left::Withdrawn);
        }
        Self::fails(error)
    }
}
