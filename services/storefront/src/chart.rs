//! Charts, drawn here: bars and lines over the last hour, labelled where they are and not beside.
//!
//! The drawing is stretched to the page; its labels are text of the page, as large as any other.

use maud::{Markup, html};

use crate::format::real;

const WIDTH: f64 = 600.0;
const HEIGHT: f64 = 100.0;

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
                figcaption { (self.title) " " span.most { "at most " (most) } }
                svg viewBox=(format!("0 0 {WIDTH} {HEIGHT}")) preserveAspectRatio="none" role="img" aria-label=(label) {
                    @if top > 0 {
                        @match self.kind {
                            Kind::Bars => (self.bars(top, slot)),
                            Kind::Line => (self.line(top, slot)),
                        }
                    }
                }
                p.axis aria-hidden="true" { span { "1 h ago" } span { "30 min" } span { "now" } }
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

/// A little is left above, so that a thick line is not cut.
fn height(value: i64, top: i64) -> f64 {
    HEIGHT - (real(value) / real(top.max(1))) * (HEIGHT - 2.0)
}
