//! The control interface of a running process: what it tells, what it is told, and the Unix socket
//! or TCP connection between the two. The messages are in `proto/penstock/control/v1/control.proto`.
//!
//! ```text
//! penstock status ── Client ── DIR/control.sock ── serve ── impl Control (the running pipeline)
//! ```
//!
//! Only the user that owns the socket may connect (mode 0600); over TCP, only who knows the token, if
//! one is set.
//!
//! Start reading at [`Control`].

mod client;
mod convert;
mod error;
mod json;
mod merge;
mod path;
mod sample;
mod serve;

#[expect(
    missing_docs,
    unused_qualifications,
    clippy::allow_attributes_without_reason,
    clippy::missing_errors_doc,
    clippy::too_many_lines,
    reason = "generated; the documentation is in control.proto"
)]
pub mod v1 {
    //! The messages, generated from `control.proto`.
    tonic::include_proto!("penstock.control.v1");
}

pub use client::Client;
pub use convert::{halt, state};
pub use error::{Error, Result};
pub use merge::merge;
pub use path::SOCKET;
pub use sample::Sample;
pub use serve::{Control, Settlement, TailStream, serve, serve_tcp};
