//! Charts: sparklines drawn here, and the places of those that the script draws from `/history`.

use maud::{Markup, html};

use crate::format;
use crate::history::{Columns, Range};
use crate::page::{Params, address};

const SPARK_WIDTH: f64 = 120.0;
const SPARK_HEIGHT: f64 = 24.0;

/// Draws the last five minutes of a rate; what was not known is a gap.
pub(crate) fn spark(points: Option<&Vec<Option<f64>>>) -> Markup {
    let Some(points) = points.filter(|points| points.iter().flatten().count() > 1) else {
        return html! { span.u { (format::UNKNOWN) } };
    };
    let top = points.iter().flatten().copied().fold(1.0, f64::max);
    let slots = format::real(60);
    let first = 60_usize.saturating_sub(points.len());
    let place = |index: usize, value: f64| {
        let column = format::real(u64::try_from(first + index).unwrap_or_default());
        let x = (column + 0.5) / slots * SPARK_WIDTH;
        format!("{x:.1},{:.1}", SPARK_HEIGHT - 2.0 - value / top * (SPARK_HEIGHT - 4.0))
    };
    let mut lines: Vec<Vec<String>> = vec![Vec::new()];
    for (index, value) in points.iter().enumerate() {
        match (value, lines.last_mut()) {
            (Some(value), Some(line)) => line.push(place(index, *value)),
            _ => lines.push(Vec::new()),
        }
    }
    let label = format!("last 5 minutes, at most {}", format::rate(top, "events/s").text());
    html! {
        svg.spark width="120" height="24" viewBox="0 0 120 24" role="img" aria-label=(label) {
            @for line in lines.iter().filter(|line| line.len() > 1) {
                polyline points=(line.join(" ")) {}
            }
        }
    }
}

/// A chart of the page: what the script needs to draw it, and the numbers for who has no script or
/// no eyes for it.
pub(crate) struct Chart<'a> {
    pub(crate) id: &'a str,
    pub(crate) title: &'a str,
    /// What its numbers are: `rate`, `ms` (on a logarithmic axis), `bytes` or `count`.
    pub(crate) unit: &'a str,
    /// Names in the history, and how they are labelled.
    pub(crate) series: Vec<(String, String)>,
}

impl Chart<'_> {
    /// Draws it.
    pub(crate) fn markup(&self, range: Range, columns: &Columns) -> Markup {
        let names: Vec<&str> = self.series.iter().map(|(name, _)| name.as_str()).collect();
        let labels: Vec<&str> = self.series.iter().map(|(_, label)| label.as_str()).collect();
        let title = format!("{}-title", self.id);
        html! {
            figure.chart {
                figcaption id=(title) { (self.title) }
                div.plot id=(self.id) data-names=(names.join("\n")) data-labels=(labels.join("\n"))
                    data-unit=(self.unit) data-range=(range.word()) role="img" aria-labelledby=(title) {}
                details.numbers {
                    summary { "Numbers" }
                    table {
                        thead { tr { th { "Line" } th.r { "Least" } th.r { "Largest" } th.r { "Last" } } }
                        tbody {
                            @for (name, label) in &self.series { (self.row(label, columns.values.get(name))) }
                        }
                    }
                }
            }
        }
    }

    fn row(&self, label: &str, values: Option<&Vec<Option<f64>>>) -> Markup {
        let known: Vec<f64> = values.into_iter().flatten().flatten().copied().collect();
        let show = |value: Option<f64>| format::known(value.map(|value| self.quantity(value)));
        html! {
            tr {
                td { (label) }
                td.r { (show(known.iter().copied().reduce(f64::min))) }
                td.r { (show(known.iter().copied().reduce(f64::max))) }
                td.r { (show(known.last().copied())) }
            }
        }
    }

    fn quantity(&self, value: f64) -> format::Quantity {
        match self.unit {
            "ms" => format::millis(value),
            "bytes" => format::bytes(format::whole(value)),
            "rate" => format::rate(value, "/s"),
            _ => format::count(format::whole(value), ""),
        }
    }
}

/// The switch between ranges, for a page at `path`.
pub(crate) fn ranges(path: &str, params: &Params, chosen: Range) -> Markup {
    html! {
        nav.switch aria-label="Time range" {
            @for range in Range::ALL {
                @let kept = params.iter().filter(|(name, _)| *name != "range");
                @let kept = kept.map(|(name, value)| (name.as_str(), value.as_str()));
                @let all: Vec<_> = kept.chain([("range", range.word())]).collect();
                a href=(address(path, &all)) aria-current=[(range == chosen).then_some("true")] { (range.label()) }
            }
        }
    }
}
