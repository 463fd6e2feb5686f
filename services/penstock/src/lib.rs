//! Penstock in one process: capture, event log, schema registry and the DuckDB projection, and the
//! operator's commands.
//!
//! Start reading at [`pipeline::build`] for what runs, at [`cli`] for what is typed.

pub mod cli;
pub mod command;
pub mod dev;
pub mod pipeline;
pub mod postgres;
pub mod running;
pub mod view;

pub use cdc_runtime::{report, settings};
