//! Charts, drawn here: bars and lines over the last hour, labelled where they are and not beside.

use maud::{Markup, html};

use crate::format::real;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 160.0;

/// Where the plot begins below the label of the largest value.
const TOP: f64 = 20.0;

/// How values are drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bars,
    Line,
}

/// One chart: what it shows, and how its values are written.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    /// One per minute, the last under way.
    pub(crate) values: &'a [i64],
    pub(crate) kind: Kind,
    pub(crate) write: fn(i64) -> String,
}

impl Chart<'_> {
    /// Draws it.
    pub(crate) fn draw(&self) -> Markup {
        let top = self.values.iter().copied().max().unwrap_or(0);
        let slot = WIDTH / real(i64::try_from(self.values.len().max(1)).unwrap_or(1));
        let most = (self.write)(top);
        let label = format!("{}, minute by minute for an hour; at most {most}", self.title);
        html! {
            figure.chart {
                figcaption { (self.title) }
                svg viewBox=(format!("0 0 {WIDTH} {}", HEIGHT + 20.0)) role="img" aria-label=(label) {
                    line.grid x1="0" x2=(WIDTH) y1=(TOP) y2=(TOP) {}
                    line.axis x1="0" x2=(WIDTH) y1=(HEIGHT) y2=(HEIGHT) {}
                    text.most x="0" y=(TOP - 6.0) { (most) }
                    @if top > 0 {
                        @match self.kind {
                            Kind::Bars => (self.bars(top, slot)),
                            Kind::Line => (self.line(top, slot)),
                        }
                    }
                    text x="0" y=(HEIGHT + 16.0) { "1 h ago" }
                    text.middle x=(WIDTH / 2.0) y=(HEIGHT + 16.0) { "30 min" }
                    text.end x=(WIDTH) y=(HEIGHT + 16.0) { "now" }
                }
            }
        }
    }

    fn bars(&self, top: i64, slot: f64) -> Markup {
        let last = self.values.len().saturating_sub(1);
        html! {
            @for (index, value) in self.values.iter().enumerate().filter(|(_, value)| **value > 0) {
                @let y = height(*value, top);
                @let x = real(i64::try_from(index).unwrap_or(0)) * slot + 1.0;
                rect.bar.open[index == last] x=(format!("{x:.1}")) y=(format!("{y:.1}"))
                    width=(format!("{:.1}", slot - 2.0)) height=(format!("{:.1}", HEIGHT - y)) {}
            }
        }
    }

    /// The minute under way would look like a fall, so the line ends before it.
    fn line(&self, top: i64, slot: f64) -> Markup {
        let whole = self.values.len().saturating_sub(1);
        let points = self.values.iter().take(whole).enumerate().map(|(index, value)| {
            let x = (real(i64::try_from(index).unwrap_or(0)) + 0.5) * slot;
            format!("{x:.1},{:.1}", height(*value, top))
        });
        let points: Vec<String> = points.collect();
        let x_last = (real(i64::try_from(whole).unwrap_or(0)) - 0.5) * slot;
        let area = format!("{:.1},{HEIGHT} {} {x_last:.1},{HEIGHT}", slot / 2.0, points.join(" "));
        html! {
            polygon.area points=(area) {}
            polyline.line points=(points.join(" ")) {}
        }
    }
}

fn height(value: i64, top: i64) -> f64 {
    HEIGHT - (real(value) / real(top.max(1))) * (HEIGHT - TOP)
}
