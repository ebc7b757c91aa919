//! A directory that goes away, the regcert under test in it, and the few programs that a case needs: no test sees what
//! else the machine has. Owns no expectation.
#![allow(dead_code, clippy::disallowed_methods, clippy::unwrap_used)] // Each test file uses a part of it, and the disk.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::LazyLock;

/// What a case may run besides regcert.
pub const TOOLS: [&str; 22] = [
    "cat", "chmod", "cmp", "cp", "echo", "find", "grep", "head", "ln", "ls", "mkdir", "mkfifo", "mv",
    "printf", "readlink", "rm", "sed", "sort", "stat", "tail", "touch", "wc",
];

/// What `docker inspect` says of the two containers of the registry in a directory.
const CONTAINERS: &str = r#"#!/bin/sh
project=$(sed -n s/^COMPOSE_PROJECT_NAME=//p "$1/.env")
container() {
    printf '{"Id":"%s-id","Name":"/%s","State":{"Status":"running"},"Config":{"Labels":{"com.docker.compose.project":"%s"}},"Mounts":[{"Destination":"%s","Source":"%s"}]}' \
        "$1" "$1" "$project" "$3" "$2"
}
printf '[%s,%s]\n' "$(container registry "$1/registry" /etc/regcert)" "$(container nginx "$1/trust" /srv/trust)"
"#;

/// `ahead DAYS regcert ...`: the command as it will run on that day. Its clock is moved, and no other.
const AHEAD: &str = r#"#!/bin/sh
export CLOCK_AHEAD=$(($1 * 86400)) LD_PRELOAD="$CLOCK"
shift
exec "$@"
"#;

/// The library that moves the clock, built once for a test program.
fn clock() -> &'static Path {
    static CLOCK: LazyLock<PathBuf> = LazyLock::new(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/common/clock.c");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        // Test programs run beside each other: each makes its own, and the last one stays.
        let own = directory.join(format!("clock-{}.so", std::process::id()));
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-o"]).arg(&own).arg(source);
        assert!(compiler.status().unwrap().success(), "this machine's C compiler cannot make {own:?}");
        let library = directory.join("clock.so");
        fs::rename(own, &library).unwrap();
        library
    });
    &CLOCK
}

/// Whether everything is tried, or only every promise once: `tests/run` says which, and without it the latter.
pub fn is_thorough() -> bool {
    std::env::var_os("TEST_TIER").is_some_and(|tier| tier == "all")
}

/// A place to run commands in.
pub struct Sandbox {
    root: tempfile::TempDir,
}

impl Sandbox {
    /// An empty one.
    pub fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let (bin, work) = (root.path().join("bin"), root.path().join("work"));
        fs::create_dir(&bin).unwrap();
        fs::create_dir(&work).unwrap();
        for tool in TOOLS {
            let real = ["/usr/bin", "/bin"]
                .map(|dir| Path::new(dir).join(tool))
                .into_iter()
                .find(|path| path.exists());
            symlink(real.unwrap_or_else(|| panic!("this machine has no `{tool}`")), bin.join(tool)).unwrap();
        }
        symlink(env!("CARGO_BIN_EXE_regcert"), bin.join("regcert")).unwrap();
        let plugins = root.path().join("docker/cli-plugins");
        fs::create_dir_all(&plugins).unwrap();
        let sandbox = Self { root };
        // Never run: commands for root are printed for a machine that has it.
        executable(&bin.join("sudo"), "");
        // A `docker` that a case adds has Compose, whatever the machine has.
        executable(&plugins.join("docker-compose"), "");
        sandbox.program("containers-of", CONTAINERS);
        sandbox.program("ahead", AHEAD);
        sandbox
    }

    /// Where its commands run.
    pub fn path(&self) -> PathBuf {
        self.root.path().join("work").canonicalize().unwrap()
    }

    /// A program of its own, before all others.
    pub fn program(&self, name: &str, script: &str) {
        executable(&self.root.path().join("bin").join(name), script);
    }

    /// `sh -c` with nothing of the caller's environment.
    pub fn command(&self, line: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command
            .arg("-c")
            .arg(format!("umask 022; {line}"))
            .current_dir(self.path())
            .env_clear()
            .env("CLOCK", clock())
            .env("PATH", self.root.path().join("bin"))
            .env("DOCKER_CONFIG", self.root.path().join("docker"))
            // Seconds of waiting for jitter in each run that makes a key would prove nothing.
            .env("AWS_LC_SYS_NO_JITTER_ENTROPY", "1")
            // As a user who may ask Docker: what the machine's own says would differ.
            .env("DOCKER_HOST", "unix:///nonexistent")
            .stdin(Stdio::null());
        command
    }

    /// The line's output, whatever it is.
    pub fn sh(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    /// stdout of a line that must succeed.
    pub fn ok(&self, line: &str) -> String {
        let output = self.sh(line);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "`{line}`: {stderr}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// stderr of a line that must fail with `code`.
    pub fn fails(&self, code: i32, line: &str) -> String {
        let output = self.sh(line);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "`{line}`: {stderr}");
        stderr
    }
}

fn executable(path: &Path, script: &str) {
    fs::write(path, script).unwrap();
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// What differs from run to run, under a name. In a pattern `d` is a digit, `x` a lower-case and `X` an upper-case
/// hexadecimal digit, `p` what generated passwords are made of; the rest is itself.
pub fn redact(text: &str, root: PathBuf) -> String {
    let fingerprint = ["XX"; 32].join(":");
    let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let (uid, gid) = if ids.0 == 0 { (65532, 65532) } else { ids };
    // Not wherever it stands: the help names root's.
    let invoker =
        ["runs as ", "chown -R ", "run-as = \""].into_iter().fold(text.to_owned(), |text, before| {
            text.replace(&format!("{before}{uid}:{gid}"), &format!("{before}[INVOKER]"))
        });
    // What listens on this machine is not the case's business.
    let is_taken =
        |line: &&str| !line.starts_with("warning: port 80 is") && !line.starts_with("warning: port 443 is");
    let invoker: String = invoker.split_inclusive('\n').filter(is_taken).collect();
    let text = invoker.replace(root.to_str().unwrap(), "[ROOT]");
    let text = of_this_machine(&text);
    let patterns = [
        (fingerprint.as_str(), "[FINGERPRINT]"),
        ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[SHA-256]"),
        ("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx", "[SERIAL]"),
        ("ppppp-ppppp-ppppp-ppppp-ppppp", "[PASSWORD]"),
        ("dddd-dd-dd", "[DATE]"),
        ("dddd.dd.dd", "[VERSION]"),
    ];
    let text = patterns.into_iter().fold(text, |text, (pattern, name)| replace(&text, pattern, name));
    text.replace(concat!("regcert ", env!("CARGO_PKG_VERSION")), "regcert [VERSION]")
}

/// Without what the first screen tells of the machine under test: who asks, its address, and its network. The tests of
/// `guide` and the end-to-end tests show those.
fn of_this_machine(text: &str) -> String {
    let text = text.replace(env!("CARGO_BIN_EXE_regcert"), "regcert");
    let text = text.replace("sudo regcert", "regcert");
    let left_out = |line: &&str| {
        line.starts_with("The root allows no addresses of this network.")
            || line.contains(" is the default name. To use this")
    };
    let line = |line: &str| {
        let mut line = line.to_owned();
        for before in ["needs `", "--address "] {
            if let Some(at) = line.find(before).map(|at| at + before.len())
                && let length = line[at..].find([' ', '`']).unwrap_or(line.len() - at)
                && line[at..at + length].parse::<std::net::Ipv4Addr>().is_ok()
            {
                line.replace_range(at..at + length, "[ADDRESS]");
            }
        }
        line + "\n"
    };
    let end = if text.ends_with('\n') { "" } else { "\n" };
    let lines: String = text.lines().filter(|line| !left_out(line)).map(line).collect();
    lines.strip_suffix(end).unwrap_or(&lines).to_owned()
}

fn replace(text: &str, pattern: &str, name: &str) -> String {
    let fits = |(byte, class): (u8, u8)| match class {
        b'd' => byte.is_ascii_digit(),
        b'x' => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        b'X' => matches!(byte, b'0'..=b'9' | b'A'..=b'F'),
        b'p' => matches!(byte, b'2'..=b'9' | b'a'..=b'z'),
        itself => byte == itself,
    };
    let matches = |at: &[u8]| at.len() >= pattern.len() && at.iter().copied().zip(pattern.bytes()).all(fits);
    let (mut out, mut rest) = (String::new(), text);
    while let Some(next) = rest.chars().next() {
        let (taken, new) = if matches(rest.as_bytes()) {
            (pattern.len(), name)
        } else {
            (next.len_utf8(), &rest[..next.len_utf8()])
        };
        out += new;
        rest = &rest[taken..];
    }
    out
}
