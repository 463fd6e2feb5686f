//! What was commanded from this page.

use maud::{Markup, html};

use crate::activity::Entry;
use crate::format;
use crate::headline::Tone;
use crate::page::{self, Params, address, page_number, pager};

const ROWS: usize = 50;

/// Draws the page.
pub(crate) fn body(entries: &[Entry], params: &Params, is_kept: bool) -> Markup {
    let pages = entries.len().div_ceil(ROWS).max(1);
    let page = page_number(params).min(pages);
    html! {
        h1 { "Activity" }
        @if !is_kept { p.u { "Kept in memory until this process ends; give " code.n { "--activity-dir" } " a directory to keep it." } }
        @if entries.is_empty() {
            (page::empty("Every command given from this page stands here: who gave it, what it touched, and what came of it.", None))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Commands" {
                table.wide.rows {
                    thead { tr { th { "When" } th { "From" } th { "Command" } th { "Target" } th.r { "Records" } th { "Outcome" } } }
                    tbody { @for entry in entries.iter().skip((page - 1) * ROWS).take(ROWS) { (row(entry)) } }
                }
            }
            (pager(page, pages, |page| address("/activity", &[("page", &page.to_string())])))
        }
    }
}

fn row(entry: &Entry) -> Markup {
    let tone = match (&entry.outcome, entry.is_refused) {
        (None, _) => Tone::Unknown,
        (_, true) => Tone::Halted,
        (_, false) => Tone::Ok,
    };
    let outcome = entry.outcome.as_deref().unwrap_or("not known");
    html! {
        tr tabindex="-1" {
            td { (format::absolute(entry.at_ms)) }
            td { (entry.who) }
            td { (entry.action) }
            th scope="row" { (format::folded_at(&entry.target, 127)) }
            td.r { (format::known(entry.records.map(|records| format::count(records, "")))) }
            td.value { (page::state_mark(tone)) " " (format::folded(outcome)) }
        }
    }
}
