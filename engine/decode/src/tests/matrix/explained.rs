//! Every cell of the matrix that is not exact, and why.

/// Why some cells differ.
pub(super) struct Explained {
    database: &'static str,
    /// The modes, all if empty.
    modes: &'static [&'static str],
    /// The columns, all if empty.
    columns: &'static [&'static str],
    rows: &'static [i64],
    /// What the deviation's words begin with, or contain.
    deviation: &'static str,
    pub(super) words: &'static str,
}

impl Explained {
    pub(super) fn covers(&self, database: &str, mode: &str, column: &str, row: i64, deviation: &str) -> bool {
        let within = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
        (self.database.is_empty() || self.database == database)
            && within(self.modes, mode)
            && within(self.columns, column)
            && (self.rows.is_empty() || self.rows.contains(&row))
            && deviation.contains(self.deviation)
    }
}

pub(super) const EXPLAINED: &[Explained] = &[];
