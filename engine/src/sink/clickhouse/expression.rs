//! Expressions: sort keys, partition keys and indexes that a plugin declares become part of a `CREATE TABLE`.
//!
//! A plugin is not trusted and the engine's user may read the tables of other tenants, so `ORDER BY (SELECT …)` or
//! `… AS SELECT` must not get through. Only what this file knows does: column names, numbers, plain strings, and the
//! functions of [`FUNCTIONS`], in balanced parentheses.

use arrow_schema::Schema;

use crate::table::quote;

/// Pure functions that make sense in a key or an index.
const FUNCTIONS: [&str; 39] = [
    "bitAnd",
    "cityHash64",
    "coalesce",
    "farmHash64",
    "halfMD5",
    "ifNull",
    "assumeNotNull",
    "intDiv",
    "intHash32",
    "intHash64",
    "left",
    "length",
    "lower",
    "mapKeys",
    "mapValues",
    "modulo",
    "murmurHash3_64",
    "sipHash64",
    "substring",
    "toDate",
    "toDate32",
    "toDateTime",
    "toDayOfWeek",
    "toHour",
    "toISOWeek",
    "toISOYear",
    "toMonday",
    "toMonth",
    "toStartOfDay",
    "toStartOfHour",
    "toStartOfMonth",
    "toStartOfQuarter",
    "toStartOfWeek",
    "toStartOfYear",
    "toYYYYMM",
    "toYYYYMMDD",
    "toYear",
    "upper",
    "xxHash64",
];

/// An expression that was read: its SQL, and the columns that it uses.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expression {
    pub(super) sql: String,
    pub(super) columns: Vec<String>,
}

/// Reads a column name or an expression over columns of the schema.
///
/// # Errors
/// Names what is not allowed.
pub(super) fn read(text: &str, schema: &Schema) -> Result<Expression, String> {
    if schema.column_with_name(text).is_some() {
        return Ok(Expression { sql: quote(text), columns: vec![text.to_owned()] });
    }
    let (mut sql, mut columns, mut depth) = (String::new(), Vec::new(), 0_i32);
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let length = token(rest).ok_or_else(|| format!("`{text}`: {c:?} is not allowed in an expression"))?;
        let (word, behind) = rest.split_at(length);
        rest = behind;
        depth += i32::from(c == '(') - i32::from(c == ')');
        if depth < 0 {
            break;
        }
        let name = word.trim_matches('`');
        if !(c.is_ascii_alphabetic() || c == '_' || c == '`') {
            sql.push_str(word);
        } else if schema.column_with_name(name).is_some() {
            sql.push_str(&quote(name));
            columns.push(name.to_owned());
        } else if FUNCTIONS.contains(&name) && rest.trim_start().starts_with('(') {
            sql.push_str(name);
        } else {
            return Err(format!("`{text}`: `{name}` is neither a column nor a function allowed in an expression"));
        }
    }
    if depth != 0 {
        return Err(format!("`{text}`: parentheses do not match"));
    }
    if columns.is_empty() {
        return Err(format!("`{text}` uses no column"));
    }
    Ok(Expression { sql, columns })
}

/// Bytes of the token at the start of the text.
fn token(text: &str) -> Option<usize> {
    let first = text.chars().next()?;
    let run = |inside: fn(char) -> bool| text.find(|c| !inside(c)).unwrap_or(text.len());
    let until = |end: char| Some(text.get(1..)?.find(end)? + 2).filter(|length| !text[..*length].contains('\\'));
    match first {
        'a'..='z' | 'A'..='Z' | '_' => Some(run(|c| c.is_ascii_alphanumeric() || c == '_')),
        '0'..='9' => Some(run(|c| c.is_ascii_digit())),
        '\'' | '`' => until(first),
        '(' | ')' | ',' | '+' | '*' | '/' | '%' | ' ' => Some(1),
        // Two of them would begin a comment.
        '-' if !text.starts_with("--") => Some(1),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use arrow_schema::{DataType, Field};

    use super::*;

    fn schema() -> Schema {
        Schema::new(["id", "created at", "day"].map(|name| Field::new(name, DataType::Int64, false)).to_vec())
    }

    #[test]
    fn names_and_functions_pass() {
        let sql = |text| read(text, &schema()).unwrap().sql;
        assert_eq!(sql("id"), "`id`");
        assert_eq!(sql("created at"), "`created at`");
        assert_eq!(sql("toYYYYMM(`created at`)"), "toYYYYMM(`created at`)");
        assert_eq!(sql("(intDiv(id, 16), toDate(day, 'UTC') - 1)"), "(intDiv(`id`, 16), toDate(`day`, 'UTC') - 1)");
        assert_eq!(read("id % 7 + day", &schema()).unwrap().columns, ["id", "day"]);
    }

    #[test]
    fn nothing_else_passes() {
        for text in [
            "",
            "1",
            "(SELECT 1)",
            "id) AS SELECT * FROM other.secrets --",
            "id SETTINGS index_granularity = 1",
            "id) (id",
            "(id",
            "file('/etc/passwd')",
            "toDate",
            "id -- comment",
            "id /* comment */",
            "id; DROP TABLE t",
            "'\\' id",
            "dictGet('d', 'a', id)",
            "nothing_of_this_name",
            "id # x",
            "ıd",
        ] {
            assert!(read(text, &schema()).is_err(), "{text:?} got through: {:?}", read(text, &schema()));
        }
    }
}
