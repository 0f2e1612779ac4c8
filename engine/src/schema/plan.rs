//! What there is beside what the files say, and making it so.
//!
//! What was applied is written down in the table `engine_schema`, twice: before a statement is run, as the file has it, and after
//! it, as the server has the object then. Both are written as the server formats them, so that spaces and comments are no
//! difference. A file's text can't be compared with the server's own: that is written out with types, databases and defaults
//! that no file has.
//!
//! | object | its file | the object itself | step |
//! |---|---|---|---|
//! | not there | | | create |
//! | there | as written down | as written down | keep |
//! | there, a view or setting | differs, or | differs, or nothing is written down since a crash | replace |
//! | there, another | as written down | nothing is written down since a crash | keep, and write it down |
//! | there, another | differs, or | differs | refuse, and show the difference |
//! | there | was never applied | | refuse: it is somebody else's; a setting is set |
//!
//! A person who has made an object what its file says, by hand, says so (`--adopt`), and it is written down as it is.

use std::collections::HashMap;

use serde::Deserialize;

use super::difference::difference;
use super::statement::{Kind, Statement};
use super::tokens::tokens;
use super::{Database, QUICK, SchemaError};
use crate::crash_point::CrashPoint;
use crate::table::quote;

/// What was applied, and when.
const APPLIED: &str = "engine_schema";

/// What is to be done about a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// There is no such object.
    Create,
    /// It is there as the statement says.
    Keep,
    /// It is a view that is there otherwise.
    Replace {
        /// Lines: what is there after `- `, what shall be after `+ `.
        difference: Vec<String>,
    },
    /// It is there, and a person says that it is what the statement says.
    Adopt,
    /// It is there otherwise, and is not touched.
    Refuse {
        /// Why, and what to do.
        why: String,
        /// Lines: what is there after `- `, what shall be after `+ `.
        difference: Vec<String>,
    },
}

/// A statement, and what is to be done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    /// The statement.
    pub statement: Statement,
    /// What is to be done.
    pub step: Step,
    /// Its text as the server formats it.
    form: String,
    /// What is written down of it is whole.
    noted: bool,
}

/// What is written down of an object.
#[derive(Clone, Debug, Deserialize)]
struct Applied {
    name: String,
    form: String,
    /// The object, as the server had it after that; empty: a crash came between.
    made: String,
}

/// An object that is there, as the server has it.
#[derive(Clone, Debug, Deserialize)]
struct There {
    name: String,
    made: String,
}

/// Compares the statements with the server; objects of these names are taken for what their files say. Nothing is changed.
///
/// # Errors
/// The server refuses a statement's syntax, or can't be asked.
pub async fn plan(
    database: &Database,
    statements: Vec<Statement>,
    adopt: &[String],
) -> Result<Vec<Planned>, SchemaError> {
    if let Some(name) = adopt.iter().find(|name| !statements.iter().any(|statement| statement.name == **name)) {
        return Err(SchemaError::Adopt { name: name.clone() });
    }
    let there = look(database, &statements).await?;
    let applied = if there.contains_key(APPLIED) { applied(database).await? } else { HashMap::new() };
    // The database may not be there yet: asked from one that always is.
    let everywhere = Database { name: "system".to_owned(), ..database.clone() };
    let mut planned = Vec::new();
    for statement in statements {
        let form = form(&everywhere, &statement).await?;
        let (made, applied) = (there.get(&statement.name), applied.get(&statement.name));
        let mut step = step(&statement, &form, made, applied, &database.name);
        if matches!(step, Step::Refuse { .. }) && adopt.contains(&statement.name) {
            step = Step::Adopt;
        }
        let noted = applied.is_some_and(|applied| !applied.made.is_empty());
        planned.push(Planned { statement, step, form, noted });
    }
    Ok(planned)
}

/// What there is in the database, with the parts of tables that statements name, as the server has it.
async fn look(database: &Database, statements: &[Statement]) -> Result<HashMap<String, String>, SchemaError> {
    let everywhere = Database { name: "system".to_owned(), ..database.clone() };
    let name = [("database", database.name.as_str())];
    let query = "SELECT name, ifNull(formatQueryOrNull(create_table_query), '') AS made FROM system.tables \
                 WHERE database = {database:String}";
    let mut there: Vec<There> = everywhere.rows(query, &name, QUICK).await?;
    if statements.iter().any(|statement| statement.kind == Kind::Projection) {
        let query = "SELECT concat(table, '.', name) AS name, ifNull(formatQueryOrNull(query), query) AS made \
                     FROM system.projections WHERE database = {database:String}";
        there.extend(everywhere.rows::<There>(query, &name, QUICK).await?);
    }
    if statements.iter().any(|statement| statement.kind == Kind::Column) {
        let query = "SELECT concat(table, '.', name) AS name, concat(type, ' ', default_kind, ' ', default_expression) AS made \
                     FROM system.columns WHERE database = {database:String}";
        there.extend(everywhere.rows::<There>(query, &name, QUICK).await?);
    }
    let mut there: HashMap<String, String> = there.into_iter().map(|There { name, made }| (name, made)).collect();
    for statement in statements.iter().filter(|statement| statement.kind == Kind::Setting) {
        let set = statement.name.split_once('.').and_then(|(table, setting)| set(there.get(table)?, setting));
        if let Some(value) = set {
            there.insert(statement.name.clone(), value);
        }
    }
    Ok(there)
}

/// What a table's statement says of a setting.
fn set(statement: &str, setting: &str) -> Option<String> {
    let all = tokens(statement);
    let at = all.iter().rposition(|token| token.depth == 0 && token.is_word("SETTINGS"))?;
    let named = all[at..].windows(3).find(|three| three[0].is_word(setting) && three[1].is_sign("="))?;
    Some(named[2].text.to_owned())
}

async fn applied(database: &Database) -> Result<HashMap<String, Applied>, SchemaError> {
    let query = format!(
        "SELECT name, tupleElement(last, 1) AS form, tupleElement(last, 2) AS made FROM \
         (SELECT name, argMax((form, made), applied_at) AS last FROM {APPLIED} GROUP BY name)"
    );
    let found: Vec<Applied> = database.rows(&query, &[], QUICK).await?;
    // Where a crash came behind a part, what is written down of its table may be older than the part.
    let cut: Vec<String> = found.iter().filter(|it| it.made.is_empty()).map(|it| it.name.clone()).collect();
    let cut_off = |name: &str| cut.iter().any(|part| part.split_once('.').is_some_and(|(table, _)| table == name));
    let known = found.into_iter().map(|it| if cut_off(&it.name) { Applied { made: String::new(), ..it } } else { it });
    Ok(known.map(|it| (it.name.clone(), it)).collect())
}

fn step(statement: &Statement, form: &str, there: Option<&String>, applied: Option<&Applied>, database: &str) -> Step {
    let name = &statement.name;
    let whole = format!("{}.{}", quote(database), quote(name));
    let Some(there) = there else { return Step::Create };
    let Some(applied) = applied else {
        if statement.kind == Kind::Setting {
            return Step::Replace { difference: Vec::new() };
        }
        let short = there.replace(&format!("{database}."), "");
        return Step::Refuse {
            why: format!(
                "{whole} is there already, and was not made from here. If it is what the file says: engine schema apply --adopt {name}"
            ),
            difference: difference(&short, form),
        };
    };
    let of_file = difference(&applied.form, form);
    let by_hand = if applied.made.is_empty() { Vec::new() } else { difference(there, &applied.made) };
    if of_file.is_empty() && by_hand.is_empty() && (!applied.made.is_empty() || !statement.kind.is_replaced()) {
        return Step::Keep;
    }
    let is_by_hand = of_file.is_empty();
    let difference = if is_by_hand { by_hand } else { of_file };
    let what =
        if is_by_hand { "it was changed since it was applied" } else { "its file was changed since it was applied" };
    let adopt = format!("engine schema apply --adopt {name}");
    match statement.kind {
        Kind::View | Kind::Setting => Step::Replace { difference },
        Kind::Projection | Kind::Column => {
            let why = format!(
                "{what}. Change it by hand (ALTER TABLE … DROP PROJECTION, or MODIFY COLUMN), then apply; or, if it is what the \
                 file says now: {adopt}"
            );
            Step::Refuse { why, difference }
        }
        Kind::Filler => {
            let why = format!(
                "{what}. Rows that come in between two views would be missing from what it fills, so a person does it: stop \
                 the engine, DROP VIEW {whole}, engine schema apply, start it, engine schema backfill. Or, if it is what the \
                 file says now: {adopt}"
            );
            Step::Refuse { why, difference }
        }
        Kind::Table => {
            let why = format!(
                "{what}, and it holds rows. Make it what the file says by hand (ALTER TABLE {whole} …), then {adopt}; or give the \
                 new one another name, apply, and fill it with engine schema backfill"
            );
            Step::Refuse { why, difference }
        }
    }
}

/// A statement without spaces and comments that mean nothing. It is also where its syntax is checked.
async fn form(anywhere: &Database, statement: &Statement) -> Result<String, SchemaError> {
    let query = "SELECT '' AS name, formatQuery({text:String}) AS made";
    match anywhere.rows::<There>(query, &[("text", &statement.text)], QUICK).await {
        Ok(found) => Ok(found.into_iter().next().map(|found| found.made).unwrap_or_default()),
        Err(SchemaError::Statement { source, .. }) if source.code != 0 => {
            Err(SchemaError::File { path: statement.path.clone(), line: statement.line, words: source.message })
        }
        Err(error) => Err(error),
    }
}

/// Runs what a plan says, in its order, and says which statements were run.
///
/// # Errors
/// The server refuses a statement. Those before it are done, and a later plan knows it.
pub async fn apply(database: &Database, plan: &[Planned], mut done: impl FnMut(&Planned)) -> Result<(), SchemaError> {
    let create = format!(
        "CREATE TABLE IF NOT EXISTS {APPLIED} (name String, form String, made String, \
         applied_at DateTime64(6, 'UTC') DEFAULT now64(6, 'UTC')) \
         ENGINE = MergeTree ORDER BY (name, applied_at) COMMENT 'statements that engine schema has applied'"
    );
    database.run(&create, &[], QUICK).await?;
    for planned in plan {
        let statement = &planned.statement;
        match planned.step {
            Step::Refuse { .. } => {}
            Step::Keep if planned.noted => {}
            Step::Keep | Step::Adopt => note(database, planned, &made(database, statement).await?).await?,
            Step::Create | Step::Replace { .. } => {
                // Written down first: an object without its text would look like somebody else's.
                note(database, planned, "").await?;
                CrashPoint::Noted.reached();
                database.run(&statement.text, &[], QUICK).await.map_err(|error| at(statement, error))?;
                note(database, planned, &made(database, statement).await?).await?;
                done(planned);
            }
        }
    }
    Ok(())
}

/// What the server has of a statement that was run.
async fn made(database: &Database, statement: &Statement) -> Result<String, SchemaError> {
    Ok(look(database, std::slice::from_ref(statement)).await?.remove(&statement.name).unwrap_or_default())
}

/// Writes down what was, or will be, applied, and what the server has of it; nothing yet, if it will be.
async fn note(database: &Database, planned: &Planned, made: &str) -> Result<(), SchemaError> {
    if let Some(table) = planned.statement.part_of().filter(|_| !made.is_empty()) {
        // The table itself looks otherwise now, if it is one of ours.
        let insert = format!(
            "INSERT INTO {APPLIED} (name, form, made) SELECT name, argMax(form, applied_at), {{made:String}} FROM {APPLIED} \
             WHERE name = {{name:String}} GROUP BY name"
        );
        let of_table = look(database, &[]).await?.remove(table).unwrap_or_default();
        database.run(&insert, &[("name", table), ("made", &of_table)], QUICK).await?;
    }
    let insert =
        format!("INSERT INTO {APPLIED} (name, form, made) SELECT {{name:String}}, {{form:String}}, {{made:String}}");
    let values = [("name", planned.statement.name.as_str()), ("form", &planned.form), ("made", made)];
    database.run(&insert, &values, QUICK).await
}

/// A file's statement that was not done.
fn at(statement: &Statement, error: SchemaError) -> SchemaError {
    let Statement { path, line, name, .. } = statement;
    if let SchemaError::Statement { source, .. } = error {
        SchemaError::Apply { path: path.clone(), line: *line, name: name.clone(), source }
    } else {
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statement(kind: Kind) -> Statement {
        Statement { path: "gold.sql".into(), line: 1, kind, name: "g".to_owned(), text: String::new() }
    }

    fn applied(form: &str, made: &str) -> Applied {
        Applied { name: "g".to_owned(), form: form.to_owned(), made: made.to_owned() }
    }

    /// The word of a step.
    fn word(step: &Step) -> &'static str {
        match step {
            Step::Create => "create",
            Step::Keep => "keep",
            Step::Replace { .. } => "replace",
            Step::Adopt => "adopt",
            Step::Refuse { .. } => "refuse",
        }
    }

    #[test]
    fn each_row_of_the_table_above() {
        let there = "there".to_owned();
        let known = applied("form", "there");
        let cases = [
            ("form", None, None, ["create", "create", "create"]),
            ("form", None, Some(known.clone()), ["create", "create", "create"]),
            ("form", Some(&there), Some(known.clone()), ["keep", "keep", "keep"]),
            ("form", Some(&there), Some(applied("form", "")), ["keep", "keep", "replace"]),
            ("other", Some(&there), Some(known), ["refuse", "refuse", "replace"]),
            ("form", Some(&there), Some(applied("form", "was")), ["refuse", "refuse", "replace"]),
            ("form", Some(&there), None, ["refuse", "refuse", "refuse"]),
        ];
        for (form, there, applied, expected) in cases {
            for (kind, expected) in [Kind::Table, Kind::Filler, Kind::View].into_iter().zip(expected) {
                let step = step(&statement(kind), form, there, applied.as_ref(), "gold");
                assert_eq!(word(&step), expected, "{form} {there:?} {applied:?} {kind:?}");
            }
        }
    }

    #[test]
    fn a_setting_is_found_where_a_table_says_it() {
        let table = "CREATE TABLE g (`index_granularity` Int8) ENGINE = MergeTree ORDER BY a SETTINGS mode = 'rebuild', index_granularity = 8192";
        assert_eq!(set(table, "mode").as_deref(), Some("'rebuild'"));
        assert_eq!(set(table, "index_granularity").as_deref(), Some("8192"));
        assert_eq!(set(table, "other"), None);
    }

    #[test]
    fn a_refusal_shows_what_is_there_and_what_shall_be() {
        let there = "CREATE TABLE gold.g\n(\n    `a` Int32\n)".to_owned();
        let form = "CREATE TABLE g\n(\n    `a` Int64\n)";
        let Step::Refuse { why, difference } = step(&statement(Kind::Table), form, Some(&there), None, "gold") else {
            panic!("it was not refused");
        };
        assert!(why.contains("`gold`.`g`") && why.contains("--adopt g"), "{why}");
        assert_eq!(difference, ["-     `a` Int32", "+     `a` Int64"]);
    }
}
