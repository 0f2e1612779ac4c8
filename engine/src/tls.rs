//! TLS as a client: whom to trust, who we are, and what a failed handshake means.

use std::fmt;

use reqwest::{Certificate, ClientBuilder, Identity};

use crate::disposition::in_words;

/// Certificates, as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
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

impl Tls {
    /// Whether these certificates can be used, in words if not.
    ///
    /// # Errors
    /// Why not.
    pub fn check(&self) -> Result<(), String> {
        match self.parse() {
            Ok((authorities, _)) if self.authorities.is_some() && authorities.is_empty() => {
                Err("holds no certificate".to_owned())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(in_words(&error)),
        }
    }

    /// An HTTP client that trusts and shows what is said here. Redirects are not followed: credentials go to the set address
    /// alone.
    pub(crate) fn client(&self) -> Result<ClientBuilder, reqwest::Error> {
        let (authorities, identity) = self.parse()?;
        let client =
            reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).tls_certs_merge(authorities);
        Ok(match identity {
            Some(identity) => client.identity(identity),
            None => client,
        })
    }

    fn parse(&self) -> Result<(Vec<Certificate>, Option<Identity>), reqwest::Error> {
        let authorities =
            self.authorities.as_deref().map(Certificate::from_pem_bundle).transpose()?.unwrap_or_default();
        let client =
            self.client.as_ref().map(|(certificate, key)| Identity::from_pkcs8_pem(certificate, key)).transpose()?;
        Ok((authorities, client))
    }
}

/// What failed handshakes mean, by words in the TLS library's message: OpenSSL's `X509_verify_cert_error_string` and the names
/// of alerts (RFC 8446, 6.2). The first that fits counts. `SECTION` is where the settings of the server stand.
const REMEDIES: [(&[&str], &str); 6] = [
    (&["alert certificate expired"], "the server says that our certificate is out of date: renew SECTION.certificate"),
    (
        &["certificate has expired", "certificate is not yet valid"],
        "the server's certificate is out of date: renew it there, or set this machine's clock",
    ),
    (
        &["hostname mismatch", "ip address mismatch"],
        "the server's certificate is for another name: use a name that it holds as the address below [SECTION]",
    ),
    (
        &[
            "alert unknown ca",
            "alert bad certificate",
            "alert certificate unknown",
            "alert unsupported certificate",
            "alert certificate required",
            "alert handshake failure",
        ],
        "the server does not take our certificate, or wants to see one: check SECTION.certificate and SECTION.key, and which \
         authorities it trusts",
    ),
    (
        &[
            "self-signed certificate",
            "self signed certificate",
            "unable to get local issuer",
            "unable to get issuer",
            "unable to verify the first",
            "certificate verify failed",
        ],
        "the server's certificate is of an authority that is not known here: set SECTION.ca to its certificate (PEM)",
    ),
    (
        &["wrong version number", "packet length too long", "record layer failure"],
        "the server does not speak TLS at this port: use the port that does, or an address without TLS",
    ),
];

/// What to do about a failed handshake with the server of this section; none: it was something else.
#[must_use]
pub fn remedy(message: &str, section: &str) -> Option<String> {
    let message = message.to_lowercase();
    let fits = |words: &[&str]| words.iter().any(|word| message.contains(word));
    let (_, remedy) = REMEDIES.iter().find(|(words, _)| fits(words))?;
    Some(remedy.replace("SECTION", section))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_failed_handshake_says_what_to_do() {
        for (message, expected) in [
            ("certificate verify failed (self-signed certificate in certificate chain)", "set clickhouse.ca"),
            ("certificate verify failed (certificate has expired)", "renew it there"),
            ("certificate verify failed (IP address mismatch)", "another name"),
            ("tlsv13 alert certificate required", "check clickhouse.certificate and clickhouse.key"),
            ("sslv3 alert certificate expired", "renew clickhouse.certificate"),
            ("tlsv1 alert unknown ca", "check clickhouse.certificate"),
            ("ssl3_get_record: wrong version number", "does not speak TLS"),
        ] {
            let remedy = remedy(message, "clickhouse").unwrap_or_default();
            assert!(remedy.contains(expected), "{message}: {remedy}");
        }
        assert_eq!(remedy("connection refused", "clickhouse"), None);
    }

    #[test]
    fn a_key_is_never_shown() {
        let tls = Tls { authorities: None, client: Some((b"certificate".to_vec(), b"hunter2".to_vec())) };
        assert_eq!(format!("{tls:?}"), "Tls { authorities: false, client: true }");
    }

    #[test]
    fn what_is_no_certificate_is_said() {
        assert!(Tls::default().check().is_ok());
        for wrong in [
            Tls { authorities: Some(b"nonsense".to_vec()), client: None },
            Tls { authorities: None, client: Some((b"nonsense".to_vec(), b"nonsense".to_vec())) },
        ] {
            assert!(wrong.check().is_err());
        }
    }
}
