//! What is about to be ordered.

use maud::{Markup, html};

use crate::cart::QUANTITY_MAX;
use crate::format::Cents;
use crate::page::{Frame, HOME, Tone, notice, page};
use crate::store::Product;

/// A form as it was sent, or as it is first shown.
#[derive(Debug, Clone, Default)]
pub(crate) struct Draft {
    pub(crate) lines: Vec<Line>,
    /// What is wrong with the whole.
    pub(crate) problem: Option<(String, String)>,
    pub(crate) key: String,
    pub(crate) name: String,
    pub(crate) email: String,
}

/// One product of it.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) product: Product,
    /// As it was typed.
    pub(crate) quantity: String,
    pub(crate) problem: Option<String>,
}

impl Line {
    fn sum(&self) -> Option<Cents> {
        let quantity = crate::cart::quantity_of(&self.quantity).ok()?;
        Some(Cents(self.product.price.0.saturating_mul(quantity.into())))
    }
}

/// Draws the cart and the way to order it.
pub(crate) fn cart(frame: &Frame<'_>, draft: &Draft) -> Markup {
    let total = draft.lines.iter().map(Line::sum).sum::<Option<CentsSum>>();
    let body = html! {
        h1 { "Cart" }
        @if let Some((what, more)) = &draft.problem { (notice(Tone::Bad, what, more)) }
        @if draft.lines.is_empty() {
            div.empty { p { "Nothing is in the cart." } p { a.button href=(HOME) { "See what there is" } } }
        } @else {
            form.checkout method="post" action="/orders" {
                // What Enter presses: the first button of a form.
                button.unseen tabindex="-1" aria-hidden="true" formaction="/cart" name="update" value="all" { "Update" }
                div.lines {
                    @for line in &draft.lines { (row(line)) }
                    div.sum {
                        button formaction="/cart" name="update" value="all" { "Update" }
                        p { "Total " strong.money { @match total { Some(total) => (total.0.text()), None => "–" } } }
                    }
                }
                fieldset.buyer {
                    legend { "Who orders" }
                    label { "Name" input name="name" value=(draft.name) maxlength="80" autocomplete="name" required; }
                    label { "E-mail" input name="email" type="email" value=(draft.email) maxlength="120" autocomplete="email" required; }
                    input type="hidden" name="key" value=(draft.key);
                    button.primary { "Place order" }
                    p.quiet { "Nothing is paid or sent. Pressing twice places one order." }
                }
            }
        }
    };
    page(frame, "Cart", &body)
}

/// A sum that is known only if all of its parts are.
struct CentsSum(Cents);

impl std::iter::Sum<Cents> for CentsSum {
    fn sum<I: Iterator<Item = Cents>>(parts: I) -> Self {
        Self(Cents(parts.map(|cents| cents.0).fold(0, i64::saturating_add)))
    }
}

fn row(line: &Line) -> Markup {
    let product = &line.product;
    let (field, problem) = (format!("q{}", product.id), format!("p{}", product.id));
    let is_wrong = line.problem.is_some();
    html! {
        div.line.wrong[is_wrong] {
            a.panel.small href=(format!("/products/{}", product.id)) tabindex="-1" aria-hidden="true" { (product.look.picture()) }
            div.what {
                a href=(format!("/products/{}", product.id)) { (product.name) }
                p.quiet { (product.price.text()) " each" }
            }
            label.quantity {
                span.unseen { "Quantity of " (product.name) }
                input name=(field) value=(line.quantity) inputmode="numeric" size="3" maxlength="12" autocomplete="off"
                    aria-invalid=[is_wrong.then_some("true")] aria-describedby=[is_wrong.then_some(&problem)]
                    aria-description=(format!("From 1 to {QUANTITY_MAX}"));
            }
            input type="hidden" name=(format!("c{}", product.id)) value=(product.price.0);
            p.money { @match line.sum() { Some(sum) => (sum.text()), None => "–" } }
            button.plain formaction="/cart" name="remove" value=(product.id) formnovalidate { "Remove" span.unseen { " " (product.name) } }
            @if let Some(text) = &line.problem { p.problem id=(problem) role="alert" { (text) } }
        }
    }
}

/// A form that may be sent again as it is: the answer to it was lost.
pub(crate) fn again(frame: &Frame<'_>, why: &str, fields: &[(String, String)]) -> Markup {
    let body = html! {
        (notice(Tone::Bad, "The shop's database did not answer.", why))
        p { "It is not known whether the order was placed. Send it again: it cannot be placed twice." }
        form method="post" action="/orders" {
            @for (name, value) in fields { input type="hidden" name=(name) value=(value); }
            button.primary { "Send it again" }
        }
    };
    page(frame, "Send it again", &body)
}
