//! The REST API: one way in for every request, so that content types, bounds, error bodies and
//! metrics are the same everywhere.
//!
//! ```text
//! request ─> place ─> user? ─> own (health, metrics, preview)
//!                           ├──> upstream, if there is one ─away─> what is known of it
//!                           └──> catalogue
//! ```
//!
//! # Bounds
//! A body has at most `body_bytes_max` bytes and comes within 30 s; at most 32 bodies are read at
//! a time, the others wait.
//!
//! Source: <https://docs.confluent.io/platform/current/schema-registry/develop/api.html>

pub(crate) mod compatibility;
pub(crate) mod place;
pub(crate) mod refusal;
mod schemas;
mod setting;
mod subjects;
pub(crate) mod users;
mod wish;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::service::Shared;
use crate::{preview, upstream};

use place::{Place, Query};
use refusal::Refusal;

pub(crate) use schemas::parse_id;
pub(crate) use wish::Wish;

/// What every answer is made of.
pub(crate) const CONTENT_TYPE: HeaderValue =
    HeaderValue::from_static("application/vnd.schemaregistry.v1+json");

/// On answers that were not asked of the upstream registry.
pub(crate) const CACHED: HeaderName = HeaderName::from_static("x-penstock-cached");

const REQUEST_TYPES: [&str; 4] = [
    "application/vnd.schemaregistry.v1+json",
    "application/vnd.schemaregistry+json",
    "application/json",
    "application/octet-stream",
];

const BODY_TIME_MAX: Duration = Duration::from_secs(30);

/// How many bodies are read at a time.
pub(crate) const BODIES_MAX: usize = 32;

/// A request, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query as they came.
    pub(crate) target: String,
    pub(crate) place: Place,
    pub(crate) query: Query,
    pub(crate) body: Bytes,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Answer {
    Json(Value),
    /// A body that is ready, as a schema's text is.
    Text(String),
    /// An upstream's answer.
    Bytes(Vec<u8>),
    /// As the first, from what is known while the upstream was not asked.
    Cached(Box<Self>),
    /// Of our own, such as metrics.
    Plain(String),
}

pub(crate) type Answered = Result<Answer, Refusal>;

/// Makes the routes over a service.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(serve).with_state(shared)
}

async fn serve(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let begun = Instant::now();
    let place = Place::parse(request.uri().path());
    let pattern = place.as_ref().map_or("(none)", Place::pattern);
    let answered = match place {
        _ if !is_admitted(&shared, place.as_ref(), request.headers()).await => {
            Err(Refusal::new(401, "Unauthorized"))
        }
        Some(place) => answer(&shared, place, request).await,
        None => Err(Refusal::new(404, "HTTP 404 Not Found")),
    };
    if let Err(refusal) = answered.as_ref()
        && refusal.status >= 500
    {
        tracing::warn!(route = pattern, code = refusal.code, "{}", refusal.message);
    }
    let response = answered.map_or_else(IntoResponse::into_response, IntoResponse::into_response);
    shared.metrics.request(pattern, response.status(), begun.elapsed());
    response
}

/// Health may be asked by everybody: who watches a process has no password of it.
async fn is_admitted(shared: &Shared, place: Option<&Place>, headers: &HeaderMap) -> bool {
    match (&shared.users, place) {
        (None, _) | (_, Some(Place::Health | Place::Readiness)) => true,
        (Some(users), _) => users.admit(headers).await,
    }
}

async fn answer(shared: &Arc<Shared>, place: Place, request: Request) -> Answered {
    let method = match *request.method() {
        Method::HEAD => Method::GET,
        ref other => other.clone(),
    };
    check_accept(request.headers())?;
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let query = Query::parse(request.uri().query().unwrap_or_default());
    let has_body = method == Method::POST || method == Method::PUT;
    let body = if has_body { read_body(shared, request).await? } else { Bytes::new() };
    let call = Call { method, target, place, query, body };
    match &shared.upstream {
        _ if call.place.is_own() => own(shared, &call).await,
        Some(upstream) => upstream::answer(shared, upstream, &call).await,
        None => local(shared, &call).await,
    }
}

async fn own(shared: &Arc<Shared>, call: &Call) -> Answered {
    match (&call.method, &call.place) {
        (&Method::GET, Place::Health) => Ok(Answer::Plain("ok\n".to_owned())),
        (&Method::GET, Place::Readiness) => match shared.obstacle() {
            None => Ok(Answer::Plain("ready\n".to_owned())),
            Some(reason) => Err(Refusal::away(503, reason)),
        },
        (&Method::GET, Place::Metrics) => Ok(Answer::Plain(shared.metrics_text()?)),
        (&Method::POST, Place::Preview) => preview::answer(shared, &call.body).await,
        _ => Err(not_allowed()),
    }
}

/// Answers from the catalogue, and changes it.
pub(crate) async fn local(shared: &Arc<Shared>, call: &Call) -> Answered {
    let Call { method, place, query, .. } = call;
    match (method.as_str(), place) {
        ("GET" | "POST", Place::Root) => Ok(Answer::Json(json!({}))),
        ("GET", Place::Types) => Ok(Answer::Json(json!(["AVRO"]))),
        ("GET", Place::Contexts) => Ok(Answer::Json(json!(["."]))),
        ("GET", Place::MetadataId) => Ok(Answer::Json(json!({
            "scope": { "path": [], "clusters": { "schema-registry-cluster": "penstock" } }
        }))),
        ("GET", Place::MetadataVersion) => {
            Ok(Answer::Json(json!({ "version": env!("CARGO_PKG_VERSION"), "commitId": "" })))
        }
        ("GET", Place::MetadataDeployment) => Ok(Answer::Json(json!({ "attributes": [] }))),
        ("GET", Place::Schemas) => schemas::list(&shared.store, query),
        ("GET", Place::SchemaById(id)) => schemas::by_id(&shared.store, id, query),
        ("GET", Place::SchemaTextById(id)) => schemas::text_by_id(&shared.store, id),
        ("GET", Place::SubjectsOfId(id)) => schemas::subjects(&shared.store, id, query),
        ("GET", Place::VersionsOfId(id)) => schemas::versions(&shared.store, id, query),
        ("GET", Place::Subjects) => subjects::list(&shared.store, query),
        ("POST", Place::Subject(subject)) => subjects::lookup(shared, subject, call),
        ("DELETE", Place::Subject(subject)) => subjects::delete(shared, subject, query).await,
        ("GET", Place::WithMetadata(subject)) => {
            subjects::with_metadata(&shared.store, subject, query)
        }
        ("GET", Place::Versions(subject)) => subjects::versions(&shared.store, subject, query),
        ("POST", Place::Versions(subject)) => subjects::register(shared, subject, call).await,
        ("GET", Place::Version(subject, at)) => {
            subjects::version(&shared.store, subject, at, query)
        }
        ("DELETE", Place::Version(subject, at)) => {
            subjects::delete_version(shared, (subject, at), query).await
        }
        ("GET", Place::VersionText(subject, at)) => {
            subjects::version_text(&shared.store, subject, at, query)
        }
        ("GET", Place::ReferencedBy(subject, at)) => {
            subjects::referenced_by(&shared.store, subject, at, query)
        }
        ("POST", Place::Compatibility(subject)) => compatibility::all(shared, subject, call),
        ("POST", Place::CompatibilityWith(subject, at)) => {
            compatibility::with(shared, (subject, at), call)
        }
        ("GET", Place::Config(subject)) => setting::level(&shared.store, subject.as_deref(), query),
        ("PUT", Place::Config(subject)) => setting::set_level(shared, subject.clone(), call).await,
        ("DELETE", Place::Config(subject)) => setting::delete_level(shared, subject.clone()).await,
        ("GET", Place::Mode(subject)) => setting::mode(&shared.store, subject.as_deref(), query),
        ("PUT", Place::Mode(subject)) => setting::set_mode(shared, subject.clone(), call).await,
        ("DELETE", Place::Mode(subject)) => {
            setting::delete_mode(shared, subject.clone(), query).await
        }
        _ => Err(not_allowed()),
    }
}

pub(crate) fn not_allowed() -> Refusal {
    Refusal::new(405, "HTTP 405 Method Not Allowed")
}

fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut is_any = true;
    for accept in headers.get_all(header::ACCEPT) {
        is_any = false;
        for range in accept.to_str().unwrap_or("*/*").split(',') {
            let media = range.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
            let is_ours = REQUEST_TYPES.contains(&media.as_str());
            if is_ours || ["*/*", "application/*", "text/plain", "text/html"].contains(&&*media) {
                return Ok(());
            }
        }
    }
    if is_any { Ok(()) } else { Err(Refusal::new(406, "HTTP 406 Not Acceptable")) }
}

async fn read_body(shared: &Shared, request: Request) -> Result<Bytes, Refusal> {
    if let Some(given) = request.headers().get(header::CONTENT_TYPE) {
        let media = given.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        if !REQUEST_TYPES.contains(&media.trim().to_ascii_lowercase().as_str()) {
            return Err(Refusal::new(415, "HTTP 415 Unsupported Media Type"));
        }
    }
    let _turn = shared.bodies.acquire().await;
    let limit = shared.body_bytes_max;
    let reading = Limited::new(request.into_body(), limit).collect();
    match tokio::time::timeout(BODY_TIME_MAX, reading).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Refusal::new(413, format!("the request body is larger than {limit} bytes")))
        }
        Ok(Err(error)) => Err(Refusal::malformed(error)),
        Err(_) => Err(Refusal::new(408, "the request body did not come in time")),
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let (body, kind) = match self {
            Self::Json(value) => (Body::from(value.to_string()), CONTENT_TYPE),
            Self::Text(text) => (Body::from(text), CONTENT_TYPE),
            Self::Bytes(bytes) => (Body::from(bytes), CONTENT_TYPE),
            Self::Plain(text) => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                (Body::from(text), kind)
            }
            Self::Cached(answer) => {
                let mut response = answer.into_response();
                response.headers_mut().insert(CACHED, HeaderValue::from_static("true"));
                return response;
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::OK;
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}
