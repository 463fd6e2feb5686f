//! Whether what a new pipeline is told to use is there at all.
//!
//! Asked once, before anything is made: an address mistyped is told at once. Later starts wait for
//! what is away, for it was there before.

use std::time::Duration;

use cdc_log_kafka::KafkaLog;
use cdc_pipeline::error::chain;
use cdc_pipeline::port::{LogReader, SchemaRegistry, Subject};
use cdc_pipeline::{Classify, ErrorClass, Halted};
use cdc_registry::Registry;

use crate::pipeline::PipelineConfig;

/// How long an answer may take.
const LIMIT: Duration = Duration::from_secs(15);

/// A subject that nobody has.
const PROBE: &str = "penstock-probe";

/// Fails if Kafka or the registry does not answer.
pub(super) async fn require(config: &PipelineConfig) -> anyhow::Result<()> {
    if let Some(kafka) = &config.log.kafka {
        let mut reader = KafkaLog::new(kafka.clone())?.reader();
        let asked = tokio::time::timeout(LIMIT, reader.topics()).await;
        let servers = &kafka.bootstrap_servers;
        let why = match asked {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if error.class() == ErrorClass::Transient => Some(chain(&error)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => Some(format!("kafka at {servers} has not answered for {LIMIT:?}")),
        };
        if let Some(message) = why {
            let remedy = "Give --kafka the HOST:PORT of a broker that runs and can be reached.";
            return Err(unreachable("KAFKA_UNREACHABLE", message, remedy));
        }
    }
    if let Some(rest) = &config.registry {
        let registry = Registry::rest(rest.clone())?;
        let asked = tokio::time::timeout(LIMIT, registry.latest(&Subject::new(PROBE))).await;
        let why = match asked {
            Ok(Ok(_)) => None,
            Ok(Err(error)) if error.class() == ErrorClass::Transient => Some(chain(&error)),
            Ok(Err(error)) => return Err(error.into()),
            Err(_) => Some(format!("the registry has not answered for {LIMIT:?}")),
        };
        if let Some(message) = why {
            let remedy = "Give --registry the URL of a registry that runs and can be reached.";
            return Err(unreachable("REGISTRY_UNREACHABLE", message, remedy));
        }
    }
    Ok(())
}

fn unreachable(code: &'static str, message: String, remedy: &str) -> anyhow::Error {
    Halted { code, message, remedy: Some(remedy.to_owned()) }.into()
}
