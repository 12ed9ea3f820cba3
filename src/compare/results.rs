//! What came out: each run's figures, each cell's spread over its runs, and what follows.

use std::time::Duration;

use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::machine::Machine;
use super::measure::Run;
use super::plan::{Cell, Delivery, Job, Plan};
use super::stats::{Crossover, Spread, crossover};
use super::words::{self, Finding, Headline};

/// A figure of a run. The order is that of the reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metric {
    /// Mean of the trips, ms.
    TripMean,
    /// Median of the trips, ms.
    TripP50,
    /// 95 % of the trips are not longer, ms.
    TripP95,
    /// 99 % of the trips are not longer, ms.
    TripP99,
    /// The longest trip, ms.
    TripMax,
    /// Median time until an edit was acknowledged as saved, ms.
    SaveP50,
    /// Staleness, mean over time and clients, ms.
    Stale,
    /// Share of the time during which a client missed something, 0 to 1.
    StaleShare,
    /// Unique edits received over edits × clients.
    Coherence,
    /// Edits that a client got again.
    Duplicates,
    /// Edits that came after a later one.
    OrderFaults,
    /// Failed connections, gaps, resets, refusals.
    Faults,
    /// Requests for each delivered event.
    Requests,
    /// Share of the requests that brought nothing, 0 to 1.
    EmptyShare,
    /// Bytes on the sockets, both ways, for each delivered event.
    Bytes,
    /// Processor time of the server for 1,000 delivered events, s.
    Cpu,
    /// The same without what the writer alone costs, s.
    CpuNet,
    /// Share of one core that the server kept busy, 0 to 1.
    CpuShare,
    /// Resident memory of the server for each client, without what grows for the writer, bytes.
    Memory,
}

/// Number of metrics.
pub const METRICS: usize = 19;

impl Metric {
    /// All, in order.
    pub const ALL: [Self; METRICS] = [
        Self::TripMean,
        Self::TripP50,
        Self::TripP95,
        Self::TripP99,
        Self::TripMax,
        Self::SaveP50,
        Self::Stale,
        Self::StaleShare,
        Self::Coherence,
        Self::Duplicates,
        Self::OrderFaults,
        Self::Faults,
        Self::Requests,
        Self::EmptyShare,
        Self::Bytes,
        Self::Cpu,
        Self::CpuNet,
        Self::CpuShare,
        Self::Memory,
    ];

    /// Name in JSON and CSV, with its unit.
    pub fn key(self) -> &'static str {
        match self {
            Self::TripMean => "trip_mean_ms",
            Self::TripP50 => "trip_p50_ms",
            Self::TripP95 => "trip_p95_ms",
            Self::TripP99 => "trip_p99_ms",
            Self::TripMax => "trip_max_ms",
            Self::SaveP50 => "save_p50_ms",
            Self::Stale => "staleness_ms",
            Self::StaleShare => "stale_share",
            Self::Coherence => "coherence",
            Self::Duplicates => "duplicates",
            Self::OrderFaults => "order_faults",
            Self::Faults => "faults",
            Self::Requests => "requests_per_delivery",
            Self::EmptyShare => "empty_request_share",
            Self::Bytes => "bytes_per_delivery",
            Self::Cpu => "cpu_s_per_1000_deliveries",
            Self::CpuNet => "cpu_s_per_1000_deliveries_without_writer",
            Self::CpuShare => "cpu_share_of_a_core",
            Self::Memory => "memory_bytes_per_client",
        }
    }
}

/// A cell and its runs.
pub struct CellResult {
    /// Which cell.
    pub cell: Cell,
    /// Its runs.
    pub runs: Vec<Run>,
    /// By [`Metric`]; filled in when all has been measured.
    spreads: [Option<Spread>; METRICS],
}

impl CellResult {
    /// The spread of a figure over the runs; `None` where it could not be measured.
    pub fn get(&self, metric: Metric) -> Option<Spread> {
        self.spreads[metric as usize]
    }

    /// The median of a figure.
    pub fn median(&self, metric: Metric) -> Option<f64> {
        Some(self.get(metric)?.median)
    }
}

impl Serialize for CellResult {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("mode", self.cell.delivery.name())?;
        map.serialize_entry("clients", &self.cell.clients)?;
        map.serialize_entry("publish_s", &self.cell.publish.as_secs_f64())?;
        map.serialize_entry("poll_s", &self.cell.delivery.interval().map(|i| i.as_secs_f64()))?;
        map.serialize_entry("runs", &self.runs.len())?;
        map.serialize_entry("edits", &self.runs.iter().map(|run| run.edits).sum::<usize>())?;
        for metric in Metric::ALL {
            map.serialize_entry(metric.key(), &self.get(metric))?;
        }
        map.end()
    }
}

/// For which interval polling becomes cheaper than streaming, at some clients and edits.
#[derive(Clone, Debug, Serialize)]
pub struct CrossoverAt {
    /// Clients.
    pub clients: usize,
    /// Seconds between two edits.
    pub publish_s: f64,
    /// By processor time of the server without the writer's; `None` where it cannot be read.
    pub cpu: Option<Crossover>,
    /// By bytes on the sockets.
    pub bytes: Option<Crossover>,
}

/// Memory of the kernel for one connection.
#[derive(Clone, Debug, Serialize)]
pub struct KernelMemory {
    /// Bytes for the server's end of an idle connection.
    pub bytes_per_connection: Spread,
    /// True when the objects behind a socket are counted and not only its buffers.
    pub objects: bool,
}

/// Everything that was measured, and what follows from it.
#[derive(Serialize)]
pub struct Results {
    /// Version of Halley that measured.
    pub version: &'static str,
    /// True for a build without optimisation, whose figures say little.
    pub debug_build: bool,
    /// What was asked for.
    pub command: String,
    /// When it began, RFC 3339.
    pub began: String,
    /// How long it took, in seconds.
    pub took_s: f64,
    /// The machine that measured, and unless `url` is there, served.
    pub machine: Machine,
    /// The deployed server.
    pub url: Option<String>,
    /// The page that was only read.
    pub read_only: Option<String>,
    /// Runs at once, at most.
    pub lanes: usize,
    /// Runs of each cell that were wanted.
    pub runs: usize,
    /// False when it was stopped before all was measured.
    pub complete: bool,
    /// Runs that failed, and why.
    pub failed: Vec<String>,
    /// Memory of the kernel; `None` where it cannot be read.
    pub kernel: Option<KernelMemory>,
    /// The cells that have a run, in the order of the plan.
    pub cells: Vec<CellResult>,
    /// Where polling becomes cheaper.
    pub crossovers: Vec<CrossoverAt>,
    /// The figures that matter most.
    pub headline: Option<Headline>,
    /// What this says about the paper's findings.
    pub findings: Vec<Finding>,
}

impl Results {
    /// Nothing yet.
    pub fn new(plan: &Plan) -> Self {
        let cells = plan.cells().into_iter();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            debug_build: cfg!(debug_assertions),
            command: plan.command.clone(),
            began: crate::time::iso(crate::time::now_ms()),
            took_s: 0.0,
            machine: Machine::this(),
            url: plan.remote.as_ref().map(|remote| remote.target.to_string()),
            read_only: plan.remote.as_ref().and_then(|remote| remote.only_read.clone()),
            lanes: plan.lanes().count,
            runs: plan.runs,
            complete: true,
            failed: Vec::new(),
            kernel: None,
            cells: cells
                .map(|cell| CellResult { cell, runs: Vec::new(), spreads: [None; METRICS] })
                .collect(),
            crossovers: Vec::new(),
            headline: None,
            findings: Vec::new(),
        }
    }

    /// Takes in a run.
    pub fn add(&mut self, job: &Job, run: Run) {
        if let Some(cell) = self.cells.iter_mut().find(|cell| cell.cell == job.cell) {
            cell.runs.push(run);
        }
    }

    /// Works out what follows, when no more runs come.
    pub fn conclude(&mut self, took: Duration) {
        self.took_s = took.as_secs_f64();
        self.complete &= self.failed.is_empty();
        self.cells.retain(|cell| !cell.runs.is_empty());
        self.subtract_writer();
        for cell in &mut self.cells {
            for metric in Metric::ALL {
                let values = cell.runs.iter().filter_map(|run| run.values[metric as usize]);
                cell.spreads[metric as usize] = Spread::of(values).map(Spread::rounded);
            }
        }
        // The writer alone is a means, not a result.
        self.cells.retain(|cell| cell.cell.delivery != Delivery::Nobody);
        self.crossovers = self.find_crossovers();
        self.headline = words::headline(self);
        self.findings = words::findings(self);
    }

    /// What a run's server spent beyond what the writer alone costs, and how much more it grew.
    fn subtract_writer(&mut self) {
        let alone: Vec<_> = self
            .cells
            .iter()
            .filter(|cell| cell.cell.delivery == Delivery::Nobody)
            .map(|cell| {
                let shares = cell.runs.iter().filter_map(|run| run.value(Metric::CpuShare));
                let growth = cell.runs.iter().filter_map(|run| run.growth);
                let middle = |spread: Option<Spread>| spread.map(|spread| spread.median);
                (cell.cell.publish, middle(Spread::of(shares)), middle(Spread::of(growth)))
            })
            .collect();
        for CellResult { cell, runs, .. } in &mut self.cells {
            let same = alone.iter().find(|(publish, ..)| *publish == cell.publish);
            let Some((_, share, growth)) = same else { continue };
            for run in runs.iter_mut().filter(|_| cell.clients > 0) {
                let all = run.value(Metric::CpuShare);
                let cost = run.value(Metric::Cpu);
                let net = all.zip(cost).zip(*share).map(|((all, cost), share)| {
                    if all > 0.0 { cost * (1.0 - share / all).max(0.0) } else { cost }
                });
                run.values[Metric::CpuNet as usize] = net;
                // Where few clients took less than a server's memory varies by, it is unknown.
                let more = run.growth.zip(*growth).map(|(all, alone)| all - alone);
                #[expect(clippy::cast_precision_loss, reason = "a number of clients")]
                let each = |more: f64| more / cell.clients as f64;
                run.values[Metric::Memory as usize] = more.filter(|more| *more > 0.0).map(each);
            }
        }
    }

    /// The cell of these coordinates.
    pub fn find(
        &self,
        delivery: Delivery,
        clients: usize,
        publish: Duration,
    ) -> Option<&CellResult> {
        self.cells.iter().find(|cell| cell.cell == Cell { delivery, clients, publish })
    }

    /// All polls at some clients and edits, by ascending interval.
    pub fn polls(&self, clients: usize, publish: Duration) -> Vec<(Duration, &CellResult)> {
        let mut polls: Vec<_> = self
            .cells
            .iter()
            .filter(|cell| cell.cell.clients == clients && cell.cell.publish == publish)
            .filter_map(|cell| Some((cell.cell.delivery.interval()?, cell)))
            .collect();
        polls.sort_by_key(|(interval, _)| *interval);
        polls
    }

    /// Numbers of clients that were measured, ascending.
    pub fn clients(&self) -> Vec<usize> {
        let mut all: Vec<usize> = self.cells.iter().map(|cell| cell.cell.clients).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Publish intervals that were measured, ascending.
    pub fn publishes(&self) -> Vec<Duration> {
        let mut all: Vec<Duration> = self.cells.iter().map(|cell| cell.cell.publish).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Ways of delivery that were measured, in the order of the plan.
    pub fn deliveries(&self) -> Vec<Delivery> {
        let mut all = Vec::new();
        for cell in &self.cells {
            if !all.contains(&cell.cell.delivery) {
                all.push(cell.cell.delivery);
            }
        }
        all
    }

    fn find_crossovers(&self) -> Vec<CrossoverAt> {
        let mut found = Vec::new();
        for publish in self.publishes() {
            for clients in self.clients() {
                let Some(stream) = self.find(Delivery::Stream, clients, publish) else { continue };
                let polls = self.polls(clients, publish);
                let by = |metric| {
                    let costs: Vec<(f64, f64)> = polls
                        .iter()
                        .filter_map(|(interval, cell)| {
                            Some((interval.as_secs_f64(), cell.median(metric)?))
                        })
                        .collect();
                    crossover(&costs, stream.median(metric)?)
                };
                let (cpu, bytes) = (by(Metric::CpuNet), by(Metric::Bytes));
                if cpu.is_some() || bytes.is_some() {
                    let publish_s = publish.as_secs_f64();
                    found.push(CrossoverAt { clients, publish_s, cpu, bytes });
                }
            }
        }
        found
    }
}

#[cfg(test)]
pub mod tests {
    use super::*;
    use crate::compare::plan::Wanted;

    /// One run, see below.
    type Made<'a> = (Delivery, usize, u64, &'a [(Metric, f64)]);

    /// Results as if runs had had these figures: (delivery, clients, publish interval in s,
    /// [(metric, value)]), each as a run of its own.
    pub fn made_of(runs: &[Made<'_>]) -> Results {
        let mut deliveries = Vec::new();
        let (mut clients, mut publish) = (Vec::new(), Vec::new());
        for (delivery, n, s, _) in runs {
            if *delivery != Delivery::Nobody && !deliveries.contains(delivery) {
                deliveries.push(*delivery);
            }
            if *n > 0 && !clients.contains(n) {
                clients.push(*n);
            }
            if !publish.contains(&Duration::from_secs(*s)) {
                publish.push(Duration::from_secs(*s));
            }
        }
        let plan = Plan {
            deliveries,
            clients,
            publish,
            runs: 1,
            least: Duration::from_secs(1),
            lanes: Some(1),
            remote: None,
            wanted: Wanted::default(),
            command: "halley compare".to_owned(),
        };
        let mut results = Results::new(&plan);
        for (delivery, clients, publish, values) in runs {
            let publish = Duration::from_secs(*publish);
            let cell = Cell { delivery: *delivery, clients: *clients, publish };
            let mut run = Run { values: [None; METRICS], edits: 10, growth: None };
            for (metric, value) in *values {
                run.values[*metric as usize] = Some(*value);
            }
            results.add(&Job { cell, run: 0, least: plan.least }, run);
        }
        results.conclude(Duration::from_secs(60));
        results
    }

    #[test]
    fn the_writers_share_is_taken_from_what_a_server_spent() {
        let poll = Delivery::Poll(Duration::from_secs(1));
        let results = made_of(&[
            (Delivery::Nobody, 0, 1, &[(Metric::CpuShare, 0.01)]),
            (Delivery::Stream, 10, 1, &[(Metric::CpuShare, 0.05), (Metric::Cpu, 1.0)]),
            (poll, 10, 1, &[(Metric::CpuShare, 0.005), (Metric::Cpu, 2.0)]),
        ]);
        let s = Duration::from_secs(1);
        let net =
            |delivery| results.find(delivery, 10, s).and_then(|cell| cell.median(Metric::CpuNet));
        assert!((net(Delivery::Stream).expect("measured") - 0.8).abs() < 1e-9);
        assert_eq!(net(poll), Some(0.0), "never less than nothing");
        assert!(results.find(Delivery::Nobody, 0, s).is_none());
    }

    #[test]
    fn a_crossover_stands_by_its_clients_and_edits() {
        let poll = |s| Delivery::Poll(Duration::from_secs(s));
        let results = made_of(&[
            (Delivery::Stream, 10, 1, &[(Metric::Bytes, 100.0)]),
            (poll(1), 10, 1, &[(Metric::Bytes, 400.0)]),
            (poll(16), 10, 1, &[(Metric::Bytes, 25.0)]),
        ]);
        let [one] = results.crossovers.as_slice() else { panic!("one pair") };
        assert_eq!((one.clients, one.cpu), (10, None));
        let Some(Crossover::At(at)) = one.bytes else { panic!("within the grid") };
        assert!((at - 4.0).abs() < 1e-9, "{at}");
    }
}
