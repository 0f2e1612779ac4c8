//! The lanes of what nobody claims: where tenants share a topic, the messages that are no tenant's go to the dead letters, by
//! lanes of a plugin that has no folder.
//!
//! What counts is the tenants that there are, not whether they have a plugin on the topic, or one that runs: a tenant that is
//! paused, or whose plugin is being mended, is no stranger.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::config::{Config, Partitions, PluginFile, Rollout, TENANT};
use crate::deploy::{Plugins, Version, Versions};
use crate::plugin::Host;
use crate::source::{Claims, Start};
use crate::transform::{Kind, Transform, TransformSettings};

/// The name of the plugin, which no folder has.
pub const UNCLAIMED: &str = "_unclaimed";

/// Keeps the plugin as the tenants are.
#[derive(Default)]
pub(super) struct Strangers {
    versions: Option<Arc<Versions>>,
    known: Shared,
}

/// What tenants share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shared {
    topics: Vec<String>,
    partitions: Partitions,
    claims: Claims,
}

impl Shared {
    fn of(plugins: &Plugins) -> Self {
        let (mut topics, mut claims, mut partitions) = (Vec::new(), Claims::default(), Vec::new());
        for versions in plugins.all() {
            for version in [Some(versions.current()), versions.newcomer()].into_iter().flatten() {
                let Some(selection) = &version.file.settings.selection else { continue };
                claims.add(selection);
                topics.extend(version.file.topics.iter().cloned());
                partitions.push(version.file.partitions.clone());
            }
        }
        topics.sort_unstable();
        topics.dedup();
        Self { topics, partitions: partitions.into_iter().collect(), claims }
    }
}

impl Strangers {
    /// Follows the tenants that there are.
    pub(super) fn follow(&mut self, plugins: &Plugins, host: &Host, config: &Config) {
        let shared = Shared::of(plugins);
        if shared == self.known {
            return;
        }
        self.known = shared.clone();
        if shared.claims.is_empty() {
            self.versions = None;
            return plugins.remove(TENANT, UNCLAIMED);
        }
        let Shared { topics, partitions, claims } = shared;
        let settings = TransformSettings::new(TENANT, UNCLAIMED, Kind::Unclaimed { claims }, &config.database);
        let transform = match Transform::build(host, settings.clone(), None) {
            Ok(transform) => transform,
            Err(error) => return tracing::error!(%error, "a bug in the engine: what nobody claims is not set aside"),
        };
        let file = PluginFile {
            folder: PathBuf::from(UNCLAIMED),
            topics,
            start: Start::Earliest,
            partitions,
            settings,
            rollout: Rollout::default(),
            places: BTreeMap::new(),
        };
        let version = Arc::new(Version::new(file, transform));
        match &self.versions {
            Some(versions) => versions.replace(version),
            None => plugins.insert(self.versions.insert(Arc::new(Versions::new(version))).clone()),
        }
    }
}
