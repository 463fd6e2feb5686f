//! A schema registry as a service: registers, caches and checks schemas for others, over the REST
//! API of Confluent's Schema Registry, so that its clients need not know the difference.
//!
//! ```text
//!                    ┌ embedded: a folder of ours
//! REST ─> catalogue ─┼ kafka:    the topic _schemas, in Confluent's format
//!   │                └ upstream: another registry, and what it once said
//!   └───> preview: the schemas that a table's definition would get
//! ```
//!
//! ```no_run
//! use schema_registry_client::{Settings, build};
//!
//! # async fn run() -> anyhow::Result<()> {
//! let service = build(Settings::default()).await?;
//! let listener = tokio::net::TcpListener::bind("127.0.0.1:8081").await?;
//! service.serve(listener, service_kit::shutdown_on_signal()).await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Limits
//! - Schemas are Avro. Those of other kinds that the topic or the upstream holds are served word
//!   for word; none is taken. Schemas may refer to others. Metadata and rule sets are refused, and
//!   with them tags; `format` changes nothing; there are no global unique ids beside the numbers.
//! - One context, the default one.
//! - Equal schemas share an id however they are spelt, as Confluent's does with `normalize=true`.
//! - A setting of `/config` is the compatibility level alone; there is no mode `FORWARD`.
//! - There is HTTP Basic and no TLS: put something before it that has it.
//!
//! Start reading at [`build`], then `http`.

pub mod cli;
mod control;
mod http;
mod metrics;
mod preview;
mod service;
mod settings;
mod store;
mod upstream;

pub use http::users::Users;
pub use service::{Config, RegistryService, build, over};
pub use settings::Settings;
pub use store::kafka::KafkaStoreError;
