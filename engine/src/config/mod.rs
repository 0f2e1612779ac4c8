//! Settings: `engine.toml`, the environment and flags (flags win), one `tenant.toml` for each tenant, and one `plugin.toml`
//! for each plugin. Read once, unknown keys refused, all mistakes reported at once with their places.

mod connection;
mod engine_file;
mod failure;
mod folders;
mod given;
mod kafka;
mod partitions;
mod plugin_file;
mod problem;
mod rollout;
mod tenant_file;

pub use engine_file::{Config, Input, Overlay};
pub use failure::{Failure, FailurePolicy, MAX_FAILURES};
pub use folders::{
    Declared, Layout, TenantFolder, UNCLAIMED, alone, folders, read_plugin_of, read_plugins, read_tenant,
};
pub use partitions::Partitions;
pub use plugin_file::{PluginFile, artifact_of, parse_plugin, read_plugin};
pub use problem::{Place, Problem, Problems};
pub use rollout::{Mode, Promote, Rollout};
pub use tenant_file::{SHARED, TENANT_FILE, Tenant, TenantLimits, TopicScope, parse_tenant, password_file};

#[cfg(test)]
mod tests;
