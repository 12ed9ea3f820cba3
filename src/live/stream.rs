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

use super::admission::Turn;
use super::caps::StreamPermit;
use super::cursor::Cursor;
use super::hub::{Errand, Listener};
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

/// Bytes of comment that push a small frame through a buffer on the way: the usual 4 KiB, or a
/// frame would pass only when the next one comes.
const PAD_BYTES: usize = 4096;

/// Pause between a burst and the comment that pushes it, when padding was asked for.
const PAD_AFTER: Duration = Duration::from_millis(50);

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
    /// When `hello` was written: the zero of each frame's `t`.
    opened_at: Instant,
    heartbeat_at: Instant,
    pad_at: Option<Instant>,
    end_at: Instant,
    sent: usize,
    allowed: Allowed,
    lease: StreamLease,
    permit: StreamPermit,
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
            opened_at: now,
            heartbeat_at: now + HEARTBEAT,
            pad_at: None,
            end_at: now + Duration::from_secs(age),
            sent: 0,
            allowed,
            lease,
            permit,
        }
    }

    /// The next frame or several in one piece; `None` when the stream is over.
    pub fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let now = Instant::now();
        let frame = match self.state {
            State::Ended => return Poll::Ready(None),
            State::Opening => match self.begin(now, cx) {
                Poll::Ready(frame) => Some(frame),
                Poll::Pending => return Poll::Pending,
            },
            _ => self.due(now),
        };
        if let Some(frame) = frame {
            self.sent += frame.len();
            return Poll::Ready(Some(frame));
        }
        // Registered before the look, in `poll_after`; then the clock.
        if self.listener.poll_after(self.cursor, cx).is_ready()
            || self.lease.poll_superseded(cx).is_ready()
        {
            let frame = self.news(now);
            self.sent += frame.len();
            return Poll::Ready(Some(frame));
        }
        // Each delivery puts the heartbeat off. A timer that is early costs one more look.
        let next = self.next_due();
        if next < self.timer.deadline() || self.timer.is_elapsed() {
            self.timer.as_mut().reset(next);
        }
        if self.timer.as_mut().poll(cx).is_ready() {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }

    /// Tells all news, each in two parts ([`Delivery::with_parts`]), to whoever does the errand of
    /// this stream, and waits again with the waker of its task. False when something else is due
    /// than news, or when `tell` says that it has enough: [`Stream::poll_frame`] does the rest.
    ///
    /// Most deliveries to many readers are made here: it takes no note of wakers, which
    /// [`Stream::poll_frame`] has done, and leaves the timer as it is, which at worst is early.
    ///
    /// [`Delivery::with_parts`]: super::batch::Delivery
    pub fn each_news(&mut self, mut tell: impl FnMut(&str, &str) -> bool) -> bool {
        let now = Instant::now();
        loop {
            let hub = self.listener.hub();
            let is_usual = match self.state {
                State::Running => true,
                State::Proving { probe_at } => now < probe_at,
                State::Opening | State::Ended => false,
            };
            if !is_usual
                || self.request.pad
                || now >= self.end_at
                || self.sent >= MAX_BYTES
                || self.cursor.epoch != hub.epoch()
                || hub.is_draining()
                || self.lease.is_superseded()
                || !self.may_follow_all()
            {
                return false;
            }
            if self.listener.is_behind(self.cursor) {
                let delivery = hub.delivery(self.listener.topics(), self.cursor);
                self.cursor = delivery.to;
                self.heartbeat_at = now + HEARTBEAT;
                let (length, more) = delivery.with_parts(self.age_ms(now), |shared, own| {
                    (shared.len() + own.len(), tell(shared, own))
                });
                self.sent += length;
                if !more || self.sent >= MAX_BYTES {
                    return false;
                }
            }
            if !self.listener.is_behind_again(self.cursor) {
                return true;
            }
        }
    }

    /// Has the stream's frames written by whoever calls many listeners, see [`Errand`].
    pub fn set_errand(&self, errand: Errand) {
        self.listener.set_errand(errand);
    }

    /// The first frame: `hello` when it is this stream's turn, or when to come back instead.
    fn begin(&mut self, now: Instant, cx: &mut Context<'_>) -> Poll<String> {
        // The end of the process is heard of while it waits; news come after `hello`.
        self.listener.register(cx);
        if self.listener.hub().is_draining() {
            return Poll::Ready(self.drain());
        }
        match self.permit.turn() {
            Turn::Later(within) => {
                let within = u64::try_from(within.as_millis()).unwrap_or(u64::MAX);
                Poll::Ready(self.bye("busy", within))
            }
            Turn::At(turn) if turn > now => {
                self.timer.as_mut().reset(turn);
                self.timer.as_mut().poll(cx).map(|()| self.open(Instant::now()))
            }
            Turn::At(_) => Poll::Ready(self.open(now)),
        }
    }

    fn open(&mut self, now: Instant) -> String {
        self.state = State::Proving { probe_at: now + PROBE_AFTER };
        self.opened_at = now;
        self.mark_sent(now);
        let mut frame = String::new();
        if self.request.pad {
            frame.push_str(&padding());
        }
        let hello = serde_json::json!({
            "nonce": self.request.nonce,
            "client": self.request.client,
            "heartbeat": HEARTBEAT.as_secs(),
            "max_age": (self.end_at - now).as_secs(),
            "t": 0,
            "server": env!("CARGO_PKG_VERSION"),
            "cursor": self.cursor.to_string(),
        });
        frame.push_str(&format!("event: hello\nid: {}\ndata: {hello}\n\n", self.cursor));
        frame
    }

    /// What the clock says is due now.
    fn due(&mut self, now: Instant) -> Option<String> {
        if let State::Proving { probe_at } = self.state
            && now >= probe_at
        {
            self.state = State::Running;
            self.mark_sent(now);
            let probe = serde_json::json!({ "nonce": self.request.nonce, "t": self.age_ms(now) });
            return Some(format!("event: probe\ndata: {probe}\n\n"));
        }
        if self.pad_at.is_some_and(|at| now >= at) {
            self.pad_at = None;
            return Some(padding());
        }
        if now >= self.end_at || self.sent >= MAX_BYTES {
            return Some(self.bye("recycle", random_below(2_000)));
        }
        (now >= self.heartbeat_at).then(|| self.news(now))
    }

    fn news(&mut self, now: Instant) -> String {
        if self.listener.hub().is_draining() {
            return self.drain();
        }
        if self.lease.is_superseded() {
            return self.bye("superseded", 0);
        }
        if !self.may_follow_all() {
            return self.bye("auth", 0);
        }
        self.batch(now)
    }

    fn may_follow_all(&self) -> bool {
        self.listener.topics().iter().all(|topic| (self.allowed)(*topic))
    }

    fn batch(&mut self, now: Instant) -> String {
        let delivery = self.listener.hub().delivery(self.listener.topics(), self.cursor);
        self.cursor = delivery.to;
        self.heartbeat_at = now + HEARTBEAT;
        self.mark_sent(now);
        delivery.frame(self.age_ms(now))
    }

    /// Milliseconds since `hello`. A client that sees frames come later and later, or all but one
    /// late, knows that something on the way holds them back.
    fn age_ms(&self, now: Instant) -> u64 {
        u64::try_from((now - self.opened_at).as_millis()).unwrap_or(u64::MAX)
    }

    fn mark_sent(&mut self, now: Instant) {
        if self.request.pad {
            self.pad_at = Some(now + PAD_AFTER);
        }
    }

    /// The client draws its own time within the spread, so all are told the same.
    fn drain(&mut self) -> String {
        let spread = self.permit.drain_spread_ms();
        self.bye("drain", spread)
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::live::caps::{StreamCaps, StreamCounter};
    use crate::live::hub::{Hub, RING_EVENTS};
    use crate::live::presence::Presence;
    use crate::live::topic::encode;

    struct Bench {
        hub: Arc<Hub>,
        presence: Arc<Presence>,
        counter: Arc<StreamCounter>,
    }

    impl Bench {
        fn new() -> Self {
            let hub = Hub::new();
            let presence = Presence::new(Arc::clone(&hub));
            Self { hub, presence, counter: StreamCounter::new(StreamCaps::default()) }
        }

        fn open(&self, cursor: Cursor, pad: bool, allowed: Allowed) -> Stream {
            let request =
                StreamRequest { cursor, client: "client12".into(), nonce: "n1".into(), pad };
            Stream::new(
                self.hub.listen(vec![Topic::Site]),
                request,
                allowed,
                self.presence.stream_opened("client12", "g1"),
                self.counter.open(None, None).expect("room"),
            )
        }

        fn publish(&self, n: u64) {
            self.hub.publish(Topic::Site, encode(Topic::Site, "created", &n));
        }
    }

    /// The next frame, with the paused clock running on until there is one.
    async fn next(stream: &mut Stream) -> Option<String> {
        std::future::poll_fn(|cx| stream.poll_frame(cx)).await
    }

    fn kind(frame: &str) -> &str {
        frame.lines().next().unwrap_or_default()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_says_hello_at_once_proves_itself_later_and_then_beats() {
        let bench = Bench::new();
        let mut stream = bench.open(bench.hub.head(), false, Box::new(|_| true));
        let begun = Instant::now();
        let hello = next(&mut stream).await.expect("hello");
        assert_eq!((kind(&hello), begun.elapsed()), ("event: hello", Duration::ZERO));
        assert!(hello.contains(r#""nonce":"n1""#));
        let probe = next(&mut stream).await.expect("probe");
        assert_eq!(kind(&probe), "event: probe");
        assert!((700..710).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
        let beat = next(&mut stream).await.expect("heartbeat");
        assert!(beat.contains(r#""events":[]"#), "{beat}");
        assert!((15_000..15_010).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn each_delivery_goes_on_where_the_last_one_ended() {
        let bench = Bench::new();
        let start = bench.hub.head();
        bench.publish(1);
        let mut stream = bench.open(start, false, Box::new(|_| true));
        next(&mut stream).await;
        let first = next(&mut stream).await.expect("what was missed");
        assert!(first.contains(&format!(r#""from":"{start}","to":"{}""#, bench.hub.head())));
        let from = bench.hub.head();
        bench.publish(2);
        bench.publish(3);
        let second = next(&mut stream).await.expect("both at once");
        assert!(second.contains(&format!(r#""from":"{from}""#)) && second.contains(r#""data":3"#));
    }

    /// A waker, and how often it was woken.
    fn counting() -> (std::task::Waker, Wakes) {
        let wakes = Wakes::default();
        (std::task::Waker::from(Arc::clone(&wakes.0)), wakes)
    }

    #[derive(Default)]
    struct Wakes(Arc<Count>);

    #[derive(Default)]
    struct Count(std::sync::atomic::AtomicUsize);

    impl std::task::Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        }
    }

    impl Wakes {
        fn get(&self) -> usize {
            self.0.0.load(std::sync::atomic::Ordering::SeqCst)
        }
    }

    /// What an errand tells of a stream, and whether that was all.
    fn errand(stream: &mut Stream) -> (String, bool) {
        let mut told = String::new();
        let all = stream.each_news(|shared, own| {
            told.extend([shared, own]);
            true
        });
        (told, all)
    }

    #[tokio::test(start_paused = true)]
    async fn an_errand_tells_what_the_task_would_and_the_task_is_still_woken() {
        let bench = Bench::new();
        let start = bench.hub.head();
        let mut woken = bench.open(start, false, Box::new(|_| true));
        let mut called = bench.open(start, false, Box::new(|_| true));
        assert_eq!(errand(&mut called), (String::new(), false), "hello is not news");
        next(&mut woken).await;
        next(&mut called).await;
        let (task, wakes) = counting();
        let mut cx = Context::from_waker(&task);
        assert!(called.poll_frame(&mut cx).is_pending());
        assert_eq!(errand(&mut called), (String::new(), true), "nothing new");
        for n in 0..3 {
            bench.publish(n);
            let frame = next(&mut woken).await.expect("a batch");
            assert_eq!(errand(&mut called), (frame, true));
        }
        // It waits as before, with the waker of the task's last look.
        for wake in [true, false] {
            assert!(called.poll_frame(&mut cx).is_pending());
            let before = wakes.get();
            bench.hub.append(Topic::Site, [encode(Topic::Site, "created", &4)]);
            let (told, all) = errand(&mut called);
            assert!(told.contains(r#""data":4"#) && all && wakes.get() == before);
            if wake {
                bench.publish(5);
                next(&mut called).await;
            } else {
                bench.hub.drain();
            }
            assert_eq!(wakes.get(), before + 1);
        }
        let bench = Bench::new();
        let mut called = bench.open(bench.hub.head(), false, Box::new(|_| true));
        next(&mut called).await;
        let next_is_due = Duration::from_millis(701);
        tokio::time::advance(next_is_due).await;
        bench.publish(6);
        assert_eq!(errand(&mut called), (String::new(), false), "the probe comes first");
    }

    #[tokio::test(start_paused = true)]
    async fn an_errand_leaves_to_the_task_whatever_is_not_news() {
        let bench = Bench::new();
        let may = Arc::new(std::sync::atomic::AtomicBool::new(true));
        let allowed = Arc::clone(&may);
        let allowed = Box::new(move |_| allowed.load(std::sync::atomic::Ordering::SeqCst));
        let mut stream = bench.open(bench.hub.head(), false, allowed);
        next(&mut stream).await;
        bench.publish(1);
        may.store(false, std::sync::atomic::Ordering::SeqCst);
        assert_eq!(errand(&mut stream), (String::new(), false));
        assert!(next(&mut stream).await.is_some_and(|frame| frame.contains(r#""why":"auth""#)));

        // The third of a client takes the place of the first.
        let [mut first, mut padded, mut third] =
            [false, true, false].map(|pad| bench.open(bench.hub.head(), pad, Box::new(|_| true)));
        for stream in [&mut first, &mut padded, &mut third] {
            next(stream).await;
        }
        bench.publish(2);
        for (stream, is_usual) in [(&mut first, false), (&mut padded, false), (&mut third, true)] {
            assert_eq!(errand(stream).1, is_usual);
        }
        bench.hub.drain();
        assert_eq!(errand(&mut third), (String::new(), false));
        assert!(next(&mut third).await.is_some_and(|frame| frame.contains(r#""why":"drain""#)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_off_the_ring_is_reset_and_the_stream_goes_on() {
        let bench = Bench::new();
        let start = bench.hub.head();
        for n in 0..=RING_EVENTS as u64 {
            bench.publish(n);
        }
        let mut stream = bench.open(start, false, Box::new(|_| true));
        next(&mut stream).await;
        assert_eq!(kind(&next(&mut stream).await.expect("reset")), "event: reset");
        bench.publish(0);
        assert_eq!(kind(&next(&mut stream).await.expect("batch")), "event: batch");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cursor_of_another_process_or_of_the_future_is_reset_without_waiting() {
        let bench = Bench::new();
        bench.publish(1);
        let foreign = Cursor { seq: 99, ..Hub::new().head() };
        for cursor in [foreign, bench.hub.cursor(99)] {
            let mut stream = bench.open(cursor, false, Box::new(|_| true));
            let begun = Instant::now();
            next(&mut stream).await;
            assert_eq!(kind(&next(&mut stream).await.expect("reset")), "event: reset");
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_ends_itself_and_says_why() {
        let why = |frame: Option<String>| {
            let frame = frame.expect("bye");
            assert_eq!(kind(&frame), "event: bye");
            frame.split(r#""why":""#).nth(1).and_then(|s| s.split('"').next()).map(str::to_owned)
        };
        let bench = Bench::new();

        let mut old = bench.open(bench.hub.head(), false, Box::new(|_| true));
        let begun = Instant::now();
        let last = loop {
            let frame = next(&mut old).await;
            if frame.as_deref().is_some_and(|frame| kind(frame) == "event: bye") {
                break frame;
            }
        };
        assert_eq!(why(last).as_deref(), Some("recycle"));
        assert!((240..=361).contains(&begun.elapsed().as_secs()));
        assert_eq!(next(&mut old).await, None);

        let mut refused = bench.open(bench.hub.head(), false, Box::new(|_| false));
        next(&mut refused).await;
        bench.publish(1);
        assert_eq!(why(next(&mut refused).await).as_deref(), Some("auth"));

        let mut silent = bench.open(bench.hub.head(), false, Box::new(|_| false));
        next(&mut silent).await;
        next(&mut silent).await;
        assert_eq!(why(next(&mut silent).await).as_deref(), Some("auth"), "by the heartbeat");

        let mut first = bench.open(bench.hub.head(), false, Box::new(|_| true));
        next(&mut first).await;
        let second = bench.open(bench.hub.head(), false, Box::new(|_| true));
        let third = bench.open(bench.hub.head(), false, Box::new(|_| true));
        assert_eq!(why(next(&mut first).await).as_deref(), Some("superseded"));

        let mut last = second;
        next(&mut last).await;
        bench.hub.drain();
        assert_eq!(why(next(&mut last).await).as_deref(), Some("drain"));
        drop((old, refused, silent, first, last, third));
        assert_eq!(bench.counter.total(), 0, "each gives back its place");
    }

    #[tokio::test(start_paused = true)]
    async fn padding_comes_before_and_after_what_must_get_through() {
        let bench = Bench::new();
        let mut stream = bench.open(bench.hub.head(), true, Box::new(|_| true));
        let hello = next(&mut stream).await.expect("hello");
        assert!(hello.starts_with(": ") && hello.len() > PAD_BYTES);
        let pad = next(&mut stream).await.expect("padding");
        assert!(pad.starts_with(": "), "hello must not wait for the probe in a buffer");
        assert_eq!(kind(&next(&mut stream).await.expect("probe")), "event: probe");
        let begun = Instant::now();
        let pad = next(&mut stream).await.expect("padding");
        assert!(pad.starts_with(": ") && pad.len() > PAD_BYTES);
        assert!(begun.elapsed().as_millis() >= 50);
    }
}
