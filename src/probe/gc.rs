//! A garbage collection inside the running registry's container. nginx refuses pushes while a file exists, the mark:
//! nothing is restarted, and pulls continue.
//!
//! The registry's own collector is not used: with images of several platforms it loses layers of images that are
//! still tagged (`docs/upstream/garbage-collection.md`), and it removes the layers of a push that is under way.
//! Pushes are refused for the seconds in which regcert scans again what changed (`look`) and moves the garbage away
//! (`shell`). Only a collector inside the registry could do without refusing pushes: between its check for a layer
//! and its answer to a push, the registry would not notice a removal from outside.

mod drain;
mod look;
mod shell;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

pub(super) use drain::{Workers, workers};
pub use look::{Errand, Look};
pub use shell::Extent;
use shell::{COLLECTS, EMPTY, Shell};

use super::container::Service;
use super::containers::Project;
use super::engine::{failed, started};
use super::program::engine;
use crate::error::Fault;
use crate::images::{Amount, Garbage, Plan, TRASH};

/// The mark: nginx.conf refuses pushes while this file exists.
pub const READ_ONLY: &str = "/run/regcert/read-only";

/// The registry's socket, as in templates/registry/config.yml.
const SOCKET: &str = "/run/regcert/registry.sock";

/// The directory that the registry makes below the one in templates/registry/config.yml.
const ROOT: &str = "/var/lib/registry/docker/registry/v2";

/// How long to wait for a container that restarts.
const RESTART: Duration = Duration::from_secs(10);

/// The running containers of a registry, for a collection in them.
#[derive(Debug)]
pub struct Collector {
    project: Project,
    registry: String,
    nginx: Option<String>,
    /// Whether nginx checks for the mark last of all, directly before it asks the registry.
    asks_late: bool,
}

/// The result of a collection.
#[derive(Debug)]
pub struct Collected {
    /// The number and the size of all blobs when pushes were refused.
    pub before: Amount,
    /// The planned work.
    pub plan: Plan,
    /// Whether all of the plan was done.
    pub extent: Extent,
}

impl Collector {
    /// Finds the containers of this directory; nginx's only if `with_nginx`. `conf` is the configuration of nginx.
    pub fn find(project: Project, with_nginx: bool, conf: &str) -> Result<Self> {
        let id = |service| project.running(service).map(|container| container.id);
        let nginx = with_nginx.then(|| id(Service::Nginx)).transpose()?;
        let last = conf.split("location @authorize {").nth(1).and_then(|rest| rest.split("location ").next());
        let asks_late = last.is_some_and(|last| last.contains(READ_ONLY));
        Ok(Self { registry: id(Service::Registry)?, nginx, asks_late, project })
    }

    /// Whether the registry caches which layers exist: it would still promise them after their removal.
    pub fn remembers_layers(&self) -> Result<bool> {
        let environment = self.exec(&self.registry, &["env"])?;
        Ok(environment.lines().any(|line| line.starts_with("REGISTRY_STORAGE_CACHE")))
    }

    /// Collects while pushes are refused. Calls `say` with the name of each step.
    pub fn collect(
        &self,
        garbage: Garbage,
        before: Look,
        patience: Duration,
        say: impl Fn(&str),
    ) -> Result<Collected> {
        let mut shell = Shell::start(&self.project, &self.registry, ROOT)?;
        let result = self.drain(patience, &say).and_then(|()| {
            say("collecting");
            let look = self.look_again(garbage, before)?;
            shell.work(&look.plan);
            Ok(look)
        });
        // When the shell's stdin closes, the shell removes the mark, even if it never began to collect.
        let ended = shell.end();
        let Look { stored: before, plan, .. } = result?;
        Ok(Collected { before, plan, extent: ended? })
    }

    /// Frees the space of what was moved away. Pushes are accepted meanwhile.
    pub fn empty_trash(&self) -> Result<()> {
        self.exec(&self.registry, &["sh", "-c", EMPTY, "sh", ROOT, TRASH]).map(drop).map_err(|error| {
            let fault = Fault::new(format!("the space of what was collected cannot be freed: {error:#}"));
            fault.hint("run `regcert gc` again").into()
        })
    }

    /// Makes sure that the registry accepts pushes, also after a shell was killed: removes the mark unless its shell
    /// still runs, which then removes it itself. Waits for a container that restarts.
    pub fn take_pushes(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            let remove = format!("{COLLECTS}collects || rm -f \"$flag\"");
            match self.exec(&self.registry, &["sh", "-c", &remove, "sh", READ_ONLY]) {
                Ok(_) => return Ok(()),
                Err(_) if start.elapsed() < RESTART => std::thread::sleep(Duration::from_millis(500)),
                Err(error) => {
                    let fault = Fault::new(format!("the registry may still refuse pushes: {error:#}"));
                    bail!(fault.hint(format!("{}, then `regcert gc` again", self.project.runs("up -d"))));
                }
            }
        }
    }

    /// Runs a command with `docker exec` and returns its output.
    fn exec(&self, container: &str, words: &[&str]) -> Result<String> {
        let output = started(&[engine(), "exec", container], &self.project.dir, words)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let what = format!("`{}` cannot be run in the container", words.first().copied().unwrap_or_default());
        Err(failed(&what, &output.stderr, &self.project.logs()).into())
    }
}
