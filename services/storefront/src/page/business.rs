//! How the business goes, from the warehouse alone.

use cdc_control::v1;
use maud::{Markup, html};

use crate::business::{Figures, Lag, View};
use crate::chart::{Chart, Kind};
use crate::format::{Cents, group, millis, plural, real};
use crate::lab;
use crate::page::{Frame, Tone, notice, page, state_mark};

/// Draws the page; `view` is none while nobody has answered.
pub(crate) fn business(frame: &Frame<'_>, view: Option<&View>) -> Markup {
    let body = html! {
        div.lead {
            h1 { "Business" }
            p { "From the warehouse alone: the shop's database is not asked." }
        }
        div data-live="/business/live" { (figures(view)) }
        @if let Some(href) = frame.dashboard("/query") { p.quiet { a href=(href) { "Ask the warehouse something else" } } }
    };
    page(frame, "Business", &body)
}

/// Draws what changes of it.
pub(crate) fn figures(view: Option<&View>) -> Markup {
    html! {
        @match view {
            None => p.quiet { "Asking the warehouse…" },
            Some(View::Empty) => div.empty {
                p { "The warehouse holds no orders yet. Place one, or turn the load dial in the lab." }
                pre { code { "penstock run --tables 'public.*'" } }
            },
            Some(View::Silent(silence)) => (notice(Tone::Bad, "The warehouse cannot be asked.",
                &format!("{} The shop goes on selling; this page goes on by itself.", silence.text()))),
            Some(View::Figures(figures)) => (all(figures)),
        }
    }
}

fn all(figures: &Figures) -> Markup {
    let orders: Vec<i64> =
        figures.minutes.iter().map(|m| i64::try_from(m.orders).unwrap_or(i64::MAX)).collect();
    let revenue: Vec<i64> = figures.minutes.iter().map(|minute| minute.revenue.0).collect();
    let in_hour = orders.iter().sum::<i64>();
    let earned = Cents(revenue.iter().copied().fold(0, i64::saturating_add));
    // The newest whole minute: the one under way is not over.
    let last = orders.iter().rev().nth(1).copied().unwrap_or(0);
    let count = |number: i64| group(u64::try_from(number).unwrap_or(0));
    html! {
        (age(figures))
        dl.headline {
            div { dt { "Orders, last minute" } dd { (count(last)) span.unit { " /min" } } }
            div { dt { "Orders, last hour" } dd { (count(in_hour)) } }
            div { dt { "Revenue, last hour" } dd { (earned.short()) } }
            div { dt { "Orders, in all" } dd { (group(figures.orders)) } }
        }
        div.charts {
            (Chart { title: "Orders per minute", values: &orders, kind: Kind::Bars,
                write: |most| plural(u64::try_from(most).unwrap_or(0), "order") }.draw())
            (Chart { title: "Revenue per minute", values: &revenue, kind: Kind::Line,
                write: |most| Cents(most).short() }.draw())
        }
        section aria-labelledby="top" {
            h2 #top { "What sells, in the last hour" }
            @if figures.top.is_empty() {
                p.quiet { "Nothing was sold in the last hour." }
            } @else { (top(figures)) }
        }
    }
}

fn top(figures: &Figures) -> Markup {
    let most = figures.top.iter().map(|top| top.revenue.0).max().unwrap_or(1).max(1);
    html! {
        table.top {
            thead { tr { th { "Thing" } th.share {} th.r { "Sold" } th.r { "Revenue" } } }
            tbody {
                @for top in &figures.top {
                    @let width = real(top.revenue.0) / real(most) * 100.0;
                    tr {
                        td { span.thing { span.panel.tiny { (top.look.picture()) } (top.name) } }
                        td.share {
                            svg.way viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
                                rect.done width=(format!("{width:.1}")) height="4" {}
                            }
                        }
                        td.r { (group(top.sold)) }
                        td.r { (top.revenue.text()) }
                    }
                }
            }
        }
    }
}

/// Says how old the figures are.
fn age(figures: &Figures) -> Markup {
    let (tone, text) = told(&figures.lag);
    let newest = real(figures.now_us.saturating_sub(figures.newest_us).max(0)) / 1e3;
    let asked = figures.asked.elapsed().as_secs_f64();
    let asked =
        if asked < 1.0 { "just now".to_owned() } else { format!("{asked:.0}\u{202f}s ago") };
    html! {
        p.age {
            (state_mark(tone)) " " strong { (text) }
            " " span.quiet { "Asked " (asked) "; the newest order in it was placed " (millis(newest)) " ago." }
        }
    }
}

fn told(lag: &Lag) -> (Tone, String) {
    let behind = lag.seconds.map(|seconds| millis(seconds * 1e3));
    let records =
        lag.records.filter(|records| *records > 0).map(|records| plural(records, "record"));
    if let Some(state) = lag.state {
        let is_behind = lag.seconds.is_some_and(|seconds| seconds > 0.0);
        let behind = behind
            .filter(|_| is_behind)
            .map(|behind| format!(", {behind} behind"))
            .unwrap_or_default();
        let tone = if state == v1::State::Halted { Tone::Bad } else { Tone::Held };
        return (
            tone,
            format!("The warehouse is {}{behind}: these figures stand still.", lab::word(state)),
        );
    }
    match (behind, records) {
        (None, _) => (Tone::Waiting, "How far the warehouse is behind is not known.".to_owned()),
        (Some(_), None) => (Tone::Ok, "The warehouse has everything.".to_owned()),
        (Some(behind), Some(records)) => {
            let is_late = lag.seconds.is_some_and(|seconds| seconds > 5.0);
            let tone = if is_late { Tone::Held } else { Tone::Ok };
            (tone, format!("The warehouse is {behind} behind ({records})."))
        }
    }
}
