//! The shell in the registry's container that makes the registry read-only. When its stdin closes, the shell removes
//! the mark. The registry therefore accepts pushes again, however regcert ends.
//!
//! While pushes are refused, the shell does not remove the garbage, but moves it into a directory beside `blobs` and
//! `repositories` that no version of the registry reads. A rename is 20 to 50 times faster than a removal (ext4).
//! `EMPTY` removes the moved files when pushes are accepted again. A push that needs a moved blob uploads the blob, as
//! after a removal. If the shell is killed, the directory remains until the next collection, and `status` counts its
//! files.
//!
//! Even the move can take too long, if the plan is large or a symbolic link leads to another file system, where a
//! rename is impossible. So the shell stops after `PORTION` seconds. regcert then plans the rest again, and refuses
//! pushes again to move it. Removing the garbage in portions, without a move, would refuse pushes for as long in
//! total, and also during a scan before each portion.

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

/// Defines `collects`, which checks whether the shell whose process id is in the mark (`$1`) still runs. Such a shell
/// may still remove files after its regcert was killed. The id alone is not enough: after a restart, another process
/// can have the same id.
pub(super) const COLLECTS: &str = r#"
flag=$1
collects() {
    [ -s "$flag" ] || return
    { tr '\0' '\n' <"/proc/$(cat "$flag")/cmdline" | grep -qxF "$flag"; } 2>/dev/null
}
"#;

/// The maximum time to wait for the shell of an earlier collection, in seconds.
const PATIENCE: u32 = 600;

/// The maximum time for which one portion of a collection moves garbage and refuses pushes, in seconds.
const PORTION: u32 = 8;

/// The script that moves garbage and repairs links. Its stdin has the links to repair, each after its digest; an empty
/// line; and the paths to remove, each followed by `ok`. A line that was cut off because regcert was killed has no
/// `ok`. The script prints `more` if some paths remain, and continues if its output is closed.
///
/// The script removes files that it cannot move: on a full disk, from another file system, or if two paths have the
/// same name. If a full disk prevents repairs, the script removes the moved files first. Before each batch of paths,
/// it checks that this shell still runs and that the mark contains this shell's id.
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

/// The script that removes the moved files. It tries several times, because the script of an earlier run may remove
/// files at the same time.
pub(super) const EMPTY: &str = r#"
cd "$1" 2>/dev/null || exit 0
for attempt in 1 2 3; do
    rm -rf "$2" 2>/dev/null
    [ -e "$2" ] || exit 0
    sleep 1
done
rm -rf "$2"
"#;

/// Whether a shell did all its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Extent {
    /// The shell did all the work.
    Whole,
    /// The time was over before the work was done.
    Part,
}

/// The running shell in the registry's container.
pub(super) struct Shell {
    logs: String,
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
    /// The thread that reads stderr, because a full pipe would stop the work. It returns the last line.
    complaints: JoinHandle<String>,
}

impl Shell {
    /// Starts the shell, and waits until the registry is read-only.
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

    /// Sends the plan to the shell. If the shell ends before it has read the whole plan, `end` reports the reason.
    pub(super) fn work(&mut self, plan: &Plan) {
        let mend = plan.mend.iter().map(|(link, sum)| format!("{sum} {link}\n"));
        let remove = plan.steps().into_iter().map(|path| format!("{path} ok\n"));
        let lines: String = mend.chain(["\n".to_owned()]).chain(remove).collect();
        if let Some(stdin) = &mut self.stdin {
            _ = stdin.write_all(lines.as_bytes());
        }
    }

    /// Waits until the shell has finished its work; fails if the shell failed.
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
