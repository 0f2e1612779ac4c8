//! Which registry, and as whom.

use std::fmt;
use std::path::{Path, PathBuf};

use reqwest::{Certificate, Identity};

use crate::sink::Password;

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

/// Certificates, as PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Authorities to trust beside the system's.
    pub authorities: Option<Vec<u8>>,
    /// The client's certificate with its chain, and its private key (PKCS #8).
    pub client: Option<(Vec<u8>, Vec<u8>)>,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (authorities, client) = (self.authorities.is_some(), self.client.is_some());
        f.debug_struct("Tls").field("authorities", &authorities).field("client", &client).finish()
    }
}

/// Parses certificates.
pub(super) fn parse(tls: &Tls) -> Result<(Vec<Certificate>, Option<Identity>), reqwest::Error> {
    let authorities = tls.authorities.as_deref().map(Certificate::from_pem_bundle).transpose()?.unwrap_or_default();
    let client =
        tls.client.as_ref().map(|(certificate, key)| Identity::from_pkcs8_pem(certificate, key)).transpose()?;
    Ok((authorities, client))
}

/// Whether these certificates can be used, in words if not.
///
/// # Errors
/// Why not.
pub fn check_tls(tls: &Tls) -> Result<(), String> {
    match parse(tls) {
        Ok((authorities, _)) if tls.authorities.is_some() && authorities.is_empty() => {
            Err("holds no certificate".to_owned())
        }
        Ok(_) => Ok(()),
        Err(error) => Err(crate::disposition::in_words(&error)),
    }
}
