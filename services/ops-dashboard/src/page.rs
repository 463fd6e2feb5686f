//! Pages as markup. What a pipeline tells goes through the template's escaping, never around it.
//!
//! A page is a frame around parts. A part is named by the `id` of its element; the page's stream
//! sends the parts that have changed, and the script puts them in place.

use std::collections::BTreeMap;

use maud::{DOCTYPE, Markup, html};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::activity::Entry;
use crate::fleet::Refusal;
use crate::format;
use crate::headline::{Headline, Tone};
use crate::moment::Moment;
use crate::{asset, format::clock};

pub(crate) mod activity;
pub(crate) mod chart;
pub(crate) mod events;
pub(crate) mod fragment;
pub(crate) mod ladder;
pub(crate) mod letters;
pub(crate) mod overview;
pub(crate) mod projection;
pub(crate) mod query;
pub(crate) mod schemas;
pub(crate) mod search;
pub(crate) mod services;
pub(crate) mod source;
pub(crate) mod tables;

/// What a page's address says after `?`.
pub(crate) type Params = BTreeMap<String, String>;

/// The pages of the navigation: address, name, and the key after `g`.
const PLACES: [(&str, &str, &str); 9] = [
    ("/", "Overview", "o"),
    ("/events", "Events", "e"),
    ("/dead-letters", "Dead letters", "d"),
    ("/schemas", "Schemas", "s"),
    ("/source", "Source", "r"),
    ("/services", "Services", "v"),
    ("/query", "Query", "q"),
    ("/search", "Search", "f"),
    ("/activity", "Activity", "a"),
];

/// What a person chose, kept in cookies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Preferences {
    /// `dark`, `light`, or none for the system's.
    pub(crate) theme: Option<String>,
    /// Whether times are told in UTC and not in the browser's zone.
    pub(crate) is_utc: bool,
}

/// What stands around every page.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) moment: &'a Moment,
    /// The page's own address with its query.
    pub(crate) here: &'a str,
    pub(crate) preferences: &'a Preferences,
    /// A command that was just given.
    pub(crate) done: Option<Entry>,
    pub(crate) is_guarded: bool,
}

/// A part's name and content.
pub(crate) type Part = (&'static str, Markup);

/// The parts of a page, in the frame or on their own.
#[derive(Default)]
pub(crate) struct Parts(pub(crate) Vec<Part>);

impl Parts {
    /// Adds a part.
    pub(crate) fn add(&mut self, id: &'static str, content: Markup) {
        self.0.push((id, content));
    }

    /// Puts a part into a page.
    pub(crate) fn slot(&self, id: &'static str) -> Markup {
        let content = self.0.iter().find(|(known, _)| *known == id).map(|(_, content)| content);
        html! { div id=(id) { @if let Some(content) = content { (content) } } }
    }
}

/// Puts `body` into the frame.
pub(crate) fn page(frame: &Frame<'_>, title: &str, body: &Markup) -> Markup {
    let theme = frame.preferences.theme.as_deref();
    let zone = if frame.preferences.is_utc { "utc" } else { "local" };
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[theme] data-zone=(zone) {
            (head(title))
            body data-interval="1000" {
                a.skip href="#main" { "Skip to content" }
                header.bar {
                    a.brand href="/" { (mark()) span { "Penstock" } }
                    span.pipeline title=(format!("The pipeline {}", frame.moment.status.pipeline)) { (frame.moment.name()) }
                    div #fresh.fresh { (freshness(frame.moment)) }
                    (choices(frame))
                }
                (navigation(frame.here))
                div #live hx-ext="sse" sse-connect=(live(frame.here)) sse-swap="parts" hx-swap="none" {}
                main #main tabindex="-1" {
                    @if let Some(entry) = &frame.done { (outcome(entry)) }
                    (body)
                }
                p #announcement .unseen aria-live="polite" {}
                (keys())
            }
        }
    }
}

/// A page without the frame's numbers: the login, and refusals before anything is known.
pub(crate) fn bare(title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            (head(title))
            body.bare { main #main { div.brand { (mark()) span { "Penstock" } } (body) } }
        }
    }
}

fn head(title: &str) -> Markup {
    let config = r#"{"includeIndicatorStyles":false,"allowEval":false,"allowScriptTags":false,
        "selfRequestsOnly":true,"historyCacheSize":0,"scrollIntoViewOnBoost":false,
        "responseHandling":[{"code":"204","swap":false},{"code":"[2345]..","swap":true}]}"#;
    html! {
        head {
            meta charset="utf-8";
            meta name="viewport" content="width=device-width, initial-scale=1";
            meta name="color-scheme" content="light dark";
            meta name="htmx-config" content=(config);
            title { (title) " – Penstock" }
            link rel="icon" href=(asset::href("icon.svg"));
            link rel="stylesheet" href=(asset::href("uplot.css"));
            link rel="stylesheet" href=(asset::href("page.css"));
            script defer src=(asset::href("htmx.js")) {}
            script defer src=(asset::href("htmx-sse.js")) {}
            script defer src=(asset::href("uplot.js")) {}
            script defer src=(asset::href("page.js")) {}
        }
    }
}

fn mark() -> Markup {
    html! {
        svg.logo width="20" height="20" viewBox="0 0 32 32" aria-hidden="true" {
            path d="M3 16h11m0-8v16m0-16h15M14 24h15" fill="none" stroke="currentColor"
                stroke-width="4" stroke-linecap="round" stroke-linejoin="round" {}
        }
    }
}

/// The stream of a page is at the page's own address, under `/live`.
fn live(here: &str) -> String {
    format!("/live{}", if here == "/" { "/overview" } else { here })
        .replace("/live/?", "/live/overview?")
}

fn navigation(here: &str) -> Markup {
    let path = here.split('?').next().unwrap_or(here);
    let is_here = |href: &str| {
        if href == "/" {
            return path == "/" || path.starts_with("/projections");
        }
        path == href || path.strip_prefix(href).is_some_and(|rest| rest.starts_with('/'))
    };
    html! {
        nav.places aria-label="Pages" {
            ul {
                @for (href, name, key) in PLACES {
                    li {
                        a href=(href) data-key=(key) aria-current=[is_here(href).then_some("page")] {
                            (name) kbd aria-hidden="true" { "g " (key) }
                        }
                    }
                }
            }
        }
    }
}

fn choices(frame: &Frame<'_>) -> Markup {
    let themes = [("system", "System"), ("light", "Light"), ("dark", "Dark")];
    let chosen = frame.preferences.theme.as_deref().unwrap_or("system");
    html! {
        form.choices method="post" action="/preferences" {
            input type="hidden" name="back" value=(frame.here);
            fieldset {
                legend.unseen { "Theme" }
                @for (value, label) in themes {
                    button name="theme" value=(value) aria-pressed=(chosen == value) { (label) }
                }
            }
            @let (value, label) = if frame.preferences.is_utc { ("local", "UTC") } else { ("utc", "Local time") };
            button.zone name="zone" value=(value) title="Switch between UTC and the browser's time zone" { (label) }
        }
        button #help-button type="button" title="Keyboard" aria-label="Keyboard shortcuts" { "?" }
        @if frame.is_guarded {
            form method="post" action="/logout" { button { "Sign out" } }
        }
    }
}

fn keys() -> Markup {
    html! {
        dialog #help aria-labelledby="help-title" {
            h2 #help-title { "Keyboard" }
            dl.keys {
                dt { kbd { "/" } } dd { "search or filter" }
                @for (_, name, key) in PLACES { dt { kbd { "g" } " " kbd { (key) } } dd { (name) } }
                dt { kbd { "↑" } " " kbd { "↓" } } dd { "rows of a table" }
                dt { kbd { "p" } } dd { "pause what moves" }
                dt { kbd { "?" } } dd { "this" }
            }
            form method="dialog" { button { "Close" } }
        }
    }
}

/// Tells how fresh the numbers are.
pub(crate) fn freshness(moment: &Moment) -> Markup {
    let absent = moment.absent().count();
    let asked = moment.seats.len();
    let (tone, text) = match (absent, asked) {
        (_, 0) => (Tone::Unknown, html! { "no process is asked" }),
        (0, 1) => (Tone::Ok, html! { "live" }),
        (0, _) => (Tone::Ok, html! { "live, " (asked) " processes" }),
        (_, _) if moment.is_silent() => (
            Tone::Halted,
            html! {
                @match moment.newest_ms() {
                    Some(at) => { "no answer since " (clock(at)) }
                    None if moment.is_complete => "no answer",
                    None => "connecting",
                }
            },
        ),
        _ => (Tone::Behind, html! { (absent) " of " (asked) " do not answer" }),
    };
    let tone = if moment.is_complete || tone == Tone::Unknown { tone } else { Tone::Busy };
    html! { (state_mark(tone)) span #fresh-text { (text) } span #fresh-at hidden data-at=(moment.at_ms) {} }
}

/// The parts that every page has.
pub(crate) fn frame_parts(moment: &Moment) -> Parts {
    let mut parts = Parts::default();
    parts.add("fresh", freshness(moment));
    parts
}

/// The text that a screen reader is told when it changes.
pub(crate) fn announcement(headline: &Headline) -> Markup {
    html! { span #announced hidden { (headline.announcement()) } }
}

/// A state's shape; its word stands beside it.
pub(crate) fn state_mark(tone: Tone) -> Markup {
    let class = match tone {
        Tone::Ok => "ok",
        Tone::Busy => "busy",
        Tone::Unknown => "unknown",
        Tone::Paused => "paused",
        Tone::Behind => "behind",
        Tone::Halted => "halted",
    };
    html! {
        svg.mark.(class) width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" {
            @match tone {
                Tone::Ok => circle cx="6" cy="6" r="5" {},
                Tone::Busy => { circle.hollow cx="6" cy="6" r="4.5" {} path d="M6 1.5a4.5 4.5 0 0 1 0 9z" {} }
                Tone::Unknown => circle.hollow cx="6" cy="6" r="4.5" {},
                Tone::Paused => path d="M2 1h3v10H2zM7 1h3v10H7z" {},
                Tone::Behind => path d="M6 0.8 11.6 11H0.4z" {},
                Tone::Halted => path d="M1 1h10v10H1z" {},
            }
        }
    }
}

/// A state's shape and word.
pub(crate) fn state(tone: Tone, word: &str) -> Markup {
    html! { span.state { (state_mark(tone)) span { (word) } } }
}

fn outcome(entry: &Entry) -> Markup {
    let tone = if entry.is_refused { Tone::Halted } else { Tone::Ok };
    let text = entry.outcome.as_deref().unwrap_or("under way");
    html! {
        div.notice.refused[entry.is_refused] role="status" {
            p { (state_mark(tone)) " " strong { (entry.action) " " (format::folded(&entry.target)) } ": " (text) }
            p.u { (clock(entry.at_ms)) ", written to the " a href="/activity" { "activity log" } }
        }
    }
}

/// Why something is not shown or was not done, and what to do about it.
pub(crate) fn refused(what: &str, refusal: &Refusal) -> Markup {
    html! {
        div.notice.refused role="alert" {
            p { (state_mark(Tone::Halted)) " " strong { (what) } }
            p { (format::folded_at(&refusal.reason, 1_000)) }
            @if !refusal.remedy.is_empty() { p.remedy { (refusal.remedy) } }
        }
    }
}

/// A page of one thing only.
pub(crate) fn titled(title: &str, body: &Markup) -> Markup {
    html! { h1 { (title) } (body) }
}

/// What would be here, and the command that brings it.
pub(crate) fn empty(what: &str, command: Option<&str>) -> Markup {
    html! { div.empty { p { (what) } @if let Some(command) = command { pre tabindex="0" { code { (command) } } } } }
}

/// Earlier and later pages of a list; `href` makes the address of a page, from 1.
pub(crate) fn pager(page: usize, pages: usize, href: impl Fn(usize) -> String) -> Markup {
    html! {
        @if pages > 1 {
            nav.pager aria-label="Pages of the list" {
                @if page > 1 { a rel="prev" href=(href(page - 1)) { "← Earlier" } } @else { span {} }
                span { "Page " span.n { (page) } " of " span.n { (pages) } }
                @if page < pages { a rel="next" href=(href(page + 1)) { "Later →" } } @else { span {} }
            }
        }
    }
}

/// A form of one button that gives a command.
pub(crate) fn command(action: &str, label: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        form.command method="post" action=(action) hx-boost="true" hx-target="#main" hx-select="#main"
            hx-swap="outerHTML" hx-push-url="false" hx-disabled-elt="find button" {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button { (label) }
        }
    }
}

/// A form that asks to type a name before it does what cannot be taken back.
pub(crate) fn confirmed(action: &str, label: &str, name: &str, fields: &[(&str, &str)]) -> Markup {
    html! {
        form.confirm method="post" action=(action) {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            label { "Type " code { (name) } " to confirm"
                input name="confirm" required autocomplete="off" spellcheck="false" data-expected=(name);
            }
            button.danger { (label) }
        }
    }
}

/// Everything but letters, digits and what stands in names anyway.
const ADDRESS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// Writes text for an address.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, ADDRESS).to_string()
}

/// Returns a projection's page.
pub(crate) fn projection_href(name: &str) -> String {
    format!("/projections/{}", encoded(name))
}

/// Returns the page of a projection's dead letters.
pub(crate) fn letters_href(projection: &str) -> String {
    format!("/dead-letters?projection={}", encoded(projection))
}

/// Writes an address of parameters; empty ones are left out.
pub(crate) fn address(path: &str, params: &[(&str, &str)]) -> String {
    let given = params.iter().filter(|(_, value)| !value.is_empty());
    let given: Vec<_> = given.map(|(name, value)| format!("{name}={}", encoded(value))).collect();
    if given.is_empty() { path.to_owned() } else { format!("{path}?{}", given.join("&")) }
}

/// Reads a parameter, empty if it is not given.
pub(crate) fn param<'a>(params: &'a Params, name: &str) -> &'a str {
    params.get(name).map_or("", String::as_str)
}

/// Reads the number of a page, from 1.
pub(crate) fn page_number(params: &Params) -> usize {
    param(params, "page").parse().ok().filter(|page| *page > 0).unwrap_or(1)
}
