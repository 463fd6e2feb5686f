//! What the services of a pipeline are built from: its settings, its identity, its event log, its
//! registry, and how their figures and failures are told. Services and `penstock` link it; it names
//! the adapters that every one of them needs, and runs nothing by itself.
//!
//! Start reading at [`settings`] for what is told, at [`Log`] for where records are.

pub mod cli;
mod identity;
mod log;
pub mod metrics;
pub mod process;
pub mod rates;
pub mod report;
pub mod schemas;
pub mod settings;
pub mod text;

pub use identity::PipelineId;
pub use log::{AnyReader, Log, ReadError};
pub use settings::{ControlConfig, LogConfig, PipelineConfig};
