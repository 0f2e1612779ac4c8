//! `events-generator`: see `--help`.

use std::process::ExitCode;

use clap::Parser;
use events_generator::{Args, generate};

fn main() -> ExitCode {
    match generate(&Args::parse(), |_| {}) {
        Ok(sent) => {
            println!("{sent}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            let mut words = error.to_string();
            let mut cause = std::error::Error::source(&error);
            while let Some(next) = cause {
                words.push_str(&format!(": {next}"));
                cause = next.source();
            }
            eprintln!("events-generator: {words}");
            ExitCode::FAILURE
        }
    }
}
