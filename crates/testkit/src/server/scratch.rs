//! Temporary folders that are gone when the test process is, even after `kill -9`.
//!
//! All folders of a process are in one, and a janitor, a shell that reads from a pipe held by this
//! process, removes that one as soon as the pipe closes.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::OnceLock;

use tempfile::TempDir;

/// The unprivileged user that servers run as which refuse to run as root: `nobody`.
pub(crate) const NOBODY: u32 = 65_534;

/// Servers may still be dying when the janitor comes, so it tries for some seconds.
const JANITOR: &str = r#"
cat >/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" && exit; sleep 1; done
"#;

struct Base {
    dir: TempDir,
    /// Closed by the kernel when this process ends; that wakes the janitor.
    _pipe: ChildStdin,
}

/// Makes an empty folder, mode 0700, removed when dropped.
pub fn folder(name: &str) -> TempDir {
    static BASE: OnceLock<Base> = OnceLock::new();
    let base = BASE.get_or_init(open_base);
    tempfile::Builder::new()
        .prefix(&format!("{name}-"))
        .tempdir_in(base.dir.path())
        .expect("making a temporary folder")
}

/// Returns whether this process is root, so that PostgreSQL must run as somebody else.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Gives a file or folder to the user that servers run as.
pub(crate) fn give_away(path: &Path) {
    if is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).expect("changing the owner of a scratch file");
    }
}

fn open_base() -> Base {
    let dir = tempfile::Builder::new()
        .prefix(&format!("penstock-{}-", std::process::id()))
        .tempdir()
        .expect("making a temporary folder");
    // Others must pass through to the folders that are theirs.
    std::fs::set_permissions(dir.path(), PermissionsExt::from_mode(0o711))
        .expect("opening the temporary folder");
    let mut sh = Command::new("sh");
    sh.args(["-c", JANITOR, "janitor"])
        .arg(dir.path())
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0);
    #[expect(clippy::zombie_processes, reason = "the janitor outlives this process, by design")]
    let mut janitor = sh.spawn().expect("starting the janitor");
    let pipe = janitor.stdin.take().expect("invariant: stdin is piped");
    Base { dir, _pipe: pipe }
}
