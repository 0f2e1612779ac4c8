//! Messages that wait: in chunks, of those that came together.
//!
//! A chunk lies where the client has it, or is copied into one piece of memory of its own. At the client each message costs some
//! 400 bytes beside its own, and keeps what else the broker sent with it, for as long as it waits. So what few lanes soon take stays
//! there; what hundreds of lanes gather for seconds is copied.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use super::BatchLimits;
use super::budget::{Account, Lease};
use crate::batch::{Header, Message};

/// What a chunk costs beyond its messages: its own fields, its place in a queue, and what the allocator rounds up.
const CHUNK_OVERHEAD: usize = 192;
/// What a message that is copied costs beyond its key, value and headers: its entry, and again what the allocator rounds up.
const MESSAGE_OVERHEAD: usize = 72;
/// The length of a header's value that there is none of.
const NO_VALUE: u32 = u32::MAX;

/// What so many messages cost with so many bytes of keys and values, once they are copied.
pub(super) fn cost(messages: usize, bytes: usize) -> usize {
    bytes + messages * MESSAGE_OVERHEAD + CHUNK_OVERHEAD
}

/// Messages of one partition, in offset order, by their number.
pub(super) trait Messages: fmt::Debug + Send + Sync {
    /// How many there are.
    fn len(&self) -> usize;
    fn offset(&self, index: usize) -> i64;
    fn timestamp(&self, index: usize) -> Option<i64>;
    fn key(&self, index: usize) -> Option<&[u8]>;
    fn value(&self, index: usize) -> Option<&[u8]>;
    /// The headers, copied, in their order.
    fn headers(&self, index: usize) -> Vec<Header>;
    /// The value of the last header of this name; `None`: there is no such header, or it has no value.
    fn header(&self, index: usize, name: &str) -> Option<&[u8]>;
    /// Bytes of the keys and values from this message on.
    fn bytes_from(&self, index: usize) -> usize;
}

/// Messages that came together. They are booked until the last of them is let go.
#[derive(Debug)]
pub(super) struct Chunk {
    messages: Box<dyn Messages>,
    lease: Lease,
}

impl Chunk {
    pub(super) fn new(messages: impl Messages + 'static, lease: Lease) -> Arc<Self> {
        Arc::new(Self { messages: Box::new(messages), lease })
    }

    /// What it costs.
    pub(super) fn cost(&self) -> usize {
        self.lease.bytes()
    }

    /// How many messages it has.
    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    /// Which is the first at or behind an offset: nearly always the first of all.
    pub(super) fn index_of(&self, offset: i64) -> usize {
        (0..self.len()).find(|index| self.messages.offset(*index) >= offset).unwrap_or(self.len())
    }

    /// One of its messages.
    fn message(self: &Arc<Self>, index: usize) -> Message {
        let (offset, timestamp) = (self.messages.offset(index), self.messages.timestamp(index));
        Message::chunked(offset, timestamp, ChunkedMessage { chunk: self.clone(), index })
    }
}

/// A message of a chunk.
#[derive(Debug)]
pub struct ChunkedMessage {
    chunk: Arc<Chunk>,
    index: usize,
}

impl ChunkedMessage {
    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.chunk.messages.key(self.index)
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.chunk.messages.value(self.index)
    }

    /// The headers, copied, in their order.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        self.chunk.messages.headers(self.index)
    }

    /// The value of the last header of this name; `None`: there is no such header, or it has no value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.chunk.messages.header(self.index, name)
    }
}

/// Messages in one piece of memory.
#[derive(Debug)]
struct Copied {
    /// Keys and values, in the order of the messages, each key before its value.
    bytes: Box<[u8]>,
    /// Of each header the length of its name and of its value, and both.
    headers: Box<[u8]>,
    entries: Box<[Entry]>,
}

#[derive(Debug)]
struct Entry {
    offset: i64,
    timestamp: Option<i64>,
    /// Where its bytes begin.
    begin: usize,
    key: Option<u32>,
    value: Option<u32>,
    /// Where its headers begin. They go on to where the next one's begin.
    headers: usize,
}

impl Copied {
    fn part(&self, begin: usize, len: Option<u32>) -> Option<&[u8]> {
        Some(&self.bytes[begin..begin + len? as usize])
    }

    /// The names and values of a message's headers, in their order.
    fn each_header(&self, index: usize) -> impl Iterator<Item = (&[u8], Option<&[u8]>)> {
        let end = self.entries.get(index + 1).map_or(self.headers.len(), |next| next.headers);
        let mut rest = &self.headers[self.entries[index].headers..end];
        std::iter::from_fn(move || {
            let (&name, more) = rest.split_first_chunk()?;
            let (&value, more) = more.split_first_chunk()?;
            let (name, more) = more.split_at(u32::from_ne_bytes(name) as usize);
            let value = Some(u32::from_ne_bytes(value)).filter(|len| *len != NO_VALUE);
            let (bytes, more) = more.split_at(value.unwrap_or(0) as usize);
            rest = more;
            Some((name, value.map(|_| bytes)))
        })
    }
}

impl Messages for Copied {
    fn len(&self) -> usize {
        self.entries.len()
    }

    fn offset(&self, index: usize) -> i64 {
        self.entries[index].offset
    }

    fn timestamp(&self, index: usize) -> Option<i64> {
        self.entries[index].timestamp
    }

    fn key(&self, index: usize) -> Option<&[u8]> {
        let Entry { begin, key, .. } = self.entries[index];
        self.part(begin, key)
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        let Entry { begin, key, value, .. } = self.entries[index];
        self.part(begin + key.unwrap_or(0) as usize, value)
    }

    fn headers(&self, index: usize) -> Vec<Header> {
        let header = |(name, value): (&[u8], Option<&[u8]>)| {
            (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec))
        };
        self.each_header(index).map(header).collect()
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        self.each_header(index).filter(|(of, _)| *of == name.as_bytes()).last()?.1
    }

    fn bytes_from(&self, index: usize) -> usize {
        self.bytes.len() - self.entries.get(index).map_or(self.bytes.len(), |entry| entry.begin)
    }
}

/// A chunk of copies that is being filled.
#[derive(Debug)]
pub(super) struct Filling {
    bytes: Vec<u8>,
    headers: Vec<u8>,
    entries: Vec<Entry>,
}

impl Filling {
    /// For so many messages, with so many bytes of keys and values.
    pub(super) fn new(messages: usize, bytes: usize) -> Self {
        Self { bytes: Vec::with_capacity(bytes), headers: Vec::new(), entries: Vec::with_capacity(messages) }
    }

    /// Copies a message. Its headers follow.
    pub(super) fn push(&mut self, offset: i64, timestamp: Option<i64>, key: Option<&[u8]>, value: Option<&[u8]>) {
        let (begin, headers) = (self.bytes.len(), self.headers.len());
        let mut add = |part: &[u8]| {
            self.bytes.extend_from_slice(part);
            len(part)
        };
        let (key, value) = (key.map(&mut add), value.map(&mut add));
        self.entries.push(Entry { offset, timestamp, begin, key, value, headers });
    }

    /// Copies a header of the last message.
    pub(super) fn header(&mut self, name: &[u8], value: Option<&[u8]>) {
        self.headers.extend_from_slice(&len(name).to_ne_bytes());
        self.headers.extend_from_slice(&value.map_or(NO_VALUE, len).to_ne_bytes());
        self.headers.extend_from_slice(name);
        self.headers.extend_from_slice(value.unwrap_or_default());
    }

    /// Copies a message with its headers.
    pub(super) fn copy(&mut self, message: &Message) {
        self.push(message.offset, message.timestamp, message.key(), message.value());
        for (name, value) in message.headers() {
            self.header(name.as_bytes(), value.as_deref());
        }
    }

    /// Books it.
    pub(super) fn done(self, account: &Arc<Account>) -> Arc<Chunk> {
        let Self { bytes, headers, entries } = self;
        let lease = account.lease(cost(entries.len(), bytes.len() + headers.len()));
        Chunk::new(Copied { bytes: bytes.into(), headers: headers.into(), entries: entries.into() }, lease)
    }
}

fn len(bytes: &[u8]) -> u32 {
    u32::try_from(bytes.len()).expect("what Kafka has in a message is shorter than 2^31 bytes")
}

/// Messages that wait for one lane, in offset order.
#[derive(Debug, Default)]
pub(super) struct Queue {
    pieces: VecDeque<Piece>,
    messages: usize,
    bytes: usize,
    cost: usize,
}

/// The messages of a chunk from one on.
#[derive(Debug)]
struct Piece {
    chunk: Arc<Chunk>,
    next: usize,
}

impl Queue {
    /// Takes in a chunk's messages from this one on.
    pub(super) fn push(&mut self, chunk: &Arc<Chunk>, next: usize) {
        if next == chunk.len() {
            return;
        }
        self.cost += chunk.cost();
        self.messages += chunk.len() - next;
        self.bytes += chunk.messages.bytes_from(next);
        self.pieces.push_back(Piece { chunk: chunk.clone(), next });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// What its chunks cost.
    pub(super) fn cost(&self) -> usize {
        self.cost
    }

    /// Is there so much?
    pub(super) fn has(&self, messages: usize, bytes: usize) -> bool {
        self.messages >= messages || self.bytes >= bytes
    }

    /// Moves messages to `batch` until it is full; `bytes` counts those of keys and values in it.
    pub(super) fn take(&mut self, limits: BatchLimits, batch: &mut Vec<Message>, bytes: &mut usize) {
        batch.reserve(self.messages.min(limits.max_messages.saturating_sub(batch.len())));
        while batch.len() < limits.max_messages
            && *bytes < limits.max_bytes
            && let Some(Piece { chunk, next }) = self.pieces.front_mut()
        {
            let message = chunk.message(*next);
            self.messages -= 1;
            self.bytes -= message.bytes();
            *bytes += message.bytes();
            batch.push(message);
            *next += 1;
            if *next == chunk.len() {
                self.cost -= chunk.cost();
                self.pieces.pop_front();
            }
        }
    }

    /// Gives up the later half. Says with which offset it began.
    pub(super) fn cut(&mut self) -> Option<i64> {
        let (left, mut cut) = (self.cost / 2, None);
        while self.cost > left
            && let Some(Piece { chunk, next }) = self.pieces.pop_back()
        {
            self.cost -= chunk.cost();
            self.messages -= chunk.len() - next;
            self.bytes -= chunk.messages.bytes_from(next);
            cut = Some(chunk.messages.offset(next));
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Budget;

    const ALL: BatchLimits =
        BatchLimits { max_messages: usize::MAX, max_bytes: usize::MAX, linger: std::time::Duration::ZERO };

    fn chunk(messages: &[Message], budget: &Arc<Budget>) -> Arc<Chunk> {
        let mut filling = Filling::new(messages.len(), messages.iter().map(Message::bytes).sum());
        messages.iter().for_each(|message| filling.copy(message));
        filling.done(&Account::new(budget.clone()))
    }

    fn all(messages: &[Message]) -> Vec<impl PartialEq + fmt::Debug> {
        let all = |it: &Message| {
            (it.offset, it.timestamp, it.key().map(<[u8]>::to_vec), it.value().map(<[u8]>::to_vec), it.headers())
        };
        messages.iter().map(all).collect()
    }

    #[test]
    fn messages_are_as_they_were_and_what_they_cost_is_given_back_with_the_last() {
        use debezium_decode::Message as _;
        let named = |name: &str, value: Option<&[u8]>| (name.to_owned(), value.map(<[u8]>::to_vec));
        let headers = vec![named("a", Some(b"1")), named("", None), named("a", Some(b"")), named("b", None)];
        let messages = [
            Message::owned(3, Some(-1), Some(b"key".to_vec()), Some(b"value".to_vec()), headers),
            Message::owned(5, None, None, Some(Vec::new()), Vec::new()),
            Message::owned(8, Some(7), Some(Vec::new()), None, vec![named("c", Some(b"2"))]),
        ];
        let budget = Budget::new(1 << 20);
        let mut queue = Queue::default();
        queue.push(&chunk(&messages, &budget), 0);
        assert_eq!(queue.cost(), budget.held());
        let (mut batch, mut bytes) = (Vec::new(), 0);
        queue.take(ALL, &mut batch, &mut bytes);
        assert_eq!((all(&batch), bytes), (all(&messages), 8));
        assert_eq!((batch[0].header("a"), batch[0].header("b"), batch[0].header("")), (Some(&b""[..]), None, None));
        assert_eq!((batch[1].header("a"), batch[2].header("c")), (None, Some(&b"2"[..])));
        assert!(queue.is_empty() && queue.cost() == 0 && !queue.has(1, 1));
        drop(batch.drain(1..));
        assert!(budget.held() > 0);
        drop(batch);
        assert_eq!(budget.held(), 0);
    }

    #[test]
    fn a_queue_is_taken_from_its_front_and_cut_from_its_end_by_chunks() {
        let budget = Budget::new(1 << 20);
        let message = |offset: i64| Message::owned(offset, None, None, Some(vec![0; 10]), Vec::new());
        let mut queue = Queue::default();
        for begin in [0, 10, 20, 30] {
            let messages: Vec<Message> = (begin..begin + 10).map(message).collect();
            queue.push(&chunk(&messages, &budget), if begin == 0 { 4 } else { 0 });
        }
        assert!(queue.has(36, usize::MAX) && !queue.has(37, usize::MAX) && queue.has(usize::MAX, 360));
        assert_eq!(queue.cut(), Some(20));
        let (mut batch, mut bytes) = (Vec::new(), 0);
        queue.take(BatchLimits { max_messages: 7, ..ALL }, &mut batch, &mut bytes);
        queue.take(BatchLimits { max_bytes: 101, ..ALL }, &mut batch, &mut bytes);
        let offsets: Vec<i64> = batch.iter().map(|message| message.offset).collect();
        assert_eq!((offsets, bytes), ((4..15).collect(), 110), "the last message may go over");
        assert!(queue.has(5, 50) && !queue.has(6, 51));
    }
}
