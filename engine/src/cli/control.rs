//! The running engine, as commands ask it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, StatusCode, header};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::config::{Config, Problems};
use crate::deploy::Entry;
use crate::deploy::status::PluginStatus;
use crate::offsets::PluginKey;
use crate::server::control::{CommandBody, TOKEN};
use crate::tenants::status::TenantStatus;

/// How long an answer is waited for.
const PATIENCE: Duration = Duration::from_secs(30);

/// Which engine is asked.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct EngineAt {
    /// The running engine, as http://HOST:PORT [default: where the settings say that it listens]. Where it wants a token, it is
    /// taken from ENGINE_CONTROL_TOKEN.
    #[arg(long, value_name = "URL")]
    pub engine: Option<String>,
    /// Settings; by default engine.toml, if it is there.
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// The folder of plugins [default: plugins].
    #[arg(long, value_name = "DIR")]
    pub plugins: Option<String>,
    /// Journal and artifacts [default: data].
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<String>,
    /// Any other key of engine.toml.
    #[arg(long, value_name = "KEY=VALUE")]
    pub set: Vec<String>,
}

/// Why an engine gives no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum ControlError {
    /// Nobody says where it is.
    #[error("which engine? Give its address with --engine URL, or `listen` in the settings (ENGINE_LISTEN)")]
    NoAddress,
    /// It is not there.
    #[error("no engine answers at {url}")]
    Silent {
        url: String,
        #[source]
        source: reqwest::Error,
    },
    /// It will not.
    #[error("the engine at {url} refuses: {why}")]
    Refused { url: String, why: String },
    /// Something else is there.
    #[error("what answers at {url} is no engine of this version")]
    NoEngine { url: String },
}

impl EngineAt {
    /// The settings; sources are not asked for.
    pub(super) fn settings(&self) -> Result<Config, Problems> {
        let (plugins, data_dir) = (self.plugins.as_deref(), self.data_dir.as_deref());
        let named = [("--plugins", "plugins", plugins), ("--data-dir", "data_dir", data_dir)];
        super::settings(self.config.as_deref(), &self.set, &named)
    }

    /// The engine that is meant.
    pub(super) fn control(&self, settings: &Config) -> Result<Control, ControlError> {
        let listens = settings.listen.map(|address| format!("http://{}", reachable(address)));
        self.engine.clone().or(listens).as_deref().map(Control::at).ok_or(ControlError::NoAddress)
    }
}

/// Where somebody who listens on all addresses is reached from this machine.
fn reachable(address: SocketAddr) -> SocketAddr {
    let here: IpAddr = if address.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() };
    SocketAddr::new(if address.ip().is_unspecified() { here } else { address.ip() }, address.port())
}

/// A running engine.
#[derive(Clone, Debug)]
pub(super) struct Control {
    url: String,
    client: Client,
}

impl Control {
    /// The engine at this address.
    pub(super) fn at(url: &str) -> Self {
        // A proxy of the environment's is for the world outside.
        let client = Client::builder().no_proxy().build().expect("a client needs nothing from outside");
        Self { url: url.trim_end_matches('/').to_owned(), client }
    }

    /// How its plugins stand.
    pub(super) async fn plugins(&self) -> Result<Vec<PluginStatus>, ControlError> {
        self.get("/plugins").await
    }

    /// What ran of a plugin, oldest first.
    pub(super) async fn history(&self, plugin: &PluginKey) -> Result<Vec<Entry>, ControlError> {
        self.get(&format!("/plugins/{}/{}/history", plugin.tenant, plugin.name)).await
    }

    /// Gives an order; says what was done, in words.
    pub(super) async fn order(&self, plugin: &PluginKey, verb: &str, to: Option<&str>) -> Result<String, ControlError> {
        let body = CommandBody { to: to.map(str::to_owned) };
        let body = serde_json::to_vec(&body).expect("plain data");
        let PluginKey { tenant, name } = plugin;
        let request = self.client.post(format!("{}/plugins/{tenant}/{name}/{verb}", self.url)).body(body);
        let answer: Value = self.answer(request).await?;
        Ok(answer["done"].as_str().unwrap_or_default().to_owned())
    }

    /// How its tenants stand.
    pub(super) async fn tenants(&self) -> Result<Vec<TenantStatus>, ControlError> {
        self.get("/tenants").await
    }

    /// Pauses or resumes a tenant; says what was done, in words.
    pub(super) async fn tenant(&self, name: &str, verb: &str) -> Result<String, ControlError> {
        let answer: Value = self.answer(self.client.post(format!("{}/tenants/{name}/{verb}", self.url))).await?;
        Ok(answer["done"].as_str().unwrap_or_default().to_owned())
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ControlError> {
        self.answer(self.client.get(format!("{}{path}", self.url))).await
    }

    async fn answer<T: DeserializeOwned>(&self, request: reqwest::RequestBuilder) -> Result<T, ControlError> {
        let token = std::env::var(TOKEN).ok().filter(|token| !token.is_empty());
        let request = token.into_iter().fold(request, |request, token| request.bearer_auth(token)).timeout(PATIENCE);
        let request = request.header(header::CONTENT_TYPE, "application/json");
        let silent = |source| ControlError::Silent { url: self.url.clone(), source };
        let response = request.send().await.map_err(silent)?;
        let status = response.status();
        let body = response.bytes().await.map_err(silent)?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_| ControlError::NoEngine { url: self.url.clone() });
        }
        let url = self.url.clone();
        let said: Option<Value> = serde_json::from_slice(&body).ok();
        Err(match said.as_ref().and_then(|said| said["error"].as_str()) {
            Some(why) => ControlError::Refused { url, why: why.to_owned() },
            None => ControlError::NoEngine { url },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_listens_everywhere_is_asked_on_this_machine() {
        let reached = |address: &str| reachable(address.parse().expect("an address")).to_string();
        assert_eq!(reached("0.0.0.0:8080"), "127.0.0.1:8080");
        assert_eq!(reached("[::]:8080"), "[::1]:8080");
        assert_eq!(reached("10.0.0.7:8080"), "10.0.0.7:8080");
    }
}
