//! The shell in the registry's container that makes it read-only. It lives as long as its stdin, and the mark goes with it:
//! so the registry takes pushes again however regcert ends.

use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Stdio};
use std::thread::JoinHandle;

use anyhow::{Context, Result, bail, ensure};

use super::READ_ONLY;
use crate::error::Fault;
use crate::images::Plan;
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

/// Removes and mends. Its stdin has the links to mend, each with its digest before it; an empty line; and what is to be
/// removed, each with an `ok` after it: a line that was cut off, because regcert ended, has none. The removal makes the room that
/// the mending needs. It goes on where its output goes nowhere.
const WORK: &str = r#"
root=$2 patience=$3
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
[ -n "$begun" ] && cd "$root" && sed -n 's/ ok$//p' | xargs -r rm -rf || exit
printf %s "$links" | while read -r digest link; do
    mkdir -p "${link%/*}" && printf %s "$digest" >"$link" && [ -s "$link" ] ||
        { echo "$link cannot be written: look whether the disk is full" >&2; exit 1; }
done
"#;

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
        let mut child = program(engine())
            .args(["exec", "-i", container, "sh", "-c", &work, "sh", READ_ONLY, root, &PATIENCE.to_string()])
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
        let remove = plan.remove.iter().map(|path| format!("{path} ok\n"));
        let lines: String = mend.chain(["\n".to_owned()]).chain(remove).collect();
        if let Some(stdin) = &mut self.stdin {
            _ = stdin.write_all(lines.as_bytes());
        }
    }

    /// Lets it end its work, and says how it did.
    pub(super) fn end(mut self) -> Result<()> {
        drop(self.stdin.take());
        self.stdout.by_ref().lines().for_each(drop);
        let status = self.child.wait().context("`docker exec` cannot be waited for")?;
        let complaint = self.complaints.join().map(|said| last_line(&said)).unwrap_or_default();
        let why = if complaint.is_empty() { "it was ended".to_owned() } else { complaint };
        ensure!(
            status.success(),
            Fault::new(format!("the registry could not collect: {why}"))
                .hint(format!("{} to see more; what was not collected waits for the next run", self.logs))
        );
        Ok(())
    }
}
