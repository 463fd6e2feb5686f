//! The files of the checkout.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Folders that are not the project's own text.
const SKIPPED: [&str; 4] = ["target", "testdata", "node_modules", "goldens"];

/// Returns the workspace's root.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("invariant: xtask is in a workspace")
}

/// Returns the paths of all files below `dir` that `wanted` accepts, relative to the root, sorted.
pub(crate) fn files(dir: &str, wanted: impl Fn(&Path) -> bool) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let start = root().join(dir);
    if start.exists() {
        walk(&start, &mut found)?;
    }
    let relative = |path: PathBuf| path.strip_prefix(root()).map(Path::to_owned);
    let mut found = found.into_iter().map(relative).collect::<Result<Vec<_>, _>>()?;
    found.retain(|path| wanted(path));
    found.sort();
    Ok(found)
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if path.is_symlink() || name.starts_with('.') || SKIPPED.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else {
            found.push(path);
        }
    }
    Ok(())
}

/// Reads a file of the workspace.
pub(crate) fn read(path: &Path) -> anyhow::Result<String> {
    fs::read_to_string(root().join(path)).with_context(|| format!("reading {}", path.display()))
}
