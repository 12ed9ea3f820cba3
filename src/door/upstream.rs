//! Kept connections to the inner server.
//!
//! A connection has no task of its own: whoever uses it polls it along with the request, so that
//! a relayed request costs no switch of tasks on this side, and dropping the request closes it.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use hyper::body::Incoming;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
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
    connection: Option<Connection<TokioIo<TcpStream>, Upload>>,
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
        let mut builder = Builder::new();
        builder.max_buf_size(BUFFER);
        let (sender, connection) =
            builder.handshake(TokioIo::new(socket)).await.map_err(io::Error::other)?;
        Ok(Self { sender, connection: Some(connection) })
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
