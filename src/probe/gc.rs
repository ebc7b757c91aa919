//! A garbage collection inside the running registry's container. A file that nginx looks for makes the registry
//! read-only: nothing is restarted, and pulls go on. Whoever made that file is a shell in the container that lives as
//! long as its stdin, so that it takes the file away again however regcert ends.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};

use super::containers::{Project, Service};
use super::engine::{failed, last_line, not_started, run, started};
use super::program::{engine, program};
use crate::error::Fault;

/// What nginx.conf looks for.
pub const READ_ONLY: &str = "/run/regcert/read-only";

/// As templates/registry/config.yml has it, and what the registry makes below it.
const REPOSITORIES: &str = "/var/lib/registry/docker/registry/v2/repositories";
const BLOBS: &str = "/var/lib/registry/docker/registry/v2/blobs";
const CONFIG: &str = "/etc/regcert/config.yml";

/// How long a request that began before may go on; a layer of 10 GB takes less on a slow network.
const PATIENCE: Duration = Duration::from_secs(600);

/// How long a container takes to come back.
const RESTART: Duration = Duration::from_secs(10);

/// The collection. It waits for a line; when nothing more can come, whoever asked has ended, and so does it. Every
/// process is waited for: the container's first one reaps none.
const COLLECT: &str = r#"
flag=$1; config=$2; shift 2
# Not that of another run which has begun meanwhile.
trap '[ "$(cat "$flag")" != $$ ] || rm -f "$flag"' EXIT
trap 'exit 130' HUP INT TERM
echo $$ >"$flag" || exit
echo ready
read -r _ || exit
exec 3<&0
registry garbage-collect "$@" "$config" 2>&1 </dev/null 3<&- &
collector=$!
{ while read -r _; do :; done; kill "$collector"; } <&3 >/dev/null 2>&1 &
watcher=$!
exec 3<&-
wait "$collector"
status=$?
kill "$watcher" 2>/dev/null
wait "$watcher" 2>/dev/null
exit "$status"
"#;

/// The size of each blob.
const SIZES: &str = r#"[ ! -d "$1" ] || find "$1" -type f -name data -exec stat -c '%s %n' {} +"#;

/// The manifests that name other manifests: one for each platform, or an artefact's.
const INDEXES: &str = r#"
find "$1" -path '*/_manifests/revisions/sha256/*/link' 2>/dev/null |
    sed "s#.*/revisions/sha256/\(..\)\(.*\)/link#$2/sha256/\1/\1\2/data#" | sort -u |
    xargs -r grep -lE '"manifests"[[:space:]]*:' 2>/dev/null | wc -l
"#;

/// How much there is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amount {
    /// How many blobs: layers, configurations and manifests.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// What of a registry may be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub enum Garbage {
    /// What no manifest names.
    #[serde(rename = "unreferenced")]
    Unreferenced,
    /// That, and the manifests that no tag names.
    #[serde(rename = "untagged")]
    Untagged,
}

impl Garbage {
    fn options(self) -> &'static [&'static str] {
        match self {
            Self::Unreferenced => &[],
            Self::Untagged => &["--delete-untagged"],
        }
    }
}

/// The running containers of a registry, for a collection in them.
#[derive(Debug)]
pub struct Collector {
    project: Project,
    registry: String,
    nginx: Option<String>,
}

impl Collector {
    /// Finds the containers of this directory; nginx's where `proxy` is needed.
    pub fn find(project: Project, with_nginx: bool) -> Result<Self> {
        let id = |service| project.running(service).map(|container| container.id);
        let nginx = with_nginx.then(|| id(Service::Nginx)).transpose()?;
        Ok(Self { registry: id(Service::Registry)?, nginx, project })
    }

    /// The registry program's major version.
    pub fn version(&self) -> Result<u32> {
        let said = self.registry(&["registry", "--version"])?;
        let number = |word: &str| word.trim_start_matches('v').split('.').next()?.parse().ok();
        let version = said.split_whitespace().filter(|word| word.contains('.')).find_map(number);
        version.ok_or_else(|| anyhow!("`registry --version` says `{}`, which names no version", said.trim()))
    }

    /// Everything that is stored.
    pub fn stored(&self) -> Result<Amount> {
        Ok(total(self.sizes()?.into_values()))
    }

    /// How many manifests name other manifests.
    pub fn indexes(&self) -> Result<u64> {
        let count = self.registry(&["sh", "-c", INDEXES, "sh", REPOSITORIES, BLOBS])?;
        count.trim().parse().with_context(|| format!("`{}` is no number", count.trim()))
    }

    /// What would be collected now. Layers of a push that is under way count as well.
    pub fn garbage(&self, garbage: Garbage) -> Result<Amount> {
        let sizes = self.sizes()?;
        if sizes.is_empty() {
            return Ok(Amount::default());
        }
        let words = [&["registry", "garbage-collect", "--dry-run"], garbage.options(), &[CONFIG]].concat();
        let said = self.registry(&words)?;
        let digests = said.lines().filter_map(|line| line.strip_prefix("blob eligible for deletion: "));
        Ok(total(digests.map(|digest| sizes.get(digest.trim()).copied().unwrap_or(0))))
    }

    fn sizes(&self) -> Result<BTreeMap<String, u64>> {
        let said = self.registry(&["sh", "-c", SIZES, "sh", BLOBS])?;
        let blob = |line: &str| {
            let (size, path) = line.split_once(' ')?;
            let mut parts = path.strip_prefix(BLOBS)?.split('/').skip(1);
            let (algorithm, hex) = (parts.next()?, parts.nth(1)?);
            Some((format!("{algorithm}:{hex}"), size.parse().ok()?))
        };
        Ok(said.lines().filter_map(blob).collect())
    }

    /// Collects while nobody can push. `say` is told of each step.
    pub fn collect(&self, garbage: Garbage, say: impl Fn(&str)) -> Result<()> {
        let mut shell = Shell::start(&self.project, &self.registry, garbage)?;
        let result = self.drain(&say).and_then(|()| {
            say("collecting");
            shell.collect()
        });
        // Its stdin goes, and the file with it, also where it never got as far as collecting.
        let ended = shell.end();
        result.and(ended)
    }

    /// Makes sure that pushes are taken, also after a shell that was killed. A container that ended with it comes back.
    pub fn take_pushes(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            match self.registry(&["rm", "-f", READ_ONLY]) {
                Ok(_) => return Ok(()),
                Err(_) if start.elapsed() < RESTART => std::thread::sleep(Duration::from_millis(500)),
                Err(error) => {
                    let fault = Fault::new(format!("the registry may still refuse pushes: {error:#}"));
                    bail!(fault.hint(format!("{}, then `regcert gc` again", self.project.runs("up -d"))));
                }
            }
        }
    }

    /// Waits until no request is under way that began while pushes were taken. Each is served by a worker of nginx that
    /// a reload replaces and that ends with its last request.
    fn drain(&self, say: impl Fn(&str)) -> Result<()> {
        let nginx = self.nginx.as_deref().expect("it was looked for");
        let seen = self.exec(nginx, &["test", "-f", READ_ONLY]);
        seen.map_err(|_| {
            Fault::new("nginx does not see that the registry is to be read-only: nothing was collected")
                .hint(self.project.runs("up -d --force-recreate"))
        })?;
        say("pushes are refused, pulls go on");
        let before = workers(&self.processes(nginx)?, Workers::All)?;
        self.exec(nginx, &["nginx", "-q", "-t"])?;
        self.exec(nginx, &["nginx", "-s", "reload"])?;
        let start = Instant::now();
        let mut told = false;
        while workers(&self.processes(nginx)?, Workers::All)?.iter().any(|worker| before.contains(worker)) {
            ensure!(
                start.elapsed() < PATIENCE,
                Fault::new(
                    "a request that began before is still under way after ten minutes: nothing was collected"
                )
                .hint("run `regcert gc` again when no client pushes or pulls a large image")
            );
            if !told && start.elapsed() > Duration::from_secs(1) {
                say("waiting for the requests that began before");
                told = true;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        Ok(())
    }

    fn registry(&self, words: &[&str]) -> Result<String> {
        self.exec(&self.registry, words)
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

    /// The processes of a container.
    fn processes(&self, container: &str) -> Result<String> {
        run(&[engine(), "top"], &self.project.dir, &[container], &self.project.logs())
    }
}

/// The shell in the container.
struct Shell {
    logs: String,
    child: Child,
    stdout: BufReader<std::process::ChildStdout>,
    /// The last lines that were said.
    said: Vec<String>,
}

impl Shell {
    /// Returns when the registry is read-only.
    fn start(project: &Project, container: &str, garbage: Garbage) -> Result<Self> {
        let mut child = program(engine())
            .args(["exec", "-i", container, "sh", "-c", COLLECT, "sh", READ_ONLY, CONFIG])
            .args(garbage.options())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started(engine(), &error))?;
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut shell = Self { logs: project.runs("logs registry"), child, stdout, said: Vec::new() };
        let mut line = String::new();
        shell.stdout.read_line(&mut line).context("`docker exec` cannot be read from")?;
        if line.trim() != "ready" {
            shell.end()?;
            bail!("the registry's container said `{}` where it was to get ready", line.trim());
        }
        Ok(shell)
    }

    /// Lets it collect, and returns when it has.
    fn collect(&mut self) -> Result<()> {
        let gone = "the collection in the registry's container has ended";
        self.child.stdin.as_mut().context(gone)?.write_all(b"\n").context(gone)?;
        for line in self.stdout.by_ref().lines() {
            self.said.push(line.context(gone)?);
            // A blob is a line; what is told of a failure are the last ones.
            if self.said.len() > 100 {
                self.said.drain(..90);
            }
        }
        Ok(())
    }

    /// Lets it end, and says how it did.
    fn end(mut self) -> Result<()> {
        drop(self.child.stdin.take());
        let mut stderr = String::new();
        self.stdout.by_ref().lines().for_each(drop);
        let complaints = self.child.stderr.take().map(|mut from| from.read_to_string(&mut stderr));
        complaints.transpose().context("`docker exec` cannot be read from")?;
        let status = self.child.wait().context("`docker exec` cannot be waited for")?;
        let last = self.said.split_off(self.said.len().saturating_sub(3)).join("; ");
        let why = [last_line(&stderr), last]
            .into_iter()
            .find(|why| !why.is_empty())
            .unwrap_or("it was ended".to_owned());
        ensure!(
            status.success(),
            Fault::new(format!("the registry could not collect: {why}"))
                .hint(format!("{} to see more; what was not collected waits for the next run", self.logs))
        );
        Ok(())
    }
}

/// Which of nginx's workers are asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Workers {
    /// Those that take connections.
    Serving,
    /// Those that are on their way out as well.
    All,
}

/// nginx's workers in a table of processes, by their ids.
pub(super) fn workers(table: &str, which: Workers) -> Result<Vec<String>> {
    let column = table.lines().find_map(|head| head.split_whitespace().position(|name| name == "PID"));
    let column = column.ok_or_else(|| anyhow!("the table of nginx's processes names no PID"))?;
    let worker = |line: &str| Some(line.split_whitespace().nth(column)?.to_owned());
    let asked_for = |line: &&str| {
        line.contains("nginx: worker process")
            && (which == Workers::All || !line.contains("is shutting down"))
    };
    Ok(table.lines().filter(asked_for).filter_map(worker).collect())
}

fn total(sizes: impl Iterator<Item = u64>) -> Amount {
    sizes.fold(Amount::default(), |sum, size| Amount { blobs: sum.blobs + 1, bytes: sum.bytes + size })
}
