//! How servers are reached: certificates, users and secrets, the same words for each of them. Files are read when the settings
//! are, so that a wrong path is told with its place and not by a server.

use std::path::{Path, PathBuf};

use super::given::Settings;
use super::problem::Place;
use crate::sink::Password;
use crate::tls::Tls;

/// `ca`, `certificate` and `key` below a section; paths begin at a folder.
pub(super) fn tls(settings: &mut Settings, section: &str, folder: &Path) -> Tls {
    let keys = ["ca", "certificate", "key"].map(|name| format!("{section}.{name}"));
    let places = keys.each_ref().map(|key| settings.place(key));
    let [authorities, certificate, key] =
        keys.each_ref().map(|key| file(settings, key, folder).map(|(_, bytes)| bytes));
    match (&places[1], &places[2]) {
        (Place::Nowhere, Place::Nowhere) => {}
        (Place::Nowhere, place) => {
            settings.problems.add(place.clone(), format!("{section}.key: without {section}.certificate"), None);
        }
        (place, Place::Nowhere) => {
            settings.problems.add(place.clone(), format!("{section}.certificate: without {section}.key"), None);
        }
        _ => {}
    }
    let ca = Tls { authorities, client: None };
    let own = Tls { authorities: None, client: certificate.zip(key) };
    for (tls, place, key) in [(&ca, &places[0], &keys[0]), (&own, &places[1], &keys[1])] {
        if let Err(message) = tls.check() {
            settings.problems.add(place.clone(), format!("{key}: {message}"), None);
        }
    }
    Tls { client: own.client, ..ca }
}

/// An address. One with a user or password in it is refused without being repeated: they have keys of their own, which nothing
/// shows.
pub(super) fn address(settings: &mut Settings, key: &str) -> Option<String> {
    let (address, place) = settings.text(key)?;
    let host = address.split_once("://").map_or(address.as_str(), |(_, rest)| rest).split('/').next();
    if host.is_some_and(|host| host.contains('@')) {
        let section = key.split('.').next().unwrap_or_default();
        let hint = Some(format!("{section}.user and {section}.password_file"));
        settings.problems.add(
            place,
            format!("{key}: holds a user or password, which have settings of their own"),
            hint,
        );
        return None;
    }
    Some(address)
}

/// A password, from its own key or from a file.
pub(super) fn password(settings: &mut Settings, section: &str) -> Option<Password> {
    let given = settings.text(&format!("{section}.password")).map(|(password, _)| Password::from(password));
    secret_file(settings, &format!("{section}.password_file")).or(given)
}

/// A password from a file.
fn secret_file(settings: &mut Settings, key: &str) -> Option<Password> {
    let bytes = file(settings, key, Path::new(""))?.1;
    Some(String::from_utf8_lossy(&bytes).trim_end_matches(['\r', '\n']).to_owned().into())
}

/// The file that a key names, with its content; its path begins at a folder.
pub(super) fn file(settings: &mut Settings, key: &str, folder: &Path) -> Option<(PathBuf, Vec<u8>)> {
    let (file, place) = settings.text(key)?;
    let path = folder.join(&file);
    match std::fs::read(&path) {
        Ok(bytes) => Some((path, bytes)),
        Err(error) => {
            settings.problems.add(place, format!("{key}: {file} can't be read: {error}"), None);
            None
        }
    }
}
