//! Positions for lag tools: committed to a consumer group that nobody joins.
//!
//! A client for each group, because a client commits for its own group alone. The admin request that would write any
//! group's offsets (`AlterConsumerGroupOffsets`) was rejected: librdkafka aborts the process when the group's coordinator
//! goes away while such a request is under way (librdkafka pull request 5397).

use std::ptr;

use rdkafka::ClientConfig;
use rdkafka::bindings as sys;
use sys::rd_kafka_resp_err_t as Code;

use super::catalog::PATIENCE;
use super::client::{Client, millis, offsets, words};
use crate::offsets::TopicPartition;
use crate::source::SourceError;

/// A group's positions.
#[derive(Debug)]
pub(super) struct Mirror(Client);

impl Mirror {
    pub(super) fn start(config: &ClientConfig, group: &str) -> Result<Self, SourceError> {
        let mut config = config.clone();
        config.set("group.id", group);
        Ok(Self(Client::start(&config)?))
    }

    /// Writes positions and waits, for at most [`PATIENCE`], until the group has them.
    pub(super) fn commit(&self, positions: &[(TopicPartition, i64)]) -> Result<(), String> {
        let list = offsets(positions.iter().map(|(partition, offset)| (partition, *offset)));
        let rk = self.0.native();
        // SAFETY: the client copies the list and holds the queue for as long as an answer may come.
        let code = unsafe {
            let queue = sys::rd_kafka_queue_new(rk);
            let sent = sys::rd_kafka_commit_queue(rk, list.ptr(), queue, None, ptr::null_mut());
            let answer = if sent == Code::RD_KAFKA_RESP_ERR_NO_ERROR {
                let event = sys::rd_kafka_queue_poll(queue, millis(PATIENCE));
                let code = match event.is_null() {
                    true => Code::RD_KAFKA_RESP_ERR__TIMED_OUT,
                    false => sys::rd_kafka_event_error(event),
                };
                sys::rd_kafka_event_destroy(event);
                code
            } else {
                sent
            };
            sys::rd_kafka_queue_destroy(queue);
            answer
        };
        drop(self.0.take()); // what the client tells besides is of no interest
        if code == Code::RD_KAFKA_RESP_ERR_NO_ERROR { Ok(()) } else { Err(words(code)) }
    }
}
