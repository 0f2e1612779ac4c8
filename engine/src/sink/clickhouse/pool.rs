//! The ClickHouse clients of an engine: one for each server and user, whichever tenants have it.
//!
//! **Promise.** Tenants with the same settings share a client, and with it what it knows of tables; others share no more
//! than connections' rules. Nothing is asked of a server when a client is made.

use std::sync::{Arc, Mutex, PoisonError};

use super::http::Clients;
use super::{ClickHouse, ClickHouseSettings, SinkError};
use crate::config::Tenant;
use crate::sink::{Sink, Sinks};

/// All clients of an engine. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct ClickHouses(Arc<Mutex<Made>>);

#[derive(Debug, Default)]
struct Made {
    clients: Clients,
    all: Vec<(ClickHouseSettings, Arc<ClickHouse>)>,
}

impl ClickHouses {
    /// The client of a tenant.
    ///
    /// # Errors
    /// [`SinkError::Denied`] if the settings can't be those of a server.
    pub fn of(&self, tenant: &Tenant) -> Result<Arc<ClickHouse>, SinkError> {
        self.with(&tenant.clickhouse)
    }

    /// The client with these settings.
    ///
    /// # Errors
    /// [`SinkError::Denied`] if they can't be those of a server.
    pub fn with(&self, settings: &ClickHouseSettings) -> Result<Arc<ClickHouse>, SinkError> {
        let mut made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, there)) = made.all.iter().find(|(of, _)| of == settings) {
            return Ok(there.clone());
        }
        let new = Arc::new(ClickHouse::by(&mut made.clients, settings)?);
        made.all.push((settings.clone(), new.clone()));
        Ok(new)
    }

    /// All that were made. Those that no tenant has any more are among them: what they did counts.
    #[must_use]
    pub fn all(&self) -> Vec<Arc<ClickHouse>> {
        let made = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        made.all.iter().map(|(_, clickhouse)| clickhouse.clone()).collect()
    }
}

impl Sinks for ClickHouses {
    fn of(&self, tenant: &Tenant) -> Result<Arc<dyn Sink>, SinkError> {
        Ok(self.of(tenant)?)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn tenants_with_the_same_settings_share_a_client() {
        let clickhouses = ClickHouses::default();
        let tenant = |user: &str, password: &str| {
            let settings = ClickHouseSettings {
                user: user.to_owned(),
                password: password.to_owned().into(),
                ..ClickHouseSettings::new("http://localhost:8123")
            };
            clickhouses.of(&Tenant::default_of(settings, user)).unwrap()
        };
        let first = tenant("acme", "hunter1");
        assert!(Arc::ptr_eq(&first, &tenant("acme", "hunter1")));
        assert!(!Arc::ptr_eq(&first, &tenant("acme", "hunter2")));
        assert!(!Arc::ptr_eq(&first, &tenant("other", "hunter1")));
        assert_eq!(clickhouses.all().len(), 3);
        let shown = format!("{clickhouses:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
