//! What a cluster holds: topics, their ids, partitions and ends.
//!
//! A client of its own, so that a question never waits behind messages. Every call blocks, for at most
//! [`PATIENCE`]: callers are threads that may.

use std::ffi::{CStr, CString, c_char};
use std::ptr::{self, NonNull};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::client::{Client, c_name, millis, words};
use super::events::printed_id;
use crate::offsets::TopicPartition;
use crate::source::SourceError;

/// How long a question may take. A broker that is restarted answers within seconds or not at all.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// `rd_kafka_Uuid_base64str` of no id.
const NO_ID: &str = "AAAAAAAAAAAAAAAAAAAAAA";

/// A topic that there is.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    pub(super) name: String,
    /// As Kafka prints it; empty where the brokers have none.
    pub(super) id: String,
    pub(super) partitions: i32,
}

/// Asks a cluster.
#[derive(Debug)]
pub(super) struct Catalog(Client);

impl Catalog {
    pub(super) fn start(config: &ClientConfig) -> Result<Self, SourceError> {
        Ok(Self(Client::start(config)?))
    }

    /// The names of all topics.
    pub(super) fn names(&self) -> Result<Vec<String>, SourceError> {
        let metadata = self.metadata(true)?;
        let topics = metadata.get();
        let count = usize::try_from(topics.topic_cnt).unwrap_or(0);
        if count == 0 {
            return Ok(Vec::new());
        }
        // SAFETY: as many topics as are counted; names are C strings. All are copied while the answer lives.
        let names = unsafe {
            let topics = std::slice::from_raw_parts(topics.topics, count).iter();
            topics.map(|topic| CStr::from_ptr(topic.topic).to_string_lossy().into_owned()).collect()
        };
        Ok(names)
    }

    /// The id of a broker that is up, which shows that the cluster answers.
    pub(super) fn broker(&self) -> Result<i32, SourceError> {
        let metadata = self.metadata(false)?;
        let metadata = metadata.get();
        if metadata.orig_broker_id >= 0 {
            return Ok(metadata.orig_broker_id);
        }
        // A bootstrap address answered, which has no id: the first broker on its list of those that are up.
        if metadata.broker_cnt > 0 && !metadata.brokers.is_null() {
            // SAFETY: there is one.
            return Ok(unsafe { (*metadata.brokers).id });
        }
        Err(self.unavailable("no broker", Code::RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN))
    }

    fn metadata(&self, all_topics: bool) -> Result<Metadata, SourceError> {
        let mut metadata: *const sys::rd_kafka_metadata = ptr::null();
        // SAFETY: a valid client and a place for the answer.
        let code = unsafe {
            let all = all_topics.into();
            sys::rd_kafka_metadata(self.0.native(), all, ptr::null_mut(), &raw mut metadata, millis(PATIENCE))
        };
        match NonNull::new(metadata.cast_mut()) {
            Some(metadata) if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(Metadata(metadata)),
            _ => Err(self.unavailable("metadata", code)),
        }
    }

    /// Those of these topics that there are.
    pub(super) fn describe(&self, names: &[&str]) -> Result<Vec<Topic>, SourceError> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<CString> = names.iter().map(|name| c_name(name)).collect();
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        let admin = sys::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
        let broker = self.broker()?; // any one knows; by itself the client would ask the controller
        // SAFETY: the collection copies the names, the request copies the collection.
        let answer = self.ask(admin, |rk, options, queue| unsafe {
            sys::rd_kafka_AdminOptions_set_broker(options, broker, ptr::null_mut(), 0);
            let topics = sys::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len());
            sys::rd_kafka_DescribeTopics(rk, topics, options, queue);
            sys::rd_kafka_TopicCollection_destroy(topics);
        })?;
        // SAFETY: the answer to this very question; what is read of it lives as long as it.
        unsafe {
            let mut count = 0;
            let result = sys::rd_kafka_event_DescribeTopics_result(answer.0.as_ptr());
            let topics = sys::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
            (0..count).filter_map(|index| self.topic(*topics.add(index)).transpose()).collect()
        }
    }

    /// # Safety
    /// A valid description.
    unsafe fn topic(&self, topic: *const sys::rd_kafka_TopicDescription_t) -> Result<Option<Topic>, SourceError> {
        // SAFETY: as the caller promises; all that is read is copied.
        let (name, code, id, count, internal) = unsafe {
            let mut count = 0;
            sys::rd_kafka_TopicDescription_partitions(topic, &raw mut count);
            let id = sys::rd_kafka_TopicDescription_topic_id(topic);
            (
                CStr::from_ptr(sys::rd_kafka_TopicDescription_name(topic)).to_string_lossy().into_owned(),
                sys::rd_kafka_error_code(sys::rd_kafka_TopicDescription_error(topic)),
                CStr::from_ptr(sys::rd_kafka_Uuid_base64str(id)).to_string_lossy().into_owned(),
                count,
                sys::rd_kafka_TopicDescription_is_internal(topic) != 0,
            )
        };
        let not_there = [Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART, Code::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID];
        if internal || not_there.contains(&code) {
            return Ok(None); // the brokers' own topics are nobody's data
        }
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(self.unavailable(&format!("topic {name}"), code));
        }
        let id = if id == NO_ID { String::new() } else { printed_id(&id) };
        Ok(Some(Topic { name, id, partitions: i32::try_from(count).unwrap_or(i32::MAX) }))
    }

    /// The first offset of a partition and its end (its last stable offset).
    pub(super) fn bounds(&self, partition: &TopicPartition) -> Result<(i64, i64), SourceError> {
        let (mut low, mut high) = (-1, -1);
        let topic = c_name(&partition.topic);
        // SAFETY: a valid client, a C string and places for the answers.
        let code = unsafe {
            sys::rd_kafka_query_watermark_offsets(
                self.0.native(),
                topic.as_ptr(),
                partition.partition,
                &raw mut low,
                &raw mut high,
                millis(PATIENCE),
            )
        };
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok((low, high))
        } else {
            Err(self.unavailable(&partition.to_string(), code))
        }
    }

    /// The first offset whose message is not older than a time, or the partition's end.
    pub(super) fn at_time(&self, partition: &TopicPartition, time_ms: i64) -> Result<i64, SourceError> {
        let topic = c_name(&partition.topic);
        // SAFETY: a list of our own with one partition, whose field `offset` is the time in the question and the offset in
        // the answer; it is read before it goes.
        let (code, offset) = unsafe {
            let times = sys::rd_kafka_topic_partition_list_new(1);
            let time = sys::rd_kafka_topic_partition_list_add(times, topic.as_ptr(), partition.partition);
            (*time).offset = time_ms;
            let code = sys::rd_kafka_offsets_for_times(self.0.native(), times, millis(PATIENCE));
            let answer = ((*time).err, (*time).offset);
            sys::rd_kafka_topic_partition_list_destroy(times);
            if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { answer } else { (code, 0) }
        };
        if code != Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(self.unavailable(&partition.to_string(), code));
        }
        // Below 0: all messages are older.
        if offset >= 0 { Ok(offset) } else { Ok(self.bounds(partition)?.1) }
    }

    /// Sends an admin request and waits for its answer.
    fn ask(
        &self,
        admin: sys::rd_kafka_admin_op_t,
        send: impl FnOnce(*mut sys::rd_kafka_t, *mut sys::rd_kafka_AdminOptions_t, *mut sys::rd_kafka_queue_t),
    ) -> Result<Answer, SourceError> {
        let rk = self.0.native();
        // SAFETY: options and queue live until the answer is there; a request that is not answered in time is answered
        // by a time-out of its own.
        let answer = unsafe {
            let options = sys::rd_kafka_AdminOptions_new(rk, admin);
            sys::rd_kafka_AdminOptions_set_request_timeout(options, millis(PATIENCE), ptr::null_mut(), 0);
            let queue = sys::rd_kafka_queue_new(rk);
            send(rk, options, queue);
            let answer = NonNull::new(sys::rd_kafka_queue_poll(queue, millis(2 * PATIENCE))).map(Answer);
            sys::rd_kafka_queue_destroy(queue);
            sys::rd_kafka_AdminOptions_destroy(options);
            answer
        };
        let Some(answer) = answer else {
            return Err(self.unavailable("no answer", Code::RD_KAFKA_RESP_ERR__TIMED_OUT));
        };
        // SAFETY: a valid event.
        let code = unsafe { sys::rd_kafka_event_error(answer.0.as_ptr()) };
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
            Ok(answer)
        } else {
            Err(self.unavailable("request failed", code))
        }
    }

    /// The error for a question without an answer: passing, unless the brokers don't let us in.
    fn unavailable(&self, what: &str, code: Code) -> SourceError {
        drop(self.0.take()); // lets the client tell why
        let denied = [
            Code::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED,
            Code::RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED,
            Code::RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED,
            Code::RD_KAFKA_RESP_ERR__AUTHENTICATION,
        ];
        if let Some(reason) = self.0.events().refused() {
            return refused(&reason);
        }
        if denied.contains(&code) {
            return refused(&format!("{what}: {}", words(code)));
        }
        let why = self.0.events().trouble().unwrap_or_else(|| words(code));
        SourceError::Unavailable { message: format!("{what}: {why}") }
    }
}

/// Kafka does not let us in: with what to look at.
pub(super) fn refused(reason: &str) -> SourceError {
    let hint = "check kafka.user, its password and kafka.mechanism (or what kafka.properties say in their place), and that the \
                user may Read and Describe the topic";
    SourceError::Refused { message: format!("Kafka refuses access: {reason}; {hint}") }
}

/// A list of brokers and topics. Freed on drop.
struct Metadata(NonNull<sys::rd_kafka_metadata>);

impl Metadata {
    fn get(&self) -> &sys::rd_kafka_metadata {
        // SAFETY: valid until `drop`.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Metadata {
    fn drop(&mut self) {
        // SAFETY: owned, and not used after.
        unsafe { sys::rd_kafka_metadata_destroy(self.0.as_ptr()) }
    }
}

/// An answer of the client. Freed on drop.
struct Answer(NonNull<sys::rd_kafka_event_t>);

impl Drop for Answer {
    fn drop(&mut self) {
        // SAFETY: owned, and not used after.
        unsafe { sys::rd_kafka_event_destroy(self.0.as_ptr()) }
    }
}
