//! Mistakes in settings: where, what, and what to do. All of them at once.

use std::fmt;
use std::path::{Path, PathBuf};

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// In a file, at a line and column from 1.
    File {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// A file or folder as a whole.
    Path(PathBuf),
    /// In the environment.
    Environment(String),
    /// On the command line.
    Flag(String),
    /// Nowhere, and it has no default.
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line, column } => write!(f, "{}:{line}:{column}", path.display()),
            Self::Path(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => write!(f, "environment {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Nowhere => f.write_str("settings"),
        }
    }
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong; begins with the key where there is one.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if let Some(hint) = &self.hint {
            write!(f, "\n  hint: {hint}")?;
        }
        Ok(())
    }
}

/// Mistakes found so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    /// Notes a mistake.
    pub fn add(&mut self, place: Place, message: impl Into<String>, hint: Option<String>) {
        self.0.push(Problem { place, message: message.into(), hint });
    }

    /// Notes a mistake of a file or folder as a whole.
    pub fn of_path(&mut self, path: &Path, message: impl Into<String>, hint: Option<String>) {
        self.add(Place::Path(path.to_owned()), message, hint);
    }

    /// `Ok` with the value when there is none.
    ///
    /// # Errors
    /// The mistakes.
    pub fn none<T>(self, value: T) -> Result<T, Self> {
        if self.0.is_empty() { Ok(value) } else { Err(self) }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Jaro-Winkler similarity from which a word is taken for a misspelt one: `broker` and `brokers` have 0.97, `port` and
/// `path` 0.85.
const LIKENESS: f64 = 0.88;

/// The known word that was probably meant.
pub(super) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    known
        .into_iter()
        .map(|word| (strsim::jaro_winkler(given, word), word))
        .filter(|(likeness, _)| *likeness > LIKENESS)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, word)| format!("did you mean {word}?"))
}
