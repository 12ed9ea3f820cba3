//! How many streams may be open, for whom, and how fast they may be opened.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::admission::{Admission, Turn};
use crate::address::subscriber;

/// Over how long the clients of a stopping server are told to come back, at least.
const DRAIN_SPREAD: Duration = Duration::from_secs(3);

/// Most open streams; a client over a cap is advised to poll, not refused.
#[derive(Clone, Copy, Debug)]
pub struct StreamCaps {
    /// Of one browser (one cookie). Browsers allow six connections per host
    /// on HTTP/1.1, and requests need two of them.
    pub per_browser: usize,
    /// Of one address. Loopback is exempt: behind a proxy on this machine
    /// everybody has that address.
    pub per_address: usize,
    /// In all, a few KB of memory each.
    pub total: usize,
    /// Opened within any second; 0: no limit. See [`super::admission`].
    pub per_second: usize,
}

impl StreamCaps {
    /// The caps on held requests, which are where clients go that have no stream: never less
    /// than the defaults, and room for a tab that asks anew before its last request has ended.
    #[must_use]
    pub fn for_holds(self) -> Self {
        let least = Self::default();
        Self {
            per_browser: 2 * self.per_browser.max(least.per_browser),
            per_address: 2 * self.per_address.max(least.per_address),
            total: self.total.max(least.total),
            // Whoever holds has asked already, and is answered from memory.
            per_second: 0,
        }
    }
}

impl Default for StreamCaps {
    fn default() -> Self {
        Self { per_browser: 4, per_address: 200, total: 10_000, per_second: 1_000 }
    }
}

/// Counts open streams.
pub struct StreamCounter {
    caps: StreamCaps,
    admission: Admission,
    /// Milliseconds over which clients come back after a drain; 0 before it.
    drain_spread: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    browsers: HashMap<String, usize>,
    addresses: HashMap<IpAddr, usize>,
}

impl StreamCounter {
    /// A counter with these caps.
    #[must_use]
    pub fn new(caps: StreamCaps) -> Arc<Self> {
        let admission = Admission::new(caps.per_second);
        Arc::new(Self { caps, admission, drain_spread: AtomicU64::new(0), open: Mutex::default() })
    }

    /// Open streams in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).total
    }

    /// From now on streams end: notes over how long their clients should come back.
    pub fn begin_drain(&self) {
        let spread = self.admission.spread(self.total()).max(DRAIN_SPREAD);
        let spread = u64::try_from(spread.as_millis()).unwrap_or(u64::MAX);
        // A second call finds fewer streams open, and their clients are on their way already.
        let _ = self.drain_spread.compare_exchange(0, spread, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Leave to open one more; given back by dropping it.
    ///
    /// # Errors
    /// Which cap is reached, in words.
    pub fn open(
        self: &Arc<Self>,
        browser: Option<&str>,
        address: Option<IpAddr>,
    ) -> Result<StreamPermit, &'static str> {
        let address = address.map(subscriber).filter(|address| !address.is_loopback());
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if open.total >= self.caps.total {
            return Err("the server has as many connections open as it may");
        }
        if browser
            .is_some_and(|b| open.browsers.get(b).is_some_and(|n| *n >= self.caps.per_browser))
        {
            return Err("this browser has as many connections open as it may");
        }
        if address
            .is_some_and(|a| open.addresses.get(&a).is_some_and(|n| *n >= self.caps.per_address))
        {
            return Err("this address has as many connections open as it may");
        }
        open.total += 1;
        if let Some(browser) = browser {
            *open.browsers.entry(browser.to_owned()).or_default() += 1;
        }
        if let Some(address) = address {
            *open.addresses.entry(address).or_default() += 1;
        }
        drop(open);
        let turn = self.admission.turn(address);
        let browser = browser.map(str::to_owned);
        Ok(StreamPermit { counter: Arc::clone(self), browser, address, turn })
    }
}

/// One open stream in the count.
pub struct StreamPermit {
    counter: Arc<StreamCounter>,
    browser: Option<String>,
    address: Option<IpAddr>,
    turn: Turn,
}

impl StreamPermit {
    /// When the stream may begin.
    #[must_use]
    pub fn turn(&self) -> Turn {
        self.turn
    }

    /// Milliseconds over which clients come back when this server stops.
    #[must_use]
    pub fn drain_spread_ms(&self) -> u64 {
        let least = u64::try_from(DRAIN_SPREAD.as_millis()).unwrap_or(u64::MAX);
        self.counter.drain_spread.load(Ordering::SeqCst).max(least)
    }
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        let mut open = self.counter.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.total -= 1;
        if let Some(browser) = &self.browser {
            release(&mut open.browsers, browser);
        }
        if let Some(address) = &self.address {
            release(&mut open.addresses, address);
        }
    }
}

fn release<K: Hash + Eq>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cap_holds_and_is_given_back() {
        let caps = StreamCaps { per_browser: 1, per_address: 2, total: 3, per_second: 0 };
        let counter = StreamCounter::new(caps);
        let far = Some(IpAddr::from([10, 0, 0, 1]));
        let a = counter.open(Some("a"), far).expect("first");
        assert!(counter.open(Some("a"), None).is_err(), "browser");
        let b = counter.open(Some("b"), far).expect("second");
        assert!(counter.open(Some("c"), far).is_err(), "address");
        let near = Some(IpAddr::from([127, 0, 0, 1]));
        let c = counter.open(None, near).expect("third");
        assert!(counter.open(None, near).is_err(), "total");
        drop((a, b, c));
        assert_eq!(counter.total(), 0);
        let open = counter.open.lock().expect("lock");
        assert!(open.browsers.is_empty() && open.addresses.is_empty());
    }

    #[test]
    fn the_more_streams_end_the_longer_their_clients_take_to_come_back() {
        let caps = StreamCaps { total: 20_000, per_second: 1_000, ..StreamCaps::default() };
        let counter = StreamCounter::new(caps);
        let open = |count| -> Vec<_> {
            (0..count).map(|_| counter.open(None, None).expect("room")).collect()
        };
        let few = open(10);
        assert_eq!(few[0].drain_spread_ms(), 3_000);
        let many = open(7_990);
        counter.begin_drain();
        drop(many);
        counter.begin_drain();
        assert_eq!(few[0].drain_spread_ms(), 10_000, "8,000 at 800 a second");
    }
}
