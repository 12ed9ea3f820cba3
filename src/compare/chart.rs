//! Line charts as SVG: no script, no library, colours from the page's style.
//!
//! Both axes are logarithmic, as the grid is. A line is told apart by colour and by the shape of
//! its marks; each mark says its figures when pointed at, and a thin bar shows the smallest and the
//! largest run.

use std::fmt::Write as _;

use super::stats::Spread;

/// A chart.
pub struct Chart {
    /// What is shown, for the heading.
    pub title: String,
    /// Under the horizontal axis.
    pub x_title: String,
    /// Above the vertical axis.
    pub y_title: String,
    /// What is compared.
    pub lines: Vec<Line>,
    /// A figure of the vertical axis in words.
    pub show: fn(f64) -> String,
}

/// One line.
pub struct Line {
    /// Its name in the legend.
    pub name: String,
    /// Which colour and mark, 0 to 7.
    pub style: usize,
    /// `(x, y)`; what is not above zero has no place on a logarithmic axis and is left out.
    pub points: Vec<(f64, Spread)>,
}

/// Units of the drawing; a phone shows it at two thirds, with larger letters.
const WIDTH: f64 = 480.0;
const HEIGHT: f64 = 310.0;
const LEFT: f64 = 74.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 30.0;
const BOTTOM: f64 = 52.0;

/// Number of colours and marks.
const STYLES: usize = 8;

/// A logarithmic axis.
struct Axis {
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Axis {
    fn at(&self, value: f64) -> f64 {
        let share = (value / self.low).ln() / (self.high / self.low).ln();
        self.from + share * (self.to - self.from)
    }
}

impl Chart {
    /// The drawing; `None` when there is nothing to draw.
    pub fn svg(&self) -> Option<String> {
        let points = || self.lines.iter().flat_map(|line| visible(&line.points));
        let (x_low, x_high) = range(points().map(|(x, _)| x))?;
        let (y_low, y_high) = range(points().flat_map(|(_, y)| [y.min, y.max]))?;
        let (y_low, y_high) = (below(y_low), above(y_high));
        let x_high = if x_high > x_low { x_high } else { x_low * 2.0 };
        let x = Axis { low: x_low, high: x_high, from: LEFT + 10.0, to: WIDTH - RIGHT - 8.0 };
        let y = Axis { low: y_low, high: y_high, from: HEIGHT - BOTTOM, to: TOP };

        let label = escape(&format!("{}: {} by {}", self.title, self.y_title, self.x_title));
        let mut svg = format!(
            r#"<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}"><g class="grid">"#
        );
        for tick in ticks(y_low, y_high) {
            let (at, text) = (y.at(tick), escape(&(self.show)(tick)));
            let (right, under, left) = (WIDTH - RIGHT, at + 4.5, LEFT - 6.0);
            let _ = write!(
                svg,
                r#"<path d="M{LEFT} {at:.1}H{right}"/><text x="{left}" y="{under:.1}" text-anchor="end">{text}</text>"#
            );
        }
        let mut xs: Vec<f64> = points().map(|(x, _)| x).collect();
        xs.sort_unstable_by(f64::total_cmp);
        xs.dedup();
        let mut last = f64::NEG_INFINITY;
        for value in xs {
            let at = x.at(value);
            let bottom = HEIGHT - BOTTOM;
            let _ = write!(svg, r#"<path d="M{at:.1} {TOP}V{bottom}"/>"#);
            // Labels that would touch are left out.
            if at - last > 40.0 {
                last = at;
                let text = super::format::number(value);
                let _ = write!(
                    svg,
                    r#"<text x="{at:.1}" y="{:.1}" text-anchor="middle">{text}</text>"#,
                    bottom + 18.0
                );
            }
        }
        let _ = write!(
            svg,
            r#"</g><text class="axis" x="{:.1}" y="{:.1}" text-anchor="middle">{}</text><text class="axis" x="4" y="14">{}</text>"#,
            f64::midpoint(LEFT, WIDTH - RIGHT),
            HEIGHT - 8.0,
            escape(&self.x_title),
            escape(&self.y_title)
        );
        for line in &self.lines {
            self.draw(&mut svg, line, &x, &y);
        }
        svg.push_str("</svg>");
        Some(svg)
    }

    fn draw(&self, svg: &mut String, line: &Line, x: &Axis, y: &Axis) {
        let style = line.style % STYLES;
        let mut path = String::new();
        let mut marks = String::new();
        for (n, (value, spread)) in visible(&line.points).enumerate() {
            let (px, py) = (x.at(value), y.at(spread.median));
            let _ = write!(path, "{}{px:.1} {py:.1}", if n == 0 { 'M' } else { 'L' });
            let (high, low) = (y.at(spread.max), y.at(spread.min));
            if low - high > 1.0 {
                let _ = write!(marks, r#"<path class="bar" d="M{px:.1} {high:.1}V{low:.1}"/>"#);
            }
            let said = format!(
                "{}, {}: {} ({} to {})",
                line.name,
                super::format::number(value),
                (self.show)(spread.median),
                (self.show)(spread.min),
                (self.show)(spread.max)
            );
            let _ = write!(
                marks,
                r#"<path class="mark" transform="translate({px:.1} {py:.1})" d="{}"><title>{}</title></path>"#,
                MARKS[style],
                escape(&said)
            );
        }
        if !path.is_empty() {
            let _ =
                write!(svg, r#"<g class="s{style}"><path class="line" d="{path}"/>{marks}</g>"#);
        }
    }
}

/// Shapes around the origin: disc, square, triangle, diamond, triangle down, plus, cross, bar.
const MARKS: [&str; STYLES] = [
    "M-4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0z",
    "M-4-4H4V4H-4z",
    "M0-5L5 4H-5z",
    "M0-5.5L5.5 0L0 5.5L-5.5 0z",
    "M0 5L5-4H-5z",
    "M-1.5-5h3v3.5h3.5v3h-3.5V5h-3V1.5H-5v-3h3.5z",
    "M-4-5L0-1.5L4-5L5-4L1.5 0L5 4L4 5L0 1.5L-4 5L-5 4L-1.5 0L-5-4z",
    "M-5-2H5V2H-5z",
];

/// A line's mark for the legend.
pub fn sample(style: usize) -> String {
    let style = style % STYLES;
    format!(
        r#"<svg class="sample s{style}" viewBox="-14 -7 28 14" aria-hidden="true"><path class="line" d="M-14 0H14"/><path class="mark" d="{}"/></svg>"#,
        MARKS[style]
    )
}

/// What has a place on logarithmic axes. A smallest run of zero is drawn from the median.
fn visible(points: &[(f64, Spread)]) -> impl Iterator<Item = (f64, Spread)> {
    points.iter().filter(|(x, y)| *x > 0.0 && y.median > 0.0 && y.max.is_finite()).map(|(x, y)| {
        let min = if y.min > 0.0 { y.min } else { y.median };
        (*x, Spread { min, ..*y })
    })
}

fn range(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.fold(None, |range, value| match range {
        None => Some((value, value)),
        Some((low, high)) => Some((f64::min(low, value), f64::max(high, value))),
    })
}

/// 1, 2 and 5 of each decade that can matter.
fn steps() -> impl DoubleEndedIterator<Item = f64> {
    (-9..=12).flat_map(|exponent| [1.0, 2.0, 5.0].map(|step| step * 10_f64.powi(exponent)))
}

fn below(value: f64) -> f64 {
    steps().rev().find(|step| *step < value * 0.999).unwrap_or(value / 2.0)
}

fn above(value: f64) -> f64 {
    steps().find(|step| *step > value * 1.001).unwrap_or(value * 2.0)
}

/// Round numbers on the axis, not more than fit.
fn ticks(low: f64, high: f64) -> Vec<f64> {
    let all: Vec<f64> =
        steps().filter(|step| *step >= low * 0.999 && *step <= high * 1.001).collect();
    if all.len() <= 7 {
        return all;
    }
    let decade = |step: &f64| (step.log10() - step.log10().round()).abs() < 1e-6;
    let decades: Vec<f64> = all.iter().copied().filter(decade).collect();
    if decades.len() >= 2 { decades } else { all.into_iter().step_by(2).collect() }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart(points: &[(f64, f64)]) -> Chart {
        let spread = |v: f64| Spread { min: v / 2.0, median: v, max: v * 2.0 };
        let points = points.iter().map(|(x, y)| (*x, spread(*y))).collect();
        Chart {
            title: "T".into(),
            x_title: "x".into(),
            y_title: "<y>".into(),
            lines: vec![Line { name: "a & b".into(), style: 0, points }],
            show: super::super::format::number,
        }
    }

    #[test]
    fn axes_are_logarithmic_and_end_at_round_numbers() {
        assert_eq!((below(3.0), above(3.0)), (2.0, 5.0));
        assert_eq!((below(1.0), above(1.0)), (0.5, 2.0));
        assert_eq!(ticks(0.5, 20.0), [0.5, 1.0, 2.0, 5.0, 10.0, 20.0]);
        assert_eq!(ticks(1.0, 1_000.0), [1.0, 10.0, 100.0, 1_000.0]);
        let axis = Axis { low: 1.0, high: 100.0, from: 0.0, to: 10.0 };
        assert!((axis.at(10.0) - 5.0).abs() < 1e-9);
    }

    #[test]
    fn a_chart_escapes_its_words_and_leaves_out_what_has_no_place() {
        let svg = chart(&[(1.0, 3.0), (10.0, 0.0), (100.0, 30.0)]).svg().expect("a drawing");
        assert!(svg.contains("&lt;y&gt;") && svg.contains("a &amp; b"), "{svg}");
        assert_eq!(svg.matches(r#"class="mark""#).count(), 2);
        assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        assert_eq!(chart(&[(1.0, 0.0)]).svg(), None);
        assert!(chart(&[(5.0, 1.0)]).svg().is_some(), "one point is a chart");
    }
}
