//! The front door: the one public port, in front of a web framework that listens on loopback.
//!
//! It knows nothing of wikis. It bounds what strangers can hold (connections, heads, silence),
//! serves what its [`Hook`] answers (streams straight from the socket, without a framework's
//! buffers and tasks between), and relays everything else to the inner server over kept
//! connections.
//!
//! - [`socket`]: the listening socket and what the kernel is told about connections.
//! - `caps`: how many connections, for whom.
//! - [`tls`]: handshakes, and certificates that change while the server runs. What follows asks
//!   only for `AsyncRead` and `AsyncWrite`.
//! - `connection`: one HTTP/1.1 connection, its time limits, and the hand-over of a socket to a
//!   stream.
//! - `http2`: one HTTP/2 connection, and what one client may hold on it.
//! - `stream`: a streamed answer, written to the socket by the task that owns it.
//! - `head` and `scan`: what a request must be like, as it was understood and as it was written;
//!   which headers end at each hop.
//! - `relay` and `upstream`: the way to the inner server and back.
//! - `linger`: how a connection ends whose client is still sending.

mod body;
mod caps;
mod connection;
mod head;
mod http2;
mod linger;
mod plain;
mod relay;
mod scan;
mod secret;
pub mod socket;
mod stream;
#[cfg(test)]
mod tests;
pub mod tls;
mod upstream;

pub use body::Body;
pub use secret::{PEER_HEADER, Secret};
pub use stream::Chunks;

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::Bytes;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::Instant;

use caps::Caps;
use plain::Plain;
use tls::Tls;
use upstream::Pool;

/// Pause after an error of accepting, which mostly means that there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Such an error lasts for a while, and one line in the log says enough.
const WARN_AGAIN: Duration = Duration::from_secs(10);

/// What the door allows. Durations of zero end a connection at once.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Open connections in all; 0: none.
    pub connections_total: usize,
    /// Open connections of one address; 0: none. Loopback is exempt, and so is `exempt`.
    pub connections_per_address: usize,
    /// Addresses without a limit of their own: proxies, from where everybody comes.
    pub exempt: Vec<IpAddr>,
    /// From the first byte of a head (or from the beginning of a connection) to its last; also
    /// for the handshake of TLS.
    pub head: Duration,
    /// Silence between two requests.
    pub idle: Duration,
    /// From the head of a request to the last byte of its body.
    pub body: Duration,
    /// From a whole request to the head of the inner server's answer.
    pub answer: Duration,
    /// Requests that one HTTP/2 connection may have under way.
    pub http2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections_total: 20_000,
            connections_per_address: 1_000,
            exempt: Vec::new(),
            head: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            body: Duration::from_secs(35),
            answer: Duration::from_secs(60),
            http2_streams: 100,
        }
    }
}

/// Writes what a stream has to its socket, as its task would when woken; false when that one is at
/// work and has to be woken, with the waker that [`Frames::poll_frame`] was given.
pub type Run = Weak<dyn Fn() -> bool + Send + Sync>;

/// Where frames of a stream come from. Dropped as soon as its reader has gone.
pub trait Frames: Send {
    /// Called once, before the first frame. A source that has news for thousands of streams may
    /// run these one after the other, which saves waking and queueing as many tasks.
    fn attach(&mut self, run: Run) {
        let _ = run;
    }

    /// The next bytes to write; `None` when the stream is over in order.
    fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>>;

    /// Appends all news, for whoever runs the stream instead of its task, and goes on waiting with
    /// the waker that [`Frames::poll_frame`] was given last. False when more is to be done than
    /// that: what was appended counts, and [`Frames::poll_frame`] says the rest.
    fn append_news(&mut self, out: &mut Chunks<'_>) -> bool {
        let _ = out;
        false
    }
}

/// What a hook answers.
pub enum Answer {
    /// All of it at once.
    Whole(Response<Bytes>),
    /// Status 200, these headers, and frames until there are no more. The connection's socket is
    /// written to directly; framing headers and `Date` are added.
    Stream(HeaderMap, Box<dyn Frames>),
    /// Later; dropped when the client goes. `None`: let the inner server answer after all.
    Later(Later),
    /// As [`Answer::Later`], once the whole body is there.
    WithBody(Box<dyn FnOnce(Bytes) -> Later + Send>),
}

/// An answer that takes time.
pub type Later = Pin<Box<dyn Future<Output = Option<Response<Bytes>>> + Send>>;

/// Looks at a request without a body, or with one of at most 4 KiB, before anybody else. `None`: the
/// inner server answers.
pub type Hook = dyn Fn(&Parts, SocketAddr) -> Option<Answer> + Send + Sync;

/// Where requests go and what bounds them.
pub struct Plan {
    /// What is allowed.
    pub limits: Limits,
    /// Where the inner server listens.
    pub inner: SocketAddr,
    /// What proves to it that a request came through this door.
    pub secret: Secret,
    /// Asked first.
    pub hook: Option<Box<Hook>>,
    /// With it the port speaks TLS only, and HTTP/2 to those who can.
    pub tls: Option<Tls>,
}

/// What all connections share.
struct Shared {
    limits: Limits,
    pool: Arc<Pool>,
    secret: Secret,
    hook: Option<Box<Hook>>,
    /// True once the door closes.
    closing: watch::Receiver<bool>,
}

/// A bound public port.
pub struct Door {
    listener: TcpListener,
}

impl Door {
    /// Binds a port, 0 for any free one. Connections are taken in by [`Door::run`].
    ///
    /// # Errors
    /// When it is taken, not ours, or an option is refused.
    pub fn bind(address: SocketAddr) -> io::Result<Self> {
        socket::listen(address).map(|listener| Self { listener })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// When the kernel does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop`. Then nothing more is accepted, idle connections are closed, and
    /// requests that run have `grace` to end.
    pub async fn run(self, plan: Plan, stop: impl Future<Output = ()>, grace: Duration) {
        let Plan { limits, inner, secret, hook, tls } = plan;
        let tls = tls.map(Arc::new);
        let watching = tls.as_ref().map(|tls| tokio::spawn(Arc::clone(tls).watch()));
        let (close, closing) = watch::channel(false);
        let caps = Caps::new(&limits);
        let pool = Pool::new(inner);
        let shared = Arc::new(Shared { limits, pool, secret, hook, closing });
        tokio::pin!(stop);
        let mut warned = None;
        loop {
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = &mut stop => break,
            };
            match accepted {
                Ok((socket, peer)) => {
                    // Only delays small writes when it fails.
                    let _ = socket.set_nodelay(true);
                    let shared = Arc::clone(&shared);
                    match (caps.admit(peer.ip()), &tls) {
                        (Ok(permit), None) => {
                            connection::spawn(shared, Plain(socket), peer, permit);
                        }
                        (Ok(permit), Some(tls)) => tls::spawn(shared, socket, peer, permit, tls),
                        (Err(full), None) => full.refuse(&socket),
                        // Before a handshake nothing can be said.
                        (Err(_), Some(_)) => {}
                    }
                }
                Err(e) => {
                    if warned.is_none_or(|at: Instant| at.elapsed() > WARN_AGAIN) {
                        log::warn!("connections cannot be accepted: {e}");
                        warned = Some(Instant::now());
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(self.listener);
        if let Some(watching) = watching {
            watching.abort();
        }
        let _ = close.send(true);
        let _ = tokio::time::timeout(grace, caps.empty()).await;
    }
}
