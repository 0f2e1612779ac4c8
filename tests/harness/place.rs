//! Where things are: the repository, folders and ports for a test, what the scripts bring.

use std::env;
use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::Once;
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// The repository's root.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' crate lies in the repository")
}

/// A folder that goes with its value. Other users may pass through it, as PostgreSQL's user must.
///
/// What a test process could not take away, because it was killed or kept a part until its end, goes when the next one
/// makes its first folder: hundreds of megabytes each time would fill a disk.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn folder(name: &str) -> TempDir {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| sweep(&env::temp_dir()));
    let prefix = format!("{FOLDERS}{}-{name}-", process::id());
    let folder = tempfile::Builder::new().prefix(&prefix).tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("own folder");
    folder
}

/// How the names of all folders begin; the id of the process that made them follows.
const FOLDERS: &str = "engine-test-";

/// Removes the folders of processes that have ended.
fn sweep(folders: &Path) {
    for entry in fs::read_dir(folders).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let maker = name.to_str().and_then(|name| name.strip_prefix(FOLDERS)?.split('-').next()?.parse::<u32>().ok());
        if maker.is_some_and(|maker| !Path::new(&format!("/proc/{maker}")).exists()) {
            drop(fs::remove_dir_all(entry.path())); // another process may sweep as well
        }
    }
}

/// A port of 127.0.0.1 that nobody listens on, other than those given out before.
///
/// Not port 0: the kernel takes that from the range of outgoing connections, so while a server is down, a client that
/// tries to reach it again and again could be given the server's port as its own, and then talk to itself.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    const FIRST: u16 = 10_000;
    const COUNT: u16 = 20_000; // up to 30,000; outgoing ports begin at 32,768
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let pid = u16::try_from(process::id() % u32::from(COUNT)).expect("below COUNT");
    for _ in 0..COUNT {
        // Processes that run side by side have close pids: 7 apart, they are unlikely to try the same ports.
        let offset = u32::from(pid) * 7 + u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + u16::try_from(offset % u32::from(COUNT)).expect("below COUNT");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

/// Runs a script of the repository to its end and gives back what it printed; what it says meanwhile is shown.
///
/// # Panics
/// When it fails.
#[must_use]
pub fn script(path: &str, args: &[&str]) -> String {
    let file = repository().join(path);
    let output = Command::new(&file).args(args).stderr(Stdio::inherit()).output();
    let output = output.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    assert!(output.status.success(), "{path} {args:?}: {}", output.status);
    String::from_utf8(output.stdout).expect("scripts print text").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_of_ended_processes_are_swept_and_no_others() {
        let place = tempfile::tempdir().expect("a folder");
        let mut child = Command::new("true").spawn().expect("a process");
        child.wait().expect("its end");
        let ended = format!("{FOLDERS}{}-kafka-a", child.id());
        let mine = format!("{FOLDERS}{}-kafka-b", process::id());
        for name in [&ended, &mine, &"engine-other".to_owned()] {
            fs::create_dir(place.path().join(name)).expect("a folder");
        }
        sweep(place.path());
        assert!(!place.path().join(&ended).exists());
        assert!(place.path().join(&mine).exists());
        assert!(place.path().join("engine-other").exists());
    }
}
