//! Where the catalogue is kept: in a folder, in the topic `_schemas`, or nowhere but upstream.

pub(crate) mod kafka;
mod record;

use std::sync::Arc;

use cdc_pipeline::port::{SchemaVersion, Subject};
use cdc_registry::catalog::Decided;
use cdc_registry::{Catalog, EmbeddedRegistry};

use crate::http::refusal::Refusal;

use kafka::KafkaStore;

/// A catalogue and its journal.
#[derive(Debug, Clone)]
pub(crate) enum Store {
    /// In a folder of ours.
    Embedded(EmbeddedRegistry),
    /// In Confluent's topic.
    Kafka(Arc<KafkaStore>),
    /// What an upstream registry once said. Nothing is decided here: what is not known already
    /// waits for the upstream.
    Remembered(EmbeddedRegistry),
}

/// Why something was not changed.
#[derive(Debug)]
pub(crate) enum WriteError {
    /// The rules forbid it, or our folder failed.
    Registry(cdc_registry::Error),
    /// The journal cannot take it now.
    Away(Refusal),
}

impl WriteError {
    pub(crate) fn refusal(&self, subject: &Subject, version: Option<SchemaVersion>) -> Refusal {
        match self {
            Self::Registry(error) => Refusal::of(error, subject, version),
            Self::Away(refusal) => refusal.clone(),
        }
    }
}

impl From<cdc_registry::Error> for WriteError {
    fn from(error: cdc_registry::Error) -> Self {
        Self::Registry(error)
    }
}

/// What is answered where only the upstream registry could tell.
pub(crate) fn upstream_needed() -> Refusal {
    Refusal::away(
        50003,
        "the upstream registry cannot be asked now, and this was never asked before; schemas that \
         are known go on being served, try again later",
    )
}

impl Store {
    /// Reads the catalogue.
    ///
    /// # Errors
    /// If it was not read whole yet.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&Catalog) -> T) -> Result<T, Refusal> {
        match self {
            Self::Embedded(registry) | Self::Remembered(registry) => Ok(registry.read(read)),
            Self::Kafka(store) => store.read(read),
        }
    }

    /// Decides and makes the changes durable before it returns. A decision may be taken again.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        decide: impl Fn(&Catalog) -> cdc_registry::Result<Decided<T>> + Send + Sync + 'static,
    ) -> Result<T, WriteError> {
        match self {
            Self::Embedded(registry) => {
                let registry = registry.clone();
                let writing = tokio::task::spawn_blocking(move || registry.write(decide));
                let stopping = || WriteError::Away(Refusal::away(50001, "the service is stopping"));
                Ok(writing.await.map_err(|_| stopping())??)
            }
            Self::Kafka(store) => store.write(decide).await,
            Self::Remembered(registry) => match registry.read(decide) {
                Ok((answer, changes)) if changes.is_empty() => Ok(answer),
                Ok(_) | Err(_) => Err(WriteError::Away(upstream_needed())),
            },
        }
    }

    /// Returns why it cannot serve, if it cannot.
    pub(crate) fn obstacle(&self) -> Option<String> {
        match self {
            Self::Embedded(_) | Self::Remembered(_) => None,
            Self::Kafka(store) => store.obstacle(),
        }
    }

    /// Returns what keeps it from taking changes just now, and whether that lasts.
    pub(crate) fn trouble(&self) -> Option<(bool, String)> {
        match self {
            Self::Embedded(_) | Self::Remembered(_) => None,
            Self::Kafka(store) => store.trouble(),
        }
    }

    /// Stops what runs in the background.
    pub(crate) async fn close(&self) {
        if let Self::Kafka(store) = self {
            store.close().await;
        }
    }
}
