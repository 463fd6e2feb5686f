//! Why a dashboard does not start, or does not go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// The result of a dashboard's operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a dashboard does not start, or does not go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Others could reach a page that asks nobody who they are.
    #[error("the dashboard would be open to everybody who reaches {listen}")]
    Open {
        /// The address.
        listen: SocketAddr,
    },
    /// A token that is too easily found.
    #[error("the dashboard's token is shorter than 16 characters")]
    ShortToken,
    /// An endpoint that cannot be asked.
    #[error("the control endpoint {endpoint} cannot be asked")]
    Endpoint {
        /// As it was given.
        endpoint: String,
        /// Why.
        #[source]
        source: cdc_control::Error,
    },
    /// The activity log cannot be opened.
    #[error("cannot open the activity log {}", path.display())]
    Activity {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Serving failed.
    #[error("the dashboard's listener failed")]
    Serve(#[source] io::Error),
}

impl Error {
    /// Returns what to do about it.
    pub fn remedy(&self) -> Option<&'static str> {
        match self {
            Self::Open { .. } => {
                Some("Listen on 127.0.0.1, or give --token-file a file with a token.")
            }
            Self::ShortToken => Some("Make one with: openssl rand -hex 32"),
            Self::Endpoint { .. } => Some("Give --control HOST:PORT."),
            Self::Activity { .. } => Some(
                "Give --activity-dir a directory that this user may write to, or leave it out.",
            ),
            Self::Bind { .. } => {
                Some("Give --listen another port, or stop the process that uses this one.")
            }
            Self::Serve(_) => None,
        }
    }
}
