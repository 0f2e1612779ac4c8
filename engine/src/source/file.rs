//! Recorded messages: files of JSON lines, one message a line.
//!
//! ```json
//! {"topic":"shop.orders","partition":0,"offset":7,"timestamp":1795177787365,
//!  "headers":[{"key":"k","value":"v"}],"key":"{\"id\":1}","value":"{…}"}
//! ```
//! `key` and `value` are the bytes as text, or null. Bytes that are no text stand as base64 in `key_b64` and
//! `value_b64`, and in a header's `value_b64`. `timestamp` (ms since 1970), `headers`, `key` and `value` may be missing.
//!
//! **Promise.** All lines are checked before the first message is given out; a file that is no recording is refused with
//! file, line and reason. The offsets of a partition must grow from line to line, across the files in their order.
//! **Memory.** 24 bytes for each message: the index of where its line is. Lines are read when they are due. Beside its
//! batch a reader has the line of one message in memory, up to three times.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::available_parallelism;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures::FutureExt;
use futures::future::BoxFuture;
use serde::Deserialize;
use tokio::sync::OnceCell;

use super::topics::matching;
use super::{BatchLimits, Found, Lag, Reader, Source, SourceError, Start};
use crate::batch::{Header, Message, RawBatch};
use crate::cpu::Cpu;
use crate::offsets::{OffsetRange, TopicPartition};

/// The name of the threads that read files and parse what is in them: their own, so that it is known what they cost.
pub const FILE_THREADS: &str = "file-source";

/// Recorded messages in files.
#[derive(Debug)]
pub struct FileSource {
    paths: Arc<[PathBuf]>,
    scanned: OnceCell<Scanned>,
}

/// What the first question leaves behind.
#[derive(Debug)]
struct Scanned {
    index: Index,
    threads: Cpu,
}

/// Where the messages of each partition are.
type Index = BTreeMap<TopicPartition, Arc<[Place]>>;

/// Where a message is.
#[derive(Clone, Copy, Debug)]
struct Place {
    offset: i64,
    /// Byte where its line begins.
    begin: u64,
    /// Bytes of its line.
    len: u32,
    /// Number of its file.
    file: u32,
}

impl FileSource {
    /// A source of these files, in this order. They are read first when something is asked.
    #[must_use]
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self { paths: paths.into(), scanned: OnceCell::new() }
    }

    async fn scanned(&self) -> Result<&Scanned, SourceError> {
        self.scanned
            .get_or_try_init(async || {
                let threads = Cpu::named(FILE_THREADS, available_parallelism().map_or(1, usize::from))
                    .map_err(|error| SourceError::Refused { message: format!("can't start a thread: {error}") })?;
                let paths = self.paths.clone();
                let index = threads.run("", move || scan(&paths)).await?;
                Ok(Scanned { index, threads })
            })
            .await
    }
}

impl Source for FileSource {
    fn discover<'a>(&'a self, topics: &'a [String]) -> BoxFuture<'a, Result<Vec<Found>, SourceError>> {
        async move {
            let index = &self.scanned().await?.index;
            let names = matching(topics, || Ok(index.keys().map(|it| it.topic.to_string()).collect()))?;
            let wanted = index.keys().filter(|it| names.iter().any(|name| **name == *it.topic));
            Ok(wanted.map(|it| Found { partition: it.clone(), topic_id: "".into() }).collect())
        }
        .boxed()
    }

    fn open<'a>(&'a self, found: &'a Found, start: Start) -> BoxFuture<'a, Result<Box<dyn Reader>, SourceError>> {
        async move {
            let partition = found.partition.clone();
            let Scanned { index, threads } = self.scanned().await?;
            let Some(places) = index.get(&partition) else {
                return Err(SourceError::Refused { message: format!("{partition} is in none of the files") });
            };
            let first = places.first().map_or(0, |place| place.offset);
            let end = end_of(places);
            let position = match start {
                Start::Earliest => first,
                Start::Latest => end,
                Start::Offset(wanted) if wanted > end => {
                    return Err(SourceError::OffsetAhead { partition, wanted, end });
                }
                Start::Offset(wanted) => wanted,
            };
            let next = places.partition_point(|place| place.offset < position);
            let recording = Recording { paths: self.paths.clone(), places: places.clone() };
            let threads = threads.clone();
            Ok(Box::new(FileReader { partition, recording, threads, next, position, open: None, reading: None })
                as Box<dyn Reader>)
        }
        .boxed()
    }

    fn bounds<'a>(&'a self, partition: &'a TopicPartition) -> BoxFuture<'a, Result<(i64, i64), SourceError>> {
        async move {
            let places = self.scanned().await?.index.get(partition);
            Ok(places.map_or((0, 0), |places| (places.first().map_or(0, |place| place.offset), end_of(places))))
        }
        .boxed()
    }

    fn at_time<'a>(&'a self, partition: &'a TopicPartition, time_ms: i64) -> BoxFuture<'a, Result<i64, SourceError>> {
        async move {
            let Scanned { index, threads } = self.scanned().await?;
            let Some(places) = index.get(partition) else { return Ok(0) };
            let (paths, places) = (self.paths.clone(), places.clone());
            let look = move || {
                let mut open = None;
                for place in places.iter() {
                    if read(&paths, *place, &mut open)?.timestamp.is_some_and(|timestamp| timestamp >= time_ms) {
                        return Ok(place.offset);
                    }
                }
                Ok(end_of(&places))
            };
            threads.run(&partition.topic, look).await
        }
        .boxed()
    }

    /// A file has nobody to tell.
    fn mirror(&self, _: &TopicPartition, _: &str, _: i64) {}
}

/// The messages of one partition, in files.
#[derive(Clone)]
struct Recording {
    paths: Arc<[PathBuf]>,
    places: Arc<[Place]>,
}

impl Recording {
    /// Messages from the `next`th on until they are enough, and the file that is then open.
    fn read(&self, next: usize, limits: BatchLimits, mut open: Open) -> Result<(Vec<Message>, Open), SourceError> {
        let (mut messages, mut bytes) = (Vec::new(), 0);
        for place in self.places.iter().skip(next) {
            if messages.len() >= limits.max_messages || bytes >= limits.max_bytes {
                break;
            }
            let message = read(&self.paths, *place, &mut open)?;
            bytes += message.bytes();
            messages.push(message);
        }
        Ok((messages, open))
    }
}

/// The file that is read now, and its number.
type Open = Option<(u32, BufReader<File>)>;

/// A batch on its way, and the file that it left open.
type Reading = BoxFuture<'static, Result<(Vec<Message>, Open), SourceError>>;

struct FileReader {
    partition: TopicPartition,
    recording: Recording,
    threads: Cpu,
    /// Index of the next message's place.
    next: usize,
    position: i64,
    open: Open,
    /// The batch that is being read. Here and not in the future of a call: a cancelled one leaves it to the next.
    reading: Option<Reading>,
}

impl FileReader {
    async fn next(&mut self, limits: BatchLimits) -> Result<Option<RawBatch>, SourceError> {
        let reading = self.reading.get_or_insert_with(|| {
            let (recording, next, open) = (self.recording.clone(), self.next, self.open.take());
            let (threads, topic) = (self.threads.clone(), self.partition.topic.clone());
            async move { threads.run(&topic, move || recording.read(next, limits, open)).await }.boxed()
        });
        let read = reading.await;
        self.reading = None;
        let messages;
        (messages, self.open) = read?;
        let Some(last) = messages.last() else { return Ok(None) };
        let range = OffsetRange { start: self.position, end: last.offset + 1 };
        self.position = range.end;
        self.next += messages.len();
        let bytes = messages.iter().map(Message::bytes).sum();
        Ok(Some(RawBatch { partition: self.partition.clone(), range, messages, bytes }))
    }
}

impl Reader for FileReader {
    fn next_batch(&mut self, limits: BatchLimits) -> BoxFuture<'_, Result<Option<RawBatch>, SourceError>> {
        self.next(limits).boxed()
    }

    fn lag(&self) -> Option<Lag> {
        Some(Lag { end: end_of(&self.recording.places), position: self.position })
    }
}

fn end_of(places: &[Place]) -> i64 {
    places.last().map_or(0, |place| place.offset + 1)
}

/// A line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    topic: Cow<'a, str>,
    partition: i32,
    offset: i64,
    timestamp: Option<i64>,
    #[serde(borrow, default)]
    headers: Vec<LineHeader<'a>>,
    #[serde(borrow)]
    key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    key_b64: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value_b64: Option<Cow<'a, str>>,
}

/// A header of a line.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct LineHeader<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow)]
    value: Option<Cow<'a, str>>,
    #[serde(borrow)]
    value_b64: Option<Cow<'a, str>>,
}

impl Line<'_> {
    fn message(self) -> Result<Message, String> {
        let header = |it: LineHeader<'_>| Ok((it.key.into_owned(), bytes("value", it.value, it.value_b64)?));
        let headers = self.headers.into_iter().map(header).collect::<Result<Vec<Header>, String>>()?;
        let key = bytes("key", self.key, self.key_b64)?;
        let value = bytes("value", self.value, self.value_b64)?;
        Ok(Message::owned(self.offset, self.timestamp, key, value, headers))
    }
}

/// The bytes that stand as text or as base64.
fn bytes(field: &str, text: Option<Cow<'_, str>>, base64: Option<Cow<'_, str>>) -> Result<Option<Vec<u8>>, String> {
    match (text, base64) {
        (Some(_), Some(_)) => Err(format!("{field} and {field}_b64 exclude each other")),
        (Some(text), None) => Ok(Some(text.into_owned().into_bytes())),
        (None, Some(base64)) => BASE64.decode(&*base64).map(Some).map_err(|error| format!("{field}_b64: {error}")),
        (None, None) => Ok(None),
    }
}

/// Reads all files, checks each line, and notes where it is.
fn scan(paths: &[PathBuf]) -> Result<Index, SourceError> {
    let mut index: BTreeMap<TopicPartition, Vec<Place>> = BTreeMap::new();
    for (number, path) in (0..).zip(paths) {
        scan_file(path, number, &mut index)?;
    }
    Ok(index.into_iter().map(|(partition, places)| (partition, places.into())).collect())
}

fn scan_file(path: &Path, file: u32, index: &mut BTreeMap<TopicPartition, Vec<Place>>) -> Result<(), SourceError> {
    let mut reader = BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?);
    let (mut line, mut begin) = (Vec::new(), 0_u64);
    for number in 1_u64.. {
        line.clear();
        let len = reader.read_until(b'\n', &mut line).map_err(|error| unreadable(path, &error))?;
        if len == 0 {
            break;
        }
        if !line.trim_ascii().is_empty() {
            let note = |message| SourceError::Refused { message: format!("{}:{number}: {message}", path.display()) };
            let len = u32::try_from(len).map_err(|_| note("a line of 4 GiB or more".into()))?;
            let (partition, offset) = check(&line).map_err(note)?;
            let places = index.entry(partition).or_default();
            if let Some(last) = places.last().filter(|last| last.offset >= offset) {
                return Err(note(format!("offset {offset} after {}: offsets of a partition must grow", last.offset)));
            }
            places.push(Place { offset, begin, len, file });
        }
        begin += len as u64;
    }
    Ok(())
}

fn check(line: &[u8]) -> Result<(TopicPartition, i64), String> {
    let line = parse(line)?;
    let partition = TopicPartition { topic: line.topic.as_ref().into(), partition: line.partition };
    line.message().map(|message| (partition, message.offset))
}

fn parse(line: &[u8]) -> Result<Line<'_>, String> {
    serde_json::from_slice(line).map_err(|error| {
        // serde_json tells the position in the line; the line's number is told by the caller.
        let reason = error.to_string().replace(" at line 1 column ", " at byte ");
        format!(
            "not a recorded message: {reason}; expected a JSON object with topic, partition, offset and, if there are \
             any, timestamp, headers, key or key_b64, value or value_b64"
        )
    })
}

/// Reads the message at a place, from the file that is open or by opening another one.
fn read(paths: &[PathBuf], place: Place, open: &mut Open) -> Result<Message, SourceError> {
    let path = &paths[place.file as usize]; // the scan numbered these very paths
    let changed = |reason: String| SourceError::Refused {
        message: format!("{}: changed while it was read: {reason}", path.display()),
    };
    if open.as_ref().is_none_or(|(file, _)| *file != place.file) {
        *open = Some((place.file, BufReader::new(File::open(path).map_err(|error| unreadable(path, &error))?)));
    }
    let (_, reader) = open.as_mut().expect("opened above");
    let line = read_at(reader, place).map_err(|error| changed(error.to_string()))?;
    let message = parse(&line).and_then(Line::message).map_err(&changed)?;
    if message.offset == place.offset { Ok(message) } else { Err(changed("another message is there now".into())) }
}

fn read_at(reader: &mut BufReader<File>, place: Place) -> io::Result<Vec<u8>> {
    let here = reader.stream_position()?;
    match i64::try_from(i128::from(place.begin) - i128::from(here)) {
        Ok(way) => reader.seek_relative(way)?, // keeps what is buffered
        Err(_) => drop(reader.seek(SeekFrom::Start(place.begin))?),
    }
    let mut line = vec![0; place.len as usize];
    reader.read_exact(&mut line)?;
    Ok(line)
}

fn unreadable(path: &Path, error: &io::Error) -> SourceError {
    SourceError::Refused { message: format!("{}: {error}", path.display()) }
}

#[cfg(test)]
#[path = "file_tests.rs"]
mod tests;
