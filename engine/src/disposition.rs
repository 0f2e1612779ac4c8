//! What the engine does about each error of a lane: the one place that decides.

use crate::artifacts::ArtifactError;
use crate::journal::JournalError;
use crate::lane::LaneError;
use crate::registry::RegistryError;
use crate::sink::SinkError;
use crate::source::SourceError;
use crate::state::StateError;
use crate::transform::{CallError, TransformError};

/// What to do with a lane that stopped by an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Run it again after a pause: the cause passes, or somebody can mend it while the engine runs.
    Retry,
    /// Open its breaker: the plugin is broken, and is tried again now and then. See [`crate::breaker`].
    Break,
    /// Leave it stopped and show why: running it again would fail again, or go on over a loss. The other lanes go on.
    Halt,
    /// End the engine: nothing can be decided durably any more.
    EndEngine,
}

/// The decision for an error, and the error's word for metrics.
#[must_use]
pub fn disposition(error: &LaneError) -> (Disposition, &'static str) {
    use Disposition::{Break, EndEngine, Halt, Retry};
    match error {
        LaneError::Source(error) => match error {
            SourceError::Unavailable { .. } => (Retry, "source_unavailable"),
            SourceError::OffsetGone { .. } => (Halt, "offset_gone"),
            SourceError::OffsetAhead { .. } => (Halt, "offset_ahead"),
            SourceError::TopicReplaced { .. } => (Halt, "topic_replaced"),
            SourceError::Registry(error) => of_registry(error),
            SourceError::Refused { .. } => (Halt, "source_refused"),
        },
        LaneError::Transform(error) => match error {
            // Also one that does not even start: what it depends on may be the clock, which goes on.
            TransformError::Call(CallError::Start(_)) => (Break, "plugin_start"),
            TransformError::Call(CallError::Broken(_)) => (Break, "plugin_broken"),
            // A machine that has too much to do has less of it later.
            TransformError::Call(CallError::Slow(_)) => (Break, "plugin_slow"),
            TransformError::Call(CallError::Expire(_)) => (Break, "plugin_expire"),
            TransformError::Unparkable { .. } => (Break, "unparkable"),
            TransformError::Call(CallError::Engine(_)) => (Retry, "plugin_unavailable"),
            // No probe would find room: entries expire as the lane goes on. Parking would not end either, and what is made
            // behind it would be made without what the parked messages would have left in the state.
            TransformError::Call(CallError::State(_)) => (Halt, "state_limit"),
            // Space can be made on a disk, and a folder be mounted again.
            TransformError::Call(CallError::Disk(_)) | TransformError::State(StateError::Disk { .. }) => {
                (Retry, "state_disk")
            }
            TransformError::State(error) => match error {
                StateError::Quota { .. } | StateError::DiskQuota { .. } => (Halt, "state_limit"),
                StateError::Cells(_) | StateError::Answer { .. } | StateError::Damaged(_) | StateError::Disk { .. } => {
                    (Halt, "bug")
                }
            },
            TransformError::Unfit { .. } => (Halt, "state_row_unfit"),
            TransformError::Call(CallError::Replay(_)) | TransformError::Replay { .. } => (Halt, "replay_differs"),
            TransformError::Assemble(_) => (Halt, "bug"),
        },
        LaneError::Journal(error) => match error {
            JournalError::Fenced { .. } => (Halt, "fenced"),
            JournalError::Record { .. } => (Halt, "journal_record"),
            JournalError::State { .. } => (Halt, "journal_state"),
            JournalError::OutOfOrder { .. } => (Halt, "bug"),
            JournalError::Locked { .. } | JournalError::Storage { .. } | JournalError::Closed => {
                (EndEngine, "journal_storage")
            }
        },
        LaneError::Sink(error) => match error {
            // An operator alters a table, raises a quota or mends a grant without restarting the engine.
            SinkError::Table { .. } => (Retry, "table_mismatch"),
            SinkError::Refused { .. } => (Retry, "insert_refused"),
            SinkError::Denied { .. } => (Retry, "sink_denied"),
            SinkError::Fenced { .. } => (Halt, "fenced"),
            SinkError::OldJournal { .. } => (Halt, "old_journal"),
            SinkError::Undecided { .. } => (Halt, "undecided"),
            SinkError::Surplus { .. } => (Halt, "surplus_rows"),
            SinkError::Encode { .. } => (Halt, "bug"),
        },
        LaneError::OtherState(_) => (Halt, "other_state"),
        LaneError::Artifact(error) => match error {
            ArtifactError::Io { .. } => (Retry, "artifact_io"),
            ArtifactError::OtherVersion | ArtifactError::Damaged { .. } | ArtifactError::Build(_) => (Halt, "artifact"),
        },
        LaneError::Registry(error) => of_registry(error),
        LaneError::RangeGone { .. } => (Halt, "range_gone"),
    }
}

fn of_registry(error: &RegistryError) -> (Disposition, &'static str) {
    use Disposition::{Halt, Retry};
    match error {
        RegistryError::Settings { .. } => (Halt, "registry_settings"),
        RegistryError::Replaced { .. } => (Halt, "registry_replaced"),
        RegistryError::Away { .. } => (Retry, "registry_away"),
        RegistryError::Artifact(_) => (Retry, "artifact_io"),
    }
}

/// Whether an error is the fault of the version of the plugin that the lane runs, so that another one may do without.
#[must_use]
pub fn is_the_plugins(error: &LaneError) -> bool {
    match error {
        LaneError::Transform(TransformError::Call(error)) => match error {
            CallError::Start(_)
            | CallError::Slow(_)
            | CallError::Broken(_)
            | CallError::Expire(_)
            | CallError::State(_) => true,
            CallError::Engine(_) | CallError::Disk(_) | CallError::Replay(_) => false,
        },
        LaneError::Transform(TransformError::State(error)) => {
            matches!(error, StateError::Quota { .. } | StateError::DiskQuota { .. })
        }
        LaneError::Transform(TransformError::Unfit { .. })
        | LaneError::OtherState(_)
        | LaneError::Sink(SinkError::Table { .. }) => true,
        LaneError::Transform(
            TransformError::Assemble(_) | TransformError::Replay { .. } | TransformError::Unparkable { .. },
        )
        | LaneError::Source(_)
        | LaneError::Journal(_)
        | LaneError::Sink(_)
        | LaneError::Artifact(_)
        | LaneError::Registry(_)
        | LaneError::RangeGone { .. } => false,
    }
}

/// An error with its causes, on one line.
#[must_use]
pub fn in_words(error: &(dyn std::error::Error + 'static)) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        // `transparent` errors repeat their cause.
        if !words.ends_with(&text) {
            words.push_str(": ");
            words.push_str(&text);
        }
        cause = error.source();
    }
    words
}
