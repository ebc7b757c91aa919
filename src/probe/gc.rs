//! A garbage collection inside the running registry's container. A file that nginx looks for makes the registry
//! read-only: nothing is restarted, and pulls go on.
//!
//! The registry's own collector is not used: with images of several platforms it loses layers of images that are still
//! tagged (`docs/upstream/garbage-collection.md`), and it takes the layers of a push that is under way. Pushes are refused for
//! the seconds of the last look and the removal. None are refused only if the registry itself collects: between its look
//! whether a layer is there and its answer to a push, a removal from outside would go unnoticed.

mod drain;
mod shell;

use std::io::Write;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

pub(super) use drain::{Workers, workers};
use shell::{COLLECTS, Shell};

use super::containers::{Project, Service};
use super::engine::{failed, not_started, started};
use super::program::{engine, program};
use crate::error::Fault;
use crate::images::{Amount, Garbage, Named, Plan, Storage, Sum};

/// What nginx.conf looks for.
pub const READ_ONLY: &str = "/run/regcert/read-only";

/// As templates/registry/config.yml has it.
const SOCKET: &str = "/run/regcert/registry.sock";

/// What the registry makes below the directory that templates/registry/config.yml names.
const ROOT: &str = "/var/lib/registry/docker/registry/v2";

/// How long a container takes to come back.
const RESTART: Duration = Duration::from_secs(10);

/// How often a look without the mark is repeated that another collection disturbs. What clients delete meanwhile does not.
const LOOKS: u32 = 3;

/// Lists every link and blob below the directories named, with size and time. Symbolic links are followed, as the registry
/// does; one that leads nowhere is an error.
const LIST: &str = r#"
date +now=%s
for top; do
    [ ! -d "$top" ] || find -L "$top" -name _uploads -prune -o \
        \( -type f \( -name link -o -name data \) -o -type l -o -type d -path '*/_manifests/revisions/sha256*' \) \
        -exec stat -L -c '%s %Y %n' {} +
done
"#;

/// Lists the files of uploads, which come and go all the time.
const LIST_UPLOADS: &str = r#"
[ ! -d repositories ] || find -L repositories \( -name _layers -o -name _manifests \) -prune -o \
    -type f -path '*/_uploads/*' -exec stat -L -c '%s %Y %n' {} + 2>/dev/null
"#;

/// Prints the files whose names stand on its stdin.
const PRINT: &str = "xargs -r cat";

/// Prints them with the name before each line.
const PRINT_NAMED: &str = "xargs -r grep -H ''";

/// The running containers of a registry, for a collection in them.
#[derive(Debug)]
pub struct Collector {
    project: Project,
    registry: String,
    nginx: Option<String>,
    /// Whether nginx looks for the mark last of all, directly before it asks the registry.
    asks_late: bool,
}

/// What a collection has found.
#[derive(Debug)]
pub struct Look {
    /// Everything that is stored.
    pub stored: Amount,
    /// What there is to do.
    pub plan: Plan,
    /// What manifests say, which does not change.
    named: Named,
}

/// What was collected.
#[derive(Debug)]
pub struct Collected {
    /// Everything that was stored when pushes were refused.
    pub before: Amount,
    /// What was to be done.
    pub plan: Plan,
}

/// What a look is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// To tell what there is: what goes meanwhile is no error.
    Passing,
    /// To decide what is removed, while pushes are refused.
    Final,
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

    /// What would be collected now.
    pub fn look(&self, garbage: Garbage) -> Result<Look> {
        let mut looks = 1;
        loop {
            match self.look_once(garbage, Named::default(), Certainty::Passing) {
                Err(_) if looks < LOOKS => looks += 1,
                answer => return answer,
            }
        }
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
            let look = self.look_once(garbage, before.named, Certainty::Final)?;
            shell.work(&look.plan);
            Ok(look)
        });
        // Its stdin goes, and the file with it, also where it never got as far as collecting.
        let ended = shell.end();
        let Look { stored: before, plan, .. } = result?;
        ended?;
        Ok(Collected { before, plan })
    }

    /// What is stored after a collection, and what of its plan is no longer there.
    pub fn freed(&self, plan: &Plan) -> Result<(Amount, Amount)> {
        let mut storage = Storage::default();
        self.list(LIST, &["blobs"], Certainty::Passing, &mut storage)?;
        let gone = plan.gone.iter().filter(|(sum, _)| !storage.has(*sum));
        Ok((storage.stored(), gone.map(|(_, size)| *size).collect()))
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

    fn look_once(&self, garbage: Garbage, mut named: Named, certainty: Certainty) -> Result<Look> {
        let mut storage = Storage::default();
        self.list(LIST, &["repositories", "blobs"], certainty, &mut storage)?;
        self.list(LIST_UPLOADS, &[], certainty, &mut storage)?;
        let tags = self.print(PRINT_NAMED, &storage.tag_files(), certainty)?;
        storage.take_tags(&String::from_utf8_lossy(&tags), certainty == Certainty::Final);
        self.read(&storage.manifests(&named), &mut named)?;
        self.read(&storage.deleted_manifests(&named), &mut named)?;
        let plan = storage.plan(&named, garbage);
        Ok(Look { stored: storage.stored(), plan, named })
    }

    fn list(&self, script: &str, tops: &[&str], certainty: Certainty, storage: &mut Storage) -> Result<()> {
        let said = self.below_root(script, tops, String::new(), certainty)?;
        for line in String::from_utf8_lossy(&said).lines() {
            storage.take(line)?;
        }
        Ok(())
    }

    /// Reads manifests: their bytes follow each other, and their sizes are known.
    fn read(&self, files: &[(Sum, String, u64)], named: &mut Named) -> Result<()> {
        let names: Vec<_> = files.iter().map(|(_, file, _)| file.clone()).collect();
        let said = self.print(PRINT, &names, Certainty::Final)?;
        let mut rest = &said[..];
        for (sum, _, size) in files {
            let text = usize::try_from(*size).ok().and_then(|size| rest.split_at_checked(size));
            let (text, after) = text.context("the manifests changed while they were read")?;
            named.take(*sum, text);
            rest = after;
        }
        ensure!(rest.is_empty(), "the manifests changed while they were read");
        Ok(())
    }

    fn print(&self, script: &str, files: &[String], certainty: Certainty) -> Result<Vec<u8>> {
        if files.is_empty() {
            return Ok(Vec::new());
        }
        self.below_root(script, &[], files.iter().map(|file| format!("{file}\n")).collect(), certainty)
    }

    /// What a script prints in the directory of the storage. Whatever it complains of is an error: what was not seen would be
    /// taken for what is not there. Nothing where there is no storage yet.
    fn below_root(
        &self,
        script: &str,
        words: &[&str],
        input: String,
        certainty: Certainty,
    ) -> Result<Vec<u8>> {
        let pass_over = match certainty {
            Certainty::Passing => "| grep -v 'No such file or directory'",
            Certainty::Final => "",
        };
        let checked = format!(
            r#"[ -d "$1" ] || exit 0
cd "$1" && shift || exit
exec 3>&1
said=$({{
{script}
}} 2>&1 >&3 3>&- {pass_over})
[ -z "$said" ] || {{ echo "$said" | tail -n 1 >&2; exit 1; }}"#
        );
        let mut child = program(engine())
            .args(["exec", "-i", &self.registry, "sh", "-c", &checked, "sh", ROOT])
            .args(words)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started(engine(), &error))?;
        let mut stdin = child.stdin.take().expect("it is piped");
        // One that stops early says why.
        let writer = std::thread::spawn(move || _ = stdin.write_all(input.as_bytes()));
        let output = child.wait_with_output().context("`docker exec` cannot be waited for")?;
        _ = writer.join();
        if output.status.success() {
            return Ok(output.stdout);
        }
        let what = "the registry's storage cannot be read";
        Err(failed(what, &output.stderr, &self.project.logs()).into())
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
