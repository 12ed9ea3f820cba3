//! The results in a terminal.

use std::fmt::Write as _;

use super::format::{bytes, milliseconds, number};
use super::results::{CellResult, Metric, Results};
use super::words::{self, crossover_cell};

/// Columns: title, and what stands in them.
type Column = (&'static str, fn(&CellResult) -> String);

const COLUMNS: [Column; 13] = [
    ("clients", |cell| cell.cell.clients.to_string()),
    ("by", |cell| cell.cell.delivery.to_string()),
    ("trip mean", |cell| shown(cell, Metric::TripMean, milliseconds)),
    ("p50", |cell| shown(cell, Metric::TripP50, milliseconds)),
    ("p95", |cell| shown(cell, Metric::TripP95, milliseconds)),
    ("p99", |cell| shown(cell, Metric::TripP99, milliseconds)),
    ("max", |cell| shown(cell, Metric::TripMax, milliseconds)),
    ("stale", |cell| shown(cell, Metric::Stale, milliseconds)),
    ("coherence", |cell| shown(cell, Metric::Coherence, number)),
    ("req/ev", |cell| shown(cell, Metric::Requests, number)),
    ("bytes/ev", |cell| shown(cell, Metric::Bytes, bytes)),
    ("cpu s/1000", |cell| shown(cell, best_cpu(cell), number)),
    ("mem/client", |cell| shown(cell, Metric::Memory, bytes)),
];

/// Without the writer's share where that is known.
pub fn best_cpu(cell: &CellResult) -> Metric {
    if cell.get(Metric::CpuNet).is_some() { Metric::CpuNet } else { Metric::Cpu }
}

/// The median of a figure.
pub fn shown(cell: &CellResult, metric: Metric, show: fn(f64) -> String) -> String {
    cell.median(metric).map_or_else(|| "–".to_owned(), show)
}

/// All of it as text.
pub fn render(results: &Results) -> String {
    let mut text = String::new();
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "\nHalley {} on {}, {} cores, {}; medians of {} runs",
        results.version, machine.cpu, machine.cores, machine.kernel, results.runs
    );
    for publish in results.publishes() {
        let _ = writeln!(text, "\nan edit each {} s", number(publish.as_secs_f64()));
        let mut rows = vec![COLUMNS.map(|(title, _)| title.to_owned())];
        for cell in results.cells.iter().filter(|cell| cell.cell.publish == publish) {
            rows.push(COLUMNS.map(|(_, show)| show(cell)));
        }
        push_rows(&mut text, &rows);
    }
    let disturbed: f64 = [Metric::Duplicates, Metric::OrderFaults, Metric::Faults]
        .iter()
        .flat_map(|metric| results.cells.iter().filter_map(|cell| Some(cell.get(*metric)?.max)))
        .sum();
    let _ = writeln!(text, "\nduplicates, order faults and other faults in all: {disturbed}");
    if !results.crossovers.is_empty() {
        text.push_str("\npolling is cheaper than streaming from this interval on\n");
        let titles = ["clients", "edit each", "by cpu", "by bytes"].map(str::to_owned);
        let mut rows = vec![titles];
        rows.extend(results.crossovers.iter().map(|one| {
            [
                one.clients.to_string(),
                format!("{} s", number(one.publish_s)),
                crossover_cell(one.cpu),
                crossover_cell(one.bytes),
            ]
        }));
        push_rows(&mut text, &rows);
    }
    for sentence in words::summary(results) {
        let _ = writeln!(text, "\n{sentence}");
    }
    for finding in &results.findings {
        let verdict = finding.verdict.words();
        let _ =
            writeln!(text, "\nThe paper: {}\nHere: {verdict}. {}", finding.claim, finding.figures);
    }
    text.push('\n');
    text
}

fn push_rows<const N: usize>(text: &mut String, rows: &[[String; N]]) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let mut line = String::new();
        for (width, cell) in widths.iter().zip(row) {
            let _ = write!(line, "{cell:>width$}  ");
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}
