//! A replication connection to PostgreSQL: start-up, TLS, authentication, replication commands, and
//! the `CopyBoth` stream that carries the write-ahead log.
//!
//! `tokio-postgres` has no replication mode, so this module speaks the frontend/backend protocol
//! itself. SQL that has nothing to do with replication goes through `tokio-postgres`, with the same
//! TLS settings and the same pinned session settings ([`ConnectOptions::sql_config`],
//! [`ConnectOptions::sql_tls`]).
//!
//! ```text
//!   SSLRequest ─> TLS ─> StartupMessage ─> authentication ─> ReadyForQuery
//!                                                               │ query, identify_system, create_slot
//!                                                               v
//!                                    START_REPLICATION ─> CopyBothResponse
//!                       CopyReader <── XLogData, keepalive ──┤├── status updates <── CopyWriter
//! ```
//!
//! # Invariants
//! - One frame is one shared slice of the read buffer: no byte of WAL is copied after the kernel
//!   handed it over.
//! - The session settings that shape text output are pinned at start-up, above what a role or a
//!   database may have set ([`PINNED_SETTINGS`]).
//! - No length the server sends is trusted beyond [`FRAME_BYTES_MAX`].
//!
//! Sources: [message flow](https://www.postgresql.org/docs/current/protocol-flow.html),
//! [streaming replication](https://www.postgresql.org/docs/current/protocol-replication.html).

mod auth;
mod connection;
mod copy;
mod error;
mod frame;
mod options;
mod socket;
mod stream;
mod tls;
mod uri;

pub use connection::{Connection, CreatedSlot, IdentifiedSystem, SimpleRow, SlotSnapshot};
pub use copy::{CopyMessage, CopyReader, CopyWriter};
pub use error::{AuthError, Error, OptionsError, ServerError};
pub use frame::FRAME_BYTES_MAX;
pub use options::{
    ChannelBinding, ConnectOptions, Host, PINNED_SETTINGS, Password, RootCertificates, SslMode,
};
pub use tls::{MakeTls, TlsConnect, TlsStream};
