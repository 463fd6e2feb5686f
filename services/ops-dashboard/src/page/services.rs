//! The processes that are asked.

use cdc_control::v1::{Service, State};
use maud::{Markup, html};

use crate::format::{self, known};
use crate::headline::Tone;
use crate::moment::Moment;
use crate::page::overview::text_or;
use crate::page::{self, Parts, address, confirmed, state};

/// Draws the parts that change.
pub(crate) fn parts(moment: &Moment) -> Parts {
    let mut parts = page::frame_parts(moment);
    parts.add("services", table(moment));
    parts
}

/// Draws the page; `stopping` is the address of a process that somebody wants to stop.
pub(crate) fn body(parts: &Parts, moment: &Moment, stopping: &str) -> Markup {
    let wanted = moment.seats.iter().find(|seat| seat.endpoint == stopping);
    html! {
        h1 { "Services" }
        @if let Some(seat) = wanted { (stop(&seat.endpoint)) }
        (parts.slot("services"))
    }
}

fn stop(endpoint: &str) -> Markup {
    html! {
        div.trouble.behind { div {
            p.what { (page::state_mark(Tone::Behind)) strong { "Stop " (endpoint) "?" } }
            p { "It drains what is under way and ends. Whoever supervises it may start it again; until then the source keeps its log, and projections stay as they are." }
            (confirmed("/command/stop", "Stop it", endpoint, &[("endpoint", endpoint), ("back", "/services")]))
            p { a href="/services" { "Leave it running" } }
        } }
    }
}

fn table(moment: &Moment) -> Markup {
    html! {
        @if moment.seats.is_empty() {
            (page::empty("Each process that is asked has a row here.", Some("ops-dashboard --control HOST:PORT")))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Services" {
                table.wide.rows {
                    thead { tr { th { "Service" } th { "State" } th { "Instance" } th { "Address" } th { "Version" } th.r { "Up" } th { "Last answer" } th { span.unseen { "Press" } } } }
                    tbody { @for service in &moment.status.services { (row(service, moment)) } }
                }
            }
            @for service in moment.status.services.iter().filter(|service| is_hampered(service)) {
                div.notice.refused {
                    p { (page::state_mark(Tone::Behind)) " " strong { (service.name) } ": " (format::folded_at(&service.reason, 500)) }
                    @if !service.remedy.is_empty() { p.remedy { (service.remedy) } }
                }
            }
            @for seat in moment.absent() {
                @if let Some((reason, remedy)) = &seat.trouble {
                    div.notice.refused {
                        p { (page::state_mark(Tone::Halted)) " " strong { (seat.label()) } @if seat.label() != seat.endpoint { " at " code { (seat.endpoint) } } " does not answer: " (format::folded_at(reason, 500)) }
                        @if !remedy.is_empty() { p.remedy { (remedy) } }
                    }
                }
            }
        }
    }
}

fn is_hampered(service: &Service) -> bool {
    service.is_reachable && !service.reason.is_empty()
}

fn row(service: &Service, moment: &Moment) -> Markup {
    let (tone, word) = match (service.is_reachable, service.is_standby, service.state()) {
        (false, _, _) => (Tone::Halted, "does not answer"),
        (true, true, _) => (Tone::Busy, "standby"),
        (true, false, State::Halted) => (Tone::Halted, "halted"),
        (true, false, State::Waiting) => (Tone::Behind, "degraded"),
        (true, false, _) => (Tone::Ok, "answers"),
    };
    let is_asked = moment.seats.iter().any(|seat| seat.endpoint == service.address);
    let uptime = (service.uptime_ms > 0 && service.is_reachable)
        .then(|| format::millis(format::real(service.uptime_ms)));
    html! {
        tr.faded[!service.is_reachable] tabindex="-1" {
            th scope="row" { (text_or(&service.name)) }
            td { (state(tone, word)) }
            td.n { (format::folded_at(text_or(&service.instance), 63)) }
            td.n { code { (format::folded_at(text_or(&service.address), 80)) } }
            td { (text_or(&service.version)) }
            td.r { (known(uptime)) }
            td { @if service.seen_ms > 0 { (format::ago(service.seen_ms, moment.at_ms)) } @else { "never" } }
            td { @if is_asked && service.is_reachable { a.button href=(address("/services", &[("stop", &service.address)])) { "Stop…" } } }
        }
    }
}
