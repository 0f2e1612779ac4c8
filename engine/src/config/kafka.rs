//! How Kafka is reached: the engine's own words for security, and librdkafka's properties for all else.
//!
//! | key | property |
//! |---|---|
//! | `tls = true`, or one of the next three | `security.protocol`: `SSL`, or `SASL_SSL` with a user |
//! | `ca`, `certificate`, `key`: PEM files | `ssl.ca.location` (in place of the system's authorities), `ssl.certificate.location`, `ssl.key.location` |
//! | `user` | `sasl.username`; without TLS `security.protocol` is `SASL_PLAINTEXT` |
//! | `password`, `password_file` | `sasl.password` |
//! | `mechanism`: `PLAIN`, `SCRAM-SHA-256`, `SCRAM-SHA-512` | `sasl.mechanism` |

use std::collections::BTreeMap;
use std::path::Path;

use super::connection::{file, password};
use super::given::Settings;
use super::problem::Place;
use crate::tls::Tls;

const MECHANISMS: [&str; 3] = ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"];
const FILES: [(&str, &str); 3] =
    [("ca", "ssl.ca.location"), ("certificate", "ssl.certificate.location"), ("key", "ssl.key.location")];

/// All properties of the client.
pub(super) fn kafka_properties(settings: &mut Settings) -> BTreeMap<String, String> {
    let spelt: BTreeMap<_, _> = settings.places("kafka.properties.").into_iter().collect();
    let mut properties = settings.table("kafka.properties");
    let own = security(settings);
    if let Some(twice) = own.keys().find(|name| properties.contains_key(*name)) {
        let place = spelt.get(&format!("kafka.properties.{twice}")).cloned().unwrap_or(Place::Nowhere);
        let message = format!("kafka.properties.{twice}: beside settings of kafka that say the same otherwise");
        settings.problems.add(place, message, None);
    }
    properties.extend(own);
    properties
}

/// The properties that the engine's own words stand for.
fn security(settings: &mut Settings) -> BTreeMap<String, String> {
    let mut properties = BTreeMap::new();
    let tls_place = settings.place("kafka.tls");
    let tls = settings.choice("kafka.tls", &[("true", true), ("false", false)]);
    for (name, property) in FILES {
        let (key, place) = (format!("kafka.{name}"), settings.place(&format!("kafka.{name}")));
        let Some((path, bytes)) = file(settings, &key, Path::new("")) else { continue };
        if name == "ca"
            && let Err(message) = (Tls { authorities: Some(bytes), client: None }).check()
        {
            settings.problems.add(place, format!("{key}: {message}"), None);
        }
        properties.insert(property.to_owned(), path.to_string_lossy().into_owned());
    }
    for (one, other) in [(FILES[1], FILES[2]), (FILES[2], FILES[1])] {
        if properties.contains_key(one.1) && !properties.contains_key(other.1) {
            let message = format!("kafka.{}: without kafka.{}", one.0, other.0);
            settings.problems.add(tls_place.clone(), message, None);
        }
    }
    if tls == Some(false) && !properties.is_empty() {
        settings.problems.add(tls_place, "kafka.tls: false, beside certificates", None);
    }
    let encrypted = tls.unwrap_or(!properties.is_empty());
    let user = sasl(settings, &mut properties);
    let protocol = match (encrypted, user) {
        (true, true) => "SASL_SSL",
        (true, false) => "SSL",
        (false, true) => "SASL_PLAINTEXT",
        (false, false) => return properties,
    };
    properties.insert("security.protocol".to_owned(), protocol.to_owned());
    properties
}

/// Says whether there is a user.
fn sasl(settings: &mut Settings, properties: &mut BTreeMap<String, String>) -> bool {
    let places = ["password", "password_file", "mechanism"].map(|key| settings.place(&format!("kafka.{key}")));
    let user = settings.text("kafka.user");
    let password = password(settings, "kafka");
    let mechanism = settings.choice("kafka.mechanism", &MECHANISMS.map(|mechanism| (mechanism, mechanism)));
    let Some((user, place)) = user else {
        if let Some(place) = places.into_iter().find(|place| *place != Place::Nowhere) {
            settings.problems.add(place, "kafka: a password or mechanism without kafka.user", None);
        }
        return false;
    };
    let mut missing = |what: &str, hint: &str| {
        settings.problems.add(place.clone(), format!("kafka.user: without {what}"), Some(hint.to_owned()));
    };
    match password {
        Some(password) => drop(properties.insert("sasl.password".to_owned(), password.expose().to_owned())),
        None => missing("a password", "kafka.password_file, or ENGINE_KAFKA_PASSWORD"),
    }
    match mechanism {
        Some(mechanism) => drop(properties.insert("sasl.mechanism".to_owned(), mechanism.to_owned())),
        None if places[2] == Place::Nowhere => missing("kafka.mechanism", &MECHANISMS.join(", ")),
        None => {}
    }
    properties.insert("sasl.username".to_owned(), user);
    true
}
