//! Addresses, and what answers at each.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::FormRejection;
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};

use crate::asset;
use crate::error::Error;
use crate::guard;
use crate::page::{self, Frame, HOME, refusal, shelf};
use crate::shop::Shared;

mod buy;
mod lab;
mod live;
mod watch;

/// A form's bytes at most.
const FORM_BYTES_MAX: usize = 16 << 10;

/// A year, for what a person chose.
const KEPT: &str = "Path=/; SameSite=Lax; Max-Age=31536000";

/// How long the database has to say that it is there.
const PING_PATIENCE: Duration = Duration::from_secs(1);

/// A form as axum reads it.
type Sent = Result<Form<Vec<(String, String)>>, FormRejection>;

/// Returns all pages, and what a server of its own answers besides.
pub(crate) fn router(shared: Shared) -> Router {
    let own = Router::new()
        .route("/", get(async || Redirect::to(HOME)))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .fallback(nothing);
    guarded(pages().merge(own), shared)
}

/// Returns the pages alone, none of them at `/`, for a server that has other pages too.
pub(crate) fn pages_beside_others(shared: Shared) -> Router {
    guarded(pages(), shared)
}

fn guarded(router: Router<Shared>, shared: Shared) -> Router {
    router
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(middleware::from_fn_with_state(shared.clone(), guard::guard))
        .with_state(shared)
}

fn pages() -> Router<Shared> {
    Router::new()
        .route(HOME, get(shelf_page))
        .route("/products/{id}", get(product_page))
        .route("/cart", get(buy::cart).post(buy::change))
        .route("/orders", post(buy::order))
        .route("/orders/{id}", get(watch::receipt))
        .route("/orders/{id}/trace", get(watch::trace))
        .route("/business", get(watch::business))
        .route("/business/live", get(watch::business_live))
        .route("/lab", get(lab::page))
        .route("/lab/live", get(lab::live))
        .route("/lab/rate", post(lab::rate))
        .route("/lab/poison", post(lab::poison))
        .route("/lab/column", post(lab::column))
        .route("/lab/pause", post(lab::pause))
        .route("/lab/resume", post(lab::resume))
        .route("/theme", post(theme))
        .route("/shop/assets/{file}", get(asset::serve))
}

/// A form's fields; of several with one name the last.
#[derive(Debug, Default)]
struct Fields(BTreeMap<String, String>);

impl Fields {
    fn get(&self, name: &str) -> &str {
        self.0.get(name).map_or("", String::as_str)
    }

    /// Returns the products that a field of this letter and their id is there for.
    fn products(&self, letter: char) -> Vec<i64> {
        let ids = self.0.keys().filter_map(|name| name.strip_prefix(letter)?.parse().ok());
        ids.filter(|id| *id > 0).collect()
    }
}

/// Reads a form, or answers why not.
#[expect(clippy::result_large_err, reason = "it is the answer")]
fn fields(sent: Sent, frame: &Frame<'_>) -> Result<Fields, Response> {
    match sent {
        Ok(Form(pairs)) => Ok(Fields(pairs.into_iter().collect())),
        Err(rejection) => {
            let page =
                refusal(frame, "The form cannot be read.", "Open the page anew and send it again.");
            Err((rejection.status(), page).into_response())
        }
    }
}

async fn shelf_page(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let frame = Frame::of(&shared, &headers, HOME);
    match shared.store.products().await {
        Ok(products) => shelf::shelf(&frame, &products).into_response(),
        Err(error) => unanswered(&frame, &error),
    }
}

async fn product_page(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let frame = Frame::of(&shared, &headers, "/products");
    let Ok(id) = id.parse() else { return absent(&frame, "There is no such product.") };
    match shared.store.products_of(vec![id]).await {
        Ok(products) => match products.first() {
            Some(product) => shelf::product(&frame, product).into_response(),
            None => absent(&frame, "There is no such product."),
        },
        Err(error) => unanswered(&frame, &error),
    }
}

/// Says that the database did not answer.
fn unanswered(frame: &Frame<'_>, error: &Error) -> Response {
    tracing::warn!(error = %error.told(), "a page cannot be shown");
    let what = "The shop's database does not answer.";
    let page = refusal(frame, what, "Try again in a moment; nothing was changed.");
    (StatusCode::SERVICE_UNAVAILABLE, page).into_response()
}

fn absent(frame: &Frame<'_>, what: &str) -> Response {
    (StatusCode::NOT_FOUND, refusal(frame, what, "It may have had another address."))
        .into_response()
}

async fn nothing(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    absent(&Frame::of(&shared, &headers, ""), "There is no such page.")
}

async fn theme(State(shared): State<Shared>, headers: HeaderMap, sent: Sent) -> Response {
    let frame = Frame::of(&shared, &headers, "");
    let fields = match fields(sent, &frame) {
        Ok(fields) => fields,
        Err(response) => return response,
    };
    let name = page::THEME;
    let cookie = match fields.get("theme") {
        chosen @ ("light" | "dark") => format!("{name}={chosen}; {KEPT}"),
        _ => format!("{name}=; Path=/; SameSite=Lax; Max-Age=0"),
    };
    let back = local(fields.get("back"));
    ([(header::SET_COOKIE, cookie)], Redirect::to(back)).into_response()
}

/// Returns an address of this shop, whatever was asked for.
fn local(address: &str) -> &str {
    let is_plain = address.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let is_local = address.starts_with('/') && !address.starts_with("//");
    if is_plain && is_local { address } else { HOME }
}

async fn readyz(State(shared): State<Shared>) -> Response {
    match tokio::time::timeout(PING_PATIENCE, shared.store.ping()).await {
        Ok(Ok(())) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "the database does not answer\n").into_response()
        }
    }
}

async fn metrics(State(shared): State<Shared>) -> Response {
    let wanted = *shared.rate.borrow();
    shared.metrics.set_load(shared.load.placed(), wanted, shared.load.reading().achieved);
    let (kind, text) = shared.metrics.text();
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_elsewhere() {
        for (given, expected) in [
            ("/lab", "/lab"),
            ("//evil.example", HOME),
            ("/\\evil.example", HOME),
            ("https://evil.example", HOME),
            ("/a\r\nb", HOME),
            ("", HOME),
        ] {
            assert_eq!(local(given), expected, "{given:?}");
        }
    }
}
