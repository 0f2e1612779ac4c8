//! Whether somebody has a file open for writing.

use std::fs::File;
use std::os::fd::AsRawFd;

/// `F_SETSIG` of Linux's `asm-generic/fcntl.h`, which the libc crate does not have.
#[cfg(target_os = "linux")]
const F_SETSIG: libc::c_int = 10;

/// Whether a process has the file open for writing, as far as the system says: Linux does, of local files that are ours.
/// Where it is not known, nobody is assumed to.
///
/// A lease for reading is what Linux grants only where nobody writes. It is given back at once; a writer that comes in
/// between waits for that, and the signal that announces it is made one that is ignored, not one that ends the process.
#[cfg(target_os = "linux")]
pub(super) fn is_written(file: &File) -> bool {
    let fd = file.as_raw_fd();
    // SAFETY: these commands of `fcntl` take numbers alone, and the descriptor is open for as long as `file` lives.
    let fcntl = |command: libc::c_int, argument: libc::c_int| unsafe { libc::fcntl(fd, command, argument) };
    if fcntl(F_SETSIG, libc::SIGURG) != 0 {
        return false;
    }
    if fcntl(libc::F_SETLEASE, libc::F_RDLCK) == 0 {
        fcntl(libc::F_SETLEASE, libc::F_UNLCK);
        return false;
    }
    std::io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

/// Nobody can be asked.
#[cfg(not(target_os = "linux"))]
pub(super) fn is_written(_: &File) -> bool {
    false
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use std::fs::OpenOptions;

    use super::*;

    #[test]
    fn a_file_is_written_as_long_as_somebody_has_it_open_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        let writer = File::create(&path).unwrap();
        let reader = File::open(&path).unwrap();
        // Where a file system has no leases it is not known: then there is nothing to test.
        if is_written(&reader) {
            drop(writer);
            assert!(!is_written(&reader));
            let _writer = OpenOptions::new().append(true).open(&path).unwrap();
            assert!(is_written(&reader));
        }
    }
}
