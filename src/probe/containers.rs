//! The registry's containers: finds the containers of a directory, their state, and the reason why one does not run.
//! This module never changes a container.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::Compose;
use super::container::{Container, Service};
use super::engine::{failed, last_line, run, started};
use super::inspected::{Inspected, NGINX_MOUNT, ONE_OFF, PROJECT, REGISTRY_MOUNT};
use super::program::engine;
use super::project_name::{directory_name, own_name};
use crate::error::Fault;
use crate::names::{PROJECT_NAME, printable, project_name, shell};

/// The mount point of the directory with the registry's socket, in both containers.
const SOCKET_MOUNT: &str = "/run/regcert";

/// The number of log lines that are searched for the reason of an exit: after the reason, the registry prints its
/// usage.
const LOG_LINES: &str = "40";

/// A Compose project: a directory and the name of its project.
#[derive(Debug, Clone)]
pub struct Project {
    pub(super) compose: Compose,
    /// The directory as the user gave it, for messages and as the working directory of commands.
    pub(super) dir: PathBuf,
    name: String,
    /// The source of the name.
    from: NameFrom,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NameFrom {
    /// The environment variable `COMPOSE_PROJECT_NAME`.
    Environment,
    /// The file `.env` in the directory.
    File,
    /// The name of the directory.
    Directory,
}

impl Project {
    /// The project of a directory, named as Compose names it. `variable` is the environment variable
    /// `COMPOSE_PROJECT_NAME`.
    pub fn of(compose: Compose, dir: &Path, variable: Option<&str>) -> Self {
        let file = || std::fs::read_to_string(dir.join(".env")).ok().and_then(|text| project_name(&text));
        let (name, from) = match variable.filter(|name| !name.is_empty()).map(str::to_owned) {
            Some(name) => (name, NameFrom::Environment),
            None => match file() {
                Some(name) => (name, NameFrom::File),
                None => (directory_name(compose, dir), NameFrom::Directory),
            },
        };
        Self { compose, dir: dir.to_owned(), name, from }
    }

    /// The name of the volume in which an older docker-compose.yml has the registry's socket.
    pub fn old_socket(&self) -> String {
        format!("{}_socket", self.name)
    }

    /// The registry's containers. Fails if they have another project name, or if containers of another directory have
    /// this project name: a command would then affect the wrong containers.
    pub fn containers(&self) -> Result<Vec<Container>> {
        let dir =
            self.dir.canonicalize().with_context(|| format!("`{}` cannot be found", self.dir.display()))?;
        let found = self.inspect()?;
        self.not_another_directorys(&found, &dir)?;
        let here = |inspected: &&Inspected| {
            let same_name = inspected.label(PROJECT) == Some(&self.name);
            inspected.is_of(&dir) || (same_name && inspected.is_orphan())
        };
        let regular = |inspected: &&Inspected| inspected.label(ONE_OFF) != Some("True");
        let ours: Vec<_> = found.iter().filter(here).filter(regular).collect();
        self.not_under_another_name(&ours)?;
        let named = ours.into_iter().filter(|inspected| inspected.label(PROJECT) == Some(&self.name));
        let mut containers: Vec<_> =
            named.filter_map(|inspected| Some(inspected.container(inspected.service()?))).collect();
        for container in &mut containers {
            if container.trouble().is_some() && container.last_line.is_empty() {
                container.last_line = self.why(&container.id);
            }
        }
        Ok(containers)
    }

    /// The container of a service; fails if the container does not run.
    pub fn running(&self, service: Service) -> Result<Container> {
        self.running_of(&self.containers()?, service)
    }

    /// Finds the container of a service in `containers`; fails if the container does not run.
    pub(super) fn running_of(&self, containers: &[Container], service: Service) -> Result<Container> {
        let Some(container) = containers.iter().find(|container| container.service == service) else {
            bail!(
                Fault::new(format!("`{}` is not running", service.name()))
                    .hint(format!("is this where the registry runs? {}", self.runs("up -d")))
            );
        };
        match container.trouble().filter(|_| !container.is_running()) {
            None => Ok(container.clone()),
            Some(trouble) => {
                let fault = Fault::new(format!("`{}` is not running: {trouble}", service.name()));
                bail!(fault.hint(self.cure(container)))
            }
        }
    }

    /// A hint for the repair of a container, according to its state and the last line of its log.
    pub fn cure(&self, container: &Container) -> String {
        let said = container.last_line.to_lowercase();
        // The path is `…/volumes/NAME/_data`.
        let volume = container.mounts.get(SOCKET_MOUNT).and_then(|path| path.parent()?.file_name());
        if let Some(volume) = volume
            && said.contains("registry.sock")
            && said.contains("permission denied")
        {
            return format!(
                "the volume with its socket belongs to another user: {} && {} volume rm -f {} && {} up -d`",
                self.runs("down").trim_end_matches('`'),
                engine(),
                volume.display(),
                self.compose
            );
        }
        let again = format!(
            "{}; to see more, `{} logs {}`",
            self.runs("up -d --force-recreate"),
            self.compose,
            container.service.name()
        );
        match container.status.as_str() {
            "restarting" | "running" if container.restarts > 0 => format!("mend what it says, then {again}"),
            // The container is unhealthy: without `--force-recreate`, Compose would not change it.
            "running" => again,
            // `up -d` leaves the container paused, or fails.
            "paused" => self.runs(&format!("unpause {}", container.service.name())),
            _ => self.runs("up -d"),
        }
    }

    /// The text of a hint to run a Compose command.
    pub(super) fn runs(&self, words: &str) -> String {
        format!("run `{} {words}`", self.compose)
    }

    /// The directory, quoted for a shell.
    pub fn shown(&self) -> String {
        shell(&self.dir.display().to_string())
    }

    /// Inspects the containers of all registries, and all containers with this project's name.
    fn inspect(&self) -> Result<Vec<Inspected>> {
        let named = format!("label={PROJECT}={}", self.name);
        let [registry, nginx] = [REGISTRY_MOUNT, NGINX_MOUNT].map(|mount| format!("volume={mount}"));
        let list = ["ps", "-aq", "--no-trunc"];
        let mut ids = Vec::new();
        for filters in [vec!["--filter", &registry, "--filter", &nginx], vec!["--filter", &named]] {
            let hint = format!("`{} ps` must work", engine());
            let said = run(&[engine()], &self.dir, &[&list[..], &filters].concat(), &hint)?;
            ids.extend(said.split_whitespace().map(str::to_owned));
        }
        ids.sort();
        ids.dedup();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let words: Vec<_> =
            ["inspect", "--type", "container"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let output = started(&[engine()], &self.dir, &words)?;
        // If a container has disappeared, the command fails, but its output has the other containers.
        let said = String::from_utf8_lossy(&output.stdout);
        serde_json::from_str(&said).map_err(|error| {
            if output.status.success() {
                anyhow::anyhow!(
                    "`{engine} inspect` answers with something else than a list of containers: {error}",
                    engine = engine()
                )
            } else {
                failed(&format!("`{} inspect` failed", engine()), &output.stderr, "run the command again")
                    .into()
            }
        })
    }

    /// Fails if containers of another directory have this project's name: Compose would use them for this directory.
    fn not_another_directorys(&self, found: &[Inspected], dir: &Path) -> Result<()> {
        let foreign: Vec<_> = found
            .iter()
            .filter(|inspected| inspected.label(PROJECT) == Some(&self.name))
            .filter(|inspected| !inspected.is_of(dir) && !inspected.is_orphan())
            .collect();
        let Some(first) = foreign.first() else {
            return Ok(());
        };
        let place = first.directory().map(|path| path.display().to_string()).unwrap_or_default();
        let containers: Vec<_> =
            foreign.iter().map(|inspected| inspected.name.trim_start_matches('/')).collect();
        let hint = match self.from {
            NameFrom::Environment => format!("run `unset {PROJECT_NAME}`, then this command again"),
            NameFrom::File => format!(
                "where this directory is a copy, `regcert -C {} init` gives it another name",
                self.shown()
            ),
            NameFrom::Directory => format!(
                "give this registry a project of its own: `echo {PROJECT_NAME}={} >{}`, then {}",
                own_name(&self.name, dir),
                shell(&self.dir.join(".env").display().to_string()),
                self.runs("up -d")
            ),
        };
        bail!(
            Fault::new(format!(
                "the Compose project `{}` belongs to another directory, `{}` ({}), and was left alone",
                printable(&self.name),
                printable(&place),
                printable(&containers.join(", "))
            ))
            .hint(hint)
        )
    }

    /// Fails if Compose would not find this directory's running containers, because they have another project name or
    /// none.
    fn not_under_another_name(&self, ours: &[&Inspected]) -> Result<()> {
        let lives = |inspected: &&&Inspected| {
            ["running", "restarting", "paused"].contains(&inspected.state.status.as_str())
        };
        let misnamed = ours
            .iter()
            .filter(|inspected| inspected.service().is_some())
            .filter(lives)
            .find(|inspected| inspected.label(PROJECT) != Some(&self.name));
        let Some(container) = misnamed else {
            return Ok(());
        };
        let name = printable(container.name.trim_start_matches('/'));
        let Some(other) = container.label(PROJECT) else {
            bail!(
                Fault::new(format!(
                    "container `{name}` has this registry's files, and Compose did not make it"
                ))
                .hint(format!(
                    "run `{} rm -f {name}`, then {}",
                    engine(),
                    self.runs("up -d")
                ))
            );
        };
        let other = printable(other);
        let hint = if self.from == NameFrom::Environment {
            format!("run `unset {PROJECT_NAME}`, then this command again")
        } else {
            format!(
                "run `export {PROJECT_NAME}={other}`, then this command again; or, unless the images are in a volume, `{compose} -p {other} down && {compose} up -d`",
                compose = self.compose
            )
        };
        bail!(
            Fault::new(format!(
                "this registry runs as the Compose project `{other}` (`{name}`), not as `{}`, and was left alone",
                printable(&self.name)
            ))
            .hint(hint)
        )
    }

    /// Finds the log line that explains why a container exited; otherwise the last line.
    pub(super) fn why(&self, id: &str) -> String {
        let Ok(output) = started(&[engine()], &self.dir, &["logs", "--tail", LOG_LINES, id]) else {
            return String::new();
        };
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let explains = |line: &&str| {
            let line = line.to_lowercase();
            ["error", "fatal", "panic", "emerg", "denied"].iter().any(|word| line.contains(word))
        };
        match said.lines().rfind(explains) {
            Some(line) => last_line(line),
            None => last_line(&said),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_names_a_project_before_its_directory() {
        let named = |variable| Project::of(Compose::Plugin, Path::new("/srv/registry"), variable);
        assert_eq!((named(None).name.as_str(), named(None).from), ("registry", NameFrom::Directory));
        let set = named(Some("other"));
        assert_eq!((set.name.as_str(), set.from), ("other", NameFrom::Environment));
    }
}
