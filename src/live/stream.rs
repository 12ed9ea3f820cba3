//! A streamed response as a source of frames, free of how bytes reach a socket.
//!
//! [`Stream::poll_frame`] yields whole Server-Sent Events frames (WHATWG HTML,
//! section 9.2) after a cursor. The web server's adapter copies them to its
//! body; a plain `EventSource` or `curl -N` can read them as they are.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::time::{Instant, Sleep, sleep_until};

use super::batch::Batch;
use super::caps::StreamPermit;
use super::cursor::Cursor;
use super::hub::Listener;
use super::presence::StreamLease;
use super::topic::Topic;

/// Pause between `hello` and `probe`. Together in one read they prove that
/// something on the way holds bytes back.
const PROBE_AFTER: Duration = Duration::from_millis(700);

/// Longest silence of a stream.
pub const HEARTBEAT: Duration = Duration::from_secs(15);

/// A stream ends itself after this many bytes, since some networks cap a response's length.
const MAX_BYTES: usize = 1024 * 1024;

/// A stream's age at its own end, drawn from this range so that clients spread out.
const MAX_AGE_SECS: std::ops::Range<u64> = 240..360;

/// Bytes of comment that push a small frame through a buffer on the way.
const PAD_BYTES: usize = 2048;

/// Pause between a burst and the comment that pushes it, when padding was asked for.
const PAD_AFTER: Duration = Duration::from_millis(50);

/// Over how long the clients of a stopping server are told to come back.
const DRAIN_SPREAD_MS: u64 = 3_000;

/// What a client asked for.
#[derive(Clone, Debug)]
pub struct StreamRequest {
    /// Where to begin.
    pub cursor: Cursor,
    /// Tab id, echoed in `hello`.
    pub client: String,
    /// Echoed, so that a cached answer gives itself away.
    pub nonce: String,
    /// Pad frames: something on the way waits for volume.
    pub pad: bool,
}

/// Whether the reader may still follow a topic; asked for each batch.
pub type Allowed = Box<dyn Fn(Topic) -> bool + Send + Sync>;

/// One open stream.
pub struct Stream {
    listener: Listener,
    request: StreamRequest,
    cursor: Cursor,
    state: State,
    /// The next thing due by the clock: probe, heartbeat or end of life.
    timer: Pin<Box<Sleep>>,
    heartbeat_at: Instant,
    pad_at: Option<Instant>,
    end_at: Instant,
    sent: usize,
    allowed: Allowed,
    lease: StreamLease,
    _permit: StreamPermit,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing sent yet.
    Opening,
    /// `hello` is out, `probe` is due.
    Proving {
        probe_at: Instant,
    },
    Running,
    Ended,
}

impl Stream {
    /// A stream from `request.cursor` on, for which the caller has checked rights and caps.
    #[must_use]
    pub fn new(
        listener: Listener,
        request: StreamRequest,
        allowed: Allowed,
        lease: StreamLease,
        permit: StreamPermit,
    ) -> Self {
        let now = Instant::now();
        let age = MAX_AGE_SECS.start + random_below(MAX_AGE_SECS.end - MAX_AGE_SECS.start);
        Self {
            cursor: request.cursor,
            listener,
            request,
            state: State::Opening,
            timer: Box::pin(sleep_until(now)),
            heartbeat_at: now + HEARTBEAT,
            pad_at: None,
            end_at: now + Duration::from_secs(age),
            sent: 0,
            allowed,
            lease,
            _permit: permit,
        }
    }

    /// The next frame or several in one piece; `None` when the stream is over.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let frame = match self.state {
            State::Ended => return Poll::Ready(None),
            State::Opening => Some(self.open()),
            _ => self.due(),
        };
        if let Some(frame) = frame {
            self.sent += frame.len();
            return Poll::Ready(Some(frame));
        }
        // Registered before the look, in `poll_after`; then the clock.
        if self.listener.poll_after(self.cursor.seq, cx).is_ready()
            || self.lease.poll_superseded(cx).is_ready()
        {
            let frame = self.news();
            self.sent += frame.len();
            return Poll::Ready(Some(frame));
        }
        let next = self.next_due();
        self.timer.as_mut().reset(next);
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    fn open(&mut self) -> String {
        let now = Instant::now();
        self.state = State::Proving { probe_at: now + PROBE_AFTER };
        let mut frame = String::new();
        if self.request.pad {
            frame.push_str(&padding());
        }
        let hello = serde_json::json!({
            "nonce": self.request.nonce,
            "client": self.request.client,
            "heartbeat": HEARTBEAT.as_secs(),
            "max_age": (self.end_at - now).as_secs(),
            "server": env!("CARGO_PKG_VERSION"),
            "cursor": self.cursor.to_string(),
        });
        frame.push_str(&format!("event: hello\nid: {}\ndata: {hello}\n\n", self.cursor));
        frame
    }

    /// What the clock says is due now.
    fn due(&mut self) -> Option<String> {
        let now = Instant::now();
        if let State::Proving { probe_at } = self.state
            && now >= probe_at
        {
            self.state = State::Running;
            self.mark_sent(now);
            let nonce = serde_json::json!({ "nonce": self.request.nonce });
            return Some(format!("event: probe\ndata: {nonce}\n\n"));
        }
        if self.pad_at.is_some_and(|at| now >= at) {
            self.pad_at = None;
            return Some(padding());
        }
        if now >= self.end_at || self.sent >= MAX_BYTES {
            return Some(self.bye("recycle", random_below(2_000)));
        }
        (now >= self.heartbeat_at).then(|| self.batch(now))
    }

    fn news(&mut self) -> String {
        if self.listener.hub().is_draining() {
            return self.bye("drain", random_below(DRAIN_SPREAD_MS));
        }
        if self.lease.is_superseded() {
            return self.bye("superseded", 0);
        }
        if !self.listener.topics().iter().all(|topic| (self.allowed)(*topic)) {
            return self.bye("auth", 0);
        }
        self.batch(Instant::now())
    }

    fn batch(&mut self, now: Instant) -> String {
        let batch = Batch::read(self.listener.hub(), self.listener.topics(), self.cursor);
        self.cursor = batch.to;
        self.heartbeat_at = now + HEARTBEAT;
        self.mark_sent(now);
        batch.frame()
    }

    fn mark_sent(&mut self, now: Instant) {
        if self.request.pad {
            self.pad_at = Some(now + PAD_AFTER);
        }
    }

    fn bye(&mut self, why: &str, after_ms: u64) -> String {
        self.state = State::Ended;
        self.lease.ended_in_order();
        format!(
            "event: bye\nid: {}\ndata: {{\"why\":\"{why}\",\"after_ms\":{after_ms}}}\n\n",
            self.cursor
        )
    }

    fn next_due(&self) -> Instant {
        let mut next = self.heartbeat_at.min(self.end_at);
        if let State::Proving { probe_at } = self.state {
            next = next.min(probe_at);
        }
        self.pad_at.map_or(next, |at| next.min(at))
    }
}

/// A comment that fills a buffer on the way; clients skip it.
fn padding() -> String {
    format!(":{}\n\n", " ".repeat(PAD_BYTES))
}

/// A number in `0..limit`, to keep clients from doing the same thing at once.
pub(super) fn random_below(limit: u64) -> u64 {
    let mut bytes = [0; 8];
    // Without randomness clients merely return together.
    let _ = getrandom::fill(&mut bytes);
    u64::from_le_bytes(bytes) % limit.max(1)
}
