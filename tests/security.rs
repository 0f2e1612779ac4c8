//! Who may come, and what is shown: the engine at a broker and a server that ask for certificates and passwords, what it says
//! where it is not let in, and that no secret is in anything that it says.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use harness::certificates::Certificates;
use harness::clickhouse::ClickHouse;
use harness::engine::{Plugin, Setup, program};
use harness::kafka::Kafka;
use harness::place;
use harness::relay::Relay;
use harness::simulation::passing_plugin;
use harness::wait::wait_for;

const BOUND: Duration = Duration::from_secs(120);
const MESSAGES: usize = 10;
const BRONZE: Plugin<'_> = Plugin { name: "bronze", settings: "topics = [\"t\"]\nbronze = \"rows\"\n", artifact: None };
/// What nobody may read.
const SECRET: &str = "canary-7f3a9c";

/// An engine that copies a topic, by these settings.
fn copies(folder: &Path, clickhouse: &str, database: &str, settings: &str) -> Setup {
    let file = folder.join(format!("{database}.toml"));
    fs::write(&file, settings).expect("engine.toml");
    Setup::new(clickhouse, database).with(&["--config", &file.to_string_lossy()]).with_plugins(&[BRONZE])
}

/// It reads the whole topic.
fn gets_through(setup: &Setup, clickhouse: &ClickHouse) {
    let mut engine = setup.start_with(&["--until-idle"]);
    assert!(engine.wait(BOUND).success(), "{}", setup.database);
    let rows = clickhouse.query(&format!("SELECT count() FROM {}.rows", setup.database));
    assert_eq!(rows.trim(), MESSAGES.to_string(), "{}", setup.database);
}

/// `engine check` is not let in, and says what to do.
fn is_told(setup: &Setup, remedy: &str) {
    let (code, words) = setup.ask(&["check"], None);
    assert!(code != Some(0) && words.contains(remedy), "{}: {remedy} is not in {words}", setup.database);
    assert!(!words.contains(SECRET), "{words}");
}

/// GIVEN a broker that listens by TLS for those with a certificate, and for a user by each mechanism, THEN the engine reads from
/// it by each of them; WHEN the authority, the certificate, the user or the mechanism is wrong, THEN it says what to look at.
#[test]
fn kafka_by_tls_and_by_a_user() {
    let (certificates, clickhouse, folder) = (Certificates::make(), ClickHouse::start(), place::folder("security"));
    let kafka = Kafka::secured(&certificates, SECRET);
    kafka.create_topic("t", 1);
    let producer = kafka.producer();
    (0..MESSAGES).for_each(|n| producer.send("t", 0, "key", Some(&n.to_string())));
    producer.flush();
    let of = |name: &str| certificates.text(name);
    let (ca, other) = (of("ca.pem"), of("other-ca.pem"));
    let client = |name: &str| {
        format!("certificate = '{0}'\nkey = '{1}'\n", of(&format!("{name}.pem")), of(&format!("{name}.key")))
    };
    let user = |mechanism: &str, password: &str| {
        let file = folder.path().join(password);
        fs::write(&file, format!("{password}\n")).expect("a password");
        format!("user = 'engine'\npassword_file = '{}'\nmechanism = '{mechanism}'\n", file.display())
    };
    let at = |port: u16| format!("[kafka]\nbrokers = '127.0.0.1:{port}'\n");
    let (ssl, sasl_ssl, sasl) =
        (at(kafka.secure().ssl), at(kafka.secure().sasl_ssl), at(kafka.secure().sasl_plaintext));
    let case = |database: &str, settings: &str| copies(folder.path(), &clickhouse.http_url(), database, settings);

    for (database, settings) in [
        ("certificate", format!("{ssl}ca = '{ca}'\n{}", client("client"))),
        ("scram_256", format!("{sasl_ssl}ca = '{ca}'\n{}", user("SCRAM-SHA-256", SECRET))),
        ("scram_512", format!("{sasl_ssl}ca = '{ca}'\n{}", user("SCRAM-SHA-512", SECRET))),
        (
            "properties",
            format!(
                "{sasl}[kafka.properties]\n'security.protocol' = 'SASL_PLAINTEXT'\n'sasl.mechanism' = 'PLAIN'\n\
                 'sasl.username' = 'engine'\n'sasl.password' = '{SECRET}'\n"
            ),
        ),
    ] {
        gets_through(&case(database, &settings), &clickhouse);
    }
    for (database, settings, remedy) in [
        ("other_authority", format!("{ssl}ca = '{other}'\n{}", client("client")), "set kafka.ca"),
        ("no_certificate", format!("{ssl}ca = '{ca}'\n"), "check kafka.certificate and kafka.key"),
        ("strange_certificate", format!("{ssl}ca = '{ca}'\n{}", client("stranger")), "check kafka.certificate"),
        ("wrong_password", format!("{sasl_ssl}ca = '{ca}'\n{}", user("PLAIN", "wrong")), "check kafka.user"),
        ("wrong_scram", format!("{sasl}{}", user("SCRAM-SHA-256", "wrong")), "check kafka.user"),
    ] {
        is_told(&case(database, &settings), remedy);
    }
}

/// GIVEN a ClickHouse behind TLS that wants to see a certificate, THEN rows get there; WHEN its certificate is of another
/// authority, out of date or for another host, or ours is missing or a stranger's, THEN the engine says what to do.
#[test]
fn clickhouse_by_https() {
    let (certificates, clickhouse, folder) = (Certificates::make(), ClickHouse::start(), place::folder("security"));
    let recording = folder.path().join("recording.jsonl");
    let line = |offset| {
        format!(
            "{{\"topic\":\"t\",\"partition\":0,\"offset\":{offset},\"timestamp\":0,\"key\":\"k\",\"value\":\"v\"}}\n"
        )
    };
    fs::write(&recording, (0..MESSAGES).map(line).collect::<String>()).expect("a recording");
    let [good, expired, elsewhere] =
        ["server", "expired", "elsewhere"].map(|name| Relay::start(&certificates, name, clickhouse.port()));
    let of = |name: &str| certificates.text(name);
    let ca = |name: &str| format!("[clickhouse]\nca = '{}'\n", of(name));
    let client = |name: &str| {
        format!("certificate = '{}'\nkey = '{}'\n", of(&format!("{name}.pem")), of(&format!("{name}.key")))
    };
    let case = |relay: &Relay, database: &str, settings: &str| {
        let source = ["--source", &recording.to_string_lossy()].map(str::to_owned);
        copies(folder.path(), &relay.url(), database, settings).with(&source.each_ref().map(String::as_str))
    };
    let right = format!("{}{}", ca("ca.pem"), client("client"));
    gets_through(&case(&good, "encrypted", &right), &clickhouse);
    for (relay, database, settings, remedy) in [
        (&good, "other_authority", format!("{}{}", ca("other-ca.pem"), client("client")), "set clickhouse.ca"),
        (&good, "no_certificate", ca("ca.pem"), "check clickhouse.certificate and clickhouse.key"),
        (
            &good,
            "strange_certificate",
            format!("{}{}", ca("ca.pem"), client("stranger")),
            "check clickhouse.certificate",
        ),
        (&expired, "expired", right.clone(), "the server's certificate is out of date"),
        (&elsewhere, "elsewhere", right.clone(), "the server's certificate is for another name"),
    ] {
        is_told(&case(relay, database, &settings), remedy);
    }
    let plain = format!("https://127.0.0.1:{}", clickhouse.port());
    let setup = copies(folder.path(), &plain, "plain", &right).with(&["--source", &recording.to_string_lossy()]);
    is_told(&setup, "does not speak TLS at this port");
}

/// GIVEN secrets in every setting that has one, wrong ones at that, WHEN the engine runs as loudly as it can, is checked, and is
/// asked for all that it shows, THEN none of them is in any of it.
#[test]
fn no_secret_is_ever_shown() {
    let (certificates, clickhouse, folder) = (Certificates::make(), ClickHouse::start(), place::folder("security"));
    let kafka = Kafka::secured(&certificates, "another");
    let secret = |name: &str| {
        let file = folder.path().join(name);
        fs::write(&file, format!("{SECRET}-{name}\n")).expect("a secret");
        file.display().to_string()
    };
    let listen = format!("127.0.0.1:{}", place::free_port());
    let plugins = plugins(folder.path());
    let settings = |user: &str| {
        format!(
            "listen = '{listen}'\nplugins = '{}'\ndata_dir = '{}'\n\
             [kafka]\nbrokers = '127.0.0.1:{}'\nuser = 'engine'\npassword_file = '{}'\nmechanism = 'PLAIN'\n\
             [kafka.properties]\n'ssl.key.password' = '{SECRET}-property'\n\
             [clickhouse]\nurl = '{}'\nuser = '{user}'\npassword = '{SECRET}-clickhouse'\n\
             [registry]\nurl = 'http://127.0.0.1:1'\nuser = 'me'\npassword_file = '{}'\n",
            plugins.display(),
            folder.path().join("data").display(),
            kafka.secure().sasl_plaintext,
            secret("kafka"),
            clickhouse.http_url(),
            secret("registry"),
        )
    };
    let file = folder.path().join("engine.toml");
    let engine = |command: &str| {
        let mut engine = Command::new(program());
        engine.args([command, "--config"]).arg(&file).current_dir(folder.path());
        engine
            .env("ENGINE_CONTROL_TOKEN", format!("{SECRET}-token"))
            .env("ENGINE_LOG", "trace")
            .env("RUST_BACKTRACE", "full");
        engine
    };
    let mut said = Vec::new();
    // One who needs no password, and one who is not known.
    for user in ["default", "nobody"] {
        fs::write(&file, settings(user)).expect("engine.toml");
        let output = engine("check").output().expect("the program runs");
        said.push((format!("check, {user}"), [output.stdout, output.stderr].concat()));
        let log = folder.path().join(format!("{user}.log"));
        let out = fs::File::create(&log).expect("a log");
        let mut running =
            engine("run").stdout(out.try_clone().expect("a log")).stderr(Stdio::from(out)).spawn().expect("it runs");
        let client = reqwest::blocking::Client::new();
        let ask = |path: &str| {
            let asked = client.get(format!("http://{listen}{path}")).bearer_auth(format!("{SECRET}-token"));
            asked.send().and_then(reqwest::blocking::Response::text)
        };
        wait_for("the engine to say in /health that the broker refuses it", BOUND, || match ask("/health") {
            Ok(health) if health.contains("topics of plugin passing can't be listed: Kafka refuses access") => Ok(()),
            Ok(health) => Err(health),
            Err(error) => Err(error.to_string()),
        });
        for path in ["/health", "/metrics", "/plugins", "/plugins/passing/history"] {
            said.push((format!("{path}, {user}"), ask(path).expect("an answer").into_bytes()));
        }
        running.kill().and_then(|()| running.wait()).expect("ended");
        said.push((format!("log, {user}"), fs::read(&log).expect("a log")));
    }
    // Mistakes beside them.
    fs::write(&file, settings("default").replace("mechanism = 'PLAIN'", "mechanism = 'PLAIM'\nnonsense = 1"))
        .expect("engine.toml");
    let output = engine("check").output().expect("the program runs");
    assert_eq!(output.status.code(), Some(2));
    said.push(("mistakes".to_owned(), [output.stdout, output.stderr].concat()));
    for (what, said) in said {
        let said = String::from_utf8_lossy(&said);
        assert!(!said.is_empty(), "{what} is empty");
        let at = said.find(SECRET).map(|at| said[..at].lines().last().unwrap_or_default().to_owned());
        assert_eq!(at, None, "{what}");
    }
    // Nor in what it keeps.
    let kept = Command::new("grep").args(["-rlF", SECRET]).arg(folder.path().join("data")).output().expect("grep runs");
    assert_eq!(String::from_utf8_lossy(&kept.stdout), "");
}

fn plugins(folder: &Path) -> PathBuf {
    let plugins = folder.join("plugins");
    fs::create_dir_all(plugins.join("passing")).expect("a folder");
    fs::write(plugins.join("passing/plugin.wasm"), passing_plugin()).expect("plugin.wasm");
    fs::write(plugins.join("passing/plugin.toml"), "topics = ['t']\n").expect("plugin.toml");
    plugins
}

/// GIVEN an artifact whose digest plugin.toml names, THEN it runs; WHEN another one lies there, THEN that is refused in words, at
/// the start and while the engine runs, which goes on with what it had.
#[test]
fn an_artifact_that_is_not_the_pinned_one_is_refused() {
    let (clickhouse, folder) = (ClickHouse::start(), place::folder("security"));
    let recording = folder.path().join("recording.jsonl");
    fs::write(&recording, "").expect("a recording");
    let setup = Setup::new(&clickhouse.http_url(), "pinned")
        .with(&["--source", &recording.to_string_lossy()])
        .with_plugins(&[Plugin { name: "passing", settings: "", artifact: None }]);
    let wasm = setup.plugins.join("passing/plugin.wasm");
    let (meant, other) = (passing_plugin(), harness::simulation::trapping_plugin());
    let pin = |digest: &str| {
        let text = format!("topics = ['t']\nsha256 = '{digest}'\n");
        fs::write(setup.plugins.join("passing/plugin.toml"), text).expect("plugin.toml");
    };
    fs::write(&wasm, &meant).expect("plugin.wasm");
    let output = Command::new("sha256sum").arg(&wasm).output().expect("sha256sum runs");
    let digest = String::from_utf8_lossy(&output.stdout)[..64].to_owned();
    pin(&"0".repeat(64));
    let (code, words) = setup.ask(&["check"], None);
    assert!(code == Some(2) && words.contains(&format!("its SHA-256 is {digest}")), "{words}");
    pin(&digest);
    assert_eq!(setup.ask(&["check"], None).0, Some(0));
    let mut engine = setup.start();
    engine.wait_until_up();
    fs::write(&wasm, &other).expect("plugin.wasm");
    wait_for("the other artifact to be refused", BOUND, || {
        let health = engine.health();
        if health.contains("plugin.toml lets only") { Ok(()) } else { Err(health) }
    });
    engine.terminate();
}
