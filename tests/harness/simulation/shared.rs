//! A topic that tenants share: each has the messages with its name in the column `tenant` in a table of its name, and what
//! nobody claims is in the dead letters.

use std::collections::BTreeMap;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::{Int32Type, Int64Type};
use engine::input::{SelectBy, Selection};
use engine::offsets::LaneId;
use engine::simulation::{Chance, Process};
use engine::source::SimulatedTopics;
use engine::transform::{Kind, TransformSettings};
use serde_json::Value;
use tokio::time::sleep;

use super::random::{Outcome, endure};
use super::world::bronze_with;
use super::{World, partition, simulate};

/// The table of dead letters.
pub(super) const LETTERS: &str = "`db`.`dead_letters`";

impl World {
    /// The next start has this tenant as well.
    pub fn add_tenant(&mut self, name: &str) {
        let kind = Kind::Bronze { table: name.to_owned() };
        let mut settings = TransformSettings::new(name, "plugin", kind, "db");
        settings.selection = Some(Selection { by: SelectBy::Column("tenant".to_owned()), value: name.to_owned() });
        self.sharing.push(bronze_with(settings));
    }

    /// Everything that is wrong: with the tenants' rows, the letters, or what is open. Late tenants are those that were not there
    /// from the beginning: of their messages, those that were read before are letters as well.
    #[must_use]
    pub fn wrong_shares(&self, late: &[&str]) -> Vec<String> {
        let mut wrong = Vec::new();
        let letters = self.letters_of_all();
        for found in self.topics.partitions() {
            let number = found.partition.partition;
            let mut expected: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
            let messages = self.topics.messages(&found.partition);
            for (offset, value) in &messages {
                let Some(value) = value else { continue };
                let named = named(value);
                let tenant = named.as_deref().map(|name| self.sharing.iter().find(|it| it.settings().tenant == name));
                let code = match tenant {
                    Some(Some(tenant)) => {
                        expected.entry(&tenant.settings().tenant).or_default().push(*offset);
                        None
                    }
                    Some(None) => Some("unknown_tenant"),
                    None => Some("no_tenant"),
                };
                let found: Vec<&str> =
                    letters.get(&(number, *offset)).into_iter().flatten().map(String::as_str).collect();
                let may_be = code.is_none() && named.is_some_and(|name| late.contains(&&*name));
                if found != Vec::from_iter(code) && !(may_be && found == ["unknown_tenant"]) {
                    wrong.push(format!("t/{number} {offset}: letters {found:?}, not {code:?}"));
                }
            }
            for tenant in &self.sharing {
                let name = &tenant.settings().tenant;
                let mut rows: Vec<i64> =
                    self.rows(name).iter().filter(|it| it.partition == number).map(|it| it.offset).collect();
                rows.sort_unstable();
                let expected = expected.remove(&**name).unwrap_or_default();
                if rows != expected {
                    wrong.push(format!("t/{number} of {name}: rows {rows:?}, not {expected:?}"));
                }
                let lane = LaneId { tenant: name.clone(), ..self.lane(number) };
                if !self.disk.lane(&lane).1.is_empty() {
                    wrong.push(format!("{lane} has open epochs"));
                }
            }
        }
        wrong
    }

    /// Codes of the letters of each message, by partition and offset.
    fn letters_of_all(&self) -> BTreeMap<(i32, i64), Vec<String>> {
        let mut letters: BTreeMap<(i32, i64), Vec<String>> = BTreeMap::new();
        for batch in self.tables.blocks(LETTERS).iter().flatten() {
            let column = |name: &str| batch.column_by_name(name).unwrap_or_else(|| panic!("a column {name}"));
            let (partitions, offsets) = (column("partition").as_primitive::<Int32Type>(), column("offset"));
            let (offsets, codes) = (offsets.as_primitive::<Int64Type>(), column("code").as_string::<i32>());
            for row in 0..batch.num_rows() {
                let place = (partitions.value(row), offsets.value(row));
                letters.entry(place).or_default().push(codes.value(row).to_owned());
            }
        }
        letters
    }
}

/// Whose a message says it is.
fn named(value: &[u8]) -> Option<String> {
    let value: Value = serde_json::from_slice(value).ok()?;
    Some(value.get("tenant")?.as_str()?.to_owned())
}

/// Runs a seed: tenants share a topic; processes start, fail, stop and crash; now and then one more tenant comes.
///
/// # Panics
/// If the run does not come to its end.
#[must_use]
pub fn run_shared(seed: u64) -> Outcome {
    simulate(seed, 10_000, async |world| {
        let partitions = 1 + i32::try_from(world.chance.below(2)).unwrap_or(0);
        world.topics.create("t", partitions);
        world.batch.max_messages = 1 + world.chance.below(10) as usize;
        let (tenants, mut late) = (1 + world.chance.below(5), Vec::new());
        (0..tenants).for_each(|number| world.add_tenant(&format!("t{number}")));
        let (mut faults, mut feeders) = (0, Vec::new());
        for round in 0..1 + world.chance.below(6) {
            feeders.push(tokio::spawn(feed(world.topics.clone(), world.chance.clone(), partitions)));
            if round > 0 && world.chance.per_mille(300) {
                late.push(format!("t{}", tenants as usize + late.len()));
                late.last().into_iter().for_each(|name| world.add_tenant(name));
            }
            world.until_idle = world.chance.per_mille(500);
            let pick = |choices: [u32; 3]| choices[world.chance.below(3) as usize];
            world.tables.trouble(pick([0, 100, 400]));
            world.topics.trouble(pick([0, 0, 300]));
            world.start(match world.chance.below(3) {
                0 => Process::default(),
                _ => Process::ending_at_count(world.chance.below(400)),
            });
            faults += 1;
            endure(world).await;
        }
        for feeder in feeders {
            drop(feeder.await);
        }
        world.finish().await;
        let late: Vec<&str> = late.iter().map(String::as_str).collect();
        let wrong = [world.wrong(), world.wrong_shares(&late)].concat();
        Outcome { faults: faults + world.tables.faults() + world.disk.torn(), wrong, commits: world.disk.commits() }
    })
}

/// Messages of tenants, of strangers and of nobody, over some seconds.
async fn feed(topics: SimulatedTopics, chance: Chance, partitions: i32) {
    for number in 0..chance.below(100) {
        let to = partition(i32::try_from(chance.below(partitions.unsigned_abs())).unwrap_or(0));
        let value = match chance.below(20) {
            0 => None,
            1 => Some("no json".to_owned()),
            2 => Some(format!(r#"{{"n":{number}}}"#)),
            _ => Some(format!(r#"{{"n":{number},"tenant":"t{}"}}"#, chance.below(8))),
        };
        topics.produce(&to, Some(b"key"), value.as_deref().map(str::as_bytes));
        if chance.below(20) == 0 {
            topics.hole(&to, 1);
        }
        if chance.per_mille(300) {
            sleep(Duration::from_millis(chance.below(80).into())).await;
        }
    }
}
