//! Any message: the answer is one row, one reject or one no-op, and its neighbours are as without it.
#![no_main]

use std::cell::RefCell;

use debezium_decode::Decoder;
use debezium_decode::input::Format;
use decoding::{check, decoder, input};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static DECODERS: RefCell<[Decoder; 2]> =
        RefCell::new([decoder(&input(Format::Envelope)), decoder(&input(Format::Flat))]);
}

fuzz_target!(|data: &[u8]| {
    // The key, a zero byte, the value.
    let split = data.iter().position(|byte| *byte == 0);
    let (key, value) = split.map_or((None, data), |at| (Some(&data[..at]), &data[at + 1..]));
    DECODERS.with_borrow_mut(|[envelopes, rows]| {
        let whole = check(envelopes, key, value, r#"{"before":null,"after":{"a":1,"g":"x","q":["y"]},"op":"c"}"#);
        check(rows, key, value, r#"{"a":1,"g":"x","q":["y"]}"#);
        // What a decoder remembers makes it faster, never different.
        let again = check(&mut decoder(&input(Format::Envelope)), key, value, r#"{"before":null,"after":{"a":1,"g":"x","q":["y"]},"op":"c"}"#);
        assert_eq!(whole.rejects, again.rejects);
        assert_eq!(whole.rows, again.rows);
    });
});
