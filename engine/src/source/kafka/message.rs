//! Messages in the client's buffers: nothing is copied between the socket and the decoder.

use std::ffi::{CStr, CString, c_char, c_void};
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::bindings as sys;

use super::client::Client;
use crate::batch::{Header, Message};
use crate::source::budget::Lease;

/// A message as the client gave it, or a partition's error. Destroyed on drop; the client must outlive it.
#[derive(Debug)]
pub(super) struct RawMessage(NonNull<sys::rd_kafka_message_t>);

// SAFETY: librdkafka's messages belong to no thread; their buffers are reference-counted with atomics.
unsafe impl Send for RawMessage {}
// SAFETY: a shared reference only reads, but for headers, which `Hold` guards.
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
}

impl Drop for RawMessage {
    fn drop(&mut self) {
        // SAFETY: owned, and not used after.
        unsafe { sys::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// What a run of messages of one partition shares: their bytes in the budget, and the client that they lie in.
#[derive(Debug)]
pub(super) struct Hold {
    _lease: Lease,
    /// librdkafka parses a message's headers when they are first asked for, and writes them into the message: one
    /// thread at a time.
    headers: Mutex<()>,
    _client: Arc<Client>,
}

impl Hold {
    pub(super) fn new(lease: Lease, client: Arc<Client>) -> Arc<Self> {
        Arc::new(Self { _lease: lease, headers: Mutex::new(()), _client: client })
    }
}

/// A message that lies in the Kafka client's buffer. Its bytes count against the budget until it and its neighbours of
/// the same fetch are dropped.
#[derive(Debug)]
pub struct KafkaMessage {
    raw: RawMessage, // before `hold`: fields drop in order, and the client must be the last to go
    hold: Arc<Hold>,
}

impl KafkaMessage {
    pub(super) fn new(raw: RawMessage, hold: Arc<Hold>) -> Self {
        Self { raw, hold }
    }

    pub(super) fn payload_bytes(&self) -> usize {
        self.raw.bytes()
    }

    pub(super) fn into_message(self) -> Message {
        Message::kafka(self.raw.offset(), self.raw.timestamp(), self)
    }

    /// The key's bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        self.raw.key()
    }

    /// The value's bytes; `None` is a tombstone.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        self.raw.value()
    }

    /// The message's list of headers, if it has one: parsed when it is first asked for, valid as long as the message.
    fn header_list(&self) -> Option<NonNull<sys::rd_kafka_headers_t>> {
        let mut list: *mut sys::rd_kafka_headers_t = ptr::null_mut();
        let _alone = self.hold.headers.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: a valid message; the list stays the message's. The fields that parsing writes are read nowhere else.
        let error = unsafe { sys::rd_kafka_message_headers(self.raw.0.as_ptr(), &raw mut list) };
        if error == sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR { NonNull::new(list) } else { None }
    }

    /// The value of the last header of this name; `None`: there is no such header, or it has no value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        let list = self.header_list()?;
        let name = CString::new(name).ok()?; // no header has a name with a zero in it: names are C strings
        let (mut value, mut size) = (ptr::null::<c_void>(), 0_usize);
        // SAFETY: a valid list, a C string, and places for the answer.
        let error =
            unsafe { sys::rd_kafka_header_get_last(list.as_ptr(), name.as_ptr(), &raw mut value, &raw mut size) };
        if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
            return None;
        }
        self.raw.slice(value, size)
    }

    /// The headers, copied.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        let mut headers = Vec::new();
        let Some(list) = self.header_list() else { return headers };
        let (mut name, mut value, mut size) = (ptr::null::<c_char>(), ptr::null::<c_void>(), 0_usize);
        for index in 0.. {
            // SAFETY: a valid list and places for the answer; an index behind the end is an error, not undefined.
            let error = unsafe {
                sys::rd_kafka_header_get_all(list.as_ptr(), index, &raw mut name, &raw mut value, &raw mut size)
            };
            if error != sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                break;
            }
            // SAFETY: names are C strings.
            let key = unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned();
            headers.push((key, self.raw.slice(value, size).map(<[u8]>::to_vec)));
        }
        headers
    }
}
