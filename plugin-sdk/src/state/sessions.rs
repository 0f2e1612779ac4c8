//! Sessions: the events of a key that follow each other without a gap.

use std::marker::PhantomData;
use std::time::Duration;

pub use super::log::Merge;

use super::cells::offset;
use super::event_time::duration_ms;
use super::host::NoRows;
use super::log::{Bounds, Log, Piece};
use super::steps::{admit, first_table, op, operations, watermark};
use super::value::{read_signed, write_signed};
use super::{Due, Duplicates, Found, KeyBatch, Slots, StateKey, StateValue, Times, Variable};
use crate::description::{OnExpire, StateTable};
use crate::row::{Op, Row};
use crate::table::{Outputs, Table, Upsert};
use crate::{Ctx, Host, Millis, RawBatch, Reject, RejectedRow, Timestamp, Uuid};

/// Groups the events of a key into sessions, by event time.
///
/// Three functions say what a session is made of: `row` checks an event and says what it adds, `event` makes the event's own
/// row, now that its session is known, and `session` makes the session's row.
///
/// ```
/// use plugin_sdk::{Ctx, Merge, Millis, Reject, Row, Session, StateValue, Table, Timestamp, Uuid, hours, minutes};
///
/// #[derive(Clone, Copy, Row)]
/// pub struct ClickIn<'a> { user_id: i64, at: Timestamp<Millis>, page: &'a str }
///
/// /// What a session adds up.
/// #[derive(Clone, StateValue)]
/// pub struct Sum { carts: u32, last_page: String }
///
/// impl Merge for Sum {
///     fn merge(&mut self, later: &Self) {
///         self.carts += later.carts;
///         self.last_page.clone_from(&later.last_page);
///     }
/// }
///
/// #[derive(Table)]
/// #[table(name = "clicks", kind = "append", sort_key = ["at"])]
/// pub struct Click<'a> { user_id: i64, at: Timestamp<Millis>, page: &'a str, session_id: Uuid }
///
/// #[derive(Table)]
/// #[table(name = "visits", kind = "current", sort_key = ["user_id", "start"])]
/// pub struct Visit<'a> {
///     user_id: i64,
///     start: Timestamp<Millis>,
///     end: Timestamp<Millis>,
///     session_id: Uuid,
///     clicks: u64,
///     carts: u32,
///     last_page: &'a str,
///     closed: bool,
/// }
///
/// fn check(click: ClickIn, _: &Ctx) -> Result<Option<Sum>, Reject> {
///     if click.page.is_empty() {
///         return Err(Reject::new("no_page", "a click is on a page"));
///     }
///     Ok(Some(Sum { carts: u32::from(click.page == "/cart"), last_page: click.page.into() }))
/// }
///
/// fn click<'a>(click: ClickIn<'a>, session: Session<Sum>, _: &Ctx) -> Click<'a> {
///     Click { user_id: click.user_id, at: click.at, page: click.page, session_id: session.id }
/// }
///
/// fn visit<'s>(user_id: i64, session: Session<'s, Sum>, _: &Ctx) -> Visit<'s> {
///     let Session { id: session_id, start, end, events: clicks, sum, closed } = session;
///     Visit { user_id, start, end, session_id, clicks, carts: sum.carts, last_page: &sum.last_page, closed }
/// }
///
/// plugin_sdk::export! {
///     plugin: Visits,
///     input: ClickIn,
///     output: (Click, Visit),
///     event_time: of(|click| click.at).delay(minutes(5)),
///     sessions: by(|click| click.user_id).gap(minutes(30)).longest(hours(12)),
///     row: check,
///     event: click,
///     session: visit,
/// }
/// # fn main() {}
/// ```
///
/// - Two events of a key are of one session if the second is less than the gap behind the first, and less than the greatest
///   length behind the session's first.
/// - The order of arrival does not matter: after each batch the table of sessions is what the events of a key make when they
///   are gone through in order of time. What no longer begins a session is taken out of the table.
/// - A session is final when the watermark has passed its end by the gap, or its start by the greatest length. Its row is
///   then written for the last time, `closed`. Its events are forgotten.
/// - What comes later than that ([`Late::Process`](crate::Late::Process)) makes a session of its own, or joins one that is
///   open.
/// - The table of sessions is `current`, its sort key says key and start. The events' rows have the session of their batch;
///   where two sessions merge later, they keep the id of the one that is gone.
///
/// Without [`id`](Self::id), each row that `row` gives something for is an event of its own. With it, a change is one of the
/// event of its id: an update moves it, a delete takes it out.
///
/// State takes, for each event of an open session, the bytes of what it adds and some more.
#[derive(Clone, Copy, Debug)]
pub struct Sessions<R, K, F, E> {
    by: F,
    gap: Option<Duration>,
    longest: Option<Duration>,
    ids: E,
    row: PhantomData<fn(&R) -> K>,
}

impl<R, K: StateKey, F: Fn(&R) -> K> Sessions<R, K, F, NoIds> {
    /// Whose sessions they are.
    pub fn by(by: F) -> Self {
        Self { by, gap: None, longest: None, ids: NoIds, row: PhantomData }
    }

    /// Events have ids, and may change: an update counts anew, in the session where it belongs by its key and time; a delete
    /// does not count any more. `event` is given `None` as the session of a deleted event.
    pub fn id<J: StateKey, G: Fn(&R) -> J>(self, id: G) -> Sessions<R, K, F, EventIds<R, J, G>> {
        let Self { by, gap, longest, .. } = self;
        Sessions { by, gap, longest, ids: EventIds { of: id, row: PhantomData }, row: PhantomData }
    }
}

impl<R, K, F, E> Sessions<R, K, F, E> {
    /// How long nothing happens between two sessions. Must be said.
    #[must_use]
    pub fn gap(self, gap: Duration) -> Self {
        Self { gap: Some(gap), ..self }
    }

    /// How long a session lasts at most. Without it a session goes on as long as events come, and so do the bytes that are
    /// kept of it.
    #[must_use]
    pub fn longest(self, longest: Duration) -> Self {
        Self { longest: Some(longest), ..self }
    }

    fn bounds(&self) -> Bounds {
        let ms = |duration: Option<Duration>| duration.map_or(i64::MAX, duration_ms);
        Bounds { gap_ms: ms(self.gap), longest_ms: ms(self.longest) }
    }
}

/// A session, as it is now.
#[derive(Debug)]
pub struct Session<'s, S> {
    /// Made of its key and start.
    pub id: Uuid,
    /// Time of its first event.
    pub start: Timestamp<Millis>,
    /// Time of its last event.
    pub end: Timestamp<Millis>,
    /// How many there are.
    pub events: u64,
    /// What they add up to.
    pub sum: &'s S,
    /// It will not change any more.
    pub closed: bool,
}

impl<S> Clone for Session<'_, S> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<S> Copy for Session<'_, S> {}

impl<'s, S> Session<'s, S> {
    fn of(key: &[u8], piece: &'s Piece<S>, closed: bool) -> Self {
        let Piece { start, end, events, ref sum, .. } = *piece;
        Self { id: id(key, start), start: Timestamp::new(start), end: Timestamp::new(end), events, sum, closed }
    }
}

/// A UUID of version 8: two hashes of key and start.
fn id(key: &[u8], start: i64) -> Uuid {
    let hash = |seed: u64| {
        // FNV-1a over words, then the finalizer of MurmurHash3.
        let mut hash = seed ^ (key.len() as u64);
        let mut take = |word: u64| hash = (hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        take(start.cast_unsigned());
        for chunk in key.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            take(u64::from_le_bytes(word));
        }
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
        hash ^ (hash >> 33)
    };
    let (high, low) = (hash(0xcbf2_9ce4_8422_2325), hash(0x8422_2325_cbf2_9ce4));
    let (high, low) = (high & !0xf000 | 0x8000, low & !(3 << 62) | 2 << 62);
    Uuid((u128::from(high) << 64 | u128::from(low)).to_be_bytes())
}

/// Whether events have ids: [`NoIds`] or [`EventIds`].
pub trait Ids<R> {
    /// Whether they have.
    const KEPT: bool;
    /// The session of an event as `event` sees it.
    type Seen<'s, S: 's>;
    /// The session as `event` sees it; `None` for one that can't be.
    fn seen<'s, S>(session: Option<Session<'s, S>>) -> Option<Self::Seen<'s, S>>;
    /// No ids yet.
    fn slots(&self, rows: usize) -> Slots;
    /// The slot of a row's id.
    fn slot(&self, row: &R, slots: &mut Slots) -> usize;
}

/// Events have no ids.
#[derive(Clone, Copy, Debug)]
pub struct NoIds;

impl<R> Ids<R> for NoIds {
    const KEPT: bool = false;
    type Seen<'s, S: 's> = Session<'s, S>;
    fn seen<'s, S>(session: Option<Session<'s, S>>) -> Option<Session<'s, S>> {
        session
    }
    fn slots(&self, _rows: usize) -> Slots {
        Slots::new::<u64>(0)
    }
    fn slot(&self, _row: &R, _slots: &mut Slots) -> usize {
        0
    }
}

/// Events have ids.
#[derive(Clone, Copy, Debug)]
pub struct EventIds<R, J, G> {
    of: G,
    row: PhantomData<fn(&R) -> J>,
}

impl<R, J: StateKey, G: Fn(&R) -> J> Ids<R> for EventIds<R, J, G> {
    const KEPT: bool = true;
    type Seen<'s, S: 's> = Option<Session<'s, S>>;
    fn seen<'s, S>(session: Option<Session<'s, S>>) -> Option<Option<Session<'s, S>>> {
        Some(session)
    }
    fn slots(&self, rows: usize) -> Slots {
        Slots::new::<J>(rows)
    }
    fn slot(&self, row: &R, slots: &mut Slots) -> usize {
        slots.of(&(self.of)(row))
    }
}

impl<R, K, F, E: Ids<R>> Sessions<R, K, F, E> {
    /// What the host is told; why it can't be, in words.
    pub(crate) fn tables(&self) -> Result<Vec<StateTable>, String> {
        if self.gap.is_none_or(|gap| gap < Duration::from_millis(1)) {
            return Err("sessions have a gap of at least a millisecond: sessions: by(…).gap(minutes(30))".into());
        }
        let sessions = StateTable { name: "sessions", on_expire: OnExpire::Call };
        let events = StateTable { name: "session_events", on_expire: OnExpire::Drop };
        Ok(if E::KEPT { vec![sessions, events] } else { vec![sessions] })
    }
}

/// The outputs of a plugin of sessions whose events have rows of their own.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not the output of sessions",
    note = "with `event: function` the output is a tuple: what the function gives back, and the row of a session"
)]
pub trait EventsAndSessions {
    /// Those of events.
    type Events: Outputs;
    /// That of sessions.
    type Sessions: Table;
}

impl<O: Outputs, U: Table> EventsAndSessions for (O, U) {
    type Events = O;
    type Sessions = U;
}

/// What a row does to sessions.
struct Step<S> {
    row: usize,
    what: What<S>,
    /// Slot of the event's id, where events have ids.
    id: usize,
    /// Slot of the session's key.
    slot: usize,
}

enum What<S> {
    /// An event, at this time. What it adds is taken out when it is added.
    Event { at: i64, part: Option<S> },
    /// The event of this id is deleted.
    Deleted,
    /// The event of this id is none any more, by the plugin's decision.
    Dropped,
}

/// Where the event of an id is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    slot: usize,
    at: i64,
}

/// The ids of a batch.
struct Placed {
    slots: Slots,
    places: Vec<Option<Place>>,
    changed: Vec<bool>,
    there: Vec<bool>,
}

impl Placed {
    /// Asks where the events are; keys of their sessions are added to those of the batch.
    fn read(slots: Slots, table: u32, keys: &mut Slots, host: &mut dyn Host) -> Result<Self, String> {
        let found = if slots.is_empty() { Found::default() } else { host.get_many(table, slots.keys().cells()) };
        let mut place = |slot| {
            let Some(mut bytes) = found.get(slot) else { return Ok(None) };
            let at = read_signed(&mut bytes).ok_or("the place of an event is not what was written")?;
            Ok(Some(Place { slot: keys.of_bytes(bytes), at }))
        };
        let places = (0..slots.len()).map(&mut place).collect::<Result<Vec<_>, &str>>()?;
        Ok(Self {
            changed: vec![false; places.len()],
            there: places.iter().map(Option::is_some).collect(),
            places,
            slots,
        })
    }

    fn set(&mut self, id: usize, place: Option<Place>) {
        if self.places[id] != place {
            self.places[id] = place;
            self.changed[id] = true;
        }
    }

    /// The event of an id is in a session that is over.
    fn forget(&mut self, id: &[u8]) {
        let slot = self.slots.of_bytes(id);
        if slot == self.places.len() {
            // Not of this batch, so it is there since an earlier one.
            self.places.push(None);
            self.changed.push(true);
            self.there.push(true);
        } else {
            self.set(slot, None);
        }
    }

    fn write(&self, table: u32, keys: &Slots, host: &mut dyn Host) {
        let (mut ids, mut gone, mut values) = (self.slots.no_keys(), self.slots.no_keys(), Variable::default());
        let (mut written, mut removed) = (false, false);
        for id in (0..self.places.len()).filter(|id| self.changed[*id]) {
            let key = self.slots.keys().get(id);
            match self.places[id] {
                Some(Place { slot, at }) => {
                    ids.push_bytes(key);
                    values.push_with(|bytes| {
                        write_signed(at, bytes);
                        bytes.extend_from_slice(keys.keys().get(slot));
                    });
                    written = true;
                }
                None if self.there[id] => {
                    gone.push_bytes(key);
                    removed = true;
                }
                None => (),
            }
        }
        if removed {
            host.delete_many(table, gone.cells());
        }
        if written {
            host.put_many(table, ids.cells(), values.cells(), &[]);
        }
    }
}

/// The sessions of a batch's keys.
struct Logs<S> {
    keys: Slots,
    found: Found,
    logs: Vec<Log<S>>,
    /// The last row that changed each.
    touched: Vec<Option<usize>>,
}

impl<S: StateValue + Merge + Clone> Logs<S> {
    fn read(table: u32, keys: Slots, with_ids: bool, host: &mut dyn Host) -> Result<Self, String> {
        let found = if keys.is_empty() { Found::default() } else { host.get_many(table, keys.keys().cells()) };
        let log = |slot| found.get(slot).map_or_else(|| Ok(Log::new(with_ids)), |bytes| Log::read(bytes, with_ids));
        let logs = (0..keys.len()).map(log).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { touched: vec![None; logs.len()], keys, found, logs })
    }

    /// Lets a row do what it does.
    fn apply(&mut self, step: &mut Step<S>, placed: &mut Placed, with_ids: bool, bounds: Bounds) -> Result<(), String> {
        if with_ids && let Some(Place { slot, at }) = placed.places[step.id] {
            if self.logs[slot].remove(at, placed.slots.keys().get(step.id))? {
                self.touched[slot] = Some(step.row);
            }
            placed.set(step.id, None);
        }
        let What::Event { at, part } = &mut step.what else { return Ok(()) };
        let id = if with_ids { placed.slots.keys().get(step.id) } else { &[] };
        if let Some(part) = part.take() {
            self.logs[step.slot].add(*at, id, part, bounds)?;
            self.touched[step.slot] = Some(step.row);
        }
        if with_ids {
            placed.set(step.id, Some(Place { slot: step.slot, at: *at }));
        }
        Ok(())
    }

    /// Writes what has changed, and tells of the sessions' rows; those that are over are forgotten.
    fn settle(
        &mut self,
        table: u32,
        bounds: Bounds,
        watermark: Option<i64>,
        placed: &mut Placed,
        host: &mut dyn Host,
        mut row: impl FnMut(usize, &[u8], &Piece<S>, Fate),
    ) -> Result<(), String> {
        let (mut keys, mut gone) = (self.keys.no_keys(), self.keys.no_keys());
        let (mut values, mut expiries, mut removed) = (Variable::default(), Vec::new(), false);
        for (slot, log) in self.logs.iter_mut().enumerate() {
            let Some(from) = self.touched[slot] else { continue };
            let key = self.keys.keys().get(slot);
            log.put_together(bounds).iter().for_each(|piece| row(from, key, piece, Fate::Gone));
            // Only late events make sessions that are over already.
            let over = log.pieces.iter().take_while(|piece| Some(bounds.end_of(piece)) <= watermark).count();
            for (index, piece) in log.pieces.iter().enumerate() {
                let fate = if index < over { Fate::Closed } else { Fate::Open };
                if piece.changed || fate == Fate::Closed {
                    row(from, key, piece, fate);
                }
            }
            for piece in &log.pieces[..over] {
                log.ids(piece, |id| placed.forget(id))?;
            }
            match &log.pieces[over..] {
                [] if crate::view::bit(&self.found.present, slot) => {
                    gone.push_bytes(key);
                    removed = true;
                }
                [] => (),
                pieces @ [first, ..] => {
                    keys.push_bytes(key);
                    values.push_with(|bytes| log.write(pieces, bytes));
                    expiries.push(bounds.end_of(first));
                }
            }
        }
        if removed {
            host.delete_many(table, gone.cells());
        }
        if !expiries.is_empty() {
            host.put_many(table, keys.cells(), values.cells(), &expiries);
        }
        Ok(())
    }
}

/// What becomes of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Open,
    Closed,
    Gone,
}

/// Runs a plugin of sessions over a batch. Called by [`export!`](crate::export).
///
/// # Errors
/// The host's buffers are not those of the description, or an entry can't be read.
#[expect(clippy::too_many_arguments, reason = "the parts of `export!`, one by one")]
pub fn process_sessions<'a, I, O, U, S, P, T, D, K, F, E, Check, Event, Row_>(
    batch: &RawBatch<'a>,
    ctx: &'a Ctx<P>,
    host: &mut dyn Host,
    steps: (&T, &D),
    sessions: &Sessions<I::Of<'a>, K, F, E>,
    check: Check,
    event: Event,
    session: Row_,
) -> Result<Vec<RejectedRow>, String>
where
    I: Row,
    O: Outputs,
    U: Table,
    S: StateValue + Merge + Clone,
    P: 'static,
    T: Times<I::Of<'a>>,
    D: Duplicates<I::Of<'a>>,
    K: StateKey,
    F: Fn(&I::Of<'a>) -> K,
    E: Ids<I::Of<'a>>,
    Check: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<Option<S>, Reject>,
    Event: for<'s> Fn(I::Of<'a>, E::Seen<'s, S>, &'a Ctx<P>) -> O::Of<'a>,
    Row_: for<'s> Fn(K::Of<'s>, Session<'s, S>, &'s Ctx<P>) -> U::Of<'s>,
{
    let columns = batch.bind::<I>().map_err(|mismatch| mismatch.to_string())?;
    let ops = operations::<I>(batch).map_err(|mismatch| mismatch.to_string())?;
    let (bounds, watermark) = (sessions.bounds(), watermark(ctx));
    let (table, mut rejected) = (first_table::<I::Of<'a>, D>(), Vec::new());

    let (mut checked, mut todo) = (Vec::with_capacity(batch.rows()), Vec::new());
    let step = |row, what| Step { row, what, id: 0, slot: 0 };
    for row in 0..batch.rows() {
        if E::KEPT && op(ops.as_ref(), row) == Op::Delete {
            todo.push(step(row, What::Deleted));
            continue;
        }
        match check(I::get(&columns, row), ctx) {
            Ok(Some(part)) => checked.push((row, part)),
            Ok(None) if E::KEPT => todo.push(step(row, What::Dropped)),
            Ok(None) => (),
            Err(reject) => rejected.push(RejectedRow { row, reject }),
        }
    }
    let admitted = admit::<I, _, _, _, _>(steps, (&columns, ops.as_ref()), checked, &mut rejected, ctx, host);
    for row in admitted {
        match row.at {
            Some(at) => todo.push(step(row.row, What::Event { at, part: Some(row.made) })),
            None => rejected.push(RejectedRow { row: row.row, reject: no_time() }),
        }
    }
    if E::KEPT {
        todo.sort_by_key(|step| step.row);
    }

    let (mut keys, mut ids) = (Slots::new::<K>(todo.len()), sessions.ids.slots(todo.len()));
    for step in &mut todo {
        let input = I::get(&columns, step.row);
        step.id = sessions.ids.slot(&input, &mut ids);
        if matches!(step.what, What::Event { .. }) {
            step.slot = keys.of(&(sessions.by)(&input));
        }
    }
    let mut placed = Placed::read(ids, table + 1, &mut keys, host)?;
    let mut logs = Logs::read(table, keys, E::KEPT, host)?;
    for step in &mut todo {
        logs.apply(step, &mut placed, E::KEPT, bounds)?;
    }
    let mut rows = <Upsert<U> as Outputs>::writers(batch.rows());
    let mut wrong = None;
    logs.settle(table, bounds, watermark, &mut placed, host, |from, key, piece, fate| {
        let Some(key_of) = K::read(key) else {
            wrong = Some("a key of sessions is not what its type writes");
            return;
        };
        let made = session(key_of, Session::of(key, piece, fate == Fate::Closed), ctx);
        rows.push(from, if fate == Fate::Gone { Upsert::Delete(made) } else { Upsert::Put(made) });
    })?;
    wrong.map_or(Ok(()), Err)?;
    if E::KEPT {
        placed.write(table + 1, &logs.keys, host);
    }

    let mut events = O::writers(batch.rows());
    for Step { row, what, slot, .. } in todo {
        let seen = match what {
            What::Event { at, .. } => {
                let (key, log) = (logs.keys.keys().get(slot), &logs.logs[slot]);
                let over = |piece: &Piece<S>| Some(bounds.end_of(piece)) <= watermark;
                E::seen(log.piece_at(at).map(|piece| Session::of(key, piece, over(piece))))
            }
            What::Deleted => E::seen(None),
            What::Dropped => None,
        };
        if let Some(seen) = seen {
            event(I::get(&columns, row), seen, ctx).write(row, &mut events);
        }
    }
    let mut output = 0;
    O::emit(&events, &mut output, host)?;
    <Upsert<U> as Outputs>::emit(&rows, &mut output, host)?;
    rejected.sort_by_key(|rejected| rejected.row);
    Ok(rejected)
}

#[cold]
fn no_time() -> Reject {
    Reject::new("no_event_time", "an event of a session has an event time")
}

/// Writes the last rows of sessions that are over. Called by [`export!`](crate::export).
///
/// # Errors
/// An entry can't be read, or the rows can't be emitted.
pub fn expire_sessions<'a, I, O, U, S, P, D, K, F, E, Check, Row_>(
    due: &Due<'a>,
    ctx: &'a Ctx<P>,
    host: &mut dyn Host,
    sessions: &Sessions<I::Of<'a>, K, F, E>,
    _dedup: &D,
    _check: Check,
    session: Row_,
) -> Result<(), String>
where
    I: Row,
    O: Outputs,
    U: Table,
    S: StateValue + Merge + Clone,
    P: 'static,
    D: Duplicates<I::Of<'a>>,
    K: StateKey,
    F: Fn(&I::Of<'a>) -> K,
    E: Ids<I::Of<'a>>,
    Check: Fn(I::Of<'a>, &'a Ctx<P>) -> Result<Option<S>, Reject>,
    Row_: for<'s> Fn(K::Of<'s>, Session<'s, S>, &'s Ctx<P>) -> U::Of<'s>,
{
    let (bounds, watermark) = (sessions.bounds(), watermark(ctx));
    let mut rows = <Upsert<U> as Outputs>::writers(due.expiries.len());
    let (mut keys, mut values, mut expiries) = (KeyBatch::new::<K>(0), Variable::default(), Vec::new());
    let mut ids = sessions.ids.slots(0);
    for (index, expiry) in due.expiries.iter().enumerate() {
        let key = due.keys.get(index);
        let log = Log::<S>::read(due.values.get(index), E::KEPT)?;
        // An entry is due no earlier than its first session.
        let watermark = watermark.map_or(*expiry, |watermark| watermark.max(*expiry));
        let over = log.pieces.iter().take_while(|piece| bounds.end_of(piece) <= watermark).count();
        for piece in &log.pieces[..over] {
            let key_of = K::read(key).ok_or("a key of sessions is not what its type writes")?;
            rows.push(index, Upsert::Put(session(key_of, Session::of(key, piece, true), ctx)));
            log.ids(piece, |id| {
                ids.of_bytes(id);
            })?;
        }
        if let pieces @ [first, ..] = &log.pieces[over..] {
            keys.push_bytes(key);
            values.push_with(|bytes| log.write(pieces, bytes));
            expiries.push(bounds.end_of(first));
        }
    }
    let table = first_table::<I::Of<'a>, D>();
    if !ids.is_empty() {
        host.delete_many(table + 1, ids.keys().cells());
    }
    if !expiries.is_empty() {
        host.put_many(table, keys.cells(), values.cells(), &expiries);
    }
    let mut tables = Vec::new();
    O::describe(&mut tables);
    let mut output = offset(tables.len());
    <Upsert<U> as Outputs>::emit(&rows, &mut output, &mut NoRows { host, rows: due.expiries.len() })
}
