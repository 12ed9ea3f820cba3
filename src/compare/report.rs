//! The report: one HTML file that needs nothing else, no network and no script.

use std::time::Duration;

use minijinja::value::Value;
use minijinja::{Environment, context};

use super::chart::{Chart, Line, sample};
use super::format::{self, bytes, milliseconds, number};
use super::plan::{Delivery, words_of};
use super::results::{CellResult, Metric, Results};
use super::stats::Spread;
use super::table::{best_cpu, shown};
use super::words::{self, crossover_cell};

const TEMPLATE: &str = include_str!("report.html");

/// Columns of the table of all cells.
type Column = (&'static str, Option<Metric>, fn(f64) -> String);

const COLUMNS: [Column; 16] = [
    ("trip, mean", Some(Metric::TripMean), milliseconds),
    ("p50", Some(Metric::TripP50), milliseconds),
    ("p95", Some(Metric::TripP95), milliseconds),
    ("p99", Some(Metric::TripP99), milliseconds),
    ("max", Some(Metric::TripMax), milliseconds),
    ("saved after", Some(Metric::SaveP50), milliseconds),
    ("staleness", Some(Metric::Stale), milliseconds),
    ("time stale", Some(Metric::StaleShare), percent),
    ("coherence", Some(Metric::Coherence), number),
    ("again", Some(Metric::Duplicates), number),
    ("disorder", Some(Metric::OrderFaults), number),
    ("faults", Some(Metric::Faults), number),
    ("requests", Some(Metric::Requests), number),
    ("bytes", Some(Metric::Bytes), bytes),
    // Without the writer's share where that is known.
    ("CPU s / 1,000", None, number),
    ("memory / client", Some(Metric::Memory), bytes),
];

fn percent(share: f64) -> String {
    format!("{} %", number(share * 100.0))
}

/// The whole file.
///
/// # Errors
/// When the template is broken, which tests exclude.
pub fn render(results: &Results) -> Result<String, String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    environment.add_template("report.html", TEMPLATE).map_err(|e| e.to_string())?;
    let template = environment.get_template("report.html").map_err(|e| e.to_string())?;
    let reference = words::reference(results);
    let main = reference.map(|(clients, publish)| charts(results, clients, publish));
    let others: Vec<Value> = results
        .publishes()
        .into_iter()
        .filter(|publish| reference.is_none_or(|(_, main)| main != *publish))
        .filter_map(|publish| {
            let charts = charts(results, reference?.0, publish);
            let publish = number(publish.as_secs_f64());
            Some(context! { publish, charts })
        })
        .collect();
    let machine = &results.machine;
    let kernel = results.kernel.as_ref().map(|kernel| {
        let Spread { min, median, max } = kernel.bytes_per_connection;
        context! {
            median => bytes(median), min => bytes(min), max => bytes(max),
            objects => kernel.objects,
        }
    });
    template
        .render(context! {
            version => results.version,
            began => results.began,
            took => words_of(Duration::from_secs_f64(results.took_s.max(0.0))),
            command => results.command,
            url => results.url,
            cpu => machine.cpu,
            cores => machine.cores,
            memory => number((machine.memory >> 20) as f64 / 1024.0),
            os => machine.kernel,
            runs => results.runs,
            lanes => results.lanes,
            complete => results.complete,
            debug_build => results.debug_build,
            summary => unbroken(words::summary(results)),
            limits => unbroken(words::limits(results)),
            findings => findings(results),
            headline => headline(results),
            reference => reference.map(|(clients, publish)| context! {
                clients, publish => number(publish.as_secs_f64()),
            }),
            charts => main.unwrap_or_default(),
            others,
            crossovers => crossovers(results),
            columns => COLUMNS.map(|(title, _, _)| title),
            cells => cells(results),
            kernel,
        })
        .map_err(|e| e.to_string())
}

fn findings(results: &Results) -> Vec<Value> {
    let each = results.findings.iter();
    each.map(|finding| {
        context! {
            claim => finding.claim,
            verdict => finding.verdict.words(),
            class => finding.verdict,
            figures => format::unbroken(&finding.figures),
        }
    })
    .collect()
}

/// The main ratios, as figures with a sentence each.
fn headline(results: &Results) -> Vec<Value> {
    let Some(headline) = &results.headline else { return Vec::new() };
    let poll = number(headline.poll_s);
    let all = [
        (headline.trip_ratio, format!("as long on its way when polled each {poll} s as streamed")),
        (headline.cpu_ratio, format!("the server’s processor time when polled each {poll} s")),
        (headline.bytes_ratio, format!("the bytes when polled each {poll} s")),
    ];
    let known = all.into_iter().filter_map(|(ratio, what)| Some((ratio?, what)));
    known
        .map(|(ratio, what)| {
            let what = format::unbroken(&what);
            context! { figure => format!("{} ×", number(ratio)), what }
        })
        .collect()
}

fn unbroken(sentences: Vec<String>) -> Vec<String> {
    sentences.into_iter().map(|sentence| format::unbroken(&sentence)).collect()
}

fn crossovers(results: &Results) -> Vec<Value> {
    let each = results.crossovers.iter();
    each.map(|one| {
        context! {
            clients => one.clients,
            publish => number(one.publish_s),
            cpu => crossover_cell(one.cpu),
            bytes => crossover_cell(one.bytes),
        }
    })
    .collect()
}

fn cells(results: &Results) -> Vec<Value> {
    let publishes = results.publishes().into_iter();
    publishes
        .map(|publish| {
            let cells = results.cells.iter().filter(|cell| cell.cell.publish == publish);
            let rows: Vec<Value> = cells
                .map(|cell| {
                    let figures: Vec<Value> = COLUMNS
                        .iter()
                        .map(|(_, metric, show)| {
                            let metric = metric.unwrap_or_else(|| best_cpu(cell));
                            context! {
                                median => shown(cell, metric, *show),
                                range => range(cell, metric, *show),
                            }
                        })
                        .collect();
                    context! {
                        clients => cell.cell.clients,
                        delivery => cell.cell.delivery.to_string(),
                        runs => cell.runs.len(),
                        figures,
                    }
                })
                .collect();
            context! { publish => number(publish.as_secs_f64()), rows }
        })
        .collect()
}

fn range(cell: &CellResult, metric: Metric, show: fn(f64) -> String) -> String {
    match cell.get(metric) {
        Some(spread) => format!("{} to {}", show(spread.min), show(spread.max)),
        None => "not measured".to_owned(),
    }
}

/// The four charts of a publish interval; those over poll intervals at this number of clients.
fn charts(results: &Results, clients: usize, publish: Duration) -> Vec<Value> {
    let s = number(publish.as_secs_f64());
    let place = format!("{clients} clients, an edit each {s} s");
    let edits = format!("an edit each {s} s");
    let all = [
        by_interval(
            results,
            (clients, publish),
            Metric::TripMean,
            ("Time from edit to client", &place, "mean trip"),
            milliseconds,
        ),
        by_interval(
            results,
            (clients, publish),
            Metric::Stale,
            ("Staleness", &place, "mean over time"),
            milliseconds,
        ),
        by_interval(
            results,
            (clients, publish),
            Metric::Bytes,
            ("Bytes for each delivered edit", &place, "both ways, heads included"),
            bytes,
        ),
        by_clients(results, publish, &edits),
    ];
    let known = all.into_iter().filter_map(|(chart, place)| Some((chart.svg()?, chart, place)));
    known
        .map(|(svg, chart, place)| {
            let legend: Vec<Value> = chart
                .lines
                .iter()
                .filter(|line| !line.points.is_empty())
                .map(|line| {
                    let sample = Value::from_safe_string(sample(line.style));
                    context! { name => line.name, sample }
                })
                .collect();
            context! { title => chart.title, place, svg => Value::from_safe_string(svg), legend }
        })
        .collect()
}

/// A figure by poll interval; what does not poll is a level line.
fn by_interval(
    results: &Results,
    (clients, publish): (usize, Duration),
    metric: Metric,
    (title, place, y_title): (&str, &str, &str),
    show: fn(f64) -> String,
) -> (Chart, String) {
    let polls: Vec<(f64, Spread)> = results
        .polls(clients, publish)
        .into_iter()
        .filter_map(|(interval, cell)| Some((interval.as_secs_f64(), cell.get(metric)?)))
        .collect();
    let ends = match (polls.first(), polls.last()) {
        (Some(first), Some(last)) if last.0 > first.0 => vec![first.0, last.0],
        (Some(first), _) => vec![first.0],
        _ => vec![1.0],
    };
    let level = |delivery| {
        let cell = results.find(delivery, clients, publish);
        let spread = cell.and_then(|cell| cell.get(metric));
        spread.map_or_else(Vec::new, |s| ends.iter().map(|x| (*x, s)).collect())
    };
    let line = |name: &str, style, points| Line { name: name.to_owned(), style, points };
    let lines = vec![
        line("stream", 0, level(Delivery::Stream)),
        line("hold", 1, level(Delivery::Hold)),
        line("poll", 2, polls),
    ];
    let chart = Chart {
        title: title.to_owned(),
        x_title: "poll interval in s".to_owned(),
        y_title: y_title.to_owned(),
        lines,
        show,
    };
    (chart, place.to_owned())
}

/// Processor time by number of clients, a line for each way of delivery.
fn by_clients(results: &Results, publish: Duration, place: &str) -> (Chart, String) {
    let lines = results.deliveries().into_iter().enumerate();
    let lines = lines
        .map(|(style, delivery)| {
            let points = results.clients().into_iter().filter_map(|clients| {
                let cell = results.find(delivery, clients, publish)?;
                #[expect(clippy::cast_precision_loss, reason = "a number of clients")]
                Some((clients as f64, cell.get(best_cpu(cell))?))
            });
            Line { name: delivery.to_string(), style, points: points.collect() }
        })
        .collect();
    let chart = Chart {
        title: "Processor time of the server".to_owned(),
        x_title: "clients".to_owned(),
        y_title: "seconds for 1,000 deliveries, without the writer’s".to_owned(),
        lines,
        show: number,
    };
    (chart, place.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::results::tests::made_of;

    #[test]
    fn a_report_stands_alone_and_shows_what_was_found() {
        let poll = Delivery::Poll(Duration::from_secs(5));
        let figures = |trip| {
            vec![
                (Metric::TripMean, trip),
                (Metric::Stale, trip),
                (Metric::Bytes, 300.0),
                (Metric::Cpu, 0.01),
                (Metric::CpuShare, 0.01),
            ]
        };
        let (fast, slow) = (figures(4.0), figures(2_500.0));
        let results = made_of(&[(Delivery::Stream, 100, 5, &fast), (poll, 100, 5, &slow)]);
        let html = render(&results).expect("a report");
        for outside in ["http://", "https://", "src=", "<script", "<link", "@import", "url("] {
            assert!(!html.contains(outside), "{outside}");
        }
        assert_eq!(html.matches("<figure").count(), 4);
        assert!(html.contains("625 ×"), "the ratio of the trips");
        assert!(html.contains("poll 5 s") && html.contains("2.5 s"));
    }

    #[test]
    fn a_report_of_hardly_anything_is_a_report() {
        let results = made_of(&[(Delivery::Hold, 1, 1, &[])]);
        let html = render(&results).expect("a report");
        assert!(html.contains("not measured"));
    }
}
