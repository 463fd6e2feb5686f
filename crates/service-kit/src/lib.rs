//! What every service's `main` needs: its environment, its log, its signals, and its admin
//! endpoints.
//!
//! ```no_run
//! # async fn run() -> Result<(), service_kit::admin::AdminError> {
//! use service_kit::admin::{Admin, AdminState};
//!
//! let shutdown = service_kit::shutdown_on_signal();
//! let admin = Admin::bind("127.0.0.1:8089".parse().unwrap()).await?;
//! let state = AdminState::new(|| Ok(()), prometheus::Registry::new());
//! admin.serve(state, shutdown).await
//! # }
//! ```

pub mod admin;
mod allocator;
mod environment;
mod signal;
pub mod telemetry;

pub use environment::{environment, variable};
pub use signal::shutdown_on_signal;
