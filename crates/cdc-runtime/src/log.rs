//! The event log that a pipeline writes to: embedded, or Kafka.

use std::sync::Arc;

use cdc_log_kafka::{KafkaLog, KafkaReader};
use cdc_log_local::{DataDir, LocalLog, LocalLogConfig, LocalReader};
use cdc_model::{Offset, TopicPartition};
use cdc_pipeline::port::{Fetched, LogReader, TopicMeta};
use cdc_pipeline::{Classify, ErrorClass};

use crate::{LogConfig, PipelineId};

/// An opened event log.
#[derive(Debug, Clone)]
pub enum Log {
    /// In the data directory.
    Local(LocalLog),
    /// On Kafka; the data directory is held for what is kept beside it.
    Kafka(Arc<KafkaLog>, Arc<DataDir>),
}

impl Log {
    /// Opens the log, and with it claims the data directory for the pipeline `id`. An embedded log
    /// keeps what `projections` have not read yet.
    ///
    /// # Errors
    /// If the directory is another pipeline's or process's, or the log cannot be opened.
    pub async fn open(
        config: &LogConfig,
        id: &PipelineId,
        projections: &[&'static str],
    ) -> anyhow::Result<Self> {
        let data_dir = DataDir::claim(&config.data_dir, Some(id.as_str()))?;
        if let Some(kafka) = &config.kafka {
            let log = KafkaLog::new(kafka.clone())?;
            return Ok(Self::Kafka(Arc::new(log), Arc::new(data_dir)));
        }
        let local =
            LocalLogConfig { pipeline: Some(id.as_str().to_owned()), ..config.local.clone() };
        let opened = tokio::task::spawn_blocking(move || LocalLog::open_in(data_dir, local));
        let log = opened.await??;
        for projection in projections {
            log.register_projection(projection).await?;
        }
        Ok(Self::Local(log))
    }

    /// Returns a reader of it.
    pub fn reader(&self) -> AnyReader {
        match self {
            Self::Local(log) => AnyReader::Local(log.reader()),
            Self::Kafka(log, _) => AnyReader::Kafka(Box::new(log.reader())),
        }
    }

    /// Returns `embedded` or `kafka`.
    pub fn mode(&self) -> &'static str {
        match self {
            Self::Local(_) => "embedded",
            Self::Kafka(..) => "kafka",
        }
    }
}

/// A reader of either log.
#[derive(Debug)]
pub enum AnyReader {
    /// Of the embedded one.
    Local(LocalReader),
    /// Of Kafka.
    Kafka(Box<KafkaReader>),
}

/// What can go wrong in either.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// In the embedded log.
    #[error(transparent)]
    Local(#[from] cdc_log_local::Error),
    /// In Kafka.
    #[error(transparent)]
    Kafka(#[from] cdc_log_kafka::Error),
}

impl Classify for ReadError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Local(error) => error.class(),
            Self::Kafka(error) => error.class(),
        }
    }

    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Local(error) => error.code(),
            Self::Kafka(error) => error.code(),
        }
    }

    fn remedy(&self) -> Option<String> {
        match self {
            Self::Local(error) => error.remedy(),
            Self::Kafka(error) => error.remedy(),
        }
    }
}

impl LogReader for AnyReader {
    type Error = ReadError;

    async fn topics(&mut self) -> Result<Vec<TopicMeta>, ReadError> {
        Ok(match self {
            Self::Local(reader) => reader.topics().await?,
            Self::Kafka(reader) => reader.topics().await?,
        })
    }

    async fn assign(&mut self, from: Vec<(TopicPartition, Offset)>) -> Result<(), ReadError> {
        match self {
            Self::Local(reader) => reader.assign(from).await?,
            Self::Kafka(reader) => reader.assign(from).await?,
        }
        Ok(())
    }

    async fn poll(&mut self, bytes_max: usize) -> Result<Fetched, ReadError> {
        Ok(match self {
            Self::Local(reader) => reader.poll(bytes_max).await?,
            Self::Kafka(reader) => reader.poll(bytes_max).await?,
        })
    }
}
