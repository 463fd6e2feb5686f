//! Full text, in the search projection.

use cdc_control::v1::{SearchHit, SearchReply, TextRange};
use maud::{Markup, html};

use crate::fleet::Refusal;
use crate::format;
use crate::page::{self, Params, param};

/// Hits asked for.
pub(crate) const HITS: u32 = 50;

/// Draws the page.
pub(crate) fn body(params: &Params, answer: Option<&Result<SearchReply, Refusal>>) -> Markup {
    html! {
        h1 { "Search" }
        form.filter.large method="get" action="/search" role="search" {
            label { "Words" input name="q" type="search" value=(param(params, "q")) required data-search; }
            button.primary { "Search" }
        }
        @match answer {
            None => (page::empty("Rows of every captured table, found by their words within milliseconds of their commit.", None)),
            Some(Err(refusal)) => (page::refused("The search was refused", refusal)),
            Some(Ok(reply)) if reply.hits.is_empty() => p.empty role="status" { "No row has these words." },
            Some(Ok(reply)) => {
                p.u role="status" { (format::plural(u64::try_from(reply.hits.len()).unwrap_or(u64::MAX), "row")) @if reply.hits.len() >= usize::try_from(HITS).unwrap_or(usize::MAX) { ", the best" } }
                ol.hits { @for hit in &reply.hits { li { (one(hit)) } } }
            }
        }
    }
}

fn one(hit: &SearchHit) -> Markup {
    html! {
        p { strong { (format::folded_at(&hit.table, 127)) } " " code { (format::folded_at(&hit.key, 80)) } " " span.u { "score " (format!("{:.2}", hit.score)) } }
        p.snippet { (marked(&hit.snippet, &hit.matches)) }
        @if !hit.row_json.is_empty() { (page::events::envelope(&hit.row_json)) }
    }
}

/// Marks what matched; ranges are in characters, and those that do not fit are left out.
fn marked(text: &str, ranges: &[TextRange]) -> Markup {
    let characters: Vec<char> = text.chars().take(2_000).collect();
    let mut pieces: Vec<(bool, String)> = Vec::new();
    let mut at = 0;
    let mut ranges: Vec<_> = ranges
        .iter()
        .filter_map(|range| {
            Some((usize::try_from(range.start).ok()?, usize::try_from(range.end).ok()?))
        })
        .collect();
    ranges.sort_unstable();
    for (start, end) in ranges {
        if start < at || end <= start || end > characters.len() {
            continue;
        }
        let piece =
            |from: usize, to: usize| characters.get(from..to).unwrap_or_default().iter().collect();
        pieces.push((false, piece(at, start)));
        pieces.push((true, piece(start, end)));
        at = end;
    }
    pieces.push((false, characters.get(at..).unwrap_or_default().iter().collect()));
    html! { @for (is_match, piece) in &pieces { @if *is_match { mark { (piece) } } @else { (piece) } } }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matches_are_marked_and_markup_stays_text() {
        let ranges = [TextRange { start: 2, end: 4 }, TextRange { start: 90, end: 95 }];
        let text = marked("<é漢b>", &ranges).into_string();
        assert_eq!(text, "&lt;é<mark>漢b</mark>&gt;");
    }
}
