//! Dead letters: what could not be applied, and what becomes of it.

use cdc_control::v1::DeadLetter;
use maud::{Markup, html};

use crate::format;
use crate::headline::Tone;
use crate::moment::Moment;
use crate::page::{self, Params, address, command, confirmed, encoded, param};

/// Letters of a page: each may hold a value of a megabyte, twice.
pub(crate) const PAGE: usize = 20;

/// What is listed.
pub(crate) struct Listing {
    pub(crate) letters: Vec<DeadLetter>,
    /// Parked records in all.
    pub(crate) total: u64,
    pub(crate) page: usize,
    /// Whether the list was cut short because its values are large.
    pub(crate) is_cut: bool,
}

/// Names a letter in an address.
pub(crate) fn id(letter: &DeadLetter) -> String {
    format!("{}:{}:{}", letter.topic, letter.partition, letter.offset)
}

/// Draws the list.
pub(crate) fn list(moment: &Moment, listing: &Listing, params: &Params) -> Markup {
    let chosen = param(params, "projection");
    let total = usize::try_from(listing.total).unwrap_or(usize::MAX);
    let pages = total.div_ceil(PAGE).max(1);
    let to = |page: usize| {
        let page = page.to_string();
        address("/dead-letters", &[("projection", chosen), ("page", &page)])
    };
    html! {
        div.head {
            h1 { "Dead letters " span.u { (format::plural(listing.total, "record")) " parked" } }
            nav.switch aria-label="Projection" {
                a href="/dead-letters" aria-current=[chosen.is_empty().then_some("true")] { "All" }
                @for projection in &moment.status.projections {
                    a href=(page::letters_href(&projection.name)) aria-current=[(chosen == projection.name).then_some("true")] {
                        (format::folded_at(&projection.name, 40)) " " span.n { (format::group(crate::moment::parked(projection))) }
                    }
                }
            }
        }
        @if listing.is_cut { p.notice { "The values are large: only the first " (listing.letters.len()) " of this page are shown." } }
        @if listing.letters.is_empty() {
            (page::empty("Nothing is parked. A record that a projection cannot apply is put aside here with its key’s later records; all other keys go on.", None))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Dead letters" {
                table.wide.rows.stacked {
                    thead { tr { th { "Projection" } th { "Record" } th { "Key" } th { "Why" } th { "Appended" } } }
                    tbody { @for letter in &listing.letters { (row(letter, moment.at_ms)) } }
                }
            }
            (page::pager(listing.page.min(pages), pages, to))
            @if !chosen.is_empty() { (all_of(chosen, listing.total)) }
            @else { p.u { "Choose a projection to replay or discard all of its records." } }
        }
    }
}

fn row(letter: &DeadLetter, now_ms: i64) -> Markup {
    let href =
        address("/dead-letters", &[("projection", &letter.projection), ("show", &id(letter))]);
    html! {
        tr tabindex="-1" {
            td { (format::folded_at(&letter.projection, 40)) }
            th scope="row" { a href=(href) { (format::folded_at(&letter.topic, 80)) } " " span.u.n { (letter.partition) ", " (letter.offset) } }
            td.value { (format::folded_at(&letter.key, 60)) }
            td.value { @if letter.is_follower { span.u { "follows one of its key: " } } (format::folded(&letter.reason)) }
            td { (format::ago(letter.timestamp_ms, now_ms)) }
        }
    }
}

fn all_of(projection: &str, total: u64) -> Markup {
    let expected = total.to_string();
    let records = format::plural(total, "record");
    let back = page::letters_href(projection);
    html! {
        section aria-labelledby="all" {
            h2 #all { "All " (records) " of " (projection) }
            div.columns {
                div {
                    p { "Replaying applies them in order, key by key. What was applied before is not applied again." }
                    (command("/dead-letters/replay", &format!("Replay {records}"), &[("projection", projection), ("expected", &expected), ("back", &back)]))
                }
                div {
                    p { "Discarding gives them up: their rows stay as they are in " (projection) ". It cannot be taken back." }
                    (confirmed("/dead-letters/discard", &format!("Discard {records}"), projection,
                        &[("projection", projection), ("expected", &expected), ("back", &back)]))
                }
            }
        }
    }
}

/// Lines of hexadecimal shown of a key and of a value.
const HEX_LINES: usize = 64;

/// Draws one letter with its original bytes; `of_key` counts the parked records of its key.
pub(crate) fn whole(letter: &DeadLetter, of_key: u64, now_ms: i64) -> Markup {
    let id = id(letter);
    let back = page::letters_href(&letter.projection);
    let change = letter.value_json.as_deref().and_then(crate::change::read);
    let fields = [
        ("projection", letter.projection.as_str()),
        ("letter", id.as_str()),
        ("back", back.as_str()),
    ];
    let records = format::plural(of_key.max(1), "record");
    html! {
        p.crumbs { a href="/dead-letters" { "Dead letters" } " / " a href=(back) { (letter.projection) } }
        h1 { (letter.topic) " " span.u.n { "partition " (letter.partition) ", offset " (letter.offset) } }
        div.trouble.behind { div {
            p.what { (page::state_mark(Tone::Behind)) strong { @if letter.is_follower { "Follows a record of its key that cannot be applied" } @else { "Cannot be applied" } } }
            p.reason { (format::folded_at(&letter.reason, 2_000)) }
        } }
        dl.facts {
            dt { "Projection" } dd { a href=(page::projection_href(&letter.projection)) { (letter.projection) } }
            dt { "Key" } dd { code { (format::folded(&letter.key)) } }
            dt { "Appended" } dd { (format::clock(letter.timestamp_ms)) " " span.u { (format::ago(letter.timestamp_ms, now_ms)) } }
            dt { "Schema id" } dd { (letter.schema_id.map_or_else(|| format::UNKNOWN.to_owned(), |id| id.to_string())) }
        }
        @if let Some(change) = &change { section { h2 { "Change" } (page::events::diff(change)) } }
        @if let Some(json) = &letter.value_json { (page::events::envelope(json)) }
        @else { p.u { "The value cannot be decoded; its bytes are below." } }
        section {
            h2 { "Original bytes" }
            (bytes("Key", letter.raw_key.as_deref()))
            (bytes("Value", letter.raw_value.as_deref()))
        }
        section {
            h2 { "Headers " span.u { (letter.headers.len()) } }
            @if !letter.headers.is_empty() {
                div.scroll tabindex="0" role="region" aria-label="Headers" { table {
                    thead { tr { th { "Name" } th { "Value" } } }
                    tbody { @for header in letter.headers.iter().take(200) {
                        tr { th scope="row" { (format::folded_at(&header.name, 127)) } td.value { (legible(&header.value)) } }
                    } }
                } }
            }
        }
        section aria-labelledby="settle" {
            h2 #settle { "Settle" }
            p { "It goes together with every parked record of its key, in order: " (records) " now." }
            div.columns {
                (command("/dead-letters/replay", &format!("Replay {records}"), &fields))
                (confirmed("/dead-letters/discard", &format!("Discard {records}"), &letter.projection, &fields))
            }
        }
    }
}

fn bytes(name: &str, bytes: Option<&[u8]>) -> Markup {
    html! {
        @match bytes {
            None => p { (name) ": none" },
            Some(bytes) => {
                details open[bytes.len() <= 256] {
                    summary { (name) " " span.u { (format::bytes(u64::try_from(bytes.len()).unwrap_or(u64::MAX)).text()) } }
                    pre.hex tabindex="0" { (format::hex(bytes, HEX_LINES)) }
                }
            }
        }
    }
}

/// Text if it is text, else hexadecimal and size.
fn legible(bytes: &[u8]) -> Markup {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => format::folded(text),
        _ => {
            let hex: String = bytes.iter().take(100).map(|byte| format!("{byte:02x}")).collect();
            html! { code { (hex) @if bytes.len() > 100 { "…" } } " " span.u { (bytes.len()) " bytes" } }
        }
    }
}

/// Returns the page of a schema subject for a topic.
pub(crate) fn subject_href(subject: &str) -> String {
    format!("/schemas/{}", encoded(subject))
}
