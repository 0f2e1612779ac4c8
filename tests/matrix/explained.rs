//! Every cell of the matrix that is not exact, and why.

/// Why some cells differ.
pub(crate) struct Explained {
    /// What the tables' names begin with.
    table: &'static str,
    /// The modes, all if empty.
    modes: &'static [&'static str],
    /// The columns, all if empty.
    columns: &'static [&'static str],
    rows: &'static [i64],
    /// What the deviation's words begin with, or contain.
    deviation: &'static str,
    pub(crate) words: &'static str,
}

impl Explained {
    pub(crate) fn covers(&self, table: &str, mode: &str, column: &str, row: i64, deviation: &str) -> bool {
        let within = |list: &[&str], word: &str| list.is_empty() || list.contains(&word);
        table.starts_with(self.table)
            && within(self.modes, mode)
            && within(self.columns, column)
            && (self.rows.is_empty() || self.rows.contains(&row))
            && deviation.contains(self.deviation)
    }
}

pub(crate) const EXPLAINED: &[Explained] = &[
    Explained {
        table: "postgres",
        modes: &[],
        columns: &["c_date", "c_ts0", "c_ts3", "c_ts", "c_tstz"],
        rows: &[5],
        deviation: "refused as infinity",
        words: "Row 5 is infinite. It is told apart in every form that the connector gives it (also where snapshot and stream differ) and is set aside with the code `infinity`, or becomes what the policy `infinity` says: null, or the nearest value that ClickHouse holds.",
    },
    Explained {
        table: "postgres",
        modes: &[],
        columns: &["c_date"],
        rows: &[6],
        deviation: "-703383 for",
        words: "Lossy in Debezium: a date before our era loses its era, 44 BC comes as the year 44. Timestamps keep it.",
    },
    Explained {
        table: "postgres",
        modes: &[],
        columns: &["c_num"],
        rows: &[5, 6],
        deviation: "null for",
        words: "Lossy in Debezium: NaN and Infinity of numeric come as null.",
    },
    Explained {
        table: "postgres",
        modes: &["string", "double"],
        columns: &["c_num"],
        rows: &[5, 6],
        deviation: "refused as",
        words: "NaN and Infinity of numeric come by name and are set aside with the codes `nan` and `infinity`, unless the policies of these names say null.",
    },
    Explained {
        table: "",
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
            "c_dec_65_0",
            "c_dec_38_38",
            "c_num_u_arr",
        ],
        rows: &[],
        deviation: "",
        words: "Lossy in Debezium: a double has 15 to 17 digits. What it rounds beyond the column's precision is set aside.",
    },
    Explained {
        table: "postgres",
        modes: &["nanoseconds"],
        columns: &["c_ts0", "c_ts3", "c_ts", "c_ts_arr"],
        rows: &[],
        deviation: "null",
        words: "Lossy in Debezium: nanoseconds reach from 1677 to 2262; PostgreSQL's timestamps beyond come as null.",
    },
    Explained {
        table: "",
        modes: &["double"],
        columns: &["c_ts", "c_time", "c_ts_arr", "c_dt6", "c_time6"],
        rows: &[],
        deviation: " for ",
        words: "Lossy in Debezium: `connect` keeps milliseconds alone.",
    },
    Explained {
        table: "postgres",
        modes: &["string"],
        columns: &["c_time0", "c_time3", "c_time"],
        rows: &[5],
        deviation: "0 for 86400000000",
        words: "Lossy in Debezium: as `isostring` the time 24:00 comes as 00:00.",
    },
    Explained {
        table: "postgres",
        modes: &["structured"],
        columns: &["c_time0", "c_time3", "c_time"],
        rows: &[5],
        deviation: "null for",
        words: "Lossy in Debezium: as `structured` the time 24:00 comes as null.",
    },
    Explained {
        table: "postgres",
        modes: &[],
        columns: &["c_time0", "c_time3", "c_time", "c_timetz"],
        rows: &[5],
        deviation: "refused as out_of_range",
        words: "Row 5 is 24:00, which is no time of a day in Arrow and ClickHouse: set aside with the code `out_of_range`, null by the policy of this name; exact as Int64.",
    },
    Explained {
        table: "mariadb",
        modes: &[],
        columns: &["c_bool"],
        rows: &[5],
        deviation: "refused as wrong_type",
        words: "Row 5 is 2, which MariaDB takes for a boolean (it is a TINYINT) and Arrow does not: set aside. Exact as Int8.",
    },
    Explained {
        table: "mariadb",
        modes: &[],
        columns: &["c_date", "c_dt0", "c_dt6"],
        rows: &[5],
        deviation: "null for 0000-00-00",
        words: "Lossy in Debezium: a zero date comes as null (and, in a column that can't be null, as 1970-01-01).",
    },
    Explained {
        table: "mariadb",
        modes: &["nanoseconds"],
        columns: &["c_dt0", "c_dt3", "c_dt6"],
        rows: &[3, 4],
        deviation: "",
        words: "Lossy in Debezium: nanoseconds reach from 1677 to 2262; MariaDB's datetimes beyond come as other numbers, overflown. Do not use this mode with such dates.",
    },
    Explained {
        table: "mariadb",
        modes: &["string", "double"],
        columns: &["c_time0", "c_time3", "c_time6"],
        rows: &[3, 4, 5],
        deviation: "null for",
        words: "Lossy in Debezium: as `isostring` and `connect` a TIME below 0 or beyond a day comes as null.",
    },
    Explained {
        table: "mariadb",
        modes: &["string"],
        columns: &["c_time0", "c_time3", "c_time6"],
        rows: &[5],
        deviation: "0 for",
        words: "Lossy in Debezium: as `isostring` a TIME of 24:00:00 or just below 0 comes as 00:00.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_tstz0", "c_tstz3"],
        rows: &[5, 6],
        deviation: "refused as infinity",
        words: "Rows 5 and 6 are infinite: see 1.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_tstz3"],
        rows: &[4],
        deviation: "refused as out_of_range",
        words: "Row 4 is the end of PostgreSQL's time, the year 294276: microseconds in 64 bits end in 294247. Set aside, or as the policy `out_of_range` says.",
    },
    Explained {
        table: "postgres-more",
        modes: &["precise", "nanoseconds", "structured"],
        columns: &["c_num_neg", "c_num_big"],
        rows: &[],
        deviation: "",
        words: "Without schema base64 has the declared column's scale: a scale below zero (which the connector writes as 2046, and as many zeros) and a column of text have none. With schema and in Avro both are exact.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_num_text"],
        rows: &[1],
        deviation: "12.5 for 12.50",
        words: "Lossy in Debezium: zeros at the end of a numeric without scale are lost; the number is the same.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_num_text"],
        rows: &[5, 6],
        deviation: "null for",
        words: "Lossy in Debezium: see 3.",
    },
    Explained {
        table: "postgres-more",
        modes: &["string"],
        columns: &["c_num_text"],
        rows: &[5, 6],
        deviation: " for ",
        words: "As text the words are those of the connector: NAN, POSITIVE_INFINITY, NEGATIVE_INFINITY.",
    },
    Explained {
        table: "postgres-more",
        modes: &["double", "numeric"],
        columns: &["c_num_text", "c_num_big"],
        rows: &[],
        deviation: "refused as wrong_type",
        words: "A JSON number is no text: set aside. Declare the column as a decimal or as a double.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_bit100"],
        rows: &[3],
        deviation: " for 00000000000000000000000000",
        words: "Lossy in Debezium: of `bit(n)` and `bit varying` the zero bytes at the end (the highest bits) are lost, and of the latter the length.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_num_u_arr"],
        rows: &[5, 6],
        deviation: "null for",
        words: "Lossy in Debezium: an array of numeric with NaN or Infinity comes as null.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_time_arr"],
        rows: &[],
        deviation: " for ",
        words: "Lossy in Debezium: times in an array have milliseconds alone, and 24:00 is 00:00.",
    },
    Explained {
        table: "postgres-more",
        modes: &[],
        columns: &["c_i4_arr2"],
        rows: &[],
        deviation: " for {",
        words: "Lossy in Debezium: the elements of an array of arrays come as null.",
    },
    Explained {
        table: "mariadb-more",
        modes: &[],
        columns: &["c_enum"],
        rows: &[4],
        deviation: "? for 🚀",
        words: "Lossy in MariaDB's binary log, not in the snapshot: a letter beyond the BMP in a word of an ENUM is a question mark.",
    },
];
