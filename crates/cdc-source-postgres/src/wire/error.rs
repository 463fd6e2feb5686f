//! What can go wrong on a connection, and what each failure means.

use std::fmt;
use std::io;
use std::time::Duration;

use cdc_pipeline::error::{Classify, ErrorClass};

/// A failure of a connection to the server.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The connection settings are wrong.
    #[error(transparent)]
    Options(#[from] OptionsError),
    /// No connection could be made to the server's address.
    #[error("cannot connect to {address}")]
    Unreachable {
        /// Host and port, or the socket's path.
        address: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The server did not complete the start of the connection in time.
    #[error("no connection to {address} within {} ms", .timeout.as_millis())]
    ConnectTimeout {
        /// Host and port, or the socket's path.
        address: String,
        /// How long was waited.
        timeout: Duration,
    },
    /// A certificate or key file cannot be used.
    #[error("cannot use {what}")]
    Certificate {
        /// Which setting, and its file.
        what: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The TLS handshake failed; most often the server's certificate is not trusted.
    #[error("TLS handshake with {address} failed")]
    Tls {
        /// Host and port.
        address: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// TLS is required by `sslmode`, and the server offers none.
    #[error("the server at {address} offers no TLS, and sslmode requires it")]
    TlsRefused {
        /// Host and port.
        address: String,
    },
    /// The two sides do not agree on how to authenticate.
    #[error("authentication failed")]
    Auth(#[from] AuthError),
    /// The server answered with an error.
    #[error(transparent)]
    Server(#[from] Box<ServerError>),
    /// The connection broke.
    #[error("connection to the server lost")]
    Io(#[from] io::Error),
    /// The server closed the connection, or ended the stream.
    #[error("the server closed the connection")]
    Closed,
    /// The server sent something this side does not understand.
    #[error("unexpected answer from the server: {0}")]
    Protocol(String),
    /// The server announced a message larger than any it may send.
    #[error("the server announced a message of {bytes} bytes")]
    FrameTooLarge {
        /// Its announced length.
        bytes: u64,
    },
    /// A replication command was sent over a connection that was opened without replication, or
    /// the server is too old for it.
    #[error("{command} is not possible here: {reason}")]
    Unsupported {
        /// The command.
        command: &'static str,
        /// Why.
        reason: String,
    },
}

impl Error {
    /// Returns the five-character SQLSTATE, if the server reported one.
    ///
    /// Source: <https://www.postgresql.org/docs/current/errcodes-appendix.html>
    pub fn sqlstate(&self) -> Option<&str> {
        match self {
            Self::Server(error) => Some(&error.code),
            _ => None,
        }
    }
}

impl Classify for Error {
    #[deny(clippy::wildcard_enum_match_arm)]
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::ConnectTimeout { .. } | Self::Io(_) | Self::Closed => {
                ErrorClass::Transient
            }
            Self::Tls { source, .. } => tls_class(source),
            Self::Options(_)
            | Self::Certificate { .. }
            | Self::TlsRefused { .. }
            | Self::Auth(_)
            | Self::Unsupported { .. } => ErrorClass::Fatal,
            Self::Server(error) => error.class(),
            Self::Protocol(_) | Self::FrameTooLarge { .. } => ErrorClass::Unknown,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Options(_) => Some("SOURCE_SETTINGS_INVALID"),
            Self::Certificate { .. } | Self::TlsRefused { .. } => Some("TLS_FAILED"),
            Self::Tls { source, .. } => {
                (tls_class(source) == ErrorClass::Fatal).then_some("TLS_FAILED")
            }
            Self::Auth(_) => Some("AUTH_FAILED"),
            Self::Unsupported { .. } => Some("SERVER_UNSUPPORTED"),
            Self::Server(error) => error.code(),
            Self::Unreachable { .. }
            | Self::ConnectTimeout { .. }
            | Self::Io(_)
            | Self::Closed
            | Self::Protocol(_)
            | Self::FrameTooLarge { .. } => None,
        }
    }

    #[deny(clippy::wildcard_enum_match_arm)]
    fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::Options(error) => return error.remedy(),
            Self::Unreachable { address, .. } | Self::ConnectTimeout { address, .. } => {
                return Some(format!(
                    "Check that PostgreSQL runs and listens at {address}, and that no firewall is \
                     between."
                ));
            }
            Self::Certificate { .. } => {
                "Give PEM files: sslrootcert for the authority that signed the server's \
                 certificate, sslcert and sslkey for a client certificate."
            }
            Self::Tls { .. } => {
                "Give the authority that signed the server's certificate as sslrootcert, and the \
                 host by the name the certificate carries; sslmode=require encrypts without \
                 checking either."
            }
            Self::TlsRefused { .. } => {
                "Switch TLS on at the server (ssl = on in postgresql.conf), or set sslmode=prefer."
            }
            Self::Auth(error) => return Some(error.remedy().to_owned()),
            Self::Server(error) => return error.remedy(),
            Self::Unsupported { .. } => "Use PostgreSQL 14 or later.",
            Self::Io(_) | Self::Closed | Self::Protocol(_) | Self::FrameTooLarge { .. } => {
                return None;
            }
        };
        Some(text.to_owned())
    }
}

/// A handshake broken by the network may succeed the next time; one refused by either side's rules
/// will not.
fn tls_class(error: &io::Error) -> ErrorClass {
    let refused = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()).is_some();
    if refused { ErrorClass::Fatal } else { ErrorClass::Transient }
}

/// A mistake in the connection settings. Never shows the settings themselves, which hold a
/// password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// The text is neither a URL nor a list of settings.
    #[error("the connection string is neither postgres://… nor a list of key=value")]
    Syntax,
    /// A part of the URL or of the list cannot be read.
    #[error("{part} of the connection string is not valid: {reason}")]
    Part {
        /// Which part.
        part: &'static str,
        /// What is accepted.
        reason: String,
    },
    /// A setting's value is not one of those accepted.
    #[error("{name} of the connection string is not valid: accepted are {accepted}")]
    Value {
        /// The setting.
        name: String,
        /// What is accepted.
        accepted: &'static str,
    },
    /// A setting nobody knows.
    #[error("unknown connection setting \"{name}\"{}", nearest_clause(*.nearest))]
    Unknown {
        /// Its name.
        name: String,
        /// The known setting whose name is nearest, if one is near.
        nearest: Option<&'static str>,
    },
    /// A part that is needed is missing.
    #[error("the connection string names no {part}")]
    Missing {
        /// Which part.
        part: &'static str,
    },
}

fn nearest_clause(nearest: Option<&str>) -> String {
    nearest.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

impl OptionsError {
    fn remedy(&self) -> Option<String> {
        Some(
            "Write postgres://USER:PASSWORD@HOST:PORT/DATABASE?sslmode=verify-full, with special \
             characters of the password as %XX."
                .to_owned(),
        )
    }
}

/// Why the two sides could not authenticate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The server wants a password, and none was given.
    #[error("the server asks for a password and none is given")]
    PasswordMissing,
    /// The server wants a method this side does not speak.
    #[error("the server asks for the authentication method {method}, which is not supported")]
    MethodUnsupported {
        /// The method.
        method: String,
    },
    /// Channel binding is required and cannot be had.
    #[error("channel_binding=require cannot be kept: {reason}")]
    ChannelBindingUnavailable {
        /// Why.
        reason: &'static str,
    },
    /// The server's part of the exchange is wrong: it may not know the password.
    #[error("the server failed its part of SCRAM authentication: {reason}")]
    ServerNotVerified {
        /// What is wrong.
        reason: String,
    },
}

impl AuthError {
    fn remedy(&self) -> &'static str {
        match self {
            Self::PasswordMissing => "Give the password in the connection string.",
            Self::MethodUnsupported { .. } => {
                "Let the role log in by scram-sha-256, md5, password, cert or trust in pg_hba.conf."
            }
            Self::ChannelBindingUnavailable { .. } => {
                "Use sslmode=require or stronger and a role with a SCRAM password, or set \
                 channel_binding=prefer."
            }
            Self::ServerNotVerified { .. } => {
                "Make sure that the address is your server's: what answers does not prove that it \
                 knows the role's password."
            }
        }
    }
}

/// An error reported by the server, without the fields that may hold row values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerError {
    /// `ERROR`, `FATAL` or `PANIC`, never translated.
    pub severity: String,
    /// The five-character SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
    /// The server's hint, if it gave one.
    pub hint: Option<String>,
}

impl fmt::Display for ServerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (SQLSTATE {})", self.message, self.code)
    }
}

impl std::error::Error for ServerError {}

impl ServerError {
    /// Returns the class that follows from the SQLSTATE alone; whoever knows the command may know
    /// better.
    pub fn class(&self) -> ErrorClass {
        match self.code.as_str() {
            // Database dropped under us.
            "57P04" => ErrorClass::Fatal,
            // Slot in use; serialization failure; deadlock; lock not available.
            "55006" | "40001" | "40P01" | "55P03" => ErrorClass::Transient,
            // No such database; no privilege.
            "3D000" | "42501" => ErrorClass::Fatal,
            code => match code.as_bytes() {
                [b'2', b'8', ..] => ErrorClass::Fatal,
                // Connection exceptions, resources short, operator intervention, system errors.
                [b'0', b'8', ..] | [b'5', b'3', ..] | [b'5', b'7', ..] | [b'5', b'8', ..] => {
                    ErrorClass::Transient
                }
                _ => ErrorClass::Unknown,
            },
        }
    }

    /// Returns the stable code of a halt.
    pub fn code(&self) -> Option<&'static str> {
        match self.code.as_str() {
            "57P04" | "3D000" => Some("DATABASE_MISSING"),
            "42501" => Some("PRIVILEGE_MISSING"),
            code if code.starts_with("28") => Some("AUTH_FAILED"),
            _ => None,
        }
    }

    /// Returns what the operator does about it.
    pub fn remedy(&self) -> Option<String> {
        let text = match self.code.as_str() {
            "57P04" | "3D000" => "Name a database that exists in the connection string.",
            "42501" => {
                "Grant the role what is missing: LOGIN and REPLICATION (ALTER ROLE name \
                 REPLICATION), SELECT on the captured tables."
            }
            "53300" => "Raise max_connections or max_wal_senders, or close other sessions.",
            "53400" => "Raise max_replication_slots and restart, or drop a slot nobody uses.",
            code if code.starts_with("28") => {
                "Check user and password in the connection string, and that pg_hba.conf lets the \
                 role in from here."
            }
            _ => return self.hint.clone(),
        };
        Some(text.to_owned())
    }
}
