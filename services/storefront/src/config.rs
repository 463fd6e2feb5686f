//! What a storefront is told.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;

/// The port of the shop, if none is given.
const PORT: u16 = 8088;

/// A text that is not shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A process that is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Endpoint {
    /// Over TCP, at `HOST:PORT`.
    Address(String),
    /// Over the Unix socket in a pipeline's data directory.
    DataDir(PathBuf),
}

impl Endpoint {
    /// Reads `HOST:PORT` or a directory; what holds a slash, or is `.` or `..`, is a directory.
    pub fn parse(text: &str) -> Self {
        let port = text.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        match port {
            Some(_) if !text.contains('/') => Self::Address(text.to_owned()),
            _ => Self::DataDir(PathBuf::from(text)),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => f.write_str(address),
            Self::DataDir(dir) => write!(f, "{}", dir.display()),
        }
    }
}

/// What a storefront is told.
#[derive(Debug, Clone)]
pub struct StorefrontConfig {
    /// Where the shop will be reached. Default `127.0.0.1:8088`. Others than loopback close the lab
    /// unless `has_lab` opens it.
    pub listen: SocketAddr,
    /// The source database, as a URL.
    pub database: Secret,
    /// Its password, if it is not in the URL.
    pub database_password: Option<Secret>,
    /// The processes to ask; none sells without telling what came after.
    pub control: Vec<Endpoint>,
    /// What the processes want to hear before they answer over TCP.
    pub control_token: Option<Secret>,
    /// The URL of the operator's dashboard, for links.
    pub dashboard: Option<String>,
    /// Orders per second that the load dial begins with. Default 0.
    pub rate: f64,
    /// Whether the page with the load dial and the breakages answers. Default: on loopback only.
    pub has_lab: Option<bool>,
}

impl StorefrontConfig {
    /// Makes the settings for a database, all others at their defaults.
    pub fn new(database: impl Into<String>) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, PORT)),
            database: Secret::new(database),
            database_password: None,
            control: Vec::new(),
            control_token: None,
            dashboard: None,
            rate: 0.0,
            has_lab: None,
        }
    }

    /// Whether the lab answers.
    pub(crate) fn is_lab_open(&self) -> bool {
        self.has_lab.unwrap_or_else(|| self.listen.ip().is_loopback())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_an_address_or_a_directory() {
        for text in ["127.0.0.1:8090", "capture:8090", "[::1]:8090"] {
            assert_eq!(Endpoint::parse(text), Endpoint::Address(text.to_owned()));
        }
        for text in [".penstock", "/var/lib/penstock", "a:b", "/data:1/8090"] {
            assert_eq!(Endpoint::parse(text), Endpoint::DataDir(PathBuf::from(text)));
        }
    }
}
