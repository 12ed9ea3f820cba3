//! An inner server that tells what it was asked.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

type Asked = Arc<Mutex<Vec<String>>>;

pub struct Inner {
    pub address: SocketAddr,
    /// Told when a request for `/wait` has come.
    pub waits: mpsc::UnboundedReceiver<()>,
    /// Told when it was dropped, and when a body for `/swallow` broke off.
    pub ends: mpsc::UnboundedReceiver<()>,
    connections: Arc<AtomicUsize>,
    asked: Asked,
    task: JoinHandle<()>,
}

impl Inner {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("binds");
        let address = listener.local_addr().expect("bound");
        let (wait, waits) = mpsc::unbounded_channel();
        let (end, ends) = mpsc::unbounded_channel();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let asked = Asked::default();
        let log = Arc::clone(&asked);
        let task = tokio::spawn(async move {
            loop {
                let (socket, _) = listener.accept().await.expect("accepts");
                count.fetch_add(1, Ordering::Relaxed);
                let (wait, end) = (wait.clone(), end.clone());
                let log = Arc::clone(&log);
                let service = service_fn(move |request: Request<Incoming>| {
                    log.lock().expect("whole").push(format!(
                        "{} {}",
                        request.method(),
                        request.uri()
                    ));
                    answer(request, wait.clone(), end.clone())
                });
                let connection = Builder::new().serve_connection(TokioIo::new(socket), service);
                tokio::spawn(async move {
                    let _ = connection.await;
                });
            }
        });
        Self { address, waits, ends, connections, asked, task }
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }

    /// What has been asked since the last look.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().expect("whole"))
    }

    pub async fn stop(&mut self) {
        self.task.abort();
        let _ = (&mut self.task).await;
    }
}

/// Tells of its end.
struct End(mpsc::UnboundedSender<()>);

impl Drop for End {
    fn drop(&mut self) {
        let _ = self.0.send(());
    }
}

pub enum Said {
    Text(Option<Bytes>),
    Echo(Incoming),
}

impl hyper::body::Body for Said {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match self.get_mut() {
            Self::Text(text) => std::task::Poll::Ready(text.take().map(|t| Ok(Frame::data(t)))),
            Self::Echo(body) => std::pin::Pin::new(body).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Text(text) => text.is_none(),
            Self::Echo(body) => body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Text(text) => SizeHint::with_exact(text.as_ref().map_or(0, Bytes::len) as u64),
            Self::Echo(body) => body.size_hint(),
        }
    }
}

async fn answer(
    request: Request<Incoming>,
    wait: mpsc::UnboundedSender<()>,
    end: mpsc::UnboundedSender<()>,
) -> Result<Response<Said>, Infallible> {
    let path = request.uri().path().to_owned();
    let mut response = Response::builder();
    match path.as_str() {
        "/wait" => {
            let _end = End(end);
            let _ = wait.send(());
            std::future::pending::<()>().await;
        }
        "/echo" => {
            return Ok(response.body(Said::Echo(request.into_body())).expect("built"));
        }
        "/swallow" => {
            let mut body = request.into_body();
            while let Some(frame) =
                std::future::poll_fn(|cx| std::pin::Pin::new(&mut body).poll_frame(cx)).await
            {
                if frame.is_err() {
                    let _ = end.send(());
                }
            }
            return Ok(Response::new(Said::Text(None)));
        }
        "/empty" => {
            let status = request.uri().query().expect("a status");
            return Ok(response.status(status).body(Said::Text(None)).expect("built"));
        }
        // Without a look at the body.
        "/refuse" => {
            let text =
                Said::Text(Some(Bytes::from_static(b"That is too large, and it was not read.")));
            return Ok(response.status(413).body(text).expect("built"));
        }
        "/close" => response = response.header("Connection", "close"),
        _ => {}
    }
    let mut text = format!("{} {} {:?}\n", request.method(), request.uri(), request.version());
    for (name, value) in request.headers() {
        let _ = writeln!(text, "{name}: {}", value.to_str().unwrap_or("?"));
    }
    Ok(response.body(Said::Text(Some(text.into()))).expect("built"))
}
