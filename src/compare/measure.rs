//! One run: a server, its clients, a writer, and what came of it.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::Mutex;

use super::http::Target;
use super::plan::{Delivery, Job, Plan, Timing};
use super::publisher::{Edit, Page};
use super::reader::{Arrival, Clients, Crowd, Log};
use super::results::{KernelMemory, METRICS, Metric};
use super::server::{Cpu, Server};
use super::stats::{Seen, Spread, mean, percentile, staleness};
use super::{machine, plan};

/// Beyond a millisecond each, how long clients may take to connect.
const CONNECTING: Duration = Duration::from_secs(60);

/// Between the first edits, longer than the pause between two renderings.
const SETTLING: Duration = Duration::from_millis(100);

/// Idle connections by which the kernel's memory is measured.
const IDLE: usize = 400;

/// Figures of one run.
#[derive(Clone, Debug)]
pub struct Run {
    /// By [`Metric`]; `None` where it cannot be measured.
    pub values: [Option<f64>; METRICS],
    /// Edits in the window.
    pub edits: usize,
    /// By how much the server's resident memory grew, in bytes.
    pub growth: Option<f64>,
}

impl Run {
    /// One figure.
    pub fn value(&self, metric: Metric) -> Option<f64> {
        self.values[metric as usize]
    }
}

/// Where runs take place.
pub enum Place {
    /// Each in a server process of its own.
    Own {
        /// This program.
        program: PathBuf,
    },
    /// All on one deployed server.
    Deployed {
        /// The server.
        target: Arc<Target>,
        /// The page of all runs.
        page: Mutex<Page>,
        /// Somebody else writes.
        only_read: bool,
    },
}

/// What a run needs of its server.
struct Stage<'a> {
    target: Arc<Target>,
    server: Option<&'a Server>,
    page: &'a mut Page,
    only_read: bool,
}

/// A look at everything that only grows.
struct Sample {
    cpu: Cpu,
    requests: u64,
    empty: u64,
    bytes: u64,
}

impl Place {
    /// Prepares the place: for a deployed server, the page.
    pub async fn of(plan: &Plan) -> Result<Arc<Self>, String> {
        let Some(remote) = &plan.remote else {
            let program = std::env::current_exe()
                .map_err(|e| format!("this program cannot be found again: {e}"))?;
            return Ok(Arc::new(Self::Own { program }));
        };
        let target = Arc::new(remote.target.clone());
        let page = match &remote.only_read {
            Some(path) => Page::find(&target, path).await?,
            None => Page::make(&target, &scratch()).await?,
        };
        let only_read = remote.only_read.is_some();
        Ok(Arc::new(Self::Deployed { target, page: Mutex::new(page), only_read }))
    }

    /// Leaves nothing behind.
    pub async fn leave(&self) {
        if let Self::Deployed { page, only_read: false, .. } = self {
            let deleting = async { page.lock().await.delete().await };
            match tokio::time::timeout(Duration::from_secs(10), deleting).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => eprintln!("the scratch page could not be deleted: {error}"),
                Err(_) => eprintln!("the scratch page could not be deleted: no answer"),
            }
        }
    }
}

/// A name that nobody has.
fn scratch() -> String {
    let mut bytes = [0; 5];
    // Without randomness the time is as good: the page is made only where there is none.
    let _ = getrandom::fill(&mut bytes);
    let random: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("Scratch/halley-compare-{random}-{}", crate::time::now_ms() % 1_000_000)
}

/// Measures one run.
///
/// # Errors
/// Why there are no figures, in words.
pub async fn measure(place: &Place, job: &Job) -> Result<Run, String> {
    match place {
        Place::Own { program } => {
            let (program, clients) = (program.clone(), job.cell.clients);
            let starting = tokio::task::spawn_blocking(move || Server::start(&program, clients));
            let server = starting.await.map_err(|e| e.to_string())??;
            let target = Arc::new(server.target.clone());
            let mut page = Page::make(&target, "Comparison").await?;
            let server = Some(&server);
            run(Stage { target, server, page: &mut page, only_read: false }, job).await
        }
        Place::Deployed { target, page, only_read } => {
            let mut page = page.lock().await;
            let target = Arc::clone(target);
            let stage = Stage { target, server: None, page: &mut page, only_read: *only_read };
            run(stage, job).await
        }
    }
}

async fn run(stage: Stage<'_>, job: &Job) -> Result<Run, String> {
    let Stage { target, server, page, only_read } = stage;
    let cell = job.cell;
    let timing = cell.timing(job.least);
    if !only_read {
        // What is made once, such as a renderer, is not the clients'.
        for _ in 0..3 {
            page.edit().await.map_err(|e| format!("an edit was not accepted: {e}"))?;
            tokio::time::sleep(SETTLING).await;
        }
    }
    let memory_before = server.map(Server::memory);
    let log = Arc::new(Log::default());
    let crowd = Crowd {
        target: Arc::clone(&target),
        page: page.id,
        delivery: cell.delivery,
        clients: cell.clients,
        // Runs differ in where the clients' phases fall, evenly.
        shift: (0.5 + 0.618 * f64::from(u32::try_from(job.run).unwrap_or(0))).fract(),
        log: Arc::clone(&log),
    };
    let connecting = plan::CONNECT_PAUSE * u32::try_from(cell.clients).unwrap_or(u32::MAX);
    let clients = Clients::open(&crowd, CONNECTING + connecting).await?;
    // Where nobody is told when an edit was made, it counts from the first client that has it.
    let witnessed = Arc::new(Log::default());
    let witness = Crowd {
        delivery: Delivery::Stream,
        clients: usize::from(only_read),
        log: Arc::clone(&witnessed),
        ..crowd.clone()
    };
    let _witness = Clients::open(&witness, CONNECTING).await?;

    let start = Instant::now() + Duration::from_millis(20);
    clients.start(start);
    let begin = start + timing.warm_up;
    let end = begin + timing.window;
    let look = || Sample {
        cpu: server.map(Server::cpu).unwrap_or_default(),
        requests: log.traffic.requests.load(Ordering::Relaxed),
        empty: log.empty.load(Ordering::Relaxed),
        bytes: log.traffic.sent.load(Ordering::Relaxed)
            + log.traffic.received.load(Ordering::Relaxed),
    };
    let looking = async {
        tokio::time::sleep_until(begin.into()).await;
        let first = look();
        tokio::time::sleep_until(end.into()).await;
        (first, look())
    };
    let writing = async {
        if only_read {
            Ok(Vec::new())
        } else {
            write(page, start, begin, &timing, cell.publish).await
        }
    };
    let (looks, edits) = tokio::join!(looking, writing);
    let edits = edits.map_err(|e| format!("an edit was not accepted: {e}"))?;
    let memory = server.map(Server::memory);
    let wanted = (edits.len() * cell.clients) as u64;
    let drained = end + timing.drain;
    while (only_read || log.arrived() < wanted) && Instant::now() < drained {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    drop(clients);

    let arrivals = log.take();
    let edits = if only_read { first_seen(&arrivals, &witnessed.take()) } else { edits };
    let mut run = figures(&Measured {
        edits: &edits,
        arrivals: &arrivals,
        clients: cell.clients,
        begin,
        end,
        looks: &looks,
        own: server.is_some(),
    })?;
    let mut put = |metric: Metric, value: f64| run.values[metric as usize] = Some(value);
    #[expect(clippy::cast_precision_loss, reason = "counts and sizes are far below 2^52")]
    if cell.clients > 0 {
        put(Metric::Faults, log.faults.load(Ordering::Relaxed) as f64);
    }
    #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
    let growth = |(before, after): (u64, u64)| after.saturating_sub(before) as f64;
    run.growth = memory_before.zip(memory).map(growth);
    if only_read {
        run.values[Metric::SaveP50 as usize] = None;
    }
    Ok(run)
}

/// Writes until the end of the window: each interval once, in its middle, counted from `begin`.
async fn write(
    page: &mut Page,
    start: Instant,
    begin: Instant,
    timing: &Timing,
    publish: Duration,
) -> std::io::Result<Vec<Edit>> {
    let mut edits = Vec::new();
    let mut at = begin + publish / 2;
    while at.checked_sub(publish).is_some_and(|earlier| earlier >= start) {
        at -= publish;
    }
    if at >= begin {
        // Everything has been used once before it is measured.
        tokio::time::sleep_until(start.into()).await;
        edits.push(page.edit().await?);
    }
    while at < begin + timing.window {
        tokio::time::sleep_until(at.into()).await;
        edits.push(page.edit().await?);
        at += publish;
    }
    Ok(edits)
}

/// Edits of somebody else, as if they had been made when the first client got them.
fn first_seen(arrivals: &[Arrival], witnessed: &[Arrival]) -> Vec<Edit> {
    let mut first: BTreeMap<u64, Instant> = BTreeMap::new();
    for arrival in arrivals.iter().chain(witnessed) {
        let at = first.entry(arrival.revision).or_insert(arrival.at);
        *at = (*at).min(arrival.at);
    }
    first.into_iter().map(|(revision, at)| Edit { revision, sent: at, saved: at }).collect()
}

/// All that figures are made of.
struct Measured<'a> {
    /// All edits, in order, those of the warm-up too.
    edits: &'a [Edit],
    /// All arrivals, in order for each client.
    arrivals: &'a [Arrival],
    clients: usize,
    begin: Instant,
    end: Instant,
    looks: &'a (Sample, Sample),
    /// Whether the processor time is known.
    own: bool,
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn figures(measured: &Measured<'_>) -> Result<Run, String> {
    let Measured { edits, arrivals, clients, begin, end, looks, own } = *measured;
    let in_window = |at: Instant| at >= begin && at < end;
    // Seconds since the window began, negative before it.
    let seconds = |at: Instant| match at.checked_duration_since(begin) {
        Some(after) => after.as_secs_f64(),
        None => -begin.duration_since(at).as_secs_f64(),
    };
    let published = edits.iter().filter(|edit| in_window(edit.sent)).count();
    if published == 0 {
        return Err("nothing was written in the window".to_owned());
    }
    let by_revision: HashMap<u64, usize> =
        edits.iter().enumerate().map(|(n, edit)| (edit.revision, n)).collect();
    let mut got = vec![vec![f64::INFINITY; edits.len()]; clients];
    let mut last = vec![0_u64; clients];
    let (mut duplicates, mut disorder, mut delivered) = (0_u64, 0_u64, 0_u64);
    for arrival in arrivals {
        let Some(&n) = by_revision.get(&arrival.revision) else { continue };
        delivered += u64::from(in_window(arrival.at));
        let place = &mut got[arrival.client][n];
        if place.is_finite() {
            duplicates += 1;
            continue;
        }
        *place = seconds(arrival.at);
        disorder += u64::from(arrival.revision < last[arrival.client]);
        last[arrival.client] = last[arrival.client].max(arrival.revision);
    }
    let (mut trips, mut area, mut stale) = (Vec::new(), 0.0, 0.0);
    let window = (end - begin).as_secs_f64();
    for client in &got {
        let seen: Vec<Seen> = edits
            .iter()
            .zip(client)
            .map(|(edit, got)| Seen { sent: seconds(edit.sent), got: *got })
            .collect();
        let one = staleness(&seen, 0.0, window);
        area += one.area;
        stale += one.stale;
        let arrived = edits
            .iter()
            .zip(&seen)
            .filter(|(edit, seen)| in_window(edit.sent) && seen.got.is_finite());
        trips.extend(arrived.map(|(_, seen)| (seen.got - seen.sent) * 1e3));
    }
    trips.sort_unstable_by(f64::total_cmp);
    let mut saves: Vec<f64> = edits
        .iter()
        .filter(|edit| in_window(edit.sent))
        .map(|edit| (edit.saved - edit.sent).as_secs_f64() * 1e3)
        .collect();
    saves.sort_unstable_by(f64::total_cmp);

    let mut values = [None; METRICS];
    let mut put = |metric: Metric, value: Option<f64>| values[metric as usize] = value;
    put(Metric::SaveP50, percentile(&saves, 0.5));
    let (first, second) = looks;
    let cpu = second.cpu.since(&first.cpu).as_secs_f64();
    put(Metric::CpuShare, own.then_some(cpu / window));
    if clients > 0 {
        put(Metric::TripMean, mean(&trips));
        put(Metric::TripP50, percentile(&trips, 0.5));
        put(Metric::TripP95, percentile(&trips, 0.95));
        put(Metric::TripP99, percentile(&trips, 0.99));
        put(Metric::TripMax, trips.last().copied());
        put(Metric::Stale, Some(area / window / clients as f64 * 1e3));
        put(Metric::StaleShare, Some(stale / window / clients as f64));
        put(Metric::Coherence, Some(trips.len() as f64 / (published * clients) as f64));
        put(Metric::Duplicates, Some(duplicates as f64));
        put(Metric::OrderFaults, Some(disorder as f64));
        let each = |amount: f64| (delivered > 0).then_some(amount / delivered as f64);
        let requests = (second.requests - first.requests) as f64;
        put(Metric::Requests, each(requests));
        let empty = (second.empty - first.empty) as f64;
        // A stream's heartbeats bring nothing either, but no request asked for them.
        put(Metric::EmptyShare, (requests > 0.0).then_some((empty / requests).min(1.0)));
        put(Metric::Bytes, each((second.bytes - first.bytes) as f64));
        put(Metric::Cpu, own.then(|| each(cpu * 1e3)).flatten());
    }
    Ok(Run { values, edits: published, growth: None })
}

/// Memory of the kernel for the server's end of an idle connection, three times; `None` where it
/// cannot be read or others used the network meanwhile.
pub async fn kernel_memory(place: &Arc<Place>, plan: &Plan) -> Option<KernelMemory> {
    let Place::Own { program } = &**place else { return None };
    let idle = IDLE.min(*plan.clients.last()?);
    let (mut each, mut objects) = (Vec::new(), true);
    for _ in 0..3 {
        let starting = program.clone();
        let server = tokio::task::spawn_blocking(move || Server::start(&starting, idle));
        let server = server.await.ok()?.ok()?;
        let target = Arc::new(server.target.clone());
        let page = Page::make(&target, "Comparison").await.ok()?;
        let delivery = Delivery::Stream;
        let crowd = Crowd {
            target,
            page: page.id,
            delivery,
            clients: idle,
            shift: 0.0,
            log: Arc::default(),
        };
        let (before, _) = machine::socket_memory()?;
        let clients = Clients::open(&crowd, CONNECTING).await.ok()?;
        let (after, all) = machine::socket_memory()?;
        drop(clients);
        objects &= all;
        // Both ends are on this machine.
        #[expect(clippy::cast_precision_loss, reason = "sizes are far below 2^52")]
        each.push(after.saturating_sub(before) as f64 / (2 * idle) as f64);
    }
    Some(KernelMemory { bytes_per_connection: Spread::of(each)?, objects })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn sample(cpu_requests_empty_bytes: (u64, u64, u64)) -> Sample {
        let (requests, empty, bytes) = cpu_requests_empty_bytes;
        Sample { cpu: Cpu::default(), requests, empty, bytes }
    }

    /// Two clients, a window of 10 s, edits at 1 s and 6 s; arrivals as `(client, revision, ms)`.
    fn of(arrivals: &[(usize, u64, u64)]) -> Run {
        let begin = Instant::now() + Duration::from_secs(100);
        let edit =
            |revision, at| Edit { revision, sent: begin + at * MS, saved: begin + (at + 3) * MS };
        let arrivals: Vec<Arrival> = arrivals
            .iter()
            .map(|&(client, revision, at)| Arrival {
                client,
                revision,
                at: begin + u32::try_from(at).expect("small") * MS,
            })
            .collect();
        let run = figures(&Measured {
            edits: &[edit(7, 1_000), edit(8, 6_000)],
            arrivals: &arrivals,
            clients: 2,
            begin,
            end: begin + 10_000 * MS,
            looks: &(sample((10, 1, 100)), sample((18, 5, 1_700))),
            own: false,
        });
        run.expect("figures")
    }

    #[test]
    fn figures_of_a_run_are_those_worked_out_by_hand() {
        // Trips of 10, 20, 30 and 5,000 ms; the last one after the window.
        let run = of(&[(0, 7, 1_010), (1, 7, 1_020), (0, 8, 6_030), (1, 8, 11_000)]);
        let near = |metric: Metric, value: f64| {
            let is = run.value(metric).expect("measured");
            assert!((is - value).abs() < 1e-6, "{metric:?} {is} is not {value}");
        };
        near(Metric::TripMean, 1_265.0);
        near(Metric::TripP50, 20.0);
        near(Metric::TripMax, 5_000.0);
        near(Metric::SaveP50, 3.0);
        near(Metric::Coherence, 1.0);
        // In the window client 1 misses the second edit for 4 s.
        let area = (0.01_f64.powi(2) + 0.02_f64.powi(2) + 0.03_f64.powi(2) + 16.0) / 2.0;
        near(Metric::Stale, area / 10.0 / 2.0 * 1e3);
        near(Metric::StaleShare, (0.01 + 0.02 + 0.03 + 4.0) / 20.0);
        // Three deliveries in the window, 8 requests of which 4 empty, 1,600 bytes.
        near(Metric::Requests, 8.0 / 3.0);
        near(Metric::EmptyShare, 0.5);
        near(Metric::Bytes, 1_600.0 / 3.0);
        assert_eq!(run.value(Metric::Cpu), None, "another's server");
    }

    #[test]
    fn what_is_lost_doubled_or_out_of_order_is_counted() {
        let run = of(&[(0, 8, 6_010), (0, 7, 6_020), (0, 8, 6_030), (1, 7, 1_001)]);
        assert_eq!(run.value(Metric::Coherence), Some(0.75), "client 1 never got the second");
        assert_eq!(run.value(Metric::Duplicates), Some(1.0));
        assert_eq!(run.value(Metric::OrderFaults), Some(1.0));
    }

    #[test]
    fn edits_of_others_count_from_whoever_had_them_first() {
        let now = Instant::now();
        let arrival = |revision, at| Arrival { client: 0, revision, at: now + at * MS };
        let edits = first_seen(&[arrival(1, 50), arrival(2, 90)], &[arrival(1, 40)]);
        let sent: Vec<_> = edits.iter().map(|e| (e.revision, (e.sent - now).as_millis())).collect();
        assert_eq!(sent, [(1, 40), (2, 90)]);
    }
}
