//! Which partitions there are for which plugin: hundreds of plugins ask the source one question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::deploy::Versions;
use crate::source::{Found, Source, SourceError, names_topic};

/// The partitions of all topics that any plugin names, by topic.
pub(super) struct Discovered(BTreeMap<Arc<str>, Vec<Found>>);

impl Discovered {
    /// Asks for the topics of all plugins at once.
    pub(super) async fn of_all(source: &dyn Source, plugins: &[Arc<Versions>]) -> Result<Self, SourceError> {
        let wanted: BTreeSet<String> = plugins.iter().flat_map(|versions| versions.topics()).collect();
        Self::of(source, &wanted.into_iter().collect::<Vec<_>>()).await
    }

    /// Asks for these topics.
    pub(super) async fn of(source: &dyn Source, wanted: &[String]) -> Result<Self, SourceError> {
        let mut topics: BTreeMap<Arc<str>, Vec<Found>> = BTreeMap::new();
        for found in source.discover(wanted).await? {
            topics.entry(found.partition.topic.clone()).or_default().push(found);
        }
        Ok(Self(topics))
    }

    /// Those of the topics that one plugin names.
    pub(super) fn named(&self, wanted: &[String]) -> Vec<Found> {
        let (patterns, names): (Vec<&String>, Vec<&String>) = wanted.iter().partition(|name| name.starts_with('^'));
        let patterns: Vec<String> = patterns.into_iter().cloned().collect();
        let by_pattern = self.0.iter().filter(|(name, _)| !patterns.is_empty() && names_topic(&patterns, name));
        let by_name = names.into_iter().filter_map(|name| self.0.get_key_value(name.as_str()));
        let topics: BTreeMap<_, _> = by_pattern.chain(by_name).collect();
        topics.into_values().flatten().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::offsets::TopicPartition;

    fn found(topic: &str, partition: i32) -> Found {
        Found { partition: TopicPartition { topic: topic.into(), partition }, topic_id: "".into() }
    }

    #[test]
    fn each_plugin_gets_the_topics_that_it_names_once() {
        let all = [found("a.x", 0), found("a.x", 1), found("a.y", 0), found("b", 0)];
        let mut topics: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for found in all {
            topics.entry(found.partition.topic.clone()).or_default().push(found);
        }
        let discovered = Discovered(topics);
        let named = |wanted: &[&str]| {
            let wanted: Vec<String> = wanted.iter().map(|&name| name.to_owned()).collect();
            discovered.named(&wanted).iter().map(|found| found.partition.to_string()).collect::<Vec<_>>()
        };
        let text =
            |all: &[(&str, i32)]| all.iter().map(|(t, p)| found(t, *p).partition.to_string()).collect::<Vec<_>>();
        assert_eq!(named(&["b", "gone"]), text(&[("b", 0)]));
        assert_eq!(named(&["^a\\.", "a.x"]), text(&[("a.x", 0), ("a.x", 1), ("a.y", 0)]));
        assert_eq!(named(&["a"]), text(&[]));
    }
}
