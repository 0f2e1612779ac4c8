//! The ClickHouse clients of an engine: one for each server and user, whichever tenants have it.
//!
//! **Promise.** Tenants with the same settings share a client, and with it what it knows of tables; those at one server share
//! what it takes ([`super::server`]); others share no more than connections' rules. Nothing is asked of a server when a client is made.

use std::sync::{Arc, Mutex, PoisonError};

use super::http::Clients;
use super::server::{INSERTS_PER_SECOND, Server};
use super::{ClickHouse, ClickHouseSettings, SinkError};
use crate::config::Tenant;
use crate::sink::{Sink, Sinks};

/// All clients of an engine. Clones are the same.
#[derive(Clone, Debug)]
pub struct ClickHouses(Arc<Mutex<Made>>);

#[derive(Debug)]
struct Made {
    /// Of each server.
    inserts_per_second: u32,
    clients: Clients,
    servers: Vec<(String, Arc<Server>)>,
    all: Vec<(ClickHouseSettings, Arc<ClickHouse>)>,
}

impl Default for ClickHouses {
    fn default() -> Self {
        Self::new(INSERTS_PER_SECOND)
    }
}

impl Made {
    /// Known by its address: two names of one server are two servers.
    fn server(&mut self, url: &str) -> Arc<Server> {
        let url = url.trim_end_matches('/');
        if let Some((_, server)) = self.servers.iter().find(|(of, _)| of == url) {
            return server.clone();
        }
        let server = Arc::new(Server::new(self.inserts_per_second));
        self.servers.push((url.to_owned(), server.clone()));
        server
    }
}

impl ClickHouses {
    /// Clients of servers that take so many inserts a second.
    #[must_use]
    pub fn new(inserts_per_second: u32) -> Self {
        let (clients, servers, all) = (Clients::default(), Vec::new(), Vec::new());
        Self(Arc::new(Mutex::new(Made { inserts_per_second, clients, servers, all })))
    }

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
        let server = made.server(&settings.url);
        let new = Arc::new(ClickHouse::by(&mut made.clients, server, settings)?);
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
