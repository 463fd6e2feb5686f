//! `cargo x compose`: runs `docker-compose.yml` as people do, with podman in Docker's place.
//!
//! No image registry is asked: what stands in for the pinned base images is made here, under their
//! tags, from Debian's archive and what `scripts/bootstrap` fetched (`deploy/stand-in`). The rest is
//! real: Docker's compose binary builds and starts what the file says, in containers of their own.
//! What that takes of a machine is in `docs/containers.md`.

use anyhow::Context;
use clap::Args;

use crate::shell::{program, run};

mod engine;
mod http;
mod place;
mod project;
mod stand_in;
mod tool;
mod trial;

/// What can be asked for.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Only check the Dockerfile and the compose file
    #[arg(long)]
    lint: bool,
    /// Run the images that are there
    #[arg(long)]
    no_build: bool,
    /// Only remove what earlier runs kept: images, tools, logs
    #[arg(long, conflicts_with = "lint")]
    clean: bool,
}

/// Builds every image, brings the project up, and sees orders arrive through kills.
pub(crate) fn compose(options: &Options) -> anyhow::Result<()> {
    let place = place::Place::open()?;
    if options.clean {
        return place.remove();
    }
    tool::fetch(&place)?;
    let project = project::Project::new(&place)?;
    tool::lint(&place, &project)?;
    if options.lint {
        return Ok(());
    }
    run(program("scripts/bootstrap", ["test"]))?;
    let engine = engine::Engine::start(&place)?;
    let outcome = prepare(&place, &project, options).and_then(|()| run_project(&place, &project));
    // Both are told of: what failed first is what matters.
    let stopped = engine.stop();
    outcome.and(stopped)
}

fn prepare(
    place: &place::Place,
    project: &project::Project<'_>,
    options: &Options,
) -> anyhow::Result<()> {
    stand_in::build(place)?;
    if options.no_build { Ok(()) } else { project.build() }
}

fn run_project(place: &place::Place, project: &project::Project<'_>) -> anyhow::Result<()> {
    let outcome = project.while_checked(|| {
        project.up()?;
        trial::run(project)
    });
    if outcome.is_err() {
        project.keep_logs();
    }
    let down = project.down().context("taking the project down");
    outcome.and(down)?;
    place.print_sizes()
}
