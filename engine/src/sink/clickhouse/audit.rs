//! Rows of a table beside rows that were made again, compared by the server.
//!
//! The rows made again travel beside the query, as an external table: nothing is created, and they pass through the very
//! conversions that inserted rows pass through. What comes back are groups of offsets (or, in a current-state table, of
//! keys) at which both sides differ, so an answer is small whatever is wrong. Rows are compared by a hash of their text:
//! the server's own hashes of several columns are null where one of them is.

use bytes::Bytes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use twox_hash::XxHash3_128;

use super::ddl::Plan;
use super::encode::whole;
use super::retry::{Attempt, What};
use super::select::{answered, parsed, statement_trouble};
use super::types::declared;
use super::{ClickHouse, SinkError};
use crate::batch::Stage;
use crate::offsets::OffsetRange;
use crate::table::{TABLE_TTL, Table, TableKind, quote};
use arrow_array::{ArrayRef, BooleanArray, Int64Array, RecordBatch};
use arrow_schema::Schema;
use std::sync::Arc;

/// Columns that say which run of which plugin made a row, and so differ when it is made again; `reason` is for people, and
/// a newer engine may word it otherwise.
const NOT_COMPARED: [&str; 7] = ["_lane", "_epoch", "_row", "_ingested_at", "_plugin", "plugin_digest", "reason"];

/// Offsets of a group that are named.
const NAMED: usize = 8;

/// What is compared.
#[derive(Clone, Copy, Debug)]
pub struct Audited<'a> {
    /// The table.
    pub table: &'a Table,
    /// Its rows as they were made again; of the table's schema.
    pub made: &'a [RecordBatch],
    /// Offsets of the messages that the source holds in the range, ascending, and whether a dead letter of it was replayed.
    pub messages: &'a [(i64, bool)],
    /// The offsets.
    pub range: OffsetRange,
    /// Values of `_lane` of its rows: the lane's own, and those of its replayed letters.
    pub lanes: [u64; 2],
}

/// Offsets at which a table differs from what was made again, all in the same way. In a current-state table a row is a
/// key's last change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Group {
    /// Rows that were made again at each of the offsets.
    pub made: u64,
    /// Rows that the table holds there.
    pub there: u64,
    /// Rows of equal content on both sides.
    pub same: u64,
    /// Different names (`_epoch`, `_row`) of the rows that the table holds.
    pub names: u64,
    /// 1: the source holds no message at these offsets.
    pub unknown: u8,
    /// How many offsets (keys) there are.
    pub offsets: u64,
    /// The first of them.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// Some of them, ascending.
    pub some: Vec<i64>,
}

/// An epoch as a table's rows tell of it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenEpoch {
    /// The value of `_epoch`.
    pub epoch: u64,
    /// Its clock.
    pub clock_ms: i64,
    /// The least offset of its rows.
    pub first: i64,
    /// The greatest.
    pub last: i64,
}

/// Letters that were replayed together.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct SeenReplay {
    /// The value of `_epoch`.
    pub epoch: u64,
    /// Its clock.
    pub clock_ms: i64,
    /// The offsets of its rows.
    pub offsets: Vec<i64>,
}

/// Rows counted by name alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Names {
    /// Rows of the lane.
    pub rows: u64,
    /// Rows of epochs behind the last one that is known.
    pub unknown: u64,
    /// Rows whose name another row has as well.
    pub twice: u64,
    /// Ordinals below an epoch's greatest that no row has, in epochs without dead letters: a message that is set aside
    /// leaves the ordinals of its rows unused.
    pub lacking: u64,
}

/// Rows of another lane.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Stranger {
    /// The value of `_lane`.
    pub lane: u64,
    /// How many.
    pub rows: u64,
}

/// How the rows of a table can be compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparable {
    /// Row by row, or key by key.
    Rows,
    /// It has the rows of no lane in particular: another engine made of it what it is, or the engine's columns are not
    /// there.
    No,
    /// There is no such table.
    Missing,
}

#[derive(Deserialize)]
struct Column {
    name: String,
    #[serde(rename = "type")]
    column_type: String,
}

/// A table beside a query.
struct Beside<'a> {
    name: &'a str,
    structure: String,
    rows: Vec<u8>,
}

impl ClickHouse {
    /// Whether a table's rows can be compared with those that its lanes made.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn comparable(&self, table: &Table) -> Result<Comparable, SinkError> {
        Ok(match self.find(table, &table.name).await? {
            None => Comparable::Missing,
            Some(existing) if table.kind == TableKind::Append && !existing.keeps_rows() => Comparable::No,
            Some(_) => Comparable::Rows,
        })
    }

    /// Compares.
    ///
    /// # Errors
    /// The server refuses the question.
    pub async fn audit(&self, asked: &Audited<'_>) -> Result<Vec<Group>, SinkError> {
        let table = asked.table;
        let columns = self.columns(table).await?;
        let sql = match table.kind {
            TableKind::Append => append_query(asked, &columns),
            TableKind::Current => current_query(asked, &columns)?,
        };
        let encode = |source| SinkError::Encode { table: table.quoted(), source };
        let made = Beside {
            name: "made_again",
            structure: structure(&table.schema),
            rows: whole(&table.schema, asked.made).map_err(encode)?,
        };
        let offsets: Int64Array = asked.messages.iter().map(|(offset, _)| *offset).collect();
        let replayed: BooleanArray = asked.messages.iter().map(|(_, replayed)| Some(*replayed)).collect();
        let columns = [("offset", Arc::new(offsets) as ArrayRef, false), ("replayed", Arc::new(replayed), false)];
        let messages = RecordBatch::try_from_iter_with_nullable(columns).map_err(encode)?;
        let messages = Beside {
            name: "messages",
            structure: structure(messages.schema_ref()),
            rows: whole(messages.schema_ref(), std::slice::from_ref(&messages)).map_err(encode)?,
        };
        self.ask_beside(table, &sql, &[made, messages]).await
    }

    /// The epochs that tables have rows of, by number: those of the lane, not those of replayed letters.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn epochs_seen(
        &self,
        tables: &[Arc<Table>],
        lane: u64,
        range: OffsetRange,
    ) -> Result<Vec<SeenEpoch>, SinkError> {
        let rows = of_tables(tables, &[lane], range, "NOT bitTest(_epoch, 47)");
        let sql = format!(
            "SELECT epoch, toUnixTimestamp64Milli(max(clock)) AS clock_ms, min(at) AS first, max(at) AS last FROM ({rows}) \
             GROUP BY epoch ORDER BY epoch"
        );
        self.select_of(tables, &sql).await
    }

    /// The epochs of a lane that were parked: each of their messages is a letter.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn parked_seen(
        &self,
        letters: &Arc<Table>,
        lane: u64,
        range: OffsetRange,
    ) -> Result<Vec<SeenEpoch>, SinkError> {
        let parked = format!("stage = '{}'", Stage::Parked.as_str());
        let rows = of_tables(std::slice::from_ref(letters), &[lane], range, &parked);
        let sql = format!(
            "SELECT epoch, toUnixTimestamp64Milli(max(clock)) AS clock_ms, min(at) AS first, max(at) AS last FROM ({rows}) \
             GROUP BY epoch ORDER BY epoch"
        );
        self.select(letters, &sql, &[]).await
    }

    /// The replays of dead letters that tables have rows of.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn replays_seen(
        &self,
        tables: &[Arc<Table>],
        lanes: [u64; 2],
        range: OffsetRange,
    ) -> Result<Vec<SeenReplay>, SinkError> {
        let rows = of_tables(tables, &lanes, range, "bitTest(_epoch, 47)");
        let sql = format!(
            "SELECT epoch, toUnixTimestamp64Milli(max(clock)) AS clock_ms, arraySort(groupUniqArray(at)) AS offsets \
             FROM ({rows}) GROUP BY epoch ORDER BY epoch"
        );
        self.select_of(tables, &sql).await
    }

    /// The first offset and the one after the last that tables have rows of, as they were this many seconds ago.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn offsets_seen(
        &self,
        tables: &[Arc<Table>],
        lane: u64,
        seconds_ago: u32,
    ) -> Result<Option<OffsetRange>, SinkError> {
        #[derive(Deserialize)]
        struct Row {
            rows: u64,
            first: i64,
            last: i64,
        }
        let all = OffsetRange { start: 0, end: i64::MAX };
        let rows = of_tables(tables, &[lane], all, "NOT bitTest(_epoch, 47)");
        let sql = format!(
            "SELECT count() AS rows, min(at) AS first, max(at) AS last FROM ({rows}) \
             WHERE clock <= now64(3) - INTERVAL {seconds_ago} SECOND"
        );
        let seen: Vec<Row> = self.select_of(tables, &sql).await?;
        let seen = seen.into_iter().find(|row| row.rows > 0);
        Ok(seen.map(|row| OffsetRange { start: row.first, end: row.last + 1 }))
    }

    /// Counts a lane's rows by their names. `letters` is the table of its dead letters, `known` the value of `_epoch` of the
    /// lane's last epoch.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn names(
        &self,
        table: &Table,
        letters: &Table,
        lane: u64,
        range: OffsetRange,
        known: u64,
    ) -> Result<Names, SinkError> {
        let (at, name) = (offset_column(table), table.quoted());
        let set_aside = format!("SELECT _epoch FROM {} WHERE _lane = {lane}", letters.quoted());
        let set_aside = if name == letters.quoted() { "SELECT toUInt64(0)".to_owned() } else { set_aside };
        let sql = format!(
            "SELECT sum(n) AS rows, toUInt64(sumIf(n, e > {known} AND NOT bitTest(e, 47))) AS unknown, sum(n - u) AS twice, \
             toUInt64(sumIf(m + 1 - u, e NOT IN ({set_aside}))) AS lacking FROM \
             (SELECT _epoch AS e, count() AS n, uniqExact(_row) AS u, max(_row) AS m FROM {name} WHERE {} GROUP BY e)",
            of_lane(at, &[lane], range)
        );
        Ok(self.select::<Names>(table, &sql, &[]).await?.first().copied().unwrap_or_default())
    }

    /// Rows of other lanes than these.
    ///
    /// # Errors
    /// The server can't be asked.
    pub async fn strangers(&self, table: &Table, lanes: &[u64]) -> Result<Vec<Stranger>, SinkError> {
        let known: Vec<String> = lanes.iter().map(ToString::to_string).collect();
        let sql = format!(
            "SELECT _lane AS lane, count() AS rows FROM {} WHERE _lane NOT IN ({}) GROUP BY lane ORDER BY rows DESC LIMIT 10",
            table.quoted(),
            known.join(", ")
        );
        self.select(table, &sql, &[]).await
    }

    async fn columns(&self, table: &Table) -> Result<Vec<Column>, SinkError> {
        let sql = "SELECT name, type FROM system.columns WHERE database = {database:String} AND table = {table:String}";
        let parameters = [("database", table.database.to_string()), ("table", table.name.to_string())];
        self.select(table, sql, &parameters).await
    }

    async fn select_of<T: DeserializeOwned>(&self, tables: &[Arc<Table>], sql: &str) -> Result<Vec<T>, SinkError> {
        match tables.first() {
            Some(table) => self.select(table, sql, &[]).await,
            None => Ok(Vec::new()),
        }
    }

    /// The rows of a query that has tables beside it.
    async fn ask_beside<T: DeserializeOwned>(
        &self,
        table: &Table,
        sql: &str,
        beside: &[Beside<'_>],
    ) -> Result<Vec<T>, SinkError> {
        let (body, content_type) = form(beside);
        let structures = beside.iter().flat_map(|it| {
            [
                (format!("{}_format", it.name), "ArrowStream".to_owned()),
                (format!("{}_structure", it.name), it.structure.clone()),
            ]
        });
        let structures: Vec<(String, String)> = structures.collect();
        let settings = structures.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let settings: Vec<(&str, String)> = settings
            .chain([("output_format_json_quote_64bit_integers", "0".to_owned()), ("join_use_nulls", "0".to_owned())])
            .collect();
        let sql = format!("{sql} FORMAT JSONEachRow");
        let attempt = |attempt: Attempt| {
            let rows = Some((reqwest::Body::from(body.clone()), Some(("content-type", content_type.as_str()))));
            let answer = self.http.post(&sql, &settings, rows, attempt.timeout);
            async move { answer.await.map_err(statement_trouble) }
        };
        let (quoted, name) = (table.quoted(), "compare rows");
        let what = What { table: &quoted, name };
        let settled = self.patience.until_settled(&self.stats, what, self.timeout, attempt).await;
        parsed(table, name, &answered(table, name, settled)?.text)
    }
}

/// A multipart form: how ClickHouse takes tables that come with a query. The boundary is a hash of what it parts, which
/// nothing in it can be.
fn form(beside: &[Beside<'_>]) -> (Bytes, String) {
    let mut hash = XxHash3_128::new();
    beside.iter().for_each(|it| hash.write(&it.rows));
    let boundary = format!("engine-{:032x}", hash.finish_128());
    let mut body = Vec::new();
    for it in beside {
        let name = it.name;
        let head = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"{name}\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n"
        );
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(&it.rows);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (body.into(), format!("multipart/form-data; boundary={boundary}"))
}

/// The columns as the server is to read them: of the types that an insert names.
fn structure(schema: &Schema) -> String {
    let column = |field: &Arc<arrow_schema::Field>| {
        let of = declared(field).expect("the table was planned with these types, or has plain ones");
        format!("{} {of}", quote(field.name()))
    };
    schema.fields().iter().map(column).collect::<Vec<_>>().join(", ")
}

/// The column that holds a message's offset: dead letters have it among their own.
pub(super) fn offset_column(table: &Table) -> &'static str {
    if table.schema.column_with_name("_offset").is_some() { "_offset" } else { "offset" }
}

fn of_lane(at: &str, lanes: &[u64], range: OffsetRange) -> String {
    let lanes: Vec<String> = lanes.iter().map(ToString::to_string).collect();
    format!("_lane IN ({}) AND {at} >= {} AND {at} < {}", lanes.join(", "), range.start, range.end)
}

/// Epoch, clock and offset of the rows of several tables.
fn of_tables(tables: &[Arc<Table>], lanes: &[u64], range: OffsetRange, and: &str) -> String {
    let rows = |table: &Arc<Table>| {
        let at = offset_column(table);
        let rows = of_lane(at, lanes, range);
        format!(
            "SELECT _epoch AS epoch, _ingested_at AS clock, {at} AS at FROM {} WHERE {rows} AND {and}",
            table.quoted()
        )
    };
    tables.iter().map(rows).collect::<Vec<_>>().join(" UNION ALL ")
}

/// The rows made again, of the very types that the table's columns have.
fn made_again(table: &Table, columns: &[Column]) -> String {
    let column = |field: &Arc<arrow_schema::Field>| {
        let name = quote(field.name());
        match columns.iter().find(|column| column.name == *field.name()) {
            Some(column) => format!("CAST({name} AS {}) AS {name}", column.column_type),
            None => name,
        }
    };
    let columns: Vec<String> = table.schema.fields().iter().map(column).collect();
    format!("(SELECT {} FROM made_again)", columns.join(", "))
}

/// A hash over the columns that both sides have and that do not differ from run to run.
fn content(table: &Table, columns: &[Column]) -> String {
    let compared = |field: &&Arc<arrow_schema::Field>| {
        !NOT_COMPARED.contains(&field.name().as_str()) && columns.iter().any(|column| column.name == *field.name())
    };
    let columns: Vec<String> = table.schema.fields().iter().filter(compared).map(|field| quote(field.name())).collect();
    format!("sipHash64(toString(tuple({})))", columns.join(", "))
}

/// Rows of a table with a `TTL` go when their time has come, which is not a loss: they are left out on both sides.
fn kept(table: &Table) -> String {
    match table.schema.metadata().get(TABLE_TTL) {
        Some(ttl) => format!("{ttl} > now()"),
        None => "1".to_owned(),
    }
}

const ANSWER: &str = "SELECT made, there, same, names, unknown, toUInt64(count()) AS offsets, min(__offset) AS first, \
     max(__offset) AS last";

fn append_query(asked: &Audited<'_>, columns: &[Column]) -> String {
    let Audited { table, range, lanes, .. } = *asked;
    let (at, hash, kept) = (offset_column(table), content(table, columns), kept(table));
    let (name, made, mut mine) = (table.quoted(), made_again(table, columns), of_lane(at, &lanes, range));
    if at == "offset" {
        mine.push_str(" AND offset NOT IN (SELECT offset FROM messages WHERE replayed)");
    }
    format!(
        "{ANSWER}, arraySort(groupArray({NAMED})(__offset)) AS some FROM \
         (SELECT __offset, toUInt64(sum(__m)) AS made, toUInt64(sum(__t)) AS there, toUInt64(sum(least(__m, __t))) AS same, \
         uniqExactArray(__n) AS names, __offset NOT IN (SELECT offset FROM messages) AS unknown FROM \
         (SELECT __offset, __hash, countIf(__side = 0) AS __m, countIf(__side = 1) AS __t, \
         groupUniqArrayIf((__epoch, __row), __side = 1) AS __n FROM \
         (SELECT {at} AS __offset, {hash} AS __hash, 0 AS __side, toUInt64(0) AS __epoch, toUInt32(0) AS __row FROM {made} \
         WHERE {kept} UNION ALL \
         SELECT {at} AS __offset, {hash} AS __hash, 1 AS __side, _epoch AS __epoch, _row AS __row FROM {name} \
         WHERE {mine} AND {kept}) \
         GROUP BY __offset, __hash) GROUP BY __offset) \
         WHERE made != there OR same != made OR names != there GROUP BY made, there, same, names, unknown"
    )
}

/// Of each key that was made again, or that has a row of the range, the last change on both sides. A newer one in the table
/// stands for changes outside of the range, unless it is of the range and nobody made it.
fn current_query(asked: &Audited<'_>, columns: &[Column]) -> Result<String, SinkError> {
    let Audited { table, range, lanes, .. } = *asked;
    let plan =
        Plan::new(table).map_err(|mismatch| SinkError::Table { table: table.quoted(), mismatch, statement: None })?;
    let (key, hash, made, name) =
        (plan.order_by(), content(table, columns), made_again(table, columns), table.quoted());
    let mine = of_lane("_offset", &lanes, range);
    let mine_there = of_lane("__there_offset", &lanes, range).replace("_lane IN", "__there_lane IN");
    let side = |side: &str, of: String, more: &str| {
        format!(
            "(SELECT tuple({key}) AS __key, 1 AS __has_{side}, max(_version) AS __{side}_version, \
             argMax(_offset, _version) AS __{side}_offset, {more}groupUniqArray((_version, {hash})) AS __{side}_all \
             FROM {of} GROUP BY __key) AS {side}"
        )
    };
    let there = format!(
        "{name} WHERE ({key}) IN (SELECT {key} FROM {made} UNION DISTINCT SELECT {key} FROM {name} WHERE {mine})"
    );
    let made = side("made", made, "argMax(_deleted, _version) AS __made_deleted, ");
    let there = side("there", there, "argMax(_lane, _version) AS __there_lane, ");
    let last = |side: &str| format!("arrayMap(it -> it.2, arrayFilter(it -> it.1 = __{side}_version, __{side}_all))");
    Ok(format!(
        "{ANSWER}, arraySort(groupArray({NAMED})(__offset)) AS some FROM \
         (SELECT toUInt64(__class != 'surplus') AS made, toUInt64(__class != 'missing') AS there, toUInt64(0) AS same, there AS names, \
         __class = 'surplus' AND __offset NOT IN (SELECT offset FROM messages) AS unknown, __offset FROM \
         (SELECT multiIf(__has_there AND (NOT __has_made OR __there_version > __made_version), if({mine_there}, 'surplus', ''), \
         NOT __has_there, if(__made_deleted, '', 'missing'), __there_version < __made_version, 'missing', \
         hasAll({}, {}), '', 'changed') AS __class, \
         if(__class = 'surplus', __there_offset, __made_offset) AS __offset \
         FROM {made} FULL JOIN {there} USING (__key)) WHERE __class != '') \
         GROUP BY made, there, same, names, unknown",
        last("made"),
        last("there"),
    ))
}
