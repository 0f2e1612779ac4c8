//! What the files say: statements that create a table, a view, or a view that fills a table, or add to a table what it has beside
//! its rows. Nothing else is run.

use std::fs;
use std::path::{Path, PathBuf};

use super::SchemaError;
use super::tokens::{Token, head, named_after, tokens};

/// One statement of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The file.
    pub path: PathBuf,
    /// Its first line there, from 1.
    pub line: usize,
    /// What it makes.
    pub kind: Kind,
    /// The name of what it makes; of a part of a table, `table.part`.
    pub name: String,
    /// As it is run.
    pub text: String,
}

/// What a statement makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `CREATE TABLE IF NOT EXISTS`: it holds rows.
    Table,
    /// `CREATE MATERIALIZED VIEW IF NOT EXISTS … TO`: it fills a table, which lacks rows while it is not there.
    Filler,
    /// `CREATE OR REPLACE VIEW` or `DICTIONARY`: what it shows, it has from elsewhere.
    View,
    /// `ALTER TABLE … ADD PROJECTION IF NOT EXISTS`: it is made of the table's rows, and needs time to be made again.
    Projection,
    /// `ALTER TABLE … ADD COLUMN IF NOT EXISTS`.
    Column,
    /// `ALTER TABLE … MODIFY SETTING`.
    Setting,
}

impl Kind {
    /// It holds nothing, so it may be replaced.
    pub(super) fn is_replaced(self) -> bool {
        matches!(self, Self::View | Self::Setting)
    }
}

impl Statement {
    /// The table that it makes a part of.
    #[must_use]
    pub fn part_of(&self) -> Option<&str> {
        self.name.split_once('.').map(|(table, _)| table)
    }
}

/// How each kind begins.
const BEGINNINGS: [(Kind, &[&str]); 4] = [
    (Kind::Table, &["CREATE", "TABLE", "IF", "NOT", "EXISTS"]),
    (Kind::Filler, &["CREATE", "MATERIALIZED", "VIEW", "IF", "NOT", "EXISTS"]),
    (Kind::View, &["CREATE", "OR", "REPLACE", "VIEW"]),
    (Kind::View, &["CREATE", "OR", "REPLACE", "DICTIONARY"]),
];

/// What may be done to a table, each in front of a name.
const PARTS: [(Kind, &[&str]); 3] = [
    (Kind::Projection, &["ADD", "PROJECTION", "IF", "NOT", "EXISTS"]),
    (Kind::Column, &["ADD", "COLUMN", "IF", "NOT", "EXISTS"]),
    (Kind::Setting, &["MODIFY", "SETTING"]),
];

/// All statements of the `.sql` files of these folders, folder by folder, in the order of the files' names.
///
/// # Errors
/// A file can't be read or holds something else, or two statements make the same thing.
pub fn read_folders(folders: &[PathBuf]) -> Result<Vec<Statement>, SchemaError> {
    let mut statements: Vec<Statement> = Vec::new();
    for folder in folders {
        for statement in read_folder(folder)? {
            if let Some(other) = statements.iter().find(|other| other.name == statement.name) {
                let words = format!("`{}` is made in {}:{} as well", other.name, other.path.display(), other.line);
                return Err(SchemaError::File { path: statement.path, line: statement.line, words });
            }
            statements.push(statement);
        }
    }
    Ok(statements)
}

fn read_folder(folder: &Path) -> Result<Vec<Statement>, SchemaError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| SchemaError::Io { path, source }
    };
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(io(folder))? {
        let path = entry.map_err(io(folder))?.path();
        if path.extension().is_some_and(|extension| extension == "sql") {
            files.push(path);
        }
    }
    files.sort();
    let mut statements = Vec::new();
    for path in files {
        statements.extend(read(&path, &fs::read_to_string(&path).map_err(io(&path))?)?);
    }
    if statements.is_empty() { Err(SchemaError::Empty { path: folder.to_owned() }) } else { Ok(statements) }
}

/// The statements of one file.
pub(super) fn read(path: &Path, text: &str) -> Result<Vec<Statement>, SchemaError> {
    let all = tokens(text);
    let statements = all.split(|token| token.is_sign(";")).filter_map(|statement| {
        let (first, last) = (statement.first()?, statement.last()?);
        let line = 1 + text[..first.at].matches('\n').count();
        Some(match made(statement) {
            Ok((kind, name)) => {
                let text = text[first.at..last.end()].to_owned();
                Ok(Statement { path: path.to_owned(), line, kind, name, text })
            }
            Err(words) => Err(SchemaError::File { path: path.to_owned(), line, words }),
        })
    });
    statements.collect()
}

/// What a statement makes, and under which name.
fn made(statement: &[Token<'_>]) -> Result<(Kind, String), String> {
    if begins(statement, &["ALTER", "TABLE"]) {
        return part(&statement[2..]);
    }
    let Some((kind, beginning)) = BEGINNINGS.into_iter().find(|(_, beginning)| begins(statement, beginning)) else {
        let known: Vec<_> = BEGINNINGS.iter().map(|(_, beginning)| beginning.join(" ")).collect();
        return Err(format!("only statements that begin with {} or ALTER TABLE are run from here", known.join(", ")));
    };
    let name = plain_name(&statement[beginning.len()..])?;
    if kind == Kind::Filler && named_after(head(statement), "TO").is_none() {
        return Err("a materialized view fills a table of its own statement: CREATE MATERIALIZED VIEW … TO table AS …"
            .to_owned());
    }
    Ok((kind, name))
}

/// What an `ALTER TABLE` adds, and to which table.
fn part(statement: &[Token<'_>]) -> Result<(Kind, String), String> {
    let table = plain_name(statement)?;
    let rest = &statement[1..];
    let Some((kind, words)) = PARTS.into_iter().find(|(_, words)| begins(rest, words)) else {
        let known: Vec<_> = PARTS.iter().map(|(_, words)| words.join(" ")).collect();
        return Err(format!("of ALTER TABLE only {} are run from here", known.join(", ")));
    };
    if rest.iter().any(|token| token.depth == 0 && token.is_sign(",")) {
        return Err("it does several things at once: one statement each, so that each is known again".to_owned());
    }
    Ok((kind, format!("{table}.{}", plain_name(&rest[words.len()..])?)))
}

fn begins(statement: &[Token<'_>], words: &[&str]) -> bool {
    words.iter().enumerate().all(|(at, word)| statement.get(at).is_some_and(|token| token.is_word(word)))
}

fn plain_name(statement: &[Token<'_>]) -> Result<String, String> {
    let name = statement.first().and_then(Token::name).unwrap_or_default();
    if name.is_empty() || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(format!("`{name}` is not a plain name, of letters, digits and _"));
    }
    if statement.get(1).is_some_and(|token| token.is_sign(".")) {
        return Err(format!("`{name}` is followed by a dot: all lies in one database, and is named without it"));
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn statements_are_found_between_comments_quotes_and_semicolons() {
        let text = "-- all; of gold\nCREATE TABLE IF NOT EXISTS hourly(a String DEFAULT ';\\'', /* ; */ b Int32)\nENGINE = MergeTree ORDER BY a;\n\n\
                    create materialized view if not exists hourly_fill TO hourly AS SELECT 'é;' FROM silver;\nCREATE OR REPLACE VIEW now AS SELECT 1 -- the end";
        let statements = read(Path::new("gold.sql"), text).unwrap();
        let seen: Vec<_> = statements.iter().map(|it| (it.line, it.kind, it.name.as_str())).collect();
        assert_eq!(seen, [(2, Kind::Table, "hourly"), (5, Kind::Filler, "hourly_fill"), (6, Kind::View, "now")]);
        assert!(statements.iter().all(|it| it.text.to_ascii_uppercase().starts_with("CREATE")));
        assert!(statements[0].text.ends_with("ORDER BY a"));
    }

    #[test]
    fn what_could_lose_rows_is_not_run_from_a_file() {
        let cases = [
            ("DROP TABLE silver", "only statements that begin with"),
            ("\nCREATE OR REPLACE TABLE hourly (a Int8)", "only statements"),
            ("CREATE TABLE hourly (a Int8)", "only statements"),
            ("CREATE TABLE IF NOT EXISTS other.hourly (a Int8)", "a dot"),
            ("CREATE TABLE IF NOT EXISTS `a b` (a Int8)", "plain name"),
            ("CREATE TABLE IF NOT EXISTS", "plain name"),
            ("ALTER TABLE silver DROP COLUMN a", "of ALTER TABLE only"),
            ("ALTER TABLE silver MODIFY SETTING a = 1, DROP COLUMN a", "several things"),
            ("ALTER TABLE", "plain name"),
            ("CREATE MATERIALIZED VIEW IF NOT EXISTS v ENGINE = Memory AS SELECT 1", "TO table"),
            (
                "CREATE MATERIALIZED VIEW IF NOT EXISTS v ENGINE = Memory AS SELECT 1 ORDER BY 1 WITH FILL TO 3",
                "TO table",
            ),
        ];
        for (text, expected) in cases {
            let error = read(Path::new("gold.sql"), text).unwrap_err().to_string();
            assert!(error.contains(expected) && error.starts_with("gold.sql:"), "{text}: {error}");
        }
    }

    #[test]
    fn parts_of_tables_are_named_with_them() {
        let text =
            "ALTER TABLE sales ADD PROJECTION IF NOT EXISTS by_shop (SELECT shop, sum(a), count() GROUP BY shop);
                    alter table `sales` modify setting a_mode = 'rebuild';
                    ALTER TABLE sales ADD COLUMN IF NOT EXISTS day Date MATERIALIZED toDate(at)";
        let statements = read(Path::new("gold.sql"), text).unwrap();
        let seen: Vec<_> = statements.iter().map(|it| (it.kind, it.name.as_str())).collect();
        assert!(statements.iter().all(|it| it.part_of() == Some("sales")));
        let expected =
            [(Kind::Projection, "sales.by_shop"), (Kind::Setting, "sales.a_mode"), (Kind::Column, "sales.day")];
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_name_is_made_once() {
        let folder = tempfile::tempdir().unwrap();
        let view = "CREATE OR REPLACE VIEW v AS SELECT 1";
        fs::write(folder.path().join("1.sql"), view).unwrap();
        assert_eq!(read_folders(&[folder.path().to_owned()]).unwrap().len(), 1);
        fs::write(folder.path().join("2.sql"), view).unwrap();
        let error = read_folders(&[folder.path().to_owned()]).unwrap_err().to_string();
        assert!(error.contains("2.sql:1") && error.contains("1.sql:1 as well"), "{error}");
    }
}
