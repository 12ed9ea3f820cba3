//! Which runs go side by side, and how long all of them take.
//!
//! A run in which a hundred clients wait for an edit each 50 s hardly loads anything: such runs
//! share the machine, each with a server of its own, as long as the sum of their estimated loads
//! stays small.

use std::time::{Duration, Instant};

use super::plan::Job;

/// How much may run at once.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// Runs at once.
    pub count: usize,
    /// Sum of the estimated loads, in cores. One run alone may be more.
    load: f64,
    /// Connections at once, by the limit of open files.
    clients: usize,
}

/// A server of a run takes about this much memory with its clients.
const MEMORY_OF_A_LANE: u64 = 150 << 20;

/// Share of the machine that is loaded by design: what is measured must not wait for it.
const LOAD: f64 = 0.2;

impl Lanes {
    /// At most `count` runs.
    pub fn new(count: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let files = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let files = files.and_then(|n| usize::try_from(n).ok()).unwrap_or(usize::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a number of cores")]
        let load = LOAD * cores as f64;
        Self { count: count.max(1), load, clients: files.saturating_sub(500).max(100) }
    }

    /// As many as the memory and cores allow.
    pub fn for_this_machine() -> Self {
        let memory = super::machine::free_memory().unwrap_or(0) / 2 / MEMORY_OF_A_LANE;
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let memory = usize::try_from(memory).unwrap_or(usize::MAX);
        Self::new(memory.min(8 * cores).min(64))
    }

    fn take(&self, job: &Job, running: &[&Job]) -> bool {
        let load: f64 = running.iter().map(|job| job.cell.load()).sum();
        let clients: usize = running.iter().map(|job| job.cell.clients).sum();
        running.is_empty()
            || (running.len() < self.count
                && load + job.cell.load() <= self.load
                && clients + job.cell.clients <= self.clients)
    }
}

/// Runs that wait, and those that run.
pub struct Queue {
    waiting: Vec<Job>,
    running: Vec<(Job, Instant)>,
    lanes: Lanes,
    /// Runs in all.
    pub total: usize,
}

impl Queue {
    /// All wait, in this order.
    pub fn new(jobs: Vec<Job>, lanes: Lanes) -> Self {
        Self { total: jobs.len(), waiting: jobs, running: Vec::new(), lanes }
    }

    /// The next run, if there is room for one.
    pub fn next_job(&mut self) -> Option<Job> {
        let running: Vec<&Job> = self.running.iter().map(|(job, _)| job).collect();
        let at = self.waiting.iter().position(|job| self.lanes.take(job, &running))?;
        let job = self.waiting.remove(at);
        self.running.push((job, Instant::now()));
        Some(job)
    }

    /// A run has ended.
    pub fn ended(&mut self, job: &Job) {
        self.running.retain(|(running, _)| running != job);
    }

    /// Runs that have ended.
    pub fn done(&self) -> usize {
        self.total - self.waiting.len() - self.running.len()
    }

    /// Estimate of the time until all have ended.
    pub fn time_left(&self) -> Duration {
        let running: Vec<(Job, Duration)> =
            self.running.iter().map(|(job, begun)| (*job, begun.elapsed())).collect();
        simulate(&self.waiting, &running, &self.lanes)
    }
}

/// How long it takes until all have ended, when each takes as long as it should. `running` with
/// the time that each has had already.
pub fn simulate(waiting: &[Job], running: &[(Job, Duration)], lanes: &Lanes) -> Duration {
    let mut waiting = waiting.to_vec();
    let mut running: Vec<(Job, Duration)> = running
        .iter()
        .map(|(job, had)| (*job, job.cell.duration(job.least).saturating_sub(*had)))
        .collect();
    let mut now = Duration::ZERO;
    loop {
        loop {
            let jobs: Vec<&Job> = running.iter().map(|(job, _)| job).collect();
            let Some(at) = waiting.iter().position(|job| lanes.take(job, &jobs)) else { break };
            let job = waiting.remove(at);
            running.push((job, now + job.cell.duration(job.least)));
        }
        let Some(first) = running.iter().map(|(_, end)| *end).min() else { return now };
        now = first;
        running.retain(|(_, end)| *end > now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::plan::{Cell, Delivery};

    fn job(clients: usize, run: usize) -> Job {
        let s = Duration::from_secs(1);
        Job { cell: Cell { delivery: Delivery::Stream, clients, publish: s }, run, least: 10 * s }
    }

    #[test]
    fn small_runs_go_side_by_side_and_a_large_one_alone() {
        let lanes = Lanes { count: 3, load: 0.1, clients: 1_000_000 };
        // One of 100,000 clients is more than all lanes may load together.
        let jobs = vec![job(100_000, 0), job(1, 0), job(1, 1), job(1, 2), job(1, 3)];
        let mut queue = Queue::new(jobs, lanes);
        let large = queue.next_job().expect("the first");
        assert_eq!((large.cell.clients, queue.next_job()), (100_000, None));
        queue.ended(&large);
        let small: Vec<Job> = std::iter::from_fn(|| queue.next_job()).collect();
        assert_eq!((small.len(), queue.done()), (3, 1));
    }

    #[test]
    fn connections_are_bounded_too() {
        let lanes = Lanes { count: 9, load: 9.0, clients: 25 };
        let mut queue = Queue::new(vec![job(10, 0), job(10, 1), job(10, 2)], lanes);
        assert_eq!(std::iter::from_fn(|| queue.next_job()).count(), 2);
    }

    #[test]
    fn the_time_for_all_is_that_of_the_fullest_lane() {
        let one = job(1, 0).cell.duration(Duration::from_secs(10));
        let jobs: Vec<Job> = (0..5).map(|run| job(1, run)).collect();
        let lanes = |count| Lanes { count, load: 9.0, clients: 100 };
        assert_eq!(simulate(&jobs, &[], &lanes(1)), 5 * one);
        assert_eq!(simulate(&jobs, &[], &lanes(2)), 3 * one);
        assert_eq!(simulate(&[], &[(jobs[0], one / 2)], &lanes(2)), one / 2);
    }
}
