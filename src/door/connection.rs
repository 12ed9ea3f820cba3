//! One connection: requests one after the other, time limits, and the hand-over of its socket.

use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{CONNECTION, HeaderValue, TRANSFER_ENCODING};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, sleep};

use super::body::Body;
use super::caps::Permit;
use super::stream::{self, Taken};
use super::{Answer, Limits, Shared, head, relay};

/// Longest head of a request; also what is read ahead of a body, and written ahead of a reader.
const HEAD_BYTES: usize = 32 * 1024;

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
        if let Some((socket, read, taken)) = serve(&shared, socket, read, peer).await {
            // A task of its own, so that what hyper needed is given back.
            stream::spawn(shared, socket, read, peer, permit, taken);
        }
    });
}

/// Serves until the connection ends, or until its socket is handed over. `read`: what was read
/// since the last request; `None` when there has been none.
async fn serve<S>(
    shared: &Arc<Shared>,
    socket: S,
    read: Option<Bytes>,
    peer: SocketAddr,
) -> Option<(S, Bytes, Taken)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let signals = Arc::new(Signals::new(read.is_none()));
    let read = read.unwrap_or_default();
    let io = Watched { io: TokioIo::new(socket), read, signals: Arc::clone(&signals) };
    let service = {
        let (shared, signals) = (Arc::clone(shared), Arc::clone(&signals));
        service_fn(move |request| {
            Box::pin(answer(Arc::clone(&shared), Arc::clone(&signals), peer, request))
        })
    };
    let mut builder = Builder::new();
    // The buffer may turn out larger than it was asked for, so the head has a limit of its own.
    builder.max_buf_size(HEAD_BYTES).max_header_size(HEAD_BYTES).max_headers(MAX_HEADERS);
    let mut connection = builder.serve_connection(io, service);
    let mut closing = shared.closing.clone();
    // An error means that the door is no more.
    let mut closes = pin!(closing.wait_for(|closing| *closing));
    let mut told = false;
    let (mut phase, mut requests) = (Phase::Head, 0);
    let mut timer = pin!(sleep(shared.limits.head));
    let taken = poll_fn(|cx| {
        if !told && closes.as_mut().poll(cx).is_ready() {
            told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        if let Some(taken) = signals.taken() {
            return Poll::Ready(Some(taken));
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
            return Poll::Ready(None);
        }
        timer.as_mut().poll(cx).map(|()| None)
    });
    let taken = taken.await?;
    let parts = connection.into_parts();
    let Watched { io, read, .. } = parts.io;
    // Read before a stream and not yet taken in: requests that somebody sent far ahead.
    let read = match read.is_empty() {
        true => parts.read_buf,
        false => [parts.read_buf, read].concat().into(),
    };
    Some((io.into_inner(), read, taken))
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
    if let Some(sentence) = head::problem(&parts) {
        return Ok(relay::refuse(400, sentence, true).map(|body| body.keeping(busy)));
    }
    if let Some(hook) = shared.hook.as_ref().filter(|_| head::is_plain(&parts)) {
        match hook(&parts, peer) {
            Some(Answer::Whole(whole)) => {
                return Ok(whole.map(|bytes| Body::whole(bytes).keeping(busy)));
            }
            // With an answer before it still unwritten, the socket is not free: the inner server
            // serves it.
            Some(Answer::Stream(headers, frames)) if signals.flushed.load(Ordering::Relaxed) => {
                signals.hand_over(Taken::new(&parts, &headers, frames));
                return pending().await;
            }
            Some(Answer::Later(later)) => {
                if let Some(whole) = later.await {
                    return Ok(whole.map(|bytes| Body::whole(bytes).keeping(busy)));
                }
            }
            Some(Answer::Stream(..)) | None => {}
        }
    }
    // Two readings of where such a request ends are possible before the door; nothing may follow.
    let last = parts.headers.contains_key(TRANSFER_ENCODING);
    let mut answer = relay::relay(&shared, peer, parts, body).await;
    if last {
        answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(answer.map(|body| body.keeping(busy)))
}

/// What a connection does, for its time limits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// A head has begun, or the first one has not.
    Head,
    /// Nothing has come since the last answer.
    Idle,
    /// A request is being answered; its own limits hold.
    Busy,
}

impl Phase {
    fn limit(self, limits: &Limits) -> Option<Duration> {
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
    io: TokioIo<S>,
    /// Read earlier, to be read again first.
    read: Bytes,
    signals: Arc<Signals>,
}

impl<S: AsyncRead + Unpin> Read for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.read.is_empty() {
            let part = this.read.split_to(this.read.len().min(buffer.remaining()));
            buffer.put_slice(&part);
            this.signals.receive();
            return Poll::Ready(Ok(()));
        }
        let polled = Pin::new(&mut this.io).poll_read(cx, buffer);
        if polled.is_ready() {
            this.signals.receive();
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> Write for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.signals.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut this.io).poll_write(cx, bytes)
    }

    // hyper flushes the socket only when its own buffer has been written.
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.io).poll_flush(cx);
        if polled.is_ready() {
            this.signals.flushed.store(true, Ordering::Relaxed);
        }
        polled
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.signals.flushed.store(false, Ordering::Relaxed);
        Pin::new(&mut this.io).poll_write_vectored(cx, slices)
    }
}
