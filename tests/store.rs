//! What lies on the disk: modes under any umask, planted links and pipes, runs that were interrupted, runs at once.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Sandbox, is_thorough};

/// Every file below `dir` with its mode and bytes; `.regcert/lock` says nothing.
fn state(dir: &Path) -> BTreeMap<PathBuf, (u32, Vec<u8>)> {
    fn walk(dir: &Path, files: &mut BTreeMap<PathBuf, (u32, Vec<u8>)>) {
        for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
            let (path, metadata) = (entry.path(), entry.metadata().unwrap());
            if metadata.is_dir() {
                walk(&path, files);
            } else if !path.ends_with(".regcert/lock") {
                files.insert(path.clone(), (metadata.mode() & 0o7777, fs::read(&path).unwrap()));
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(dir, &mut files);
    files.into_iter().map(|(path, file)| (path.strip_prefix(dir).unwrap().to_owned(), file)).collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.metadata().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

#[test]
fn no_umask_changes_a_mode() {
    let modes = |umask: &str| {
        let sandbox = Sandbox::new();
        sandbox.ok(&format!("umask {umask}; regcert init && regcert init && regcert add-user bob"));
        sandbox.ok("cd registry && find . -printf '%M %P\\n' | sort")
    };
    let usual = modes("022");
    assert!(usual.contains("-rw------- root-cert/root-cert-local.priv.key\n"), "{usual}");
    for umask in ["000", "027", "077"] {
        assert_eq!(modes(umask), usual, "umask {umask}");
    }
}

/// What `init` writes in the sandbox's `registry`, by path.
fn outputs(sandbox: &Sandbox) -> Vec<PathBuf> {
    sandbox.ok("regcert -C model init");
    state(&sandbox.path().join("model")).into_keys().collect()
}

#[test]
fn nothing_is_written_through_what_was_planted() {
    let sandbox = Sandbox::new();
    let victim = sandbox.path().join("victim");
    let kinds = ["symlink", "dangling", "fifo", "directory", "hard link"];
    for (n, output) in outputs(&sandbox).into_iter().enumerate() {
        // The plain tier plants one kind in each place.
        for (_, kind) in (0..).zip(kinds).filter(|(k, _)| is_thorough() || *k == n % kinds.len()) {
            let dir = sandbox.path().join("registry");
            let at = dir.join(&output);
            fs::create_dir_all(at.parent().unwrap()).unwrap();
            fs::write(&victim, "victim").unwrap();
            fs::set_permissions(&victim, fs::Permissions::from_mode(0o604)).unwrap();
            match kind {
                "symlink" => symlink(&victim, &at).unwrap(),
                "dangling" => symlink(sandbox.path().join("new"), &at).unwrap(),
                "fifo" => _ = sandbox.ok(&format!("mkfifo '{}'", at.display())),
                "directory" => fs::create_dir(&at).unwrap(),
                _ => fs::hard_link(&victim, &at).unwrap(),
            }
            let what = format!("{kind} at {}", output.display());
            for options in ["", " --force"] {
                let run = sandbox.sh(&format!("regcert init{options}"));
                assert!(matches!(run.status.code(), Some(0 | 1)), "{what}: {run:?}");
                let planted = at.symlink_metadata().unwrap();
                // A .gitignore is the work tree's, and stays; so do the user's own lines for nginx.
                let is_own = output.to_str().unwrap().starts_with("nginx/local");
                let stays = is_own || options.is_empty() && output == Path::new(".gitignore");
                if run.status.success() && !stays {
                    assert!(planted.is_file() && planted.nlink() == 1, "{what}: in the way, yet done");
                }
            }
            assert_eq!(fs::read(&victim).unwrap(), b"victim", "{what}");
            assert_eq!(fs::metadata(&victim).unwrap().mode() & 0o777, 0o604, "{what}");
            assert!(!sandbox.path().join("new").exists(), "{what}");
            fs::remove_dir_all(dir).unwrap();
        }
    }
}

#[test]
fn nothing_is_written_below_a_planted_directory() {
    let sandbox = Sandbox::new();
    let mut parents: Vec<_> =
        outputs(&sandbox).iter().filter_map(|path| path.parent().map(Path::to_owned)).collect();
    parents.extend(["nginx", "registry"].map(PathBuf::from));
    parents.retain(|parent| !parent.as_os_str().is_empty());
    parents.sort();
    parents.dedup();
    let elsewhere = sandbox.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for parent in parents {
        let dir = sandbox.path().join("registry");
        let at = dir.join(&parent);
        fs::create_dir_all(at.parent().unwrap()).unwrap();
        symlink(&elsewhere, &at).unwrap();
        sandbox.fails(1, "regcert init");
        sandbox.fails(1, "regcert init --force");
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0, "{}", parent.display());
        fs::remove_dir_all(dir).unwrap();
    }
}

/// Two states of one registry: `old`, and `new` after another port and a removed front end.
fn two_states(sandbox: &Sandbox) -> (PathBuf, PathBuf) {
    let (old, new) = (sandbox.path().join("old"), sandbox.path().join("new"));
    sandbox.ok("regcert -C old init");
    copy(&old, &new);
    sandbox.ok("regcert -C new init --proxy none --https-port 5443");
    (old, new)
}

/// The redo log that turns what is in `dir` into `new`, left there with its first `done` steps done. Gives whether there
/// were that many.
fn interrupt(dir: &Path, new: &Path, done: usize) -> bool {
    let (before, after) = (state(dir), state(new));
    let put: Vec<_> = after.iter().filter(|(path, file)| before.get(*path) != Some(file)).collect();
    let remove: Vec<_> = before.keys().filter(|path| !after.contains_key(*path)).collect();
    let staged = dir.join(".regcert/staged");
    fs::create_dir(&staged).unwrap();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o700)).unwrap();
    for (n, (_, (mode, bytes))) in put.iter().enumerate() {
        let file = staged.join(n.to_string());
        fs::write(&file, bytes).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(*mode)).unwrap();
    }
    let names = |paths: &mut dyn Iterator<Item = &PathBuf>| {
        paths.map(|path| format!("{:?}", path.to_str().unwrap())).collect::<Vec<_>>().join(",")
    };
    let manifest = format!(
        "{{\"put\":[{}],\"remove\":[{}]}}",
        names(&mut put.iter().map(|(path, _)| *path)),
        names(&mut remove.iter().copied())
    );
    fs::write(staged.join("manifest.json"), manifest).unwrap();

    let steps = put.len() + remove.len() + 1;
    for (n, (path, _)) in put.iter().enumerate().take(done) {
        let to = dir.join(path);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(staged.join(n.to_string()), to).unwrap();
    }
    for path in remove.iter().take(done.saturating_sub(put.len())) {
        fs::remove_file(dir.join(path)).unwrap();
    }
    if done >= steps {
        fs::remove_file(staged.join("manifest.json")).unwrap();
    }
    done <= steps
}

#[test]
fn what_was_decided_is_finished_from_every_step() {
    let sandbox = Sandbox::new();
    let (old, new) = two_states(&sandbox);
    let expected = state(&new);
    for done in 0.. {
        let dir = sandbox.path().join("interrupted");
        copy(&old, &dir);
        let more = interrupt(&dir, &new, done);
        // A command that only reads finishes it.
        let users = sandbox.ok("regcert -C interrupted list-users");
        assert_eq!(users.split_whitespace().next(), Some("docker"), "{done} steps done");
        assert_eq!(state(&dir), expected, "{done} steps done");
        assert!(!dir.join(".regcert/staged").exists());
        fs::remove_dir_all(&dir).unwrap();
        if !more {
            assert!(done > 10, "only {done} steps");
            break;
        }
    }
}

#[test]
fn what_was_only_staged_is_discarded() {
    let sandbox = Sandbox::new();
    let (old, new) = two_states(&sandbox);
    let before = state(&old);
    interrupt(&old, &new, 0);
    for left_over in ["manifest.json", "3", "0", ""] {
        let (staged, staging) = (old.join(".regcert/staged"), old.join(".regcert/staging"));
        if staged.exists() {
            fs::rename(staged, &staging).unwrap();
        }
        fs::create_dir_all(&staging).unwrap();
        _ = fs::remove_file(staging.join(left_over));
        sandbox.ok("regcert -C old list-users");
        assert_eq!(state(&old), before);
        assert!(!staging.exists());
    }
}

#[test]
fn a_run_waits_for_another() {
    let sandbox = Sandbox::new();
    sandbox.ok("regcert init");
    let lock = fs::File::open(sandbox.path().join("registry/.regcert/lock")).unwrap();
    lock.lock().unwrap();
    let mut run =
        sandbox.command("exec regcert list-users").stdout(std::process::Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(run.try_wait().unwrap(), None, "it did not wait");
    drop(lock);
    assert!(run.wait().unwrap().success());
}

#[test]
fn users_added_at_once_are_all_there() {
    let sandbox = Sandbox::new();
    sandbox.ok("regcert init");
    let add = |n| {
        format!("echo secret | regcert add-user user{n} --password-stdin 2>&1 | grep -c added >/dev/null")
    };
    let runs: Vec<_> = (0..16).map(|n| sandbox.command(&add(n)).spawn().unwrap()).collect();
    assert!(runs.into_iter().all(|mut run| run.wait().unwrap().success()));
    assert_eq!(sandbox.ok("regcert list-users | wc -l").trim(), "17");
    assert_eq!(sandbox.ok("regcert list-users | sort -u | wc -l").trim(), "17");
}

#[test]
fn first_runs_at_once_make_one_registry() {
    let sandbox = Sandbox::new();
    let runs: Vec<_> = (0..4)
        .map(|_| sandbox.command("regcert init").stderr(std::process::Stdio::piped()).spawn().unwrap())
        .collect();
    let outputs: Vec<_> = runs.into_iter().map(|run| run.wait_with_output().unwrap()).collect();
    let made =
        outputs.iter().filter(|output| String::from_utf8_lossy(&output.stderr).contains("is ready in"));
    assert_eq!(made.count(), 1, "{outputs:#?}");
    for output in outputs.iter().filter(|output| !output.status.success()) {
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(
            stderr,
            "error: another regcert made a registry in `registry` just now\nhint: run the command again\n"
        );
    }
    sandbox.ok("regcert init");
}

/// A user without rights: the one who runs the tests, or an unprivileged one where root does.
fn unprivileged(sandbox: &Sandbox, line: &str) -> std::process::Output {
    use std::os::unix::process::CommandExt;
    let mut command = sandbox.command(line);
    if rustix::process::geteuid().is_root() {
        command.uid(65534).gid(65534);
    }
    command.output().unwrap()
}

/// A sandbox that a user without rights may use.
fn shared_sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    let work = sandbox.path();
    let regcert = work.parent().unwrap().join("bin/regcert");
    fs::remove_file(&regcert).unwrap();
    // A copy: the way to the original may be closed.
    fs::copy(env!("CARGO_BIN_EXE_regcert"), &regcert).unwrap();
    fs::set_permissions(work.parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    if rustix::process::geteuid().is_root() {
        std::os::unix::fs::chown(&work, Some(65534), Some(65534)).unwrap();
    }
    sandbox
}

#[test]
fn without_root_the_containers_run_as_who_runs_regcert() {
    let sandbox = shared_sandbox();
    let run = unprivileged(&sandbox, "regcert init && regcert add-user bob && regcert init --json");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let run = unprivileged(&sandbox, "regcert -C other init --run-as 1:1");
    assert_eq!(
        String::from_utf8_lossy(&run.stderr),
        "error: the containers run as 1:1, and only root can give files to that user\nhint: run this command with sudo\n"
    );
    // Rootless Docker: its root is the user.
    let run = unprivileged(&sandbox, "regcert -C rootless init --run-as 0:0");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
}

#[test]
fn what_may_not_be_read_is_told_with_its_cure() {
    let sandbox = shared_sandbox();
    assert!(unprivileged(&sandbox, "regcert init").status.success());
    let hint = "hint: run regcert as the owner of the directory, or with sudo\n";
    for (path, message) in [
        (
            "registry/root-cert/root-cert-local.priv.key",
            "`registry/root-cert/root-cert-local.priv.key` cannot be read: Permission denied (os error 13)",
        ),
        ("registry/.regcert/lock", "`registry` belongs to another user"),
    ] {
        let run = unprivileged(&sandbox, &format!("chmod 000 {path}; regcert list-users; chmod 600 {path}"));
        assert_eq!(String::from_utf8_lossy(&run.stderr), format!("error: {message}\n{hint}"));
    }
}

/// A program that goes by the time of a file in seconds, as nginx's ETag does, sees every change.
#[test]
fn a_file_that_replaces_another_is_a_second_younger() {
    let sandbox = Sandbox::new();
    sandbox.ok("regcert init");
    let times: Vec<i64> = (0..4)
        .map(|_| {
            sandbox.ok("regcert add-user bob </dev/null");
            sandbox.ok("stat -c %Y registry/nginx/auth/registry.passwd").trim().parse().unwrap()
        })
        .collect();
    assert!(times.is_sorted_by(|before, after| before < after), "{times:?}");
}
