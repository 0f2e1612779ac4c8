//! What an operator may say about the versions of a plugin.

use tokio::sync::oneshot;

use crate::offsets::PluginKey;

/// An order, and who waits for what becomes of it.
#[derive(Debug)]
pub struct Order {
    /// The plugin.
    pub plugin: PluginKey,
    /// What to do.
    pub command: Command,
    /// What was done, in words.
    pub answer: oneshot::Sender<Result<String, OrderError>>,
}

/// What to do with the versions of a plugin. A version is named by the beginning of its name or digest, or by what its
/// author calls it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Go back to a version that ran before; without one, to the last. The one in the folder is not tried again.
    Rollback {
        /// Which.
        to: Option<String>,
    },
    /// Run this version, whatever the folder holds; without one, the one that runs.
    Pin {
        /// Which.
        to: Option<String>,
    },
    /// Let the folder decide again.
    Unpin,
    /// End the trial: the newcomer runs from now on.
    Promote,
    /// Look at the folder now.
    Rescan,
}

/// Why an order was not carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such plugin.
    #[error("no plugin {plugin} runs")]
    UnknownPlugin {
        /// Which.
        plugin: PluginKey,
    },
    /// It can't be done, in words.
    #[error("{0}")]
    Refused(String),
}
