//! The shell in the registry's container that makes it read-only. It lives as long as its stdin, and the mark goes with it:
//! so the registry takes pushes again however regcert ends.
//!
//! While pushes are refused, it removes nothing: it moves what goes into a directory beside `blobs` and `repositories`, where no
//! version of the registry looks. A rename takes a twentieth to a fiftieth of the time that a removal takes (ext4). What was
//! moved is removed when pushes are taken again (`EMPTY`). A push that needs a blob which was moved finds it missing and uploads it,
//! as if it had been removed. A kill leaves the directory; the next collection removes it, and `status` counts it until then.
//!
//! A plan can be too large even for that, and where a link in the storage leads to another file system, no rename is possible.
//! So the shell also ends after a given time. What is left waits for the next mark, and is decided on again under it.
//! Removing in such portions alone, without a move, refuses pushes for as long in all, and for a look at each portion.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};

use super::READ_ONLY;
use crate::error::Fault;
use crate::images::{Plan, TRASH};
use crate::probe::containers::Project;
use crate::probe::engine::{last_line, not_started};
use crate::probe::program::{engine, program};

/// Whether the shell of a collection lives whose id the mark, `$1`, has. It may remove what it decided on before, although the
/// regcert that began it was killed. An id alone says little: after a restart another process can have it.
pub(super) const COLLECTS: &str = r#"
flag=$1
collects() {
    [ -s "$flag" ] || return
    { tr '\0' '\n' <"/proc/$(cat "$flag")/cmdline" | grep -qxF "$flag"; } 2>/dev/null
}
"#;

/// How long the shell of an earlier collection is waited for, in seconds.
const PATIENCE: u32 = 600;

/// How long things are moved or removed while pushes are refused, in seconds.
const PORTION: u32 = 8;

/// Moves and mends. Its stdin has the links to mend, each with its digest before it; an empty line; and what is to go,
/// each with an `ok` after it: a line that was cut off, because regcert ended, has none. It says `more` where it left some, and goes
/// on where its output goes nowhere.
///
/// What cannot be moved is removed: on a full disk, from another file system, or beside another one of the same name. On a full disk
/// the mending needs the room of what was moved. Each portion of the arguments goes only while this shell lives and has the mark.
const WORK: &str = r#"
root=$2 patience=$3 trash=$4 seconds=$5
while collects; do
    patience=$((patience - 1))
    [ $patience -gt 0 ] || { echo 'an earlier collection still removes' >&2; exit 1; }
    sleep 1
done
# Not that of another run which has begun meanwhile.
trap '[ "$(cat "$flag")" != $$ ] || rm -f "$flag"' EXIT
trap 'exit 130' HUP INT TERM
trap '' PIPE
echo $$ >"$flag" || exit
echo ready
begun= links=
while read -r digest link; do
    [ -n "$digest" ] || { begun=yes; break; }
    links="$links$digest $link
"
done
[ -n "$begun" ] && cd "$root" || exit
mkdir -p "$trash" 2>/dev/null
sed -n 's/ ok$//p' | xargs -r -s 100000 sh -c '
    flag=$1 shell=$2 trash=$3 device=$4 end=$5
    shift 5
    grep -q . "/proc/$shell/cmdline" && [ "$(cat "$flag")" = "$shell" ] || exit 255
    [ "$(stat -c %d "$@" 2>/dev/null | sort -u)" = "$device" ] && into=$(mktemp -d "$trash/XXXXXX" 2>/dev/null) &&
        mv "$@" "$into" 2>/dev/null || rm -rf "$@" || exit 1
    [ "$(date +%s)" -lt "$end" ] || exit 255
' sh "$flag" $$ "$trash" "$(stat -c %d "$trash" 2>/dev/null)" $(($(date +%s) + seconds))
case $? in
    0) ;;
    124) echo more ;;
    *) exit 1 ;;
esac
mend() {
    printf %s "$links" | while read -r digest link; do
        mkdir -p "${link%/*}" && printf %s "$digest" >"$link" && [ -s "$link" ] ||
            { echo "$link cannot be written: look whether the disk is full" >&2; exit 1; }
    done
}
mend 2>/dev/null || { rm -rf "$trash"; mend; }
"#;

/// Removes what was moved. Another one can be at it that a killed regcert has begun.
pub(super) const EMPTY: &str = r#"
cd "$1" 2>/dev/null || exit 0
for attempt in 1 2 3; do
    rm -rf "$2" 2>/dev/null
    [ -e "$2" ] || exit 0
    sleep 1
done
rm -rf "$2"
"#;

/// Whether a shell did all that it was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// It did.
    Whole,
    /// The time was over before.
    Part,
}

/// The shell in the container.
pub(super) struct Shell {
    logs: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// What it complains of. It is read all the time: a pipe that is full would stop the work.
    complaints: JoinHandle<String>,
}

impl Shell {
    /// Returns when the registry is read-only.
    pub(super) fn start(project: &Project, container: &str, root: &str) -> Result<Self> {
        let work = [COLLECTS, WORK].concat();
        let [patience, portion] = [PATIENCE, PORTION].map(|seconds| seconds.to_string());
        let mut child = program(engine())
            .args([
                "exec", "-i", container, "sh", "-c", &work, "sh", READ_ONLY, root, &patience, TRASH, &portion,
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| not_started(engine(), &error))?;
        let stdin = child.stdin.take();
        let stdout = BufReader::new(child.stdout.take().expect("it is piped"));
        let stderr = child.stderr.take().expect("it is piped");
        let complaints = std::thread::spawn(move || {
            let mut last = String::new();
            for line in BufReader::new(stderr).split(b'\n').map_while(Result::ok) {
                last = String::from_utf8_lossy(&line).into_owned();
            }
            last
        });
        let mut shell = Self { logs: project.runs("logs registry"), child, stdin, stdout, complaints };
        let mut line = String::new();
        shell.stdout.read_line(&mut line).context("`docker exec` cannot be read from")?;
        if line.trim() != "ready" {
            shell.end()?;
            bail!("the registry's container said `{}` where it was to get ready", line.trim());
        }
        Ok(shell)
    }

    /// Hands over what there is to do. Where it has ended and does not take all of it, `end` says why.
    pub(super) fn work(&mut self, plan: &Plan) {
        let mend = plan.mend.iter().map(|(link, sum)| format!("{sum} {link}\n"));
        let remove = plan.steps().into_iter().map(|path| format!("{path} ok\n"));
        let lines: String = mend.chain(["\n".to_owned()]).chain(remove).collect();
        if let Some(stdin) = &mut self.stdin {
            _ = stdin.write_all(lines.as_bytes());
        }
    }

    /// Lets it end its work, and says how it did.
    pub(super) fn end(mut self) -> Result<Extent> {
        drop(self.stdin.take());
        let more = self.stdout.by_ref().lines().map_while(Result::ok).any(|line| line == "more");
        self.stdout.by_ref().lines().for_each(drop);
        let status = self.child.wait().context("`docker exec` cannot be waited for")?;
        let complaint = self.complaints.join().map(|said| last_line(&said)).unwrap_or_default();
        let why = if complaint.is_empty() { "it was ended".to_owned() } else { complaint };
        ensure!(
            status.success(),
            Fault::new(format!("the registry could not collect: {why}"))
                .hint(format!("{} to see more; what was not collected waits for the next run", self.logs))
        );
        Ok(if more { Extent::Part } else { Extent::Whole })
    }
}

#[cfg(test)]
mod tests;
