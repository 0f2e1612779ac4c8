//! A newcomer beside the version that runs: whether it can take over, in words.
//!
//! | | |
//! |---|---|
//! | the same bytes and settings | [`Compatibility::Same`] |
//! | what is kept is read by both | [`Compatibility::Compatible`], with what an operator should know |
//! | the newcomer keeps another version of its state and reads the one that is kept | [`Compatibility::Migrates`]: once it has committed an epoch, only versions that read its state can follow |
//! | the newcomer can't read what is kept | [`Compatibility::Refused`] |
//!
//! Tables are not compared here but with those on the server, which know more: columns of others, types that were altered.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::version::Version;
use crate::plugin::{Description, StateDescription};
use crate::table::Table;

/// How a newcomer stands to the version that runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compatibility {
    /// It is that version.
    Same,
    /// It can take over, and back.
    Compatible {
        /// What is different, each in a line.
        notes: Vec<String>,
    },
    /// It can take over, and writes another version of the state.
    Migrates {
        /// The version of the state that is kept.
        from: u32,
        /// The version that it writes.
        to: u32,
        /// Whether the version that runs reads what it writes.
        and_back: bool,
        /// What else is different, each in a line.
        notes: Vec<String>,
    },
    /// It can't take over.
    Refused {
        /// Why.
        why: String,
        /// What an operator would have to run.
        statement: Option<String>,
    },
}

/// Compares a newcomer with the version that runs, where lanes keep state that was written in these versions of it.
#[must_use]
pub fn compare(newcomer: &Version, incumbent: &Version, kept: &[u32]) -> Compatibility {
    if newcomer.id() == incumbent.id() {
        return Compatibility::Same;
    }
    if !newcomer.reads(kept) {
        return unreadable(newcomer, kept);
    }
    let [new, old] = [newcomer, incumbent].map(|version| version.transform.plugin().map(|plugin| plugin.description()));
    let mut notes = tables(&newcomer.transform.tables(), &incumbent.transform.tables());
    if let (Some(new), Some(old)) = (new, old) {
        notes.extend(input(new, old));
        if let (Some(new), Some(old)) = (&new.state, &old.state) {
            notes.extend(forgotten(new, old));
        }
    }
    let to = newcomer.transform.state_version();
    match (kept.iter().copied().filter(|version| Some(*version) != to).max(), to) {
        (Some(from), Some(to)) => Compatibility::Migrates { from, to, and_back: incumbent.reads(&[to]), notes },
        _ => Compatibility::Compatible { notes },
    }
}

fn unreadable(newcomer: &Version, kept: &[u32]) -> Compatibility {
    let name = newcomer.file.key();
    let state = newcomer.transform.plugin().and_then(|plugin| plugin.description().state.as_ref());
    let list = |versions: &[u32]| versions.iter().map(u32::to_string).collect::<Vec<_>>().join(", ");
    let keeps = match state {
        None => "keeps none".to_owned(),
        Some(StateDescription { version, reads, .. }) if reads.is_empty() => {
            format!("keeps {version} and reads no other")
        }
        Some(StateDescription { version, reads, .. }) => format!("keeps {version} and reads {}", list(reads)),
    };
    let kept = list(kept);
    let why = format!(
        "what plugin {name} keeps was written in version {kept} of its state, but the new version {keeps}: let it read {kept} \
         as well, or give up what is kept: stop the engine, and make everything again from the topics with the command below, \
         or go on with nothing remembered with --from here"
    );
    Compatibility::Refused { why, statement: Some(format!("engine recover --plugin {name} --from start")) }
}

/// Tables of the state that the newcomer does not know.
fn forgotten(new: &StateDescription, old: &StateDescription) -> Option<String> {
    let gone = old.tables.iter().filter(|table| new.tables.iter().all(|it| it.name != table.name));
    let gone: Vec<_> = gone.map(|table| table.name.as_str()).collect();
    (!gone.is_empty()).then(|| format!("what is kept in {} is forgotten", gone.join(", ")))
}

fn tables(new: &[Arc<Table>], old: &[Arc<Table>]) -> Vec<String> {
    let mut notes = Vec::new();
    for table in new {
        match old.iter().find(|other| other.quoted() == table.quoted()) {
            None => notes.push(format!("it writes {}, which the version before did not", table.quoted())),
            Some(before) => {
                let names = |table: &Table| -> BTreeSet<String> {
                    table.schema.fields().iter().map(|field| field.name().clone()).collect()
                };
                let (names, before) = (names(table), names(before));
                let quoted = table.quoted();
                notes.extend(listed(&names, &before).map(|columns| format!("{quoted} gets {columns}")));
                notes.extend(listed(&before, &names).map(|columns| format!("{quoted} is no longer given {columns}")));
            }
        }
    }
    let gone = old.iter().filter(|table| new.iter().all(|other| other.quoted() != table.quoted()));
    notes.extend(gone.map(|table| format!("it no longer writes {}, which stays as it is", table.quoted())));
    notes
}

fn input(new: &Description, old: &Description) -> Vec<String> {
    let names = |description: &Description| -> BTreeSet<String> {
        description.input.fields().iter().map(|field| field.name().clone()).collect()
    };
    let (names, before) = (names(new), names(old));
    let more = listed(&names, &before).map(|columns| format!("it reads {columns} as well"));
    let fewer = listed(&before, &names).map(|columns| format!("it no longer reads {columns}"));
    more.into_iter().chain(fewer).collect()
}

/// Those of the one that are not in the other.
fn listed(one: &BTreeSet<String>, other: &BTreeSet<String>) -> Option<String> {
    let only: Vec<_> = one.difference(other).map(String::as_str).collect();
    (!only.is_empty()).then(|| only.join(", "))
}

/// Whether the newcomer reads its messages otherwise, so that they have to be looked at.
pub(super) fn reads_otherwise(newcomer: &Version, incumbent: &Version) -> bool {
    let reads = |version: &Version| {
        let plugin = version.transform.plugin()?;
        Some((plugin.description().format, plugin.description().columns.clone()))
    };
    newcomer.file.topics != incumbent.file.topics || reads(newcomer) != reads(incumbent)
}
