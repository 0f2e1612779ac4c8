//! What a query in PromQL asks the engine for. Not a parser: whether a query is one, Prometheus says.

/// A metric that a query names, with its matchers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Selector {
    pub(crate) metric: String,
    /// Label, operator, value.
    matchers: Vec<[String; 3]>,
}

impl Selector {
    /// A selector of the series that the query is about: with what must equal something, and all labels that it names.
    pub(crate) fn wanted(&self) -> String {
        let matcher = |[label, operator, value]: &[String; 3]| match operator.as_str() {
            "=" => format!("{label}=\"{value}\""),
            _ => format!("{label}!=\"\""),
        };
        let matchers = self.matchers.iter().map(matcher);
        let all: Vec<_> = [format!("__name__=\"{}\"", self.metric)].into_iter().chain(matchers).collect();
        format!("{{{}}}", all.join(","))
    }
}

/// A word, a text or anything else of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Word(String),
    Text(String),
    Other(char),
}

/// The metrics of the engine in a query, and `up`: those that are recorded under names with colons as well.
pub(crate) fn selectors(query: &str) -> Vec<Selector> {
    let tokens = tokens(query);
    let is_metric = |word: &str| word.starts_with("engine_") || word.starts_with("engine:") || word == "up";
    let selector = |(at, token): (usize, &Token)| match token {
        Token::Word(word) if is_metric(word) => {
            Some(Selector { metric: word.clone(), matchers: matchers(&tokens[at + 1..]) })
        }
        Token::Word(_) | Token::Text(_) | Token::Other(_) => None,
    };
    tokens.iter().enumerate().filter_map(selector).collect()
}

/// The labels by which a query groups or joins.
pub(crate) fn grouped(query: &str) -> Vec<String> {
    let tokens = tokens(query);
    let mut labels = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Word(word) = token else { continue };
        if ["by", "on", "ignoring", "without", "group_left", "group_right"].contains(&word.as_str()) {
            let list = tokens[at + 1..].iter().skip(1).take_while(|token| **token != Token::Other(')'));
            labels.extend(
                list.filter_map(|token| if let Token::Word(label) = token { Some(label.clone()) } else { None }),
            );
        }
    }
    labels
}

/// Those in braces, if the tokens begin with any.
fn matchers(tokens: &[Token]) -> Vec<[String; 3]> {
    if tokens.first() != Some(&Token::Other('{')) {
        return Vec::new();
    }
    let (mut matchers, mut label, mut operator) = (Vec::new(), String::new(), String::new());
    for token in tokens[1..].iter().take_while(|token| **token != Token::Other('}')) {
        match token {
            Token::Word(word) => (label, operator) = (word.clone(), String::new()),
            Token::Other(',') => {}
            Token::Other(sign) => operator.push(*sign),
            Token::Text(value) => matchers.push([label.clone(), operator.clone(), value.clone()]),
        }
    }
    matchers
}

fn tokens(query: &str) -> Vec<Token> {
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        let length = if in_word(first) {
            let length = rest.find(|c| !in_word(c)).unwrap_or(rest.len());
            tokens.push(Token::Word(rest[..length].to_owned()));
            length
        } else if let '"' | '\'' = first {
            let end = 1 + rest[1..].find(first).expect("a text ends");
            tokens.push(Token::Text(rest[1..end].to_owned()));
            end + 1
        } else {
            tokens.extend((!first.is_whitespace()).then_some(Token::Other(first)));
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    tokens
}

#[test]
fn what_a_query_asks_for_is_found() {
    let query = "sum by (tenant, le) (rate(engine_x_bucket{le=\"16.384\", topic=~\"by (.+)\"}[5m])) / on (tenant) engine:y:sum > 1";
    let wanted: Vec<_> = selectors(query).iter().map(Selector::wanted).collect();
    let expected = ["{__name__=\"engine_x_bucket\",le=\"16.384\",topic!=\"\"}", "{__name__=\"engine:y:sum\"}"];
    assert_eq!(wanted, expected);
    assert_eq!(grouped(query), ["tenant", "le", "tenant"]);
}
