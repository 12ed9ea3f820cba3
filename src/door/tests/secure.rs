//! TLS before the same requests.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::*;

const NAME: &str = "door.test";

/// A house with a certificate of its own, and what a client needs to know.
pub(super) struct Secure {
    pub house: House,
    certificate: String,
    pub dir: tempfile::TempDir,
}

fn place(dir: &Path, (certs, key): &(String, String)) {
    for (name, text) in [("key", key), ("certs", certs)] {
        // As a whole, so that nobody reads a half.
        std::fs::write(dir.join("new"), text).expect("writes");
        std::fs::rename(dir.join("new"), dir.join(name)).expect("renames");
    }
}

impl Secure {
    pub async fn open(limits: Limits, hook: Option<Box<Hook>>) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let pair = certificate(NAME);
        place(dir.path(), &pair);
        let tls = Tls::load(&dir.path().join("certs"), &dir.path().join("key")).expect("fits");
        Self { house: House::with(limits, hook, Some(tls)).await, certificate: pair.0, dir }
    }

    /// A connection that has agreed on a protocol.
    pub async fn connect(&self, protocol: &[u8]) -> TlsStream<TcpStream> {
        connect(&self.house, &self.certificate, protocol).await.expect("a handshake")
    }
}

async fn connect(
    house: &House,
    certificate: &str,
    protocol: &[u8],
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots
        .add(CertificateDer::from_pem_slice(certificate.as_bytes()).expect("a certificate"))
        .expect("taken");
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.to_vec()];
    let name = ServerName::try_from(NAME).expect("a name");
    let stream = TlsConnector::from(Arc::new(config)).connect(name, house.connect().await).await?;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(protocol));
    Ok(stream)
}

#[tokio::test]
async fn requests_and_streams_pass_through_tls_as_they_are() {
    let (dropped, mut drops) = mpsc::unbounded_channel();
    let secure = Secure::open(Limits::default(), hook(dropped)).await;
    let mut socket = secure.connect(b"http/1.1").await;
    let get = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    let requests = [get("/head?1"), get("/short"), get("/whole"), get("/quiet")].concat();
    socket.write_all(requests.as_bytes()).await.expect("sends");
    let answer = until(&mut socket, "5\r\nhello\r\n").await;
    let found: Vec<_> = ["head?1", "frame 3\n", "\r\n0\r\n\r\n", "whole", "hello"]
        .map(|wanted| answer.find(wanted).unwrap_or_else(|| panic!("{wanted}: {answer}")))
        .into();
    assert!(found.is_sorted(), "{found:?} {answer}");
    // However the connection ends.
    drop(socket);
    timeout(LIMIT, drops.recv()).await.expect("in time").expect("dropped");
}

#[tokio::test]
async fn plain_http_on_the_port_of_tls_is_told_so() {
    let secure = Secure::open(Limits::default(), None).await;
    for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.0\r\n", "?"] {
        let answer = secure.house.send(request).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
    }
    assert_eq!(secure.house.inner.asked(), [""; 0]);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_or_stops_is_cut_and_gives_back_its_place() {
    let limits =
        Limits { head: Duration::from_millis(200), connections_total: 3, ..Limits::default() };
    let secure = Secure::open(limits, None).await;
    // Nothing; the beginning of a record; a record that is none.
    let begun: [&[u8]; 3] = [b"", b"\x16\x03\x01\x02\x00\x01", b"\x16\x03\x01\x00\x04oops"];
    for bytes in begun {
        let mut socket = secure.house.connect().await;
        socket.write_all(bytes).await.expect("sends");
        let mut all = Vec::new();
        let _ = timeout(LIMIT, socket.read_to_end(&mut all)).await.expect("in time");
        assert!(all.len() < 10, "at most an alert: {all:?}");
    }
    // Done, and then silent.
    let mut silent = secure.connect(b"http/1.1").await;
    assert_eq!(rest(&mut silent).await, "");
    let mut silent = secure.connect(b"h2").await;
    rest(&mut silent).await;
    let mut socket = secure.connect(b"http/1.1").await;
    socket.write_all(b"GET /head HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    until(&mut socket, "host: x\n").await;
}

#[tokio::test]
async fn certificates_change_under_load_and_broken_ones_are_kept_out() {
    let secure = Secure::open(Limits::default(), None).await;
    let house = &secure.house;
    let mut kept = secure.connect(b"http/1.1").await;
    let next = certificate(NAME);
    // Not a pair: a certificate of one and a key of another.
    place(secure.dir.path(), &(next.0.clone(), certificate(NAME).1));
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_secs(4) {
        secure.connect(b"http/1.1").await;
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    place(secure.dir.path(), &next);
    let (mut olds, mut news) = (0, 0);
    let changed = async {
        // Every handshake works, with one certificate or the other.
        while news < 20 {
            match connect(house, &next.0, b"http/1.1").await {
                Ok(mut stream) => {
                    news += 1;
                    let last = b"GET /head HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
                    stream.write_all(last).await.expect("sends");
                    assert!(rest(&mut stream).await.starts_with("HTTP/1.1 200"));
                }
                Err(_) if news == 0 => {
                    olds += 1;
                    // It may change between the two.
                    let old = connect(house, &secure.certificate, b"http/1.1").await;
                    assert!(old.is_ok() || connect(house, &next.0, b"http/1.1").await.is_ok());
                }
                Err(e) => panic!("the new one came and went: {e}"),
            }
        }
    };
    timeout(LIMIT, changed).await.expect("taken over");
    assert!(olds > 0, "the old one stayed while the files were broken");
    // Who was there stays.
    kept.write_all(b"GET /head HTTP/1.1\r\nHost: x\r\n\r\n").await.expect("sends");
    until(&mut kept, "host: x\n").await;
}
