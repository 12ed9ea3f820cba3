//! What was found, in plain words: the figures that matter most, the paper's findings beside ours,
//! and what limits all of it.

#[cfg(test)]
mod tests;

use std::time::Duration;

use serde::Serialize;

use super::format::{bytes, milliseconds, number};
use super::plan::Delivery;
use super::results::{CellResult, Metric, Results};
use super::stats::{Crossover, Spread};

/// The figures that matter most, as ratios, at one number of clients and one publish interval.
#[derive(Clone, Debug, Serialize)]
pub struct Headline {
    /// Clients.
    pub clients: usize,
    /// Seconds between two edits.
    pub publish_s: f64,
    /// Seconds between two polls of a client.
    pub poll_s: f64,
    /// Mean trip by polling over that by streaming.
    pub trip_ratio: Option<f64>,
    /// Processor time of the server by polling over that by streaming, without the writer's.
    pub cpu_ratio: Option<f64>,
    /// Bytes by polling over those by streaming.
    pub bytes_ratio: Option<f64>,
}

/// What a finding of the paper comes to here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As in the paper.
    Confirmed,
    /// Partly so.
    InPart,
    /// The opposite.
    Contradicted,
    /// The figures for it are not there.
    NotMeasured,
}

impl Verdict {
    /// As it stands in the report.
    pub fn words(self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::InPart => "confirmed in part",
            Self::Contradicted => "contradicted",
            Self::NotMeasured => "not measured",
        }
    }
}

/// A finding of the paper, and ours.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// What the paper states.
    pub claim: &'static str,
    /// What it comes to here.
    pub verdict: Verdict,
    /// The figures, in words.
    pub figures: String,
}

/// Ratios nearer to one than this are called the same.
const SAME: f64 = 1.1;

/// A stream is called saturated when the slowest 5 % of the trips are longer than this, in ms,
const SATURATED_MS: f64 = 1_000.0;
/// when less than this share of the edits arrives,
const WHOLE: f64 = 0.9995;
/// or when the server keeps this share of one core busy.
const BUSY: f64 = 0.9;

/// The number of clients and the publish interval that sentences are about: those nearest to 500
/// clients and an edit each 5 s, which are in the middle of the paper's grid.
pub fn reference(results: &Results) -> Option<(usize, Duration)> {
    let clients = results.clients().into_iter().min_by_key(|n| n.abs_diff(500))?;
    let far = |publish: &Duration| publish.abs_diff(Duration::from_secs(5));
    Some((clients, results.publishes().into_iter().min_by_key(far)?))
}

/// The poll whose interval is nearest to that of the edits.
fn matching(
    results: &Results,
    clients: usize,
    publish: Duration,
) -> Option<(Duration, &CellResult)> {
    results.polls(clients, publish).into_iter().min_by_key(|(poll, _)| poll.abs_diff(publish))
}

fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    let (above, below) = (above?, below?);
    (above > 0.0 && below > 0.0).then(|| above / below)
}

/// The main figures, if a stream and a poll were measured.
pub fn headline(results: &Results) -> Option<Headline> {
    let (clients, publish) = reference(results)?;
    let stream = results.find(Delivery::Stream, clients, publish)?;
    let (poll, polled) = matching(results, clients, publish)?;
    let by = |metric| ratio(polled.median(metric), stream.median(metric));
    Some(Headline {
        clients,
        publish_s: publish.as_secs_f64(),
        poll_s: poll.as_secs_f64(),
        trip_ratio: by(Metric::TripMean),
        cpu_ratio: by(Metric::CpuNet),
        bytes_ratio: by(Metric::Bytes),
    })
}

/// The paper's three findings, beside ours.
pub fn findings(results: &Results) -> Vec<Finding> {
    vec![cost_of_push(results), saturation(results), interval_of_pull(results)]
}

fn cost_of_push(results: &Results) -> Finding {
    let claim = "Push costs the server more processor time than pull: seven times as much.";
    let mut equal = Vec::new();
    let (mut dearer, mut rarer, mut pairs) = (0, 0, 0);
    for publish in results.publishes() {
        for clients in results.clients() {
            let Some(stream) = results.find(Delivery::Stream, clients, publish) else { continue };
            for (interval, poll) in results.polls(clients, publish) {
                let by = ratio(stream.median(Metric::CpuNet), poll.median(Metric::CpuNet));
                let Some(by) = by else { continue };
                pairs += 1;
                dearer += usize::from(by > SAME);
                rarer += usize::from(by > SAME && interval > publish);
                if interval == publish {
                    equal.push(by);
                }
            }
        }
    }
    let Some(spread) = Spread::of(equal.iter().copied()) else {
        let why = if results.url.is_some() {
            "The processor time of a deployed server cannot be seen."
        } else {
            "No poll interval equals a publish interval in what was measured."
        };
        return Finding { claim, verdict: Verdict::NotMeasured, figures: why.to_owned() };
    };
    let more = equal.iter().filter(|by| **by > SAME).count();
    let less = equal.iter().filter(|by| **by < 1.0 / SAME).count();
    let verdict = if more == equal.len() {
        Verdict::Confirmed
    } else if more == 0 {
        Verdict::Contradicted
    } else {
        Verdict::InPart
    };
    let polls = match rarer {
        0 => String::new(),
        n => format!(", {n} of them with polls rarer than edits, where one answer carries several"),
    };
    let figures = format!(
        "For the same edits, with polls as frequent as edits, streaming took {} times the processor \
         time of polling in the median of {} pairs ({} to {}): more in {more}, less in {less}. Over \
         all poll intervals, streaming cost more in {dearer} of {pairs} pairs{polls}. The writer’s own \
         cost is subtracted from both.",
        number(spread.median),
        equal.len(),
        number(spread.min),
        number(spread.max),
    );
    Finding { claim, verdict, figures }
}

fn saturation(results: &Results) -> Finding {
    let claim = "A server that pushes is saturated at 350 to 500 users.";
    let streams: Vec<&CellResult> =
        results.cells.iter().filter(|cell| cell.cell.delivery == Delivery::Stream).collect();
    let most = streams.iter().map(|cell| cell.cell.clients).max().unwrap_or(0);
    if most < 350 {
        let figures = format!("At most {most} clients were measured.");
        return Finding { claim, verdict: Verdict::NotMeasured, figures };
    }
    let over = |cell: &CellResult, metric, limit: f64| {
        cell.median(metric).is_some_and(|value| value > limit)
    };
    let saturated = |cell: &&&CellResult| {
        over(cell, Metric::TripP95, SATURATED_MS)
            || over(cell, Metric::CpuShare, BUSY)
            || cell.median(Metric::Coherence).is_some_and(|share| share < WHOLE)
    };
    let first = streams.iter().filter(saturated).map(|cell| cell.cell.clients).min();
    let largest = |clients: usize, metric: Metric| {
        let of = streams.iter().filter(|cell| cell.cell.clients == clients);
        of.filter_map(|cell| cell.median(metric)).max_by(f64::total_cmp)
    };
    let least = streams.iter().map(|cell| cell.cell.clients).min().unwrap_or(most);
    let at = |clients| {
        let ms = |metric| largest(clients, metric).map_or("–".to_owned(), milliseconds);
        format!("{} at {clients} clients", ms(Metric::TripP95))
    };
    let busy = largest(most, Metric::CpuShare).map_or(String::new(), |share| {
        format!(" The server kept at most {} % of one core busy there.", number(share * 100.0))
    });
    let (verdict, begin) = match first {
        None => (Verdict::Contradicted, format!("Not saturated with {most} clients.")),
        Some(n) if n <= 500 => (Verdict::Confirmed, format!("Saturated with {n} clients.")),
        Some(n) => (Verdict::InPart, format!("Saturated, but only with {n} clients.")),
    };
    let figures = format!(
        "{begin} 95 % of the trips by stream took at most {}, and {}, whatever the publish \
         interval.{busy} Saturated would mean a p95 above 1 s, an edit lost, or 90 % of a core busy. \
         Each client has one page here, each edit goes to all of them.",
        at(least),
        at(most),
    );
    Finding { claim, verdict, figures }
}

fn interval_of_pull(results: &Results) -> Finding {
    let claim = "Pull is right only where its interval equals the publish interval.";
    let polls: Vec<(Duration, &CellResult)> = results
        .cells
        .iter()
        .filter_map(|cell| Some((cell.cell.delivery.interval()?, cell)))
        .collect();
    let coherence = Spread::of(polls.iter().filter_map(|(_, cell)| cell.median(Metric::Coherence)));
    let Some(coherence) = coherence else {
        let figures = "No polls were measured.".to_owned();
        return Finding { claim, verdict: Verdict::NotMeasured, figures };
    };
    let some = |keep: &dyn Fn(Duration, Duration) -> bool, metric: Metric| {
        let kept = polls.iter().filter(|(poll, cell)| keep(*poll, cell.cell.publish));
        Spread::of(kept.filter_map(|(_, cell)| cell.median(metric)))
    };
    let range = |spread: Option<Spread>, show: &dyn Fn(f64) -> String| match spread {
        None => "(none measured)".to_owned(),
        Some(s) if show(s.min) == show(s.max) => show(s.min),
        Some(s) => format!("{} to {}", show(s.min), show(s.max)),
    };
    let shorter = |poll: Duration, publish: Duration| poll < publish;
    let equal = |poll: Duration, publish: Duration| poll == publish;
    let longer = |poll: Duration, publish: Duration| poll > publish;
    let whole = coherence.min >= WHOLE;
    let wasted = some(&shorter, Metric::Requests).is_some_and(|s| s.max > 2.0);
    let verdict = match (whole, wasted) {
        (true, true) => Verdict::InPart,
        (true, false) => Verdict::Contradicted,
        (false, _) => Verdict::Confirmed,
    };
    let complete = if whole {
        "Polling lost nothing at any interval, since each poll goes on where the last one ended \
         (coherence 1): the paper’s missed data did not occur."
            .to_owned()
    } else {
        format!("Polling lost edits: the lowest coherence is {}.", number(coherence.min))
    };
    let figures = format!(
        "{complete} What the interval decides is cost and delay. Polls more frequent than edits took \
         {} requests and {} for each delivered edit; as frequent, {} requests and {}, with a mean \
         delay of {}; rarer, {} requests and {}, with a mean delay of {}.",
        range(some(&shorter, Metric::Requests), &number),
        range(some(&shorter, Metric::Bytes), &bytes),
        range(some(&equal, Metric::Requests), &number),
        range(some(&equal, Metric::Bytes), &bytes),
        range(some(&equal, Metric::TripMean), &milliseconds),
        range(some(&longer, Metric::Requests), &number),
        range(some(&longer, Metric::Bytes), &bytes),
        range(some(&longer, Metric::TripMean), &milliseconds),
    );
    Finding { claim, verdict, figures }
}

/// What was found, a few sentences.
pub fn summary(results: &Results) -> Vec<String> {
    let mut text = Vec::new();
    let Some((clients, publish)) = reference(results) else { return text };
    let place = format!("With {clients} clients and an edit each {} s", seconds(publish));
    if let Some(stream) = results.find(Delivery::Stream, clients, publish) {
        let trip = stream.median(Metric::TripMean).map_or("–".to_owned(), milliseconds);
        let p99 = stream.median(Metric::TripP99).map_or("–".to_owned(), milliseconds);
        let mut sentence = format!(
            "{place}, an edit reached a client that streams after {trip} in the mean (99 % within \
             {p99})"
        );
        if let Some((poll, polled)) = matching(results, clients, publish) {
            let late = polled.median(Metric::TripMean).map_or("–".to_owned(), milliseconds);
            let s = seconds(poll);
            sentence.push_str(&format!(", and one that polls each {s} s after {late}"));
            if let Some(stale) = polled.median(Metric::StaleShare) {
                sentence.push_str(&format!(
                    "; the polled page was out of date {} % of the time",
                    number(stale * 100.0)
                ));
            }
        }
        text.push(format!("{sentence}."));
    }
    if let Some(Headline { poll_s, cpu_ratio, bytes_ratio, .. }) = results.headline.clone() {
        let mut parts = Vec::new();
        if let Some(by) = cpu_ratio {
            parts.push(format!("{} the server’s processor time", times(by)));
        }
        if let Some(by) = bytes_ratio {
            parts.push(format!("{} the bytes", times(by)));
        }
        if !parts.is_empty() {
            text.push(format!(
                "For each edit that a client gets, polling each {} s took {} of streaming.",
                number(poll_s),
                parts.join(" and ")
            ));
        }
    }
    let here = results.crossovers.iter().find(|one| {
        one.clients == clients && Duration::try_from_secs_f64(one.publish_s) == Ok(publish)
    });
    if let Some(here) = here {
        let by = |what: &str, crossover: Option<Crossover>| {
            crossover.map(|crossover| format!("By {what}, polling {}.", tolerated(crossover)))
        };
        text.extend(by("processor time", here.cpu));
        text.extend(by("bytes", here.bytes));
    }
    text
}

/// A crossover as a part of a sentence.
fn tolerated(crossover: Crossover) -> String {
    match crossover {
        Crossover::Always(s) => {
            format!("is cheaper than streaming at each interval measured, from {} s on", number(s))
        }
        Crossover::At(s) => {
            let (longest, mean) = (number(s), number(s / 2.0));
            format!(
                "becomes cheaper than streaming where a delay of {longest} s is tolerated \
                 ({mean} s in the mean)"
            )
        }
        Crossover::Never(s) => {
            format!("is not cheaper than streaming at any interval measured, up to {} s", number(s))
        }
    }
}

/// A crossover in a table.
pub fn crossover_cell(crossover: Option<Crossover>) -> String {
    match crossover {
        None => "–".to_owned(),
        Some(Crossover::Always(s)) => format!("always (≤ {} s)", number(s)),
        Some(Crossover::At(s)) => format!("{} s", number(s)),
        Some(Crossover::Never(s)) => format!("never (> {} s)", number(s)),
    }
}

/// What limits the validity of all this.
pub fn limits(results: &Results) -> Vec<String> {
    let mut text = Vec::new();
    if results.debug_build {
        text.push(
            "This was a debug build, without optimisation: its figures say nothing about Halley."
                .to_owned(),
        );
    }
    if !results.complete {
        let failed = match results.failed.len() {
            0 => String::new(),
            n => format!(" {n} runs failed, the first one with: {}.", results.failed[0]),
        };
        text.push(format!(
            "It was stopped early or incomplete: cells may have fewer than {} runs or be missing.\
             {failed}",
            results.runs
        ));
    }
    let machine = &results.machine;
    if machine.was_busy() {
        text.push(format!(
            "Other programs kept this machine busy: in the minute before, {} of them wanted one of \
             its {} cores at any time. Times, above all the longest ones, are longer than they \
             need be; bytes and requests do not depend on it.",
            number(machine.load_before),
            machine.cores
        ));
    }
    match (&results.url, &results.read_only) {
        (Some(_), Some(_)) => text.push(
            "Nothing was written. When an edit was made is not known: times are counted from the \
             first client that had it, one that streams beside the others included."
                .to_owned(),
        ),
        (Some(_), None) => text.push(
            "All clients were on this machine and share its network; a deployed server’s processor \
             time and memory cannot be seen from here, and others used it meanwhile."
                .to_owned(),
        ),
        (None, _) => text.push(format!(
            "Clients and server share this machine and its loopback network, which loses nothing and \
             takes no time: a real network adds its round trip to each figure, and to polling a \
             second one where a connection must be opened anew. The trip to the last of many clients \
             includes the time in which this program reads from all of them. Up to {} runs went side \
             by side, each with a server of its own, which disturbs the slowest few per cent \
             (--lanes 1 does not).",
            results.lanes
        )),
    }
    text.push(
        "Clients are light: no browser, TLS (if there is any) not counted in bytes, heads of about 150 bytes where a browser sends 500 or \
         more. That favours polling, and so do kept connections, a 304 from memory when nothing is \
         new, and clients spread evenly over the interval: polling is shown at its best. Opening a \
         stream is part of the warm-up; a stream is opened anew each 4 to 6 minutes."
            .to_owned(),
    );
    text.push(
        "Everybody follows one page, and each edit is a few words. Publishing is at fixed intervals, \
         as in the paper; people write in bursts, which suits streaming and holding better. Each \
         figure is the median of the runs, with the smallest and the largest beside it."
            .to_owned(),
    );
    text.push(
        "The grid (clients, publish and poll intervals) follows the paper as far as it could be read; \
         its results are charts, so only what it states as its findings stands beside ours. Its server was another \
         one, twenty years ago: a difference says that a finding is not a law, not that it was \
         wrong."
            .to_owned(),
    );
    text
}

fn times(by: f64) -> String {
    format!("{} times", number(by))
}

fn seconds(time: Duration) -> String {
    number(time.as_secs_f64())
}
