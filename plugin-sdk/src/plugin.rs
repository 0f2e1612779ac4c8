//! The entry: what [`export!`](crate::export) makes of a plugin, and the host as it sees it.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::description::{Contradiction, Description, Format, OnExpire, StateDescription, StateTable, TableKind};
use crate::row::Row;
use crate::state::{
    Cells, Due, Duplicates, Found, Ids, KeyAndValue, Late, Merge, Scd2, Sessions, StateTables, StateValue, Times,
    clear_counters, flush_counters, keyed, scd2,
};
use crate::{Ctx, Outputs, Parameters, RawBatch, Reject, RejectedRow, Timestamp};

/// A plugin. Implemented by [`export!`](crate::export).
pub trait Plugin {
    /// What the plugin reads and writes.
    ///
    /// # Errors
    /// Its types contradict each other.
    fn description() -> Result<Description, Contradiction>;
    /// Reads the parameters; what comes back transforms batches with them.
    ///
    /// # Errors
    /// One of them is wrong.
    fn start(parameters: &[String], epoch: Epoch) -> Result<Instance, String>;
}

/// What an epoch knows of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Epoch {
    /// Its clock, ms since 1970-01-01 UTC.
    pub now_ms: i64,
    /// Its watermark, ms since 1970-01-01 UTC; `None` before the first event.
    pub watermark_ms: Option<i64>,
}

impl Epoch {
    /// The context of a plugin's functions.
    pub fn context<P>(self, parameters: P) -> Ctx<P> {
        Ctx { parameters, now: Timestamp::new(self.now_ms), watermark: self.watermark_ms.map(Timestamp::new) }
    }
}

type Process<P> = for<'a> fn(&RawBatch<'a>, &'a Ctx<P>, &mut dyn Host) -> Result<Vec<RejectedRow>, String>;
type Expire<P> = for<'a> fn(&Due<'a>, &'a Ctx<P>, &mut dyn Host) -> Result<(), String>;

/// With its context.
type Started = dyn Fn(&RawBatch<'_>, &mut dyn Host) -> Result<Vec<RejectedRow>, String> + Send + Sync;
type Expiring = dyn Fn(&Due<'_>, &mut dyn Host) -> Result<(), String> + Send + Sync;

/// A plugin that was started: it transforms batches.
pub struct Instance {
    process: Box<Started>,
    expire: Box<Expiring>,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").finish_non_exhaustive()
    }
}

impl Instance {
    /// An instance of two functions. Called by [`export!`](crate::export).
    pub fn new<P: Send + Sync + 'static>(context: Ctx<P>, process: Process<P>, expire: Expire<P>) -> Self {
        let context = Arc::new(context);
        let shared = context.clone();
        Self {
            process: Box::new(move |batch, host| process(batch, &context, host)),
            expire: Box::new(move |due, host| expire(due, &shared, host)),
        }
    }

    /// Transforms a batch: gives rows to the host, and back the rejected ones.
    ///
    /// # Errors
    /// The batch as a whole fails.
    pub fn process(&self, batch: &RawBatch<'_>, host: &mut dyn Host) -> Result<Vec<RejectedRow>, String> {
        clear_counters();
        let rejected = (self.process)(batch, host)?;
        flush_counters(host);
        Ok(rejected)
    }

    /// Takes entries of state that have expired.
    ///
    /// # Errors
    /// An entry is not what the plugin writes.
    pub fn expire(&self, due: &Due<'_>, host: &mut dyn Host) -> Result<(), String> {
        clear_counters();
        (self.expire)(due, host)?;
        flush_counters(host);
        Ok(())
    }
}

/// The plugin's ways out, beside what it returns. A host that keeps no state need not say what it does with it: a plugin
/// without state never asks.
pub trait Host {
    /// Gives rows for an output table: the buffers of its made columns. `deletes` has a bit for each row that says whether
    /// it deletes its key; empty: each does what its input row does.
    fn emit(&mut self, output: u32, from: RowsFrom<'_>, deletes: &[u8], buffers: &[&[u8]]);
    /// The greatest event time of the batch, ms.
    fn event_time(&mut self, greatest_ms: i64) {
        let _ = greatest_ms;
    }
    /// Adds to a counter of the plugin.
    fn count(&mut self, name: &str, by: u64) {
        let _ = (name, by);
    }
    /// The entries of keys.
    fn get_many(&mut self, table: u32, keys: Cells<'_>) -> Found {
        let _ = keys;
        unreachable!("this host keeps no state, and the plugin asks for table {table}")
    }
    /// Writes entries; no expiries: never.
    fn put_many(&mut self, table: u32, keys: Cells<'_>, values: Cells<'_>, expiries: &[i64]) {
        let _ = (keys, values, expiries);
        unreachable!("this host keeps no state, and the plugin writes to table {table}")
    }
    /// Takes entries away.
    fn delete_many(&mut self, table: u32, keys: Cells<'_>) {
        let _ = keys;
        unreachable!("this host keeps no state, and the plugin deletes from table {table}")
    }
    /// Writes empty entries for the keys that have none; a bit for each key says which these were.
    fn insert_if_absent_many(&mut self, table: u32, keys: Cells<'_>, expiries: &[i64]) -> Vec<u8> {
        let _ = (keys, expiries);
        unreachable!("this host keeps no state, and the plugin writes to table {table}")
    }
}

/// Which input row each output row was made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowsFrom<'a> {
    /// All rows of the batch, in order.
    All,
    /// The rows whose bit is set, in order.
    Selected(&'a [u8]),
    /// The row at each index.
    Taken(&'a [u32]),
    /// No row of the batch: so many rows made of state alone.
    None(u32),
}

/// What a plugin keeps beside the keys of its deduplication.
#[derive(Debug, Default)]
pub struct Keeps {
    /// Version of its values, then those that are read.
    versions: Vec<u32>,
    tables: Vec<StateTable>,
    /// It can't do without event time.
    needs_time: Option<&'static str>,
    /// It makes the rows of its last table of state.
    makes_rows: Option<&'static str>,
    /// Its function sees whole batches.
    whole_batches: bool,
    wrong: Option<String>,
}

impl Keeps {
    /// Nothing.
    #[must_use]
    pub fn nothing() -> Self {
        Self::default()
    }

    /// The values of a plugin in row style.
    #[must_use]
    pub fn keyed<S: KeyAndValue>(expires: bool) -> Self {
        let mut versions = Vec::new();
        S::Value::reads(&mut versions);
        Self { versions, tables: vec![keyed::table(expires)], ..Self::default() }
    }

    /// The tables of a plugin in batch style.
    #[must_use]
    pub fn tables<S: StateTables>() -> Self {
        let mut versions = Vec::new();
        let count = S::describe(&mut versions);
        let table = |name: &&'static str| StateTable { name, on_expire: OnExpire::Drop };
        Self {
            versions,
            tables: keyed::TABLES.iter().take(count).map(table).collect(),
            whole_batches: true,
            ..Self::default()
        }
    }

    /// Sessions.
    pub fn sessions<'a, I, S, P, K, F, E, C>(
        sessions: &Sessions<I::Of<'a>, K, F, E>,
        _: C,
        _: PhantomData<&'a P>,
    ) -> Self
    where
        I: Row,
        S: StateValue + Merge,
        P: 'static,
        E: Ids<I::Of<'a>>,
        C: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<Option<S>, Reject>,
    {
        let mut versions = Vec::new();
        S::reads(&mut versions);
        let (tables, wrong) = match sessions.tables() {
            Ok(tables) => (tables, None),
            Err(wrong) => (Vec::new(), Some(wrong)),
        };
        Self { versions, tables, needs_time: Some("sessions"), makes_rows: Some("sessions"), wrong, ..Self::default() }
    }

    /// Versions of rows.
    pub fn scd2<'a, I, V, P, K, F, C>(_: &Scd2<I::Of<'a>, K, F>, _: C, _: PhantomData<&'a P>) -> Self
    where
        I: Row,
        V: StateValue,
        P: 'static,
        C: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<Option<V>, Reject>,
    {
        let mut versions = Vec::new();
        V::reads(&mut versions);
        let tables = vec![scd2::table()];
        Self { versions, tables, needs_time: Some("scd2"), makes_rows: Some("scd2"), ..Self::default() }
    }
}

/// Describes a plugin of these types. Called by [`export!`](crate::export).
///
/// # Errors
/// The types contradict each other.
pub fn describe<'a, I: Row, O: Outputs, P: Parameters, T: Times<I::Of<'a>>, D: Duplicates<I::Of<'a>>>(
    name_and_version: (&'static str, &'static str),
    format: Format,
    (times, dedup): (&T, &D),
    keeps: Keeps,
    _: PhantomData<&'a ()>,
) -> Result<Description, Contradiction> {
    let mut columns = Vec::new();
    I::describe(&mut columns);
    let mut outputs = Vec::new();
    O::describe(&mut outputs);
    let mut description = Description::new(name_and_version, format, columns, outputs, P::describe())?;
    let wrong = |what: String| Err(Contradiction(what));
    if let Some(what) = keeps.wrong {
        return wrong(what);
    }
    if let (false, Some(what)) = (T::KNOWN, keeps.needs_time) {
        return wrong(format!("{what} need to know when a row happened: say it with event_time: of(…)"));
    }
    if !T::KNOWN && dedup.within_ms().is_some() {
        return wrong(
            "dedup forgets keys by event time: say with event_time: of(…) what that is, or leave within out".into(),
        );
    }
    if keeps.whole_batches && times.late() != Late::Process {
        return wrong(
            "in batch style the function decides of late rows: compare with ctx.watermark, and leave late out".into(),
        );
    }
    if let Some(what) = keeps.makes_rows {
        check_made(&description, what)?;
    }
    let mut tables: Vec<_> = dedup.table().into_iter().collect();
    tables.extend(keeps.tables);
    if !tables.is_empty() {
        let mut versions = keeps.versions;
        // Versions of several values are versions of the whole.
        versions.sort_unstable();
        versions.dedup();
        let version = versions.pop().unwrap_or(1);
        description.state = Some(StateDescription { version, reads: versions, tables });
    }
    description.event_time = times.description();
    Ok(description)
}

/// A table whose rows are made of state takes nothing over from messages, and its rows take the place of older ones.
fn check_made(description: &Description, what: &str) -> Result<(), Contradiction> {
    let Some(output) = description.outputs.last() else { return Ok(()) };
    if output.kind != TableKind::Current {
        let why = format!("table `{}` of {what} is to be of kind \"current\": its rows change", output.table);
        return Err(Contradiction(why));
    }
    match output.columns.iter().find(|column| column.passed_from.is_some()) {
        None => Ok(()),
        Some(column) => Err(Contradiction(format!(
            "column `{}` of table `{}` can't be a Pass: rows of {what} are made of state, not of one message",
            column.column.name, output.table
        ))),
    }
}

/// Makes a crate a plugin.
///
/// ```
/// use plugin_sdk::{Change, Ctx, Reject, Row, Table};
///
/// #[derive(Row)]
/// struct Customer<'a> {
///     id: i64,
///     name: &'a str,
/// }
///
/// #[derive(Table)]
/// #[table(name = "customers", kind = "current", sort_key = ["id"])]
/// struct Clean<'a> {
///     id: i64,
///     name: &'a str,
/// }
///
/// fn clean<'a>(change: Change<Customer<'a>>, _: &Ctx) -> Result<Option<Clean<'a>>, Reject> {
///     let name = change.row.name.trim();
///     if name.is_empty() && !change.deleted() {
///         return Err(Reject::new("no_name", "a customer has a name"));
///     }
///     Ok(Some(Clean { id: change.row.id, name }))
/// }
///
/// plugin_sdk::export! {
///     plugin: Customers,           // the type that tests and the engine know the plugin by
///     input: Change<Customer>,     // or the row alone, where the operation does not matter
///     output: Option<Clean>,       // what the function gives back
///     row: clean,                  // or `rows: function`, or `batch: function`
/// }
/// # fn main() {}
/// ```
///
/// Between `plugin` and `input` may stand `format: Flat` (default: `Envelope`), between `output` and the function, in this
/// order and each only where it is wanted:
///
/// | part | says |
/// |---|---|
/// | `parameters: Type` | what `plugin.toml` may set |
/// | `event_time: of(\|row\| …).delay(…).idle(…).late(…)` | when a row happened: see [`EventTime`](crate::EventTime) |
/// | `dedup: by(\|row\| …).within(…)` | of the rows of a key the first stays: see [`Dedup`](crate::Dedup) |
/// | `state: KeyedState<K, V>, key: \|row\| …` | what is kept for a row's key: see [`KeyedState`](crate::KeyedState) |
/// | `sessions: by(\|row\| …).gap(…).longest(…).id(\|row\| …)` | see [`Sessions`](crate::Sessions) |
/// | `scd2: by(\|row\| …)` | see [`Scd2`](crate::Scd2) |
///
/// The functions are
///
/// | style | function | output |
/// |---|---|---|
/// | `row` | `fn(In, &Ctx) -> Result<Out, Reject>` | what it gives back: a row, an `Option`, `Vec` or array of rows, a tuple of these |
/// | `rows` | `fn(In, &Ctx) -> Result<impl Iterator<Item = Out>, Reject>` | the row |
/// | `batch` | `fn(&Batch<In>, &mut Emit<Out>, &Ctx) -> Result<(), String>` | as for `row` |
/// | `row`, with `state` | `fn(In, &mut Entry<V>, &Ctx) -> Result<Out, Reject>` | as for `row` |
/// | and perhaps `expire` | `fn(K, V, &Ctx) -> Out`; `Out` may borrow from key and context: `fn<'a>(&'a str, V, &'a Ctx) -> Out<'a>` | the same |
/// | `batch`, with `state` | `fn(&Batch<In>, &KeyedState<K, V>, &mut Emit<Out>, &Ctx) -> Result<(), String>` | as for `row` |
/// | `row`, with `sessions` | `fn(In, &Ctx) -> Result<Option<Sum>, Reject>` | |
/// | and perhaps `event` | `fn(In, Session<Sum>, &Ctx) -> Event` | `(Event, Session's row)`, or the latter alone |
/// | and `session` | `fn(K, Session<Sum>, &Ctx) -> Session's row` | |
/// | `row`, with `scd2` | `fn(In, &Ctx) -> Result<Option<V>, Reject>` | |
/// | and `version` | `fn(K, Version<V>, &Ctx) -> Out` | the row |
#[macro_export]
macro_rules! export {
    (@format) => { $crate::Format::Envelope };
    (@format $format:ident) => { $crate::Format::$format };
    (@type) => { () };
    (@type $type:ty) => { $type };
    (@or {} { $($default:tt)* }) => { $($default)* };
    (@or { $($given:tt)+ } { $($default:tt)* }) => { $($given)+ };

    // What a batch goes through: [event_time] [dedup] [state] [key] [sessions] [scd2] and the functions.
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [] [] [] [] [] [] row: $row:path
    ) => { $crate::process_row::<$input, $output, _, _>($batch, $ctx, $host, &$row) };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [] [] [] [] [] [] rows: $rows:path
    ) => { $crate::process_rows::<$input, $output, _, _>($batch, $ctx, $host, &$rows) };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [] [] [] [] [] [] batch: $function:path
    ) => { $crate::process_batch::<$input, $output, _, _>($batch, $ctx, $host, &$function) };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [$($dedup:expr)?] [] [] [] [] row: $row:path
    ) => { $crate::state::process_row_with::<$input, $output, _, _, _, _>($batch, $ctx, $host, $steps, &$row) };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [$($dedup:expr)?] [] [] [] [] rows: $rows:path
    ) => { $crate::state::process_rows_with::<$input, $output, _, _, _, _>($batch, $ctx, $host, $steps, &$rows) };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [$($dedup:expr)?] [$state:ty] [$key:expr] [] [] row: $row:path $(, expire: $expire:path)?
    ) => {
        $crate::state::process_keyed::<$input, $output, $state, _, _, _, _, _>($batch, $ctx, $host, $steps, $key, $row)
    };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [] [$state:ty] [] [] [] batch: $function:path
    ) => {
        $crate::state::process_batch_with::<$input, $output, $state, _, _, _>($batch, $ctx, $host, $steps.0, $function)
    };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [$($dedup:expr)?] [] [] [$sessions:expr] [] row: $row:path, event: $event:path, session: $session:path
    ) => {
        $crate::state::process_sessions::<
            $input,
            <$output as $crate::state::EventsAndSessions>::Events,
            <$output as $crate::state::EventsAndSessions>::Sessions,
            _, _, _, _, _, _, _, _, _, _,
        >($batch, $ctx, $host, $steps, &$sessions, $row, $event, $session)
    };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [$($dedup:expr)?] [] [] [$sessions:expr] [] row: $row:path, session: $session:path
    ) => {
        $crate::state::process_sessions::<$input, (), $output, _, _, _, _, _, _, _, _, _, _>(
            $batch, $ctx, $host, $steps, &$sessions, $row, |_, _, _| (), $session,
        )
    };
    (@process ($batch:ident, $ctx:ident, $host:ident, $steps:expr) ($input:ty) ($output:ty)
        [$($time:expr)?] [$($dedup:expr)?] [] [] [] [$scd2:expr] row: $row:path, version: $version:path
    ) => {
        $crate::state::process_scd2::<$input, $output, _, _, _, _, _, _, _, _>(
            $batch, $ctx, $host, $steps, &$scd2, $row, $version,
        )
    };
    (@process ($($context:tt)*) ($input:ty) ($output:ty) $time:tt $dedup:tt [$state:ty] [] [] [] row: $($rest:tt)*) => {
        compile_error!("in row style `state` goes with `key: |row| …`, the key of a row, in front of `row`")
    };
    (@process ($($context:tt)*) ($input:ty) ($output:ty) $time:tt $dedup:tt [] [] [$sessions:expr] [] $($rest:tt)*) => {
        compile_error!("with `sessions` go the functions `row`, `event` where events have rows of their own, and `session`, in this order")
    };
    (@process ($($context:tt)*) ($input:ty) ($output:ty) $time:tt $dedup:tt [] [] [] [$scd2:expr] $($rest:tt)*) => {
        compile_error!("with `scd2` go the functions `row` and `version`, in this order")
    };
    (@process ($($context:tt)*) ($input:ty) ($output:ty) $time:tt $dedup:tt $state:tt $key:tt [] [] batch: $($rest:tt)*) => {
        compile_error!("in batch style there is `event_time` only with `state`, and no `dedup` and `key`: a KeySet says which keys are new")
    };
    (@process $($other:tt)*) => {
        compile_error!("these parts of export! do not go together: its documentation has a table of those that do")
    };

    // What the host is told of state.
    (@keeps ($input:ty) ($parameters:ty) ($a:lifetime) [$state:ty] [$key:expr] [] [] row: $row:path) => {
        $crate::plugin::Keeps::keyed::<$state>(false)
    };
    (@keeps ($input:ty) ($parameters:ty) ($a:lifetime) [$state:ty] [$key:expr] [] [] row: $row:path, expire: $expire:path) => {
        $crate::plugin::Keeps::keyed::<$state>(true)
    };
    (@keeps ($input:ty) ($parameters:ty) ($a:lifetime) [$state:ty] [] [] [] batch: $batch:path) => {
        $crate::plugin::Keeps::tables::<$state>()
    };
    (@keeps ($input:ty) ($parameters:ty) ($a:lifetime) [] [] [$sessions:expr] [] row: $row:path $(, $rest:ident: $path:path)*) => {
        $crate::plugin::Keeps::sessions::<$input, _, $parameters, _, _, _, _>(
            &$sessions, $row, ::core::marker::PhantomData::<&$a $parameters>,
        )
    };
    (@keeps ($input:ty) ($parameters:ty) ($a:lifetime) [] [] [] [$scd2:expr] row: $row:path $(, $rest:ident: $path:path)*) => {
        $crate::plugin::Keeps::scd2::<$input, _, $parameters, _, _, _>(
            &$scd2, $row, ::core::marker::PhantomData::<&$a $parameters>,
        )
    };
    (@keeps $($other:tt)*) => { $crate::plugin::Keeps::nothing() };

    // What becomes of entries that expire.
    (@expire ($due:ident, $ctx:ident, $host:ident, $dedup:expr) ($input:ty) ($output:ty)
        [$state:ty] [$key:expr] [] [] row: $row:path, expire: $expire:path
    ) => { $crate::state::expire_keyed::<$output, $state, _, _>($due, $ctx, $host, $expire) };
    (@expire ($due:ident, $ctx:ident, $host:ident, $dedup:expr) ($input:ty) ($output:ty)
        [] [] [$sessions:expr] [] row: $row:path, event: $event:path, session: $session:path
    ) => {
        $crate::state::expire_sessions::<
            $input,
            <$output as $crate::state::EventsAndSessions>::Events,
            <$output as $crate::state::EventsAndSessions>::Sessions,
            _, _, _, _, _, _, _, _,
        >($due, $ctx, $host, &$sessions, $dedup, $row, $session)
    };
    (@expire ($due:ident, $ctx:ident, $host:ident, $dedup:expr) ($input:ty) ($output:ty)
        [] [] [$sessions:expr] [] row: $row:path, session: $session:path
    ) => {
        $crate::state::expire_sessions::<$input, (), $output, _, _, _, _, _, _, _, _>(
            $due, $ctx, $host, &$sessions, $dedup, $row, $session,
        )
    };
    (@expire ($due:ident, $($other:tt)*) $($rest:tt)*) => {
        Err(::std::format!("entries of table {} do not call the plugin", $due.table))
    };

    (@mistake parameters) => { $crate::export!(@order); };
    (@mistake event_time) => { $crate::export!(@order); };
    (@mistake dedup) => { $crate::export!(@order); };
    (@mistake state) => { $crate::export!(@order); };
    (@mistake sessions) => { $crate::export!(@order); };
    (@mistake scd2) => { $crate::export!(@order); };
    (@mistake row) => { $crate::export!(@order); };
    (@mistake rows) => { $crate::export!(@order); };
    (@mistake batch) => { $crate::export!(@order); };
    (@mistake $style:ident) => {
        compile_error!(concat!("`", stringify!($style), "`: a plugin has `row: function`, `rows: function` or `batch: function`"));
    };
    (@order) => {
        compile_error!(
            "export! takes, in this order: `plugin: Name, format: Flat, input: Row, output: Table, parameters: Type, \
             event_time: of(|row| …), dedup: by(|row| …), state: KeyedState<K, V>, key: |row| …, sessions: by(|row| …), \
             scd2: by(|row| …), row: function`; all but plugin, input, output and a function may be left out, `rows: function` \
             or `batch: function` may stand in place of row"
        );
    };

    (
        plugin: $plugin:ident,
        $(format: $format:ident,)?
        input: $input:ty,
        output: $output:ty,
        $(parameters: $parameters:ty,)?
        $(event_time: of($time:expr) $(.$time_setting:ident($time_value:expr))*,)?
        $(dedup: by($dedup:expr) $(.$dedup_setting:ident($dedup_value:expr))*,)?
        $(state: $state:ty, $(key: $key:expr,)?)?
        $(sessions: by($sessions:expr) $(.$sessions_setting:ident($sessions_value:expr))*,)?
        $(scd2: by($scd2:expr),)?
        // Paths by their words: what may follow a `path` is too little.
        $(row: $($row:ident)::+)?
        $(rows: $($rows:ident)::+)?
        $(batch: $($batch:ident)::+)?
        $(, event: $event:path)?
        $(, session: $session:path)?
        $(, version: $version:path)?
        $(, expire: $expire:path)?
        $(,)?
    ) => {
        #[doc = concat!("The plugin `", env!("CARGO_PKG_NAME"), "`.")]
        #[derive(Clone, Copy, Debug)]
        pub struct $plugin;

        impl $crate::Plugin for $plugin {
            fn description() -> ::core::result::Result<$crate::Description, $crate::Contradiction> {
                // One lifetime for all parts: their closures are written for rows of one batch.
                fn describe<'a>(
                    batch: ::core::marker::PhantomData<&'a ()>,
                ) -> ::core::result::Result<$crate::Description, $crate::Contradiction> {
                    let times = $crate::export!(@or {
                        $($crate::EventTime::<<$input as $crate::Row>::Of<'a>, _, _>::of($time)
                            $(.$time_setting($time_value))*)?
                    } { () });
                    let dedup = $crate::export!(@or {
                        $($crate::Dedup::<<$input as $crate::Row>::Of<'a>, _, _>::by($dedup)
                            $(.$dedup_setting($dedup_value))*)?
                    } { () });
                    let keeps = $crate::export!(@keeps ($input) ($crate::export!(@type $($parameters)?)) ('a)
                        [$($state)?] [$($($key)?)?]
                        [$($crate::Sessions::<<$input as $crate::Row>::Of<'a>, _, _, _>::by($sessions)
                            $(.$sessions_setting($sessions_value))*)?]
                        [$($crate::Scd2::<<$input as $crate::Row>::Of<'a>, _, _>::by($scd2))?]
                        $(row: $($row)::+)? $(rows: $($rows)::+)? $(batch: $($batch)::+)?
                        $(, event: $event)? $(, session: $session)? $(, version: $version)? $(, expire: $expire)?
                    );
                    $crate::plugin::describe::<$input, $output, $crate::export!(@type $($parameters)?), _, _>(
                        (env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
                        $crate::export!(@format $($format)?),
                        (&times, &dedup),
                        keeps,
                        batch,
                    )
                }
                describe(::core::marker::PhantomData)
            }

            fn start(
                parameters: &[String],
                epoch: $crate::plugin::Epoch,
            ) -> ::core::result::Result<$crate::plugin::Instance, String> {
                fn process<'a>(
                    batch: &$crate::RawBatch<'a>,
                    ctx: &'a $crate::Ctx<$crate::export!(@type $($parameters)?)>,
                    host: &mut dyn $crate::Host,
                ) -> ::core::result::Result<::std::vec::Vec<$crate::RejectedRow>, String> {
                    let times = $crate::export!(@or {
                        $($crate::EventTime::<<$input as $crate::Row>::Of<'a>, _, _>::of($time)
                            $(.$time_setting($time_value))*)?
                    } { () });
                    let dedup = $crate::export!(@or {
                        $($crate::Dedup::<<$input as $crate::Row>::Of<'a>, _, _>::by($dedup)
                            $(.$dedup_setting($dedup_value))*)?
                    } { () });
                    let steps = (&times, &dedup);
                    let _ = steps;
                    $crate::export!(@process (batch, ctx, host, steps) ($input) ($output)
                        [$($time)?] [$($dedup)?] [$($state)?] [$($($key)?)?]
                        [$($crate::Sessions::<<$input as $crate::Row>::Of<'a>, _, _, _>::by($sessions)
                            $(.$sessions_setting($sessions_value))*)?]
                        [$($crate::Scd2::<<$input as $crate::Row>::Of<'a>, _, _>::by($scd2))?]
                        $(row: $($row)::+)? $(rows: $($rows)::+)? $(batch: $($batch)::+)?
                        $(, event: $event)? $(, session: $session)? $(, version: $version)? $(, expire: $expire)?
                    )
                }
                fn expire<'a>(
                    due: &$crate::state::Due<'a>,
                    ctx: &'a $crate::Ctx<$crate::export!(@type $($parameters)?)>,
                    host: &mut dyn $crate::Host,
                ) -> ::core::result::Result<(), String> {
                    let dedup = $crate::export!(@or {
                        $($crate::Dedup::<<$input as $crate::Row>::Of<'a>, _, _>::by($dedup)
                            $(.$dedup_setting($dedup_value))*)?
                    } { () });
                    let _ = (&dedup, ctx, &host);
                    $crate::export!(@expire (due, ctx, host, &dedup) ($input) ($output)
                        [$($state)?] [$($($key)?)?]
                        [$($crate::Sessions::<<$input as $crate::Row>::Of<'a>, _, _, _>::by($sessions)
                            $(.$sessions_setting($sessions_value))*)?]
                        [$($crate::Scd2::<<$input as $crate::Row>::Of<'a>, _, _>::by($scd2))?]
                        $(row: $($row)::+)? $(rows: $($rows)::+)? $(batch: $($batch)::+)?
                        $(, event: $event)? $(, session: $session)? $(, version: $version)? $(, expire: $expire)?
                    )
                }
                let parameters: $crate::export!(@type $($parameters)?) = $crate::Parameters::parse(parameters)?;
                Ok($crate::plugin::Instance::new(epoch.context(parameters), process, expire))
            }
        }

        #[cfg(target_family = "wasm")]
        $crate::export_plugin!($plugin);
    };
    (
        plugin: $plugin:ident, $(format: $format:ident,)? input: $input:ty, output: $output:ty, $part:ident: $($rest:tt)*
    ) => { $crate::export!(@mistake $part); };
    ($($other:tt)*) => { $crate::export!(@order); };
}
