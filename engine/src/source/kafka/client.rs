//! One librdkafka consumer: a narrow, safe hull around the handful of its functions that the source needs.
//!
//! Not rdkafka's own consumers: they take one message a call, which costs a fifth more.

use std::ffi::{CStr, CString, c_int};
use std::mem::ManuallyDrop;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::bindings as sys;
use rdkafka::{ClientConfig, Offset, TopicPartitionList};
use sys::rd_kafka_resp_err_t as Code;

use super::events::Events;
use super::message::RawMessage;
use crate::offsets::TopicPartition;
use crate::source::SourceError;

/// Most messages taken from the client at a time. With 1 KB each that is 10 MB, more than its queue holds.
const MAX_TAKEN: usize = 10_000;

/// A consumer that assigns its partitions itself. It outlives its messages: who keeps them keeps it.
#[derive(Debug)]
pub(super) struct Client {
    rk: NonNull<sys::rd_kafka_t>,
    queue: NonNull<sys::rd_kafka_queue_t>,
    events: Arc<Events>,
}

// SAFETY: librdkafka's handles may be used from any thread, by several at a time.
unsafe impl Send for Client {}
// SAFETY: as above.
unsafe impl Sync for Client {}

impl Client {
    /// Starts a client. It connects by itself, in the background.
    pub(super) fn start(config: &ClientConfig) -> Result<Self, SourceError> {
        let refused = |message: String| SourceError::Refused { message: format!("Kafka client: {message}") };
        let conf = ManuallyDrop::new(config.create_native_config().map_err(|error| refused(error.to_string()))?);
        let events = Arc::new(Events::default());
        let mut text = [0; 512];
        // SAFETY: a valid configuration, which the client takes over; `events` is dropped after the client.
        let rk = unsafe {
            events.listen(conf.ptr());
            sys::rd_kafka_new(sys::rd_kafka_type_t::RD_KAFKA_CONSUMER, conf.ptr(), text.as_mut_ptr(), text.len())
        };
        let Some(rk) = NonNull::new(rk) else {
            drop(ManuallyDrop::into_inner(conf)); // not taken over
            // SAFETY: the client has written a C string.
            return Err(refused(unsafe { CStr::from_ptr(text.as_ptr()) }.to_string_lossy().into_owned()));
        };
        // SAFETY: a new consumer with a group has a queue. Log lines of all levels come, for `Events` to sort.
        let queue = unsafe {
            sys::rd_kafka_poll_set_consumer(rk.as_ptr());
            sys::rd_kafka_set_log_level(rk.as_ptr(), 7);
            sys::rd_kafka_queue_get_consumer(rk.as_ptr())
        };
        let queue = NonNull::new(queue).expect("a consumer with a group has a queue");
        Ok(Self { rk, queue, events })
    }

    pub(super) fn events(&self) -> &Events {
        &self.events
    }

    pub(super) fn native(&self) -> *mut sys::rd_kafka_t {
        self.rk.as_ptr()
    }

    /// The messages that are there, at most [`MAX_TAKEN`]. Never waits: the client would wake the caller for what each partition
    /// brings, which with hundreds of them costs more than the messages.
    pub(super) fn take(&self) -> Vec<RawMessage> {
        let mut taken: Vec<*mut sys::rd_kafka_message_t> = vec![ptr::null_mut(); MAX_TAKEN];
        // SAFETY: our queue, and room for as many messages as are named.
        let count =
            unsafe { sys::rd_kafka_consume_batch_queue(self.queue.as_ptr(), 0, taken.as_mut_ptr(), taken.len()) };
        taken.truncate(usize::try_from(count).unwrap_or(0));
        // SAFETY: each message is ours from here on.
        let message = |message| unsafe { RawMessage::from_ptr(message) };
        taken.into_iter().filter_map(NonNull::new).map(message).collect()
    }

    /// Begins to fetch partitions at offsets. Messages of an earlier assignment of the same partition don't come after.
    pub(super) fn assign<'a>(
        &self,
        partitions: impl IntoIterator<Item = (&'a TopicPartition, i64)>,
    ) -> Result<(), String> {
        let list = offsets(partitions);
        if list.count() == 0 {
            return Ok(());
        }
        // SAFETY: a valid client and list.
        unsafe { outcome(sys::rd_kafka_incremental_assign(self.native(), list.ptr())) }
    }

    /// Stops fetching partitions, and forgets what was fetched of them and not taken.
    pub(super) fn unassign<'a>(&self, partitions: impl IntoIterator<Item = &'a TopicPartition>) -> Result<(), String> {
        let list = offsets(partitions.into_iter().map(|partition| (partition, 0)));
        if list.count() == 0 {
            return Ok(());
        }
        // SAFETY: a valid client and list.
        unsafe { outcome(sys::rd_kafka_incremental_unassign(self.native(), list.ptr())) }
    }

    /// The partition's high watermark as the last fetch told it.
    pub(super) fn known_end(&self, topic: &CStr, partition: i32) -> Option<i64> {
        let (mut low, mut high) = (-1, -1);
        // SAFETY: a valid client, a C string and places for the answers.
        let code = unsafe {
            sys::rd_kafka_get_watermark_offsets(self.native(), topic.as_ptr(), partition, &raw mut low, &raw mut high)
        };
        (code == Code::RD_KAFKA_RESP_ERR_NO_ERROR && high >= 0).then_some(high)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        struct Remains(NonNull<sys::rd_kafka_t>, NonNull<sys::rd_kafka_queue_t>, Arc<Events>);
        // SAFETY: handles belong to no thread.
        unsafe impl Send for Remains {}
        impl Drop for Remains {
            fn drop(&mut self) {
                // SAFETY: nobody else has the client: who keeps messages keeps it. No group to leave.
                unsafe {
                    sys::rd_kafka_queue_destroy(self.1.as_ptr());
                    sys::rd_kafka_destroy_flags(self.0.as_ptr(), sys::RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
                }
                let _ = &self.2; // the callbacks' target goes last
            }
        }
        // Waits for the client's threads, up to a second: not on a thread that has rows to move. Without a thread the
        // closure is dropped here, and what it holds with it.
        let remains = Remains(self.rk, self.queue, self.events.clone());
        drop(std::thread::Builder::new().name("kafka-close".into()).spawn(move || drop(remains)));
    }
}

/// Partitions with offsets, as librdkafka takes them.
pub(super) fn offsets<'a>(partitions: impl IntoIterator<Item = (&'a TopicPartition, i64)>) -> TopicPartitionList {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        let added = list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(offset));
        debug_assert!(added.is_ok(), "offsets are not negative");
    }
    list
}

/// The topic's name for C. Kafka's names are ASCII without zero; any other is answered with "no such topic".
pub(super) fn c_name(topic: &str) -> CString {
    CString::new(topic).unwrap_or_default()
}

/// A time for librdkafka.
pub(super) fn millis(time: Duration) -> c_int {
    c_int::try_from(time.as_millis()).unwrap_or(c_int::MAX)
}

/// What an error code means, in words.
pub(super) fn words(code: Code) -> String {
    // SAFETY: a static text for each code.
    unsafe { CStr::from_ptr(sys::rd_kafka_err2str(code)) }.to_string_lossy().into_owned()
}

/// # Safety
/// `error` was returned by librdkafka to be freed by the caller.
unsafe fn outcome(error: *mut sys::rd_kafka_error_t) -> Result<(), String> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: as the caller promises.
    unsafe {
        let text = CStr::from_ptr(sys::rd_kafka_error_string(error)).to_string_lossy().into_owned();
        sys::rd_kafka_error_destroy(error);
        Err(text)
    }
}
