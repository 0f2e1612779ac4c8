//! How much memory there is for this process.

use std::fs;
use std::path::Path;

/// Of what the process may have, in percent. The rest is for what is not booked: compiled code, the Kafka client's own queue,
/// what the allocator keeps, and the system's cache of files.
const PERCENT: usize = 60;
/// Where the system does not say.
const UNKNOWN: usize = 4 << 30;

/// The pool's limit where none is set: a part of the machine's memory, or of the control group's, whichever is less.
#[must_use]
pub fn default_limit() -> usize {
    let bytes = [machine(), group(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"))];
    bytes.into_iter().flatten().min().unwrap_or(UNKNOWN) / 100 * PERCENT
}

fn machine() -> Option<usize> {
    let meminfo = fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    Some(total.trim().strip_suffix("kB")?.trim().parse::<usize>().ok()? << 10)
}

/// The least limit of the process's groups, from its own up to the root; version 2 of the interface, or 1 with its own
/// hierarchy for memory. See cgroups(7).
fn group(of_process: &Path, mounted: &Path) -> Option<usize> {
    let groups = fs::read_to_string(of_process).ok()?;
    let places = groups.lines().filter_map(|line| {
        let mut fields = line.splitn(3, ':');
        match (fields.next()?, fields.next()?, fields.next()?) {
            ("0", "", path) => Some((mounted.to_owned(), path, "memory.max")),
            (_, "memory", path) => Some((mounted.join("memory"), path, "memory.limit_in_bytes")),
            _ => None,
        }
    });
    let limits = places.flat_map(|(root, path, file)| {
        let own = Path::new(path.trim_start_matches('/')).to_owned();
        let folders: Vec<_> = own.ancestors().map(|folder| root.join(folder).join(file)).collect();
        folders.into_iter().filter_map(|file| fs::read_to_string(file).ok()?.trim().parse::<usize>().ok())
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use super::*;

    #[test]
    fn the_least_limit_of_the_groups_counts() {
        let folder = tempfile::tempdir().unwrap();
        let (of_process, mounted) = (folder.path().join("cgroup"), folder.path().join("fs"));
        let limit = |path: &str, text: &str| {
            let path = mounted.join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        fs::write(&of_process, "0::/a.slice/b\n").unwrap();
        limit("a.slice/memory.max", "2000000\n");
        limit("a.slice/b/memory.max", "max\n");
        assert_eq!(group(&of_process, &mounted), Some(2_000_000));
        fs::write(&of_process, "5:memory:/c\n3:cpu,cpuacct:/\n").unwrap();
        limit("memory/memory.limit_in_bytes", "9223372036854771712\n");
        limit("memory/c/memory.limit_in_bytes", "1000000\n");
        assert_eq!(group(&of_process, &mounted), Some(1_000_000));
        assert_eq!(group(&folder.path().join("none"), &mounted), None);
        assert!(default_limit() > 0);
    }
}
