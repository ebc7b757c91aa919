//! One container of the registry, as Docker tells of it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use time::OffsetDateTime;

use super::outward::Outward;
use crate::names::printable;

/// What a container of the registry is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Ends TLS.
    Nginx,
    /// Stores images.
    Registry,
}

impl Service {
    /// Its name in docker-compose.yml.
    pub fn name(self) -> &'static str {
        match self {
            Self::Nginx => "nginx",
            Self::Registry => "registry",
        }
    }
}

/// One container of this directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// What docker knows it by.
    pub id: String,
    /// Its name, such as `registry1-nginx-1`.
    pub name: String,
    /// What it is for.
    pub service: Service,
    /// Its Compose project.
    pub project: String,
    /// The image it was made of.
    pub image: String,
    /// `running`, `restarting`, `exited` and so on.
    pub status: String,
    /// `healthy`, `starting` or `unhealthy`; nothing without a health check.
    pub health: Option<String>,
    /// Of its last end.
    pub exit_code: i64,
    /// When it last started.
    pub started: Option<OffsetDateTime>,
    /// How often Docker started it again.
    pub restarts: u64,
    /// The directories of the host that it has mounted, by where.
    pub mounts: BTreeMap<String, PathBuf>,
    /// By which proxy it reaches other machines.
    pub outward: Outward,
    /// Why it ended, or what its health check says, in its own words; empty while it runs well.
    pub last_line: String,
}

impl Container {
    /// Whether it runs, as far as Docker knows.
    pub fn is_running(&self) -> bool {
        self.status == "running"
    }

    /// What a person reads about one that does not run well; `None` for one that does.
    pub fn trouble(&self) -> Option<String> {
        let Self { name, status, health, exit_code, restarts, last_line, .. } = self;
        let said = if last_line.is_empty() { String::new() } else { format!(": {last_line}") };
        match (status.as_str(), health.as_deref()) {
            ("running", Some("unhealthy")) => Some(format!("container `{name}` is unhealthy{said}")),
            // Docker started it again, and it has not answered since: it may end once more in a moment.
            ("running", Some("starting")) if *restarts > 0 => self.ends_each_time(&said),
            ("running", _) => None,
            ("restarting", _) => self.ends_each_time(&said),
            // SIGTERM, as `docker stop` sends it, and an end of its own accord: the last line tells no cause.
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
