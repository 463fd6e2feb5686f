//! What there is to buy.

use maud::{Markup, html};

use crate::cart::QUANTITY_MAX;
use crate::page::{Frame, HOME, page};
use crate::store::Product;

/// From how few pieces on they are counted out.
const FEW: i32 = 5;

/// Draws all products.
pub(crate) fn shelf(frame: &Frame<'_>, products: &[Product]) -> Markup {
    let body = html! {
        div.lead {
            h1 { "Things for the towpath" }
            p { "Buy something, and watch the order arrive: in the log, in the warehouse, in search, in the audit log." }
        }
        @if products.is_empty() {
            div.empty { p { "The shelves are bare: no product is listed." } pre { code { "UPDATE products SET is_listed = true;" } } }
        }
        ul.shelf {
            @for product in products {
                li {
                    a.goods href=(format!("/products/{}", product.id)) {
                        span.panel { (product.look.picture()) }
                        span.name { (product.name) }
                    }
                    p.price { (product.price.text()) }
                    p.left { (stock(product.stock)) }
                    (add(product, false))
                }
            }
        }
    };
    page(frame, "Shop", &body)
}

/// Draws one product.
pub(crate) fn product(frame: &Frame<'_>, product: &Product) -> Markup {
    let body = html! {
        p.crumbs { a href=(HOME) { "← All things" } }
        article.product {
            div.panel { (product.look.picture()) }
            div {
                h1 { (product.name) }
                p.price { (product.price.text()) }
                p { (product.description) }
                p.left { (stock(product.stock)) }
                (add(product, true))
            }
        }
    };
    page(frame, &product.name, &body)
}

fn stock(stock: i32) -> Markup {
    html! {
        @match stock {
            ..=0 => "Sold out",
            1 => strong { "The last one" },
            2..=FEW => strong { "Only " (stock) " left" },
            _ => { "In stock" }
        }
    }
}

fn add(product: &Product, has_quantity: bool) -> Markup {
    let id = format!("quantity-{}", product.id);
    html! {
        form.add method="post" action="/cart" {
            input type="hidden" name="add" value=(product.id);
            @if has_quantity {
                label for=(id) { "Quantity" }
                input #(id) name="quantity" value="1" inputmode="numeric" size="3" maxlength="12" autocomplete="off"
                    aria-description=(format!("From 1 to {QUANTITY_MAX}"));
            } @else {
                input type="hidden" name="quantity" value="1";
            }
            button.primary[has_quantity] disabled[product.stock < 1] {
                "Add" span.unseen[!has_quantity] { " " @if has_quantity { "to cart" } @else { (product.name) " to the cart" } }
            }
        }
    }
}
