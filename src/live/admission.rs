//! How fast streams are opened: after a restart everybody comes back at once.
//!
//! Each stream that opens is followed by a request for the page as it is now, and both have to be
//! answered while those who were admitted before are served. So there is a limit on how many say
//! `hello` within a second. Who comes over it waits its turn for up to [`MAX_WAIT`], which no
//! client notices, and beyond that is told by `bye` when to come back. Neither is an error, and
//! neither says anything about the network, so no client leaves its rung for it.
//!
//! The limit is a leaky bucket as a meter (GCRA, ITU-T I.371): one time, at which the bucket would
//! be empty.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest wait of an opened stream for its `hello`; clients become uneasy after 1.5 s.
pub const MAX_WAIT: Duration = Duration::from_secs(1);

/// Shortest and longest time over which those who found no turn are told to come back.
const RETURN: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(30);

/// One address may take this part of all turns, so that one alone cannot keep everybody else from
/// their streams.
const ADDRESS_PART: usize = 4;

/// Addresses that are counted one by one. More than this within seconds is an attack from many;
/// then only the limit for all holds.
const MAX_ADDRESSES: usize = 10_000;

/// When a stream may say `hello`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// At this time, which may have come already.
    At(Instant),
    /// Not now: come back at any time within this.
    Later(Duration),
}

/// Gives out turns.
pub struct Admission {
    /// Most in any second; 0: no limit.
    per_second: usize,
    all: Pace,
    address: Pace,
    state: Mutex<State>,
}

struct State {
    all: Instant,
    addresses: HashMap<IpAddr, Instant>,
    /// Up to here turns are expected to be taken by those who were told to come back.
    promised: Instant,
}

/// A bucket: one turn each `every`, and `ahead` of that may come at once.
#[derive(Clone, Copy)]
struct Pace {
    every: Duration,
    ahead: Duration,
}

impl Pace {
    /// At most `most` within any second: a fifth of them at once, the rest evenly.
    fn within_a_second(most: usize) -> Self {
        let at_once = u32::try_from((most / 5).max(1)).unwrap_or(u32::MAX);
        let rest = u32::try_from(most).unwrap_or(u32::MAX).saturating_sub(at_once).max(1);
        let every = Duration::from_secs(1) / rest;
        Self { every, ahead: every * (at_once - 1) }
    }

    /// The next turn of a bucket that is empty at `empty`.
    fn next(self, empty: Instant, now: Instant) -> Instant {
        empty.checked_sub(self.ahead).map_or(now, |next| next.max(now))
    }

    fn take(self, empty: &mut Instant, now: Instant) {
        *empty = (*empty).max(now) + self.every;
    }
}

impl Admission {
    /// At most `per_second` in any second, 0 for no limit.
    #[must_use]
    pub fn new(per_second: usize) -> Self {
        let now = Instant::now();
        let state = State { all: now, addresses: HashMap::new(), promised: now };
        Self {
            per_second,
            all: Pace::within_a_second(per_second),
            address: Pace::within_a_second((per_second / ADDRESS_PART).max(1)),
            state: Mutex::new(state),
        }
    }

    /// The turn of one more stream. `address`: whose share it comes from, if it has one.
    pub fn turn(&self, address: Option<IpAddr>) -> Turn {
        let now = Instant::now();
        if self.per_second == 0 {
            return Turn::At(now);
        }
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let latest = now + MAX_WAIT;
        let own = address.map(|address| state.addresses.get(&address).copied().unwrap_or(now));
        let own_turn = own.map_or(now, |empty| self.address.next(empty, now));
        if own_turn > latest {
            return Turn::Later(((own_turn - now) * 2).clamp(*RETURN.start(), *RETURN.end()));
        }
        let turn = self.all.next(state.all, now).max(own_turn);
        if turn > latest {
            // Each is given the next free place behind all those who were sent away before. Who
            // draws from 0 to twice that comes, on the average, in its place.
            state.promised = (state.promised.max(turn) + self.all.every).min(now + *RETURN.end());
            return Turn::Later(((state.promised - now) * 2).clamp(*RETURN.start(), *RETURN.end()));
        }
        self.all.take(&mut state.all, now);
        if let (Some(address), Some(mut empty)) = (address, own) {
            self.address.take(&mut empty, now);
            if state.addresses.len() >= MAX_ADDRESSES {
                state.addresses.retain(|_, empty| *empty > now);
            }
            if state.addresses.len() < MAX_ADDRESSES {
                state.addresses.insert(address, empty);
            }
        }
        Turn::At(turn)
    }

    /// Over how long `streams` clients should come back, so that each finds its turn.
    #[must_use]
    pub fn spread(&self, streams: usize) -> Duration {
        if self.per_second == 0 {
            return Duration::ZERO;
        }
        let streams = u32::try_from(streams).unwrap_or(u32::MAX);
        self.all.every.saturating_mul(streams).min(*RETURN.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Turns of `count` who come at once; how many were sent away.
    fn crowd(admission: &Admission, count: usize) -> (Vec<Instant>, usize) {
        let turns: Vec<_> = (0..count).map(|_| admission.turn(None)).collect();
        let at = turns.iter().filter_map(|turn| match turn {
            Turn::At(at) => Some(*at),
            Turn::Later(_) => None,
        });
        let at: Vec<_> = at.collect();
        let away = count - at.len();
        (at, away)
    }

    #[tokio::test(start_paused = true)]
    async fn no_second_has_more_turns_than_the_limit_whoever_comes_when() {
        for per_second in [1, 3, 10, 200, 1_000] {
            let admission = Admission::new(per_second);
            let mut all = Vec::new();
            for _ in 0..8 {
                all.extend(crowd(&admission, 2 * per_second).0);
                tokio::time::advance(Duration::from_millis(700)).await;
            }
            for (n, first) in all.iter().enumerate() {
                let second = Duration::from_secs(1);
                let within = all[n..].iter().take_while(|at| **at - *first < second).count();
                assert!(within <= per_second, "{within} of {per_second} within a second");
            }
            assert!(all.len() >= 4 * per_second, "{} turns of {per_second} a second", all.len());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_fifth_begins_at_once_and_nobody_waits_longer_than_a_second() {
        let admission = Admission::new(1_000);
        let now = Instant::now();
        let (turns, away) = crowd(&admission, 5_000);
        assert_eq!(turns.iter().filter(|at| **at == now).count(), 200);
        assert!(turns.iter().all(|at| *at <= now + MAX_WAIT));
        assert!((990..=1_010).contains(&turns.len()), "{}", turns.len());
        assert_eq!(turns.len() + away, 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn five_thousand_who_return_as_they_are_told_are_all_in_soon() {
        use rand::{Rng, SeedableRng};
        let seed = rand::random::<u64>();
        println!("seed {seed}");
        let mut random = rand::rngs::StdRng::seed_from_u64(seed);
        let admission = Admission::new(1_000);
        let begun = Instant::now();
        let mut waiting = vec![begun; 5_000];
        let mut last = begun;
        while let Some(next) = waiting.iter().min().copied() {
            tokio::time::advance(next.saturating_duration_since(Instant::now())).await;
            let mut later = Vec::new();
            for at in waiting.drain(..) {
                if at > next {
                    later.push(at);
                    continue;
                }
                match admission.turn(None) {
                    Turn::At(at) => last = last.max(at),
                    Turn::Later(within) => {
                        later.push(next + within.mul_f64(random.random_range(0.0..1.0)));
                    }
                }
            }
            waiting = later;
        }
        let took = last - begun;
        println!("all in after {took:?}");
        assert!(took > Duration::from_secs(5), "not above the rate: {took:?}");
        assert!(took < Duration::from_secs(20), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_address_cannot_take_everybodys_turns() {
        let admission = Admission::new(1_000);
        let greedy = Some(IpAddr::from([10, 0, 0, 1]));
        let taken = (0..5_000).filter(|_| matches!(admission.turn(greedy), Turn::At(_))).count();
        assert!(taken <= 260, "{taken}");
        let other = Some(IpAddr::from([10, 0, 0, 2]));
        let Turn::At(at) = admission.turn(other) else { panic!("a turn") };
        assert!(at - Instant::now() < Duration::from_millis(200), "soon");
    }

    #[tokio::test(start_paused = true)]
    async fn addresses_that_rest_are_forgotten_and_no_limit_is_none() {
        let admission = Admission::new(1_000_000);
        for n in 0..=u32::try_from(MAX_ADDRESSES).expect("small") {
            admission.turn(Some(IpAddr::from(n.to_be_bytes())));
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        assert!(admission.state.lock().expect("lock").addresses.len() <= MAX_ADDRESSES);
        let free = Admission::new(0);
        let now = Instant::now();
        assert!((0..10_000).all(|_| free.turn(None) == Turn::At(now)));
        assert_eq!(free.spread(1_000), Duration::ZERO);
        assert_eq!(Admission::new(1_000).spread(800), Duration::from_secs(1));
    }
}
