//! How often each login may write: token buckets.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A bucket unused for this long is full again and can be forgotten.
const IDLE: Duration = Duration::from_secs(120);

/// Most buckets; more logins than this in two minutes is an attack. Those
/// that have none then share one of each kind, and nobody else feels it.
const MAX_BUCKETS: usize = 100_000;

/// Name of the shared ones. No login and no address looks like this.
const SHARED: &str = "everybody else";

/// What is limited. Generous enough for a person with several tabs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rate {
    /// Updates of documents: 100 a second, 400 at once.
    Updates,
    /// Bytes of updates: 200 KB a second, 8 MB at once.
    UpdateBytes,
    /// Beats: 20 a second, 100 at once.
    Beats,
    /// Pages made, texts put, client ids issued: 5 a second, 100 at once.
    Changes,
}

impl Rate {
    /// Tokens a second and tokens at once.
    fn bucket(self) -> (f64, f64) {
        match self {
            Self::Updates => (100.0, 400.0),
            Self::UpdateBytes => (200_000.0, 8_000_000.0),
            Self::Beats => (20.0, 100.0),
            Self::Changes => (5.0, 100.0),
        }
    }
}

struct Bucket {
    tokens: f64,
    at: Instant,
}

/// Buckets by login and kind.
#[derive(Default)]
pub struct RateLimiter {
    buckets: Mutex<HashMap<(Rate, String), Bucket>>,
}

impl RateLimiter {
    /// Takes `amount` tokens.
    ///
    /// # Errors
    /// How long to wait until there are enough; nothing was taken.
    pub fn take(&self, rate: Rate, login: &str, amount: usize) -> Result<(), Duration> {
        let (per_second, most) = rate.bucket();
        // More than a full bucket at once could never be had: it costs a full one.
        #[expect(clippy::cast_precision_loss, reason = "amounts are far below 2^52")]
        let amount = (amount as f64).min(most);
        let now = Instant::now();
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = (rate, login.to_owned());
        if buckets.len() >= MAX_BUCKETS && !buckets.contains_key(&key) {
            SHARED.clone_into(&mut key.1);
        }
        let bucket = buckets.entry(key).or_insert(Bucket { tokens: most, at: now });
        let gained = now.duration_since(bucket.at).as_secs_f64() * per_second;
        bucket.tokens = (bucket.tokens + gained).min(most);
        bucket.at = now;
        if bucket.tokens < amount {
            return Err(Duration::from_secs_f64((amount - bucket.tokens) / per_second));
        }
        bucket.tokens -= amount;
        Ok(())
    }

    /// Forgets buckets that are full again. Called now and then.
    pub fn forget_idle(&self) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, bucket| bucket.at.elapsed() < IDLE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_login_that_writes_too_fast_waits_and_others_do_not() {
        let rates = RateLimiter::default();
        for _ in 0..100 {
            assert_eq!(rates.take(Rate::Beats, "ann", 1), Ok(()));
        }
        let wait = rates.take(Rate::Beats, "ann", 1).expect_err("empty");
        assert_eq!(rates.take(Rate::Beats, "bob", 1), Ok(()));
        tokio::time::advance(wait + Duration::from_millis(1)).await;
        assert_eq!(rates.take(Rate::Beats, "ann", 1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_flood_of_logins_shares_what_is_left_and_stops_nobody_who_was_there() {
        let rates = RateLimiter::default();
        assert_eq!(rates.take(Rate::Beats, "ann", 1), Ok(()));
        for n in 0..MAX_BUCKETS {
            let _ = rates.take(Rate::Beats, &format!("flood {n}"), 1);
        }
        assert_eq!(rates.take(Rate::Beats, "ann", 1), Ok(()));
        assert_eq!(rates.take(Rate::Changes, "late", 1), Ok(()), "the shared one");
        while rates.take(Rate::Changes, "late", 1).is_ok() {}
        assert!(rates.take(Rate::Changes, "later", 1).is_err());
        assert!(rates.buckets.lock().expect("lock").len() <= MAX_BUCKETS + 4);
    }

    #[tokio::test(start_paused = true)]
    async fn one_huge_update_passes_when_the_bucket_is_full() {
        let rates = RateLimiter::default();
        assert_eq!(rates.take(Rate::UpdateBytes, "ann", 100_000_000), Ok(()));
        assert!(rates.take(Rate::UpdateBytes, "ann", 1).is_err());
    }
}
