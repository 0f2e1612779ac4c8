//! TLS in front of a server that speaks none: it shows a certificate of the test's, and wants to see one of its authority.

use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use openssl::error::ErrorStack;
use openssl::ssl::{SslAcceptor, SslFiletype, SslMethod, SslVerifyMode};

use crate::certificates::Certificates;

/// How long one direction is listened to before the other has its turn.
const TURN: Duration = Duration::from_millis(2);

/// Listens as long as it lives.
#[derive(Debug)]
pub struct Relay {
    port: u16,
    over: Arc<AtomicBool>,
    listening: Option<JoinHandle<()>>,
}

impl Relay {
    /// Passes on to this port of 127.0.0.1 what comes encrypted, for the certificate of this name.
    ///
    /// # Panics
    /// When it can't listen.
    #[must_use]
    pub fn start(certificates: &Certificates, name: &str, to: u16) -> Self {
        let acceptor = acceptor(certificates, name).expect("the certificates are good");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let over = Arc::new(AtomicBool::new(false));
        let ended = over.clone();
        let listening = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if ended.load(Ordering::Acquire) {
                    return;
                }
                let (acceptor, ended) = (acceptor.clone(), ended.clone());
                thread::spawn(move || pass_on(&acceptor, stream, to, &ended));
            }
        });
        Self { port, over, listening: Some(listening) }
    }

    /// Its address for clients of HTTP.
    #[must_use]
    pub fn url(&self) -> String {
        format!("https://127.0.0.1:{}", self.port)
    }

    /// Its port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Release);
        drop(TcpStream::connect(("127.0.0.1", self.port))); // whoever listens looks up
        drop(self.listening.take().map(JoinHandle::join));
    }
}

fn acceptor(certificates: &Certificates, name: &str) -> Result<SslAcceptor, ErrorStack> {
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_certificate_chain_file(certificates.path(&format!("{name}.pem")))?;
    acceptor.set_private_key_file(certificates.path(&format!("{name}.key")), SslFiletype::PEM)?;
    acceptor.set_ca_file(certificates.path("ca.pem"))?;
    acceptor.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
    Ok(acceptor.build())
}

/// One connection, until either side ends it.
fn pass_on(acceptor: &SslAcceptor, stream: TcpStream, to: u16, over: &AtomicBool) {
    let (Ok(mut secret), Ok(mut plain)) = (acceptor.accept(stream), TcpStream::connect(("127.0.0.1", to))) else {
        return; // the client has heard why
    };
    let turns = secret.get_ref().set_read_timeout(Some(TURN)).and(plain.set_read_timeout(Some(TURN)));
    let mut buffer = vec![0; 1 << 16];
    while turns.is_ok() && !over.load(Ordering::Acquire) {
        if !moved(&mut secret, &mut plain, &mut buffer) || !moved(&mut plain, &mut secret, &mut buffer) {
            return;
        }
    }
}

/// Moves what is there from one side to the other; false when one of them is gone.
fn moved(from: &mut impl Read, to: &mut impl Write, buffer: &mut [u8]) -> bool {
    match from.read(buffer) {
        Ok(0) => false,
        Ok(read) => to.write_all(&buffer[..read]).is_ok(),
        Err(error) => matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut),
    }
}
