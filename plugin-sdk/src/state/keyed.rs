//! Values of a plugin's own, by key: row by row, or a batch at a time.

use std::cell::RefCell;
use std::marker::PhantomData;

use super::host::NoRows;
use super::steps::{begins, first_table, late, op, operations, remembered, tell, watermark};
use super::value::{damaged, read_signed, read_version, write_signed, write_varint};
use super::{Cells, Due, Duplicates, Found, KeyBatch, Late, Slots, StateKey, StateValue, Times, Variable};
use crate::batch::{Batch, Emit};
use crate::builder::Bits;
use crate::description::{OnExpire, StateTable};
use crate::row::{Op, Row};
use crate::table::Outputs;
use crate::view::bit;
use crate::{Ctx, Host, Millis, RawBatch, Reject, RejectedRow, Timestamp};

/// A table of state: a value of type `V` for each key of type `K`.
///
/// In row style it is declared with the function that says the row's key; the row function is given the key's [`Entry`]:
///
/// ```
/// use plugin_sdk::{Change, Ctx, Entry, KeyedState, Reject, Row, StateValue, Table};
///
/// #[derive(Clone, Copy, Row)]
/// pub struct Booking { account: i64, cents: i64 }
///
/// #[derive(Clone, Default, StateValue)]
/// pub struct Account { cents: i64, bookings: u64 }
///
/// #[derive(Table)]
/// #[table(name = "bookings", kind = "append", sort_key = ["account"])]
/// pub struct Booked { account: i64, cents: i64, balance_cents: i64 }
///
/// fn book(booking: Booking, account: &mut Entry<Account>, _: &Ctx) -> Result<Booked, Reject> {
///     let Booking { account: number, cents } = booking;
///     let account = account.or_default();
///     if account.cents + cents < 0 {
///         return Err(Reject::new("overdrawn", "the balance would be below zero"));  // the account stays as it was
///     }
///     account.cents += cents;
///     account.bookings += 1;
///     Ok(Booked { account: number, cents, balance_cents: account.cents })
/// }
///
/// plugin_sdk::export! {
///     plugin: Bookings,
///     input: Booking,
///     output: Booked,
///     state: KeyedState<i64, Account>,
///     key: |booking| booking.account,
///     row: book,
/// }
/// # fn main() {}
/// ```
///
/// In batch style the function is given the table itself.
pub struct KeyedState<'h, K, V> {
    host: &'h dyn StateHost,
    table: u32,
    entry: PhantomData<fn() -> (K, V)>,
}

/// Keys without values, for batch style: which there were.
pub struct KeySet<'h, K> {
    host: &'h dyn StateHost,
    table: u32,
    key: PhantomData<fn() -> K>,
}

impl<K, V> std::fmt::Debug for KeyedState<'_, K, V> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyedState").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<K> std::fmt::Debug for KeySet<'_, K> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeySet").field("table", &self.table).finish_non_exhaustive()
    }
}

impl<K: StateKey, V: StateValue> KeyedState<'_, K, V> {
    /// The values of keys, in their order. One call of the host, so ask for those of the whole batch.
    ///
    /// # Errors
    /// An entry's bytes are of no version that the type reads.
    pub fn get_many<'k>(&self, keys: impl IntoIterator<Item = K::Of<'k>>) -> Result<Vec<Option<V>>, String> {
        let keys = batch::<K>(keys);
        let found = self.host.get_many(self.table, keys.cells());
        (0..keys.len())
            .map(|index| found.get(index).map(|bytes| decode(bytes).map(|(value, _)| value)).transpose())
            .collect()
    }

    /// Writes values; of a key that comes twice the last. `until` is the event time at which an entry expires; `None`: never.
    pub fn put_many<'k, 'v>(&self, entries: impl IntoIterator<Item = (K::Of<'k>, &'v V, Option<Timestamp<Millis>>)>)
    where
        V: 'v,
    {
        let (mut keys, mut values, mut expiries) = (KeyBatch::new::<K>(0), Variable::default(), Vec::new());
        for (key, value, until) in entries {
            let expiry = until.map_or(i64::MAX, Timestamp::units);
            keys.push(&key);
            values.push_with(|bytes| encode(value, expiry, bytes));
            expiries.push(expiry);
        }
        if !expiries.is_empty() {
            self.host.put_many(self.table, keys.cells(), values.cells(), &expiries);
        }
    }

    /// Takes entries away.
    pub fn delete_many<'k>(&self, keys: impl IntoIterator<Item = K::Of<'k>>) {
        let keys = batch::<K>(keys);
        if !keys.is_empty() {
            self.host.delete_many(self.table, keys.cells());
        }
    }
}

impl<K: StateKey> KeySet<'_, K> {
    /// Puts keys in, until an event time or for ever, and says which were not there: of keys that come twice, the first.
    pub fn insert_many<'k>(&self, keys: impl IntoIterator<Item = (K::Of<'k>, Option<Timestamp<Millis>>)>) -> Bits {
        let (mut batch, mut expiries) = (KeyBatch::new::<K>(0), Vec::new());
        for (key, until) in keys {
            batch.push(&key);
            expiries.push(until.map_or(i64::MAX, Timestamp::units));
        }
        let mut new = Bits::default();
        if !batch.is_empty() {
            let bits = self.host.insert_if_absent_many(self.table, batch.cells(), &expiries);
            new.extend_from(&bits, batch.len());
        }
        new
    }

    /// Which keys are there.
    pub fn contains_many<'k>(&self, keys: impl IntoIterator<Item = K::Of<'k>>) -> Bits {
        let keys = batch::<K>(keys);
        let found = self.host.get_many(self.table, keys.cells());
        let mut there = Bits::default();
        there.extend_from(&found.present, keys.len());
        there
    }

    /// Takes keys out.
    pub fn remove_many<'k>(&self, keys: impl IntoIterator<Item = K::Of<'k>>) {
        let keys = batch::<K>(keys);
        if !keys.is_empty() {
            self.host.delete_many(self.table, keys.cells());
        }
    }
}

/// The tables of state of a host that several handles share.
pub trait StateHost {
    /// See [`Host::get_many`].
    fn get_many(&self, table: u32, keys: Cells<'_>) -> Found;
    /// See [`Host::put_many`].
    fn put_many(&self, table: u32, keys: Cells<'_>, values: Cells<'_>, expiries: &[i64]);
    /// See [`Host::delete_many`].
    fn delete_many(&self, table: u32, keys: Cells<'_>);
    /// See [`Host::insert_if_absent_many`].
    fn insert_if_absent_many(&self, table: u32, keys: Cells<'_>, expiries: &[i64]) -> Vec<u8>;
}

impl StateHost for RefCell<&mut dyn Host> {
    fn get_many(&self, table: u32, keys: Cells<'_>) -> Found {
        self.borrow_mut().get_many(table, keys)
    }
    fn put_many(&self, table: u32, keys: Cells<'_>, values: Cells<'_>, expiries: &[i64]) {
        self.borrow_mut().put_many(table, keys, values, expiries);
    }
    fn delete_many(&self, table: u32, keys: Cells<'_>) {
        self.borrow_mut().delete_many(table, keys);
    }
    fn insert_if_absent_many(&self, table: u32, keys: Cells<'_>, expiries: &[i64]) -> Vec<u8> {
        self.borrow_mut().insert_if_absent_many(table, keys, expiries)
    }
}

fn batch<'k, K: StateKey>(keys: impl IntoIterator<Item = K::Of<'k>>) -> KeyBatch {
    let mut batch = KeyBatch::new::<K::Of<'k>>(0);
    keys.into_iter().for_each(|key| batch.push(&key));
    batch
}

/// The tables of a plugin in batch style: one, or a tuple of some.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no table of state",
    note = "it is a KeyedState<K, V>, a KeySet<K>, or a tuple of up to four of them"
)]
pub trait StateTables {
    /// `Self` for the length of a call.
    type Of<'h>;
    /// The greatest version of their values, and older ones that are read; how many tables.
    fn describe(versions: &mut Vec<u32>) -> usize;
    /// The tables, from this index on, which is advanced.
    fn open<'h>(host: &'h dyn StateHost, table: &mut u32) -> Self::Of<'h>;
}

impl<K: StateKey, V: StateValue> StateTables for KeyedState<'_, K, V> {
    type Of<'h> = KeyedState<'h, K, V>;
    fn describe(versions: &mut Vec<u32>) -> usize {
        V::reads(versions);
        1
    }
    fn open<'h>(host: &'h dyn StateHost, table: &mut u32) -> Self::Of<'h> {
        *table += 1;
        KeyedState { host, table: *table - 1, entry: PhantomData }
    }
}

impl<K: StateKey> StateTables for KeySet<'_, K> {
    type Of<'h> = KeySet<'h, K>;
    fn describe(_versions: &mut Vec<u32>) -> usize {
        1
    }
    fn open<'h>(host: &'h dyn StateHost, table: &mut u32) -> Self::Of<'h> {
        *table += 1;
        KeySet { host, table: *table - 1, key: PhantomData }
    }
}

macro_rules! tuples {
    ($($part:ident),*) => {
        impl<$($part: StateTables),*> StateTables for ($($part,)*) {
            type Of<'h> = ($($part::Of<'h>,)*);
            fn describe(versions: &mut Vec<u32>) -> usize {
                0 $(+ $part::describe(versions))*
            }
            fn open<'h>(host: &'h dyn StateHost, table: &mut u32) -> Self::Of<'h> {
                ($($part::open(host, table),)*)
            }
        }
    };
}
tuples!(A, B);
tuples!(A, B, C);
tuples!(A, B, C, D);

/// Names of tables, in order.
pub(crate) const TABLES: [&str; 4] = ["state", "state_2", "state_3", "state_4"];

/// Key and value of a [`KeyedState`].
pub trait KeyAndValue {
    /// The key's type.
    type Key: StateKey;
    /// The value's type.
    type Value: StateValue;
}

impl<K: StateKey, V: StateValue> KeyAndValue for KeyedState<'_, K, V> {
    type Key = K;
    type Value = V;
}

/// The table of a plugin in row style.
pub(crate) fn table(expires: bool) -> StateTable {
    StateTable { name: TABLES[0], on_expire: if expires { OnExpire::Call } else { OnExpire::Drop } }
}

/// What is kept for the row's key. Changes that a row makes are seen by the next row of its key, and are taken back where
/// the row is rejected.
#[derive(Clone, Debug)]
pub struct Entry<V> {
    value: Option<V>,
    /// `i64::MAX`: never.
    expiry: i64,
    /// This row has changed it.
    changed: bool,
    /// A row before this one has, in this batch.
    dirty: bool,
    /// As it was before this row, where a row before it has changed it: else it can be read again.
    saved: Option<(Option<V>, i64)>,
}

impl<V: Clone> Entry<V> {
    /// What is there.
    #[must_use]
    pub fn get(&self) -> Option<&V> {
        self.value.as_ref()
    }

    /// What is there, to be changed.
    pub fn get_mut(&mut self) -> Option<&mut V> {
        if self.value.is_some() {
            self.change();
        }
        self.value.as_mut()
    }

    /// What is there, to be changed; the default value where nothing was.
    pub fn or_default(&mut self) -> &mut V
    where
        V: Default,
    {
        self.change();
        self.value.get_or_insert_with(V::default)
    }

    /// Puts a value in place of what is there. Its expiry stays.
    pub fn set(&mut self, value: V) {
        self.change();
        self.value = Some(value);
    }

    /// Takes it away.
    pub fn remove(&mut self) -> Option<V> {
        self.change();
        self.expiry = i64::MAX;
        self.value.take()
    }

    /// Lets it expire when the watermark reaches this event time, in place of what was said before: `row.at + hours(1)`. A
    /// time of another unit comes from [`Timestamp::to_unit`].
    pub fn until(&mut self, expiry: Timestamp<Millis>) {
        self.change();
        self.expiry = expiry.units();
    }

    /// Lets it never expire, which is so if nothing is said.
    pub fn for_ever(&mut self) {
        self.change();
        self.expiry = i64::MAX;
    }

    fn change(&mut self) {
        if self.dirty && self.saved.is_none() {
            self.saved = Some((self.value.clone(), self.expiry));
        }
        self.changed = true;
    }

    /// The row is done.
    fn keep(&mut self) {
        self.dirty |= self.changed;
        self.changed = false;
        self.saved = None;
    }
}

impl<V: StateValue> Entry<V> {
    fn read(bytes: Option<&[u8]>) -> Result<Self, String> {
        let (value, expiry) = match bytes {
            Some(bytes) => decode(bytes).map(|(value, expiry)| (Some(value), expiry))?,
            None => (None, i64::MAX),
        };
        Ok(Self { value, expiry, changed: false, dirty: false, saved: None })
    }

    /// The row was rejected.
    fn undo(&mut self, bytes: Option<&[u8]>) -> Result<(), String> {
        match self.saved.take() {
            Some((value, expiry)) => (self.value, self.expiry) = (value, expiry),
            None if self.changed => *self = Self::read(bytes)?,
            None => (),
        }
        self.changed = false;
        Ok(())
    }
}

/// Version, expiry (0: never; the host does not give it back), fields.
fn encode<V: StateValue>(value: &V, expiry: i64, out: &mut Vec<u8>) {
    write_varint(u64::from(V::VERSION), out);
    write_signed(if expiry == i64::MAX { 0 } else { expiry.saturating_add(i64::from(expiry >= 0)) }, out);
    value.write(out);
}

fn decode<V: StateValue>(mut bytes: &[u8]) -> Result<(V, i64), String> {
    let version = read_version::<V>(&mut bytes)?;
    let expiry = match read_signed(&mut bytes).ok_or_else(|| damaged(version))? {
        0 => i64::MAX,
        expiry => expiry - i64::from(expiry > 0),
    };
    let value = V::read_version(version, &mut bytes).filter(|_| bytes.is_empty());
    value.map(|value| (value, expiry)).ok_or_else(|| damaged(version))
}

/// The keys of a batch, and what is kept for each.
struct Entries<V> {
    slots: Slots,
    found: Found,
    entries: Vec<Entry<V>>,
}

impl<V: StateValue + Clone> Entries<V> {
    fn read(table: u32, slots: Slots, host: &mut dyn Host) -> Result<Self, String> {
        let found = if slots.is_empty() { Found::default() } else { host.get_many(table, slots.keys().cells()) };
        let entries = (0..slots.len()).map(|slot| Entry::read(found.get(slot))).collect::<Result<_, _>>()?;
        Ok(Self { slots, found, entries })
    }

    /// Writes what has changed.
    fn write<K: StateKey>(&self, table: u32, host: &mut dyn Host) {
        let (mut keys, mut values, mut expiries) =
            (KeyBatch::new::<K>(self.entries.len()), Variable::default(), Vec::new());
        let mut gone = KeyBatch::new::<K>(0);
        for (slot, entry) in self.entries.iter().enumerate().filter(|(_, entry)| entry.dirty) {
            let key = self.slots.keys().get(slot);
            match &entry.value {
                Some(value) => {
                    keys.push_bytes(key);
                    values.push_with(|bytes| encode(value, entry.expiry, bytes));
                    expiries.push(entry.expiry);
                }
                None if bit(&self.found.present, slot) => gone.push_bytes(key),
                None => (),
            }
        }
        if !gone.is_empty() {
            host.delete_many(table, gone.cells());
        }
        if !expiries.is_empty() {
            let never = expiries.iter().all(|expiry| *expiry == i64::MAX);
            host.put_many(table, keys.cells(), values.cells(), if never { &[] } else { &expiries });
        }
    }
}

/// Which keys of a batch were seen before, where each row has to be looked at before the next one is run.
struct Seen {
    slots: Slots,
    rows: Vec<Option<usize>>,
    there: Vec<bool>,
    /// Slots that were taken in this batch, and until when they are remembered.
    taken: Vec<(usize, i64)>,
}

impl Seen {
    fn is_duplicate(&self, row: usize) -> bool {
        self.rows.get(row).copied().flatten().is_some_and(|slot| self.there[slot])
    }

    fn take(&mut self, row: usize, expiry: i64) {
        if let Some(slot) = self.rows.get(row).copied().flatten() {
            self.there[slot] = true;
            self.taken.push((slot, expiry));
        }
    }

    fn write(&self, host: &mut dyn Host) {
        if self.taken.is_empty() {
            return;
        }
        let mut keys = self.slots.no_keys();
        self.taken.iter().for_each(|(slot, _)| keys.push_bytes(self.slots.keys().get(*slot)));
        let expiries: Vec<_> = self.taken.iter().map(|(_, expiry)| *expiry).collect();
        host.put_many(0, keys.cells(), Variable::empty(self.taken.len()).cells(), &expiries);
    }
}

/// Runs a row function with the entry of each row's key. Called by [`export!`](crate::export).
///
/// # Errors
/// The host's buffers are not those of the description, or an entry can't be read.
pub fn process_keyed<'a, I, O, S, P, T, D, G, F>(
    batch: &RawBatch<'a>,
    ctx: &'a Ctx<P>,
    host: &mut dyn Host,
    (times, dedup): (&T, &D),
    key: G,
    transform: F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    S: KeyAndValue<Value: Clone>,
    P: 'static,
    T: Times<I::Of<'a>>,
    D: Duplicates<I::Of<'a>>,
    G: Fn(&I::Of<'a>) -> <S::Key as StateKey>::Of<'a>,
    F: for<'e> Fn(I::Of<'a>, &'e mut Entry<S::Value>, &'a Ctx<P>) -> Result<O::Of<'a>, Reject>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let ops = operations::<I>(batch).map_err(|mismatch| mismatch.to_string())?;
    let table = first_table::<I::Of<'a>, D>();
    let mut slots = Slots::new::<<S::Key as StateKey>::Of<'a>>(batch.rows());
    let mut seen = Seen { slots: dedup.slots(batch.rows()), rows: Vec::new(), there: Vec::new(), taken: Vec::new() };
    let mut of_row = Vec::with_capacity(batch.rows());
    for row in 0..batch.rows() {
        let input = I::get(&columns, row);
        of_row.push(slots.of(&key(&input)));
        if D::KNOWN {
            let begins = begins(op(ops.as_ref(), row));
            seen.rows.push(if begins { dedup.slot(&input, &mut seen.slots) } else { None });
        }
    }
    if !seen.slots.is_empty() {
        let found = host.get_many(0, seen.slots.keys().cells());
        seen.there = (0..seen.slots.len()).map(|slot| bit(&found.present, slot)).collect();
    }
    let mut entries = Entries::<S::Value>::read(table, slots, host)?;
    let (mut tables, mut rejected) = (O::writers(batch.rows()), Vec::new());
    let (mut greatest, mut dropped, mut duplicates) = (None, 0, 0);
    let watermark = watermark(ctx);
    for (row, slot) in of_row.into_iter().enumerate() {
        let input = I::get(&columns, row);
        let at = times.ms(&input);
        if seen.is_duplicate(row) {
            duplicates += 1;
            continue;
        }
        let is_late = watermark > at.or(watermark) && op(ops.as_ref(), row) != Op::Delete;
        match times.late() {
            Late::Drop if is_late => {
                dropped += 1;
                continue;
            }
            Late::Reject if is_late => {
                rejected.push(RejectedRow { row, reject: late() });
                continue;
            }
            Late::Process | Late::Drop | Late::Reject => (),
        }
        let entry = &mut entries.entries[slot];
        match transform(input, entry, ctx) {
            Ok(output) => {
                if entry.changed || !output.is_none() {
                    seen.take(row, dedup.within_ms().map_or(i64::MAX, |within| remembered(ctx, at, within)));
                }
                entry.keep();
                greatest = greatest.max(at);
                output.write(row, &mut tables);
            }
            Err(reject) => {
                entry.undo(entries.found.get(slot))?;
                rejected.push(RejectedRow { row, reject });
            }
        }
    }
    seen.write(host);
    entries.write::<<S::Key as StateKey>::Of<'a>>(table, host);
    O::emit(&tables, &mut 0, host)?;
    tell(greatest, dropped, duplicates, host);
    Ok(rejected)
}

/// Calls a plugin's function with the entries that expire. Called by [`export!`](crate::export).
///
/// # Errors
/// An entry can't be read, or the rows can't be emitted.
pub fn expire_keyed<O, S, P, F>(due: &Due<'_>, ctx: &Ctx<P>, host: &mut dyn Host, expired: F) -> Result<(), String>
where
    O: Outputs,
    S: KeyAndValue,
    P: 'static,
    F: for<'e> Fn(<S::Key as StateKey>::Of<'e>, S::Value, &'e Ctx<P>) -> O::Of<'e>,
{
    let rows = due.expiries.len();
    let mut tables = O::writers(rows);
    for row in 0..rows {
        let key = S::Key::read(due.keys.get(row)).ok_or("a key of state is not what its type writes")?;
        let (value, _) = decode::<S::Value>(due.values.get(row))?;
        expired(key, value, ctx).write(row, &mut tables);
    }
    O::emit(&tables, &mut 0, &mut NoRows { host, rows })
}

/// The same host for a shorter time: behind a `&mut` inside of another type nothing is shortened by itself.
fn reborrow<'s>(host: &'s mut dyn Host) -> &'s mut (dyn Host + 's) {
    host
}

/// Runs a batch function with tables of state. Called by [`export!`](crate::export).
///
/// # Errors
/// The function's own, or what it wrote does not add up, or the host's buffers are not those of the description.
pub fn process_batch_with<'a, I, O, S, P, T, F>(
    batch: &RawBatch<'a>,
    ctx: &Ctx<P>,
    host: &mut dyn Host,
    times: &T,
    transform: F,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    S: StateTables,
    T: Times<I::Of<'a>>,
    F: for<'b, 'h> Fn(&'b Batch<'a, I>, &'b S::Of<'h>, &'b mut Emit<O>, &'b Ctx<P>) -> Result<(), String>,
{
    let batch = Batch::<I>::bind(batch)?;
    if T::KNOWN
        && let Some(greatest) = batch.rows().filter_map(|row| times.ms(&row)).max()
    {
        host.event_time(greatest);
    }
    let mut emit = Emit::new(batch.len());
    {
        let shared = RefCell::new(reborrow(host));
        transform(&batch, &S::open(&shared, &mut 0), &mut emit, ctx)?;
    }
    emit.finish(host)
}
