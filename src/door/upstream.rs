//! Kept connections to the inner server.
//!
//! A connection has no task of its own: whoever uses it polls it along with the request, so that
//! a relayed request costs no switch of tasks on this side, and dropping the request closes it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::body::Upload;

/// Connections that are kept while nobody uses them, each with about 40 KB of buffers on both
/// sides. More are opened when there is more to do, and closed afterwards.
const KEPT: usize = 16;

/// Bytes of a body that are read ahead of the client.
const BUFFER: usize = 64 * 1024;

/// One connection to the inner server.
pub(super) struct Upstream {
    sender: SendRequest<Upload>,
    /// `None` once it has ended.
    connection: Option<Connection<TokioIo<Patient>, Upload>>,
    /// Something of the present request has been written.
    begun: Arc<AtomicBool>,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// No connection could be opened.
    Unreachable(io::Error),
    /// It broke off.
    Broken(hyper::Error),
}

impl Upstream {
    async fn open(inner: SocketAddr) -> io::Result<Self> {
        let socket = TcpStream::connect(inner).await?;
        socket.set_nodelay(true)?;
        let begun = Arc::<AtomicBool>::default();
        let socket = Patient { socket, begun: Arc::clone(&begun), deaf: false };
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER);
        let (sender, connection) =
            builder.handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
        Ok(Self { sender, connection: Some(connection), begun })
    }

    /// Moves bytes; whether the connection is still there.
    pub fn drive(&mut self, cx: &mut Context<'_>) -> bool {
        if let Some(connection) = &mut self.connection
            && Pin::new(connection).poll(cx).is_ready()
        {
            self.connection = None;
        }
        self.connection.is_some()
    }

    fn is_usable(&mut self, cx: &mut Context<'_>) -> bool {
        self.drive(cx) && self.sender.is_ready()
    }
}

/// The connections that wait for a request.
pub(super) struct Pool {
    inner: SocketAddr,
    idle: Mutex<Vec<Upstream>>,
}

impl Pool {
    pub fn new(inner: SocketAddr) -> Arc<Self> {
        Arc::new(Self { inner, idle: Mutex::default() })
    }

    /// Sends a request and waits for the head of its answer. The request has been written at
    /// most once: what fails after that is not tried again.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Lease), Failure> {
        loop {
            let kept = poll_fn(|cx| Poll::Ready(self.take(cx))).await;
            let fresh = kept.is_none();
            let mut upstream = match kept {
                Some(upstream) => upstream,
                None => Upstream::open(self.inner).await.map_err(Failure::Unreachable)?,
            };
            upstream.begun.store(false, Ordering::Relaxed);
            let sent = upstream.sender.try_send_request(request);
            tokio::pin!(sent);
            let answer = poll_fn(|cx| {
                upstream.drive(cx);
                sent.as_mut().poll(cx)
            });
            match answer.await {
                Ok(response) => {
                    let lease = Lease { upstream, pool: Arc::clone(self) };
                    return Ok((response, lease));
                }
                Err(mut error) => match error.take_message() {
                    // It had ended before anything of the request was written.
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(Failure::Broken(error.into_error())),
                },
            }
        }
    }

    fn take(&self, cx: &mut Context<'_>) -> Option<Upstream> {
        loop {
            let mut upstream = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()?;
            if upstream.is_usable(cx) {
                return Some(upstream);
            }
        }
    }
}

/// A connection in use. Dropping it closes it, and so ends the request it carries.
pub(super) struct Lease {
    upstream: Upstream,
    pool: Arc<Pool>,
}

impl Lease {
    pub fn upstream(&mut self) -> &mut Upstream {
        &mut self.upstream
    }

    /// Keeps the connection for the next request if it is fit for one.
    pub fn give_back(mut self) {
        // Nobody waits for it while it is kept; it is looked at again when it is taken.
        let mut cx = Context::from_waker(Waker::noop());
        if self.upstream.is_usable(&mut cx) {
            let mut idle = self.pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < KEPT {
                idle.push(self.upstream);
            }
        }
    }
}

/// A socket to the inner server that is still read when nothing more can be written.
///
/// Whoever refuses a request early closes without reading the rest of it. That the rest could not
/// be written must not hide the answer, which has come before; without an answer, reading fails
/// as well.
struct Patient {
    socket: TcpStream,
    begun: Arc<AtomicBool>,
    /// What is written is thrown away.
    deaf: bool,
}

impl Patient {
    fn written(&mut self, written: io::Result<usize>, wanted: usize) -> io::Result<usize> {
        use io::ErrorKind::{BrokenPipe, ConnectionReset};
        match written {
            Ok(n) => {
                self.begun.store(true, Ordering::Relaxed);
                Ok(n)
            }
            // Before that, the request may be sent on another connection.
            Err(e)
                if self.begun.load(Ordering::Relaxed)
                    && matches!(e.kind(), BrokenPipe | ConnectionReset) =>
            {
                self.deaf = true;
                Ok(wanted)
            }
            Err(e) => Err(e),
        }
    }
}

impl AsyncRead for Patient {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Patient {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut this.socket).poll_write(cx, bytes));
        Poll::Ready(this.written(written, bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(cx)
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
        let wanted = slices.iter().map(|slice| slice.len()).sum();
        if this.deaf {
            return Poll::Ready(Ok(wanted));
        }
        let written = ready!(Pin::new(&mut this.socket).poll_write_vectored(cx, slices));
        Poll::Ready(this.written(written, wanted))
    }
}
