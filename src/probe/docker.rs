//! Asks Docker on this machine about a registry that regcert did not start: its containers and its volume.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;

use super::program::engine;
use super::{Compose, program};
use crate::names::{VolumeName, shell};

/// The names of the running containers that use `dir` or `volume`, with a command that stops them; `None` if none
/// runs, or if Docker does not answer.
pub fn running(compose: Compose, dir: &Path, volume: Option<&VolumeName>) -> Option<(Vec<String>, String)> {
    let ids = docker(&["ps", "-q"])?;
    let ids: Vec<_> = ids.split_whitespace().collect();
    let Value::Array(containers) = inspect(&[&["inspect"][..], &ids].concat()) else {
        return None;
    };
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let uses = |container: &&Value| {
        let mounts = container["Mounts"].as_array().into_iter().flatten();
        mounts.into_iter().any(|mount| {
            Path::new(&text(&mount["Source"])).starts_with(dir)
                || volume.is_some_and(|volume| text(&mount["Name"]) == volume.as_str())
        }) || Path::new(&project(container)) == dir
    };
    fn project(container: &Value) -> String {
        let labels = &container["Config"]["Labels"];
        labels["com.docker.compose.project.working_dir"].as_str().unwrap_or_default().to_owned()
    }
    let used: Vec<_> = containers.iter().filter(uses).collect();
    let names: Vec<_> =
        used.iter().map(|container| text(&container["Name"]).trim_start_matches('/').to_owned()).collect();
    if names.is_empty() {
        return None;
    }
    let words = names.iter().map(|name| shell(name)).collect::<Vec<_>>().join(" ");
    let by_hand = format!("{0} update --restart=no {words} && {0} stop {words}", engine());
    let place = project(used[0]);
    let one_project = !place.is_empty() && used.iter().all(|container| project(container) == place);
    let command = if one_project { format!("(cd {} && {compose} down)", shell(&place)) } else { by_hand };
    Some((names, command))
}

/// The state of a volume in Docker.
pub enum Volume {
    /// The volume exists, and its files are in this directory.
    At(PathBuf),
    /// The volume is missing. The value lists volumes that have the same name in other Compose projects.
    Missing(Vec<String>),
    /// Docker does not answer.
    Unknown,
}

/// Asks Docker for the state of a volume.
pub fn volume(name: &VolumeName) -> Volume {
    if docker(&["version"]).is_none() {
        return Volume::Unknown;
    }
    if let Some(path) = inspect(&["volume", "inspect", name.as_str()])[0]["Mountpoint"].as_str() {
        return Volume::At(path.into());
    }
    let key = name.as_str().rsplit('_').next().unwrap_or_default();
    let label = format!("label=com.docker.compose.volume={key}");
    let alike = docker(&["volume", "ls", "-q", "--filter", &label]).unwrap_or_default();
    Volume::Missing(alike.split_whitespace().map(str::to_owned).collect())
}

fn inspect(words: &[&str]) -> Value {
    docker(words).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default()
}

fn docker(words: &[&str]) -> Option<String> {
    let output = program(engine()).args(words).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}
