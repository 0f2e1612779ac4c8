//! Guests that lie about their rows. Each is a whole plugin that is loaded and called as any other: its batch fails with an
//! error that names the table, the column and the lie, and the host goes on.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field};

use super::guest::Guest;
use super::{HOST, State, instance};
use crate::plugin::{Fault, Origin, Plugin};

/// Which rows of the batch a guest says that it made its rows of: all, those of a bitmap, or these indices, with how many.
type Rows = (u32, Vec<u8>, u32);

struct Lie {
    what: &'static str,
    column: Field,
    rows: Rows,
    buffers: Vec<Vec<u8>>,
    error: &'static str,
}

fn words(of: &[i32]) -> Vec<u8> {
    of.iter().flat_map(|word| word.to_le_bytes()).collect()
}

fn text() -> Field {
    Field::new("c", DataType::Utf8, false)
}

fn numbers(nullable: bool) -> Field {
    Field::new("c", DataType::Int32, nullable)
}

/// A lie about a batch of three rows, all of which have an answer.
fn lie(what: &'static str, column: Field, buffers: Vec<Vec<u8>>, error: &'static str) -> Lie {
    Lie { what, column, rows: (0, vec![], 0), buffers, error }
}

fn lies() -> Vec<Lie> {
    let abc = || b"abc".to_vec();
    let of_text = |offsets: &[i32], bytes: Vec<u8>| vec![vec![], words(offsets), bytes];
    let of_rows = |case, rows: &[u8], length| (case, rows.to_vec(), length);
    let list = || Field::new_list("c", Field::new_list_field(DataType::Int32, false), false);
    let decimal = || Field::new("c", DataType::Decimal128(2, 0), false);
    let digits = [7_i128, -100, 9].iter().flat_map(|value| value.to_le_bytes()).collect();
    vec![
        lie("offsets that begin late", text(), of_text(&[1, 2, 3, 3], abc()), "offsets do not begin at 0"),
        lie("offsets that go back", text(), of_text(&[0, 2, 1, 3], abc()), "offsets go back"),
        lie("offsets below zero", text(), of_text(&[0, 1, -1, 3], abc()), "offsets go back"),
        lie(
            "text beyond its bytes",
            text(),
            of_text(&[0, 1, 2, i32::MAX], abc()),
            "offsets do not end where the bytes do",
        ),
        lie("bytes that no text has", text(), of_text(&[0, 1, 2, 3], vec![b'a', 0xff, b'c']), "text is not UTF-8"),
        lie("half a letter a row", text(), of_text(&[0, 1, 2, 3], "éa".into()), "text is not UTF-8"),
        lie("a row too few", numbers(false), vec![vec![], words(&[1, 2])], "values has 8 bytes where 3 rows need 12"),
        lie(
            "a row too many",
            numbers(false),
            vec![vec![], words(&[1, 2, 3, 4])],
            "values has 16 bytes where 3 rows need 12",
        ),
        lie(
            "another type",
            numbers(false),
            of_text(&[0, 1, 2, 3], abc()),
            "3 buffers where the described columns have 2",
        ),
        lie("a column left out", text(), vec![], "0 buffers where the described columns have 3"),
        lie(
            "a null that can't be",
            numbers(false),
            vec![vec![0b101], words(&[1, 2, 3])],
            "1 nulls in a column that is not nullable",
        ),
        lie(
            "too many bits",
            numbers(true),
            vec![vec![7, 7], words(&[1, 2, 3])],
            "validity has 2 bytes where 3 rows need 1",
        ),
        lie("more digits than described", decimal(), vec![vec![], digits], "a decimal has more than 2 digits"),
        lie(
            "a list of two billion",
            list(),
            vec![vec![], words(&[0, 0, 0, i32::MAX]), vec![], words(&[7])],
            "elements: values has 4 bytes where 2147483647 rows need 8589934588",
        ),
        Lie {
            rows: of_rows(1, &[0b011], 1),
            ..lie(
                "rows that don't add up",
                numbers(false),
                vec![vec![], words(&[1, 2, 3])],
                "values has 12 bytes where 2 rows need 8",
            )
        },
        Lie {
            rows: of_rows(1, &[0b111, 0], 2),
            ..lie(
                "a selection of more",
                numbers(false),
                vec![vec![], words(&[1, 2, 3])],
                "selection has 2 bytes where 3 rows need 1",
            )
        },
        Lie {
            rows: of_rows(2, &[3, 0, 0, 0], 1),
            ..lie("a row that is not there", numbers(false), vec![vec![], words(&[1])], "row 3 taken of a batch of 3")
        },
        Lie {
            rows: of_rows(2, &[0xff; 4], 1),
            ..lie(
                "the last row there could be",
                numbers(false),
                vec![vec![], words(&[1])],
                "row 4294967295 taken of a batch of 3",
            )
        },
    ]
}

fn batch(plugin: &Plugin) -> RecordBatch {
    let column: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
    RecordBatch::try_new(plugin.description().input.clone(), vec![column]).unwrap()
}

/// What an honest guest gives back of the batch of three rows.
fn honest() -> ArrayRef {
    let plugin = HOST.load(Guest::echo(vec![Field::new("n", DataType::Int64, false)]).module()).unwrap();
    let answer = instance(&plugin).process(&batch(&plugin), &mut State::default()).unwrap();
    answer.emitted[0].made.column(0).clone()
}

#[test]
fn each_lying_guest_gets_a_clear_error() {
    for Lie { what, column, rows: (case, rows, length), buffers, error } in lies() {
        let mut guest = Guest::with(vec![Field::new("n", DataType::Int64, false)], vec![(column, Origin::Made)]);
        let buffers: Vec<&[u8]> = buffers.iter().map(Vec::as_slice).collect();
        guest.process = guest.emit(0, (case, &rows, length), &buffers);
        let plugin = HOST.load(guest.module()).unwrap();
        let fault = instance(&plugin).process(&batch(&plugin), &mut State::default()).unwrap_err();
        let Fault::Contract { message } = &fault else { panic!("{what}: {fault:?}") };
        println!("{what}: {message}");
        assert!(message.contains(error) && message.contains("table t"), "{what}: {message:?} should say {error:?}");
        assert_eq!(honest().len(), 3, "{what}: the host has taken no harm");
    }
}
