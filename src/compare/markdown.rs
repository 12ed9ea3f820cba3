//! A short form of the report as Markdown: the main figures, the findings, where it was measured.

use std::fmt::Write as _;

use super::format::{bytes, milliseconds, number};
use super::plan::{Delivery, words_of};
use super::results::{Metric, Results};
use super::table::{best_cpu, shown};
use super::words::{self, crossover_cell};

/// All of it.
pub fn render(results: &Results) -> String {
    let mut text = String::from("# Streaming and polling compared\n\n");
    for line in headline(results) {
        let _ = writeln!(text, "- {line}");
    }
    for sentence in words::summary(results) {
        let _ = writeln!(text, "\n{sentence}");
    }
    if let Some((clients, publish)) = words::reference(results) {
        let _ = writeln!(
            text,
            "\n## {clients} clients, an edit each {} s\n\n\
             | by | trip, mean | p95 | p99 | staleness | requests | bytes | CPU s / 1,000 | memory / client |\n\
             | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
            number(publish.as_secs_f64())
        );
        let all = [Delivery::Stream, Delivery::Hold].into_iter();
        let polls = results.polls(clients, publish).into_iter();
        for delivery in all.chain(polls.map(|(interval, _)| Delivery::Poll(interval))) {
            let Some(cell) = results.find(delivery, clients, publish) else { continue };
            let _ = writeln!(
                text,
                "| {delivery} | {} | {} | {} | {} | {} | {} | {} | {} |",
                shown(cell, Metric::TripMean, milliseconds),
                shown(cell, Metric::TripP95, milliseconds),
                shown(cell, Metric::TripP99, milliseconds),
                shown(cell, Metric::Stale, milliseconds),
                shown(cell, Metric::Requests, number),
                shown(cell, Metric::Bytes, bytes),
                shown(cell, best_cpu(cell), number),
                shown(cell, Metric::Memory, bytes),
            );
        }
        text.push_str(
            "\nRequests, bytes and processor time (without the writer’s) are for each delivered edit.\n",
        );
    }
    if !results.crossovers.is_empty() {
        text.push_str(
            "\n## From which poll interval on polling is cheaper\n\n\
             | clients | an edit each | by processor time | by bytes |\n| --- | --- | --- | --- |\n",
        );
        for one in &results.crossovers {
            let (cpu, bytes) = (crossover_cell(one.cpu), crossover_cell(one.bytes));
            let publish = number(one.publish_s);
            let _ = writeln!(text, "| {} | {publish} s | {cpu} | {bytes} |", one.clients);
        }
    }
    text.push_str(
        "\n## The paper’s findings\n\nE. Bozdag, A. Mesbah and A. van Deursen, “A Comparison of Push \
         and Pull Techniques for Ajax”, 2007 (arXiv 0706.3984).\n",
    );
    for finding in &results.findings {
        let verdict = finding.verdict.words();
        let _ = writeln!(text, "\n**{}** Here: {verdict}. {}", finding.claim, finding.figures);
    }
    text.push_str("\n## What limits this\n\n");
    for sentence in words::limits(results) {
        let _ = writeln!(text, "- {sentence}");
    }
    let machine = &results.machine;
    let _ = writeln!(
        text,
        "\nHalley {} on {}, {} cores, {}; {}, for {}; `{}`.",
        results.version,
        machine.cpu,
        machine.cores,
        machine.kernel,
        results.began,
        words_of(std::time::Duration::from_secs_f64(results.took_s.max(0.0))),
        results.command
    );
    text
}

/// The main figures, a line each.
fn headline(results: &Results) -> Vec<String> {
    let Some(main) = &results.headline else { return Vec::new() };
    let poll = number(main.poll_s);
    let mut lines = Vec::new();
    if let Some(by) = main.trip_ratio {
        let by = number(by);
        lines
            .push(format!("an edit takes {by} times as long to a client that polls each {poll} s"));
    }
    if let Some(by) = main.cpu_ratio {
        let by = number(by);
        lines.push(format!("polling each {poll} s takes {by} times the server’s processor time"));
    }
    if let Some(by) = main.bytes_ratio {
        lines.push(format!("and {} times the bytes, for each delivered edit", number(by)));
    }
    lines
}
