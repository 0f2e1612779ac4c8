//! What the matrix has: tables, their columns and as what these are declared, and the connectors' modes.

use std::sync::Arc;

use arrow_schema::{DataType, Field, TimeUnit};

/// A column of a recorded table: its name, its type in the database, and as what it is declared.
pub(crate) type Tested = (&'static str, &'static str, As);

/// As what a column is declared; times in the unit that the mode writes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum As {
    Plain(fn() -> DataType),
    /// Timestamp, of this many digits behind the second.
    Time(u32),
    /// Time of day.
    Clock(u32),
    Zoned,
    Json,
    /// Decimals, told apart because their writing without schema is the input's setting.
    Decimal(u8, i8),
    Bytes,
    Bits,
    /// `BIGINT UNSIGNED`.
    Unsigned,
    Interval,
    /// MySQL's TIME: beyond a day, so that it is no time of day.
    Duration,
    List(fn() -> DataType),
    Times,
    ZonedTimes,
    Decimals,
    /// Times of day.
    Clocks,
    BytesList,
    /// Longer than 64.
    LongBits,
    /// A geometry as its well-known binary.
    Wkb,
}

/// The server that a table lies in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Database {
    Postgres,
    MariaDb,
}

/// A table: `NAME.sql` makes it, `NAME-values.sql` asks the database for its cells.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    /// Its name in the database, with its schema's or database's.
    pub(crate) table: &'static str,
    pub(crate) database: Database,
    /// PostgreSQL's extension that it needs and that may not be installed.
    pub(crate) extension: Option<&'static str>,
    /// The heading above its rows; none: they follow those of the table before.
    pub(crate) title: Option<&'static str>,
    pub(crate) columns: &'static [Tested],
}

/// A way in which a connector may be set up.
pub(crate) struct Mode {
    pub(crate) name: &'static str,
    pub(crate) words: &'static str,
    /// What differs from Debezium's defaults.
    pub(crate) settings: &'static [(&'static str, &'static str)],
}

impl Table {
    /// The modes that its connectors know.
    pub(crate) fn modes(&self) -> impl Iterator<Item = &'static Mode> {
        let database = self.database;
        MODES.iter().filter(move |mode| database == Database::Postgres || mode.name != "structured")
    }
}

pub(crate) const TABLES: &[Table] = &[
    Table {
        name: "postgres",
        table: "public.matrix",
        database: Database::Postgres,
        extension: Some("hstore"),
        title: Some("PostgreSQL 15, Debezium 3.7.0"),
        columns: POSTGRES,
    },
    Table {
        name: "postgres-more",
        table: "public.more",
        database: Database::Postgres,
        extension: Some("isn"),
        title: None,
        columns: POSTGRES_MORE,
    },
    Table {
        name: "postgis",
        table: "public.shapes",
        database: Database::Postgres,
        extension: Some("postgis"),
        title: Some("PostGIS 3.3"),
        columns: POSTGIS,
    },
    Table {
        name: "pgvector",
        table: "public.vectors",
        database: Database::Postgres,
        extension: Some("vector"),
        title: Some("pgvector 0.8, PostgreSQL 16"),
        columns: PGVECTOR,
    },
    Table {
        name: "mariadb",
        table: "matrix.matrix",
        database: Database::MariaDb,
        extension: None,
        title: Some("MariaDB 10.11, Debezium 3.5.0"),
        columns: MARIADB,
    },
    Table {
        name: "mariadb-more",
        table: "matrix.more",
        database: Database::MariaDb,
        extension: None,
        title: None,
        columns: MARIADB_MORE,
    },
];

pub(crate) const MODES: &[Mode] = &[
    Mode { name: "precise", words: "Debezium's defaults: `precise`, `adaptive`, `bytes`", settings: &[] },
    Mode {
        name: "string",
        words: "`string` decimals, `isostring`, `hex`, `interval.handling.mode=string`, hstore as `map`, unsigned `precise`",
        settings: &[
            ("decimal.handling.mode", "string"),
            ("time.precision.mode", "isostring"),
            ("interval.handling.mode", "string"),
            ("binary.handling.mode", "hex"),
            ("hstore.handling.mode", "map"),
            ("bigint.unsigned.handling.mode", "precise"),
        ],
    },
    Mode {
        name: "double",
        words: "`double` decimals, `connect` times, `base64`",
        settings: &[
            ("decimal.handling.mode", "double"),
            ("time.precision.mode", "connect"),
            ("binary.handling.mode", "base64"),
        ],
    },
    Mode {
        name: "numeric",
        words: "`decimal.format=NUMERIC`, `microseconds`, `base64-url-safe`, unsigned `precise`",
        settings: &[
            ("time.precision.mode", "microseconds"),
            ("binary.handling.mode", "base64-url-safe"),
            ("value.converter.decimal.format", "NUMERIC"),
            ("bigint.unsigned.handling.mode", "precise"),
        ],
    },
    Mode { name: "nanoseconds", words: "`nanoseconds`", settings: &[("time.precision.mode", "nanoseconds")] },
    Mode {
        name: "structured",
        words: "`structured` times; PostgreSQL alone",
        settings: &[("time.precision.mode", "structured"), ("interval.handling.mode", "string")],
    },
];

fn map() -> DataType {
    let pair = vec![Field::new("keys", DataType::Utf8, false), Field::new("values", DataType::Utf8, true)];
    DataType::Map(Arc::new(Field::new("entries", DataType::Struct(pair.into()), false)), false)
}

pub(crate) fn list_of(element: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", element, true)))
}

const POSTGRES: &[Tested] = &[
    ("c_bool", "boolean", As::Plain(|| DataType::Boolean)),
    ("c_i2", "smallint", As::Plain(|| DataType::Int16)),
    ("c_i4", "integer", As::Plain(|| DataType::Int32)),
    ("c_i8", "bigint", As::Plain(|| DataType::Int64)),
    ("c_f4", "real", As::Plain(|| DataType::Float32)),
    ("c_f8", "double precision", As::Plain(|| DataType::Float64)),
    ("c_num_10_2", "numeric(10,2)", As::Decimal(10, 2)),
    ("c_num_38_10", "numeric(38,10)", As::Decimal(38, 10)),
    ("c_num_76_38", "numeric(76,38)", As::Decimal(76, 38)),
    ("c_num", "numeric", As::Decimal(76, 19)),
    ("c_money", "money", As::Decimal(19, 2)),
    ("c_char", "char(5)", As::Plain(|| DataType::Utf8)),
    ("c_varchar", "varchar", As::Plain(|| DataType::Utf8)),
    ("c_text", "text", As::Plain(|| DataType::Utf8)),
    ("c_citext", "citext", As::Plain(|| DataType::Utf8)),
    ("c_date", "date", As::Plain(|| DataType::Date32)),
    ("c_ts0", "timestamp(0)", As::Time(0)),
    ("c_ts3", "timestamp(3)", As::Time(3)),
    ("c_ts", "timestamp", As::Time(6)),
    ("c_tstz", "timestamptz", As::Zoned),
    ("c_time0", "time(0)", As::Clock(0)),
    ("c_time3", "time(3)", As::Clock(3)),
    ("c_time", "time", As::Clock(6)),
    ("c_timetz", "timetz", As::Plain(|| DataType::Time64(TimeUnit::Microsecond))),
    ("c_interval", "interval", As::Interval),
    ("c_uuid", "uuid", As::Plain(|| DataType::FixedSizeBinary(16))),
    ("c_json", "json", As::Json),
    ("c_jsonb", "jsonb", As::Json),
    ("c_xml", "xml", As::Plain(|| DataType::Utf8)),
    ("c_bytea", "bytea", As::Bytes),
    ("c_bit1", "bit(1)", As::Plain(|| DataType::Boolean)),
    ("c_bit5", "bit(5)", As::Bits),
    ("c_bit64", "bit(64)", As::Bits),
    ("c_varbit", "bit varying", As::Bits),
    ("c_i4_arr", "integer[]", As::List(|| DataType::Int32)),
    ("c_i8_arr", "bigint[]", As::List(|| DataType::Int64)),
    ("c_f8_arr", "double precision[]", As::List(|| DataType::Float64)),
    ("c_bool_arr", "boolean[]", As::List(|| DataType::Boolean)),
    ("c_text_arr", "text[]", As::List(|| DataType::Utf8)),
    ("c_num_arr", "numeric(10,2)[]", As::Decimals),
    ("c_date_arr", "date[]", As::List(|| DataType::Date32)),
    ("c_ts_arr", "timestamp[]", As::Times),
    ("c_tstz_arr", "timestamptz[]", As::ZonedTimes),
    ("c_uuid_arr", "uuid[]", As::List(|| DataType::FixedSizeBinary(16))),
    ("c_enum_arr", "enum[]", As::List(|| DataType::Utf8)),
    ("c_enum", "enum", As::Plain(|| DataType::Utf8)),
    ("c_domain", "domain of int", As::Plain(|| DataType::Int32)),
    ("c_inet", "inet", As::Plain(|| DataType::Utf8)),
    ("c_cidr", "cidr", As::Plain(|| DataType::Utf8)),
    ("c_macaddr", "macaddr", As::Plain(|| DataType::Utf8)),
    ("c_hstore", "hstore", As::Plain(map)),
    ("c_hstore", "hstore", As::Json),
    ("c_ltree", "ltree", As::Plain(|| DataType::Utf8)),
    ("c_tsvector", "tsvector", As::Plain(|| DataType::Utf8)),
    ("c_point", "point", As::Json),
    ("c_i4range", "int4range", As::Plain(|| DataType::Utf8)),
    ("c_oid", "oid", As::Plain(|| DataType::UInt32)),
];

const POSTGRES_MORE: &[Tested] = &[
    ("c_name", "name", As::Plain(|| DataType::Utf8)),
    ("c_num_neg", "numeric(5,-2)", As::Decimal(38, 0)),
    ("c_num_text", "numeric", As::Plain(|| DataType::Utf8)),
    ("c_num_big", "numeric(200,100)", As::Plain(|| DataType::Utf8)),
    ("c_domain_num", "domain of numeric(10,2)", As::Decimal(10, 2)),
    ("c_domain_text", "domain of text", As::Plain(|| DataType::Utf8)),
    ("c_tstz0", "timestamptz(0)", As::Zoned),
    ("c_tstz3", "timestamptz(3)", As::Zoned),
    ("c_timetz3", "timetz(3)", As::Plain(|| DataType::Time64(TimeUnit::Microsecond))),
    ("c_bit100", "bit(100)", As::LongBits),
    ("c_varbit", "bit varying", As::LongBits),
    ("c_macaddr8", "macaddr8", As::Plain(|| DataType::Utf8)),
    ("c_pg_lsn", "pg_lsn", As::Bytes),
    ("c_tsquery", "tsquery", As::Bytes),
    ("c_isbn", "isbn", As::Plain(|| DataType::Utf8)),
    ("c_i8range", "int8range", As::Plain(|| DataType::Utf8)),
    ("c_numrange", "numrange", As::Plain(|| DataType::Utf8)),
    ("c_tsrange", "tsrange", As::Plain(|| DataType::Utf8)),
    ("c_tstzrange", "tstzrange", As::Plain(|| DataType::Utf8)),
    ("c_daterange", "daterange", As::Plain(|| DataType::Utf8)),
    ("c_multirange", "int4multirange", As::Bytes),
    ("c_composite", "composite", As::Bytes),
    ("c_line", "line", As::Json),
    ("c_lseg", "lseg", As::Wkb),
    ("c_box", "box", As::Wkb),
    ("c_path", "path", As::Wkb),
    ("c_polygon", "polygon", As::Wkb),
    ("c_circle", "circle", As::Json),
    ("c_i2_arr", "smallint[]", As::List(|| DataType::Int16)),
    ("c_f4_arr", "real[]", As::List(|| DataType::Float32)),
    ("c_varchar_arr", "varchar[]", As::List(|| DataType::Utf8)),
    ("c_char_arr", "char(3)[]", As::List(|| DataType::Utf8)),
    ("c_num_u_arr", "numeric[]", As::List(|| DataType::Decimal256(76, 19))),
    ("c_time_arr", "time[]", As::Clocks),
    ("c_bytea_arr", "bytea[]", As::BytesList),
    ("c_json_arr", "json[]", As::List(|| DataType::Utf8)),
    ("c_jsonb_arr", "jsonb[]", As::List(|| DataType::Utf8)),
    ("c_inet_arr", "inet[]", As::List(|| DataType::Utf8)),
    ("c_i4_arr2", "integer[][]", As::List(|| DataType::Int32)),
];

const POSTGIS: &[Tested] = &[
    ("c_point", "geometry(Point)", As::Wkb),
    ("c_geometry", "geometry", As::Wkb),
    ("c_srid", "geometry(Geometry,4326)", As::Wkb),
    ("c_srid_json", "geometry(Geometry,4326)", As::Json),
    ("c_geography", "geography", As::Wkb),
    ("c_geometry_arr", "geometry[]", As::List(|| DataType::Binary)),
];

const PGVECTOR: &[Tested] = &[
    ("c_vector", "vector(3)", As::List(|| DataType::Float64)),
    ("c_vector", "vector(3)", As::List(|| DataType::Float32)),
    ("c_any", "vector", As::List(|| DataType::Float32)),
    ("c_half", "halfvec(3)", As::List(|| DataType::Float32)),
    ("c_sparse", "sparsevec(5)", As::List(|| DataType::Float32)),
    ("c_sparse_json", "sparsevec(5)", As::Json),
];

const MARIADB: &[Tested] = &[
    ("c_bool", "boolean", As::Plain(|| DataType::Boolean)),
    ("c_i1", "tinyint", As::Plain(|| DataType::Int8)),
    ("c_u1", "tinyint unsigned", As::Plain(|| DataType::UInt8)),
    ("c_i2", "smallint", As::Plain(|| DataType::Int16)),
    ("c_u2", "smallint unsigned", As::Plain(|| DataType::UInt16)),
    ("c_i3", "mediumint", As::Plain(|| DataType::Int32)),
    ("c_u3", "mediumint unsigned", As::Plain(|| DataType::UInt32)),
    ("c_i4", "int", As::Plain(|| DataType::Int32)),
    ("c_u4", "int unsigned", As::Plain(|| DataType::UInt32)),
    ("c_i8", "bigint", As::Plain(|| DataType::Int64)),
    ("c_u8", "bigint unsigned", As::Unsigned),
    ("c_f4", "float", As::Plain(|| DataType::Float32)),
    ("c_f8", "double", As::Plain(|| DataType::Float64)),
    ("c_dec_10_2", "decimal(10,2)", As::Decimal(10, 2)),
    ("c_dec_65_30", "decimal(65,30)", As::Decimal(65, 30)),
    ("c_udec", "decimal(20,0) unsigned", As::Decimal(20, 0)),
    ("c_bit1", "bit(1)", As::Plain(|| DataType::Boolean)),
    ("c_bit5", "bit(5)", As::Bits),
    ("c_bit64", "bit(64)", As::Bits),
    ("c_char", "char(5)", As::Plain(|| DataType::Utf8)),
    ("c_varchar", "varchar", As::Plain(|| DataType::Utf8)),
    ("c_text", "text", As::Plain(|| DataType::Utf8)),
    ("c_latin1", "varchar, latin1", As::Plain(|| DataType::Utf8)),
    ("c_binary", "binary(5)", As::Bytes),
    ("c_varbinary", "varbinary", As::Bytes),
    ("c_blob", "blob", As::Bytes),
    ("c_date", "date", As::Plain(|| DataType::Date32)),
    ("c_dt0", "datetime", As::Time(0)),
    ("c_dt3", "datetime(3)", As::Time(3)),
    ("c_dt6", "datetime(6)", As::Time(6)),
    ("c_ts0", "timestamp", As::Zoned),
    ("c_ts6", "timestamp(6)", As::Zoned),
    ("c_time0", "time", As::Duration),
    ("c_time3", "time(3)", As::Duration),
    ("c_time6", "time(6)", As::Duration),
    ("c_year", "year", As::Plain(|| DataType::Int16)),
    ("c_enum", "enum", As::Plain(|| DataType::Utf8)),
    ("c_set", "set", As::List(|| DataType::Utf8)),
    ("c_set", "set", As::Plain(|| DataType::Utf8)),
    ("c_json", "json", As::Json),
    ("c_point", "point", As::Json),
];

const MARIADB_MORE: &[Tested] = &[
    ("c_zerofill", "int zerofill", As::Plain(|| DataType::UInt32)),
    ("c_real", "real", As::Plain(|| DataType::Float64)),
    ("c_float_53", "float(53)", As::Plain(|| DataType::Float64)),
    ("c_double_10_2", "double(10,2)", As::Plain(|| DataType::Float64)),
    ("c_dec_65_0", "decimal(65,0)", As::Decimal(65, 0)),
    ("c_dec_38_38", "decimal(38,38)", As::Decimal(38, 38)),
    ("c_dec", "decimal", As::Decimal(10, 0)),
    ("c_bit10", "bit(10)", As::Bits),
    ("c_tinytext", "tinytext", As::Plain(|| DataType::Utf8)),
    ("c_mediumtext", "mediumtext", As::Plain(|| DataType::Utf8)),
    ("c_longtext", "longtext", As::Plain(|| DataType::Utf8)),
    ("c_nchar", "nchar(5)", As::Plain(|| DataType::Utf8)),
    ("c_utf16", "varchar, utf16", As::Plain(|| DataType::Utf8)),
    ("c_binary_text", "varchar, utf8mb4_bin", As::Plain(|| DataType::Utf8)),
    ("c_tinyblob", "tinyblob", As::Bytes),
    ("c_mediumblob", "mediumblob", As::Bytes),
    ("c_longblob", "longblob", As::Bytes),
    ("c_enum", "enum with odd words", As::Plain(|| DataType::Utf8)),
    ("c_geometry", "geometry", As::Wkb),
    ("c_linestring", "linestring", As::Wkb),
    ("c_polygon", "polygon", As::Wkb),
    ("c_multipoint", "multipoint", As::Wkb),
    ("c_collection", "geometrycollection", As::Wkb),
];
