//! The handle that a projection writes through.

use std::path::Path;
use std::sync::Arc;

use cdc_pipeline::port::{
    Atomicity, ParkedRecord, SettleBatch, Sharing, Sink, SinkBatch, SinkKind, SinkState,
};

use crate::config::SearchConfig;
use crate::error::{Error, Result, while_file};
use crate::index::SearchIndex;
use crate::query::Search;

/// A search index in a directory.
///
/// Other processes are kept out by a lock. A dropped `apply` runs to its end; the index closes when
/// that and the last handle are gone.
#[derive(Debug)]
pub struct SearchSink {
    index: Arc<SearchIndex>,
}

impl SearchSink {
    /// Opens the index in the directory `path`, making it if there is none.
    ///
    /// # Errors
    /// [`Error::Locked`] while another process has it, [`Error::Corrupt`], [`Error::Foreign`] if
    /// another pipeline filled it.
    pub async fn open(path: impl AsRef<Path>, config: SearchConfig) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let at = path.clone();
        let index = blocking(&at, move || SearchIndex::open(&path, config)).await?;
        Ok(Self { index })
    }

    /// Returns a handle for searching, which works while the sink writes. It keeps the index open.
    pub fn query_handle(&self) -> Search {
        Search::new(Arc::clone(&self.index))
    }

    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&SearchIndex) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let index = Arc::clone(&self.index);
        blocking(&self.index.dir, move || work(&index)).await
    }
}

/// Runs `work` where it may block. It runs to its end even if the future is dropped.
pub(crate) async fn blocking<T: Send + 'static, E: From<Error> + Send + 'static>(
    path: &Path,
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, E> {
    let outcome = tokio::task::spawn_blocking(work).await;
    outcome.map_err(std::io::Error::other).map_err(while_file("working on", path))?
}

impl Sink for SearchSink {
    type Error = Error;

    fn kind(&self) -> SinkKind {
        SinkKind { sharing: Sharing::Exclusive, atomicity: Atomicity::Transactional }
    }

    async fn resume(&mut self) -> Result<SinkState> {
        self.run(SearchIndex::resume).await
    }

    async fn apply(&mut self, batch: Arc<SinkBatch>) -> Result<()> {
        self.run(move |index| index.apply(&batch)).await
    }

    async fn parked(&mut self, limit: usize) -> Result<(Vec<ParkedRecord>, u64)> {
        self.run(move |index| index.parked(limit)).await
    }

    async fn settle(&mut self, batch: Arc<SettleBatch>) -> Result<()> {
        self.run(move |index| index.settle(&batch)).await
    }
}
