//! The receipt, and what became of the order after its commit.

use maud::{Markup, html};

use crate::control::Silence;
use crate::format::{clock, duration, millis, real, whole};
use crate::page::{Frame, HOME, Tone, notice, page, state_mark};
use crate::store::order::{Commit, Receipt};
use crate::trace::{Reached, Rung, is_complete};

/// What is known of the way of an order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Way {
    /// Nobody has answered yet.
    Asking,
    /// The commit's place in the log is not known.
    Unknown,
    Silent(Silence),
    /// The rungs, and who does not answer for theirs.
    Known(Vec<Rung>, Vec<String>),
}

/// Draws a receipt.
pub(crate) fn receipt(frame: &Frame<'_>, receipt: &Receipt, way: &Way) -> Markup {
    let body = html! {
        div.lead {
            p.quiet { "Thank you, " (receipt.customer) "." }
            h1 { "Order " span.n { (receipt.order) } }
        }
        div.receipt {
            section.trace aria-labelledby="way" {
                h2 #way { "What happened next" }
                div data-live=[(!is_over(way)).then(|| format!("/orders/{}/trace", receipt.order))] {
                    (trace(receipt.commit.as_ref(), way))
                }
                @if let Some(href) = frame.dashboard("/") { p.quiet { a href=(href) { "See the whole pipeline on the dashboard" } } }
            }
            section.bill aria-labelledby="bill" {
                h2 #bill { "What was ordered" }
                table {
                    thead.unseen { tr { th { "Thing" } th { "Quantity" } th { "Sum" } } }
                    tbody {
                        @for item in &receipt.items {
                            tr {
                                td { span.thing { span.panel.tiny { (item.look.picture()) } (item.name) } }
                                td.r { (item.quantity) span.unit { " × " } (item.price.text()) }
                                td.r { (crate::format::Cents(item.price.0.saturating_mul(item.quantity.into())).text()) }
                            }
                        }
                    }
                    tfoot { tr { th scope="row" { "Total" } td {} td.r { strong { (receipt.total.text()) } } } }
                }
                p.buttons { a.button href=(HOME) { "Buy something else" } a.button href="/business" { "See the business" } }
            }
        }
    };
    page(frame, &format!("Order {}", receipt.order), &body)
}

/// Whether there is nothing more to come.
pub(crate) fn is_over(way: &Way) -> bool {
    matches!(way, Way::Known(rungs, absent) if is_complete(rungs) && absent.is_empty())
}

/// Draws the way of an order so far.
pub(crate) fn trace(commit: Option<&Commit>, way: &Way) -> Markup {
    html! {
        ol.rungs {
            li.rung.there {
                (state_mark(Tone::Ok))
                span.place { "committed" }
                span.when { @match commit { Some(commit) => { "at " (clock(commit.at_us)) }, None => "" } }
                @if let Some(commit) = commit { p.why { "Its commit comes right after " code { (commit.lsn) } " in the database's log." } }
            }
            @if let Way::Known(rungs, _) = way { @for rung in rungs { (step(rung, slowest(rungs))) } }
        }
        @match way {
            Way::Asking => p.quiet { "Asking where it is…" },
            Way::Unknown => (notice(Tone::Held, "Its place in the log is not known.",
                "The order stands. The shop stopped between its commit and this note, or has not written it yet.")),
            Way::Silent(silence) => (notice(Tone::Held, "Where the order went cannot be told.",
                &format!("{} The order stands, and the shop goes on selling.", silence.text()))),
            Way::Known(rungs, absent) if rungs.is_empty() && absent.is_empty() => (notice(Tone::Held, "Nothing follows this database.",
                "The processes that answer run neither capture nor a projection.")),
            Way::Known(rungs, absent) => {
                p.saying data-say=(saying(rungs, absent.is_empty())) { (saying(rungs, absent.is_empty())) }
                @for said in absent { (notice(Tone::Held, "A process does not answer for its part.", said)) }
            }
        }
    }
}

fn step(rung: &Rung, slowest: f64) -> Markup {
    html! {
        @match &rung.reached {
            Reached::After(ms) => {
                @let (number, unit) = duration(*ms);
                @let width = (ms / slowest * 100.0).clamp(0.5, 100.0);
                li.rung.there {
                    (state_mark(Tone::Ok))
                    span.place { (rung.place) }
                    span.when { "after " strong { (number) } span.unit { " " (unit) } }
                    svg.way viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                        rect.rail width="100" height="4" {}
                        rect.done width=(format!("{width:.1}")) height="4" {}
                    }
                }
            }
            Reached::NotYet => li.rung { (state_mark(Tone::Waiting)) span.place { (rung.place) } span.when { "not there yet" } },
            Reached::Held(why) => li.rung {
                (state_mark(Tone::Held)) span.place { (rung.place) } span.when { "not there yet" }
                p.why { (why) }
            },
        }
    }
}

fn slowest(rungs: &[Rung]) -> f64 {
    let times = rungs.iter().filter_map(|rung| match rung.reached {
        Reached::After(ms) => Some(ms),
        _ => None,
    });
    times.fold(1.0, f64::max)
}

/// The whole of it in one sentence.
fn saying(rungs: &[Rung], has_all: bool) -> String {
    let parts = rungs.iter().map(|rung| match rung.reached {
        Reached::After(ms) => format!("{} after {}", rung.place, millis(ms)),
        _ => format!("not yet {}", rung.place),
    });
    let text = parts.collect::<Vec<_>>().join(", ");
    if is_complete(rungs) && has_all {
        let all = real(i64::try_from(whole(slowest(rungs))).unwrap_or(i64::MAX));
        return format!("Everywhere within {}: {text}.", millis(all));
    }
    if text.is_empty() { "Committed.".to_owned() } else { format!("Committed; {text}.") }
}
