//! Where the tables are, for commands that ask a server alone.

use std::path::PathBuf;

use clap::Args;

use crate::config::{Config, Problems};

/// A server and its database.
#[derive(Clone, Debug, Args)]
pub(super) struct ServerArgs {
    /// Settings; by default engine.toml, if it is there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// ClickHouse over HTTP [default: http://127.0.0.1:8123].
    #[arg(long, value_name = "URL")]
    clickhouse: Option<String>,
    /// The database of all tables [default: default].
    #[arg(long, value_name = "NAME")]
    database: Option<String>,
    /// Any other key of engine.toml, such as clickhouse.user=loader.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
}

impl ServerArgs {
    /// The settings, with those of a command's own flags: the flag, the key that it stands for, and what was given.
    pub(super) fn settings(&self, own: &[(&str, &str, Option<&str>)]) -> Result<Config, Problems> {
        let named = [
            ("--clickhouse", "clickhouse.url", self.clickhouse.as_deref()),
            ("--database", "clickhouse.database", self.database.as_deref()),
        ];
        super::settings(self.config.as_deref(), &self.set, &[&named, own].concat())
    }
}
