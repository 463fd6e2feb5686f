//! What a dashboard is told.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// Where the page is served when nobody says.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 8084);

/// A process that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Over TCP, at `HOST:PORT`.
    Address(String),
    /// Over the Unix socket in a pipeline's data directory.
    DataDir(PathBuf),
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::DataDir(dir) => write!(f, "{}", dir.display()),
        }
    }
}

/// What a dashboard is told.
#[derive(Clone)]
pub struct DashboardConfig {
    /// Where the page will be served: on loopback unless there is a `token`. Default
    /// `127.0.0.1:8084`.
    pub listen: SocketAddr,
    /// The processes to ask; none shows an empty page.
    pub endpoints: Vec<Endpoint>,
    /// What the processes want to hear before they answer over TCP.
    pub control_token: Option<String>,
    /// What a person types to see the page. None: whoever reaches the port may.
    pub token: Option<String>,
    /// Where the activity log is kept, as `activity.jsonl`; without it, in memory.
    pub data_dir: Option<PathBuf>,
    /// How often the processes tell and the page changes, `100 ms..`. Default 1 s.
    pub interval: Duration,
    /// After how long without an answer values are shown as old. Default 5 s: a process tells every
    /// second, so four answers are missing.
    pub stale_after: Duration,
}

impl Default for DashboardConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            endpoints: Vec::new(),
            control_token: None,
            token: None,
            data_dir: None,
            interval: Duration::from_secs(1),
            stale_after: Duration::from_secs(5),
        }
    }
}

impl fmt::Debug for DashboardConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashboardConfig")
            .field("listen", &self.listen)
            .field("endpoints", &self.endpoints)
            .field("has_token", &self.token.is_some())
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}
