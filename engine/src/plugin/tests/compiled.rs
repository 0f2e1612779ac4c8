//! Compiled code that is kept: what is taken again, and what is left aside.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::border::Random;
use super::guest::Guest;
use crate::plugin::compiled::CompiledCode;
use crate::plugin::{Compiler, Host, HostSettings, LoadError, Plugin};

const FEW: HostSettings = HostSettings { instances: 2, artifact_bytes: 1 << 20, code_bytes: 1 << 20, parallel: false };

fn host(data: &Path) -> Host {
    Host::with(FEW, Compiler::Here, Some(CompiledCode::open(data).unwrap())).unwrap()
}

fn load(data: &Path, wasm: &Bytes) -> Plugin {
    host(data).load(wasm.clone()).unwrap()
}

fn named(name: &str) -> Bytes {
    let mut guest = Guest::new();
    name.clone_into(&mut guest.name);
    guest.module()
}

/// The files of compiled code, without the key.
fn files(data: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(data.join("compiled")).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.file_name().unwrap() != "key").collect();
    files.sort();
    files
}

fn only_file(data: &Path) -> PathBuf {
    let [file] = <[PathBuf; 1]>::try_from(files(data)).unwrap();
    file
}

#[test]
fn what_was_compiled_once_is_loaded_and_does_the_same() {
    let data = tempfile::tempdir().unwrap();
    let wasm = named("once");
    let first = load(data.path(), &wasm);
    let again = load(data.path(), &wasm);
    assert!(!first.compiling().cached && again.compiling().cached);
    assert_eq!((first.digest(), first.description()), (again.digest(), again.description()));
    again.instance(&super::context(), super::LIMITS).unwrap();
    assert!(!load(data.path(), &named("other")).compiling().cached);
    assert_eq!(fs::metadata(data.path().join("compiled/key")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_file_with_one_wrong_bit_is_left_aside_and_written_anew() {
    let data = tempfile::tempdir().unwrap();
    let wasm = named("bits");
    load(data.path(), &wasm);
    let (host, file) = (host(data.path()), only_file(data.path()));
    let whole = fs::read(&file).unwrap();
    let seed = 11;
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let len = whole.len() as u64;
    // The MAC, the beginning of the code (wasmtime's own header), its end, and anywhere.
    let places: Vec<u64> = (0..96).chain(len - 32..len).chain((0..100).map(|_| random.next() % len)).collect();
    for place in places {
        let mut damaged = whole.clone();
        damaged[usize::try_from(place).unwrap()] ^= 1 << (random.next() % 8);
        fs::write(&file, damaged).unwrap();
        let compiled = CompiledCode::open(data.path()).unwrap();
        let digest = file.file_name().unwrap().to_str().unwrap();
        assert!(!is_taken(&compiled, &host, &wasm), "a bit of byte {place} of {digest}");
    }
    assert!(!load(data.path(), &wasm).compiling().cached);
    assert!(load(data.path(), &wasm).compiling().cached);
}

/// Whether the code of an artifact is taken from its file.
fn is_taken(compiled: &CompiledCode, host: &Host, wasm: &Bytes) -> bool {
    use sha2::Digest;
    let digest = crate::plugin::load::hex(&sha2::Sha256::digest(wasm));
    compiled.find(&host.shared.engine, &digest).is_some()
}

#[test]
fn a_file_that_was_cut_is_left_aside() {
    let data = tempfile::tempdir().unwrap();
    let wasm = named("cut");
    load(data.path(), &wasm);
    let (host, file, compiled) = (host(data.path()), only_file(data.path()), CompiledCode::open(data.path()).unwrap());
    let whole = fs::read(&file).unwrap();
    assert!(is_taken(&compiled, &host, &wasm));
    for len in [0, 1, 31, 32, 33, whole.len() / 2, whole.len() - 1] {
        fs::write(&file, &whole[..len]).unwrap();
        assert!(!is_taken(&compiled, &host, &wasm), "{len} bytes of {}", whole.len());
    }
    fs::write(&file, [&whole[..], b"x"].concat()).unwrap();
    assert!(!is_taken(&compiled, &host, &wasm), "a byte more");
}

#[test]
fn code_of_another_key_name_or_link_is_left_aside() {
    let [ours, others] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [wasm, other] = [named("ours"), named("other")];
    for data in [&ours, &others] {
        load(data.path(), &wasm);
    }
    let (host, file, compiled) = (host(ours.path()), only_file(ours.path()), CompiledCode::open(ours.path()).unwrap());
    assert!(is_taken(&compiled, &host, &wasm));

    // Another folder's file of the same name has the same code, under another key.
    let kept = fs::read(&file).unwrap();
    fs::copy(only_file(others.path()), &file).unwrap();
    assert!(!is_taken(&compiled, &host, &wasm), "another key");

    // Our own file, under the name of other code.
    fs::write(&file, &kept).unwrap();
    load(ours.path(), &other);
    let other_file = files(ours.path()).into_iter().find(|it| *it != file).unwrap();
    fs::copy(&file, &other_file).unwrap();
    assert!(!is_taken(&compiled, &host, &other), "another name");

    // The right bytes, behind a link.
    let aside = ours.path().join("aside");
    fs::rename(&file, &aside).unwrap();
    symlink(&aside, &file).unwrap();
    assert!(!is_taken(&compiled, &host, &wasm), "a link");
}

#[test]
fn a_key_that_others_can_read_is_not_used() {
    let data = tempfile::tempdir().unwrap();
    let wasm = named("key");
    load(data.path(), &wasm);
    let key = data.path().join("compiled/key");
    let before = fs::read(&key).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    assert!(!load(data.path(), &wasm).compiling().cached);
    assert_ne!(fs::read(&key).unwrap(), before);
    fs::write(&key, "short").unwrap();
    assert!(!load(data.path(), &wasm).compiling().cached);
    assert!(load(data.path(), &wasm).compiling().cached);
}

#[test]
fn an_engine_with_other_settings_has_code_of_its_own() {
    let data = tempfile::tempdir().unwrap();
    let wasm = named("settings");
    let (compiled, host) = (CompiledCode::open(data.path()).unwrap(), host(data.path()));
    host.load(wasm.clone()).unwrap();
    assert!(is_taken(&compiled, &host, &wasm));
    let mut config = wasmtime::Config::new();
    config.epoch_interruption(false);
    let other = wasmtime::Engine::new(&config).unwrap();
    let digest = host.load(wasm).unwrap().digest().to_owned();
    assert!(compiled.find(&other, &digest).is_none());
    // Not even under its name: wasmtime itself compares what code was compiled for.
    assert_eq!(files(data.path()).len(), 1);
}

#[test]
fn what_was_not_used_for_the_longest_goes_first() {
    let data = tempfile::tempdir().unwrap();
    load(data.path(), &named("aa"));
    let size = fs::metadata(only_file(data.path())).unwrap().len();
    let first = only_file(data.path());
    let bounded = CompiledCode::bounded(data.path(), size * 5 / 2).unwrap();
    let host = Host::with(FEW, Compiler::Here, Some(bounded)).unwrap();
    host.load(named("bb")).unwrap();
    let second = files(data.path()).into_iter().find(|it| *it != first).unwrap();
    let ago = |minutes: u64| SystemTime::now() - Duration::from_secs(minutes * 60);
    let used = |file: &Path, at| fs::File::options().write(true).open(file).unwrap().set_modified(at).unwrap();
    used(&first, ago(9));
    used(&second, ago(5));
    host.load(named("aa")).unwrap(); // used now
    host.load(named("cc")).unwrap();
    assert_eq!(files(data.path()).len(), 2);
    assert!(first.exists() && !second.exists());

    // What is larger than the bound is not kept, and nothing goes for it.
    let tiny = CompiledCode::bounded(data.path(), 100).unwrap();
    Host::with(FEW, Compiler::Here, Some(tiny)).unwrap().load(named("dd")).unwrap();
    assert_eq!(files(data.path()).len(), 2);
}

#[test]
fn more_code_than_is_compiled_is_refused_before_it_is() {
    let host = Host::new(HostSettings { code_bytes: 64 << 10, ..FEW }).unwrap();
    let function = "(func (result i64) (i64.const 1)".to_owned() + &"(i64.const 7) (i64.add)".repeat(4000) + ")";
    let mut guest = Guest::new();
    guest.more = function.repeat(8);
    let error = host.load(guest.module()).err().unwrap();
    assert!(matches!(error, LoadError::TooMuchCode { limit_bytes: 65536, .. }), "{error}");
}

/// As five hundred tenants do who have the same plugin, at a start on many threads.
#[test]
fn the_same_bytes_are_compiled_once_and_refused_once() {
    let host = Host::new(FEW).unwrap();
    let (wasm, bad) = (named("shared"), Bytes::from_static(b"\0asm\x01\0\0\0\xff"));
    let load = || -> Vec<Plugin> { (0..63).map(|_| host.load(wasm.clone()).unwrap()).collect() };
    let plugins: Vec<Plugin> = std::thread::scope(|scope| {
        let threads = [(); 8].map(|()| scope.spawn(load));
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(plugins.len(), 504);
    assert_eq!(plugins.iter().filter(|plugin| !plugin.compiling().cached).count(), 1);
    let [one, other] = [&plugins[0], &plugins[503]];
    assert!(std::ptr::eq(one.description(), other.description()), "one description in memory");
    let words = [(); 2].map(|()| host.load(bad.clone()).err().unwrap().to_string());
    assert_eq!(words[0], words[1]);
    // When nobody has it any more, neither has the host.
    drop(plugins);
    assert!(!host.load(wasm).unwrap().compiling().cached);
}
