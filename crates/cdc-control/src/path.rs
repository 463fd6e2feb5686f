//! Where the socket is, and how to name it to the system, which takes 107 bytes at most.
//!
//! On Linux a longer path is reached through its directory, held open and named by
//! `/proc/self/fd/N`; elsewhere it is refused by the system with its own message.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// The socket's name in the data directory.
pub const SOCKET: &str = "control.sock";

/// Longer paths go through the directory; the limit is 107 on Linux and 103 on macOS.
const PATH_BYTES_MAX: usize = 100;

/// A path that the system takes for a socket, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct SocketPath {
    path: PathBuf,
    _dir: Option<File>,
}

impl SocketPath {
    /// Makes `path` short enough.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let is_short = path.as_os_str().len() <= PATH_BYTES_MAX;
        match (path.parent(), path.file_name()) {
            (Some(dir), Some(name)) if !is_short && cfg!(target_os = "linux") => {
                let dir = File::open(dir)?;
                let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(name);
                Ok(Self { path, _dir: Some(dir) })
            }
            _ => Ok(Self { path: path.to_owned(), _dir: None }),
        }
    }

    /// Returns the path to give to the system.
    pub(crate) fn as_path(&self) -> &Path {
        &self.path
    }
}
