//! Streams of parts of a page: the newest content whenever it differs, a beat otherwise.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use maud::Markup;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::shop::Shared;

/// How long nothing at all may be sent.
const BEAT: Duration = Duration::from_secs(2);

/// When a part is drawn again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    In(Duration),
    Never,
}

struct Progress<F> {
    draw: F,
    began: Instant,
    last: String,
    sent: Instant,
    /// None at first, so that the first drawing comes at once.
    next: Option<Next>,
    _permit: OwnedSemaphorePermit,
}

/// Streams what `draw` makes of the time since the stream began, until it says never, or the shop
/// closes: then the browser asks again.
pub(super) fn stream<F, D>(shared: &Shared, draw: F) -> Response
where
    F: FnMut(Duration) -> D + Send + 'static,
    D: Future<Output = (Markup, Next)> + Send,
{
    let Ok(permit) = Arc::clone(&shared.streams).try_acquire_owned() else {
        let text = "too many pages are open; this one shows what it was loaded with\n";
        return (StatusCode::SERVICE_UNAVAILABLE, text).into_response();
    };
    let now = Instant::now();
    let progress =
        Progress { draw, began: now, last: String::new(), sent: now, next: None, _permit: permit };
    let events = stream::unfold(progress, async |mut progress| {
        let event = progress.next_event().await?;
        Some((Ok::<_, Infallible>(event), progress))
    });
    let until = shared.stop.clone().cancelled_owned();
    Sse::new(events.take_until(Box::pin(until))).into_response()
}

impl<F, D> Progress<F>
where
    F: FnMut(Duration) -> D,
    D: Future<Output = (Markup, Next)>,
{
    async fn next_event(&mut self) -> Option<Event> {
        loop {
            match self.next {
                None => {}
                Some(Next::In(pause)) => tokio::time::sleep(pause).await,
                Some(Next::Never) => return None,
            }
            let (markup, next) = (self.draw)(self.began.elapsed()).await;
            self.next = Some(next);
            // A carriage return would end a line of the stream.
            let text = markup.into_string().replace('\r', " ");
            let name = if next == Next::Never { "done" } else { "part" };
            if text != self.last || next == Next::Never {
                self.last.clone_from(&text);
                self.sent = Instant::now();
                return Some(Event::default().event(name).data(text));
            }
            if self.sent.elapsed() >= BEAT {
                self.sent = Instant::now();
                return Some(Event::default().event("beat").data("."));
            }
        }
    }
}
