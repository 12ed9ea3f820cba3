use super::*;
use crate::compare::results::tests::made_of;

const POLL: fn(u64) -> Delivery = |s| Delivery::Poll(Duration::from_secs(s));

#[test]
fn the_papers_findings_are_judged_by_figures() {
    let stream = |cpu| {
        vec![
            (Metric::Cpu, cpu),
            (Metric::CpuShare, 0.1),
            (Metric::TripP95, 5.0),
            (Metric::Coherence, 1.0),
        ]
    };
    let (a, b) = (stream(0.01), stream(0.02));
    let poll = [
        (Metric::Cpu, 0.04),
        (Metric::CpuShare, 0.1),
        (Metric::Coherence, 1.0),
        (Metric::Requests, 1.0),
        (Metric::TripMean, 500.0),
    ];
    let often = [(Metric::Coherence, 1.0), (Metric::Requests, 5.0)];
    let results = made_of(&[
        (Delivery::Nobody, 0, 5, &[(Metric::CpuShare, 0.0)]),
        (Delivery::Nobody, 0, 1, &[(Metric::CpuShare, 0.0)]),
        (Delivery::Stream, 100, 1, &a),
        (Delivery::Stream, 1_000, 1, &b),
        (POLL(1), 100, 1, &poll),
        (POLL(1), 1_000, 1, &poll),
        (POLL(1), 1_000, 5, &often),
    ]);
    let [push, saturated, pull] = results.findings.as_slice() else { panic!("three") };
    assert_eq!(push.verdict, Verdict::Contradicted, "{}", push.figures);
    assert!(push.figures.contains("0.375 times"), "{}", push.figures);
    assert_eq!(saturated.verdict, Verdict::Contradicted, "{}", saturated.figures);
    assert!(saturated.figures.contains("1000 clients"), "{}", saturated.figures);
    assert_eq!(pull.verdict, Verdict::InPart, "{}", pull.figures);
    assert!(pull.figures.contains("5 requests"), "{}", pull.figures);
}

#[test]
fn a_busy_machine_is_named_among_the_limits() {
    let mut results = made_of(&[(Delivery::Stream, 10, 1, &[])]);
    let busy = |results: &Results| limits(results).join(" ").contains("Other programs");
    results.machine.load_before = 0.0;
    assert!(!busy(&results));
    results.machine.load_before = 20.0 * results.machine.cores as f64;
    assert!(busy(&results));
}

#[test]
fn a_server_that_loses_edits_is_saturated() {
    let lost = [(Metric::Coherence, 0.9), (Metric::TripP95, 5.0)];
    let results = made_of(&[(Delivery::Stream, 400, 1, &lost)]);
    assert_eq!(results.findings[1].verdict, Verdict::Confirmed);
    assert_eq!(results.findings[0].verdict, Verdict::NotMeasured);
    let few = made_of(&[(Delivery::Stream, 10, 1, &lost)]);
    assert_eq!(few.findings[1].verdict, Verdict::NotMeasured, "10 clients tell nothing");
}

#[test]
fn the_main_figures_are_ratios_at_the_middle_of_the_grid() {
    let values = |trip, bytes| vec![(Metric::TripMean, trip), (Metric::Bytes, bytes)];
    let (fast, slow) = (values(5.0, 300.0), values(2_500.0, 600.0));
    let results = made_of(&[
        (Delivery::Stream, 500, 5, &fast),
        (POLL(1), 500, 5, &slow),
        (POLL(5), 500, 5, &slow),
        (Delivery::Stream, 100, 1, &slow),
    ]);
    let headline = results.headline.clone().expect("both were measured");
    assert_eq!((headline.clients, headline.publish_s, headline.poll_s), (500, 5.0, 5.0));
    assert_eq!((headline.trip_ratio, headline.bytes_ratio), (Some(500.0), Some(2.0)));
    assert_eq!(headline.cpu_ratio, None);
    let text = summary(&results).join(" ");
    assert!(text.contains("5 ms in the mean") && text.contains("2 times the bytes"), "{text}");
}
