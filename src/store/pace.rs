//! Work that nobody waits for, at a bounded rate.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Longest sleep between two looks at whether to give up.
const NAP: Duration = Duration::from_millis(50);

/// How fast something may go on. For the thread that made it.
pub(super) struct Pace<'a> {
    /// Of one core, one part of so many; 0: all of it.
    cpu_parts: u32,
    /// Bytes read or written a second; 0: any number.
    bytes_per_second: u64,
    /// Set by whoever wants the work to end.
    give_up: Option<&'a AtomicBool>,
    began: Instant,
    cpu_began: Duration,
    bytes: u64,
}

impl<'a> Pace<'a> {
    /// As fast as possible, to the end.
    pub fn unlimited() -> Self {
        Self {
            cpu_parts: 0,
            bytes_per_second: 0,
            give_up: None,
            began: Instant::now(),
            cpu_began: Duration::ZERO,
            bytes: 0,
        }
    }

    /// As fast as possible, until `give_up` is set.
    pub fn until(give_up: &'a AtomicBool) -> Self {
        Self { give_up: Some(give_up), ..Self::unlimited() }
    }

    /// With at most one part of `cpu_parts` of a core and so many bytes a second, each of them
    /// without a bound when 0.
    pub fn slow(cpu_parts: u32, bytes_per_second: u64, give_up: &'a AtomicBool) -> Self {
        Self { cpu_parts, bytes_per_second, cpu_began: cpu(), ..Self::until(give_up) }
    }

    /// After some work on `bytes`: sleeps until it was not too much for the time since the
    /// beginning. False: give up.
    pub fn rest(&mut self, bytes: u64) -> bool {
        self.bytes += bytes;
        let due = self.due();
        loop {
            if self.give_up.is_some_and(|give_up| give_up.load(Ordering::Relaxed)) {
                return false;
            }
            let left = due.saturating_sub(self.began.elapsed());
            if left.is_zero() {
                return true;
            }
            std::thread::sleep(left.min(NAP));
        }
    }

    /// How long after the beginning so much work should be done at the earliest.
    fn due(&self) -> Duration {
        let mut due = Duration::ZERO;
        if self.cpu_parts > 0 {
            due = cpu().saturating_sub(self.cpu_began).saturating_mul(self.cpu_parts);
        }
        let millis = self.bytes.saturating_mul(1_000).checked_div(self.bytes_per_second);
        if let Some(millis) = millis {
            due = due.max(Duration::from_millis(millis));
        }
        due
    }
}

/// Processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_takes_its_share_and_no_more() {
        let never = AtomicBool::new(false);
        let mut pace = Pace::slow(4, 0, &never);
        let begun = Instant::now();
        let worked = cpu();
        for _ in 0..5 {
            let from = cpu();
            while cpu() - from < Duration::from_millis(5) {
                std::hint::black_box(blake3::hash(&[7; 1_000]));
            }
            assert!(pace.rest(0));
        }
        let (worked, passed) = (cpu() - worked, begun.elapsed());
        assert!(passed >= worked * 4 - Duration::from_millis(5), "{worked:?} of {passed:?}");
    }

    #[test]
    fn bytes_have_their_rate_and_giving_up_ends_a_long_rest() {
        let give_up = AtomicBool::new(false);
        let mut pace = Pace::slow(0, 1 << 20, &give_up);
        let begun = Instant::now();
        assert!(pace.rest(100 << 10));
        assert!(begun.elapsed() >= Duration::from_millis(97));
        std::thread::scope(|scope| {
            scope.spawn(|| give_up.store(true, Ordering::Relaxed));
            assert!(!pace.rest(1 << 30));
        });
        assert!(!pace.rest(0));
    }
}
