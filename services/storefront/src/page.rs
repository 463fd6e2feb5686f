//! Pages as markup. What people and databases tell goes through the template's escaping.

use axum::http::{HeaderMap, header};
use maud::{DOCTYPE, Markup, html};

use crate::asset;
use crate::cart::{self, Cart};
use crate::shop::State;

pub(crate) mod business;
pub(crate) mod cart_page;
pub(crate) mod lab;
pub(crate) mod receipt;
pub(crate) mod shelf;

/// Where what is on the shelves is shown. `/` leads there, where nothing else is served.
pub(crate) const HOME: &str = "/shop";

/// The cookie that holds the theme.
pub(crate) const THEME: &str = "storefront_theme";

/// What stands around every page.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    /// The page's address.
    pub(crate) here: &'a str,
    pub(crate) cart: Cart,
    theme: Option<&'static str>,
    pub(crate) dashboard: Option<&'a str>,
    has_lab: bool,
    /// Seconds after which a page without script loads itself again.
    pub(crate) refresh: Option<u32>,
}

impl<'a> Frame<'a> {
    /// Reads what a browser keeps.
    pub(crate) fn of(state: &'a State, headers: &HeaderMap, here: &'a str) -> Self {
        let theme = cookie(headers, THEME);
        let theme = ["light", "dark"].into_iter().find(|known| Some(*known) == theme);
        Self {
            here,
            cart: Cart::parse(cookie(headers, cart::COOKIE).unwrap_or_default()),
            theme,
            dashboard: state.config.dashboard.as_deref(),
            has_lab: state.config.is_lab_open(),
            refresh: None,
        }
    }

    /// Returns a page of the dashboard.
    pub(crate) fn dashboard(&self, path: &str) -> Option<String> {
        self.dashboard.map(|dashboard| format!("{dashboard}{path}"))
    }
}

fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    let all = headers.get_all(header::COOKIE).into_iter();
    let pairs = all.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
    let mut pairs = pairs.filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
}

/// Puts `body` into the frame.
pub(crate) fn page(frame: &Frame<'_>, title: &str, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" data-theme=[frame.theme] {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content=(frame.theme.unwrap_or("light dark"));
                title { (title) " – Lock House Stores" }
                link rel="icon" href=(asset::href("icon.svg"));
                link rel="stylesheet" href=(asset::href("shop.css"));
                script defer src=(asset::href("shop.js")) {}
                @if let Some(seconds) = frame.refresh {
                    noscript { meta http-equiv="refresh" content=(seconds); }
                }
            }
            body {
                a.skip href="#main" { "Skip to content" }
                header.bar {
                    a.brand href=(HOME) { (mark()) span { "Lock House Stores" } }
                    (places(frame))
                    a.cart href="/cart" aria-current=[(frame.here == "/cart").then_some("page")] {
                        "Cart " span.count { (frame.cart.pieces()) }
                    }
                }
                main #main tabindex="-1" { (body) }
                p #voice .unseen aria-live="polite" {}
                footer { (foot(frame)) }
            }
        }
    }
}

fn places(frame: &Frame<'_>) -> Markup {
    let place = |href: &'static str, name: &'static str| {
        let is_here = match href {
            HOME => frame.here == HOME || frame.here.starts_with("/products"),
            _ => frame.here.starts_with(href),
        };
        html! { li { a href=(href) aria-current=[is_here.then_some("page")] { (name) } } }
    };
    html! {
        nav aria-label="Pages" {
            ul {
                (place(HOME, "Shop"))
                (place("/business", "Business"))
                @if frame.has_lab { (place("/lab", "Lab")) }
                @if let Some(dashboard) = frame.dashboard { li { a href=(dashboard) { "Dashboard" span aria-hidden="true" { " ↗" } } } }
            }
        }
    }
}

fn foot(frame: &Frame<'_>) -> Markup {
    let chosen = frame.theme.unwrap_or("system");
    html! {
        p { "A demonstration: nothing is sold, nobody pays, and receipts are open to whoever knows their number." }
        form.themes method="post" action="/theme" {
            input type="hidden" name="back" value=(frame.here);
            fieldset {
                legend.unseen { "Theme" }
                @for (value, label) in [("system", "System"), ("light", "Light"), ("dark", "Dark")] {
                    button name="theme" value=(value) aria-pressed=(chosen == value) { (label) }
                }
            }
        }
    }
}

fn mark() -> Markup {
    html! {
        svg.logo width="22" height="22" viewBox="0 0 32 32" aria-hidden="true" {
            path d="M4 14 16 4l12 10M7 13v15h18V13" fill="none" stroke="currentColor" stroke-width="3" stroke-linejoin="round" {}
            path d="M10 21c3-3 4 3 6 0s4 3 6 0" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" {}
        }
    }
}

/// A state's shape; its word stands beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    Ok,
    Waiting,
    Held,
    Bad,
}

/// Draws a state's shape.
pub(crate) fn state_mark(tone: Tone) -> Markup {
    let class = match tone {
        Tone::Ok => "ok",
        Tone::Waiting => "waiting",
        Tone::Held => "held",
        Tone::Bad => "bad",
    };
    html! {
        svg.mark.(class) width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" {
            @match tone {
                Tone::Ok => circle cx="6" cy="6" r="5" {},
                Tone::Waiting => circle.hollow cx="6" cy="6" r="4.5" {},
                Tone::Held => path d="M6 .8 11.6 11H.4z" {},
                Tone::Bad => path d="M1 1h10v10H1z" {},
            }
        }
    }
}

/// Something that went wrong, why, and what to do about it.
pub(crate) fn notice(tone: Tone, what: &str, more: &str) -> Markup {
    html! {
        div.notice.bad[tone == Tone::Bad] role="alert" {
            p { (state_mark(tone)) " " strong { (what) } }
            @if !more.is_empty() { p { (more) } }
        }
    }
}

/// A page that only says why not.
pub(crate) fn refusal(frame: &Frame<'_>, what: &str, more: &str) -> Markup {
    page(
        frame,
        what,
        &html! {
            (notice(Tone::Bad, what, more))
            p { a href=(HOME) { "Back to the shop" } }
        },
    )
}
