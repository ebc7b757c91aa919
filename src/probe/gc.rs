//! Garbage collection inside the running registry's container. nginx refuses pushes while a certain file, the mark,
//! exists. No container is restarted, and pulls continue.
//!
//! The registry's own collector is not used: it loses layers of tagged images with several platforms
//! (`docs/upstream/garbage-collection.md`), and removes the layers of a push that is under way. regcert refuses pushes
//! only for the seconds in which it scans the recent changes (`look`) and moves the garbage away (`shell`). Only a
//! collector inside the registry would not have to refuse pushes: between its check for a layer and its answer to a
//! push, the registry does not notice that another program removes the layer.

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

/// The path of the mark: nginx refuses pushes while this file exists.
pub const READ_ONLY: &str = "/run/regcert/read-only";

/// The registry's socket, as in templates/registry/config.yml.
const SOCKET: &str = "/run/regcert/registry.sock";

/// The registry's storage, which the registry creates below the directory in templates/registry/config.yml.
const ROOT: &str = "/var/lib/registry/docker/registry/v2";

/// The maximum time to wait for a container that restarts.
const RESTART: Duration = Duration::from_secs(10);

/// The running containers in which a collection works.
#[derive(Debug)]
pub struct Collector {
    project: Project,
    registry: String,
    nginx: Option<String>,
    /// Whether nginx checks for the mark as the last step before it connects to the registry.
    asks_late: bool,
}

/// The result of a collection.
#[derive(Debug)]
pub struct Collected {
    /// The number and the size of all blobs when pushes were refused.
    pub before: Amount,
    /// The planned work.
    pub plan: Plan,
    /// Whether the whole plan was carried out.
    pub extent: Extent,
}

impl Collector {
    /// Finds the running containers of this directory; nginx only if `with_nginx`. `conf` is the text of nginx.conf.
    pub fn find(project: Project, with_nginx: bool, conf: &str) -> Result<Self> {
        let id = |service| project.running(service).map(|container| container.id);
        let nginx = with_nginx.then(|| id(Service::Nginx)).transpose()?;
        let last = conf.split("location @authorize {").nth(1).and_then(|rest| rest.split("location ").next());
        let asks_late = last.is_some_and(|last| last.contains(READ_ONLY));
        Ok(Self { registry: id(Service::Registry)?, nginx, asks_late, project })
    }

    /// Whether the registry caches which layers exist. It would then report removed layers as existing.
    pub fn remembers_layers(&self) -> Result<bool> {
        let environment = self.exec(&self.registry, &["env"])?;
        Ok(environment.lines().any(|line| line.starts_with("REGISTRY_STORAGE_CACHE")))
    }

    /// Collects garbage while pushes are refused. Calls `say` with the name of each step.
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

    /// Removes the garbage that was moved away, to free its space. The registry accepts pushes meanwhile.
    pub fn empty_trash(&self) -> Result<()> {
        self.exec(&self.registry, &["sh", "-c", EMPTY, "sh", ROOT, TRASH]).map(drop).map_err(|error| {
            let fault = Fault::new(format!("the space of what was collected cannot be freed: {error:#}"));
            fault.hint("run `regcert gc` again").into()
        })
    }

    /// Makes the registry accept pushes again, even after a shell was killed: removes the mark, unless the shell still
    /// runs and will remove the mark itself. Waits for a container that restarts.
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
