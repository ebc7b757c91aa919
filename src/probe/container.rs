//! A container of the registry, with the state that Docker reports.

use std::collections::BTreeMap;
use std::path::PathBuf;

use time::OffsetDateTime;

use super::outward::Outward;
use crate::names::printable;

/// The service that a container of the registry runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The proxy that terminates TLS.
    Nginx,
    /// The server that stores images.
    Registry,
}

impl Service {
    /// The name of the service in docker-compose.yml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Registry => "registry",
        }
    }
}

/// A container of the registry in this directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// The id that Docker gives the container.
    pub id: String,
    /// The name of the container, such as `registry1-nginx-1`.
    pub name: String,
    pub service: Service,
    /// The Compose project of the container.
    pub project: String,
    /// The image that the container was created from.
    pub image: String,
    /// `running`, `restarting`, `exited` and so on.
    pub status: String,
    /// `healthy`, `starting` or `unhealthy`; `None` without a health check.
    pub health: Option<String>,
    /// The exit code of the last run.
    pub exit_code: i64,
    /// The time when the container last started.
    pub started: Option<OffsetDateTime>,
    /// The number of times that Docker restarted the container.
    pub restarts: u64,
    /// The host directories that are mounted into the container, by mount point.
    pub mounts: BTreeMap<String, PathBuf>,
    /// The proxies through which the container reaches other machines.
    pub outward: Outward,
    /// The last line of the log, or the output of the health check; empty while the container runs well.
    pub last_line: String,
}

impl Container {
    /// Whether Docker reports that the container runs.
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// The problem of the container, as text for the user; `None` if the container runs well.
    pub fn trouble(&self) -> Option<String> {
        let Self { name, status, health, exit_code, restarts, last_line, .. } = self;
        let said = if last_line.is_empty() { String::new() } else { format!(": {last_line}") };
        match (status.as_str(), health.as_deref()) {
            ("running", Some("unhealthy")) => Some(format!("container `{name}` is unhealthy{said}")),
            // Docker restarted the container, and it is not healthy yet: it may soon end again.
            ("running", Some("starting")) if *restarts > 0 => self.ends_each_time(&said),
            ("running", _) => None,
            ("restarting", _) => self.ends_each_time(&said),
            // `docker stop` stopped the container with SIGTERM, or it ended without an error: the last line is not a
            // cause.
            ("exited", _) if matches!(exit_code, 0 | 143) => {
                Some(format!("container `{name}` was stopped (exit code {exit_code})"))
            }
            ("exited" | "dead", _) => {
                Some(format!("container `{name}` has ended (exit code {exit_code}){said}"))
            }
            (status, _) => Some(format!("container `{name}` is {}", printable(status))),
        }
    }

    fn ends_each_time(&self, said: &str) -> Option<String> {
        let Self { name, exit_code, restarts, .. } = self;
        Some(format!(
            "container `{name}` ends each time it starts (exit code {exit_code}, {restarts} restarts){said}"
        ))
    }
}
