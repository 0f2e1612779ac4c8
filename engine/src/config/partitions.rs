//! Which partitions of its topics an engine takes: several engines share a topic by hand.

use std::ops::RangeInclusive;
use std::str::FromStr;

/// Some partitions of each topic, as `"0-5,8"`. By default all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partitions(Vec<RangeInclusive<i32>>);

impl Default for Partitions {
    fn default() -> Self {
        Self(vec![0..=i32::MAX])
    }
}

impl Partitions {
    /// Whether none is one of them.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a partition is one of them.
    #[must_use]
    pub fn contains(&self, partition: i32) -> bool {
        self.0.iter().any(|range| range.contains(&partition))
    }
}

impl FromIterator<Self> for Partitions {
    /// All partitions that are in one of them.
    fn from_iter<I: IntoIterator<Item = Self>>(all: I) -> Self {
        let mut ranges: Vec<_> = all.into_iter().flat_map(|partitions| partitions.0).collect();
        ranges.sort_unstable_by_key(|range| (*range.start(), *range.end()));
        ranges.dedup();
        Self(ranges)
    }
}

/// What is no set of partitions.
#[derive(Debug, PartialEq, Eq)]
pub struct NoPartitions;

impl FromStr for Partitions {
    type Err = NoPartitions;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let number = |text: &str| text.trim().parse().ok().filter(|number: &i32| *number >= 0).ok_or(NoPartitions);
        let range = |part: &str| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last) = (number(first)?, number(last)?);
            if first <= last { Ok(first..=last) } else { Err(NoPartitions) }
        };
        text.split(',').map(range).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_partitions() {
        let some: Partitions = "0-2, 5,7-7".parse().expect("partitions");
        let contained: Vec<_> = (0..10).filter(|partition| some.contains(*partition)).collect();
        assert_eq!(contained, [0, 1, 2, 5, 7]);
        assert!(Partitions::default().contains(i32::MAX));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["", "a", "3-1", "-1", "1-", "0-5,", "0..5"] {
            assert_eq!(text.parse::<Partitions>(), Err(NoPartitions), "{text}");
        }
    }
}
