//! Where things are: the repository, folders and ports for a test, what the scripts bring.

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use tempfile::TempDir;

/// The repository's root.
#[must_use]
pub fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests' crate lies in the repository")
}

/// A folder that goes with its value. Other users may pass through it, as PostgreSQL's user must.
///
/// # Panics
/// When it can't be made.
#[must_use]
pub fn folder(name: &str) -> TempDir {
    let folder = tempfile::Builder::new().prefix(&format!("engine-{name}-")).tempdir().expect("a temporary folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o711)).expect("own folder");
    folder
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
