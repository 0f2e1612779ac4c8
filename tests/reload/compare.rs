//! A newcomer beside the version that runs, without any server.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use engine::config::{Tenant, read_plugin};
use engine::deploy::{Cause, Compatibility, Version as Ready, build, compare};
use engine::plugin::{Host, HostSettings};
use engine::sink::ClickHouseSettings;
use harness::versions::Version;

static HOST: LazyLock<Host> = LazyLock::new(|| {
    Host::new(HostSettings { instances: 4, ..HostSettings::default() }).expect("this machine runs WebAssembly")
});

static TENANT: LazyLock<Arc<Tenant>> =
    LazyLock::new(|| Arc::new(Tenant::default_of(ClickHouseSettings::new("http://localhost:8123"), "db")));

fn ready(version: &Version) -> Ready {
    with(version, "topics = ['t']\n")
}

fn with(version: &Version, toml: &str) -> Ready {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(folder.path().join("plugin.toml"), toml).expect("plugin.toml");
    let mut file = read_plugin(folder.path(), &TENANT).expect("settings");
    file.settings.name = "passing".to_owned();
    build(&HOST, file, &Ok(version.wasm())).expect("a plugin")
}

#[test]
fn the_same_bytes_and_settings_are_the_same_version() {
    let version = Version::new("1");
    assert_eq!(compare(&ready(&version), &ready(&version), &[]), Compatibility::Same);
    let other = with(&version, "topics = ['t']\n[limits]\ncall_ms = 7\n");
    assert_eq!(compare(&other, &ready(&version), &[1]), Compatibility::Compatible { notes: vec![] });
    // Where it reads is not what it makes of it.
    let elsewhere = with(&version, "topics = ['u']\n");
    assert_eq!(compare(&elsewhere, &ready(&version), &[1]), Compatibility::Same);
}

#[test]
fn what_is_different_is_said() {
    let (old, new) = (Version::new("1"), Version { copy: Some("copy"), ..Version::new("2") });
    let [old, new] = [&old, &new].map(ready);
    let notes = |to: &Ready, from: &Ready| {
        let found = compare(to, from, &[1]);
        let Compatibility::Compatible { notes } = found else { panic!("{found:?}") };
        notes.join("; ")
    };
    assert_eq!(notes(&new, &old), "`db`.`passed` gets copy");
    assert_eq!(notes(&old, &new), "`db`.`passed` is no longer given copy");
    let moved = with(&Version::new("1"), "topics = ['t']\n[tables]\npassed = 'elsewhere'\n");
    let said = "it writes `db`.`elsewhere`, which the version before did not; it no longer writes `db`.`passed`, which stays as it is";
    assert_eq!(notes(&moved, &old), said);
}

/// Which versions of the state are kept counts, not what the version before describes: it may have been given up.
#[test]
fn a_version_must_read_what_is_kept() {
    let old = ready(&Version::new("1"));
    let state = |state, reads: &[u32]| ready(&Version { state, reads: reads.to_vec(), ..Version::new("2") });
    let Compatibility::Refused { why, statement } = compare(&state(2, &[]), &old, &[1]) else { panic!("it reads it") };
    assert!(
        why.contains("was written in version 1 of its state, but the new version keeps 2 and reads no other"),
        "{why}"
    );
    assert_eq!(statement.as_deref(), Some("engine recover --plugin passing --from start"));
    assert_eq!(compare(&state(2, &[]), &old, &[]), Compatibility::Compatible { notes: vec![] });

    let migrates = |from, and_back| Compatibility::Migrates { from, to: 3, and_back, notes: vec![] };
    assert_eq!(compare(&state(3, &[1, 2]), &old, &[1, 2]), migrates(2, false));
    let reads_ahead = ready(&Version { reads: vec![3], ..Version::new("1") });
    assert_eq!(compare(&state(3, &[1]), &reads_ahead, &[1]), migrates(1, true));
}

#[test]
fn what_is_not_built_says_what_to_run() {
    let folder = tempfile::tempdir().expect("a folder");
    let refused = |folder: &Path| {
        let file = read_plugin(folder, &TENANT).expect("settings");
        let none = fs::read(&file.artifact).map(Into::into);
        assert_eq!(none.as_ref().err().map(io::Error::kind), Some(io::ErrorKind::NotFound));
        let refusal = build(&HOST, file, &none).expect_err("there is nothing");
        assert_eq!(refusal.cause, Cause::Unbuilt);
        refusal.to_string()
    };
    let path = folder.path().join("customers");
    fs::create_dir(&path).expect("a folder");
    fs::write(path.join("plugin.toml"), "topics = ['t']\n").expect("plugin.toml");
    assert!(refused(&path).contains("put the built plugin there"));
    fs::write(path.join("Cargo.toml"), "").expect("Cargo.toml");
    assert!(refused(&path).contains("this project is not built: engine plugin build customers"));
}
