//! Tests the script that moves garbage and repairs links, in this machine's shell instead of a container's.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read what they like.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Output};

use tempfile::TempDir;

use super::*;

/// A number of paths that does not fit into two batches of `xargs`.
const MANY: usize = 2_500;

struct Machine {
    dir: TempDir,
    seconds: &'static str,
}

impl Machine {
    fn new() -> Self {
        let machine = Self { dir: tempfile::tempdir().unwrap(), seconds: "100" };
        fs::create_dir_all(machine.root()).unwrap();
        fs::create_dir(machine.dir.path().join("bin")).unwrap();
        machine
    }

    fn root(&self) -> PathBuf {
        self.dir.path().join("v2")
    }

    fn mark(&self) -> PathBuf {
        self.dir.path().join("mark")
    }

    /// Whether a path exists in the storage.
    fn has(&self, path: &str) -> bool {
        self.root().join(path).exists()
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Adds a program that the shell finds before the real program, and that can call the real program as `real`.
    fn program(&self, name: &str, text: &str) {
        let real = ["/bin", "/usr/bin"].map(|bin| format!("{bin}/{name}"));
        let real = real.iter().find(|path| Path::new(path).exists()).unwrap();
        let path = self.dir.path().join("bin").join(name);
        fs::write(
            &path,
            format!("#!/bin/sh\nmark={}\nreal() {{ {real} \"$@\"; }}\n{text}\n", self.mark().display()),
        )
        .unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn blobs(&self, count: usize) -> Vec<String> {
        let paths: Vec<_> = (0..count).map(|number| format!("blobs/sha256/00/{number:064}")).collect();
        paths.iter().for_each(|path| self.write(&format!("{path}/data"), "bytes"));
        paths
    }

    fn run(&self, input: &str) -> Output {
        let work = [COLLECTS, WORK].concat();
        let path = format!("{}:/usr/bin:/bin", self.dir.path().join("bin").display());
        let mut child = Command::new("sh")
            .args(["-c", &work, "sh"])
            .args([self.mark(), self.root()])
            .args(["1", TRASH, self.seconds])
            .env("PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        child.wait_with_output().unwrap()
    }

    fn moves(&self, paths: &[String]) -> (ExitStatus, String) {
        let output =
            self.run(&format!("\n{}", paths.iter().fold(String::new(), |all, path| all + path + " ok\n")));
        (output.status, String::from_utf8(output.stdout).unwrap())
    }

    /// The number of `paths` that were not moved.
    fn left(&self, paths: &[String]) -> usize {
        paths.iter().filter(|path| self.has(path)).count()
    }

    /// The number of files in the trash.
    fn moved(&self) -> usize {
        fn files(path: &Path) -> usize {
            let entries = fs::read_dir(path).into_iter().flatten().map(|entry| entry.unwrap().path());
            entries.map(|path| if path.is_dir() { files(&path) } else { 1 }).sum()
        }
        files(&self.root().join(TRASH))
    }

    fn empty(&self) -> ExitStatus {
        Command::new("sh").args(["-c", EMPTY, "sh"]).arg(self.root()).arg(TRASH).status().unwrap()
    }
}

#[test]
fn what_goes_is_moved_and_removed_only_later() {
    let machine = Machine::new();
    let paths = machine.blobs(MANY);
    machine.write("blobs/sha256/00/stays/data", "bytes");
    let (status, said) = machine.moves(&paths);
    assert!(status.success());
    assert_eq!(said, "ready\n");
    assert_eq!((machine.left(&paths), machine.moved()), (0, MANY));
    assert!(!machine.mark().exists());
    assert!(machine.has("blobs/sha256/00/stays/data"));
    assert!(machine.empty().success());
    assert!(!machine.has(TRASH));
    assert!(machine.empty().success());
}

#[test]
fn of_equal_names_one_is_moved_and_the_others_are_removed() {
    let machine = Machine::new();
    let paths = ["a", "b", "c"].map(|name| format!("repositories/{name}/_layers/sha256/00"));
    paths.iter().for_each(|path| machine.write(&format!("{path}/link"), "sha256:00"));
    assert!(machine.moves(&paths).0.success());
    assert_eq!((machine.left(&paths), machine.moved()), (0, 1));
}

#[test]
fn what_is_gone_already_is_no_error() {
    let machine = Machine::new();
    let mut paths = machine.blobs(3);
    paths.insert(1, "blobs/sha256/00/gone".to_owned());
    assert!(machine.moves(&paths).0.success());
    assert_eq!(machine.left(&paths), 0);
}

#[test]
fn a_line_that_was_cut_off_moves_nothing() {
    let machine = Machine::new();
    let paths = machine.blobs(2);
    assert!(machine.run(&format!("\n{} ok\nblobs/sha256/00", paths[0])).status.success());
    assert_eq!(machine.left(&paths), 1);
}

#[test]
fn where_regcert_ends_before_it_has_decided_nothing_is_done() {
    let machine = Machine::new();
    let paths = machine.blobs(2);
    for input in ["", "sha256:00 repositories/a/_layers/sha256/00/link\n"] {
        assert!(!machine.run(input).status.success());
        assert_eq!((machine.left(&paths), machine.moved()), (2, 0));
        assert!(!machine.has("repositories"));
        assert!(!machine.mark().exists());
    }
}

#[test]
fn what_takes_too_long_waits_for_the_next_one() {
    let machine = Machine { seconds: "0", ..Machine::new() };
    let mut paths = machine.blobs(MANY);
    while !paths.is_empty() {
        let (status, said) = machine.moves(&paths);
        assert!(status.success());
        assert_eq!(said, "ready\nmore\n");
        let count = paths.len();
        paths.retain(|path| machine.has(path));
        assert!(paths.len() < count);
        assert!(!machine.mark().exists());
    }
    assert_eq!(machine.moved(), MANY);
}

#[test]
fn a_shell_that_was_killed_takes_no_more() {
    let machine = Machine::new();
    machine.program("mv", r#"kill -KILL "$(cat "$mark")"; real "$@""#);
    let paths = machine.blobs(MANY);
    let (status, _) = machine.moves(&paths);
    assert_eq!(status.signal(), Some(9));
    let left = machine.left(&paths);
    assert!(left > 0 && left < MANY, "{left}");
    assert_eq!(machine.moved(), MANY - left);
    // The next shell finds the mark of the killed shell, and moves the rest.
    assert!(machine.mark().exists());
    fs::remove_file(machine.dir.path().join("bin/mv")).unwrap();
    assert!(machine.moves(&paths).0.success());
    assert_eq!((machine.left(&paths), machine.moved()), (0, MANY));
    assert!(!machine.mark().exists());
}

#[test]
fn an_interrupted_shell_takes_its_mark_along() {
    let machine = Machine::new();
    // TERM and not INT: if the test runs in the background, its child processes ignore INT.
    machine.program("mv", r#"kill -TERM "$(cat "$mark")"; real "$@""#);
    let paths = machine.blobs(MANY);
    assert_eq!(machine.moves(&paths).0.code(), Some(130));
    assert_eq!(machine.left(&paths) + machine.moved(), MANY);
    assert!(!machine.mark().exists());
}

#[test]
fn without_its_mark_it_takes_no_more() {
    let machine = Machine::new();
    machine.program("mv", r#"echo 1 >"$mark"; real "$@""#);
    let paths = machine.blobs(MANY);
    machine.moves(&paths);
    let left = machine.left(&paths);
    assert!(left > 0 && left < MANY, "{left}");
    assert!(machine.mark().exists(), "it is that of another run");
}

#[test]
fn what_cannot_be_moved_is_removed() {
    let no_directory = |machine: &Machine| machine.write(TRASH, "a file");
    let another_file_system = |machine: &Machine| {
        machine.program("stat", r#"case $3 in (regcert-trash) echo 1 ;; (*) echo 2 ;; esac"#)
    };
    let full = |machine: &Machine| machine.program("mv", "exit 1");
    for (number, hinder) in
        [&no_directory as &dyn Fn(&Machine), &another_file_system, &full].into_iter().enumerate()
    {
        let machine = Machine::new();
        hinder(&machine);
        let paths = machine.blobs(MANY);
        assert!(machine.moves(&paths).0.success(), "{number}");
        assert_eq!(machine.left(&paths), 0, "{number}");
        assert!(machine.moved() <= 1, "{number}");
    }
}

#[test]
fn what_cannot_be_removed_is_an_error() {
    let machine = Machine::new();
    machine.program("mv", "exit 1");
    machine.program("rm", r#"case $1 in (-rf) echo refused >&2; exit 1 ;; (*) real "$@" ;; esac"#);
    let paths = machine.blobs(2);
    assert!(!machine.moves(&paths).0.success());
    assert!(!machine.mark().exists());
}

#[test]
fn where_there_is_no_room_to_mend_what_was_moved_is_removed_first() {
    let machine = Machine::new();
    let paths = machine.blobs(2);
    let link = "repositories/a/_layers/sha256/00/link";
    machine.write(link, "");
    let input = format!("sha256:00 {link}\n\n{} ok\n", paths[0]);
    let path = machine.root().join(link);
    fs::remove_file(&path).unwrap();
    symlink("/dev/full", &path).unwrap();
    let output = machine.run(&input);
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("look whether the disk is full"));

    machine.program("rm", &format!(r#"case $* in (*{TRASH}) real {link} ;; esac; real "$@""#));
    assert!(machine.run(&input).status.success());
    assert_eq!(fs::read_to_string(&path).unwrap(), "sha256:00");
    assert_eq!((machine.left(&paths), machine.moved()), (1, 0));
}
