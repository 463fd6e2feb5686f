//! A process that dies at any await.

use std::pin::Pin;
use std::task::{Context, Poll};

/// Polls a future a bounded number of times, then drops it where it stands.
pub(super) struct CrashAfter<F> {
    process: Option<Pin<Box<F>>>,
    polls_left: Option<u64>,
}

impl<F: Future> CrashAfter<F> {
    /// Lets `process` live for `polls` polls; `None` is for ever.
    pub(super) fn new(process: F, polls: Option<u64>) -> Self {
        Self { process: Some(Box::pin(process)), polls_left: polls }
    }
}

impl<F: Future> Future for CrashAfter<F> {
    /// What the process returned, or `None` if it died.
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.polls_left == Some(0) {
            self.process = None;
        }
        self.polls_left = self.polls_left.map(|left| left.saturating_sub(1));
        match &mut self.process {
            Some(process) => process.as_mut().poll(context).map(Some),
            None => Poll::Ready(None),
        }
    }
}
