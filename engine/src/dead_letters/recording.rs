//! Messages written as recordings: the JSON lines that [`crate::source::FileSource`] reads, exact to the byte.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use crate::batch::Message;

/// A message as a line of a recording, without the end of the line. Bytes that are no text, or that hold a zero byte,
/// stand in base64.
#[must_use]
pub fn line(topic: &str, partition: i32, message: &Message) -> String {
    let header = |(key, value): (String, Option<Vec<u8>>)| {
        let mut header = Map::from_iter([("key".to_owned(), Value::from(key))]);
        put(&mut header, "value", value.as_deref());
        Value::from(header)
    };
    let headers: Vec<Value> = message.headers().into_iter().map(header).collect();
    let mut line = Map::new();
    line.insert("topic".to_owned(), json!(topic));
    line.insert("partition".to_owned(), json!(partition));
    line.insert("offset".to_owned(), json!(message.offset));
    if let Some(timestamp) = message.timestamp {
        line.insert("timestamp".to_owned(), json!(timestamp));
    }
    line.insert("headers".to_owned(), Value::from(headers));
    put(&mut line, "key", message.key());
    put(&mut line, "value", message.value());
    Value::from(line).to_string()
}

fn put(object: &mut Map<String, Value>, name: &str, bytes: Option<&[u8]>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => object.insert(name.to_owned(), Value::Null),
        Some((Ok(text), _)) if !text.contains('\0') => object.insert(name.to_owned(), Value::from(text)),
        Some((_, bytes)) => object.insert(format!("{name}_b64"), Value::from(BASE64.encode(bytes))),
    };
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use super::*;
    use crate::source::{BatchLimits, FileSource, Source, Start};

    #[tokio::test]
    async fn what_is_written_is_read_again_to_the_byte() {
        let headers = vec![
            ("trace".to_owned(), Some(b"\x00\xff".to_vec())),
            ("trace".to_owned(), None),
            ("é\"".to_owned(), Some(b"text".to_vec())),
        ];
        let messages = [
            Message::owned(3, Some(5), Some(b"{\"id\":1}".to_vec()), Some("{\"a\":\"\u{1F600}\n\"}".into()), headers),
            Message::owned(4, None, None, None, vec![]),
            Message::owned(9, Some(0), Some(vec![]), Some(b"\xc3\x28 \x00".to_vec()), vec![]),
        ];
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        for message in &messages {
            writeln!(file, "{}", line("t", 2, message)).expect("written");
        }
        let source = FileSource::new(vec![file.path().to_owned()]);
        let found = source.discover(&["t".to_owned()]).await.expect("a recording");
        let mut reader = source.open(&found[0], Start::Earliest).await.expect("open");
        let limits = BatchLimits { max_messages: 10, max_bytes: usize::MAX, linger: Duration::ZERO };
        let read = reader.next_batch(limits).await.expect("read").expect("messages");
        let parts = |message: &Message| {
            let (key, value) = (message.key().map(<[u8]>::to_vec), message.value().map(<[u8]>::to_vec));
            (message.offset, message.timestamp, key, value, message.headers())
        };
        let (read, written): (Vec<_>, Vec<_>) =
            (read.messages.iter().map(parts).collect(), messages.iter().map(parts).collect());
        assert_eq!(read, written);
    }
}
