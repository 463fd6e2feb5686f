//! One read-only SELECT on the warehouse.

use cdc_control::v1::QueryReply;
use maud::{Markup, html};

use crate::fleet::Refusal;
use crate::format;
use crate::page::{self, Params, param};

/// Rows that can be asked for.
pub(crate) const LIMITS: [u32; 3] = [100, 500, 2_000];

/// Columns shown; more are counted.
const COLUMNS_MAX: usize = 200;

/// What became of a query.
pub(crate) enum Answer {
    /// Nothing was asked.
    None,
    /// It was asked from another site: it waits for the person to say so.
    Held,
    /// Rows, and how long they took in milliseconds.
    Rows(QueryReply, f64),
    /// It was not accepted.
    Refused(Refusal),
}

/// Returns the limit that was chosen.
pub(crate) fn limit(params: &Params) -> u32 {
    param(params, "limit").parse().ok().filter(|limit| LIMITS.contains(limit)).unwrap_or(100)
}

/// Draws the page.
pub(crate) fn body(params: &Params, answer: &Answer) -> Markup {
    let chosen = limit(params);
    html! {
        h1 { "Query " span.u { "read-only, on the warehouse" } }
        form.sql method="get" action="/query" {
            label { "SQL" textarea name="sql" rows="5" spellcheck="false" required data-search data-submits { (param(params, "sql")) } }
            label.inline { "Rows at most" select name="limit" { @for limit in LIMITS { option value=(limit) selected[limit == chosen] { (format::group(limit.into())) } } } }
            button.primary { "Run" } span.u { "Ctrl Enter" }
        }
        @match answer {
            Answer::None => (page::empty("One SELECT; its rows stand here. Its address can be kept and sent.", Some("SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY 2 DESC"))),
            Answer::Held => p.notice role="status" { "This address came from elsewhere: look at the SQL, then press Run." },
            Answer::Refused(refusal) => (page::refused("The query was refused", refusal)),
            Answer::Rows(reply, ms) => (rows(reply, *ms)),
        }
    }
}

fn rows(reply: &QueryReply, ms: f64) -> Markup {
    let count = u64::try_from(reply.rows.len()).unwrap_or(u64::MAX);
    let more = reply.columns.len().saturating_sub(COLUMNS_MAX);
    html! {
        p role="status" {
            (format::plural(count, "row")) span.u { " in " (format::millis(ms).text()) @if reply.is_cut { "; there are more than the limit" } @if more > 0 { "; " (more) " more columns" } }
        }
        @if count > 0 {
            div.scroll.tall tabindex="0" role="region" aria-label="Rows" {
                table.rows.result {
                    thead { tr { @for column in reply.columns.iter().take(COLUMNS_MAX) {
                        th.r[is_number(&column.r#type)] { (format::folded_at(&column.name, 63)) br; span.u { (column.r#type) } }
                    } } }
                    tbody { @for row in &reply.rows { tr tabindex="-1" {
                        @for (cell, column) in row.cells.iter().zip(&reply.columns).take(COLUMNS_MAX) {
                            td.r[is_number(&column.r#type)] { @match &cell.text { Some(text) => (format::folded(text)), None => span.u { "NULL" } } }
                        }
                    } } }
                }
            }
        }
    }
}

fn is_number(kind: &str) -> bool {
    ["INT", "DECIMAL", "DOUBLE", "FLOAT", "REAL", "BIGINT", "HUGEINT"]
        .iter()
        .any(|name| kind.contains(name))
        && !kind.contains("INTERVAL")
        && !kind.contains('[')
}
