//! Days of a gold table, made anew from its source.
//!
//! The days of a range are made in a table beside, of the same shape, by the very queries of the views that fill the table, and
//! compared as they would be read: merged, states as their values. Those that are equal are left alone. A day that differs is put
//! in place by `REPLACE PARTITION`, which is atomic: a reader sees it as it was or as it will be, also when the command dies
//! in the middle. Then these days are made a second time: what is equal now is done.
//!
//! | day | what becomes of it |
//! |---|---|
//! | equal | left alone |
//! | differs | put in place, and compared again |
//! | rows came into it while it was made | left alone, looked at again a few times, then said: the views keep it |
//! | the table has rows, the source none | left alone and said: what a `TTL` or a person took from the source is still gold |
//!
//! Rows that come into a day in the instant between the look and the exchange are in the old day alone; the second making
//! finds that. `REPLACE PARTITION` does not forget tokens (26.7): a block that the engine sends again is known by both tables.
//! What it can't see is a block that had come to the source and not yet to the table when their server died: its repeat
//! adds to the day what the source had already. So not between a crash of the server and the end of the repeats; the next
//! backfill mends that.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::Deserialize;

use super::source::{check, known, sources};
use super::target::{Target, View, When, find, made_of};
use super::{Database, LONG, QUICK, SchemaError};
use crate::crash_point::CrashPoint;
use crate::table::quote;

/// How often days are made before it is left to a person.
const MOST_ROUNDS: usize = 5;

/// The comment of a table beside, by which it is known that it may be dropped.
const BESIDE: &str = "made by engine schema backfill, which drops it";

/// A day of the calendar, as SQL has it: `2026-11-21`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Day(String);

/// What is no day.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no day, such as 2026-11-21")]
pub struct NoDay;

impl FromStr for Day {
    type Err = NoDay;

    fn from_str(text: &str) -> Result<Self, NoDay> {
        let shape = |(at, c): (usize, char)| if at == 4 || at == 7 { c == '-' } else { c.is_ascii_digit() };
        if text.len() != 10 || !text.char_indices().all(shape) {
            return Err(NoDay);
        }
        let number = |part: std::ops::Range<usize>| text[part].parse::<u32>().map_err(|_| NoDay);
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days = match month {
            2 => 28 + u32::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => 0,
        };
        if (1970..2149).contains(&year) && (1..=days).contains(&day) { Ok(Self(text.to_owned())) } else { Err(NoDay) }
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is to be filled.
#[derive(Clone, Debug, Default)]
pub struct Range {
    /// The first day; none: the first there is.
    pub from: Option<Day>,
    /// The day behind the last.
    pub to: Option<Day>,
}

/// What a backfill did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filled {
    /// Days were compared, and made anew where they differed.
    Days(Days),
    /// These views made all of the table anew.
    Refreshed(Vec<String>),
}

/// What became of the days of a range. Those that are not named are equal to what the source says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Days {
    /// How many were compared.
    pub compared: usize,
    /// They differed, and are equal now.
    pub made: Vec<String>,
    /// The table has rows of them and the source has none: left alone.
    pub only_here: Vec<String>,
    /// They differ still: rows come into them, or they are made differently each time.
    pub restless: Vec<String>,
    /// Tables that views make of this one: they know nothing of it.
    pub fills: Vec<String>,
}

/// A day on both sides.
#[derive(Clone, Debug, Deserialize)]
struct Compared {
    day: String,
    made: u64,
    there: u64,
    equal: u8,
}

#[derive(Deserialize)]
struct Word {
    word: String,
}

#[derive(Deserialize)]
struct Mark {
    day: String,
    mark: u64,
}

/// Makes the days of the range equal to what the source says, and makes sure that they are. `unchecked` takes the source
/// as it is.
///
/// # Errors
/// The source lacks rows or has some twice; the table is not filled by days.
pub async fn backfill(database: &Database, table: &str, range: &Range, unchecked: bool) -> Result<Filled, SchemaError> {
    let known = known(database).await?;
    let target = find(database, &known, table).await?;
    if !unchecked {
        let queries: Vec<&str> = target.views.iter().map(|view| view.made.as_str()).collect();
        for source in sources(&database.name, &known, &queries) {
            check(database, source).await?;
        }
    }
    if target.views.iter().any(|view| view.when != When::Inserts) {
        return refresh(database, &target).await.map(Filled::Refreshed);
    }
    let mut days = Filling { database, target: &target }.by_days(range).await?;
    days.fills = made_of(&database.name, &known, table);
    Ok(Filled::Days(days))
}

/// Has the views make the table anew, and waits for it.
async fn refresh(database: &Database, target: &Target) -> Result<Vec<String>, SchemaError> {
    let wrong = |words: &str| SchemaError::Target { table: target.name.clone(), words: words.to_owned() };
    if target.views.iter().any(|view| view.when != When::Anew) {
        return Err(wrong(
            "a view adds rows to it by the clock (APPEND), so they can't be made anew without being there twice",
        ));
    }
    for View { name, .. } in &target.views {
        database.run(&format!("SYSTEM REFRESH VIEW {}", quote(name)), &[], QUICK).await?;
        // It fails where the refresh does.
        database.run(&format!("SYSTEM WAIT VIEW {}", quote(name)), &[], LONG).await?;
        let query = "SELECT exception AS word FROM system.view_refreshes WHERE database = currentDatabase() AND view = {view:String} \
                     AND exception != ''";
        if let Some(Word { word: words }) = database.rows(query, &[("view", name)], QUICK).await?.first() {
            return Err(wrong(&format!("its view {} could not: {words}", quote(name))));
        }
    }
    Ok(target.views.iter().map(|view| view.name.clone()).collect())
}

/// A table being filled.
struct Filling<'a> {
    database: &'a Database,
    target: &'a Target,
}

impl Filling<'_> {
    async fn by_days(&self, range: &Range) -> Result<Days, SchemaError> {
        self.days_are_dates().await?;
        self.drop_beside().await?;
        let mut days = Days::default();
        let mut within = self.range(range);
        for round in 0..MOST_ROUNDS {
            let marks = self.marks().await?;
            self.make(&within).await?;
            let compared = self.compare(&within).await?;
            if round == 0 {
                days.compared = compared.len();
            }
            days.restless.clear();
            for Compared { day, made, there, equal } in compared {
                if equal == 1 {
                    continue;
                }
                if made == 0 && there > 0 {
                    days.only_here.push(day);
                    continue;
                }
                if self.marks().await?.get(&day) == marks.get(&day) {
                    self.replace(&day).await?;
                    days.made.push(day.clone());
                }
                days.restless.push(day); // until it is found equal
            }
            if days.restless.is_empty() {
                break;
            }
            within = self.these(&days.restless);
        }
        self.drop_beside().await?;
        days.made.retain(|day| !days.restless.contains(day));
        days.made.sort();
        days.made.dedup();
        Ok(days)
    }

    async fn days_are_dates(&self) -> Result<(), SchemaError> {
        let wrong = |words: &str| SchemaError::Target { table: self.target.name.clone(), words: words.to_owned() };
        if self.target.day.is_empty() {
            return Err(wrong(
                "it has no partitions. Give it PARTITION BY toDate(…), so that a day can be put in place",
            ));
        }
        // Of no row at all an aggregate still has a type.
        let query =
            format!("SELECT toTypeName(any({})) AS word FROM {} WHERE 0", self.target.day, quote(&self.target.name));
        let found: Vec<Word> = self.database.rows(&query, &[], QUICK).await?;
        if found.first().is_none_or(|found| found.word != "Date") {
            return Err(wrong("its partitions are not days: give it PARTITION BY toDate(…)"));
        }
        Ok(())
    }

    fn range(&self, range: &Range) -> String {
        let day = &self.target.day;
        let from = range.from.as_ref().map(|from| format!("{day} >= toDate('{from}')"));
        let to = range.to.as_ref().map(|to| format!("{day} < toDate('{to}')"));
        let bounds: Vec<_> = from.into_iter().chain(to).collect();
        if bounds.is_empty() { "1".to_owned() } else { bounds.join(" AND ") }
    }

    fn these(&self, days: &[String]) -> String {
        let days: Vec<_> = days.iter().map(|day| format!("toDate('{day}')")).collect();
        format!("{} IN ({})", self.target.day, days.join(", "))
    }

    fn beside(&self) -> String {
        format!("engine_backfill_{}", self.target.name)
    }

    /// Takes the table beside away, if it was made from here.
    async fn drop_beside(&self) -> Result<(), SchemaError> {
        let beside = self.beside();
        let query =
            "SELECT comment AS word FROM system.tables WHERE database = currentDatabase() AND name = {beside:String}";
        let found: Vec<Word> = self.database.rows(query, &[("beside", &beside)], QUICK).await?;
        match found.first() {
            None => Ok(()),
            Some(Word { word: comment }) if comment == BESIDE => {
                self.database.run(&format!("DROP TABLE {} SYNC", quote(&beside)), &[], QUICK).await
            }
            Some(_) => Err(SchemaError::Target {
                table: self.target.name.clone(),
                words: format!(
                    "its days would be made in {}, and there is a table of this name: rename that one",
                    quote(&beside)
                ),
            }),
        }
    }

    /// How far each day has come: it grows with each part that is added to it.
    async fn marks(&self) -> Result<HashMap<String, u64>, SchemaError> {
        let query = "SELECT partition AS day, toUInt64(max(max_block_number)) AS mark FROM system.parts \
                     WHERE database = currentDatabase() AND table = {table:String} AND active GROUP BY partition";
        let found: Vec<Mark> = self.database.rows(query, &[("table", &self.target.name)], QUICK).await?;
        Ok(found.into_iter().map(|Mark { day, mark }| (day, mark)).collect())
    }

    /// Makes days beside the table, as its views would have made them.
    async fn make(&self, within: &str) -> Result<(), SchemaError> {
        let (table, beside) = (quote(&self.target.name), quote(&self.beside()));
        self.drop_beside().await?;
        let engine = self.target.engine.as_ref().map(|engine| format!(" ENGINE = {engine}")).unwrap_or_default();
        let create = format!("CREATE TABLE {beside} AS {table}{engine} COMMENT '{BESIDE}'");
        self.database.run(&create, &[], QUICK).await?;
        for View { made, columns, .. } in &self.target.views {
            // Without deduplication: it is by content here, and two equal blocks of states are two.
            let insert = format!(
                "INSERT INTO {beside} ({columns}) SETTINGS insert_deduplicate = 0, max_partitions_per_insert_block = 0 \
                 SELECT {columns} FROM ({made}) WHERE {within}"
            );
            self.database.run(&insert, &[], LONG).await?;
        }
        Ok(())
    }

    /// The days that either side has rows of.
    async fn compare(&self, within: &str) -> Result<Vec<Compared>, SchemaError> {
        let Target { day, values, merges, .. } = self.target;
        let (values, merged) = (values.join(", "), if *merges { " FINAL" } else { "" });
        let side = |table: &str, side: u8| {
            format!(
                "SELECT toString({day}) AS backfill_day, {side} AS backfill_side, count() AS backfill_rows, \
                 sum(cityHash64(toString(tuple({values})))) AS backfill_hash FROM {}{merged} WHERE {within} GROUP BY backfill_day",
                quote(table)
            )
        };
        let query = format!(
            "SELECT backfill_day AS day, toUInt64(sumIf(backfill_rows, backfill_side = 1)) AS made, \
             toUInt64(sumIf(backfill_rows, backfill_side = 0)) AS there, \
             toUInt8(count() = 2 AND uniqExact((backfill_rows, backfill_hash)) = 1) AS equal \
             FROM ({} UNION ALL {}) GROUP BY day ORDER BY day",
            side(&self.target.name, 0),
            side(&self.beside(), 1)
        );
        self.database.rows(&query, &[], LONG).await
    }

    async fn replace(&self, day: &str) -> Result<(), SchemaError> {
        let (table, beside) = (quote(&self.target.name), quote(&self.beside()));
        let replace = format!("ALTER TABLE {table} REPLACE PARTITION '{day}' FROM {beside}");
        self.database.run(&replace, &[], LONG).await?;
        CrashPoint::DayReplaced.reached();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_days() {
        for text in ["2026-11-21", "2024-02-29", "2000-02-29", "1970-01-01"] {
            assert_eq!(text.parse::<Day>().map(|day| day.to_string()).as_deref(), Ok(text));
        }
        let none = [
            "",
            "2026-11",
            "2026-13-01",
            "2026-02-29",
            "2100-02-29",
            "2026-11-00",
            "2026-11-21T",
            "26-11-2021",
            "1969-12-31",
        ];
        for text in none.into_iter().chain(["2026-1-021", "'); DROP --", "2026-11-2é"]) {
            assert_eq!(text.parse::<Day>(), Err(NoDay), "{text}");
        }
    }
}
