//! The part of `init` for Docker Compose: names the registry's Compose project, and warns of a version that is too
//! old.

use std::path::PathBuf;

use anyhow::Result;

use super::World;
use crate::deployment::{ComposeProject, Deployment, ENV};
use crate::health::Found;
use crate::probe::{Here, Version};
use crate::store::{self, Lead};
use crate::ui;

/// The first version of Compose that accepts a docker-compose.yml without `version` and with
/// `service_completed_successfully` (changelog of docker-compose 1.29.0).
const COMPOSE_LEAST: [u32; 2] = [1, 29];

/// Gives a new registry its own Compose project.
pub(super) fn name_project(deployment: &mut Deployment, world: &World) {
    let host = deployment.spec.host().to_string();
    deployment.state.project = Some(ComposeProject::new(&host, &world.site.directory));
}

/// Gives a copy of a registry's directory another Compose project. With the project name of the original, Compose
/// would replace the original's containers.
pub(super) fn rename_copy(deployment: &mut Deployment, world: &World) {
    let Some(project) = &mut deployment.state.project else {
        return;
    };
    let first = PathBuf::from(&project.directory);
    if store::is_same_directory(&first, &world.dir) {
        return;
    }
    let is_there = match store::look(&first.join(ENV)) {
        Found::File { bytes, .. } => String::from_utf8_lossy(&bytes).contains(&project.name),
        Found::Nothing => false,
        // If in doubt, rename: the old name may belong to the containers of another directory.
        Found::Directory(_) | Found::Unreadable(_) => true,
    };
    if !is_there {
        // The directory was moved or renamed, not copied, so the project keeps its name.
        project.directory.clone_from(&world.site.directory);
        return;
    }
    let copied = format!("`{}` is a copy of `{}`", world.dir.display(), project.directory);
    name_project(deployment, world);
    let name = deployment.state.project.as_ref().map_or("", |project| &project.name);
    ui::say(format!("{copied}: its Compose project gets another name, `{name}`"));
}

impl World {
    /// Makes Compose in the clone of regcert find this registry, or warns which lines the clone's `.env` lacks.
    pub(in crate::commands) fn lead_compose(&self) -> Result<()> {
        if let Lead::Foreign(lines) = store::lead_compose(&self.dir)? {
            let lines: Vec<_> = lines.lines().filter(|line| !line.starts_with('#')).collect();
            ui::warn(format!(
                "Compose does not find this registry from the clone of regcert, because its `.env` is yours: add to it\n  {}",
                lines.join("\n  ")
            ));
        }
        Ok(())
    }
}

/// Warns of a Docker Compose that cannot read docker-compose.yml.
pub(super) fn warn_about_compose(here: &Here) {
    if let Version::Known(version) = &here.compose
        && is_older(version, COMPOSE_LEAST)
    {
        let [major, minor] = COMPOSE_LEAST;
        ui::warn(format!(
            "Docker Compose {version} cannot read docker-compose.yml, which needs {major}.{minor} or newer: install the Compose plugin (https://docs.docker.com/compose/install/linux/)"
        ));
    }
}

/// Whether `version` is older than `least`. A version that does not begin with two numbers counts as new.
fn is_older(version: &str, least: [u32; 2]) -> bool {
    let mut parts = version.trim_start_matches('v').split('.').map(str::parse::<u32>);
    match (parts.next(), parts.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => [major, minor] < least,
        (_, _) => false,
    }
}
