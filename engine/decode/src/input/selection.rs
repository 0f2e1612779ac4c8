//! Which messages of a shared topic are meant: those with one value in a column or a header.

use serde::{Deserialize, Serialize};

/// The messages that have this value there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Selection {
    /// Where it stands.
    pub by: SelectBy,
    /// The value, as text.
    pub value: String,
}

/// Where a message says whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SelectBy {
    /// A column of the row.
    Column(String),
    /// A header of the message.
    Header(String),
}
