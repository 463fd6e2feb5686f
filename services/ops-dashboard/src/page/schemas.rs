//! Schemas: subjects, their versions and what changed, and the one that was refused.

use cdc_control::v1::{RefusedSchema, SchemaVersion, Subject};
use maud::{Markup, html};

use crate::format;
use crate::headline::Tone;
use crate::page::letters::subject_href;
use crate::page::{self, Params, address, confirmed, page_number, pager, param, tables};

const ROWS: usize = 50;

/// Characters of a schema shown.
const SCHEMA_MAX: usize = 20_000;

/// Draws the subjects that match, one page of them; refused ones first.
pub(crate) fn list(subjects: &[Subject], params: &Params) -> Markup {
    let wanted = param(params, "q");
    let lower = wanted.to_lowercase();
    let mut found: Vec<&Subject> =
        subjects.iter().filter(|subject| subject.name.to_lowercase().contains(&lower)).collect();
    found.sort_by_key(|subject| (subject.refused.is_none(), subject.name.as_str()));
    let pages = found.len().div_ceil(ROWS).max(1);
    let page = page_number(params).min(pages);
    let to = |page: usize| address("/schemas", &[("q", wanted), ("page", &page.to_string())]);
    html! {
        div.head {
            h1 { "Schemas " span.u { (format::plural(u64::try_from(subjects.len()).unwrap_or(u64::MAX), "subject")) } }
            (tables::filter("/schemas", params, "Filter subjects"))
        }
        @if found.is_empty() {
            (page::empty(if subjects.is_empty() { "Every topic’s key and value have a subject here once a record of them was written." } else { "No subject’s name has that in it." }, None))
        } @else {
            div.scroll tabindex="0" role="region" aria-label="Subjects" {
                table.wide.rows {
                    thead { tr { th { "Subject" } th { "Compatibility" } th.r { "Versions" } th.r { "Newest id" } th { "Last change" } th { "State" } } }
                    tbody { @for subject in found.iter().skip((page - 1) * ROWS).take(ROWS) { (row(subject)) } }
                }
            }
            (pager(page, pages, to))
        }
    }
}

fn row(subject: &Subject) -> Markup {
    let newest = subject.versions.last();
    html! {
        tr tabindex="-1" {
            th scope="row" { a href=(subject_href(&subject.name)) { (format::folded_at(&subject.name, 127)) } }
            td { (subject.compatibility) }
            td.r { (format::group(u64::try_from(subject.versions.len()).unwrap_or(u64::MAX))) }
            td.r { (newest.map_or_else(|| format::UNKNOWN.to_owned(), |version| version.id.to_string())) }
            td.value { (newest.and_then(|version| version.changes.first()).map_or_else(|| html! { span.u { "none" } }, |change| format::folded_at(change, 80))) }
            td { @if subject.refused.is_some() { (page::state(Tone::Halted, "a schema was refused")) } @else { (page::state(Tone::Ok, "in effect")) } }
        }
    }
}

/// Draws one subject, its newest version first.
pub(crate) fn whole(subject: &Subject) -> Markup {
    html! {
        p.crumbs { a href="/schemas" { "Schemas" } }
        h1 { (subject.name) " " span.u { (subject.compatibility) } }
        @if let Some(refused) = &subject.refused { (refusal(subject, refused)) }
        @if subject.versions.is_empty() { (page::empty("No version is registered under this subject.", None)) }
        @for (index, version) in subject.versions.iter().rev().enumerate() { (one(version, index == 0)) }
    }
}

fn refusal(subject: &Subject, refused: &RefusedSchema) -> Markup {
    html! {
        div.trouble.halted {
            div {
                p.what { (page::state_mark(Tone::Halted)) strong { "A schema was refused, and capture of this topic waits" } }
                (changes(&refused.changes))
                p.remedy { "Accept it if those who read the topic can live with the change; or take the change back at the source." }
                (json(&refused.schema_json, "The refused schema"))
                (confirmed("/schemas/accept", "Accept this schema", &subject.name, &[("subject", &subject.name), ("back", &subject_href(&subject.name))]))
            }
        }
    }
}

fn one(version: &SchemaVersion, is_newest: bool) -> Markup {
    html! {
        section.version {
            h2 { "Version " (version.version) " " span.u { "id " (version.id) @if is_newest { ", in effect" } } }
            @if version.changes.is_empty() { p.u { @if version.version == 1 { "The first version." } @else { "Nothing is told about what changed." } } }
            @else { (changes(&version.changes)) }
            (json(&version.schema_json, "Schema"))
        }
    }
}

/// One line each, marked by what it begins with.
fn changes(lines: &[String]) -> Markup {
    let class = |line: &str| match line.trim_start().chars().next() {
        Some('+') => "line added",
        Some('-' | '−') => "line removed",
        _ => "line",
    };
    html! { ul.changes { @for line in lines.iter().take(500) { li class=(class(line)) { (format::folded(line)) } } } }
}

fn json(text: &str, label: &str) -> Markup {
    let pretty = serde_json::from_str::<serde_json::Value>(text)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .unwrap_or_else(|_| text.to_owned());
    html! { details { summary { (label) } pre tabindex="0" { code { (format::folded_at(&pretty, SCHEMA_MAX)) } } } }
}
