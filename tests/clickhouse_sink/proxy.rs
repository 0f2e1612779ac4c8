//! A proxy that does to inserts what networks and servers do.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

/// What happens to one insert.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// The server does it, the answer is lost.
    LoseAnswer,
    /// The connection breaks in the middle of the rows.
    CutRequest,
    /// Nobody ever answers, and nothing reaches the server.
    Hang,
    /// This is answered, and nothing reaches the server.
    Say(&'static str),
}

/// A proxy before a server. Only inserts meet faults, one each, in order; then all pass.
pub(crate) struct Proxy {
    port: u16,
    faults: Arc<Mutex<VecDeque<Fault>>>,
}

impl Proxy {
    pub(crate) fn start(server: &str, faults: impl IntoIterator<Item = Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let faults = Arc::new(Mutex::new(faults.into_iter().collect()));
        let (server, queue) = (server.trim_start_matches("http://").to_owned(), Arc::clone(&faults));
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, queue) = (server.clone(), Arc::clone(&queue));
                // What breaks here broke on purpose, or with the client.
                thread::spawn(move || drop(serve(client, &server, &queue)));
            }
        });
        Self { port, faults }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.faults.lock().expect("not poisoned").len()
    }
}

fn serve(mut client: TcpStream, server: &str, faults: &Mutex<VecDeque<Fault>>) -> io::Result<()> {
    let request = read_request(&mut client)?;
    let insert = request.starts_with(b"POST") && find(&request, b"query=INSERT").is_some();
    let fault = if insert { faults.lock().expect("not poisoned").pop_front() } else { None };
    match fault {
        None => {
            let mut upstream = forward(&request, server)?;
            io::copy(&mut upstream, &mut client)?;
        }
        Some(Fault::LoseAnswer) => {
            let mut answer = Vec::new();
            forward(&request, server)?.read_to_end(&mut answer)?;
            assert!(answer.starts_with(b"HTTP/1.1 200"), "the insert was to succeed");
        }
        Some(Fault::CutRequest) => {
            let half = request.get(..request.len() - 100).unwrap_or_default();
            TcpStream::connect(server)?.write_all(half)?;
        }
        Some(Fault::Hang) => {
            let _ = client.read(&mut [0])?;
        }
        Some(Fault::Say(answer)) => client.write_all(answer.as_bytes())?,
    }
    Ok(())
}

/// Sends a request on a connection that ends with its answer.
fn forward(request: &[u8], server: &str) -> io::Result<TcpStream> {
    let mut upstream = TcpStream::connect(server)?;
    let line = find(request, b"\r\n").unwrap_or(0) + 2;
    upstream.write_all(&request[..line])?;
    upstream.write_all(b"Connection: close\r\n")?;
    upstream.write_all(&request[line..])?;
    Ok(upstream)
}

/// Reads one whole request, its body chunked or of a given length.
fn read_request(client: &mut TcpStream) -> io::Result<Vec<u8>> {
    let mut request = Vec::new();
    let mut buffer = vec![0; 1 << 16];
    loop {
        if let Some(head) = find(&request, b"\r\n\r\n") {
            let text = String::from_utf8_lossy(&request[..head]).to_lowercase();
            let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
            match length {
                Some(length) if request.len() >= head + 4 + length => return Ok(request),
                None if request.ends_with(b"\r\n0\r\n\r\n") => return Ok(request),
                _ => {}
            }
        }
        match client.read(&mut buffer)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => request.extend_from_slice(&buffer[..read]),
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}
