//! Claims about the registry's client, against servers of the test's own.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::*;
use crate::batch::Message;
use crate::offsets::{OffsetRange, TopicPartition};
use crate::tls::Tls;

/// Answers requests, given as method, path and headers in one text, with status and body.
struct Server {
    address: String,
    asked: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Server {
    /// Ends it, so that its address is free.
    async fn stop(mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(address: &str, answer: impl Fn(&str) -> (u16, String) + Send + 'static) -> Server {
    let listener = TcpListener::bind(address).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = asked.clone();
    let task = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                if stream.read(&mut byte).await.unwrap_or(0) == 0 {
                    break;
                }
                request.push(byte[0]);
            }
            counter.fetch_add(1, Ordering::Relaxed);
            let (status, body) = answer(&String::from_utf8_lossy(&request));
            let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n\r\n", body.len());
            let _ = stream.write_all((head + &body).as_bytes()).await;
        }
    });
    Server { address, asked, task }
}

fn schema(text: &str) -> (u16, String) {
    (200, serde_json::json!({ "schema": text }).to_string())
}

fn not_found(code: u32) -> (u16, String) {
    (404, serde_json::json!({ "error_code": code, "message": "no" }).to_string())
}

fn settings(url: &str) -> RegistrySettings {
    RegistrySettings { url: url.to_owned(), user: None, token_file: None, tls: Tls::default() }
}

fn registry(address: &str, folder: &Path) -> Registry {
    Registry::new(&settings(&format!("http://{address}/api")), Artifacts::open(folder).unwrap()).unwrap()
}

/// A batch of messages with these schema ids.
fn batch(ids: &[u32]) -> RawBatch {
    let message = |(offset, id): (i64, &u32)| {
        let value = [&[0], &id.to_be_bytes()[..]].concat();
        Message::owned(offset, None, Some(b"key".to_vec()), Some(value), Vec::new())
    };
    RawBatch {
        partition: TopicPartition { topic: "t".into(), partition: 0 },
        range: OffsetRange { start: 0, end: 9 },
        messages: (0..).zip(ids).map(message).collect(),
        bytes: 0,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// The answers for these ids, in words; the registry must not make the lane wait.
async fn answers(registry: &Registry, ids: &[u32]) -> Vec<&'static str> {
    let schemas = registry.schemas_of(&batch(ids), |why| assert_eq!(why, None)).await.unwrap();
    let answers = schemas.answers.unwrap();
    let words = answers.values().map(|answer| match answer {
        Registered::Schema(_) => "schema",
        Registered::NotAvro => "not avro",
        Registered::Unknown => "unknown",
    });
    words.collect()
}

#[tokio::test]
async fn a_schema_is_asked_for_once_with_all_that_it_refers_to() {
    let server = serve("127.0.0.1:0", |request| {
        let reference = |subject: &str| serde_json::json!([{ "name": "n", "subject": subject, "version": 1 }]);
        let (text, references) = match request.split(' ').nth(1).unwrap() {
            "/api/schemas/ids/1" => (r#"["null","a.B"]"#, reference("b/ü")),
            "/api/subjects/b%2F%C3%BC/versions/1" => {
                (r#"{"type":"record","name":"a.B","fields":[{"name":"c","type":"C"}]}"#, reference("c"))
            }
            "/api/subjects/c/versions/1" => (r#"{"type":"fixed","name":"a.C","size":2}"#, serde_json::json!([])),
            "/api/schemas/ids/2" => return (200, r#"{"schema":"{}","schemaType":"JSON"}"#.into()),
            other => panic!("{other}"),
        };
        (200, serde_json::json!({ "schema": text, "references": references }).to_string())
    })
    .await;
    let folder = folder();
    let registry = registry(&server.address, folder.path());
    assert_eq!(answers(&registry, &[1, 2, 1]).await, ["schema", "not avro"]);
    assert_eq!(answers(&registry, &[2, 1]).await, ["schema", "not avro"]);
    assert_eq!(server.asked.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn credentials_are_sent_and_never_shown() {
    let folder = folder();
    let token = folder.path().join("token");
    fs::write(&token, "t0ken\n").unwrap();
    let basic = RegistrySettings { user: Some(("me".into(), "s3cret".to_owned().into())), ..settings("") };
    let bearer = RegistrySettings { token_file: Some(token), ..settings("") };
    for (settings, expected) in
        [(basic, "authorization: Basic bWU6czNjcmV0\r\n"), (bearer, "authorization: Bearer t0ken\r\n")]
    {
        let server =
            serve(
                "127.0.0.1:0",
                move |request| {
                    if request.contains(expected) { schema(r#""int""#) } else { (401, String::new()) }
                },
            )
            .await;
        let settings = RegistrySettings { url: format!("http://{}", server.address), ..settings };
        assert!(!format!("{settings:?}").contains("s3cret"));
        let registry = Registry::new(&settings, Artifacts::open(folder.path()).unwrap()).unwrap();
        assert_eq!(answers(&registry, &[1]).await, ["schema"]);
    }
}

#[tokio::test]
async fn only_the_registrys_own_no_is_believed_and_asked_for_twice() {
    let server = serve("127.0.0.1:0", |_| not_found(40403)).await;
    let folder = folder();
    assert_eq!(answers(&registry(&server.address, folder.path()), &[7]).await, ["unknown"]);
    assert_eq!(server.asked.load(Ordering::Relaxed), 2);

    // Another server, a proxy, a wrong path: no answer, so the lane waits.
    for other in
        [(404, "<html>".to_owned()), not_found(404), (503, String::new()), (302, String::new()), (200, "{}".into())]
    {
        let words = other.0.to_string();
        let server = serve("127.0.0.1:0", move |_| other.clone()).await;
        let registry = registry(&server.address, folder.path());
        let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
        let batch = batch(&[7]);
        tokio::select! {
            schemas = registry.schemas_of(&batch, |why| says.send(why).expect("the receiver is here")) => panic!("{words}: {schemas:?}"),
            why = said.recv() => {
                let why = why.unwrap().unwrap();
                assert!(why.contains("schema 7") && why.contains(&server.address), "{why}");
            }
        }
    }
}

#[tokio::test]
async fn a_lane_waits_for_a_registry_that_is_away_and_goes_on() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap().to_string()
    };
    let folder = folder();
    let registry = registry(&address, folder.path());
    let (says, mut said) = tokio::sync::mpsc::unbounded_channel();
    let batch = batch(&[1]);
    let waiting = registry.schemas_of(&batch, |why| says.send(why).unwrap());
    let comes = async {
        assert!(said.recv().await.unwrap().unwrap().contains("schema 1"));
        let server = serve(&address, |_| schema(r#""int""#)).await;
        assert_eq!(said.recv().await.unwrap(), None, "it must say that it no longer waits");
        server
    };
    let (schemas, _server) = tokio::join!(waiting, comes);
    assert_eq!(schemas.unwrap().answers.unwrap().len(), 1);
}

/// GIVEN a schema that was kept, WHEN the next process finds the registry away, THEN it goes on with what was kept, also to
/// make an epoch again; WHEN the registry is empty, THEN as well; WHEN it has another schema, THEN the lane stops.
#[tokio::test]
async fn a_kept_schema_needs_no_registry_and_betrays_another_one() {
    let folder = folder();
    let server = serve("127.0.0.1:0", |_| schema(r#""int""#)).await;
    let address = server.address.clone();
    let first = registry(&address, folder.path()).schemas_of(&batch(&[1]), |_| ()).await.unwrap();
    server.stop().await;

    let away = registry(&address, folder.path());
    assert_eq!(answers(&away, &[1]).await, ["schema"]);
    let again = Schemas::of_intent(&Artifacts::open(folder.path()).unwrap(), first.digests.as_ref()).unwrap();
    assert!(matches!(again.answers.unwrap()[&1], Registered::Schema(_)));

    let server = serve(&address, |_| not_found(40403)).await;
    assert_eq!(answers(&registry(&address, folder.path()), &[1]).await, ["schema"]);
    server.stop().await;

    let _server = serve(&address, |_| schema(r#""long""#)).await;
    let error = registry(&address, folder.path()).schemas_of(&batch(&[1]), |_| ()).await.unwrap_err();
    let RegistryError::Replaced { id: 1, file, .. } = error else { panic!("{error}") };
    fs::remove_file(file).unwrap();
    assert_eq!(answers(&registry(&address, folder.path()), &[1]).await, ["schema"]);
}

#[tokio::test]
async fn batches_without_ids_ask_nobody() {
    let folder = folder();
    let registry = registry("127.0.0.1:1", folder.path());
    let schemas = registry.schemas_of(&batch(&[]), |_| panic!("waits")).await.unwrap();
    assert!(schemas.answers.is_none() && schemas.digests.is_none());
}

/// A registry that shows itself by its own authority's certificate, and wants to see one of ours.
#[tokio::test(flavor = "multi_thread")]
async fn tls_with_an_authority_and_a_client_certificate() {
    let folder = folder();
    let openssl = |arguments: &str| {
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments}: {}", String::from_utf8_lossy(&output.stderr));
    };
    openssl("req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority");
    for (name, subject) in [("server", "/CN=localhost"), ("client", "/CN=engine")] {
        openssl(&format!("req -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr -subj {subject}"));
        fs::write(folder.path().join("names"), "subjectAltName=IP:127.0.0.1").unwrap();
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out {name}.pem -days 2 -extfile names"
        ));
    }
    fs::create_dir_all(folder.path().join("schemas/ids")).unwrap();
    let (_, body) = schema(r#""int""#);
    fs::write(folder.path().join("schemas/ids/1"), format!("HTTP/1.0 200 OK\r\n\r\n{body}")).unwrap();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut server = Command::new("openssl");
    server.args(["s_server", "-HTTP", "-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem", "-quiet"]);
    server.args(["-cert", "server.pem", "-key", "server.key", "-accept", &format!("127.0.0.1:{port}")]);
    let mut server = server
        .current_dir(folder.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();

    let pem = |name: &str| fs::read(folder.path().join(name)).unwrap();
    let settings = |tls| RegistrySettings { tls, ..settings(&format!("https://127.0.0.1:{port}")) };
    let kept = folder.path().join("kept");
    let full = Tls { authorities: Some(pem("ca.pem")), client: Some((pem("client.pem"), pem("client.key"))) };
    let registry = Registry::new(&settings(full.clone()), Artifacts::open(&kept).unwrap()).unwrap();
    // It waits, too, until the server listens.
    let found = registry.schemas_of(&batch(&[1]), |_| ()).await.unwrap();
    assert!(matches!(found.answers.unwrap()[&1], Registered::Schema(_)));
    for tls in [Tls { authorities: None, ..full.clone() }, Tls { client: None, ..full.clone() }] {
        let other = Registry::new(&settings(tls), Artifacts::open(&folder.path().join("other")).unwrap()).unwrap();
        assert!(other.schema(1).await.is_none(), "without authority or certificate there is no answer");
    }
    server.kill().unwrap();
    server.wait().unwrap();
}
