//! One HTTP/1.1 connection: requests one after the other, time limits, and the hand-over of its
//! socket.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::http::request::Parts;
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep, timeout};

use super::body::Body;
use super::caps::Permit;
use super::scan::{Bad, Scan};
use super::stream::{self, Taken};
use super::{Answer, Frames, Later, Limits, Shared, head, linger, relay};

/// Longest head of a request; also what is read ahead of a body, and written ahead of a reader.
pub(super) const HEAD_BYTES: usize = 32 * 1024;

/// Most headers of a request.
const MAX_HEADERS: usize = 100;

/// Serves a connection until it ends.
pub(super) fn spawn<S>(shared: Arc<Shared>, socket: S, peer: SocketAddr, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    begin(shared, socket, None, peer, permit);
}

/// The same after a stream, with what was read meanwhile.
pub(super) fn go_on<S>(
    shared: Arc<Shared>,
    socket: S,
    read: Bytes,
    peer: SocketAddr,
    permit: Permit,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    begin(shared, socket, Some(read), peer, permit);
}

fn begin<S>(shared: Arc<Shared>, socket: S, read: Option<Bytes>, peer: SocketAddr, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        match serve(&shared, socket, read, peer).await {
            // A task of its own, so that what hyper needed is given back.
            End::Taken(socket, read, taken) => {
                stream::spawn(shared, socket, read, peer, permit, taken);
            }
            End::Closed(socket) => {
                linger::close(socket).await;
                drop(permit);
            }
            End::Over => {}
        }
    });
}

/// How serving ended.
enum End<S> {
    /// A stream wants the socket; with what was read ahead.
    Taken(S, Bytes, Taken),
    /// The last answer is written, but the client may still be sending.
    Closed(S),
    /// There is nobody to be considered.
    Over,
}

/// Serves until the connection ends, or until its socket is handed over. `read`: what was read
/// since the last request; `None` when there has been none.
async fn serve<S>(shared: &Arc<Shared>, socket: S, read: Option<Bytes>, peer: SocketAddr) -> End<S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let signals = Arc::new(Signals::new(read.is_none()));
    let read = read.unwrap_or_default();
    let io = Watched { socket, read, scan: Scan::new(), signals: Arc::clone(&signals) };
    let service = {
        let (shared, signals) = (Arc::clone(shared), Arc::clone(&signals));
        service_fn(move |request| {
            Box::pin(answer(Arc::clone(&shared), Arc::clone(&signals), peer, request))
        })
    };
    let mut builder = Builder::new();
    // The buffer may turn out larger than it was asked for, so the head has a limit of its own.
    builder.max_buf_size(HEAD_BYTES).max_header_size(HEAD_BYTES).max_headers(MAX_HEADERS);
    let mut connection = builder.serve_connection(TokioIo::new(io), service);
    let mut closing = shared.closing.clone();
    // An error means that the door is no more.
    let mut closes = pin!(closing.wait_for(|closing| *closing));
    let mut told = false;
    let (mut phase, mut requests) = (Phase::Head, 0);
    let mut timer = pin!(sleep(shared.limits.head));
    let next = poll_fn(|cx| {
        if !told && closes.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(Next::Closed);
        }
        if let Some(taken) = signals.taken() {
            return Poll::Ready(Next::Taken(taken));
        }
        // A request may have come and gone since the last look.
        let now = (signals.phase(), signals.requests.load(Ordering::Relaxed));
        if now != (phase, requests) {
            (phase, requests) = now;
            if let Some(limit) = phase.limit(&shared.limits) {
                timer.as_mut().reset(Instant::now() + limit);
            }
        }
        if phase == Phase::Busy {
            return Poll::Pending;
        }
        if told && signals.flushed.load(Ordering::Relaxed) {
            return Poll::Ready(Next::Over);
        }
        timer.as_mut().poll(cx).map(|()| Next::Over)
    });
    let next = next.await;
    if matches!(next, Next::Over) || signals.ended.load(Ordering::Relaxed) || told {
        return End::Over;
    }
    let parts = connection.into_parts();
    let Watched { socket, read, .. } = parts.io.into_inner();
    match next {
        // Read before a stream and not yet taken in: requests that somebody sent far ahead.
        Next::Taken(taken) if read.is_empty() => End::Taken(socket, parts.read_buf, taken),
        Next::Taken(taken) => End::Taken(socket, [parts.read_buf, read].concat().into(), taken),
        _ => End::Closed(socket),
    }
}

/// What comes after serving.
enum Next {
    Taken(Taken),
    Closed,
    Over,
}

/// What the hook gives.
pub(super) enum Given {
    Whole(Response<Bytes>),
    Stream(HeaderMap, Box<dyn Frames>),
    WithBody(Box<dyn FnOnce(Bytes) -> Later + Send>),
}

/// Asks the hook, if the request is one that it may be asked about.
pub(super) async fn ask(
    shared: &Shared,
    parts: &Parts,
    peer: SocketAddr,
    plain: bool,
) -> Option<Given> {
    let hook = shared.hook.as_ref().filter(|_| plain)?;
    match hook(parts, peer)? {
        Answer::Whole(whole) => Some(Given::Whole(whole)),
        Answer::Stream(headers, frames) => Some(Given::Stream(headers, frames)),
        Answer::Later(later) => later.await.map(Given::Whole),
        Answer::WithBody(then) => Some(Given::WithBody(then)),
    }
}

/// Answers one request.
async fn answer(
    shared: Arc<Shared>,
    signals: Arc<Signals>,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let busy = Busy::new(&signals);
    let (parts, body) = request.into_parts();
    let refused = signals.refused().or_else(|| head::problem(&parts));
    if let Some(sentence) = refused {
        return Ok(relay::refuse(400, sentence, true).map(|body| body.keeping(busy)));
    }
    // Somebody in front of the door may see another end of such a request; nothing may follow.
    let last = parts.headers.contains_key(TRANSFER_ENCODING);
    let may_be_asked = head::is_plain(&parts) || head::is_small(&parts);
    let mut answer = match ask(&shared, &parts, peer, may_be_asked).await {
        Some(Given::Whole(whole)) => {
            return Ok(whole.map(|bytes| Body::whole(bytes).keeping(busy)));
        }
        // With an answer before it still unwritten, the socket is not free: the inner server
        // serves it.
        Some(Given::Stream(headers, frames)) if signals.flushed.load(Ordering::Relaxed) => {
            signals.hand_over(Taken::new(&parts, &headers, frames));
            return pending().await;
        }
        Some(Given::WithBody(then)) => match relay::read(&shared, body).await {
            Ok(body) => match timeout(shared.limits.answer, then(body.clone())).await {
                Ok(Some(whole)) => whole.map(Body::whole),
                Ok(None) => relay::relay_read(&shared, peer, parts, body).await,
                Err(_) => relay::refuse(504, relay::TOO_LONG, true),
            },
            Err(incomplete) => incomplete,
        },
        Some(Given::Stream(..)) | None => relay::relay(&shared, peer, parts, body).await,
    };
    if last {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer.map(|body| body.keeping(busy)))
}

/// What a connection does, for its time limits.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// A head has begun, or the first one has not.
    Head,
    /// Nothing has come since the last answer.
    Idle,
    /// A request is being answered; its own limits hold.
    Busy,
}

impl Phase {
    /// How long it may last.
    pub fn limit(self, limits: &Limits) -> Option<Duration> {
        match self {
            Self::Head => Some(limits.head),
            Self::Idle => Some(limits.idle),
            Self::Busy => None,
        }
    }
}

/// What the parts of one connection tell each other. They are all polled by one task, so the
/// order of memory accesses needs no care.
struct Signals {
    /// Everything that was written has reached the kernel.
    flushed: AtomicBool,
    /// Bytes have come since the last request.
    received: AtomicBool,
    busy: AtomicBool,
    /// The client has ended the connection, or it broke.
    ended: AtomicBool,
    /// A request that must not be answered, by its number in `heads`.
    bad: OnceLock<Bad>,
    /// How many requests have come since this began.
    heads: AtomicU64,
    /// How many requests there have been.
    requests: AtomicU64,
    is_taken: AtomicBool,
    taken: Mutex<Option<Taken>>,
}

impl Signals {
    /// `first`: the connection is new, so that a head is expected at once.
    fn new(first: bool) -> Self {
        Self {
            flushed: AtomicBool::new(true),
            received: AtomicBool::new(false),
            busy: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            bad: OnceLock::new(),
            heads: AtomicU64::new(0),
            requests: AtomicU64::new(u64::from(!first)),
            is_taken: AtomicBool::new(false),
            taken: Mutex::default(),
        }
    }

    fn phase(&self) -> Phase {
        // An answer that is still on its way to a slow reader is no silence. Who takes nothing in
        // at all is the kernel's to end.
        if self.busy.load(Ordering::Relaxed) || !self.flushed.load(Ordering::Relaxed) {
            Phase::Busy
        } else if self.received.load(Ordering::Relaxed)
            || self.requests.load(Ordering::Relaxed) == 0
        {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    /// Notes that bytes came. While a request is answered they are its body's.
    fn receive(&self) {
        if !self.busy.load(Ordering::Relaxed) {
            self.received.store(true, Ordering::Relaxed);
        }
    }

    /// Counts a request; why it is refused, if it is.
    fn refused(&self) -> Option<&'static str> {
        let number = self.heads.fetch_add(1, Ordering::Relaxed);
        self.bad.get().filter(|(bad, _)| *bad == number).map(|(_, sentence)| *sentence)
    }

    fn hand_over(&self, taken: Taken) {
        *self.taken.lock().unwrap_or_else(PoisonError::into_inner) = Some(taken);
        self.is_taken.store(true, Ordering::Relaxed);
    }

    fn taken(&self) -> Option<Taken> {
        if !self.is_taken.load(Ordering::Relaxed) {
            return None;
        }
        self.taken.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// A request that is being answered; ends with its last byte.
pub(super) struct Busy(Arc<Signals>);

impl Busy {
    fn new(signals: &Arc<Signals>) -> Self {
        signals.received.store(false, Ordering::Relaxed);
        signals.requests.fetch_add(1, Ordering::Relaxed);
        signals.busy.store(true, Ordering::Relaxed);
        Self(Arc::clone(signals))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

/// A socket that notes what passes.
struct Watched<S> {
    socket: S,
    /// Read earlier, to be read again first.
    read: Bytes,
    scan: Scan,
    signals: Arc<Signals>,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        if this.read.is_empty() {
            let read = ready!(Pin::new(&mut this.socket).poll_read(cx, buffer));
            if read.is_err() || buffer.filled().len() == before {
                this.signals.ended.store(true, Ordering::Relaxed);
            }
            read?;
        } else {
            let part = this.read.split_to(this.read.len().min(buffer.remaining()));
            buffer.put_slice(&part);
        }
        if let Some(bad) = this.scan.see(&buffer.filled()[before..]) {
            // There is no second one: nothing more is looked at.
            let _ = this.signals.bad.set(bad);
        }
        this.signals.receive();
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.signals.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut this.socket).poll_write(cx, bytes)
    }

    // hyper flushes the socket only when its own buffer has been written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.socket).poll_flush(cx);
        if polled.is_ready() {
            this.signals.flushed.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.signals.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut this.socket).poll_write_vectored(cx, slices)
    }
}
