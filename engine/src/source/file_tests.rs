#![expect(clippy::unwrap_used, reason = "tests")]

use std::io::Write;
use std::time::{Duration, Instant};

use tempfile::NamedTempFile;
use tokio::time::timeout;

use super::*;

const ALL: BatchLimits = BatchLimits { max_messages: 1000, max_bytes: 1 << 20, linger: Duration::ZERO };

fn file(lines: &[&str]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    file.write_all(lines.join("\n").as_bytes()).unwrap();
    file
}

fn source(files: &[&NamedTempFile]) -> FileSource {
    FileSource::new(files.iter().map(|file| file.path().to_owned()).collect())
}

async fn refusal(line: &str) -> String {
    let file = file(&[r#"{"topic":"t","partition":0,"offset":4}"#, "", line]);
    let error = source(&[&file]).discover(&["t".into()]).await.unwrap_err().to_string();
    let place = format!("{}:3: ", file.path().display());
    error.strip_prefix(&place).unwrap_or_else(|| panic!("no {place} in {error}")).to_owned()
}

#[tokio::test]
async fn messages_of_a_partition_come_in_order_across_files_until_the_end() {
    let one = file(&[
        r#"{"topic":"shop.a","partition":0,"offset":3,"timestamp":17,"headers":[{"key":"h","value":"v"},{"key":"n","value":null}],"key":"k","value":"{\"x\":\"\u00e9\"}"}"#,
        r#"{"topic":"shop.a","partition":1,"offset":0,"key":null,"value":null}"#,
        r#"{"topic":"shop.a","partition":0,"offset":5,"key_b64":"AP8=","value_b64":""}"#,
    ]);
    let two =
        file(&[r#"{"topic":"other","partition":0,"offset":0}"#, r#"{"topic":"shop.a","partition":0,"offset":6}"#]);
    let source = source(&[&one, &two]);
    let found = source.discover(&["^shop\\.".into()]).await.unwrap();
    assert_eq!(found.iter().map(|it| it.partition.to_string()).collect::<Vec<_>>(), ["shop.a/0", "shop.a/1"]);
    let mut reader = source.open(&found[0], Start::Earliest).await.unwrap();
    assert_eq!(reader.lag(), Some(Lag { end: 7, position: 3 }));
    let batch = reader.next_batch(BatchLimits { max_messages: 2, ..ALL }).await.unwrap().unwrap();
    assert_eq!(batch.range, OffsetRange { start: 3, end: 6 });
    let [first, second] = &batch.messages[..] else { panic!("two messages") };
    assert_eq!((first.key(), first.value()), (Some(&b"k"[..]), Some("{\"x\":\"\u{e9}\"}".as_bytes())));
    assert_eq!(first.timestamp, Some(17));
    assert_eq!(first.headers(), [("h".to_owned(), Some(b"v".to_vec())), ("n".to_owned(), None)]);
    assert_eq!((second.key(), second.value(), second.timestamp), (Some(&[0, 255][..]), Some(&[][..]), None));
    let rest = reader.next_batch(ALL).await.unwrap().unwrap();
    assert_eq!((rest.range, rest.messages.len()), (OffsetRange { start: 6, end: 7 }, 1));
    assert!(reader.next_batch(ALL).await.unwrap().is_none(), "the end");
    assert!(reader.next_batch(ALL).await.unwrap().is_none(), "stays the end");
    assert_eq!(reader.lag(), Some(Lag { end: 7, position: 7 }));
}

#[tokio::test]
async fn reading_begins_where_it_is_told() {
    let file = file(
        &[2, 3, 7, 9]
            .map(|at| format!(r#"{{"topic":"t","partition":0,"offset":{at}}}"#))
            .each_ref()
            .map(|s| s.as_str()),
    );
    let source = source(&[&file]);
    let found = source.discover(&["t".into()]).await.unwrap().remove(0);
    for (start, begin, first) in [
        (Start::Earliest, 2, Some(2)),
        (Start::Offset(0), 0, Some(2)),
        (Start::Offset(3), 3, Some(3)),
        (Start::Offset(4), 4, Some(7)), // in a hole
        (Start::Offset(10), 10, None),
        (Start::Latest, 10, None),
    ] {
        let mut reader = source.open(&found, start).await.unwrap();
        assert_eq!(reader.lag().unwrap().position, begin);
        let batch = reader.next_batch(ALL).await.unwrap();
        assert_eq!(batch.as_ref().map(|batch| batch.messages[0].offset), first, "{start:?}");
        assert!(batch.is_none_or(|batch| batch.range.start == begin));
    }
    let ahead = source.open(&found, Start::Offset(11)).await.err().unwrap();
    assert!(matches!(ahead, SourceError::OffsetAhead { wanted: 11, end: 10, .. }));
}

#[tokio::test]
async fn a_line_that_is_no_message_is_refused_with_file_line_and_reason() {
    for (line, reason) in [
        ("{", "not a recorded message: EOF"),
        (
            r#"{"topic":"t","partition":0}"#,
            "not a recorded message: missing field `offset` at byte 27; expected a JSON",
        ),
        (r#"{"topic":"t","partition":0,"offset":5,"valeu":"x"}"#, "not a recorded message: unknown field `valeu`"),
        (r#"{"topic":"t","partition":0,"offset":5,"value":7}"#, "not a recorded message: invalid type: "),
        (r#"{"topic":"t","partition":0,"offset":5,"value_b64":"?"}"#, "value_b64: "),
        (r#"{"topic":"t","partition":0,"offset":5,"key":"","key_b64":""}"#, "key and key_b64 exclude each other"),
        (r#"{"topic":"t","partition":0,"offset":4}"#, "offset 4 after 4: offsets of a partition must grow"),
    ] {
        let told = refusal(line).await;
        assert!(told.starts_with(reason), "{line}: {told}");
    }
    let missing = FileSource::new(vec!["/nonexistent/recording.jsonl".into()]);
    let error = missing.discover(&["t".into()]).await.unwrap_err().to_string();
    assert!(error.starts_with("/nonexistent/recording.jsonl: "), "{error}");
}

#[tokio::test]
async fn a_file_that_changes_under_its_reader_is_an_error_and_no_other_row() {
    let line = |offset: i64| format!(r#"{{"topic":"t","partition":0,"offset":{offset}}}"#);
    let file = file(&[&line(0), &line(1)]);
    let source = source(&[&file]);
    let found = source.discover(&["t".into()]).await.unwrap().remove(0);
    let mut reader = source.open(&found, Start::Offset(1)).await.unwrap();
    std::fs::write(file.path(), format!("{}\n{}\n", line(0), line(7))).unwrap();
    let error = reader.next_batch(ALL).await.unwrap_err().to_string();
    assert!(error.contains("changed while it was read"), "{error}");
}

#[tokio::test]
async fn a_batch_that_takes_longer_than_a_call_is_given_out_by_a_later_one() {
    // GIVEN a message that is read for longer than any of the calls waits
    let value = "x".repeat(20 << 20);
    let file = file(&[
        &format!(r#"{{"topic":"t","partition":0,"offset":0,"value":"{value}"}}"#),
        r#"{"topic":"t","partition":0,"offset":1}"#,
    ]);
    let source = source(&[&file]);
    let found = source.discover(&["t".into()]).await.unwrap().remove(0);
    let mut reader = source.open(&found, Start::Earliest).await.unwrap();

    // WHEN calls are dropped as soon as they have waited
    let (mut dropped, began) = (0, Instant::now());
    let batch = loop {
        match timeout(Duration::from_micros(100), reader.next_batch(ALL)).await {
            Ok(batch) => break batch.unwrap().unwrap(),
            Err(_) => dropped += 1,
        }
        assert!(began.elapsed() < Duration::from_secs(60), "nothing after {dropped} calls");
    };

    // THEN one of them gives out what the first one began, and nothing is missing behind it
    assert!(dropped > 0, "a call had the batch at once");
    assert_eq!((batch.range, batch.bytes), (OffsetRange { start: 0, end: 1 }, value.len()));
    let rest = reader.next_batch(ALL).await.unwrap().unwrap();
    assert_eq!((rest.range, rest.messages.len()), (OffsetRange { start: 1, end: 2 }, 1));
}
