//! The events of a key's open sessions, and the sessions that they make.
//!
//! **Promise.** Sessions are a function of the events that are there, whatever the order they came in: gone through in order of
//! time, an event joins the session before it unless the gap or the greatest length is reached.
//!
//! An entry has the sessions in front and the bytes of their events behind. An event at the end, which nearly every one
//! is, changes the last session and adds its bytes: the others are not looked at. Anything else takes the sessions apart
//! and puts them together again.
//!
//! ```text
//! entry    version * 2 + whether events have ids, sessions, session…, events of session…
//! session  start (that of the next ones: since the end before), length, events, bytes of its events, sum
//! event    since the event before, its id (where events have ids), what it adds to the sum
//! ```

use super::StateValue;
use super::value::{check_version, damaged, read_bytes, read_signed, read_varint, write_signed, write_varint};

/// When a session ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Nothing happened for so long.
    pub(super) gap_ms: i64,
    /// It lasts so long.
    pub(super) longest_ms: i64,
}

impl Bounds {
    fn joins<S>(self, piece: &Piece<S>, at: i64) -> bool {
        at.saturating_sub(piece.end) < self.gap_ms && at.saturating_sub(piece.start) < self.longest_ms
    }

    /// No event from this time on can join the session.
    pub(super) fn end_of<S>(self, piece: &Piece<S>) -> i64 {
        piece.end.saturating_add(self.gap_ms).min(piece.start.saturating_add(self.longest_ms))
    }
}

/// A session.
#[derive(Clone, Debug)]
pub(super) struct Piece<S> {
    pub(super) start: i64,
    /// Of its last event.
    pub(super) end: i64,
    pub(super) events: u64,
    pub(super) sum: S,
    /// Its events.
    bytes: Vec<u8>,
    /// How many bytes they had when they were read.
    length: usize,
    /// It has changed in this batch.
    pub(super) changed: bool,
    /// An earlier batch has told of it.
    told: bool,
}

#[derive(Clone, Debug)]
struct Event<S> {
    at: i64,
    id: Vec<u8>,
    part: S,
}

/// What is kept for a key.
#[derive(Clone, Debug)]
pub(super) struct Log<S> {
    with_ids: bool,
    /// The sessions, in order.
    pub(super) pieces: Vec<Piece<S>>,
    /// All events, in order of time and then of arrival, where the sessions were taken apart.
    events: Option<Vec<Event<S>>>,
}

/// How two parts of a session's sum add up.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no sum of a session",
    note = "say with `impl Merge for {Self}` how two parts add up"
)]
pub trait Merge {
    /// Adds what came later. Of the parts of a session in order of time: `((a + b) + c) + d`.
    fn merge(&mut self, later: &Self);
}

impl<S: StateValue + Merge + Clone> Log<S> {
    pub(super) fn new(with_ids: bool) -> Self {
        Self { with_ids, pieces: Vec::new(), events: None }
    }

    pub(super) fn read(mut bytes: &[u8], with_ids: bool) -> Result<Self, String> {
        let bytes = &mut bytes;
        let (version, ids) = read_head::<S>(bytes)?;
        if ids != with_ids {
            return Err("sessions were kept with other settings of `id`: raise the version of the sum, and say that it can't read the old ones".into());
        }
        let mut log = Self::new(with_ids);
        log.read_pieces(version, bytes).ok_or_else(|| damaged(version))?;
        if version != S::VERSION {
            // Their events are of the old version as well.
            log.take_apart(version)?;
        }
        Ok(log)
    }

    fn read_pieces(&mut self, version: u32, bytes: &mut &[u8]) -> Option<()> {
        let count = read_varint(bytes)?;
        // One more may begin; a wrong count must not allocate.
        self.pieces.reserve_exact(usize::try_from(count).ok()?.min(bytes.len()) + 1);
        let mut start = read_signed(bytes)?;
        for index in 0..count {
            if index > 0 {
                let last = self.pieces.last()?;
                start = last.end.wrapping_add_unsigned(read_varint(bytes)?);
            }
            let end = start.wrapping_add_unsigned(read_varint(bytes)?);
            let events = read_varint(bytes)?;
            let length = usize::try_from(read_varint(bytes)?).ok()?;
            let sum = S::read_version(version, bytes)?;
            let told = true;
            self.pieces.push(Piece { start, end, events, sum, bytes: Vec::new(), length, changed: false, told });
        }
        for piece in &mut self.pieces {
            let (events, rest) = bytes.split_at_checked(piece.length)?;
            // Room for an event or some more.
            piece.bytes.reserve_exact(events.len() + 32);
            piece.bytes.extend_from_slice(events);
            *bytes = rest;
        }
        bytes.is_empty().then_some(())
    }

    pub(super) fn write(&self, pieces: &[Piece<S>], out: &mut Vec<u8>) {
        write_varint(u64::from(S::VERSION) * 2 + u64::from(self.with_ids), out);
        write_varint(pieces.len() as u64, out);
        let mut before = None;
        for piece in pieces {
            match before {
                None => write_signed(piece.start, out),
                Some(end) => write_varint(since(end, piece.start), out),
            }
            write_varint(since(piece.start, piece.end), out);
            write_varint(piece.events, out);
            write_varint(piece.bytes.len() as u64, out);
            piece.sum.write(out);
            before = Some(piece.end);
        }
        pieces.iter().for_each(|piece| out.extend_from_slice(&piece.bytes));
    }

    /// An event came.
    pub(super) fn add(&mut self, at: i64, id: &[u8], part: S, bounds: Bounds) -> Result<(), String> {
        let in_order = self.events.is_none() && self.pieces.last().is_none_or(|last| at >= last.end);
        if in_order {
            append(&mut self.pieces, at, id, part, bounds, self.with_ids);
            return Ok(());
        }
        self.take_apart(S::VERSION)?;
        let events = self.events.get_or_insert_default();
        let place = events.partition_point(|event| event.at <= at);
        events.insert(place, Event { at, id: id.to_vec(), part });
        Ok(())
    }

    /// An event is gone; false: it was not there.
    pub(super) fn remove(&mut self, at: i64, id: &[u8]) -> Result<bool, String> {
        self.take_apart(S::VERSION)?;
        let events = self.events.get_or_insert_default();
        let first = events.partition_point(|event| event.at < at);
        let place = events[first..].iter().take_while(|event| event.at == at).position(|event| event.id == id);
        if let Some(place) = place {
            events.remove(first + place);
        }
        Ok(place.is_some())
    }

    fn take_apart(&mut self, version: u32) -> Result<(), String> {
        if self.events.is_none() {
            let mut events = Vec::new();
            for piece in &self.pieces {
                let mut bytes = piece.bytes.as_slice();
                let mut at = piece.start;
                while !bytes.is_empty() {
                    let event =
                        read_event(version, &mut at, self.with_ids, &mut bytes).ok_or_else(|| damaged(version))?;
                    events.push(event);
                }
            }
            self.events = Some(events);
        }
        Ok(())
    }

    /// Puts the sessions together again; gives back those that are no more.
    ///
    /// A session is known by its start; one that begins elsewhere is another one.
    pub(super) fn put_together(&mut self, bounds: Bounds) -> Vec<Piece<S>> {
        let Some(events) = self.events.take() else { return Vec::new() };
        let before = std::mem::take(&mut self.pieces);
        for Event { at, id, part } in events {
            append(&mut self.pieces, at, &id, part, bounds, self.with_ids);
        }
        let mut gone = Vec::new();
        let mut after = self.pieces.iter_mut().peekable();
        for old in before {
            while after.next_if(|new| new.start < old.start).is_some() {}
            match after.next_if(|new| new.start == old.start) {
                Some(new) => (new.changed, new.told) = (old.changed || !same(&old, new), old.told),
                None if old.told => gone.push(old),
                None => (),
            }
        }
        gone
    }

    /// The ids of a session's events.
    pub(super) fn ids(&self, piece: &Piece<S>, mut each: impl FnMut(&[u8])) -> Result<(), String> {
        let (mut bytes, mut at) = (piece.bytes.as_slice(), piece.start);
        while self.with_ids && !bytes.is_empty() {
            let event: Event<S> =
                read_event(S::VERSION, &mut at, true, &mut bytes).ok_or_else(|| damaged(S::VERSION))?;
            each(&event.id);
        }
        Ok(())
    }

    /// The session of a time.
    pub(super) fn piece_at(&self, at: i64) -> Option<&Piece<S>> {
        let behind = self.pieces.partition_point(|piece| piece.start <= at);
        self.pieces.get(behind.checked_sub(1)?)
    }
}

fn append<S: StateValue + Merge>(
    pieces: &mut Vec<Piece<S>>,
    at: i64,
    id: &[u8],
    part: S,
    bounds: Bounds,
    with_ids: bool,
) {
    let event = |since: u64, part: &S, bytes: &mut Vec<u8>| {
        write_varint(since, bytes);
        if with_ids {
            write_varint(id.len() as u64, bytes);
            bytes.extend_from_slice(id);
        }
        part.write(bytes);
    };
    match pieces.last_mut().filter(|last| bounds.joins(last, at)) {
        Some(last) => {
            event(since(last.end, at), &part, &mut last.bytes);
            last.sum.merge(&part);
            last.end = at;
            last.events += 1;
            last.changed = true;
        }
        None => {
            let mut bytes = Vec::with_capacity(32);
            event(0, &part, &mut bytes);
            pieces.push(Piece {
                start: at,
                end: at,
                events: 1,
                sum: part,
                bytes,
                length: 0,
                changed: true,
                told: false,
            });
        }
    }
}

fn read_event<S: StateValue>(version: u32, at: &mut i64, with_ids: bool, bytes: &mut &[u8]) -> Option<Event<S>> {
    *at = at.wrapping_add_unsigned(read_varint(bytes)?);
    let id = if with_ids { read_bytes(bytes)?.to_vec() } else { Vec::new() };
    Some(Event { at: *at, id, part: S::read_version(version, bytes)? })
}

/// Version, and whether events have ids.
fn read_head<S: StateValue>(bytes: &mut &[u8]) -> Result<(u32, bool), String> {
    let head = read_varint(bytes).ok_or("an entry of state is empty")?;
    Ok((check_version::<S>(head / 2)?, head % 2 == 1))
}

fn same<S: StateValue>(a: &Piece<S>, b: &Piece<S>) -> bool {
    let sum = |piece: &Piece<S>| {
        let mut bytes = Vec::new();
        piece.sum.write(&mut bytes);
        bytes
    };
    (a.end, a.events) == (b.end, b.events) && sum(a) == sum(b)
}

/// From one time to a later one; times may be as far apart as 64 bits allow.
fn since(from: i64, to: i64) -> u64 {
    to.wrapping_sub(from).cast_unsigned()
}
