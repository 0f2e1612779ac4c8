//! Tenants that come, change and go: what their plugins are read with.
//!
//! | tenant.toml | its plugins |
//! |---|---|
//! | is right | run as it says; where it has changed, those that run are prepared with it first, as with any other setting |
//! | becomes wrong | go on as they are, until it is right |
//! | was never right | wait |
//! | is gone | end |

use std::sync::Arc;

use super::deployer::Deployer;
use super::folder::TenantFiles;
use super::prepare::{Cause, Refusal};
use crate::config::{Problems, TENANT_FILE, Tenant, alone, parse_tenant};
use crate::cpu::Share;
use crate::offsets::{DEFAULT_TENANT, PluginKey};

impl Deployer {
    /// The tenant of a plugin, as its file says or said when it was right.
    pub(super) fn tenant(&self, key: &PluginKey) -> Result<Arc<Tenant>, Refusal> {
        if key.tenant == DEFAULT_TENANT {
            return Ok(self.default.clone());
        }
        self.around.tenants.get(&key.tenant).ok_or_else(|| {
            let known = self.around.tenants.all().remove(&key.tenant);
            Refusal::new(Cause::Tenant, known.and_then(|known| known.mistakes).unwrap_or_default())
        })
    }

    /// A tenant's folder holds this.
    pub(super) fn tenant_holds(&mut self, files: TenantFiles) {
        let name = files.name.clone();
        self.tenant_files.insert(name.clone(), files);
        if self.look_at_tenant(&name) {
            self.look_at_mistaken_tenants();
        }
    }

    /// A tenant's folder is gone, and its plugins were before it.
    pub(super) fn tenant_gone(&mut self, name: &str) {
        tracing::info!(tenant = name, "the tenant's folder is gone");
        self.tenant_files.remove(name);
        self.around.tenants.remove(name);
        self.look_at_mistaken_tenants();
    }

    /// What stands against a tenant may lie elsewhere: a file, another tenant with its database.
    pub(super) fn look_at_mistaken_tenants(&mut self) {
        let all = self.around.tenants.all().into_iter();
        let mistaken: Vec<_> = all.filter(|(_, known)| known.mistakes.is_some()).map(|(name, _)| name).collect();
        for name in mistaken {
            self.look_at_tenant(&name);
        }
    }

    /// Reads a tenant's file, and says whether anything has changed by that for others.
    fn look_at_tenant(&mut self, name: &str) -> bool {
        let Some(files) = self.tenant_files.get(name) else { return false };
        let tenants = &self.around.tenants;
        match self.read_tenant(files) {
            Ok(tenant) => {
                let same = tenants.get(name).is_some_and(|before| *before == tenant);
                tracing::info!(tenant = name, database = tenant.database, same, "tenant.toml was read");
                self.around.share(&tenant);
                self.loader.share(name, Share { weight: tenant.weight, cap: None });
                tenants.set(Arc::new(tenant));
                if same {
                    return false; // what stood between was a mistake, with which nothing ran
                }
            }
            Err(problems) => {
                let words = problems.to_string();
                if tenants.mistaken(name, problems) {
                    return false;
                }
                let goes_on = tenants.get(name).is_some();
                tracing::error!(tenant = name, goes_on, "tenant.toml is wrong: {words}");
                if goes_on {
                    return false;
                }
            }
        }
        let of_it = self.known.keys().filter(|key| key.tenant == name).cloned();
        for key in of_it.collect::<Vec<_>>() {
            self.consider(&key);
        }
        true
    }

    fn read_tenant(&self, files: &TenantFiles) -> Result<Tenant, Problems> {
        let TenantFiles { folder, text, .. } = files;
        match text {
            Ok(text) => {
                let known = self.around.tenants.all();
                let others = known.values().filter_map(|known| known.tenant.as_deref());
                parse_tenant(folder, text, &self.default).and_then(|tenant| alone(folder, tenant, others))
            }
            Err(error) => {
                let mut problems = Problems::default();
                problems.of_path(&folder.join(TENANT_FILE), format!("can't be read: {error}"), None);
                Err(problems)
            }
        }
    }
}
