//! Certificates of a test's own: two authorities, and what they have signed. Files, as servers and engines want them.

use std::fs;
use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509NameBuilder};
use tempfile::TempDir;

use crate::place;

const DAY: i64 = 86_400;

/// For `NAME`, `NAME.pem` is a certificate, `NAME.key` its key (PKCS #8) and `NAME.both` the two in one file:
///
/// | | signed by | |
/// |---|---|---|
/// | `ca`, `other-ca` | itself | authorities |
/// | `server` | `ca` | for `localhost` and 127.0.0.1 |
/// | `expired` | `ca` | the same, until yesterday |
/// | `elsewhere` | `ca` | for another host |
/// | `client` | `ca` | a client's |
/// | `stranger` | `other-ca` | a client's |
#[derive(Debug)]
pub struct Certificates(TempDir);

/// A certificate with its key.
struct Signed {
    certificate: X509,
    key: PKey<Private>,
}

impl Certificates {
    /// Makes all of them.
    ///
    /// # Panics
    /// When OpenSSL can't.
    #[must_use]
    pub fn make() -> Self {
        let all = Self(place::folder("certificates"));
        all.write().expect("OpenSSL makes certificates");
        all
    }

    fn write(&self) -> Result<(), ErrorStack> {
        let (ca, other) = (Signed::new("ca", None, DAY, None)?, Signed::new("other-ca", None, DAY, None)?);
        let here = Some("localhost");
        let signed = [
            ("server", Signed::new("server", here, DAY, Some(&ca))?),
            ("expired", Signed::new("expired", here, -DAY, Some(&ca))?),
            ("elsewhere", Signed::new("elsewhere", Some("elsewhere.example.org"), DAY, Some(&ca))?),
            ("client", Signed::new("client", None, DAY, Some(&ca))?),
            ("stranger", Signed::new("stranger", None, DAY, Some(&other))?),
        ];
        for (name, Signed { certificate, key }) in [("ca", ca), ("other-ca", other)].iter().chain(&signed) {
            let (certificate, key) = (certificate.to_pem()?, key.private_key_to_pem_pkcs8()?);
            for (ending, bytes) in [("both", [&key[..], &certificate].concat()), ("pem", certificate), ("key", key)] {
                fs::write(self.0.path().join(format!("{name}.{ending}")), bytes).expect("own folder");
            }
        }
        Ok(())
    }

    /// The path of a file.
    #[must_use]
    pub fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// The same, as text.
    #[must_use]
    pub fn text(&self, file: &str) -> String {
        self.path(file).display().to_string()
    }
}

impl Signed {
    /// Signed by itself, as an authority, or by another; valid until so many seconds from now.
    fn new(name: &str, host: Option<&str>, until: i64, by: Option<&Self>) -> Result<Self, ErrorStack> {
        let key = PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?.as_ref())?)?;
        let mut subject = X509NameBuilder::new()?;
        subject.append_entry_by_nid(Nid::COMMONNAME, name)?;
        let subject = subject.build();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        let now = i64::try_from(now).expect("a time");
        let mut certificate = X509::builder()?;
        certificate.set_version(2)?;
        let mut number = BigNum::new()?;
        number.rand(64, openssl::bn::MsbOption::MAYBE_ZERO, false)?;
        certificate.set_serial_number(number.to_asn1_integer()?.as_ref())?;
        certificate.set_subject_name(&subject)?;
        certificate.set_issuer_name(by.map_or(&*subject, |by| by.certificate.subject_name()))?;
        certificate.set_pubkey(&key)?;
        certificate.set_not_before(Asn1Time::from_unix(now - 10 * DAY)?.as_ref())?;
        certificate.set_not_after(Asn1Time::from_unix(now + until)?.as_ref())?;
        if by.is_none() {
            certificate.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        }
        if let Some(host) = host {
            let mut names = SubjectAlternativeName::new();
            names.dns(host);
            if host == "localhost" {
                names.ip("127.0.0.1");
            }
            let names = names.build(&certificate.x509v3_context(None, None))?;
            certificate.append_extension(names)?;
        }
        certificate.sign(by.map_or(&key, |by| &by.key), MessageDigest::sha256())?;
        Ok(Self { certificate: certificate.build(), key })
    }
}
