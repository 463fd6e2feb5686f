//! The cart, and placing an order.

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use uuid::Uuid;

use crate::cart::{self, Cart, LINES_MAX, quantity_of};
use crate::error::{Error, Result};
use crate::format::Cents;
use crate::page::cart_page::{self, Draft, Line};
use crate::page::{Frame, refusal};
use crate::route::{Fields, Sent, fields, unanswered};
use crate::shop::Shared;
use crate::store::order::{Outcome, Refusal, Wish, WishLine};

const NAME_CHARS_MAX: usize = 80;
const EMAIL_CHARS_MAX: usize = 120;

/// What the form begins with, so that buying takes one press.
const GUEST: (&str, &str) = ("Ada Towpath", "ada@example.com");

/// Shows the cart.
pub(super) async fn cart(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let frame = Frame::of(&shared, &headers, "/cart");
    let wanted = frame.cart.0.iter().map(|(id, quantity)| (*id, quantity.to_string())).collect();
    match draft(&shared, wanted, &Fields::default()).await {
        Ok(draft) => cart_page::cart(&frame, &draft).into_response(),
        Err(error) => unanswered(&frame, &error),
    }
}

/// Adds to the cart, takes from it, or changes quantities.
pub(super) async fn change(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    let frame = Frame::of(&shared, &headers, "/cart");
    let fields = match fields(sent, &frame) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let changed = match (fields.get("add").parse(), fields.get("remove").parse()) {
        (Ok(product), _) => add(&frame, product, fields.get("quantity")),
        (_, Ok(product)) => Ok(without(&fields, product)),
        _ => updated(&fields),
    };
    match changed {
        Ok(cart) => keep(&cart, "/cart"),
        Err(problem) if fields.get("add").is_empty() => {
            shared.metrics.refused("quantity");
            show(&shared, &frame, &fields, problem, StatusCode::UNPROCESSABLE_ENTITY).await
        }
        Err(problem) => {
            shared.metrics.refused("quantity");
            let page = refusal(&frame, &problem, "Nothing was put into the cart.");
            (StatusCode::UNPROCESSABLE_ENTITY, page).into_response()
        }
    }
}

fn add(frame: &Frame<'_>, product: i64, quantity: &str) -> Result<Cart, String> {
    let mut cart = frame.cart.clone();
    cart.add(product, quantity_of(quantity)?)?;
    Ok(cart)
}

/// What cannot be read stays out: it is about another line.
fn without(fields: &Fields, product: i64) -> Cart {
    let lines = fields.products('q').into_iter().filter(|id| *id != product);
    let read = |id: i64| Some((id, quantity_of(fields.get(&format!("q{id}"))).ok()?));
    Cart(lines.filter_map(read).take(LINES_MAX).collect())
}

fn updated(fields: &Fields) -> Result<Cart, String> {
    let read = |id: i64| Ok((id, quantity_of(fields.get(&format!("q{id}")))?));
    let lines: Result<_, String> =
        fields.products('q').into_iter().take(LINES_MAX).map(read).collect();
    lines.map(Cart).map_err(|_| "One quantity cannot be ordered.".to_owned())
}

/// Sets the cart's cookie and goes on to `address`.
fn keep(cart: &Cart, address: &str) -> Response {
    let (name, text) = (cart::COOKIE, cart.text());
    let age = if text.is_empty() { 0 } else { 30 * 86_400 };
    let cookie = format!("{name}={text}; Path=/; HttpOnly; SameSite=Lax; Max-Age={age}");
    ([(header::SET_COOKIE, cookie)], Redirect::to(address)).into_response()
}

/// Places an order.
pub(super) async fn order(
    State(shared): State<Shared>,
    headers: HeaderMap,
    sent: Sent,
) -> Response {
    let frame = Frame::of(&shared, &headers, "/cart");
    let fields = match fields(sent, &frame) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let wish = match wish(&fields) {
        Ok(wish) => wish,
        Err(problem) => {
            shared.metrics.refused("form");
            return show(&shared, &frame, &fields, problem, StatusCode::UNPROCESSABLE_ENTITY).await;
        }
    };
    // An order goes on to its receipt when the browser is gone.
    let store = shared.store.clone();
    let placed = shared.tasks.spawn(async move { store.place(&wish).await }).await;
    match placed.unwrap_or(Err(Error::Interrupted)) {
        Ok(Outcome::Placed { order, is_new }) => {
            if is_new {
                shared.metrics.sold();
            }
            keep(&Cart::default(), &format!("/orders/{order}"))
        }
        Ok(Outcome::Refused(refusals)) => {
            shared.metrics.refused("stock_or_price");
            refused(&shared, &frame, &fields, &refusals).await
        }
        Err(error) => {
            tracing::warn!(error = %error.told(), "an order was not answered");
            let fields: Vec<_> = fields.0.into_iter().collect();
            let page = cart_page::again(&frame, "It may come back in a moment.", &fields);
            (StatusCode::SERVICE_UNAVAILABLE, page).into_response()
        }
    }
}

/// Reads an order from a form, or says what is wrong with it.
fn wish(fields: &Fields) -> Result<Wish, String> {
    let plain = |field: &str, what: &str, max: usize| {
        let text = fields.get(field).trim().to_owned();
        let is_wrong = text.is_empty() || text.chars().any(char::is_control);
        if is_wrong || text.chars().count() > max {
            return Err(format!("{what} is needed, in 1 to {max} characters."));
        }
        Ok(text)
    };
    let products = fields.products('q');
    if products.is_empty() || products.len() > LINES_MAX {
        return Err(format!("An order has 1 to {LINES_MAX} different things."));
    }
    let line = |product: i64| {
        let price = fields.get(&format!("c{product}")).parse().map(Cents);
        let quantity = quantity_of(fields.get(&format!("q{product}")));
        quantity.map(|quantity| WishLine { product, quantity, price: price.unwrap_or(Cents(-1)) })
    };
    let lines: Result<Vec<_>, String> = products.into_iter().map(line).collect();
    let lines = lines.map_err(|_| "One quantity cannot be ordered.".to_owned())?;
    let name = plain("name", "A name", NAME_CHARS_MAX)?;
    let email = plain("email", "An e-mail address", EMAIL_CHARS_MAX)?.to_lowercase();
    let is_address = email.split_once('@').is_some_and(|(user, host)| {
        !user.is_empty() && !host.is_empty() && !email.contains(char::is_whitespace)
    });
    if !is_address {
        return Err("The e-mail address needs something before and after an @.".to_owned());
    }
    let key = Uuid::parse_str(fields.get("key"));
    let key = key.map_err(|_| "The form is incomplete. Look at the cart again.".to_owned())?;
    Ok(Wish { key, name, email, lines })
}

/// Shows the form again as it was sent, with what is wrong beside each line.
async fn show(
    shared: &Shared,
    frame: &Frame<'_>,
    fields: &Fields,
    problem: String,
    status: StatusCode,
) -> Response {
    match draft(shared, typed(fields), fields).await {
        Ok(mut draft) => {
            for line in &mut draft.lines {
                line.problem = quantity_of(&line.quantity).err();
            }
            draft.problem = Some((problem, "Nothing was ordered.".to_owned()));
            (status, cart_page::cart(frame, &draft)).into_response()
        }
        Err(error) => unanswered(frame, &error),
    }
}

async fn refused(
    shared: &Shared,
    frame: &Frame<'_>,
    fields: &Fields,
    refusals: &[Refusal],
) -> Response {
    let mut draft = match draft(shared, typed(fields), fields).await {
        Ok(draft) => draft,
        Err(error) => return unanswered(frame, &error),
    };
    for refusal in refusals {
        let (product, text) = reason(refusal);
        let line = draft.lines.iter_mut().find(|line| line.product.id == product);
        if let Some(line) = line {
            line.problem = Some(text);
        }
    }
    let summary: Vec<String> = refusals.iter().map(|refusal| reason(refusal).1).collect();
    let summary = if summary.is_empty() {
        "Look at the cart and try again.".to_owned()
    } else {
        summary.join(" ")
    };
    draft.problem = Some(("Nothing was ordered.".to_owned(), summary));
    (StatusCode::CONFLICT, cart_page::cart(frame, &draft)).into_response()
}

fn reason(refusal: &Refusal) -> (i64, String) {
    match refusal {
        Refusal::SoldOut { product, name, left: ..=0 } => {
            (*product, format!("{name} is sold out: somebody else was quicker."))
        }
        Refusal::SoldOut { product, name, left } => {
            (*product, format!("Of {name} only {left} are left."))
        }
        Refusal::PriceChanged { product, name, price } => (
            *product,
            format!("{name} costs {} now. Place the order again if that is fine.", price.text()),
        ),
        Refusal::Gone { product } => (*product, "One thing is not sold any more.".to_owned()),
    }
}

fn typed(fields: &Fields) -> Vec<(i64, String)> {
    let ids = fields.products('q').into_iter().take(LINES_MAX);
    ids.map(|id| (id, fields.get(&format!("q{id}")).to_owned())).collect()
}

/// Puts together what the page shows: what was typed, and what the database knows of it.
async fn draft(
    shared: &Shared,
    wanted: Vec<(i64, String)>,
    fields: &Fields,
) -> Result<Draft, Error> {
    let ids = wanted.iter().map(|(id, _)| *id).collect();
    let products = shared.store.products_of(ids).await?;
    let lines = wanted.into_iter().filter_map(|(id, quantity)| {
        let product = products.iter().find(|product| product.id == id)?.clone();
        Some(Line { product, quantity, problem: None })
    });
    let sent = |name: &str, otherwise: &str| {
        let is_sent = fields.0.contains_key(name);
        if is_sent { fields.get(name).to_owned() } else { otherwise.to_owned() }
    };
    let key = Uuid::parse_str(fields.get("key")).unwrap_or_else(|_| Uuid::new_v4());
    Ok(Draft {
        lines: lines.collect(),
        problem: None,
        key: key.to_string(),
        name: sent("name", GUEST.0),
        email: sent("email", GUEST.1),
    })
}
