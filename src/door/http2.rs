//! One HTTP/2 connection: many requests at once, each in a task of its own.
//!
//! Only what a client agreed on by TLS gets here (ALPN). What one client may hold is bounded:
//! streams by a setting, heads by their size, bodies by small windows, and an answer that nobody
//! reads by [`STUCK`]; streams that are opened and reset at once end the connection.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;
use hyper::body::{Body as _, Incoming};
use hyper::header::CONNECTION;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::body::{self, Body};
use super::caps::Permit;
use super::connection::{Given, HEAD_BYTES, Phase, ask};
use super::{Shared, head, relay};

/// Bytes of a body that a client may send ahead, of one request and of all of a connection.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Bytes of an answer that wait in a buffer to be written; the rest waits where it comes from.
const SEND_BUFFER: usize = 32 * 1024;

/// A client that is silent for this long is asked whether it is still there, and has this long to
/// say so.
const PING_AFTER: Duration = Duration::from_secs(20);
const PING_LIMIT: Duration = Duration::from_secs(15);

/// Requests that were reset before they were looked at (CVE-2023-44487), and requests that were
/// in error, after which the connection ends.
const RESETS: usize = 20;
const ERRORS: usize = 100;

/// Requests whose client did not want their answer any more, in a row of [`CUT_WINDOW`], after
/// which the connection ends: to begin them costs more than to give them up.
const CUTS: u32 = 1000;
const CUT_WINDOW: Duration = Duration::from_secs(60);

/// Requests of one connection that are with the inner server at a time, each on a connection of
/// its own there; others wait for their turn. Streams and held requests, which the hook answers,
/// do not count. Without it an address could have a hundred times as many as over HTTP/1.1.
pub(super) const RELAYS: usize = 16;

/// An answer of which nothing is taken in for this long is given up. On HTTP/1.1 the kernel sees
/// to it; here other answers may pass on the same connection.
pub(super) const STUCK: Duration = Duration::from_secs(if cfg!(test) { 1 } else { 25 });

/// How long a client has to end a connection after it was told to.
const GOODBYE: Duration = Duration::from_secs(2);

/// Serves a connection until it ends.
pub(super) fn spawn<S>(shared: Arc<Shared>, socket: S, peer: SocketAddr, permit: Permit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        serve(&shared, socket, peer).await;
        drop(permit);
    });
}

async fn serve<S>(shared: &Arc<Shared>, socket: S, peer: SocketAddr)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let activity = Arc::new(Activity::default());
    let service = {
        let (shared, activity) = (Arc::clone(shared), Arc::clone(&activity));
        service_fn(move |request| {
            Box::pin(answer(Arc::clone(&shared), Busy::new(&activity), peer, request))
        })
    };
    let mut builder = Builder::new(Tasks);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(shared.limits.http2_streams)
        .max_header_list_size(HEAD_BYTES as u32)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_send_buf_size(SEND_BUFFER)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_LIMIT)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(ERRORS);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    let mut closing = shared.closing.clone();
    // An error means that the door is no more.
    let mut closes = pin!(closing.wait_for(|closing| *closing));
    let mut told = false;
    let (mut phase, mut requests) = (Phase::Head, 0);
    let mut timer = pin!(sleep(shared.limits.head));
    poll_fn(|cx| {
        activity.connection.register(cx.waker());
        if !told && closes.as_mut().poll(cx).is_ready() {
            told = true;
            connection.as_mut().graceful_shutdown();
        }
        if connection.as_mut().poll(cx).is_ready() || activity.is_abused() {
            return Poll::Ready(());
        }
        let now = (activity.phase(), activity.requests.load(Ordering::Relaxed));
        if now != (phase, requests) {
            (phase, requests) = now;
            if let Some(limit) = phase.limit(&shared.limits) {
                timer.as_mut().reset(Instant::now() + if told { GOODBYE } else { limit });
            }
        }
        if phase == Phase::Busy || timer.as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        if told {
            return Poll::Ready(());
        }
        // So that no request that is under way is lost.
        told = true;
        connection.as_mut().graceful_shutdown();
        timer.as_mut().reset(Instant::now() + GOODBYE);
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Answers one request.
async fn answer(
    shared: Arc<Shared>,
    mut busy: Busy,
    peer: SocketAddr,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let (mut parts, body) = request.into_parts();
    let refused = head::from_http2(&mut parts).or_else(|| head::problem(&parts));
    let plain = body.is_end_stream() && head::is_plain(&parts);
    let mut answer = match refused {
        Some(sentence) => {
            body::drain(body);
            relay::refuse(400, sentence, false)
        }
        None => match ask(&shared, &parts, peer, plain).await {
            Some(Given::Whole(whole)) => whole.map(Body::whole),
            Some(Given::Stream(headers, frames)) => {
                let mut stream = Response::new(Body::frames(frames));
                *stream.headers_mut() = headers;
                stream
            }
            // Only small requests of the other protocol are asked about with their body.
            Some(Given::WithBody(_)) | None => {
                match timeout(shared.limits.answer, busy.turn()).await {
                    Ok(()) => relay::relay(&shared, peer, parts, body).await,
                    Err(_) => {
                        body::drain(body);
                        relay::refuse(503, "Too many requests of yours are being answered.", false)
                    }
                }
            }
        },
    };
    // There is no such thing in this protocol; a connection goes on after any request.
    answer.headers_mut().remove(CONNECTION);
    let pace = PACE.try_with(Arc::clone).ok();
    Ok(answer.map(|body| body.paced(pace).keeping(busy)))
}

/// What happens on a connection, for its time limits.
struct Activity {
    /// Requests that are being answered.
    open: AtomicUsize,
    /// How many there have been.
    requests: AtomicU64,
    /// Since an instant, requests that were given up by their client.
    cuts: Mutex<Option<(Instant, u32)>>,
    /// Turns at the inner server.
    relays: Arc<Semaphore>,
    /// Told when there is something new.
    connection: AtomicWaker,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            open: AtomicUsize::new(0),
            requests: AtomicU64::new(0),
            cuts: Mutex::default(),
            relays: Arc::new(Semaphore::new(RELAYS)),
            connection: AtomicWaker::new(),
        }
    }
}

impl Activity {
    fn phase(&self) -> Phase {
        if self.open.load(Ordering::SeqCst) > 0 {
            Phase::Busy
        } else if self.requests.load(Ordering::Relaxed) == 0 {
            Phase::Head
        } else {
            Phase::Idle
        }
    }

    fn count_cut(&self) {
        let now = Instant::now();
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *cuts {
            Some((since, count)) if now - *since < CUT_WINDOW => *count += 1,
            cuts => *cuts = Some((now, 1)),
        }
    }

    fn is_abused(&self) -> bool {
        let cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        cuts.is_some_and(|(_, count)| count > CUTS)
    }
}

/// A request that is being answered; ends with its last byte.
pub(super) struct Busy {
    activity: Arc<Activity>,
    /// The answer has been given to its end.
    pub done: bool,
    turn: Option<OwnedSemaphorePermit>,
}

impl Busy {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.open.fetch_add(1, Ordering::SeqCst);
        activity.requests.fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), done: false, turn: None }
    }
}

impl Busy {
    /// Waits for a turn at the inner server, which is kept until the answer's end.
    async fn turn(&mut self) {
        // It is never closed.
        self.turn = Arc::clone(&self.activity.relays).acquire_owned().await.ok();
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if !self.done {
            self.activity.count_cut();
        }
        self.activity.open.fetch_sub(1, Ordering::SeqCst);
        self.activity.connection.wake();
    }
}

tokio::task_local! {
    /// The pace of the request that a task answers.
    static PACE: Arc<Pace>;
}

/// Since when a client has not taken in what was made for it.
#[derive(Default)]
pub(super) struct Pace(Mutex<Option<Instant>>);

impl Pace {
    /// There is room again, or else no other part would be wanted.
    pub fn wanted(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Another part is on its way.
    pub fn made(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn since(&self) -> Option<Instant> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spawns what answers requests, and gives up what is stuck.
#[derive(Clone)]
struct Tasks;

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future + Send + 'static,
{
    fn execute(&self, future: F) {
        let pace = Arc::<Pace>::default();
        let paced = Paced { future: Box::pin(future), pace: Arc::clone(&pace), timer: None };
        tokio::spawn(PACE.scope(pace, paced));
    }
}

struct Paced<F> {
    future: Pin<Box<F>>,
    pace: Arc<Pace>,
    /// Only while something waits.
    timer: Option<Pin<Box<Sleep>>>,
}

impl<F: Future> Future for Paced<F> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.future.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let Some(since) = this.pace.since() else {
            this.timer = None;
            return Poll::Pending;
        };
        let deadline = since + STUCK;
        let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if timer.deadline() != deadline {
            timer.as_mut().reset(deadline);
        }
        // Dropped by its task, which resets the request.
        timer.as_mut().poll(cx)
    }
}
