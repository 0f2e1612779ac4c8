//! Settings: `engine.toml`, the environment and flags (flags win), and one `plugin.toml` for each plugin. Read once,
//! unknown keys refused, all mistakes reported at once with their places.

mod connection;
mod engine_file;
mod failure;
mod given;
mod kafka;
mod partitions;
mod plugin_file;
mod problem;
mod rollout;

pub use engine_file::{Config, Input, Overlay};
pub use failure::{Failure, FailurePolicy, MAX_FAILURES};
pub use partitions::Partitions;
pub use plugin_file::{PluginFile, TENANT, parse_plugin, plugin_folders, read_plugin_folder, read_plugins};
pub use problem::{Place, Problem, Problems};
pub use rollout::{Mode, Promote, Rollout};

#[cfg(test)]
mod tests;
