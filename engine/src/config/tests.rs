#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::decode::{Case, Encoding, Policy};
use crate::sink::ClickHouseSettings;
use crate::source::Start;
use crate::transform::Kind;

fn flag(flag: &str, key: &str, value: &str) -> (String, String, String) {
    (flag.into(), key.into(), value.into())
}

/// Reads settings from this file's text, this environment and these flags.
fn read(text: &str, environment: &[(&str, &str)], flags: &[(String, String, String)]) -> Result<Config, Vec<String>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("engine.toml");
    fs::write(&file, text).unwrap();
    let overlay = Overlay {
        file: Some(file),
        flags: flags.to_vec(),
        environment: environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
        ..Overlay::default()
    };
    let folder = format!("{}/", folder.path().display());
    Config::read(&overlay).map_err(|problems| problems.0.iter().map(|p| p.to_string().replace(&folder, "")).collect())
}

/// Settings with this folder of plugins.
fn below(plugins: &Path) -> Config {
    let plugins = plugins.display().to_string();
    let environment =
        [("ENGINE_KAFKA_BROKERS", "x:1"), ("ENGINE_PLUGINS", &plugins), ("ENGINE_CLICKHOUSE_DATABASE", "db")];
    read("", &environment, &[]).unwrap()
}

#[test]
fn flags_win_over_the_environment_which_wins_over_the_file() {
    let text = "data_dir = 'file'\nplugins = 'file'\n[kafka]\nbrokers = 'file:1'";
    let environment = [("ENGINE_KAFKA_BROKERS", "env:1"), ("ENGINE_PLUGINS", "env")];
    let config = read(text, &environment, &[flag("--kafka", "kafka.brokers", "flag:1")]).unwrap();
    let Input::Kafka(kafka) = config.input else { panic!("{:?}", config.input) };
    assert_eq!(kafka.brokers, "flag:1");
    assert_eq!(config.plugins, Path::new("env"));
    assert_eq!(config.data_dir, Path::new("file"));
}

#[test]
fn all_mistakes_are_reported_at_once_with_their_places() {
    let text = "[kafka]\nbroker = 'x:1'\n[clickhouse]\ncompression = 'lz5'\n  [batch]\nlinger_ms = 'soon'\n";
    let problems = read(text, &[], &[flag("--set", "listen", "nowhere")]).unwrap_err();
    let expected = [
        "settings: kafka.brokers: not given\n  hint: give --kafka HOST:PORT, ENGINE_KAFKA_BROKERS, or brokers below \
         [kafka] in engine.toml; or recorded messages with --source FILE",
        "engine.toml:4:1: clickhouse.compression: not one of none, lz4",
        "flag --set: listen: not an address and port, such as 127.0.0.1:8080",
        "engine.toml:6:1: batch.linger_ms: not a number of ms",
        "engine.toml:2:1: kafka.broker: there is no such key\n  hint: did you mean kafka.brokers?",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn a_syntax_error_has_its_line() {
    let problems = read("listen = \nplugins = 'p'\n[kafka]\nbrokers = 'x:1'", &[], &[]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with("engine.toml:1:"), "{problems:?}");
}

/// A cluster sets variables of its own for a service that is called `engine`.
#[test]
fn variables_of_others_are_left_alone_and_misspelt_ones_are_not() {
    let brokers = ("ENGINE_KAFKA_BROKERS", "x:1");
    let others = [brokers, ("ENGINE_PORT", "tcp://10.0.0.1:80"), ("ENGINE_SERVICE_HOST", "10.0.0.1")];
    assert!(read("", &others, &[]).is_ok());
    let problems = read("", &[brokers, ("ENGINE_CLICKHOUSE_PASWORD", "x")], &[]).unwrap_err();
    assert_eq!(
        problems,
        ["environment ENGINE_CLICKHOUSE_PASWORD: clickhouse.pasword: there is no such key\n  hint: did you mean \
          clickhouse.password?"]
    );
}

#[test]
fn kafka_properties_come_from_the_environment_too() {
    let environment = [("ENGINE_KAFKA_BROKERS", "x:1"), ("ENGINE_KAFKA_PROPERTIES_SASL_PASSWORD", "secret")];
    let config = read("[kafka.properties]\n'security.protocol' = 'SASL_SSL'", &environment, &[]).unwrap();
    let Input::Kafka(kafka) = &config.input else { panic!("{:?}", config.input) };
    assert_eq!(kafka.properties["sasl.password"], "secret");
    assert_eq!(kafka.properties["security.protocol"], "SASL_SSL");
    assert!(!format!("{config:?}").contains("secret"));
}

#[test]
fn a_plugin_has_its_settings_from_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("orders")).unwrap();
    fs::create_dir(folder.path().join(".git")).unwrap();
    let text = "topics = ['a', '^b']\nstart = 'latest'\nplugin_column = true\n[tables]\norders = 'o'\n[parameters]\nlimit = 7\n[limits]\nmemory_mib = 1";
    fs::write(folder.path().join("orders/plugin.toml"), text).unwrap();
    let [plugin] = <[PluginFile; 1]>::try_from(read_plugins(&below(folder.path())).unwrap()).unwrap();
    assert_eq!(plugin.topics, ["a", "^b"]);
    assert_eq!(plugin.start, Start::Latest);
    assert_eq!((plugin.settings.name.as_str(), plugin.settings.database.as_str()), ("orders", "db"));
    assert_eq!(plugin.settings.kind, Kind::Plugin);
    assert_eq!(plugin.settings.tables["orders"], "o");
    assert_eq!(plugin.settings.parameters["limit"], "7");
    // Only the plugin can judge it, so its place is kept.
    assert!(plugin.place("parameters.limit").to_string().ends_with("plugin.toml:7:1"));
    assert!(plugin.place("parameters.missing").to_string().ends_with("plugin.toml"));
    assert_eq!(plugin.settings.limits.memory_bytes, 1 << 20);
    assert!(plugin.settings.plugin_column);
}

#[test]
fn mistakes_of_all_plugins_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b", "c", "d"] {
        fs::create_dir(folder.path().join(name)).unwrap();
    }
    fs::write(folder.path().join("a/plugin.toml"), "topic = ['x']\n").unwrap();
    fs::write(folder.path().join("d/plugin.toml"), "# shop\ntopics = ['x', '^shop.(y']\n").unwrap();
    let text = "topics = ['x']\nbronze = 'x'\nplugin_column = true\n[limits]\nmemory_mib = 5000\n";
    fs::write(folder.path().join("b/plugin.toml"), text).unwrap();
    let problems = read_plugins(&below(folder.path())).unwrap_err().to_string();
    let root = format!("{}/", folder.path().display());
    let expected = "\
a/plugin.toml: topics: not given
  hint: topics = [\"server.schema.table\"], or a regular expression that begins with ^
a/plugin.toml:1:1: topic: there is no such key
  hint: did you mean topics?
b/plugin.toml:3:1: plugin_column: there is no plugin that could have made a row
  hint: the rows of a bronze table are the messages as they came: leave it out
b/plugin.toml:5:1: limits.memory_mib: not between 1 and 4096
c: there is no plugin.toml
  hint: a plugin is a folder with plugin.toml and plugin.wasm
d/plugin.toml:2:1: topics: ^shop.(y is no regular expression: found open group without closing ')'";
    assert_eq!(problems.replace(&root, ""), expected);
}

#[test]
fn a_registry_has_its_credentials_and_certificates_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let password = folder.path().join("password");
    fs::write(&password, "s3cret\n").unwrap();
    let text = format!(
        "[kafka]\nbrokers = 'x:1'\n[registry]\nurl = 'https://r:1/api'\nuser = 'me'\npassword_file = '{}'",
        password.display()
    );
    let config = read(&text, &[], &[]).unwrap();
    let registry = config.registry.as_ref().unwrap();
    assert_eq!((registry.url.as_str(), registry.user.as_ref().unwrap().0.as_str()), ("https://r:1/api", "me"));
    assert_eq!(registry.user.as_ref().unwrap().1.expose(), "s3cret");
    assert!(!format!("{config:?}").contains("s3cret"));
    let environment = [("ENGINE_KAFKA_BROKERS", "x:1"), ("ENGINE_REGISTRY_URL", "http://r:2")];
    assert_eq!(read("", &environment, &[]).unwrap().registry.unwrap().url, "http://r:2");
    assert!(read("", &environment[..1], &[]).unwrap().registry.is_none());
}

#[test]
fn mistakes_about_a_registry_are_reported_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pem");
    fs::write(&file, "no certificate").unwrap();
    let file = file.display().to_string();
    let text = format!(
        "[kafka]\nbrokers = 'x:1'\n[registry]\npassword = 'p'\nca = '{file}'\nkey = '{file}'\ntoken_file = '/nowhere'\nurls = 'x'"
    );
    let problems = read(&text, &[], &[]).unwrap_err();
    let expected = [
        "engine.toml:7:1: registry.token_file: /nowhere can't be read: No such file or directory (os error 2)",
        "engine.toml:6:1: registry.key: without registry.certificate",
        "engine.toml:5:1: registry.ca: holds no certificate",
        "engine.toml:4:1: registry: settings without registry.url, its address",
        "engine.toml:4:1: registry.password: without registry.user",
        "engine.toml:8:1: registry.urls: there is no such key\n  hint: did you mean registry.url?",
    ];
    assert_eq!(problems, expected);
}

#[test]
fn policies_are_one_of_their_case_and_mistakes_have_their_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("a")).unwrap();
    let file = folder.path().join("a/plugin.toml");
    let text = "topics = ['x']\nplaceholder = '?'\n[policies]\ninfinity = 'clamp'\n\
                [columns.paid_at]\ninfinity = 'null'\n[columns.'a.b']\nencoding = 'hex'\n";
    fs::write(&file, text).unwrap();
    let [plugin] = <[PluginFile; 1]>::try_from(read_plugins(&below(folder.path())).unwrap()).unwrap();
    let settings = plugin.settings;
    assert_eq!(settings.placeholder, "?");
    assert_eq!(settings.policies, [(Case::Infinity, Policy::Clamp)].into());
    assert_eq!(settings.columns["paid_at"].policies, [(Case::Infinity, Policy::Null)].into());
    assert_eq!(settings.columns["a.b"].encoding, Some(Encoding::Hex));

    fs::write(&file, "topics = ['x']\n[policies]\nnan = 'clamp'\n[columns.c]\ninfinit = 'null'\n").unwrap();
    let problems = read_plugins(&below(folder.path())).unwrap_err().to_string();
    assert!(problems.contains("a/plugin.toml:3:1: policies.nan: not one of keep, reject, null"), "{problems}");
    assert!(problems.contains("a/plugin.toml:5:1: columns.c.infinit: there is no such key"), "{problems}");
    assert!(problems.contains("did you mean columns.c.infinity?"), "{problems}");
}

#[test]
fn a_rollout_is_within_its_bounds_and_has_what_its_mode_knows() {
    let folder = tempfile::tempdir().unwrap();
    let parse = |text: &str| {
        parse_plugin(
            folder.path(),
            &format!("topics = ['x']\n[rollout]\n{text}"),
            &below(folder.path()).default_tenant(),
        )
    };
    assert_eq!(parse("").unwrap().rollout, Rollout::default());
    let text = "mode = 'canary'\nshare = 0.25\npromote = 'when-equal'\nprobation_s = 5\nprobation_rows = 1000\n\
                max_dead_letters = 0\nmax_cost = 1.5";
    let expected = Rollout {
        mode: Mode::Canary,
        share: 0.25,
        probation: Duration::from_secs(5),
        probation_rows: Some(1000),
        max_dead_letters: 0.0,
        max_cost: 1.5,
        promote: Promote::WhenEqual,
    };
    assert_eq!(parse(text).unwrap().rollout, expected);

    let text = "mode = 'shadow'\nshare = 2\nprobation_s = 90000\nprobation_rows = 0\nmax_dead_letters = -0.1\nmax_cost = 0.5\n\
                promote = 'soon'";
    let problems = parse(text).unwrap_err().to_string().replace(&format!("{}/", folder.path().display()), "");
    let expected = "\
plugin.toml:4:1: rollout.share: has a meaning for mode = \"canary\" alone
plugin.toml:4:1: rollout.share: not between 0 and 1
plugin.toml:9:1: rollout.promote: not one of by-hand, when-equal
plugin.toml:5:1: rollout.probation_s: not between 0 and 86400
plugin.toml:6:1: rollout.probation_rows: not at least 1
plugin.toml:7:1: rollout.max_dead_letters: not between 0 and 1
plugin.toml:8:1: rollout.max_cost: not between 1 and 1000";
    assert_eq!(problems, expected);
    assert!(parse("promote = 'by-hand'").unwrap_err().to_string().contains("has a meaning for mode = \"shadow\""));
    assert!(parse("max_cost = nan").unwrap_err().to_string().contains("not between 1 and 1000"));
}

#[test]
fn kafkas_security_in_the_engines_words_is_librdkafkas() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        fs::write(folder.path().join(name), text).unwrap();
        folder.path().join(name).display().to_string()
    };
    let (password, key) = (file("password", "s3cret\n"), file("key", "any"));
    let properties = |more: &str| {
        let config = read(&format!("[kafka]\nbrokers = 'x:1'\n{more}"), &[], &[]).unwrap();
        assert!(!format!("{config:?}").contains("s3cret"));
        let Input::Kafka(kafka) = config.input else { panic!("Kafka") };
        kafka.properties.into_iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>()
    };
    assert_eq!(properties(""), Vec::<String>::new());
    assert_eq!(properties("tls = true"), ["security.protocol=SSL"]);
    assert_eq!(
        properties(&format!("certificate = '{key}'\nkey = '{key}'")),
        [
            "security.protocol=SSL".to_owned(),
            format!("ssl.certificate.location={key}"),
            format!("ssl.key.location={key}")
        ]
    );
    let user = format!("user = 'me'\nmechanism = 'SCRAM-SHA-256'\npassword_file = '{password}'");
    let sasl = ["sasl.mechanism=SCRAM-SHA-256", "sasl.password=s3cret", "sasl.username=me"];
    assert_eq!(properties(&user), [&sasl[..], &["security.protocol=SASL_PLAINTEXT"]].concat());
    assert_eq!(properties(&format!("{user}\ntls = true")), [&sasl[..], &["security.protocol=SASL_SSL"]].concat());
}

#[test]
fn mistakes_about_security_are_reported_without_the_secret() {
    let of = |text: &str| read(&format!("[kafka]\nbrokers = 'x:1'\n{text}"), &[], &[]).unwrap_err().join("\n");
    for (text, expected) in [
        ("user = 'me'\npassword = 's3cret'", "kafka.user: without kafka.mechanism"),
        ("user = 'me'\nmechanism = 'PLAIN'", "kafka.user: without a password"),
        ("password = 's3cret'", "kafka: a password or mechanism without kafka.user"),
        ("user = 'me'\npassword = 's3cret'\nmechanism = 'GSSAPI'", "kafka.mechanism: not one of PLAIN, SCRAM-SHA-256"),
        (
            "user = 'me'\npassword = 's3cret'\nmechanism = 'PLAIN'\nproperties.'sasl.password' = 's3cret'",
            "kafka.properties.sasl.password: beside settings of kafka",
        ),
        ("key = '/dev/null'", "kafka.key: without kafka.certificate"),
        ("tls = false\ncertificate = '/dev/null'\nkey = '/dev/null'", "kafka.tls: false, beside certificates"),
        ("[clickhouse]\nurl = 'http://me:s3cret@x:8123'", "clickhouse.url: holds a user or password"),
        ("[registry]\nurl = 'https://me:s3cret@x/api'", "registry.url: holds a user or password"),
        ("[clickhouse]\ncertificate = '/dev/null'\nkey = '/dev/null'", "is not https"),
        ("[clickhouse]\nurl = 'https://x'\nca = '/dev/null'", "clickhouse.ca: holds no certificate"),
    ] {
        let problems = of(text);
        assert!(problems.contains(expected) && !problems.contains("s3cret"), "{text}: {problems}");
    }
}

#[test]
fn settings_of_a_plugin_are_what_they_may_be() {
    let folder = Path::new("plugins/a");
    let tenant = Arc::new(Tenant::default_of(ClickHouseSettings::new("http://x"), "db"));
    let parse = |line: &str| parse_plugin(folder, &format!("topics = ['x']\n{line}"), &tenant);
    assert_eq!(parse("batch.linger_ms = 2000").unwrap().linger, Duration::from_secs(2));
    let digest = "AB".repeat(32);
    assert_eq!(parse(&format!("sha256 = '{digest}'")).unwrap().sha256, Some("ab".repeat(32)));
    for (line, expected) in [
        ("sha256 = 'ab12'", "sha256: not 64 hexadecimal digits"),
        (&*format!("sha256 = '{digest}'\nbronze = 't'"), "sha256: there is no plugin"),
        ("batch.linger_ms = 60001", "batch.linger_ms: not between 0 and 60000"),
        ("failure.max_failures = 2000", "failure.max_failures: not between 0 and 1000"),
        ("failure.policy = 'stop'", "failure.policy: not one of pause, park"),
    ] {
        let problems = parse(line).unwrap_err().to_string();
        assert!(problems.contains(expected), "{line}: {problems}");
    }
}

#[test]
fn memory_is_limited_to_what_is_said_or_to_a_part_of_the_machines() {
    let of = |text: &str| read(&format!("{text}\n[kafka]\nbrokers = 'x:1'"), &[], &[]).unwrap().memory_bytes;
    assert_eq!(of("memory_mib = 512"), 512 << 20);
    assert!(of("") > 64 << 20);
}
