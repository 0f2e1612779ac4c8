//! Kafka.
use crate::batch::Header;
/// Placeholder.
#[derive(Debug)]
pub struct KafkaSource;
/// Placeholder.
#[derive(Debug)]
pub struct KafkaSettings;
/// A message in the client's buffer.
#[derive(Debug)]
pub struct KafkaMessage;
impl KafkaMessage {
    /// Key bytes.
    #[must_use]
    pub fn key(&self) -> Option<&[u8]> {
        None
    }
    /// Value bytes.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        None
    }
    /// Headers.
    #[must_use]
    pub fn headers(&self) -> Vec<Header> {
        Vec::new()
    }
}
