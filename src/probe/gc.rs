//! A garbage collection inside the running registry's container. A file that nginx looks for makes the registry
//! read-only: nothing is restarted, and pulls go on.
//!
//! The registry's own collector is not used: with images of several platforms it loses layers of images that are still
//! tagged (`docs/upstream/garbage-collection.md`), and it takes the layers of a push that is under way. Pushes are refused for
//! the seconds in which regcert looks again at what changed (`look`) and moves out of the way what goes (`shell`). None are refused
//! only if the registry itself collects: between its look whether a layer is there and its answer to a push, a removal from
//! outside would go unnoticed.

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

/// What nginx.conf looks for.
pub const READ_ONLY: &str = "/run/regcert/read-only";

/// As templates/registry/config.yml has it.
const SOCKET: &str = "/run/regcert/registry.sock";

/// What the registry makes below the directory that templates/registry/config.yml names.
const ROOT: &str = "/var/lib/registry/docker/registry/v2";

/// How long a container takes to come back.
const RESTART: Duration = Duration::from_secs(10);

/// The running containers of a registry, for a collection in them.
#[derive(Debug)]
pub struct Collector {
    project: Project,
    registry: String,
    nginx: Option<String>,
    /// Whether nginx looks for the mark last of all, directly before it asks the registry.
    asks_late: bool,
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    /// Everything that was stored when pushes were refused.
    pub before: Amount,
    /// What was to be done.
    pub plan: Plan,
    /// How much of it was.
    pub extent: Extent,
}

impl Collector {
    /// Finds the containers of this directory; nginx's where `with_nginx`. `conf` is its configuration.
    pub fn find(project: Project, with_nginx: bool, conf: &str) -> Result<Self> {
        let id = |service| project.running(service).map(|container| container.id);
        let nginx = with_nginx.then(|| id(Service::Nginx)).transpose()?;
        let last = conf.split("location @authorize {").nth(1).and_then(|rest| rest.split("location ").next());
        let asks_late = last.is_some_and(|last| last.contains(READ_ONLY));
        Ok(Self { registry: id(Service::Registry)?, nginx, asks_late, project })
    }

    /// Whether the registry remembers layers, which it would then promise after they were removed.
    pub fn remembers_layers(&self) -> Result<bool> {
        let environment = self.exec(&self.registry, &["env"])?;
        Ok(environment.lines().any(|line| line.starts_with("REGISTRY_STORAGE_CACHE")))
    }

    /// Collects while pushes are refused. `say` is told of each step.
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
        // Its stdin goes, and the file with it, also where it never got as far as collecting.
        let ended = shell.end();
        let Look { stored: before, plan, .. } = result?;
        Ok(Collected { before, plan, extent: ended? })
    }

    /// Frees the space of what was moved out of the way. Pushes go on.
    pub fn empty_trash(&self) -> Result<()> {
        self.exec(&self.registry, &["sh", "-c", EMPTY, "sh", ROOT, TRASH]).map(drop).map_err(|error| {
            let fault = Fault::new(format!("the space of what was collected cannot be freed: {error:#}"));
            fault.hint("run `regcert gc` again").into()
        })
    }

    /// Makes sure that pushes are taken, also after a shell that was killed: one that lives ends with the mark itself. A
    /// container that ended with it comes back.
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

    /// What `docker exec` prints.
    fn exec(&self, container: &str, words: &[&str]) -> Result<String> {
        let output = started(&[engine(), "exec", container], &self.project.dir, words)?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        let what = format!("`{}` cannot be run in the container", words.first().copied().unwrap_or_default());
        Err(failed(&what, &output.stderr, &self.project.logs()).into())
    }
}
