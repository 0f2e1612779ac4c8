//! Documents of extended JSON: as a row in an envelope's string, and as a key.
#![no_main]

use debezium_decode::input::Format;
use decoding::{check, decoder, input};
use libfuzzer_sys::fuzz_target;

const KNOWN: &str = r#"{"before":null,"after":"{\"a\":1,\"g\":\"x\"}","source":{"connector":"mongodb"},"op":"c"}"#;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let quoted = quote(text);
    let mut decoder = decoder(&input(Format::Envelope));
    let create = format!(r#"{{"before":{quoted},"after":{quoted},"source":{{"connector":"mongodb"}},"op":"c"}}"#);
    check(&mut decoder, None, create.as_bytes(), KNOWN);
    let delete = r#"{"before":null,"after":null,"source":{"connector":"mongodb"},"op":"d"}"#;
    check(&mut decoder, Some(format!(r#"{{"id":{quoted}}}"#).as_bytes()), delete.as_bytes(), KNOWN);
});

fn quote(text: &str) -> String {
    let escaped = text.chars().map(|letter| match letter {
        '"' | '\\' => format!("\\{letter}"),
        '\0'..='\u{1f}' => format!("\\u{:04x}", u32::from(letter)),
        _ => letter.to_string(),
    });
    format!("\"{}\"", escaped.collect::<String>())
}
