//! Messages in the client's buffers: nothing is copied between the socket and the decoder, but where that is better.

use std::ffi::{CStr, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::bindings as sys;

use super::client::Client;
use crate::batch::Header;
use crate::source::chunk::{Filling, Messages};

/// What a message costs beyond its key and value: librdkafka's operation (about 400 bytes with its allocation), our
/// entry, and its part of the fetched buffer's framing.
const MESSAGE_OVERHEAD: usize = 512;

/// What so many messages cost in the client's buffers, with so many bytes of keys and values.
pub(super) fn cost(messages: usize, bytes: usize) -> usize {
    bytes + messages * MESSAGE_OVERHEAD
}

/// A message as the client gave it, or a partition's error. Destroyed on drop; the client must outlive it.
#[derive(Debug)]
pub(super) struct RawMessage(NonNull<sys::rd_kafka_message_t>);

// SAFETY: librdkafka's messages belong to no thread; their buffers are reference-counted with atomics.
unsafe impl Send for RawMessage {}
// SAFETY: a shared reference only reads, but for headers, which `Fetched` guards.
unsafe impl Sync for RawMessage {}

impl RawMessage {
    /// # Safety
    /// `message` comes from a consume function and is given to nobody else.
    pub(super) unsafe fn from_ptr(message: NonNull<sys::rd_kafka_message_t>) -> Self {
        Self(message)
    }

    fn get(&self) -> &sys::rd_kafka_message_t {
        // SAFETY: valid until `drop`.
        unsafe { self.0.as_ref() }
    }

    pub(super) fn error(&self) -> sys::rd_kafka_resp_err_t {
        self.get().err
    }

    pub(super) fn offset(&self) -> i64 {
        self.get().offset
    }

    pub(super) fn partition(&self) -> i32 {
        self.get().partition
    }

    /// Equal for two messages that live at the same time means: of the same topic.
    pub(super) fn topic_handle(&self) -> *const sys::rd_kafka_topic_t {
        self.get().rkt
    }

    pub(super) fn topic(&self) -> &str {
        let handle = self.get().rkt;
        if handle.is_null() {
            return "";
        }
        // SAFETY: the message holds a reference to the topic, whose name is a C string that never changes.
        let name = unsafe { CStr::from_ptr(sys::rd_kafka_topic_name(handle)) };
        name.to_str().unwrap_or("") // Kafka allows ASCII alone in names
    }

    /// Bytes of key and value.
    pub(super) fn bytes(&self) -> usize {
        self.get().len + self.get().key_len
    }

    /// For errors: the payload is the reason as text.
    pub(super) fn reason(&self) -> String {
        self.value().map(String::from_utf8_lossy).unwrap_or_default().into_owned()
    }

    fn slice(&self, data: *const c_void, len: usize) -> Option<&[u8]> {
        if data.is_null() {
            return None;
        }
        // SAFETY: librdkafka keeps `len` bytes at `data` until the message is destroyed.
        Some(unsafe { slice::from_raw_parts(data.cast(), len) })
    }

    fn key(&self) -> Option<&[u8]> {
        self.slice(self.get().key, self.get().key_len)
    }

    fn value(&self) -> Option<&[u8]> {
        self.slice(self.get().payload, self.get().len)
    }

    fn timestamp(&self) -> Option<i64> {
        let mut kind = sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: a valid message and a place for the answer.
        let time = unsafe { sys::rd_kafka_message_timestamp(self.0.as_ptr(), &raw mut kind) };
        (kind != sys::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && time >= 0).then_some(time)
    }

    /// Its headers: valid as long as the message. They are parsed when they are first asked for, and written into the
    /// message: one thread at a time.
    fn headers(&self) -> impl Iterator<Item = (&CStr, Option<&[u8]>)> {
        let mut list: *mut sys::rd_kafka_headers_t = ptr::null_mut();
        // SAFETY: a valid message; the list stays the message's. The fields that parsing writes are read nowhere else.
        let error = unsafe { sys::rd_kafka_message_headers(self.0.as_ptr(), &raw mut list) };
        let list = NonNull::new(list).filter(|_| error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR);
        (0..).map_while(move |index| {
            let (mut name, mut value, mut size) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0_usize);
            // SAFETY: a valid list and places for the answer; an index behind the end is an error, not undefined.
            let error = unsafe {
                sys::rd_kafka_header_get_all(list?.as_ptr(), index, &raw mut name, &raw mut value, &raw mut size)
            };
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                return None;
            }
            // SAFETY: names are C strings, which live as long as the list.
            Some((unsafe { CStr::from_ptr(name) }, self.slice(value, size)))
        })
    }
}

impl Drop for RawMessage {
    fn drop(&mut self) {
        // SAFETY: owned, and not used after.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// Messages of one partition that lie in a client's buffers.
#[derive(Debug)]
pub(super) struct Fetched {
    messages: Vec<RawMessage>, // before `client`: fields drop in order, and the client must be the last to go
    headers: Mutex<()>,
    _client: Arc<Client>,
}

impl Fetched {
    pub(super) fn new(messages: Vec<RawMessage>, client: Arc<Client>) -> Self {
        Self { messages, headers: Mutex::new(()), _client: client }
    }

    /// Copies them.
    pub(super) fn copy(&self) -> Filling {
        let mut filling = Filling::new(self.len(), self.bytes_from(0));
        let _alone = self.alone();
        for raw in &self.messages {
            filling.push(raw.offset(), raw.timestamp(), raw.key(), raw.value());
            raw.headers().for_each(|(name, value)| filling.header(name.to_bytes(), value));
        }
        filling
    }

    fn alone(&self) -> MutexGuard<'_, ()> {
        self.headers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Messages for Fetched {
    fn len(&self) -> usize {
        self.messages.len()
    }

    fn offset(&self, index: usize) -> i64 {
        self.messages[index].offset()
    }

    fn timestamp(&self, index: usize) -> Option<i64> {
        self.messages[index].timestamp()
    }

    fn key(&self, index: usize) -> Option<&[u8]> {
        self.messages[index].key()
    }

    fn value(&self, index: usize) -> Option<&[u8]> {
        self.messages[index].value()
    }

    fn headers(&self, index: usize) -> Vec<Header> {
        let _alone = self.alone();
        let header =
            |(name, value): (&CStr, Option<&[u8]>)| (name.to_string_lossy().into_owned(), value.map(<[u8]>::to_vec));
        self.messages[index].headers().map(header).collect()
    }

    fn header(&self, index: usize, name: &str) -> Option<&[u8]> {
        let _alone = self.alone();
        self.messages[index].headers().filter(|(of, _)| of.to_bytes() == name.as_bytes()).last()?.1
    }

    fn bytes_from(&self, index: usize) -> usize {
        self.messages[index..].iter().map(RawMessage::bytes).sum()
    }
}
