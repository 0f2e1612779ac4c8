//! What a plugin begins with, when the engine starts or its folder appears: the version in its folder, or the one that its
//! history says, with the one in the folder on trial beside it.
//!
//! | the folder holds | history says | begins with |
//! |---|---|---|
//! | a version | nothing, or that it was good | it |
//! | another one | a version that was good | that one, and the other on trial |
//! | one that was withdrawn or rolled back from | a version that was good | that one |
//! | one that is not fit | a version that was good | that one |
//! | one that is not fit | a version that was on trial, and only it reads what lanes keep | that one |
//! | any | a version that is pinned | that one |
//!
//! What was good comes from the artifacts; where it can't be had any more, as after an upgrade of the engine, the folder
//! alone decides.

use std::sync::Arc;

use super::compare::{Compatibility, compare};
use super::deployments::Holds;
use super::folder::Files;
use super::history::{Standing, What};
use super::prepare::{Refusal, build, id, read};
use super::version::{Version, VersionId};
use crate::config::{PluginFile, Rollout, Tenant};
use crate::disposition::in_words;
use crate::lane::Surroundings;

/// What a plugin begins with.
pub(super) struct First {
    /// None: nothing of it can run.
    pub current: Option<Arc<Version>>,
    /// The version that is tried out from the beginning.
    pub newcomer: Option<(Arc<Version>, Rollout)>,
    pub holds: Holds,
    /// To be noted in its history.
    pub note: Option<(What, VersionId)>,
}

impl First {
    fn refused(current: Option<Version>, refusal: Refusal) -> Self {
        let note = refusal.version.clone().map(|version| (What::Refused, version));
        Self { current: current.map(Arc::new), newcomer: None, holds: Holds::Refused(refusal), note }
    }

    fn former(current: Version, holds: Holds) -> Self {
        Self { current: Some(Arc::new(current)), newcomer: None, holds, note: None }
    }
}

/// Decides. Compiles what is not kept: not for an async worker. `kept` are the versions of the state that its lanes keep.
pub(super) fn first(
    around: &Surroundings,
    files: &Files,
    tenant: Result<Arc<Tenant>, Refusal>,
    standing: &Standing,
    kept: &[u32],
) -> First {
    let file = match tenant.and_then(|tenant| read(files, &tenant)) {
        Ok(file) => file,
        Err(refusal) => return First::refused(None, refusal),
    };
    let held = id(&file, &files.wasm);
    if let Some(pinned) = standing.pinned.as_ref().filter(|pinned| **pinned != held)
        && let Some(version) = former(around, &file, pinned)
    {
        return First::former(version, Holds::Waiting(held));
    }
    let other = |id: &Option<VersionId>| {
        let other = id.as_ref().filter(|id| **id != held);
        other.and_then(|id| former(around, &file, id))
    };
    let good = match other(&standing.good) {
        // No way back from a trial: the plugin would stand still with the version before.
        Some(good) if !good.reads(kept) => other(&standing.on_trial).filter(|tried| tried.reads(kept)).or(Some(good)),
        good => good,
    };
    if let Some((version, reason)) = standing.banned.as_ref().filter(|(banned, _)| *banned == held)
        && let Some(good) = good
    {
        let (version, reason) = (version.clone(), reason.clone());
        return First::former(good, Holds::Withdrawn { version, reason });
    }
    let rollout = file.rollout.clone();
    let new = match build(&around.host, file, &files.wasm) {
        Ok(new) => new,
        Err(refusal) => return First::refused(good, refusal),
    };
    let Some(good) = good else {
        let note = (standing.good.as_ref() != Some(&held)).then_some((What::Started, held));
        return First { current: Some(Arc::new(new)), newcomer: None, holds: Holds::Running, note };
    };
    if let Compatibility::Refused { why, statement } = compare(&new, &good, kept) {
        return First::refused(Some(good), Refusal::of_state(&new, why, statement));
    }
    let newcomer = Some((Arc::new(new), rollout));
    First { current: Some(Arc::new(good)), newcomer, holds: Holds::Running, note: Some((What::Trial, held)) }
}

/// A version that ran before, where its plugin.toml says now.
pub(super) fn former(around: &Surroundings, now: &PluginFile, id: &VersionId) -> Option<Version> {
    match around.artifacts.rebuild(&around.host, &id.plugin_digest, &id.settings_digest) {
        Ok(transform) => {
            let file = PluginFile { settings: transform.settings().clone(), ..now.clone() };
            Some(Version::new(file, transform))
        }
        Err(error) => {
            let (key, error) = (now.key(), in_words(&error));
            tracing::warn!(tenant = key.tenant, plugin = key.name, version = %id, error, "the version that ran before can't be had any more");
            None
        }
    }
}
