//! Cases: folders that say what becomes of messages.
//!
//! ```text
//! cases/<case>/input.jsonl      recorded messages, see schemas/debezium/README.md
//!              expected.jsonl   what becomes of them, see `outcome`
//!              schemas.json     where they are Avro: what the schema registry answers, by id
//!              case.toml        may be missing: clock = 2025-01-01T00:00:00Z, and parameters below [parameters];
//!                               epoch_messages = 2: epochs of so many messages; without it all are one epoch;
//!                               watermark = 2025-01-02T00:00:00Z: what expires until then, expires behind the last one
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Value;
use toml::value::{Date, Datetime, Offset, Time};

use super::files;
use super::outcome::Outcome;

/// 2025-01-01T00:00:00Z, the clock of native tests too.
pub(super) const CLOCK_MS: i64 = 1_735_689_600_000;

/// A case's folder.
#[derive(Clone, Debug)]
pub(super) struct Case {
    /// The folder's name.
    pub name: String,
    pub folder: PathBuf,
    pub settings: CaseSettings,
}

/// What case.toml says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CaseSettings {
    /// The epoch's clock, ms since 1970-01-01 UTC.
    pub clock_ms: i64,
    /// Over those of plugin.toml.
    pub parameters: BTreeMap<String, String>,
    /// Messages of an epoch; `None`: all.
    pub epoch_messages: Option<NonZeroUsize>,
    /// Where the watermark stands in the end, ms since 1970-01-01 UTC: an epoch without messages sees it.
    pub watermark_ms: Option<i64>,
}

impl Default for CaseSettings {
    fn default() -> Self {
        Self { clock_ms: CLOCK_MS, parameters: BTreeMap::new(), epoch_messages: None, watermark_ms: None }
    }
}

/// Why a case can't be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum CaseError {
    #[error(
        "{} has no cases: a case is a folder with an input.jsonl (recorded messages, one a line), such as \
         {}/changes/input.jsonl", .0.display(), .0.display()
    )]
    None(PathBuf),
    #[error("{} can't be read or written", path.display())]
    File {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("{}: {message}", path.display())]
    Settings { path: PathBuf, message: String },
    #[error(
        "{}:{line}: neither a row, {{\"table\":…,\"row\":{{…}}}}, nor a dead letter, \
         {{\"dead\":{{\"offset\":…,\"stage\":…,\"code\":…,\"column\":…}}}}; values are text or null", path.display()
    )]
    Line { path: PathBuf, line: usize },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseFile {
    clock: Option<Datetime>,
    epoch_messages: Option<NonZeroUsize>,
    watermark: Option<Datetime>,
    #[serde(default)]
    parameters: BTreeMap<String, Value>,
}

impl Case {
    /// The cases of a plugin's folder, by name.
    pub(super) fn of(plugin: &Path) -> Result<Vec<Self>, CaseError> {
        let cases = plugin.join("cases");
        let entries = fs::read_dir(&cases).into_iter().flatten().flatten().map(|entry| entry.path());
        let mut folders: Vec<_> = entries.filter(|folder| folder.join("input.jsonl").is_file()).collect();
        folders.sort();
        if folders.is_empty() {
            return Err(CaseError::None(cases));
        }
        folders.into_iter().map(Self::read).collect()
    }

    fn read(folder: PathBuf) -> Result<Self, CaseError> {
        let path = folder.join("case.toml");
        let settings = match optional(&path)? {
            Some(text) => settings(&text).map_err(|message| CaseError::Settings { path, message })?,
            None => CaseSettings::default(),
        };
        let name = folder.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        Ok(Self { name, folder, settings })
    }

    /// The messages.
    pub(super) fn input(&self) -> PathBuf {
        self.folder.join("input.jsonl")
    }

    fn expected_path(&self) -> PathBuf {
        self.folder.join("expected.jsonl")
    }

    /// What is expected; `None` where nobody has said yet.
    pub(super) fn expected(&self) -> Result<Option<Vec<Outcome>>, CaseError> {
        let path = self.expected_path();
        let Some(text) = optional(&path)? else { return Ok(None) };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        let read = |(index, line)| {
            serde_json::from_str(line).map_err(|_| CaseError::Line { path: path.clone(), line: index + 1 })
        };
        lines.map(read).collect::<Result<_, _>>().map(Some)
    }

    /// Makes this what is expected.
    pub(super) fn accept(&self, found: &[Outcome]) -> Result<(), CaseError> {
        let lines: String = found
            .iter()
            .map(|line| serde_json::to_string(&line.to_be_expected()).expect("texts under text keys") + "\n")
            .collect();
        let path = self.expected_path();
        files::write(&path, lines.as_bytes()).map_err(|source| CaseError::File { path, source })
    }
}

fn optional(path: &Path) -> Result<Option<String>, CaseError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(CaseError::File { path: path.to_owned(), source }),
    }
}

fn settings(text: &str) -> Result<CaseSettings, String> {
    let file: CaseFile = toml::from_str(text).map_err(|error| error.to_string())?;
    let time = |key: &str, at: &Option<Datetime>| {
        let ms = |at| milliseconds(at).ok_or(format!("{key}: not a point in time, as 2025-01-01T00:00:00Z is"));
        at.as_ref().map(ms).transpose()
    };
    let clock_ms = time("clock", &file.clock)?.unwrap_or(CLOCK_MS);
    let watermark_ms = time("watermark", &file.watermark)?;
    let parameters = file.parameters.into_iter().map(|(name, value)| (name, parameter(value))).collect();
    Ok(CaseSettings { clock_ms, parameters, epoch_messages: file.epoch_messages, watermark_ms })
}

/// A parameter as plugin.toml gives it: text as it is, anything else as it is written.
fn parameter(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_)
        | Value::Table(_) => value.to_string(),
    }
}

/// Ms since 1970-01-01 UTC; `None` where date, time or offset is missing.
fn milliseconds(at: &Datetime) -> Option<i64> {
    let (Date { year, month, day }, Time { hour, minute, second, nanosecond }) = (at.date?, at.time?);
    let offset_minutes = match at.offset? {
        Offset::Z => 0,
        Offset::Custom { minutes } => i64::from(minutes),
    };
    let [year, month, day] = [i64::from(year), i64::from(month), i64::from(day)];
    // Days since 1970-01-01, by years that begin in March (Howard Hinnant, `days_from_civil`).
    let year = if month <= 2 { year - 1 } else { year };
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468;
    let minutes = (days * 24 + i64::from(hour)) * 60 + i64::from(minute) - offset_minutes;
    let seconds = minutes * 60 + i64::from(second.unwrap_or(0));
    Some(seconds * 1_000 + i64::from(nanosecond.unwrap_or(0)) / 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_says_its_clock_and_parameters() {
        let read =
            settings("clock = 2025-01-01T01:00:00.5+01:00\n[parameters]\nlimit = 3\nword = \"x\"\n").expect("TOML");
        assert_eq!(read.clock_ms, CLOCK_MS + 500);
        assert_eq!(read.parameters["limit"], "3");
        assert_eq!(read.parameters["word"], "x");
        assert_eq!(settings("").expect("TOML"), CaseSettings::default());
        let read = settings("epoch_messages = 2\nwatermark = 2025-01-01T00:00:01Z\n").expect("TOML");
        assert_eq!((read.epoch_messages.map(NonZeroUsize::get), read.watermark_ms), (Some(2), Some(CLOCK_MS + 1_000)));
    }

    #[test]
    fn mistakes_are_told_with_their_place() {
        assert!(settings("clok = 1").expect_err("unknown").contains("clok"));
        assert!(settings("clock = 7").expect_err("a number").contains("clock = 7"));
        assert!(settings("clock = 2025-01-01").expect_err("a date").starts_with("clock: not a point in time"));
        assert!(settings("watermark = 10:00:00").expect_err("a time").starts_with("watermark: not a point in time"));
        assert!(settings("epoch_messages = 0").expect_err("nothing").contains("epoch_messages"));
    }
}
