//! The state of a lane in tests: what a host keeps, as plainly as can be.

use std::collections::BTreeMap;

use crate::builder::Bits;
use crate::description::{OnExpire, StateDescription};
use crate::state::{Cells, Found};

#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    value: Vec<u8>,
    /// `i64::MAX`: never.
    expiry: i64,
}

/// Entries by table and key.
#[derive(Clone, Debug, Default)]
pub(super) struct TestState {
    on_expire: Vec<OnExpire>,
    tables: Vec<BTreeMap<Vec<u8>, Entry>>,
    pub(super) version: u32,
    pub(super) watermark: Option<i64>,
}

/// Entries of a table that expire.
#[derive(Debug, Default)]
pub(super) struct DueEntries {
    pub(super) table: u32,
    pub(super) key_offsets: Vec<u32>,
    pub(super) keys: Vec<u8>,
    pub(super) value_offsets: Vec<u32>,
    pub(super) values: Vec<u8>,
    pub(super) expiries: Vec<i64>,
}

impl TestState {
    pub(super) fn new(description: Option<&StateDescription>) -> Self {
        let on_expire: Vec<_> = description.iter().flat_map(|it| &it.tables).map(|table| table.on_expire).collect();
        Self {
            tables: vec![BTreeMap::new(); on_expire.len()],
            on_expire,
            version: description.map_or(0, |it| it.version),
            watermark: None,
        }
    }

    /// Forgets what can't be seen any more.
    pub(super) fn clean(&mut self) {
        let (watermark, on_expire) = (self.watermark, &self.on_expire);
        for (table, on_expire) in self.tables.iter_mut().zip(on_expire) {
            table.retain(|_, entry| *on_expire == OnExpire::Call || Some(entry.expiry) > watermark);
        }
    }

    /// Entries that are there.
    pub(super) fn len(&self, table: usize) -> usize {
        self.tables[table].values().filter(|entry| Some(entry.expiry) > self.watermark).count()
    }

    /// Takes the entries out that call the plugin.
    pub(super) fn due(&mut self) -> Vec<DueEntries> {
        let (watermark, mut due) = (self.watermark, Vec::new());
        for (index, table) in self.tables.iter_mut().enumerate() {
            if self.on_expire[index] == OnExpire::Drop {
                continue;
            }
            let over = table.extract_if(.., |_, entry| Some(entry.expiry) <= watermark);
            let mut entries: Vec<_> = over.map(|(key, entry)| (entry.expiry, key, entry.value)).collect();
            if entries.is_empty() {
                continue;
            }
            entries.sort();
            let table = u32::try_from(index).expect("tables are few");
            let mut batch = DueEntries { table, key_offsets: vec![0], value_offsets: vec![0], ..DueEntries::default() };
            for (expiry, key, value) in entries {
                batch.keys.extend(key);
                batch.key_offsets.push(offset(batch.keys.len()));
                batch.values.extend(value);
                batch.value_offsets.push(offset(batch.values.len()));
                batch.expiries.push(expiry);
            }
            due.push(batch);
        }
        due
    }

    fn table(&mut self, table: u32) -> &mut BTreeMap<Vec<u8>, Entry> {
        let described = self.tables.len();
        let table = usize::try_from(table).ok().and_then(|table| self.tables.get_mut(table));
        table.unwrap_or_else(|| panic!("a table of state that is not described: there are {described}"))
    }

    pub(super) fn get_many(&mut self, table: u32, keys: Cells<'_>) -> Found {
        let watermark = self.watermark;
        let table = self.table(table);
        let (mut present, mut found) = (Bits::default(), Found { offsets: vec![0], ..Found::default() });
        for key in 0..keys.len() {
            let entry = table.get(keys.get(key)).filter(|entry| Some(entry.expiry) > watermark);
            present.push(entry.is_some());
            found.bytes.extend(entry.map(|entry| entry.value.as_slice()).unwrap_or_default());
            found.offsets.push(offset(found.bytes.len()));
        }
        found.present = present.as_bytes().to_vec();
        found
    }

    pub(super) fn put_many(&mut self, table: u32, keys: Cells<'_>, values: Cells<'_>, expiries: &[i64]) {
        assert_eq!(values.len(), keys.len(), "values for so many keys");
        check(keys, expiries);
        for key in 0..keys.len() {
            let entry = Entry { value: values.get(key).to_vec(), expiry: expiry(expiries, key) };
            self.table(table).insert(keys.get(key).to_vec(), entry);
        }
    }

    pub(super) fn delete_many(&mut self, table: u32, keys: Cells<'_>) {
        for key in 0..keys.len() {
            self.table(table).remove(keys.get(key));
        }
    }

    pub(super) fn insert_if_absent_many(&mut self, table: u32, keys: Cells<'_>, expiries: &[i64]) -> Vec<u8> {
        check(keys, expiries);
        let watermark = self.watermark;
        let table = self.table(table);
        let mut new = Bits::default();
        for key in 0..keys.len() {
            let there = table.get(keys.get(key)).is_some_and(|entry| Some(entry.expiry) > watermark);
            new.push(!there);
            if !there {
                table.insert(keys.get(key).to_vec(), Entry { value: Vec::new(), expiry: expiry(expiries, key) });
            }
        }
        new.as_bytes().to_vec()
    }
}

fn check(keys: Cells<'_>, expiries: &[i64]) {
    assert!(expiries.is_empty() || expiries.len() == keys.len(), "{} expiries for {} keys", expiries.len(), keys.len());
}

fn expiry(expiries: &[i64], key: usize) -> i64 {
    expiries.get(key).copied().unwrap_or(i64::MAX)
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("tests are small")
}
