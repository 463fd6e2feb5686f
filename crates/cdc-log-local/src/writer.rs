//! The writing end: one pipeline's appends.

use std::sync::Arc;

use cdc_pipeline::port::{AppendBatch, Checkpoint, LogWriter};

use crate::error::{Error, Result};
use crate::identity::IdentityText;
use crate::shared::Shared;

/// Appends a pipeline's records and checkpoint to a [`crate::LocalLog`], atomically.
///
/// Of several writers of one pipeline only the one opened last can append. All of them live in
/// this process, for it alone has the data directory: their order is kept in memory.
#[derive(Debug)]
pub struct LocalWriter {
    log: Arc<Shared>,
    pipeline: Arc<str>,
    incarnation: Arc<str>,
    /// `None` before [`LogWriter::open`], and from the beginning of an append until its `Ok`.
    epoch: Option<u64>,
}

impl LocalWriter {
    pub(crate) fn new(log: Arc<Shared>, pipeline: &str, incarnation: &str) -> Self {
        Self { log, pipeline: pipeline.into(), incarnation: incarnation.into(), epoch: None }
    }
}

impl LogWriter for LocalWriter {
    type Error = Error;

    async fn open(&mut self) -> Result<Option<Checkpoint>> {
        self.epoch = None;
        let pipeline = self.pipeline.clone();
        let (epoch, checkpoint) = self.log.run(move |log| log.open_writer(&pipeline)).await?;
        self.epoch = Some(epoch);
        Ok(checkpoint)
    }

    async fn append(&mut self, batch: Arc<AppendBatch>) -> Result<()> {
        let not_open = || Error::NotOpen { pipeline: self.pipeline.to_string() };
        let epoch = self.epoch.take().ok_or_else(not_open)?;
        let (pipeline, incarnation) = (self.pipeline.clone(), self.incarnation.clone());
        let append = self.log.run(move |log| {
            let mut identity = IdentityText::new(&incarnation);
            log.append(&pipeline, epoch, &mut identity, &batch)
        });
        append.await?;
        self.epoch = Some(epoch);
        Ok(())
    }
}
