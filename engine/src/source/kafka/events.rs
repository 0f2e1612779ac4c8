//! What a client tells outside the message stream: trouble, fatal errors, topic ids.
//!
//! librdkafka fetches by topic *name*: when a topic is deleted and created again, it goes on in the new one at the old
//! offset, and no message and no error tells (its source marks the place with a FIXME). The one trace is a line of its
//! debug log, written by the thread that takes the new id over, *before* it is taken over. So that line is read here,
//! and whoever takes messages looks for it between taking and using them. A test against a real broker guards it.

use std::ffi::{CStr, c_char, c_int, c_void};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rdkafka::bindings as sys;
use sys::rd_kafka_resp_err_t as Code;

use crate::tls;

/// What has happened to a client since it was asked last.
#[derive(Debug, Default)]
pub(super) struct Events {
    trouble: Mutex<Option<String>>,
    refused: Mutex<Option<String>>,
    fatal: AtomicBool,
    ids_changed: AtomicBool,
    ids: Mutex<Vec<(String, String)>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner) // plain values: no panic leaves them half written
}

impl Events {
    /// What keeps the client from fetching, until it works again.
    pub(super) fn trouble(&self) -> Option<String> {
        lock(&self.trouble).clone()
    }

    /// It works (again).
    pub(super) fn clear_trouble(&self) {
        if let Some(message) = lock(&self.trouble).take() {
            tracing::info!(was = message, "Kafka is available again");
        }
    }

    /// Why the brokers don't let the client in.
    pub(super) fn refused(&self) -> Option<String> {
        lock(&self.refused).clone()
    }

    /// The client can't go on.
    pub(super) fn is_fatal(&self) -> bool {
        self.fatal.load(Ordering::Acquire)
    }

    /// The client said, in place of a message, that it can't go on.
    pub(super) fn failed(&self) {
        self.fatal.store(true, Ordering::Release);
    }

    /// Topics and their ids that the client has learnt since the last call.
    pub(super) fn take_ids(&self) -> Vec<(String, String)> {
        if !self.ids_changed.swap(false, Ordering::AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *lock(&self.ids))
    }

    fn log(&self, level: c_int, facility: &str, line: &str) {
        if let Some((topic, id)) = changed_id(line) {
            lock(&self.ids).push((topic.into(), printed_id(id)));
            self.ids_changed.store(true, Ordering::Release);
        }
        match level {
            0..=3 => tracing::warn!(facility, "Kafka client: {line}"), // it says errors of passing troubles too
            4 => tracing::info!(facility, "Kafka client: {line}"),
            _ => {} // debug lines, read above
        }
    }

    fn error(&self, code: Code, reason: &str) {
        if code == Code::RD_KAFKA_RESP_ERR__FATAL {
            self.failed();
        } else if code == Code::RD_KAFKA_RESP_ERR__AUTHENTICATION {
            *lock(&self.refused) = Some(reason.into());
        } else {
            let remedy = tls::remedy(reason, "kafka").map(|remedy| format!("; {remedy}")).unwrap_or_default();
            let reason = format!("{reason}{remedy}");
            if lock(&self.trouble).replace(reason.clone()).is_none() {
                tracing::warn!(reason, "Kafka is not available; waiting for it");
            }
        }
    }

    /// Makes a client report here.
    ///
    /// # Safety
    /// `conf` is a valid configuration, and `self` outlives the client made from it.
    pub(super) unsafe fn listen(self: &Arc<Self>, conf: *mut sys::rd_kafka_conf_t) {
        // SAFETY: as the caller promises; the callbacks only read the opaque pointer.
        unsafe {
            sys::rd_kafka_conf_set_opaque(conf, Arc::as_ptr(self).cast_mut().cast());
            sys::rd_kafka_conf_set_log_cb(conf, Some(on_log));
            sys::rd_kafka_conf_set_error_cb(conf, Some(on_error));
        }
    }
}

unsafe extern "C" fn on_log(rk: *const sys::rd_kafka_t, level: c_int, facility: *const c_char, line: *const c_char) {
    if rk.is_null() {
        return; // no client yet
    }
    // SAFETY: the opaque pointer is an `Events` that outlives the client; the texts are C strings.
    let (events, facility, line) =
        unsafe { (&*sys::rd_kafka_opaque(rk).cast::<Events>(), CStr::from_ptr(facility), CStr::from_ptr(line)) };
    if level <= 4 || facility.to_bytes() == b"METADATA" {
        events.log(level, &facility.to_string_lossy(), &line.to_string_lossy());
    }
}

unsafe extern "C" fn on_error(_: *mut sys::rd_kafka_t, code: c_int, reason: *const c_char, opaque: *mut c_void) {
    // SAFETY: as above.
    let (events, reason) = unsafe { (&*opaque.cast::<Events>(), CStr::from_ptr(reason)) };
    let code = Code::try_from(code).unwrap_or(Code::RD_KAFKA_RESP_ERR__FAIL);
    events.error(code, &reason.to_string_lossy());
}

/// `…Topic orders changed id from A to B` → (orders, B).
fn changed_id(line: &str) -> Option<(&str, &str)> {
    let (before, ids) = line.split_once(" changed id from ")?;
    let (_, topic) = before.rsplit_once("Topic ")?;
    let (_, id) = ids.split_once(" to ")?;
    Some((topic, id.trim()))
}

/// A topic id as Kafka's tools print it: base64 for URLs. librdkafka prints plain base64.
pub(super) fn printed_id(id: &str) -> String {
    id.replace('+', "-").replace('/', "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_new_id_is_read_from_the_log() {
        let line = "[thrd:main]: Topic a.Topic-b changed id from AAAAAAAAAAAAAAAAAAAAAA to 4fmZ7B+oQ/ie4o7mc5L+2g";
        let events = Events::default();
        assert!(events.take_ids().is_empty());
        events.log(7, "METADATA", line);
        events.log(7, "METADATA", "[thrd:main]: Topic a partition 0 Leader 1");
        assert_eq!(events.take_ids(), [("a.Topic-b".to_owned(), "4fmZ7B-oQ_ie4o7mc5L-2g".to_owned())]);
        assert!(events.take_ids().is_empty());
    }

    #[test]
    fn trouble_lasts_until_it_is_over() {
        let events = Events::default();
        events.error(Code::RD_KAFKA_RESP_ERR__TRANSPORT, "broker down");
        assert_eq!(events.trouble().as_deref(), Some("broker down"));
        events.clear_trouble();
        assert_eq!(events.trouble(), None);
    }
}
