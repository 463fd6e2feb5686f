//! One projection.

use cdc_control::v1::{Projection, Table};
use maud::{Markup, html};

use crate::fleet::Fleet;
use crate::format::{self, known};
use crate::headline::{Tone, synced};
use crate::history::Range;
use crate::moment::Moment;
use crate::page::chart::{self, Chart};
use crate::page::overview::{bar, hold_from, text_or};
use crate::page::{self, Params, Parts, page_number, pager, param, state, tables};

const ROWS: usize = 50;

/// Draws the parts that change.
pub(crate) fn parts(moment: &Moment, name: &str, params: &Params) -> Parts {
    let mut parts = page::frame_parts(moment);
    if let Some(projection) = moment.projection(name) {
        let is_stale = moment.is_stale(name);
        parts.add("facts", html! { div.faded[is_stale] { (facts(moment, projection)) } });
        parts.add("tables", html! { div.faded[is_stale] { (rows(moment, projection, params)) } });
    }
    parts
}

/// Draws the page.
pub(crate) fn body(
    parts: &Parts,
    fleet: &Fleet,
    projection: &Projection,
    params: &Params,
) -> Markup {
    let name = projection.name.as_str();
    let path = page::projection_href(name);
    let range = Range::parse(param(params, "range"));
    let chart = |id, title, unit, names: &[(&str, &str)]| {
        let series = names.iter().map(|(of, label)| (format!("{name}/{of}"), (*label).to_owned()));
        Chart { id, title, unit, series: series.collect() }
    };
    let charts = [
        chart(
            "chart-late",
            "Commit to visible, logarithmic",
            "ms",
            &[("p50", "p50"), ("p99", "p99")],
        ),
        chart("chart-lag", "Records to go", "count", &[("lag_records", "records")]),
    ];
    let columns = |chart: &Chart<'_>| {
        let names: Vec<String> = chart.series.iter().map(|(name, _)| name.clone()).collect();
        fleet.columns(range, &names)
    };
    html! {
        p.crumbs { a href="/" { "Overview" } " / projections" }
        div.head { h1 { (name) @if projection.kind != name { " " span.u { (projection.kind) } } } }
        (parts.slot("facts"))
        section aria-labelledby="charts" {
            div.head { h2 #charts { "Over time" } (chart::ranges(&path, params, range)) }
            div.charts { @for chart in &charts { (chart.markup(range, &columns(chart))) } }
        }
        section aria-labelledby="tables-title" {
            div.head { h2 #tables-title { "Rows by table" } (tables::filter(&path, params, "Filter tables")) }
            (parts.slot("tables"))
        }
    }
}

fn facts(moment: &Moment, projection: &Projection) -> Markup {
    let name = projection.name.as_str();
    let path = page::projection_href(name);
    let latency = |p50: Option<f64>, p99: Option<f64>| html! { (known(p50.map(format::millis))) " " span.u { "· p99 " (format::known_text(p99.map(format::millis))) } };
    html! {
        @if let Some(halt) = &projection.halt {
            div.trouble.halted { div {
                p.what { (page::state_mark(Tone::Halted)) strong { "Halted: " (halt.code) } @if let Some(since) = moment.since_ms(name) { span.u { "since " (format::clock(since)) } } }
                p.reason { (format::folded_at(&halt.message, 1_000)) }
                @if !halt.remedy.is_empty() { p.remedy { (halt.remedy) } }
            } }
        } @else if !projection.reason.is_empty() {
            div.trouble.behind { div { p.what { (page::state_mark(Tone::Behind)) strong { "Waiting" } } p.reason { (format::folded_at(&projection.reason, 1_000)) } } }
        }
        div.columns {
            dl.facts {
                dt { "State" } dd { (state(Tone::of(projection.state()), projection.state().word())) @if moment.is_stale(name) { " " span.u { "as last told" } } @else { " " (hold_from(name, projection.state(), &path)) } }
                dt { "Synced" } dd { (known(synced(projection))) " " (bar(projection.records_applied, projection.records_total)) }
                dt { "Offsets passed" } dd { (format::count(projection.records_applied, "").markup()) span.u { " of " (format::group(projection.records_total)) } }
                dt { "Lag" } dd { (known(projection.lag_records.map(|n| format::count(n, "records")))) ", " (known(projection.lag_seconds.map(format::seconds))) }
                dt { "Rate" } dd { (format::rate(projection.events_per_second, "events/s").markup()) }
            }
            dl.facts {
                dt { "Commit to read" } dd { (latency(projection.read_p50_ms, projection.read_p99_ms)) }
                dt { "Commit to visible" } dd { (latency(projection.latency_p50_ms, projection.latency_p99_ms)) }
                dt { "Rows applied" } dd { (format::count(projection.rows_applied, "").markup()) }
                dt { "Dead letters" } dd { a href=(page::letters_href(name)) { (format::group(crate::moment::parked(projection))) } @if projection.parked_keys > 0 { span.u { " of " (format::plural(projection.parked_keys, "key")) } } }
                dt { "Retries" } dd { (format::count(projection.retries, "").markup()) }
                dt { "Kind" } dd { (text_or(&projection.kind)) }
            }
        }
    }
}

fn rows(moment: &Moment, projection: &Projection, params: &Params) -> Markup {
    if projection.rows.is_empty() {
        let is_alone = moment.status.projections.len() == 1;
        let counted = moment.status.tables.iter().any(|t| t.rows_in_projection.is_some());
        if is_alone && counted {
            return tables::list(
                &moment.status.tables,
                &page::projection_href(&projection.name),
                params,
            );
        }
        return page::empty("This projection does not count its rows.", None);
    }
    let wanted = param(params, "q").to_lowercase();
    let captured = |name: &str| {
        moment
            .status
            .tables
            .binary_search_by(|t| t.name.as_str().cmp(name))
            .ok()
            .and_then(|at| moment.status.tables.get(at))
    };
    let mut found: Vec<_> =
        projection.rows.iter().filter(|rows| rows.table.to_lowercase().contains(&wanted)).collect();
    found.sort_by(|a, b| a.table.cmp(&b.table));
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = page_number(params).min(pages);
    let path = page::projection_href(&projection.name);
    let changes = |table: &Table| table.creates + table.updates + table.deletes + table.reads;
    html! {
        @if found.is_empty() { p.empty { "No table’s name has that in it." } } @else {
            div.scroll tabindex="0" role="region" aria-label="Rows by table" {
                table.wide.rows {
                    thead { tr { th { "Table" } th.r { "Rows" } th.r { "Changes captured" } } }
                    tbody { @for rows in found.iter().skip((page - 1) * ROWS).take(ROWS) {
                        tr tabindex="-1" {
                            th scope="row" { (format::folded_at(&rows.table, 127)) }
                            td.r { (format::count(rows.rows, "").markup()) }
                            td.r { (known(captured(&rows.table).map(|t| format::count(changes(t), "")))) }
                        }
                    } }
                }
            }
            (pager(page, pages, |page| page::address(&path, &[("q", param(params, "q")), ("page", &page.to_string())])))
        }
    }
}
