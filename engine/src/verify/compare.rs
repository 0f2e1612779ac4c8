//! The comparing itself, apart from where rows come from: which epoch each message belongs to, and what a group of offsets
//! at which both sides differ is called.

use serde::Serialize;

use crate::sink::{Group, SeenEpoch};

/// What is wrong with rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// A message makes them, and the table has them not. In a current-state table: it has the key not, or an older change.
    Missing,
    /// The table has more rows of a message than it makes. In a current-state table: a key that no message has so.
    TooMany,
    /// Several rows have the same `_lane`, `_epoch` and `_row`.
    Twice,
    /// As many as there should be, with another content.
    Changed,
    /// As many as there should be; the plugin that made them is not to be had any more, and the present one makes another
    /// content. Not called wrong.
    OtherPlugin,
    /// The source holds no message at their offset: there never was one, or it was compacted away.
    UnknownOffset,
    /// The journal knows nothing of their epoch: it is an old copy, or somebody else writes under the lane's name.
    UnknownEpoch,
}

impl Fault {
    /// In words, behind a number of rows.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::TooMany => "too many",
            Self::Twice => "there twice (same _lane, _epoch, _row)",
            Self::Changed => "with another content",
            Self::OtherPlugin => "made by another plugin, with another content than the present one's",
            Self::UnknownEpoch => "of epochs that the journal knows nothing of",
            Self::UnknownOffset => "of an offset at which the topic holds no message",
        }
    }

    /// Whether it is one: a content that another plugin made is as it should be.
    #[must_use]
    pub fn is_wrong(self) -> bool {
        self != Self::OtherPlugin
    }
}

/// Rows of a table with the same fault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What is wrong.
    pub fault: Fault,
    /// Rows.
    pub rows: u64,
    /// Offsets of the messages that they belong to.
    pub offsets: u64,
    /// The first of those offsets.
    pub first: i64,
    /// The last.
    pub last: i64,
    /// Some of them, ascending.
    pub some: Vec<i64>,
}

/// Most offsets that a finding names.
const NAMED: usize = 8;

/// What is wrong at the offsets of a group.
#[must_use]
pub fn judge(group: &Group, plugin_gone: bool) -> Vec<Finding> {
    let Group { made, there, same, names, .. } = *group;
    let unknown = group.unknown != 0;
    let extra = names.saturating_sub(made);
    let changed = made.min(names).saturating_sub(same);
    let content = if plugin_gone { Fault::OtherPlugin } else { Fault::Changed };
    let rows = [
        (Fault::Missing, made.saturating_sub(names)),
        (Fault::TooMany, if unknown { 0 } else { extra }),
        (Fault::Twice, there.saturating_sub(names)),
        (content, changed),
        (Fault::UnknownOffset, if unknown { extra } else { 0 }),
    ];
    let found = rows.into_iter().filter(|(_, rows)| *rows > 0);
    let finding = |(fault, rows): (Fault, u64)| Finding {
        fault,
        rows: rows * group.offsets,
        offsets: group.offsets,
        first: group.first,
        last: group.last,
        some: group.some.clone(),
    };
    found.map(finding).collect()
}

/// Adds a finding to those of the same fault.
pub fn add(findings: &mut Vec<Finding>, new: Finding) {
    let Some(known) = findings.iter_mut().find(|known| known.fault == new.fault) else {
        findings.push(new);
        findings.sort_by_key(|finding| finding.fault);
        return;
    };
    known.rows += new.rows;
    known.offsets += new.offsets;
    known.first = known.first.min(new.first);
    known.last = known.last.max(new.last);
    known.some.extend(new.some);
    known.some.sort_unstable();
    known.some.dedup();
    known.some.truncate(NAMED);
}

/// The epoch that messages are made again in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// The value of `_epoch`.
    pub epoch: u64,
    /// Its clock, ms since 1970-01-01 UTC.
    pub clock_ms: i64,
}

/// Messages (their indices) that are made again together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stretch {
    /// Index of the first message.
    pub start: usize,
    /// Index after the last.
    pub end: usize,
    /// Their epoch.
    pub stamp: Stamp,
}

/// Which epoch each message belongs to, as the rows tell that are there. Where several generations made rows of a message,
/// the last did. Messages without rows are counted to the epoch before them, as nobody knows where it ended; `before` is
/// that of the messages before these, `otherwise` is for when there is none.
#[must_use]
pub fn stretches(offsets: &[i64], seen: &[SeenEpoch], before: Option<Stamp>, otherwise: Stamp) -> Vec<Stretch> {
    let mut stamps: Vec<Option<Stamp>> = vec![None; offsets.len()];
    // In ascending order, so that a later generation is written over an earlier one.
    for SeenEpoch { epoch, clock_ms, first, last } in seen {
        let start = offsets.partition_point(|offset| offset < first);
        let end = offsets.partition_point(|offset| offset <= last);
        stamps[start.min(end)..end].fill(Some(Stamp { epoch: *epoch, clock_ms: *clock_ms }));
    }
    let mut last = before.or_else(|| stamps.iter().flatten().next().copied()).unwrap_or(otherwise);
    let mut stretches: Vec<Stretch> = Vec::new();
    for (index, stamp) in stamps.into_iter().enumerate() {
        last = stamp.unwrap_or(last);
        match stretches.last_mut() {
            Some(stretch) if stretch.stamp == last => stretch.end = index + 1,
            _ => stretches.push(Stretch { start: index, end: index + 1, stamp: last }),
        }
    }
    stretches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(made: u64, there: u64, same: u64, names: u64, unknown: u8) -> Group {
        Group { made, there, same, names, unknown, offsets: 2, first: 7, last: 9, some: vec![7, 9] }
    }

    #[test]
    fn each_difference_has_its_name() {
        use Fault::{Changed, Missing, OtherPlugin, TooMany, Twice, UnknownOffset};
        for (made, there, same, names, unknown, expected) in [
            (1, 0, 0, 0, 0, vec![(Missing, 2)]),
            (3, 1, 1, 1, 0, vec![(Missing, 4)]),
            (1, 2, 1, 1, 0, vec![(Twice, 2)]),
            (1, 2, 1, 2, 0, vec![(TooMany, 2)]),
            (0, 1, 0, 1, 0, vec![(TooMany, 2)]),
            (0, 1, 0, 1, 1, vec![(UnknownOffset, 2)]),
            (0, 3, 0, 1, 1, vec![(Twice, 4), (UnknownOffset, 2)]),
            (2, 2, 1, 2, 0, vec![(Changed, 2)]),
            // One of two is gone, the other doubled: as many as there should be, and both are seen.
            (2, 2, 1, 1, 0, vec![(Missing, 2), (Twice, 2)]),
            (2, 1, 0, 1, 0, vec![(Missing, 2), (Changed, 2)]),
            (1, 1, 1, 1, 0, vec![]),
        ] {
            let found = judge(&group(made, there, same, names, unknown), false);
            let found: Vec<_> = found.into_iter().map(|finding| (finding.fault, finding.rows)).collect();
            assert_eq!(found, expected, "{made} made, {there} there, {same} same, {names} names");
        }
        let other = judge(&group(1, 1, 0, 1, 0), true);
        assert_eq!((other[0].fault, other[0].fault.is_wrong()), (OtherPlugin, false));
        // Only contents are excused.
        assert_eq!(judge(&group(2, 1, 0, 1, 0), true)[0].fault, Missing);
    }

    #[test]
    fn findings_of_one_fault_are_one() {
        let mut findings = Vec::new();
        for some in [vec![40, 41], vec![1, 2, 3, 4, 5, 6, 7]] {
            let (first, last) = (some[0], some[some.len() - 1]);
            let offsets = some.len() as u64;
            add(&mut findings, Finding { fault: Fault::Twice, rows: offsets, offsets, first, last, some });
        }
        let twice = Finding {
            fault: Fault::Twice,
            rows: 9,
            offsets: 9,
            first: 1,
            last: 41,
            some: vec![1, 2, 3, 4, 5, 6, 7, 40],
        };
        add(&mut findings, Finding { fault: Fault::Missing, rows: 1, offsets: 1, first: 3, last: 3, some: vec![3] });
        assert_eq!(findings.len(), 2);
        assert_eq!(findings[1], twice);
    }

    #[test]
    fn messages_belong_to_the_epochs_that_their_rows_name() {
        let seen = |epoch, first, last| SeenEpoch { epoch, clock_ms: epoch as i64 * 10, first, last };
        let stamp = |epoch: u64| Stamp { epoch, clock_ms: epoch as i64 * 10 };
        let spans = |offsets: &[i64], seen: &[SeenEpoch], before| -> Vec<_> {
            let stretches = stretches(offsets, seen, before, stamp(99));
            stretches.into_iter().map(|it| (offsets[it.start], offsets[it.end - 1], it.stamp.epoch)).collect()
        };
        let offsets: Vec<i64> = (10..20).collect();
        assert_eq!(spans(&offsets, &[seen(1, 10, 14), seen(2, 15, 19)], None), [(10, 14, 1), (15, 19, 2)]);
        // Messages without rows: to the epoch before, at the beginning to the one behind.
        assert_eq!(spans(&offsets, &[seen(1, 12, 13), seen(2, 16, 16)], None), [(10, 15, 1), (16, 19, 2)]);
        assert_eq!(spans(&offsets, &[seen(7, 12, 13)], Some(stamp(6))), [(10, 11, 6), (12, 19, 7)]);
        assert_eq!(spans(&offsets, &[], None), [(10, 19, 99)]);
        // A later generation read a part again.
        let again = 1 << 48;
        assert_eq!(
            spans(&offsets, &[seen(1, 10, 19), seen(again, 13, 15)], None),
            [(10, 12, 1), (13, 15, again), (16, 19, 1)]
        );
        // Rows of offsets between the messages, and of none.
        assert_eq!(
            spans(&[10, 30], &[seen(1, 10, 11), seen(2, 15, 20), seen(3, 29, 40)], None),
            [(10, 10, 1), (30, 30, 3)]
        );
        assert_eq!(spans(&[], &[seen(1, 10, 11)], None), []);
    }
}
