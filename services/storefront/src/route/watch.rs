//! What became of an order, and how the business goes.

use std::time::Duration;

use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};

use crate::page::receipt::{self as drawn, Way};
use crate::page::{Frame, business as page};
use crate::route::live::{self, Next};
use crate::route::{absent, unanswered};
use crate::shop::Shared;
use crate::store::order::{Commit, Receipt};
use crate::trace::rungs;

/// How long a receipt waits for a process before it is shown without.
const PATIENCE: Duration = Duration::from_millis(400);

/// How long the business view waits, which is nothing without the warehouse.
const WAREHOUSE_PATIENCE: Duration = Duration::from_secs(2);

/// How long a receipt is followed. Later, who wants to know loads it again.
const FOLLOWED: Duration = Duration::from_secs(180);

const BUSINESS_INTERVAL: Duration = Duration::from_secs(2);

/// Shows a receipt.
pub(super) async fn receipt(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let mut frame = Frame::of(&shared, &headers, "/orders");
    let receipt = match find(&shared, &id, &frame).await {
        Ok(receipt) => receipt,
        Err(response) => return response,
    };
    let way = tokio::time::timeout(PATIENCE, way(&shared, receipt.commit.as_ref())).await;
    let way = way.unwrap_or(Way::Asking);
    frame.refresh = (!drawn::is_over(&way)).then_some(1);
    drawn::receipt(&frame, &receipt, &way).into_response()
}

async fn find(shared: &Shared, id: &str, frame: &Frame<'_>) -> Result<Receipt, Response> {
    let Ok(id) = id.parse() else { return Err(absent(frame, "There is no such order.")) };
    match shared.store.receipt(id).await {
        Ok(Some(receipt)) => Ok(receipt),
        Ok(None) => Err(absent(frame, "There is no such order.")),
        Err(error) => Err(unanswered(frame, &error)),
    }
}

async fn way(shared: &Shared, commit: Option<&Commit>) -> Way {
    let Some(commit) = commit else { return Way::Unknown };
    let (come, status) =
        tokio::join!(shared.controls.trace(&commit.lsn), shared.controls.recent_status());
    match (come, status) {
        (Ok(come), Ok(heard)) => Way::Known(rungs(commit.at_us, &come, &heard.told), heard.absent),
        (Err(silence), _) | (_, Err(silence)) => Way::Silent(silence),
    }
}

/// Streams the way of an order until it is everywhere.
pub(super) async fn trace(
    State(shared): State<Shared>,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Response {
    let frame = Frame::of(&shared, &headers, "/orders");
    let receipt = match find(&shared, &id, &frame).await {
        Ok(receipt) => receipt,
        Err(response) => return response,
    };
    let asked = shared.clone();
    live::stream(&shared, move |since| {
        let (shared, order, noted) = (asked.clone(), receipt.order, receipt.commit.clone());
        async move {
            let noted = match noted {
                Some(commit) => Some(commit),
                // Another sending of the form may be about to note it.
                None => shared.store.receipt(order).await.ok().flatten().and_then(|r| r.commit),
            };
            let way = way(&shared, noted.as_ref()).await;
            let next = if drawn::is_over(&way) || since > FOLLOWED {
                Next::Never
            } else {
                Next::In(pace(since, &way))
            };
            (drawn::trace(noted.as_ref(), &way), next)
        }
    })
}

/// How soon to ask again: often while it can be a matter of milliseconds.
fn pace(since: Duration, way: &Way) -> Duration {
    let millis = match (since.as_millis(), way) {
        (_, Way::Silent(_) | Way::Unknown) => 1_000,
        (0..1_000, _) => 20,
        (1_000..10_000, _) => 100,
        _ => 1_000,
    };
    Duration::from_millis(millis)
}

/// Shows how the business goes.
pub(super) async fn business(State(shared): State<Shared>, headers: HeaderMap) -> Response {
    let mut frame = Frame::of(&shared, &headers, "/business");
    frame.refresh = Some(5);
    let view = shared.business.view(&shared.controls);
    let view = tokio::time::timeout(WAREHOUSE_PATIENCE, view).await;
    page::business(&frame, view.ok().as_deref()).into_response()
}

/// Streams the figures.
pub(super) async fn business_live(State(shared): State<Shared>) -> Response {
    let asked = shared.clone();
    live::stream(&shared, move |_| {
        let shared = asked.clone();
        async move {
            let view = shared.business.view(&shared.controls).await;
            (page::figures(Some(&view)), Next::In(BUSINESS_INTERVAL))
        }
    })
}
