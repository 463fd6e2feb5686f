//! Schemas under subjects: the rules of a Confluent-compatible registry, an embedded durable one,
//! and a client for remote ones. All three serve the pipeline through [`Registry`], which caches
//! what is known and applies the semantic gate that registries lack.
//!
//! ```no_run
//! use cdc_pipeline::port::SchemaRegistry as _;
//! use cdc_registry::{Registry, subject};
//!
//! # async fn register() -> cdc_registry::Result<()> {
//! let registry = Registry::embedded(std::path::Path::new("data/registry"))?;
//! let id = registry.register(&subject::value_subject("shop.public.orders"), "\"string\"").await?;
//! # Ok(())
//! # }
//! ```
//!
//! # Invariants
//! - An id never changes its meaning; a registry that contradicts what it said is a halt.
//! - A new version never changes silently what values mean, nor breaks its subject's level; only an
//!   operator lifts that, by [`Registry::accept`].
//! - Stored texts are kept as registered: Connect's attributes are in them.
//!
//! Start reading at [`Registry`], then [`compatibility`] and [`semantic`].

pub mod avro;
mod cache;
pub mod canonical;
pub mod catalog;
pub mod client;
pub mod compatibility;
pub mod diff;
pub mod error;
mod registry;
pub mod semantic;
pub mod store;
pub mod subject;

pub use catalog::Catalog;
pub use client::{Credentials, Forwarded, RestClient, RestConfig};
pub use compatibility::Compatibility;
pub use error::{Error, Result};
pub use registry::{Backend, Registry};
pub use store::EmbeddedRegistry;
