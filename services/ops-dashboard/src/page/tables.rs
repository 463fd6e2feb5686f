//! Lists of tables: filtered, sorted and cut into pages here, since there may be ten thousand.

use cdc_control::v1::Table;
use maud::{Markup, html};

use crate::format::{self, known};
use crate::page::{Params, address, page_number, pager, param};

const ROWS: usize = 50;

/// The columns one can sort by: the word in the address, the heading, and the number.
type Column = (&'static str, &'static str, fn(&Table) -> Option<u64>);

const COLUMNS: [Column; 6] = [
    ("creates", "Created", |table| Some(table.creates)),
    ("updates", "Updated", |table| Some(table.updates)),
    ("deletes", "Deleted", |table| Some(table.deletes)),
    ("reads", "Snapshot rows", |table| Some(table.reads)),
    ("truncates", "Truncated", |table| Some(table.truncates)),
    ("rows", "Rows in projection", |table| table.rows_in_projection),
];

/// Draws the tables that match, sorted, one page of them.
pub(crate) fn list(tables: &[Table], path: &str, params: &Params) -> Markup {
    let (wanted, sort) = (param(params, "q"), param(params, "sort"));
    let lower = wanted.to_lowercase();
    let mut found: Vec<&Table> =
        tables.iter().filter(|table| table.name.to_lowercase().contains(&lower)).collect();
    if let Some((_, _, number)) = COLUMNS.iter().find(|(word, _, _)| *word == sort) {
        found.sort_by_key(|table| (std::cmp::Reverse(number(table)), table.name.as_str()));
    }
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = page_number(params).min(pages);
    let shown = found.iter().skip((page - 1) * ROWS).take(ROWS);
    let to = |sort: &str, page: usize| {
        let page = if page > 1 { page.to_string() } else { String::new() };
        address(path, &[("q", wanted), ("sort", sort), ("page", &page)])
    };
    html! {
        p.u { (format::plural(u64::try_from(found.len()).unwrap_or(u64::MAX), "table")) @if !wanted.is_empty() { " of " (format::group(u64::try_from(tables.len()).unwrap_or(u64::MAX))) } }
        @if found.is_empty() {
            p.empty { "No table’s name has “" (format::folded(wanted)) "” in it." }
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Tables" {
                table.wide.rows {
                    thead { tr {
                        th aria-sort=[sort.is_empty().then_some("ascending")] { a href=(to("", 1)) { "Table" } }
                        @for (word, heading, _) in COLUMNS {
                            th.r aria-sort=[(sort == word).then_some("descending")] { a href=(to(word, 1)) { (heading) } }
                        }
                    } }
                    tbody { @for table in shown { (row(table)) } }
                }
            }
            (pager(page, pages, |page| to(sort, page)))
        }
    }
}

fn row(table: &Table) -> Markup {
    html! {
        tr tabindex="-1" {
            th scope="row" { (format::folded_at(&table.name, 127)) }
            @for (_, _, number) in COLUMNS { td.r { (known(number(table).map(|n| format::count(n, "")))) } }
        }
    }
}

/// The box that filters.
pub(crate) fn filter(path: &str, params: &Params, label: &str) -> Markup {
    html! {
        form.filter method="get" action=(path) role="search" {
            label { (label) input name="q" type="search" value=(param(params, "q")) data-search; }
            @let sort = param(params, "sort");
            @if !sort.is_empty() { input type="hidden" name="sort" value=(sort); }
            button { "Filter" }
        }
    }
}
