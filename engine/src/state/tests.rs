use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use super::*;
use crate::random::Random;

fn tables() -> Vec<StateTable> {
    let table = |name: &str, on_expire| StateTable { name: name.to_owned(), on_expire };
    vec![table("seen", OnExpire::Drop), table("open", OnExpire::Call)]
}

const SEEN: usize = 0;
const OPEN: usize = 1;

fn state() -> State {
    State::new(tables(), 1 << 20)
}

/// Owns what [`Cells`] borrow.
struct Texts {
    offsets: Vec<u32>,
    bytes: Vec<u8>,
}

impl Texts {
    fn cells(&self) -> Cells<'_> {
        Cells::Variable { offsets: &self.offsets, bytes: &self.bytes }
    }
}

fn texts<'a>(cells: impl IntoIterator<Item = &'a [u8]>) -> Texts {
    let mut texts = Texts { offsets: vec![0], bytes: Vec::new() };
    for cell in cells {
        texts.bytes.extend_from_slice(cell);
        texts.offsets.push(u32::try_from(texts.bytes.len()).expect("short"));
    }
    texts
}

fn words(words: &[&str]) -> Texts {
    texts(words.iter().map(|word| word.as_bytes()))
}

fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

fn of_numbers(bytes: &[u8]) -> Cells<'_> {
    Cells::Fixed { width: 8, bytes }
}

fn put(state: &mut State, table: usize, key: &str, value: &str, expiry: i64) {
    state.put_many(table, words(&[key]).cells(), words(&[value]).cells(), &[expiry]).expect("small");
}

/// The values of some keys; of those without an entry, none.
fn got(state: &State, table: usize, keys: &[&str]) -> Vec<Option<String>> {
    let found = state.get_many(table, words(keys).cells(), 1 << 20).expect("a good request");
    let value = |index: usize| {
        let present = found.present[index / 8] >> (index % 8) & 1 == 1;
        let value = &found.bytes[found.offsets[index] as usize..found.offsets[index + 1] as usize];
        assert!(present || value.is_empty(), "a value without an entry");
        present.then(|| String::from_utf8(value.to_vec()).expect("text"))
    };
    (0..keys.len()).map(value).collect()
}

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// What was handed out: table, key, value, expiry.
type Row = (usize, Vec<u8>, Vec<u8>, i64);

fn handed_out(batches: &[Due]) -> Vec<Row> {
    let mut rows = Vec::new();
    for batch in batches {
        assert_eq!(
            (batch.key_offsets.len(), batch.value_offsets.len()),
            (batch.expiries.len() + 1, batch.expiries.len() + 1)
        );
        for (row, expiry) in batch.expiries.iter().enumerate() {
            let key = batch.keys[batch.key_offsets[row] as usize..batch.key_offsets[row + 1] as usize].to_vec();
            let value = batch.values[batch.value_offsets[row] as usize..batch.value_offsets[row + 1] as usize].to_vec();
            rows.push((batch.table, key, value, *expiry));
        }
    }
    rows
}

fn restored(records: &[Vec<u8>]) -> State {
    let mut state = State::new(tables(), 1 << 30);
    for record in records {
        state.restore(record).expect("written by seal");
    }
    state
}

fn record(state: &mut State) -> Vec<u8> {
    match state.seal().expect("in memory").changes {
        Sealed::Changes(record) | Sealed::Snapshot(record) => record,
        Sealed::Unchanged => panic!("nothing has changed"),
    }
}

#[test]
fn what_is_written_is_read() {
    let mut state = state();
    let (keys, values) = (words(&["a", "b", "a", ""]), words(&["1", "", "2", "empty"]));
    state.put_many(SEEN, keys.cells(), values.cells(), &[]).expect("good");
    assert_eq!(got(&state, SEEN, &["a", "b", "c", ""]), [some("2"), some(""), None, some("empty")]);
    assert_eq!(got(&state, OPEN, &["a"]), [None], "tables are apart");

    state.delete_many(SEEN, words(&["a", "c", "a"]).cells()).expect("good");
    assert_eq!(got(&state, SEEN, &["a", "b"]), [None, some("")]);
}

#[test]
fn the_first_of_a_key_is_absent_once() {
    let mut state = state();
    let keys = numbers(&[7, 8, 7, 9, 8, 7, 7, 7, 10]);
    let absent = state.insert_if_absent_many(SEEN, of_numbers(&keys), &[]).expect("good");
    assert_eq!(absent, [0b0000_1011, 0b1]);
    let absent = state.insert_if_absent_many(SEEN, of_numbers(&keys), &[]).expect("good");
    assert_eq!(absent, [0, 0]);
    assert_eq!(state.size(SEEN).expect("there").entries, 4);
}

#[test]
fn an_expired_entry_is_not_there() {
    let mut state = state();
    assert!(state.begin(None, 10).expect("in memory").is_empty());
    put(&mut state, SEEN, "a", "1", i64::MIN);
    put(&mut state, SEEN, "b", "2", 100);
    put(&mut state, SEEN, "c", "3", i64::MAX);
    assert_eq!(got(&state, SEEN, &["a", "b", "c"]), [some("1"), some("2"), some("3")], "no watermark, nothing expires");
    assert!(state.begin(Some(99), 10).expect("in memory").is_empty());
    assert_eq!(got(&state, SEEN, &["a", "b", "c"]), [None, some("2"), some("3")]);
    assert!(state.begin(Some(100), 10).expect("in memory").is_empty());
    assert_eq!(got(&state, SEEN, &["a", "b", "c"]), [None, None, some("3")]);
    let keys = words(&["b", "c"]);
    let absent = state.insert_if_absent_many(SEEN, keys.cells(), &[500, 500]).expect("good");
    assert_eq!(absent, [0b01]);
    assert!(state.begin(Some(i64::MAX), 10).expect("in memory").is_empty());
    assert_eq!(got(&state, SEEN, &["b", "c"]), [None, some("3")], "i64::MAX is never");
}

#[test]
fn entries_are_handed_out_once_in_order() {
    let mut state = state();
    for (key, expiry) in [("c", 20), ("b", 10), ("a", 20), ("d", 30), ("e", 5), ("f", i64::MAX)] {
        put(&mut state, OPEN, key, &key.to_uppercase(), expiry);
    }
    put(&mut state, OPEN, "e", "later", 40);
    put(&mut state, OPEN, "d", "sooner", 15);
    state.seal().expect("in memory");
    assert_eq!(state.next_expiry(), Some(10));
    let due = state.begin(Some(20), 3).expect("in memory");
    assert_eq!(due.iter().map(|batch| batch.expiries.len()).collect::<Vec<_>>(), [3, 1]);
    let row = |key: &str, value: &str, expiry| (OPEN, key.as_bytes().to_vec(), value.as_bytes().to_vec(), expiry);
    assert_eq!(handed_out(&due), [row("b", "B", 10), row("d", "sooner", 15), row("a", "A", 20), row("c", "C", 20)]);
    assert!(state.begin(Some(20), 3).expect("in memory").is_empty());
    assert_eq!(state.next_expiry(), Some(40));
    assert_eq!(got(&state, OPEN, &["a", "b", "e", "f"]), [None, None, some("later"), some("F")]);
}

#[test]
fn an_entry_that_is_late_already_is_for_the_next_epoch() {
    let mut state = state();
    state.begin(Some(100), 10).expect("in memory");
    put(&mut state, OPEN, "late", "1", 50);
    assert_eq!(got(&state, OPEN, &["late"]), [None]);
    let mut again = restored(&[record(&mut state)]);
    for state in [&mut state, &mut again] {
        assert_eq!(state.next_expiry(), Some(50));
        assert_eq!(handed_out(&state.begin(Some(100), 10).expect("in memory")).len(), 1);
    }
}

#[test]
fn nothing_of_an_undone_call_remains() {
    let mut state = state();
    put(&mut state, SEEN, "old", "1", 10);
    put(&mut state, OPEN, "timer", "1", 10);
    state.begin_call();
    put(&mut state, SEEN, "kept", "1", 10);
    let before = state.changes.bytes().to_vec();

    state.begin_call();
    put(&mut state, SEEN, "old", "2", 20);
    put(&mut state, SEEN, "old", "3", 30);
    put(&mut state, SEEN, "new", "1", 10);
    put(&mut state, OPEN, "timer", "2", 5);
    state.delete_many(SEEN, words(&["old", "new", "kept"]).cells()).expect("good");
    state.insert_if_absent_many(SEEN, words(&["old", "other"]).cells(), &[1, 1]).expect("good");
    state.undo_call();

    assert_eq!(state.changes.bytes(), before);
    assert_eq!(got(&state, SEEN, &["old", "kept", "new", "other"]), [some("1"), some("1"), None, None]);
    assert_eq!(got(&state, OPEN, &["timer"]), [some("1")]);
    let again = restored(&[record(&mut state)]);
    assert_eq!((state.next_expiry(), again.next_expiry()), (Some(10), Some(10)));
    assert_eq!(got(&again, SEEN, &["old", "kept", "new", "other"]), [some("1"), some("1"), None, None]);
}

#[test]
fn nonsense_is_refused_by_name() {
    let mut state = state();
    let refused = |error: StateError| error.to_string();
    let keys = |state: &State, cells: Cells<'_>| refused(state.get_many(SEEN, cells, 100).expect_err("nonsense"));
    assert_eq!(keys(&state, Cells::Fixed { width: 8, bytes: &[0; 9] }), "9 bytes of keys are no cells of 8 bytes");
    assert_eq!(keys(&state, Cells::Fixed { width: 0, bytes: &[0; 9] }), "9 bytes of keys are no cells of 0 bytes");
    for (offsets, words) in [
        (vec![1, 2], "offset 0 of 1 keys is wrong"),
        (vec![0, 2, 1, 3], "offset 2 of 3 keys is wrong"),
        (vec![0, 4], "offset 1 of 1 keys is wrong"),
        (vec![0], "offset 0 of 0 keys is wrong"),
        (vec![], "offset 0 of 0 keys is wrong"),
    ] {
        assert_eq!(keys(&state, Cells::Variable { offsets: &offsets, bytes: b"abc" }), words);
    }
    let (one, two) = (words(&["a"]), words(&["a", "b"]));
    let error = state.put_many(SEEN, one.cells(), two.cells(), &[]).expect_err("nonsense");
    assert_eq!(refused(error), "2 values for 1 keys");
    let error = state.put_many(SEEN, two.cells(), two.cells(), &[1]).expect_err("nonsense");
    assert_eq!(refused(error), "1 expiries for 2 keys");
    let error = state.delete_many(2, one.cells()).expect_err("nonsense");
    assert_eq!(refused(error), "state table 2, but 2 are described");
    put(&mut state, SEEN, "a", "four", 1);
    let error = state.get_many(SEEN, words(&["a", "a"]).cells(), 7).expect_err("too much");
    assert_eq!(error, StateError::Answer { limit_bytes: 7 });
}

#[test]
fn what_exceeds_the_quota_is_refused_but_expired_entries_do_not_count() {
    let mut state = State::new(tables(), 4 * (16 + 8));
    let keys = numbers(&[1, 2, 3, 4]);
    state.insert_if_absent_many(SEEN, of_numbers(&keys), &[10, 10, 10, 20]).expect("just fits");
    state.begin_call();
    let error = state.insert_if_absent_many(SEEN, of_numbers(&5_u64.to_le_bytes()), &[]).expect_err("too much");
    assert_eq!(error, StateError::Quota { bytes: 120, limit_bytes: 96 });
    state.undo_call();
    let size = state.size(SEEN).expect("there");
    assert_eq!((size.entries, size.bytes), (4, 96));

    state.begin(Some(10), 10).expect("in memory");
    state.insert_if_absent_many(SEEN, of_numbers(&numbers(&[5, 6, 7])), &[]).expect("three have expired");
}

#[test]
fn a_snapshot_takes_the_place_of_what_was_written() {
    let mut state = state();
    let value = vec![7; 1 << 20];
    let mut state_of = |quota| {
        state = State::new(tables(), quota);
    };
    state_of(1 << 30);
    let mut records = Vec::new();
    for round in 0..80_u64 {
        state
            .put_many(SEEN, of_numbers(&(round % 2).to_le_bytes()), texts([value.as_slice()]).cells(), &[])
            .expect("fits");
        match state.seal().expect("in memory").changes {
            Sealed::Changes(record) => records.push(record),
            Sealed::Snapshot(record) => records = vec![record],
            Sealed::Unchanged => panic!("it has changed"),
        }
    }
    assert!(records.len() < 20, "{} records", records.len());
    let again = restored(&records);
    assert_eq!(again.size(SEEN).expect("there").bytes, state.size(SEEN).expect("there").bytes);
    assert_eq!(again.snapshot().len(), state.snapshot().len());
}

#[test]
fn an_epoch_made_again_has_the_same_digest() {
    let epoch = |state: &mut State| {
        state.begin(Some(50), 10).expect("in memory");
        put(state, OPEN, "a", "1", 60);
        state.delete_many(OPEN, words(&["b", "none"]).cells()).expect("good");
        state.seal().expect("in memory").digest
    };
    let mut first = state();
    put(&mut first, OPEN, "b", "2", 70);
    put(&mut first, OPEN, "c", "2", 40);
    let mut again = restored(&[record(&mut first)]);
    let mut other = state();
    let digest = epoch(&mut first);
    assert_eq!(digest, epoch(&mut again));
    assert_ne!(digest, epoch(&mut other), "nothing to hand out, nothing to delete");
    let unchanged = first.seal().expect("in memory");
    let fresh = state().seal().expect("in memory");
    assert_eq!((unchanged.changes, unchanged.digest), (Sealed::Unchanged, fresh.digest));
}

#[test]
fn entries_belong_to_the_tables_name() {
    let mut state = state();
    put(&mut state, SEEN, "a", "seen", 100);
    put(&mut state, OPEN, "a", "open", 100);
    let record = record(&mut state);
    let mut turned = tables();
    turned.reverse();
    turned.truncate(1);
    let mut turned = State::new(turned, 1 << 20);
    turned.restore(&record).expect("good");
    assert_eq!(got(&turned, 0, &["a"]), [some("open")]);
    assert_eq!(turned.next_expiry(), Some(100));
}

#[test]
fn a_record_says_which_tables_there_were() {
    let mut state = state();
    put(&mut state, OPEN, "a", "open", 100);
    let record = record(&mut state);
    let mut found = State::of(&record).expect("good");
    assert_eq!(found.tables(), tables());
    found.restore(&record).expect("good");
    assert_eq!(got(&found, OPEN, &["a"]), [some("open")]);
}

#[test]
fn a_damaged_record_is_refused_and_never_more() {
    let mut state = state();
    state.insert_if_absent_many(SEEN, words(&["a", "bb", "ccc"]).cells(), &[1, 2, 3]).expect("good");
    state.begin(Some(2), 10).expect("in memory");
    put(&mut state, OPEN, "a", "open", 1);
    state.begin(Some(3), 10).expect("in memory");
    state.delete_many(SEEN, words(&["ccc"]).cells()).expect("good");
    let record = record(&mut state);
    let mut random = Random::new(3);
    for _ in 0..20_000 {
        let mut damaged = record.clone();
        damaged.truncate(random.index(record.len() + 1));
        for _ in 0..random.below(3) {
            let at = random.index(damaged.len());
            if let Some(byte) = damaged.get_mut(at) {
                *byte = u8::try_from(random.below(256)).expect("small");
            }
        }
        let _ = State::new(tables(), 1 << 20).restore(&damaged);
    }
    for length in 0..3 {
        let error = State::new(tables(), 0).restore(&record[..length]).expect_err("cut off");
        assert_eq!(error, StateError::Damaged("it ends too early"));
    }
}

/// A state of which all goes to the disk whenever it is sealed.
fn on_disk(folder: &Path, limit_bytes: u64) -> State {
    let mut state = state();
    state.keep_on(Disk::open(folder, 1, limit_bytes).expect("a folder"));
    state.pace.memory_bytes = 0;
    state
}

/// GIVEN a run, WHEN any bit of it falls over, it is cut off or gone, THEN that is told, and no answer is given.
#[test]
fn what_is_damaged_on_the_disk_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut state = on_disk(folder.path(), 1 << 20);
    put(&mut state, SEEN, "a", "1", i64::MAX);
    let record = record(&mut state);
    let read = || {
        let mut again = on_disk(folder.path(), 1 << 20);
        again.restore(&record)?;
        again.open_disk()?;
        assert_eq!(again.size(SEEN)?.bytes, 0, "nothing is in memory");
        again.get_many(SEEN, words(&["a"]).cells(), 100)
    };
    assert_eq!(read().expect("whole").bytes, b"1");
    let files = fs::read_dir(folder.path()).expect("a folder").map(|file| file.expect("a file").path());
    let runs: Vec<_> = files.filter(|path| path.extension().is_some_and(|it| it == "run")).collect();
    let [run] = &runs[..] else { panic!("{runs:?}") };
    let whole = fs::read(run).expect("a run");
    for byte in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[byte] ^= 1 << (byte % 8);
        for bytes in [&damaged, &whole[..byte]] {
            fs::write(run, bytes).expect("written");
            assert!(matches!(read(), Err(StateError::Disk { .. })), "byte {byte}");
        }
    }
    fs::remove_file(run).expect("it was there");
    assert!(matches!(read(), Err(StateError::Disk { .. })));
}

/// GIVEN room on the disk for the keys of a few epochs, WHEN they expire, THEN there is always room; WHEN they do not, THEN the
/// epoch is refused that has none.
#[test]
fn what_exceeds_the_disk_is_refused_but_expired_entries_do_not_count() {
    for (lasting, ends) in [(50, None), (i64::MAX, Some(()))] {
        let folder = tempfile::tempdir().expect("a folder");
        let mut state = on_disk(folder.path(), 16_000);
        let mut refused = None;
        for epoch in 0..12_u64 {
            let now = i64::try_from(epoch).expect("small") * 100;
            state.begin(Some(now), 10).expect("no fault");
            let keys = numbers(&(epoch * 100..(epoch + 1) * 100).collect::<Vec<_>>());
            let expiries = vec![now.saturating_add(lasting); 100];
            state.insert_if_absent_many(SEEN, of_numbers(&keys), &expiries).expect("good");
            match state.seal() {
                Ok(seal) => seal.replaced.iter().for_each(|file| fs::remove_file(file).expect("it was there")),
                Err(StateError::DiskQuota { .. }) => refused = Some(()),
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, ends);
    }
}

/// GIVEN a table on the disk that the plugin does not describe any more, THEN its runs stay as long as the log names them: the
/// plugin before may come back.
#[test]
fn runs_of_a_table_that_is_not_described_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut state = on_disk(folder.path(), 1 << 20);
    put(&mut state, OPEN, "a", "1", 7);
    let record = record(&mut state);
    let mut other = State::new(tables()[..1].to_vec(), 1 << 20);
    other.keep_on(Disk::open(folder.path(), 2, 1 << 20).expect("a folder"));
    other.restore(&record).expect("a good record");
    other.open_disk().and_then(|()| other.clean_disk()).expect("a folder");
    let mut again = on_disk(folder.path(), 1 << 20);
    again.restore(&record).expect("a good record");
    again.open_disk().expect("the run is there");
    assert_eq!((got(&again, OPEN, &["a"]), again.next_expiry()), (vec![some("1")], Some(7)));
    let due = again.begin(Some(7), 10).expect("no fault");
    assert_eq!(handed_out(&due), [(OPEN, b"a".to_vec(), b"1".to_vec(), 7)]);
}

type Entries = BTreeMap<Vec<u8>, (Vec<u8>, i64)>;

/// The state in words of the standard library.
#[derive(Clone, Default)]
struct Model {
    tables: [Entries; 2],
    watermark: Option<i64>,
}

impl Model {
    fn get(&self, table: usize, key: &[u8]) -> Option<&[u8]> {
        let (value, expiry) = self.tables[table].get(key)?;
        (*expiry == i64::MAX || self.watermark.is_none_or(|watermark| *expiry > watermark)).then_some(value)
    }

    fn begin(&mut self, watermark: Option<i64>) -> Vec<Row> {
        self.watermark = self.watermark.max(watermark);
        let Some(watermark) = self.watermark else { return Vec::new() };
        let gone = |(_, (_, expiry)): &(&Vec<u8>, &mut (Vec<u8>, i64))| *expiry != i64::MAX && *expiry <= watermark;
        self.tables[SEEN].retain(|key, entry| !gone(&(key, entry)));
        let open = self.tables[OPEN].extract_if(.., |key, entry| gone(&(key, entry)));
        let mut due: Vec<_> = open.map(|(key, (value, expiry))| (OPEN, key, value, expiry)).collect();
        due.sort_by(|one, other| (one.3, &one.1).cmp(&(other.3, &other.1)));
        due
    }
}

/// A batch of keys from a few or from many, of which some are of 8 bytes.
fn some_keys(random: &mut Random) -> Vec<Vec<u8>> {
    let kind = random.below(3);
    let (most, of) = if random.below(60) == 0 { (2_000, 10_000) } else { (20, 40) };
    let key = |random: &mut Random| {
        let number = u64::from(random.below(of));
        match kind {
            0 => number.to_le_bytes().to_vec(),
            1 => format!("key-{number}").into_bytes(),
            _ if random.below(2) == 0 => number.to_le_bytes().to_vec(),
            _ => vec![1; random.index(300)],
        }
    };
    (0..random.index(most)).map(|_| key(random)).collect()
}

fn step(state: &mut State, model: &mut Model, random: &mut Random) {
    let table = random.index(2);
    let keys = some_keys(random);
    let cells = texts(keys.iter().map(Vec::as_slice));
    let base = model.watermark.unwrap_or(0);
    let some_expiry = |random: &mut Random| match random.below(8) {
        0 => i64::MAX,
        1 => i64::MIN,
        _ => base - 20 + i64::from(random.below(200)),
    };
    let expiries: Vec<i64> = match random.below(3) {
        0 => Vec::new(),
        _ => keys.iter().map(|_| some_expiry(random)).collect(),
    };
    match random.below(4) {
        0 => {
            let found = state.get_many(table, cells.cells(), 1 << 20).expect("good");
            for (index, key) in keys.iter().enumerate() {
                let present = found.present[index / 8] >> (index % 8) & 1 == 1;
                let value = &found.bytes[found.offsets[index] as usize..found.offsets[index + 1] as usize];
                assert_eq!(present.then_some(value), model.get(table, key));
            }
        }
        1 => {
            let long = if random.below(20) == 0 { 5_000 } else { 30 };
            let values: Vec<Vec<u8>> = keys
                .iter()
                .map(|key| vec![u8::try_from(key.len() % 251).expect("small"); random.index(long)])
                .collect();
            let value_cells = texts(values.iter().map(Vec::as_slice));
            state.put_many(table, cells.cells(), value_cells.cells(), &expiries).expect("good");
            for (index, (key, value)) in keys.into_iter().zip(values).enumerate() {
                model.tables[table].insert(key, (value, expiry(&expiries, index)));
            }
        }
        2 => {
            state.delete_many(table, cells.cells()).expect("good");
            keys.iter().for_each(|key| drop(model.tables[table].remove(key)));
        }
        _ => {
            let absent = state.insert_if_absent_many(table, cells.cells(), &expiries).expect("good");
            for (index, key) in keys.into_iter().enumerate() {
                let inserted = model.get(table, &key).is_none();
                assert_eq!(absent[index / 8] >> (index % 8) & 1 == 1, inserted);
                if inserted {
                    model.tables[table].insert(key, (Vec::new(), expiry(&expiries, index)));
                }
            }
        }
    }
}

fn compare(state: &State, model: &Model) {
    for table in [SEEN, OPEN] {
        let mut entries: Vec<_> = Vec::new();
        let each = |key: &[u8], value: &[u8], expiry| entries.push((key.to_vec(), (value.to_vec(), expiry)));
        state.each_entry(table, each).expect("there");
        entries.sort();
        let there = model.tables[table].iter().filter(|(key, _)| model.get(table, key).is_some());
        let there: Vec<_> = there.map(|(key, entry)| (key.clone(), entry.clone())).collect();
        assert!(entries == there, "table {table}: {} entries, {} expected", entries.len(), there.len());
    }
}

fn compare_timers(state: &State, model: &Model) {
    let timers = model.tables[OPEN].values().map(|(_, expiry)| *expiry).filter(|expiry| *expiry != i64::MAX);
    assert_eq!(state.next_expiry(), timers.min());
}

/// What a journal has of a state, and the folder of what memory had no room for, if any.
#[derive(Default)]
struct Kept {
    records: Vec<Vec<u8>>,
    folder: Option<tempfile::TempDir>,
    owners: u64,
}

impl Kept {
    /// As the next owner reads it.
    fn read(&mut self, watermark_ms: Option<i64>) -> State {
        let mut state = State::new(tables(), 1 << 30);
        if let Some(folder) = &self.folder {
            self.owners += 1;
            // An owner may read it again, for another version of the plugin.
            state.keep_on(Disk::open(folder.path(), self.owners / 2, 1 << 30).expect("a folder"));
        }
        self.records.iter().for_each(|record| state.restore(record).expect("written by seal"));
        state.open_disk().expect("what is named is there");
        state.clean_disk().expect("a folder");
        state.watermark_ms = watermark_ms;
        state
    }

    fn commit(&mut self, seal: Seal) {
        match seal.changes {
            Sealed::Unchanged => {}
            Sealed::Changes(record) => self.records.push(record),
            Sealed::Snapshot(record) => self.records = vec![record],
        }
        seal.replaced.iter().for_each(|file| fs::remove_file(file).expect("it was there"));
    }
}

/// Epochs of random calls, kept and undone, with restores at any time, equal a plain map; on a disk, more or less of it lies
/// there. Gives the number of runs that there were.
fn epochs(seed: u64, on_disk: bool) -> u64 {
    let mut random = Random::new(seed);
    let folder = on_disk.then(|| tempfile::tempdir().expect("a folder"));
    let mut kept = Kept { folder, ..Kept::default() };
    let (mut state, mut model, mut runs) = (kept.read(None), Model::default(), 0);
    for epoch in 0..1 + random.below(30) {
        let before = model.clone();
        let calls = random.bits();
        let watermark = (random.below(4) > 0).then(|| model.watermark.unwrap_or(0) + i64::from(random.below(120)));
        let make = |state: &mut State, model: &mut Model, pace: Pace| {
            let mut random = Random::new(calls);
            let due = handed_out(&state.begin(watermark, 1 + random.index(5)).expect("no fault"));
            let expected = model.begin(watermark);
            assert!(due == expected, "{} entries were handed out, {} expected", due.len(), expected.len());
            for _ in 0..random.below(12) {
                state.begin_call();
                let undone = (random.below(4) == 0).then(|| model.clone());
                (0..1 + random.below(3)).for_each(|_| step(state, model, &mut random));
                if let Some(before) = undone {
                    state.undo_call();
                    *model = before;
                }
                compare(state, model);
            }
            state.pace = pace;
            state.seal().expect("no fault")
        };
        let pace = |random: &mut Random| Pace {
            memory_bytes: [0, 4_000, 20_000, usize::MAX][random.index(4)],
            log_bytes: [0, 4_000, usize::MAX][random.index(3)],
            merge_bytes: [20, 300, usize::MAX][random.index(3)],
            merge_times: 0,
        };
        let mut sealed = make(&mut state, &mut model, pace(&mut random));
        // A crash: what was decided is made again on what was committed, or the epoch is committed and read again.
        if random.below(3) == 0 {
            // As the journal's position says it.
            state = kept.read(before.watermark);
            let mut again = before;
            let remade = make(&mut state, &mut again, pace(&mut random));
            assert_eq!(sealed.digest, remade.digest, "epoch {epoch} was made again");
            sealed = remade;
        }
        if random.below(5) == 0 {
            sealed.changes = Sealed::Snapshot(state.snapshot());
        }
        kept.commit(sealed);
        if random.below(4) == 0 {
            state = kept.read(model.watermark);
        }
        compare(&state, &model);
        compare_timers(&state, &model);
        runs = state.disk.as_ref().map_or(0, |disk| runs.max(disk.written()));
    }
    runs
}

#[test]
fn random_epochs_equal_a_plain_map() {
    let seed = match std::env::var("SEED") {
        Ok(seed) => seed.parse().expect("a number"),
        Err(_) => 1,
    };
    let mut runs = 0;
    for seed in seed..seed + 60 {
        println!("SEED={seed}");
        epochs(seed, false);
        // Each run is synced.
        if seed % 16 == 1 {
            runs += epochs(seed, true);
        }
    }
    assert!(runs > 100 || std::env::var("SEED").is_ok(), "{runs} runs were written");
}
