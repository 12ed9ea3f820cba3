//! How many connections may be open, for whom.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpStream;
use tokio::sync::Notify;

use super::{Limits, linger};
use crate::address::subscriber;

/// Counts open connections.
pub(super) struct Caps {
    total: usize,
    per_address: usize,
    exempt: Vec<IpAddr>,
    open: Mutex<Open>,
    /// Told when the last one goes.
    emptied: Notify,
}

#[derive(Default)]
struct Open {
    total: usize,
    addresses: HashMap<IpAddr, usize>,
}

/// Why one more connection is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    Server,
    Address,
}

impl Full {
    /// Says so on a socket that is then closed. Whoever has not sent a request yet may not see it.
    pub fn refuse(self, socket: &TcpStream) {
        let sentence = match self {
            Self::Server => "The server has as many connections open as it may.\n",
            Self::Address => "Your address has as many connections open as it may.\n",
        };
        let answer = linger::answer("503 Service Unavailable", "Retry-After: 5\r\n", sentence);
        // A new socket's buffer is empty, so it takes this at once or is broken.
        let _ = socket.try_write(answer.as_bytes());
    }
}

impl Caps {
    pub fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            total: limits.connections_total,
            per_address: limits.connections_per_address,
            exempt: limits.exempt.clone(),
            open: Mutex::default(),
            emptied: Notify::new(),
        })
    }

    /// Leave for one more connection; given back by dropping it.
    pub fn admit(self: &Arc<Self>, address: IpAddr) -> Result<Permit, Full> {
        let address = address.to_canonical();
        let exempt = address.is_loopback() || self.exempt.contains(&address);
        let address = subscriber(address);
        let mut open = self.lock();
        if open.total >= self.total {
            return Err(Full::Server);
        }
        if !exempt {
            let count = open.addresses.entry(address).or_default();
            if *count >= self.per_address {
                let none = *count == 0;
                if none {
                    open.addresses.remove(&address);
                }
                return Err(Full::Address);
            }
            *count += 1;
        }
        open.total += 1;
        Ok(Permit { caps: Arc::clone(self), address: (!exempt).then_some(address) })
    }

    /// Waits until no connection is open.
    pub async fn empty(&self) {
        loop {
            let emptied = self.emptied.notified();
            tokio::pin!(emptied);
            // Registered before the look, so that the last one's end is not missed.
            emptied.as_mut().enable();
            if self.lock().total == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One open connection in the count.
pub(super) struct Permit {
    caps: Arc<Caps>,
    address: Option<IpAddr>,
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut open = self.caps.lock();
        open.total -= 1;
        if let Some(address) = &self.address
            && let Some(count) = open.addresses.get_mut(address)
        {
            *count -= 1;
            if *count == 0 {
                open.addresses.remove(address);
            }
        }
        if open.total == 0 {
            drop(open);
            self.caps.emptied.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cap_holds_and_is_given_back() {
        let proxy = IpAddr::from([10, 0, 0, 9]);
        let limits = Limits {
            connections_total: 4,
            connections_per_address: 1,
            exempt: vec![proxy],
            ..Limits::default()
        };
        let caps = Caps::new(&limits);
        let far = IpAddr::from([10, 0, 0, 1]);
        let first = caps.admit(far).expect("room");
        assert_eq!(caps.admit(far).err(), Some(Full::Address));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().expect("an address");
        assert_eq!(caps.admit(mapped).err(), Some(Full::Address), "the same, written otherwise");
        let near: Vec<_> = [[127, 0, 0, 1], [127, 0, 0, 1]]
            .map(|address| caps.admit(IpAddr::from(address)).expect("exempt"))
            .into();
        let last = caps.admit(proxy).expect("exempt");
        assert_eq!(caps.admit(proxy).err(), Some(Full::Server));
        drop((first, near, last));
        let open = caps.lock();
        assert!(open.total == 0 && open.addresses.is_empty());
    }
}
