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

pub(super) const EXPLAINED: &[Explained] = &[
    Explained {
        database: "postgres",
        modes: &[],
        columns: &["c_date", "c_ts0", "c_ts3", "c_ts", "c_tstz"],
        rows: &[5],
        deviation: "refused as infinity",
        words: "Row 5 is infinite. It is told apart in every form that the connector gives it (also where snapshot and stream differ) and is set aside with the code `infinity`, or becomes what the policy `infinity` says: null, or the nearest value that ClickHouse holds.",
    },
    Explained {
        database: "postgres",
        modes: &[],
        columns: &["c_date"],
        rows: &[6],
        deviation: "-703383 for",
        words: "Lossy in Debezium: a date before our era loses its era, 44 BC comes as the year 44. Timestamps keep it.",
    },
    Explained {
        database: "postgres",
        modes: &[],
        columns: &["c_num"],
        rows: &[5, 6],
        deviation: "null for",
        words: "Lossy in Debezium: NaN and Infinity of numeric come as null.",
    },
    Explained {
        database: "postgres",
        modes: &["string", "double"],
        columns: &["c_num"],
        rows: &[5, 6],
        deviation: "refused as",
        words: "NaN and Infinity of numeric come by name and are set aside with the codes `nan` and `infinity`, unless the policies of these names say null.",
    },
    Explained {
        database: "",
        modes: &["double"],
        columns: &[
            "c_num_38_10",
            "c_num_76_38",
            "c_num",
            "c_money",
            "c_num_arr",
            "c_dec_10_2",
            "c_dec_65_30",
            "c_udec",
        ],
        rows: &[],
        deviation: "",
        words: "Lossy in Debezium: a double has 15 to 17 digits. What it rounds beyond the column's precision is set aside.",
    },
    Explained {
        database: "postgres",
        modes: &["nanoseconds"],
        columns: &["c_ts0", "c_ts3", "c_ts", "c_ts_arr"],
        rows: &[3, 4, 6],
        deviation: "null",
        words: "Lossy in Debezium: nanoseconds reach from 1677 to 2262; PostgreSQL's timestamps beyond come as null.",
    },
    Explained {
        database: "",
        modes: &["double"],
        columns: &["c_ts", "c_time", "c_ts_arr", "c_dt6", "c_time6"],
        rows: &[],
        deviation: " for ",
        words: "Lossy in Debezium: `connect` keeps milliseconds alone.",
    },
    Explained {
        database: "postgres",
        modes: &["string"],
        columns: &["c_time0", "c_time3", "c_time"],
        rows: &[5],
        deviation: "0 for 86400000000",
        words: "Lossy in Debezium: as `isostring` the time 24:00 comes as 00:00.",
    },
    Explained {
        database: "postgres",
        modes: &["structured"],
        columns: &["c_time0", "c_time3", "c_time"],
        rows: &[5],
        deviation: "null for",
        words: "Lossy in Debezium: as `structured` the time 24:00 comes as null.",
    },
    Explained {
        database: "postgres",
        modes: &[],
        columns: &["c_time0", "c_time3", "c_time", "c_timetz"],
        rows: &[5],
        deviation: "refused as out_of_range",
        words: "Row 5 is 24:00, which is no time of a day in Arrow and ClickHouse: set aside with the code `out_of_range`, null by the policy of this name; exact as Int64.",
    },
    Explained {
        database: "mariadb",
        modes: &[],
        columns: &["c_bool"],
        rows: &[5],
        deviation: "refused as wrong_type",
        words: "Row 5 is 2, which MariaDB takes for a boolean (it is a TINYINT) and Arrow does not: set aside. Exact as Int8.",
    },
    Explained {
        database: "mariadb",
        modes: &[],
        columns: &["c_date", "c_dt0", "c_dt6"],
        rows: &[5],
        deviation: "null for 0000-00-00",
        words: "Lossy in Debezium: a zero date comes as null (and, in a column that can't be null, as 1970-01-01).",
    },
    Explained {
        database: "mariadb",
        modes: &["nanoseconds"],
        columns: &["c_dt0", "c_dt3", "c_dt6"],
        rows: &[3, 4],
        deviation: "",
        words: "Lossy in Debezium: nanoseconds reach from 1677 to 2262; MariaDB's datetimes beyond come as other numbers, overflown. Do not use this mode with such dates.",
    },
    Explained {
        database: "mariadb",
        modes: &["string", "double"],
        columns: &["c_time0", "c_time3", "c_time6"],
        rows: &[3, 4, 5],
        deviation: "null for",
        words: "Lossy in Debezium: as `isostring` and `connect` a TIME below 0 or beyond a day comes as null.",
    },
    Explained {
        database: "mariadb",
        modes: &["string"],
        columns: &["c_time0", "c_time3", "c_time6"],
        rows: &[5],
        deviation: "0 for",
        words: "Lossy in Debezium: as `isostring` a TIME of 24:00:00 or just below 0 comes as 00:00.",
    },
];
