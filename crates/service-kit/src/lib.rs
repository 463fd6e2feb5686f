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

/// glibc keeps an arena for each thread, and what a burst left in them: capture's peak is 140 MiB with
/// it and 95 with this one. C code (librdkafka) allocates here too; `.cargo/config.toml` says how.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

pub mod admin;
mod environment;
mod signal;
pub mod telemetry;

pub use environment::{environment, variable};
pub use signal::shutdown_on_signal;
