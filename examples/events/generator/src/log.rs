//! The messages as a file: one JSON object on a line, as the engine's recordings have it (`schemas/debezium/README.md`).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::{GenerateError, Message};

/// The file. Without [`Log::close`] its end may be missing.
#[derive(Debug)]
pub(crate) struct Log {
    path: PathBuf,
    file: BufWriter<File>,
}

impl Log {
    pub(crate) fn create(path: &Path) -> Result<Self, GenerateError> {
        let file = File::create(path).map_err(|source| failed(path, source))?;
        Ok(Self { path: path.to_owned(), file: BufWriter::new(file) })
    }

    pub(crate) fn write(&mut self, topic: &str, message: &Message) -> Result<(), GenerateError> {
        let Message { partition, offset, made_ms, key, value, truth: _ } = message;
        let line = json!({
            "topic": topic, "partition": partition, "offset": offset, "timestamp": made_ms, "headers": [],
            "key": key, "value": value,
        });
        writeln!(self.file, "{line}").map_err(|source| failed(&self.path, source))
    }

    pub(crate) fn close(mut self) -> Result<(), GenerateError> {
        self.file.flush().map_err(|source| failed(&self.path, source))
    }
}

fn failed(path: &Path, source: std::io::Error) -> GenerateError {
    GenerateError::File { path: path.display().to_string(), source }
}
