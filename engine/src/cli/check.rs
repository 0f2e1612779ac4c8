//! `engine check`: what would run, and what is wrong, without reading or writing a row.

use std::process::ExitCode;

use super::run::load_plugins;
use crate::config::{Config, Input};
use crate::disposition::in_words;
use crate::engine::Deployed;
use crate::plugin::{Host, HostSettings};
use crate::table::TableKind;
use crate::transform::Kind;

/// The command.
#[expect(clippy::needless_pass_by_value, reason = "all commands take their settings")]
pub(super) fn check(config: Config) -> ExitCode {
    let host = match Host::new(HostSettings::default()) {
        Ok(host) => host,
        Err(error) => {
            eprintln!("engine: {}", in_words(&error));
            return ExitCode::FAILURE;
        }
    };
    match load_plugins(&config, &host) {
        Ok(deployed) => {
            show_settings(&config);
            deployed.iter().for_each(show);
            ExitCode::SUCCESS
        }
        Err(problems) => super::mistaken(&problems),
    }
}

fn show_settings(config: &Config) {
    match &config.input {
        Input::Kafka(kafka) => println!("source      Kafka {}", kafka.brokers),
        Input::Files(files) => {
            files.iter().for_each(|file| println!("source      {}", file.display()));
        }
    }
    println!("tables      {} database {}", config.clickhouse.url, config.database);
    println!("data        {}", config.data_dir.display());
}

fn show(deployed: &Deployed) {
    let (file, transform) = (&deployed.file, &deployed.transform);
    println!("\n{}", file.settings.name);
    println!("  topics    {}", file.topics.join(", "));
    match (&file.settings.kind, transform.plugin()) {
        (Kind::Bronze { .. }, _) | (_, None) => println!("  bronze    messages as they come"),
        (Kind::Plugin, Some(plugin)) => {
            let description = plugin.description();
            println!("  plugin    {} {} ({})", description.name, description.version, &plugin.digest()[..12]);
            let columns: Vec<_> = description
                .input
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect();
            println!("  reads     {}", columns.join(", "));
        }
    }
    for table in transform.tables() {
        let kind = match table.kind {
            TableKind::Append => "append",
            TableKind::Current => "current state",
        };
        println!("  writes    {} ({kind}, by {})", table.quoted(), table.sort_key.join(", "));
    }
}
