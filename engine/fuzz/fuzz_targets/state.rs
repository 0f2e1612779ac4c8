//! Keyed state: whatever lists a guest hands over, the answer is an error or what a plain map says. And whatever a record
//! of the journal holds, reading it ends, without a panic.
//!
//! The engine's own files are compiled into this target: nothing of it is public for its sake.
#![no_main]

#[expect(dead_code, unreachable_pub, reason = "public in the engine, and used there")]
#[path = "../../src/state/mod.rs"]
mod state;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;

use state::{Cells, OnExpire, State, StateTable};

type Model = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;

fuzz_target!(|data: &[u8]| {
    let mut bytes = Bytes(data);
    if bytes.byte() % 4 == 0 {
        let _ = empty().restore(bytes.0);
        return;
    }
    let (mut state, mut model) = (empty(), [Model::new(), Model::new()]);
    for _ in 0..8 {
        state.begin_call();
        let before = model.clone();
        request(&mut state, &mut model, &mut bytes);
        if bytes.byte() % 4 == 0 {
            state.undo_call();
            model = before;
        }
        compare(&state, &model);
    }
    let mut again = empty();
    again.restore(&state.snapshot()).expect("what was written is read");
    compare(&again, &model);
});

fn empty() -> State {
    let table = |name: &str, on_expire| StateTable { name: name.to_owned(), on_expire };
    State::new(vec![table("drops", OnExpire::Drop), table("calls", OnExpire::Call)], 1 << 30)
}

/// A request with whatever lists; what was refused must have changed nothing.
fn request(state: &mut State, model: &mut [Model; 2], bytes: &mut Bytes<'_>) {
    let (what, table) = (bytes.byte() % 4, usize::from(bytes.byte() % 3));
    let (keys, values) = (Lists::new(bytes), Lists::new(bytes));
    let expiries: Vec<i64> = (0..bytes.count()).map(|_| i64::from(bytes.byte()) - 100).collect();
    let expiry = |index: usize| expiries.get(index).copied().unwrap_or(i64::MAX);
    let given = keys.split(None);
    match what {
        0 => {
            let Ok(found) = state.get_many(table, keys.cells(), 1 << 20) else { return };
            for (index, key) in given.expect("accepted").iter().enumerate() {
                let present = found.present[index / 8] >> (index % 8) & 1 == 1;
                assert_eq!(present, model[table].contains_key(*key));
            }
        }
        1 => {
            if state.put_many(table, keys.cells(), values.cells(), &expiries).is_err() {
                return;
            }
            let given = given.expect("accepted");
            let values = values.split(Some(given.len())).expect("accepted");
            for (index, (key, value)) in given.iter().zip(values).enumerate() {
                model[table].insert(key.to_vec(), (value.to_vec(), expiry(index)));
            }
        }
        2 => {
            if state.delete_many(table, keys.cells()).is_ok() {
                given.expect("accepted").iter().for_each(|key| drop(model[table].remove(*key)));
            }
        }
        _ => {
            let Ok(absent) = state.insert_if_absent_many(table, keys.cells(), &expiries) else { return };
            for (index, key) in given.expect("accepted").iter().enumerate() {
                let new = !model[table].contains_key(*key);
                assert_eq!(absent[index / 8] >> (index % 8) & 1 == 1, new);
                if new {
                    model[table].insert(key.to_vec(), (Vec::new(), expiry(index)));
                }
            }
        }
    }
}

fn compare(state: &State, model: &[Model; 2]) {
    for (table, model) in model.iter().enumerate() {
        let mut entries = Model::new();
        let each = |key: &[u8], value: &[u8], at| drop(entries.insert(key.to_vec(), (value.to_vec(), at)));
        state.each_entry(table, each).expect("there");
        assert_eq!(&entries, model);
    }
}

/// Cells of either kind, honest or not.
struct Lists<'a> {
    width: Option<usize>,
    offsets: Vec<u32>,
    bytes: &'a [u8],
}

impl<'a> Lists<'a> {
    fn new(input: &mut Bytes<'a>) -> Self {
        let (width, count) = (input.byte(), input.count());
        let width = (width % 2 == 0).then_some(usize::from(width / 2 % 12));
        let mut offsets = Vec::new();
        let mut end = 0_u32;
        for _ in 0..count {
            offsets.push(end);
            // Mostly growing.
            let step = input.byte();
            end = if step == 255 { end.wrapping_sub(1) } else { end.wrapping_add(u32::from(step % 10)) };
        }
        let length = width.map_or(end as usize, |width| width * count);
        let length = if input.byte() == 255 { length.wrapping_add(1) } else { length };
        Self { width, offsets, bytes: input.take(length) }
    }

    fn cells(&self) -> Cells<'_> {
        match self.width {
            Some(width) => Cells::Fixed { width, bytes: self.bytes },
            None => Cells::Variable { offsets: &self.offsets, bytes: self.bytes },
        }
    }

    /// The cells, as honest lists have them.
    fn split(&self, count: Option<usize>) -> Option<Vec<&[u8]>> {
        if let Some(width) = self.width {
            let cell = |index: usize| self.bytes.get(index * width..(index + 1) * width);
            return (0..count.or_else(|| self.bytes.len().checked_div(width)).unwrap_or(0)).map(cell).collect();
        }
        let pair = |pair: &[u32]| self.bytes.get(pair[0] as usize..pair[1] as usize);
        self.offsets.windows(2).map(pair).collect()
    }
}

/// The fuzzer's input, taken piece by piece; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        self.take(1).first().copied().unwrap_or(0)
    }

    fn count(&mut self) -> usize {
        usize::from(self.byte() % 24)
    }

    fn take(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}
