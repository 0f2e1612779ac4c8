//! `engine dlq show`.

use std::process::ExitCode;

use serde_json::{Value, json};

use super::{DlqError, ShowArgs, in_time};
use crate::dead_letters::{Body, Filter, Letter, Mark, MarkState, recording};
use crate::offsets::PluginKey;

pub(super) async fn show(args: &ShowArgs) -> Result<ExitCode, DlqError> {
    let config = args.at.config()?;
    let filter = Filter {
        plugin: args.plugin.clone(),
        topic: Some(args.topic.clone()),
        partition: Some(args.partition),
        offset: Some(args.offset),
        resolved: true,
        ..Filter::default()
    };
    let mut found = 0;
    for letters in args.at.tables(&config, args.plugin.as_ref()).await?.0 {
        for letter in in_time(&config, letters.find(&filter)).await? {
            let bodies = in_time(&config, letters.bodies(std::slice::from_ref(&letter))).await?;
            let marks = in_time(&config, letters.marks_of(&letter)).await?;
            let Some(body) = bodies.get(&letter.offset) else { continue };
            found += 1;
            if args.json { show_json(&letter, body, &marks) } else { show_text(&letter, body, &marks) }
        }
    }
    if found == 0 {
        let ShowArgs { topic, partition, offset, .. } = args;
        return Err(DlqError::Asked(format!("there is no dead letter of {topic}/{partition} at offset {offset}")));
    }
    Ok(ExitCode::SUCCESS)
}

fn show_json(letter: &Letter, body: &Body, marks: &[Mark]) {
    let message: Value = serde_json::from_str(&recording::line(&letter.topic, letter.partition, &body.message))
        .expect("a line of a recording is JSON");
    println!("{}", json!({ "letter": letter, "cut_sha256": body.cut_sha256, "message": message, "replays": marks }));
}

fn show_text(letter: &Letter, body: &Body, marks: &[Mark]) {
    let Letter { topic, partition, offset, generation, .. } = letter;
    println!("{topic}/{partition} offset {offset} (generation {generation})");
    println!("  plugin     {} {}", PluginKey::new(&letter.tenant, &letter.plugin), letter.plugin_digest);
    println!("  failed in  {}: {}{}", letter.stage, letter.code, column(&letter.column));
    println!("  reason     {}", letter.reason);
    println!("  state      {}", state(letter));
    if let Some(timestamp) = letter.timestamp {
        println!("  timestamp  {timestamp} ms");
    }
    println!("  set aside  {} ms", letter.set_aside);
    println!("  bytes      {}", letter.bytes);
    if letter.cut {
        println!("  cut        only the beginning is here; SHA-256 of the whole value {}", body.cut_sha256);
    }
    for (key, value) in body.message.headers() {
        println!("  header     {key}: {}", text_or_hex(value.as_deref()));
    }
    println!("  key        {}", text_or_hex(body.message.key()));
    println!("  value      {}", text_or_hex(body.message.value()));
    for mark in marks {
        let why = if mark.code.is_empty() {
            String::new()
        } else {
            format!(": {} {}{}: {}", mark.stage, mark.code, column(&mark.column), mark.reason)
        };
        println!("  {} UTC  {} by {}{why}", mark.at, mark.state, mark.plugin_digest);
    }
}

fn column(name: &str) -> String {
    if name.is_empty() { String::new() } else { format!(" (column {name})") }
}

fn state(letter: &Letter) -> &'static str {
    let is = |state: MarkState| letter.state == state.as_str();
    if is(MarkState::Replayed) {
        "replayed"
    } else if is(MarkState::Failed) {
        "open: replayed, and failed again"
    } else if is(MarkState::Started) {
        "open: its replay was interrupted, or is running"
    } else {
        "open"
    }
}

/// Text as it is where a terminal shows it as it is; else hex.
fn text_or_hex(bytes: Option<&[u8]>) -> String {
    let Some(bytes) = bytes else { return "(null)".to_owned() };
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') => text.to_owned(),
        Ok(_) | Err(_) => format!("0x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>()),
    }
}

#[cfg(test)]
mod tests {
    use super::text_or_hex;

    #[test]
    fn what_a_terminal_would_obey_is_shown_in_hex() {
        let cases: [(Option<&[u8]>, &str); 5] = [
            (None, "(null)"),
            (Some(b""), ""),
            (Some(b"{\"a\":\n1}"), "{\"a\":\n1}"),
            (Some(b"\x1b[2J"), "0x1b5b324a"),
            (Some(b"\xff\x00"), "0xff00"),
        ];
        for (bytes, shown) in cases {
            assert_eq!(text_or_hex(bytes), shown);
        }
    }
}
