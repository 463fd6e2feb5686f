//! What stands in for the base images that no registry is asked for, under their pinned tags.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};

use super::place::{Place, output};
use crate::shell::program;
use crate::workspace;

const CERTIFICATES: &str = "/etc/ssl/certs";

/// Makes each stand-in, if it is not there yet or what it is made of has changed.
pub(crate) fn build(place: &Place) -> anyhow::Result<()> {
    let debian = pinned("debian")?;
    if output(place.podman(["images", "--quiet", &debian]))?.is_empty() {
        make_debian(place, &debian)?;
    }
    let sysroot = output(program("rustc", ["--print", "sysroot"]))?.join("");
    let certificates = ("certificates", PathBuf::from(CERTIFICATES));
    let node = output(program("npm", ["prefix", "--global"]))?.join("");
    for (name, folders) in [
        ("rust", vec![certificates.clone(), ("toolchain", PathBuf::from(sysroot))]),
        ("node", vec![certificates, ("node", PathBuf::from(node))]),
        ("postgres", vec![("postgres", place.fetched("postgres/18-wheel"))]),
        ("apache/kafka", vec![("kafka", place.fetched("kafka"))]),
    ] {
        make(place, &debian, name, &folders)?;
    }
    Ok(())
}

/// Debian as its archive has it, of the same release.
fn make_debian(place: &Place, tag: &str) -> anyhow::Result<()> {
    let root = place.path("debian");
    if root.exists() {
        fs::remove_dir_all(&root).context("removing a half-made debian")?;
    }
    let mut make = program("mmdebstrap", ["--variant=minbase", "--mode=chrootless", "bookworm"]);
    make.arg(&root);
    place.step("mmdebstrap", make)?;
    let mut build = place.podman(["build", "--tag", tag, "--file"]);
    build.arg(workspace::root().join("deploy/stand-in/debian.Dockerfile")).arg(&root);
    place.step(&format!("build {tag}"), build)?;
    fs::remove_dir_all(&root).context("removing the folder that debian was made in")
}

fn make(
    place: &Place,
    debian: &str,
    name: &str,
    folders: &[(&str, PathBuf)],
) -> anyhow::Result<()> {
    let tag = pinned(name)?;
    let short = name.rsplit('/').next().unwrap_or(name);
    let dir = workspace::root().join("deploy/stand-in");
    let mut build = place.podman(["build", "--layers", "--pull=never", "--tag", &tag]);
    build.arg("--build-arg").arg(format!("DEBIAN={debian}"));
    for (folder, path) in folders {
        build.arg("--build-context").arg(format!("{folder}={}", path.display()));
    }
    build.arg("--file").arg(dir.join(format!("{short}.Dockerfile"))).arg(dir);
    place.step(&format!("build {tag}"), build)
}

/// Returns the tag under which an image is used here.
fn pinned(name: &str) -> anyhow::Result<String> {
    let mut tags = Vec::new();
    for file in ["deploy/Dockerfile", "docker-compose.yml"] {
        let text = workspace::read(Path::new(file))?;
        let is_tag = |word: &&str| word.split(':').next() == Some(name) && word.contains(':');
        let lines = text.lines().map(str::trim);
        let lines = lines.filter(|line| line.starts_with("FROM ") || line.starts_with("image: "));
        tags.extend(lines.filter_map(|line| line.split(' ').find(is_tag)).map(str::to_owned));
    }
    tags.dedup();
    ensure!(tags.len() == 1, "{name} should be pinned to one tag, and is to {tags:?}");
    Ok(tags.remove(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_base_is_pinned_to_one_tag() {
        for name in ["debian", "rust", "node", "postgres", "apache/kafka"] {
            let tag = pinned(name).unwrap();
            assert!(tag.starts_with(&format!("{name}:")) && !tag.ends_with("latest"), "{tag}");
        }
    }

    #[test]
    fn the_builder_has_the_toolchain_that_the_checkout_names() {
        let wanted = workspace::read(Path::new("rust-toolchain.toml")).unwrap();
        let toml: toml::Table = wanted.parse().unwrap();
        let channel = toml["toolchain"]["channel"].as_str().unwrap();
        assert!(pinned("rust").unwrap().starts_with(&format!("rust:{channel}-")));
        let dockerfile = workspace::read(Path::new("deploy/Dockerfile")).unwrap();
        assert!(dockerfile.contains(&format!("RUSTUP_TOOLCHAIN={channel} ")));
    }
}
