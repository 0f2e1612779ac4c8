//! What becomes of messages, as lines of JSON that people read and compare.
//!
//! ```json
//! {"table":"silver_users","row":{"user_id":"1","email":"a@b.de","_op":"c"}}
//! {"dead":{"offset":3,"stage":"transform","code":"bad_email","column":null}}
//! ```
//! Rows stand in the order in which they would be inserted, table by table; then the dead letters, by offset. Of the
//! engine's columns there is `_op`: a delete is `d`, and nothing stands there for a row that is made of state alone; and
//! `_deleted` where it is not what `_op` says. The others say where and when a row was made.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int64Type, UInt8Type};
use arrow_array::{ArrayRef, RecordBatch};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::batch::Block;
use crate::cell;
use crate::table::{engine_columns, plugin_column};

/// One line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Outcome {
    Row(Row),
    Dead { dead: Dead },
}

/// A row of a table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Row {
    /// The table, by the plugin's name for it.
    pub table: String,
    /// Its columns.
    pub row: Columns,
}

/// Columns and their values as text, in the table's order; `None` is null. Equal whatever the order.
#[derive(Clone, Debug, Default, Eq)]
pub(super) struct Columns(pub Vec<(String, Option<String>)>);

/// A message that was set aside. Equal whatever the reason: words may be improved.
#[derive(Clone, Debug, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dead {
    pub offset: i64,
    pub stage: String,
    pub code: String,
    #[serde(default)]
    pub column: Option<String>,
    /// In words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl Columns {
    /// The value of a column; the outer `None`: there is none of this name.
    pub(super) fn get(&self, name: &str) -> Option<Option<&str>> {
        self.0.iter().find(|(column, _)| column == name).map(|(_, value)| value.as_deref())
    }
}

impl PartialEq for Columns {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().all(|(name, value)| other.get(name) == Some(value.as_deref()))
    }
}

impl PartialEq for Dead {
    fn eq(&self, other: &Self) -> bool {
        let told = |it: &Self| (it.offset, it.stage.clone(), it.code.clone(), it.column.clone());
        told(self) == told(other)
    }
}

impl Outcome {
    /// As it is expected: without words.
    pub(super) fn to_be_expected(&self) -> Self {
        let mut outcome = self.clone();
        if let Self::Dead { dead } = &mut outcome {
            dead.reason.clear();
        }
        outcome
    }
}

impl Serialize for Columns {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        self.0.iter().try_for_each(|(name, value)| map.serialize_entry(name, value))?;
        map.end()
    }
}

impl<'de> Deserialize<'de> for Columns {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let map = std::collections::BTreeMap::<String, Option<String>>::deserialize(deserializer)?;
        Ok(Self(map.into_iter().collect()))
    }
}

/// The lines of an epoch's blocks; `dead_letters` is the name of that table.
pub(super) fn outcomes(blocks: &[Block], dead_letters: &str) -> Vec<Outcome> {
    let (dead, rows): (Vec<&Block>, Vec<&Block>) = blocks.iter().partition(|block| &*block.table.name == dead_letters);
    let rows = rows.into_iter().flat_map(|block| {
        let table = &block.table.name;
        block.batches.iter().flat_map(rows_of).map(|row| Outcome::Row(Row { table: table.to_string(), row }))
    });
    let dead = dead.into_iter().flat_map(|block| block.batches.iter().flat_map(letters_of));
    rows.chain(dead.map(|dead| Outcome::Dead { dead })).collect()
}

fn rows_of(batch: &RecordBatch) -> Vec<Columns> {
    let hidden: Vec<_> =
        engine_columns().into_iter().chain([plugin_column()]).map(|field| field.name().clone()).collect();
    let schema = batch.schema();
    let shown: Vec<(&String, &ArrayRef)> = schema
        .fields()
        .iter()
        .zip(batch.columns())
        .map(|(field, column)| (field.name(), column))
        .filter(|(name, _)| *name == "_op" || !hidden.contains(name))
        .collect();
    let deleted = batch.column_by_name("_deleted").expect("every output table has the engine's columns");
    let deleted = deleted.as_primitive::<UInt8Type>();
    let row = |row| {
        let mut columns: Vec<_> =
            shown.iter().map(|(name, column)| ((*name).clone(), cell::text(column, row))).collect();
        let is_delete = columns.iter().any(|(name, value)| name == "_op" && value.as_deref() == Some("d"));
        let deletes = deleted.value(row) != 0;
        if deletes != is_delete {
            columns.push(("_deleted".to_owned(), Some(deletes.to_string())));
        }
        Columns(columns)
    };
    (0..batch.num_rows()).map(row).collect()
}

fn letters_of(batch: &RecordBatch) -> Vec<Dead> {
    let column = |name: &str| batch.column_by_name(name).expect("the engine makes this table");
    let offsets = column("offset").as_primitive::<Int64Type>();
    let text = |name: &str, row| cell::text(column(name), row);
    let letter = |row| Dead {
        offset: offsets.value(row),
        stage: text("stage", row).unwrap_or_default(),
        code: text("code", row).unwrap_or_default(),
        column: text("column", row),
        reason: text("reason", row).unwrap_or_default(),
    };
    (0..offsets.len()).map(letter).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written_and_columns_keep_their_order() {
        let row = Columns(vec![("b".into(), Some("1".into())), ("a".into(), None)]);
        let line = Outcome::Row(Row { table: "t".into(), row });
        let text = serde_json::to_string(&line).expect("JSON");
        assert_eq!(text, r#"{"table":"t","row":{"b":"1","a":null}}"#);
        assert_eq!(serde_json::from_str::<Outcome>(&text).expect("a line"), line);

        let dead = r#"{"dead":{"offset":3,"stage":"decode","code":"invalid_json","column":null}}"#;
        let read: Outcome = serde_json::from_str(dead).expect("a line");
        assert_eq!(serde_json::to_string(&read).expect("JSON"), dead);
    }
}
