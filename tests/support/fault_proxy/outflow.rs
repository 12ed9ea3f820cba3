//! What of a response leaves when: bytes wait here until the fault lets them go.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::time::Instant;

use super::http::chunk;
use super::mode::Fault;

/// The piece in which `slow` lets bytes go.
const SLOW_PIECE: usize = 64;

/// Bytes on their way to a client.
pub struct Outflow {
    held: Held,
    next_tick: Option<Instant>,
    budget_since: Instant,
    zip: Option<GzEncoder<Vec<u8>>>,
}

impl Outflow {
    /// Nothing yet. `zipped`: the head has promised gzip.
    pub fn new(zipped: bool) -> Self {
        Self {
            held: Held::default(),
            next_tick: None,
            budget_since: Instant::now(),
            zip: zipped.then(|| GzEncoder::new(Vec::new(), Compression::default())),
        }
    }

    /// Takes a burst as it came.
    pub fn push(&mut self, bytes: Vec<u8>) {
        self.held.push(bytes);
    }

    /// How many bytes wait.
    pub fn len(&self) -> usize {
        self.held.len
    }

    /// What may go now, and when to ask again. `ended`: the server has said everything. `genuine`:
    /// [`Fault::Typed`] lets this response through.
    pub fn release(
        &mut self,
        fault: Fault,
        ended: bool,
        genuine: bool,
    ) -> io::Result<(Vec<u8>, Option<Instant>)> {
        let now = Instant::now();
        let (mut out, mut wake) = (Vec::new(), None);
        match fault {
            Fault::Mute if !ended => {}
            Fault::Typed if !ended && !genuine => {}
            Fault::Tick(every) if !ended => {
                let tick = *self.next_tick.get_or_insert(now + every);
                if now >= tick {
                    self.next_tick = Some(now + every);
                    out = self.held.take_all();
                }
                wake = self.next_tick;
            }
            Fault::Thresh(size) if !ended => out = self.held.take(self.held.len / size * size),
            Fault::Behind if !ended => out = self.held.take_but_last(),
            Fault::Slow(rate) => (out, wake) = self.drip(rate, now),
            _ => out = self.held.take_all(),
        }
        Ok((self.compress(out, fault, ended)?, wake))
    }

    /// The wire form of what leaves: chunks, one or many, or just the bytes.
    pub fn frame(out: &[u8], fault: Fault, chunked: bool) -> Vec<Vec<u8>> {
        let piece = if let Fault::Chop(size) = fault { size } else { out.len().max(1) };
        out.chunks(piece).map(|part| if chunked { chunk(part) } else { part.to_vec() }).collect()
    }

    fn drip(&mut self, rate: usize, now: Instant) -> (Vec<u8>, Option<Instant>) {
        let piece = SLOW_PIECE.min(rate);
        let due = (now - self.budget_since).as_secs_f64() * rate as f64;
        if self.held.len == 0 {
            self.budget_since = now;
            (Vec::new(), None)
        } else if due >= piece as f64 {
            self.budget_since = now;
            (self.held.take(piece), Some(now))
        } else {
            let wait = Duration::from_secs_f64(piece as f64 / rate as f64);
            (Vec::new(), Some(self.budget_since + wait))
        }
    }

    /// A response that has begun as gzip stays gzip; only without the fault it is flushed.
    fn compress(&mut self, out: Vec<u8>, fault: Fault, ended: bool) -> io::Result<Vec<u8>> {
        let Some(zip) = &mut self.zip else { return Ok(out) };
        zip.write_all(&out)?;
        if fault != Fault::Gzip && !out.is_empty() {
            zip.flush()?;
        }
        if ended && self.held.len == 0 {
            return self.zip.take().map_or(Ok(Vec::new()), GzEncoder::finish);
        }
        Ok(std::mem::take(zip.get_mut()))
    }
}

/// Bytes that wait, burst by burst.
#[derive(Default)]
struct Held {
    bursts: VecDeque<Vec<u8>>,
    len: usize,
}

impl Held {
    fn push(&mut self, bytes: Vec<u8>) {
        self.len += bytes.len();
        self.bursts.push_back(bytes);
    }

    fn take_all(&mut self) -> Vec<u8> {
        self.take(self.len)
    }

    fn take_but_last(&mut self) -> Vec<u8> {
        self.take(self.len - self.bursts.back().map_or(0, Vec::len))
    }

    fn take(&mut self, mut count: usize) -> Vec<u8> {
        let mut out = Vec::with_capacity(count);
        while count > 0 {
            let Some(mut burst) = self.bursts.pop_front() else { break };
            if burst.len() > count {
                let rest = burst.split_off(count);
                self.bursts.push_front(rest);
            }
            count -= burst.len();
            self.len -= burst.len();
            out.extend(burst);
        }
        out
    }
}
