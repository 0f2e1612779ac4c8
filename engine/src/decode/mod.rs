//! Decoding: bytes of messages to Arrow columns.
//!
//! **Promise.** A pure function of the messages and the input: every message becomes exactly one of a row, a reject
//! or a no-op. Columns that nobody asked for are skipped, not parsed. Values are exact, or the message is rejected.
//! No message, however malformed, is an error of the lane, a panic or a hang.

use crate::batch::{Decoded, Message};
use crate::input::Input;
use crate::offsets::TopicPartition;

/// Decodes the messages of one partition for one input.
#[derive(Debug)]
pub struct Decoder {
    _todo: (),
}

impl Decoder {
    /// Plans the decoding of an input.
    ///
    /// # Errors
    /// Names every column whose type can't be decoded, or whose name is reserved with another type.
    pub fn new(input: &Input, partition: &TopicPartition, generation: u16) -> Result<Self, InputError> {
        let _ = (input, partition, generation);
        Ok(Self { _todo: () })
    }

    /// Decodes messages, given in offset order. The result depends on the messages and the input alone: what the
    /// decoder remembers from earlier calls makes it faster, never different.
    pub fn decode(&mut self, messages: &[Message]) -> Decoded {
        let _ = messages;
        todo!()
    }
}

/// An input that can't be decoded as declared.
#[derive(Debug, thiserror::Error)]
#[error("{}", problems.join("\n"))]
pub struct InputError {
    /// One line for each column: name, type, and what is possible instead.
    pub problems: Vec<String>,
}
