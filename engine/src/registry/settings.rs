//! Which registry, and as whom.

use std::path::{Path, PathBuf};

use crate::sink::Password;
use crate::tls::Tls;

/// A schema registry with Confluent's REST interface.
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Its address, with the path below which `/schemas/ids/…` lies; or `file:PATH`, recorded answers of one.
    pub url: String,
    /// User and password of basic authentication.
    pub user: Option<(String, Password)>,
    /// A file with a bearer token. Read at each request: tokens are exchanged while the engine runs.
    pub token_file: Option<PathBuf>,
    /// Whom to trust, and who we are.
    pub tls: Tls,
}

impl RegistrySettings {
    /// A file with recorded answers of a registry.
    #[must_use]
    pub fn recorded(file: &Path) -> Self {
        Self { url: format!("file:{}", file.display()), user: None, token_file: None, tls: Tls::default() }
    }
}
