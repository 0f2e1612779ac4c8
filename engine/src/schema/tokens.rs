//! Words of SQL: as much of the language as it takes to find statements, what they create and which tables they read.

/// A word or sign of a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// As it stands there, quotes included.
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) at: usize,
    /// How many parentheses are open around it.
    pub(super) depth: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, name or number.
    Word,
    /// A name in quotes.
    Name,
    /// A string.
    Text,
    /// Anything else, a character each.
    Sign,
}

/// A table that a query reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) database: Option<String>,
    pub(super) table: String,
    /// Where the name stands, its database included.
    pub(super) at: std::ops::Range<usize>,
}

impl Token<'_> {
    pub(super) fn is_word(&self, word: &str) -> bool {
        self.kind == Kind::Word && self.text.eq_ignore_ascii_case(word)
    }

    pub(super) fn is_sign(&self, sign: &str) -> bool {
        self.kind == Kind::Sign && self.text == sign
    }

    pub(super) fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// The name that it is.
    pub(super) fn name(&self) -> Option<String> {
        match self.kind {
            Kind::Word => Some(self.text.to_owned()),
            Kind::Name => Some(self.text[1..].trim_end_matches(['`', '"']).replace("\\`", "`").replace("\\\\", "\\")),
            Kind::Text | Kind::Sign => None,
        }
    }
}

/// The tokens of a text, without spaces and comments.
pub(super) fn tokens(sql: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(first) = sql[at..].chars().next() {
        let rest = &sql[at..];
        let is_in_word = |c: char| c.is_alphanumeric() || c == '_';
        let (kind, length) = match first {
            '-' if rest.starts_with("--") => (None, rest.find('\n').unwrap_or(rest.len())),
            '/' if rest.starts_with("/*") => (None, rest.find("*/").map_or(rest.len(), |end| end + 2)),
            '\'' => (Some(Kind::Text), quoted(rest, first)),
            '`' | '"' => (Some(Kind::Name), quoted(rest, first)),
            _ if is_in_word(first) => (Some(Kind::Word), rest.find(|c| !is_in_word(c)).unwrap_or(rest.len())),
            _ if first.is_whitespace() => (None, first.len_utf8()),
            _ => (Some(Kind::Sign), first.len_utf8()),
        };
        if first == ')' {
            depth = depth.saturating_sub(1);
        }
        tokens.extend(kind.map(|kind| Token { kind, text: &rest[..length], at, depth }));
        if first == '(' {
            depth += 1;
        }
        at += length;
    }
    tokens
}

/// The length of what is quoted at the beginning, quotes included.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, character) in text.char_indices().skip(1) {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if character == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The tokens in front of the query of a view: what it is called, what it fills, and when.
pub(super) fn head<'a>(tokens: &'a [Token<'a>]) -> &'a [Token<'a>] {
    let end = tokens.iter().position(|token| token.depth == 0 && token.is_word("AS")).unwrap_or(tokens.len());
    &tokens[..end]
}

/// What follows a word: a name, perhaps with its database.
pub(super) fn named_after(tokens: &[Token<'_>], word: &str) -> Option<Read> {
    let at = tokens.iter().position(|token| token.depth == 0 && token.is_word(word))?;
    name_at(&tokens[at + 1..], true)
}

/// The tables behind `FROM` and `JOIN`, in their order. Names of queries (`WITH`) and columns (`EXTRACT(… FROM …)`) are among
/// them: the caller knows which tables there are.
pub(super) fn tables_read(tokens: &[Token<'_>]) -> Vec<Read> {
    let behind = tokens.iter().enumerate().filter(|(_, token)| token.is_word("FROM") || token.is_word("JOIN"));
    behind.filter_map(|(at, _)| name_at(&tokens[at + 1..], false)).collect()
}

/// The name at the beginning. Where something is read, a name before a parenthesis is a function's, and no table's.
pub(super) fn name_at(tokens: &[Token<'_>], is_table: bool) -> Option<Read> {
    let first = tokens.first()?;
    let qualified = tokens.get(1).is_some_and(|dot| dot.is_sign("."));
    let last = if qualified { tokens.get(2)? } else { first };
    let behind = tokens.get(if qualified { 3 } else { 1 });
    if !is_table && first.kind == Kind::Word && behind.is_some_and(|token| token.is_sign("(")) {
        return None;
    }
    let database = if qualified { Some(first.name()?) } else { None };
    Some(Read { database, table: last.name()?, at: first.at..last.end() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_spaces_are_no_tokens_and_quotes_are_one() {
        let texts: Vec<_> = tokens("SELECT 'a;\\'b', `c\"d` -- e ;\n/* f */,g_1(2)").iter().map(|it| it.text).collect();
        assert_eq!(texts, ["SELECT", "'a;\\'b'", ",", "`c\"d`", ",", "g_1", "(", "2", ")"]);
        for text in ["'open", "`", "/* open", "-- open", "\\", "é'ü'é"] {
            assert!(tokens(text).iter().all(|token| text[token.at..].starts_with(token.text)), "{text}");
        }
    }

    #[test]
    fn tables_are_found_where_they_are_read() {
        let sql = "SELECT * FROM a JOIN `d b`.`t` ON 1 LEFT JOIN (SELECT number FROM numbers(3)) FROM \"x\"";
        let read = tables_read(&tokens(sql));
        let names: Vec<_> =
            read.iter().map(|it| (it.database.as_deref(), it.table.as_str(), &sql[it.at.clone()])).collect();
        assert_eq!(names, [(None, "a", "a"), (Some("d b"), "t", "`d b`.`t`"), (None, "x", "\"x\"")]);
    }

    #[test]
    fn a_views_head_ends_before_its_query() {
        let sql = "CREATE MATERIALIZED VIEW v (a Int8 DEFAULT CAST(1 AS Int8)) TO d.t AS SELECT 1 AS x FROM s";
        let all = tokens(sql);
        let target = named_after(head(&all), "TO").expect("a table");
        assert_eq!((target.database.as_deref(), target.table.as_str()), (Some("d"), "t"));
        assert_eq!(named_after(head(&all), "FROM"), None);
    }
}
