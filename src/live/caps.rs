//! How many streams may be open, for whom.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

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
        }
    }
}

impl Default for StreamCaps {
    fn default() -> Self {
        Self { per_browser: 4, per_address: 200, total: 10_000 }
    }
}

/// Counts open streams.
pub struct StreamCounter {
    caps: StreamCaps,
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
        Arc::new(Self { caps, open: Mutex::default() })
    }

    /// Open streams in all.
    #[must_use]
    pub fn total(&self) -> usize {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).total
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
        let address = address.filter(|address| !address.is_loopback());
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
        Ok(StreamPermit { counter: Arc::clone(self), browser: browser.map(str::to_owned), address })
    }
}

/// One open stream in the count.
pub struct StreamPermit {
    counter: Arc<StreamCounter>,
    browser: Option<String>,
    address: Option<IpAddr>,
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
        let counter = StreamCounter::new(StreamCaps { per_browser: 1, per_address: 2, total: 3 });
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
}
