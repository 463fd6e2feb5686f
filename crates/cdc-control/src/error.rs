//! What can go wrong between the two sides of the socket.

use std::io;
use std::path::PathBuf;

/// The result of a control operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A failure of the control socket, or an answer that is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens.
    #[error("no pipeline is running in {}", dir.display())]
    NotRunning {
        /// The data directory.
        dir: PathBuf,
    },
    /// Somebody else answers at the socket.
    #[error("another process already answers at {}", socket.display())]
    AlreadyServed {
        /// The socket.
        socket: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot make the control socket {}", socket.display())]
    Bind {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The socket exists and cannot be connected to, mostly because it is another user's.
    #[error("cannot connect to the control socket {}", socket.display())]
    Connect {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An address that is none.
    #[error("\"{address}\" is no address of a control endpoint")]
    Address {
        /// What was given.
        address: String,
    },
    /// A token that cannot be sent.
    #[error("the control token is not printable ASCII")]
    Token,
    /// The connection failed, or serving did.
    #[error("the control connection failed")]
    Transport(#[from] tonic::transport::Error),
    /// The pipeline answered with an error.
    #[error("{}", .0.message())]
    Refused(Box<tonic::Status>),
    /// The pipeline went away.
    #[error("the pipeline stopped answering")]
    Gone,
}

impl Error {
    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<String> {
        let text = match self {
            Self::NotRunning { .. } => {
                "Start it with penstock run, or name its directory with --data-dir."
            }
            Self::AlreadyServed { .. } => "Stop that process, or use another data directory.",
            Self::Bind { .. } => {
                "Put the data directory on a local file system that this user may write to."
            }
            Self::Connect { .. } => "Run this command as the user that runs the pipeline.",
            Self::Address { .. } => "Give HOST:PORT.",
            Self::Token => "Set another token.",
            Self::Refused(_) => return None,
            Self::Transport(_) | Self::Gone => "See what the pipeline's own output says.",
        };
        Some(text.to_owned())
    }
}

impl From<tonic::Status> for Error {
    fn from(status: tonic::Status) -> Self {
        let is_away = matches!(status.code(), tonic::Code::Unavailable | tonic::Code::Cancelled)
            || std::error::Error::source(&status).is_some();
        if is_away { Self::Gone } else { Self::Refused(Box::new(status)) }
    }
}
