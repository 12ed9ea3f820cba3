//! A streamed answer, written to the socket by the task that owns it.
//!
//! hyper keeps 16 KB of buffers for each connection and copies each chunk into one; a stream of
//! minutes needs neither. Its task is the socket, the source of frames, and what the kernel did
//! not take yet. A source with news for thousands may run these tasks itself ([`Frames::attach`]).

use std::cell::Cell;
use std::fmt::Write as _;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker, ready};
use std::time::SystemTime;

use hyper::body::Bytes;
use hyper::header::CONNECTION;
use hyper::http::request::Parts;
use hyper::{HeaderMap, Version};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

use super::caps::Permit;
use super::{Frames, Shared, connection};

/// Frames that are ready at the same time are written together, up to about this many bytes.
const JOINED_BYTES: usize = 16 * 1024;

/// Bytes that a client may send while it reads a stream: the next requests, by a bold one.
const AHEAD_BYTES: usize = 8 * 1024;

/// A stream for which the socket is wanted.
pub(super) struct Taken {
    /// Status line and headers.
    head: String,
    frames: Box<dyn Frames>,
    /// By chunks; otherwise the end of the connection is that of the body (HTTP/1.0).
    chunked: bool,
    /// The connection can be used again.
    keep: bool,
}

impl Taken {
    pub fn new(parts: &Parts, headers: &HeaderMap, frames: Box<dyn Frames>) -> Self {
        let chunked = parts.version == Version::HTTP_11;
        let keep = chunked && !asks_to_close(&parts.headers);
        let mut head = format!("{:?} 200 OK\r\n", parts.version);
        for (name, value) in headers {
            // What this program makes is readable.
            let _ = write!(head, "{name}: {}\r\n", value.to_str().unwrap_or_default());
        }
        if chunked {
            head.push_str("transfer-encoding: chunked\r\n");
        }
        if !keep {
            head.push_str("connection: close\r\n");
        }
        let date = httpdate::fmt_http_date(SystemTime::now());
        let _ = write!(head, "date: {date}\r\n\r\n");
        Self { head, frames, chunked, keep }
    }
}

fn asks_to_close(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|token| token.trim().eq_ignore_ascii_case("close"))
}

/// Writes a stream to its end, then serves the connection's next request.
pub(super) fn spawn<S>(
    shared: Arc<Shared>,
    socket: S,
    read: Bytes,
    peer: SocketAddr,
    permit: Permit,
    taken: Taken,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        let Taken { head, frames, chunked, keep } = taken;
        let work = Arc::new(Mutex::new(Work {
            streaming: Streaming {
                socket: Some(socket),
                frames: None,
                out: head.into_bytes(),
                written: 0,
                ahead: read.into(),
                chunked,
            },
            waker: Waker::noop().clone(),
            ended: None,
        }));
        // Kept by this task alone, so that whoever runs it does not keep what the task has left.
        let run: Arc<dyn Fn() -> bool + Send + Sync> = {
            let work = Arc::clone(&work);
            Arc::new(move || run_for_task(&work))
        };
        if let Ok(mut work) = work.lock() {
            work.streaming.frames.insert(frames).attach(Arc::downgrade(&run));
        }
        let ended = poll_fn(|cx| {
            // Whoever runs it meanwhile does not wait for anything. After a panic there it is over.
            let Ok(mut work) = work.lock() else { return Poll::Ready(None) };
            work.waker.clone_from(cx.waker());
            match work.ended.take() {
                Some(ended) => Poll::Ready(ended),
                None => work.streaming.poll(cx),
            }
        });
        let Some((mut socket, ahead)) = ended.await else { return };
        drop((run, work));
        if keep && !*shared.closing.borrow() {
            connection::go_on(shared, socket, ahead.into(), peer, permit);
        } else {
            // What was written last is still sent.
            let _ = socket.shutdown().await;
        }
    });
}

/// A stream, which its task and whoever runs it for its task take in turns.
struct Work<S> {
    streaming: Streaming<S>,
    /// Of its task.
    waker: Waker,
    /// It ended while it was run by another.
    ended: Option<Ended<S>>,
}

/// The socket and what was read from it; `None` when the reader has gone.
type Ended<S> = Option<(S, Vec<u8>)>;

/// Does what the stream's task would do when woken; false when it is at work already.
fn run_for_task<S: AsyncRead + AsyncWrite + Unpin>(work: &Mutex<Work<S>>) -> bool {
    let Ok(mut work) = work.try_lock() else { return false };
    let Work { streaming, waker, ended } = &mut *work;
    // All that it waits for wakes its task, which is still told of what the client sends.
    let cx = &mut Context::from_waker(waker);
    if ended.is_none()
        && let Poll::Ready(end) = streaming.write_news(cx)
    {
        *ended = Some(end);
        waker.wake_by_ref();
    }
    true
}

struct Streaming<S> {
    /// Taken at the end.
    socket: Option<S>,
    /// Dropped at the end.
    frames: Option<Box<dyn Frames>>,
    out: Vec<u8>,
    written: usize,
    ahead: Vec<u8>,
    chunked: bool,
}

/// The reader has gone.
struct Gone;

impl<S: AsyncRead + AsyncWrite + Unpin> Streaming<S> {
    /// What its task does.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Ended<S>> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(None) };
        match listen(socket, &mut self.ahead, cx) {
            Ok(()) => self.write(cx),
            Err(Gone) => {
                // Whoever runs it just now shall find nothing to do.
                (self.socket, self.frames) = (None, None);
                Poll::Ready(None)
            }
        }
    }

    /// What one does who runs it for its task: as a rule there are news and the socket takes them,
    /// so they go through a buffer of the thread instead of one that comes and goes.
    fn write_news(&mut self, cx: &mut Context<'_>) -> Poll<Ended<S>> {
        thread_local!(static BUFFER: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
        let (Some(socket), Some(frames), true) =
            (&mut self.socket, &mut self.frames, self.out.is_empty())
        else {
            return self.write(cx);
        };
        // What a socket of TLS still has, it sends first.
        if ready!(Pin::new(&mut *socket).poll_flush(cx)).is_err() {
            return Poll::Ready(None);
        }
        let mut buffer = BUFFER.take();
        buffer.clear();
        let is_all = frames.append_news(&mut Chunks { out: &mut buffer, chunked: self.chunked });
        let mut written = 0;
        while written < buffer.len() {
            match Pin::new(&mut *socket).poll_write(cx, &buffer[written..]) {
                Poll::Ready(Ok(n)) if n > 0 => written += n,
                Poll::Ready(_) => return Poll::Ready(None),
                Poll::Pending => {
                    self.out = buffer[written..].to_vec();
                    break;
                }
            }
        }
        if buffer.capacity() <= 4 * JOINED_BYTES {
            BUFFER.set(buffer);
        }
        if !self.out.is_empty() {
            return Poll::Pending;
        }
        if ready!(Pin::new(&mut *socket).poll_flush(cx)).is_err() {
            return Poll::Ready(None);
        }
        if is_all { Poll::Pending } else { self.write(cx) }
    }

    fn write(&mut self, cx: &mut Context<'_>) -> Poll<Ended<S>> {
        let Some(socket) = &mut self.socket else { return Poll::Ready(None) };
        let mut no_more = false;
        loop {
            while self.written < self.out.len() {
                match ready!(Pin::new(&mut *socket).poll_write(cx, &self.out[self.written..])) {
                    Ok(n) if n > 0 => self.written += n,
                    _ => return Poll::Ready(None),
                }
            }
            if !self.out.is_empty() {
                // A buffer only while there is something in it.
                self.out = Vec::new();
                self.written = 0;
            }
            if ready!(Pin::new(&mut *socket).poll_flush(cx)).is_err() {
                return Poll::Ready(None);
            }
            if no_more {
                // The source said so after it had taken note of whom to wake.
                return Poll::Pending;
            }
            let Some(frames) = &mut self.frames else { break };
            while self.out.len() < JOINED_BYTES {
                match frames.poll_frame(cx) {
                    Poll::Ready(Some(frame)) => {
                        Chunks { out: &mut self.out, chunked: self.chunked }.push(&frame, "");
                    }
                    Poll::Ready(None) => {
                        self.frames = None;
                        if self.chunked {
                            self.out.extend_from_slice(b"0\r\n\r\n");
                        }
                        break;
                    }
                    Poll::Pending if self.out.is_empty() => return Poll::Pending,
                    Poll::Pending => {
                        no_more = true;
                        break;
                    }
                }
            }
        }
        Poll::Ready(self.socket.take().map(|socket| (socket, std::mem::take(&mut self.ahead))))
    }
}

/// Takes in what the client sends meanwhile; so its leaving is noticed at once.
fn listen<S: AsyncRead + Unpin>(
    socket: &mut S,
    ahead: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Result<(), Gone> {
    let mut bytes = [0; 256];
    loop {
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut *socket).poll_read(cx, &mut buffer) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Err(_)) => return Err(Gone),
            Poll::Ready(Ok(())) if buffer.filled().is_empty() => return Err(Gone),
            Poll::Ready(Ok(())) => {
                ahead.extend_from_slice(buffer.filled());
                if ahead.len() > AHEAD_BYTES {
                    return Err(Gone);
                }
            }
        }
    }
}

/// What is to be written of a stream's body.
pub struct Chunks<'a> {
    out: &'a mut Vec<u8>,
    chunked: bool,
}

impl Chunks<'_> {
    /// Appends a frame, which comes in two parts, as one chunk (RFC 9112, section 7.1). Whether more
    /// may follow before all of it is written.
    pub fn push(&mut self, begin: &str, end: &str) -> bool {
        let length = begin.len() + end.len();
        if length == 0 {
            // An empty chunk would be the end.
            return true;
        }
        self.out.reserve(length + 24);
        if self.chunked {
            // Hexadecimal digits without the ones before the first that is not 0.
            let digits = length.ilog2() / 4;
            for digit in (0..=digits).rev() {
                self.out.push(b"0123456789abcdef"[length >> (4 * digit) & 15]);
            }
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.extend_from_slice(begin.as_bytes());
        self.out.extend_from_slice(end.as_bytes());
        if self.chunked {
            self.out.extend_from_slice(b"\r\n");
        }
        self.out.len() < JOINED_BYTES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_one_chunk_whatever_its_length_and_an_empty_one_is_none() {
        for length in [1, 9, 15, 16, 17, 255, 256, 4095, 4096, 65_535, 65_536, 262_144] {
            let frame = "x".repeat(length);
            for at in [0, length / 2, length] {
                let mut out = Vec::new();
                Chunks { out: &mut out, chunked: true }.push(&frame[..at], &frame[at..]);
                assert_eq!(out, format!("{length:x}\r\n{frame}\r\n").into_bytes(), "{length}");
            }
        }
        let mut out = Vec::new();
        Chunks { out: &mut out, chunked: true }.push("", "");
        Chunks { out: &mut out, chunked: false }.push("plain", "");
        assert_eq!(out, b"plain");
    }
}
