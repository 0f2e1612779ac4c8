//! The tenants that an engine serves: what their files say, what is wrong with them, and who is paused.
//!
//! **Promise.** A tenant that an operator has paused stays paused, over restarts, until it is resumed: its lanes end the
//! epochs that are open and read nothing more; its rows wait in Kafka. Nothing here stops another tenant.
//! **After a crash** the pauses are those that were written down: [`Tenants::pause`] returns when one is.

mod pauses;
pub mod shares;
pub mod status;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::config::{Problems, Tenant};
use pauses::Pauses;

/// All tenants of an engine. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Tenants {
    known: Arc<Mutex<BTreeMap<String, Known>>>,
    pauses: Arc<Pauses>,
}

/// A tenant: what its file says, beside what runs.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// As its plugins are read now; none: its file was never right.
    pub tenant: Option<Arc<Tenant>>,
    /// What is wrong in its file. What ran before goes on.
    pub mistakes: Option<Problems>,
    /// Since when it is paused, ms since 1970-01-01 UTC.
    pub paused_ms: Option<i64>,
}

impl Tenants {
    /// No tenants yet; who is paused is known from a data folder.
    ///
    /// # Errors
    /// The file of pauses can't be read.
    pub fn of_data(data: &Path) -> io::Result<Self> {
        Ok(Self { known: Arc::default(), pauses: Arc::new(Pauses::of_data(data)?) })
    }

    /// A tenant's file says this.
    pub fn set(&self, tenant: Arc<Tenant>) {
        let name = tenant.name.clone();
        self.lock().insert(name, Known { tenant: Some(tenant), ..Known::default() });
    }

    /// A tenant's file is wrong. Says whether that was known.
    pub fn mistaken(&self, name: &str, mistakes: Problems) -> bool {
        let mut all = self.lock();
        let known = all.entry(name.to_owned()).or_default();
        let before = known.mistakes.replace(mistakes);
        before == known.mistakes
    }

    /// A tenant's folder is gone. That it is paused is not forgotten.
    pub fn remove(&self, name: &str) {
        self.lock().remove(name);
    }

    /// The tenant of this name, as its file says or said when it was right.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Arc<Tenant>> {
        self.lock().get(name).and_then(|known| known.tenant.clone())
    }

    /// Whether there is such a tenant, right or wrong.
    #[must_use]
    pub fn knows(&self, name: &str) -> bool {
        self.lock().contains_key(name)
    }

    /// All of them, by name.
    #[must_use]
    pub fn all(&self) -> BTreeMap<String, Known> {
        let mut all = self.lock().clone();
        for (name, known) in &mut all {
            known.paused_ms = self.pauses.since(name);
        }
        all
    }

    /// What wants an operator's eyes, by tenant.
    #[must_use]
    pub fn warnings(&self) -> Vec<(String, String)> {
        let warning = |(name, known): (&String, &Known)| {
            let mistakes = known.mistakes.as_ref()?;
            let goes_on = if known.tenant.is_some() { "runs as it was before" } else { "waits" };
            Some((name.clone(), format!("tenant {name} {goes_on}: {mistakes}")))
        };
        self.lock().iter().filter_map(warning).collect()
    }

    /// Pauses a tenant. Says whether it was not paused before.
    ///
    /// # Errors
    /// It can't be written down.
    pub fn pause(&self, name: &str, now_ms: i64) -> io::Result<bool> {
        self.pauses.pause(name, now_ms)
    }

    /// Ends a tenant's pause. Says whether it was paused.
    ///
    /// # Errors
    /// It can't be written down: the tenant stays paused.
    pub fn resume(&self, name: &str) -> io::Result<bool> {
        self.pauses.resume(name)
    }

    /// Since when a tenant is paused, ms since 1970-01-01 UTC.
    #[must_use]
    pub fn paused_since(&self, name: &str) -> Option<i64> {
        self.pauses.since(name)
    }

    /// Waits until a tenant is paused.
    pub async fn paused(&self, name: &str) {
        self.pauses.until(name, true).await;
    }

    /// Waits until a tenant is not paused.
    pub async fn resumed(&self, name: &str) {
        self.pauses.until(name, false).await;
    }

    /// Each change is one step, so the map is whole even if a panic interrupted somebody.
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
