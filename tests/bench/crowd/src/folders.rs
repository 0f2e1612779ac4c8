//! Tenants as folders.

use std::fs;
use std::path::Path;

use crate::Failure;

/// A tenant with one plugin.
#[derive(Clone, Debug)]
pub(crate) struct Tenant {
    /// Its folder; its database too.
    pub(crate) name: String,
    /// What its plugin reads.
    pub(crate) topic: String,
    /// The parameter `manner` of its plugin.
    pub(crate) manner: &'static str,
    /// Its server, where that is not the engine's.
    pub(crate) clickhouse: Option<String>,
    /// Its rows of a shared topic are those with its name in the column `tenant`.
    pub(crate) selects: bool,
}

/// Writes the folder of plugins.
pub(crate) fn write(folder: &Path, plugin: &Path, tenants: &[Tenant]) -> Result<(), Failure> {
    for tenant in tenants {
        let of_tenant = folder.join("plugins").join(&tenant.name);
        fs::create_dir_all(of_tenant.join("orders"))?;
        let mut settings = format!("weight = 1\n[clickhouse]\ndatabase = \"{}\"\n", tenant.name);
        if let Some(url) = &tenant.clickhouse {
            settings.push_str(&format!("url = \"{url}\"\nuser = \"default\"\n"));
        }
        if tenant.selects {
            settings.push_str(&format!("[select]\ntopics = [\"{}\"]\ncolumn = \"tenant\"\n", tenant.topic));
        } else {
            settings.insert_str(0, "prefix = \"\"\n");
        }
        fs::write(of_tenant.join("tenant.toml"), settings)?;
        fs::copy(plugin, of_tenant.join("orders/plugin.wasm"))?;
        fs::write(of_tenant.join("orders/plugin.toml"), settings_of(tenant, 0))?;
    }
    Ok(())
}

/// Settings that change with each round: what is allowed to fail alternates.
fn settings_of(Tenant { topic, manner, .. }: &Tenant, round: usize) -> String {
    let most = 64 - round % 2;
    format!("topics = [\"{topic}\"]\n[parameters]\nmanner = \"{manner}\"\n[failure]\nmax_failures = {most}\n")
}

/// Saves the settings of plugins that fail on everything, as an owner does who tries whether it works now.
pub(crate) fn save_again(folder: &Path, tenants: &[Tenant], round: usize) -> Result<(), Failure> {
    for tenant in tenants.iter().filter(|tenant| tenant.manner != "good") {
        let file = folder.join("plugins").join(&tenant.name).join("orders/plugin.toml");
        fs::write(file, settings_of(tenant, round))?;
    }
    Ok(())
}

/// The same plugins as those of one tenant.
pub(crate) fn write_flat(folder: &Path, plugin: &Path, tenants: &[Tenant]) -> Result<(), Failure> {
    for tenant in tenants {
        let folder = folder.join("plugins").join(&tenant.name);
        fs::create_dir_all(&folder)?;
        fs::copy(plugin, folder.join("plugin.wasm"))?;
        let Tenant { name, topic, manner, .. } = tenant;
        let settings = format!(
            "topics = [\"{topic}\"]\n[tables]\norders = \"{name}_orders\"\n[parameters]\nmanner = \"{manner}\"\n"
        );
        fs::write(folder.join("plugin.toml"), settings)?;
    }
    Ok(())
}
