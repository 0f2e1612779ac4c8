//! The lanes of what nobody claims: where tenants share a topic, the messages that are no tenant's go to the dead letters, by
//! lanes of a plugin that has no folder.
//!
//! What counts is the tenants that there are, not whether they have a plugin on the topic, or one that runs: a tenant that is
//! paused, or whose plugin is being mended, is no stranger. One whose file was never right since the start may be: until
//! it is, nothing is set aside.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::config::{Config, Failure, Partitions, PluginFile, Rollout, TopicScope, UNCLAIMED};
use crate::deploy::{Plugins, Version, Versions};
use crate::disposition::in_words;
use crate::lane::Surroundings;
use crate::offsets::{DEFAULT_TENANT, PluginKey};
use crate::source::{Claims, Start};
use crate::tenants::Tenants;
use crate::transform::{Kind, Transform, TransformSettings};

/// Keeps the plugin as the tenants are.
#[derive(Default)]
pub(super) struct Strangers {
    versions: Option<Arc<Versions>>,
    known: Shared,
}

/// What tenants share.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Shared {
    claims: Claims,
    partitions: Partitions,
}

impl Shared {
    /// Topics are those that the tenants' files say are shared: what a plugin names may be another tenant's alone.
    fn of(plugins: &Plugins, tenants: &Tenants) -> Self {
        let (mut claims, mut partitions) = (Claims::default(), Vec::new());
        for tenant in tenants.all().into_values().filter_map(|known| known.tenant) {
            if let TopicScope::Selected { selection, topics } = &tenant.topics {
                claims.add(topics, selection);
            }
        }
        for versions in plugins.all() {
            for version in [Some(versions.current()), versions.newcomer()].into_iter().flatten() {
                let file = &version.file;
                let Some(selection) = &file.settings.selection else { continue };
                let topics = match &file.tenant.topics {
                    TopicScope::Selected { topics, .. } => topics,
                    TopicScope::All | TopicScope::Prefix(_) => &file.topics,
                };
                claims.add(topics, selection);
                partitions.push(file.partitions.clone());
            }
        }
        Self { claims, partitions: partitions.into_iter().collect() }
    }
}

impl Strangers {
    /// Follows the tenants that there are.
    pub(super) fn follow(&mut self, plugins: &Plugins, around: &Surroundings, config: &Config) {
        let shared = Shared::of(plugins, &around.tenants);
        if shared == self.known {
            return;
        }
        if shared.partitions.is_empty() {
            (self.versions, self.known) = (None, shared);
            return plugins.remove(&PluginKey::new(DEFAULT_TENANT, UNCLAIMED));
        }
        let unread = around.tenants.all().into_iter().find(|(_, known)| known.tenant.is_none());
        if let Some((tenant, _)) = unread.filter(|_| self.versions.is_none()) {
            return tracing::debug!(tenant, "what nobody claims waits until it is known what the tenant claims");
        }
        match version(shared.clone(), around, config) {
            Ok(version) => self.run(version, plugins),
            Err(error) => tracing::error!(error, "a bug in the engine: what nobody claims is not set aside"),
        }
        self.known = shared;
    }

    fn run(&mut self, version: Arc<Version>, plugins: &Plugins) {
        match &self.versions {
            Some(versions) => versions.replace(version),
            None => plugins.insert(self.versions.insert(Arc::new(Versions::new(version))).clone()),
        }
    }
}

fn version(shared: Shared, around: &Surroundings, config: &Config) -> Result<Arc<Version>, String> {
    let Shared { claims, partitions } = shared;
    let (tenant, topics, kind) = (config.default_tenant(), claims.topics(), Kind::Unclaimed { claims });
    let settings = TransformSettings::new(&tenant.name, UNCLAIMED, kind, &tenant.database);
    let transform = Transform::build(&around.host, settings.clone(), None).map_err(|error| in_words(&error))?;
    let folder = PathBuf::from(UNCLAIMED);
    let file = PluginFile {
        tenant,
        artifact: folder.join("plugin.wasm"),
        folder,
        topics,
        start: Start::Earliest,
        partitions,
        settings,
        linger: Duration::ZERO,
        rollout: Rollout::default(),
        capsule: None,
        failure: Failure::default(),
        sha256: None,
        places: BTreeMap::new(),
    };
    Ok(Arc::new(Version::new(file, transform)))
}
