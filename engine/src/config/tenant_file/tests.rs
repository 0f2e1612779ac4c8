#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::sync::Arc;

use super::*;
use crate::config::{Config, Declared, Overlay, PluginFile, parse_plugin, read_plugin_of, read_plugins};
use crate::offsets::PluginKey;
use crate::transform::Kind;

fn default() -> Tenant {
    let clickhouse = ClickHouseSettings {
        user: "engine".to_owned(),
        password: "engines".to_owned().into(),
        ..ClickHouseSettings::new("http://ch:8123")
    };
    Tenant::default_of(clickhouse, "silver")
}

fn parse(text: &str) -> Result<Tenant, String> {
    let folder = Path::new("plugins/acme");
    parse_tenant(folder, text, &default()).map_err(|problems| problems.to_string().replace("plugins/acme/", ""))
}

/// A tenant with its own topics and limits.
fn acme(more: &str) -> Arc<Tenant> {
    Arc::new(parse(&format!("prefix = 'acme.'\n{more}")).unwrap())
}

#[test]
fn what_is_not_said_is_the_engines_and_the_database_is_its_own() {
    let tenant = parse("prefix = 'acme.'").unwrap();
    let expected = Tenant {
        name: "acme".to_owned(),
        database: "acme".to_owned(),
        topics: TopicScope::Prefix("acme.".to_owned()),
        ..default()
    };
    assert_eq!(tenant, expected);
    assert_eq!(parse("prefix = ''").unwrap().topics, TopicScope::All);
}

#[test]
fn everything_that_is_said() {
    let text = "prefix = 'a-'\nweight = 3\n[clickhouse]\nurl = 'https://other:8443'\ndatabase = 'd'\nuser = 'u'\n\
                [limits]\nmemory_mib = 1\ncall_ms = 2\noutput_mib = 3\nstate_mib = 4\nstate_disk_mib = 0\ncpu_share = 0.5\n\
                inserts_per_second = 6\nlog_lines_per_second = 7\n[labels]\nteam = 'pay ments'\ntier_2 = 'x'";
    let tenant = parse(text).unwrap();
    let ClickHouseSettings { url, user, password, .. } = &tenant.clickhouse;
    assert_eq!((url.as_str(), user.as_str(), tenant.database.as_str()), ("https://other:8443", "u", "d"));
    assert_eq!(password.expose(), "", "the engine's password is not another user's");
    let limits = TenantLimits {
        memory_bytes: Some(1 << 20),
        call_ms: Some(2),
        output_bytes: Some(3 << 20),
        state_bytes: Some(4 << 20),
        state_disk_bytes: Some(0),
        cpu_share: Some(0.5),
        inserts_per_second: Some(6),
        log_lines_per_second: Some(7),
    };
    assert_eq!((tenant.limits, tenant.weight), (limits, 3));
    let labels = [("team", "pay ments"), ("tier_2", "x")];
    assert_eq!(tenant.labels, labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
}

#[test]
fn rows_of_shared_topics_are_selected_by_a_column_or_a_header() {
    let selected = |text: &str| parse(text).unwrap().topics;
    let by = |by, value: &str| {
        let selection = Selection { by, value: value.to_owned() };
        TopicScope::Selected { selection, topics: ["t".to_owned(), "^shared\\.".to_owned()].into() }
    };
    let column = SelectBy::Column("after.tenant".to_owned());
    assert_eq!(selected("[select]\ntopics = ['t', '^shared\\.']\ncolumn = 'after.tenant'"), by(column, "acme"));
    let header = SelectBy::Header("tenant".to_owned());
    let shared = selected("[select]\ntopics = ['t', '^shared\\.']\nheader = 'tenant'\nvalue = '7'");
    assert_eq!(shared, by(header, "7"));
    let wanted = ["^.".to_owned()];
    for (topic, holds) in [("t", true), ("shared.orders", true), ("tt", false), ("other.shared.x", false)] {
        assert_eq!(shared.names(&wanted, topic), holds, "{topic}");
    }
    let tenant = parse("[select]\ntopics = ['t']\ncolumn = 'c'").unwrap();
    let problems = plugin(&Arc::new(tenant), "topics = ['t', 'other.orders', '^o']").unwrap_err();
    assert_eq!(problems, "plugin.toml:1:1: topics: other.orders is not one of tenant acme, which shares t");
}

#[test]
fn each_mistake_has_its_place_and_what_to_do() {
    for (text, expected) in [
        ("", "tenant.toml: prefix: not given"),
        ("prefix = 'acme'", "tenant.toml:1:1: prefix: does not end with . - or _\n  hint: \"acme.\" would not be"),
        ("prefix = 'a.'\n[select]\ncolumn = 'c'", "tenant.toml:3:1: select: beside prefix"),
        ("[select]\ntopics = 't'\ncolumn = 'c'\nheader = 'h'", "tenant.toml:3:1: select.header: beside select.column"),
        ("[select]\ntopics = 't'\nvalue = 'c'", "tenant.toml:3:1: select.value: of what?"),
        ("[select]\ncolumn = 'c'", "tenant.toml:2:1: select.topics: not given, so nobody knows of which topics"),
        ("[select]\ncolumn = 'c'\ntopics = ['^(']", "tenant.toml:3:1: select.topics: ^( is no regular expression"),
        ("prefix = 'a.'\nweight = 0", "tenant.toml:2:1: weight: not a number from 1 to 1000"),
        ("prefix = 'a.'\nweight = 'x'", "tenant.toml:2:1: weight: not a number from 1 to 1000"),
        ("prefix = 'a.'\n[limits]\ncpu_share = 1.5", "tenant.toml:3:1: limits.cpu_share: not a number above 0"),
        ("prefix = 'a.'\n[limits]\nmemory_mib = 0", "tenant.toml:3:1: limits.memory_mib: not a number of MiB above 0"),
        ("prefix = 'a.'\n[labels]\nTeam = 'x'", "tenant.toml:3:1: labels.Team: not the name of a label"),
        ("prefix = 'a.'\n[labels]\ntenant = 'x'", "tenant.toml:3:1: labels.tenant: not the name of a label"),
        ("prefix = 'a.'\nprefx = 'b'", "tenant.toml:2:1: prefx: there is no such key\n  hint: did you mean prefix?"),
        ("prefix = 'a.'\n[clickhouse]\nurl = 'http://x'", "tenant.toml:3:1: clickhouse.url: another server without"),
        (
            "prefix = 'a.'\n[clickhouse]\npassword_env = 'PATH'",
            "tenant.toml:3:1: clickhouse: a password without clickhouse.user",
        ),
        (
            "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword = 'hunter2'",
            "tenant.toml:4:1: clickhouse.password: no password stands in tenant.toml, which others may read\n  hint: name a \
             file with clickhouse.password_file, or a variable with clickhouse.password_env",
        ),
        (
            "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword_env = 'NO_SUCH_VARIABLE'",
            "tenant.toml:4:1: clickhouse.password_env: there is no NO_SUCH_VARIABLE in the engine's environment",
        ),
        (
            "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword_file = '/nowhere'",
            "tenant.toml:4:1: clickhouse.password_file: /nowhere can't be read",
        ),
        (
            "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword_file = '/dev/null'",
            "tenant.toml:4:1: clickhouse.password_file: /dev/null is empty",
        ),
        (
            "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword_env = 'PATH'\npassword_file = '/etc/hostname'",
            "tenant.toml:4:1: clickhouse.password_env: beside clickhouse.password_file",
        ),
    ] {
        let problems = parse(text).unwrap_err();
        assert!(problems.starts_with(expected), "{text}\n{problems}");
        assert!(!problems.contains("hunter2"), "{problems}");
    }
}

#[test]
fn a_tenant_is_named_so_that_it_reads_well() {
    for (name, good) in [
        ("acme", true),
        ("a-b_9", true),
        ("9x", true),
        ("Acme", false),
        ("-a", false),
        ("a.b", false),
        ("default", false),
    ] {
        let read = parse_tenant(&Path::new("plugins").join(name), "prefix = ''", &default());
        assert_eq!(read.is_ok(), good, "{name}: {read:?}");
    }
}

#[test]
fn a_password_comes_from_a_file_or_the_environment_and_is_never_shown() {
    let folder = tempfile::tempdir().unwrap();
    let tenant = folder.path().join("acme");
    fs::create_dir(&tenant).unwrap();
    fs::write(tenant.join("secret"), "hunter2\n").unwrap();
    let text = "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword_file = 'secret'";
    let read = parse_tenant(&tenant, text, &default()).unwrap();
    assert_eq!(read.clickhouse.password.expose(), "hunter2");
    assert_eq!(password_file(&tenant, text), Some(tenant.join("secret")));
    let plugin = parse_plugin(&tenant.join("p"), "topics = ['a.t']", &Arc::new(read.clone())).unwrap();
    let settings = serde_json::to_string(&plugin.settings).unwrap();
    assert!(!format!("{read:?} {plugin:?} {settings}").contains("hunter2"));

    let text = "prefix = 'a.'\n[clickhouse]\nuser = 'u'\npassword_env = 'PATH'";
    let read = parse_tenant(&tenant, text, &default()).unwrap();
    assert_eq!(read.clickhouse.password.expose(), std::env::var("PATH").unwrap());
}

fn plugin(tenant: &Arc<Tenant>, text: &str) -> Result<PluginFile, String> {
    let read = parse_plugin(Path::new("plugins/acme/p"), text, tenant);
    read.map_err(|problems| problems.to_string().replace("plugins/acme/p/", ""))
}

#[test]
fn a_plugin_reads_its_tenants_topics_alone() {
    let tenant = acme("");
    let file = plugin(&tenant, "topics = ['acme.orders', '^.*orders$']").unwrap();
    assert!(file.reads("acme.orders") && file.reads("acme.more.orders"));
    assert!(!file.reads("other.orders") && !file.reads("acme.users"));
    assert_eq!((file.settings.tenant.as_str(), file.settings.database.as_str()), ("acme", "acme"));
    let problems = plugin(&tenant, "topics = ['acme.orders', 'other.orders', 'acmeorders']").unwrap_err();
    let expected = "plugin.toml:1:1: topics: other.orders is not one of tenant acme, whose topics begin with acme.\n\
                    plugin.toml:1:1: topics: acmeorders is not one of tenant acme, whose topics begin with acme.";
    assert_eq!(problems, expected);
}

#[test]
fn a_plugin_writes_tables_of_its_tenants_database_alone() {
    let tenant = acme("");
    for name in ["other.orders", "`a`", "a b", "", "engine_fences", "9a", "a-b", "a\\"] {
        for (key, at) in [
            (format!("bronze = {name:?}"), "plugin.toml:2:1: bronze: "),
            (format!("dead_letters = {name:?}"), "plugin.toml:2:1: dead_letters: "),
            (format!("[tables]\norders = {name:?}"), "plugin.toml:3:1: tables.orders: "),
        ] {
            let problems = plugin(&tenant, &format!("topics = ['acme.t']\n{key}")).unwrap_err();
            assert!(problems.starts_with(at), "{key}: {problems}");
        }
    }
    let file = plugin(&tenant, "topics = ['acme.t']\nbronze = 'Bronze_1'").unwrap();
    assert_eq!(file.settings.kind, Kind::Bronze { table: "Bronze_1".to_owned() });
}

#[test]
fn a_plugins_limits_are_within_its_tenants() {
    let tenant = acme("[limits]\nmemory_mib = 128\ncall_ms = 1000\nstate_disk_mib = 0\nlog_lines_per_second = 3");
    let limits = plugin(&tenant, "topics = ['acme.t']\n[limits]\nmemory_mib = 64").unwrap().settings.limits;
    assert_eq!((limits.memory_bytes, limits.call_ms, limits.state_disk_bytes), (64 << 20, 1000, 0));
    let default = SandboxLimits::default();
    assert_eq!((limits.output_bytes, limits.log_lines_per_second), (default.output_bytes, 3));
    let problems = plugin(&tenant, "topics = ['acme.t']\n[limits]\nmemory_mib = 129\ncall_ms = 1001").unwrap_err();
    let expected = "plugin.toml:3:1: limits.memory_mib: more than the 128 MiB that the tenant has\n\
                    plugin.toml:4:1: limits.call_ms: more than the 1000 ms that the tenant has";
    assert_eq!(problems, expected);
}

#[test]
fn a_shared_plugin_lies_in_the_folder_for_it_whoever_names_it() {
    let file = plugin(&acme(""), "topics = ['acme.t']\nshared = 'orders'").unwrap();
    assert_eq!(file.artifact, Path::new("plugins/_shared/orders/plugin.wasm"));
    let own = parse_plugin(Path::new("plugins/p"), "topics = ['t']\nshared = 'orders'", &Arc::new(default())).unwrap();
    assert_eq!(own.artifact, Path::new("plugins/_shared/orders/plugin.wasm"));
    for name in ["../other/orders", "..", ".", "", "a/b"] {
        let problems = plugin(&acme(""), &format!("topics = ['acme.t']\nshared = '{name}'")).unwrap_err();
        assert!(problems.starts_with("plugin.toml:2:1: shared: not the name of a folder"), "{problems}");
    }
    let problems = plugin(&acme(""), "topics = ['acme.t']\nshared = 'orders'\nbronze = 'b'").unwrap_err();
    assert!(problems.starts_with("plugin.toml:2:1: shared: beside bronze"), "{problems}");
}

#[test]
fn what_selects_a_tenants_rows_decides_them() {
    let digest = |text: &str| {
        let tenant = Arc::new(parse(text).unwrap());
        plugin(&tenant, "topics = ['t']").unwrap().settings.digest()
    };
    let by_column = digest("[select]\ntopics = 't'\ncolumn = 'c'");
    assert_ne!(by_column, digest("[select]\ntopics = 't'\ncolumn = 'd'"));
    assert_ne!(by_column, digest("[select]\ntopics = 't'\ncolumn = 'c'\nvalue = 'x'"));
    assert_ne!(by_column, digest("prefix = ''"));
    // Who the tenant is at the server decides no row.
    assert_eq!(by_column, digest("weight = 2\n[select]\ntopics = 't'\ncolumn = 'c'\n[clickhouse]\nuser = 'u'"));
}

/// A folder of plugins with these files.
fn world(files: &[(&str, &str)]) -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    let overlay = Overlay {
        flags: vec![("--plugins".to_owned(), "plugins".to_owned(), folder.path().display().to_string())],
        ignore_default_file: true,
        no_source: true,
        ..Overlay::default()
    };
    let config = Config::read(&overlay).unwrap();
    (folder, config)
}

#[test]
fn one_tenants_mistakes_are_its_own() {
    let (folder, config) = world(&[
        ("own/plugin.toml", "topics = ['t']"),
        ("_shared/orders/plugin.wasm", ""),
        ("good/tenant.toml", "prefix = 'good.'"),
        ("good/p/plugin.toml", "topics = ['good.t']"),
        ("good/bad/plugin.toml", "topics = ['t']"),
        ("wrong/tenant.toml", "prefix = 'wrong'"),
        ("wrong/p/plugin.toml", "topics = ['wrong.t']"),
    ]);
    let declared = Declared::read(&config);
    let names: Vec<_> = declared.plugins.iter().map(|plugin| plugin.key().to_string()).collect();
    assert_eq!(names, ["own", "good/p"]);
    assert_eq!(declared.mistakes, Problems::default());
    assert!(declared.tenants["good"].is_ok() && declared.tenants["wrong"].is_err());
    assert_eq!(declared.of_tenants.0.len(), 1);
    let problems = read_plugins(&config).unwrap_err().to_string();
    assert_eq!(problems.lines().filter(|line| line.contains(".toml")).count(), 2, "{problems}");

    assert_eq!(read_plugin_of(&config, &PluginKey::new("good", "p")).unwrap().key(), PluginKey::new("good", "p"));
    let none = |key: &str| read_plugin_of(&config, &PluginKey::from(key.to_owned())).unwrap_err().to_string();
    assert!(none("good/x").contains("there is no plugin good/x in"), "{}", none("good/x"));
    assert!(none("good/x").ends_with(": own, good/bad, good/p, wrong/p"), "{}", none("good/x"));
    assert!(none("nobody/x").contains("there is no tenant nobody"));
    assert!(none("wrong/p").contains("prefix: does not end with"));
    drop(folder);
}

#[test]
fn a_folder_is_a_tenants_or_a_plugins() {
    let (folder, config) =
        world(&[("acme/tenant.toml", "prefix = 'acme.'"), ("acme/plugin.toml", "topics = ['acme.t']")]);
    let problems = read_plugins(&config).unwrap_err().to_string();
    let expected = "acme: there are tenant.toml and plugin.toml in one folder\n  hint: a tenant's plugins are folders in its \
                    folder: move plugin.toml and plugin.wasm into one";
    assert_eq!(problems.replace(&format!("{}/", folder.path().display()), ""), expected);
}

#[test]
fn a_value_of_a_shared_topic_is_one_tenants() {
    let (folder, config) = world(&[
        ("a/tenant.toml", "[select]\ntopics = 't'\ncolumn = 'tenant'\nvalue = '7'"),
        ("b/tenant.toml", "[select]\ntopics = 't'\ncolumn = 'tenant'\nvalue = 7"),
        ("c/tenant.toml", "[select]\ntopics = 't'\nheader = 'tenant'\nvalue = '7'"),
    ]);
    let problems = read_plugins(&config).unwrap_err().to_string();
    let expected = "b/tenant.toml: select.value: 7 is claimed by tenant a\n  hint: a message of a shared topic is one tenant's: \
                    give each a value of its own";
    assert_eq!(problems.replace(&format!("{}/", folder.path().display()), ""), expected);
}

#[test]
fn a_database_is_one_tenants() {
    let (folder, config) = world(&[
        ("a/tenant.toml", "prefix = 'a.'\n[clickhouse]\ndatabase = 'x'"),
        ("b/tenant.toml", "prefix = 'b.'\n[clickhouse]\ndatabase = 'x'"),
        ("c/tenant.toml", "prefix = 'c.'\n[clickhouse]\ndatabase = 'default'"),
        ("d/tenant.toml", "prefix = 'd.'\n[clickhouse]\ndatabase = 'x'\nurl = 'http://elsewhere'\nuser = 'd'"),
    ]);
    let problems = read_plugins(&config).unwrap_err().to_string();
    let problems = problems.replace(&format!("{}/", folder.path().display()), "");
    let expected = "b/tenant.toml: clickhouse.database: x is that of tenant a\n  hint: give each tenant a database of its own\n\
                    c/tenant.toml: clickhouse.database: default is that of tenant default\n  hint: give each tenant a database \
                    of its own";
    assert_eq!(problems, expected);
}

#[test]
fn a_certificate_of_the_engines_is_shown_to_its_own_server_alone() {
    let mut engines = default();
    engines.clickhouse.tls = Tls { authorities: None, client: Some((b"certificate".to_vec(), b"key".to_vec())) };
    let tls = |text: &str| {
        let tenant = parse_tenant(Path::new("plugins/acme"), &format!("prefix = 'acme.'\n{text}"), &engines).unwrap();
        tenant.clickhouse.tls
    };
    assert_eq!(tls(""), engines.clickhouse.tls);
    assert_eq!(tls("[clickhouse]\nuser = 'acme'"), engines.clickhouse.tls);
    assert_eq!(tls("[clickhouse]\nurl = 'https://theirs:8443'\nuser = 'acme'"), Tls::default());
}
