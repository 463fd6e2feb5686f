//! Settings of the client.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How to reach a registry; prints no secret.
#[derive(Clone)]
pub struct RestConfig {
    /// Base addresses of one registry, tried in this order; a path belongs to them, such as
    /// `http://registry:8080/apis/ccompat/v7`. At least one. A user and password in the first are
    /// taken out and used if `credentials` is [`Credentials::None`].
    pub urls: Vec<String>,
    /// What to authenticate with.
    pub credentials: Credentials,
    /// Certificates in PEM to trust beside the system's.
    pub ca_file: Option<PathBuf>,
    /// Bound of making a connection. Default 3 s.
    pub connect_timeout: Duration,
    /// Bound of one request, to the end of its answer. Default 10 s.
    pub request_timeout: Duration,
    /// How often all addresses are tried before a call fails, from 1. Default 3.
    pub rounds_max: u32,
    /// Pause after the first round; doubles after each, up to `backoff_max`. Default 100 ms.
    pub backoff_initial: Duration,
    /// Longest pause, also where a server asks for a longer one. Default 2 s.
    pub backoff_max: Duration,
}

impl RestConfig {
    /// The defaults, for one address or several separated by commas.
    pub fn new(urls: &str) -> Self {
        Self {
            urls: urls.split(',').map(|url| url.trim().to_owned()).collect(),
            credentials: Credentials::None,
            ca_file: None,
            connect_timeout: Duration::from_secs(3),
            request_timeout: Duration::from_secs(10),
            rounds_max: 3,
            backoff_initial: Duration::from_millis(100),
            backoff_max: Duration::from_secs(2),
        }
    }
}

impl fmt::Debug for RestConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What stands before an @ may be a password.
        let host = |url: &String| url.rsplit_once('@').map_or(url.clone(), |(_, host)| host.into());
        let hosts: Vec<String> = self.urls.iter().map(host).collect();
        f.debug_struct("RestConfig")
            .field("urls", &hosts)
            .field("credentials", &self.credentials)
            .finish_non_exhaustive()
    }
}

/// What to authenticate with; prints no secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// HTTP basic authentication.
    Basic {
        /// The user.
        user: String,
        /// The password.
        password: String,
    },
    /// A bearer token.
    Bearer(String),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Basic { user, .. } => write!(f, "Basic({user}:***)"),
            Self::Bearer(_) => f.write_str("Bearer(***)"),
        }
    }
}
