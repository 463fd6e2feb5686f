//! Addresses and what answers at them.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequestParts, Path, State};
use axum::http::request::Parts as RequestParts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::from_fn_with_state;
use axum::response::{Html, IntoResponse, Json, Response};
use axum::routing::{get, post};
use maud::Markup;
use tower_http::compression::CompressionLayer;

use crate::dashboard::Shared;
use crate::history::Range;
use crate::moment::Moment;
use crate::page::{self, Frame, Params, Preferences, param};
use crate::{asset, guard};

mod command;
mod letters;
mod live;
mod show;

/// Bytes of a form: a query's text is the longest.
const FORM_BYTES_MAX: usize = 64 << 10;

type App = State<Arc<Shared>>;

/// Makes the pages' router.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let pages = Router::new()
        .route("/", get(show::overview))
        .route("/events", get(show::events))
        .route("/projections/{name}", get(show::projection))
        .route("/dead-letters", get(show::letters))
        .route("/schemas", get(show::schemas))
        .route("/schemas/{subject}", get(show::schema))
        .route("/source", get(show::source))
        .route("/services", get(show::services))
        .route("/activity", get(show::activity))
        .route("/query", get(show::query))
        .route("/search", get(show::search))
        .route("/login", get(command::login_page).post(command::login))
        .route("/logout", post(command::logout))
        .route("/preferences", post(command::prefer))
        .route("/command/{action}", post(command::give))
        .route("/dead-letters/{action}", post(command::settle))
        .route("/schemas/accept", post(command::accept))
        .route("/history", get(history))
        .route("/assets/{file}", get(asset::serve))
        .route(
            "/metrics",
            get(async |State(shared): App| shared.metrics.render(&shared.fleet.moment())),
        )
        .fallback(show::nowhere)
        .layer(CompressionLayer::new());
    pages
        .route("/live/{*path}", get(live::stream))
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(readyz))
        .layer(DefaultBodyLimit::max(FORM_BYTES_MAX))
        .layer(from_fn_with_state(Arc::clone(&shared), guard::admit))
        .with_state(shared)
}

/// Ready once every process was asked: a page that says that none answers is of use too.
async fn readyz(State(shared): App) -> Response {
    if shared.closing.is_cancelled() {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response();
    }
    if shared.fleet.moment().is_complete {
        return "ready\n".into_response();
    }
    (StatusCode::SERVICE_UNAVAILABLE, "not every process was asked yet\n").into_response()
}

/// Columns of the history, for a chart: times in seconds, then the columns asked for in order.
async fn history(State(shared): App, visit: Visit) -> Response {
    let names: Vec<String> =
        param(&visit.params, "names").split('\n').take(32).map(str::to_owned).collect();
    let columns = shared.fleet.columns(Range::parse(param(&visit.params, "range")), &names);
    let times: Vec<f64> =
        columns.times.iter().map(|ms| crate::format::real_signed(*ms) / 1e3).collect();
    let gaps = vec![None; times.len()];
    let values: Vec<&Vec<Option<f64>>> =
        names.iter().map(|name| columns.values.get(name).unwrap_or(&gaps)).collect();
    Json(serde_json::json!({ "times": times, "values": values })).into_response()
}

/// What is known of a request for a page.
pub(crate) struct Visit {
    pub(crate) params: Params,
    /// The page's own address, without what only says which command was just given.
    pub(crate) here: String,
    pub(crate) preferences: Preferences,
    /// Whether another site caused it.
    pub(crate) is_foreign: bool,
}

impl<S: Send + Sync> FromRequestParts<S> for Visit {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut RequestParts, state: &S) -> Result<Self, Infallible> {
        let query = axum::extract::Query::<Params>::from_request_parts(parts, state).await;
        let params = query.map(|query| query.0).unwrap_or_default();
        let kept = params.iter().filter(|(name, _)| *name != "done");
        let kept: Vec<_> = kept.map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let here = page::address(parts.uri.path(), &kept);
        let preferences = guard::preferences(&parts.headers);
        let is_foreign = guard::is_foreign(&parts.headers);
        Ok(Self { here, params, preferences, is_foreign })
    }
}

/// Answers with a page.
fn reply(shared: &Shared, visit: &Visit, moment: &Moment, title: &str, body: &Markup) -> Response {
    let done = param(&visit.params, "done").parse().ok().and_then(|id| shared.activity.entry(id));
    let frame = Frame {
        moment,
        here: &visit.here,
        preferences: &visit.preferences,
        done,
        is_guarded: shared.guard.is_guarded(),
    };
    Html(page::page(&frame, title, body).into_string()).into_response()
}
