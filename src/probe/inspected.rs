//! Reads the output of `docker inspect` for a container, and finds out whether the container belongs to a registry's
//! directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::container::{Container, Service};
use super::engine::last_line;
use super::outward::Outward;

/// The mount points in docker-compose.yml that identify the registry's and nginx's container.
pub(super) const REGISTRY_MOUNT: &str = "/etc/regcert";
pub(super) const NGINX_MOUNT: &str = "/srv/trust";

pub(super) const PROJECT: &str = "com.docker.compose.project";
pub(super) const ONE_OFF: &str = "com.docker.compose.oneoff";
const WORKING_DIR: &str = "com.docker.compose.project.working_dir";

/// The fields of `docker inspect` that regcert uses.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Inspected {
    id: String,
    pub(super) name: String,
    #[serde(default)]
    restart_count: u64,
    pub(super) state: InspectedState,
    config: InspectedConfig,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct InspectedState {
    pub(super) status: String,
    #[serde(default)]
    exit_code: i64,
    #[serde(default)]
    started_at: String,
    health: Option<Health>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Health {
    status: String,
    // Podman omits the log or sets it to null.
    log: Option<Vec<HealthCheck>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HealthCheck {
    #[serde(default)]
    output: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    #[serde(default)]
    image: String,
    labels: Option<BTreeMap<String, String>>,
    #[serde(default, deserialize_with = "outward")]
    env: Outward,
}

/// Reads only the proxies from the environment, because other variables may be secret.
fn outward<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Outward, D::Error> {
    let lines = Option::<Vec<String>>::deserialize(from)?;
    Ok(Outward::of(&lines.unwrap_or_default()))
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    destination: String,
    #[serde(default)]
    source: PathBuf,
}

impl InspectedState {
    /// The output of the last health check, if the container runs and is unhealthy. A container that has ended keeps
    /// the result of its last health check, but only its log shows why it ended.
    fn unhealthy(&self) -> Option<String> {
        let health = self.health.as_ref().filter(|health| health.status == "unhealthy")?;
        if self.status != "running" {
            return None;
        }
        let last = health.log.as_ref()?.last()?;
        let lines = last.output.lines().map(str::trim).filter(|line| !line.is_empty());
        Some(last_line(&lines.collect::<Vec<_>>().join("; ")))
    }
}

impl Inspected {
    pub(super) fn label(&self, name: &str) -> Option<&str> {
        self.config.labels.as_ref()?.get(name).map(String::as_str)
    }

    fn source(&self, destination: &str) -> Option<&Path> {
        self.mounts.iter().find(|mount| mount.destination == destination).map(|mount| mount.source.as_path())
    }

    /// The service of the container; `None` if the container does not belong to a registry.
    pub(super) fn service(&self) -> Option<Service> {
        let has = |destination: &str| self.source(destination).is_some();
        if has(REGISTRY_MOUNT) { Some(Service::Registry) } else { has(NGINX_MOUNT).then_some(Service::Nginx) }
    }

    /// The directory of the registry that the container was created for.
    pub(super) fn directory(&self) -> Option<PathBuf> {
        let above = |destination: &str| self.source(destination)?.parent().map(Path::to_owned);
        above(REGISTRY_MOUNT)
            .or_else(|| above(NGINX_MOUNT))
            .or_else(|| self.label(WORKING_DIR).map(PathBuf::from))
    }

    /// Whether the container was created for this directory.
    pub(super) fn is_of(&self, dir: &Path) -> bool {
        let is_here = |path: &Path| path.canonicalize().is_ok_and(|path| path == dir);
        // The label is also compared, because Docker Desktop reports other paths for mounted directories.
        self.directory().is_some_and(|path| is_here(&path))
            || self.label(WORKING_DIR).is_some_and(|path| is_here(Path::new(path)))
    }

    /// Whether the container's directory is missing. It may have been renamed to the current directory.
    pub(super) fn is_orphan(&self) -> bool {
        let gone = |path: PathBuf| {
            path.symlink_metadata().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        self.directory().is_some_and(gone)
    }

    pub(super) fn container(&self, service: Service) -> Container {
        Container {
            id: self.id.clone(),
            name: self.name.trim_start_matches('/').to_owned(),
            service,
            project: self.label(PROJECT).unwrap_or_default().to_owned(),
            image: self.config.image.clone(),
            status: self.state.status.clone(),
            // Podman has an empty status if there is no health check.
            health: self
                .state
                .health
                .as_ref()
                .map(|health| health.status.clone())
                .filter(|status| !status.is_empty()),
            exit_code: self.state.exit_code,
            started: OffsetDateTime::parse(&self.state.started_at, &Rfc3339).ok(),
            restarts: self.restart_count,
            mounts: self.mounts.iter().map(|m| (m.destination.clone(), m.source.clone())).collect(),
            outward: self.config.env.clone(),
            last_line: self.state.unhealthy().unwrap_or_default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_health_check_speaks_only_for_a_container_that_runs() {
        let state = |status: &str, health: &str| -> Option<String> {
            let log = r#"[{"Output": "an earlier one"}, {"Output": "cannot be read\n"}]"#;
            let text =
                format!(r#"{{"Status": "{status}", "Health": {{"Status": "{health}", "Log": {log}}}}}"#);
            serde_json::from_str::<InspectedState>(&text).unwrap().unhealthy()
        };
        assert_eq!(state("running", "unhealthy").as_deref(), Some("cannot be read"));
        for (status, health) in [
            ("restarting", "unhealthy"),
            ("exited", "unhealthy"),
            ("running", "healthy"),
            ("running", "starting"),
        ] {
            assert_eq!(state(status, health), None, "{status}, {health}");
        }
    }
}
