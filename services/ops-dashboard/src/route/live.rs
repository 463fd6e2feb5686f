//! The stream of a page: what has changed in it, once an interval.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::StreamExt;
use tokio::sync::{OwnedSemaphorePermit, watch};

use super::{App, HeaderMap, IntoResponse, Path, Response, Shared, State, StatusCode, Visit};
use crate::moment::Moment;
use crate::page::fragment::Sent;
use crate::page::{self, Params, Parts, events, overview, param, projection, services, source};
use crate::tail::Sight;

/// How soon a browser asks again when the stream broke.
const RETRY: Duration = Duration::from_secs(1);

/// A page, as far as it changes by itself.
enum View {
    Overview,
    Events,
    Projection(String),
    Source,
    Services,
    /// Only its frame.
    Other,
}

impl View {
    fn of(path: &str) -> Self {
        match path {
            "overview" => Self::Overview,
            "events" => Self::Events,
            "source" => Self::Source,
            "services" => Self::Services,
            path => match path.strip_prefix("projections/") {
                Some(name) => Self::Projection(name.to_owned()),
                None => Self::Other,
            },
        }
    }

    fn parts(&self, shared: &Shared, moment: &Moment, params: &Params) -> Parts {
        match self {
            Self::Overview => overview::parts(moment, &sight(shared, "", overview::EVENTS)),
            Self::Events => {
                events::parts(moment, &sight(shared, param(params, "topic"), events::ROWS), params)
            }
            Self::Projection(name) => projection::parts(moment, name, params),
            Self::Source => source::parts(moment, params),
            Self::Services => services::parts(moment),
            Self::Other => page::frame_parts(moment),
        }
    }
}

/// Returns the newest records of a topic, or of all if it is empty.
pub(super) fn sight(shared: &Shared, topic: &str, count: usize) -> Sight {
    let tail = shared.tails.of((!topic.is_empty()).then_some(topic));
    tail.map(|tail| tail.look(count)).unwrap_or_default()
}

/// Keeps the count of open streams while it lives.
struct Open {
    shared: Arc<Shared>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.metrics.streams.dec();
    }
}

struct Flow {
    open: Open,
    view: View,
    params: Params,
    moments: watch::Receiver<Arc<Moment>>,
    sent: Sent,
    is_first: bool,
}

impl Flow {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Self)> {
        loop {
            if !self.is_first {
                self.moments.changed().await.ok()?;
            }
            self.is_first = false;
            let moment = self.moments.borrow_and_update().clone();
            let changes =
                self.sent.changes(self.view.parts(&self.open.shared, &moment, &self.params));
            if !changes.is_empty() {
                let event = Event::default().event("parts").retry(RETRY).data(changes);
                return Some((Ok(event), self));
            }
        }
    }
}

/// Answers with a page's stream.
pub(super) async fn stream(State(shared): App, Path(path): Path<String>, visit: Visit) -> Response {
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many pages are open\n").into_response();
    };
    shared.metrics.streams.inc();
    let flow = Flow {
        view: View::of(&path),
        params: visit.params,
        moments: shared.fleet.moments(),
        sent: Sent::default(),
        is_first: true,
        open: Open { shared: Arc::clone(&shared), _permit: permit },
    };
    let events = futures_util::stream::unfold(flow, Flow::next);
    let events = events.take_until(shared.closing.clone().cancelled_owned());
    let mut headers = HeaderMap::new();
    // A proxy that gathers what it passes on would make the page late.
    headers.insert("x-accel-buffering", axum::http::HeaderValue::from_static("no"));
    (headers, Sse::new(events).keep_alive(KeepAlive::default())).into_response()
}
