//! Scans a registry's storage from inside its container. The first scan reads the whole storage while pushes are
//! accepted. The second scan, while pushes are refused, reads only the parts that may have changed
//! (`images::storage::again`).

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::{Collector, ROOT};
use crate::error::Fault;
use crate::images::{Amount, Garbage, Named, Plan, Storage, Sum, TRASH};
use crate::probe::engine::{failed, not_started};
use crate::probe::program::{engine, program};

/// The maximum number of attempts, because another collection may disturb a scan. Deletions by clients do not disturb
/// a scan.
const LOOKS: u32 = 3;

/// The script that prints the storage's time in Unix seconds. The storage can be on a machine with another clock.
/// Prints nothing if the time is unknown.
const CLOCK: &str = r#"
touch regcert-clock 2>/dev/null && stat -c %Z regcert-clock
rm -f regcert-clock 2>/dev/null
"#;

/// The script that lists all link files and blobs below the directories on stdin, with size and times, and the
/// directories in which the registry creates links. Follows symbolic links, as the registry does; a dangling symbolic
/// link is an error.
const LIST: &str = r#"
date +now=%s
while read -r top; do
    [ ! -d "$top" ] || echo "$top"
done | xargs -r sh -c '
    find -L "$@" -name _uploads -prune -o \
        \( -type f \( -name link -o -name data \) -o -type l -o \
            -type d \( -path "*/_layers/sha256" -o -path "*/_manifests/revisions/sha256*" \) \) \
        -exec stat -L -c "%s %Y %Z %n" {} +' sh
"#;

/// The script that lists the files of uploads. It ignores errors, because these files may disappear at any time.
const LIST_UPLOADS: &str = r#"
[ ! -d repositories ] || find -L repositories \( -name _layers -o -name _manifests \) -prune -o \
    -type f -path '*/_uploads/*' -exec stat -L -c '%s %Y %Z %n' {} + 2>/dev/null
"#;

/// The script that lists the files in the upload directories on stdin.
const LIST_THESE_UPLOADS: &str =
    r#"xargs -r sh -c 'find -L "$@" -type f -exec stat -L -c "%s %Y %Z %n" {} +' sh 2>/dev/null"#;

/// The script that lists the blobs and uploads that an interrupted collection has moved but not removed.
const LIST_TRASH: &str = r#"
[ ! -d "$2" ] || find "$2" -type f -name data -exec stat -c '%s %Y %Z %n' {} + 2>/dev/null
"#;

/// The script that lists the directories in which the registry creates links to layers and manifests.
const LIST_DIRECTORIES: &str = r#"
[ ! -d repositories ] || find -L repositories \( -name _uploads -o -path '*/_manifests/tags' \) -prune -o \
    -type d \( -path '*/_layers/sha256' -o -path '*/_manifests/revisions/sha256' \) -prune \
    -exec stat -L -c '%s %Y %Z %n' {} +
"#;

/// The script that lists the existing files among the names on stdin.
const LIST_FILES: &str = "xargs -r stat -L -c '%s %Y %Z %n' 2>/dev/null";

/// The script that prints the contents of the files named on stdin.
const PRINT: &str = "xargs -r cat";

/// The script that prints the contents of the files named on stdin, with the file name before each line.
const PRINT_NAMED: &str = "xargs -r grep -H ''";

/// The result of a scan.
#[derive(Debug)]
pub struct Look {
    /// The number and the size of all blobs.
    pub stored: Amount,
    /// The blobs that an interrupted collection has moved but not removed.
    pub left: Amount,
    pub plan: Plan,
    began: Instant,
    storage: Storage,
    /// The digests in each manifest. A manifest never changes.
    named: Named,
}

/// The purpose of a scan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Errand {
    /// A report about the storage. The scan writes nothing.
    Tell,
    /// A collection after the scan. The scan writes a file to read the clock of the storage.
    Collect,
}

/// Whether a missing file is an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Certainty {
    /// A missing file is not an error: clients may delete it during the scan.
    Passing,
    /// A missing file is an error: while pushes are refused, no file can disappear.
    Final,
}

impl Collector {
    /// Scans the storage and plans what a collection would remove now.
    pub fn look(&self, garbage: Garbage, errand: Errand) -> Result<Look> {
        let mut looks = 1;
        loop {
            let clock = match errand {
                Errand::Tell => None,
                Errand::Collect => self.clock()?,
            };
            match self.look_once(garbage, clock, Named::default(), Certainty::Passing) {
                Err(_) if looks < LOOKS => looks += 1,
                answer => return answer,
            }
        }
    }

    /// Plans the collection while pushes are refused, from the earlier scan `before` and the changes since then.
    pub(super) fn look_again(&self, garbage: Garbage, before: Look) -> Result<Look> {
        let Look { began, mut storage, mut named, .. } = before;
        let since = began.elapsed();
        if !storage.keeps_time(self.clock()?, since) {
            named.forget_damaged();
            return self.look_once(garbage, None, named, Certainty::Final);
        }
        let uploads = lines(storage.forget_uploads());
        self.list(LIST_THESE_UPLOADS, Some(&uploads), Certainty::Final, &mut storage)?;
        let mut asked = storage.directories();
        let mut changed = storage.changed(&asked, &self.text(LIST_DIRECTORIES, None, Certainty::Final)?)?;
        let mut current = BTreeSet::new();
        loop {
            self.list_again(&changed, &mut storage)?;
            current.append(&mut changed);
            let doubtful = lines(storage.doubtful(&named));
            self.list(LIST_FILES, Some(&doubtful), Certainty::Final, &mut storage)?;
            named.forget_damaged();
            self.read(&storage.manifests(&named), &mut named)?;
            let plan = storage.plan(&named, garbage);
            let ask = &storage.at_stake(&plan, &current) - &asked;
            changed = storage.changed(&ask, &self.text(LIST_FILES, Some(&lines(&ask)), Certainty::Final)?)?;
            if changed.is_empty() {
                return Ok(Look {
                    stored: storage.stored(),
                    left: storage.left(),
                    plan,
                    began,
                    storage,
                    named,
                });
            }
            asked.extend(ask);
        }
    }

    /// Counts the blobs that are stored after a collection, and the blobs of the plan that are gone, with their sizes.
    pub fn freed(&self, plan: &Plan) -> Result<(Amount, Amount)> {
        let mut storage = Storage::default();
        self.list(LIST, Some("blobs\n"), Certainty::Passing, &mut storage)?;
        let gone = plan.gone.iter().filter(|(sum, _)| !storage.has(*sum));
        Ok((storage.stored(), gone.map(|(_, size)| *size).collect()))
    }

    fn look_once(
        &self,
        garbage: Garbage,
        clock: Option<u64>,
        mut named: Named,
        certainty: Certainty,
    ) -> Result<Look> {
        let began = Instant::now();
        let mut storage = Storage::new(clock);
        self.list(LIST, Some("repositories\nblobs\n"), certainty, &mut storage)?;
        ensure!(
            !storage.lacks_blobs(),
            Fault::new("`blobs` in the registry's storage is empty, and repositories have images")
                .hint("mount its disk, or restore it from a backup")
        );
        self.list(LIST_UPLOADS, None, certainty, &mut storage)?;
        self.list(LIST_TRASH, None, certainty, &mut storage)?;
        self.read_tags(certainty, &mut storage)?;
        self.read(&storage.manifests(&named), &mut named)?;
        self.read(&storage.deleted_manifests(&named), &mut named)?;
        let plan = storage.plan(&named, garbage);
        Ok(Look { stored: storage.stored(), left: storage.left(), plan, began, storage, named })
    }

    /// The time of the storage's clock, in Unix seconds; `None` if it is unknown.
    fn clock(&self) -> Result<Option<u64>> {
        Ok(self.text(CLOCK, None, Certainty::Final)?.trim().parse().ok())
    }

    /// Lists repositories again, and replaces their entries in `storage`.
    fn list_again(&self, repositories: &BTreeSet<String>, storage: &mut Storage) -> Result<()> {
        if repositories.is_empty() {
            return Ok(());
        }
        storage.forget(repositories);
        let both = |name| ["_layers", "_manifests"].map(|end| format!("repositories/{name}/{end}"));
        let tops = lines(repositories.iter().flat_map(both));
        self.list(LIST, Some(&tops), Certainty::Final, storage)?;
        self.read_tags(Certainty::Final, storage)
    }

    fn list(
        &self,
        script: &str,
        input: Option<&str>,
        certainty: Certainty,
        storage: &mut Storage,
    ) -> Result<()> {
        self.each_line(script, input, certainty, |line| Ok(storage.take(line)?))
    }

    /// Reads the current manifest of each tag.
    fn read_tags(&self, certainty: Certainty, storage: &mut Storage) -> Result<()> {
        let files = lines(storage.tag_files());
        self.each_line(PRINT_NAMED, Some(&files), certainty, |line| {
            storage.take_tag(line);
            Ok(())
        })?;
        storage.end_tags(certainty == Certainty::Final);
        Ok(())
    }

    /// Reads manifests. The script prints them one after the other, and their known sizes show where each ends.
    fn read(&self, manifests: &[(Sum, u64)], named: &mut Named) -> Result<()> {
        let files = lines(manifests.iter().map(|(sum, _)| sum.file()));
        self.below_root(PRINT, Some(&files), Certainty::Final, |output| {
            let changed = "the manifests changed while they were read";
            let mut text = Vec::new();
            for (sum, size) in manifests {
                text.clear();
                let read = output.take(*size).read_to_end(&mut text)?;
                ensure!(u64::try_from(read) == Ok(*size), changed);
                named.take(*sum, &text);
            }
            ensure!(output.read(&mut [0])? == 0, changed);
            Ok(())
        })
    }

    fn text(&self, script: &str, input: Option<&str>, certainty: Certainty) -> Result<String> {
        let mut text = String::new();
        self.each_line(script, input, certainty, |line| {
            text.push_str(line);
            text.push('\n');
            Ok(())
        })?;
        Ok(text)
    }

    fn each_line(
        &self,
        script: &str,
        input: Option<&str>,
        certainty: Certainty,
        mut take: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        self.below_root(script, input, certainty, |output| {
            let mut line = Vec::new();
            while output.read_until(b'\n', &mut line)? > 0 {
                take(String::from_utf8_lossy(&line).trim_end_matches('\n'))?;
                line.clear();
            }
            Ok(())
        })
    }

    /// Runs a script in the storage directory, with `input` on stdin, and passes the output to `take`. Runs nothing if
    /// `input` is empty. The output is empty if there is no storage yet. Any message on stderr is an error, because an
    /// unread file would count as missing; `Passing` permits missing files.
    fn below_root(
        &self,
        script: &str,
        input: Option<&str>,
        certainty: Certainty,
        take: impl FnOnce(&mut dyn BufRead) -> Result<()>,
    ) -> Result<()> {
        if input.is_some_and(str::is_empty) {
            return take(&mut io::empty());
        }
        let pass_over = match certainty {
            Certainty::Passing => "| grep -v 'No such file or directory'",
            Certainty::Final => "",
        };
        let checked = format!(
            r#"[ -d "$1" ] || exit 0
cd "$1" || exit
exec 3>&1
said=$({{
{script}
}} 2>&1 >&3 3>&- {pass_over})
[ -z "$said" ] || {{ echo "$said" | tail -n 1 >&2; exit 1; }}"#
        );
        let mut child = program(engine())
            .args(["exec", "-i", &self.registry, "sh", "-c", &checked, "sh", ROOT, TRASH])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started(engine(), &error))?;
        let mut stdin = child.stdin.take().expect("it is piped");
        let mut stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let taken = std::thread::scope(|scope| {
            // A write error is ignored: a script that stops early prints the reason.
            scope.spawn(move || _ = stdin.write_all(input.unwrap_or_default().as_bytes()));
            let taken = take(&mut stdout);
            // A full pipe would block the script.
            _ = io::copy(&mut stdout, &mut io::sink());
            taken
        });
        let output = child.wait_with_output().context("`docker exec` cannot be waited for")?;
        if output.status.success() {
            return taken;
        }
        let what = "the registry's storage cannot be read";
        Err(failed(what, &output.stderr, &self.project.logs()).into())
    }
}

fn lines(names: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    names.into_iter().fold(String::new(), |all, name| all + name.as_ref() + "\n")
}
