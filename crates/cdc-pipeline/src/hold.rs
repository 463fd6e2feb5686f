//! Holding a loop between two batches.

use std::sync::Arc;

use tokio::sync::watch;

/// An operator's hand on a loop; clones share it. While it holds, the loop finishes what it has read,
/// reads no more, and keeps its source or its sink.
#[derive(Debug, Clone)]
pub struct Hold(Arc<watch::Sender<bool>>);

impl Default for Hold {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(false)))
    }
}

impl Hold {
    /// Holds the loop.
    pub fn pause(&self) {
        self.0.send_replace(true);
    }

    /// Lets it go on.
    pub fn resume(&self) {
        self.0.send_replace(false);
    }

    /// Returns whether the loop is held.
    pub fn is_paused(&self) -> bool {
        *self.0.borrow()
    }

    pub(crate) async fn paused(&self) {
        self.wait_for(true).await;
    }

    pub(crate) async fn resumed(&self) {
        self.wait_for(false).await;
    }

    async fn wait_for(&self, wanted: bool) {
        // The sender lives as long as `self`.
        drop(self.0.subscribe().wait_for(|is_paused| *is_paused == wanted).await);
    }
}
