//! Bodies of requests and answers as they pass the door.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::{Body as HttpBody, Bytes, Frame, Incoming, SizeHint};
use tokio::runtime::Handle;
use tokio::time::{Sleep, sleep, timeout};

use super::http2::{self, Pace};
use super::upstream::Lease;
use super::{Frames, connection};

/// On HTTP/2, a part of a body as it is handed over. What is handed over counts as taken in once
/// there is room for its first byte, and is then kept by the library, however long that takes.
const PART: usize = 16 * 1024;

/// An answer's body, with the note that its connection is busy.
pub struct Body {
    kind: Kind,
    /// What is left of a larger part.
    rest: Bytes,
    busy: Option<Busy>,
    pace: Option<Arc<Pace>>,
}

enum Kind {
    Whole(Option<Bytes>),
    Relayed(Box<Relayed>),
    /// Only on HTTP/2; else a stream is written to its socket.
    Frames(Box<dyn Frames>),
}

/// The note, of either protocol.
pub(super) enum Busy {
    One(#[expect(dead_code, reason = "dropped with the body")] connection::Busy),
    OfMany(http2::Busy),
}

impl From<connection::Busy> for Busy {
    fn from(busy: connection::Busy) -> Self {
        Self::One(busy)
    }
}

impl From<http2::Busy> for Busy {
    fn from(busy: http2::Busy) -> Self {
        Self::OfMany(busy)
    }
}

struct Relayed {
    incoming: Incoming,
    lease: Option<Lease>,
}

impl Body {
    /// All of it.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::of(Kind::Whole(Some(bytes).filter(|bytes| !bytes.is_empty())))
    }

    /// What the inner server sends over a connection that goes back to its pool afterwards.
    pub(super) fn relayed(incoming: Incoming, lease: Lease) -> Self {
        let relayed = Relayed { incoming, lease: Some(lease) };
        Self::of(Kind::Relayed(Box::new(relayed)))
    }

    /// Frames until there are no more.
    pub(super) fn frames(frames: Box<dyn Frames>) -> Self {
        Self::of(Kind::Frames(frames))
    }

    fn of(kind: Kind) -> Self {
        Self { kind, rest: Bytes::new(), busy: None, pace: None }
    }

    /// Keeps a connection busy for as long as this body lasts.
    pub(super) fn keeping(mut self, busy: impl Into<Busy>) -> Self {
        self.busy = Some(busy.into());
        self.note_end();
        self
    }

    /// Tells how fast it is taken in.
    pub(super) fn paced(mut self, pace: Option<Arc<Pace>>) -> Self {
        self.pace = pace;
        self
    }

    /// Cuts off what is handed over at once.
    fn cut(&mut self, mut data: Bytes) -> Frame<Bytes> {
        if self.pace.is_some() && data.len() > PART {
            self.rest = data.split_off(PART);
        }
        Frame::data(data)
    }

    fn note_end(&mut self) {
        let ended = self.is_end_stream();
        if let Some(Busy::OfMany(busy)) = &mut self.busy {
            busy.done |= ended;
        }
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(pace) = &this.pace {
            pace.wanted();
        }
        let data = match &mut this.kind {
            _ if !this.rest.is_empty() => Some(Ok(std::mem::take(&mut this.rest))),
            Kind::Whole(bytes) => bytes.take().map(Ok),
            Kind::Relayed(relayed) => ready!(relayed.poll_data(cx)),
            Kind::Frames(frames) => ready!(frames.poll_frame(cx)).map(|frame| Ok(frame.into())),
        };
        let frame = data.map(|data| data.map(|data| this.cut(data)));
        if let Some(pace) = this.pace.as_ref().filter(|_| frame.is_some()) {
            pace.made();
        }
        if frame.is_none()
            && let Some(Busy::OfMany(busy)) = &mut this.busy
        {
            busy.done = true;
        }
        this.note_end();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let ended = match &self.kind {
            Kind::Whole(bytes) => bytes.is_none(),
            Kind::Relayed(relayed) => relayed.incoming.is_end_stream(),
            Kind::Frames(_) => false,
        };
        ended && self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let more = match &self.kind {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            Kind::Relayed(relayed) => relayed.incoming.size_hint(),
            Kind::Frames(_) => SizeHint::default(),
        };
        let mut hint = SizeHint::new();
        hint.set_lower(more.lower() + rest);
        if let Some(upper) = more.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

impl Relayed {
    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        loop {
            // Asking first tells the connection that more is wanted.
            let mut frame = Pin::new(&mut self.incoming).poll_frame(cx);
            if frame.is_pending()
                && let Some(lease) = &mut self.lease
            {
                lease.upstream().drive(cx);
                frame = Pin::new(&mut self.incoming).poll_frame(cx);
            }
            return Poll::Ready(match ready!(frame) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => Some(Ok(data)),
                    // Trailers were not announced to the client.
                    Err(_) => continue,
                },
                Some(Err(e)) => Some(Err(io::Error::other(e))),
                None => None,
            });
        }
    }
}

impl Drop for Relayed {
    fn drop(&mut self) {
        if let Some(lease) = self.lease.take()
            && self.incoming.is_end_stream()
        {
            lease.give_back();
        }
    }
}

/// A request's body on its way to the inner server, bounded in time.
pub(super) struct Upload {
    /// Taken when it is dropped.
    incoming: Option<Incoming>,
    /// Instead, when all of it has been read already.
    here: Option<Bytes>,
    /// Made when the body has to be waited for.
    deadline: Option<Pin<Box<Sleep>>>,
    limit: Duration,
    fate: Arc<Fate>,
}

/// Why a request's body did not arrive whole, if it did not.
#[derive(Default)]
pub(super) struct Fate {
    /// It took too long.
    pub late: AtomicBool,
    /// The client ended it early.
    pub broken: AtomicBool,
    /// All of it has been passed on.
    pub whole: AtomicBool,
}

impl Upload {
    pub fn new(incoming: Incoming, limit: Duration, fate: &Arc<Fate>) -> Self {
        fate.whole.store(incoming.is_end_stream(), Ordering::Relaxed);
        let fate = Arc::clone(fate);
        Self { incoming: Some(incoming), here: None, deadline: None, limit, fate }
    }

    /// One that is here.
    pub fn here(body: Bytes, fate: &Arc<Fate>) -> Self {
        fate.whole.store(true, Ordering::Relaxed);
        let fate = Arc::clone(fate);
        Self { incoming: None, here: Some(body), deadline: None, limit: Duration::ZERO, fate }
    }

    /// All of it, if it comes whole and in time; else [`Fate`] says why not.
    pub async fn read(mut self) -> Option<Bytes> {
        let mut all = Vec::new();
        loop {
            match poll_fn(|cx| Pin::new(&mut self).poll_frame(cx)).await {
                Some(Ok(frame)) => all.extend_from_slice(frame.data_ref()?),
                Some(Err(_)) => return None,
                None => return Some(all.into()),
            }
        }
    }
}

impl HttpBody for Upload {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(here) = this.here.take().filter(|here| !here.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(here))));
        }
        let Some(incoming) = &mut this.incoming else { return Poll::Ready(None) };
        loop {
            match Pin::new(&mut *incoming).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {}
                Poll::Ready(frame) => {
                    let broken = matches!(frame, Some(Err(_)));
                    this.fate.broken.fetch_or(broken, Ordering::Relaxed);
                    let whole = frame.is_none() || incoming.is_end_stream();
                    this.fate.whole.store(whole && !broken, Ordering::Relaxed);
                    return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
                }
                Poll::Pending => {
                    let limit = this.limit;
                    let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(limit)));
                    ready!(deadline.as_mut().poll(cx));
                    this.fate.late.store(true, Ordering::Relaxed);
                    return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.here.as_ref().is_none_or(Bytes::is_empty)
            && self.incoming.as_ref().is_none_or(Incoming::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let here = self.here.as_ref().map_or(0, Bytes::len) as u64;
        self.incoming.as_ref().map_or_else(|| SizeHint::with_exact(here), Incoming::size_hint)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // Whoever is too slow is not waited for, and who has gone sends no more.
        if !self.fate.late.load(Ordering::Relaxed)
            && let Some(incoming) = self.incoming.take()
        {
            drain(incoming);
        }
    }
}

/// Longest time and most bytes for which the rest of a refused request is read.
const DRAIN: Duration = Duration::from_secs(10);
const DRAIN_BYTES: usize = 32 << 20;

/// Reads the rest of a body and drops it: some clients overlook an answer when they are told to
/// send no more.
pub(super) fn drain(mut incoming: Incoming) {
    let Ok(runtime) = Handle::try_current() else { return };
    if incoming.is_end_stream() {
        return;
    }
    runtime.spawn(timeout(DRAIN, async move {
        let mut left = DRAIN_BYTES;
        while let Some(Ok(frame)) = poll_fn(|cx| Pin::new(&mut incoming).poll_frame(cx)).await {
            let length = frame.data_ref().map_or(0, Bytes::len);
            if length > left {
                break;
            }
            left -= length;
        }
    }));
}
