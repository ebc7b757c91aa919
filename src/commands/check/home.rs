//! Collects the state of a registry on this machine: its containers, ports and files.

use std::path::PathBuf;

use crate::commands::World;
use crate::deployment::Deployment;
use crate::error::{Fault, faults};
use crate::front;
use crate::guide::OVERRIDE;
use crate::health::{Contained, Containers, Ill, Listener};
use crate::names::shell;
use crate::probe::{Container, Outward, Ports, Project, Service};
use crate::settings::{Data, Proxy, Settings};
use crate::store;

/// The state of a registry that is visible only on the registry's machine: containers, ports and files.
pub(super) struct Home {
    pub containers: Containers,
    pub listeners: Vec<(u16, Listener)>,
    pub free_ports: (u16, u16),
    pub files: Vec<(String, Ill)>,
    pub refused: Option<String>,
    /// The existing configuration files that the user, not regcert, maintains.
    pub own: Vec<&'static str>,
    pub data: Option<String>,
    pub outward: Outward,
}

impl Home {
    /// Returns an empty state, for a registry of which only the name and the root certificate are known.
    pub fn elsewhere() -> Self {
        Self {
            containers: Containers::Unknown(Fault::new("with --ca-cert, containers are not looked at")),
            listeners: Vec::new(),
            free_ports: FREE_PORTS,
            files: Vec::new(),
            refused: None,
            own: Vec::new(),
            data: None,
            outward: Outward::default(),
        }
    }

    /// Reads the state of the registry in the directory of `world`.
    pub fn of(world: &World, deployment: &Deployment) -> Self {
        let Settings { proxy, http_port, https_port, anonymous_port, .. } = &deployment.spec;
        let redirect = http_port.filter(|_| *proxy == Proxy::Nginx);
        let ports = [Some(*https_port), redirect, *anonymous_port].into_iter().flatten();
        let now = Ports::now();
        let free =
            |usual: u16| (usual..usual.saturating_add(10)).find(|port| now.is_free(*port)).unwrap_or(usual);
        let project = world.project();
        let found = project.containers();
        let registry = found.iter().flatten().find(|container| container.service == Service::Registry);
        Self {
            outward: registry.map(|registry| registry.outward.clone()).unwrap_or_default(),
            containers: containers(&project, found),
            listeners: ports.filter_map(|port| Some((port, now.listener(port)?))).collect(),
            free_ports: (free(FREE_PORTS.0), free(FREE_PORTS.1)),
            files: world.ill(deployment).unwrap_or_default(),
            refused: (*proxy == Proxy::Nginx).then(|| project.nginx_refuses()).flatten(),
            own: own(world),
            data: data(world, deployment),
        }
    }
}

/// Returns the path of the image directory, quoted for a shell; `None` for a volume.
fn data(world: &World, deployment: &Deployment) -> Option<String> {
    let path = match &deployment.spec.data {
        Data::Directory(path) => world.dir.join(path),
        Data::Volume | Data::Existing(_) => return None,
    };
    Some(shell(&path.components().collect::<PathBuf>().display().to_string()))
}

/// Summarizes the registry's containers, as Docker reports them, for the findings.
fn containers(project: &Project, found: anyhow::Result<Vec<Container>>) -> Containers {
    let all = match found {
        Ok(all) => all,
        Err(error) => return Containers::Unknown(faults(&error).remove(0)),
    };
    let contained = |container| {
        let cure = project.cure(&container);
        Contained {
            service: container.service.name(),
            is_running: container.is_running(),
            is_healthy: match container.health.as_deref() {
                Some("healthy") => Some(true),
                Some("unhealthy") => Some(false),
                Some(_) | None => None,
            },
            said: container.last_line.clone(),
            trouble: container.trouble().map(|trouble| Fault::new(trouble).hint(cure)),
            image: container.image.clone(),
            data: container.mounts.get("/var/lib/registry").and_then(|path| store::real(path).ok()),
            started: container.started,
            name: container.name,
        }
    };
    Containers::Known(all.into_iter().map(contained).collect())
}

/// Lists the user's own files that the containers read. Skips files that contain only comments.
fn own(world: &World) -> Vec<&'static str> {
    let says = |path: &&str| world.text(path).is_none_or(|text| front::says_something(&text));
    let local = front::LOCAL.into_iter().filter(|path| world.dir.join(path).exists()).filter(says);
    local.chain([OVERRIDE].into_iter().filter(|path| world.dir.join(path).exists())).collect()
}

/// The first ports, for http and https, that `check` proposes if a port is taken, as in the README.
const FREE_PORTS: (u16, u16) = (8080, 5443);
