//! The folder through what editors, deployments and networks do to it, with real files and a clock of the test's own.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::os::unix::fs::symlink;

use super::*;

const TOML: &str = "topics = ['t']\n";

struct World {
    dir: tempfile::TempDir,
    folder: Folder,
    now: Instant,
}

impl World {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("plugins");
        fs::create_dir(&path).unwrap();
        Self { dir, folder: Folder::new(&path), now: Instant::now() }
    }

    /// With one plugin, of which was told.
    fn with_plugin() -> Self {
        let mut world = Self::new();
        fs::create_dir(world.path("a")).unwrap();
        fs::write(world.path("a/plugin.toml"), TOML).unwrap();
        fs::write(world.path("a/plugin.wasm"), "one").unwrap();
        assert_eq!(world.rest(), ["a: one"]);
        world
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    /// Looks once, so much later.
    fn look_after(&mut self, time: Duration) -> (Vec<String>, Option<Instant>) {
        self.now += time;
        let Found { changes, look_again } = self.folder.look(Layout::of(self.folder.path()), self.now);
        (changes.iter().map(said).collect(), look_again)
    }

    fn look(&mut self) -> Vec<String> {
        self.look_after(Duration::from_millis(1)).0
    }

    /// Looks until there is nothing more to look for.
    fn rest(&mut self) -> Vec<String> {
        let mut said = Vec::new();
        loop {
            let (more, look_again) = self.look_after(Duration::from_millis(1));
            said.extend(more);
            let Some(again) = look_again else { return said };
            self.now = self.now.max(again);
        }
    }
}

fn said(change: &Change) -> String {
    match change {
        Change::Holds(files) => {
            let name = &files.key;
            let wasm = files.wasm.as_ref().map_or_else(
                |error| format!("({:?})", error.kind()),
                |wasm| String::from_utf8_lossy(wasm).into_owned(),
            );
            match &files.text {
                Ok(text) if text == TOML => format!("{name}: {wasm}"),
                Ok(text) => format!("{name}: {wasm}, {}", text.trim_end()),
                Err(error) => format!("{name}: {wasm}, {error}"),
            }
        }
        Change::Gone { key } => format!("{key} is gone"),
        Change::Tenant(files) => format!("tenant {}: {}", files.name, files.text.as_ref().unwrap().trim_end()),
        Change::TenantGone { name } => format!("tenant {name} is gone"),
    }
}

#[test]
fn a_file_that_is_written_in_place_is_told_of_once_it_rests() {
    let mut world = World::with_plugin();
    for part in ["t", "tw", "two", "two!"] {
        world.write("a/plugin.wasm", part);
        // Each write begins the wait anew, however many there are.
        assert!(world.look().is_empty(), "{part}");
        assert!(world.look_after(SETTLE / 2).0.is_empty(), "{part}");
    }
    assert_eq!(world.rest(), ["a: two!"]);
    assert!(world.rest().is_empty());
}

#[test]
fn nothing_is_read_while_somebody_writes_however_long_that_takes() {
    let mut world = World::with_plugin();
    let file = File::create(world.path("a/plugin.wasm")).unwrap();
    if !is_written(&File::open(world.path("a/plugin.wasm")).unwrap()) {
        return; // a file system that does not say
    }
    let mut file = io::BufWriter::new(file);
    io::Write::write_all(&mut file, b"ha").unwrap();
    io::Write::flush(&mut file).unwrap();
    for _ in 0..10 {
        assert!(world.look_after(SETTLE * 2).0.is_empty());
    }
    io::Write::write_all(&mut file, b"lf").unwrap();
    drop(file);
    assert_eq!(world.rest(), ["a: half"]);
}

#[test]
fn a_rename_is_told_of_at_once_after_the_wait() {
    let mut world = World::with_plugin();
    world.write("a/plugin.wasm.new", "two");
    assert!(world.rest().is_empty());
    fs::rename(world.path("a/plugin.wasm.new"), world.path("a/plugin.wasm")).unwrap();
    assert!(world.look().is_empty());
    assert_eq!(world.look_after(SETTLE).0, ["a: two"]);
}

/// What editors do: write beside and rename; move aside, write anew, delete; delete and write anew.
#[test]
fn the_ways_in_which_editors_save_are_a_change_of_the_file() {
    let mut world = World::with_plugin();
    world.write("a/.plugin.toml.swp", "x");
    world.write("a/plugin.toml~", "x");
    assert!(world.rest().is_empty());

    fs::rename(world.path("a/plugin.toml"), world.path("a/plugin.toml~")).unwrap();
    assert!(world.look().is_empty());
    assert!(world.look_after(ABSENCE / 2).0.is_empty());
    world.write("a/plugin.toml", "# vim\n");
    assert_eq!(world.rest(), ["a: one, # vim"]);
    fs::remove_file(world.path("a/plugin.toml~")).unwrap();
    assert!(world.rest().is_empty());

    fs::remove_file(world.path("a/plugin.toml")).unwrap();
    assert!(world.look().is_empty());
    world.write("a/plugin.toml", TOML);
    assert_eq!(world.rest(), ["a: one"]);
}

#[test]
fn a_plugin_that_is_being_built_again_is_not_gone() {
    let mut world = World::with_plugin();
    fs::remove_file(world.path("a/plugin.wasm")).unwrap();
    assert!(world.look().is_empty());
    assert!(world.look_after(ABSENCE / 2).0.is_empty());
    world.write("a/plugin.wasm", "two");
    assert_eq!(world.rest(), ["a: two"]);
    fs::remove_file(world.path("a/plugin.wasm")).unwrap();
    assert_eq!(world.rest(), ["a: (NotFound)"]);
}

#[test]
fn a_folder_that_was_deleted_and_made_again_is_a_change() {
    let mut world = World::with_plugin();
    fs::remove_dir_all(world.path("a")).unwrap();
    assert!(world.look().is_empty());
    fs::create_dir(world.path("a")).unwrap();
    assert!(world.look_after(ABSENCE / 4).0.is_empty());
    world.write("a/plugin.toml", TOML);
    assert!(world.look_after(ABSENCE / 4).0.is_empty());
    world.write("a/plugin.wasm", "two");
    assert_eq!(world.rest(), ["a: two"]);
}

#[test]
fn a_plugin_is_gone_after_two_seconds_and_may_come_again() {
    let mut world = World::with_plugin();
    fs::rename(world.path("a"), world.dir.path().join("aside")).unwrap();
    assert!(world.look().is_empty());
    assert!(world.look_after(ABSENCE - Duration::from_millis(2)).0.is_empty());
    assert_eq!(world.look_after(Duration::from_millis(2)).0, ["a is gone"]);
    assert!(world.rest().is_empty());
    fs::rename(world.dir.path().join("aside"), world.path("a")).unwrap();
    assert_eq!(world.rest(), ["a: one"]);
}

/// A mounted config map: each plugin is a folder of links through `..data`, a link that is exchanged by a rename.
#[test]
fn the_exchange_of_a_mounted_config_map_is_one_change_of_all_its_files() {
    let mut world = World::new();
    fs::create_dir(world.path("a")).unwrap();
    for (version, text, wasm) in [("..1", TOML, "one"), ("..2", "# two\n", "two")] {
        fs::create_dir(world.path("a").join(version)).unwrap();
        world.write(&format!("a/{version}/plugin.toml"), text);
        world.write(&format!("a/{version}/plugin.wasm"), wasm);
    }
    symlink("..1", world.path("a/..data")).unwrap();
    for name in ["plugin.toml", "plugin.wasm"] {
        symlink(format!("..data/{name}"), world.path("a").join(name)).unwrap();
    }
    assert_eq!(world.rest(), ["a: one"]);
    symlink("..2", world.path("a/..data_tmp")).unwrap();
    fs::rename(world.path("a/..data_tmp"), world.path("a/..data")).unwrap();
    fs::remove_dir_all(world.path("a/..1")).unwrap();
    assert_eq!(world.rest(), ["a: two, # two"]);
}

/// The same for the folder of all plugins, as a deployment does that exchanges `current`.
#[test]
fn a_link_to_a_plugins_folder_may_be_exchanged() {
    let mut world = World::new();
    for (release, wasm) in [("r1", "one"), ("r2", "two")] {
        let folder = world.dir.path().join(release);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("plugin.toml"), TOML).unwrap();
        fs::write(folder.join("plugin.wasm"), wasm).unwrap();
    }
    symlink("../r1", world.path("a")).unwrap();
    assert_eq!(world.rest(), ["a: one"]);
    symlink("../r2", world.path("a.new")).unwrap();
    fs::rename(world.path("a.new"), world.path("a")).unwrap();
    assert_eq!(world.rest(), ["a: two"]);
}

#[test]
fn plugins_go_on_while_the_folder_of_all_can_not_be_read() {
    let mut world = World::with_plugin();
    let (folder, aside) = (world.folder.path().to_owned(), world.dir.path().join("aside"));
    fs::rename(&folder, &aside).unwrap();
    assert!(world.look_after(ABSENCE * 2).0.is_empty());
    assert!(world.look_after(ABSENCE * 2).0.is_empty());
    assert!(world.folder.unreadable);
    fs::rename(&aside, &folder).unwrap();
    assert!(world.rest().is_empty());
    assert!(!world.folder.unreadable);
}

#[test]
fn the_same_content_in_another_file_is_told_of_and_what_is_hidden_is_not() {
    let mut world = World::with_plugin();
    fs::create_dir(world.path(".git")).unwrap();
    world.write(".git/plugin.toml", TOML);
    fs::create_dir(world.path("no-plugin")).unwrap();
    assert!(world.rest().is_empty());
    fs::copy(world.path("a/plugin.wasm"), world.path("a/copy")).unwrap();
    fs::rename(world.path("a/copy"), world.path("a/plugin.wasm")).unwrap();
    assert_eq!(world.rest(), ["a: one"]);
}

#[test]
fn a_tenant_is_told_of_before_its_plugins_and_gone_after_them() {
    let mut world = World::with_plugin();
    for folder in ["acme", "acme/p", "acme/q", "acme/.git"] {
        fs::create_dir(world.path(folder)).unwrap();
    }
    for plugin in ["p", "q", ".git"] {
        world.write(&format!("acme/{plugin}/plugin.toml"), TOML);
    }
    world.write("acme/p/plugin.wasm", "one");
    // Without a tenant.toml it is nobody's.
    assert!(world.rest().is_empty());
    world.write("acme/tenant.toml", "# one");
    assert_eq!(world.rest(), ["tenant acme: # one", "acme/p: one", "acme/q: (NotFound)"]);

    world.write("acme/tenant.toml", "# two");
    assert_eq!(world.rest(), ["tenant acme: # two"]);
    world.write("acme/tenant.toml", "# three");
    world.write("acme/p/plugin.wasm", "two");
    assert_eq!(world.rest(), ["tenant acme: # three", "acme/p: two"]);

    fs::remove_dir_all(world.path("acme/q")).unwrap();
    assert_eq!(world.rest(), ["acme/q is gone"]);
    fs::rename(world.path("acme"), world.dir.path().join("aside")).unwrap();
    assert!(world.look().is_empty());
    assert_eq!(world.look_after(ABSENCE).0, ["acme/p is gone", "tenant acme is gone"]);
    fs::rename(world.dir.path().join("aside"), world.path("acme")).unwrap();
    assert_eq!(world.rest(), ["tenant acme: # three", "acme/p: two"]);
}

#[test]
fn a_tenants_plugins_go_on_while_its_file_is_replaced() {
    let mut world = World::new();
    fs::create_dir_all(world.path("acme/p")).unwrap();
    world.write("acme/tenant.toml", "# one");
    world.write("acme/p/plugin.toml", TOML);
    assert_eq!(world.rest(), ["tenant acme: # one", "acme/p: (NotFound)"]);
    fs::remove_file(world.path("acme/tenant.toml")).unwrap();
    assert!(world.look().is_empty());
    assert!(world.look_after(ABSENCE / 2).0.is_empty());
    world.write("acme/tenant.toml", "# two");
    assert_eq!(world.rest(), ["tenant acme: # two"]);
}

#[test]
fn another_password_is_another_tenant() {
    let mut world = World::new();
    fs::create_dir(world.path("acme")).unwrap();
    let password = world.dir.path().join("password");
    fs::write(&password, "one").unwrap();
    let text = format!("[clickhouse]\npassword_file = '{}'", password.display());
    world.write("acme/tenant.toml", &text);
    assert_eq!(world.rest(), [format!("tenant acme: {text}")]);
    assert!(world.rest().is_empty());
    fs::write(&password, "two").unwrap();
    assert_eq!(world.rest(), [format!("tenant acme: {text}")]);
}

#[test]
fn a_shared_plugin_is_a_file_of_all_that_name_it() {
    let mut world = World::new();
    for folder in ["_shared/orders", "a", "acme/p"] {
        fs::create_dir_all(world.path(folder)).unwrap();
    }
    world.write("acme/tenant.toml", "");
    world.write("_shared/orders/plugin.wasm", "one");
    world.write("a/plugin.toml", "shared = 'orders'");
    world.write("acme/p/plugin.toml", "shared = 'orders'");
    let all =
        |wasm: &str| [format!("a: {wasm}, shared = 'orders'"), format!("acme/p: {wasm}, shared = 'orders'")].to_vec();
    assert_eq!(world.rest(), [vec!["tenant acme: ".to_owned()], all("one")].concat());
    world.write("_shared/orders/plugin.wasm", "two");
    let mut told = world.rest();
    told.sort(); // a tenant's names are read by another look than those of others
    assert_eq!(told, all("two"));
    world.write("a/plugin.toml", TOML);
    assert_eq!(world.rest(), ["a: (NotFound)"]);
}

/// A plugin's folder that gets a tenant.toml has two meanings: what ran goes on until it has one.
#[test]
fn a_folder_that_becomes_a_tenants_ends_no_plugin_by_that() {
    let mut world = World::with_plugin();
    world.write("a/tenant.toml", "# one");
    assert_eq!(world.rest(), ["tenant a: # one"]);
    world.write("a/plugin.wasm", "two");
    assert!(world.rest().is_empty());
    fs::remove_file(world.path("a/tenant.toml")).unwrap();
    assert_eq!(world.rest(), ["tenant a is gone", "a: two"]);
}
