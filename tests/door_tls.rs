//! The wiki over TLS and HTTP/2, as the real program.

#[path = "support/live/all.rs"]
mod live;

use std::future::poll_fn;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame, Incoming};
use hyper::client::conn::http2::SendRequest;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use live::wiki::{LIMIT, Wiki};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

/// A wiki with a certificate for `localhost`.
struct Secure {
    wiki: Wiki,
    certificate: String,
    /// `localhost:<port>`
    host: String,
    _data: tempfile::TempDir,
}

/// The whole body of a request, at once.
struct Whole(Option<Bytes>);

impl Body for Whole {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.take().map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_none()
    }
}

/// A certificate for `localhost`, signed by itself, and its key.
fn write_pair(dir: &Path) -> String {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made");
    std::fs::write(dir.join("key.pem"), made.signing_key.serialize_pem()).expect("writes");
    std::fs::write(dir.join("certs.pem"), made.cert.pem()).expect("writes");
    made.cert.pem()
}

impl Secure {
    fn start(settings: &[(&str, &str)]) -> Self {
        let data = tempfile::tempdir().expect("a folder");
        let certificate = write_pair(data.path());
        let mut all = vec![("HALLEY_TLS_CERTS", "certs.pem"), ("HALLEY_TLS_KEY", "key.pem")];
        all.extend(settings);
        let wiki = Wiki::start_with(data.path(), &all);
        let address = wiki.base.strip_prefix("https://").expect("it says https");
        let port = address.rsplit(':').next().expect("a port");
        let host = format!("localhost:{port}");
        Self { wiki, certificate, host, _data: data }
    }

    /// A connection for many requests.
    async fn connect(&self) -> SendRequest<Whole> {
        let mut roots = RootCertStore::empty();
        let certificate = CertificateDer::from_pem_slice(self.certificate.as_bytes());
        roots.add(certificate.expect("a certificate")).expect("taken");
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec()];
        let address = self.wiki.base.strip_prefix("https://").expect("it says https");
        let socket = TcpStream::connect(address).await.expect("connects");
        let name = ServerName::try_from("localhost").expect("a name");
        let stream = TlsConnector::from(Arc::new(config)).connect(name, socket).await;
        let stream = TokioIo::new(stream.expect("a handshake"));
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream);
        let (sender, connection) = handshake.await.expect("speaks HTTP/2");
        tokio::spawn(connection);
        sender
    }

    async fn ask(
        &self,
        sender: &mut SendRequest<Whole>,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Response<Incoming> {
        let mut request =
            Request::builder().method(method).uri(format!("https://{}{path}", self.host));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Whole(body.map(|body| body.to_string().into()));
        let request = request.body(body).expect("built");
        timeout(LIMIT, sender.send_request(request)).await.expect("in time").expect("an answer")
    }
}

/// Reads until the text is there.
async fn until(answer: &mut Response<Incoming>, wanted: &str) -> String {
    let mut all = String::new();
    while !all.contains(wanted) {
        let frame = poll_fn(|cx| Pin::new(answer.body_mut()).poll_frame(cx));
        let frame = timeout(LIMIT, frame).await.expect("in time");
        let Some(frame) = frame else { panic!("ended after {all}") };
        all.push_str(&String::from_utf8_lossy(&frame.expect("whole").into_data().expect("data")));
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_cookies_are_secure_and_only_pages_of_https_may_write() {
    let secure = Secure::start(&[]);
    let mut sender = secure.connect().await;
    let page = secure.ask(&mut sender, "GET", "/", &[], None).await;
    assert_eq!(page.status(), 200);
    assert_eq!(page.headers()["strict-transport-security"], "max-age=31536000");
    let poll = secure.ask(&mut sender, "GET", "/_live/events?mode=poll", &[], None).await;
    assert_eq!(poll.headers()["strict-transport-security"], "max-age=31536000");
    let beat = json!({ "client": "abcdefgh12345678", "rung": "poll" });
    let own = format!("https://{}", secure.host);
    let answer =
        secure.ask(&mut sender, "POST", "/_live/beat", &[("origin", &own)], Some(&beat)).await;
    assert_eq!(answer.status(), 200);
    let cookie = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(cookie.contains("Secure") && cookie.contains("HttpOnly"), "{cookie}");
    let cookie = cookie.split(';').next().expect("a pair");
    let plain = format!("http://{}", secure.host);
    for (origin, status) in [(&*own, 200), (&plain, 403), ("https://localhost", 403), ("null", 403)]
    {
        let headers = [("origin", origin), ("cookie", "other=1"), ("cookie", cookie)];
        let answer = secure.ask(&mut sender, "POST", "/_live/beat", &headers, Some(&beat)).await;
        assert_eq!(answer.status(), status, "{origin}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_stream_and_everything_else_share_one_connection() {
    let secure = Secure::start(&[("HALLEY_STREAMS_PER_BROWSER", "3")]);
    let mut sender = secure.connect().await;
    let query = "/_live/events?mode=stream&topics=site&client=abcdefgh12345678";
    let mut stream = secure.ask(&mut sender, "GET", query, &[], None).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    until(&mut stream, "event: hello").await;
    let put = Request::builder()
        .method("PUT")
        .uri(format!("https://{}/api/v1/pages/news", secure.host))
        .header("content-type", "text/markdown")
        .header("if-none-match", "*")
        .body(Whole(Some("text\n".into())))
        .expect("built");
    let made = timeout(LIMIT, sender.send_request(put)).await.expect("in time").expect("answer");
    assert_eq!(made.status(), 201);
    until(&mut stream, r#""path":"news""#).await;
    let held = secure.ask(&mut sender, "GET", "/healthz", &[], None);
    assert!(until(&mut held.await, "streams").await.contains(r#""streams":1"#));
    // Given up by a reset, while the connection stays.
    drop(stream);
    let began = Instant::now();
    loop {
        let mut health = secure.ask(&mut sender, "GET", "/healthz", &[], None).await;
        if until(&mut health, "streams").await.contains(r#""streams":0"#) {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "the stream is left over");
    }
    // The cap of a browser is that of any other connection.
    let beat = json!({ "client": "abcdefgh12345678", "rung": "poll" });
    let own = format!("https://{}", secure.host);
    let known =
        secure.ask(&mut sender, "POST", "/_live/beat", &[("origin", &own)], Some(&beat)).await;
    let cookie = known.headers()["set-cookie"].to_str().expect("text");
    let cookie = cookie.split(';').next().expect("a pair").to_owned();
    let mut kinds = Vec::new();
    let mut open = Vec::new();
    for n in 0..5 {
        let query = format!("/_live/events?mode=stream&topics=site&client=streamer{n}");
        let answer = secure.ask(&mut sender, "GET", &query, &[("cookie", &cookie)], None).await;
        kinds.push(answer.headers()["content-type"] == "text/event-stream");
        open.push(answer);
    }
    assert_eq!(kinds, [true, true, true, false, false]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_server_says_goodbye_on_each_connection() {
    let mut secure = Secure::start(&[]);
    let mut sender = secure.connect().await;
    let query = "/_live/events?mode=stream&topics=site";
    let mut stream = secure.ask(&mut sender, "GET", query, &[], None).await;
    until(&mut stream, "event: hello").await;
    secure.wiki.terminate();
    until(&mut stream, r#""why":"drain""#).await;
    let status = secure.wiki.wait(Duration::from_secs(5)).expect("it ends within 5 s");
    assert!(status.success());
}
