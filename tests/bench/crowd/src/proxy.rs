//! A server that takes its time: it hands everything on, and holds each answer back for a while.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::{Failure, pause};

/// A listening proxy, for as long as the process runs.
pub(crate) struct Proxy {
    pub(crate) url: String,
    /// Milliseconds.
    delay: Arc<AtomicU64>,
}

impl Proxy {
    /// In front of `host:port`; holds nothing back at first.
    pub(crate) fn start(server: &str) -> Result<Self, Failure> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("http://{}", listener.local_addr()?);
        let delay = Arc::new(AtomicU64::new(0));
        let (server, of) = (server.to_owned(), delay.clone());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, delay) = (server.clone(), of.clone());
                thread::spawn(move || pass(&client, &server, &delay));
            }
        });
        Ok(Self { url, delay })
    }

    /// Holds each answer back for so long from now on.
    pub(crate) fn delay(&self, delay: Duration) {
        self.delay.store(u64::try_from(delay.as_millis()).unwrap_or(u64::MAX), Ordering::Release);
    }
}

fn pass(client: &TcpStream, server: &str, delay: &Arc<AtomicU64>) -> Option<()> {
    let server = TcpStream::connect(server).ok()?;
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    thread::spawn(move || {
        drop(std::io::copy(&mut from_client, &mut to_server));
        drop(to_server.shutdown(Shutdown::Write));
    });
    // Each piece leaves after its own time, so that a slow answer is late and not slower by each of its pieces.
    let (pieces, late) = mpsc::channel::<(Instant, Vec<u8>)>();
    let mut to_client = client.try_clone().ok()?;
    thread::spawn(move || {
        for (due, piece) in late {
            pause(due.saturating_duration_since(Instant::now()));
            if to_client.write_all(&piece).is_err() {
                break;
            }
        }
        drop(to_client.shutdown(Shutdown::Both));
    });
    let (mut server, mut buffer) = (server, vec![0; 64 << 10]);
    loop {
        let count = server.read(&mut buffer).ok().filter(|count| *count > 0)?;
        let due = Instant::now() + Duration::from_millis(delay.load(Ordering::Acquire));
        pieces.send((due, buffer.get(..count)?.to_vec())).ok()?;
    }
}
