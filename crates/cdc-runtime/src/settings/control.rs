//! Where control is served over TCP, and to whom.

use std::net::SocketAddr;
use std::path::Path;

use super::secret::read_secret;
use crate::report::Problem;

/// Where a process is asked and told over TCP.
#[derive(Debug, Clone)]
pub struct ControlConfig {
    /// The address.
    pub listen: SocketAddr,
    /// What callers must know; without one only on loopback.
    pub token: Option<String>,
}

impl ControlConfig {
    /// Reads the token, where control is served at all.
    ///
    /// # Errors
    /// A token that cannot be read; none, where others than this machine reach `listen`.
    pub fn open(
        listen: Option<SocketAddr>,
        token_file: Option<&Path>,
    ) -> Result<Option<Self>, Problem> {
        let Some(listen) = listen else { return Ok(None) };
        let read = |path| read_secret("control.token.file", path);
        let token = token_file.map(read).transpose()?;
        let token = token.map(|token| token.trim().to_owned());
        if token.is_none() && !listen.ip().is_loopback() {
            return Err(Problem::usage(
                format!("control would be served to everybody who reaches {listen}"),
                "control.listen is not on loopback, and there is no token",
                "Set control.token.file to a file that holds one, or listen on 127.0.0.1.",
            ));
        }
        Ok(Some(Self { listen, token }))
    }
}
