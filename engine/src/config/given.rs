//! Settings as they were given, each with its place, whichever layer it came from: file, then environment, then flag.
//!
//! Reading a key takes it out; what is left in the end was not known. So the list of known keys is the code that
//! reads them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Place, Problems, did_you_mean};

/// A value as it was given.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Value {
    /// Text, or a number, boolean or date by its text: the reader knows which it wants.
    Text(String),
    List(Vec<String>),
}

#[derive(Clone, Debug)]
struct Given {
    place: Place,
    value: Value,
}

/// Settings given so far, by dotted key.
#[derive(Debug, Default)]
pub(super) struct Settings {
    given: BTreeMap<String, Given>,
    asked: Vec<String>,
    pub(super) problems: Problems,
}

impl Settings {
    /// Reads a TOML file. Syntax errors are noted; what stands on other lines is there all the same.
    pub(super) fn read_file(&mut self, path: &Path) {
        match fs::read_to_string(path) {
            Ok(text) => self.read_text(path, &text),
            Err(error) => self.problems.of_path(path, format!("can't be read: {error}"), None),
        }
    }

    /// Reads what is in a TOML file.
    pub(super) fn read_text(&mut self, path: &Path, text: &str) {
        let mut file = File { path, text, broken_lines: Vec::new() };
        let (table, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or_default();
            file.broken_lines.push(file.line(&span));
            self.problems.add(file.place(span), error.message(), None);
        }
        self.flatten(&file, "", table.get_ref());
    }

    fn flatten(&mut self, file: &File<'_>, prefix: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            if file.broken_lines.contains(&file.line(&key.span())) {
                continue;
            }
            let dotted =
                if prefix.is_empty() { key.get_ref().to_string() } else { format!("{prefix}.{}", key.get_ref()) };
            match value.get_ref() {
                DeValue::Table(inner) => self.flatten(file, &dotted, inner),
                DeValue::Array(items) => {
                    let items = items.iter().map(|item| text_of(file, item)).collect();
                    self.set(dotted, file.place(key.span()), Value::List(items));
                }
                DeValue::String(_)
                | DeValue::Integer(_)
                | DeValue::Float(_)
                | DeValue::Boolean(_)
                | DeValue::Datetime(_) => {
                    self.set(dotted, file.place(key.span()), Value::Text(text_of(file, value)));
                }
            }
        }
    }

    /// Overlays a setting from the environment or the command line.
    pub(super) fn overlay(&mut self, key: &str, place: Place, text: String) {
        self.set(key.to_owned(), place, Value::Text(text));
    }

    fn set(&mut self, key: String, place: Place, value: Value) {
        self.given.insert(key, Given { place, value });
    }

    /// Takes a text.
    pub(super) fn text(&mut self, key: &str) -> Option<(String, Place)> {
        let Given { place, value } = self.take(key)?;
        match value {
            Value::Text(text) => Some((text, place)),
            Value::List(_) => {
                self.problems.add(place, format!("{key}: a list, where one value is wanted"), None);
                None
            }
        }
    }

    /// Takes a value of a type that is written as text: numbers, paths, addresses. `wanted` says what is possible.
    pub(super) fn value<T: FromStr>(&mut self, key: &str, wanted: &str) -> Option<T> {
        let (text, place) = self.text(key)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(_) => {
                self.problems.add(place, format!("{key}: not {wanted}"), None);
                None
            }
        }
    }

    /// Takes one of several words.
    pub(super) fn choice<T: Copy>(&mut self, key: &str, choices: &[(&str, T)]) -> Option<T> {
        let (text, place) = self.text(key)?;
        if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let words: Vec<_> = choices.iter().map(|(word, _)| *word).collect();
        let hint = did_you_mean(&text, words.iter().copied());
        self.problems.add(place, format!("{key}: not one of {}", words.join(", ")), hint);
        None
    }

    /// Takes a list of texts; a text alone is a list of one, several are separated by commas.
    pub(super) fn list(&mut self, key: &str) -> Option<Vec<String>> {
        let Given { value, .. } = self.take(key)?;
        Some(match value {
            Value::List(items) => items,
            Value::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
        })
    }

    /// Takes everything below a key: a table whose keys are the user's.
    pub(super) fn table(&mut self, key: &str) -> BTreeMap<String, String> {
        self.asked.push(key.to_owned());
        let prefix = format!("{key}.");
        let below: Vec<_> = self.given.keys().filter(|given| given.starts_with(&prefix)).cloned().collect();
        below.into_iter().filter_map(|given| Some((given[prefix.len()..].to_owned(), self.text(&given)?.0))).collect()
    }

    /// Every key that begins so, and where it was given.
    pub(super) fn places(&self, prefix: &str) -> Vec<(String, Place)> {
        let given = self.given.iter().filter(|(key, _)| key.starts_with(prefix));
        given.map(|(key, given)| (key.clone(), given.place.clone())).collect()
    }

    /// The names of the tables below a key, which are the user's.
    pub(super) fn names(&self, key: &str) -> Vec<String> {
        let prefix = format!("{key}.");
        let below = self.given.keys().filter_map(|given| given.strip_prefix(&prefix)?.rsplit_once('.'));
        let names: BTreeSet<_> = below.map(|(name, _)| name.to_owned()).collect();
        names.into_iter().collect()
    }

    /// Where a key was given, or nowhere.
    pub(super) fn place(&self, key: &str) -> Place {
        self.given.get(key).map_or(Place::Nowhere, |given| given.place.clone())
    }

    /// Ends the reading: whatever was not taken is not known.
    pub(super) fn finish(mut self) -> Problems {
        for (key, Given { place, .. }) in &self.given {
            let hint = did_you_mean(key, self.asked.iter().map(String::as_str));
            // The environment is shared: a cluster that has a service named `engine` sets ENGINE_PORT by itself. So what
            // is like no key is not for us.
            if matches!(place, Place::Environment(_)) && hint.is_none() {
                continue;
            }
            self.problems.add(place.clone(), format!("{key}: there is no such key"), hint);
        }
        self.problems
    }

    fn take(&mut self, key: &str) -> Option<Given> {
        if !self.asked.iter().any(|asked| asked == key) {
            self.asked.push(key.to_owned());
        }
        self.given.remove(key)
    }
}

/// A value's text: a string's content, anything else as it is written.
fn text_of(file: &File<'_>, value: &Spanned<DeValue<'_>>) -> String {
    match value.get_ref() {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => file.text.get(value.span()).unwrap_or_default().replace('_', ""),
    }
}

struct File<'a> {
    path: &'a Path,
    text: &'a str,
    /// Lines with syntax errors: what the parser made of them is a guess.
    broken_lines: Vec<usize>,
}

impl File<'_> {
    fn line(&self, span: &Range<usize>) -> usize {
        self.text.get(..span.start).unwrap_or(self.text).matches('\n').count() + 1
    }

    fn place(&self, span: Range<usize>) -> Place {
        let before = self.text.get(..span.start).unwrap_or(self.text);
        let line = self.line(&span);
        let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
        Place::File { path: PathBuf::from(self.path), line, column }
    }
}
